package sqsqueue

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/tapway/tapway/internal/awssqs"
	"github.com/tapway/tapway/internal/queue/sqsqueue/sqstest"
)

// letters are the bodies of a destination's dead letters, sorted.
func (w *world) letters(q *Queue, name string) (all []string) {
	w.Helper()
	for dl, err := range q.PeekDeadLetters(w.Context(), name, 0) {
		if err != nil {
			w.Fatal(err)
		}
		all = append(all, string(dl.Record))
	}
	slices.Sort(all)
	return all
}

// TestSharedByName: what SQS has moved to a dead-letter queue that is named for both destinations is its queue's, in a
// process that has not looked at the queues before, and without the permission to read their ARNs.
func TestSharedByName(t *testing.T) {
	for _, blind := range []bool{false, true} {
		for _, ref := range []string{"b", "sqs://b", "arn:aws:sqs:" + sqstest.Region + ":" + sqstest.Account + ":b", sqstest.URL + "/" + sqstest.Account + "/b"} {
			synctest.Test(t, func(t *testing.T) {
				var later atomic.Bool
				w := newWorld(t, func(w *world, _ *Config) {
					w.sqs.Fault = func(c sqstest.Call) *sqstest.Fault {
						if blind && later.Load() && c.Action == "GetQueueAttributes" {
							return &sqstest.Fault{Status: 403, Code: "AccessDenied"}
						}
						return nil
					}
				})
				for _, name := range []string{"a", "b"} {
					w.sqs.Create(name, map[string]string{"RedrivePolicy": sqstest.RedrivePolicy("a-dead", 1)})
					w.sqs.Put(name, "of "+name, nil)
					url := aws.String(sqstest.URL + "/" + sqstest.Account + "/" + name)
					for range 2 {
						if _, err := w.q.c.Client.ReceiveMessage(t.Context(), &awssqs.ReceiveMessageInput{QueueUrl: url, VisibilityTimeout: 1, WaitTimeSeconds: 2}); err != nil {
							t.Fatal(err)
						}
					}
				}
				later.Store(true)
				c := w.config()
				c.Queues["b"] = ref
				c.DeadLetters = map[string]string{"a": "a-dead", "b": "a-dead"}
				for _, name := range []string{"b", "a"} {
					q, err := New(c)
					if err != nil {
						t.Fatal(err)
					}
					if got := w.letters(q, name); !slices.Equal(got, []string{"of " + name}) {
						t.Errorf("%s, blind %v: %s has %q", ref, blind, name, got)
					}
					q.Close()
				}
			})
		}
	}
}

// TestSharedUnknown: where it cannot be found out whether another destination shares the queue, its letters are left
// alone, and SQS is told to do nothing.
func TestSharedUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		w := newWorld(t, func(w *world, c *Config) {
			w.sqs.Fault = func(c sqstest.Call) *sqstest.Fault {
				if down.Load() && c.Queue == "b" {
					return &sqstest.Fault{Status: 403, Code: "AccessDenied"}
				}
				return nil
			}
		})
		for _, name := range []string{"a", "b", "formerly"} {
			w.sqs.Put("a-dead", "of "+name, map[string]sqstest.Attribute{AttributeDestination: {DataType: "String", StringValue: &name}})
		}
		w.sqs.Put("a-dead", "of somebody", nil)
		w.sqs.Create("b", map[string]string{"RedrivePolicy": sqstest.RedrivePolicy("a-dead", 10)})
		down.Store(true)
		q, err := New(w.config())
		if err != nil {
			t.Fatal(err)
		}
		defer q.Close()
		if got := w.letters(q, "a"); !slices.Equal(got, []string{"of a", "of formerly", "of somebody"}) {
			t.Errorf("a has %q", got)
		}
		if _, err := q.StartMove(t.Context(), "a", 0); !errors.Is(err, ErrNoMove) || !strings.Contains(err.Error(), `may have those of "b"`) {
			t.Errorf("move: %v", err)
		}
		if _, err := q.PurgeAll(t.Context(), "a"); err == nil || !strings.Contains(err.Error(), `may have those of "b"`) {
			t.Errorf("purge: %v", err)
		}
		if n := len(w.sqs.Messages("a-dead")); n != 4 {
			t.Errorf("%d dead letters are left", n)
		}
		down.Store(false)
		time.Sleep(2 * time.Minute) // what could not be read is read again
		if got := w.letters(q, "a"); !slices.Equal(got, []string{"of a", "of somebody"}) {
			t.Errorf("a has %q", got)
		}
	})
}

// TestSharedFullSize: a dead letter of the full size has as many of its attributes as there is room for, and first of
// all whose it is.
func TestSharedFullSize(t *testing.T) {
	const most = 4096
	whose := len(AttributeDestination) + len("String") + len("a")
	for room, want := range map[int][]string{
		0: nil, whose - 1: nil, whose: {AttributeDestination}, whose + 60: {AttributeDestination, AttributeID}, whose + 95: {AttributeDestination, AttributeID, AttributeReason},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, onlyA)
			w.sqs.Create("a-dead", map[string]string{"MaximumMessageSize": "4096"})
			w.q = w.open(func() Config { c := w.config(); onlyA(w, &c); return c }())
			w.sqs.Put("a", strings.Repeat("x", most-room), nil)
			w.none(w.subscribe("a"), "it is no record")
			dead := w.sqs.Messages("a-dead")
			if len(dead) != 1 {
				t.Fatalf("%d dead letters with room for %d", len(dead), room)
			}
			var got []string
			for name := range dead[0].Attributes {
				got = append(got, name)
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("room for %d: %q, want %q", room, got, want)
			}
		})
	}
}

// TestSharedSlowly: a redrive that takes longer than letters stay hidden sees those of others again and again, and
// still does all of its own.
func TestSharedSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.sqs.Create("b", map[string]string{"RedrivePolicy": sqstest.RedrivePolicy("a-dead", 10)})
		w.q = w.open(w.config())
		const each = 150
		for i := range 2 * each {
			name := []string{"a", "b"}[1-i/each] // b's are first
			w.sqs.Put("a-dead", `{"of":"`+name+`"}`, map[string]sqstest.Attribute{AttributeDestination: {DataType: "String", StringValue: &name}})
		}
		if r, err := w.q.Redrive(t.Context(), "a", Selection{Rate: 0.1}); err != nil || r != (Result{each, each, each}) {
			t.Errorf("%+v, %v", r, err)
		}
		if n := len(w.sqs.Messages("a-dead")); n != each {
			t.Errorf("%d dead letters are left, want b's %d", n, each)
		}
	})
}
