package series

import (
	"bytes"
	"context"
	"hash/crc32"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

var quiet = slog.New(slog.DiscardHandler)

func open(t *testing.T, path string) *Series {
	t.Helper()
	s, err := Open(path, quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// TestBuckets: every duration is in the bucket whose bounds are around it, the last nanosecond
// before a bound included.
func TestBuckets(t *testing.T) {
	for i := range buckets {
		from, to := floor(i), floor(i+1)
		if bucketOf(from) != i || bucketOf(to-1) != i || to <= from {
			t.Errorf("bucket %d is [%v, %v): %v is in %d, %v in %d", i, from, to, from, bucketOf(from), to-1, bucketOf(to-1))
		}
		if i >= 4 && to-from > from/4 {
			t.Errorf("bucket %d, [%v, %v), is too wide", i, from, to)
		}
	}
	for d, want := range map[time.Duration]int{-1: 0, 0: 0, Longest - 1: buckets - 1, Longest: buckets - 1, 1000 * time.Hour: buckets - 1} {
		if got := bucketOf(d); got != want {
			t.Errorf("%v is in bucket %d, not %d", d, got, want)
		}
	}
	if floor(buckets) != Longest {
		t.Errorf("the last bucket ends at %v", floor(buckets))
	}
}

// TestQuantile: a percentile is in the bucket of the true one, and one of a sum is that of all calls.
func TestQuantile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		took := rapid.SliceOfN(rapid.Int64Range(0, int64(2*time.Minute)), 1, 300).Draw(t, "took")
		var one, two histogram
		for i, d := range took {
			if i%3 == 0 {
				one[bucketOf(time.Duration(d))]++
			} else {
				two[bucketOf(time.Duration(d))]++
			}
		}
		one.add(&two)
		slices.Sort(took)
		for _, q := range []float64{.5, .9, .99, 1} {
			i := int(q * float64(len(took)))
			if float64(i) == q*float64(len(took)) {
				i--
			}
			bucket := bucketOf(time.Duration(took[i]))
			if got := one.quantile(q); got < floor(bucket) || got > floor(bucket+1) {
				t.Errorf("%v of %v is %v, not in [%v, %v]", q, took, got, floor(bucket), floor(bucket+1))
			}
		}
	})
	if got := new(histogram).quantile(.5); got != 0 {
		t.Errorf("of no calls it is %v", got)
	}
}

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// TestPoints: a call is in the step it ended in, up to the last moment; a coarser step is the sum
// of the finer ones; what was before or is to come is left out.
func TestPoints(t *testing.T) {
	s := open(t, "")
	add := func(at time.Time, c Call) {
		s.Add(c)
		if err := s.Flush(at); err != nil {
			t.Fatal(err)
		}
	}
	add(noon.Add(time.Second), Call{Status: 200, Took: 10 * time.Millisecond, In: 5, Out: 7})
	add(noon.Add(10*time.Second), Call{Status: 404, Took: 20 * time.Millisecond}) // on the boundary: the step before
	add(noon.Add(10*time.Second+1), Call{Status: 500, Took: 30 * time.Millisecond})
	add(noon.Add(61*time.Second), Call{Status: 0, Took: time.Second, Out: 3})
	now := noon.Add(65 * time.Second)
	total, fine := s.Points(noon.Add(-10*time.Second), noon.Add(time.Hour), Fine, now)
	if total.Calls != 4 || total.Errors4xx != 1 || total.Errors5xx != 1 || total.BytesOut != 10 || total.P50 < 15 || total.P50 > 25 || total.P99 < 900 || !total.At.Equal(fine[0].At) {
		t.Errorf("in all %+v", total)
	}
	if len(fine) != 8 {
		t.Fatalf("%d points, not the 8 from a step before noon to now", len(fine))
	}
	for i, want := range []Point{{}, {Calls: 2, Errors4xx: 1, BytesIn: 5, BytesOut: 7}, {Calls: 1, Errors5xx: 1}, {}, {}, {}, {}, {Calls: 1, BytesOut: 3}} {
		got := fine[i]
		if !got.At.Equal(noon.Add(time.Duration(i-1) * 10 * time.Second)) {
			t.Errorf("point %d is at %v", i, got.At)
		}
		if (got.P50 > 0) != (want.Calls > 0) || got.P50 > got.P90 || got.P90 > got.P99 {
			t.Errorf("point %d has percentiles %v, %v, %v", i, got.P50, got.P90, got.P99)
		}
		got.At, got.P50, got.P90, got.P99 = time.Time{}, 0, 0, 0
		if got != want {
			t.Errorf("point %d is %+v, not %+v", i, got, want)
		}
	}
	for step, want := range map[Step][]uint64{Minute: {3, 1}, Five: {4}, Hour: {4}} {
		var calls []uint64
		_, points := s.Points(noon, now, step, now)
		for _, p := range points {
			calls = append(calls, p.Calls)
		}
		if !slices.Equal(calls, want) {
			t.Errorf("by %v: %v, not %v", step, calls, want)
		}
	}
	if _, got := s.Points(noon.Add(-time.Hour), noon, Fine, now); len(got) != 360 || got[359].Calls != 0 {
		t.Errorf("the hour before has %d points, %+v the last", len(got), got[len(got)-1])
	}
	s.Add(Call{Status: 200})
	if _, got := s.Points(noon, noon.Add(70*time.Second+1), Fine, noon.Add(70*time.Second+1)); len(got) != 8 || got[7].Calls != 1 {
		t.Errorf("a moment after a step began it is left out: %+v", got)
	}
	if _, got := s.Points(noon, noon.Add(70*time.Second), Fine, noon.Add(71*time.Second)); len(got) != 7 {
		t.Errorf("a step that begins at the end is told: %+v", got)
	}
	if _, got := s.Points(time.Time{}, now, Minute, now); len(got) != 1500 || got[0].At.After(now.Add(-24*time.Hour)) {
		t.Errorf("from the beginning: %d points from %v", len(got), got[0].At)
	}
	if _, got := s.Points(now.Add(time.Hour), now.Add(2*time.Hour), Fine, now); len(got) != 0 {
		t.Errorf("the future has %d points", len(got))
	}
}

