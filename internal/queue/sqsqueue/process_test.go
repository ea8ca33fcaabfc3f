package sqsqueue

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/awssqs"
	"github.com/tapway/tapway/internal/queue/claimcheck"
	"github.com/tapway/tapway/internal/queue/queuetest"
	"github.com/tapway/tapway/internal/queue/sqsqueue/sqstest"
)

// TestRun: a lease is extended while an attempt lasts, but not for ever.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(_ *world, c *Config) { c.MaxHold = 10 * time.Minute })
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- w.q.Run(ctx) }()
		s := w.subscribe("a")
		w.enqueue(0, 12)
		msgs := append(w.receive(s, 10), w.receive(s, 10)...)
		w.settle(s, tapway.Outcome{Verdict: tapway.Retry, Reason: "no", After: 3 * time.Minute}, msgs[0])
		w.settle(s, tapway.Outcome{Verdict: tapway.Delivered}, msgs[1])
		start := time.Now()
		first := w.receive(s, 10)
		if d := time.Since(start); d != 3*time.Minute || len(first) != 1 || first[0].ID != msgs[0].ID {
			t.Errorf("the retried one is not extended: %d after %v", len(first), d)
		}
		w.settle(s, tapway.Outcome{Verdict: tapway.Delivered}, first...)
		w.want(w.receive(s, 10), w.numbers(msgs[2:])...)
		if d := time.Since(start); d < 10*time.Minute || d > 12*time.Minute {
			t.Errorf("leases ended after %v", d)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestRunEndsWithClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		done := make(chan error)
		go func() { done <- w.q.Run(t.Context()) }()
		synctest.Wait()
		w.q.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestTwoProcesses: a second process knows the attempts by SQS's count and not the errors, and
// begins its account with what it finds.
func TestTwoProcesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.enqueue(0, 2)
		s := w.subscribe("a")
		start := time.Now()
		msgs := w.receive(s, 1)
		w.settle(s, tapway.Outcome{Verdict: tapway.Retry, Reason: "503"}, msgs...)
		w.q.Close()

		w.q = w.open(w.config())
		s = w.subscribe("a")
		again := w.receive(s, 10)
		for _, m := range again {
			if m.ID != msgs[0].ID {
				continue
			}
			if m.Attempts != 1 || m.LastError != "" || !m.FirstAttempt.Equal(start) {
				t.Errorf("%+v", m)
			}
		}
		w.settle(s, tapway.Outcome{Verdict: tapway.Delivered}, again...)
		if l := w.line("a"); l.Captured != 2 || l.Delivered != 2 {
			t.Errorf("account %+v", l)
		}
	})
}

// TestLateBeginning: who looks at the ledger only later has an account that adds up all the same.
func TestLateBeginning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.enqueue(0, 3) // was there before
		q, err := New(w.config())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { q.Close() })
		w.q.Close()
		w.q = q
		w.enqueue(3, 5)
		q.Drop("sampled")
		s := w.subscribe("a")
		msgs := w.receive(s, 10)
		w.settle(s, tapway.Outcome{Verdict: tapway.Delivered}, msgs[:2]...)
		w.settle(s, tapway.Outcome{Verdict: tapway.Dead, Reason: "x"}, msgs[2])
		w.settle(s, tapway.Outcome{Verdict: tapway.Dropped, Reason: "filtered"}, msgs[3])
		l := w.line("a")
		if l.Captured != 6 || l.Delivered != 2 || l.Dead != 1 || l.Queued != 1 || l.Dropped["filtered"] != 1 || l.Dropped["sampled"] != 1 {
			t.Errorf("account %+v", l)
		}
	})
}

// delivery is a message as the event source mapping hands it out: received, by somebody else.
func (w *world) delivery(name string) Delivery {
	w.Helper()
	c := w.config().Client
	out, err := c.ReceiveMessage(w.Context(), receiveAll(sqstest.URL+"/"+sqstest.Account+"/"+name))
	if err != nil || len(out.Messages) != 1 {
		w.Fatalf("%d messages, %v", len(out.Messages), err)
	}
	return *deliveryOf(&out.Messages[0])
}

