package app

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/admin"
	"github.com/tapway/tapway/internal/cloud"
	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/outbox"
	"github.com/tapway/tapway/internal/queue/diskqueue"
	"github.com/tapway/tapway/internal/queue/sqsqueue"
)

const (
	lookEvery   = 15 * time.Second // at the queues, for metrics and readiness
	lookAgain   = 2 * time.Second  // until they have been found
	lookTime    = 5 * time.Second  // for one look
	flushTime   = 5 * time.Second  // for what is still in the outbox when the process ends
	fewReceives = 3                // times retry.max_attempts: fewer may end a record early
)

// sqsEngine is the queue on SQS. What calls leave goes into an outbox on this machine's disk
// first, so that no call waits for SQS and none is lost while it is away: docs/decisions has why.
type sqsEngine struct {
	remote  *sqsqueue.Queue
	account *cloud.Account
	log     *slog.Logger
	limits  map[string]int // retry.max_attempts by destination; none: this process only sends
	feed    *feed
	spilled func(context.Context) (map[string]uint64, error) // nil: there is no bucket

	// What a process that only forwards does not have.
	disk   *diskqueue.Queue
	outbox *outbox.Outbox
	probe  probe
	before tapway.Ledger // disk's when this process began

	mu     sync.Mutex
	looked bool
	lines  []tapway.LedgerLine // as last seen; nil while SQS does not answer
	err    error               // why it does not
}

// openSQS opens the outbox and makes the clients. It makes no call.
func openSQS(c *config.Config, log *slog.Logger, forwards bool) (_ engine, err error) {
	e := &sqsEngine{log: log, limits: map[string]int{}, feed: newFeed()}
	defer func() {
		if err != nil {
			e.Close()
		}
	}()
	for _, d := range c.Destinations {
		e.limits[d.Name] = d.Retry.MaxAttempts
	}
	if e.account, err = cloud.Open(context.Background(), "", ""); err != nil {
		return nil, fmt.Errorf("queue %s: %w", c.Queue, err)
	}
	if e.spilled, err = spilledIn(e.account, c.Bucket); err != nil {
		return nil, fmt.Errorf("bucket %s: %w", c.Bucket, err)
	}
	conf, err := e.account.QueueConfig(c, lease(c.Destinations), log)
	if err != nil {
		return nil, fmt.Errorf("queue %s: %w", c.Queue, err)
	}
	if !forwards {
		conf.Ahead = e.ahead
	}
	if e.remote, err = sqsqueue.New(conf); err != nil {
		return nil, fmt.Errorf("queue: %w", err)
	}
	if forwards {
		return e, nil
	}
	if c.Bucket == "" {
		log.Warn("there is no bucket: records that are larger than the queue takes are lost; set bucket (TAPWAY_BUCKET)")
	}
	if err = e.openOutbox(c); err != nil {
		return nil, err
	}
	return e, nil
}

// openOutbox opens the outbox in the data directory.
func (e *sqsEngine) openOutbox(c *config.Config) (err error) {
	e.probe.dir = c.Data
	if hasStore(c.Data) {
		e.log.Warn("the data directory has records of the queue on disk; start once with queue: disk to deliver what is left of them", "data", c.Data)
	}
	if e.disk, err = openDisk(c, outboxDir(c.Data), diskqueue.History{MaxAge: -1, MaxBytes: -1}, e.log); err != nil {
		return err
	}
	o := outbox.Config{Local: e.disk, Destinations: e.remote.Destinations(), Send: e.remote.Transfer, Log: e.log}
	if c.Bucket != "" {
		if o.Bucket, err = e.account.Blobs(c.Bucket); err != nil {
			return err
		}
	}
	if e.outbox, err = outbox.New(o); err != nil {
		return fmt.Errorf("open the outbox: %w", err)
	}
	if e.before, err = e.disk.Ledger(context.Background()); err != nil {
		return fmt.Errorf("open the outbox: %w", err)
	}
	return nil
}

