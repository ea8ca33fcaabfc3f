package access

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"time"
)

// Bodies reads the bodies of calls that prove themselves by what they send: it is all there and
// verified before the backend sees a byte of it, and then passed on byte for byte. Every other
// body streams.
type Bodies struct {
	Max   int64 // bytes of one; more are answered 413
	Total int64 // bytes of all that are held at once; while there is no room calls are answered 503
	State *State

	// Status is the status for an error of reading, 0 when it does not know; nil knows none.
	Status func(err error) int
}

var (
	bodyTooLarge = &Refusal{Status: http.StatusRequestEntityTooLarge, Type: "RequestTooLargeException", Body: `{"message":"Request Too Long"}`, Reason: "request body too large to be verified"}
	bodiesFull   = &Refusal{Status: http.StatusServiceUnavailable, Type: "ServiceUnavailableException", Body: unavailableBody, RetryAfter: time.Second, Reason: "no room for a request body to be verified"}
	bodyBroken   = &Refusal{Status: http.StatusBadRequest, Type: "BadRequestException", Body: `{"message":"Bad Request"}`, Reason: "request body could not be read"}
	bodySlow     = &Refusal{Status: http.StatusRequestTimeout, Type: "RequestTimeoutException", Body: `{"message":"Request Timeout"}`, Reason: "request body came too slowly"}
)

// firstPiece is how much of a body is made room for before any of it has come: memory goes by
// what a client sends, not by what it announces.
const firstPiece = 4 << 10

// read gives the body of a call. It may be asked for several times.
func (b *Bodies) read(r *Request) ([]byte, *Refusal) {
	in := r.HTTP
	switch {
	case r.bodyRead:
		return r.body, nil
	case in.Body == nil || in.Body == http.NoBody || in.ContentLength == 0:
		r.bodyRead = true
		return nil, nil
	case in.ContentLength > b.Max:
		return nil, bodyTooLarge
	}
	most := b.Max
	if in.ContentLength > 0 {
		most = in.ContentLength
	}
	r.bodies = b
	var buf []byte
	for began := time.Now(); ; {
		if len(buf) == cap(buf) {
			size := min(int64(max(2*cap(buf), firstPiece)), most+1) // the one more is for EOF
			if size <= int64(len(buf)) {
				return nil, bodyTooLarge
			}
			if !b.lend(r, size-int64(cap(buf))) {
				return nil, bodiesFull
			}
			buf = append(make([]byte, 0, size), buf...)
		}
		n, err := in.Body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if int64(len(buf)) > b.Max {
			return nil, bodyTooLarge
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, b.broken(err)
		}
		if tooSlow(len(buf), in.ContentLength, began) {
			return nil, bodySlow
		}
	}
	r.body, r.bodyRead = buf, true
	again := &replay{src: in.Body}
	again.Reset(buf)
	in.Body = again // the length and what follows the body stay what they were
	return buf, nil
}

// A body that is waited for has to come at some pace, or a client could hold its memory and its connection for hours with a
// byte now and then: slowRate bytes a second, when slowGrace is over.
const (
	slowRate  = 500
	slowGrace = 20 * time.Second
)

// tooSlow reports whether n bytes are too few for the time since began. length is that of all, below 0 if it is not known: what
// is there as a whole is never too late.
func tooSlow(n int, length int64, began time.Time) bool {
	beyond := time.Since(began) - slowGrace
	return beyond > 0 && int64(n) != length && float64(n) < slowRate*beyond.Seconds()
}

// paced is a body that is waited for until it is off.
type paced struct {
	io.ReadCloser
	length int64 // below 0: it is not known
	began  time.Time
	n      int
	off    bool
}

func (p *paced) Read(b []byte) (int, error) {
	n, err := p.ReadCloser.Read(b)
	if p.n += n; err == nil && !p.off && tooSlow(p.n, p.length, p.began) {
		err = os.ErrDeadlineExceeded
	}
	return n, err
}

func (b *Bodies) broken(err error) *Refusal {
	status := 0
	if b.Status != nil {
		status = b.Status(err)
	}
	var timeout interface{ Timeout() bool }
	switch {
	case status == http.StatusRequestEntityTooLarge:
		return bodyTooLarge
	case status == http.StatusRequestTimeout || status == 0 && errors.As(err, &timeout) && timeout.Timeout():
		return bodySlow
	}
	return bodyBroken
}

func (b *Bodies) lend(r *Request, n int64) bool {
	if r.Dry {
		return true
	}
	if b.State.bodies.Add(n) > b.Total {
		b.State.bodies.Add(-n)
		return false
	}
	r.held += n
	return true
}

// giveBack ends the loan of a body's memory.
func (r *Request) giveBack() {
	if r.held > 0 {
		r.bodies.State.bodies.Add(-r.held)
		r.held = 0
	}
}

// replay is a body that has been read, to be read again.
type replay struct {
	bytes.Reader
	src io.Closer
}

func (r *replay) Close() error { return r.src.Close() }
