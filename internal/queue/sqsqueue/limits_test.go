package sqsqueue

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/awssqs"
	"github.com/tapway/tapway/internal/queue/queuetest"
	"github.com/tapway/tapway/internal/queue/sqsqueue/sqstest"
	"github.com/tapway/tapway/internal/record"
)

// limit sets the limit of a queue.
func (w *world) limit(queue string, bytes int) {
	w.sqs.Create(queue, map[string]string{"MaximumMessageSize": strconv.Itoa(bytes), "RedrivePolicy": sqstest.RedrivePolicy(strings.TrimSuffix(queue, "-dead")+"-dead", 1000)})
}

// TestLimitLowered: a queue whose limit is lowered while a process sends to it goes on getting its large records.
func TestLimitLowered(t *testing.T) {
	for _, blind := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, onlyA)
			w.limit("a", 64<<10)
			w.sqs.Fault = func(c sqstest.Call) *sqstest.Fault {
				if blind && c.Action == "GetQueueAttributes" {
					return &sqstest.Fault{Status: 403, Code: "AccessDenied"}
				}
				return nil
			}
			for n := range 3 {
				if err := w.q.Enqueue(t.Context(), queuetest.Exchange(n, 100<<10)); err != nil {
					t.Fatal(err)
				}
			}
			w.sqs.Fault = nil
			if n := len(w.blobs.keys()); n != 3 {
				t.Errorf("%d blobs, want 3", n)
			}
			if refused := w.sqs.Calls("SendMessage") - 3; !blind && refused != 1 {
				t.Errorf("%d records were refused before the limit was read again", refused)
			}
			w.want(w.receive(w.subscribe("a"), 10), 0, 1, 2)
			if l := w.line("a"); l.Captured != 3 || len(l.Dropped) != 0 {
				t.Errorf("account %+v", l)
			}
		})
	}
}

// TestWithoutStore: where there is no blob store, a record that the queue takes is sent, be it within the margin or the
// queue's limit unknown.
func TestWithoutStore(t *testing.T) {
	for _, c := range []struct {
		name    string
		size    int // of the body
		limit   int // of the queue, above the record's size if positive and below 1000
		unknown bool
		lost    bool
	}{
		{"within the margin", 40 << 10, 200, false, false},
		{"too large by its attributes", 40 << 10, 0, false, true},
		{"the limit is unknown", 500 << 10, 1 << 20, true, false},
		{"the limit is unknown, and it is too large", 500 << 10, 256 << 10, true, true},
		{"larger than SQS takes", 1 << 20, 1 << 20, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, onlyA)
				ex := queuetest.Exchange(0, c.size)
				if c.limit < 1000 {
					c.limit += len(record.Append(nil, ex))
				}
				w.limit("a", c.limit)
				w.sqs.Fault = func(call sqstest.Call) *sqstest.Fault {
					if c.unknown && call.Action == "GetQueueAttributes" {
						return &sqstest.Fault{Status: 503, Code: "ServiceUnavailable"}
					}
					return nil
				}
				conf := w.config()
				conf.Claims = nil
				delete(conf.Queues, "b")
				q, err := New(conf)
				if err != nil {
					t.Fatal(err)
				}
				defer q.Close()
				err = q.Enqueue(t.Context(), ex)
				if got := errors.Is(err, ErrTooLarge); got != c.lost || !c.lost && err != nil {
					t.Errorf("error %v", err)
				}
				if n := len(w.sqs.Messages("a")); (n == 0) != c.lost {
					t.Errorf("%d messages in the queue", n)
				}
			})
		})
	}
}

// TestDeadLettersSmaller: a dead-letter queue may take less than the queue before it, as those do that were made before
// August 2025. A record that is too large for it goes there by the blob store.
func TestDeadLettersSmaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, onlyA)
		w.sqs.Create("a-dead", map[string]string{"MaximumMessageSize": "65536"})
		s := w.subscribe("a")
		if err := w.q.Enqueue(t.Context(), queuetest.Exchange(0, 300<<10)); err != nil {
			t.Fatal(err)
		}
		w.settle(s, tapway.Outcome{Verdict: tapway.Dead, Reason: "422 Unprocessable Entity", Status: 422}, w.receive(s, 1)...)
		dead := w.peek()
		if len(dead) != 1 || dead[0].Err != nil || dead[0].Reason != "422 Unprocessable Entity" || numberOf(t, dead[0].Exchange) != 0 {
			t.Fatalf("dead letters %+v", dead)
		}
		if l := w.line("a"); l.Dead != 1 || l.Queued != 0 {
			t.Errorf("account %+v", l)
		}
		if r, err := w.q.Redrive(t.Context(), "a", Selection{}); err != nil || r.Done != 1 {
			t.Fatalf("%+v, %v", r, err)
		}
		m := w.receive(s, 1)
		w.want(m, 0)
		w.settle(s, tapway.Outcome{Verdict: tapway.Delivered}, m...)
		if left := w.blobs.keys(); len(left) != 0 {
			t.Errorf("blobs %v", left)
		}
	})
}

