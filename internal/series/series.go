// Package series keeps the figures of charts: how many calls came, how many failed, how long
// they took and how many bytes passed, in steps of 10 seconds for two hours, of a minute for a
// day and of an hour for thirty days.
//
// What a newcomer gets wrong: it is a picture of the traffic and no account of it; the ledger
// is. A call counts where it ended, a moment late at most, and what the last second brought is
// forgotten when the process is killed. [Series.Add] is on every call's way, so it is a few
// atomic additions into one of several counters; everything else happens once a second in
// [Series.Run]. The file has one fixed size, under 1.5 MiB, whatever the traffic.
package series

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// FlushEvery is how often figures reach the file: that much is forgotten at most when the
// process is killed, nothing when it ends in order.
const FlushEvery = time.Second

// MostPoints is how many points one answer has at most.
const MostPoints = 2000

// Step is the time that one point stands for.
type Step time.Duration

// The steps that can be asked for, and how far back each reaches.
const (
	Fine   = Step(10 * time.Second) // two hours
	Minute = Step(time.Minute)      // a day
	Five   = Step(5 * time.Minute)  // a day
	Hour   = Step(time.Hour)        // thirty days
)

var steps = []Step{Fine, Minute, Five, Hour}

func (s Step) String() string {
	switch {
	case s%Hour == 0:
		return fmt.Sprintf("%dh", s/Hour)
	case s%Minute == 0:
		return fmt.Sprintf("%dm", s/Minute)
	}
	return fmt.Sprintf("%ds", s/Step(time.Second))
}

// ParseStep reads "10s", "1m", "5m" or "1h".
func ParseStep(text string) (Step, error) {
	for _, s := range steps {
		if s.String() == text {
			return s, nil
		}
	}
	return 0, fmt.Errorf("%q is no step; write 10s, 1m, 5m or 1h", text)
}

// StepFor is the finest step that covers a span in some 400 points and reaches back to from.
func StepFor(from, to, now time.Time) Step {
	for _, s := range steps {
		if to.Sub(from) <= 400*time.Duration(s) && now.Sub(from) <= s.reach() {
			return s
		}
	}
	return Hour
}

// reach is how far back a step can be asked for.
func (s Step) reach() time.Duration {
	i := s.ring()
	return time.Duration(rings[i].step) * time.Duration(rings[i].slots-1)
}

// ring is the index of the ring that has what a step needs.
func (s Step) ring() int {
	for i := len(rings) - 1; i > 0; i-- {
		if rings[i].step <= s {
			return i
		}
	}
	return 0
}

// Call is what is counted of one call.
type Call struct {
	Status  int // as the client saw it; 0 counts as neither 4xx nor 5xx
	Took    time.Duration
	In, Out int64 // body bytes
}

// Point is the sum of the calls that ended in one step.
type Point struct {
	At        time.Time `json:"at"` // where the step begins
	Calls     uint64    `json:"calls"`
	Errors4xx uint64    `json:"errors_4xx"`
	Errors5xx uint64    `json:"errors_5xx"`
	P50       float64   `json:"p50,omitempty"` // milliseconds; none without calls
	P90       float64   `json:"p90,omitempty"`
	P99       float64   `json:"p99,omitempty"`
	BytesIn   uint64    `json:"bytes_in"`
	BytesOut  uint64    `json:"bytes_out"`
}

// Series counts calls and keeps the counts. Make one with Open; it is safe for concurrent use.
type Series struct {
	shards []shard
	log    *slog.Logger

	mu    sync.Mutex
	rings [len(rings)]ring
	file  *file // nil: nothing is kept
}

// shard is one of several counters, so that two cores seldom want the same line of memory.
type shard struct {
	hist             [buckets]atomic.Uint32
	client, server   atomic.Uint32 // 4xx, 5xx
	bytesIn, byteOut atomic.Uint64
	_                [64]byte
}

// Open reads the series in a file, which need not be there; "" keeps nothing on disk. A file
// that cannot be understood begins anew and is said in the log.
func Open(path string, log *slog.Logger) (*Series, error) {
	n := 1
	for n < runtime.GOMAXPROCS(0) && n < 32 {
		n *= 2
	}
	s := &Series{shards: make([]shard, n), log: log}
	for i := range s.rings {
		s.rings[i].slots = make([]slot, rings[i].slots)
	}
	if path == "" {
		return s, nil
	}
	f, err := openFile(path, &s.rings, time.Now(), log)
	if err != nil {
		return nil, fmt.Errorf("open the figures of the charts, %s: %w", path, err)
	}
	s.file = f
	return s, nil
}

