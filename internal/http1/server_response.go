package http1

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"sync"
	"time"
)

// serverResponse is what a handler writes to. It is used by one goroutine at a time, as
// everywhere in net/http; the body may be read by another one meanwhile.
type serverResponse struct {
	c      *serverConn
	ex     *serverExchange
	header http.Header     // nil until somebody asks for it
	out    *responseBuffer // nil once the response is over

	status   int // 0 until WriteHeader
	reasonOf int // the status that reason belongs to
	reason   string
	declared int64 // Content-Length by the handler; -1: none
	written  int64 // body bytes taken from the handler
	trailers []string
	err      error // of a write; nothing more is sent after it

	old      bool // HTTP/1.0
	isHead   bool
	keep     bool // the connection, as far as is known
	bodyless bool // no body follows the head
	chunked  bool
	sent     bool // the head is on its way
	hijacked bool
	answered bool // by Answer
	dated    bool // the handler has set Date, or forbidden it
	closes   bool // the handler has written Connection: close
}

// responseBuffer is what has not been written yet.
type responseBuffer struct {
	head []byte // status line and headers, then what frames the body
	body []byte
	tail []byte
	vec  net.Buffers
	arr  [4][]byte
}

const (
	smallBuffer = 4 << 10  // body bytes kept in any case
	largeBuffer = 32 << 10 // body bytes kept when their number has been declared
	mergeAtMost = 16 << 10 // what is copied together instead of being written piece by piece
)

var (
	smallBuffers = sync.Pool{New: func() any { return newResponseBuffer(smallBuffer) }}
	largeBuffers = sync.Pool{New: func() any { return newResponseBuffer(largeBuffer) }}
)

func newResponseBuffer(n int) *responseBuffer {
	return &responseBuffer{head: make([]byte, 0, 1<<10), body: make([]byte, 0, n)}
}

func (o *responseBuffer) free() {
	if cap(o.head) > 2*largeBuffer {
		return // a rare giant of a head
	}
	o.head, o.body, o.tail = o.head[:0], o.body[:0], o.tail[:0]
	if cap(o.body) == smallBuffer {
		smallBuffers.Put(o)
	} else {
		largeBuffers.Put(o)
	}
}

func (w *serverResponse) start(c *serverConn, ex *serverExchange) {
	w.c, w.ex = c, ex
	w.out = smallBuffers.Get().(*responseBuffer)
	w.declared = -1
	w.old = c.head.proto == "HTTP/1.0"
	w.isHead = c.head.method == http.MethodHead
	w.keep = c.head.keep
}

var errOver = errors.New("http1: the handler has returned")

// Header is the response's header. Changes after WriteHeader only matter for trailers.
func (w *serverResponse) Header() http.Header {
	if w.header == nil {
		w.header = make(http.Header, 8)
	}
	return w.header
}

// WriteHeader begins the response, or sends an informational one (1xx but 101) at once.
func (w *serverResponse) WriteHeader(code int) {
	switch {
	case code < 100 || code > 999:
		panic("http1: invalid status " + strconv.Itoa(code))
	case w.hijacked || w.out == nil:
		w.c.server.logger().Warn("WriteHeader after the response was over", "status", code)
		return
	case w.status != 0:
		w.c.server.logger().Warn("WriteHeader called twice", "first", w.status, "then", code)
		return
	case code < 200 && code != http.StatusSwitchingProtocols:
		w.sendInformational(code)
		return
	}
	w.status = code
	w.bodyless = w.isHead || !bodyAllowed(code)
	w.out.head = w.appendHead(w.out.head[:0], code)
	if w.declared > smallBuffer && w.declared <= largeBuffer && !w.bodyless {
		large := largeBuffers.Get().(*responseBuffer)
		large.head, w.out.head = w.out.head, large.head
		w.out.free()
		w.out = large
	}
}

func bodyAllowed(code int) bool {
	return code >= 200 && code != http.StatusNoContent && code != http.StatusNotModified
}

