package diskqueue

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/queue/queuetest"
)

// The clock of the wall jumps by hours, both ways. Leases and retries keep their time, also
// those that were written down before.
func TestClockJumps(t *testing.T) {
	for _, jump := range []time.Duration{-6 * time.Hour, 6 * time.Hour} {
		t.Run(jump.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var off atomic.Int64
				o := testOptions(t)
				o.Now = func() time.Time { return time.Now().Add(time.Duration(off.Load())) }
				dir := t.TempDir()
				fill(t, dir, o, 2, 10)
				q := openTest(t, dir, o)
				s, err := q.Subscribe("a")
				if err != nil {
					t.Fatal(err)
				}
				msgs, err := s.Receive(t.Context(), 2)
				if err != nil || len(msgs) != 2 {
					t.Fatalf("received %d: %v", len(msgs), err)
				}
				retry := tapway.Outcome{Verdict: tapway.Retry, After: time.Minute}
				if err := s.Settle(t.Context(), []tapway.Settlement{{Message: msgs[0], Outcome: retry}}); err != nil {
					t.Fatal(err)
				}
				off.Store(int64(jump))
				// The first waits for a minute, the second for the end of its lease.
				due := map[uint64]time.Duration{msgs[0].Seq: time.Minute, msgs[1].Seq: q.o.Lease}
				began := time.Now()
				for range 2 {
					ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
					again, err := s.Receive(ctx, 1)
					cancel()
					if err != nil {
						t.Fatal(err)
					}
					if waited, want := time.Since(began), due[again[0].Seq]; waited != want {
						t.Errorf("position %d came again after %v, want %v", again[0].Seq, waited, want)
					}
				}
				if err := s.Settle(t.Context(), []tapway.Settlement{{Message: msgs[0], Outcome: retry}}); err != nil {
					t.Fatal(err)
				}
				if err := q.Close(); err != nil {
					t.Fatal(err)
				}

				// Started again with a clock that is a year behind: it does not wait for a year.
				off.Store(int64(-365 * 24 * time.Hour))
				q = openTest(t, dir, o)
				states, err := q.States(t.Context(), msgs[0].Seq)
				if err != nil || len(states) != 1 {
					t.Fatalf("%+v, %v", states, err)
				}
				if wait := states[0].Next.Sub(o.Now()); wait <= 0 || wait > maxWait {
					t.Errorf("the next attempt is due in %v", wait)
				}
				if err := q.Close(); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

// The clock is set back by days while a retry waits and the process is down: the retry comes after
// what it had to wait for when it was written down, and not after days. A redriven letter comes at once.
func TestClockSetBackWhileDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var off atomic.Int64
		o := testOptions(t)
		o.Now = func() time.Time { return time.Now().Add(time.Duration(off.Load())) }
		dir := t.TempDir()
		fill(t, dir, o, 2, 10)
		q := openTest(t, dir, o)
		s, err := q.Subscribe("a")
		if err != nil {
			t.Fatal(err)
		}
		msgs, err := s.Receive(t.Context(), 2)
		if err != nil || len(msgs) != 2 {
			t.Fatalf("received %d: %v", len(msgs), err)
		}
		if err := s.Settle(t.Context(), []tapway.Settlement{
			{Message: msgs[0], Outcome: tapway.Outcome{Verdict: tapway.Retry, After: time.Minute, Reason: "503"}},
			{Message: msgs[1], Outcome: tapway.Outcome{Verdict: tapway.Dead, Reason: "422"}},
		}); err != nil {
			t.Fatal(err)
		}
		if n, err := q.Resolve(t.Context(), "a", []uint64{msgs[1].Seq}, tapway.Outcome{Verdict: tapway.Retry}); n != 1 || err != nil {
			t.Fatalf("resolved %d: %v", n, err)
		}
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
		off.Store(int64(-72 * time.Hour))
		q = openTest(t, dir, o)
		if s, err = q.Subscribe("a"); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for _, want := range []struct {
			seq    uint64
			after  time.Duration
			reason string
		}{{msgs[1].Seq, 0, ""}, {msgs[0].Seq, time.Minute, "503"}} {
			got, err := s.Receive(t.Context(), 1)
			if err != nil || len(got) != 1 {
				t.Fatalf("received %d: %v", len(got), err)
			}
			if waited := time.Since(began); got[0].Seq != want.seq || waited > want.after || got[0].LastError != want.reason {
				t.Errorf("position %d came after %v (%q), want %d after %v (%q)", got[0].Seq, waited, got[0].LastError, want.seq, want.after, want.reason)
			}
		}
	})
}

// TestRetryRowOfOlderVersions: they have no wait, and one of a day is as long as they may.
func TestRetryRowOfOlderVersions(t *testing.T) {
	r := retryRow{attempts: 3, again: true, next: time.Unix(5, 0).UTC(), wait: time.Minute, first: time.Unix(4, 0).UTC(), lastErr: "no"}
	b := r.encode()
	if got, ok := parseRetry(b); !ok || got != r {
		t.Errorf("%+v, %v, want %+v", got, ok, r)
	}
	for n := range b[:29] {
		if _, ok := parseRetry(b[:n]); ok {
			t.Errorf("%d bytes are a row", n)
		}
	}
	older := append(append([]byte{flagAgain}, b[1:21]...), "no"...)
	r.wait = maxWait
	if got, ok := parseRetry(older); !ok || got != r {
		t.Errorf("%+v, %v, want %+v", got, ok, r)
	}
}

// A clock that is days ahead for less than an hour takes nothing from the history, whether it jumps
// while the process runs or while it is down; one that stays there does.
func TestClockAheadLeavesHistory(t *testing.T) {
	for _, restart := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var off atomic.Int64
			began := time.Now()
			o := smallSegments(t)
			o.History = History{} // the usual one
			o.Now = func() time.Time {
				// Records are of a fixed time.
				return queuetest.Exchange(39, 0).Time.Add(time.Since(began) + time.Duration(off.Load()))
			}
			dir := t.TempDir()
			q := openTest(t, dir, o)
			if _, err := q.Subscribe("a"); err != nil {
				t.Fatal(err)
			}
			enqueueSome(t, q, 0, 40)
			settleAll(t, q, delivered)
			tidy(t, q)
			look := func(when string, want int) {
				t.Helper()
				tidy(t, q)
				if n := len(found(t, q)); n != want {
					t.Errorf("restart %v, %s: %d records left, want %d", restart, when, n, want)
				}
			}
			again := func() {
				if restart {
					if err := q.Close(); err != nil {
						t.Fatal(err)
					}
					q = openTest(t, dir, o)
				}
			}
			off.Store(int64(72 * time.Hour))
			again()
			look("at the jump", 40)
			time.Sleep(doubtFor - time.Second)
			look("just before an hour", 40)
			off.Store(0)
			look("back again", 40)
			off.Store(int64(72 * time.Hour))
			look("at the second jump", 40)
			time.Sleep(doubtFor - time.Second)
			look("just before an hour of it", 40)
			time.Sleep(time.Second)
			look("after an hour", 0)
		})
	}
}
