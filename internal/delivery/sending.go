package delivery

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/tapway/tapway"
)

// maxRequests bounds the search for the bad records of a refused batch: one among a
// thousand is found in 21 requests.
const maxRequests = 32

// sending is one Send under way.
type sending struct {
	report
	s      *Sender
	ctx    context.Context // of the Send, which this never outlives
	batch  []tapway.Message
	begun  time.Time
	halted bool // the destination is down: nothing more is attempted
}

// chunk is encoded records that may go into one request.
type chunk struct {
	*payload
	parts []part
}

// part is where one message's record lies in a chunk.
type part struct{ message, start, end int }

func (r *sending) all() {
	layout := &r.s.ready.layout
	frame := len(layout.prefix) + len(layout.after)
	c := chunk{payload: newPayload()}
	c.buf = slices.Grow(c.buf, r.guess())
	for i := range r.batch {
		if len(c.parts) == r.s.Batch.records() {
			r.deliver(&c, 0, len(c.parts), nil)
			c.release()
			c = chunk{payload: newPayload()}
		}
		if r.over() {
			r.outcomes[i] = r.untried()
			continue
		}
		before := len(c.buf)
		if len(c.parts) > 0 {
			c.buf = append(c.buf, layout.between...)
		}
		start := len(c.buf)
		buf, err := r.s.encode(c.buf, &r.batch[i])
		if err != nil {
			c.buf = c.buf[:before]
			r.outcomes[i] = tapway.Outcome{Verdict: tapway.Dead, Reason: "no record can be made of it: " + short(err)}
			continue
		}
		c.buf = buf
		if len(c.parts) > 0 && frame+len(c.buf) > r.s.Batch.bytes() {
			next := chunk{payload: newPayload()}
			next.buf = append(next.buf, c.buf[start:]...)
			r.deliver(&c, 0, len(c.parts), nil)
			c.release()
			c, start = next, 0
		}
		c.parts = append(c.parts, part{i, start, len(c.buf)})
	}
	if len(c.parts) > 0 {
		r.deliver(&c, 0, len(c.parts), nil)
	}
	c.release()
}

// guess is about how long the batch's records are, as far as they go into one request: a buffer that grows
// record by record is copied several times over.
func (r *sending) guess() (n int) {
	for i := range r.batch {
		m := &r.batch[i]
		n += len(m.Record) + len(m.Frame) + len(m.Frame)/16
		if m.Frame != nil {
			n += 1024 // the names of a record's fields, and what it spells out
		}
	}
	return min(n, r.s.Batch.bytes())
}

// over reports whether no more requests are to be made.
func (r *sending) over() bool {
	return r.halted || r.ctx.Err() != nil || r.late()
}

func (r *sending) late() bool {
	return r.requests > 0 && time.Since(r.begun) > 2*r.s.timeout()
}

func (r *sending) untried() tapway.Outcome {
	o := tapway.Outcome{Verdict: tapway.Released, After: r.failure.retryAfter, Reason: "not attempted"}
	if r.failure.class == Gone {
		o.After = r.s.Retry.max()
	}
	return o
}

// deliver sends the parts from lo up to hi, halving them when they are refused. refused is
// the answer that a larger batch with all of them got; nil if there was none.
func (r *sending) deliver(c *chunk, lo, hi int, refused *answer) {
	if r.over() {
		for _, p := range c.parts[lo:hi] {
			if refused != nil {
				r.outcomes[p.message] = r.amongOthers(p.message, refused)
			} else {
				r.outcomes[p.message] = r.untried()
			}
		}
		return
	}
	a := r.request(c, lo, hi)
	if a.class == Rejected && hi-lo > 1 && r.requests < maxRequests && !r.late() {
		mid := lo + (hi-lo)/2
		r.deliver(c, lo, mid, &a)
		r.deliver(c, mid, hi, &a)
		return
	}
	for _, p := range c.parts[lo:hi] {
		if a.class == Rejected && hi-lo > 1 {
			r.outcomes[p.message] = r.amongOthers(p.message, &a)
		} else {
			r.outcomes[p.message] = r.s.outcome(&r.batch[p.message], &a)
		}
	}
}

// amongOthers is the outcome of a message that was refused together with others: where the first
// attempt is the last it has one more, alone, because nobody has said that it is the bad one.
func (r *sending) amongOthers(i int, a *answer) tapway.Outcome {
	o := r.s.outcome(&r.batch[i], a)
	if o.Verdict == tapway.Dead && r.batch[i].Attempts == 0 {
		o = tapway.Outcome{Verdict: tapway.Retry, After: r.s.Retry.Delay(1, a.retryAfter), Reason: a.reason, Status: a.status}
	}
	return o
}

func (r *sending) request(c *chunk, lo, hi int) answer {
	layout := &r.s.ready.layout
	t := text{layout.prefix, c.buf[c.parts[lo].start:c.parts[hi-1].end], layout.after}
	var few [1]tapway.ID
	ids, number := few[:0], 0
	if hi-lo > len(few) {
		ids = make([]tapway.ID, 0, hi-lo)
	}
	for _, p := range c.parts[lo:hi] {
		ids = append(ids, r.batch[p.message].ID)
		number = max(number, r.batch[p.message].Attempts+1)
	}
	var traceparent string
	var end func(Attempt)
	if r.s.Begin != nil {
		traceparent, end = r.s.Begin(r.messages(c.parts[lo:hi]))
	}
	began := time.Now()
	a := r.s.post(r.ctx, c.payload, t, requestID(ids), number, traceparent)
	r.requests++
	r.bytes += t.len()
	if a.class == Accepted {
		r.accepted = true
	} else {
		r.failure = a
		r.halted = a.class.wide()
	}
	told := Attempt{
		Destination: r.s.Name, ID: a.id, Records: hi - lo, Number: number, Class: a.class,
		Status: a.status, Reason: a.reason, Bytes: t.len(), Took: time.Since(began),
	}
	if r.s.Observe != nil {
		r.s.Observe(told)
	}
	if end != nil {
		end(told)
	}
	return a
}

// messages are those whose records the parts are.
func (r *sending) messages(parts []part) iter.Seq[*tapway.Message] {
	return func(yield func(*tapway.Message) bool) {
		for _, p := range parts {
			if !yield(&r.batch[p.message]) {
				return
			}
		}
	}
}
