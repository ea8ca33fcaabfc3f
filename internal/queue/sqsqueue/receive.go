package sqsqueue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/awssqs"
	"github.com/tapway/tapway/internal/queue/claimcheck"
	"github.com/tapway/tapway/internal/record"
)

// Receive leases up to most messages, never more than 100. It polls long, and when one poll is full the rest are
// polled for side by side. Messages are sorted by when they were sent, which is all the order SQS
// has. What is no record, and a message whose pointer leads nowhere, is moved to the dead-letter queue
// at once. A large record that the blob store is slow to give gets more time with every receive, so that the small ones
// with it need not wait for long.
//
// When ctx ends during a poll, SQS may have leased messages whose answer nobody reads any more:
// they come when that lease ends.
func (d *destination) Receive(ctx context.Context, most int) ([]tapway.Message, error) {
	if err := d.usable(ctx); err != nil {
		return nil, err
	}
	outer := ctx
	ctx, stop := d.q.untilClosed(ctx)
	defer stop()
	msgs, err := d.receive(ctx, min(max(most, 1), 10*maxEntries))
	if err == nil {
		return msgs, nil
	}
	if cause := d.usable(outer); cause != nil {
		return nil, cause
	}
	return nil, fmt.Errorf("receive for destination %q: %w", d.name, err)
}

func (d *destination) usable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return d.q.open()
}

func (d *destination) receive(ctx context.Context, most int) ([]tapway.Message, error) {
	url, _, err := d.main.lookUp(ctx)
	if err != nil {
		return nil, err
	}
	// Nothing is attempted before it is known where a failure would go.
	if _, err := d.deadLetters(ctx); err != nil {
		return nil, err
	}
	for {
		raw, err := d.poll(ctx, url, min(most, maxEntries), longPoll)
		if err != nil {
			return nil, err
		}
		if len(raw) == maxEntries && most > maxEntries {
			raw = append(raw, d.pollRest(ctx, url, most-maxEntries)...)
		}
		if msgs := d.admit(ctx, raw); len(msgs) > 0 {
			return msgs, nil
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
}

// pollRest polls for more without waiting. What fails is passed over: there is something to give
// out already.
func (d *destination) pollRest(ctx context.Context, url string, rest int) (all []awssqs.Message) {
	got := make([][]awssqs.Message, (rest+maxEntries-1)/maxEntries)
	parallel(len(got), 8, func(i int) {
		got[i], _ = d.poll(ctx, url, min(maxEntries, rest-i*maxEntries), 0)
	})
	return slices.Concat(got...)
}

func (d *destination) poll(ctx context.Context, url string, n int, wait time.Duration) ([]awssqs.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, wait+d.q.c.CallTimeout)
	defer cancel()
	out, err := d.q.c.Client.ReceiveMessage(ctx, &awssqs.ReceiveMessageInput{
		QueueUrl: &url, MaxNumberOfMessages: int32(n), WaitTimeSeconds: int32(wait / time.Second),
		VisibilityTimeout: int32(d.q.c.Lease / time.Second), MessageAttributeNames: []string{"All"},
		MessageSystemAttributeNames: systemAttributes,
	})
	if err != nil {
		return nil, err
	}
	return out.Messages, nil
}

var systemAttributes = []string{
	awssqs.MessageAttributeReceives, awssqs.MessageAttributeFirstReceive,
	awssqs.MessageAttributeSent, awssqs.MessageAttributeGroup,
}

// admit makes messages of what SQS gave: it passes over what is leased here already, deletes
// again what was settled, redeems pointers, and takes care of what cannot be redeemed.
func (d *destination) admit(ctx context.Context, raw []awssqs.Message) []tapway.Message {
	now := time.Now()
	var items []*item
	var again []*Delivery
	for i := range raw {
		v := deliveryOf(&raw[i])
		switch kind, p := d.memory.admit(v.MessageID, v.Handle, v.receives(), now, d.q.c.Lease); kind {
		case fresh:
			items = append(items, &item{Delivery: v, received: now, past: p})
		case settled:
			again = append(again, v)
		}
	}
	slices.SortStableFunc(items, func(a, b *item) int {
		return cmp.Or(a.millis("SentTimestamp").Compare(b.millis("SentTimestamp")), strings.Compare(valueOf(a.Attributes, AttributeID), valueOf(b.Attributes, AttributeID)))
	})
	// A batch of the largest records fills memory enough: few at a time.
	large := 0
	for _, it := range items {
		if isClaim(it.Attributes) {
			large++
		}
	}
	parallel(len(items), 4, func(i int) {
		ctx := ctx
		if large < len(items) { // others wait for it
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, d.q.c.CallTimeout<<min(items[i].receives()-1, 10))
			defer cancel()
		}
		if items[i].err = items[i].open(ctx, d); items[i].err == nil && !record.Plausible(items[i].record) {
			items[i].err = errNoRecord
		}
	})
	var msgs []tapway.Message
	var back []tapway.Settlement
	for _, it := range items {
		switch {
		case it.err == nil:
			msgs = append(msgs, it.message())
		case d.spent.has(it.pointer): // sent twice, because an answer was lost, and settled once
			d.memory.deleted(it.MessageID)
			again = append(again, it.Delivery)
		default:
			back = append(back, tapway.Settlement{Message: it.message(), Outcome: d.unreadable(it)})
		}
	}
	// These leases are nobody's: end them even if the receiver is told to stop just now.
	settling, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.q.c.CallTimeout)
	defer cancel()
	d.deleteAgain(settling, again)
	if len(back) > 0 {
		if err := d.settle(settling, back); err != nil {
			d.q.c.Log.Error("unreadable messages could not be put back; they come again when their leases end", "destination", d.name, "messages", len(back), "error", err)
		}
	}
	return msgs
}

