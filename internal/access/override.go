package access

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
)

// Frameworks let a call have another method than the one in its request line: by a header, by a parameter of the
// query, by a field of a form (Rack, Symfony, Laravel, Spring, Express' method-override, ASP.NET). Where methods
// are allow-listed, the method that is asked for has to be allowed as well, or the list would be worth nothing.

// overrides are the headers.
var overrides = [...]string{"X-Http-Method-Override", "X-Http-Method", "X-Method-Override"}

// overrideField is the parameter and the field, in any letter case.
const overrideField = "_method"

const (
	// maxForm is how long an urlencoded form may be; a longer one is refused, as it would have to be held.
	maxForm = 1 << 20

	// formAhead is how much of a multipart form is looked at before the backend gets any of it: what is found there is
	// answered 403. What is found later breaks the request off before the backend has that part.
	formAhead = 64 << 10

	// formHeld is how much is kept back behind what has been looked at: more than multipart.Reader reads ahead.
	formHeld    = 8 << 10
	maxBoundary = 70 // RFC 2046 §5.1.1

	// maxOverride is how long a method can be.
	maxOverride = 64
)

var (
	overrideRefused = Refusal{Status: http.StatusForbidden, Type: methodRefused.Type, Body: methodRefused.Body, Reason: methodRefused.Reason}
	formBroken      = &Refusal{Status: http.StatusBadRequest, Type: "BadRequestException", Body: `{"message":"Bad Request"}`, Reason: "form could not be read"}

	errOverride = errors.New("access: a form asks for a method that is not allowed")
	errForm     = errors.New("access: a form cannot be read")
)

// overridden looks for methods that a call asks for besides its own.
func (m *Methods) overridden(r *Request, query string) *Refusal {
	for name, lines := range r.HTTP.Header {
		if len(name) < len("X-Http-Method") || name[0] != 'X' {
			continue
		}
		if strings.IndexByte(name, '_') >= 0 { // CGI and WSGI backends take it for "-"
			name = http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-"))
		}
		if !contains(overrides[:], name) {
			continue
		}
		for _, line := range lines {
			if !m.takes(r, line) {
				return &overrideRefused
			}
		}
	}
	if !m.takesForm(r, query) {
		return &overrideRefused
	}
	if r.HTTP.Method != http.MethodPost || r.Dry || m.Forms == nil {
		return nil // no framework overrides another
	}
	return m.form(r)
}

// takes reports whether a method that is asked for is none, or allowed.
func (m *Methods) takes(r *Request, method string) bool {
	method = strings.ToUpper(strings.TrimSpace(method))
	return method == "" || m.allows(r, method)
}

// takesForm looks through what is urlencoded. A name that is not encoded well is read as it stands.
func (m *Methods) takesForm(r *Request, text string) bool {
	for text != "" {
		var pair string
		if end := strings.IndexAny(text, "&;"); end >= 0 {
			pair, text = text[:end], text[end+1:]
		} else {
			pair, text = text, ""
		}
		name, value, _ := strings.Cut(pair, "=")
		if len(name) < len(overrideField) || len(name) > 3*len(overrideField)+2 {
			continue
		}
		if decoded, ok := unescapeQuery(name); ok {
			name = decoded
		}
		if !strings.EqualFold(strings.TrimSpace(name), overrideField) {
			continue
		}
		if decoded, ok := unescapeQuery(value); ok {
			value = decoded
		}
		if !m.takes(r, value) {
			return false
		}
	}
	return true
}

// form looks into a body that is a form. A POST without a type is one, too, for Rack.
func (m *Methods) form(r *Request) *Refusal {
	in := r.HTTP
	if in.Body == nil || in.Body == http.NoBody {
		return nil
	}
	types := in.Header["Content-Type"]
	if len(types) == 0 {
		types = []string{"application/x-www-form-urlencoded"}
	}
	for _, text := range types {
		kind, _, _ := strings.Cut(text, ";")
		switch kind = strings.ToLower(strings.TrimSpace(kind)); {
		case kind == "application/x-www-form-urlencoded":
			body, refusal := m.Forms.read(r)
			if refusal != nil {
				return refusal
			}
			if !m.takesForm(r, string(body)) {
				return &overrideRefused
			}
		case strings.HasPrefix(kind, "multipart/"):
			_, params, err := mime.ParseMediaType(text)
			if err != nil || params["boundary"] == "" || len(params["boundary"]) > maxBoundary {
				return formBroken
			}
			look := newPartLook(in.Body, params["boundary"], m.lists(r))
			for look.err == nil && look.passed.Len() < formAhead {
				look.step()
			}
			switch {
			case errors.Is(look.err, errOverride):
				return &overrideRefused
			case errors.Is(look.err, errForm):
				return formBroken
			case look.err != nil && look.err != io.EOF:
				return m.Forms.broken(look.err)
			}
			in.Body = look
		}
	}
	return nil
}

