package sqsqueue

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/queue/queuetest"
	"github.com/tapway/tapway/internal/record"
)

// The cases are those of queuetest, under the same names, as far as SQS can keep them. It
// cannot: messages are records and not frames, destinations are configured and not made by
// Subscribe, there are no positions, and no order but by when they were sent.
var contract = []struct {
	name string
	why  string
	run  func(w *world)
}{
	{"new", "a new message has no past", func(w *world) {
		s := w.subscribe("a")
		w.enqueue(0, 25)
		var all []int
		for len(all) < 25 {
			for _, m := range w.receive(s, 7) {
				if m.Attempts != 0 || m.LastError != "" || !m.FirstAttempt.IsZero() || m.Seq != 0 || m.Frame != nil {
					w.Fatalf("a new message has a past: %+v", m)
				}
				n := w.number(m)
				if want := queuetest.Exchange(n, 0).Time; !m.Enqueued.Equal(want) {
					w.Fatalf("enqueued %v, want %v", m.Enqueued, want)
				}
				all = append(all, n)
			}
		}
		slices.Sort(all)
		for n, got := range all {
			if n != got {
				w.Fatalf("received %v", all)
			}
		}
	}},
	{"whole", "what comes out is the record of what went in, whatever its size", func(w *world) {
		s := w.subscribe("a")
		for _, size := range []int{0, 1, 4095, 4096, 200 << 10, 700 << 10, 800 << 10, 3 << 20} {
			in := queuetest.Exchange(1, size)
			if err := w.q.Enqueue(w.Context(), in); err != nil {
				w.Fatal(err)
			}
			msgs := w.receive(s, 1)
			if want := record.Append(nil, in); string(msgs[0].Record) != string(want) {
				w.Fatalf("a body of %d bytes came out differently: %d bytes, want %d", size, len(msgs[0].Record), len(want))
			}
			w.settle(s, tapway.Outcome{Verdict: tapway.Delivered}, msgs...)
		}
		if l := w.line("a"); l.Delivered != 8 || l.Queued != 0 {
			w.Fatalf("account: %+v", l)
		}
	}},
	{"destinations", "a slow destination does not hold up another: each has its own queue", func(w *world) {
		a, b := w.subscribe("a"), w.subscribe("b")
		w.enqueue(0, 3)
		msgs := w.receive(a, 10)
		w.want(msgs, 0, 1, 2)
		w.settle(a, tapway.Outcome{Verdict: tapway.Delivered}, msgs...)
		w.want(append(w.receive(b, 2), w.receive(b, 2)...), 0, 1, 2)
		if l := w.line("a"); l.Delivered != 3 || l.Queued != 0 {
			w.Fatalf("account of a: %+v", l)
		}
		if l := w.line("b"); l.Delivered != 0 || l.Queued != 3 {
			w.Fatalf("account of b: %+v", l)
		}
	}},
	{"unknown", "a destination without a queue is a mistake that is told at once", func(w *world) {
		if _, err := w.q.Subscribe("c"); !errors.Is(err, tapway.ErrNotFound) {
			w.Fatalf("error %v, want not found", err)
		}
	}},
	{"lease", "a consumer that dies does not take its messages with it; one that lives has them alone", func(w *world) {
		s := w.subscribe("a")
		w.enqueue(0, 2)
		first := w.receive(s, 10)
		w.none(s, "both are leased")
		time.Sleep(queuetest.Lease - 3*time.Second)
		w.none(s, "the lease has not ended")
		again := w.receive(s, 10) // blocks until the leases end
		w.want(again, 0, 1)
		if again[0].Attempts != 0 {
			w.Fatalf("a lease that ends is no attempt, but Attempts is %d", again[0].Attempts)
		}
		i := slices.IndexFunc(again, func(m tapway.Message) bool { return m.ID == first[0].ID })
		w.settle(s, tapway.Outcome{Verdict: tapway.Delivered}, first[0])
		w.settle(s, tapway.Outcome{Verdict: tapway.Delivered}, again[i])
		if l := w.line("a"); l.Delivered != 1 || l.Queued != 1 {
			w.Fatalf("delivered twice counts once: %+v", l)
		}
	}},
	{"late", "a settlement after the lease has ended still counts if nobody else settled the message", func(w *world) {
		s := w.subscribe("a")
		w.enqueue(0, 1)
		msgs := w.receive(s, 1)
		time.Sleep(2 * queuetest.Lease)
		w.settle(s, tapway.Outcome{Verdict: tapway.Delivered}, msgs...)
		w.none(s, "it was delivered")
		if l := w.line("a"); l.Delivered != 1 {
			w.Fatalf("account: %+v", l)
		}
	}},
	{"once", "a settlement takes effect once, however often it is sent", func(w *world) {
		s := w.subscribe("a")
		w.enqueue(0, 2)
		msgs := w.receive(s, 2)
		w.settle(s, tapway.Outcome{Verdict: tapway.Retry, Reason: "no"}, msgs[0], msgs[0])
		w.settle(s, tapway.Outcome{Verdict: tapway.Retry, Reason: "no"}, msgs[0])
		w.settle(s, tapway.Outcome{Verdict: tapway.Dead, Reason: "no"}, msgs[1], msgs[1])
		w.settle(s, tapway.Outcome{Verdict: tapway.Delivered}, msgs[1])
		if m := w.receive(s, 2); len(m) != 1 || m[0].Attempts != 1 {
			w.Fatalf("after one retry: %+v", m)
		}
		if l := w.line("a"); l.Dead != 1 || l.Delivered != 0 || l.Queued != 1 {
			w.Fatalf("account: %+v", l)
		}
	}},
	{"released", "a message that was not attempted comes back as it was, at once or when it was asked for", func(w *world) {
		s := w.subscribe("a")
		w.enqueue(0, 2)
		msgs := w.receive(s, 2)
		w.settle(s, tapway.Outcome{Verdict: tapway.Released}, msgs[0])
		w.settle(s, tapway.Outcome{Verdict: tapway.Released, After: 10 * time.Second}, msgs[1])
		m := w.receive(s, 2)
		w.want(m, w.number(msgs[0]))
		if m[0].Attempts != 0 || m[0].LastError != "" {
			w.Fatalf("released, not attempted: %+v", m[0])
		}
		start := time.Now()
		w.want(w.receive(s, 2), w.number(msgs[1]))
		if d := time.Since(start); d != 10*time.Second {
			w.Fatalf("came after %v, want 10s", d)
		}
	}},
	{"retry", "a failed message comes back when it is due and says what happened; others do not wait for it", func(w *world) {
		s := w.subscribe("a")
		w.enqueue(0, 2)
		msgs := w.receive(s, 1)
		n := w.number(msgs[0])
		start := time.Now()
		w.settle(s, tapway.Outcome{Verdict: tapway.Retry, After: time.Hour, Reason: "503 Service Unavailable", Status: 503}, msgs...)
		other := w.receive(s, 5)
		w.want(other, 1-n)
		w.settle(s, tapway.Outcome{Verdict: tapway.Delivered}, other...)
		if l := w.line("a"); l.Queued != 1 {
			w.Fatalf("account: %+v", l)
		}
		m := w.receive(s, 1)
		if d := time.Since(start); d != time.Hour {
			w.Fatalf("came after %v, want 1h", d)
		}
		if m[0].Attempts != 1 || m[0].LastError != "503 Service Unavailable" || m[0].FirstAttempt.After(start) || m[0].FirstAttempt.Before(start.Add(-queuetest.Lease)) {
			w.Fatalf("its past: %+v", m[0])
		}
		w.settle(s, tapway.Outcome{Verdict: tapway.Retry, Reason: "again"}, m...)
		m2 := w.receive(s, 1)
		if m2[0].Attempts != 2 || m2[0].LastError != "again" || !m2[0].FirstAttempt.Equal(m[0].FirstAttempt) {
			w.Fatalf("its past: %+v, first attempt before: %v", m2[0], m[0].FirstAttempt)
		}
	}},
	{"twelve hours", "a delay beyond what SQS has is cut off there, and is no error", func(w *world) {
		s := w.subscribe("a")
		w.enqueue(0, 1)
		msgs := w.receive(s, 1)
		time.Sleep(30 * time.Second) // SQS counts from when it was received
		start := time.Now()
		w.settle(s, tapway.Outcome{Verdict: tapway.Retry, After: 24 * time.Hour, Reason: "429"}, msgs...)
		w.want(w.receive(s, 1), 0)
		if d := time.Since(start); d < 12*time.Hour-2*time.Minute || d > 12*time.Hour {
			w.Fatalf("came after %v", d)
		}
	}},
	{"verdicts", "every end of a message is counted where it belongs", func(w *world) {
		s := w.subscribe("a")
		w.enqueue(0, 5)
		msgs := w.receive(s, 5)
		w.settle(s, tapway.Outcome{Verdict: tapway.Delivered}, msgs[0])
		w.settle(s, tapway.Outcome{Verdict: tapway.Dead, Reason: "gone", Status: 410}, msgs[1])
		w.settle(s, tapway.Outcome{Verdict: tapway.Dropped, Reason: "filtered"}, msgs[2], msgs[3])
		l := w.line("a")
		if l.Captured != 5 || l.Delivered != 1 || l.Dead != 1 || l.Queued != 1 || l.Dropped["filtered"] != 2 {
			w.Fatalf("account: %+v", l)
		}
	}},
	{"drop", "a call without a record is in the ledger with its reason", func(w *world) {
		w.q.Drop("sampled")
		w.q.Drop("sampled")
		w.q.Drop("too-large")
		w.enqueue(0, 1)
		l := w.line("a")
		if l.Captured != 4 || l.Dropped["sampled"] != 2 || l.Dropped["too-large"] != 1 || l.Queued != 1 {
			w.Fatalf("account: %+v", l)
		}
		all, err := w.q.Ledger(w.Context())
		if err != nil {
			w.Fatal(err)
		}
		if all.Calls != 4 || all.Stored != 1 || all.Dropped["sampled"] != 2 || all.Dropped["too-large"] != 1 {
			w.Fatalf("ledger: %+v", all)
		}
		if tot := w.q.Totals(); tot.Calls != 4 || tot.Stored != 1 || tot.Destinations[0].Captured != 4 || tot.Destinations[0].Dropped["sampled"] != 2 {
			w.Fatalf("totals: %+v", tot)
		}
	}},
	{"blocks", "an idle consumer sleeps until there is work, however many of them there are", func(w *world) {
		s := w.subscribe("a")
		got := make(chan int)
		for range 3 {
			go func() {
				msgs, err := s.Receive(w.Context(), 1)
				if err != nil || len(msgs) != 1 {
					w.Errorf("received %d messages, error %v", len(msgs), err)
					got <- -1
					return
				}
				got <- w.number(msgs[0])
			}()
		}
		time.Sleep(47 * time.Second) // two long polls come back empty
		w.enqueue(0, 3)
		all := []int{<-got, <-got, <-got}
		slices.Sort(all)
		if !slices.Equal(all, []int{0, 1, 2}) {
			w.Fatalf("received %v", all)
		}
	}},
	{"context", "a consumer that is told to stop stops, also while it waits", func(w *world) {
		s := w.subscribe("a")
		ctx, cancel := context.WithCancel(w.Context())
		done := make(chan error)
		go func() {
			_, err := s.Receive(ctx, 1)
			done <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			w.Fatalf("error %v, want canceled", err)
		}
		w.enqueue(0, 1)
		if _, err := s.Receive(ctx, 1); !errors.Is(err, context.Canceled) {
			w.Fatalf("error %v, want canceled", err)
		}
		w.want(w.receive(s, 1), 0)
	}},
	{"closed", "a closed queue says so and takes nothing more; closing twice is no error", func(w *world) {
		s := w.subscribe("a")
		done := make(chan error)
		go func() {
			_, err := s.Receive(w.Context(), 1)
			done <- err
		}()
		synctest.Wait()
		if err := w.q.Close(); err != nil {
			w.Fatal(err)
		}
		if err := <-done; !errors.Is(err, tapway.ErrClosed) {
			w.Errorf("waiting Receive: %v, want closed", err)
		}
		if err := w.q.Enqueue(w.Context(), queuetest.Exchange(0, 0)); !errors.Is(err, tapway.ErrClosed) {
			w.Errorf("Enqueue: %v, want closed", err)
		}
		if _, err := s.Receive(w.Context(), 1); !errors.Is(err, tapway.ErrClosed) {
			w.Errorf("Receive: %v, want closed", err)
		}
		if err := s.Settle(w.Context(), nil); !errors.Is(err, tapway.ErrClosed) {
			w.Errorf("Settle: %v, want closed", err)
		}
		if _, err := w.q.Subscribe("b"); !errors.Is(err, tapway.ErrClosed) {
			w.Errorf("Subscribe: %v, want closed", err)
		}
		w.q.Drop("late") // must not panic
		if err := w.q.Close(); err != nil {
			w.Errorf("second Close: %v", err)
		}
	}},
	{"canceled enqueue", "an error means nothing was stored, and the loss is counted", func(w *world) {
		s := w.subscribe("a")
		ctx, cancel := context.WithCancel(w.Context())
		cancel()
		if err := w.q.Enqueue(ctx, queuetest.Exchange(0, 0)); !errors.Is(err, context.Canceled) {
			w.Fatalf("error %v, want canceled", err)
		}
		w.none(s, "nothing was stored")
		if l := w.line("a"); l.Captured != 1 || l.Queued != 0 || l.Dropped["canceled"] != 1 {
			w.Fatalf("account: %+v", l)
		}
	}},
}

