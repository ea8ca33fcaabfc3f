package sqsqueue

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/record"
)

// Transfer sends ex to one destination's queue, from a place that keeps it until this has
// succeeded. A failure is no loss and not in the ledger, and neither is the call: whoever keeps
// the record counts both, and Config.Ahead adds them here.
func (q *Queue) Transfer(ctx context.Context, ex *tapway.Exchange, destination string) error {
	d, err := q.destination(destination)
	if err != nil {
		return err
	}
	if err := q.enter(); err != nil {
		return fmt.Errorf("transfer %s: %w", ex.ID, err)
	}
	defer q.senders.Done()
	ctx, cancel := context.WithTimeout(ctx, q.c.Patience)
	defer cancel()
	if err := d.post(ctx, &letter{id: ex.ID, time: ex.Time, group: groupID(q.c.GroupID(ex)), body: escape(record.Append(nil, ex))}); err != nil {
		return fmt.Errorf("transfer %s to destination %q: %w", ex.ID, destination, err)
	}
	d.account.captured()
	return nil
}

// addAhead counts in what has not reached the queues yet.
func (q *Queue) addAhead(ctx context.Context, l *tapway.Ledger) error {
	if q.c.Ahead == nil {
		return nil
	}
	ahead, err := q.c.Ahead(ctx)
	if err != nil {
		return err
	}
	l.Calls += ahead.Calls
	l.Stored += ahead.Stored
	l.Dropped = sum(l.Dropped, ahead.Dropped)
	for _, from := range ahead.Destinations {
		for i := range l.Destinations {
			if to := &l.Destinations[i]; to.Destination == from.Destination {
				to.Queued += from.Queued
				to.Captured += from.Queued
				to.Dropped = sum(to.Dropped, from.Dropped)
				for _, n := range from.Dropped {
					to.Captured += n
				}
			}
		}
	}
	return nil
}

// sum adds counts into a, which may be nil.
func sum(a, b map[string]uint64) map[string]uint64 {
	a = maps.Clone(a)
	if a == nil {
		a = map[string]uint64{}
	}
	for reason, n := range b {
		a[reason] += n
	}
	return a
}

// MaxReceives is after how many receives SQS itself moves a message of a destination to the
// dead letters, by the queue's redrive policy; 0 when it has none or it cannot be read.
func (q *Queue) MaxReceives(ctx context.Context, destination string) (int, error) {
	d, err := q.destination(destination)
	if err != nil {
		return 0, err
	}
	_, f, err := d.main.lookUp(ctx)
	return f.maxReceives, err
}

// Refused reports whether an error means that SQS has answered and will go on saying no until
// somebody changes something: a queue that does not exist, a missing permission.
func Refused(err error) bool {
	return err != nil && (!transient(err) || errors.Is(err, tapway.ErrNotFound))
}
