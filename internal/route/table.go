package route

import (
	"errors"
	"fmt"
	"strings"

	"github.com/tapway/tapway"
)

// Matched says what a table made of a call.
type Matched uint8

const (
	NoPath   Matched = iota // no template takes the path
	NoMethod                // the path's template has no route for the method
	Found
)

func (m Matched) String() string { return [...]string{"no path", "no method", "found"}[m] }

// Table finds the route of a call. It is immutable and safe for concurrent use.
type Table struct {
	routes   []Route
	root     node
	fallback *Route
	named    map[string]*Route // by method and template
}

// node is a place in the tree of segments. Every node is reached by one way only, so a
// match visits each at most once, however it has to turn back.
type node struct {
	static map[string]*node // by the decoded segment
	param  *node
	greedy *resource
	here   *resource
}

// resource is what ends at a node: the routes of one template, by method.
type resource struct {
	routes []*Route
	any    *Route
}

// Error says what is wrong with one route of a table.
type Error struct {
	Index int    // of the route in what NewTable was given
	Name  string // "GET /users/{id}"
	Err   error
}

func (e *Error) Error() string { return fmt.Sprintf("route %q: %v", e.Name, e.Err) }

func (e *Error) Unwrap() error { return e.Err }

// NewTable checks the routes and arranges them. The order of the routes has no meaning. The
// error joins (errors.Join) one *Error per bad route.
func NewTable(routes []Route) (*Table, error) {
	t := &Table{routes: append([]Route(nil), routes...), named: make(map[string]*Route, len(routes))}
	var errs []error
	for i := range t.routes {
		r := &t.routes[i]
		if err := t.add(r); err != nil {
			errs = append(errs, &Error{Index: i, Name: strings.TrimSpace(r.Method + " " + r.Template), Err: err})
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return t, nil
}

// Routes gives the routes in the order they were given.
func (t *Table) Routes() []*Route {
	out := make([]*Route, len(t.routes))
	for i := range t.routes {
		out[i] = &t.routes[i]
	}
	return out
}

func (t *Table) add(r *Route) error {
	if r.Method == "" {
		r.Method = Any
	}
	var err error
	if r.Method, err = parseMethod(r.Method); err != nil {
		return err
	}
	if r.template, err = parseTemplate(r.Method, r.Template); err != nil {
		return err
	}
	if r.Unsupported == "" && r.Function == "" {
		if r.backend, err = parseBackend(r); err != nil {
			return err
		}
	}
	if r.template.fallback {
		if t.fallback != nil {
			return errors.New("is there twice")
		}
		t.fallback = r
		return nil
	}
	t.named[r.template.name] = r
	return t.place(r.template.segments).add(r)
}

// place makes the way to a template's resource.
func (t *Table) place(segments []segment) *resource {
	n := &t.root
	for _, s := range segments {
		switch s.kind {
		case greedySegment:
			if n.greedy == nil {
				n.greedy = new(resource)
			}
			return n.greedy
		case paramSegment:
			if n.param == nil {
				n.param = new(node)
			}
			n = n.param
		default:
			if n.static == nil {
				n.static = map[string]*node{}
			}
			if n.static[s.text] == nil {
				n.static[s.text] = new(node)
			}
			n = n.static[s.text]
		}
	}
	if n.here == nil {
		n.here = new(resource)
	}
	return n.here
}

func (res *resource) add(r *Route) error {
	if other := res.exact(r.Method); other != nil {
		if other.Template == r.Template {
			return errors.New("is there twice")
		}
		return fmt.Errorf("takes the same calls as %q", other.Name())
	}
	if r.Method == Any {
		res.any = r
	} else {
		res.routes = append(res.routes, r)
	}
	return nil
}

func (res *resource) exact(method string) *Route {
	if method == Any {
		return res.any
	}
	for _, r := range res.routes {
		if r.Method == method {
			return r
		}
	}
	return nil
}

// Match finds the route for a method and a path, raw as sent and without the query. At
// every segment a static one comes before a parameter and that before a greedy one; the
// route of the method comes before Any. One slash at the end of a path is not asked for, as
// in API Gateway; {proxy+} keeps it. A "%2F" never parts a segment.
//
// The parameters' values are parts of rawPath. r is nil unless the result is Found.
func (t *Table) Match(method, rawPath string) (r *Route, params []tapway.PathParam, m Matched) {
	rest, ok := strings.CutPrefix(rawPath, "/")
	m = NoPath
	if ok {
		if res := t.root.find(rest, false); res != nil {
			m = NoMethod
			if r = res.exact(method); r == nil || method == Any {
				r = res.any
			}
			if r != nil {
				return r, r.params(rest), Found
			}
		}
	}
	if t.fallback != nil && (ok || rawPath == "*") {
		return t.fallback, nil, Found
	}
	return nil, nil, m
}

// find gives the resource for what is left of a path; end says that nothing is, not even
// an empty segment.
func (n *node) find(rest string, end bool) *resource {
	if end {
		return n.here
	}
	if rest == "" { // a slash at the end; nothing else takes an empty last segment
		return n.here
	}
	seg, tail, more := strings.Cut(rest, "/")
	if next := n.child(seg); next != nil {
		if res := next.find(tail, !more); res != nil {
			return res
		}
	}
	if n.param != nil && seg != "" {
		if res := n.param.find(tail, !more); res != nil {
			return res
		}
	}
	return n.greedy
}

// child finds the static segment that equals seg when both are decoded.
func (n *node) child(seg string) *node {
	if n.static == nil {
		return nil
	}
	if strings.IndexByte(seg, '%') < 0 {
		return n.static[seg]
	}
	var buf [64]byte
	text, ok := decode(buf[:0], seg)
	if !ok {
		return nil
	}
	return n.static[string(text)]
}
