package lambdahttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"unsafe"
)

const (
	// maxPrelude is where the end of the prelude must be found.
	maxPrelude = 16 << 10

	// pipeSize is how far the handler may be ahead of the reader.
	pipeSize = 64 << 10
)

// delimiter ends the prelude.
const delimiter = "\x00\x00\x00\x00\x00\x00\x00\x00"

var errClosed = errors.New("lambdahttp: nobody reads the response any more")

// pipe joins the handler's writes and the reader's reads through a bounded buffer. What was
// written can be read at once, so there is nothing to flush.
type pipe struct {
	mu     sync.Mutex
	change sync.Cond
	buf    []byte
	read   int   // of buf
	end    error // why no more is written: io.EOF or what broke off
	closed bool  // by the reader
	stop   error // the request's context has ended
}

func newPipe() *pipe {
	p := new(pipe)
	p.change.L = &p.mu
	return p
}

// Read blocks until there is something. What came before the end is given first.
func (p *pipe) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.buf) == p.read && p.end == nil && !p.closed && len(b) > 0 {
		p.change.Wait()
	}
	switch {
	case p.closed:
		return 0, io.ErrClosedPipe
	case len(p.buf) == p.read && p.end != nil:
		return 0, p.end
	}
	n := copy(b, p.buf[p.read:])
	if p.read += n; p.read == len(p.buf) {
		p.buf, p.read = p.buf[:0], 0
	}
	p.change.Broadcast()
	return n, nil
}

// write blocks while the buffer is full.
func (p *pipe) write(b []byte) (n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.closed:
			return n, errClosed
		case p.stop != nil:
			return n, p.stop
		case len(b) == 0:
			return n, nil
		}
		room := pipeSize - (len(p.buf) - p.read)
		if room == 0 {
			p.change.Wait()
			continue
		}
		if p.read > 0 && len(p.buf)+min(room, len(b)) > cap(p.buf) {
			p.buf, p.read = p.buf[:copy(p.buf, p.buf[p.read:])], 0
		}
		m := min(room, len(b))
		p.buf = append(p.buf, b[:m]...)
		n, b = n+m, b[m:]
		p.change.Broadcast()
	}
}

func (p *pipe) set(f func()) {
	p.mu.Lock()
	f()
	p.mu.Unlock()
	p.change.Broadcast()
}

// streamReader is the pipe as the reader of a reply has it.
type streamReader struct {
	*pipe
	cancel context.CancelFunc
}

// Close tells the handler that nobody reads any more, unless the stream has ended.
func (r streamReader) Close() error {
	r.set(func() { r.closed = true })
	r.cancel()
	return nil
}

// streamWriter passes a response on as it is written.
type streamWriter struct {
	writer
	pipe *pipe
	lost error // why a write has failed
}

func (d *Door) stream(call *Call, h http.Handler) *Reply {
	ctx, cancel := context.WithCancel(call.Request.Context())
	call.Request = call.Request.WithContext(ctx)
	p := newPipe()
	reply := &Reply{Call: call, ContentType: ContentTypeStream, Stream: streamReader{p, cancel}, done: make(chan struct{})}
	go func() {
		defer close(reply.done)
		defer cancel()
		unhook := context.AfterFunc(ctx, func() { p.set(func() { p.stop = ctx.Err() }) })
		defer unhook()
		w := &streamWriter{writer: writer{call: call, header: http.Header{}, drain: d.drain()}, pipe: p}
		err := d.run(h, w, call.Request)
		reply.err = w.finish(err)
		p.set(func() {
			if p.end = io.EOF; reply.err != nil && w.problem == nil {
				p.end = reply.err
			}
		})
	}()
	return reply
}

// finish ends the response and tells why the client does not have it whole. A problem that the
// client was told of in place of the response is noted.
func (w *streamWriter) finish(err error) error {
	switch {
	case w.problem != nil:
		err = w.problem
	case err != nil && w.status == 0:
		w.fail(err, "")
	case err != nil:
	case w.status == 0:
		w.WriteHeader(http.StatusOK)
		err = w.problem
	case w.lost != nil:
		err = fmt.Errorf("%w: %w", ErrBroken, w.lost)
	case w.short():
		err = fmt.Errorf("%w: it has %d bytes of %d", ErrBroken, w.size, w.length)
	}
	w.over = true
	return err
}

// fail sends a 502 in place of a response that has not begun.
func (w *streamWriter) fail(err error, problem string) {
	w.problem = err
	w.call.Problem = problem
	head, body := w.call.failure(err, fmt.Sprintf("a head of %d", maxPrelude))
	w.send(append(append(append(head, '}'), delimiter...), body...))
}

// send is for what the door writes itself; the next write of the handler meets the error.
func (w *streamWriter) send(b []byte) { _, _ = w.pipe.write(b) }

func (w *streamWriter) WriteHeader(status int) {
	if !w.begin(status) {
		return
	}
	if status == http.StatusSwitchingProtocols {
		w.fail(ErrUpgrade, "the response switches protocols")
		return
	}
	head := appendHead(make([]byte, 0, 1<<10), w.call.shape, status, w.header, w.hasBody())
	head = append(append(head, '}'), delimiter...)
	if len(head) > maxPrelude {
		w.fail(ErrTooLarge, "the response's headers are too large for a stream")
		return
	}
	w.send(head)
}

func (w *streamWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if skip, err := w.admit(len(b)); err != nil {
		return 0, err
	} else if skip {
		return len(b), nil
	}
	if w.problem != nil {
		return w.discard(len(b))
	}
	n, err := w.pipe.write(b)
	if err != nil {
		w.lost = err
	}
	return n, err
}

// WriteString saves a copy.
func (w *streamWriter) WriteString(s string) (int, error) {
	return w.Write(unsafe.Slice(unsafe.StringData(s), len(s))) // Write neither keeps nor changes it
}

// FlushError begins the response. What was written is on its way already.
func (w *streamWriter) FlushError() error {
	if w.over {
		return errOver
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	_, err := w.pipe.write(nil)
	return err
}

// Flush is FlushError for those who do not ask.
func (w *streamWriter) Flush() { _ = w.FlushError() }

var _ http.Flusher = (*streamWriter)(nil)
