package delivery

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/filter"
)

// sink is a destination inside a synctest bubble: a RoundTripper that reads the body and
// answers what answer says, after a time.
// start runs w until the returned function is called, which gives Run's error.
func TestDeliversEverythingOnce(t *testing.T) {
	for _, c := range []struct {
		name        string
		concurrency int
		batch       Batch
		requests    int // 0: any number
	}{
		{"one by one", 1, Batch{}, 1000},
		{"concurrently", 16, Batch{}, 1000},
		{"in batches", 4, Batch{MaxRecords: 100, MaxWait: 10 * time.Millisecond}, 10},
		{"in batches without waiting", 4, Batch{MaxRecords: 100}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q, s := newTestQueue(t), &sink{answer: func(int, []byte) (int, time.Duration, http.Header) { return 204, time.Millisecond, nil }}
				q.put(messages(1000)...)
				w := newWorker(q, s)
				w.Concurrency, w.Sender.Batch = c.concurrency, c.batch
				stop := start(t, w)
				q.wait()
				if err := stop(); err != nil {
					t.Error(err)
				}
				q.whole()
				if n := q.count(tapway.Delivered); n != 1000 {
					t.Errorf("%d delivered", n)
				}
				if s.most > c.concurrency || s.most < min(c.concurrency, 2) {
					t.Errorf("%d at a time, %d allowed", s.most, c.concurrency)
				}
				if c.requests != 0 && s.n != c.requests {
					t.Errorf("%d requests, want %d", s.n, c.requests)
				}
				if c.concurrency == 1 {
					for i, body := range s.bodies {
						if !bytes.Contains(body, fmt.Appendf(nil, `"/users/%d"`, i)) {
							t.Fatalf("request %d is out of order: %s", i, body)
						}
					}
				}
				if q.groups > 250 {
					t.Errorf("%d calls of Settle for 1000 records", q.groups)
				}
				st := w.State()
				if st.Delivered != 1000 || st.InFlight != 0 || st.Waiting != 0 || st.LastSuccess.IsZero() || st.Phase != Closed || st.Requests != uint64(s.n) || st.Bytes == 0 {
					t.Errorf("state %+v", st)
				}
			})
		})
	}
}

func TestRetriesUntilDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s := newTestQueue(t), &sink{answer: func(int, []byte) (int, time.Duration, http.Header) { return 500, 0, nil }}
		w := newWorker(q, s)
		w.Sender.Retry = Retry{Rand: half}
		q.put(message(1))
		stop := start(t, w)
		q.wait()
		stop()
		var delays []time.Duration
		got := q.outcomes(1)
		for _, o := range got[:len(got)-1] {
			if o.Verdict != tapway.Retry {
				t.Errorf("got %+v", o)
			}
			delays = append(delays, o.After)
		}
		s500 := func(n int) time.Duration { return time.Duration(n) * 500 * time.Millisecond }
		if want := []time.Duration{s500(1), s500(2), s500(4), s500(8), s500(16), s500(32), s500(64)}; !slices.Equal(delays, want) {
			t.Errorf("delays %v, want %v", delays, want)
		}
		if last := got[len(got)-1]; last.Verdict != tapway.Dead || last.Reason != "gave up after 8 attempts: 500 Internal Server Error" || last.Status != 500 {
			t.Errorf("got %+v", last)
		}
		if st := w.State(); st.Phase != Closed || st.Retried != 7 || st.Dead != 1 || st.LastError != "500 Internal Server Error" {
			t.Errorf("a single record's failures: %+v", st)
		}
	})
}

// A destination that is down for a day costs no record its life, and few their attempts.
// A poisoned record dies alone, whatever the destination makes of it, and never opens the
// breaker while others are accepted.
// spy is a slog handler that shows every record with its fields.
// Every so often everything fails, and some requests hang: nothing is lost or settled twice.
func TestBatchWaitsToFill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s := newTestQueue(t), &sink{}
		w := newWorker(q, s)
		w.Sender.Batch = Batch{MaxRecords: 3, MaxWait: time.Second}
		stop := start(t, w)
		defer stop()
		begun := time.Now()
		q.put(message(0))
		time.Sleep(400 * time.Millisecond)
		q.put(message(1))
		time.Sleep(500 * time.Millisecond)
		synctest.Wait()
		if s.requests() != 0 {
			t.Error("sent too early")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if s.requests() != 1 || s.times[0].Sub(begun) != time.Second || bytes.Count(s.bodies[0], []byte("\n")) != 2 {
			t.Errorf("%d requests, %v after the first record", s.requests(), s.times[0].Sub(begun))
		}
		begun = time.Now()
		q.put(messages(3)...)
		q.wait()
		if s.requests() != 2 || s.times[1].Sub(begun) > time.Millisecond {
			t.Errorf("a full batch waited %v", s.times[1].Sub(begun))
		}
	})
}

