// Package queuetest is the contract of [tapway.Queue] and [tapway.Store]: every engine runs
// it, and every case says why it matters.
//
// What a newcomer gets wrong: engines run here without their Run, because nothing may depend
// on it, and inside a [testing/synctest] bubble where time matters, so they must take the
// time from package time (or a clock that does) and be opened with [Lease].
package queuetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tapway/tapway"
)

// Lease is how long the engines under test keep a received message from others.
const Lease = time.Minute

// Exchange makes the n-th of a series of exchanges that differ in every field a search asks
// for. The body has size bytes.
func Exchange(n, size int) *tapway.Exchange {
	at := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC).Add(time.Duration(n) * time.Millisecond)
	ex := &tapway.Exchange{
		Meta: tapway.Meta{
			ID: tapway.NewID(at), Time: at, Duration: time.Duration(n%500) * time.Millisecond,
			Front: tapway.FrontServer, Origin: tapway.OriginBackend, Proto: "HTTP/1.1", From: "api.example.com",
			Method: []string{"GET", "POST", "PUT", "DELETE"}[n%4], Path: fmt.Sprintf("/api/v%d/users/%d", n%3, n%97),
			Query: fmt.Sprintf("n=%d", n), Route: "ANY /{proxy+}", ClientIP: "203.0.113.7",
			Status: []int{200, 201, 404, 503}[n/4%4], RequestSize: int64(size),
		},
		RequestHeader:  tapway.Header{{Name: "Content-Type", Value: "application/octet-stream"}},
		ResponseHeader: tapway.Header{{Name: "Content-Type", Value: "application/json"}},
	}
	if size > 0 {
		body := make([]byte, size)
		for i := range body {
			body[i] = byte(i*7 + n)
		}
		ex.Request = tapway.Body{Bytes: body, Size: int64(size)}
	}
	return ex
}

