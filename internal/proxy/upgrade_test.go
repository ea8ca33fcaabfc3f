package proxy

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tapway/tapway"
)

const upgradeRequest = "GET /ws?x HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: echo\r\nSec-Websocket-Key: k\r\n\r\n"

// newEcho is a backend that switches to a protocol which sends everything back.
func newEcho(t *testing.T, greeting string) *wire {
	return newWireFunc(t, func(conn net.Conn, head string) {
		if len(lines(head, "Upgrade")) != 1 || len(lines(head, "Connection")) != 1 {
			io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
			return
		}
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: Echo\r\nConnection: Upgrade\r\nSec-Websocket-Accept: a\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\n"+greeting)
		io.Copy(conn, conn)
	})
}

// The names of a handshake's headers are those of RFC 6455 on both sides, letter by letter.
func TestUpgradeSpelling(t *testing.T) {
	request := make(chan string, 1)
	wr := newWireFunc(t, func(conn net.Conn, head string) {
		request <- head
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: a\r\nsec-websocket-protocol: p\r\nX-websocket: w\r\n\r\n")
	})
	w := newWorld(t, wr.url, option{})
	conn := w.dial()
	io.WriteString(conn, "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: echo\r\nSec-WebSocket-Key: k\r\nsec-websocket-version: 13\r\n\r\n")
	head, _ := io.ReadAll(conn)
	for _, want := range []string{"\r\nSec-WebSocket-Accept: a\r\n", "\r\nSec-WebSocket-Protocol: p\r\n", "\r\nX-Websocket: w\r\n"} {
		if !strings.Contains(string(head), want) {
			t.Errorf("the client lacks %q in %q", want, head)
		}
	}
	sent := <-request
	for _, want := range []string{"\r\nSec-WebSocket-Key: k\r\n", "\r\nSec-WebSocket-Version: 13\r\n"} {
		if !strings.Contains(sent, want) {
			t.Errorf("the backend lacks %q in %q", want, sent)
		}
	}
	conn.Close()
	w.call()
}

type upgradeNoter struct {
	http.ResponseWriter
	status atomic.Int64
	header http.Header
}

func (u *upgradeNoter) Unwrap() http.ResponseWriter { return u.ResponseWriter }
func (u *upgradeNoter) Upgraded(status int, h http.Header) {
	u.header = h.Clone()
	u.status.Store(int64(status))
}

type plainWrapper struct{ http.ResponseWriter }

func (p plainWrapper) Unwrap() http.ResponseWriter { return p.ResponseWriter }

func TestUpgrade(t *testing.T) {
	var noter upgradeNoter
	w := newWorld(t, newEcho(t, "hello").url, option{
		settings: func(s *Settings) { s.NoHeaders = true },
		backend:  &Backend{Timeout: time.Second},
		wrap: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				noter.ResponseWriter = rw
				next.ServeHTTP(plainWrapper{&noter}, r)
			})
		},
	})
	conn := w.dial()
	io.WriteString(conn, upgradeRequest+"early") // bytes that the server has read already
	br := bufio.NewReader(conn)
	var head strings.Builder
	for line := ""; line != "\r\n"; {
		var err error
		if line, err = br.ReadString('\n'); err != nil {
			t.Fatalf("%v after %q", err, head.String())
		}
		head.WriteString(line)
	}
	if !strings.HasPrefix(head.String(), "HTTP/1.1 101 Switching Protocols\r\n") || len(lines(head.String(), "Set-Cookie")) != 2 ||
		strings.Join(lines(head.String(), "Connection"), "+") != "Upgrade" || strings.Join(lines(head.String(), "Upgrade"), "+") != "Echo" {
		t.Errorf("head %s", head.String())
	}
	expect := func(want string) {
		t.Helper()
		got := make([]byte, len(want))
		if _, err := io.ReadFull(br, got); err != nil || string(got) != want {
			t.Fatalf("got %q, want %q, %v", got, want, err)
		}
	}
	expect("helloearly")
	for _, s := range []string{"a", "longer", strings.Repeat("x", 100<<10)} {
		go io.WriteString(conn, s)
		expect(s)
	}
	// The client ends its direction; the backend sees that and ends its own.
	io.WriteString(conn, "last")
	conn.(*net.TCPConn).CloseWrite()
	rest, err := io.ReadAll(br)
	if string(rest) != "last" || err != nil {
		t.Errorf("after the half-close: %q %v", rest, err)
	}
	c := w.call()
	if c.Origin != tapway.OriginBackend || c.Error != "" {
		t.Errorf("%+v", c)
	}
	if noter.status.Load() != 101 || noter.header.Get("Upgrade") != "Echo" {
		t.Errorf("Upgraded was told %d %v", noter.status.Load(), noter.header)
	}
}

func TestUpgradeRefusedByBackend(t *testing.T) {
	w := newWorld(t, newWire(t, "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno").url, option{})
	res := w.raw("GET", upgradeRequest)
	if body, _ := io.ReadAll(res.Body); res.StatusCode != 426 || string(body) != "no" {
		t.Errorf("%d %q", res.StatusCode, body)
	}
}

