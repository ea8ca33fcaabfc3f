package sqsqueue

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/awssqs"
	"github.com/tapway/tapway/internal/queue/claimcheck"
	"github.com/tapway/tapway/internal/record"
)

// DeadLetter is a message of a dead-letter queue.
type DeadLetter struct {
	tapway.DeadLetter
	MessageID string
	Exchange  *tapway.Exchange // nil when the record cannot be read; the Meta then has the ID and time at most
	Record    []byte           // nil when it cannot be had
	Err       error            // why the record cannot be had or read
}

// PeekDeadLetters walks the dead letters of one destination in no order, at most limit of them; 0
// is all. SQS has no other way to look than to receive: while the walk lasts, and ten
// minutes if it is cut off, they are hidden from others. Afterwards they are as before, but for their
// receive count.
func (q *Queue) PeekDeadLetters(ctx context.Context, name string, limit int) iter.Seq2[*DeadLetter, error] {
	return func(yield func(*DeadLetter, error) bool) {
		errStop := errors.New("stopped")
		n := 0
		err := q.walk(ctx, name, func(ctx context.Context, d *destination, batch []*item) (takeAway []*item, err error) {
			q.openAll(ctx, d, batch)
			for _, it := range batch {
				if !yield(it.deadLetter(d.name), nil) {
					return nil, errStop
				}
				if n++; n == limit {
					return nil, errStop
				}
			}
			return nil, nil
		})
		if err != nil && !errors.Is(err, errStop) {
			yield(nil, err)
		}
	}
}

// Selection says which dead letters to redrive or purge.
type Selection struct {
	Match  func(dl *DeadLetter) bool // nil: all of them, without reading large records
	Rate   float64                   // records a second; 0: as fast as it goes
	Limit  int                       // stop after this many; 0: no limit
	DryRun bool                      // only count

	Progress func(Result) // is told now and then how far it is; nil: nobody

	again func(it *item) bool // dealt with before, and dead again; nil: none is
}

// Result is what Redrive and Purge did.
type Result struct {
	Seen    int // dead letters looked at
	Matched int // of Seen
	Done    int // of Matched: redriven or purged
}

// Redrive puts dead letters back into the destination's queue, as if no attempt had been made.
// Each is sent there first and then deleted here, so one that is caught by a failure in
// between is in both. One that dies again meanwhile stays dead. One that the queue refuses stays as well, and is in
// the error, but holds up no other.
func (q *Queue) Redrive(ctx context.Context, name string, s Selection) (Result, error) {
	var sent seen
	var alone []error // what the queue has refused of single letters
	s.again = sent.has
	r, err := q.selected(ctx, name, s, func(ctx context.Context, d *destination, items []*item) error {
		if _, _, err := d.main.lookUp(ctx); err != nil {
			return err
		}
		parcels := make([]*parcel, len(items))
		for i, it := range items {
			a := maps.Clone(it.Attributes)
			for _, dead := range deadAttributes {
				delete(a, dead)
			}
			parcels[i] = &parcel{body: it.Body, attributes: a, group: it.System["MessageGroupId"]}
		}
		var errs []error
		for i, err := range d.main.send(ctx, parcels...) {
			switch items[i].err = err; {
			case err == nil:
				sent.add(items[i])
			case ofOne(err):
				alone = append(alone, err)
			default:
				errs = append(errs, err)
			}
		}
		return errors.Join(uniq(errs)...)
	})
	if len(alone) > 0 {
		refused := fmt.Errorf("%d dead letters of destination %q were refused by its queue and stay: %w", len(alone), name, errors.Join(uniq(alone)...))
		err = errors.Join(refused, err)
	}
	return r, err
}

// seen remembers what was sent: by the ID of its exchange, and what has none by its body, with when. What dies again is
// newer; whoever found that it is no record has given it an ID, or not.
type seen struct {
	ids    map[string]bool
	bodies map[[sha256.Size]byte]time.Time
}

