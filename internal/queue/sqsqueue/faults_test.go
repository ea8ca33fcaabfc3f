package sqsqueue

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/queue/queuetest"
	"github.com/tapway/tapway/internal/queue/sqsqueue/sqstest"
	"github.com/tapway/tapway/internal/record"
)

// first makes a fault of the first n calls of an action.
func first(action string, n int, f sqstest.Fault) func(sqstest.Call) *sqstest.Fault {
	return func(c sqstest.Call) *sqstest.Fault {
		if c.Action == action && c.Number <= n {
			return &f
		}
		return nil
	}
}

func TestSendFaults(t *testing.T) {
	for _, c := range []struct {
		name   string
		fault  sqstest.Fault
		times  int
		copies int    // in the queue
		reason string // in the ledger; "": it was sent
	}{
		{"unavailable", sqstest.Fault{Status: 503, Code: "ServiceUnavailable"}, 3, 1, ""},
		{"internal error", sqstest.Fault{Status: 500, Code: "InternalFailure"}, 3, 1, ""},
		{"throttled", sqstest.Fault{Status: 400, Code: "RequestThrottled"}, 3, 1, ""},
		{"throttled by KMS", sqstest.Fault{Status: 400, Code: "ThrottlingException"}, 3, 1, ""},
		{"connection lost", sqstest.Fault{Cut: true}, 3, 1, ""},
		{"no answer in time", sqstest.Fault{Delay: time.Minute}, 2, 1, ""},
		{"answer lost: sent twice rather than not at all", sqstest.Fault{Lost: true}, 1, 2, ""},
		{"slow", sqstest.Fault{Delay: 4 * time.Second}, 1, 1, ""},
		{"denied", sqstest.Fault{Status: 403, Code: "AccessDenied"}, 1, 0, "queue-refused"},
		{"no such queue", sqstest.Fault{Status: 400, Code: "QueueDoesNotExist"}, 1, 0, "queue-refused"},
		{"down for good", sqstest.Fault{Status: 503, Code: "ServiceUnavailable"}, 1000, 0, "queue-unavailable"},
		{"silent for good", sqstest.Fault{Delay: time.Hour}, 1000, 0, "queue-unavailable"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(w *world, cfg *Config) {
					delete(cfg.Queues, "b")
					w.sqs.Fault = first("SendMessage", c.times, c.fault)
				})
				start := time.Now()
				ex := queuetest.Exchange(0, 10)
				err := w.q.Enqueue(t.Context(), ex)
				if took := time.Since(start); took > 16*time.Second {
					t.Errorf("took %v", took)
				}
				if n := len(w.sqs.Messages("a")); n != c.copies {
					t.Errorf("%d messages in the queue, want %d", n, c.copies)
				}
				if c.reason == "" {
					if err != nil {
						t.Fatal(err)
					}
					return
				}
				var failed *EnqueueError
				if !errors.As(err, &failed) || failed.Failed["a"] == nil || string(failed.Record) != string(record.Append(nil, ex)) {
					t.Fatalf("error %v", err)
				}
				if l := w.line("a"); l.Captured != 1 || l.Dropped[c.reason] != 1 {
					t.Errorf("account %+v, want one dropped %q", l, c.reason)
				}
				// What failed can be put in later.
				w.sqs.Fault = nil
				if err := w.q.EnqueueRecord(t.Context(), failed.Record, "a"); err != nil {
					t.Fatal(err)
				}
				w.want(w.receive(w.subscribe("a"), 1), 0)
			})
		})
	}
}

// TestDeadline: an Enqueue with little time left gives up in time, and says why it did not succeed.
func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(w *world, _ *Config) {
			w.sqs.Fault = first("SendMessage", 1000, sqstest.Fault{Status: 503, Code: "ServiceUnavailable"})
		})
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		start := time.Now()
		err := w.q.Enqueue(ctx, queuetest.Exchange(0, 10))
		if took := time.Since(start); took > 300*time.Millisecond {
			t.Errorf("took %v", took)
		}
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "ServiceUnavailable") {
			t.Errorf("error %v", err)
		}
	})
}

