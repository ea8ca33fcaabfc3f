package capture

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

// Upgraded notes the head of a response that the handler is about to write on the hijacked
// connection itself.
func (r *response) Upgraded(status int, header http.Header) {
	if r.over || r.wroteHeader || r.tunnel != nil {
		return
	}
	r.status = status
	r.takeHeader(header)
}

// Hijack hands out the connection and counts what passes it until the handler returns. The
// reader and writer go through the counted connection too.
func (r *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if r.over {
		return nil, nil, errOver
	}
	if r.tunnel != nil {
		return nil, nil, http.ErrHijacked
	}
	conn, rw, err := http.NewResponseController(r.w).Hijack()
	if err != nil {
		return nil, nil, err
	}
	t := &tunnel{Conn: conn}
	if n := rw.Reader.Buffered(); n > 0 {
		t.early = io.LimitReader(rw.Reader, int64(n))
	}
	r.tunnel = t
	return t, bufio.NewReadWriter(bufio.NewReader(t), bufio.NewWriter(t)), nil
}

// tunnel is a hijacked connection that counts: all bytes from the client, and to it those
// behind the response's head, which the handler writes on the connection.
type tunnel struct {
	net.Conn
	early io.Reader // what the server had read already; nil if nothing. Only Read touches it.

	in, out atomic.Int64
	body    atomic.Bool // the head is out
	mu      sync.Mutex  // guards ends
	ends    int         // how many bytes of the blank line behind the head were seen
}

func (t *tunnel) Read(p []byte) (n int, err error) {
	if t.early != nil {
		if n, err = t.early.Read(p); err == io.EOF {
			t.early = nil
			n, err = t.Conn.Read(p)
		}
	} else {
		n, err = t.Conn.Read(p)
	}
	t.in.Add(int64(n))
	return n, err
}

func (t *tunnel) Write(p []byte) (int, error) {
	n, err := t.Conn.Write(p)
	if t.body.Load() {
		t.out.Add(int64(n))
	} else {
		t.out.Add(int64(t.behindHead(p[:n])))
	}
	return n, err
}

// behindHead follows the head to its blank line and tells how much of p lies behind it.
func (t *tunnel) behindHead(p []byte) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	const blank = "\r\n\r\n"
	for i, c := range p {
		if t.ends == len(blank) {
			return len(p) - i
		}
		switch c {
		case blank[t.ends]:
			t.ends++
		case '\r':
			t.ends = 1
		default:
			t.ends = 0
		}
		if t.ends == len(blank) {
			t.body.Store(true)
		}
	}
	return 0
}

// CloseWrite ends the direction to the client, where the connection can do that.
func (t *tunnel) CloseWrite() error {
	if c, ok := t.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return errors.ErrUnsupported
}
