package proxy

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	copySize = 32 << 10

	// lateAfter is how long bytes of a response may wait in the server's buffers for more.
	lateAfter = 2 * time.Millisecond
)

var copyBuffers = sync.Pool{New: func() any { return new([copySize]byte) }}

var errResponseTooLarge = errors.New("proxy: the response is larger than the backend's limit")

// respond passes the backend's response on.
func (p *pass) respond(res *http.Response) {
	if res.StatusCode < 200 || res.StatusCode > 999 {
		p.fail(malformedResponse("a status that ends nothing, " + strconv.Itoa(res.StatusCode)))
		return
	}
	bodyless := noBody(res.StatusCode)
	if mapping := p.hop.Response; mapping != nil {
		status, ok := mapping(res.StatusCode, res.Header)
		if !ok || status < 200 || status > 999 {
			p.logFailure(unmapped.status, unmapped.reason, errors.New("proxy: no mapping for the backend's status "+strconv.Itoa(res.StatusCode)))
			p.answer(unmapped)
			return
		}
		if noBody(res.StatusCode) && !noBody(status) {
			delete(res.Header, "Content-Length") // of the body it would have had
		}
		res.StatusCode = status
	}
	bodyless = bodyless || noBody(res.StatusCode) || p.in.Method == http.MethodHead
	if limit := p.hop.Backend.MaxResponse; limit > 0 && res.ContentLength > limit && !bodyless {
		p.logFailure(responseTooLarge.status, responseTooLarge.reason, errResponseTooLarge)
		p.answer(responseTooLarge)
		return
	}
	if bodyless || res.ContentLength == 0 && len(res.Trailer) == 0 {
		p.head(res, bodyless)
		return
	}
	defer p.stopLate()
	p.copyBody(res)
	p.copyTrailer(res)
	p.call.Backend = p.waited
}

// noBody reports whether a response with status never has a body (RFC 9112 §6.3).
func noBody(status int) bool {
	return status == http.StatusNoContent || status == http.StatusNotModified
}

// head sends the status and header.
func (p *pass) head(res *http.Response, bodyless bool) {
	h := p.w.Header()
	p.copyResponseHeader(h, res.Header)
	if _, ok := h["Content-Type"]; !ok {
		h["Content-Type"] = nil // net/http would guess one
	}
	if len(res.Trailer) > 0 {
		p.announceTrailer(h, res.Trailer)
	}
	switch {
	case res.StatusCode == http.StatusNoContent:
		delete(h, "Content-Length") // it must not have one (RFC 9110 §8.6), and clients wait for the bytes
	case bodyless:
	case res.ContentLength < 0 || len(res.Trailer) > 0 && p.in.ProtoMajor == 1:
		delete(h, "Content-Length") // in HTTP/1 only a chunked body can have trailers
	case len(h["Content-Length"]) != 1:
		h["Content-Length"] = p.room.one(strconv.FormatInt(res.ContentLength, 10))
	}
	p.call.Origin = originBackend
	p.sent = true
	p.passReason(res)
	p.w.WriteHeader(res.StatusCode)
}

// reasoner is a ResponseWriter that can send another reason phrase than a status usually has.
type reasoner interface {
	Reason(status int, phrase string)
}

// passReason sees to it that the client gets the backend's own words, which some show to people.
func (p *pass) passReason(res *http.Response) {
	const digits = 3
	if len(res.Status) > digits && res.Status[digits+1:] == http.StatusText(res.StatusCode) || p.in.ProtoMajor != 1 {
		return
	}
	if code, err := strconv.Atoi(res.Status[:min(digits, len(res.Status))]); err != nil || code != res.StatusCode {
		return // another status has been made of it
	}
	if w, ok := findWriter[reasoner](p.w); ok {
		w.Reason(res.StatusCode, strings.TrimPrefix(res.Status[digits:], " "))
	}
}

// copyBody streams the body. A body of known length is left to the server's buffers while
// it comes without a pause; any other is flushed after each read.
func (p *pass) copyBody(res *http.Response) {
	buf := copyBuffers.Get().(*[copySize]byte)
	defer copyBuffers.Put(buf)

	length, limit := res.ContentLength, p.hop.Backend.MaxResponse
	endless := isEndless(res.Header)
	if endless {
		p.endless()
	}
	flushEach := endless || length < 0
	switch {
	case endless:
		p.head(res, false)
		p.flush()
	case length < 0 || length > copySize:
		p.head(res, false)
		p.flushLate()
	default:
		p.headLate(res)
	}
	var total int64
	for {
		before := time.Now()
		n, err := res.Body.Read(buf[:])
		p.waited += time.Since(before)
		if n > 0 {
			total += int64(n)
			if limit > 0 && total > limit {
				p.abort(responseTooLarge.reason, errResponseTooLarge)
			}
			p.write(res, buf[:n])
		}
		if err != nil && err != io.EOF && total != length || err == io.EOF && length >= 0 && total < length {
			p.brokeOff(err)
			return
		}
		if err != nil {
			break
		}
		if flushEach {
			p.flush()
		} else if total < length {
			p.flushLate()
		}
	}
	p.stopLate()
	if !p.sent {
		p.head(res, false)
	}
}