// TestOneQueueDown: the others get the record, and only the one is told of and counted.
func TestOneQueueDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(w *world, _ *Config) {
			w.sqs.Fault = func(c sqstest.Call) *sqstest.Fault {
				if c.Queue == "b" && c.Action == "SendMessage" {
					return &sqstest.Fault{Status: 503, Code: "ServiceUnavailable"}
				}
				return nil
			}
		})
		err := w.q.Enqueue(t.Context(), queuetest.Exchange(0, 10))
		var failed *EnqueueError
		if !errors.As(err, &failed) || len(failed.Stored) != 1 || failed.Stored[0] != "a" || len(failed.Failed) != 1 {
			t.Fatalf("error %v", err)
		}
		if l := w.line("a"); l.Queued != 1 || l.Captured != 1 {
			t.Errorf("a: %+v", l)
		}
		if l := w.line("b"); l.Queued != 0 || l.Dropped["queue-unavailable"] != 1 {
			t.Errorf("b: %+v", l)
		}
		if l, _ := w.q.Ledger(t.Context()); l.Stored != 1 || l.Calls != 1 {
			t.Errorf("ledger %+v", l)
		}
	})
}

// together enqueues n exchanges at once. The first are held up one by one, until all flights are on
// their way, so that the others go in batches.
func (w *world) together(n, size int) []error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = w.q.Enqueue(w.Context(), queuetest.Exchange(i, size)) })
		if i < maxFlights {
			synctest.Wait()
		}
	}
	wg.Wait()
	return errs
}

// slowSends holds up single sends and gives batches a fault of their own.
func slowSends(f func(c sqstest.Call) *sqstest.Fault) func(sqstest.Call) *sqstest.Fault {
	return func(c sqstest.Call) *sqstest.Fault {
		switch c.Action {
		case "SendMessage":
			return &sqstest.Fault{Delay: time.Second}
		case "SendMessageBatch":
			return f(c)
		}
		return nil
	}
}

func TestBatches(t *testing.T) {
	batchFault := func(n int, f sqstest.Fault) func(sqstest.Call) *sqstest.Fault {
		return slowSends(func(c sqstest.Call) *sqstest.Fault {
			if c.Number <= n {
				return &f
			}
			return nil
		})
	}
	for _, c := range []struct {
		name   string
		size   int
		fault  func(sqstest.Call) *sqstest.Fault
		failed int
		most   int // entries of a batch
	}{
		{"full", 10, batchFault(0, sqstest.Fault{}), 0, 10},
		{"limited by size", 200 << 10, batchFault(0, sqstest.Fault{}), 0, 3}, // 200 KiB are 267 KiB of base64
		{"some entries fail for a moment", 10, batchFault(4, sqstest.Fault{Entries: []int{0, 3, 9}, Code: "InternalError"}), 0, 10},
		{"some entries are throttled", 10, batchFault(4, sqstest.Fault{Entries: []int{1}, Code: "RequestThrottled", SenderFault: true}), 0, 10},
		{"an entry is refused", 10, batchFault(1, sqstest.Fault{Entries: []int{0}, Code: "InvalidMessageContents", SenderFault: true}), 1, 10},
		{"whole batches fail for a moment", 10, batchFault(4, sqstest.Fault{Status: 503, Code: "ServiceUnavailable"}), 0, 10},
		{"a batch is too long for this server", 10, batchFault(4, sqstest.Fault{Status: 400, Code: "BatchRequestTooLong"}), 0, 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				most := 0
				w := newWorld(t, func(w *world, cfg *Config) {
					delete(cfg.Queues, "b")
					w.sqs.Fault = func(call sqstest.Call) *sqstest.Fault {
						mu.Lock()
						most = max(most, len(call.Bodies))
						mu.Unlock()
						return c.fault(call)
					}
				})
				failed := 0
				for _, err := range w.together(50, c.size) {
					if err != nil {
						failed++
					}
				}
				if failed != c.failed || most != c.most {
					t.Errorf("%d failed, want %d; the largest batch had %d, want %d", failed, c.failed, most, c.most)
				}
				if n := len(w.sqs.Messages("a")); n != 50-failed {
					t.Errorf("%d messages arrived of %d", n, 50-failed)
				}
				w.line("a")
			})
		})
	}
}

