package delivery

import (
	"math/rand/v2"
	"slices"
	"time"
)

// Breaker says when a failing destination is left alone. It opens when a connection cannot
// be made, when the destination asks for it (429, 502, 503 or 504 with Retry-After), and
// after Threshold failures in a row; several refusals of one record count as one, so that a
// record the destination does not like cannot open it. While it is open nothing is received
// or attempted. When the delay is over a single record is sent as a probe: its success
// closes the breaker, its failure costs that record one attempt, but never its last, and
// doubles the delay. After that the number of attempts at a time starts at one and grows
// with every success.
//
// A probe that was refused may have been refused for its content: 400, 413 and 422 say so, and
// then up to Threshold records are probed before the delay doubles; after any refusal the next
// probe is another record. A destination that refuses one with 4xx and takes the next is picky, not down:
// for an hour twice as many refusals in a row are needed to open the breaker, then four times
// as many, up to 64 times, and the delay does not grow beyond twice Min.
type Breaker struct {
	Threshold int           // 0: 5; below 0: only Retry-After opens it
	Min       time.Duration // first delay; 0: 1 s
	Max       time.Duration // longest delay, unless Retry-After asks for more; 0: 1 min

	// MaxRetryAfter bounds how long one answer's Retry-After stops all deliveries: then a probe
	// asks again. The record that got it waits as long as it was told. 0: an hour, or the
	// Sender's Retry.Max where that is longer.
	MaxRetryAfter time.Duration
}

func (b *Breaker) threshold() int {
	if b.Threshold == 0 {
		return 5
	}
	return b.Threshold
}

// Phase is what a Worker may do at the moment.
type Phase string

const (
	Closed   Phase = "closed"    // delivering
	Open     Phase = "open"      // the destination is failing: waiting for the next probe
	HalfOpen Phase = "half-open" // one probe at a time
	Paused   Phase = "paused"    // until Resume
)

// breaker is the state machine; its user holds a mutex around every call.
type breaker struct {
	Breaker
	most   int            // attempts at a time when all is well
	random func() float64 // spreads the probes of several tapways

	phase    Phase
	since    time.Time
	until    time.Time // open: when the next probe is due
	pausedBy string
	reason   string
	delay    time.Duration
	failures int      // in a row
	wide     bool     // one of them tells about the destination
	refused  []string // requests among them that may have failed for their content
	streak   int      // refusals in a row, several of one record counted
	search   int      // probes in a row that may have failed for their content
	picky    bool     // and the last one said so
	limit    int      // attempts at a time
	probing  bool
	lenient  int       // refusals in a row that open it while the destination is known as picky
	leniency time.Time // when that ends
	epoch    uint64    // grows with every change of phase: answers to earlier attempts no longer count
}

// How picky a destination may be: see Breaker.
const (
	pickyMost = 64
	pickyFor  = time.Hour
)

func (b *breaker) enter(phase Phase, reason string, now time.Time) {
	b.phase, b.reason, b.since = phase, reason, now
	b.until, b.pausedBy = time.Time{}, ""
	b.probing = false
	b.epoch++
}

// shut reports whether nothing may be received.
func (b *breaker) shut() bool { return b.phase == Open || b.phase == Paused }

// room is how many more attempts may start while inflight are running. An open breaker
// becomes half-open here when its time has come.
func (b *breaker) room(now time.Time, inflight int) int {
	if b.phase == Open && !now.Before(b.until) {
		b.enter(HalfOpen, b.reason, now)
		b.refused = b.refused[:0]
	}
	switch {
	case b.phase == Closed:
		return max(b.limit-inflight, 0)
	case b.phase == HalfOpen && !b.probing && inflight < b.most:
		return 1
	}
	return 0
}

// begin notes that an attempt starts; its epoch goes to end.
func (b *breaker) begin() (epoch uint64, probe bool) {
	b.probing = b.phase == HalfOpen
	return b.epoch, b.probing
}

