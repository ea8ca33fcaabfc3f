package sqsqueue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/awssqs"
	"github.com/tapway/tapway/internal/queue/claimcheck"
)

// act is one settlement on its way.
type act struct {
	tapway.Settlement
	receipt Receipt
	past    past
	err     error
}

// Settle deletes what is delivered or dropped, makes visible again what failed or was
// released when it is due (at most twelve hours after it was received), and moves what is dead to
// the dead-letter queue: sent there first, deleted here after. An error says which settlements
// are not done; settling all of them again does only those.
func (d *destination) Settle(ctx context.Context, settlements []tapway.Settlement) error {
	if err := d.q.open(); err != nil {
		return err
	}
	if len(settlements) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, d.q.c.Patience)
	defer cancel()
	return d.settle(ctx, settlements)
}

func (d *destination) settle(ctx context.Context, settlements []tapway.Settlement) error {
	if _, _, err := d.main.lookUp(ctx); err != nil {
		return fmt.Errorf("settle for destination %q: %w", d.name, err)
	}
	var errs []error
	var all, remove, hide, bury []*act
	seen := map[string]bool{}
	for _, s := range settlements {
		r, err := ParseReceipt(s.Message.Receipt)
		if err != nil {
			errs = append(errs, fmt.Errorf("settle %s: %w", s.Message.ID, err))
			continue
		}
		a := &act{Settlement: s, receipt: r}
		ok := false
		if a.past, ok = d.memory.claim(&r, s.Outcome.Verdict); !ok || seen[r.MessageID] {
			continue
		}
		seen[r.MessageID] = true
		all = append(all, a)
		switch s.Outcome.Verdict {
		case tapway.Delivered, tapway.Dropped:
			remove = append(remove, a)
		case tapway.Dead:
			bury = append(bury, a)
		default:
			hide = append(hide, a)
		}
	}
	var hiding sync.WaitGroup
	hiding.Go(func() { d.hide(ctx, hide) })
	d.bury(ctx, bury)
	for _, a := range bury {
		if a.err == nil {
			remove = append(remove, a)
		}
	}
	d.remove(ctx, remove)
	hiding.Wait()
	for _, a := range all {
		if a.err != nil {
			errs = append(errs, a.err)
		}
	}
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("settle for destination %q: %d of %d not done: %w", d.name, len(errs), len(settlements), errors.Join(uniq(errs)...))
}

// inBatches calls do for tens of acts, width of them side by side, until each has succeeded, was refused, or ctx has ended; do
// makes one call and files what became of each. What SQS gave once more during the call is
// done again with the newer receipt handle, because the older one may have had no effect; m
// knows them, and is nil where nobody does.
func (q *Queue) inBatches(ctx context.Context, width int, m *memory, acts []*act, do func(ctx context.Context, batch []*act, errs []error) error) {
	n := (len(acts) + maxEntries - 1) / maxEntries
	parallel(n, width, func(i int) {
		batch := acts[i*maxEntries : min((i+1)*maxEntries, len(acts))]
		for try := 0; len(batch) > 0; try++ {
			errs := make([]error, len(batch))
			for _, a := range batch {
				a.receipt.Handle = m.newest(a.receipt.MessageID, a.receipt.Handle)
			}
			if err := q.call(ctx, func(ctx context.Context) error { return do(ctx, batch, errs) }); err != nil {
				for i := range errs {
					errs[i] = err
				}
			}
			var rest []*act
			for i, a := range batch {
				newer := m.newest(a.receipt.MessageID, a.receipt.Handle) != a.receipt.Handle
				if a.err = errs[i]; newer || a.err != nil && transient(a.err) {
					rest = append(rest, a)
				}
			}
			if len(rest) > 0 && !pause(ctx, try) {
				for _, a := range rest {
					if a.err != nil {
						a.err = ended(ctx, a.err)
					}
				}
				return
			}
			batch = rest
		}
	})
}

