package diskqueue

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tapway/tapway"
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
