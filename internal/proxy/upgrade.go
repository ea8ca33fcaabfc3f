package proxy

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// halfOpenFor is how long one direction of a tunnel may stay silent after the other ended.
var halfOpenFor = 30 * time.Second

var errBadUpgrade error = malformedResponse("a switch to a protocol nobody asked for")

// Upgraded is what a ResponseWriter has that wants to know of a 101 response: its head goes
// out on the hijacked connection, past WriteHeader. It is called before Hijack.
type Upgraded interface {
	Upgraded(status int, header http.Header)
}

// switchProtocols joins client and backend until both directions have ended.
func (p *pass) switchProtocols(res *http.Response) {
	p.endless()
	backend, ok := res.Body.(io.ReadWriteCloser)
	if !ok || p.upgrade == nil || !sameProtocol(p.upgrade, res.Header["Upgrade"]) {
		p.fail(errBadUpgrade)
		return
	}
	h := p.w.Header()
	p.copyResponseHeader(h, res.Header)
	h["Connection"] = connectionUpgrade
	h["Upgrade"] = res.Header["Upgrade"]
	if u, ok := findWriter[Upgraded](p.w); ok {
		u.Upgraded(http.StatusSwitchingProtocols, h)
	}
	conn, rw, err := http.NewResponseController(p.w).Hijack()
	if err != nil {
		clear(h)
		p.logFailure(http.StatusBadGateway, "upgrade not possible here", err)
		p.answer(page{status: http.StatusBadGateway, message: "The connection cannot be upgraded here.", reason: "upgrade not possible here"})
		return
	}
	defer conn.Close()
	p.call.Origin = originBackend
	_ = conn.SetDeadline(time.Time{}) // the server's limits were for the request
	rw.WriteString("HTTP/1.1 101 Switching Protocols\r\n")
	spellWebSocket(h)
	h.Write(rw)
	rw.WriteString("\r\n")
	if err := rw.Flush(); err != nil {
		p.call.Error = clientGone
		return
	}
	t := &tunnel{client: conn, buffered: rw.Reader, backend: backend}
	stop := context.AfterFunc(p.in.Context(), t.close)
	defer stop()
	t.run()
}

// spellWebSocket writes the names of a handshake's headers as RFC 6455 has them, since there are clients
// and devices that look for them letter by letter. h is of no use but to be written afterwards.
func spellWebSocket(h http.Header) {
	const canonical, common = "Sec-Websocket-", "Sec-WebSocket-"
	for name, values := range h {
		if rest, ok := strings.CutPrefix(name, canonical); ok {
			delete(h, name)
			h[common+rest] = values
		}
	}
}

// sameProtocol reports whether the backend chose one of the protocols asked for.
func sameProtocol(asked, chosen []string) bool {
	if len(chosen) == 0 {
		return false
	}
	for _, line := range chosen {
		for one := range strings.SplitSeq(line, ",") {
			if !hasToken(asked, strings.Trim(one, " \t")) {
				return false
			}
		}
	}
	return true
}

// findWriter looks for a T in w and in what it wraps.
func findWriter[T any](w http.ResponseWriter) (found T, ok bool) {
	for {
		if found, ok = w.(T); ok {
			return found, true
		}
		inner, wraps := w.(interface{ Unwrap() http.ResponseWriter })
		if !wraps {
			return found, false
		}
		w = inner.Unwrap()
	}
}

// tunnel is two connections joined.
type tunnel struct {
	client   net.Conn
	buffered *bufio.Reader // what the server had read beyond the request
	backend  io.ReadWriteCloser

	moved atomic.Int64
	once  sync.Once
}

// run copies both ways. When one way ends, the other side is told by a half-close and may
// still send; if it cannot be told, or then stays silent, both connections are closed.
func (t *tunnel) run() {
	ended := make(chan bool, 2)
	go func() { ended <- t.toBackend() }()
	go func() { ended <- t.copy(t.client, t.backend) && closeWrite(t.client) }()
	if halfClosed := <-ended; !halfClosed {
		t.close()
	}
	watch := t.watch()
	<-ended
	watch.Stop()
	t.close()
}

// watch closes the tunnel once nothing has moved for halfOpenFor.
func (t *tunnel) watch() *time.Timer {
	var timer *time.Timer
	var mu sync.Mutex
	last := t.moved.Load()
	mu.Lock()
	defer mu.Unlock()
	timer = time.AfterFunc(halfOpenFor, func() {
		mu.Lock()
		defer mu.Unlock()
		if now := t.moved.Load(); now != last {
			last = now
			timer.Reset(halfOpenFor)
			return
		}
		t.close()
	})
	return timer
}

func (t *tunnel) toBackend() bool {
	if n := t.buffered.Buffered(); n > 0 {
		early, _ := t.buffered.Peek(n)
		if _, err := t.backend.Write(early); err != nil {
			return false
		}
		t.moved.Add(int64(n))
	}
	return t.copy(t.backend, t.client) && closeWrite(t.backend)
}

// copy moves bytes until src ends; it reports whether it ended in good order.
func (t *tunnel) copy(dst io.Writer, src io.Reader) bool {
	buf := copyBuffers.Get().(*[copySize]byte)
	defer copyBuffers.Put(buf)
	for {
		n, err := src.Read(buf[:])
		if n > 0 {
			if _, err := dst.Write(buf[:n]); err != nil {
				return false
			}
			t.moved.Add(int64(n))
		}
		if err != nil {
			return err == io.EOF
		}
	}
}

func (t *tunnel) close() {
	t.once.Do(func() {
		t.client.Close()
		t.backend.Close()
	})
}

// closeWrite ends one direction and reports whether that was possible.
func closeWrite(c any) bool {
	half, ok := c.(interface{ CloseWrite() error })
	return ok && half.CloseWrite() == nil
}
