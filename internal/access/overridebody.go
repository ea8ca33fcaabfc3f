package access

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// formAhead is how much of a body is looked at before the backend gets any of it: what is found there is answered
	// 403. What is found later breaks the request off before the backend has that field.
	formAhead = 64 << 10

	// maxForm is how long a form with a Content-Encoding may be; it is held whole.
	maxForm = 1 << 20

	// maxUnpacked is how much such a form may come to.
	maxUnpacked = 16 << 20

	// maxField is how much of a body is kept back because it may be the field: longer ones count as it.
	maxField = 4 << 10
)

var (
	formBroken = &Refusal{Status: http.StatusBadRequest, Type: "BadRequestException", Body: `{"message":"Bad Request"}`, Reason: "form could not be read"}
	formCoded  = &Refusal{Status: http.StatusUnsupportedMediaType, Type: "UnsupportedMediaTypeException", Body: `{"message":"Unsupported Media Type"}`, Reason: "form with an unknown content coding"}

	errOverride = errors.New("access: a form asks for a method that is not allowed")
	errForm     = errors.New("access: a form cannot be read")
)

// scanner looks for the field in a body that it gets piece by piece.
type scanner interface {
	// feed takes the next piece. held is how much of all that it got must not go on yet, because it may
	// be the field. errOverride and errForm are its errors.
	feed(b []byte) (held int, err error)

	// end is when nothing more comes.
	end() error

	// done reports whether nothing that still comes can be the field.
	done() bool
}

// judge says whether a method that a body asks for may be; "" is none, and may.
type judge func(method string) bool

func (ok judge) takes(method string) bool {
	method = strings.ToUpper(strings.TrimSpace(method))
	return method == "" || ok(method)
}

// looked is a body that is being looked at, and then read by somebody else.
type looked interface {
	io.ReadCloser
	ahead() (err error, over bool) // looks on by a step; over: nothing more is to be held for it
	done() bool                    // nothing more is to be looked at
	size() int                     // of what is held
	later(judge)                   // replaces the judge
}

// bodyLook is one with a scanner.
type bodyLook struct {
	src  io.ReadCloser
	scan scanner
	may  *judge
	buf  []byte // looked at, and not yet read
	at   int    // what of it has been read
	held int    // what of its end must not go on
	err  error
}

func (l *bodyLook) size() int     { return cap(l.buf) }
func (l *bodyLook) later(j judge) { *l.may = j }
func (l *bodyLook) done() bool    { return l.scan.done() }

// pieces are the first pieces of bodies that have been handed on whole.
var pieces = sync.Pool{New: func() any { return new([firstPiece]byte) }}

// letGo gives back the memory of a body of which all has been handed on.
func (l *bodyLook) letGo() {
	if cap(l.buf) == firstPiece {
		pieces.Put((*[firstPiece]byte)(l.buf[:firstPiece]))
	}
	l.buf, l.at = nil, 0
}

func (l *bodyLook) ahead() (error, bool) {
	l.step()
	return l.err, l.err != nil || len(l.buf) >= formAhead || l.scan.done()
}

// step reads on.
func (l *bodyLook) step() {
	if l.at > 0 {
		l.buf = append(l.buf[:0], l.buf[l.at:]...)
		l.at = 0
	}
	switch {
	case l.buf == nil:
		l.buf = pieces.Get().(*[firstPiece]byte)[:0]
	case cap(l.buf)-len(l.buf) < min(firstPiece, cap(l.buf)/2):
		l.buf = slices.Grow(l.buf, firstPiece)
	}
	n, err := l.src.Read(l.buf[len(l.buf):cap(l.buf)])
	fresh := l.buf[len(l.buf) : len(l.buf)+n]
	l.buf = l.buf[:len(l.buf)+n]
	if n > 0 && !l.scan.done() && !(len(l.buf) == n && l.whole(n, err) && clean(l.scan, fresh)) {
		l.held, l.err = l.scan.feed(fresh)
	}
	if l.err == nil && err == io.EOF {
		if l.err = l.scan.end(); l.err == nil {
			l.held = 0
		}
	}
	if l.err == nil {
		l.err = err
	}
}

// whole reports whether a body's first n bytes are all of it.
func (l *bodyLook) whole(n int, err error) bool {
	p, plain := l.src.(*paced)
	return err == io.EOF || plain && p.length == int64(n)
}

// clean asks a scanner that has got nothing yet whether a short look at a whole body is enough.
func clean(scan scanner, body []byte) bool {
	quick, ok := scan.(interface{ clean([]byte) bool })
	return ok && quick.clean(body)
}

// Read is io.Reader. Nothing is handed on of a field that asks for what is not allowed, nor what comes behind it.
func (l *bodyLook) Read(p []byte) (int, error) {
	for {
		ready := len(l.buf) - l.at
		if l.err == nil {
			ready -= l.held
		} else if l.err != io.EOF {
			return 0, l.err
		}
		switch {
		case len(p) == 0:
			return 0, nil
		case ready > 0:
			n := copy(p, l.buf[l.at:l.at+ready])
			if l.at += n; l.at == len(l.buf) && (l.err != nil || l.scan.done()) {
				l.letGo()
			}
			return n, nil
		case l.err != nil:
			return 0, l.err
		case l.scan.done():
			return l.src.Read(p)
		}
		l.step()
	}
}

func (l *bodyLook) Close() error { return l.src.Close() }

