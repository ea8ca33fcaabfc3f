package http1

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// serverBody is a request's body. It may be read while the response is written, also by
// another goroutine than the handler's. Close lets no more reads begin and never blocks; what
// is left of the body is dealt with after the handler.
type serverBody struct {
	present bool
	expect  atomic.Bool // the client waits for 100 Continue before it sends
	closed  atomic.Bool

	mu     sync.Mutex // held while reading
	c      *serverConn
	ex     *serverExchange
	left   int64 // of a body with a Content-Length
	chunks *chunkedReader
	err    error // io.EOF at the end; what a Read got stays
}

func (b *serverBody) start(c *serverConn, h *requestHead) io.ReadCloser {
	b.present, b.c, b.left = true, c, h.length
	b.expect.Store(h.expect)
	return b
}

func (b *serverBody) startChunked(c *serverConn, h *requestHead) io.ReadCloser {
	b.present, b.c, b.left = true, c, -1
	b.chunks = &chunkedReader{br: c.br, strict: true, trailer: h.trailer}
	b.expect.Store(h.expect)
	return b
}

// Read returns a *ProtocolError when the body is malformed or stops coming.
func (b *serverBody) Read(p []byte) (int, error) {
	if b.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	return b.read(p)
}

func (b *serverBody) read(p []byte) (n int, err error) {
	if b.err != nil {
		return 0, b.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	if b.expect.Load() && b.expect.Swap(false) {
		b.ex.res.sendContinue()
	}
	if b.left >= 0 {
		if int64(len(p)) > b.left {
			p = p[:b.left]
		}
		n, err = b.c.br.Read(p)
		b.left -= int64(n)
		switch {
		case b.left == 0:
			err = io.EOF
		case err == io.EOF:
			err = io.ErrUnexpectedEOF
		}
	} else {
		n, err = b.chunks.Read(p)
	}
	if err != nil {
		b.end(&err)
	}
	return n, err
}

// Buffered is how many bytes a Read would not have to wait for. It is for whoever has the body and no Read under way.
func (b *serverBody) Buffered() int { return b.c.br.Buffered() }

// end notes how the body ended.
func (b *serverBody) end(err *error) {
	switch {
	case *err == io.EOF:
		if b.c.phase.enter(phaseQuiet) {
			b.c.wakeIfAsleep()
		}
	case b.c.phase.load()&phaseKind == phaseExpired && errors.Is(*err, os.ErrDeadlineExceeded):
		*err = &ProtocolError{http.StatusRequestTimeout, "the body stopped coming"}
	case isTimeout(*err): // a deadline of the handler's: the client is not gone
	default:
		if _, ok := errors.AsType[*ProtocolError](*err); !ok {
			b.ex.ctx.Cancel() // the client left
		}
	}
	b.err = *err
}

// Close makes later reads fail with http.ErrBodyReadAfterClose.
func (b *serverBody) Close() error {
	b.closed.Store(true)
	return nil
}

const (
	drainAtMost = 256 << 10              // of a body the handler did not read, to keep the connection
	drainFor    = 100 * time.Millisecond // waiting for it
)

// mayBeReused says, before the response's head goes out, whether finish has a chance. last says
// that the handler has returned.
func (b *serverBody) mayBeReused(last bool) bool {
	if !b.present {
		return true
	}
	if b.expect.Load() {
		return false // whether the client sends the body now is for it to choose
	}
	if !b.mu.TryLock() {
		return !last // finish will have to break off the Read that is under way
	}
	defer b.mu.Unlock()
	switch {
	case b.err != nil:
		return b.err == io.EOF
	case b.left >= 0:
		return b.left <= drainAtMost
	}
	// Of a chunked body nobody knows what is left, unless all of it has come already. To keep
	// the connection and then close it would break the client's next request.
	buffered, _ := b.c.br.Peek(b.c.br.Buffered())
	ahead := *b.chunks
	ahead.br, ahead.trailer, ahead.onEnd = bufio.NewReader(bytes.NewReader(buffered)), nil, nil
	_, err := io.Copy(io.Discard, &ahead)
	return err == nil
}

// finish is called when the response has been sent. It reads what is left if that is little
// and comes soon, and reports whether a next request can follow on the connection.
func (b *serverBody) finish() bool {
	if !b.present {
		return true
	}
	b.stop()
	defer b.mu.Unlock()
	if b.err == nil && !b.expect.Load() && b.left <= drainAtMost && b.ex.res.keep && !b.discard() {
		b.c.inBody = true
		b.drain()
		b.c.inBody = false
	}
	reusable := b.err == io.EOF
	if b.err == nil {
		b.err = http.ErrBodyReadAfterClose
	}
	return reusable
}

// stop lets no more reads begin, ends the one that another goroutine may be waiting in, and
// returns with mu held: the connection belongs to the caller.
func (b *serverBody) stop() {
	b.closed.Store(true)
	if !b.mu.TryLock() {
		b.c.link.SetReadDeadline(longAgo)
		b.mu.Lock()
		b.c.link.SetReadDeadline(time.Time{})
		if b.err == nil {
			b.err = http.ErrBodyReadAfterClose // it got some bytes in time: nobody knows which are left
		}
	}
	b.c.inBody = false
}

// discard throws away a body of known length that has come already, as that of a small call that
// was refused: no deadline is set, because nothing is waited for. It reports whether it did.
func (b *serverBody) discard() bool {
	if b.left < 0 || b.left > int64(b.c.br.Buffered()) {
		return false
	}
	b.c.br.Discard(int(b.left)) // it cannot fail: all of it is there
	b.left, b.err = 0, io.EOF
	return true
}

func (b *serverBody) drain() {
	b.c.link.SetReadDeadline(time.Now().Add(drainFor))
	scrap := copyBuffers.Get().(*[largeBuffer]byte)
	for total := 0; b.err == nil && total <= drainAtMost; {
		n, _ := b.read(scrap[:])
		total += n
	}
	copyBuffers.Put(scrap)
	b.c.link.SetReadDeadline(time.Time{})
}
