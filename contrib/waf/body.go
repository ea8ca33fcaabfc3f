package waf

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"

	"github.com/tapway/tapway/internal/access"
)

var errNoRoom = errors.New("no room for the body; see body_memory")

// firstPiece is how much of a body is made room for before any of it has come: memory goes by
// what a client sends, not by what it announces.
const firstPiece = 4 << 10

// prefixed is a body of which the first bytes have been read already.
type prefixed struct {
	first []byte
	err   error // what reading ended with, after first
	rest  io.ReadCloser
	lent  atomic.Int64
}

func (b *prefixed) Read(p []byte) (int, error) {
	if len(b.first) > 0 {
		n := copy(p, b.first)
		b.first = b.first[n:]
		return n, nil
	}
	if b.err != nil {
		return 0, b.err
	}
	return b.rest.Read(p)
}

func (b *prefixed) Close() error { return b.rest.Close() }

// peek gives the first bytes of a call's body, at most one more than are inspected, and puts them
// back. A body that breaks off breaks off for the next stage, after the same bytes.
func (f *Firewall) peek(r *access.Request) ([]byte, error) {
	in := r.HTTP
	if f.config.MaxBody == 0 || in.Body == nil || in.Body == http.NoBody || in.ContentLength == 0 {
		return nil, nil
	}
	most := int64(f.config.MaxBody) + 1
	if in.ContentLength > 0 {
		most = min(most, in.ContentLength+1) // the one more is for EOF
	}
	b := &prefixed{rest: in.Body}
	in.Body = b // its length, and what follows the body, stay what they were
	var buf []byte
	for b.err == nil && int64(len(buf)) < most {
		if len(buf) == cap(buf) {
			size := min(int64(max(2*cap(buf), firstPiece)), most)
			if !f.lend(b, size-int64(cap(buf))) {
				b.first = buf
				return nil, errNoRoom
			}
			buf = append(make([]byte, 0, size), buf...)
		}
		var n int
		n, b.err = b.rest.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
	}
	b.first = buf
	return buf, nil
}

func (f *Firewall) lend(b *prefixed, n int64) bool {
	if f.held.Add(n) > int64(f.config.BodyMemory) {
		f.held.Add(-n)
		return false
	}
	b.lent.Add(n)
	return true
}