// body looks into a body for a method that it asks for.
func (m *Methods) body(r *Request) *Refusal {
	in := r.HTTP
	if in.Body == nil || in.Body == http.NoBody || in.ContentLength == 0 {
		return nil
	}
	types := spelled(in.Header, "Content-Type")
	if len(types) == 0 {
		types = []string{""}
	}
	for _, text := range types {
		var make func(src io.ReadCloser, may *judge) looked
		switch kind := mediaType(text); {
		case kind == "" || kind == "application/x-www-form-urlencoded": // without a type it is one for Rack
			make = func(src io.ReadCloser, may *judge) looked {
				return &bodyLook{src: src, may: may, scan: &formScan{may: may}}
			}
		case strings.HasPrefix(kind, "multipart/"):
			boundary, ok := boundaryOf(text)
			if !ok {
				return formBroken
			}
			make = func(src io.ReadCloser, may *judge) looked { return newPartLook(src, boundary, may) }
		case isJSON(text):
			make = func(src io.ReadCloser, may *judge) looked {
				return &bodyLook{src: src, may: may, scan: &jsonScan{may: may}}
			}
		default:
			continue
		}
		if !usualCharset(text) {
			r.Because("the form's charset is not one in which names can be compared")
			return formBroken
		}
		refusal := m.look(r, make)
		if refusal != nil {
			return refusal
		}
	}
	return nil
}

// look looks at the beginning of a body, and leaves a body that goes on looking.
func (m *Methods) look(r *Request, make func(io.ReadCloser, *judge) looked) *Refusal {
	in := r.HTTP
	may := judge(func(method string) bool { return m.mayBody(r, method) })
	codings := spelled(in.Header, "Content-Encoding")
	if coded := strings.ToLower(strings.TrimSpace(strings.Join(codings, ","))); coded != "" && coded != "identity" {
		return m.unpacked(r, coded, func(src io.ReadCloser) looked { return make(src, &may) })
	}
	src := &paced{ReadCloser: in.Body, length: in.ContentLength, began: time.Now()}
	body := make(src, &may)
	if r.bodies == nil {
		r.bodies = m.Forms
	}
	for lent, over := int64(0), false; !over; {
		var err error
		err, over = body.ahead()
		if refusal := m.refusal(err); refusal != nil {
			return refusal
		}
		if size := int64(body.size()); size > lent {
			if !m.Forms.lend(r, size-lent) {
				return bodiesFull
			}
			lent = size
		}
		if over && err == nil && !body.done() { // the rest comes when r may be another's already
			list := m.mayLater(r)
			body.later(func(method string) bool { return slices.Contains(list, method) })
		}
	}
	src.off = true
	in.Body = body
	return nil
}

func (m *Methods) refusal(err error) *Refusal {
	switch {
	case err == nil || err == io.EOF:
		return nil
	case errors.Is(err, errOverride):
		return &overrideRefused
	case errors.Is(err, errForm):
		return formBroken
	}
	return m.Forms.broken(err)
}

// unpacked looks at a body with a Content-Encoding, which some backends take off. It is held whole.
func (m *Methods) unpacked(r *Request, coding string, make func(io.ReadCloser) looked) *Refusal {
	text, refusal := m.Forms.read(r)
	if refusal != nil || len(text) == 0 {
		return refusal
	}
	var plain io.Reader
	var err error
	switch coding {
	case "gzip", "x-gzip":
		plain, err = gzip.NewReader(bytes.NewReader(text))
	case "deflate":
		plain, err = zlib.NewReader(bytes.NewReader(text))
	default:
		return formCoded
	}
	if err != nil {
		return formBroken
	}
	body := make(io.NopCloser(io.LimitReader(plain, maxUnpacked+1)))
	n, err := io.Copy(io.Discard, body)
	switch {
	case errors.Is(err, errOverride):
		return &overrideRefused
	case err != nil:
		return formBroken
	case n > maxUnpacked:
		return bodyTooLarge
	}
	return nil
}

// usualCharset reports whether a name is written in a charset as in ASCII: servlet containers and ASP.NET decode names in
// others too, such as UTF-16 and EBCDIC.
func usualCharset(contentType string) bool {
	rest := strings.ToLower(contentType)
	for {
		_, behind, found := strings.Cut(rest, "charset")
		if !found {
			return true
		}
		rest = behind
		value, is := strings.CutPrefix(strings.TrimSpace(behind), "=")
		if !is {
			continue
		}
		value = strings.TrimLeft(value, " \t\"'")
		if end := strings.IndexAny(value, "\"',; \t"); end >= 0 {
			value = value[:end]
		}
		switch {
		case value == "" || value == "utf-8" || value == "utf8" || value == "us-ascii" || value == "ascii" || value == "latin1":
		case strings.HasPrefix(value, "iso-8859-") || strings.HasPrefix(value, "windows-125") || strings.HasPrefix(value, "koi8-"):
		default:
			return false
		}
	}
}

// isJSON reports whether a body is JSON for Laravel, which reads a field of it: the type has /json or +json in it.
func isJSON(contentType string) bool {
	contentType = strings.ToLower(contentType)
	if strings.Contains(contentType, "/json") || strings.Contains(contentType, "+json") {
		return true
	}
	kind, _, err := mime.ParseMediaType(contentType)
	return err == nil && strings.HasSuffix(kind, "json")
}
