package delivery

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tapway/tapway"
)

func TestOutage(t *testing.T) {
	for _, status := range []int{0, 500, 503, 404} {
		for _, records := range []int{1, 50} {
			t.Run(fmt.Sprintf("%d/%d records", status, records), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					up := time.Now().Add(24 * time.Hour)
					q, s := newTestQueue(t), &sink{}
					s.answer = func(int, []byte) (int, time.Duration, http.Header) {
						if time.Now().Before(up) {
							return status, 0, nil
						}
						return 200, 0, nil
					}
					q.put(messages(records)...)
					w := newWorker(q, s)
					stop := start(t, w)
					q.wait()
					stop()
					q.whole()
					want := records
					if records == 1 && (status == 500 || status == 404) {
						want = 0 // one record's refusals say nothing about the destination: it dies
					}
					if n := q.count(tapway.Delivered); n != want {
						t.Errorf("%d of %d delivered", n, want)
					}
					if s.n > 24*60*2+100 {
						t.Errorf("%d requests in a day", s.n)
					}
				})
			})
		}
	}
}

func TestNothingIsReceivedWhileOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		down.Store(true)
		q, s := newTestQueue(t), &sink{}
		s.answer = func(int, []byte) (int, time.Duration, http.Header) {
			if down.Load() {
				return 500, 10 * time.Millisecond, nil
			}
			return 200, 10 * time.Millisecond, nil
		}
		q.put(messages(200)...)
		w := newWorker(q, s)
		w.Concurrency = 4
		w.Breaker = Breaker{Min: time.Minute, Max: time.Minute}
		stop := start(t, w)
		defer stop()
		time.Sleep(25 * time.Second)
		synctest.Wait()
		waiting, leased, receives := q.now()
		tried := 0
		for _, m := range waiting {
			tried += m.Attempts
		}
		if leased != 0 {
			t.Errorf("%d leased while the breaker is open", leased)
		}
		if tried > 8 || tried != s.requests() {
			t.Errorf("%d attempts burnt in %d requests", tried, s.requests())
		}
		st := w.State()
		if st.Phase != Open || st.Reason != "500 Internal Server Error" || st.Failures < 5 || st.NextProbe.Before(time.Now()) || st.Concurrency != 0 {
			t.Errorf("state %+v", st)
		}
		time.Sleep(4 * time.Second)
		synctest.Wait()
		if _, _, later := q.now(); len(later) != len(receives) {
			t.Errorf("received while the breaker is open")
		}
		// The probe is a single record.
		requests := s.requests()
		time.Sleep(time.Until(w.State().NextProbe) + time.Second)
		synctest.Wait()
		if n := s.requests(); n != requests+1 {
			t.Errorf("%d probes", n-requests)
		}
		if _, _, later := q.now(); len(later) != len(receives)+1 || later[len(receives)] != 1 {
			t.Errorf("received for a probe: %v", later[len(receives):])
		}
		down.Store(false)
		q.wait()
		if n := q.count(tapway.Delivered); n != 200 {
			t.Errorf("%d delivered", n)
		}
	})
}

func TestPoison(t *testing.T) {
	for _, status := range []int{400, 422, 500, 404} {
		for _, batch := range []int{1, 10} {
			t.Run(fmt.Sprintf("%d/batches of %d", status, batch), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					all := messages(40)
					bad := []byte(all[7].ID.String())
					q, s := newTestQueue(t), &sink{}
					s.answer = func(_ int, body []byte) (int, time.Duration, http.Header) {
						if bytes.Contains(body, bad) {
							return status, 0, nil
						}
						return 200, 0, nil
					}
					w := newWorker(q, s)
					w.Concurrency = 2
					w.Sender.Batch.MaxRecords = batch
					opened := 0
					w.Log = slog.New(&spy{on: func(r slog.Record) {
						if strings.Contains(r.Message, "left alone") {
							opened++
						}
					}})
					q.put(all...)
					stop := start(t, w)
					q.wait()
					stop()
					if d, x := q.count(tapway.Delivered), q.count(tapway.Dead); d != 39 || x != 1 {
						t.Errorf("%d delivered, %d dead", d, x)
					}
					if got := q.outcomes(8); len(got) != 8 || got[7].Verdict != tapway.Dead {
						t.Errorf("the poisoned record: %+v", got)
					}
					if opened != 0 {
						t.Errorf("the breaker opened %d times", opened)
					}
				})
			})
		}
	}
}

