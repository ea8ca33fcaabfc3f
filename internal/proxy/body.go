package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

var errRequestTooLarge = errors.New("proxy: request body is too large")

// What can be wrong with a request's body.
const (
	bodyFine uint32 = iota
	bodyTooLarge
	bodyMalformed
	bodySlow
	bodyGone // the client went away
)

// requestBody is the incoming body as the transport reads it, maybe on a goroutine of its
// own that outlives the round trip.
type requestBody struct {
	src    io.ReadCloser
	ctx    context.Context // of the client's call
	limit  int64           // 0 is none
	status func(error) int // Settings.BodyStatus
	passed int64

	from, to *http.Request // trailers go from one to the other at the end; to is nil without

	problem atomic.Uint32
	waited  atomic.Int64 // nanoseconds blocked on the client
	closed  atomic.Bool

	timer   *time.Timer // Backend.Timeout's, which begins anew when something has come; nil: there is none
	timeout time.Duration
	begun   time.Time // when it last did

	reading     atomic.Bool
	interrupted atomic.Bool
	mu          sync.Mutex
	over        bool // guarded by mu: the handler has ended, the connection is the server's again
	answered    bool // guarded by mu: the timer is of no use any more
}

func (b *requestBody) Read(buf []byte) (int, error) {
	if b.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	b.reading.Store(true)
	if b.interrupted.Load() {
		b.problem.CompareAndSwap(bodyFine, bodySlow)
		return 0, os.ErrDeadlineExceeded
	}
	start := time.Now()
	n, err := b.src.Read(buf)
	now := time.Now()
	b.waited.Add(int64(now.Sub(start)))
	b.reading.Store(false)
	b.passed += int64(n)
	if n > 0 && b.timer != nil {
		b.arrived(now)
	}
	if b.limit > 0 && b.passed > b.limit {
		b.problem.CompareAndSwap(bodyFine, bodyTooLarge)
		return 0, errRequestTooLarge
	}
	if err == io.EOF {
		b.trailers()
	} else if err != nil && !b.closed.Load() {
		b.problem.CompareAndSwap(bodyFine, b.classify(err))
	}
	return n, err
}

// watch makes the body begin a timer anew when some of it has come.
func (b *requestBody) watch(timer *time.Timer, timeout time.Duration, now time.Time) {
	b.timer, b.timeout, b.begun = timer, timeout, now
}

// arrived begins the timer anew, unless it was begun a moment ago or the call is over.
func (b *requestBody) arrived(now time.Time) {
	if now.Sub(b.begun) < b.timeout/64 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.over && !b.answered && b.timer.Stop() {
		b.timer.Reset(b.timeout)
		b.begun = now
	}
}

// Buffered is how many bytes a Read would not have to wait for, if the server tells.
func (b *requestBody) Buffered() int {
	if src, ok := b.src.(interface{ Buffered() int }); ok {
		return src.Buffered()
	}
	return 0
}

// Close ends the reading and leaves the body itself to the server, which knows whether
// the connection can be used again.
func (b *requestBody) Close() error {
	b.closed.Store(true)
	return nil
}

// interrupt ends a Read that waits for the client, and lets no other begin. The connection
// is of no use afterwards.
func (b *requestBody) interrupt(w http.ResponseWriter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over || b.src == nil { // without a body nothing is left in the connection
		return
	}
	b.interrupted.Store(true)
	if b.reading.Load() {
		b.problem.CompareAndSwap(bodyFine, bodySlow)
		// Where that is not supported, the server's own limits end the Read.
		_ = http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0))
	}
}

// unwatch stops the timer: the response has begun.
func (b *requestBody) unwatch() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answered = true
	b.timer.Stop()
}

// end is Close for the handler, which leaves the connection to the server.
func (b *requestBody) end() {
	b.closed.Store(true)
	b.mu.Lock()
	b.over = true
	b.mu.Unlock()
}

// trailers hands over what followed the body. The transport sends them after EOF.
func (b *requestBody) trailers() {
	if b.to == nil {
		return
	}
	for name, values := range b.from.Trailer {
		if !forbiddenTrailer(name) && len(values) > 0 {
			b.to.Trailer[name] = values
		}
	}
}

// classify says what an error of reading from the client means. Whatever is neither the
// connection's nor a deadline's is the reader's complaint about the framing.
func (b *requestBody) classify(err error) uint32 {
	var tooLarge *http.MaxBytesError
	var timeout interface{ Timeout() bool }
	var op *net.OpError
	if b.status != nil {
		switch b.status(err) {
		case http.StatusBadRequest:
			return bodyMalformed
		case http.StatusRequestTimeout:
			return bodySlow
		case http.StatusRequestEntityTooLarge:
			return bodyTooLarge
		}
	}
	switch {
	case errors.As(err, &tooLarge):
		return bodyTooLarge
	case b.interrupted.Load():
		return bodySlow // before the context: net/http takes any failed read for a client that left
	case b.ctx.Err() != nil:
		return bodyGone
	case errors.As(err, &timeout) && timeout.Timeout():
		return bodySlow
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed), errors.Is(err, io.ErrClosedPipe),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, http.ErrBodyReadAfterClose), errors.As(err, &op):
		return bodyGone
	}
	return bodyMalformed
}
