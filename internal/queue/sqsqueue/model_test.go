package sqsqueue

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/queue/queuetest"
)

// fate is what the model knows of one record at one destination.
type fate struct {
	state    string
	attempts int
	due      time.Time
}

type modelDest struct {
	name  string
	sub   tapway.Subscription
	fates map[int]*fate
	early uint64
	held  []tapway.Message
}

// TestModel does random things and compares the queue with a model after each: nothing is lost,
// nothing comes without cause, the ledger adds up. It is queuetest's model without order.
func TestModel(t *testing.T) {
	for seed := range uint64(6) {
		synctest.Test(t, func(t *testing.T) {
			dice := rand.New(rand.NewPCG(seed, 2))
			w := newWorld(t, func(w *world, _ *Config) { w.sqs.Order = dice.Shuffle })
			var dests []*modelDest
			for _, name := range []string{"a", "b"} {
				dests = append(dests, &modelDest{name: name, sub: w.subscribe(name), fates: map[int]*fate{}})
			}
			next := 0
			for range 150 {
				d := dests[dice.IntN(2)]
				switch dice.IntN(10) {
				case 0, 1, 2:
					n := 1 + dice.IntN(8)
					w.enqueue(next, next+n)
					for ; n > 0; n-- {
						for _, d := range dests {
							d.fates[next] = &fate{state: "queued"}
						}
						next++
					}
				case 3:
					w.q.Drop("sampled")
					for _, d := range dests {
						d.early++
					}
				case 4:
					time.Sleep(time.Duration(dice.IntN(90)) * time.Second)
				case 5, 6, 7:
					d.receive(w, 1+dice.IntN(10))
				default:
					d.settle(w, dice)
				}
				for _, d := range dests {
					d.compare(w)
				}
			}
			if t.Failed() {
				t.Logf("seed %d", seed)
			}
		})
	}
}

func (d *modelDest) receive(w *world, max int) {
	now := time.Now()
	var due []int
	for n, f := range d.fates {
		if (f.state == "queued" || f.state == "leased") && !f.due.After(now) {
			due = append(due, n)
		}
	}
	ctx, cancel := context.WithTimeout(w.Context(), time.Nanosecond)
	defer cancel()
	msgs, err := d.sub.Receive(ctx, max)
	if len(due) == 0 && err != nil && !errors.Is(err, context.DeadlineExceeded) {
		w.Fatal(err)
	}
	if len(due) > 0 && (err != nil || len(msgs) != min(max, len(due))) {
		w.Fatalf("%s: %d messages are due, received %d of %d: %v", d.name, len(due), len(msgs), max, err)
	}
	for _, msg := range msgs {
		n := w.number(msg)
		f := d.fates[n]
		if f == nil || msg.Attempts != f.attempts || len(due) > 0 && !slices.Contains(due, n) {
			w.Fatalf("%s: message %+v, model %+v", d.name, msg, f)
		}
		f.state, f.due = "leased", now.Add(queuetest.Lease)
		d.held = slices.DeleteFunc(d.held, func(h tapway.Message) bool { return h.ID == msg.ID })
		d.held = append(d.held, msg)
	}
}

func (d *modelDest) settle(w *world, dice *rand.Rand) {
	for range min(len(d.held), 1+dice.IntN(5)) {
		i := dice.IntN(len(d.held))
		msg := d.held[i]
		d.held = slices.Delete(d.held, i, i+1)
		o := tapway.Outcome{Verdict: tapway.Verdict(dice.IntN(5)), Reason: "because"}
		o.After = time.Duration(dice.IntN(2)*dice.IntN(100)) * time.Second
		f := d.fates[w.number(msg)]
		ended := !f.due.After(time.Now()) // then SQS cannot put it off: it is visible already
		w.settle(d.sub, o, msg)
		switch o.Verdict {
		case tapway.Delivered:
			f.state = "delivered"
		case tapway.Dead:
			f.state = "dead"
		case tapway.Dropped:
			f.state = "dropped"
		default:
			f.state, f.due = "queued", time.Now().Add(o.After)
			if ended {
				f.due = time.Time{}
			}
			if o.Verdict == tapway.Retry {
				f.attempts++
			}
		}
	}
}

func (d *modelDest) compare(w *world) {
	w.Helper()
	count := map[string]uint64{}
	for _, f := range d.fates {
		count[f.state]++
	}
	l := w.line(d.name)
	if l.Captured != uint64(len(d.fates))+d.early || l.Delivered != count["delivered"] || l.Dead != count["dead"] ||
		l.Queued != count["queued"]+count["leased"] || l.Dropped["because"] != count["dropped"] || l.Dropped["sampled"] != d.early {
		w.Fatalf("account %+v, model %v and %d dropped before", l, count, d.early)
	}
}
