package capture

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/tapway/tapway"
)

const (
	// maxTail is how much of a response's end waits for the commit. One byte would do; more
	// spares small responses a second write.
	maxTail = 512

	// maxHold is how much of a response Recorder.Refuse holds back.
	maxHold = 1 << 20

	// maxHead is how much of a body that a HEAD handler writes is kept for the server to see: it
	// makes a Content-Length of a body that fits its own buffer.
	maxHead = 2 << 10
)

var errOver = errors.New("capture: the response was used after its handler had returned")

// response is the ResponseWriter that next gets. It tees, and keeps back what would complete
// the response: the last bytes when the length is known, the head when that is all.
type response struct {
	call *call
	w    http.ResponseWriter

	wroteHeader bool
	status      int
	length      int64 // declared; -1 if it is not
	written     int64 // body bytes accepted
	headOnly    bool  // complete by its head: HEAD, 204, 304, Content-Length 0
	flowing     bool  // no longer held back whole for Recorder.Refuse
	failed      bool  // a write to the client failed
	over        bool  // the handler has returned
	answered    bool  // by Answer: the server has all of it, and sends it when the handler has returned

	lateHead http.Header   // the head when it is held back; nil when it is not, or is no longer
	held     []byte        // the body's bytes that are held back; a little of it lies in scratch.tail
	reserved int64         // of Recorder.memory, for held
	tunnel   *tunnel       // after Hijack
	blocked  time.Duration // spent waiting for the client
}

func (r *response) Header() http.Header { return r.w.Header() }

// Unwrap is for http.ResponseController.
func (r *response) Unwrap() http.ResponseWriter { return r.w }

func (r *response) WriteHeader(status int) {
	if r.over || r.wroteHeader || r.tunnel != nil {
		return
	}
	if status < 200 && status != http.StatusSwitchingProtocols || status > 999 {
		r.w.WriteHeader(status) // informational, or the server's to panic about
		return
	}
	h := r.w.Header()
	r.wroteHeader, r.status, r.length = true, status, -1
	r.takeHeader(h)
	if v := h["Content-Length"]; len(v) == 1 {
		if n, err := strconv.ParseInt(v[0], 10, 64); err == nil && n >= 0 {
			r.length = n
		}
	}
	r.headOnly = r.length == 0 || r.isHEAD() || r.bodyless()
	r.flowing = !r.call.rec.Refuse || isEventStream(h)
	if status != http.StatusSwitchingProtocols && (r.headOnly || !r.flowing) {
		r.lateHead = h.Clone()
		return
	}
	r.w.WriteHeader(status)
}

// Answer makes a whole response of header names and values in turn and a body, if the server can do
// that and keeps it until the handler has returned, and so until the exchange is stored. False says
// that nothing was done. Nobody may keep the request, its context or its Call after it: all of them
// are used again.
func (r *response) Answer(status int, header []string, body string) bool {
	server, ok := r.w.(interface {
		Answer(status int, header []string, body string) bool
	})
	if !ok || r.over || r.wroteHeader || r.tunnel != nil || r.call.rec.Refuse || !server.Answer(status, header, body) {
		return false
	}
	r.wroteHeader, r.answered, r.flowing, r.status = true, true, true, status
	r.length, r.written = int64(len(body)), int64(len(body))
	fields := r.call.ex.ResponseHeader[:0]
	for i := 0; i+1 < len(header); i += 2 {
		fields = append(fields, tapway.Field{Name: header[i], Value: header[i+1]})
	}
	r.call.ex.ResponseHeader = append(fields, tapway.Field{Name: "Content-Length", Value: strconv.Itoa(len(body))})
	r.call.answer.add(unsafe.Slice(unsafe.StringData(body), len(body))) // it copies
	return true
}

func (r *response) isHEAD() bool { return r.call.in.Method == http.MethodHead }

// bodyless reports whether the status allows no body (RFC 9110 §6.4.1).
func (r *response) bodyless() bool {
	return r.status == http.StatusNoContent || r.status == http.StatusNotModified || r.status == http.StatusSwitchingProtocols
}

// short reports whether less was written than was declared.
func (r *response) short() bool { return r.length > r.written && !r.headOnly }

// cutShort reports whether the body ended before its end. An event stream has none: it ends when one of both has enough.
func (r *response) cutShort(returned bool) bool {
	if !r.wroteHeader || r.headOnly || r.length >= 0 {
		return r.wroteHeader && r.short()
	}
	return !returned && !isEventStream(r.w.Header())
}

func isEventStream(h http.Header) bool {
	v := h["Content-Type"]
	return len(v) > 0 && len(v[0]) >= 17 && strings.EqualFold(v[0][:17], "text/event-stream")
}

// takeHeader notes the header as it is now, without what net/http sends as trailers.
func (r *response) takeHeader(h http.Header) {
	fields := r.call.ex.ResponseHeader[:0]
	for name, values := range h {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			continue
		}
		for _, v := range values {
			fields = append(fields, tapway.Field{Name: name, Value: v})
		}
	}
	r.call.ex.ResponseHeader = fields
}

// takeTrailer notes what the handler has set as trailers, announced or prefixed.
func (r *response) takeTrailer() {
	h, ex := r.w.Header(), &r.call.ex
	for _, line := range h["Trailer"] {
		for name := range strings.SplitSeq(line, ",") {
			name = http.CanonicalHeaderKey(strings.TrimSpace(name))
			for _, v := range h[name] {
				ex.ResponseTrailer = append(ex.ResponseTrailer, tapway.Field{Name: name, Value: v})
			}
		}
	}
	for name, values := range h {
		if bare, ok := strings.CutPrefix(name, http.TrailerPrefix); ok {
			for _, v := range values {
				ex.ResponseTrailer = append(ex.ResponseTrailer, tapway.Field{Name: bare, Value: v})
			}
		}
	}
}

