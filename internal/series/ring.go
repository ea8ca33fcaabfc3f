package series

import "time"

// rings are the resolutions that are kept: each a little longer than the two hours, the day and
// the thirty days that are asked for. Their order and sizes are the file's layout.
var rings = [3]struct {
	step  Step
	slots int
}{{Fine, 750}, {Minute, 1500}, {Hour, 744}}

// slot is what happened in one step.
type slot struct {
	start          int64 // of the step, seconds since 1970; 0: nothing yet
	client, server uint32
	in, out        uint64
	hist           histogram
	dirty          bool // not in the file yet
}

func (s *slot) merge(o *slot) {
	s.client, s.server = plus(s.client, o.client), plus(s.server, o.server)
	s.in, s.out = s.in+o.in, s.out+o.out
	s.hist.add(&o.hist)
}

func (s *slot) point(at int64) Point {
	p := Point{At: time.Unix(at, 0).UTC(), Calls: s.hist.count(), Errors4xx: uint64(s.client), Errors5xx: uint64(s.server), BytesIn: s.in, BytesOut: s.out}
	if p.Calls > 0 {
		ms := func(q float64) float64 { return float64(s.hist.quantile(q).Microseconds()) / 1000 }
		p.P50, p.P90, p.P99 = ms(.5), ms(.9), ms(.99)
	}
	return p
}

// ring is slots in a circle: a step's place follows from its time.
type ring struct{ slots []slot }

// place gives a time's slot and where its step begins.
func (r *ring) place(ring int, t int64) (*slot, int64) {
	width := int64(time.Duration(rings[ring].step) / time.Second)
	start := align(t, width)
	n := int64(len(r.slots))
	return &r.slots[((start/width)%n+n)%n], start
}

func (r *ring) find(ring int, t int64) *slot {
	if s, start := r.place(ring, t); s.start == start {
		return s
	}
	return nil
}

func (r *ring) add(ring int, at time.Time, d *slot) {
	s, start := r.place(ring, at.Unix())
	if s.start != start {
		*s = slot{start: start}
	}
	s.merge(d)
	s.dirty = true
}
