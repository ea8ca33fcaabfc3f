package filter

import (
	"net/netip"
	"strings"
	"time"
	"unsafe"

	"github.com/tapway/tapway"
)

// run is the state of one Match.
type run struct {
	meta              *tapway.Meta
	env               *Env // nil: only what an index has is known
	loaded            bool
	request, response tapway.Header
	now               time.Time

	read                      bool
	requestBody, responseBody []byte
}

func (r *run) eval(n *node) bool {
	switch n.op {
	case opAnd:
		for _, k := range n.plan {
			if !r.eval(k) {
				return false
			}
		}
		return true
	case opOr:
		for _, k := range n.plan {
			if r.eval(k) {
				return true
			}
		}
		return false
	}
	return r.compare(n) != n.neg
}

// compare evaluates one comparison without its negation.
func (r *run) compare(n *node) bool {
	switch k := n.field.kind; {
	case k == kindHeader:
		return r.compareHeader(n)
	case k == kindBody:
		return r.compareBody(n)
	case k == kindIP:
		return compareIP(n, r.meta.ClientIP)
	case k == kindID:
		return compareID(n, r.meta.ID)
	case k == kindTime:
		return compareOrder(n.op, r.meta.Time.Compare(n.at.resolve(r.moment(n))))
	case k.numeric():
		return compareNumber(n, r.number(n.field.id))
	}
	return compareText(n, r.text(n.field.id))
}

func (r *run) moment(n *node) time.Time {
	if n.at.relative && r.now.IsZero() {
		if r.env != nil {
			r.now = r.env.Now
		}
		if r.now.IsZero() {
			r.now = time.Now()
		}
		r.now = r.now.Round(0) // wall clock only: bounds and comparisons must agree
	}
	return r.now
}

func (r *run) text(id fieldID) string {
	m := r.meta
	switch id {
	case fieldMethod:
		return m.Method
	case fieldPath:
		return m.Path
	case fieldQuery:
		return m.Query
	case fieldFrom:
		return m.From
	case fieldRoute:
		return m.Route
	case fieldFront:
		return string(m.Front)
	case fieldOrigin:
		return string(m.Origin)
	case fieldError:
		return m.Error
	case fieldTraceID:
		return m.TraceID
	case fieldDestination:
		if r.env == nil {
			return ""
		}
		return r.env.Destination
	}
	panic("filter: a field of text without a value")
}

func (r *run) number(id fieldID) int64 {
	m := r.meta
	switch id {
	case fieldStatus:
		return int64(m.Status)
	case fieldDuration:
		return int64(m.Duration)
	case fieldOverhead:
		return int64(m.Overhead)
	case fieldSize:
		return m.RequestSize + m.ResponseSize
	case fieldRequestSize:
		return m.RequestSize
	case fieldResponseSize:
		return m.ResponseSize
	case fieldAttempts:
		if r.env == nil {
			return 0
		}
		return int64(r.env.Attempts)
	}
	panic("filter: a number without a value")
}

func compareText(n *node, s string) bool {
	switch n.op {
	case opExists:
		return s != ""
	case opEqual:
		return s == n.texts[0]
	case opContains:
		return strings.Contains(s, n.texts[0])
	case opStartsWith:
		return strings.HasPrefix(s, n.texts[0])
	case opEndsWith:
		return strings.HasSuffix(s, n.texts[0])
	case opMatches:
		return n.re.MatchString(s)
	}
	for _, t := range n.texts {
		if s == t {
			return true
		}
	}
	return false
}

func compareNumber(n *node, v int64) bool {
	first := n.ranges[0]
	switch n.op {
	case opLess:
		return v < first.lo
	case opLessEqual:
		return v <= first.hi
	case opGreater:
		return v > first.hi
	case opGreaterEqual:
		return v >= first.lo
	}
	for _, s := range n.ranges {
		if s.lo <= v && v <= s.hi {
			return true
		}
	}
	return false
}

// compareOrder decides from the sign of (value - literal).
func compareOrder(o op, sign int) bool {
	switch o {
	case opLess:
		return sign < 0
	case opLessEqual:
		return sign <= 0
	case opGreater:
		return sign > 0
	case opGreaterEqual:
		return sign >= 0
	}
	return sign == 0
}

func compareIP(n *node, s string) bool {
	if n.op != opEqual && n.op != opIn {
		return compareText(n, s)
	}
	addr, _ := netip.ParseAddr(s) // invalid: no network holds it
	addr = addr.Unmap().WithZone("")
	for _, w := range n.nets {
		if w.prefix.IsValid() && w.prefix.Contains(addr) || !w.prefix.IsValid() && s == "" {
			return true
		}
	}
	return false
}

func compareID(n *node, id tapway.ID) bool {
	if n.op != opEqual && n.op != opIn {
		return compareText(n, id.String())
	}
	var buf [36]byte
	text := buf[:0]
	if !id.IsZero() {
		text = id.Append(text)
	}
	for _, t := range n.texts {
		if string(text) == t {
			return true
		}
	}
	return false
}

// compareHeader holds when any line of that name satisfies the comparison; without a line
// the value is "".
func (r *run) compareHeader(n *node) bool {
	if !r.loaded {
		r.loaded = true
		if r.env.Header != nil {
			r.request, r.response = r.env.Header()
		}
	}
	h := r.request
	if n.field.id == fieldResponseHeaders {
		h = r.response
	}
	found := false
	for i := range h {
		if len(h[i].Name) == len(n.key) && strings.EqualFold(h[i].Name, n.key) {
			found = true
			if compareText(n, h[i].Value) {
				return true
			}
		}
	}
	return !found && compareText(n, "")
}

// compareBody holds when a body that there is satisfies the comparison; without one the value
// is "".
func (r *run) compareBody(n *node) bool {
	if !r.read {
		r.read = true
		if r.env.Body != nil {
			r.requestBody, r.responseBody = r.env.Body()
		}
	}
	request, response := text(r.requestBody), text(r.responseBody)
	switch {
	case n.field.id == fieldRequestBody:
		return compareText(n, request)
	case n.field.id == fieldResponseBody:
		return compareText(n, response)
	case request == "" || response == "":
		return compareText(n, request+response)
	}
	return compareText(n, request) || compareText(n, response)
}

// text is b without a copy: nobody changes a body while a filter reads it.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