func (r *response) Write(p []byte) (int, error) {
	switch {
	case r.over:
		return 0, errOver
	case r.tunnel != nil:
		return 0, http.ErrHijacked
	case !r.wroteHeader:
		r.WriteHeader(http.StatusOK)
	}
	switch {
	case len(p) == 0:
		return 0, nil
	case r.bodyless():
		return 0, http.ErrBodyNotAllowed
	case r.isHEAD():
		return r.writeHEAD(p)
	case r.length >= 0 && int64(len(p)) > r.length-r.written:
		return 0, http.ErrContentLength
	}
	n, err := r.pass(p)
	r.written += int64(n)
	r.call.answer.add(p[:n])
	return n, err
}

// writeHEAD keeps a short body for the server, which sends its length and nothing else. Of a
// longer one no part may remain: its length would be wrong.
func (r *response) writeHEAD(p []byte) (int, error) {
	if r.written += int64(len(p)); r.written <= maxHead {
		r.held = append(r.held, p...)
	} else {
		r.held = nil
	}
	return len(p), nil
}

func (r *response) WriteString(s string) (int, error) {
	return r.Write(unsafe.Slice(unsafe.StringData(s), len(s))) // Write neither keeps nor changes it
}

// ReadFrom keeps io.Copy from making a buffer of its own. Every read is passed on at once.
func (r *response) ReadFrom(src io.Reader) (total int64, err error) {
	buf := copyBuffers.Get().(*[copySize]byte)
	defer copyBuffers.Put(buf)
	for {
		n, rerr := src.Read(buf[:])
		if n > 0 {
			written, werr := r.Write(buf[:n])
			total += int64(written)
			if werr != nil {
				return total, werr
			}
		}
		if rerr == io.EOF {
			return total, nil
		}
		if rerr != nil {
			return total, rerr
		}
	}
}

// pass sends p on, except for what is held back.
func (r *response) pass(p []byte) (int, error) {
	if !r.flowing {
		if r.hold(p) {
			return len(p), nil
		}
		r.flowing = true
		if err := r.sendHeld(); err != nil {
			return 0, err
		}
	}
	keep := 0
	if r.length >= 0 && r.written+int64(len(p)) == r.length {
		keep = min(len(p), maxTail)
	}
	now := p[:len(p)-keep]
	if len(now) > 0 {
		if n, err := r.send(now); err != nil {
			return n, err
		}
	}
	if keep > 0 {
		r.held = append(r.call.tail[:0], p[len(now):]...)
	}
	return len(p), nil
}

// hold keeps p back for Recorder.Refuse, while there is room.
func (r *response) hold(p []byte) bool {
	need := len(r.held) + len(p)
	if need > maxHold {
		return false
	}
	if need > cap(r.held) {
		size := max(need, 2*cap(r.held), 4<<10)
		if !r.call.rec.reserve(int64(size)) {
			return false
		}
		r.call.rec.release(r.reserved)
		r.reserved = int64(size)
		r.held = append(make([]byte, 0, size), r.held...)
	}
	r.held = append(r.held, p...)
	return true
}

// sendHeld sends what was held back. The header map is put back as the handler knows it: it
// may hold trailers by now.
func (r *response) sendHeld() error {
	if r.lateHead != nil {
		h := r.w.Header()
		current := h.Clone()
		replace(h, r.lateHead)
		r.lateHead = nil
		r.w.WriteHeader(r.status)
		replace(h, current)
	}
	held := r.held
	r.held = nil
	r.call.rec.release(r.reserved)
	r.reserved = 0
	if len(held) == 0 {
		return nil
	}
	_, err := r.send(held)
	return err
}

func replace(h, with http.Header) {
	clear(h)
	for name, values := range with {
		h[name] = values
	}
}

// send writes to the server and notes how long that took: it is the client's time.
func (r *response) send(p []byte) (int, error) {
	start := r.call.since()
	n, err := r.w.Write(p)
	r.blocked += r.call.since() - start
	r.failed = r.failed || err != nil
	return n, err
}

// Flush is FlushError for those who do not ask.
func (r *response) Flush() { _ = r.FlushError() }

// FlushError flushes what was passed on. What is held back stays, a held head included.
func (r *response) FlushError() error {
	switch {
	case r.over:
		return errOver
	case r.tunnel != nil:
		return http.ErrHijacked
	case !r.wroteHeader:
		r.WriteHeader(http.StatusOK)
	}
	if r.lateHead != nil || r.answered {
		return nil
	}
	start := r.call.since()
	err := http.NewResponseController(r.w).Flush()
	r.blocked += r.call.since() - start
	r.failed = r.failed || err != nil && !errors.Is(err, http.ErrNotSupported)
	return err
}

// refuse answers 503 in place of a response of which nothing was sent, and breaks any other off.
func (r *response) refuse() {
	if r.lateHead == nil {
		panic(http.ErrAbortHandler)
	}
	const message = `{"message":"Service Unavailable"}`
	h := r.w.Header()
	clear(h)
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(message)))
	r.w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = io.WriteString(r.w, message) // a client that is gone needs no answer
}
