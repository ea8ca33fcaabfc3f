package access

import (
	"fmt"
	"slices"
	"strings"
)

// Rule is what access.routes says of the calls that a pattern takes.
type Rule struct {
	Match    Pattern
	APIKey   Need
	Methods  []string  // nil: those of all routes
	Throttle *Throttle // nil: none of its own

	Auth    Auth
	Scopes  []string // with ByJWT: the token needs one of them; nil: those of all routes
	Webhook *Webhook // not nil: these signatures are asked for, whatever Auth is
}

// Need says whether something must be there.
type Need uint8

const (
	Inherit  Need = iota // as everywhere else
	Required             // without it the call is refused
	Off                  // not asked for
)

// Rules are the entries of access.routes. For every reading of a path the first one that takes
// it counts; where readings differ, all that they lead to do. A nil Rules has no entry.
type Rules struct{ List []Rule }

// noRules is the answer for a call that no entry takes.
var noRules = []*Rule{nil}

// of gives the rules of a call; nil among them is a reading that no entry takes. A call that asks for another method
// has the rules of that too.
func (rs *Rules) of(r *Request) []*Rule {
	if rs == nil || len(rs.List) == 0 {
		return noRules
	}
	if r.rules != nil {
		return r.rules
	}
	methods, ok := r.methods()
	r.rules = rs.find(r.ruleRoom[:0], r, methods)
	if !ok {
		r.rules = rs.all(r.rules)
	}
	return r.rules
}

// ofMethod gives the rules that a call would have with another method.
func (rs *Rules) ofMethod(r *Request, method string) []*Rule {
	if rs == nil || len(rs.List) == 0 {
		return noRules
	}
	return rs.find(nil, r, []string{method})
}

func (rs *Rules) find(list []*Rule, r *Request, methods []string) []*Rule {
	paths, ok := r.foldedReadings()
	for _, method := range methods {
		for _, path := range paths {
			list = appendRule(list, rs.first(method, path))
		}
	}
	if !ok {
		list = rs.all(list)
	}
	return list
}

// all are the rules of a call that may be anything.
func (rs *Rules) all(list []*Rule) []*Rule {
	for i := range rs.List {
		list = appendRule(list, &rs.List[i])
	}
	return appendRule(list, nil)
}

// byMethod reports whether a call's method decides what is asked of it.
func (rs *Rules) byMethod() bool {
	return rs != nil && slices.ContainsFunc(rs.List, func(r Rule) bool { return r.Match.method != "" && !r.asksAs(nil) })
}

// asksAs reports whether a rule asks callers for the same as another; nil is what is asked for where there is none.
func (r *Rule) asksAs(other *Rule) bool {
	var a, b Rule
	if r != nil {
		a = *r
	}
	if other != nil {
		b = *other
	}
	return a.APIKey == b.APIKey && a.Auth == b.Auth && a.Webhook == b.Webhook && slices.Equal(a.Scopes, b.Scopes)
}

func (rs *Rules) first(method, path string) *Rule {
	for i := range rs.List {
		if rs.List[i].Match.takes(method, path) {
			return &rs.List[i]
		}
	}
	return nil
}

func appendRule(list []*Rule, rule *Rule) []*Rule {
	for _, one := range list {
		if one == rule {
			return list
		}
	}
	return append(list, rule)
}

// Pattern is a method and a path template as routes have them: "GET /users/{id}",
// "ANY /{proxy+}", "/users" (any method) or "$default" (every path). Letter case of the path does
// not count, and one slash at its end neither.
type Pattern struct {
	text     string
	method   string   // "" is any
	segments []string // in lower case; "{}" takes one, "{+}" the rest; nil with all
	all      bool
}

// ParsePattern reads a Pattern.
func ParsePattern(text string) (Pattern, error) {
	p := Pattern{text: text}
	words := strings.Fields(text)
	if len(words) == 2 {
		if p.method = words[0]; strings.EqualFold(p.method, "ANY") {
			p.method = ""
		} else if upper := strings.ToUpper(p.method); contains(usualMethods, upper) {
			p.method = upper
		}
		words = words[1:]
	}
	switch {
	case len(words) == 1 && words[0] == "$default":
		p.all = true
		return p, nil
	case len(words) != 1 || words[0][0] != '/':
		return p, fmt.Errorf("%q is not a method and a path, such as \"GET /users/{id}\"", text)
	}
	segments := strings.Split(strings.TrimSuffix(words[0][1:], "/"), "/")
	for i, s := range segments {
		switch inner, param := strings.CutPrefix(s, "{"); {
		case !param && !strings.ContainsAny(s, "{}"):
			p.segments = append(p.segments, fold(decodeOnce(s)))
		case !param || !strings.HasSuffix(inner, "}") || strings.ContainsAny(inner[:len(inner)-1], "{}/") || len(inner) < 2:
			return p, fmt.Errorf("%q: %q is neither a text nor a parameter; write {name}", text, s)
		case strings.HasSuffix(inner, "+}"):
			if i != len(segments)-1 {
				return p, fmt.Errorf("%q: {name+} can only be the last segment", text)
			}
			p.segments = append(p.segments, "{+}")
		default:
			p.segments = append(p.segments, "{}")
		}
	}
	return p, nil
}

var usualMethods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"}

// String is the pattern as it was written.
func (p Pattern) String() string { return p.text }

// takes reports whether a call with this method and reading of its path is meant; the path is
// in lower case.
func (p *Pattern) takes(method, path string) bool {
	if p.method != "" && p.method != method {
		return false
	}
	if p.all {
		return true
	}
	rest, ok := strings.CutPrefix(path, "/")
	if !ok {
		return false
	}
	for i, want := range p.segments {
		if want == "{+}" {
			return rest != "" || i == 0 && path == "/"
		}
		segment, tail, more := strings.Cut(rest, "/")
		switch {
		case want == "{}" && segment == "":
			return false
		case want != "{}" && want != segment:
			return false
		}
		if i == len(p.segments)-1 {
			return !more || tail == ""
		}
		if !more {
			return false
		}
		rest = tail
	}
	return false
}
