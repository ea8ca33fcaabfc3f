package filter

import (
	"math"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"time"
)

type op uint8

const (
	opAnd op = iota
	opOr
	opExists // text: not empty
	opEqual
	opLess
	opLessEqual
	opGreater
	opGreaterEqual
	opIn
	opContains
	opStartsWith
	opEndsWith
	opMatches
)

var opText = [...]string{"&&", "||", "", "==", "<", "<=", ">", ">=", "in", "contains", "startsWith", "endsWith", "matches"}

// inverse gives the operator that holds exactly when o does not, for ordered values.
var inverse = map[op]op{opLess: opGreaterEqual, opGreaterEqual: opLess, opGreater: opLessEqual, opLessEqual: opGreater}

// node is a conjunction, a disjunction or one comparison. There is no node for "not": the
// parser carries a negation down to the comparisons, which keeps evaluation and hints plain.
type node struct {
	op   op
	neg  bool // comparison: holds when the operator does not
	cost int  // what it takes to evaluate, for putting cheap kids first

	kids []*node // opAnd, opOr: in the order written
	plan []*node // the same, cheapest first

	field  *fieldDef
	key    string // kindHeader: the name in lower case
	texts  []string
	ranges []span
	nets   []network
	at     moment
	re     *regexp.Regexp
}

// span is a number, or a class of them: 5xx is 500 to 599.
type span struct{ lo, hi int64 }

// network is what an address is compared with; the invalid prefix is "no address known".
type network struct {
	prefix netip.Prefix
	single bool // written as an address, not as a range
}

// moment is a time literal: a fixed time, or an offset from now.
type moment struct {
	fixed    time.Time
	relative bool
	offset   time.Duration
}

func (m moment) resolve(now time.Time) time.Time {
	if m.relative {
		return now.Add(m.offset)
	}
	return m.fixed
}

// combine makes a conjunction or disjunction, taking in kids of its own sort.
func combine(o op, kids []*node) *node {
	if len(kids) == 1 {
		return kids[0]
	}
	n := &node{op: o}
	for _, k := range kids {
		if k.op == o {
			n.kids = append(n.kids, k.kids...)
		} else {
			n.kids = append(n.kids, k)
		}
	}
	return n
}

// arrange fills cost and plan.
func (n *node) arrange() {
	if n.op > opOr {
		n.cost = n.leafCost()
		return
	}
	for _, k := range n.kids {
		k.arrange()
		n.cost += k.cost
	}
	n.plan = slices.Clone(n.kids)
	slices.SortStableFunc(n.plan, func(a, b *node) int { return a.cost - b.cost })
}

func (n *node) leafCost() int {
	cost := 1
	switch n.op {
	case opContains, opIn:
		cost = 3
	case opMatches:
		cost = 20
	}
	switch n.field.kind {
	case kindIP, kindID:
		cost += 5
	case kindHeader:
		cost += 1 << 20 // may read the disk: after everything else
	case kindBody:
		cost += 1 << 21 // and may decompress
	}
	return cost
}

func (n *node) uses(id fieldID) bool {
	if n.op > opOr {
		return n.field.id == id
	}
	return slices.ContainsFunc(n.kids, func(k *node) bool { return k.uses(id) })
}

// append writes the canonical text; inner says that an enclosing conjunction needs a
// disjunction in parentheses.
func (n *node) append(b []byte, inner bool) []byte {
	if n.op <= opOr {
		paren := inner && n.op == opOr
		if paren {
			b = append(b, '(')
		}
		for i, k := range n.kids {
			if i > 0 {
				b = append(append(append(b, ' '), opText[n.op]...), ' ')
			}
			b = k.append(b, n.op == opAnd)
		}
		if paren {
			b = append(b, ')')
		}
		return b
	}
	if n.neg && n.op == opExists {
		b = append(b, '!')
	}
	b = append(b, n.field.name...)
	if n.field.kind == kindHeader {
		b = append(append(append(b, '['), strconv.Quote(n.key)...), ']')
	}
	switch {
	case n.op == opExists:
		return b
	case n.neg && n.op == opEqual:
		b = append(b, " != "...)
	case n.neg:
		b = append(append(append(b, " not "...), opText[n.op]...), ' ')
	default:
		b = append(append(append(b, ' '), opText[n.op]...), ' ')
	}
	if n.op != opIn {
		return n.appendValue(b, 0)
	}
	b = append(b, '[')
	for i := range max(len(n.texts), len(n.ranges), len(n.nets)) {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = n.appendValue(b, i)
	}
	return append(b, ']')
}

func (n *node) appendValue(b []byte, i int) []byte {
	switch k := n.field.kind; k {
	case kindIP:
		if n.op == opEqual || n.op == opIn {
			return strconv.AppendQuote(b, n.nets[i].String())
		}
		return strconv.AppendQuote(b, n.texts[i])
	case kindStatus, kindCount:
		if r := n.ranges[i]; r.lo != r.hi {
			return append(strconv.AppendInt(b, r.lo/100, 10), "xx"...)
		}
		return strconv.AppendInt(b, n.ranges[i].lo, 10)
	case kindSize:
		return appendSize(b, n.ranges[i].lo)
	case kindDuration:
		return appendDuration(b, time.Duration(n.ranges[i].lo))
	case kindTime:
		return n.at.append(b)
	default:
		return strconv.AppendQuote(b, n.texts[i])
	}
}

func (w network) String() string {
	switch {
	case !w.prefix.IsValid():
		return ""
	case w.single:
		return w.prefix.Addr().String()
	}
	return w.prefix.String()
}

func (m moment) append(b []byte) []byte {
	if !m.relative {
		return append(m.fixed.UTC().AppendFormat(append(b, '"'), time.RFC3339Nano), '"')
	}
	b = append(b, "now"...)
	if m.offset > 0 {
		return appendDuration(append(b, '+'), m.offset)
	}
	if m.offset < 0 {
		return appendDuration(append(b, '-'), -m.offset)
	}
	return b
}

type unit struct {
	name string
	size int64
}

// Units, the largest first: canonical texts use the first that divides evenly.
var (
	sizeUnits = []unit{{"TiB", 1 << 40}, {"TB", 1e12}, {"GiB", 1 << 30}, {"GB", 1e9}, {"MiB", 1 << 20}, {"MB", 1e6},
		{"KiB", 1 << 10}, {"KB", 1e3}, {"B", 1}}
	durationUnits = []unit{{"d", 24 * int64(time.Hour)}, {"h", int64(time.Hour)}, {"m", int64(time.Minute)}, {"s", int64(time.Second)},
		{"ms", 1e6}, {"us", 1e3}, {"ns", 1}}
)

func appendSize(b []byte, n int64) []byte {
	for _, u := range sizeUnits[:len(sizeUnits)-1] {
		if n != 0 && n%u.size == 0 {
			return append(strconv.AppendInt(b, n/u.size, 10), u.name...)
		}
	}
	return strconv.AppendInt(b, n, 10)
}

func appendDuration(b []byte, d time.Duration) []byte {
	if d == 0 {
		return append(b, "0s"...)
	}
	left := int64(d)
	for _, u := range durationUnits {
		if n := left / u.size; n > 0 {
			b = append(strconv.AppendInt(b, n, 10), u.name...)
			left -= n * u.size
		}
	}
	return b
}

// anyInt is the span of all numbers.
var anyInt = span{math.MinInt64, math.MaxInt64}
