package queuetest

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tapway/tapway"
)

// Choose picks a number from 0 to n-1: a random source, or a property-testing library that
// can shrink what it chose.
type Choose func(label string, n int) int

func chooser(t TB, seed uint64) Choose {
	r := rand.New(rand.NewPCG(seed, 1)) // #nosec G404 -- a test repeats by its seed
	t.Logf("seed %d", seed)
	return func(_ string, n int) int { return r.IntN(n) }
}

// fate is what the model knows of one record at one destination.
type fate struct {
	state    string // queued, leased, delivered, dead, dropped
	attempts int
	due      time.Time // of queued: not before; of leased: when the lease ends
}

type modelDest struct {
	name  string
	sub   tapway.Subscription
	fates map[int]*fate // by the number of the exchange
	early uint64        // calls dropped before the queue since it was subscribed
	held  []tapway.Message
}

type model struct {
	fixture
	choose Choose
	dests  []*modelDest
	next   int
	drops  uint64
}

// Model does a random sequence of operations and compares the queue with a model of it after
// each one. It must run in a synctest bubble.
func Model(t TB, q tapway.Queue, choose Choose, steps int) {
	m := &model{fixture: fixture{t, q}, choose: choose}
	m.addDest()
	for range steps {
		m.step()
		m.compare()
	}
}

func (m *model) addDest() {
	d := &modelDest{name: string(rune('a' + len(m.dests))), fates: map[int]*fate{}}
	d.sub = m.subscribe(d.name)
	m.dests = append(m.dests, d)
}

func (m *model) step() {
	d := m.dests[m.choose("destination", len(m.dests))]
	switch m.choose("step", 12) {
	case 0, 1, 2:
		for range 1 + m.choose("records", 8) {
			m.enqueue(m.next, m.next+1)
			for _, d := range m.dests {
				d.fates[m.next] = &fate{state: "queued"}
			}
			m.next++
		}
	case 3:
		m.q.Drop("sampled")
		m.drops++
		for _, d := range m.dests {
			d.early++
		}
	case 4:
		if len(m.dests) < 3 {
			m.addDest()
		}
	case 5:
		time.Sleep(time.Duration(m.choose("sleep", 90)) * time.Second)
	case 6, 7, 8:
		m.receiveSome(d)
	default:
		m.settleSome(d)
	}
}

func (m *model) receiveSome(d *modelDest) {
	max := 1 + m.choose("max", 10)
	now := time.Now()
	var due []int
	for n, f := range d.fates {
		if (f.state == "queued" || f.state == "leased") && !f.due.After(now) {
			due = append(due, n)
		}
	}
	slices.Sort(due)
	ctx, cancel := context.WithTimeout(m.Context(), time.Nanosecond)
	defer cancel()
	msgs, err := d.sub.Receive(ctx, max)
	if len(due) == 0 {
		// Nothing is due, or within that nanosecond just became so.
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			m.Fatal(err)
		}
	} else if err != nil {
		m.Fatalf("%s: %d messages are due, received: %v", d.name, len(due), err)
	}
	if want := due[:min(max, len(due))]; len(due) > 0 && !slices.Equal(numbers(m, msgs), want) {
		m.Fatalf("%s: received %v, want %v", d.name, numbers(m, msgs), want)
	}
	for _, msg := range msgs {
		f := d.fates[number(m, msg)]
		if f == nil || msg.Attempts != f.attempts {
			m.Fatalf("%s: message %+v, model %+v", d.name, msg, f)
		}
		f.state, f.due = "leased", now.Add(Lease)
		d.held = slices.DeleteFunc(d.held, func(h tapway.Message) bool { return h.ID == msg.ID })
		d.held = append(d.held, msg)
	}
}

func (m *model) settleSome(d *modelDest) {
	for range min(len(d.held), 1+m.choose("settle", 5)) {
		i := m.choose("held", len(d.held))
		msg := d.held[i]
		d.held = slices.Delete(d.held, i, i+1)
		o := tapway.Outcome{Verdict: tapway.Verdict(m.choose("verdict", 5)), Reason: "because"}
		o.After = time.Duration(m.choose("after", 2)*m.choose("seconds", 100)) * time.Second
		m.settle(d.sub, o, msg)
		f := d.fates[number(m, msg)]
		switch o.Verdict {
		case tapway.Delivered:
			f.state = "delivered"
		case tapway.Dead:
			f.state = "dead"
		case tapway.Dropped:
			f.state = "dropped"
		default:
			f.state, f.due = "queued", time.Now().Add(o.After)
			if o.Verdict == tapway.Retry {
				f.attempts++
			}
		}
	}
}

func (m *model) compare() {
	m.Helper()
	for _, d := range m.dests {
		count := map[string]uint64{}
		for _, f := range d.fates {
			count[f.state]++
		}
		l := m.line(d.name)
		if l.Captured != uint64(len(d.fates))+d.early || l.Delivered != count["delivered"] || l.Dead != count["dead"] ||
			l.Queued != count["queued"]+count["leased"] || l.Dropped["because"] != count["dropped"] || l.Dropped["sampled"] != d.early {
			m.Fatalf("account %+v, model %v and %d dropped before", l, count, d.early)
		}
	}
}

// concurrent lets producers and consumers loose on each other in real time.
func concurrent(t *testing.T, q tapway.Queue) {
	const producers, each, consumers = 8, 250, 4
	f := fixture{t, q}
	names := []string{"a", "b"}
	got := map[string]*[producers * each]atomic.Int32{}
	var wg sync.WaitGroup
	for _, name := range names {
		got[name] = new([producers * each]atomic.Int32)
		s := f.subscribe(name)
		var left atomic.Int64
		left.Store(producers * each)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for range consumers {
			wg.Go(func() {
				for {
					msgs, err := s.Receive(ctx, 16)
					if err != nil {
						return
					}
					for i, m := range msgs {
						o := tapway.Outcome{Verdict: tapway.Delivered}
						if (int(m.Seq)+i)%5 == 0 && m.Attempts == 0 {
							o = tapway.Outcome{Verdict: tapway.Retry, Reason: "once more"}
						}
						if err := s.Settle(ctx, []tapway.Settlement{{Message: m, Outcome: o}}); err != nil {
							t.Error(err)
							return
						}
						if o.Verdict == tapway.Delivered {
							got[name][number(t, m)].Add(1)
							if left.Add(-1) == 0 {
								cancel()
							}
						}
					}
				}
			})
		}
	}
	for p := range producers {
		wg.Go(func() {
			for n := range each {
				if err := q.Enqueue(t.Context(), Exchange(p*each+n, 100)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	for _, name := range names {
		for n := range got[name] {
			if c := got[name][n].Load(); c != 1 {
				t.Errorf("%s: record %d was delivered %d times", name, n, c)
			}
		}
		if l := f.line(name); l.Delivered != producers*each {
			t.Errorf("account: %+v", l)
		}
	}
}