// sendInformational sends a 1xx response (RFC 9110 §15.2), which HTTP/1.0 does not know.
func (w *serverResponse) sendInformational(code int) {
	if w.old {
		return
	}
	if code == http.StatusContinue {
		if w.ex.body.expect.Swap(false) {
			w.sendContinue()
		}
		return
	}
	head := append(w.out.head[:0], statusLines(code)...)
	for name, values := range w.header {
		switch name {
		case "Content-Length", "Transfer-Encoding", "Trailer", "Connection":
			continue
		}
		for _, v := range values {
			head = appendField(head, name, v)
		}
	}
	head = append(head, "\r\n"...)
	w.c.writing.Lock()
	_, err := w.c.rwc.Write(head)
	w.c.writing.Unlock()
	w.out.head = head[:0]
	w.fail(err)
}

// sendContinue tells the client to send the body, unless the final response is on its way.
func (w *serverResponse) sendContinue() {
	w.c.writing.Lock()
	defer w.c.writing.Unlock()
	if !w.sent {
		io.WriteString(w.c.rwc, "HTTP/1.1 100 Continue\r\n\r\n") // what a failure means, the read behind it finds out
	}
}

func (w *serverResponse) fail(err error) {
	if err != nil && w.err == nil {
		w.err = err
		w.keep = false
		w.ex.ctx.Cancel()
	}
}

// appendHead adds what the handler says; what frames the body follows in frame.
func (w *serverResponse) appendHead(b []byte, code int) []byte {
	if w.reasonOf == code {
		b = append(strconv.AppendInt(append(b, "HTTP/1.1 "...), int64(code), 10), ' ')
		b = append(append(b, w.reason...), "\r\n"...)
	} else {
		b = append(b, statusLines(code)...)
	}
	if w.old {
		b[len("HTTP/1.")] = '0'
	}
	for name, values := range w.header {
		switch name {
		case "Content-Length":
			if len(values) > 0 && (bodyAllowed(code) || code == http.StatusNotModified) {
				if n, err := parseLength(values[0]); err == nil {
					w.declared = n
				}
			}
			continue
		case "Transfer-Encoding":
			continue
		case "Date":
			w.dated = true
		case "Connection":
			for _, v := range values {
				w.closes = w.closes || hasToken(v, "close")
			}
			w.keep = w.keep && !w.closes
		case "Trailer":
			if w.old || w.bodyless {
				continue
			}
			w.declareTrailers(values)
		default:
			if strings.HasPrefix(name, http.TrailerPrefix) {
				continue
			}
		}
		for _, v := range values {
			b = appendField(b, name, v)
		}
	}
	return b
}

func (w *serverResponse) declareTrailers(values []string) {
	for _, line := range values {
		for name := range strings.SplitSeq(line, ",") {
			name = textproto.CanonicalMIMEHeaderKey(strings.Trim(name, " \t"))
			if name != "" && !framing[name] {
				w.trailers = append(w.trailers, name)
			}
		}
	}
}

func hasToken(list, token string) bool {
	for t := range strings.SplitSeq(list, ",") {
		if strings.EqualFold(strings.Trim(t, " \t"), token) {
			return true
		}
	}
	return false
}

// frame completes the head with what frames the body. last says that the handler has
// returned and that all of the body is in the buffer.
func (w *serverResponse) frame(b []byte, last bool) []byte {
	switch {
	case w.status == http.StatusSwitchingProtocols:
		w.keep = false
	case w.declared >= 0:
		b = appendLength(b, w.declared)
	case w.bodyless:
		if w.isHead && last && w.written > 0 && bodyAllowed(w.status) {
			b = appendLength(b, w.written)
		}
	case last && (w.old || !w.hasTrailers()):
		b = appendLength(b, w.written)
	case w.old:
		w.keep = false
	default:
		w.chunked = true
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	}
	w.keep = w.keep && !w.c.server.closing.Load() && w.ex.body.mayBeReused(last)
	if !w.dated {
		b = append(b, w.c.server.dateLine()...)
	}
	switch {
	case !w.keep && !w.closes && w.status != http.StatusSwitchingProtocols:
		b = append(b, "Connection: close\r\n"...)
	case w.keep && w.old:
		b = append(b, "Connection: keep-alive\r\n"...)
	}
	return append(b, "\r\n"...)
}

func appendLength(b []byte, n int64) []byte {
	b = append(b, "Content-Length: "...)
	b = strconv.AppendInt(b, n, 10)
	return append(b, "\r\n"...)
}

