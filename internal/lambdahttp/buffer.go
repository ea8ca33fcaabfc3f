package lambdahttp

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
	"unsafe"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/jsonstring"
)

var errOver = errors.New("lambdahttp: the response was used after its handler had returned")

const (
	// bodyRoom is what the reply's JSON has around the body.
	bodyRoom = len(`,"body":"","isBase64Encoded":false}`)

	// slack is kept free while it is not known whether a body goes on. A capture stores its record
	// before it lets go of the last 512 bytes, and the record says whether the reply fits; an
	// escaped byte takes six.
	slack = 6 * 512

	// maxPooled bounds the buffers that are kept.
	maxPooled = 1 << 20
)

// replies are buffers for replies.
var replies = sync.Pool{New: func() any { return new([]byte) }}

// writer is what buffered and streamed responses have in common.
type writer struct {
	call   *Call
	header http.Header
	status int    // 0 before WriteHeader
	head   []byte // the JSON up to the body, or the whole prelude
	length int64  // declared; -1 if it is not
	size   int64  // body bytes that the handler wrote
	over   bool   // the handler has returned

	problem error // why the client gets a 502 instead
	drain   int64 // with a problem, from which size on writes fail
}

func (w *writer) Header() http.Header { return w.header }

// EnableFullDuplex is for http.ResponseController: the request's body is all there.
func (w *writer) EnableFullDuplex() error { return nil }

// begin notes the status and the header, once. It reports whether it did.
func (w *writer) begin(status int) bool {
	if w.over || w.status != 0 || 100 <= status && status < 200 && status != http.StatusSwitchingProtocols {
		return false // no front passes on informational responses
	}
	if status < 100 || status > 999 {
		panic(fmt.Sprintf("invalid WriteHeader code %d", status)) // as net/http does
	}
	w.status, w.length = status, -1
	if v := w.header["Content-Length"]; len(v) == 1 {
		if n, err := strconv.ParseInt(v[0], 10, 64); err == nil && n >= 0 {
			w.length = n
		}
	}
	return true
}

// admit decides about a part of the body: how much of it counts.
func (w *writer) admit(n int) (skip bool, err error) {
	switch {
	case w.over:
		return true, errOver
	case n == 0:
		return true, nil
	case noBody(w.status):
		return true, http.ErrBodyNotAllowed
	case w.length >= 0 && int64(n) > w.length-w.size:
		return true, http.ErrContentLength
	}
	w.size += int64(n)
	return w.call.Request.Method == http.MethodHead, nil
}

// discard takes what the client does not get, so that what is captured is whole.
func (w *writer) discard(n int) (int, error) {
	if w.size > w.drain {
		return 0, w.problem
	}
	return n, nil
}

// short reports whether less was written than was declared.
func (w *writer) short() bool {
	return w.status != 0 && !noBody(w.status) && w.call.Request.Method != http.MethodHead && w.length > w.size
}

// hasBody reports whether there may be one.
func (w *writer) hasBody() bool {
	return !noBody(w.status) && w.length != 0 && w.call.Request.Method != http.MethodHead
}

// noBody reports whether a status allows no body (RFC 9110 §6.4.1).
func noBody(status int) bool {
	return status == http.StatusNoContent || status == http.StatusNotModified || status == http.StatusSwitchingProtocols
}

// bufferWriter makes the reply while the response is written: its text is escaped as it comes. Only when it turns out
// that it is no text, or too long as text, is it taken back to bytes, to be encoded at the end.
type bufferWriter struct {
	writer
	limit int
	ref   *[]byte
	out   []byte // the reply, as far as it goes
	begun int    // where the body begins in it
	wide  bool   // there are bytes beyond ASCII in it, which nobody has checked

	raw     bool   // body has the response, and out is of no use
	body    []byte // as it was written
	checked int    // so much of body is counted
	escaped int    // its length as JSON text
	binary  bool   // it is no UTF-8

	verbatim *tapway.Verbatim // nil: the reply is made of what is written
}

