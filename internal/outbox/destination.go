package outbox

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/queue/sqsqueue"
	"github.com/tapway/tapway/internal/record"
	"github.com/tapway/tapway/internal/spill"
)

const (
	maxSending   = 80       // records on their way to one destination's queue at a time
	maxTrying    = 4        // of them while the queue takes none
	maxBytes     = 32 << 20 // stored bytes of what is on its way; more is received when it is less
	putTime      = 10 * time.Second
	settleTime   = 5 * time.Second
	firstPause   = 250 * time.Millisecond
	longestRetry = 30 * time.Second // of a record that fails while others do not
)

// destination is one destination's position in the outbox.
type destination struct {
	o    *Outbox
	name string
	sub  tapway.Subscription
	room chan struct{} // something has ended

	mu      sync.Mutex
	sending int
	bytes   int
	worked  time.Time // when the queue last took a record
	trouble error     // why it takes none; nil: it does
	since   time.Time // of trouble
	pause   time.Duration
	next    time.Time // not to be tried before
}

func newDestination(o *Outbox, name string, sub tapway.Subscription) *destination {
	return &destination{o: o, name: name, sub: sub, room: make(chan struct{}, 1)}
}

// run receives and sends until ctx ends or the machine's queue is closed.
func (d *destination) run(ctx context.Context) {
	var sends sync.WaitGroup
	defer sends.Wait()
	sending, stop := context.WithCancel(ctx)
	defer stop()
	go func() { // once everything is to go into the bucket there is no time to try the queue
		select {
		case <-d.o.spillNow:
			stop()
		case <-sending.Done():
		}
	}()
	for {
		most, direct := d.admit(ctx)
		if most == 0 {
			return
		}
		messages, err := d.sub.Receive(ctx, most)
		switch {
		case errors.Is(err, tapway.ErrClosed), ctx.Err() != nil && len(messages) == 0:
			return
		case err != nil:
			d.o.Log.Error("the outbox cannot be read; trying again", "destination", d.name, "error", err)
			d.later()
		}
		for i, m := range messages {
			d.begin(&m)
			sends.Go(func() {
				d.settle(ctx, m, d.handle(ctx, sending, &m, direct && i > 0))
				d.end(&m)
			})
		}
	}
}

// admit waits until there is something to do and says how many records may be received; 0
// means that ctx has ended. direct says that they are to go into the bucket without a try.
func (d *destination) admit(ctx context.Context) (most int, direct bool) {
	for {
		if ctx.Err() != nil {
			return 0, false
		}
		ending := d.o.ending()
		if !ending && d.inTrouble() != nil {
			direct = d.o.Bucket != nil && d.o.full(ctx)
		}
		d.mu.Lock()
		limit, wait := maxSending, time.Duration(0)
		if !ending && !direct {
			wait = time.Until(d.next)
			if d.trouble != nil {
				limit = maxTrying
			}
		}
		most = limit - d.sending
		if d.bytes >= maxBytes {
			most = 0
		}
		d.mu.Unlock()
		if most > 0 && wait <= 0 {
			return most, direct
		}
		if wait <= 0 {
			wait = time.Minute // until something ends
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-d.room:
		case <-ctx.Done():
		case <-d.awaitEnding(ending):
		}
		timer.Stop()
	}
}

// awaitEnding is closed when everything is to go into the bucket, unless that is known.
func (d *destination) awaitEnding(known bool) <-chan struct{} {
	if known {
		return nil
	}
	return d.o.spillNow
}

func (d *destination) begin(m *tapway.Message) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sending++
	d.bytes += len(m.Frame)
}

func (d *destination) end(m *tapway.Message) {
	d.mu.Lock()
	d.sending--
	d.bytes -= len(m.Frame)
	d.mu.Unlock()
	select {
	case d.room <- struct{}{}:
	default:
	}
}

func (d *destination) settle(ctx context.Context, m tapway.Message, outcome tapway.Outcome) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	err := d.sub.Settle(ctx, []tapway.Settlement{{Message: m, Outcome: outcome}})
	if err != nil && !errors.Is(err, tapway.ErrClosed) {
		d.o.Log.Error("the outbox cannot note what became of a record; it may be sent again", "id", m.ID, "destination", d.name, "error", err)
	}
}

