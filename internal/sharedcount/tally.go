package sharedcount

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/tapway/tapway/internal/access"
	"github.com/tapway/tapway/internal/awsdynamo"
)

// lease says how much is reserved in advance.
type lease struct {
	ahead time.Duration // of the calls that are expected
	part  int64         // one in so many of the limit at most
	again time.Duration // after which a count that was full is looked at again
}

// maxTries is how often a lease is asked for, smaller each time, when others take what is left.
const maxTries = 6

// tally is one count of this process: its lease of the present window.
type tally struct {
	counter *Counter
	name    string
	lease   lease

	mu         sync.Mutex
	start, end int64
	limit      int64
	left       int64         // of the lease; below 0: served or spent and not yet counted in the store
	used       int64         // of this process since asked, to size the next lease by
	size       int64         // of the last lease
	waiting    int64         // calls that wait for a lease: they need one each
	counted    int64         // in the store, when it was last heard of
	asked      time.Time     // when it was asked for
	touched    time.Time     // when a call was last counted
	full       time.Time     // until when the store need not be asked again: there was nothing left
	flight     chan struct{} // closed when the request under way has ended; nil: there is none
	watcher    func(start, before, after, limit int64)
}

// Take is access.Tally.
func (t *tally) Take(start, end, limit int64, patience *access.Wait) access.Admission {
	now := t.counter.time()
	var late <-chan time.Time
	whole := false // all of the call's wait is for this count
	t.mu.Lock()
	for {
		t.turnLocked(start, end, limit)
		if t.left > 0 {
			t.left--
			t.used++
			t.touched = now
			if t.left < t.size/3 && t.flight == nil && now.After(t.full) {
				t.prefetchLocked(now)
			}
			t.mu.Unlock()
			return access.Counted
		}
		if now.Before(t.full) {
			t.mu.Unlock()
			return access.Spent
		}
		wait := true
		if t.flight == nil {
			var ask bool
			if ask, wait = t.counter.mayAsk(now); ask {
				t.askLocked(now)
			}
		} else if late == nil {
			wait = t.counter.up()
		}
		flight := t.flight
		if !wait || flight == nil {
			return t.onCreditLocked()
		}
		if late == nil {
			most := t.counter.wait()
			left := patience.Left(time.Now(), most)
			if left <= 0 { // spent on other counts: what was asked serves those who come after
				return t.onCreditLocked()
			}
			timer := time.NewTimer(left)
			defer timer.Stop()
			late, whole = timer.C, left == most
		}
		t.waiting++
		t.mu.Unlock()
		select {
		case <-flight:
			now = t.counter.time()
			t.mu.Lock()
			t.waiting--
		case <-late:
			if whole {
				t.counter.inVain()
			}
			t.mu.Lock()
			t.waiting--
			return t.onCreditLocked()
		}
	}
}

// up reports whether the store answers, as far as is known.
func (c *Counter) up() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.down.IsZero() && !c.slow
}

// onCreditLocked decides about a call without the store, and unlocks.
func (t *tally) onCreditLocked() access.Admission {
	defer t.mu.Unlock()
	verdict := access.Counted
	if t.left <= 0 {
		verdict = t.counter.without()
	}
	if verdict == access.Counted {
		t.left--
		t.used++
		t.touched = t.counter.time()
	}
	return verdict
}

// turnLocked begins a new window. What is left of the last one's lease is nobody's any more.
func (t *tally) turnLocked(start, end, limit int64) {
	t.limit = limit
	if start > t.start || t.end == 0 {
		t.start, t.end = start, end
		t.left, t.counted, t.full = 0, 0, time.Time{}
	}
}

func (t *tally) prefetchLocked(now time.Time) {
	if ask, _ := t.counter.mayAsk(now); ask {
		t.askLocked(now)
	}
}

// askLocked asks the store for a lease, in a goroutine that lives as long as the request.
func (t *tally) askLocked(now time.Time) {
	t.size = t.nextLocked(now)
	t.asked, t.used = now, 0
	t.flight = make(chan struct{})
	t.counter.begin()
	debt, n := max(-t.left, 0), max(t.size-max(t.left, 0), 1)
	want := int64(1)
	if t.left <= 0 { // for a call, which does not wait yet
		want = max(min(t.waiting+1, t.limit-t.counted-debt), 1)
	}
	go t.ask(t.start, t.end, t.limit, debt, max(n, want), want)
}

