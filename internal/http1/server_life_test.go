package http1

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/tapway/tapway/internal/lazycontext"
)

// inBubble runs a server and one connection to it on synctest's clock.
func inBubble(t *testing.T, s *Server, f func(l *pipeListener, conn net.Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s.ErrorLog = slog.New(slog.DiscardHandler)
		l := newPipeListener()
		ended := make(chan error)
		go func() { ended <- s.Serve(l) }()
		conn := l.dial()
		defer conn.Close()
		f(l, conn)
		s.Close()
		if err := <-ended; err != http.ErrServerClosed {
			t.Errorf("Serve: %v", err)
		}
	})
}

// within fails unless got lies between want and what the sweeper's pace may add to it.
func within(t *testing.T, what string, got, want time.Duration) {
	t.Helper()
	if got < want || got > want+want/4+3*sweepEvery+sweepSlowly {
		t.Errorf("%s after %v, want %v", what, got, want)
	}
}

func TestServerTimesOutHeaders(t *testing.T) {
	inBubble(t, &Server{ReadHeaderTimeout: 3 * time.Second}, func(_ *pipeListener, conn net.Conn) {
		time.Sleep(2 * time.Second) // the connection's first byte has the same time
		start := time.Now()
		io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n")
		time.Sleep(2 * time.Second)
		io.WriteString(conn, "X: a\r\n")
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || res.StatusCode != 408 || !res.Close {
			t.Fatalf("%v %v", res, err)
		}
		within(t, "408", time.Since(start), 3*time.Second)
	})
}

func TestServerTimesOutSilence(t *testing.T) {
	s := &Server{ReadHeaderTimeout: 3 * time.Second, IdleTimeout: 20 * time.Second}
	inBubble(t, s, func(_ *pipeListener, conn net.Conn) {
		start := time.Now()
		if b, err := io.ReadAll(conn); err != nil || len(b) > 0 {
			t.Errorf("a connection without a byte got %q, %v", b, err)
		}
		within(t, "closed", time.Since(start), 3*time.Second)
	})
	s = &Server{ReadHeaderTimeout: 3 * time.Second, IdleTimeout: 20 * time.Second}
	inBubble(t, s, func(_ *pipeListener, conn net.Conn) {
		br := bufio.NewReader(conn)
		for range 3 {
			io.WriteString(conn, goodRequest)
			res, err := http.ReadResponse(br, nil)
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, res.Body)
			time.Sleep(15 * time.Second)
		}
		start := time.Now()
		if b, err := io.ReadAll(br); err != nil || len(b) > 0 {
			t.Errorf("an idle connection got %q, %v", b, err)
		}
		within(t, "closed", time.Since(start), 5*time.Second)
	})
}

func TestServerTimesOutBodies(t *testing.T) {
	s := &Server{ReadTimeout: 3 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		bad, ok := errors.AsType[*ProtocolError](err)
		if !ok || string(b) != "hell" {
			t.Errorf("%q, %v", b, err)
			return
		}
		w.WriteHeader(bad.Status)
	})}
	inBubble(t, s, func(_ *pipeListener, conn net.Conn) {
		start := time.Now()
		io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nh")
		for _, c := range "ell" {
			time.Sleep(2 * time.Second)
			io.WriteString(conn, string(c))
		}
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || res.StatusCode != 408 || !res.Close {
			t.Fatalf("%v %v", res, err)
		}
		within(t, "408", time.Since(start), 9*time.Second)
	})
}

func TestServerTimesOutWrites(t *testing.T) {
	var failed atomic.Pointer[error]
	var left atomic.Bool
	s := &Server{WriteTimeout: 3 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for {
			if _, err := w.Write(make([]byte, 100)); err != nil {
				left.Store(r.Context().Err() != nil)
				failed.Store(&err)
				return
			}
		}
	})}
	inBubble(t, s, func(_ *pipeListener, conn net.Conn) {
		io.WriteString(conn, goodRequest)
		// A client that takes a byte now and then is slow, but not gone.
		var b [1]byte
		for range 20 {
			time.Sleep(2 * time.Second)
			if _, err := conn.Read(b[:]); err != nil {
				t.Fatal(err)
			}
		}
		start := time.Now()
		for failed.Load() == nil {
			time.Sleep(sweepEvery)
		}
		if err := *failed.Load(); !isTimeout(err) {
			t.Error(err)
		}
		within(t, "gave up", time.Since(start), 3*time.Second)
		if !left.Load() {
			t.Error("the context was not cancelled")
		}
	})
}