var errOnlyForwards = errors.New("this process only delivers")

// Enqueue keeps a record in the outbox.
func (e *sqsEngine) Enqueue(ctx context.Context, ex *tapway.Exchange) error {
	if e.disk == nil {
		return errOnlyForwards
	}
	return e.disk.Enqueue(ctx, ex)
}

func (e *sqsEngine) Drop(reason string) {
	if e.disk != nil {
		e.disk.Drop(reason)
	}
}

// Subscribe gives a destination's queue. Those that came with a reload have none.
func (e *sqsEngine) Subscribe(name string) (tapway.Subscription, error) {
	sub, err := e.remote.Subscribe(name)
	if errors.Is(err, tapway.ErrNotFound) {
		return nil, errors.New("a new destination gets its SQS queue at a restart only")
	}
	return &shown{sub, e.feed}, err
}

func (e *sqsEngine) Ledger(ctx context.Context) (tapway.Ledger, error) { return e.remote.Ledger(ctx) }

// ahead is what the ledger of SQS does not have yet: what has happened in the outbox since
// this process began, and what lies there.
func (e *sqsEngine) ahead(ctx context.Context) (tapway.Ledger, error) {
	l, err := e.disk.Ledger(ctx)
	if err != nil {
		return tapway.Ledger{}, err
	}
	l.Calls -= e.before.Calls
	l.Stored -= e.before.Stored
	l.Dropped = less(l.Dropped, e.before.Dropped)
	for i := range l.Destinations {
		line := &l.Destinations[i]
		for _, old := range e.before.Destinations {
			if old.Destination == line.Destination {
				line.Dropped = less(line.Dropped, old.Dropped)
			}
		}
	}
	return l, nil
}

// less takes the counts of b from those of a.
func less(a, b map[string]uint64) map[string]uint64 {
	a = maps.Clone(a)
	for reason, n := range b {
		if a[reason] -= n; a[reason] == 0 {
			delete(a, reason)
		}
	}
	return a
}

// Run sends what is in the outbox, extends the leases of what is being delivered, and looks
// at the queues now and then.
func (e *sqsEngine) Run(ctx context.Context) error {
	errs := make(chan error, 4)
	var all sync.WaitGroup
	all.Go(func() { errs <- e.remote.Run(ctx) })
	all.Go(func() { e.watch(ctx) })
	if e.disk != nil {
		all.Go(func() { errs <- e.disk.Run(ctx) })
		all.Go(func() { errs <- e.outbox.Run(ctx) })
	}
	all.Wait()
	close(errs)
	var joined error
	for err := range errs {
		joined = errors.Join(joined, err)
	}
	return joined
}

// watch finds the queues and looks at them from time to time.
func (e *sqsEngine) watch(ctx context.Context) {
	found := false
	for {
		every := lookEvery
		if !found {
			err := e.find(ctx)
			if found = err == nil; !found {
				e.saw(nil, err)
				switch {
				case !sqsqueue.Refused(err):
					every = lookAgain
				case len(e.limits) == 0:
					return // who only sends need not be allowed to look
				}
			}
		}
		if found {
			e.look(ctx)
		}
		wait := time.NewTimer(every)
		select {
		case <-ctx.Done():
			wait.Stop()
			return
		case <-wait.C:
		}
	}
}

// look notes what is in the queues now.
func (e *sqsEngine) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	l, err := e.remote.Ledger(ctx)
	e.saw(l.Destinations, err)
}

// find looks the queues up, once with success, and says what is unwise about them.
func (e *sqsEngine) find(ctx context.Context) error {
	look, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	if err := e.remote.Prepare(look); err != nil {
		return err
	}
	for name, attempts := range e.limits {
		n, err := e.remote.MaxReceives(look, name)
		if err != nil {
			return err
		}
		if n > 0 && n < fewReceives*attempts {
			e.log.Warn("the queue's maxReceiveCount is close to retry.max_attempts: SQS counts receives, not attempts, and moves records to the dead letters before their last attempt; set it to 1000, the most, or at least to three times as many",
				"destination", name, "maxReceiveCount", n, "max_attempts", attempts)
		}
	}
	return nil
}

