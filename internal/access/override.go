package access

import (
	"errors"
	"io"
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

	// maxStep is how much is read at once for a part's head, or before the first part: it has to be held.
	maxStep = 64 << 10

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
		if !isOverrideField(name) {
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

// isOverrideField reports whether a name that may be encoded is the field's. PHP leaves blanks before a name out, ends it at a zero
// byte, and makes its dots underscores.
func isOverrideField(name string) bool {
	if len(name) < len(overrideField) {
		return false
	}
	if decoded, ok := unescapeQuery(name); ok {
		name = decoded
	}
	name, _, _ = strings.Cut(name, "\x00")
	name = strings.TrimSpace(name)
	return strings.EqualFold(name, overrideField) || strings.EqualFold(name, "."+overrideField[1:])
}

// mediaType is a Content-Type without its parameters, in lower case. PHP ends it at a comma or a blank as well.
func mediaType(text string) string {
	text = strings.TrimSpace(text)
	if end := strings.IndexAny(text, ";, \t"); end >= 0 {
		text = text[:end]
	}
	return strings.ToLower(text)
}

// form looks into a body that is a form. A POST without a type, or with an empty one, is one, too, for Rack.
func (m *Methods) form(r *Request) *Refusal {
	in := r.HTTP
	if in.Body == nil || in.Body == http.NoBody {
		return nil
	}
	types := in.Header["Content-Type"]
	if len(types) == 0 {
		types = []string{""}
	}
	for _, text := range types {
		switch kind := mediaType(text); {
		case kind == "" || kind == "application/x-www-form-urlencoded":
			body, refusal := m.Forms.read(r)
			if refusal != nil {
				return refusal
			}
			if !m.takesForm(r, string(body)) {
				return &overrideRefused
			}
		case strings.HasPrefix(kind, "multipart/"):
			boundary, ok := boundaryOf(text)
			if !ok {
				return formBroken
			}
			look := newPartLook(in.Body, boundary, m.lists(r))
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
