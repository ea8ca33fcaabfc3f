package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
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
	passed int64

	from, to *http.Request // trailers go from one to the other at the end; to is nil without

	problem atomic.Uint32
	waited  atomic.Int64 // nanoseconds blocked on the client
	closed  atomic.Bool
}

func (b *requestBody) Read(buf []byte) (int, error) {
	if b.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	start := time.Now()
	n, err := b.src.Read(buf)
	b.waited.Add(int64(time.Since(start)))
	b.passed += int64(n)
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

// Close ends the reading and leaves the body itself to the server, which knows whether
// the connection can be used again.
func (b *requestBody) Close() error {
	b.closed.Store(true)
	return nil
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
	switch {
	case errors.As(err, &tooLarge):
		return bodyTooLarge
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
