package route

import (
	"strings"

	"github.com/tapway/tapway"
)

// Find gives the route of a method and a template, when somebody else has chosen it already: API
// Gateway names both in its events. A method without a route of its own is Any's; nil is none.
// Under Default the method is not asked.
func (t *Table) Find(method, template string) *Route {
	if template == Default {
		return t.fallback
	}
	if template != "/" {
		template = strings.TrimSuffix(template, "/")
	}
	if r := t.named[method+" "+template]; r != nil {
		return r
	}
	return t.named[Any+" "+template]
}

// Params cuts the values of the template's parameters out of a raw path. ok is false when the path
// is not one that the template takes.
func (r *Route) Params(rawPath string) (params []tapway.PathParam, ok bool) {
	rest, ok := strings.CutPrefix(rawPath, "/")
	if r.template.fallback {
		return nil, ok || rawPath == "*"
	}
	if !ok || !r.template.takes(rest) {
		return nil, false
	}
	return r.params(rest), true
}

// ParamNames are the names of the template's parameters, in their order.
func (r *Route) ParamNames() []string { return r.template.names() }

// takes reports whether the template takes a path without its first slash.
func (t *template) takes(rest string) bool {
	more := rest != ""
	for _, s := range t.segments {
		if s.kind == greedySegment {
			return more && rest != ""
		}
		if !more || rest == "" {
			return false
		}
		var part string
		part, rest, more = strings.Cut(rest, "/")
		switch s.kind {
		case paramSegment:
			if part == "" {
				return false
			}
		default:
			text, good := decode(nil, part)
			if !good || string(text) != s.text {
				return false
			}
		}
	}
	return rest == "" // one slash at the end is not asked for
}
