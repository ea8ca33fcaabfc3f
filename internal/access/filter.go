package access

import (
	"net/http"
	"strings"

	"github.com/tapway/tapway"
)

// FilteredPaths is the decider that keeps paths, and everything below them, from the backend. A
// path is blocked if any of its readings (see [Request.Readings]), letter case ignored, is a
// filtered path or lies below one.
//
// "/foobar" blocks /foobar, /foobar/x, /FooBar, /%66oobar, //foobar, /x/../foobar and
// /foobar;a=b; it does not block /foobarx. A filter is read the same way, so "/FooBar/" is
// "/foobar"; "/" blocks everything; an empty one is ignored.
type FilteredPaths struct {
	paths   []string // normalised, without a trailing slash
	refusal Refusal
}

// NewFilteredPaths makes the decider. message is what such a call is told; "" is "Filtered URL.".
func NewFilteredPaths(paths []string, message string) *FilteredPaths {
	if message == "" {
		message = "Filtered URL."
	}
	f := &FilteredPaths{refusal: Refusal{Status: http.StatusForbidden, Message: message, Reason: "filtered path"}}
	for _, path := range paths {
		if path = strings.TrimSpace(path); path == "" {
			continue
		}
		if path[0] != '/' {
			path = "/" + path
		}
		f.paths = append(f.paths, strings.TrimSuffix(Normalise(path), "/"))
	}
	return f
}

func (*FilteredPaths) Phase() Phase { return Filter }
func (*FilteredPaths) Name() string { return "filtered_paths" }

// Decide is Decider.
func (f *FilteredPaths) Decide(r *Request) *Refusal {
	if len(f.paths) == 0 {
		return nil
	}
	paths, ok := r.foldedReadings()
	if !ok {
		r.Because("the path is encoded too often to be read")
		return &f.refusal
	}
	for _, path := range paths {
		if filtered, is := f.match(path); is {
			r.Because("the path can be read as %q, which %q filters", path, filtered+"/")
			return &f.refusal
		}
	}
	r.Because("no reading of the path is filtered")
	return nil
}

// match gives the filtered path that path, in lower case, is or lies below; "" is the root, below which everything lies,
// a target without a slash too.
func (f *FilteredPaths) match(path string) (string, bool) {
	for _, filtered := range f.paths {
		if filtered == "" || strings.HasPrefix(path, filtered) && (len(path) == len(filtered) || path[len(filtered)] == '/') {
			return filtered, true
		}
	}
	return "", false
}

// Methods is the decider of the methods that are passed on, by default and by route.
type Methods struct {
	Allowed []string // nil: all
	Rules   *Rules

	// Forms reads urlencoded forms, which can ask for another method; nil: bodies are not looked at.
	Forms *Bodies
}

// MaxForm is what Methods.Forms should read of one form.
const MaxForm = maxForm

func (*Methods) Phase() Phase { return Filter }
func (*Methods) Name() string { return "methods" }

var methodRefused = Refusal{Status: http.StatusForbidden, Type: "MissingAuthenticationTokenException", Body: `{"message":"Missing Authentication Token"}`, Reason: "method not allowed"}

// Decide is Decider. The answer is API Gateway's to a method that an API does not have. A method
// that the call wants a framework to put in place of its own has to be allowed as well.
func (m *Methods) Decide(r *Request) *Refusal {
	if !m.allows(r, r.HTTP.Method) {
		return &methodRefused
	}
	if !m.bound(r) {
		return nil
	}
	_, query, _, _ := tapway.Target(r.HTTP)
	return m.overridden(r, query)
}

// bound reports whether there is anything that a call must not ask for.
func (m *Methods) bound(r *Request) bool {
	for _, rule := range m.Rules.of(r) {
		if m.Allowed != nil || rule != nil && rule.Methods != nil {
			return true
		}
	}
	return false
}

// lists are those that a call's methods have to be in.
func (m *Methods) lists(r *Request) (out [][]string) {
	for _, rule := range m.Rules.of(r) {
		switch {
		case rule != nil && rule.Methods != nil:
			out = append(out, rule.Methods)
		case m.Allowed != nil:
			out = append(out, m.Allowed)
		}
	}
	return out
}

func (m *Methods) allows(r *Request, method string) bool {
	for _, rule := range m.Rules.of(r) {
		allowed, where := m.Allowed, "access.methods"
		if rule != nil && rule.Methods != nil {
			allowed, where = rule.Methods, rule.Match.String()
		}
		if allowed != nil && !contains(allowed, method) {
			r.Because("%q is not among the methods of %s", method, where)
			return false
		}
	}
	if r.Dry {
		r.Because("%s is allowed", method)
	}
	return true
}

func contains(list []string, s string) bool {
	for _, one := range list {
		if one == s {
			return true
		}
	}
	return false
}