// Add counts a call that ended now. It waits for nothing.
func (s *Series) Add(c Call) {
	one := &s.shards[0]
	if n := len(s.shards); n > 1 {
		one = &s.shards[rand.Uint32()&uint32(n-1)] // #nosec G404 -- which shard counts it is no secret
	}
	one.hist[bucketOf(c.Took)].Add(1)
	switch {
	case c.Status >= 500:
		one.server.Add(1)
	case c.Status >= 400:
		one.client.Add(1)
	}
	if c.In > 0 {
		one.bytesIn.Add(uint64(c.In))
	}
	if c.Out > 0 {
		one.byteOut.Add(uint64(c.Out))
	}
}

// Run writes the figures every FlushEvery until ctx ends, and then a last time. Errors of the
// disk are said once and tried again: charts do not stop a gateway.
func (s *Series) Run(ctx context.Context) error {
	complained := false
	for {
		timer := time.NewTimer(untilNext(time.Now()))
		select {
		case <-timer.C:
			err := s.Flush(time.Now())
			if err != nil && !complained {
				s.log.Error("the figures of the charts cannot be written: they end with this process", "err", err)
			}
			complained = err != nil
		case <-ctx.Done():
			timer.Stop()
			return errors.Join(s.Flush(time.Now()), s.Close())
		}
	}
}

// untilNext is the time to the next full second, so that a step's last calls are counted in it.
func untilNext(now time.Time) time.Duration {
	return now.Truncate(FlushEvery).Add(FlushEvery).Sub(now)
}

// Close lets go of the file. Run does it at its end.
func (s *Series) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		return nil
	}
	f := s.file
	s.file = nil
	return f.Close()
}

// Flush counts what has come into the steps of now and writes those that have changed.
func (s *Series) Flush(now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drainLocked(now)
	if s.file == nil {
		return nil
	}
	return s.file.write(&s.rings)
}

// drainLocked moves the counts into the steps. A call under way in Add may have its parts in
// two steps; the sums are right all the same.
func (s *Series) drainLocked(now time.Time) {
	var d slot
	any := false
	for i := range s.shards {
		one := &s.shards[i]
		for b := range one.hist {
			if one.hist[b].Load() > 0 {
				d.hist[b] = plus(d.hist[b], one.hist[b].Swap(0))
				any = true
			}
		}
		d.client, d.server = plus(d.client, one.client.Swap(0)), plus(d.server, one.server.Swap(0))
		d.in, d.out = d.in+one.bytesIn.Swap(0), d.out+one.byteOut.Swap(0)
	}
	if !any && d.client == 0 && d.server == 0 && d.in == 0 && d.out == 0 {
		return
	}
	// The moment before now: what is drained on the full second came in the one before.
	at := now.Add(-1)
	for i := range s.rings {
		s.rings[i].add(i, at, &d)
	}
}

// Points gives the steps that begin in [from, to), oldest first, and their sum, whose percentiles
// are those of all the calls; a step without calls is a point too. It leaves out what is further
// back than the step reaches, what is to come, and what is more than MostPoints.
func (s *Series) Points(from, to time.Time, step Step, now time.Time) (total Point, points []Point) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drainLocked(now)
	width := int64(time.Duration(step) / time.Second)
	first, last := align(from.Unix(), width), min(to.Add(time.Second-1).Unix(), now.Unix()+1) // a second that has begun counts
	if oldest := align(now.Add(-step.reach()).Unix(), width); first < oldest {
		first = oldest
	}
	first = max(first, last-MostPoints*width)
	ring := step.ring()
	points = []Point{}
	var all slot
	for at := align(first, width); at < last; at += width {
		var sum slot
		part := int64(time.Duration(rings[ring].step) / time.Second)
		for t := at; t < at+width; t += part {
			if one := s.rings[ring].find(ring, t); one != nil {
				sum.merge(one)
			}
		}
		all.merge(&sum)
		points = append(points, sum.point(at))
	}
	return all.point(align(first, width)), points
}

func align(t, width int64) int64 {
	if rest := t % width; rest < 0 {
		return t - rest - width
	} else {
		return t - rest
	}
}
