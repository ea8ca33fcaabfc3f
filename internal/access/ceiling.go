package access

import (
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"
)

// Ceiling is the decider that ends a day's service when it has become too much: too many calls, or too much
// money. What is beyond is answered 429 until midnight UTC. Calls that another rule refuses do not count as
// calls; what they have cost counts.
type Ceiling struct {
	Calls *Budget // nil: no bound
	Cost  *Budget // nil: no bound; its unit is Nano dollars

	// Price is what a call has cost, in Nano dollars; needed with Cost.
	Price func(r *Request, took time.Duration) int64

	now func() time.Time // nil: time.Now; for tests
}

// Nano dollars make up a US dollar.
const Nano = 1e9

// Budget is what a day has.
type Budget struct {
	Limit int64
	what  string
	tally Tally
	log   *slog.Logger
	told  atomic.Int64 // the day whose end was logged
	near  func()
}

// nearShare is the share of a budget from which on somebody is told.
const nearShare = 0.8

// NewBudget makes the budget that the state counts under a name; what says in the log what is bounded. near
// is told when four fifths are used, once a day over all processes that count together; nil: nobody is.
func NewBudget(s *State, name, what string, limit int64, log *slog.Logger, near func()) *Budget {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	b := &Budget{Limit: limit, what: what, tally: s.counter.Tally("day/" + name), log: log, near: near}
	b.tally.Watch(b.watch)
	return b
}

// watch is told by the tally how it grows.
func (b *Budget) watch(start, before, after, limit int64) {
	mark := int64(nearShare * float64(limit))
	if before >= mark || after < mark {
		return
	}
	b.log.Warn("four fifths of the day's ceiling are used", "ceiling", b.what, "limit", limit, "used", after, "begins_anew", time.Unix(start, 0).UTC().AddDate(0, 0, 1).Format(time.RFC3339))
	if b.near != nil {
		b.near()
	}
}

// Phase is Decider.
func (*Ceiling) Phase() Phase { return Limits }

// Name is Decider.
func (*Ceiling) Name() string { return "ceiling" }

// Decide is Decider.
func (c *Ceiling) Decide(r *Request) *Refusal {
	start, end := Quota{Period: Day}.Window(r.Now)
	if r.Dry {
		return c.explain(r, start, end)
	}
	if refusal := c.Calls.take(r, start, end, "ceiling: calls of the day"); refusal != nil {
		return refusal
	}
	if refusal := c.Cost.take(r, start, end, "ceiling: cost of the day"); refusal != nil {
		if c.Calls != nil {
			c.Calls.tally.Give(start.Unix())
		}
		return refusal
	}
	return nil
}

// End is Holder. A call counts on the day it begins, and costs on the day it ends.
func (c *Ceiling) End(r *Request, served bool) {
	began, _ := Quota{Period: Day}.Window(r.Now)
	if c.Calls != nil && !served {
		c.Calls.tally.Give(began.Unix())
	}
	if c.Cost == nil {
		return
	}
	now := time.Now
	if c.now != nil {
		now = c.now
	}
	took := now().Sub(r.Now)
	price := c.Price(r, took)
	start, end := Quota{Period: Day}.Window(r.Now.Add(max(took, 0)))
	if start.Equal(began) {
		price-- // one was taken when the call began
	} else {
		c.Cost.tally.Give(began.Unix())
	}
	c.Cost.tally.Charge(start.Unix(), end.Unix(), price)
}

// take takes one; a nil Budget has no end.
func (b *Budget) take(r *Request, start, end time.Time, reason string) *Refusal {
	if b == nil {
		return nil
	}
	switch b.tally.Take(start.Unix(), end.Unix(), b.Limit, &r.wait) {
	case Spent:
		if b.told.Swap(start.Unix()) != start.Unix() {
			b.log.Error("the day's ceiling is reached: calls are answered 429", "ceiling", b.what, "limit", b.Limit, "until", end.Format(time.RFC3339))
		}
		return LimitExceeded(reason, end.Sub(r.Now))
	case Unknown:
		return uncounted
	}
	return nil
}

func (c *Ceiling) explain(r *Request, start, end time.Time) *Refusal {
	text, refusal := "", (*Refusal)(nil)
	for _, b := range []*Budget{c.Calls, c.Cost} {
		if b == nil {
			continue
		}
		used := b.tally.Used(start.Unix())
		if text != "" {
			text += "; "
		}
		text += fmt.Sprintf("%d of %d %s are used until %s", used, b.Limit, b.what, end.Format(time.RFC3339))
		if used >= b.Limit && refusal == nil {
			refusal = LimitExceeded("ceiling: "+b.what, end.Sub(r.Now))
		}
	}
	r.Because("%s", text)
	return refusal
}
