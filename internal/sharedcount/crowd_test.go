package sharedcount

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tapway/tapway/internal/access"
)

// TestCrowd: calls that come all at once are counted all at once. A store that answers in time is
// reason neither to serve one above the quota nor to refuse one within it.
func TestCrowd(t *testing.T) {
	for _, refuse := range []bool{false, true} {
		for _, calls := range []int64{99, 100, 101, 1000} {
			synctest.Test(t, func(t *testing.T) {
				f := &fake{delay: func() <-chan struct{} {
					answer := make(chan struct{})
					time.AfterFunc(10*time.Millisecond, func() { close(answer) })
					return answer
				}}
				c := &Counter{Store: f, Refuse: refuse, Log: quiet(t)}
				start, end := day()
				k := c.Tally("k")
				var served, unknown atomic.Int64
				var all sync.WaitGroup
				for range calls {
					all.Go(func() {
						switch k.Take(start, end, 100, new(access.Wait)) {
						case access.Counted:
							served.Add(1)
						case access.Unknown:
							unknown.Add(1)
						}
					})
				}
				all.Wait()
				if served.Load() != min(calls, 100) || unknown.Load() != 0 {
					t.Errorf("refuse %v, %d calls at once, quota 100: %d served, %d could not be counted", refuse, calls, served.Load(), unknown.Load())
				}
				time.Sleep(3 * time.Second) // the requests end
				if n := f.count(c.id("quota/k", start)); n > 100 {
					t.Errorf("refuse %v, %d calls: the store has %d of 100", refuse, calls, n)
				}
			})
		}
	}
}

// TestOneWait: a call that several counts decide about waits once for a store that hangs, and those
// after it do not wait until it has answered.
func TestOneWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := make(chan struct{})
		f := &fake{delay: func() <-chan struct{} { return answer }}
		c := &Counter{Store: f, Log: quiet(t)}
		start, end := day()
		call := func(name string) time.Duration {
			began, wait := time.Now(), new(access.Wait)
			for _, tally := range []access.Tally{c.Rate(name), c.Tally(name), c.Tally("day/" + name)} {
				if v := tally.Take(start, end, 100, wait); v != access.Counted {
					t.Fatal(v)
				}
			}
			return time.Since(began)
		}
		if took := call("a"); took != DefaultWait {
			t.Errorf("the first call waited %v", took)
		}
		if took := call("a") + call("b"); took != 0 {
			t.Errorf("the next ones waited %v", took)
		}
		close(answer)
		synctest.Wait()
		f.delay = func() <-chan struct{} { return make(chan struct{}) }
		if took := call("c"); took != DefaultWait {
			t.Errorf("after an answer a call waited %v", took)
		}
		time.Sleep(3 * time.Second)
	})
}

// TestWaitInAll: all counts of a call together wait no longer than one may, also of a store that answers each just in
// time, or some of them and not others.
func TestWaitInAll(t *testing.T) {
	for name, delay := range map[string]time.Duration{"slow": DefaultWait * 4 / 5, "hanging": time.Hour} {
		for _, refuse := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				f := &fake{}
				c := &Counter{Store: f, Log: quiet(t), Refuse: refuse}
				start, end := day()
				f.delay = func() <-chan struct{} {
					c.heard(nil) // somebody else's count has just been answered
					later := make(chan struct{})
					time.AfterFunc(delay, func() { close(later) })
					return later
				}
				began, wait := time.Now(), new(access.Wait)
				counted := 0
				for i := range 8 {
					switch v := c.Tally(string(rune('a'+i))).Take(start, end, 100, wait); {
					case v == access.Counted:
						counted++
					case v != access.Unknown || !refuse:
						t.Errorf("%s, refuse %v: %v", name, refuse, v)
					}
					synctest.Wait()
				}
				if took := time.Since(began); took != DefaultWait {
					t.Errorf("%s, refuse %v: eight counts waited %v", name, refuse, took)
				}
				want := map[bool]int{true: 8, false: 0}[!refuse]
				if refuse && name == "slow" {
					want = 1 // the first was answered in time
				}
				if counted != want {
					t.Errorf("%s, refuse %v: %d counted", name, refuse, counted)
				}
				time.Sleep(3 * time.Second)
				if name == "slow" && f.asked() != 8 {
					t.Errorf("%d counts were asked for", f.asked())
				}
			})
		}
	}
}
