package sqsqueue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/tapway/tapway/internal/awssqs"
)

// parcel is one message on its way to a queue.
type parcel struct {
	body       string
	attributes attributes
	group      string
	letter     *letter // that it is of, whose blob others may share; nil: of none

	ctx  context.Context // the sender's: it ends the tries
	done chan error      // takes one result
}

func (p *parcel) size() int { return size(p.body, p.attributes) }

// outbox sends parcels to one queue. A lone parcel goes at once by itself; what comes while
// all flights are on their way goes together in the next ones. Flights are goroutines that end
// when nothing waits.
type outbox struct {
	t *target

	mu      sync.Mutex
	waiting []*parcel
	flights int

	ungrouped atomic.Bool // the queue takes no message groups
}

// send sends parcels and returns what became of each. It returns when all are decided; a parcel
// whose ctx has ended is given up on with the call that carries it.
func (o *outbox) send(ctx context.Context, parcels ...*parcel) []error {
	for _, p := range parcels {
		p.ctx, p.done = ctx, make(chan error, 1)
	}
	o.mu.Lock()
	o.waiting = append(o.waiting, parcels...)
	// One more flight for every ten that wait, at least one.
	for n := (len(parcels) + maxEntries - 1) / maxEntries; n > 0 && o.flights < maxFlights; n-- {
		o.flights++
		go o.fly()
	}
	o.mu.Unlock()
	errs := make([]error, len(parcels))
	for i, p := range parcels {
		errs[i] = <-p.done
	}
	return errs
}

func (o *outbox) fly() {
	for {
		batch := o.pick()
		if batch == nil {
			return
		}
		o.carry(batch)
	}
}

// pick takes what fits into one call; nil ends the flight.
func (o *outbox) pick() (batch []*parcel) {
	o.mu.Lock()
	defer o.mu.Unlock()
	total := 0
	for len(o.waiting) > 0 && len(batch) < maxEntries {
		p := o.waiting[0]
		if err := p.ctx.Err(); err != nil {
			p.done <- err
		} else if n := p.size(); len(batch) == 0 || total+n <= o.batchLimit() {
			batch = append(batch, p)
			total += n
		} else {
			break
		}
		o.waiting[0] = nil
		o.waiting = o.waiting[1:]
	}
	if batch == nil {
		o.flights--
		o.waiting = nil
	}
	return batch
}

// batchLimit is for a whole batch: SQS's own limit is at least that of any queue.
func (o *outbox) batchLimit() int {
	_, f, _ := o.t.ready()
	return max(f.limit, limitFor(safeMessage))
}

// carry sends a batch until every parcel is decided. It ends early when nobody waits for it any more.
func (o *outbox) carry(batch []*parcel) {
	ctx, cancel := context.WithTimeout(context.Background(), o.t.q.c.Patience)
	defer cancel()
	var interested atomic.Int64
	interested.Store(int64(len(batch)))
	for _, p := range batch {
		stop := context.AfterFunc(p.ctx, func() {
			if interested.Add(-1) == 0 {
				cancel()
			}
		})
		defer stop()
	}
	one := false // each by itself: together they were too long
	for n := 0; ; n++ {
		errs := o.transmit(ctx, batch, one)
		var rest []*parcel
		tooLong := false
		for i, p := range batch {
			switch err := errs[i]; {
			case err == nil:
				p.done <- nil
			case code(err) == "BatchRequestTooLong" && !one:
				tooLong = true
				rest = append(rest, p)
			case p.group != "" && refusesGroups(err):
				o.ungroup(err)
				p.group = ""
				rest = append(rest, p)
			case !transient(err):
				p.done <- err
			case p.ctx.Err() != nil:
				p.done <- ended(p.ctx, err)
			default:
				rest = append(rest, p)
			}
		}
		one = one || tooLong
		if batch = rest; len(batch) == 0 {
			return
		}
		if !pause(ctx, n) {
			for _, p := range batch {
				cause := p.ctx
				if cause.Err() == nil {
					cause = ctx
				}
				p.done <- fmt.Errorf("not sent within %s: %w", o.t.q.c.Patience, ended(cause, errors.Join(uniq(errs)...)))
			}
			return
		}
	}
}

// uniq leaves out nil and what says the same again.
func uniq(errs []error) (out []error) {
	for _, err := range errs {
		if err != nil && !slices.ContainsFunc(out, func(o error) bool { return o.Error() == err.Error() }) {
			out = append(out, err)
		}
	}
	return out
}

// ungroup notes that the queue takes no message groups, and tells it once.
func (o *outbox) ungroup(err error) {
	if o.ungrouped.CompareAndSwap(false, true) {
		o.t.q.c.Log.Warn("the queue takes no message groups, so one API's records may delay another's", "queue", o.t.ref, "error", err)
	}
}

// transmit makes one call, or one for each parcel.
func (o *outbox) transmit(ctx context.Context, batch []*parcel, one bool) []error {
	url, _, _ := o.t.ready()
	errs := make([]error, len(batch))
	if len(batch) > 1 && !one {
		err := o.t.q.call(ctx, func(ctx context.Context) error { return o.sendBatch(ctx, url, batch, errs) })
		if err != nil {
			for i := range errs {
				errs[i] = err
			}
		}
		return errs
	}
	for i, p := range batch {
		errs[i] = o.t.q.call(ctx, func(ctx context.Context) error {
			in := &awssqs.SendMessageInput{QueueUrl: &url, MessageBody: &p.body, MessageAttributes: p.attributes}
			if p.group != "" && !o.ungrouped.Load() {
				in.MessageGroupId = &p.group
			}
			_, err := o.t.q.c.Client.SendMessage(ctx, in)
			return err
		})
	}
	return errs
}

func (o *outbox) sendBatch(ctx context.Context, url string, batch []*parcel, errs []error) error {
	in := &awssqs.SendMessageBatchInput{QueueUrl: &url}
	for i, p := range batch {
		e := awssqs.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: &p.body, MessageAttributes: p.attributes}
		if p.group != "" && !o.ungrouped.Load() {
			e.MessageGroupId = &p.group
		}
		in.Entries = append(in.Entries, e)
	}
	out, err := o.t.q.c.Client.SendMessageBatch(ctx, in)
	if err != nil {
		return err
	}
	sent := make([]string, 0, len(out.Successful))
	for _, e := range out.Successful {
		sent = append(sent, aws.ToString(e.Id))
	}
	sortResults(len(batch), sent, out.Failed, errs)
	return nil
}

// sortResults files the answer to a batch by entry. What is in neither list counts as failed.
func sortResults(n int, successful []string, failed []awssqs.BatchResultErrorEntry, errs []error) {
	for i := range n {
		errs[i] = &entryError{code: "NoResult", message: "SQS did not say what became of this entry of the batch"}
	}
	for _, id := range successful {
		if i, err := strconv.Atoi(id); err == nil && i >= 0 && i < n {
			errs[i] = nil
		}
	}
	for _, f := range failed {
		if i, err := strconv.Atoi(aws.ToString(f.Id)); err == nil && i >= 0 && i < n {
			errs[i] = &entryError{code: aws.ToString(f.Code), message: aws.ToString(f.Message), sender: f.SenderFault}
		}
	}
}