// unreadable decides about a message whose record cannot be had.
func (d *destination) unreadable(it *item) tapway.Outcome {
	if claimcheck.Permanent(it.err) || errors.Is(it.err, errNoRecord) {
		d.q.c.Log.Error("a message cannot be read and goes to the dead letters", "destination", d.name, "message", it.MessageID, "error", it.err)
		return tapway.Outcome{Verdict: tapway.Dead, Reason: it.err.Error()}
	}
	if claimcheck.Refused(it.err) {
		return d.refused(it)
	}
	d.q.c.Log.Warn("a large record cannot be read from the blob store; it is tried again", "destination", d.name, "message", it.MessageID, "error", it.err)
	return tapway.Outcome{Verdict: tapway.Released, After: fetchPause}
}

const (
	fetchPause    = 30 * time.Second // between two reads of a large record
	maxFetchPause = 15 * time.Minute
)

// refused decides about a record that the blob store refuses to give. It counts as an attempt: nobody may ever change what
// it is refused for.
func (d *destination) refused(it *item) tapway.Outcome {
	limit := d.q.c.Attempts[d.name]
	if limit == 0 {
		limit = 8 // as a delivery has it
	}
	o := tapway.Outcome{Verdict: tapway.Retry, Reason: "its record could not be fetched: " + it.err.Error()}
	if made := it.attempts(); limit < 0 || made+1 < limit {
		o.After = min(fetchPause<<min(made, 16), maxFetchPause)
		d.q.c.Log.Warn("the blob store refuses a large record; it is tried again", "destination", d.name, "message", it.MessageID, "attempt", made+1, "pause", o.After.String(), "error", it.err)
		return o
	}
	o.Verdict = tapway.Dead
	d.q.c.Log.Error("the blob store refuses a large record, which goes to the dead letters", "destination", d.name, "message", it.MessageID, "attempts", limit, "error", it.err)
	return o
}

var (
	// errNoRecord keeps what is no record from the destination. A pointer can name any object
	// of the bucket, and who may write to the queue need not be allowed to read that.
	errNoRecord = errors.New("it is not a record")

	errNoStore = errors.New("the record is in a bucket and none is configured: set bucket (TAPWAY_BUCKET)")
)

// item is a message being received.
type item struct {
	*Delivery
	received time.Time
	past     past
	record   []byte
	pointer  claimcheck.Pointer
	err      error
}

// open finds the record: the body, or what its pointer leads to.
func (it *item) open(ctx context.Context, d *destination) (err error) {
	if !isClaim(it.Attributes) {
		it.record = []byte(it.Body)
		return nil
	}
	if d.q.c.Claims == nil {
		return errNoStore
	}
	ctx, cancel := context.WithTimeout(ctx, d.q.c.Lease/2)
	defer cancel()
	it.record, it.pointer, err = d.q.c.Claims.Redeem(ctx, []byte(it.Body))
	return err
}

// attempts is how many were made before this one.
func (it *item) attempts() int { return max(it.receives()-1-it.past.spared, 0) }

func (it *item) message() tapway.Message {
	r := Receipt{
		MessageID: it.MessageID, Handle: it.Handle, Received: it.received.UnixMilli(), Group: it.System["MessageGroupId"], Pointer: it.pointer,
	}
	if it.err != nil {
		r.Raw = it.raw()
	}
	m := tapway.Message{Attempts: it.attempts(), Record: it.record, LastError: it.past.reason, Receipt: r.String()}
	m.ID, m.Enqueued = it.identify(it.record)
	if m.Attempts > 0 {
		if m.FirstAttempt = it.past.first; m.FirstAttempt.IsZero() {
			m.FirstAttempt = it.millis("ApproximateFirstReceiveTimestamp")
		}
	}
	return m
}

// ErrSettled says that this process has settled a message before that SQS gives again.
var ErrSettled = errors.New("the message was settled before")

// Adopt makes a message of one that was received elsewhere: by Lambda's event source mapping.
// Settle settles it like any other. Two errors need no second try: ErrSettled, where nothing is left to
// do, and one for which claimcheck.Permanent holds, of a message that can never be read: it is
// returned without a record and is to be settled as Dead.
func (q *Queue) Adopt(ctx context.Context, destination string, v Delivery) (tapway.Message, error) {
	d, err := q.destination(destination)
	if err != nil {
		return tapway.Message{}, err
	}
	it := &item{Delivery: &v, received: time.Now()}
	kind := fresh
	if kind, it.past = d.memory.admit(v.MessageID, v.Handle, v.receives(), it.received, q.c.Lease); kind == settled {
		return tapway.Message{}, ErrSettled
	}
	it.err = it.open(ctx, d)
	return it.message(), it.err
}
