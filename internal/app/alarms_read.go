package app

import (
	"context"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/alarm"
	"github.com/tapway/tapway/internal/config"
)

const (
	readMost   = 5 * time.Second // for one reading
	oldestLook = 50              // records looked at to find those that wait longest
	dropsCount = "drops"         // the name under which alarms remember the count of drops
)

// read measures everything once.
func (a *alarms) read(ctx context.Context, now time.Time) alarm.Reading {
	ctx, cancel := context.WithTimeout(ctx, readMost)
	defer cancel()
	a.mu.Lock()
	c := a.config
	a.mu.Unlock()
	r := alarm.Reading{Unknown: map[string]string{}}
	f := a.queue.figures(ctx)
	names := a.names()
	a.deadLetters(&f, &r)
	a.oldest(&f, names, now, &r)
	a.rates(&c, names, now, &r)
	a.disk(&r)
	a.ledgerDrops(&c, &f, now, &r)
	return r
}

// deadLetters are those of every destination that has been one, also of those that are not
// configured any more.
func (a *alarms) deadLetters(f *figures, r *alarm.Reading) {
	counts := map[string]uint64{}
	switch {
	case f.reachable != nil && (!*f.reachable || f.ledger == nil):
		r.Unknown[alarm.DeadLetters] = "SQS does not tell of its queues"
		return
	case f.reachable != nil:
		for _, line := range f.ledger.Destinations {
			counts[line.Destination] = line.Dead
		}
	case f.store == nil:
		r.Unknown[alarm.DeadLetters] = "the queue cannot be read"
		return
	default:
		for _, d := range f.store.Destinations {
			counts[d.Destination] = d.Dead
		}
	}
	for name, n := range counts {
		r.Samples = append(r.Samples, alarm.Sample{Name: alarm.DeadLetters, Destination: name, Value: float64(n), Detail: func() alarm.Detail { return a.letters(name) }})
	}
}

// letters looks up what a message tells of dead letters. Letters in SQS are not looked at: that
// would hide them from others.
func (a *alarms) letters(destination string) alarm.Detail {
	d := alarm.Detail{LastError: a.lastError(destination)}
	e, ok := a.queue.(*diskEngine)
	if !ok {
		return d
	}
	ctx, cancel := context.WithTimeout(context.Background(), readMost)
	defer cancel()
	for l, err := range e.DeadLetters(ctx, destination) {
		if err != nil || len(d.Records) == shownRecords {
			break
		}
		d.Records = append(d.Records, l.Meta.ID.String())
		if a.lastError(destination) == "" {
			d.LastError = l.Reason
		}
	}
	return d
}

// lastError is how the last attempt of this process at a destination failed, "" if none has.
func (a *alarms) lastError(destination string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if t := a.deliveries[destination]; t != nil {
		return t.error
	}
	return ""
}

// oldest is how long the oldest record waits. Of a queue on SQS that is what waits here to be
// sent to it: only CloudWatch tells the age of what is in it.
func (a *alarms) oldest(f *figures, names []string, now time.Time, r *alarm.Reading) {
	stats, why := f.store, ""
	if f.reachable != nil {
		stats, why = f.outbox, "counted are records on this machine that wait for SQS, the age of those in SQS is CloudWatch's to tell"
	}
	if stats == nil {
		r.Unknown[alarm.OldestAge] = "the queue cannot be read"
		return
	}
	since := map[string]time.Time{}
	for _, d := range stats.Destinations {
		since[d.Destination] = d.OldestQueued
	}
	for _, name := range names {
		s := alarm.Sample{Name: alarm.OldestAge, Destination: name, Why: why}
		if at := since[name]; !at.IsZero() {
			s.Value = max(now.Sub(at).Seconds(), 0)
			s.Detail = func() alarm.Detail { return a.waiting(name, at) }
		}
		r.Samples = append(r.Samples, s)
	}
}

// waiting looks up the records that wait longest for a destination.
func (a *alarms) waiting(destination string, since time.Time) alarm.Detail {
	d := alarm.Detail{LastError: a.lastError(destination)}
	e, ok := a.queue.(*diskEngine)
	if !ok {
		return d
	}
	ctx, cancel := context.WithTimeout(context.Background(), readMost)
	defer cancel()
	for m, err := range e.Search(ctx, tapway.Search{Since: since.Add(-time.Millisecond), Oldest: true, Limit: oldestLook}) {
		if err != nil || len(d.Records) == shownRecords {
			break
		}
		states, err := e.States(ctx, m.Seq)
		if err != nil {
			break
		}
		for _, s := range states {
			if s.Destination == destination && (s.State == "queued" || s.State == "leased" || s.State == "retrying") {
				d.Records = append(d.Records, m.ID.String())
			}
		}
	}
	return d
}