// saw notes what a look has shown, and says so when it is new.
func (e *sqsEngine) saw(lines []tapway.LedgerLine, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	first := !e.looked
	was := e.err
	e.looked, e.lines, e.err = true, lines, err
	switch {
	case err != nil && was == nil && len(e.limits) > 0:
		e.log.Error("SQS does not tell of the queues; trying again", "error", err)
	case err == nil && was != nil && !first:
		e.log.Info("SQS tells of the queues again")
	}
}

// storable tells whether the outbox can take records: what SQS does is no matter.
func (e *sqsEngine) storable() error {
	if e.disk == nil {
		return nil
	}
	if _, err := e.disk.Stats(context.Background()); err != nil {
		return err
	}
	return e.probe.ask(time.Now())
}

func (e *sqsEngine) warning() error {
	if e.outbox != nil {
		if err := e.outbox.Err(); err != nil {
			return fmt.Errorf("records wait on disk, because SQS takes none: %w", err)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err != nil && len(e.limits) > 0 {
		return fmt.Errorf("SQS cannot be asked: %w", e.err)
	}
	return nil
}

// windUp empties the outbox as far as time allows. What SQS has, others can deliver.
func (e *sqsEngine) windUp(most time.Duration, _ *destinations) {
	if e.outbox == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), min(most, flushTime))
	defer cancel()
	if left := e.outbox.Flush(ctx); left > 0 {
		e.log.Warn("records are still in the outbox; the next process with this data directory sends them", "records", left, "data", e.probe.dir)
	}
}

func (e *sqsEngine) warnLeft([]string) {
	if e.disk == nil {
		return
	}
	s, err := e.disk.Stats(context.Background())
	if err != nil {
		return
	}
	for _, d := range s.Destinations {
		if d.Queued > 0 && !slices.Contains(e.remote.Destinations(), d.Destination) {
			e.log.Warn("the outbox has records for a destination that is not configured; configure it to send them", "destination", d.Destination, "queued", d.Queued)
		}
	}
}

// figures come from the last look: a scrape waits for nobody.
func (e *sqsEngine) figures(ctx context.Context) (f figures) {
	e.mu.Lock()
	lines := e.lines
	reachable := e.looked && e.err == nil
	e.mu.Unlock()
	f.reachable = &reachable
	if e.disk == nil {
		f.ledger = &tapway.Ledger{Destinations: lines}
		return f
	}
	if l, err := e.ahead(ctx); err == nil {
		l.Destinations = lines
		f.ledger = &l
	}
	if s, err := e.disk.Stats(ctx); err == nil {
		f.outbox = &s
	}
	return f
}

func (e *sqsEngine) serve(s *admin.Server) {
	s.SQS, s.Follow = e.remote, e.feed.follow
	s.Oldest, s.Spilled = oldestInSQS(e.account, e.remote), e.spilled
	if e.disk != nil {
		s.Follow = e.follow
	}
}

// follow gives every call that is recorded from now on.
func (e *sqsEngine) follow(ctx context.Context) iter.Seq2[*tapway.Exchange, error] {
	s, err := e.disk.Stats(ctx)
	if err != nil {
		return func(yield func(*tapway.Exchange, error) bool) { yield(nil, err) }
	}
	return e.disk.Follow(ctx, s.Last)
}

// Close releases everything.
func (e *sqsEngine) Close() error {
	var errs []error
	if e.disk != nil {
		errs = append(errs, e.disk.Close())
	}
	if e.remote != nil {
		errs = append(errs, e.remote.Close())
	}
	if e.account != nil {
		e.account.Close()
	}
	return errors.Join(errs...)
}