// TestNoGroups: where there are no fair queues a record goes without its group, alone and in batches, and the queue is
// asked once for each send that was under way.
func TestNoGroups(t *testing.T) {
	for _, n := range []int{1, 50} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, func(w *world, cfg *Config) {
				delete(cfg.Queues, "b")
				cfg.GroupID = func(*tapway.Exchange) string { return "a1b2c3" }
				w.sqs.NoGroups = true
				w.sqs.Fault = slowSends(func(sqstest.Call) *sqstest.Fault { return nil })
			})
			for range 2 {
				for i, err := range w.together(n, 10) {
					if err != nil {
						t.Errorf("of %d, number %d: %v", n, i, err)
					}
				}
			}
			if got := len(w.sqs.Messages("a")); got != 2*n {
				t.Errorf("%d messages arrived of %d", got, 2*n)
			}
			for _, m := range w.sqs.Messages("a") {
				if m.Group != "" {
					t.Errorf("the message has the group %q", m.Group)
				}
			}
			if told := strings.Count(w.log.String(), "takes no message groups"); told != 1 {
				t.Errorf("told %d times: %s", told, w.log)
			}
			if calls := w.sqs.Calls("SendMessage"); n == 1 && calls != 3 {
				t.Errorf("%d calls for two records", calls)
			}
			w.line("a")
		})
	}
}

// TestSettleFaults: what is not done is said, and done when it is settled again, once.
func TestSettleFaults(t *testing.T) {
	for _, c := range []struct {
		name   string
		fault  func(sqstest.Call) *sqstest.Fault
		errors bool // the first Settle reports
	}{
		{"deletes fail for a moment", first("DeleteMessageBatch", 2, sqstest.Fault{Status: 503, Code: "ServiceUnavailable"}), false},
		{"some deletes fail for a moment", first("DeleteMessageBatch", 2, sqstest.Fault{Entries: []int{0, 1}, Code: "InternalError"}), false},
		{"the answer to a delete is lost", first("DeleteMessageBatch", 1, sqstest.Fault{Lost: true}), false},
		{"deletes are denied", first("DeleteMessageBatch", 2, sqstest.Fault{Status: 403, Code: "AccessDenied"}), true},
		{"delays fail for a moment", first("ChangeMessageVisibilityBatch", 2, sqstest.Fault{Cut: true}), false},
		{"delays are denied", first("ChangeMessageVisibilityBatch", 1, sqstest.Fault{Status: 403, Code: "AccessDenied"}), true},
		{"burials fail for a moment", func(c sqstest.Call) *sqstest.Fault {
			if c.Queue == "a-dead" && c.Number <= 6 {
				return &sqstest.Fault{Status: 503, Code: "ServiceUnavailable"}
			}
			return nil
		}, false},
		{"burials are denied", func(c sqstest.Call) *sqstest.Fault {
			if c.Queue == "a-dead" && strings.HasPrefix(c.Action, "Send") && c.Number <= 4 {
				return &sqstest.Fault{Status: 403, Code: "AccessDenied"}
			}
			return nil
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
				s := w.subscribe("a")
				w.enqueue(0, 8)
				msgs := w.receive(s, 10)
				var all []tapway.Settlement
				for i, m := range msgs {
					v := []tapway.Verdict{tapway.Delivered, tapway.Dead, tapway.Retry, tapway.Dropped}[i%4]
					all = append(all, tapway.Settlement{Message: m, Outcome: tapway.Outcome{Verdict: v, Reason: "because", After: time.Hour}})
				}
				w.sqs.Fault = c.fault
				for range 8 {
					err := s.Settle(t.Context(), all)
					if err == nil {
						break
					}
					if !c.errors {
						t.Fatal(err)
					}
				}
				w.sqs.Fault = nil
				if err := s.Settle(t.Context(), all); err != nil {
					t.Fatal(err)
				}
				if l := w.line("a"); l.Delivered != 2 || l.Dead != 2 || l.Queued != 2 || l.Dropped["because"] != 2 {
					t.Errorf("account %+v", l)
				}
				if n := len(w.sqs.Messages("a-dead")); n != 2 {
					t.Errorf("%d dead letters", n)
				}
			})
		})
	}
}