// TestRedriveTooLarge: letters that have become too large for the queue go back by the blob store, and without one stay,
// counted as failed; neither holds up the others.
func TestRedriveTooLarge(t *testing.T) {
	for _, store := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, func(w *world, c *Config) {
				onlyA(w, c)
				if !store {
					c.Claims = nil
				}
			})
			for n := range 40 {
				size := 10
				if n%10 == 3 {
					size = 100 << 10
				}
				w.sqs.Put("a-dead", string(record.Append(nil, queuetest.Exchange(n, size))), nil)
			}
			w.limit("a", 64<<10)
			r, err := w.q.Redrive(t.Context(), "a", Selection{})
			want := 40
			if !store {
				want = 36
			}
			if r.Matched != 40 || r.Done != want || (err == nil) != store {
				t.Errorf("store %v: %+v, %v", store, r, err)
			}
			if !store && !errors.Is(err, ErrTooLarge) {
				t.Errorf("error %v", err)
			}
			if queued, dead := len(w.sqs.Messages("a")), len(w.peek()); queued != want || dead != 40-want {
				t.Errorf("%d queued, %d dead", queued, dead)
			}
		})
	}
}

// TestRedrivePoison: what is no record dies again as soon as it is back, and comes under another message ID. It is not
// redriven for ever.
func TestRedrivePoison(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, onlyA)
		for _, body := range []string{"<html>", "{}", "hello"} {
			w.sqs.Put("a-dead", body, nil)
		}
		rounds := 0
		r, err := w.q.Redrive(t.Context(), "a", Selection{Progress: func(Result) {
			if rounds++; rounds > 20 {
				return
			}
			time.Sleep(10 * time.Millisecond)
			for _, m := range w.sqs.Messages("a") { // a forwarder that knows no ID of it
				w.sqs.Put("a-dead", m.Body, nil)
			}
			url := sqstest.URL + "/" + sqstest.Account + "/a"
			if _, err := w.q.c.Client.PurgeQueue(t.Context(), &awssqs.PurgeQueueInput{QueueUrl: &url}); err != nil {
				t.Error(err)
			}
		}})
		if err != nil || r.Done != 3 {
			t.Errorf("%+v, %v", r, err)
		}
		if n := len(w.peek()); n != 3 {
			t.Errorf("%d dead letters, want 3", n)
		}
	})
}

// TestPutBackPartly: SQS may fail entries of a batch alone. What was only looked at is visible afterwards all the same.
func TestPutBackPartly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, onlyA)
		w.kill(10)
		w.sqs.Fault = func(c sqstest.Call) *sqstest.Fault {
			if c.Action == "ChangeMessageVisibilityBatch" && c.Number <= 2 {
				return &sqstest.Fault{Code: "InternalError", Entries: []int{1, 4, 7}}
			}
			return nil
		}
		if r, err := w.q.Redrive(t.Context(), "a", Selection{DryRun: true}); err != nil || r.Matched != 10 {
			t.Fatalf("%+v, %v", r, err)
		}
		w.sqs.Fault = nil
		start := time.Now()
		if n := len(w.peek()); n != 10 || time.Since(start) > time.Minute {
			t.Errorf("%d letters visible after a dry run, want 10", n)
		}
	})
}

// TestAnotherDeadLetterQueue: a queue may get another dead-letter queue while a process works on it, and the old one may go.
func TestAnotherDeadLetterQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, onlyA)
		w.sqs.Create("a-new", nil)
		w.sqs.Create("a", map[string]string{"RedrivePolicy": sqstest.RedrivePolicy("a-new", 1000)})
		w.sqs.Fault = func(c sqstest.Call) *sqstest.Fault {
			if c.Queue == "a-dead" {
				return &sqstest.Fault{Status: 400, Code: "QueueDoesNotExist"}
			}
			return nil
		}
		w.enqueue(0, 1)
		s := w.subscribe("a")
		dead := func(m tapway.Message) error {
			return s.Settle(t.Context(), []tapway.Settlement{{Message: m, Outcome: tapway.Outcome{Verdict: tapway.Dead, Reason: "410 Gone"}}})
		}
		m := w.receive(s, 1)[0]
		if err := dead(m); err == nil {
			t.Fatal("it went to a queue that is gone")
		}
		if err := dead(m); err != nil {
			t.Error(err)
		}
		if n := len(w.sqs.Messages("a-new")); n != 1 {
			t.Errorf("%d dead letters in the new queue", n)
		}
		if l := w.line("a"); l.Dead != 1 || l.Queued != 0 {
			t.Errorf("account %+v", l)
		}
	})
}
