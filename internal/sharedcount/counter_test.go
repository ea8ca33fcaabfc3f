package sharedcount

import (
	"bytes"
	"context"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/tapway/tapway/internal/access"
)

// day is a window around a bubble's midnight of 2000-01-01.
func day() (start, end int64) { return time.Now().Unix(), time.Now().Unix() + 86400 }

// TestOne: one process serves as many calls as the quota has, to the last, and asks the store far less often.
func TestOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := new(fake)
		c := &Counter{Store: f, Log: quiet(t)}
		start, end := day()
		got := 0
		for range 12000 {
			if c.Tally("k").Take(start, end, 10000, new(access.Wait)) == access.Counted {
				got++
			}
			time.Sleep(time.Millisecond)
			synctest.Wait()
		}
		if got != 10000 {
			t.Errorf("%d calls of 10000", got)
		}
		if n := f.count(c.id("quota/k", start)); n != 10000 || f.asked() > 400 {
			t.Errorf("the store has %d, after %d requests", n, f.asked())
		}
		if c.Tally("k").Take(end, end+86400, 10000, new(access.Wait)) != access.Counted {
			t.Error("the next day does not begin anew")
		}
	})
}

// TestLeaseInHand: with a lease in hand no call waits for the store, and none waits longer than Wait without.
func TestLeaseInHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := new(fake)
		c := &Counter{Store: f, Log: quiet(t)}
		start, end := day()
		k := c.Tally("k")
		for range 300 { // it learns how many are needed
			k.Take(start, end, 1e6, new(access.Wait))
			time.Sleep(10 * time.Millisecond)
		}
		never := make(chan struct{})
		f.delay = func() <-chan struct{} { return never }
		began := time.Now()
		for range 200 {
			if k.Take(start, end, 1e6, new(access.Wait)) != access.Counted {
				t.Fatal("refused with a lease in hand")
			}
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("200 calls waited %v", took)
		}
		other := c.Tally("other")
		if v := other.Take(start, end, 10, new(access.Wait)); v != access.Counted || time.Since(began) != DefaultWait {
			t.Errorf("without a lease: %v after %v", v, time.Since(began))
		}
		time.Sleep(3 * time.Second) // the requests end
	})
}

// TestAway: with the store away calls are served and counted later, or refused; it is said once each time that
// changes, and nobody waits meanwhile.
func TestAway(t *testing.T) {
	for _, refuse := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var log bytes.Buffer
			f := &fake{fault: refused}
			c := &Counter{Store: f, Refuse: refuse, Log: slog.New(slog.NewTextHandler(&log, nil))}
			start, end := day()
			k := c.Tally("k")
			want := access.Counted
			if refuse {
				want = access.Unknown
			}
			began := time.Now()
			for range 50 {
				if v := k.Take(start, end, 10, new(access.Wait)); v != want {
					t.Fatalf("refuse %v: %v", refuse, v)
				}
			}
			if took := time.Since(began); took != 0 || f.asked() != 1 {
				t.Errorf("50 calls waited %v and asked %d times", took, f.asked())
			}
			f.faulty(nil)
			time.Sleep(retryAfter)
			k.Take(start, end, 10, new(access.Wait)) // which sends somebody to look
			synctest.Wait()
			v, n := k.Take(start, end, 10, new(access.Wait)), f.count(c.id("quota/k", start))
			if !refuse && (v != access.Spent || n < 50) || refuse && (v != access.Counted || n > 10) {
				t.Errorf("refuse %v: afterwards %v, %d counted", refuse, v, n)
			}
			if text := log.String(); strings.Count(text, "cannot be reached") != 1 || strings.Count(text, "answer again") != 1 {
				t.Errorf("the log:\n%s", text)
			}
		})
	}
}