// end learns from an attempt.
func (b *breaker) end(now time.Time, epoch uint64, r *report) {
	if epoch != b.epoch || b.phase == Paused {
		return
	}
	b.probing = false
	f := &r.failure
	if r.accepted {
		b.success(now)
	}
	switch {
	case f.class == Gone:
		b.pause("destination", f.reason, now)
	case f.class == Busy && f.retryAfter > 0:
		b.open(now, f)
	case f.class == Stopped || f.class == 0 || r.accepted:
	case b.phase == HalfOpen:
		b.failures++
		b.probeFailed(now, f)
	default:
		b.failure(now, f)
	}
}

func (b *breaker) success(now time.Time) {
	if b.search > 0 && b.picky {
		b.lenient = min(2*b.patience(now), pickyMost*b.threshold())
		b.leniency = now.Add(pickyFor)
	}
	b.forgive()
	if b.phase == HalfOpen {
		b.enter(Closed, "", now)
		b.limit = 1
	}
	b.limit = min(b.limit+1, b.most)
}

// patience is how many refusals in a row open the breaker.
func (b *breaker) patience(now time.Time) int {
	if now.Before(b.leniency) {
		return max(b.lenient, b.threshold())
	}
	return b.threshold()
}

// probeFailed decides whether another record is probed at once.
func (b *breaker) probeFailed(now time.Time, f *answer) {
	if !f.class.wide() {
		b.search++
		b.picky = f.class == Rejected || f.status/100 == 4
	}
	if f.class == Rejected && !slices.Contains(b.refused, f.id) {
		if b.refused = append(b.refused, f.id); len(b.refused) < b.threshold() {
			return
		}
	}
	b.open(now, f)
}

func (b *breaker) failure(now time.Time, f *answer) {
	t := b.threshold()
	if f.class.wide() {
		b.failures++
		b.wide = true
	} else {
		b.streak++
		if !slices.Contains(b.refused, f.id) {
			b.failures++
			if len(b.refused) < t {
				b.refused = append(b.refused, f.id)
			}
		}
	}
	if f.class == Busy {
		b.limit = max(b.limit/2, 1)
	}
	enough := b.failures >= t && (b.wide || b.streak >= b.patience(now))
	if t > 0 && (enough || f.class == Unreachable) {
		b.open(now, f)
	}
}

// forgive forgets the failures: what comes is judged anew.
func (b *breaker) forgive() {
	b.failures, b.streak, b.wide, b.refused, b.delay, b.search = 0, 0, false, b.refused[:0], 0, 0
}

// open leaves the destination alone for the next delay, or for as long as it asked, within bounds.
func (b *breaker) open(now time.Time, f *answer) {
	least, most := orDefault(b.Min, time.Second), orDefault(b.Max, time.Minute)
	if !f.class.wide() && now.Before(b.leniency) {
		most = min(most, 2*least)
	}
	b.delay = min(max(2*b.delay, least), max(least, most))
	wait := b.delay/2 + time.Duration(b.random()*float64(b.delay/2))
	if f.class.wide() {
		b.search = 0
	}
	if f.class == Busy { // with other answers Retry-After is about the record
		wait = max(wait, min(f.retryAfter, orDefault(b.MaxRetryAfter, time.Hour)))
	}
	b.enter(Open, f.reason, now)
	b.until = now.Add(wait)
}

func (b *breaker) pause(by, reason string, now time.Time) {
	b.enter(Paused, reason, now)
	b.pausedBy = by
}

// resume ends a pause, or an open breaker's wait, with a probe.
func (b *breaker) resume(now time.Time) bool {
	if !b.shut() {
		return false
	}
	b.forgive()
	b.enter(HalfOpen, b.reason, now)
	return true
}

func newBreaker(config Breaker, most int, random func() float64, now time.Time) *breaker {
	if random == nil {
		random = rand.Float64
	}
	return &breaker{Breaker: config, most: most, limit: most, random: random, phase: Closed, since: now}
}
