package access

import (
	"fmt"
	"math"
	"sync/atomic"
	"time"
)

// Rate is a token bucket's: it holds Burst tokens and gets PerSecond new ones each second. A call
// takes one. As in API Gateway, the rate is what is served on average and the burst what may come
// at once.
type Rate struct {
	PerSecond float64
	Burst     int // 0 is PerSecond rounded up
}

const (
	minRate = 1.0 / (365 * 24 * 3600)
	maxRate = 1e6

	// maxRefill is how long a burst may take to come back, in seconds: a hundred years. Nanoseconds are counted in 63 bits.
	maxRefill = 100 * 365 * 24 * 3600
)

// Check tells what is wrong with a rate.
func (r Rate) Check() error {
	if !(r.PerSecond >= minRate && r.PerSecond <= maxRate) {
		return fmt.Errorf("%v calls per second is not a rate; write a number above 0 and up to a million", r.PerSecond)
	}
	if r.Burst < 0 || r.Burst > maxRate {
		return fmt.Errorf("%d is not a burst; write a whole number up to a million", r.Burst)
	}
	if back := float64(r.burst()) / r.PerSecond; back > maxRefill {
		return fmt.Errorf("a burst of %d takes %.0f years to come back at %v per second; write less, or a higher rate", r.burst(), back/(365*24*3600), r.PerSecond)
	}
	return nil
}

func (r Rate) String() string { return fmt.Sprintf("%v per second, burst %d", r.PerSecond, r.burst()) }

func (r Rate) burst() int {
	if r.Burst > 0 {
		return r.Burst
	}
	return max(1, int(math.Ceil(r.PerSecond)))
}

// step is the time that one token takes to come.
func (r Rate) step() int64 { return int64(float64(time.Second) / r.PerSecond) }

// bucket is a token bucket in one word: the time at which it will be full again, in nanoseconds
// since its State began (the virtual scheduling form of the generic cell rate algorithm). The
// zero bucket is full.
type bucket struct {
	full   atomic.Int64
	shared Tally // what all processes together have admitted; nil: each keeps the rate for itself
}

// take takes a token, or tells how long until there is one. With dry it only looks.
func (b *bucket) take(now int64, r Rate, dry bool) (wait time.Duration, ok bool) {
	step := r.step()
	room := step * int64(r.burst())
	for {
		old := b.full.Load()
		next := max(old, now) + step
		if over := next - now - room; over > 0 {
			return time.Duration(over), false
		}
		if dry || b.full.CompareAndSwap(old, next) {
			return 0, true
		}
	}
}

// give puts a token back that was taken at the same rate.
func (b *bucket) give(r Rate) { b.full.Add(-r.step()) }

// window is how a rate is kept by several processes: in each window of whole seconds, as long as a burst
// takes to come back, as many calls as it holds. So the average is never above the rate.
func (r Rate) window(now time.Time) (start, end, limit int64) {
	length := max(1, int64(math.Ceil(float64(r.burst())/r.PerSecond)), int64(math.Ceil(1/r.PerSecond)))
	start = now.Unix() - now.Unix()%length
	return start, start + length, max(1, int64(math.Floor(r.PerSecond*float64(length)*(1+1e-9))))
}

// Throttle is a Rate with the bucket it is kept by.
type Throttle struct {
	Rate
	bucket *bucket
}
