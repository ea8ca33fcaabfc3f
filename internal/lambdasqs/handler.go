package lambdasqs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/delivery"
)

const (
	defaultConcurrency = 16
	defaultMargin      = 2 * time.Second

	// maxPause stays below SQS's 12 hours, which count from the receive.
	maxPause = 11 * time.Hour
)

// Handler settles the events of SQS triggers. Destination must be set; every other field has
// a useful zero value. It is safe for concurrent use and must not be changed after the first
// Handle.
type Handler struct {
	// Destination gives whose queue it is; nil when nobody's: then its messages stay in it.
	Destination func(queueARN string) *Destination

	// Payload reads a message's record from wherever its producer has put it. An error that
	// wraps ErrPoison or tapway.ErrNotFound is for good, any other is tried again, and with ErrRefused
	// no more often than a delivery. nil: the body is the record.
	Payload func(ctx context.Context, m *Message) (Payload, error)

	// Postpone sets when a message becomes visible again, counted from now (SQS's
	// ChangeMessageVisibility). nil: when the queue's own timeout is over.
	Postpone func(ctx context.Context, m *Message, d time.Duration) error

	// Bury sends a message that was given up on to the dead-letter queue, with o.Reason and
	// o.Status as attributes. Once it has returned without an error Lambda deletes the message.
	// nil: it stays, until the queue's redrive policy moves it without a reason.
	Bury func(ctx context.Context, m *Message, o tapway.Outcome) error

	// WholeBatches reports whether the queue's trigger knows no batchItemFailures: it would delete every message of an event
	// that is answered. Then an event with a failure is not answered: Handle removes what is settled by Remove, and
	// gives an error that wraps ErrStays. nil: every trigger knows them.
	WholeBatches func(ctx context.Context, queueARN string) bool

	// Remove deletes messages from their queue (SQS's DeleteMessageBatch). What it does not delete is delivered again.
	Remove func(ctx context.Context, queueARN string, settled []*Message) error

	// Margin is kept free before the invocation's deadline, for what follows the last
	// attempts. 0: 2 s, but at most a quarter of the time there is.
	Margin time.Duration

	// Observe is told what became of every message. It must be quick and safe for concurrent
	// use. nil: nobody is.
	Observe func(destination string, m *Message, o tapway.Outcome)

	Log *slog.Logger // nil: slog.Default
}

// Destination is where the messages of a queue are delivered.
type Destination struct {
	Sender      *delivery.Sender
	Match       func(*tapway.Message) bool // whether a record is wanted there; nil: all are
	Concurrency int                        // attempts at a time; 0: 16
}

// Payload is the record that a message stands for.
type Payload struct {
	Record []byte

	// Discard removes the record from where it was stored beside the queue, after it has been
	// delivered. nil: there is nothing to remove, or it is kept until its own lifetime is over.
	Discard func(ctx context.Context) error
}

// ErrPoison is wrapped by a Payload error that no repetition will change.
var ErrPoison = errors.New("poison message")

// ErrStays is wrapped by the error of an event of which messages are to stay in their queue, and whose trigger can
// only be told so by an error.
var ErrStays = errors.New("messages stay in their queue")

// ErrRefused is wrapped by a Payload error that lasts until somebody changes something, such as a permission.
var ErrRefused = errors.New("refused")

// reasonNoTime is what is said of a message that was not even looked at.
const reasonNoTime = "not attempted: the function's time was over"

// Handle settles one event and gives the answer for Lambda. ctx ends when the invocation
// does. An error, which wraps ErrEvent or ErrStays, returns the whole batch to its queue, as far as it is there.
//
// discard removes the records that were delivered from where they were stored beside the queue. It is to be called once Lambda has
// the answer, error or not: a message that comes again because Lambda never had it would lead to nothing. It is never nil.
func (h *Handler) Handle(ctx context.Context, event []byte) (reply []byte, discard func(context.Context), err error) {
	messages, err := ParseEvent(event)
	if err != nil {
		return nil, func(context.Context) {}, err
	}
	clock := h.clock(ctx)
	failed := make([]bool, len(messages))
	var groups []*group
	byQueue := map[string]*group{}
	for i := range messages {
		arn := messages[i].QueueARN
		g := byQueue[arn]
		if g == nil {
			g = &group{h: h, queue: arn, destination: h.Destination(arn), clock: clock, messages: messages, failed: failed}
			byQueue[arn] = g
			groups = append(groups, g)
		}
		g.all = append(g.all, i)
	}
	var running sync.WaitGroup
	for _, g := range groups {
		running.Go(func() { g.run(ctx) })
	}
	running.Wait()
	var ids []string
	for i := range messages {
		if failed[i] {
			ids = append(ids, messages[i].ID)
		}
	}
	discard = func(ctx context.Context) {
		for _, g := range groups {
			g.discard(ctx)
		}
	}
	if len(ids) > 0 && h.WholeBatches != nil && h.WholeBatches(ctx, groups[0].queue) {
		return nil, discard, h.fail(ctx, clock, groups, len(ids))
	}
	return answer(ids), discard, nil
}

