package sqsqueue

import (
	"context"
	"fmt"
	"maps"
	"sync"

	"github.com/tapway/tapway"
)

// account is what this process counts of one destination.
type account struct {
	mu        sync.Mutex
	known     bool   // backlog has been measured
	backlog   uint64 // messages that were there before this process sent any
	sent      uint64
	lostCount map[string]uint64 // not sent, or not wanted, by reason
	notSent   uint64            // of lostCount: never in the queue
	delivered uint64
}

func (a *account) init() { a.lostCount = map[string]uint64{} }

// captured counts a record the queue has taken.
func (a *account) captured() {
	a.mu.Lock()
	a.sent++
	a.mu.Unlock()
}

// lost counts a record the queue never had.
func (a *account) lost(reason string) {
	a.mu.Lock()
	a.lostCount[reason]++
	a.notSent++
	a.mu.Unlock()
}

// settled counts a record that has left the queue for good, other than by dying.
func (a *account) settled(o tapway.Outcome) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch o.Verdict {
	case tapway.Delivered:
		a.delivered++
	case tapway.Dropped:
		a.lostCount[o.Reason]++
	}
}

func (a *account) began() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.known
}

// begin takes the first measurement: what this process has not put there was there before.
func (a *account) begin(present uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.known {
		return
	}
	a.known = true
	left := a.delivered - a.notSent // of what was there or was sent
	for _, n := range a.lostCount {
		left += n
	}
	if present+left > a.sent {
		a.backlog = present + left - a.sent
	}
}

func (a *account) line(name string, queued, dead uint64) tapway.LedgerLine {
	a.mu.Lock()
	defer a.mu.Unlock()
	return tapway.LedgerLine{
		Destination: name, Captured: a.backlog + a.sent + a.notSent, Delivered: a.delivered,
		Queued: queued, Dead: dead, Dropped: maps.Clone(a.lostCount),
	}
}

// Ledger counts where everything ended up; the package comment says how exactly. It fails when
// SQS does not answer within Config.Patience.
func (q *Queue) Ledger(ctx context.Context) (tapway.Ledger, error) {
	ctx, cancel := context.WithTimeout(ctx, q.c.Patience)
	defer cancel()
	lines := make([]tapway.LedgerLine, len(q.names))
	errs := make([]error, len(q.names))
	parallel(len(q.names), 8, func(i int) {
		d := q.dests[q.names[i]]
		queued, dead, err := d.measure(ctx)
		if err != nil {
			errs[i] = fmt.Errorf("ledger of destination %q: %w", d.name, err)
			return
		}
		lines[i] = d.account.line(d.name, queued.total(), dead.total())
	})
	for _, err := range errs {
		if err != nil {
			return tapway.Ledger{}, err
		}
	}
	q.mu.Lock()
	l := tapway.Ledger{Calls: q.calls, Stored: q.stored, Dropped: maps.Clone(q.dropped), Destinations: lines}
	q.mu.Unlock()
	return l, q.addAhead(ctx, &l)
}

// Totals are the counts this process makes itself, without a call to SQS: for metrics. They
// miss what Ledger asks SQS for: Queued and Dead are 0 and Captured has no backlog.
func (q *Queue) Totals() tapway.Ledger {
	l := tapway.Ledger{}
	for _, name := range q.names {
		line := q.dests[name].account.line(name, 0, 0)
		line.Captured -= q.dests[name].account.before()
		l.Destinations = append(l.Destinations, line)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	l.Calls, l.Stored, l.Dropped = q.calls, q.stored, maps.Clone(q.dropped)
	return l
}

func (a *account) before() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.backlog
}
