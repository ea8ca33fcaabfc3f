package sqsqueue

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/awssqs"
	"github.com/tapway/tapway/internal/queue/queuetest"
	"github.com/tapway/tapway/internal/queue/sqsqueue/sqstest"
)

// kill makes n dead letters at a, every fifth of them large.
func (w *world) kill(n int) {
	w.Helper()
	s := w.subscribe("a")
	for i := range n {
		size := 10
		if i%5 == 4 {
			size = 2 << 20
		}
		if err := w.q.Enqueue(w.Context(), queuetest.Exchange(i, size)); err != nil {
			w.Fatal(err)
		}
	}
	for left := n; left > 0; {
		msgs := w.receive(s, 10)
		w.settle(s, tapway.Outcome{Verdict: tapway.Dead, Reason: "410 Gone", Status: 410}, msgs...)
		left -= len(msgs)
	}
}

func (w *world) peek() (all []*DeadLetter) {
	w.Helper()
	for dl, err := range w.q.PeekDeadLetters(w.Context(), "a", 0) {
		if err != nil {
			w.Fatal(err)
		}
		all = append(all, dl)
	}
	return all
}

func onlyA(_ *world, c *Config) { delete(c.Queues, "b") }

func TestPeek(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, onlyA)
		if got := w.peek(); len(got) != 0 {
			t.Fatalf("%d dead letters in an empty queue", len(got))
		}
		w.kill(23)
		for range 2 { // looking changes nothing
			var ns []int
			for _, dl := range w.peek() {
				if dl.Err != nil || dl.Destination != "a" || dl.Reason != "410 Gone" || dl.Status != 410 || dl.Attempts != 1 ||
					dl.Died.IsZero() || dl.FirstAttempt.IsZero() || dl.Meta.Method == "" || dl.MessageID == "" {
					t.Fatalf("%+v", dl)
				}
				ns = append(ns, numberOf(t, dl.Exchange))
			}
			slices.Sort(ns)
			if len(slices.Compact(ns)) != 23 {
				t.Errorf("saw %v", ns)
			}
		}
		n := 0
		for _, err := range w.q.PeekDeadLetters(t.Context(), "a", 5) {
			if n++; err != nil {
				t.Fatal(err)
			}
		}
		if n != 5 {
			t.Errorf("a limit of 5 gave %d", n)
		}
		for range w.q.PeekDeadLetters(t.Context(), "a", 0) {
			break
		}
		if got := len(w.peek()); got != 23 {
			t.Errorf("after walks that were cut off %d are visible", got)
		}
		for _, err := range w.q.PeekDeadLetters(t.Context(), "nobody", 0) {
			if !errors.Is(err, tapway.ErrNotFound) {
				t.Errorf("error %v", err)
			}
		}
	})
}

// TestPeekStrange: what SQS itself moved there, and what is no record, is shown as far as it goes.
func TestPeekStrange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(w *world, c *Config) {
			c.Queues = map[string]string{"a": "q"}
			w.sqs.Create("q-dead", nil)
			w.sqs.Create("q", map[string]string{"RedrivePolicy": sqstest.RedrivePolicy("q-dead", 2)})
		})
		w.enqueue(0, 1)
		s := w.subscribe("a")
		for range 2 { // the consumer crashes twice
			w.receive(s, 1)
			time.Sleep(queuetest.Lease + time.Second)
		}
		w.sqs.Put("q-dead", "not a record", nil)
		w.none(s, "SQS moved it")
		got := w.peek()
		if len(got) != 2 {
			t.Fatalf("%d dead letters", len(got))
		}
		slices.SortFunc(got, func(a, b *DeadLetter) int { return len(b.Record) - len(a.Record) })
		if got[0].Err != nil || got[0].Attempts != 0 || !strings.Contains(got[0].Reason, "too often") {
			t.Errorf("moved by SQS: %+v", got[0])
		}
		if got[1].Err == nil || got[1].Exchange != nil || string(got[1].Record) != "not a record" || got[1].Died.IsZero() {
			t.Errorf("no record: %+v", got[1])
		}
	})
}

func even(dl *DeadLetter) bool {
	n, err := strconv.Atoi(strings.TrimPrefix(dl.Meta.Query, "n="))
	return err == nil && n%2 == 0
}