// One record that the destination never likes does not slow down ten thousand others.
func TestPoisonAmongMany(t *testing.T) {
	const records = 10_000
	for _, status := range []int{400, 500} {
		for _, batch := range []int{1, 100} {
			t.Run(fmt.Sprintf("%d/batches of %d", status, batch), func(t *testing.T) {
				var took [2]time.Duration
				for poisoned := range took {
					synctest.Test(t, func(t *testing.T) {
						all := messages(records)
						bad := []byte(all[records/2].ID.String())
						q, s := newTestQueue(t), &sink{}
						s.answer = func(_ int, body []byte) (int, time.Duration, http.Header) {
							if poisoned == 1 && bytes.Contains(body, bad) {
								return status, 10 * time.Millisecond, http.Header{"Retry-After": {"86400"}}
							}
							return 200, 10 * time.Millisecond, nil
						}
						w := newWorker(q, s)
						w.Sender.Batch.MaxRecords = batch
						began := time.Now()
						q.put(all...)
						stop := start(t, w)
						others := records - poisoned
						if batch > 1 && status == 500 {
							others = records - poisoned*batch // its neighbours wait with it
						}
						for q.count(tapway.Delivered) < others {
							time.Sleep(10 * time.Millisecond)
						}
						took[poisoned] = time.Since(began)
						stop()
					})
				}
				search := 150 * time.Millisecond // for the one in its batch, by halves
				if took[1] > 2*took[0]+search {
					t.Errorf("%v with the record, %v without", took[1], took[0])
				}
			})
		}
	}
}

func TestRetryAfterPausesTheDestination(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		q, s := newTestQueue(t), &sink{}
		s.answer = func(n int, _ []byte) (int, time.Duration, http.Header) {
			switch n {
			case 1:
				return 429, 0, http.Header{"Retry-After": {"120"}}
			case 2:
				return 503, 0, http.Header{"Retry-After": {begun.Add(10 * time.Minute).UTC().Format(http.TimeFormat)}}
			}
			return 200, 0, nil
		}
		q.put(messages(20)...)
		w := newWorker(q, s)
		w.Concurrency = 1
		stop := start(t, w)
		q.wait()
		stop()
		first, second := s.times[1].Sub(begun), s.times[2].Sub(begun)
		if first < 2*time.Minute || first > 2*time.Minute+5*time.Second {
			t.Errorf("the first probe came after %v", first)
		}
		if second < 10*time.Minute-time.Second || second > 10*time.Minute+5*time.Second {
			t.Errorf("the second probe came after %v", second)
		}
		attempts := 0
		for seq := range uint64(20) {
			attempts += len(slices.DeleteFunc(q.outcomes(seq+1), func(o tapway.Outcome) bool { return o.Verdict == tapway.Released }))
		}
		if attempts != 22 {
			t.Errorf("%d attempts for 20 records and 2 refusals", attempts)
		}
	})
}

// A Retry-After of a day, meant for one record or sent by mistake, stops the others for no longer
// than an hour, or retry.max; that record waits as long as it was told.
func TestRetryAfterOfOneRecord(t *testing.T) {
	for _, c := range []struct{ max, others time.Duration }{
		{15 * time.Minute, time.Hour},
		{time.Hour, time.Hour},
		{3 * time.Hour, 3 * time.Hour},
	} {
		t.Run(c.max.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				all := messages(20)
				q, s := newTestQueue(t), &sink{}
				told := false
				var returned time.Duration
				s.answer = func(_ int, body []byte) (int, time.Duration, http.Header) {
					if bytes.Contains(body, []byte(all[0].ID.String())) {
						if !told {
							told = true
							return 429, 0, http.Header{"Retry-After": {"86400"}}
						}
						returned = time.Since(begun)
					}
					return 200, 0, nil
				}
				q.put(all...)
				w := newWorker(q, s)
				w.Concurrency = 1
				w.Sender.Retry.Max = c.max
				stop := start(t, w)
				time.Sleep(c.others - time.Second)
				synctest.Wait()
				if n := q.count(tapway.Delivered); n != 0 {
					t.Errorf("%d delivered within %v", n, c.others)
				}
				time.Sleep(10 * time.Second)
				synctest.Wait()
				if n := q.count(tapway.Delivered); n != 19 {
					t.Errorf("%d delivered after %v", n, c.others)
				}
				q.wait()
				stop()
				if returned < 24*time.Hour || returned > 24*time.Hour+5*time.Second {
					t.Errorf("the record was tried again after %v", returned)
				}
			})
		})
	}
}

