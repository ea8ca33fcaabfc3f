package delivery

import (
	"bytes"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tapway/tapway"
)

// refusing answers status for the records in bad, 200 for others.
func refusing(status int, bad map[string]bool) func(int, []byte) (int, time.Duration, http.Header) {
	return func(_ int, body []byte) (int, time.Duration, http.Header) {
		for line := range bytes.Lines(body) {
			if bad[idIn(line)] {
				return status, 10 * time.Millisecond, nil
			}
		}
		return 200, 10 * time.Millisecond, nil
	}
}

func idIn(record []byte) string {
	_, rest, _ := bytes.Cut(record, []byte(`"id":"`))
	id, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(id)
}

// Records that the destination refuses, and that are due before all others again and again, do not
// keep the others from it.
func TestGoodBehindPoison(t *testing.T) {
	for _, status := range []int{422, 403} {
		for _, poisoned := range []int{5, 300} {
			for _, retry := range []Retry{{}, {MaxAttempts: 1, Min: time.Millisecond, Max: time.Millisecond}, {MaxAttempts: -1, Min: time.Second, Max: time.Second}} {
				t.Run(fmt.Sprintf("%d/%d records/%d attempts", status, poisoned, retry.MaxAttempts), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						all, bad := messages(poisoned+20), map[string]bool{}
						for i := range poisoned {
							bad[all[i].ID.String()] = true
						}
						q, s := newTestQueue(t), &sink{answer: refusing(status, bad)}
						w := newWorker(q, s)
						w.Sender.Retry = retry
						q.put(all[:poisoned]...)
						stop := start(t, w)
						defer stop()
						time.Sleep(10 * time.Minute)
						synctest.Wait()
						began := time.Now()
						for i, m := range all[poisoned:] {
							q.put(m)
							q.until("it is delivered", func() bool { return q.final[uint64(poisoned+i+1)] == tapway.Delivered })
						}
						if took := time.Since(began); took > 10*time.Minute {
							t.Errorf("20 records took %v", took)
						}
					})
				})
			}
		}
	}
}

// A destination that refuses everything for an hour, as in a bad deployment, makes no dead letters
// of that hour, and has it all soon after.
func TestRefusesEverythingForAnHour(t *testing.T) {
	for _, status := range []int{400, 500} {
		for _, records := range []int{200, 1500} {
			t.Run(fmt.Sprintf("%d/%d records", status, records), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					well := time.Now().Add(time.Hour)
					q, s := newTestQueue(t), &sink{}
					s.answer = func(int, []byte) (int, time.Duration, http.Header) {
						if time.Now().Before(well) {
							return status, 10 * time.Millisecond, nil
						}
						return 200, 10 * time.Millisecond, nil
					}
					w := newWorker(q, s)
					stop := start(t, w)
					defer stop()
					all := messages(records)
					for i := range 10 {
						q.put(all[i*records/10 : (i+1)*records/10]...)
						time.Sleep(6 * time.Minute)
					}
					synctest.Wait()
					requests := s.requests()
					q.wait()
					if n := q.count(tapway.Delivered); n != records {
						t.Errorf("%d of %d delivered", n, records)
					}
					if requests > 500 {
						t.Errorf("%d requests while it refused everything", requests)
					}
					if took := time.Since(well); took > 5*time.Minute {
						t.Errorf("all was delivered only after %v", took)
					}
				})
			})
		}
	}
}

// A destination that takes one record in five gets nearly all of those soon, although the others are
// older and due again and again.
func TestPickyDestination(t *testing.T) {
	for _, status := range []int{400, 403} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const records, every = 300, 5
				all, bad := messages(records), map[string]bool{}
				for i, m := range all {
					if i%every > 0 {
						bad[m.ID.String()] = true
					}
				}
				q, s := newTestQueue(t), &sink{answer: refusing(status, bad)}
				w := newWorker(q, s)
				stop := start(t, w)
				defer stop()
				q.put(all...)
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				if n := q.count(tapway.Delivered); n < records/every*8/10 {
					t.Errorf("%d of %d delivered after %d requests", n, records/every, s.requests())
				}
			})
		})
	}
}