// TestSharedDeadLetters: where two queues have the same dead-letter queue, each destination's letters are its own, and
// SQS is not told to move or purge those of both.
func TestSharedDeadLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.sqs.Create("a", map[string]string{"RedrivePolicy": sqstest.RedrivePolicy("a-dead", 1000)})
		w.sqs.Create("b", map[string]string{"RedrivePolicy": sqstest.RedrivePolicy("a-dead", 2)})
		w.q = w.open(w.config())
		for i := range 12 {
			if err := w.q.Enqueue(t.Context(), queuetest.Exchange(i, 10)); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range []string{"a", "b"} {
			s := w.subscribe(name)
			for left := 12; left > 0; {
				msgs := w.receive(s, 10)
				w.settle(s, tapway.Outcome{Verdict: tapway.Dead, Reason: "410 Gone", Status: 410}, msgs...)
				left -= len(msgs)
			}
		}
		w.sqs.Put("b", "moved by SQS", nil)
		w.sqs.Put("a-dead", "put there by somebody", nil)
		for range 3 {
			_, err := w.q.c.Client.ReceiveMessage(t.Context(), &awssqs.ReceiveMessageInput{QueueUrl: aws.String(sqstest.URL + "/" + sqstest.Account + "/b"), VisibilityTimeout: 1})
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Second)
		}
		same := func(what string, dead int) {
			t.Helper()
			if n := len(w.sqs.Messages("a-dead")); n != dead {
				t.Fatalf("%s: %d dead letters, want %d", what, n, dead)
			}
		}
		same("at first", 26)
		for name, want := range map[string]string{"a": "put there by somebody", "b": "moved by SQS"} {
			n, foreign := 0, ""
			for dl, err := range w.q.PeekDeadLetters(t.Context(), name, 0) {
				if err != nil {
					t.Fatal(err)
				}
				if n++; dl.Exchange == nil {
					foreign += string(dl.Record)
				}
			}
			if n != 13 || foreign != want {
				t.Errorf("%s has %d dead letters, and of others %q", name, n, foreign)
			}
		}
		if _, err := w.q.StartMove(t.Context(), "b", 0); !errors.Is(err, ErrNoMove) || !strings.Contains(err.Error(), `"a"`) {
			t.Errorf("SQS moves those of both: %v", err)
		}
		if _, err := w.q.PurgeAll(t.Context(), "b"); err == nil || !strings.Contains(err.Error(), `"a"`) {
			t.Errorf("SQS purges those of both: %v", err)
		}
		same("after what was refused", 26)
		if r, err := w.q.Redrive(t.Context(), "b", Selection{}); err != nil || r != (Result{13, 13, 13}) {
			t.Errorf("redrive: %+v, %v", r, err)
		}
		same("after b's redrive", 13)
		if n := len(w.sqs.Messages("b")); n != 13 {
			t.Errorf("b has %d again", n)
		}
		if r, err := w.q.Purge(t.Context(), "a", Selection{}); err != nil || r != (Result{13, 13, 13}) {
			t.Errorf("purge: %+v, %v", r, err)
		}
		same("after a's purge", 0)
	})
}

func TestRedrive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, onlyA)
		w.kill(23)
		blobs := len(w.blobs.keys())
		check := func(name string, s Selection, want Result, dead int) {
			t.Helper()
			got, err := w.q.Redrive(t.Context(), "a", s)
			if err != nil || got != want {
				t.Fatalf("%s: %+v, %v; want %+v", name, got, err, want)
			}
			if n := len(w.sqs.Messages("a-dead")); n != dead {
				t.Fatalf("%s: %d left, want %d", name, n, dead)
			}
			w.line("a")
		}
		check("dry run", Selection{Match: even, DryRun: true}, Result{23, 12, 0}, 23)
		check("matching", Selection{Match: even}, Result{23, 12, 12}, 11)
		check("limited", Selection{Limit: 3}, Result{3, 3, 3}, 8)
		start := time.Now()
		check("slowly", Selection{Rate: 2}, Result{8, 8, 8}, 0)
		if d := time.Since(start); d < 3500*time.Millisecond || d > 10*time.Second {
			t.Errorf("8 records at 2 a second took %v", d)
		}
		s := w.subscribe("a")
		var ns []int
		for len(ns) < 23 {
			msgs := w.receive(s, 10)
			for _, m := range msgs {
				if m.Attempts != 0 || m.LastError != "" || !m.FirstAttempt.IsZero() {
					t.Fatalf("a redriven message has a past: %+v", m)
				}
				ns = append(ns, w.number(m))
			}
			w.settle(s, tapway.Outcome{Verdict: tapway.Delivered}, msgs...)
		}
		slices.Sort(ns)
		if len(slices.Compact(ns)) != 23 {
			t.Errorf("redriven %v", ns)
		}
		if blobs == 0 || len(w.blobs.keys()) != 0 {
			t.Errorf("%d blobs, %d at the end", blobs, len(w.blobs.keys()))
		}
		if l := w.line("a"); l.Delivered != 23 || l.Captured != 23 {
			t.Errorf("account %+v", l)
		}
	})
}

// TestRedriveFaults: what cannot be sent stays a dead letter, visible, and nothing is lost.
func TestRedriveFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, onlyA)
		w.kill(12)
		w.sqs.Fault = func(c sqstest.Call) *sqstest.Fault {
			if c.Queue == "a" && strings.HasPrefix(c.Action, "SendMessage") {
				return &sqstest.Fault{Status: 403, Code: "AccessDenied"}
			}
			return nil
		}
		r, err := w.q.Redrive(t.Context(), "a", Selection{})
		if err == nil || r.Done != 0 {
			t.Errorf("%+v, %v", r, err)
		}
		w.sqs.Fault = nil
		if n := len(w.peek()); n != 12 {
			t.Errorf("%d dead letters visible, want 12", n)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2200*time.Millisecond)
		defer cancel()
		r, err = w.q.Redrive(ctx, "a", Selection{Rate: 1})
		if !errors.Is(err, context.DeadlineExceeded) || r.Matched == 0 {
			t.Errorf("stopped: %+v, %v", r, err)
		}
		if dead, queued := len(w.peek()), len(w.sqs.Messages("a")); dead+queued != 12 || queued != 3 {
			t.Errorf("%d dead and %d queued of 12", dead, queued)
		}
	})
}