// number is the n of Exchange(n, …) that a message carries.
func number(t TB, m tapway.Message) int {
	t.Helper()
	if m.Frame == nil {
		t.Fatalf("message %d has no frame", m.Seq)
	}
	ex, err := tapway.DecodeFrame(m.Frame)
	if err != nil {
		t.Fatalf("message %d: %v", m.Seq, err)
	}
	if ex.ID != m.ID {
		t.Fatalf("message %d says ID %s, its frame %s", m.Seq, m.ID, ex.ID)
	}
	var n int
	if _, err := fmt.Sscanf(ex.Query, "n=%d", &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TB is what the contract needs of a test; property-testing libraries have it, too.
type TB interface {
	Helper()
	Context() context.Context
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

type fixture struct {
	TB
	q tapway.Queue
}

func (f fixture) enqueue(from, to int) {
	f.Helper()
	for n := from; n < to; n++ {
		if err := f.q.Enqueue(f.Context(), Exchange(n, 10)); err != nil {
			f.Fatal(err)
		}
	}
}

func (f fixture) subscribe(name string) tapway.Subscription {
	f.Helper()
	s, err := f.q.Subscribe(name)
	if err != nil {
		f.Fatal(err)
	}
	return s
}

func (f fixture) receive(s tapway.Subscription, max int) []tapway.Message {
	f.Helper()
	msgs, err := s.Receive(f.Context(), max)
	if err != nil {
		f.Fatal(err)
	}
	return msgs
}

// none fails when something can be received within a second of the bubble's time.
func (f fixture) none(s tapway.Subscription, why string) {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.Context(), time.Second)
	defer cancel()
	msgs, err := s.Receive(ctx, 10)
	if !errors.Is(err, context.DeadlineExceeded) || len(msgs) > 0 {
		f.Fatalf("%s: received %d messages, error %v", why, len(msgs), err)
	}
}

func (f fixture) settle(s tapway.Subscription, o tapway.Outcome, msgs ...tapway.Message) {
	f.Helper()
	var all []tapway.Settlement
	for _, m := range msgs {
		all = append(all, tapway.Settlement{Message: m, Outcome: o})
	}
	if err := s.Settle(f.Context(), all); err != nil {
		f.Fatal(err)
	}
}

func (f fixture) line(destination string) tapway.LedgerLine {
	f.Helper()
	l, err := f.q.Ledger(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	if l.Difference() != 0 {
		f.Fatalf("the ledger is out by %d: %+v", l.Difference(), l)
	}
	for _, line := range l.Destinations {
		if line.Destination == destination {
			if line.Difference() != 0 {
				f.Fatalf("the account of %s is out by %d: %+v", destination, line.Difference(), line)
			}
			return line
		}
	}
	f.Fatalf("no account of %s in %+v", destination, l)
	return tapway.LedgerLine{}
}

func numbers(t TB, msgs []tapway.Message) (ns []int) {
	for _, m := range msgs {
		ns = append(ns, number(t, m))
	}
	return ns
}

func (f fixture) want(msgs []tapway.Message, ns ...int) {
	f.Helper()
	if got := numbers(f, msgs); !slices.Equal(got, ns) {
		f.Fatalf("received %v, want %v", got, ns)
	}
}

// queueCase is one promise. Cases run in a synctest bubble, so that time passes only when
// everyone waits.
type queueCase struct {
	name string
	why  string
	run  func(f fixture)
}

// Test runs the contract of a queue. open makes an empty one with lease time [Lease] and
// closes it with t.Cleanup.
func Test(t *testing.T, open func(t *testing.T) tapway.Queue) {
	for _, c := range queueCases {
		t.Run(c.name, func(t *testing.T) {
			t.Log(c.why)
			synctest.Test(t, func(t *testing.T) { c.run(fixture{t, open(t)}) })
		})
	}
	t.Run("model", func(t *testing.T) {
		t.Log("whatever happens in whatever order: nothing is lost, nothing comes twice without cause, the ledger adds up")
		for seed := range uint64(30) {
			synctest.Test(t, func(t *testing.T) { Model(t, open(t), chooser(t, seed), 200) })
		}
	})
	t.Run("concurrent", func(t *testing.T) {
		t.Log("many producers and consumers at once: everything is received and delivered exactly once while leases hold")
		concurrent(t, open(t))
	})
}

var queueCases = []queueCase{
	{"order", "records are received in the order of their positions, which are dense from 1", func(f fixture) {
		s := f.subscribe("a")
		f.enqueue(0, 25)
		for n := 0; n < 25; {
			for _, m := range f.receive(s, 7) {
				if got := number(f, m); got != n {
					f.Fatalf("received %d, want %d", got, n)
				}
				if m.Seq != 0 && m.Seq != uint64(n+1) {
					f.Fatalf("position %d, want %d", m.Seq, n+1)
				}
				if m.Attempts != 0 || m.LastError != "" || !m.FirstAttempt.IsZero() {
					f.Fatalf("a new message has a past: %+v", m)
				}
				if want := Exchange(n, 0).Time; !m.Enqueued.Equal(want) {
					f.Fatalf("enqueued %v, want %v", m.Enqueued, want)
				}
				n++
			}
		}
	}},
	{"whole", "what comes out is what went in, whatever its size", func(f fixture) {
		s := f.subscribe("a")
		for _, size := range []int{0, 1, 4095, 4096, 200 << 10, 3 << 20} {
			in := Exchange(1, size)
			if err := f.q.Enqueue(f.Context(), in); err != nil {
				f.Fatal(err)
			}
			msgs := f.receive(s, 1)
			out, err := tapway.DecodeFrame(msgs[0].Frame)
			if err != nil {
				f.Fatal(err)
			}
			if string(tapway.AppendFrame(nil, out)) != string(tapway.AppendFrame(nil, in)) {
				f.Fatalf("a body of %d bytes came out differently", size)
			}
			f.settle(s, tapway.Outcome{Verdict: tapway.Delivered}, msgs...)
		}
	}},
	{"destinations", "a slow destination does not hold up another: each has its own position", func(f fixture) {
		a, b := f.subscribe("a"), f.subscribe("b")
		f.enqueue(0, 3)
		msgs := f.receive(a, 10)
		f.want(msgs, 0, 1, 2)
		f.settle(a, tapway.Outcome{Verdict: tapway.Delivered}, msgs...)
		f.want(f.receive(b, 2), 0, 1)
		f.want(f.receive(b, 2), 2)
		if l := f.line("a"); l.Delivered != 3 || l.Queued != 0 {
			f.Fatalf("account of a: %+v", l)
		}
		if l := f.line("b"); l.Delivered != 0 || l.Queued != 3 {
			f.Fatalf("account of b: %+v", l)
		}
	}},
	{"begin", "a new destination gets what comes from now on, a known one goes on where it was", func(f fixture) {
		f.enqueue(0, 2)
		a := f.subscribe("a")
		f.enqueue(2, 4)
		f.want(f.receive(a, 10), 2, 3)
		f.enqueue(4, 5)
		f.want(f.receive(f.subscribe("a"), 10), 4)
		if l := f.line("a"); l.Captured != 3 {
			f.Fatalf("account: %+v", l)
		}
	}},
	{"lease", "a consumer that dies does not take its messages with it; one that lives has them alone", func(f fixture) {
		s := f.subscribe("a")
		f.enqueue(0, 2)
		first := f.receive(s, 10)
		f.none(s, "both are leased")
		time.Sleep(Lease - 3*time.Second)
		f.none(s, "the lease has not ended")
		again := f.receive(s, 10) // blocks until the leases end
		f.want(again, 0, 1)
		if again[0].Attempts != 0 {
			f.Fatalf("a lease that ends is no attempt, but Attempts is %d", again[0].Attempts)
		}
		f.settle(s, tapway.Outcome{Verdict: tapway.Delivered}, first[0])
		f.settle(s, tapway.Outcome{Verdict: tapway.Delivered}, again[0])
		if l := f.line("a"); l.Delivered != 1 || l.Queued != 1 {
			f.Fatalf("delivered twice counts once: %+v", l)
		}
	}},
	{"late", "a settlement after the lease has ended still counts if nobody else settled the message", func(f fixture) {
		s := f.subscribe("a")
		f.enqueue(0, 1)
		msgs := f.receive(s, 1)
		time.Sleep(2 * Lease)
		f.settle(s, tapway.Outcome{Verdict: tapway.Delivered}, msgs...)
		f.none(s, "it was delivered")
		if l := f.line("a"); l.Delivered != 1 {
			f.Fatalf("account: %+v", l)
		}
	}},
	{"once", "a settlement takes effect once, however often it is sent", func(f fixture) {
		s := f.subscribe("a")
		f.enqueue(0, 2)
		msgs := f.receive(s, 2)
		f.settle(s, tapway.Outcome{Verdict: tapway.Retry, Reason: "no"}, msgs[0], msgs[0])
		f.settle(s, tapway.Outcome{Verdict: tapway.Retry, Reason: "no"}, msgs[0])
		f.settle(s, tapway.Outcome{Verdict: tapway.Dead, Reason: "no"}, msgs[1], msgs[1])
		f.settle(s, tapway.Outcome{Verdict: tapway.Delivered}, msgs[1])
		if m := f.receive(s, 2); len(m) != 1 || m[0].Attempts != 1 {
			f.Fatalf("after one retry: %+v", m)
		}
		if l := f.line("a"); l.Dead != 1 || l.Delivered != 0 || l.Queued != 1 {
			f.Fatalf("account: %+v", l)
		}
	}},
	{"released", "a message that was not attempted comes back as it was, at once or when it was asked for", func(f fixture) {
		s := f.subscribe("a")
		f.enqueue(0, 2)
		msgs := f.receive(s, 2)
		f.settle(s, tapway.Outcome{Verdict: tapway.Released}, msgs[0])
		f.settle(s, tapway.Outcome{Verdict: tapway.Released, After: 10 * time.Second}, msgs[1])
		m := f.receive(s, 2)
		f.want(m, 0)
		if m[0].Attempts != 0 || m[0].LastError != "" {
			f.Fatalf("released, not attempted: %+v", m[0])
		}
		start := time.Now()
		f.want(f.receive(s, 2), 1)
		if d := time.Since(start); d != 10*time.Second {
			f.Fatalf("came after %v, want 10s", d)
		}
	}},
	{"retry", "a failed message comes back when it is due and says what happened; others do not wait for it", func(f fixture) {
		s := f.subscribe("a")
		f.enqueue(0, 2)
		msgs := f.receive(s, 1)
		start := time.Now()
		f.settle(s, tapway.Outcome{Verdict: tapway.Retry, After: time.Hour, Reason: "503 Service Unavailable", Status: 503}, msgs...)
		f.want(f.receive(s, 5), 1)
		if l := f.line("a"); l.Queued != 2 {
			f.Fatalf("account: %+v", l)
		}
		for {
			m := f.receive(s, 1)
			if number(f, m[0]) == 1 {
				f.settle(s, tapway.Outcome{Verdict: tapway.Delivered}, m...)
				continue
			}
			if d := time.Since(start); d != time.Hour {
				f.Fatalf("came after %v, want 1h", d)
			}
			if m[0].Attempts != 1 || m[0].LastError != "503 Service Unavailable" || m[0].FirstAttempt.After(start) || m[0].FirstAttempt.Before(start.Add(-Lease)) {
				f.Fatalf("its past: %+v", m[0])
			}
			f.settle(s, tapway.Outcome{Verdict: tapway.Retry, Reason: "again"}, m...)
			m2 := f.receive(s, 1)
			if m2[0].Attempts != 2 || m2[0].LastError != "again" || !m2[0].FirstAttempt.Equal(m[0].FirstAttempt) {
				f.Fatalf("its past: %+v, first attempt before: %v", m2[0], m[0].FirstAttempt)
			}
			return
		}
	}},
	{"verdicts", "every end of a message is counted where it belongs", func(f fixture) {
		s := f.subscribe("a")
		f.enqueue(0, 5)
		msgs := f.receive(s, 5)
		f.settle(s, tapway.Outcome{Verdict: tapway.Delivered}, msgs[0])
		f.settle(s, tapway.Outcome{Verdict: tapway.Dead, Reason: "gone", Status: 410}, msgs[1])
		f.settle(s, tapway.Outcome{Verdict: tapway.Dropped, Reason: "filtered"}, msgs[2], msgs[3])
		l := f.line("a")
		if l.Captured != 5 || l.Delivered != 1 || l.Dead != 1 || l.Queued != 1 || l.Dropped["filtered"] != 2 {
			f.Fatalf("account: %+v", l)
		}
	}},
	{"drop", "a call without a record is in the ledger with its reason, of every destination that exists by then", func(f fixture) {
		f.q.Drop("sampled")
		f.subscribe("a")
		f.q.Drop("sampled")
		f.q.Drop("too-large")
		f.enqueue(0, 1)
		l := f.line("a")
		if l.Captured != 3 || l.Dropped["sampled"] != 1 || l.Dropped["too-large"] != 1 || l.Queued != 1 {
			f.Fatalf("account: %+v", l)
		}
		all, err := f.q.Ledger(f.Context())
		if err != nil {
			f.Fatal(err)
		}
		if all.Calls != 4 || all.Stored != 1 || all.Dropped["sampled"] != 2 || all.Dropped["too-large"] != 1 {
			f.Fatalf("ledger: %+v", all)
		}
	}},
	{"blocks", "an idle consumer sleeps until there is work, however many of them there are", func(f fixture) {
		s := f.subscribe("a")
		got := make(chan int)
		for range 3 {
			go func() {
				msgs, err := s.Receive(f.Context(), 1)
				if err != nil || len(msgs) != 1 {
					f.Errorf("received %d messages, error %v", len(msgs), err)
					got <- -1
					return
				}
				got <- number(f, msgs[0])
			}()
		}
		synctest.Wait()
		f.enqueue(0, 3)
		all := []int{<-got, <-got, <-got}
		slices.Sort(all)
		if !slices.Equal(all, []int{0, 1, 2}) {
			f.Fatalf("received %v", all)
		}
	}},
	{"context", "a consumer that is told to stop stops, also while it waits", func(f fixture) {
		s := f.subscribe("a")
		ctx, cancel := context.WithCancelCause(f.Context())
		done := make(chan error)
		go func() {
			_, err := s.Receive(ctx, 1)
			done <- err
		}()
		synctest.Wait()
		cancel(nil)
		if err := <-done; !errors.Is(err, context.Canceled) {
			f.Fatalf("error %v, want canceled", err)
		}
		f.enqueue(0, 1)
		if _, err := s.Receive(ctx, 1); !errors.Is(err, context.Canceled) {
			f.Fatalf("error %v, want canceled", err)
		}
		f.want(f.receive(s, 1), 0)
	}},
	{"closed", "a closed queue says so and takes nothing more; closing twice is no error", func(f fixture) {
		s := f.subscribe("a")
		done := make(chan error)
		go func() {
			_, err := s.Receive(f.Context(), 1)
			done <- err
		}()
		synctest.Wait()
		if err := f.q.Close(); err != nil {
			f.Fatal(err)
		}
		if err := <-done; !errors.Is(err, tapway.ErrClosed) {
			f.Errorf("waiting Receive: %v, want closed", err)
		}
		if err := f.q.Enqueue(f.Context(), Exchange(0, 0)); !errors.Is(err, tapway.ErrClosed) {
			f.Errorf("Enqueue: %v, want closed", err)
		}
		if _, err := s.Receive(f.Context(), 1); !errors.Is(err, tapway.ErrClosed) {
			f.Errorf("Receive: %v, want closed", err)
		}
		if err := s.Settle(f.Context(), nil); !errors.Is(err, tapway.ErrClosed) {
			f.Errorf("Settle: %v, want closed", err)
		}
		if _, err := f.q.Subscribe("b"); !errors.Is(err, tapway.ErrClosed) {
			f.Errorf("Subscribe: %v, want closed", err)
		}
		f.q.Drop("late") // must not panic
		if err := f.q.Close(); err != nil {
			f.Errorf("second Close: %v", err)
		}
	}},
	{"canceled enqueue", "an error means nothing was stored, and the loss is counted", func(f fixture) {
		s := f.subscribe("a")
		ctx, cancel := context.WithCancel(f.Context())
		cancel()
		if err := f.q.Enqueue(ctx, Exchange(0, 0)); !errors.Is(err, context.Canceled) {
			f.Fatalf("error %v, want canceled", err)
		}
		f.none(s, "nothing was stored")
		l := f.line("a")
		if l.Captured != 1 || l.Queued != 0 {
			f.Fatalf("account: %+v", l)
		}
	}},
}
