package mcp

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	// maxMessage bounds what a client may send at once.
	maxMessage = 1 << 20
	// lastWords is how long what is under way may take when the client has said everything.
	lastWords = 5 * time.Second
	// maxCalls is how many requests may be under way.
	maxCalls = 32
)

// Serve answers the messages that come on in, one per line, until in ends or ctx does. Nothing
// but messages is written to out.
func (s *Server) Serve(ctx context.Context, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	p := &pipe{server: s, out: out, running: map[string]context.CancelFunc{}}
	defer p.calls.Wait()
	defer cancel()
	lines, failed := make(chan []byte), make(chan error, 1)
	go func() { // a read that waits for a person cannot be interrupted: it ends with its process
		scan := bufio.NewScanner(in)
		scan.Buffer(make([]byte, 0, 64<<10), maxMessage)
		for scan.Scan() {
			select {
			case lines <- append([]byte(nil), scan.Bytes()...):
			case <-ctx.Done():
				return
			}
		}
		failed <- scan.Err()
	}()
	for {
		select {
		case line := <-lines:
			if err := p.take(ctx, line); err != nil {
				return err
			}
		case err := <-failed:
			if errors.Is(err, bufio.ErrTooLong) {
				err = fmt.Errorf("a message of more than %d bytes", maxMessage)
			}
			if err != nil {
				return fmt.Errorf("read from the client: %w", err)
			}
			stop := time.AfterFunc(lastWords, cancel)
			p.calls.Wait()
			stop.Stop()
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// pipe is one client.
type pipe struct {
	server *Server
	calls  sync.WaitGroup

	outMu sync.Mutex
	out   io.Writer

	mu      sync.Mutex
	running map[string]context.CancelFunc // by the request's id
}

func (p *pipe) take(ctx context.Context, line []byte) error {
	if len(line) == 0 {
		return nil
	}
	m, wrong := parse(line)
	if wrong != nil {
		return p.write(wrong)
	}
	if m.Method == "notifications/cancelled" {
		var what struct {
			ID json.RawMessage `json:"requestId"`
		}
		if json.Unmarshal(m.Params, &what) == nil {
			p.mu.Lock()
			if cancel := p.running[string(what.ID)]; cancel != nil {
				cancel()
			}
			p.mu.Unlock()
		}
		return nil
	}
	if m.ID == nil || m.Method == "" {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	id := string(m.ID)
	p.mu.Lock()
	known := p.running[id] != nil
	full := len(p.running) >= maxCalls
	if !known && !full {
		p.running[id] = cancel
	}
	p.mu.Unlock()
	if known || full {
		cancel()
		return p.write(&reply{"2.0", m.ID, nil, &rpcError{codeRequest, "this request is under way already, or too many are"}})
	}
	p.calls.Go(func() {
		r := p.server.answer(ctx, m)
		p.mu.Lock()
		delete(p.running, id)
		cancelled := ctx.Err() != nil
		p.mu.Unlock()
		cancel()
		if !cancelled { // one that was cancelled wants no answer
			p.write(r) // a client that does not read any more has closed its end: Serve ends with it
		}
	})
	return nil
}

func (p *pipe) write(r *reply) error {
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("answer the client: %w", err)
	}
	p.outMu.Lock()
	defer p.outMu.Unlock()
	if _, err := p.out.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("answer the client: %w", err)
	}
	return nil
}