// TestUnknownFate: an addition whose answer did not come counts as made: the quota is not exceeded, and what was
// reserved by it is lost.
func TestUnknownFate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{fault: func(ask int) (bool, error) {
			if ask%3 == 1 {
				return true, errGone
			}
			return true, nil
		}}
		c := &Counter{Store: f, Refuse: true, Log: quiet(t)}
		start, end := day()
		got := 0
		for range 400 {
			if c.Tally("k").Take(start, end, 100, new(access.Wait)) == access.Counted {
				got++
			}
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
		}
		if got < 50 || got >= 100 {
			t.Errorf("%d calls of 100", got)
		}
	})
}

// TestReturned: a lease that nobody uses goes back after a while, and all of them when the process ends.
func TestReturned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := new(fake)
		c := &Counter{Store: f, Log: quiet(t)}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- c.Run(ctx) }()
		start, end := day()
		use := func(key string, n int) {
			for range n {
				c.Tally(key).Take(start, end, 1e6, new(access.Wait))
				time.Sleep(time.Millisecond)
				synctest.Wait()
			}
		}
		use("idle", 500)
		if n := f.count(c.id("quota/idle", start)); n <= 500 {
			t.Fatalf("there is no lease: %d", n)
		}
		time.Sleep(idleAfter + 2*lookEvery)
		synctest.Wait()
		if n := f.count(c.id("quota/idle", start)); n != 500 {
			t.Errorf("%d after a while, of 500 used", n)
		}
		use("busy", 500)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if n := f.count(c.id("quota/busy", start)); n != 500 {
			t.Errorf("%d after the end, of 500 used", n)
		}
	})
}

// TestRefusedLater: what a later rule refuses is given back and can be used again.
func TestRefusedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &Counter{Store: new(fake), Log: quiet(t)}
		start, end := day()
		k := c.Tally("k")
		for i := range 100 {
			if k.Take(start, end, 3, new(access.Wait)) != access.Counted {
				t.Fatalf("call %d is refused", i)
			}
			k.Give(start)
			k.Give(start - 86400) // of yesterday: nothing
		}
		for i, want := range []access.Admission{access.Counted, access.Counted, access.Counted, access.Spent} {
			if got := k.Take(start, end, 3, new(access.Wait)); got != want {
				t.Errorf("%d: %v", i, got)
			}
		}
	})
}

// TestCharge: what calls have cost afterwards comes off the same budget, also beyond the limit, and is watched.
func TestCharge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := new(fake)
		var mu sync.Mutex
		crossed := 0
		var all []access.Tally
		start, end := day()
		for range 3 {
			k := (&Counter{Store: f, Log: quiet(t)}).Tally("cost")
			k.Watch(func(_, before, after, limit int64) {
				mu.Lock()
				defer mu.Unlock()
				if before < limit*8/10 && after >= limit*8/10 {
					crossed++
				}
			})
			all = append(all, k)
		}
		served := 0
		for i := range 3000 {
			k := all[i%3]
			if k.Take(start, end, 1000000, new(access.Wait)) == access.Counted {
				served++
				k.Charge(start, end, 599)
			}
			time.Sleep(10 * time.Millisecond)
			synctest.Wait()
		}
		n := f.count((&Counter{}).id("quota/cost", start))
		if served < 1600 || served > 1670 || n < 999000 {
			t.Errorf("%d calls of 600 were served of a million, %d are counted", served, n)
		}
		if crossed != 1 {
			t.Errorf("four fifths were crossed %d times", crossed)
		}
	})
}

// TestChargeLater: what a call has cost that ends in the next window counts there.
func TestChargeLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := new(fake)
		c := &Counter{Store: f, Log: quiet(t)}
		k := c.Tally("cost")
		start, end := day()
		k.Take(start, end, 1000, new(access.Wait))
		k.Give(start)
		k.Charge(end, end+86400, 500)
		if v := k.Take(end, end+86400, 1000, new(access.Wait)); v != access.Counted {
			t.Error(v)
		}
		synctest.Wait()
		if before, after := f.count(c.id("quota/cost", start)), f.count(c.id("quota/cost", end)); before != 1 || after < 501 || after > 510 { // a lease is in it
			t.Errorf("%d before and %d after", before, after)
		}
	})
}