func TestAdopt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, onlyA)
		s := w.subscribe("a")
		if err := w.q.Enqueue(t.Context(), queuetest.Exchange(0, 2<<20)); err != nil {
			t.Fatal(err)
		}
		v := w.delivery("a")
		m, err := w.q.Adopt(t.Context(), "a", v)
		if err != nil || w.number(m) != 0 || m.Attempts != 0 {
			t.Fatalf("%+v, %v", m, err)
		}
		w.settle(s, tapway.Outcome{Verdict: tapway.Retry, Reason: "503", After: time.Minute}, m)
		time.Sleep(time.Minute)
		m, err = w.q.Adopt(t.Context(), "a", w.delivery("a"))
		if err != nil || m.Attempts != 1 || m.LastError != "503" {
			t.Fatalf("%+v, %v", m, err)
		}
		w.settle(s, tapway.Outcome{Verdict: tapway.Delivered}, m)
		if n := len(w.blobs.keys()) + len(w.sqs.Messages("a")); n != 0 {
			t.Errorf("%d left", n)
		}
		if _, err := w.q.Adopt(t.Context(), "a", v); !errors.Is(err, ErrSettled) {
			t.Errorf("given once more: %v", err)
		}

		w.sqs.Put("a", "[]", map[string]sqstest.Attribute{"ExtendedPayloadSize": {DataType: "Number", StringValue: ptr("1")}})
		m, err = w.q.Adopt(t.Context(), "a", w.delivery("a"))
		if !claimcheck.Permanent(err) {
			t.Fatalf("a malformed pointer: %v", err)
		}
		w.settle(s, tapway.Outcome{Verdict: tapway.Dead, Reason: err.Error()}, m)
		if dead := w.sqs.Messages("a-dead"); len(dead) != 1 || dead[0].Body != "[]" {
			t.Errorf("dead letters %+v", dead)
		}
		if _, err := w.q.Adopt(t.Context(), "nobody", v); !errors.Is(err, tapway.ErrNotFound) {
			t.Errorf("no such destination: %v", err)
		}
	})
}

// TestForgetfulness: memory is bounded, and what is forgotten is settled by its receipt alone.
func TestForgetfulness(t *testing.T) {
	var m memory
	m.init(10)
	now := time.Unix(0, 0)
	for i := range 50 {
		id := strconv.Itoa(i)
		m.admit(id, "h"+id, 1, now, time.Minute)
		if i != 0 {
			m.deleted(id)
		}
		if len(m.past) > 10 || len(m.order) > 10 {
			t.Fatalf("remembers %d, %d", len(m.past), len(m.order))
		}
	}
	if p, ok := m.claim(&Receipt{MessageID: "0"}, tapway.Dead); !ok || p.handle != "h0" {
		t.Error("what is leased was forgotten")
	}
	if _, ok := m.claim(&Receipt{MessageID: "49"}, tapway.Delivered); ok {
		t.Error("the last one was forgotten")
	}
	if p, ok := m.claim(&Receipt{MessageID: "1", Handle: "h1"}, tapway.Retry); !ok || p.handle != "h1" {
		t.Error("what is not remembered cannot be settled")
	}
	for i := range 30 { // more leases than it should remember: none is forgotten
		m.admit("leased"+strconv.Itoa(i), "h", 1, now, time.Minute)
	}
	for i := range 30 {
		if p, _ := m.claim(&Receipt{MessageID: "leased" + strconv.Itoa(i)}, tapway.Dead); p.handle != "h" {
			t.Fatalf("lease %d was forgotten", i)
		}
	}
}