// headLate lets the head of a short body wait a moment for its first bytes: it leaves in one
// packet with them, and a backend that breaks off here can still be answered for with a page.
func (p *pass) headLate(res *http.Response) {
	if b, ok := res.Body.(interface{ Buffered() int }); ok && b.Buffered() > 0 {
		return // they are here
	}
	p.late = &lateFlusher{w: p.w, armed: true, head: func() { p.head(res, false) }}
	p.late.mu.Lock()
	p.late.timer = time.AfterFunc(lateAfter, p.late.fire)
	p.late.mu.Unlock()
}

// brokeOff ends a response that did not come whole.
func (p *pass) brokeOff(err error) {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	p.stopLate()
	if p.sent {
		// What came is the client's, also what still waits in the server's buffers.
		_ = http.NewResponseController(p.w).Flush()
		p.cutShort(err)
	}
	p.call.Backend = p.waited
	p.fail(err)
}

// write sends bytes of the body, after the head if that is still to go.
func (p *pass) write(res *http.Response, b []byte) {
	if p.late != nil {
		p.late.mu.Lock()
		defer p.late.mu.Unlock()
	}
	if !p.sent {
		p.head(res, false)
		if p.late != nil {
			p.late.head = nil
		}
	}
	if _, err := p.w.Write(b); err != nil {
		p.abort(clientGone, err)
	}
}

func (p *pass) flush() {
	if p.late != nil {
		p.late.mu.Lock()
		defer p.late.mu.Unlock()
	}
	err := http.NewResponseController(p.w).Flush()
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		p.abort(clientGone, err)
	}
}

// isEndless reports whether a response has no natural end by its type.
func isEndless(h http.Header) bool {
	lines := h["Content-Type"]
	if len(lines) == 0 {
		return false
	}
	t := lines[0]
	return hasPrefixFold(t, "text/event-stream") || hasPrefixFold(t, "application/grpc") || hasPrefixFold(t, "multipart/x-mixed-replace")
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// announceTrailer names the trailers that follow (RFC 9110 §6.6.2).
func (p *pass) announceTrailer(h, trailer http.Header) {
	var names []string
	for name := range trailer {
		if !forbiddenTrailer(name) {
			names = append(names, name)
		}
	}
	if len(names) > 0 {
		h["Trailer"] = append(h["Trailer"], strings.Join(names, ", "))
	}
}

// copyTrailer passes on what followed the body, announced or not.
func (p *pass) copyTrailer(res *http.Response) {
	if len(res.Trailer) == 0 || !p.sent {
		return
	}
	p.stopLate()
	h := p.w.Header()
	announced := h["Trailer"]
	if len(announced) == 0 {
		p.flush() // or a server that still has the whole body gives it a length, and no trailers
	}
	for name, values := range res.Trailer {
		switch {
		case forbiddenTrailer(name) || len(values) == 0:
		case hasToken(announced, name):
			h[name] = values
		default:
			h[http.TrailerPrefix+name] = values
		}
	}
}

// lateFlusher flushes a response that has paused, from a timer's goroutine. Whoever uses
// the ResponseWriter meanwhile holds mu.
type lateFlusher struct {
	mu      sync.Mutex
	timer   *time.Timer
	armed   bool
	stopped bool
	w       http.ResponseWriter
	head    func() // sends the head if nobody has until the timer fires; nil: it is sent
}

// flushLate sees to it that what has been written leaves within lateAfter.
func (p *pass) flushLate() {
	f := p.late
	if f == nil {
		f = &lateFlusher{w: p.w, armed: true}
		p.late = f
		f.mu.Lock()
		f.timer = time.AfterFunc(lateAfter, f.fire)
		f.mu.Unlock()
		return
	}
	f.mu.Lock()
	if !f.armed && !f.stopped {
		f.armed = true
		f.timer.Reset(lateAfter)
	}
	f.mu.Unlock()
}

func (f *lateFlusher) fire() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed = false
	if !f.stopped {
		if f.head != nil {
			f.head()
			f.head = nil
		}
		// A client that is gone is noticed by the next write.
		_ = http.NewResponseController(f.w).Flush()
	}
}

// stopLate leaves the ResponseWriter to its own goroutine again.
func (p *pass) stopLate() {
	if f := p.late; f != nil {
		f.mu.Lock()
		f.stopped = true
		f.timer.Stop()
		f.mu.Unlock()
	}
}