// remove deletes messages, then their blobs.
func (d *destination) remove(ctx context.Context, acts []*act) {
	if len(acts) == 0 {
		return
	}
	d.deleteAll(ctx, acts)
	var blobs []claimcheck.Pointer
	for _, a := range acts {
		if a.err != nil && lostLease(a.err) {
			a.err = nil // it was deleted before
		}
		if a.err != nil || !d.memory.deleted(a.receipt.MessageID) {
			continue
		}
		d.account.settled(a.Outcome)
		if a.Outcome.Verdict != tapway.Dead && !a.receipt.Pointer.IsZero() {
			blobs = append(blobs, a.receipt.Pointer)
			d.spent.add(a.receipt.Pointer)
		}
	}
	d.q.discard(ctx, blobs)
}

// discard deletes blobs that no message points at any more. What fails is left to the bucket's
// lifecycle rule.
func (q *Queue) discard(ctx context.Context, blobs []claimcheck.Pointer) {
	if q.c.Claims == nil || len(blobs) == 0 {
		return
	}
	parallel(len(blobs), 4, func(i int) {
		if err := q.c.Claims.Discard(ctx, blobs[i]); err != nil {
			q.c.Log.Warn("a large record that is no longer needed was not deleted; the bucket's lifecycle rule has to", "error", err)
		}
	})
}

func (q *Queue) deleteBatch(ctx context.Context, url string, batch []*act, errs []error) error {
	in := &awssqs.DeleteMessageBatchInput{QueueUrl: &url}
	for i, a := range batch {
		in.Entries = append(in.Entries, awssqs.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: &a.receipt.Handle})
	}
	out, err := q.c.Client.DeleteMessageBatch(ctx, in)
	if err != nil {
		return err
	}
	var good []string
	for _, e := range out.Successful {
		good = append(good, aws.ToString(e.Id))
	}
	sortResults(len(batch), good, out.Failed, errs)
	return nil
}

// deleteAgain deletes what came once more after it was settled. If it fails, it comes once more.
func (d *destination) deleteAgain(ctx context.Context, again []*Delivery) {
	acts := make([]*act, len(again))
	for i, v := range again {
		acts[i] = &act{receipt: Receipt{MessageID: v.MessageID, Handle: v.Handle}}
	}
	d.deleteAll(ctx, acts)
}

func (d *destination) deleteAll(ctx context.Context, acts []*act) {
	url, _, _ := d.main.ready()
	d.q.inBatches(ctx, 4, &d.memory, acts, func(ctx context.Context, batch []*act, errs []error) error {
		return d.q.deleteBatch(ctx, url, batch, errs)
	})
}

// hide sets when messages become visible again.
func (d *destination) hide(ctx context.Context, acts []*act) {
	if len(acts) == 0 {
		return
	}
	now := time.Now()
	url, _, _ := d.main.ready()
	d.q.inBatches(ctx, 4, &d.memory, acts, func(ctx context.Context, batch []*act, errs []error) error {
		in := &awssqs.ChangeMessageVisibilityBatchInput{QueueUrl: &url}
		for i, a := range batch {
			in.Entries = append(in.Entries, awssqs.ChangeMessageVisibilityBatchRequestEntry{
				Id: aws.String(strconv.Itoa(i)), ReceiptHandle: &a.receipt.Handle,
				VisibilityTimeout: visibility(a.Outcome.After-time.Since(now), time.Since(a.past.received)),
			})
		}
		return d.change(ctx, in, errs)
	})
	for _, a := range acts {
		if a.err != nil && lostLease(a.err) {
			a.err = nil // it is visible, or somebody else's
		}
		if a.err == nil {
			d.memory.returned(a.receipt.MessageID, a.Outcome, time.Now())
		}
	}
}

