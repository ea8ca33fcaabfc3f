package http1

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

const transportOK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"

func transportGet(t testing.TB, tr *Transport, url string) error {
	t.Helper()
	resp, err := tr.RoundTrip(transportRequest(t, "GET", url, ""))
	if err == nil && transportReadAll(t, resp) != "hi" {
		t.Error("wrong body")
	}
	return err
}

// A connection that the backend closed while it was idle is noticed before anything is
// written: even a POST without GetBody goes out on a fresh one.
func TestTransportClosedWhileIdle(t *testing.T) {
	var conns atomic.Int32
	gone := make(chan struct{})
	addr := transportListen(t, func(i int, nc net.Conn, br *bufio.Reader) {
		conns.Add(1)
		http.ReadRequest(br)
		io.WriteString(nc, transportOK)
		if i == 0 {
			nc.Close()
			close(gone)
			return
		}
		br.ReadByte()
	})
	tr := transportNoLeaks(t, &Transport{})
	for range 2 {
		req := transportRequest(t, "POST", addr, "hello")
		req.GetBody = nil
		resp, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		transportReadAll(t, resp)
		<-gone
		tr.mu.Lock()
		for _, h := range tr.hosts {
			for _, cc := range h.idle {
				transportEventually(t, "the end has arrived", func() bool { return conns.Load() > 1 || !cc.alive() })
			}
		}
		tr.mu.Unlock()
	}
	if n := conns.Load(); n != 2 {
		t.Errorf("%d connections", n)
	}
}

// Bytes that come while a connection is idle are nobody's answer.
func TestTransportUnexpectedBytes(t *testing.T) {
	more := make(chan struct{})
	addr := transportListen(t, func(i int, nc net.Conn, br *bufio.Reader) {
		for transportHead(br) != "" {
			io.WriteString(nc, transportOK)
			if i == 0 {
				<-more
				io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
			}
		}
	})
	tr := transportNoLeaks(t, &Transport{})
	if err := transportGet(t, tr, addr); err != nil {
		t.Fatal(err)
	}
	close(more)
	tr.mu.Lock()
	for _, h := range tr.hosts {
		transportEventually(t, "the bytes have arrived", func() bool { return !h.idle[0].alive() })
	}
	tr.mu.Unlock()
	if err := transportGet(t, tr, addr); err != nil {
		t.Fatal(err)
	}
}

// An idle connection that fails without a byte of an answer: which requests are sent again.
func TestTransportRetry(t *testing.T) {
	for _, tc := range []struct {
		name  string
		fresh bool // the very first call fails
		build func(*http.Request)
		again bool
	}{
		{"GET", false, func(*http.Request) {}, true},
		{"PUT without a body", false, func(r *http.Request) { r.Method = "PUT" }, true},
		{"POST without a body", false, func(r *http.Request) { r.Method = "POST" }, false},
		{"POST with a key", false, func(r *http.Request) { r.Method = "POST"; r.Header.Set("Idempotency-Key", "1") }, true},
		{"PUT with a body that cannot be had again", false, func(r *http.Request) {
			r.Method, r.Body, r.ContentLength = "PUT", io.NopCloser(strings.NewReader("hello")), 5
		}, false},
		{"PUT with GetBody", false, func(r *http.Request) {
			r.Method, r.ContentLength = "PUT", 5
			r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("hello")), nil }
			r.Body, _ = r.GetBody()
		}, true},
		{"large PUT with GetBody", false, func(r *http.Request) {
			r.Method, r.ContentLength = "PUT", -1
			r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("hello")), nil }
			r.Body, _ = r.GetBody()
		}, true},
		{"PUT that waits for 100", false, func(r *http.Request) {
			r.Method, r.Body, r.ContentLength = "PUT", io.NopCloser(strings.NewReader("hello")), 5
			r.Header.Set("Expect", "100-continue")
		}, true},
		{"GET on a fresh connection", true, func(*http.Request) {}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var conns atomic.Int32
			addr := transportListen(t, func(i int, nc net.Conn, br *bufio.Reader) {
				conns.Add(1)
				for calls := 0; ; calls++ {
					req, err := http.ReadRequest(br)
					if err != nil {
						return
					}
					if i == 0 && (calls == 1 || tc.fresh) {
						return // without an answer
					}
					if i > 0 && req.Body != nil && req.Method == "PUT" {
						if req.Header.Get("Expect") != "" {
							io.WriteString(nc, "HTTP/1.1 100 Continue\r\n\r\n")
						}
						if b, _ := io.ReadAll(req.Body); req.ContentLength != 0 && string(b) != "hello" {
							t.Errorf("the body came as %q", b)
						}
					}
					io.WriteString(nc, transportOK)
				}
			})
			tr := transportNoLeaks(t, &Transport{})
			if !tc.fresh {
				if err := transportGet(t, tr, addr); err != nil {
					t.Fatal(err)
				}
			}
			req := transportRequest(t, "GET", addr, "")
			tc.build(req)
			closed := make(chan struct{}, 2)
			if req.Body != nil {
				req.Body = transportBody{Reader: req.Body, close: func() { closed <- struct{}{} }}
			}
			resp, err := tr.RoundTrip(req)
			if (err == nil) != tc.again {
				t.Fatalf("error %v", err)
			}
			if err == nil {
				transportReadAll(t, resp)
			}
			if req.Body != nil {
				<-closed
			}
			if want := map[bool]int32{true: 2, false: 1}[tc.again]; conns.Load() != want {
				t.Errorf("%d connections, want %d", conns.Load(), want)
			}
		})
	}
}