func TestServerDeadlinesOfTheHandler(t *testing.T) {
	s := &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "GET" {
			return
		}
		rc := http.NewResponseController(w)
		if err := rc.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			t.Error(err)
		}
		if err := rc.SetWriteDeadline(time.Now().Add(2 * time.Second)); err != nil {
			t.Error(err)
		}
		if err := rc.EnableFullDuplex(); err != nil {
			t.Error(err)
		}
		if _, err := io.ReadAll(r.Body); !isTimeout(err) {
			t.Error(err)
		}
		if r.Context().Err() != nil {
			t.Error("a deadline of the handler's cancelled the context")
		}
	})}
	inBubble(t, s, func(_ *pipeListener, conn net.Conn) {
		io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || !res.Close {
			t.Errorf("%v, %v", res, err)
		}
	})
}

// A request that nobody reads from the connection for is watched, and then goes on as usual.
func TestServerWatchesWithoutHarm(t *testing.T) {
	s := &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		select {
		case <-r.Context().Done():
			t.Error("the client was taken for gone")
		case <-time.After(2 * time.Second):
		}
		io.WriteString(w, r.URL.Path+string(b))
	})}
	inBubble(t, s, func(_ *pipeListener, conn net.Conn) {
		br := bufio.NewReader(conn)
		io.WriteString(conn, "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
		time.Sleep(time.Second)
		go io.WriteString(conn, "POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n")
		for _, want := range []string{"/1hello", "/2hello", "/3"} {
			res, err := http.ReadResponse(br, nil)
			if err != nil {
				t.Fatal(err)
			}
			if b, _ := io.ReadAll(res.Body); string(b) != want {
				t.Errorf("got %q, want %q", b, want)
			}
		}
	})
}

func TestServerNoticesThatTheClientLeft(t *testing.T) {
	for _, secure := range []bool{false, true} {
		for _, request := range []string{goodRequest, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"} {
			started, gone := make(chan bool), make(chan error, 3)
			s := &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				child, cancel := context.WithTimeout(context.WithValue(r.Context(), http.NoBody, 1), time.Minute)
				defer cancel()
				context.AfterFunc(r.Context(), func() { gone <- context.Cause(r.Context()) })
				close(started)
				<-child.Done()
				gone <- child.Err()
				<-r.Context().Done()
				gone <- r.Context().Err()
			})}
			server, client := testTLS()
			if secure {
				s.TLSConfig = server
			}
			addr := startServer(t, s)
			c := dialServer(t, addr)
			if secure {
				c.conn = tls.Client(c.conn, client)
			}
			c.send(request)
			<-started
			c.conn.Close()
			for range 3 {
				select {
				case err := <-gone:
					if err != context.Canceled {
						t.Error(err)
					}
				case <-time.After(10 * time.Second):
					t.Fatalf("TLS %t: the context was not cancelled", secure)
				}
			}
		}
	}
}

func TestServerNoticesThatTheClientLeftInTheBody(t *testing.T) {
	ended := make(chan error, 2)
	addr := startServer(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		ended <- err
		ended <- r.Context().Err()
	})})
	c := dialServer(t, addr).send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhell")
	c.conn.Close()
	if err := <-ended; err != io.ErrUnexpectedEOF {
		t.Error(err)
	}
	if err := <-ended; err != context.Canceled {
		t.Error(err)
	}
}

func TestServerContext(t *testing.T) {
	type key struct{}
	base, cancel := context.WithCancelCause(context.WithValue(context.Background(), key{}, "base"))
	why := errors.New("why")
	var kept context.Context
	s := &Server{BaseContext: func(net.Listener) context.Context { return base }}
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		kept = ctx
		if _, ok := ctx.Value(http.ServerContextKey).(*http.Server); !ok {
			t.Error("no server in the context")
		}
		if a, ok := ctx.Value(http.LocalAddrContextKey).(net.Addr); !ok || a.String() == "" {
			t.Error("no address in the context")
		}
		if ctx.Value(key{}) != "base" || ctx.Err() != nil {
			t.Error("the base is not the base")
		}
		if _, ok := ctx.Deadline(); ok {
			t.Error("there is a deadline")
		}
		if r.URL.Path == "/base" {
			child, stop := context.WithCancel(ctx)
			defer stop()
			cancel(why)
			<-child.Done()
			if context.Cause(child) != why || ctx.Err() != context.Canceled {
				t.Errorf("cause %v, error %v", context.Cause(child), ctx.Err())
			}
		}
	})
	c := dialServer(t, startServer(t, s))
	c.send(goodRequest).response("GET")
	if kept.Err() != context.Canceled {
		t.Error("the context outlived its handler")
	}
	select {
	case <-kept.Done():
	default:
		t.Error("Done was first asked for after the end, and is not closed")
	}
	c.send("GET /base HTTP/1.1\r\nHost: a\r\n\r\n").response("GET")
}