func (d *Door) buffer(call *Call, h http.Handler) *Reply {
	call.Whole = true
	w := &bufferWriter{writer: writer{call: call, header: make(http.Header, 8), drain: d.drain()}, limit: d.maxReply(call.Front)}
	w.ref = replies.Get().(*[]byte)
	w.out = (*w.ref)[:0]
	err := d.run(h, w, call.Request)
	if err == nil && w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	w.over = true
	if d.OwnEvents {
		call.body.letGo()
	}
	switch {
	case w.problem != nil:
		err = w.problem
	case w.verbatim != nil:
	case err == nil && w.short():
		err = fmt.Errorf("%w: it has %d bytes of %d", ErrBroken, w.size, w.length)
	}
	reply := &Reply{Call: call, ContentType: "application/json"}
	switch {
	case err != nil:
	case w.verbatim != nil:
		reply.Body = w.verbatim.Reply
	default:
		if reply.Body = w.reply(); len(reply.Body) > w.limit {
			err = ErrTooLarge
		} else if w.binary && call.shape == restAPI {
			d.tellBase64(w)
		}
	}
	if err != nil {
		reply.err = err
		head, body := call.failure(err, fmt.Sprintf("a reply of %d", w.limit))
		reply.Body = appendBody(head, body, false)
	}
	if err == nil && w.verbatim == nil && !w.raw {
		reply.ref = w.ref // it is the reply
	} else {
		keep(w.ref, w.out)
	}
	w.out, w.body = nil, nil
	return reply
}

// keep puts a buffer back for another reply.
func keep(ref *[]byte, b []byte) {
	if cap(b) <= maxPooled {
		*ref = b[:0]
		replies.Put(ref)
	}
}

// Release says that Body is not needed any more: its memory is used for other replies. It may be left out, and
// called again.
func (r *Reply) Release() {
	if r.ref != nil {
		keep(r.ref, r.Body)
		r.ref, r.Body = nil, nil
	}
}

func (w *bufferWriter) WriteHeader(status int) {
	if !w.begin(status) {
		return
	}
	if status == http.StatusSwitchingProtocols {
		w.fail(ErrUpgrade, "the response switches protocols")
		return
	}
	if v := w.call.Verbatim; v != nil && v.Status == status {
		w.verbatim = v
		return
	}
	w.out = appendHead(w.out, w.call.shape, status, w.header, w.hasBody())
	w.head = w.out
	if len(w.head)+bodyRoom > w.limit {
		w.tooLarge()
		return
	}
	if more := w.length + w.length/8 + int64(bodyRoom); w.hasBody() && more > int64(cap(w.out)-len(w.out)) {
		w.out = slices.Grow(w.out, int(min(more, int64(w.limit))))
	}
	w.out = append(w.out, `,"body":"`...)
	w.begun = len(w.out)
}

// fail makes the reply a 502, and the record say so.
func (w *bufferWriter) fail(err error, problem string) {
	w.problem = err
	w.drain += w.size
	w.call.Problem = problem
	w.body = w.body[:0]
}

func (w *bufferWriter) tooLarge() {
	w.fail(ErrTooLarge, "the response is too large for a reply of "+strconv.Itoa(w.limit)+" bytes")
}

func (w *bufferWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.verbatim != nil && !w.over {
		return len(p), nil
	}
	if skip, err := w.admit(len(p)); err != nil {
		return 0, err
	} else if skip {
		return len(p), nil
	}
	if w.problem == nil && !w.add(p) {
		w.tooLarge()
	}
	if w.problem != nil {
		return w.discard(len(p))
	}
	return len(p), nil
}

// WriteString saves a copy.
func (w *bufferWriter) WriteString(s string) (int, error) {
	return w.Write(unsafe.Slice(unsafe.StringData(s), len(s))) // Write neither keeps nor changes it
}