func (d *destination) change(ctx context.Context, in *awssqs.ChangeMessageVisibilityBatchInput, errs []error) error {
	out, err := d.q.c.Client.ChangeMessageVisibilityBatch(ctx, in)
	if err != nil {
		return err
	}
	var good []string
	for _, e := range out.Successful {
		good = append(good, aws.ToString(e.Id))
	}
	sortResults(len(in.Entries), good, out.Failed, errs)
	return nil
}

// visibility is the timeout in seconds for a delay, rounded up. SQS counts the twelve hours from
// when the message was received; a minute is left for clocks that differ.
func visibility(after, held time.Duration) int32 {
	most := maxLease - max(held, 0) - time.Minute
	after = max(min(after, most), 0)
	return int32((after + time.Second - 1) / time.Second)
}

// bury sends messages to the dead-letter queue with what is known of their death, unless that
// was done before and only the deletion failed.
func (d *destination) bury(ctx context.Context, acts []*act) {
	acts = slices.DeleteFunc(slices.Clone(acts), func(a *act) bool { return a.past.dead })
	if len(acts) == 0 {
		return
	}
	dead, err := d.deadLetters(ctx)
	var f facts
	if err == nil {
		_, f, err = dead.lookUp(ctx)
	}
	if err != nil {
		d.forgetDead(ctx, dead, err)
		for _, a := range acts {
			a.err = err
		}
		return
	}
	parcels := make([]*parcel, len(acts))
	for i, a := range acts {
		if parcels[i] = d.deadLetter(a); parcels[i].size() > f.most && len(parcels[i].body) <= f.most {
			parcels[i].fit(f.most) // somebody else's message of the full size
		}
	}
	for i, err := range dead.send(ctx, parcels...) {
		if acts[i].err = err; err == nil {
			d.memory.buried(acts[i].receipt.MessageID)
		} else {
			d.forgetDead(ctx, dead, err)
		}
	}
}

// fit takes attributes away, those that tell least first, until no more than most bytes are left: a letter without its
// reason is not lost.
func (p *parcel) fit(most int) {
	for _, name := range []string{
		AttributeFirstAttempt, AttributeDied, AttributeTime, AttributeAttempts, AttributeStatus, AttributeReason, AttributeID, AttributeDestination,
	} {
		if p.size() <= most {
			return
		}
		delete(p.attributes, name)
	}
	if p.size() > most {
		p.attributes = nil
	}
}

// deadLetter is the message for the dead-letter queue. A large record stays where it is: its
// pointer moves.
func (d *destination) deadLetter(a *act) *parcel {
	m, o := &a.Message, &a.Outcome
	p := &parcel{body: string(m.Record), attributes: attributes{}, group: a.receipt.Group}
	switch {
	case a.receipt.Raw != nil:
		raw := a.receipt.Raw
		p.body = raw.Body
		if raw.Attribute == "" {
			break
		}
		p.attributes[raw.Attribute] = awssqs.MessageAttributeValue{DataType: aws.String("Number"), StringValue: &raw.Size}
	case !a.receipt.Pointer.IsZero() && d.q.c.Claims != nil:
		t := d.q.c.Claims.Ticket(a.receipt.Pointer, len(m.Record))
		p.body = string(t.Body)
		p.attributes[t.Attribute] = number(t.Size)
	}
	if !m.ID.IsZero() {
		p.attributes[AttributeID] = text(m.ID.String())
	}
	if !m.Enqueued.IsZero() {
		p.attributes[AttributeTime] = at(m.Enqueued)
	}
	now := time.Now()
	first := m.FirstAttempt
	if first.IsZero() {
		first = now
	}
	p.attributes[AttributeDestination] = text(printable(d.name))
	p.attributes[AttributeReason] = text(printable(o.Reason))
	p.attributes[AttributeAttempts] = number(m.Attempts + 1)
	p.attributes[AttributeFirstAttempt] = at(first)
	p.attributes[AttributeDied] = at(now)
	if o.Status != 0 {
		p.attributes[AttributeStatus] = number(o.Status)
	}
	return p
}