// Last in, first out: what is not needed any more ages and is closed.
func TestTransportPoolOrder(t *testing.T) {
	addr := transportReplies(t, transportOK, false)
	tr := transportNoLeaks(t, &Transport{MaxIdlePerHost: 2})
	var open []*http.Response
	for range 3 {
		resp, err := tr.RoundTrip(transportRequest(t, "GET", addr, ""))
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, resp)
	}
	conn := func(r *http.Response) *clientConn { return r.Body.(*clientCall).cc }
	second := conn(open[1])
	for _, r := range open {
		transportReadAll(t, r)
	}
	if live, idle := transportCounts(tr); live != 2 || idle != 2 {
		t.Errorf("%d connections, %d idle", live, idle)
	}
	resp, err := tr.RoundTrip(transportRequest(t, "GET", strings.ToUpper(addr[:4])+addr[4:], ""))
	if err != nil {
		t.Fatal(err)
	}
	if conn(resp) != second {
		t.Error("not the connection used last")
	}
	transportReadAll(t, resp)
	tr.MaxIdlePerHost = -1
	if err := transportGet(t, tr, addr); err != nil {
		t.Fatal(err)
	}
	if live, idle := transportCounts(tr); live != 1 || idle != 1 {
		t.Errorf("%d connections, %d idle after none may be kept", live, idle)
	}
}

