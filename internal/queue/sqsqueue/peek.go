package sqsqueue

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/awssqs"
	"github.com/tapway/tapway/internal/record"
)

const (
	peekHold  = 30 * time.Second // how long a message would stay hidden if it could not be given back
	peekRound = 10 * time.Second // of one round at most
	peekWait  = time.Second      // of one call: as long as the end of ctx may be ignored
	peekPause = time.Second      // between two rounds, doubled while there is nothing but what is known
	peekMost  = time.Minute
	peekFresh = 100 // new messages in one round, whose bodies are in memory
	peekDepth = 100 // messages in one round, doubled while behind them there may be new ones
	peekDeep  = 5000
	peekKnown = 16 << 10
)

// Peek gives the exchanges that wait in a destination's queue, each once, until ctx ends or an
// error. Messages are hidden from consumers for a second or so and given back before they are
// shown, but every look counts as a receive, so what lies in the queue for long is looked at less
// and less often, and no more once half of the receives are used up after which SQS makes a dead letter of it. It does
// not see what is delivered between two looks. What cannot be read is logged and passed over.
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
	url, f, err := d.main.lookUp(ctx)
	if err != nil {
		return err
	}
	if f.maxReceives == 1 {
		return fmt.Errorf("%w: its maxReceiveCount is 1", errWorn)
	}
	p := &peeker{d: d, url: url, spare: f.maxReceives / 2, known: map[string]bool{}, depth: peekDepth}
	wait := peekPause
	for failures := 0; ctx.Err() == nil; {
		fresh, seen, err := p.round(ctx)
		for _, it := range fresh {
			ex, err := it.exchange(ctx, d)
			if err != nil {
				d.q.c.Log.Warn("a message in the queue cannot be read", "destination", d.name, "message", it.MessageID, "error", err)
			} else if !show(ex) {
				return nil
			}
		}
		if err == nil && p.worn {
			return fmt.Errorf("%w: some were received %d times, and its maxReceiveCount is %d; set that to 1000", errWorn, p.spare, f.maxReceives)
		}
		if err != nil && (!transient(err) || !pause(ctx, failures)) {
			return err
		}
		if err != nil {
			failures++
			continue
		}
		failures = 0
		switch full := seen >= p.depth; {
		case len(fresh) > 0 || seen == 0:
			wait = peekPause
		case full && p.depth < peekDeep:
			p.depth *= 2
			wait = peekPause
		default:
			wait = min(2*wait, peekMost)
		}
		if waitUntil(ctx, time.Now().Add(wait)) != nil {
			return nil
		}
	}
	return nil
}

// peeker looks into one queue.
type peeker struct {
	d     *destination
	url   string
	known map[string]bool // message IDs
	older map[string]bool // what known was before it was full
	depth int             // messages in one round
	spare int             // receives that may be used up by looking; 0: any number
	worn  bool            // one was received as often
}

// errWorn ends a look that would do harm.
var errWorn = errors.New("another look might have SQS make dead letters of what waits there, for it counts receives")

// round receives until there is nothing more or enough, and gives everything back. The end of
// ctx does not break a call off: what SQS has handed out then would stay hidden.
func (p *peeker) round(ctx context.Context) (fresh []*item, seen int, err error) {
	outer, ctx := ctx, context.WithoutCancel(ctx)
	var handles []string
	for began := time.Now(); outer.Err() == nil && seen < p.depth && len(fresh) < peekFresh && time.Since(began) < peekRound; {
		var got []awssqs.Message
		if got, err = p.receive(ctx); err != nil || len(got) == 0 {
			break
		}
		for i := range got {
			v := deliveryOf(&got[i])
			handles = append(handles, v.Handle)
			seen++
			p.worn = p.worn || p.spare > 0 && v.receives() >= p.spare
			if p.learn(v.MessageID) {
				fresh = append(fresh, &item{Delivery: v, received: time.Now()})
			}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, p.d.q.c.Patience)
	defer cancel()
	if err := p.d.show(ctx, p.url, handles); err != nil {
		p.d.q.c.Log.Warn("messages that were looked at stay hidden for up to half a minute", "destination", p.d.name, "messages", len(handles), "error", err)
	}
	return fresh, seen, err
}

// learn reports whether a message was not known.
func (p *peeker) learn(id string) bool {
	if p.known[id] || p.older[id] {
		return false
	}
	if len(p.known) >= peekKnown {
		p.known, p.older = map[string]bool{}, p.known
	}
	p.known[id] = true
	return true
}

func (p *peeker) receive(ctx context.Context) (got []awssqs.Message, err error) {
	err = p.d.q.call(ctx, func(ctx context.Context) error {
		out, err := p.d.q.c.Client.ReceiveMessage(ctx, &awssqs.ReceiveMessageInput{
			QueueUrl: &p.url, MaxNumberOfMessages: maxEntries, WaitTimeSeconds: int32(peekWait / time.Second),
			VisibilityTimeout: int32(peekHold / time.Second), MessageAttributeNames: []string{"All"},
			MessageSystemAttributeNames: systemAttributes,
		})
		if err == nil {
			got = out.Messages
		}
		return err
	})
	return got, err
}

func (it *item) exchange(ctx context.Context, d *destination) (*tapway.Exchange, error) {
	if err := it.open(ctx, d); err != nil {
		return nil, err
	}
	return record.Parse(it.record)
}