func (w *serverResponse) hasTrailers() bool {
	if len(w.trailers) > 0 {
		return true
	}
	for name := range w.header {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			return true
		}
	}
	return false
}

// Write takes body bytes. Past the declared Content-Length it takes nothing and returns
// http.ErrContentLength.
func (w *serverResponse) Write(p []byte) (int, error) {
	ok, err := w.admit(len(p))
	if !ok {
		return 0, err
	}
	if !w.bodyless {
		if o := w.out; len(o.body)+len(p) <= cap(o.body) {
			o.body = append(o.body, p...)
		} else if err := w.overflow(p); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// WriteString is Write without the copy.
func (w *serverResponse) WriteString(s string) (int, error) {
	if w.out == nil || len(s) > cap(w.out.body)-len(w.out.body) {
		return w.Write([]byte(s))
	}
	ok, err := w.admit(len(s))
	if !ok {
		return 0, err
	}
	if !w.bodyless {
		w.out.body = append(w.out.body, s...)
	}
	return len(s), nil
}

// admit says whether n more body bytes may come, and counts them.
func (w *serverResponse) admit(n int) (bool, error) {
	switch {
	case w.hijacked:
		return false, http.ErrHijacked
	case w.out == nil:
		return false, errOver
	case w.err != nil:
		return false, w.err
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if n == 0 {
		return false, nil
	}
	if !bodyAllowed(w.status) {
		return false, http.ErrBodyNotAllowed
	}
	if w.declared >= 0 && w.written+int64(n) > w.declared {
		w.keep = false
		return false, http.ErrContentLength
	}
	w.written += int64(n)
	return true, nil
}

// overflow sends the buffer and p, which does not fit into it. The end of a body of declared
// length stays in the buffer: the client must not have all of it before the handler returns.
func (w *serverResponse) overflow(p []byte) error {
	hold := 0
	if w.written == w.declared {
		hold = min(len(p), smallBuffer)
	}
	if err := w.send(p[:len(p)-hold], false); err != nil {
		return err
	}
	w.out.body = append(w.out.body, p[len(p)-hold:]...)
	return nil
}

// send writes the head if that is still to be sent, the buffer and p. last also ends the body.
func (w *serverResponse) send(p []byte, last bool) error {
	if w.err != nil {
		return w.err
	}
	o := w.out
	if !w.sent {
		o.head = w.frame(o.head, last)
	}
	if w.chunked {
		if n := len(o.body) + len(p); n > 0 {
			o.head = append(strconv.AppendInt(o.head, int64(n), 16), "\r\n"...)
			o.tail = append(o.tail, "\r\n"...)
		}
		if last {
			o.tail = w.appendTrailers(append(o.tail, "0\r\n"...))
		}
	}
	w.c.writing.Lock()
	w.sent = true
	err := w.c.writeOut(o, p)
	w.c.writing.Unlock()
	o.head, o.body, o.tail = o.head[:0], o.body[:0], o.tail[:0]
	w.fail(err)
	return err
}

// writeOut writes head, body, p and tail of o with as few calls as it can.
func (c *serverConn) writeOut(o *responseBuffer, p []byte) error {
	total := len(o.head) + len(o.body) + len(p) + len(o.tail)
	switch {
	case total == 0:
		return nil
	case len(p) == 0 && len(o.body) <= smallBuffer || c.link.tcp == nil && total <= mergeAtMost:
		o.head = append(append(append(o.head, o.body...), p...), o.tail...)
		_, err := c.rwc.Write(o.head)
		return err
	}
	o.arr = [4][]byte{o.head, o.body, p, o.tail}
	o.vec = o.arr[:0]
	for _, piece := range o.arr {
		if len(piece) > 0 {
			o.vec = append(o.vec, piece)
		}
	}
	if c.link.tcp != nil && c.rwc == net.Conn(c.link) {
		err := c.link.writev(&o.vec)
		o.arr = [4][]byte{}
		return err
	}
	for _, piece := range o.vec {
		if _, err := c.rwc.Write(piece); err != nil {
			return err
		}
	}
	o.arr = [4][]byte{}
	return nil
}

func (w *serverResponse) appendTrailers(b []byte) []byte {
	for _, name := range w.trailers {
		for _, v := range w.header[name] {
			b = appendField(b, name, v)
		}
	}
	for name, values := range w.header {
		name, ok := strings.CutPrefix(name, http.TrailerPrefix)
		if !ok || framing[name] {
			continue
		}
		for _, v := range values {
			b = appendField(b, name, v)
		}
	}
	return append(b, "\r\n"...)
}

// finish sends what is left when the handler has returned.
func (w *serverResponse) finish() {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if !w.bodyless && w.declared >= 0 && w.written != w.declared {
		w.keep = false // the client must not take it for complete
	}
	w.send(nil, true) // an error stays in w.err
	w.drop()
}

// drop gives the buffers back.
func (w *serverResponse) drop() {
	if w.out != nil {
		w.out.free()
		w.out = nil
	}
}

// Flush sends all that has been written.
func (w *serverResponse) Flush() { w.FlushError() } // whoever wants the error calls FlushError

// FlushError sends all that has been written, the last byte of a declared length included.
func (w *serverResponse) FlushError() error {
	switch {
	case w.hijacked:
		return http.ErrHijacked
	case w.out == nil:
		return errOver
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	return w.send(nil, false)
}

var copyBuffers = sync.Pool{New: func() any { return new([largeBuffer]byte) }}

// ReadFrom copies from r without a buffer of the caller's.
func (w *serverResponse) ReadFrom(r io.Reader) (int64, error) {
	buf := copyBuffers.Get().(*[largeBuffer]byte)
	defer copyBuffers.Put(buf)
	var total int64
	for {
		n, err := r.Read(buf[:])
		if n > 0 {
			m, werr := w.Write(buf[:n])
			total += int64(m)
			if werr != nil {
				return total, werr
			}
		}
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

// SetReadDeadline limits reads of the request's body until the handler returns.
func (w *serverResponse) SetReadDeadline(t time.Time) error {
	w.c.userDeadline = true
	return w.c.rwc.SetReadDeadline(t)
}

// SetWriteDeadline limits writes until the response has been sent.
func (w *serverResponse) SetWriteDeadline(t time.Time) error {
	w.c.userDeadline = true
	return w.c.rwc.SetWriteDeadline(t)
}

// EnableFullDuplex does nothing: reading and writing always may overlap.
func (w *serverResponse) EnableFullDuplex() error { return nil }

// Hijack hands the connection over, without deadlines, to the handler, who closes it. What
// has been written so far is sent before; the reader holds what the client has sent already.
func (w *serverResponse) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c := w.c
	switch {
	case w.hijacked:
		return nil, nil, http.ErrHijacked
	case w.out == nil:
		return nil, nil, errOver
	}
	if w.status != 0 {
		if err := w.send(nil, false); err != nil { // usually a 101
			return nil, nil, err
		}
	}
	c.endWatch()
	if c.phase.load()&phaseKind == phaseExpired {
		return nil, nil, errors.New("http1: the connection has been given up")
	}
	w.hijacked = true
	if body := &w.ex.body; body.present {
		body.stop()
		body.mu.Unlock()
	}
	c.detach()
	c.link.giveUp()
	w.drop()
	if c.pushed {
		c.br.Peek(c.br.Buffered() + 1) // so that Buffered counts the byte; a full buffer gets it later
	}
	conn := c.link.Conn
	if c.secure != nil {
		conn = c.secure
	}
	return conn, bufio.NewReadWriter(c.br, bufio.NewWriter(conn)), nil
}

// appendField adds a header line. A name that is no token is left out; a CR, LF or NUL in a
// value becomes a space: no value can start a new line.
func appendField(b []byte, name, v string) []byte {
	if !validName(name) {
		return b
	}
	b = append(b, name...)
	b = append(b, ": "...)
	from := len(b)
	b = append(b, v...)
	for i := from; i < len(b); i++ {
		if c := b[i]; c == '\r' || c == '\n' || c == 0 {
			b[i] = ' '
		}
	}
	return append(b, "\r\n"...)
}

// statusLines is statusLine without the allocation, for the codes that have a name.
func statusLines(code int) string {
	if code < len(knownStatusLines) && knownStatusLines[code] != "" {
		return knownStatusLines[code]
	}
	return statusLine(code)
}

var knownStatusLines = func() (t [600]string) {
	for code := range t {
		if http.StatusText(code) != "" {
			t[code] = statusLine(code)
		}
	}
	return t
}()