func TestTransportMaxConns(t *testing.T) {
	var now, most atomic.Int32
	addr := transportListen(t, func(_ int, nc net.Conn, br *bufio.Reader) {
		for n := 0; transportHead(br) != ""; n++ {
			if m := now.Add(1); m > most.Load() {
				most.Store(m)
			}
			now.Add(-1)
			if n%3 == 2 {
				io.WriteString(nc, strings.Replace(transportOK, "OK\r\n", "OK\r\nConnection: close\r\n", 1))
				return
			}
			io.WriteString(nc, transportOK)
		}
	})
	tr := transportNoLeaks(t, &Transport{MaxConnsPerHost: 2})
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for range 20 {
				ctx, cancel := context.WithCancel(t.Context())
				if i%4 == 0 {
					go cancel()
				}
				resp, err := tr.RoundTrip(transportRequest(t, "GET", addr, "").WithContext(ctx))
				if err == nil {
					_, err = io.ReadAll(resp.Body)
					resp.Body.Close()
				}
				if err != nil && !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	if most.Load() > 2 {
		t.Errorf("%d calls at once", most.Load())
	}
	if live, idle := transportCounts(tr); live > 2 || live != idle {
		t.Errorf("%d connections, %d idle", live, idle)
	}
	// A caller that waits leaves with its context.
	resp1, err1 := tr.RoundTrip(transportRequest(t, "GET", addr, ""))
	resp2, err2 := tr.RoundTrip(transportRequest(t, "GET", addr, ""))
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := tr.RoundTrip(transportRequest(t, "GET", addr, "").WithContext(ctx)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	resp1.Body.Close()
	resp2.Body.Close()
}

// transportPipe is a backend in memory, for tests with a fake clock.
func transportPipe(script func(i int, nc net.Conn, br *bufio.Reader)) func(context.Context, string, string) (net.Conn, error) {
	var n atomic.Int32
	return func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		i := int(n.Add(1)) - 1
		go func() {
			defer theirs.Close()
			script(i, theirs, bufio.NewReader(theirs))
		}()
		return ours, nil
	}
}

func TestTransportIdleTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &Transport{DialContext: transportPipe(func(_ int, nc net.Conn, br *bufio.Reader) {
			for transportHead(br) != "" {
				io.WriteString(nc, transportOK)
			}
		})}
		for _, tc := range []struct{ wait, limit time.Duration }{{transportIdleTimeout, 0}, {time.Minute, time.Minute}} {
			tr.IdleConnTimeout = tc.limit
			if err := transportGet(t, tr, "http://a.test"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(tc.wait - time.Second)
			if _, idle := transportCounts(tr); idle != 1 {
				t.Errorf("%v: %d idle connections too early", tc.wait, idle)
			}
			time.Sleep(time.Second + transportSweepEvery)
			if live, idle := transportCounts(tr); live != 0 || idle != 0 || tr.sweeper != nil || len(tr.hosts) != 0 || len(tr.aliases) != 0 {
				t.Errorf("%v: %d connections, %d idle, sweeper %v", tc.wait, live, idle, tr.sweeper)
			}
		}
		tr.IdleConnTimeout = -1
		if err := transportGet(t, tr, "http://a.test"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(24 * time.Hour)
		if _, idle := transportCounts(tr); idle != 1 {
			t.Errorf("%d idle connections without a limit", idle)
		}
		tr.CloseIdleConnections()
		if live, _ := transportCounts(tr); live != 0 || tr.sweeper != nil {
			t.Errorf("%d connections, sweeper %v", live, tr.sweeper)
		}
	})
}

// Where no socket can be peeked into, a closed connection is found by a short read.
func TestTransportAliveWithoutSocket(t *testing.T) {
	var conns atomic.Int32
	synctest.Test(t, func(t *testing.T) {
		tr := &Transport{DialContext: transportPipe(func(i int, nc net.Conn, br *bufio.Reader) {
			conns.Add(1)
			for transportHead(br) != "" {
				io.WriteString(nc, transportOK)
				if i == 1 {
					time.Sleep(2 * time.Second)
					return
				}
			}
		})}
		for i, want := range []int32{1, 1, 1} {
			if err := transportGet(t, tr, "http://a.test"); err != nil || conns.Load() != want {
				t.Fatalf("call %d: %v, %d connections", i, err, conns.Load())
			}
			time.Sleep(2 * time.Second)
		}
		tr.CloseIdleConnections()
		for range 2 {
			req := transportRequest(t, "POST", "http://a.test", "")
			resp, err := tr.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			transportReadAll(t, resp)
			time.Sleep(3 * time.Second)
		}
		if n := conns.Load(); n != 3 {
			t.Errorf("%d connections", n)
		}
		tr.CloseIdleConnections()
	})
}

// A sweep drops what the backend closed, so that nothing lingers half closed.
func TestTransportSweepDropsClosed(t *testing.T) {
	addr := transportReplies(t, transportOK, true)
	tr := transportNoLeaks(t, &Transport{})
	if err := transportGet(t, tr, addr); err != nil {
		t.Fatal(err)
	}
	transportEventually(t, "swept", func() bool {
		tr.sweep()
		live, _ := transportCounts(tr)
		return live == 0
	})
}

func TestTransportForgetsHosts(t *testing.T) {
	tr := &Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, syscall.ECONNREFUSED }}
	if _, err := tr.RoundTrip(transportRequest(t, "GET", "http://a.test", "")); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("error %v", err)
	}
	if len(tr.hosts) != 0 || len(tr.aliases) != 0 {
		t.Errorf("%d hosts, %d spellings left", len(tr.hosts), len(tr.aliases))
	}
}