// rates are the shares of calls and of attempts that failed.
func (a *alarms) rates(c *config.Alarms, names []string, now time.Time, r *alarm.Reading) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r.Samples = append(r.Samples, a.rate(&a.calls, now, alarm.Sample{Name: alarm.ErrorRate}, c.ErrorRate.Window, c.ErrorRate.MinCalls, "calls"))
	known := map[string]*tally{}
	for _, name := range names {
		t := a.deliveries[name]
		if t == nil {
			t = &tally{}
		}
		known[name] = t
		s := alarm.Sample{Name: alarm.DeliveryErrorRate, Destination: name}
		r.Samples = append(r.Samples, a.rate(t, now, s, c.DeliveryErrorRate.Window, c.DeliveryErrorRate.MinAttempts, "attempts"))
	}
	a.deliveries = known // those that are gone are not counted any more
}

// rate fills in a sample of what failed within window. a.mu is held.
func (a *alarms) rate(t *tally, now time.Time, s alarm.Sample, window config.Duration, least int, what string) alarm.Sample {
	total, bad, whole := t.window.Over(now, window.D(), t.total, t.bad)
	if total > 0 {
		s.Value = float64(bad) / float64(total)
	}
	switch {
	case !whole && total < uint64(least):
		s.Quality = alarm.Early
		s.Value = 0
	case total < uint64(least):
		s.Quality, s.Why = alarm.Few, "fewer than the least number of "+what
	case !whole:
		s.Quality = alarm.Early
	}
	s.Detail = func() alarm.Detail {
		a.mu.Lock()
		defer a.mu.Unlock()
		return t.detail()
	}
	return s
}

func (a *alarms) disk(r *alarm.Reading) {
	free, err := freeSpace(a.data)
	if err != nil {
		r.Unknown[alarm.Disk] = err.Error()
		return
	}
	r.Samples = append(r.Samples, alarm.Sample{Name: alarm.Disk, Value: float64(free)})
}

// ledgerDrops is how many calls lately left no record. The count is remembered: what was dropped
// while nobody looked, shortly before the process ended, is not forgotten.
func (a *alarms) ledgerDrops(c *config.Alarms, f *figures, now time.Time, r *alarm.Reading) {
	if f.ledger == nil {
		r.Unknown[alarm.LedgerDrops] = "the ledger cannot be read"
		return
	}
	total := a.countDrops(f.ledger)
	before, counted := a.watch.Count(dropsCount)
	a.watch.Keep(dropsCount, total)
	if f.reachable != nil {
		before, counted = 0, true // counted since the process began
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.drops.Empty() && counted && before <= total {
		a.drops.Over(now, c.LedgerDrops.Window.D(), before, before)
	}
	n, _, whole := a.drops.Over(now, c.LedgerDrops.Window.D(), total, total)
	s := alarm.Sample{Name: alarm.LedgerDrops, Value: float64(n)}
	if !whole {
		s.Quality = alarm.Early
	}
	last := a.lastDrop
	s.Detail = func() alarm.Detail { return alarm.Detail{LastError: last} }
	r.Samples = append(r.Samples, s)
}

// byRule are reasons for which a rule or an operator wants no record; what is spilled is in the
// bucket.
var byRule = map[string]bool{"sampled": true, "filtered": true, "purged": true, "forgotten": true, "spilled": true}

// countDrops adds up what was lost, and notes which reason has grown.
func (a *alarms) countDrops(l *tapway.Ledger) (total uint64) {
	reasons := map[string]uint64{}
	for reason, n := range l.Dropped {
		if !byRule[reason] {
			reasons[reason] += n
		}
	}
	for _, line := range l.Destinations {
		for reason, n := range line.Dropped {
			if _, all := l.Dropped[reason]; !all && !byRule[reason] { // the others are in each line as well
				reasons[reason] += n
			}
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for reason, n := range reasons {
		total += n
		if n > a.dropped[reason] {
			a.lastDrop = reason
		}
	}
	a.dropped = reasons
	return total
}
