package sqsqueue

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/queue/claimcheck"
	"github.com/tapway/tapway/internal/record"
)

// Queue is the SQS queues of all destinations. It is safe for concurrent use.
type Queue struct {
	c     Config
	names []string // of the destinations, sorted
	dests map[string]*destination

	life    context.Context // ends when the queue is closed
	end     context.CancelFunc
	senders sync.WaitGroup // running Enqueue calls; added to under mu while not closed

	mu      sync.Mutex
	closed  bool
	calls   uint64
	stored  uint64
	dropped map[string]uint64
}

var _ tapway.Queue = (*Queue)(nil)

// destination is one destination's queue and dead-letter queue, and this process's account of it.
type destination struct {
	q    *Queue
	name string
	main *target

	memory memory
	spent  recent // blobs that were deleted with their message

	mu   sync.Mutex
	dead *target // nil: not looked up yet

	account account
}

var _ tapway.Subscription = (*destination)(nil)

// New checks the configuration. It makes no call: the queues are looked up when they are first
// used, or by Prepare.
func New(c Config) (*Queue, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	c.withDefaults()
	q := &Queue{c: c, dests: map[string]*destination{}, dropped: map[string]uint64{}}
	q.life, q.end = context.WithCancel(context.Background())
	for name, ref := range c.Queues {
		d := &destination{q: q, name: name, main: newTarget(q, ref)}
		d.memory.init(rememberedMax)
		d.spent.init(rememberedMax)
		d.account.init()
		if dead := c.DeadLetters[name]; dead != "" {
			d.dead = newTarget(q, dead)
		}
		q.dests[name] = d
	}
	q.names = slices.Sorted(maps.Keys(q.dests))
	return q, nil
}

// Prepare looks up every queue and its dead-letter queue and counts what lies there, so that the
// first record does not wait for it and the ledger begins with it. Who only sends need not
// call it, and need not have the permissions.
func (q *Queue) Prepare(ctx context.Context) error {
	errs := make([]error, len(q.names))
	parallel(len(q.names), 8, func(i int) { errs[i] = q.dests[q.names[i]].begin(ctx) })
	return errors.Join(errs...)
}

// begin finds the dead-letter queue and counts the backlog once.
func (d *destination) begin(ctx context.Context) error {
	if _, err := d.deadLetters(ctx); err != nil || d.account.began() {
		return err
	}
	_, _, err := d.measure(ctx)
	return err
}

// measure counts what is queued and dead now. Without a dead-letter queue nothing is dead.
func (d *destination) measure(ctx context.Context) (queued, dead depth, err error) {
	if queued, err = d.main.measure(ctx); err != nil {
		return queued, dead, err
	}
	dl, err := d.deadLetters(ctx)
	if err == nil {
		dead, err = dl.measure(ctx)
	} else if errors.Is(err, tapway.ErrNotFound) {
		err = nil
	}
	if err == nil {
		d.account.begin(queued.total() + dead.total())
	}
	return queued, dead, err
}

// enter admits a call that Close waits for.
func (q *Queue) enter() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return tapway.ErrClosed
	}
	q.senders.Add(1)
	return nil
}

// letter is one record for several destinations.
type letter struct {
	id    tapway.ID
	time  time.Time
	group string
	body  []byte

	many   bool      // destinations
	shared sync.Once // with Claims.Keep: the blob that serves all
	ticket claimcheck.Ticket
	failed error
}

// Enqueue makes the record of ex and sends it to every destination's queue. It tries again
// what can be tried again, as long as ctx and Config.Patience allow.
//
// Some queues may take the record and others not: the error is then an *EnqueueError, and the
// ledger has the loss of those that did not. A call that got no answer may have succeeded
// all the same, so what is sent again by other means can arrive twice, under the same ID.
func (q *Queue) Enqueue(ctx context.Context, ex *tapway.Exchange) error {
	if err := ctx.Err(); err != nil {
		q.Drop(reason(ctx, err))
		return fmt.Errorf("enqueue %s: %w", ex.ID, err)
	}
	if err := q.enter(); err != nil {
		q.Drop(reason(ctx, err))
		return fmt.Errorf("enqueue %s: %w", ex.ID, err)
	}
	defer q.senders.Done()
	return q.post(ctx, &letter{id: ex.ID, time: ex.Time, group: groupID(q.c.GroupID(ex)), body: escape(record.Append(nil, ex))}, q.names)
}

