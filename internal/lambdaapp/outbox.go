package lambdaapp

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/lambdaruntime"
)

// outbox is what is known of one invocation, and keeps its exchanges until they are sent. There is one
// exchange in it as a rule, and none when a rule has left it out.
type outbox struct {
	deadline time.Time // when the invocation ends, what is kept to wind up in excepted; zero: not known
	event    []byte    // of the invocation
	arn      string    // of this function, as it was invoked
	table    *table    // of the API that called; nil: not asked for

	mu     sync.Mutex
	frames [][]byte
}

type outboxKey struct{}

// boxContext is the context of a call with its outbox.
type boxContext struct {
	context.Context
	box *outbox
}

func (c *boxContext) Value(key any) any {
	if key == (outboxKey{}) {
		return c.box
	}
	return c.Context.Value(key)
}

// boxOf gives the outbox of an invocation; nil outside of one.
func boxOf(ctx context.Context) *outbox {
	box, _ := ctx.Value(outboxKey{}).(*outbox)
	return box
}

// add copies ex: it is only valid while the capture waits.
func (b *outbox) add(ex *tapway.Exchange) {
	frame := tapway.AppendFrame(make([]byte, 0, tapway.FrameSize(ex)), ex)
	b.mu.Lock()
	b.frames = append(b.frames, frame)
	b.mu.Unlock()
}

// take empties the outbox.
func (b *outbox) take() [][]byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	frames := b.frames
	b.frames = nil
	return frames
}

var errOneWay = errors.New("the proxy function only writes to its queue")

// queue is the capture's way out: into the invocation's outbox, or, when before is set, to
// where the records belong at once.
type queue struct {
	before  bool
	sender  *sender
	metrics *metrics
}

var _ tapway.Queue = (*queue)(nil)

// Enqueue never fails for a reason that the client should hear of: a record that SQS does
// not take is set aside by the sender.
func (q *queue) Enqueue(ctx context.Context, ex *tapway.Exchange) error {
	box := boxOf(ctx)
	if box == nil {
		q.metrics.dropped("defect")
		return errors.New("a call outside of any invocation")
	}
	if ex.TraceID == "" {
		ex.TraceID = traceID(lambdaruntime.TraceID(ctx))
	}
	if q.before {
		if !box.deadline.IsZero() {
			var cancel context.CancelFunc
			ctx, cancel = context.WithDeadline(ctx, box.deadline)
			defer cancel()
		}
		return q.sender.send(ctx, ex)
	}
	box.add(ex)
	return nil
}

func (q *queue) Drop(reason string) { q.metrics.dropped(reason) }

func (q *queue) Subscribe(string) (tapway.Subscription, error) { return nil, errOneWay }
func (q *queue) Ledger(context.Context) (tapway.Ledger, error) { return tapway.Ledger{}, errOneWay }
func (q *queue) Close() error                                  { return nil }