// handle takes a message to where it belongs and says what became of it. sending ends before
// ctx does when the queue is not to be tried any more.
func (d *destination) handle(ctx, sending context.Context, m *tapway.Message, direct bool) tapway.Outcome {
	ex, err := tapway.DecodeFrame(m.Frame)
	if err != nil {
		d.o.Log.Error("a record in the outbox cannot be read", "id", m.ID, "destination", d.name, "error", err)
		return tapway.Outcome{Verdict: tapway.Dropped, Reason: "damaged"}
	}
	if direct || d.o.ending() {
		return d.set(ctx, ex, nil)
	}
	began := time.Now()
	err = d.o.Send(sending, ex, d.name)
	switch {
	case err == nil:
		d.works()
		return tapway.Outcome{Verdict: tapway.Delivered}
	case errors.Is(err, sqsqueue.ErrTooLarge):
		return d.hopeless(ex, err)
	case ctx.Err() != nil:
		return tapway.Outcome{Verdict: tapway.Released}
	case d.o.ending():
		return d.set(ctx, ex, err)
	case d.fails(err, began):
		return tapway.Outcome{Verdict: tapway.Released} // all of them wait
	}
	after := min(time.Second<<min(m.Attempts, 10), longestRetry)
	d.o.Log.Warn("a record could not be sent, although others were; it waits on disk", "id", m.ID, "destination", d.name, "attempt", m.Attempts+1, "again_in", after.String(), "error", err)
	return tapway.Outcome{Verdict: tapway.Retry, After: after, Reason: "not sent"}
}

// set puts a record into the bucket, or back.
func (d *destination) set(ctx context.Context, ex *tapway.Exchange, why error) tapway.Outcome {
	ctx, cancel := context.WithTimeout(ctx, putTime)
	defer cancel()
	if why == nil {
		why = d.inTrouble()
	}
	keys, err := spill.Put(ctx, d.o.Bucket, ex, record.Append(nil, ex), []string{d.name})
	if err != nil {
		d.o.Log.Error("neither the queue nor the bucket took a record; it waits on disk", "id", ex.ID, "destination", d.name, "queue_error", why, "bucket_error", err)
		return tapway.Outcome{Verdict: tapway.Released, After: time.Second}
	}
	d.o.Log.Warn("the queue did not take a record; it is in the bucket, and `tapway queue recover` enqueues it", "id", ex.ID, "keys", keys, "error", why)
	return tapway.Outcome{Verdict: tapway.Dropped, Reason: "spilled"}
}

// hopeless gives up a record that no queue will ever take.
func (d *destination) hopeless(ex *tapway.Exchange, err error) tapway.Outcome {
	reason := "too-large"
	if spill.Log(d.o.Log, ex, record.Append(nil, ex), []string{d.name}, err, spill.ErrNoBucket) {
		reason = "logged"
	}
	return tapway.Outcome{Verdict: tapway.Dropped, Reason: reason}
}

// fails notes that a record could not be sent. It reports whether that is everybody's
// trouble: no other was sent since this one's first try began.
func (d *destination) fails(err error, began time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.worked.After(began) {
		return false
	}
	now := time.Now()
	if d.trouble == nil {
		d.since = now
		d.o.Log.Error("the queue takes no records; they wait on disk", "destination", d.name, "error", err)
	}
	d.trouble = err
	if now.After(d.next) {
		d.laterLocked(now)
	}
	return true
}

// works notes that records can be sent.
func (d *destination) works() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.worked, d.pause, d.next = time.Now(), 0, time.Time{}
	if d.trouble != nil {
		d.trouble = nil
		d.o.Log.Info("the queue takes records again", "destination", d.name, "after", time.Since(d.since).Round(time.Millisecond).String())
	}
}

// later lets some time pass before the next try, and more each time.
func (d *destination) later() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.laterLocked(time.Now())
}

func (d *destination) laterLocked(now time.Time) {
	d.pause = min(max(2*d.pause, firstPause), d.o.MaxPause)
	d.next = now.Add(d.pause)
}

// inTrouble is why the queue takes no records, nil while it does.
func (d *destination) inTrouble() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.trouble
}