// A context costs its children no goroutines: they are attached to it, also through values.
func TestServerContextNeedsNoGoroutines(t *testing.T) {
	c := newServerConn(&Server{}, &net.TCPConn{}, context.Background())
	ctx := &requestContext{Context: lazycontext.Context{Base: context.Background()}, conn: c}
	before := goleak.IgnoreCurrent()
	child, stop := context.WithCancel(context.WithValue(ctx, http.NoBody, 1))
	defer stop()
	if err := goleak.Find(before); err != nil {
		t.Error(err)
	}
	ctx.Cancel()
	if child.Err() != context.Canceled {
		t.Error("the child was not cancelled at once")
	}
}

func TestServerShutdown(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	entered, release := make(chan bool), make(chan bool)
	s := &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			entered <- true
			<-release
		}
		io.WriteString(w, "done")
	})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	idle, active := dialServer(t, l.Addr().String()), dialServer(t, l.Addr().String())
	defer idle.conn.Close()
	defer active.conn.Close()
	idle.send(goodRequest).response("GET")
	active.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n" + goodRequest)
	<-entered

	short, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(short); err != context.DeadlineExceeded {
		t.Errorf("Shutdown with a request under way: %v", err)
	}
	if err := <-served; err != http.ErrServerClosed {
		t.Errorf("Serve: %v", err)
	}
	if rest := idle.rest(); rest != "" {
		t.Errorf("the idle connection got %q", rest)
	}
	if conn, err := net.Dial("tcp", l.Addr().String()); err == nil {
		conn.Close()
		t.Error("it still accepts")
	}
	down := make(chan error, 1)
	go func() { down <- s.Shutdown(context.Background()) }()
	close(release)
	if res, body := active.response("GET"); body != "done" || !res.Close {
		t.Errorf("%q, close %t", body, res.Close)
	}
	if rest := active.rest(); rest != "" {
		t.Errorf("the active connection got %q more", rest)
	}
	active.conn.Close()
	if err := <-down; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if err := s.Serve(l); err != http.ErrServerClosed {
		t.Errorf("Serve again: %v", err)
	}
}

func TestServerMaxConns(t *testing.T) {
	entered, release := make(chan bool), make(chan bool)
	addr := startServer(t, &Server{MaxConns: 2, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			entered <- true
			<-release
		}
	})})
	active, idle := dialServer(t, addr), dialServer(t, addr)
	active.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
	<-entered
	idle.send(goodRequest).response("GET")
	// The third gets the place of the idle one, not of the active one.
	third := dialServer(t, addr)
	third.send(goodRequest).response("GET")
	if rest := idle.rest(); rest != "" {
		t.Errorf("%q", rest)
	}
	close(release)
	active.response("GET")
}

func TestServerEndsWithManyConnections(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	s := &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(w, r.Body)
		if strings.HasPrefix(r.URL.Path, "/wait") {
			<-r.Context().Done()
		}
	})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	var clients []*rawClient
	for range 50 {
		for _, raw := range []string{goodRequest, "GET", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nh", "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n", ""} {
			clients = append(clients, dialServer(t, l.Addr().String()).send(raw))
		}
	}
	clients[0].response("GET")
	for _, c := range clients[100:] {
		c.conn.Close()
	}
	s.Close()
	<-served
	for _, c := range clients[:100] {
		c.conn.Close()
	}
}

// A client that does not look for an answer before it has sent its body gets one all the same, if it
// is done in time and sends on.
func TestServerReadsOnAfterItsAnswer(t *testing.T) {
	refuse := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(413) })
	for _, tc := range []struct {
		pause time.Duration
		taken int // pieces of the body
	}{
		{lingerIdle - time.Millisecond, 59}, // 30 s
		{lingerIdle + time.Millisecond, 0},
	} {
		inBubble(t, &Server{Handler: refuse}, func(_ *pipeListener, conn net.Conn) {
			answer := make(chan string, 1)
			io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")
			go func() {
				b, _ := io.ReadAll(conn)
				answer <- string(b)
			}()
			taken := 0
			for ; taken < tc.taken+10; taken++ {
				time.Sleep(tc.pause)
				if _, err := conn.Write(make([]byte, 1000)); err != nil {
					break
				}
			}
			if got := <-answer; !strings.HasPrefix(got, "HTTP/1.1 413 ") || taken < tc.taken || taken > tc.taken+2 {
				t.Errorf("a piece each %v: %d were taken, want %d; the answer is %q", tc.pause, taken, tc.taken, got)
			}
		})
	}
}