// partLook is a multipart body that is read by somebody else, and looked at before.
type partLook struct {
	src    io.ReadCloser
	passed bytes.Buffer // looked at, and not yet read
	parts  *multipart.Reader
	part   *multipart.Part
	method []byte     // the field's value so far; nil: the part is another
	lists  [][]string // each has to have the method
	whole  bool       // behind the last part
	err    error
	srcErr error
}

func newPartLook(src io.ReadCloser, boundary string, lists [][]string) *partLook {
	l := &partLook{src: src, lists: lists}
	l.parts = multipart.NewReader(readerFunc(func(p []byte) (int, error) {
		n, err := src.Read(p[:min(len(p), 16<<10)])
		l.passed.Write(p[:n])
		if err != nil {
			l.srcErr = err
		}
		return n, err
	}), boundary)
	return l
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// step reads on by a part's head, or by a piece of its body.
func (l *partLook) step() {
	var room [4 << 10]byte
	switch {
	case l.whole:
		n, err := l.src.Read(room[:])
		l.passed.Write(room[:n])
		l.err = err
	case l.part == nil:
		part, err := l.parts.NextRawPart()
		if err != nil {
			l.ended(err)
			return
		}
		l.part, l.method = part, nil
		if isOverride(part.Header["Content-Disposition"]) {
			l.method = make([]byte, 0, maxOverride)
		}
	default:
		n, err := l.part.Read(room[:])
		if l.method != nil {
			if l.method = append(l.method, room[:n]...); len(l.method) > maxOverride {
				l.err = errOverride
				return
			}
		}
		if err == nil {
			return
		}
		if l.method != nil && !l.takes(strings.ToUpper(strings.TrimSpace(string(l.method)))) {
			l.err = errOverride
			return
		}
		if err != io.EOF {
			l.ended(err)
		}
		l.part = nil
	}
}

// ended notes why there is no further part: all were there, the source is broken, or it is no form.
func (l *partLook) ended(err error) {
	switch {
	case err == io.EOF && l.srcErr == nil:
		l.whole = true
	case err == io.EOF && l.srcErr == io.EOF:
		l.err = io.EOF
	case l.srcErr != nil && l.srcErr != io.EOF:
		l.err = l.srcErr
	default:
		l.err = errForm
	}
}

// isOverride reports whether a part is the field. What cannot be read, and could be, is.
func isOverride(lines []string) bool {
	for _, line := range lines {
		if !strings.Contains(strings.ToLower(line), "method") && !strings.ContainsAny(line, `\%*`) {
			continue
		}
		_, params, err := mime.ParseMediaType(line)
		name := strings.ReplaceAll(params["name"], `\`, "") // Go leaves escapes that are not needed
		if decoded, ok := unescapeQuery(name); ok {
			name = decoded
		}
		if err != nil || strings.EqualFold(strings.TrimSpace(name), overrideField) {
			return true
		}
	}
	return false
}

// Read is io.Reader. Nothing is handed on of a form that asks for what is not allowed, from where that was found.
func (l *partLook) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	ready := func() int {
		if l.whole || l.err == io.EOF {
			return l.passed.Len()
		}
		return l.passed.Len() - formHeld
	}
	for ready() <= 0 && l.err == nil {
		l.step()
	}
	if l.err != nil && l.err != io.EOF {
		return 0, l.err
	}
	if n := ready(); n > 0 {
		return l.passed.Read(p[:min(len(p), n)])
	}
	return 0, l.err
}

// takes reports whether a method that is asked for is none, or allowed. It is asked while the body is read, when the
// call's Request may be another's already.
func (l *partLook) takes(method string) bool {
	for _, list := range l.lists {
		if method != "" && !contains(list, method) {
			return false
		}
	}
	return true
}

func (l *partLook) Close() error { return l.src.Close() }
