package sqsqueue

import (
	"context"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/tapway/tapway/internal/awssqs"
)

// Run extends the leases of messages that are being attempted, until Config.MaxHold has passed
// since they were received, so that a slow destination does not get a record twice. It ends with
// ctx or with Close and returns nil. Without it every lease ends after Config.Lease.
func (q *Queue) Run(ctx context.Context) error {
	ctx, stop := q.untilClosed(ctx)
	defer stop()
	tick := time.NewTicker(q.c.Lease / 4)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		parallel(len(q.names), 4, func(i int) { q.dests[q.names[i]].extend(ctx) })
	}
}

// extend gives a new lease to what has less than half of one left.
func (d *destination) extend(ctx context.Context) {
	now := time.Now()
	all := d.memory.ending(now.Add(d.q.c.Lease/2), now.Add(-d.q.c.MaxHold))
	url, _, _ := d.main.ready()
	if url == "" {
		return
	}
	for len(all) > 0 {
		batch := all[:min(len(all), maxEntries)]
		all = all[len(batch):]
		in := &awssqs.ChangeMessageVisibilityBatchInput{QueueUrl: &url}
		for i, l := range batch {
			in.Entries = append(in.Entries, awssqs.ChangeMessageVisibilityBatchRequestEntry{
				Id: aws.String(strconv.Itoa(i)), ReceiptHandle: aws.String(l.handle), VisibilityTimeout: int32(d.q.c.Lease / time.Second),
			})
		}
		errs := make([]error, len(batch))
		err := d.q.call(ctx, func(ctx context.Context) error { return d.change(ctx, in, errs) })
		if err != nil && ctx.Err() == nil {
			d.q.c.Log.Warn("leases could not be extended; the records may be delivered twice", "destination", d.name, "messages", len(batch), "error", err)
		}
		for i, l := range batch {
			if err == nil && errs[i] == nil {
				d.memory.extended(l, now.Add(d.q.c.Lease))
			}
		}
	}
}
