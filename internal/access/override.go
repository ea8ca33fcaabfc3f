package access

import (
	"net/http"
	"slices"
	"strings"

	"github.com/tapway/tapway"
)

// Frameworks let a call have another method than the one in its request line: by a header, by a parameter of the
// query, by a field of a form or of JSON (Rack, Symfony, Laravel, Spring, Express' method-override, ASP.NET). A call counts
// as each of the methods that it asks for, or rules about methods would be worth nothing.

// overrides are the headers.
var overrides = [...]string{"X-Http-Method-Override", "X-Http-Method", "X-Method-Override"}

// overrideField is the parameter and the field, in any letter case.
const overrideField = "_method"

const (
	// maxOverride is how long a method can be.
	maxOverride = 64

	// maxAsked is how many methods one call may ask for before it counts as whatever a rule forbids.
	maxAsked = 4
)

var overrideRefused = Refusal{Status: http.StatusForbidden, Type: methodRefused.Type, Body: methodRefused.Body, Reason: methodRefused.Reason}

// methods are the call's own and those that its headers and its query ask for. ok is false when it asks for more than
// can be followed. What a body asks for is Methods' business: other rules are asked before a body is read.
func (r *Request) methods() (list []string, ok bool) {
	if r.asked == nil {
		r.asked = append(r.askedRoom[:0], r.HTTP.Method)
		r.ask(r.HTTP.Method) // in small letters it is another method, but many frameworks take "delete" for DELETE
		for _, line := range r.overrideLines() {
			for one := range strings.SplitSeq(line, ",") { // Express takes the first
				r.ask(one)
			}
		}
		if strings.IndexByte(r.HTTP.RequestURI, '?') >= 0 || r.HTTP.URL != nil && r.HTTP.URL.RawQuery != "" {
			_, query, _, _ := tapway.Target(r.HTTP)
			for _, value := range formOverrides(query) {
				r.ask(value)
			}
		}
	}
	return r.asked, len(r.asked) <= maxAsked
}

func (r *Request) ask(method string) {
	method = strings.ToUpper(strings.TrimSpace(method))
	if method != "" && len(r.asked) <= maxAsked && !slices.Contains(r.asked, method) {
		r.asked = append(r.asked, method)
	}
}

// overrideLines are the values of the headers that ask for a method, usually none.
func (r *Request) overrideLines() (lines []string) {
	for name, values := range r.HTTP.Header {
		if len(name) < len("X-Http-Method") || name[0] != 'X' {
			continue
		}
		if strings.IndexByte(name, '_') >= 0 { // CGI and WSGI backends take it for "-"
			name = http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-"))
		}
		if contains(overrides[:], name) {
			lines = append(lines, values...)
		}
	}
	return lines
}

// spelled are the values of a header, also of one that is spelled with "_": CGI, WSGI and Rack backends may take it for the same.
func spelled(h http.Header, name string) []string {
	values := h[name]
	for other, more := range h {
		if len(other) == len(name) && strings.IndexByte(other, '_') >= 0 && strings.EqualFold(strings.ReplaceAll(other, "_", "-"), name) {
			values = append(values[:len(values):len(values)], more...)
		}
	}
	return values
}

// formOverrides are the methods that an urlencoded text asks for. A value that is not encoded well is left as it stands.
func formOverrides(text string) (values []string) {
	for text != "" {
		var pair string
		if end := strings.IndexAny(text, "&;"); end >= 0 {
			pair, text = text[:end], text[end+1:]
		} else {
			pair, text = text, ""
		}
		if name, value, _ := strings.Cut(pair, "="); isOverrideField(name) {
			values = append(values, overrideValue(value))
		}
	}
	return values
}

// overrideValue is an urlencoded value; one that is not encoded well is left as it stands, and so is no method.
func overrideValue(value string) string {
	if decoded, ok := unescapeQuery(value); ok {
		return decoded
	}
	return value
}

// isOverrideField reports whether a name that may be encoded is the field's. PHP decodes what it can.
func isOverrideField(name string) bool {
	return len(name) >= len(overrideField) && isField(decodeName(name))
}

// isField reports whether a name is the field's. PHP leaves blanks before a name out, ends it at a zero byte, and makes its
// dots underscores.
func isField(name string) bool {
	name, _, _ = strings.Cut(name, "\x00")
	name = strings.TrimSpace(name)
	return strings.EqualFold(name, overrideField) || strings.EqualFold(name, "."+overrideField[1:])
}

// decodeName decodes an urlencoded name; what is no escape stays.
func decodeName(name string) string {
	if strings.IndexByte(name, '+') >= 0 {
		name = strings.ReplaceAll(name, "+", " ")
	}
	return decodeOnce(name)
}

// mediaType is a Content-Type without its parameters, in lower case. PHP ends it at a comma or a blank as well.
func mediaType(text string) string {
	text = strings.TrimSpace(text)
	if end := strings.IndexAny(text, ";, \t"); end >= 0 {
		text = text[:end]
	}
	return strings.ToLower(text)
}
