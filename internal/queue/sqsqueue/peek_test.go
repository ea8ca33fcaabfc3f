package sqsqueue

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/queue/queuetest"
	"github.com/tapway/tapway/internal/queue/sqsqueue/sqstest"
)

// TestPeekQueue: every record once, old and new, and all of them stay for the consumer.
func TestPeekQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, onlyA)
		w.enqueue(0, 23)
		if err := w.q.Enqueue(t.Context(), queuetest.Exchange(23, 2<<20)); err != nil { // a large one
			t.Fatal(err)
		}
		w.sqs.Put("a", "no record", nil)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var got []int
		began := time.Now()
		for ex, err := range w.q.Peek(ctx, "a") {
			if err != nil {
				t.Fatal(err)
			}
			if got = append(got, numberOf(t, ex)); len(got) == 24 {
				w.enqueue(24, 25)
			}
			if len(got) == 25 {
				break
			}
		}
		slices.Sort(got)
		if len(got) != 25 || got[0] != 0 || got[24] != 24 {
			t.Errorf("looked at %v", got)
		}
		for _, m := range w.sqs.Messages("a") {
			if m.Visible.After(time.Now()) {
				t.Errorf("a message is hidden until %v", m.Visible)
			}
		}
		if took := time.Since(began); took > time.Minute {
			t.Errorf("it took %v", took)
		}
		for _, err := range w.q.Peek(t.Context(), "nobody") {
			if !errors.Is(err, tapway.ErrNotFound) {
				t.Errorf("no destination: %v", err)
			}
		}
	})
}

// TestPeekBehindBacklog: what comes behind a long backlog is seen as well.
func TestPeekBehindBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, onlyA)
		const backlog = 350
		w.enqueue(0, backlog)
		n := 0
		for ex, err := range w.q.Peek(t.Context(), "a") {
			if err != nil {
				t.Fatal(err)
			}
			if n++; n == backlog {
				w.enqueue(backlog, backlog+1)
			}
			if numberOf(t, ex) == backlog {
				break
			}
		}
		if n != backlog+1 {
			t.Errorf("%d were shown", n)
		}
		for _, m := range w.sqs.Messages("a") {
			if m.Visible.After(time.Now()) || m.Receives > 20 {
				t.Fatalf("a message is hidden until %v after %d receives", m.Visible, m.Receives)
			}
		}
	})
}

// TestPeekRarely: what lies in the queue for an hour is received a few dozen times, far from
// where a redrive policy would take it away, and the end of the look leaves it visible.
func TestPeekRarely(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, onlyA)
		w.enqueue(0, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		n := 0
		for _, err := range w.q.Peek(ctx, "a") {
			if n++; err != nil {
				t.Fatal(err)
			}
		}
		m := w.sqs.Messages("a")[0]
		if n != 1 || m.Receives > 70 || m.Visible.After(time.Now()) {
			t.Errorf("shown %d times, received %d times, hidden until %v", n, m.Receives, m.Visible)
		}
	})
}

// TestPeekSpares: every look counts as a receive, and after so many of them SQS makes a dead letter of a message. To look
// leaves at least half of them.
func TestPeekSpares(t *testing.T) {
	for most, receives := range map[int]int{1: 0, 2: 1, 3: 1, 10: 5} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, onlyA)
			w.sqs.Create("a", map[string]string{"RedrivePolicy": sqstest.RedrivePolicy("a-dead", most)})
			w.q = w.open(func() Config { c := w.config(); onlyA(w, &c); return c }())
			w.enqueue(0, 1)
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			shown := 0
			var told error
			for _, err := range w.q.Peek(ctx, "a") {
				if told = err; err == nil {
					shown++
				}
			}
			left := w.sqs.Messages("a")
			if len(left) != 1 || left[0].Receives != receives || shown != min(receives, 1) {
				t.Fatalf("maxReceiveCount %d: shown %d times, left %+v", most, shown, left)
			}
			if !errors.Is(told, errWorn) {
				t.Errorf("maxReceiveCount %d: error %v", most, told)
			}
			w.want(w.receive(w.subscribe("a"), 1), 0)
		})
	}
}