// A destination that takes ten records a second, and says 429 to the others, gets all of them.
func TestRateLimited(t *testing.T) {
	for _, header := range []http.Header{nil, {"Retry-After": {"1"}}} {
		synctest.Test(t, func(t *testing.T) {
			const records = 1000
			q, s := newTestQueue(t), &sink{}
			var mu sync.Mutex
			tokens, last := 10.0, time.Now()
			s.answer = func(int, []byte) (int, time.Duration, http.Header) {
				mu.Lock()
				defer mu.Unlock()
				tokens, last = min(10, tokens+10*time.Since(last).Seconds()), time.Now()
				if tokens < 1 {
					return 429, 50 * time.Millisecond, header
				}
				tokens--
				return 200, 50 * time.Millisecond, nil
			}
			q.put(messages(records)...)
			w := newWorker(q, s)
			w.Sender.Retry.MaxAttempts = 3
			begun := time.Now()
			stop := start(t, w)
			q.wait()
			stop()
			if n := q.count(tapway.Delivered); n != records {
				t.Errorf("%d of %d delivered", n, records)
			}
			if took := time.Since(begun); took > 5*time.Minute {
				t.Errorf("it took %v", took)
			}
		})
	}
}

func TestGonePauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var gone atomic.Bool
		gone.Store(true)
		q, s := newTestQueue(t), &sink{}
		s.answer = func(int, []byte) (int, time.Duration, http.Header) {
			if gone.Load() {
				return 410, time.Millisecond, nil
			}
			return 200, time.Millisecond, nil
		}
		q.put(messages(100)...)
		w := newWorker(q, s)
		stop := start(t, w)
		defer stop()
		time.Sleep(1000 * time.Hour)
		synctest.Wait()
		if st := w.State(); st.Phase != Paused || st.PausedBy != "destination" || st.Reason != "410 Gone" {
			t.Errorf("state %+v", st)
		}
		waiting, _, _ := q.now()
		for _, m := range waiting {
			if m.Attempts != 0 {
				t.Fatalf("record %d has lost an attempt", m.Seq)
			}
		}
		before := s.requests()
		if before > 16 || len(waiting) != 100 {
			t.Errorf("%d requests, %d records waiting", before, len(waiting))
		}
		w.Resume() // too early: one probe finds out
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := s.requests(); n != before+1 || w.State().Phase != Paused {
			t.Errorf("%d requests after a resume", n-before)
		}
		gone.Store(false)
		w.Resume()
		q.wait()
		if n := q.count(tapway.Delivered); n != 100 {
			t.Errorf("%d delivered", n)
		}
	})
}

func TestPauseAndResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s := newTestQueue(t), &sink{answer: func(int, []byte) (int, time.Duration, http.Header) { return 200, 10 * time.Millisecond, nil }}
		q.put(messages(100)...)
		w := newWorker(q, s)
		w.Concurrency = 2
		w.Pause("maintenance")
		stop := start(t, w)
		time.Sleep(time.Hour)
		synctest.Wait()
		if st := w.State(); s.requests() != 0 || st.Phase != Paused || st.PausedBy != "operator" || st.Reason != "maintenance" || st.Destination != "siem" {
			t.Errorf("%d requests, state %+v", s.requests(), st)
		}
		w.Resume()
		time.Sleep(100 * time.Millisecond)
		w.Pause("again")
		time.Sleep(time.Hour)
		synctest.Wait()
		n := s.requests()
		if _, leased, _ := q.now(); n == 0 || n > 50 || leased != 0 {
			t.Errorf("%d requests, %d leased", n, leased)
		}
		w.Resume()
		q.wait()
		stop()
		q.whole()
		if s.n != 100 {
			t.Errorf("%d requests for 100 records", s.n)
		}
	})
}

func TestFlapping(t *testing.T) {
	for _, batch := range []int{1, 7} {
		synctest.Test(t, func(t *testing.T) {
			q, s := newTestQueue(t), &sink{}
			s.answer = func(n int, _ []byte) (int, time.Duration, http.Header) {
				switch {
				case time.Now().Second()%7 < 3:
					return []int{500, 503, 0, 429, 301}[n%5], time.Duration(n%20) * time.Millisecond, nil
				case n%50 == 0:
					return 200, time.Hour, nil
				}
				return 200, time.Duration(n%20) * time.Millisecond, nil
			}
			w := newWorker(q, s)
			w.Sender.Batch = Batch{MaxRecords: batch, MaxWait: 3 * time.Millisecond}
			w.Sender.Retry.MaxAttempts = -1
			stop := start(t, w)
			for i := range 2000 {
				q.put(message(i))
				if i%10 == 0 {
					time.Sleep(10 * time.Millisecond)
				}
			}
			q.wait()
			stop()
			q.whole()
			if n := q.count(tapway.Delivered); n != 2000 {
				t.Errorf("%d delivered", n)
			}
		})
	}
}