// fail deletes what is settled, and makes the error that keeps the rest in its queue.
func (h *Handler) fail(ctx context.Context, c clock, groups []*group, stay int) error {
	ctx, cancel := c.settling(ctx)
	defer cancel()
	for _, g := range groups {
		var settled []*Message
		for _, i := range g.all {
			if !g.failed[i] {
				settled = append(settled, &g.messages[i])
			}
		}
		if len(settled) == 0 || h.Remove == nil {
			continue
		}
		if err := h.Remove(ctx, g.queue, settled); err != nil {
			h.log().Warn("messages that are settled could not be deleted; they will be delivered again", "queue", g.queue, "error", err)
		}
	}
	return fmt.Errorf("%d %w: the event source mapping has no ReportBatchItemFailures", stay, ErrStays)
}

// clock is what one invocation's time is divided into.
type clock struct {
	attempts time.Time // no attempt lasts longer; zero: no limit
	settle   time.Time // nor does what follows it
	total    time.Duration
}

func (h *Handler) clock(ctx context.Context) clock {
	deadline, ok := ctx.Deadline()
	if !ok {
		return clock{}
	}
	left := max(time.Until(deadline), 0)
	margin := h.Margin
	if margin <= 0 {
		margin = defaultMargin
	}
	margin = min(margin, left/4)
	return clock{attempts: deadline.Add(-margin), settle: deadline.Add(-margin / 4), total: left - margin}
}

// enough reports whether an attempt that may take d can begin. A function whose whole time is
// shorter than the destination's timeout still makes attempts in the first half of it.
func (c clock) enough(d time.Duration) bool {
	return c.attempts.IsZero() || time.Until(c.attempts) >= min(d, c.total/2)
}

func (c clock) attempting(ctx context.Context) (context.Context, context.CancelFunc) {
	if c.attempts.IsZero() {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, c.attempts)
}

func (c clock) settling(ctx context.Context) (context.Context, context.CancelFunc) {
	if c.settle.IsZero() {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, c.settle)
}

func (h *Handler) log() *slog.Logger {
	if h.Log != nil {
		return h.Log
	}
	return slog.Default()
}

func (h *Handler) payload(ctx context.Context, m *Message) (Payload, error) {
	if h.Payload == nil {
		return Payload{Record: []byte(m.Body)}, nil
	}
	return h.Payload(ctx, m)
}

// settle carries an outcome out and reports whether the message stays in its queue.
func (h *Handler) settle(ctx context.Context, c clock, d *Destination, m *Message, o *tapway.Outcome) (stays bool) {
	ctx, cancel := c.settling(ctx)
	defer cancel()
	log := h.log().With("destination", d.Sender.Name, "message", m.ID)
	switch o.Verdict {
	case tapway.Delivered, tapway.Dropped:
		return false
	case tapway.Dead:
		err := errors.New("there is no dead-letter queue")
		if h.Bury != nil {
			err = h.Bury(ctx, m, *o)
		}
		if err == nil {
			log.Warn("dead letter", "reason", o.Reason, "status", o.Status, "receives", m.Receives)
			return false
		}
		log.Error("a dead letter could not be set aside; it stays in the queue", "reason", o.Reason, "error", err)
		*o = tapway.Outcome{Verdict: tapway.Retry, Status: o.Status, After: d.Sender.Retry.Delay(m.Receives, 0),
			Reason: fmt.Sprintf("%s; it could not be set aside", o.Reason)}
	}
	if h.Postpone != nil && o.Reason != reasonNoTime && ctx.Err() == nil {
		// Up to whole seconds, as SQS has it: a pause of nothing would be none.
		pause := min((o.After + time.Second - 1).Truncate(time.Second), maxPause)
		if err := h.Postpone(ctx, m, pause); err != nil {
			log.Warn("the time of the next attempt could not be set; it is the queue's own", "wanted", pause.String(), "error", err)
		}
	}
	return true
}