// TestPeekFailures: a hiccup of SQS is passed over, a refusal is told.
func TestPeekFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		code, status := "ServiceUnavailable", 503
		w := newWorld(t, func(w *world, c *Config) {
			onlyA(w, c)
			w.sqs.Fault = func(call sqstest.Call) *sqstest.Fault {
				if call.Action == "ReceiveMessage" && (call.Number == 1 || status == 403) {
					return &sqstest.Fault{Status: status, Code: code}
				}
				return nil
			}
		})
		w.enqueue(0, 1)
		seen := 0
		for _, err := range w.q.Peek(t.Context(), "a") {
			if err != nil {
				t.Fatal(err)
			}
			seen++
			break
		}
		code, status = "AccessDenied", 403
		var told error
		for _, err := range w.q.Peek(t.Context(), "a") {
			told = err
		}
		if seen != 1 || told == nil {
			t.Errorf("seen %d, told %v", seen, told)
		}
	})
}

// TestDeliver: what do takes is gone and counts as delivered, with its large record; what it
// refuses stays.
func TestDeliver(t *testing.T) {
	for _, match := range []func(*DeadLetter) bool{nil, func(*DeadLetter) bool { return true }} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, onlyA)
			w.kill(10) // 4 and 9 are large
			var told []Result
			r, err := w.q.Deliver(t.Context(), "a", Selection{Match: match, Progress: func(r Result) { told = append(told, r) }}, func(_ context.Context, dl *DeadLetter) error {
				if dl.Err != nil || dl.Exchange == nil {
					t.Errorf("a letter without its record: %v", dl.Err)
				} else if numberOf(t, dl.Exchange) == 9 {
					return errors.New("refused")
				}
				return nil
			})
			if err != nil || r.Matched != 10 || r.Done != 9 || len(told) == 0 || told[len(told)-1] != r {
				t.Errorf("%+v, %v, told %+v", r, err, told)
			}
			if left := w.peek(); len(left) != 1 || numberOf(t, left[0].Exchange) != 9 {
				t.Errorf("left: %+v", left)
			}
			if l := w.line("a"); l.Delivered != 9 || l.Dead != 1 {
				t.Errorf("account %+v", l)
			}
			if keys := w.blobs.keys(); len(keys) != 1 {
				t.Errorf("blobs left: %q", keys)
			}
		})
	}
}

// TestRedriveDiesAgain: a destination that refuses at once does not keep a redrive going for ever.
func TestRedriveDiesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, onlyA)
		w.kill(12)
		s := w.subscribe("a")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { // the forwarder
			defer close(done)
			for {
				msgs, err := s.Receive(ctx, 10)
				if err != nil {
					return
				}
				var all []tapway.Settlement
				for _, m := range msgs {
					all = append(all, tapway.Settlement{Message: m, Outcome: tapway.Outcome{Verdict: tapway.Dead, Reason: "410 Gone"}})
				}
				s.Settle(t.Context(), all)
			}
		}()
		limit, stop := context.WithTimeout(t.Context(), 5*time.Minute)
		defer stop()
		r, err := w.q.Redrive(limit, "a", Selection{Rate: 10})
		if err != nil || r.Done != 12 {
			t.Errorf("%+v, %v", r, err)
		}
		time.Sleep(time.Minute)
		cancel()
		<-done
		if n := len(w.sqs.Messages("a-dead")); n != 12 {
			t.Errorf("%d dead letters at the end", n)
		}
	})
}

// TestStartMoveRefused: a caller can tell that SQS does not move, from SQS being out of order.
func TestStartMoveRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(w *world, c *Config) {
			onlyA(w, c)
			w.sqs.Create("other", nil)
			c.DeadLetters = map[string]string{"a": "other"}
			w.sqs.Fault = func(call sqstest.Call) *sqstest.Fault {
				if call.Action == "StartMessageMoveTask" && call.Number == 2 {
					return &sqstest.Fault{Status: 503, Code: "ServiceUnavailable"}
				}
				return nil
			}
		})
		if _, err := w.q.StartMove(t.Context(), "a", 0); !errors.Is(err, ErrNoMove) {
			t.Errorf("a queue that is nobody's dead-letter queue: %v", err)
		}
		if _, err := w.q.StartMove(t.Context(), "a", 0); err == nil || errors.Is(err, ErrNoMove) {
			t.Errorf("out of order: %v", err)
		}
	})
}
