package access

import (
	"math"
	"testing"
)

// TestRateBounds: a rate that is taken gives its burst and no more; what could not be counted is refused.
func TestRateBounds(t *testing.T) {
	for _, tt := range []struct {
		rate Rate
		ok   bool
	}{
		{Rate{PerSecond: 1}, true},
		{Rate{PerSecond: 0.5}, true},
		{Rate{PerSecond: 2.5}, true},
		{Rate{PerSecond: maxRate, Burst: maxRate}, true},
		{Rate{PerSecond: 1, Burst: maxRate}, true},
		{Rate{PerSecond: minRate}, true},
		{Rate{PerSecond: minRate, Burst: 100}, true}, // a hundred years
		{Rate{PerSecond: minRate, Burst: 101}, false},
		{Rate{PerSecond: 0.0001, Burst: 300_000}, true},
		{Rate{PerSecond: 0.0001, Burst: maxRate}, false}, // more nanoseconds than there are numbers
		{Rate{PerSecond: minRate / 2}, false},
		{Rate{PerSecond: maxRate + 1}, false},
		{Rate{PerSecond: 1, Burst: maxRate + 1}, false},
		{Rate{PerSecond: 1, Burst: -1}, false},
		{Rate{}, false},
		{Rate{PerSecond: -1}, false},
		{Rate{PerSecond: math.NaN()}, false},
		{Rate{PerSecond: math.Inf(1)}, false},
	} {
		if err := tt.rate.Check(); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.rate, err)
		}
		if !tt.ok {
			continue
		}
		b := new(bucket)
		for i := range tt.rate.burst() {
			if _, ok := b.take(0, tt.rate, false); !ok {
				t.Errorf("%s: refused after %d", tt.rate, i)
				break
			}
		}
		wait, ok := b.take(0, tt.rate, false)
		if ok || wait <= 0 || int64(wait) > tt.rate.step() {
			t.Errorf("%s: one more than the burst: %v, wait %v", tt.rate, ok, wait)
		}
		if _, ok := b.take(int64(wait)-1, tt.rate, false); ok && wait > 1 {
			t.Errorf("%s: a token a moment too early", tt.rate)
		}
		if _, ok := b.take(int64(wait), tt.rate, false); !ok {
			t.Errorf("%s: no token after %v", tt.rate, wait)
		}
		if _, ok := b.take(-int64(wait), tt.rate, false); ok {
			t.Errorf("%s: a token when the clock went back", tt.rate)
		}
	}
}