// FlushError begins the response, as in net/http. Nothing leaves before the handler returns.
func (w *bufferWriter) FlushError() error {
	if w.over {
		return errOver
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	return nil
}

// Flush is FlushError for those who do not ask.
func (w *bufferWriter) Flush() { _ = w.FlushError() }

// add takes a part of the body, and reports whether what is there can be a reply.
func (w *bufferWriter) add(p []byte) bool {
	if !w.raw && w.size == int64(len(p)) && !startsAsText(p) {
		w.toRaw()
	}
	if !w.raw {
		var wide bool
		w.out, wide = jsonstring.AppendInside(w.out, p)
		w.wide = w.wide || wide
		if room := w.room(); len(w.out)-w.begun <= room && (!w.wide || base64.StdEncoding.EncodedLen(int(w.size)) <= room) {
			return true // even if it is no text in the end
		}
		w.toRaw()
	} else {
		w.body = append(w.body, p...)
	}
	return w.fits()
}

// startsAsText reports whether the first part of a body may be UTF-8. It looks at little of it.
func startsAsText(p []byte) bool {
	const enough = 512
	if len(p) > enough {
		p = p[:enough]
	}
	return jsonstring.Valid(p[:whole(p)])
}

// toRaw takes the body back to the bytes that were written.
func (w *bufferWriter) toRaw() {
	text := w.out[w.begun:]
	w.raw, w.body = true, make([]byte, len(text), max(len(text), 4<<10))
	w.body = w.body[:jsonstring.Unescape(w.body, text)]
}

// room is what there is for the body as it stands in the reply.
func (w *bufferWriter) room() int {
	room := w.limit - len(w.head) - bodyRoom
	if w.length != w.size {
		room -= min(slack, w.limit/8)
	}
	return room
}

// fits reports whether body can be a reply. Its bytes are counted only when they are so many that it is in question.
func (w *bufferWriter) fits() bool {
	room := w.room()
	if 6*len(w.body) <= room {
		return true
	}
	w.count()
	if !w.binary && w.escaped+6*(len(w.body)-w.checked) <= room {
		return true
	}
	return w.mayEncode() && base64.StdEncoding.EncodedLen(len(w.body)) <= room
}

// mayEncode reports whether the front decodes base64 that could have been text: a REST API may not.
func (w *bufferWriter) mayEncode() bool { return w.binary || w.call.shape != restAPI }

// count takes the length as JSON text and the validity of what has come, without a character
// at the end that may not be whole yet.
func (w *bufferWriter) count() {
	p := w.body[w.checked:]
	p = p[:whole(p)]
	w.binary = w.binary || !jsonstring.Valid(p)
	w.escaped += jsonstring.EscapedLen(p)
	w.checked += len(p)
}

// whole is the length of p without a character at its end of which more may come.
func whole(p []byte) int {
	for i := 1; i <= min(utf8.UTFMax-1, len(p)); i++ {
		if utf8.RuneStart(p[len(p)-i]) {
			if !utf8.FullRune(p[len(p)-i:]) {
				return len(p) - i
			}
			break
		}
	}
	return len(p)
}

// reply makes the JSON.
func (w *bufferWriter) reply() []byte {
	if !w.raw && w.wide && !jsonstring.Valid(w.out[w.begun:]) {
		w.toRaw()
	}
	if !w.raw {
		w.out = append(w.out, `","isBase64Encoded":false}`...)
		return w.out
	}
	w.binary = w.binary || !jsonstring.Valid(w.body)
	encode := w.binary
	n := base64.StdEncoding.EncodedLen(len(w.body))
	if !encode {
		n = jsonstring.EscapedLen(w.body)
		if room := w.limit - len(w.head) - bodyRoom; n > room && w.mayEncode() {
			encode, n = true, base64.StdEncoding.EncodedLen(len(w.body))
		}
	}
	out := append(make([]byte, 0, len(w.head)+n+bodyRoom), w.head...)
	return appendBody(out, w.body, encode)
}

// tellBase64 logs that a client of a REST API gets base64, or may get it. The latter is told once.
func (d *Door) tellBase64(w *bufferWriter) {
	api := w.call.API
	switch {
	case d.BinaryMediaTypes == nil && !d.told.Swap(true):
		d.log().Info("a response that is not text goes to a REST API as base64: it decodes that only if its binaryMediaTypes have */*, or what the client accepts first; a response that streams needs neither",
			"api", api.ID, "stage", api.Stage, "type", w.header.Get("Content-Type"), "encoding", w.header.Get("Content-Encoding"), "bytes", w.size)
	case d.BinaryMediaTypes != nil && !accepts(d.BinaryMediaTypes, w.call.Request.Header):
		d.log().Warn("the client gets base64: what it accepts first is not in the API's binaryMediaTypes",
			"api", api.ID, "stage", api.Stage, "bytes", w.size)
	}
}

// accepts reports whether a REST API decodes base64 for this client: the first type it accepts
// must be among the API's, where "image/*" stands for all images and "*/*" for everything.
func accepts(types []string, h http.Header) bool {
	first, _, _ := strings.Cut(h.Get("Accept"), ",")
	first, _, _ = strings.Cut(first, ";")
	first = strings.Trim(first, " \t")
	for _, t := range types {
		if t == "*/*" || strings.EqualFold(t, first) {
			return true
		}
		if kind, ok := strings.CutSuffix(t, "/*"); ok && len(first) > len(kind) && first[len(kind)] == '/' && strings.EqualFold(first[:len(kind)], kind) {
			return true
		}
	}
	return false
}

var _ http.Flusher = (*bufferWriter)(nil)