// The last attempt is made alone: no record dies of its neighbours.
func TestLastAttemptIsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := messages(20)
		for i := range all {
			if i%4 == 1 {
				all[i].Attempts = 7
			}
		}
		bad := []byte(all[0].ID.String())
		q, s := newTestQueue(t), &sink{}
		s.answer = func(_ int, body []byte) (int, time.Duration, http.Header) {
			if bytes.Contains(body, bad) {
				return 500, 0, nil
			}
			return 200, 0, nil
		}
		q.put(all...)
		w := newWorker(q, s)
		w.Concurrency = 1
		w.Sender.Batch.MaxRecords = 20
		stop := start(t, w)
		q.wait()
		stop()
		if d, x := q.count(tapway.Delivered), q.count(tapway.Dead); d != 19 || x != 1 || q.final[1] != tapway.Dead {
			t.Errorf("%d delivered, %d dead", d, x)
		}
	})
}

// Where the first attempt is the last, the good records of a refused batch live nevertheless, also
// when it holds too many bad ones to find them all by halves.
func TestOnlyAttemptInABatch(t *testing.T) {
	for _, every := range []int{2, 100} {
		synctest.Test(t, func(t *testing.T) {
			const records = 300
			all, bad := messages(records), map[string]bool{}
			for i := 0; i < records; i += every {
				bad[all[i].ID.String()] = true
			}
			q, s := newTestQueue(t), &sink{answer: refusing(422, bad)}
			q.put(all...)
			w := newWorker(q, s)
			w.Sender.Batch.MaxRecords = 150
			w.Sender.Retry.MaxAttempts = 1
			stop := start(t, w)
			q.wait()
			stop()
			if d, x := q.count(tapway.Delivered), q.count(tapway.Dead); x != len(bad) || d != records-len(bad) {
				t.Errorf("%d delivered, %d dead of %d bad ones", d, x, len(bad))
			}
		})
	}
}

func TestFilter(t *testing.T) {
	for expr, want := range map[string]int{
		`path == "/users/3"`:                    1,
		`headers["x-n"] in ["3", "4"]`:          2,
		`status == 404`:                         0,
		``:                                      20,
		`destination == "siem" && status < 300`: 20,
	} {
		for _, crossed := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				f, err := filter.Parse(expr)
				if err != nil {
					t.Fatal(err)
				}
				q, s := newTestQueue(t), &sink{}
				for i := range 20 {
					m := message(i)
					if crossed {
						m = asRecord(t, m)
					}
					q.put(m)
				}
				w := newWorker(q, s)
				w.Match = Matching(f, "siem")
				stop := start(t, w)
				q.wait()
				stop()
				if n := q.count(tapway.Delivered); n != want || s.n != want {
					t.Errorf("%q: %d delivered in %d requests, want %d", expr, n, s.n, want)
				}
				for seq, o := range q.settled {
					if q.final[seq] == tapway.Dropped && (len(o) != 1 || o[0].Reason != "filtered") {
						t.Errorf("%q: %+v", expr, o)
					}
				}
				if st := w.State(); st.Dropped != uint64(20-want) {
					t.Errorf("%q: state %+v", expr, st)
				}
			})
		}
	}
	f, _ := filter.Parse(`headers["x"] == "1"`)
	for _, broken := range [][]byte{{}, []byte("nonsense"), message(1).Frame[:150]} {
		if !Matching(f, "siem")(&tapway.Message{Frame: broken}) {
			t.Errorf("a record that cannot be read (%d bytes) would be dropped as filtered", len(broken))
		}
	}
}

func TestQueueErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s := newTestQueue(t), &sink{}
		q.receiveErr, q.settleErr = errors.New("disk on fire"), errors.New("disk on fire")
		q.put(messages(10)...)
		w := newWorker(q, s)
		stop := start(t, w)
		q.wait()
		if err := stop(); err != nil {
			t.Error(err)
		}
		if q.count(tapway.Delivered) != 10 || s.n != 10 {
			t.Errorf("%d requests", s.n)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		q := newTestQueue(t)
		w := newWorker(q, &sink{})
		done := make(chan error)
		go func() { done <- w.Run(t.Context()) }()
		synctest.Wait()
		if err := w.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "running already") {
			t.Errorf("a second Run: %v", err)
		}
		q.mu.Lock()
		q.closed = true
		q.change()
		q.mu.Unlock()
		if err := <-done; !errors.Is(err, tapway.ErrClosed) || !strings.HasPrefix(err.Error(), `destination "siem": `) {
			t.Errorf("a closed queue: %v", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		q := newTestQueue(t)
		q.receiveErr = fmt.Errorf("siem: %w", tapway.ErrNotFound)
		if err := newWorker(q, &sink{}).Run(t.Context()); !errors.Is(err, tapway.ErrNotFound) {
			t.Errorf("a forgotten destination: %v", err)
		}
	})
	synctest.Test(t, func(t *testing.T) { // closed between receiving and settling
		q, s := newTestQueue(t), &sink{}
		s.answer = func(int, []byte) (int, time.Duration, http.Header) {
			q.mu.Lock()
			q.closed = true
			q.mu.Unlock()
			return 200, 0, nil
		}
		q.put(message(1))
		if err := newWorker(q, s).Run(t.Context()); !errors.Is(err, tapway.ErrClosed) {
			t.Errorf("got %v", err)
		}
	})
}

