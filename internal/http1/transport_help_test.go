package http1

import (
	"bufio"
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// transportRequest makes a request with exactly these parts.
func transportRequest(t testing.TB, method, url, body string) *http.Request {
	t.Helper()
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, r)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func transportReadAll(t testing.TB, resp *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Errorf("read the body: %v", err)
	}
	resp.Body.Close()
	return string(b)
}

// transportListen runs script for every connection, with its number from 0, and gives the
// URL. The connection is closed when script returns.
func transportListen(t testing.TB, script func(i int, nc net.Conn, br *bufio.Reader)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() {
		ln.Close()
		<-done
	})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer nc.Close()
				nc.SetDeadline(time.Now().Add(20 * time.Second))
				script(i, nc, bufio.NewReader(nc))
			}()
		}
	}()
	return "http://" + ln.Addr().String()
}

// transportHead reads a request's header as it stands; "" at the end of the connection.
func transportHead(br *bufio.Reader) string {
	var head strings.Builder
	for {
		line, err := br.ReadString('\n')
		if err != nil {
			return ""
		}
		head.WriteString(line)
		if line == "\r\n" {
			return head.String()
		}
	}
}

// transportReplies answers every request on every connection with the same bytes, and closes
// after the first if so asked.
func transportReplies(t testing.TB, reply string, closeAfter bool) string {
	return transportListen(t, func(_ int, nc net.Conn, br *bufio.Reader) {
		for transportHead(br) != "" {
			io.WriteString(nc, reply)
			if closeAfter {
				return
			}
		}
	})
}

// transportNoLeaks closes tr at the end of the test and checks that no goroutine is left.
// It must be called before anything is started.
func transportNoLeaks(t testing.TB, tr *Transport) *Transport {
	t.Helper()
	ignore := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		transportEventually(t, "no connection left", func() bool {
			tr.CloseIdleConnections() // one may come back a moment after its response has ended
			live, _ := transportCounts(tr)
			return live == 0
		})
		if err := goleak.Find(ignore); err != nil {
			t.Error(err)
		}
	})
	return tr
}

// transportEventually waits for something that another goroutine is about to do.
func transportEventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("still not: %s", what)
		}
	}
}

// transportCounts gives the connections a transport knows of.
func transportCounts(tr *Transport) (live, idle int) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for _, h := range tr.hosts {
		live += h.live
		idle += len(h.idle)
	}
	return live, idle
}

// transportDialTo dials url's host whatever address is asked for.
func transportDialTo(url string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, strings.TrimPrefix(url, "http://"))
	}
}

func transportNoDial(t testing.TB) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		t.Error("something was dialled")
		return nil, net.ErrClosed
	}
}

// transportBody is a request body that tells when it is closed.
type transportBody struct {
	io.Reader
	close func()
}

func (b transportBody) Close() error {
	b.close()
	return nil
}

// transportZeros is a body without end.
type transportZeros struct{}

func (transportZeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func transportDiscardLog() *log.Logger { return log.New(io.Discard, "", 0) }