func TestReceipt(t *testing.T) {
	in := Receipt{MessageID: "m", Handle: "h-#\"é", Received: 5, Group: "g", Pointer: claimcheck.Pointer{Bucket: "b", Key: "k"}}
	if out, err := ParseReceipt(in.String()); err != nil || out != in {
		t.Errorf("%+v, %v", out, err)
	}
	for _, s := range []string{"", "{}", "x", `{"id":"m"}`, `{"handle":"h"}`} {
		if _, err := ParseReceipt(s); err == nil {
			t.Errorf("%q is a receipt", s)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		err := w.subscribe("a").Settle(t.Context(), []tapway.Settlement{{Message: tapway.Message{Seq: 1}}})
		if err == nil {
			t.Error("a message without a receipt was settled")
		}
	})
}

func FuzzIdentify(f *testing.F) {
	f.Add(`{"id":"0198c2f0-0000-7000-8000-000000000000","time":"2026-11-20T10:00:00Z"}`, "0198c2f0-0000-7000-8000-000000000000", "2026-11-20T10:00:00Z", "1")
	f.Add("[", "", "", "-9223372036854775808")
	f.Fuzz(func(t *testing.T, body, id, at, n string) {
		v := &Delivery{
			MessageID: "00000000-0000-4000-8000-000000000001", Body: body,
			System:     map[string]string{"ApproximateReceiveCount": n, "SentTimestamp": n, "ApproximateFirstReceiveTimestamp": n},
			Attributes: map[string]awssqs.MessageAttributeValue{AttributeID: {StringValue: &id}, AttributeTime: {StringValue: aws.String(at)}},
		}
		it := &item{Delivery: v, record: []byte(body)}
		if m := it.message(); m.ID.IsZero() || m.Attempts < 0 {
			t.Errorf("%+v", m)
		}
		it.deadLetter("a")
	})
}

// TestSideBySide: polls that run side by side give the same message, the older answer last. It is
// settled with the newer handle, because the older one deletes nothing.
func TestSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, onlyA)
		w.enqueue(0, 1)
		d := w.subscribe("a").(*destination)
		url, _, err := d.main.lookUp(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var raw []awssqs.Message
		for again := range 2 {
			w.sqs.Again = func() bool { return again == 0 }
			got, err := d.poll(t.Context(), url, 10, 0)
			if err != nil || len(got) != 1 {
				t.Fatalf("poll %d: %d messages, %v", again, len(got), err)
			}
			raw = append(got, raw...)
		}
		msgs := d.admit(t.Context(), raw)
		w.want(msgs, 0)
		w.settle(d, tapway.Outcome{Verdict: tapway.Delivered}, msgs...)
		if left := w.sqs.Messages("a"); len(left) != 0 {
			t.Errorf("the delivered message is still in the queue: %+v", left)
		}
	})
}

// TestNewestHandle: the newer handle counts while a lease lasts, and any later one afterwards, because
// SQS's count is approximate.
func TestNewestHandle(t *testing.T) {
	now := time.Unix(0, 0)
	var m memory
	m.init(10)
	for _, step := range []struct {
		name     string
		handle   string
		receives int
		at       time.Duration
		want     string
	}{
		{"the first", "h3", 3, 0, "h3"},
		{"an older answer that comes later", "h2", 2, time.Second, "h3"},
		{"the same count", "h3b", 3, 2 * time.Second, "h3b"},
		{"a newer one", "h4", 4, 3 * time.Second, "h4"},
		{"after the lease, a count that went back", "h1", 1, 5 * time.Minute, "h1"},
	} {
		m.admit("id", step.handle, step.receives, now.Add(step.at), time.Minute)
		if got := m.newest("id", ""); got != step.want {
			t.Errorf("%s: settled with %q, want %q", step.name, got, step.want)
		}
	}
	m.admit("back", "h2", 2, now, time.Minute)
	m.returned("back", tapway.Outcome{Verdict: tapway.Retry}, now)
	m.admit("back", "h1", 1, now.Add(time.Second), time.Minute)
	if got := m.newest("back", ""); got != "h1" {
		t.Errorf("a message that was put back is settled with %q, want the handle it came with", got)
	}
}