func (s *seen) add(it *item) {
	if s.ids == nil {
		s.ids, s.bodies = map[string]bool{}, map[[sha256.Size]byte]time.Time{}
	}
	if id := valueOf(it.Attributes, AttributeID); id != "" {
		s.ids[id] = true
		return
	}
	body := sha256.Sum256([]byte(it.Body))
	if _, ok := s.bodies[body]; !ok {
		s.bodies[body] = it.received
	}
}

func (s *seen) has(it *item) bool {
	if s.ids[valueOf(it.Attributes, AttributeID)] {
		return true
	}
	sent, ok := s.bodies[sha256.Sum256([]byte(it.Body))]
	return ok && it.millis("SentTimestamp").After(sent)
}

// Purge deletes dead letters and their large records; the ledger counts them as dropped
// "purged".
func (q *Queue) Purge(ctx context.Context, name string, s Selection) (Result, error) {
	return q.takeAway(ctx, name, s, tapway.Outcome{Verdict: tapway.Dropped, Reason: "purged"}, nil)
}

// Deliver lets do bring dead letters elsewhere and deletes those for which it returns nil, with
// their large records; the ledger counts them as delivered. A failure of do concerns its letter
// alone.
func (q *Queue) Deliver(ctx context.Context, name string, s Selection, do func(ctx context.Context, dl *DeadLetter) error) (Result, error) {
	return q.takeAway(ctx, name, s, tapway.Outcome{Verdict: tapway.Delivered}, do)
}

// takeAway deletes dead letters for which do returns nil, and books them under o. A nil do is
// content with every letter.
func (q *Queue) takeAway(ctx context.Context, name string, s Selection, o tapway.Outcome, do func(ctx context.Context, dl *DeadLetter) error) (Result, error) {
	var blobs []claimcheck.Pointer
	r, err := q.selected(ctx, name, s, func(ctx context.Context, d *destination, items []*item) error {
		if do != nil && s.Match == nil {
			q.openAll(ctx, d, items)
		}
		for _, it := range items {
			if do != nil {
				if it.err = do(ctx, it.deadLetter(d.name)); it.err != nil {
					continue
				}
			}
			if isClaim(it.Attributes) && q.c.Claims != nil {
				// What nobody has read may point to anything in the bucket.
				if p, err := claimcheck.ParsePointer([]byte(it.Body)); err == nil && (do != nil || q.c.Claims.Own(p)) {
					blobs = append(blobs, p)
				}
			}
		}
		return nil
	})
	if d := q.dests[name]; d != nil {
		for range r.Done {
			d.account.settled(o)
		}
	}
	if err == nil {
		q.discard(ctx, blobs)
	}
	return r, err
}

// selected walks the dead letters, lets do handle those that match, and deletes those of them whose
// err it left nil.
func (q *Queue) selected(ctx context.Context, name string, s Selection, do func(ctx context.Context, d *destination, items []*item) error) (r Result, err error) {
	errStop := errors.New("stopped")
	var next time.Time
	err = q.walk(ctx, name, func(ctx context.Context, d *destination, batch []*item) (takeAway []*item, err error) {
		if s.Match != nil {
			q.openAll(ctx, d, batch)
		}
		var matched []*item
		stop := false
		for _, it := range batch {
			r.Seen++
			if s.again != nil && s.again(it) {
				continue
			}
			if s.Match != nil && !s.Match(it.deadLetter(d.name)) {
				continue
			}
			r.Matched++
			it.err = nil
			matched = append(matched, it)
			if stop = r.Matched == s.Limit; stop {
				break
			}
		}
		if len(matched) > 0 && !s.DryRun {
			takeAway, err = d.take(ctx, s.Rate, &next, matched, do, func(done int) {
				r.Done += done
				s.tell(r)
			})
		}
		s.tell(r)
		if err == nil && stop {
			err = errStop
		}
		return takeAway, err
	})
	if errors.Is(err, errStop) {
		err = nil
	}
	return r, err
}

func (s *Selection) tell(r Result) {
	if s.Progress != nil {
		s.Progress(r)
	}
}

