package series

import (
	"math/bits"
	"time"
)

// A histogram has fixed buckets, so that two of them merge by addition and a percentile of the
// sum is as good as one of the parts: below 4 µs one bucket per microsecond, above that four
// for each power of two. A percentile is off by no more than its bucket is wide, a quarter of
// its lower bound. Longest is where the last bucket begins to take everything.
const (
	buckets = 104
	Longest = 1 << 27 * time.Microsecond // 134 s
)

type histogram [buckets]uint32

// bucketOf is the bucket of a duration.
func bucketOf(d time.Duration) int {
	if d < 4*time.Microsecond {
		return int(max(d, 0) / time.Microsecond)
	}
	us := uint64(min(d, Longest-1) / time.Microsecond)
	octave := bits.Len64(us) - 1
	return 4*(octave-1) + int(us>>(octave-2)&3)
}

// floor is the shortest duration in a bucket; of one bucket past the last it is Longest.
func floor(bucket int) time.Duration {
	if bucket < 4 {
		return time.Duration(bucket) * time.Microsecond
	}
	octave := bucket/4 + 1
	return time.Duration(4+bucket%4) << (octave - 2) * time.Microsecond
}

func (h *histogram) add(other *histogram) {
	for i, n := range other {
		h[i] = plus(h[i], n)
	}
}

// plus adds without running over.
func plus(a, b uint32) uint32 {
	if sum := a + b; sum >= a {
		return sum
	}
	return ^uint32(0)
}

func (h *histogram) count() (n uint64) {
	for _, c := range h {
		n += uint64(c)
	}
	return n
}

// quantile is the duration below which a share q of the calls took, as if those of a bucket
// were spread evenly in it. It is 0 for an empty histogram.
func (h *histogram) quantile(q float64) time.Duration {
	rank := q * float64(h.count())
	if rank == 0 {
		return 0
	}
	for i, c := range h {
		if c > 0 && rank <= float64(c) {
			from, to := floor(i), floor(i+1)
			return from + time.Duration(float64(to-from)*rank/float64(c))
		}
		rank -= float64(c)
	}
	return Longest
}