// TestRound: after a little more than two hours a fine slot is used again, and the old step is not taken for the new.
func TestRound(t *testing.T) {
	s := open(t, "")
	s.Add(Call{Status: 200})
	s.Flush(noon.Add(time.Second))
	later := noon.Add(7500 * time.Second) // the same slot
	if _, got := s.Points(later, later.Add(10*time.Second), Fine, later.Add(5*time.Second)); len(got) != 1 || got[0].Calls != 0 {
		t.Errorf("a round later: %+v", got)
	}
	s.Add(Call{Status: 200})
	s.Add(Call{Status: 200})
	s.Flush(later.Add(time.Second))
	if _, got := s.Points(later, later.Add(10*time.Second), Fine, later.Add(5*time.Second)); got[0].Calls != 2 {
		t.Errorf("a round later, with calls: %+v", got)
	}
	if _, got := s.Points(noon, noon.Add(time.Minute), Minute, later); got[0].Calls != 1 {
		t.Errorf("the minutes of noon: %+v", got)
	}
}

// TestKept: what was flushed is there after a process that never closed its file.
func TestKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "series")
	now := time.Now()
	s := open(t, path)
	for range 5 {
		s.Add(Call{Status: 503, Took: 40 * time.Millisecond, In: 1, Out: 2})
	}
	if err := s.Flush(now); err != nil {
		t.Fatal(err)
	}
	_, before := s.Points(now.Add(-time.Minute), now.Add(time.Minute), Hour, now)
	again := open(t, path) // as after kill -9: the first still has it open
	if _, after := again.Points(now.Add(-time.Minute), now.Add(time.Minute), Hour, now); !slices.Equal(before, after) || after[len(after)-1].Errors5xx+after[0].Errors5xx < 5 {
		t.Errorf("before %+v, after %+v", before, after)
	}
	if info, err := os.Stat(path); err != nil || info.Size() != fileSize() || info.Size() > 1536<<10 {
		t.Errorf("the file is %v, %v", info.Size(), err)
	}
}

