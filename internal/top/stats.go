package top

import (
	"math"
	"time"

	"github.com/tapway/tapway/internal/admin"
)

// window is what the numbers at the top are about.
const window = 60 // seconds

// stats counts the calls of the last minute, by the second in which they were seen here. The
// zero stats has seen nothing.
type stats struct {
	began   time.Time
	second  int64 // the newest, since 1970
	buckets [window + 1]bucket
}

// bucket is one second.
type bucket struct {
	calls, seen, errors int
	durations           [steps]uint32
}

// The steps of durations grow by 8 %, from 50 µs to a quarter of an hour: percentiles are right to 4 %.
const (
	steps     = 216
	firstStep = 0.05 // ms
	growth    = 1.08
)

func stepOf(ms float64) int {
	if ms <= firstStep {
		return 0
	}
	return min(int(math.Log(ms/firstStep)/math.Log(growth)), steps-1)
}

// advance makes now the newest second.
func (s *stats) advance(now time.Time) {
	second := now.Unix()
	if s.began.IsZero() {
		s.began, s.second = now, second
	}
	if second-s.second > window {
		s.second = second - window - 1
	}
	for s.second < second {
		s.second++
		s.buckets[s.second%int64(len(s.buckets))] = bucket{}
	}
}

func (s *stats) add(now time.Time, l *admin.Live) {
	s.advance(now)
	b := &s.buckets[s.second%int64(len(s.buckets))]
	b.calls += len(l.Calls) + int(l.Skipped)
	b.seen += len(l.Calls)
	for i := range l.Calls {
		if failed(&l.Calls[i]) {
			b.errors++
		}
		b.durations[stepOf(l.Calls[i].DurationMS)]++
	}
}

// failed reports whether a call counts as an error: 5xx, or no answer at all.
func failed(c *admin.Summary) bool { return c.Status >= 500 || c.Status == 0 }

// back is the bucket of n seconds before the newest.
func (s *stats) back(n int) *bucket {
	return &s.buckets[(s.second-int64(n)+int64(len(s.buckets)))%int64(len(s.buckets))]
}

// figures are what the header says.
type figures struct {
	rate     float64 // calls a second, over the last 10
	errors   float64 // share of the calls of the last minute
	p50, p99 float64 // ms
	calls    int     // in the last minute
}

func (s *stats) figures() figures {
	var f figures
	var all [steps]uint32
	seen, failures, recent := 0, 0, 0
	for n := range window {
		b := s.back(n)
		f.calls += b.calls
		seen += b.seen
		failures += b.errors
		if n >= 1 && n <= 10 {
			recent += b.calls
		}
		if b.seen > 0 {
			for i, c := range b.durations {
				all[i] += c
			}
		}
	}
	complete := min(max(int(s.second-s.began.Unix()), 1), 10)
	f.rate = float64(recent) / float64(complete)
	if seen > 0 {
		f.errors = float64(failures) / float64(seen)
		f.p50, f.p99 = percentile(&all, seen, 0.50), percentile(&all, seen, 0.99)
	}
	return f
}

func percentile(all *[steps]uint32, n int, p float64) float64 {
	rank := int(math.Ceil(p * float64(n)))
	for i, c := range all {
		if rank -= int(c); rank <= 0 {
			return firstStep * math.Pow(growth, float64(i)+0.5)
		}
	}
	return 0
}

var sparks = []rune("▁▂▃▄▅▆▇█")

// spark draws the calls of the last complete seconds, the newest on the right.
func (s *stats) spark(width int) string {
	width = min(width, window)
	if width <= 0 {
		return ""
	}
	most := 1
	for n := 1; n <= width; n++ {
		most = max(most, s.back(n).calls)
	}
	out := make([]rune, 0, width)
	for n := width; n >= 1; n-- {
		c := s.back(n).calls
		level := c * len(sparks) / most
		if c > 0 {
			level = max(level, 2)
		}
		out = append(out, sparks[max(min(level, len(sparks))-1, 0)])
	}
	return string(out)
}