func TestUpgradeToAnotherProtocol(t *testing.T) {
	w := newWorld(t, newWire(t, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n").url, option{})
	if res := w.raw("GET", upgradeRequest); res.StatusCode != 502 {
		t.Errorf("status %d", res.StatusCode)
	}
}

func TestUpgradeHasItsOwnTransport(t *testing.T) {
	wr := newEcho(t, "")
	own := &http.Transport{}
	t.Cleanup(own.CloseIdleConnections)
	b := &Backend{Upgrades: own, Transport: roundTripFunc(func(*http.Request) (*http.Response, error) {
		t.Error("the ordinary transport was asked")
		return nil, io.EOF
	})}
	w := newWorld(t, wr.url, option{backend: b})
	conn := w.dial()
	io.WriteString(conn, upgradeRequest+"x")
	br := bufio.NewReader(conn)
	if line, _ := br.ReadString('\n'); !strings.HasPrefix(line, "HTTP/1.1 101 ") {
		t.Fatalf("%q", line)
	}
	conn.(*net.TCPConn).CloseWrite() // earlier, net/http's server would take the client for gone
	if all, _ := io.ReadAll(br); !strings.HasSuffix(string(all), "\r\n\r\nx") {
		t.Errorf("%q", all)
	}
}

// A ResponseWriter that cannot be hijacked gets a page.
func TestUpgradeWithoutHijack(t *testing.T) {
	w := newWorld(t, newEcho(t, "").url, option{wrap: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(struct{ http.ResponseWriter }{rw}, r)
		})
	}})
	res := w.raw("GET", upgradeRequest)
	if body, _ := io.ReadAll(res.Body); res.StatusCode != 502 || string(body) != `{"message":"The connection cannot be upgraded here."}` || res.Header.Get("Upgrade") != "" {
		t.Errorf("%d %q", res.StatusCode, body)
	}
	if c := w.call(); c.Origin != tapway.OriginGateway || c.Error != "upgrade not possible here" {
		t.Errorf("%+v", c)
	}
}

func TestUpgradeEndsWithTheClient(t *testing.T) {
	w := newWorld(t, newEcho(t, "").url, option{})
	conn := w.dial()
	io.WriteString(conn, upgradeRequest)
	io.ReadFull(conn, make([]byte, 12))
	conn.Close()
	if c := w.call(); c.Origin != tapway.OriginBackend {
		t.Errorf("%+v", c)
	}
}

func TestUpgradeEndsWithTheServer(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	w := newWorld(t, newEcho(t, "").url, option{wrap: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { next.ServeHTTP(rw, r.WithContext(ctx)) })
	}})
	conn := w.dial()
	io.WriteString(conn, upgradeRequest)
	io.ReadFull(conn, make([]byte, 12))
	stop()
	if _, err := io.ReadAll(conn); err != nil {
		t.Error(err)
	}
	w.call()
}

// pipe is a net.Pipe end that can be half-closed: the other side reads EOF.
type pipe struct {
	net.Conn
	out *io.PipeWriter
	in  *io.PipeReader
}

func newPipe() (a, b *pipe) {
	ar, bw := io.Pipe()
	br, aw := io.Pipe()
	return &pipe{in: ar, out: aw}, &pipe{in: br, out: bw}
}

func (p *pipe) Read(b []byte) (int, error)  { return p.in.Read(b) }
func (p *pipe) Write(b []byte) (int, error) { return p.out.Write(b) }
func (p *pipe) CloseWrite() error           { return p.out.Close() }
func (p *pipe) Close() error                { p.out.Close(); return p.in.Close() }

// Half of a tunnel stays open while something moves through it, and no longer.
func TestHalfOpenTunnel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, clientEnd := newPipe()
		backend, backendEnd := newPipe()
		ended := make(chan time.Time, 1)
		start := time.Now()
		go func() {
			(&tunnel{client: clientEnd, buffered: bufio.NewReader(clientEnd), backend: backendEnd}).run()
			ended <- time.Now()
		}()
		client.CloseWrite()
		if _, err := backend.Read(make([]byte, 1)); err != io.EOF {
			t.Fatalf("the backend was not told: %v", err)
		}
		for range 3 {
			time.Sleep(halfOpenFor - time.Second)
			backend.Write([]byte("x"))
			if n, err := client.Read(make([]byte, 1)); n != 1 || err != nil {
				t.Fatalf("%d %v", n, err)
			}
		}
		took := (<-ended).Sub(start)
		if took < 4*halfOpenFor-3*time.Second || took > 5*halfOpenFor {
			t.Errorf("ended after %v", took)
		}
	})
}

// A side that cannot be half-closed ends the tunnel at once.
func TestTunnelWithoutHalfClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, clientEnd := newPipe()
		backend, backendEnd := newPipe()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			(&tunnel{client: clientEnd, buffered: bufio.NewReader(clientEnd), backend: struct{ io.ReadWriteCloser }{backendEnd}}).run()
		}()
		client.CloseWrite()
		<-ended
		if _, err := backend.Write([]byte("x")); err == nil {
			t.Error("the backend's side is still open")
		}
	})
}