// TestTogether is the promise: however many processes there are and whatever the store does, they serve no
// more calls than the quota when calls that cannot be counted are refused, and no fewer than it less what is
// still reserved or was lost, when there were enough calls.
func TestTogether(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := int64(rapid.IntRange(1, 3000).Draw(t, "limit"))
		n := rapid.IntRange(1, 8).Draw(t, "processes")
		seed := rapid.Uint64().Draw(t, "seed")
		faults := rapid.IntRange(0, 1).Draw(t, "faults") == 1
		f := new(fake)
		if faults {
			r := rand.New(rand.NewPCG(seed, 1))
			f.fault = func(int) (bool, error) {
				switch r.IntN(10) {
				case 0:
					return true, errGone
				case 1:
					return false, errGone
				case 2:
					return refused(0)
				}
				return true, nil
			}
		}
		served := make([]int64, n)
		counters := make([]*Counter, n)
		var calls sync.WaitGroup
		now := time.Now()
		for i := range n {
			// Its clock goes as the process likes, so that leases of every size are taken.
			var mu sync.Mutex
			clock, r := now, rand.New(rand.NewPCG(seed, uint64(i)+2))
			counters[i] = &Counter{Store: f, Refuse: true, Wait: time.Minute, Log: slog.New(slog.DiscardHandler), now: func() time.Time {
				mu.Lock()
				defer mu.Unlock()
				clock = clock.Add(time.Duration(r.IntN(20)) * time.Millisecond)
				return clock
			}}
			calls.Go(func() {
				k := counters[i].Tally("k")
				for range 3000 {
					if k.Take(0, now.Unix()+86400, limit, new(access.Wait)) == access.Counted {
						served[i]++
					}
				}
			})
		}
		calls.Wait()
		var sum, left int64
		for i, c := range counters {
			c.Settle(context.Background())
			sum += served[i]
			left += max(c.tallies["quota/k"].left, 0)
		}
		counted := f.count((&Counter{}).id("quota/k", 0))
		if sum > limit || counted > limit {
			t.Fatalf("%d calls of %d were served, %d are counted", sum, limit, counted)
		}
		if !faults && (sum+left != counted || sum+left < limit) {
			t.Fatalf("%d calls of %d were served and %d are reserved; %d are counted", sum, limit, left, counted)
		}
	})
}

// TestRates: a rate is kept by all processes together, in windows.
func TestRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := new(fake)
		perWindow := map[int64]int{}
		var mu sync.Mutex
		var calls sync.WaitGroup
		for i := range 4 {
			c := &Counter{Store: f, Log: quiet(t)}
			calls.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				for range 2500 {
					now := time.Now().Unix()
					if c.Rate("gateway").Take(now, now+1, 50, new(access.Wait)) == access.Counted {
						mu.Lock()
						perWindow[now]++
						mu.Unlock()
					}
					time.Sleep(4 * time.Millisecond)
				}
			})
		}
		calls.Wait()
		if len(perWindow) < 10 {
			t.Errorf("%d windows", len(perWindow))
		}
		for at, n := range perWindow {
			if n > 50 || n < 40 {
				t.Errorf("second %d: %d calls of 50", at, n)
			}
		}
	})
}

// TestWords: who asks how exact it is gets the mode's answer.
func TestWords(t *testing.T) {
	served, refused := (&Counter{}).Accuracy(), (&Counter{Refuse: true}).Accuracy()
	if !strings.HasSuffix(served, "counted afterwards") || !strings.Contains(refused, "calls are refused") {
		t.Error(served, refused)
	}
	if id := (&Counter{Prefix: "shop/"}).id("quota/k", 7); id != "shop/quota/k/7" {
		t.Error(id)
	}
}
