package filter

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tapway/tapway"
)

// Search is the filter as a question to a store, with relative times measured from now.
// Fields that a store cannot tell (destination, attempts) are empty; see Uses. An exchange
// whose headers or bodies are asked for and cannot be read is not taken.
func (f *Filter) Search() tapway.Search { return f.SearchAt(time.Now()) }

// SearchAt is Search with relative times measured from now.
func (f *Filter) SearchAt(now time.Time) tapway.Search {
	if f == nil || f.root == nil {
		return tapway.Search{}
	}
	b := f.root.bounds(now)
	s := tapway.Search{Since: b.since, Until: b.until, Hint: tapway.Hint{Methods: b.methods, PathPrefix: b.prefix}}
	s.Hint.StatusMin = int(max(b.status.lo, 0))
	if b.status.hi <= 999 {
		s.Hint.StatusMax = int(max(b.status.hi, 0))
	}
	if f.root.indexed() {
		s.Maybe = func(m *tapway.Meta) bool {
			r := run{meta: m, now: now.Round(0)}
			return r.maybe(f.root)
		}
	}
	if !f.NeedsHeaders() && !f.NeedsBodies() {
		s.Match = func(m *tapway.Meta, _ func() (*tapway.Exchange, error)) bool {
			return f.Match(&Env{Meta: m, Now: now})
		}
		return s
	}
	s.Match = func(m *tapway.Meta, load func() (*tapway.Exchange, error)) bool {
		load = sync.OnceValues(load)
		failed := false
		taken := f.Match(&Env{Meta: m, Now: now, Header: func() (request, response tapway.Header) {
			ex, err := load()
			if err != nil {
				failed = true
				return nil, nil
			}
			return ex.RequestHeader, ex.ResponseHeader
		}, Body: func() (request, response []byte) {
			ex, err := load()
			if err != nil {
				failed = true
				return nil, nil
			}
			return Bodies(ex)
		}})
		return taken && !failed
	}
	return s
}

// maybe evaluates with what an index has, as tapway.Search.Maybe wants it: a comparison with
// anything else may hold. There is no node for "not", so one more that may hold never turns
// the whole into what does not.
func (r *run) maybe(n *node) bool {
	switch n.op {
	case opAnd:
		for _, k := range n.plan {
			if !r.maybe(k) {
				return false
			}
		}
		return true
	case opOr:
		for _, k := range n.plan {
			if r.maybe(k) {
				return true
			}
		}
		return false
	}
	return !n.field.indexed() || r.compare(n) != n.neg
}

// indexed reports whether maybe can ever say no.
func (n *node) indexed() bool {
	switch n.op {
	case opAnd:
		return slices.ContainsFunc(n.kids, (*node).indexed)
	case opOr:
		return !slices.ContainsFunc(n.kids, func(k *node) bool { return !k.indexed() })
	}
	return n.field.indexed()
}

// indexed says which fields tapway.Search.Maybe may ask.
func (d *fieldDef) indexed() bool {
	switch d.id {
	case fieldMethod, fieldPath, fieldFrom, fieldRoute, fieldStatus, fieldDuration, fieldSize, fieldRequestSize, fieldResponseSize,
		fieldTime, fieldClientIP, fieldFront, fieldOrigin, fieldError, fieldDestination, fieldAttempts:
		return true
	}
	return false
}

// bounds is what can be said of every exchange that a node takes.
type bounds struct {
	status       span
	methods      []string // nil: any
	prefix       string
	since, until time.Time // zero: unbounded
}

// bounds of a conjunction hold all that its parts say, those of a disjunction what is
// common to them. Where parts contradict each other the result may be too wide: a hint.
func (n *node) bounds(now time.Time) bounds {
	if n.op > opOr {
		return n.leafBounds(now)
	}
	b := n.kids[0].bounds(now)
	for _, k := range n.kids[1:] {
		if n.op == opAnd {
			b.narrow(k.bounds(now))
		} else {
			b.widen(k.bounds(now))
		}
	}
	return b
}

func (b *bounds) narrow(c bounds) {
	b.status = span{max(b.status.lo, c.status.lo), min(b.status.hi, c.status.hi)}
	if b.methods == nil {
		b.methods = c.methods
	} else if c.methods != nil {
		common := slices.DeleteFunc(slices.Clone(b.methods), func(m string) bool { return !slices.Contains(c.methods, m) })
		if len(common) > 0 {
			b.methods = common
		}
	}
	if len(c.prefix) > len(b.prefix) {
		b.prefix = c.prefix
	}
	if c.since.After(b.since) {
		b.since = c.since
	}
	if b.until.IsZero() || !c.until.IsZero() && c.until.Before(b.until) {
		b.until = c.until
	}
}

func (b *bounds) widen(c bounds) {
	b.status = span{min(b.status.lo, c.status.lo), max(b.status.hi, c.status.hi)}
	if b.methods == nil || c.methods == nil {
		b.methods = nil
	} else {
		b.methods = slices.Compact(slices.Sorted(slices.Values(slices.Concat(b.methods, c.methods))))
	}
	b.prefix = commonPrefix(b.prefix, c.prefix)
	if c.since.Before(b.since) {
		b.since = c.since
	}
	if b.until.IsZero() || c.until.IsZero() {
		b.until = time.Time{}
	} else if c.until.After(b.until) {
		b.until = c.until
	}
}

func (n *node) leafBounds(now time.Time) bounds {
	b := bounds{status: anyInt}
	switch n.field.id {
	case fieldStatus:
		b.status = n.statusBounds()
	case fieldMethod:
		if (n.op == opEqual || n.op == opIn) && !n.neg {
			b.methods = n.texts
		}
	case fieldPath:
		if (n.op == opEqual || n.op == opIn || n.op == opStartsWith) && !n.neg {
			b.prefix = n.texts[0]
			for _, t := range n.texts[1:] {
				b.prefix = commonPrefix(b.prefix, t)
			}
		}
	case fieldTime:
		b.since, b.until = n.timeBounds(now)
	}
	return b
}

func (n *node) statusBounds() span {
	first := n.ranges[0]
	switch {
	case n.op == opLess:
		return span{anyInt.lo, first.lo - 1}
	case n.op == opLessEqual:
		return span{anyInt.lo, first.hi}
	case n.op == opGreater:
		return span{first.hi + 1, anyInt.hi}
	case n.op == opGreaterEqual:
		return span{first.lo, anyInt.hi}
	case n.neg:
		return anyInt
	}
	for _, s := range n.ranges[1:] {
		first = span{min(first.lo, s.lo), max(first.hi, s.hi)}
	}
	return first
}

// timeBounds gives since (inclusive) and until (exclusive). A bound that nanoseconds since
// 1970 cannot express is left out: an engine may compare in those.
func (n *node) timeBounds(now time.Time) (since, until time.Time) {
	t := n.at.resolve(now).Round(0)
	if y := t.Year(); y < 1970 || y > 2261 {
		return since, until
	}
	next := t.Add(1)
	switch {
	case n.op == opGreaterEqual:
		return t, until
	case n.op == opGreater:
		return next, until
	case n.op == opLess:
		return since, t
	case n.op == opLessEqual:
		return since, next
	case n.neg:
		return since, until
	}
	return t, next
}

func commonPrefix(a, b string) string {
	if strings.HasPrefix(a, b) {
		return b
	}
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	return a[:i]
}
