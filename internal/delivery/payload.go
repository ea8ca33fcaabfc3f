package delivery

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
)

// maxPooled keeps buffers that one huge record has grown out of the pool. A batch of a hundred
// ordinary records is to fit.
const maxPooled = 4 << 20

// payload is a pooled buffer of encoded records. A transport may go on reading a request's
// body after RoundTrip has returned, so the buffer goes back to the pool when the last
// reader has been closed, not when the attempt is over.
type payload struct {
	buf  []byte
	refs atomic.Int32
}

var payloads = sync.Pool{New: func() any { return new(payload) }}

func newPayload() *payload {
	p := payloads.Get().(*payload)
	p.refs.Store(1)
	return p
}

func (p *payload) release() {
	if p.refs.Add(-1) != 0 || cap(p.buf) > maxPooled {
		return
	}
	p.buf = p.buf[:0]
	payloads.Put(p)
}

// text is one request's body in three parts, so that a batch can be cut in two without
// being encoded again.
type text struct {
	prefix string
	middle []byte // part of a payload
	suffix string
}

func (t *text) len() int { return len(t.prefix) + len(t.middle) + len(t.suffix) }

var errBodyClosed = errors.New("read of a closed request body")

// body reads a text. Close may come while another goroutine reads: net/http does that when
// a request is cancelled.
type body struct {
	mu    sync.Mutex
	owner *payload // nil once closed
	left  text
}

func (p *payload) open(t text) *body {
	p.refs.Add(1)
	return &body{owner: p, left: t}
}

func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.owner == nil {
		return 0, errBodyClosed
	}
	n := copy(p, b.left.prefix)
	b.left.prefix = b.left.prefix[n:]
	m := copy(p[n:], b.left.middle)
	b.left.middle = b.left.middle[m:]
	k := copy(p[n+m:], b.left.suffix)
	b.left.suffix = b.left.suffix[k:]
	if n+m+k == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n + m + k, nil
}

func (b *body) Close() error {
	b.mu.Lock()
	owner := b.owner
	b.owner, b.left = nil, text{}
	b.mu.Unlock()
	if owner != nil {
		owner.release()
	}
	return nil
}
