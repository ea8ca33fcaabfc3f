package lambdaapp

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tapway/tapway/internal/lambdaruntime"
	"github.com/tapway/tapway/internal/lambdaruntime/runtimetest"
)

// forgetful is a backend behind something that forgets connections, as while an environment is frozen: the second
// request on a connection is answered by a reset, and nothing tells of it before.
type forgetful struct {
	net.Listener
	mu    sync.Mutex
	conns []net.Conn
	calls []string
	reset int
}

func newForgetful(t *testing.T) *forgetful {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &forgetful{Listener: l}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			f.conns = append(f.conns, nc)
			f.mu.Unlock()
			running.Go(func() { f.serve(nc.(*net.TCPConn)) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		f.mu.Lock()
		for _, nc := range f.conns {
			nc.Close()
		}
		f.mu.Unlock()
		running.Wait()
	})
	return f
}

func (f *forgetful) serve(nc *net.TCPConn) {
	defer nc.Close()
	br := bufio.NewReader(nc)
	req, err := http.ReadRequest(br)
	if err != nil {
		return
	}
	io.Copy(io.Discard, req.Body)
	f.mu.Lock()
	f.calls = append(f.calls, req.Method)
	f.mu.Unlock()
	io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	if _, err := br.Peek(1); err == nil {
		f.mu.Lock()
		f.reset++
		f.mu.Unlock()
		nc.SetLinger(0)
	}
}

func (f *forgetful) seen() (calls []string, reset int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.calls...), f.reset
}

// The first call after a thaw neither fails nor is made twice, although a connection that looks open is not.
func TestThaw(t *testing.T) {
	for _, tt := range []struct {
		method, body string
		asleep       time.Duration
		status       string
		reset        int
	}{
		{"POST", "x", freshFor + time.Second, "200", 0},
		{"POST", "", freshFor + time.Second, "200", 0},
		{"PUT", "x", freshFor + time.Second, "200", 0},
		{"GET", "", freshFor + time.Second, "200", 1},     // it is sent again
		{"POST", "x", freshFor - 3*time.Second, "502", 1}, // within that a connection is trusted
	} {
		w, backend := newWorld(t), newForgetful(t)
		f := &function{API: runtimetest.Config{Timeout: patient}.Start(t), log: new(buffer), metrics: new(buffer)}
		app, err := New(t.Context(), w.options(f, Proxy, "TAPWAY_BACKEND=http://"+backend.Addr().String()))
		if err != nil {
			t.Fatal(err)
		}
		w.proxy = f
		f.Go((&lambdaruntime.Runtime{API: f.Addr(), Handler: app, Log: app.Log}).Run)
		var bodies []string
		for range 2 {
			result := f.Invoke(t.Context(), urlEvent(tt.method, "/", tt.body))
			if result.Err != nil || result.Error != nil {
				t.Fatal(result.Err, result.Error)
			}
			bodies = append(bodies, string(result.Body))
			f.settled(t)
			app.handler.(*proxyFunction).last.Store(time.Now().Add(-tt.asleep).UnixNano())
		}
		if !strings.Contains(bodies[0], `"statusCode":200`) || !strings.Contains(bodies[1], `"statusCode":`+tt.status) {
			t.Errorf("%s after %v: %s", tt.method, tt.asleep, bodies)
		}
		calls, reset := backend.seen()
		answered := 2
		if tt.status != "200" {
			answered = 1
		}
		same(t, tt.method+": calls that the backend took", len(calls), answered)
		same(t, tt.method+": connections that had gone", reset, tt.reset)
	}
}