// TestReceiveFaults: a failed poll is told and the next one works; nothing counts as attempted.
func TestReceiveFaults(t *testing.T) {
	for _, f := range []sqstest.Fault{
		{Status: 503, Code: "ServiceUnavailable"}, {Status: 403, Code: "AccessDenied"}, {Cut: true}, {Lost: true}, {Delay: time.Hour},
	} {
		t.Run(fmt.Sprintf("%+v", f), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(w *world, _ *Config) { w.sqs.Fault = first("ReceiveMessage", 1, f) })
				s := w.subscribe("a")
				w.enqueue(0, 1)
				if msgs, err := s.Receive(t.Context(), 1); err == nil || len(msgs) != 0 {
					t.Fatalf("%d messages, error %v", len(msgs), err)
				}
				w.want(w.receive(s, 1), 0)
			})
		})
	}
}

// TestStorm: with a third of all calls failing in every way, every record is delivered at
// least once or reported, and nothing stays behind.
func TestStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const records = 120
		var mu sync.Mutex
		dice := rand.New(rand.NewPCG(3, 3))
		calm := false
		w := newWorld(t, func(w *world, cfg *Config) {
			delete(cfg.Queues, "b")
			w.sqs.Order = func(n int, swap func(i, j int)) { mu.Lock(); defer mu.Unlock(); dice.Shuffle(n, swap) }
			w.sqs.Again = func() bool { mu.Lock(); defer mu.Unlock(); return !calm && dice.IntN(8) == 0 }
			w.sqs.Fault = func(c sqstest.Call) *sqstest.Fault {
				mu.Lock()
				defer mu.Unlock()
				if calm || c.Action == "GetQueueAttributes" {
					return nil
				}
				switch dice.IntN(15) {
				case 0:
					return &sqstest.Fault{Status: http.StatusServiceUnavailable, Code: "ServiceUnavailable"}
				case 1:
					return &sqstest.Fault{Status: 400, Code: "RequestThrottled"}
				case 2:
					return &sqstest.Fault{Cut: true}
				case 3:
					return &sqstest.Fault{Lost: true}
				case 4:
					return &sqstest.Fault{Entries: []int{0, 2, 4, 6, 8}, Code: "InternalError"}
				case 5:
					return &sqstest.Fault{Delay: 2 * time.Second}
				}
				return nil
			}
		})
		s := w.subscribe("a")
		var delivered [records]int
		reported := map[int]bool{}
		var wg sync.WaitGroup
		for p := range 4 {
			wg.Go(func() {
				for n := p; n < records; n += 4 {
					if err := w.q.Enqueue(t.Context(), queuetest.Exchange(n, 3000*(n%3))); err != nil {
						mu.Lock()
						reported[n] = true
						mu.Unlock()
					}
				}
			})
		}
		ctx, cancel := context.WithCancel(t.Context())
		for range 3 {
			wg.Go(func() {
				for ctx.Err() == nil {
					msgs, err := s.Receive(ctx, 20)
					if err != nil {
						time.Sleep(100 * time.Millisecond)
						continue
					}
					var all []tapway.Settlement
					for _, m := range msgs {
						o := tapway.Outcome{Verdict: tapway.Delivered}
						if m.Attempts == 0 && m.ID[15]%3 == 0 {
							o = tapway.Outcome{Verdict: tapway.Retry, Reason: "not yet", After: time.Second}
						} else {
							mu.Lock()
							delivered[w.number(m)]++
							mu.Unlock()
						}
						all = append(all, tapway.Settlement{Message: m, Outcome: o})
					}
					for s.Settle(t.Context(), all) != nil {
						time.Sleep(time.Second)
					}
				}
			})
		}
		time.Sleep(10 * time.Minute)
		mu.Lock()
		calm = true
		mu.Unlock()
		time.Sleep(5 * time.Minute)
		cancel()
		wg.Wait()
		for n, c := range delivered {
			if c == 0 && !reported[n] {
				t.Errorf("record %d is lost", n)
			}
		}
		if l := w.line2("a"); l.Queued != 0 || l.Dead != 0 {
			t.Errorf("left behind: %+v", l)
		}
	})
}

// line2 is line without its check: after answers were lost, some records are there twice.
func (w *world) line2(name string) tapway.LedgerLine {
	w.Helper()
	l, err := w.q.Ledger(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	for _, line := range l.Destinations {
		if line.Destination == name {
			return line
		}
	}
	w.Fatalf("no account of %s", name)
	return tapway.LedgerLine{}
}