// take handles items at the given rate and deletes from the dead letters what was handled; booked
// is told how many at a time.
func (d *destination) take(ctx context.Context, rate float64, next *time.Time, items []*item, do func(ctx context.Context, d *destination, items []*item) error, booked func(done int)) (gone []*item, err error) {
	step := len(items)
	if rate > 0 {
		step = 1
	}
	for len(items) > 0 {
		if rate > 0 {
			if err := waitUntil(ctx, *next); err != nil {
				return gone, err
			}
			*next = time.Now().Add(time.Duration(float64(time.Second) / rate))
		}
		group := items[:step]
		items = items[step:]
		failed := do(ctx, d, group)
		var handled []*item
		for _, it := range group {
			if it.err == nil {
				handled = append(handled, it)
			}
		}
		left := d.deleteDead(ctx, handled)
		if left == nil {
			gone = append(gone, handled...)
			booked(len(handled))
		}
		if err := errors.Join(failed, left); err != nil {
			return gone, err
		}
	}
	return gone, nil
}

func waitUntil(ctx context.Context, at time.Time) error {
	wait := time.Until(at)
	if wait <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// walkHold is how long a walk hides a dead letter. A walk that takes longer sees some of them again,
// knows them, and passes them over.
const walkHold = 10 * time.Minute

// walk receives all dead letters of a destination, tens at a time, and makes those visible
// again that visit did not take away. It ends when SQS twice has nothing, or all that is known once more.
func (q *Queue) walk(ctx context.Context, name string, visit func(ctx context.Context, d *destination, batch []*item) (takeAway []*item, err error)) (err error) {
	d, err := q.destination(name)
	if err != nil {
		return err
	}
	if err := q.open(); err != nil {
		return err
	}
	ctx, stop := q.untilClosed(ctx)
	defer stop()
	dead, err := d.deadLetters(ctx)
	if err != nil {
		return err
	}
	url, f, err := dead.lookUp(ctx)
	if err != nil {
		return err
	}
	others := d.sharing(ctx, url, f)
	kept := map[string]string{} // receipt handle by message ID
	defer func() { d.putBack(ctx, dead, kept) }()
	for nothing, known := 0, 0; nothing < 2 && known <= len(kept); {
		raw, err := d.receiveDead(ctx, url)
		if err != nil {
			return fmt.Errorf("read the dead letters of destination %q: %w", d.name, err)
		}
		var batch []*item
		fresh := false
		for i := range raw {
			v := deliveryOf(&raw[i])
			if _, known := kept[v.MessageID]; !known {
				fresh = true
				if d.owns(v, &others) {
					batch = append(batch, &item{Delivery: v, received: time.Now()})
				}
			}
			kept[v.MessageID] = v.Handle
		}
		switch {
		case len(raw) == 0:
			nothing++
		case !fresh:
			known += len(raw) // of a long walk: what it saw first is visible again, and others may be behind it
		default:
			nothing, known = 0, 0
		}
		if len(batch) == 0 {
			continue
		}
		gone, err := visit(ctx, d, batch)
		for _, it := range gone {
			delete(kept, it.MessageID)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// receiveDead goes on for a short time when ctx has ended: what SQS gives in an answer that nobody reads would be
// hidden from everybody.
func (d *destination) receiveDead(ctx context.Context, url string) (got []awssqs.Message, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.q.c.Patience)
	defer cancel()
	err = d.q.try(ctx, func(ctx context.Context) error {
		out, err := d.q.c.Client.ReceiveMessage(ctx, &awssqs.ReceiveMessageInput{
			QueueUrl: &url, MaxNumberOfMessages: maxEntries, WaitTimeSeconds: 1, // a long poll asks all of SQS's servers
			VisibilityTimeout: int32(walkHold / time.Second), MessageAttributeNames: []string{"All"},
			MessageSystemAttributeNames: append(slices.Clip(systemAttributes), deadSource),
		})
		if err == nil {
			got = out.Messages
		}
		return err
	})
	return got, err
}

// putBack makes dead letters visible again. It goes on when ctx has ended, for a short time.
func (d *destination) putBack(ctx context.Context, dead *target, kept map[string]string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.q.c.Patience)
	defer cancel()
	url, _, _ := dead.ready()
	if err := d.show(ctx, url, slices.Collect(maps.Values(kept))); err != nil {
		d.q.c.Log.Warn("dead letters that were looked at stay hidden for up to ten minutes", "destination", d.name, "messages", len(kept), "error", err)
	}
}

// show makes messages visible at once. A message that is no longer this process's is no error.
func (d *destination) show(ctx context.Context, url string, handles []string) error {
	acts := make([]*act, len(handles))
	for i, h := range handles {
		acts[i] = &act{receipt: Receipt{Handle: h}}
	}
	// Ten thousand calls for a hundred thousand letters.
	d.q.inBatches(ctx, 16, nil, acts, func(ctx context.Context, batch []*act, errs []error) error {
		in := &awssqs.ChangeMessageVisibilityBatchInput{QueueUrl: &url}
		for j, a := range batch {
			in.Entries = append(in.Entries, awssqs.ChangeMessageVisibilityBatchRequestEntry{Id: aws.String(strconv.Itoa(j)), ReceiptHandle: &a.receipt.Handle})
		}
		return d.change(ctx, in, errs)
	})
	var errs []error
	for _, a := range acts {
		if a.err != nil && !lostLease(a.err) {
			errs = append(errs, a.err)
		}
	}
	return errors.Join(uniq(errs)...)
}

// deleteDead removes messages from the dead-letter queue.
func (d *destination) deleteDead(ctx context.Context, items []*item) error {
	dead, err := d.deadLetters(ctx)
	if err != nil || len(items) == 0 {
		return err
	}
	acts := make([]*act, len(items))
	for i, it := range items {
		acts[i] = &act{receipt: Receipt{MessageID: it.MessageID, Handle: it.Handle}}
	}
	ctx, cancel := context.WithTimeout(ctx, d.q.c.Patience)
	defer cancel()
	url, _, _ := dead.ready()
	d.q.inBatches(ctx, 4, nil, acts, func(ctx context.Context, batch []*act, errs []error) error {
		return d.q.deleteBatch(ctx, url, batch, errs)
	})
	var errs []error
	for _, a := range acts {
		if a.err != nil && !lostLease(a.err) {
			errs = append(errs, a.err)
		}
	}
	if len(errs) > 0 {
		return fmt.Errorf("delete %d dead letters that were dealt with: %w", len(errs), errors.Join(uniq(errs)...))
	}
	return nil
}

// openAll finds the records of a batch.
func (q *Queue) openAll(ctx context.Context, d *destination, batch []*item) {
	parallel(len(batch), 4, func(i int) { batch[i].err = batch[i].open(ctx, d) })
}

// deadLetter tells what the attributes say; of what SQS itself moved there they say nothing.
func (it *item) deadLetter(destination string) *DeadLetter {
	dl := &DeadLetter{MessageID: it.MessageID, Record: it.record, Err: it.err}
	dl.Destination = destination
	dl.Meta.ID, dl.Meta.Time = it.identify(it.record)
	if it.err == nil {
		if dl.Exchange, dl.Err = record.Parse(it.record); dl.Err == nil {
			dl.Meta = dl.Exchange.Meta
		}
	}
	if dl.Reason = valueOf(it.Attributes, AttributeReason); dl.Reason == "" {
		dl.Reason = "received too often without being settled"
	}
	dl.Status, _ = strconv.Atoi(valueOf(it.Attributes, AttributeStatus))
	dl.Attempts, _ = strconv.Atoi(valueOf(it.Attributes, AttributeAttempts))
	dl.FirstAttempt = timeOf(it.Attributes, AttributeFirstAttempt)
	if dl.Died = timeOf(it.Attributes, AttributeDied); dl.Died.IsZero() {
		dl.Died = it.millis("SentTimestamp")
	}
	return dl
}