// Stopping under load settles everything: what ends within the grace period as it ended, the
// rest as not attempted.
func TestGracefulStop(t *testing.T) {
	for _, c := range []struct {
		name      string
		took      time.Duration
		delivered bool
		within    time.Duration
	}{
		{"quick", 50 * time.Millisecond, true, time.Second},
		{"slower than the grace period", 8 * time.Second, false, 5 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q, s := newTestQueue(t), &sink{answer: func(int, []byte) (int, time.Duration, http.Header) { return 200, c.took, nil }}
				q.put(messages(1000)...)
				w := newWorker(q, s)
				stop := start(t, w)
				time.Sleep(200*time.Millisecond + time.Millisecond)
				running := w.State().InFlight
				if running != 16 {
					t.Errorf("%d running", running)
				}
				begun := time.Now()
				if err := stop(); err != nil {
					t.Error(err)
				}
				if took := time.Since(begun); took > c.within {
					t.Errorf("stopping took %v", took)
				}
				q.whole()
				delivered := q.count(tapway.Delivered)
				if (delivered > 0) != c.delivered || c.delivered && delivered != s.n {
					t.Errorf("%d delivered, %d requests", delivered, s.n)
				}
				for _, m := range q.waiting {
					if m.Attempts != 0 {
						t.Fatalf("record %d has lost an attempt", m.Seq)
					}
				}
				if st := w.State(); st.InFlight != 0 || st.Waiting != 0 {
					t.Errorf("state %+v", st)
				}
				// It can be started again.
				s.answer = nil
				stop = start(t, w)
				q.wait()
				stop()
				q.whole()
			})
		})
	}
}

// A slow destination does not make the worker sit on leases.
func TestSlowDestinationHoldsFewLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var slow atomic.Bool
		q, s := newTestQueue(t), &sink{}
		s.answer = func(int, []byte) (int, time.Duration, http.Header) {
			if slow.Load() {
				return 200, 9 * time.Second, nil
			}
			return 200, time.Millisecond, nil
		}
		q.put(messages(3000)...)
		w := newWorker(q, s)
		w.Concurrency = 4
		stop := start(t, w)
		defer stop()
		q.until("half is delivered", func() bool { return len(q.final) > 2000 })
		if _, _, receives := q.now(); slices.Max(receives) < 256 {
			t.Errorf("at most %d were received at a time from a fast destination", slices.Max(receives))
		}
		slow.Store(true)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if _, leased, _ := q.now(); leased > 4 {
			t.Errorf("%d leased for 4 attempts at a time", leased)
		}
		slow.Store(false)
		q.wait()
		if s.n != 3000 {
			t.Errorf("%d requests", s.n)
		}
	})
}

func TestBytesInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int64
		q := newTestQueue(t)
		rt := roundTrip(func(r *http.Request) (*http.Response, error) {
			n := now.Add(r.ContentLength)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			time.Sleep(time.Millisecond)
			now.Add(-r.ContentLength)
			r.Body.Close()
			return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
		})
		w := newWorker(q, rt)
		w.Sender.Encode = func(dst []byte, m *tapway.Message) ([]byte, error) { return append(dst, m.Frame...), nil }
		w.MaxBytes = 10_000
		for i, size := range []int{100, 4000, 4000, 4000, 4000, 100, 50_000, 100, 4000, 6000, 6000} {
			m := message(i)
			m.Frame = make([]byte, size)
			q.put(m)
		}
		stop := start(t, w)
		q.wait()
		stop()
		if n := most.Load(); n < 50_001 || n > 50_001+200 {
			t.Errorf("%d bytes in flight", n)
		}
		if q.count(tapway.Delivered) != 11 {
			t.Errorf("%d delivered", q.count(tapway.Delivered))
		}
	})
}

// Failed attempts leave a line a second, with what is left out counted, and no line shows a
// secret, an address of the destination or what it sent.
func TestLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		q, s := newTestQueue(t), &sink{answer: func(int, []byte) (int, time.Duration, http.Header) {
			return 500, time.Millisecond, http.Header{"X": {"hunter2"}}
		}}
		w := newWorker(q, s)
		w.Sender.URL = "http://me:hunter2@sink.invalid/hunter2"
		w.Sender.Header = http.Header{"X-Key": {"hunter2"}}
		w.Sender.Secrets = []tapway.Secret{"hunter2"}
		w.Breaker.Threshold = -1
		w.Log = slog.New(slog.NewTextHandler(&out, nil))
		q.put(messages(100)...)
		stop := start(t, w)
		q.wait()
		w.Pause("done")
		stop()
		log := out.String()
		if strings.Contains(log, "hunter2") {
			t.Errorf("a secret is in the log:\n%s", log)
		}
		lines := strings.Count(log, "delivery failed")
		if lines == 0 || lines > 130 || !strings.Contains(log, "more=") || !strings.Contains(log, "destination=siem") || !strings.Contains(log, `reason="500 Internal Server Error"`) {
			t.Errorf("%d lines for 800 failures:\n%s", lines, log)
		}
		if strings.Count(log, "paused") != 1 {
			t.Errorf("the pause is not in the log once:\n%s", log)
		}
	})
}
