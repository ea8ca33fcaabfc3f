package capture

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/record"
	"github.com/tapway/tapway/internal/record/recordtest"
)

// queue is a tapway.Queue as far as a Recorder uses one. Its methods that are not
// here panic.
type queue struct {
	tapway.Queue
	t      testing.TB
	before func(ctx context.Context) error // runs in Enqueue; nil stores at once

	mu      sync.Mutex
	stored  []*tapway.Exchange
	dropped map[string]int
	arrived chan struct{} // gets one per stored exchange, if there is room
}

func newQueue(t testing.TB) *queue {
	return &queue{t: t, dropped: map[string]int{}, arrived: make(chan struct{}, 10_000)}
}

func (q *queue) Enqueue(ctx context.Context, ex *tapway.Exchange) error {
	if q.before != nil {
		if err := q.before(ctx); err != nil {
			return err
		}
	}
	recordtest.Validate(q.t, record.Append(nil, ex))
	copied, err := tapway.DecodeFrame(tapway.AppendFrame(nil, ex))
	if err != nil {
		q.t.Errorf("frame: %v", err)
	}
	q.mu.Lock()
	q.stored = append(q.stored, copied)
	q.mu.Unlock()
	q.arrived <- struct{}{}
	return nil
}

func (q *queue) Drop(reason string) {
	q.mu.Lock()
	q.dropped[reason]++
	q.mu.Unlock()
}

func (q *queue) all() []*tapway.Exchange {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.stored
}

// one waits for an exchange and gives the last.
func (q *queue) one(t testing.TB) *tapway.Exchange {
	t.Helper()
	<-q.arrived
	all := q.all()
	return all[len(all)-1]
}

// pipes is a listener whose connections are in memory, so that they work in a synctest bubble.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }

func (p *pipes) dial() net.Conn {
	a, b := net.Pipe()
	p.conns <- b
	return a
}

// site is a running server with a Recorder before its handler.
type site struct {
	t     testing.TB
	rec   *Recorder
	queue *queue
	pipes *pipes // nil when it listens on loopback
	addr  string
	srv   *http.Server
}

// serve starts a server for next and stops it with the test. rec.Queue defaults to a new queue.
func serve(t testing.TB, rec *Recorder, next http.HandlerFunc, inMemory bool) *site {
	t.Helper()
	s := &site{t: t, rec: rec}
	if rec.Queue == nil {
		rec.Queue = newQueue(t)
	}
	s.queue, _ = rec.Queue.(*queue)
	if rec.Log == nil {
		rec.Log = slog.New(slog.DiscardHandler)
	}
	s.srv = &http.Server{Handler: rec.Wrap(next), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0), Protocols: new(http.Protocols)}
	s.srv.Protocols.SetHTTP1(true)
	s.srv.Protocols.SetUnencryptedHTTP2(true)
	var l net.Listener
	if inMemory {
		s.pipes = newPipes()
		l = s.pipes
	} else {
		var err error
		if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		s.addr = l.Addr().String()
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serve: %v", err)
		}
	}()
	t.Cleanup(func() {
		s.srv.Close()
		<-done
	})
	return s
}

func (s *site) dial() net.Conn {
	s.t.Helper()
	if s.pipes != nil {
		return s.pipes.dial()
	}
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// raw sends bytes and reads one response of method on a connection of its own.
func (s *site) raw(method, text string) (*http.Response, string, error) {
	c := s.dial()
	defer c.Close()
	if _, err := io.WriteString(c, text); err != nil {
		return nil, "", err
	}
	br := bufio.NewReader(c)
	for {
		res, err := http.ReadResponse(br, &http.Request{Method: method})
		if err != nil {
			return nil, "", err
		}
		if res.StatusCode < 200 && res.StatusCode != 101 {
			continue
		}
		body, err := io.ReadAll(res.Body)
		return res, string(body), err
	}
}

// client speaks one version of HTTP to the site.
func (s *site) client(h2 bool) *http.Client {
	tr := &http.Transport{
		DialContext:        func(context.Context, string, string) (net.Conn, error) { return s.dial(), nil },
		DisableCompression: true,
		Protocols:          new(http.Protocols),
	}
	if h2 {
		tr.Protocols.SetUnencryptedHTTP2(true)
	} else {
		tr.Protocols.SetHTTP1(true)
	}
	s.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// settled waits until no call is in flight and checks that nothing is held any more.
func (s *site) settled() {
	s.t.Helper()
	s.srv.Shutdown(context.Background())
	nothingHeld(s.t, s.rec)
}

// nothingHeld checks that everything is given back; spools close in their own time.
func nothingHeld(t testing.TB, rec *Recorder) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); rec.Stats() != (Stats{}) || rec.spooling.free != rec.spooling.size; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Errorf("left behind: %+v, %d bytes to be spooled", rec.Stats(), rec.spooling.size-rec.spooling.free)
			return
		}
	}
}

// logged counts log lines.
type logged struct{ n atomic.Int64 }

func (l *logged) Write(p []byte) (int, error) {
	l.n.Add(1)
	return len(p), nil
}

func long(n int) string { return strings.Repeat("0123456789abcdef", n/16+1)[:n] }
