package access

import (
	"net/http"
	"slices"
	"strings"
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

// Methods is the decider of the methods that are passed on, by default and by route, and of those that
// bodies ask for.
type Methods struct {
	Allowed []string // nil: all
	Rules   *Rules

	// Forms reads bodies that can ask for another method; nil: bodies are not looked at.
	Forms *Bodies

	// What a body asks for has to be what these would have let pass; nil: there are none.
	Policy *Policy
	IAM    *IAM
}

// MaxForm is what Methods.Forms should read of a form with a Content-Encoding, which is held whole.
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
	asked, ok := r.methods()
	if !ok {
		r.Because("the call asks for more methods than one")
		return &overrideRefused
	}
	for _, method := range asked[1:] {
		if !m.allows(r, method) {
			return &overrideRefused
		}
	}
	if !strings.EqualFold(r.HTTP.Method, http.MethodPost) || r.Dry || m.Forms == nil || !m.byMethod(r) {
		return nil // no framework overrides another
	}
	return m.body(r)
}

// Needed reports whether there is any call that it could refuse.
func (m *Methods) Needed() bool {
	if m.Allowed != nil || m.Policy != nil && m.Policy.byMethod || m.IAM != nil && m.IAM.byMethod() || m.Rules.byMethod() {
		return true
	}
	return m.Rules != nil && slices.ContainsFunc(m.Rules.List, func(r Rule) bool { return r.Methods != nil })
}

// byMethod reports whether another method than the call's could be told apart from it.
func (m *Methods) byMethod(r *Request) bool {
	if m.Policy != nil && m.Policy.byMethod || m.IAM != nil && m.IAM.byMethod() || m.Rules.byMethod() {
		return true
	}
	for _, rule := range m.Rules.of(r) {
		if m.Allowed != nil || rule != nil && rule.Methods != nil {
			return true
		}
	}
	return false
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

// mayBody reports whether a call may have the method that its body asks for: it is allowed, and neither the resource policy nor
// an entry of the routes asks for anything of it that it does not ask for of the call.
func (m *Methods) mayBody(r *Request, method string) bool {
	if contains(r.asked, method) {
		return true
	}
	if len(method) > maxOverride || !m.allows(r, method) || m.Policy != nil && !m.Policy.allowsMethod(r, method) || m.IAM != nil && !m.IAM.mayMethod(r, method) {
		return false
	}
	own := m.Rules.of(r)
	for _, rule := range m.Rules.ofMethod(r, method) {
		if !m.allowedBy(rule, method) || !slices.ContainsFunc(own, func(o *Rule) bool { return rule.asksAs(o) }) {
			return false
		}
	}
	return true
}

func (m *Methods) allowedBy(rule *Rule, method string) bool {
	allowed := m.Allowed
	if rule != nil && rule.Methods != nil {
		allowed = rule.Methods
	}
	return allowed == nil || contains(allowed, method)
}

// mayLater are the methods for which mayBody holds, of those that anybody has a name for.
func (m *Methods) mayLater(r *Request) (list []string) {
	names := slices.Concat(r.asked, usualMethods, m.Allowed)
	for _, rule := range m.Rules.of(r) {
		if rule != nil {
			names = append(names, rule.Methods...)
		}
	}
	for _, name := range names {
		if !contains(list, name) && m.mayBody(r, name) {
			list = append(list, name)
		}
	}
	return list
}

func contains(list []string, s string) bool {
	for _, one := range list {
		if one == s {
			return true
		}
	}
	return false
}