func TestContract(t *testing.T) {
	for _, c := range contract {
		t.Run(c.name, func(t *testing.T) {
			t.Log(c.why)
			synctest.Test(t, func(t *testing.T) { c.run(newWorld(t, nil)) })
		})
	}
}

// TestConcurrent lets producers and consumers loose on each other, with messages out of order
// and some given twice: everything is delivered exactly once while leases hold.
func TestConcurrent(t *testing.T) { synctest.Test(t, concurrent) }

func concurrent(t *testing.T) {
	const producers, each, consumers = 8, 50, 4
	var mu sync.Mutex
	dice := rand.New(rand.NewPCG(1, 1))
	w := newWorld(t, func(w *world, _ *Config) {
		w.sqs.Order = dice.Shuffle
		w.sqs.Again = func() bool {
			mu.Lock()
			defer mu.Unlock()
			return dice.IntN(10) == 0
		}
	})
	got := map[string]*[producers * each]atomic.Int32{}
	var wg sync.WaitGroup
	for _, name := range []string{"a", "b"} {
		got[name] = new([producers * each]atomic.Int32)
		s := w.subscribe(name)
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
						if i%5 == 0 && m.Attempts == 0 {
							o = tapway.Outcome{Verdict: tapway.Retry, Reason: "once more"}
						}
						if err := s.Settle(t.Context(), []tapway.Settlement{{Message: m, Outcome: o}}); err != nil {
							t.Error(err)
							return
						}
						if o.Verdict == tapway.Delivered {
							got[name][w.number(m)].Add(1)
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
				if err := w.q.Enqueue(t.Context(), queuetest.Exchange(p*each+n, 100)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	w.sqs.Again = nil
	for name := range got {
		time.Sleep(2 * queuetest.Lease)
		w.none(w.subscribe(name), "all were delivered; what comes once more is deleted once more")
		for n := range got[name] {
			if c := got[name][n].Load(); c != 1 {
				t.Errorf("%s: record %d was delivered %d times", name, n, c)
			}
		}
		if l := w.line(name); l.Delivered != producers*each {
			t.Errorf("account: %+v", l)
		}
	}
	if w.sqs.Calls("SendMessageBatch") == 0 {
		t.Error("nothing was sent in batches")
	}
}