// EnqueueRecord is Enqueue for a record that was made before, for the named destinations; none
// is all of them. It is how what an EnqueueError gave back is put into the queue later; to the
// ledger it is a new call.
func (q *Queue) EnqueueRecord(ctx context.Context, rec []byte, destinations ...string) error {
	ex, err := record.Parse(rec)
	if err != nil {
		return fmt.Errorf("enqueue a record: %w", err)
	}
	if len(destinations) == 0 {
		destinations = q.names
	}
	for _, name := range destinations {
		if q.dests[name] == nil {
			return fmt.Errorf("enqueue %s: destination %q: %w", ex.ID, name, tapway.ErrNotFound)
		}
	}
	if err := q.enter(); err != nil {
		return fmt.Errorf("enqueue %s: %w", ex.ID, err)
	}
	defer q.senders.Done()
	return q.post(ctx, &letter{id: ex.ID, time: ex.Time, group: groupID(q.c.GroupID(ex)), body: escape(rec)}, destinations)
}

// post sends a letter to destinations and books the results.
func (q *Queue) post(ctx context.Context, l *letter, names []string) error {
	caller := ctx
	l.many = len(names) > 1
	ctx, cancel := context.WithTimeout(ctx, q.c.Patience)
	defer cancel()
	errs := make([]error, len(names))
	parallel(len(names), len(names), func(i int) { errs[i] = q.dests[names[i]].post(ctx, l) })
	e := &EnqueueError{ID: l.id, Failed: map[string]error{}}
	first := ""
	for i, name := range names {
		if err := errs[i]; err != nil {
			e.Failed[name] = err
			if first == "" {
				first = reason(caller, err)
			}
			q.dests[name].account.lost(reason(caller, err))
			continue
		}
		e.Stored = append(e.Stored, name)
		q.dests[name].account.captured()
	}
	q.mu.Lock()
	q.calls++
	if len(e.Stored) > 0 {
		q.stored++
	} else {
		q.dropped[first]++
	}
	q.mu.Unlock()
	if len(e.Failed) == 0 {
		return nil
	}
	e.Record = l.body
	return e
}

// post sends a letter to one destination.
func (d *destination) post(ctx context.Context, l *letter) error {
	if _, _, err := d.main.lookUp(ctx); err != nil {
		return err
	}
	p := &parcel{body: string(l.body), attributes: attributes{AttributeID: text(l.id.String()), AttributeTime: at(l.time)}, group: l.group, letter: l}
	if l.id.IsZero() {
		delete(p.attributes, AttributeID)
	}
	if err := d.main.fit(ctx, p); err != nil {
		return err
	}
	return d.main.send(ctx, p)[0]
}

// Drop counts a call of which no record is kept.
func (q *Queue) Drop(reason string) {
	q.mu.Lock()
	q.calls++
	q.dropped[reason]++
	q.mu.Unlock()
	for _, d := range q.dests {
		d.account.lost(reason)
	}
}

// Subscribe gives the consumer side of a configured destination. Its position is the queue
// itself; several processes share it.
func (q *Queue) Subscribe(name string) (tapway.Subscription, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, tapway.ErrClosed
	}
	return q.destination(name)
}

func (q *Queue) destination(name string) (*destination, error) {
	d := q.dests[name]
	if d == nil {
		return nil, fmt.Errorf("destination %q has no SQS queue: %w", name, tapway.ErrNotFound)
	}
	return d, nil
}

// Close ends every Receive and waits for running Enqueue calls, at most Config.Patience. What
// was received and not settled is received again by others when its lease ends.
func (q *Queue) Close() error {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.end()
	q.senders.Wait()
	return nil
}

// open is nil, or ErrClosed.
func (q *Queue) open() error {
	if q.life.Err() != nil {
		return tapway.ErrClosed
	}
	return nil
}

// untilClosed is ctx that also ends with the queue.
func (q *Queue) untilClosed(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(q.life, cancel)
	return ctx, func() { stop(); cancel() }
}

// parallel calls do for 0 to n-1, at most limit at a time, and returns when all have returned.
func parallel(n, limit int, do func(i int)) {
	if n == 1 {
		do(0)
		return
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, max(limit, 1))
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			do(i)
		})
	}
	wg.Wait()
}