// nextLocked sizes a lease by what has been used since the last, at most four times that.
func (t *tally) nextLocked(now time.Time) int64 {
	most := max(t.limit/t.lease.part, 1)
	if t.asked.IsZero() {
		return 1
	}
	since := max(now.Sub(t.asked), time.Millisecond)
	need := float64(t.used) * float64(t.lease.ahead) / float64(since)
	return int64(max(min(need, float64(max(t.size, t.used))*4, float64(most)), 1))
}

// ask reserves n calls, fewer if fewer are left, and has debt counted, which are calls that were served already.
// Calls that wait want some of them.
func (t *tally) ask(start, end, limit, debt, n, want int64) {
	ctx, cancel := context.WithTimeout(context.Background(), askTime)
	defer cancel()
	got, paid, used, err := t.reserve(ctx, t.counter.id(t.name, start), time.Unix(end, 0).Add(keepAfter), limit, debt, n, want)
	t.counter.heard(err)
	t.mu.Lock()
	flight := t.flight
	t.flight = nil
	if t.start == start {
		t.left += got + paid
		if err == nil {
			t.counted = used
		}
		if err == nil && (got == 0 || used >= limit) {
			t.full = t.counter.time().Add(t.lease.again) // or until the next window begins
		}
	}
	watcher := t.watcher
	t.mu.Unlock()
	if watcher != nil && err == nil && got+paid > 0 {
		watcher(start, used-got-paid, used, limit)
	}
	close(flight)
	t.counter.end()
}

// reserve tells what it has reserved, what of the debt is counted, and how much is used in all then. A request
// whose fate is unknown counts as carried out, and what it reserved as lost.
func (t *tally) reserve(ctx context.Context, id string, expires time.Time, limit, debt, n, want int64) (got, paid, used int64, err error) {
	broken := false
	for range maxTries {
		now, added, err := t.counter.Store.Add(ctx, id, debt+n, limit-debt-n, expires)
		switch {
		case err != nil && !awsdynamo.Untouched(err) && !broken && ctx.Err() == nil:
			// A connection that has died in a function's sleep: the next one is new.
			broken, paid, debt = true, debt, 0
			continue
		case err != nil && !awsdynamo.Untouched(err):
			return 0, paid + debt, 0, err
		case err != nil:
			return 0, paid, 0, err
		case added:
			return n, paid + debt, now, nil
		}
		if used = now; limit-used-debt < 1 {
			break
		}
		n = min(limit-used-debt, max(n/2, want))
	}
	if debt > 0 { // it was served: it counts, whatever the limit
		if used, _, err = t.counter.Store.Add(ctx, id, debt, noLimit, expires); err != nil && awsdynamo.Untouched(err) {
			return 0, paid, 0, err
		}
	}
	return 0, paid + debt, used, err
}

// Give is access.Tally.
func (t *tally) Give(start int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if start == t.start {
		t.left++
		t.used = max(t.used-1, 0)
	}
}

// Charge is access.Tally.
func (t *tally) Charge(start, end, n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.turnLocked(start, end, t.limit)
	if n > 0 {
		t.left -= n
		t.used += n
	}
}

// Used is access.Tally. It asks the store; what this process has reserved and not used is not counted.
func (t *tally) Used(start int64) int64 {
	ctx, cancel := context.WithTimeout(context.Background(), askTime)
	defer cancel()
	used, err := t.counter.Store.Read(ctx, t.counter.id(t.name, start))
	if err != nil {
		t.counter.heard(err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if start == t.start {
		used -= t.left
	}
	return max(used, 0)
}

// Watch is access.Tally.
func (t *tally) Watch(watcher func(start, before, after, limit int64)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.watcher = watcher
}

// giveBack returns what is left of the lease, if it is idle or all are to go back, and has a debt counted.
func (t *tally) giveBack(ctx context.Context, all bool) {
	now := t.counter.time()
	t.mu.Lock()
	n, start, end := t.left, t.start, t.end
	idle := t.flight == nil && now.Sub(t.touched) >= idleAfter
	if n == 0 || !now.Before(time.Unix(end, 0)) || !all && !idle {
		t.mu.Unlock()
		return
	}
	t.left = 0
	t.mu.Unlock()
	_, _, err := t.counter.Store.Add(ctx, t.counter.id(t.name, start), -n, noLimit, time.Unix(end, 0).Add(keepAfter))
	if err == nil || errors.Is(err, context.Canceled) {
		return
	}
	t.counter.heard(err)
	if awsdynamo.Untouched(err) && !all {
		t.mu.Lock()
		if t.start == start {
			t.left += n
		}
		t.mu.Unlock()
	}
}