func TestPurge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, onlyA)
		w.kill(13)
		if r, err := w.q.Purge(t.Context(), "a", Selection{Match: even, DryRun: true}); err != nil || r != (Result{13, 7, 0}) {
			t.Errorf("dry run: %+v, %v", r, err)
		}
		if r, err := w.q.Purge(t.Context(), "a", Selection{Match: even}); err != nil || r != (Result{13, 7, 7}) {
			t.Errorf("%+v, %v", r, err)
		}
		if l := w.line("a"); l.Dead != 6 || l.Dropped["purged"] != 7 {
			t.Errorf("account %+v", l)
		}
		if n, err := w.q.PurgeAll(t.Context(), "a"); err != nil || n != 6 {
			t.Errorf("%d, %v", n, err)
		}
		if l := w.line("a"); l.Dead != 0 || l.Dropped["purged"] != 13 {
			t.Errorf("account %+v", l)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, onlyA)
		w.kill(5)
		if r, err := w.q.Purge(t.Context(), "a", Selection{}); err != nil || r.Done != 5 || len(w.blobs.keys()) != 0 {
			t.Errorf("%+v, %v, blobs %v", r, err, w.blobs.keys())
		}
	})
}

func TestMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, onlyA)
		if _, err := w.q.LastMove(t.Context(), "a"); !errors.Is(err, tapway.ErrNotFound) {
			t.Errorf("no move yet: %v", err)
		}
		w.kill(7)
		if handle, err := w.q.StartMove(t.Context(), "a", 100); err != nil || handle == "" {
			t.Fatalf("%q, %v", handle, err)
		}
		if m, err := w.q.LastMove(t.Context(), "a"); err != nil || m.Status != "COMPLETED" || m.Moved != 7 || m.Started.IsZero() {
			t.Errorf("%+v, %v", m, err)
		}
		s := w.subscribe("a")
		for n := 0; n < 7; {
			for _, m := range w.receive(s, 10) {
				if m.Attempts != 0 {
					t.Errorf("%+v", m)
				}
				// It can die again: the attributes of the first death are replaced.
				w.settle(s, tapway.Outcome{Verdict: tapway.Dead, Reason: "500"}, m)
				n++
			}
		}
		for _, dl := range w.peek() {
			if dl.Reason != "500" || dl.Status != 0 || dl.Attempts != 1 {
				t.Errorf("%+v", dl)
			}
		}
		if err := w.q.CancelMove(t.Context(), "task-1"); err == nil {
			t.Error("a finished move was canceled")
		}
	})
}

func TestStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.kill(3)
		w.enqueue(3, 8)
		w.receive(w.subscribe("b"), 4)
		st, err := w.q.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		a, b := st.Destinations[0], st.Destinations[1]
		if a.Queued != 5 || a.Dead != 3 || a.Leased != 0 || b.Queued != 8 || b.Leased != 4 || b.Dead != 0 || st.Records != 16 {
			t.Errorf("%+v", st)
		}
		w.sqs.Fault = func(sqstest.Call) *sqstest.Fault { return &sqstest.Fault{Status: 403, Code: "AccessDenied"} }
		if _, err := w.q.Stats(t.Context()); err == nil {
			t.Error("no error, and no numbers either")
		}
		if _, err := w.q.Ledger(t.Context()); err == nil {
			t.Error("no error, and no numbers either")
		}
	})
}

// lookedAway is SQS whose caller leaves as soon as it has given something out.
type lookedAway struct {
	Client
	leave context.CancelFunc
}

func (c lookedAway) ReceiveMessage(ctx context.Context, in *awssqs.ReceiveMessageInput) (*awssqs.ReceiveMessageOutput, error) {
	out, err := c.Client.ReceiveMessage(context.WithoutCancel(ctx), in)
	c.leave()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return out, err
}

// Dead letters that were asked for by somebody who has left are not hidden from the next one.
func TestPeekAndLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, onlyA)
		w.kill(3)
		client := w.q.c.Client
		ctx, leave := context.WithCancel(t.Context())
		w.q.c.Client = lookedAway{client, leave}
		for _, err := range w.q.PeekDeadLetters(ctx, "a", 0) {
			if err != nil {
				break
			}
		}
		w.q.c.Client = client
		if ctx.Err() == nil {
			t.Fatal("nobody has left")
		}
		if got := w.peek(); len(got) != 3 {
			t.Errorf("%d of 3 dead letters are to be seen", len(got))
		}
	})
}