// TestDamage: a torn slot, a short file, one of another kind and one from the future cost their
// figures and nothing else.
func TestDamage(t *testing.T) {
	now := time.Now()
	for name, change := range map[string]func([]byte) []byte{
		"torn slots": func(b []byte) []byte {
			for i := len(head) + 20; i < len(b); i += slotSize {
				b[i] ^= 1
			}
			return b
		},
		"short":       func(b []byte) []byte { return b[:len(b)/2] },
		"other":       func([]byte) []byte { return []byte("something else") },
		"too long":    func(b []byte) []byte { return append(b, 1) },
		"from future": func(b []byte) []byte { return b },
	} {
		path := filepath.Join(t.TempDir(), "series")
		s := open(t, path)
		s.Add(Call{Status: 200})
		at := now
		if name == "from future" {
			at = now.Add(90 * 24 * time.Hour)
		}
		if err := s.Flush(at); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(path, change(text), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		var said strings.Builder
		s, err = Open(path, slog.New(slog.NewTextHandler(&said, nil)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if name == "torn slots" && !strings.Contains(said.String(), "steps are damaged") {
			t.Errorf("%s: the log says %q", name, said.String())
		}
		s.Add(Call{Status: 404})
		if err := s.Flush(now); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		s.Close()
		s = open(t, path)
		sum := uint64(0)
		_, points := s.Points(now.Add(-time.Minute), now.Add(time.Minute), Fine, now)
		for _, p := range points {
			sum += p.Errors4xx
		}
		if sum != 1 {
			t.Errorf("%s: afterwards %d calls are kept", name, sum)
		}
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none", "series"), quiet); err == nil {
		t.Error("a directory that is not there is no error")
	}
}

// TestTogether: calls of many goroutines are all counted while others read.
func TestTogether(t *testing.T) {
	s := open(t, "")
	var adding sync.WaitGroup
	for range 8 {
		adding.Go(func() {
			for i := range 2000 {
				s.Add(Call{Status: 200 + 100*(i%4), Took: time.Duration(i) * time.Microsecond, In: 1, Out: 2})
			}
		})
	}
	adding.Go(func() {
		for range 20 {
			s.Points(noon, noon.Add(time.Hour), Hour, noon.Add(time.Minute))
		}
	})
	adding.Wait()
	_, got := s.Points(noon, noon.Add(time.Hour), Hour, noon.Add(time.Minute))
	if p := got[0]; len(got) != 1 || p.Calls != 16000 || p.Errors4xx != 4000 || p.Errors5xx != 4000 || p.BytesIn != 16000 || p.BytesOut != 32000 {
		t.Errorf("%+v", got)
	}
}

// TestRun: figures reach the file on every full second, and at the end.
func TestRun(t *testing.T) {
	path := filepath.Join(t.TempDir(), "series")
	kept := func() uint64 {
		s, err := Open(path, quiet)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		_, p := s.Points(time.Now().Add(-time.Hour), time.Now().Add(time.Hour), Hour, time.Now())
		return p[len(p)-1].Calls + p[0].Calls
	}
	synctest.Test(t, func(t *testing.T) {
		s, err := Open(path, quiet)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		time.Sleep(300 * time.Millisecond)
		s.Add(Call{Status: 200})
		time.Sleep(699 * time.Millisecond)
		synctest.Wait()
		if n := kept(); n != 0 {
			t.Errorf("before the second %d are kept", n)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if n := kept(); n != 1 {
			t.Errorf("on the second %d are kept", n)
		}
		s.Add(Call{Status: 200})
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if n := kept(); n != 2 {
			t.Errorf("at the end %d are kept", n)
		}
	})
}

func TestSteps(t *testing.T) {
	for _, s := range steps {
		if got, err := ParseStep(s.String()); got != s || err != nil {
			t.Errorf("%v: %v, %v", s, got, err)
		}
	}
	for _, bad := range []string{"", "2m", "60s", "1M", "10"} {
		if _, err := ParseStep(bad); err == nil {
			t.Errorf("%q is a step", bad)
		}
	}
	for span, want := range map[time.Duration]Step{15 * time.Minute: Fine, time.Hour: Fine, 2 * time.Hour: Minute, 24 * time.Hour: Five, 6 * time.Hour: Minute, 23 * time.Hour: Five, 25 * time.Hour: Hour, 20 * 24 * time.Hour: Hour, 90 * 24 * time.Hour: Hour} {
		if got := StepFor(noon.Add(-span), noon, noon); got != want {
			t.Errorf("for %v: %v, not %v", span, got, want)
		}
	}
	if got := StepFor(noon.Add(-3*time.Hour), noon.Add(-150*time.Minute), noon); got != Minute {
		t.Errorf("half an hour, three hours ago: %v", got)
	}
}

// FuzzSlot: whatever a slot of a file holds, what is taken stands in its place and was written so.
func FuzzSlot(f *testing.F) {
	var room [slotSize]byte
	encode(&room, &slot{start: noon.Unix(), client: 1, in: 2, hist: histogram{3}})
	f.Add(room[:], uint8(0))
	f.Add(room[:], uint8(noon.Unix()/10%72))
	encode(&room, &slot{start: -noon.Unix()})
	f.Add(room[:], uint8(1))
	f.Add(make([]byte, slotSize), uint8(1))
	f.Fuzz(func(t *testing.T, text []byte, j uint8) {
		text = append(text, make([]byte, slotSize)...)[:slotSize]
		order.PutUint32(text[slotSize-4:], crc32.ChecksumIEEE(text[:slotSize-4])) // most of what it finds is past the checksum
		r := ring{slots: make([]slot, 72)}
		r.take(0, int(j)%72, text, noon.Unix())
		for i := range r.slots {
			one := &r.slots[i]
			if place, start := r.place(0, one.start); one.start != 0 && (place != one || start != one.start || one.start > noon.Unix()) {
				t.Errorf("slot %d has %d", i, one.start)
			}
			if one.start != 0 {
				if encode(&room, one); !bytes.Equal(room[:], text) {
					t.Errorf("slot %d is written otherwise", i)
				}
			}
		}
	})
}

func BenchmarkAdd(b *testing.B) {
	s, _ := Open("", quiet)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			s.Add(Call{Status: 200, Took: 3 * time.Millisecond, In: 100, Out: 1000})
		}
	})
}
