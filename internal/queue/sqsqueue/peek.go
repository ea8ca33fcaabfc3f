package sqsqueue

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/record"
)

const (
	peekHold  = 10 * time.Second // how long a message would stay hidden if it could not be given back
	peekWait  = time.Second      // of one look: as long as the end of ctx may be ignored
	peekPause = time.Second      // between two looks, doubled while there is nothing but what is known
	peekMost  = time.Minute
	peekKnown = 16 << 10
)

// Peek gives the exchanges that wait in a destination's queue, each once, until ctx ends or an
// error. It gives every message back before it shows it, but to SQS and to consumers each look
// is a receive: what lies in the queue for long is looked at less and less often. It does not
// see what is delivered between two looks. What cannot be read is logged and passed over.
func (q *Queue) Peek(ctx context.Context, name string) iter.Seq2[*tapway.Exchange, error] {
	return func(yield func(*tapway.Exchange, error) bool) {
		d, err := q.destination(name)
		if err == nil {
			err = q.open()
		}
		if err != nil {
			yield(nil, err)
			return
		}
		ctx, stop := q.untilClosed(ctx)
		defer stop()
		if err := d.peek(ctx, func(ex *tapway.Exchange) bool { return yield(ex, nil) }); err != nil && ctx.Err() == nil {
			yield(nil, fmt.Errorf("look into the queue of destination %q: %w", name, err))
		}
	}
}

func (d *destination) peek(ctx context.Context, show func(*tapway.Exchange) bool) error {
	url, _, err := d.main.lookUp(ctx)
	if err != nil {
		return err
	}
	known, older := map[string]bool{}, map[string]bool{}
	wait := peekPause
	for failures := 0; ctx.Err() == nil; {
		items, err := d.look(ctx, url)
		if err != nil && (!transient(err) || !pause(ctx, failures)) {
			return err
		}
		if err != nil {
			failures++
			continue
		}
		failures = 0
		fresh := false
		for _, it := range items {
			if known[it.MessageID] || older[it.MessageID] {
				continue
			}
			if len(known) >= peekKnown {
				known, older = map[string]bool{}, known
			}
			known[it.MessageID], fresh = true, true
			ex, err := it.exchange(ctx, d)
			if err != nil {
				d.q.c.Log.Warn("a message in the queue cannot be read", "destination", d.name, "message", it.MessageID, "error", err)
			} else if !show(ex) {
				return nil
			}
		}
		switch {
		case len(items) > 0 && !fresh:
			wait = min(2*wait, peekMost)
		default:
			wait = peekPause
		}
		if waitUntil(ctx, time.Now().Add(wait)) != nil {
			return nil
		}
	}
	return nil
}

// look receives once and gives everything back. The end of ctx does not break it off: what SQS
// has handed out then would stay hidden.
func (d *destination) look(ctx context.Context, url string) ([]*item, error) {
	ctx = context.WithoutCancel(ctx)
	var got []types.Message
	err := d.q.call(ctx, func(ctx context.Context) error {
		out, err := d.q.c.Client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl: &url, MaxNumberOfMessages: maxEntries, WaitTimeSeconds: int32(peekWait / time.Second),
			VisibilityTimeout: int32(peekHold / time.Second), MessageAttributeNames: []string{"All"},
			MessageSystemAttributeNames: systemAttributes,
		})
		if err == nil {
			got = out.Messages
		}
		return err
	})
	if err != nil || len(got) == 0 {
		return nil, err
	}
	in := &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &url}
	var items []*item
	for i := range got {
		in.Entries = append(in.Entries, types.ChangeMessageVisibilityBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: got[i].ReceiptHandle})
		items = append(items, &item{Delivery: deliveryOf(&got[i]), received: time.Now()})
	}
	if err := d.q.call(ctx, func(ctx context.Context) error { return d.change(ctx, in, make([]error, len(got))) }); err != nil {
		d.q.c.Log.Warn("messages that were looked at stay hidden for ten seconds", "destination", d.name, "messages", len(got), "error", err)
	}
	return items, nil
}

func (it *item) exchange(ctx context.Context, d *destination) (*tapway.Exchange, error) {
	if err := it.open(ctx, d); err != nil {
		return nil, err
	}
	return record.Parse(it.record)
}
