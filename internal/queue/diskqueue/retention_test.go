package diskqueue

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/queue/queuetest"
)

// smallSegments holds about four of the records that enqueueSome makes per segment.
func smallSegments(t testing.TB) Options {
	o := testOptions(t)
	o.Log, o.SegmentBytes = nil, 4<<10
	return o
}

func enqueueSome(t testing.TB, q *Queue, from, to int) {
	t.Helper()
	for n := from; n < to; n++ {
		if err := q.Enqueue(t.Context(), queuetest.Exchange(n, 700)); err != nil {
			t.Fatal(err)
		}
	}
}

// settleAll receives everything and settles each position as verdict says.
func settleAll(t testing.TB, q *Queue, verdict func(seq uint64) tapway.Outcome) {
	t.Helper()
	s, err := q.Subscribe("a")
	if err != nil {
		t.Fatal(err)
	}
	for queued(t, q) > q.dests["a"].held() {
		msgs, err := s.Receive(t.Context(), 50)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range msgs {
			if err := s.Settle(t.Context(), []tapway.Settlement{{Message: m, Outcome: verdict(m.Seq)}}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// held is how many messages wait for another attempt.
func (d *dest) held() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return uint64(d.nRetry)
}

func tidy(t testing.TB, q *Queue) {
	t.Helper()
	q.w.rest(true)
	if err := q.tidy(0); err != nil {
		t.Fatal(err)
	}
}

func found(t testing.TB, q *Queue) (seqs []uint64) {
	t.Helper()
	for m, err := range q.Search(t.Context(), tapway.Search{Oldest: true}) {
		if err != nil {
			t.Fatal(err)
		}
		seqs = append(seqs, m.Seq)
	}
	return seqs
}

func delivered(uint64) tapway.Outcome { return tapway.Outcome{Verdict: tapway.Delivered} }

// What nobody is owed any more stays for the history's time and size and is gone after that.
func TestHistory(t *testing.T) {
	oneDay := queuetest.Exchange(39, 0).Time.Add(24 * time.Hour)
	for _, c := range []struct {
		name    string
		history History
		now     time.Time
		left    func(records int) bool
	}{
		{"within its time", History{}, oneDay.Add(-time.Second), func(n int) bool { return n == 40 }},
		{"past its time", History{}, oneDay.Add(time.Second), func(n int) bool { return n == 0 }},
		{"past another time", History{MaxAge: time.Hour}, oneDay, func(n int) bool { return n == 0 }},
		{"within its size", History{MaxBytes: 16 << 10}, oneDay.Add(-time.Hour), func(n int) bool { return n >= 8 && n <= 20 }},
		{"none", History{MaxAge: -1}, oneDay.Add(-24 * time.Hour), func(n int) bool { return n == 0 }},
		{"none by size", History{MaxBytes: -1}, oneDay.Add(-24 * time.Hour), func(n int) bool { return n == 0 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := smallSegments(t)
			o.History, o.Now = c.history, func() time.Time { return c.now }
			dir := t.TempDir()
			q := openTest(t, dir, o)
			if _, err := q.Subscribe("a"); err != nil {
				t.Fatal(err)
			}
			enqueueSome(t, q, 0, 40)
			tidy(t, q)
			if n := len(found(t, q)); n != 40 {
				t.Fatalf("%d records left of 40 that nobody has received", n)
			}
			settleAll(t, q, delivered)
			tidy(t, q)
			seqs := found(t, q)
			if !c.left(len(seqs)) || len(seqs) > 0 && seqs[len(seqs)-1] != 40 {
				t.Fatalf("left: %v", seqs)
			}
			q.Close()
			q = openTest(t, dir, o)
			enqueueSome(t, q, 40, 41)
			if got := received(t, q); !slices.Equal(got, []uint64{41}) {
				t.Fatalf("received %v", got)
			}
		})
	}
}

// An empty log still knows which positions were given out, also without the database.
func TestPositionsSurviveEmptyLog(t *testing.T) {
	o := smallSegments(t)
	o.History.MaxAge = -1
	dir := t.TempDir()
	q := openTest(t, dir, o)
	if _, err := q.Subscribe("a"); err != nil {
		t.Fatal(err)
	}
	enqueueSome(t, q, 0, 10)
	settleAll(t, q, delivered)
	tidy(t, q)
	if n := len(logFiles(t, dir)); n != 0 {
		t.Fatalf("%d segments left", n)
	}
	q.Close()
	if err := os.Remove(filepath.Join(dir, "state.db")); err != nil {
		t.Fatal(err)
	}
	q = openTest(t, dir, o)
	enqueueSome(t, q, 10, 11)
	if got := received(t, q); !slices.Equal(got, []uint64{11}) {
		t.Fatalf("received %v", got)
	}
}

// One dead letter does not hold a whole segment: it moves to a small one, and everything that
// can be done with it still can, also after a restart and in a second move.
func TestKept(t *testing.T) {
	o := smallSegments(t)
	o.History.MaxAge = -1
	dir := t.TempDir()
	q := openTest(t, dir, o)
	if _, err := q.Subscribe("a"); err != nil {
		t.Fatal(err)
	}
	enqueueSome(t, q, 0, 80)
	settleAll(t, q, func(seq uint64) tapway.Outcome {
		switch {
		case seq == 6 || seq == 7 || seq == 50:
			return tapway.Outcome{Verdict: tapway.Dead, Reason: "400"}
		case seq == 30:
			return tapway.Outcome{Verdict: tapway.Retry, After: time.Hour, Reason: "503"}
		}
		return delivered(seq)
	})
	before := q.used.Load()
	tidy(t, q)
	if after := q.used.Load(); after > before/4 {
		t.Errorf("%d bytes before, %d after", before, after)
	}
	for range 2 {
		if got := found(t, q); !slices.Equal(got, []uint64{6, 7, 30, 50}) {
			t.Fatalf("left: %v", got)
		}
		for _, seq := range []uint64{6, 7, 30, 50} {
			ex, err := q.LoadSeq(t.Context(), seq)
			if err != nil || ex.Query != fmt.Sprintf("n=%d", seq-1) {
				t.Fatalf("position %d: %v, error %v", seq, ex, err)
			}
		}
		if _, err := q.LoadSeq(t.Context(), 5); !errors.Is(err, tapway.ErrNotFound) {
			t.Fatalf("position 5: %v", err)
		}
		if st, err := q.Stats(t.Context()); err != nil || st.Records != 4 || st.First == 0 {
			t.Fatalf("stats %+v, error %v", st, err)
		}
		if report, err := q.Check(t.Context(), nil); err != nil || len(report.Damage) > 0 || report.Records != 4 {
			t.Fatalf("report %+v, error %v", report, err)
		}
		q.Close()
		if report, err := Check(t.Context(), dir, nil); err != nil || len(report.Damage) > 0 || report.Records != 4 {
			t.Fatalf("report %+v, error %v", report, err)
		}
		q = openTest(t, dir, o)
	}
	if n, err := q.Resolve(t.Context(), "a", []uint64{7, 50}, tapway.Outcome{Verdict: tapway.Delivered}); n != 2 || err != nil {
		t.Fatalf("resolved %d, error %v", n, err)
	}
	tidy(t, q)
	if got := found(t, q); !slices.Equal(got, []uint64{6, 30}) {
		t.Fatalf("left: %v", got)
	}
	if n, err := q.Resolve(t.Context(), "a", []uint64{6}, tapway.Outcome{Verdict: tapway.Retry}); n != 1 || err != nil {
		t.Fatalf("resolved %d, error %v", n, err)
	}
	tidy(t, q)
	enqueueSome(t, q, 80, 82)
	q.Close()
	o.Now = func() time.Time { return time.Now().Add(2 * time.Hour) }
	q = openTest(t, dir, o)
	if got := received(t, q); !slices.Equal(got, []uint64{6, 30, 81, 82}) {
		t.Fatalf("received %v", got)
	}
	tidy(t, q)
	if kept, err := filepath.Glob(filepath.Join(dir, "kept", "*")); err != nil || len(kept) > 0 {
		t.Fatalf("left over: %v, error %v", kept, err)
	}
	if l := account(t, q, "a"); l.Captured != 82 || l.Delivered != 82 {
		t.Fatalf("account: %+v", l)
	}
}

// What was kept is delivered again with everything else when the database is lost.
func TestKeptWithoutState(t *testing.T) {
	o := smallSegments(t)
	o.History.MaxAge = -1
	dir := t.TempDir()
	q := openTest(t, dir, o)
	if _, err := q.Subscribe("a"); err != nil {
		t.Fatal(err)
	}
	enqueueSome(t, q, 0, 40)
	settleAll(t, q, func(seq uint64) tapway.Outcome {
		if seq == 3 {
			return tapway.Outcome{Verdict: tapway.Dead}
		}
		return delivered(seq)
	})
	tidy(t, q)
	enqueueSome(t, q, 40, 44)
	q.Close()
	if err := os.Remove(filepath.Join(dir, "state.db")); err != nil {
		t.Fatal(err)
	}
	q = openTest(t, dir, o)
	if got := received(t, q); !slices.Equal(got, []uint64{3, 41, 42, 43, 44}) {
		t.Fatalf("received %v", got)
	}
}

// The limit holds: history makes way, and what is owed is never dropped for what is new.
func TestLimit(t *testing.T) {
	o := smallSegments(t)
	o.MaxBytes = 64 << 10
	q := openTest(t, t.TempDir(), o)
	if _, err := q.Subscribe("a"); err != nil {
		t.Fatal(err)
	}
	enqueueSome(t, q, 0, 30)
	settleAll(t, q, delivered)
	stored := uint64(30)
	for n := range 100 {
		err := q.Enqueue(t.Context(), queuetest.Exchange(n, 700))
		if err == nil {
			stored++
		} else if !errors.Is(err, tapway.ErrQueueFull) {
			t.Fatal(err)
		}
		if q.used.Load() > o.MaxBytes {
			t.Fatalf("%d bytes used of %d", q.used.Load(), o.MaxBytes)
		}
	}
	l := account(t, q, "a")
	if l.Captured != 130 || l.Dropped["queue-full"] != 130-stored || stored < 60 || stored > 110 {
		t.Fatalf("%d stored, account: %+v", stored, l)
	}
	if got := received(t, q); uint64(len(got)) != stored-30 {
		t.Fatalf("received %d, stored %d", len(got), stored-30)
	}
	q.roomTried.Store(q.ticks() - int64(retryEvery)) // the wait is over
	enqueueSome(t, q, 0, 5)
}

// Producers, consumers, searchers, followers and upkeep at once, with segments that come and
// go all the time.
func TestEverythingAtOnce(t *testing.T) {
	o := smallSegments(t)
	o.History.MaxBytes = 40 << 10
	dir := t.TempDir()
	q := openTest(t, dir, o)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { q.Run(ctx) })
	const n = 3000
	var left atomic.Int64
	left.Store(n)
	s, err := q.Subscribe("a")
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		wg.Go(func() { consumeSome(t, ctx, q, s, &left) })
	}
	wg.Go(func() {
		seq := uint64(0)
		for ex, err := range q.Follow(ctx, 0) {
			if err != nil {
				return
			}
			if ex.Seq <= seq {
				t.Errorf("position %d behind %d", ex.Seq, seq)
			}
			seq = ex.Seq
		}
	})
	wg.Go(func() {
		for ctx.Err() == nil {
			if err := q.tidy(0); err != nil {
				t.Error(err)
			}
			last := uint64(1 << 62)
			for m, err := range q.Search(ctx, tapway.Search{Limit: 200, Hint: tapway.Hint{Methods: []string{"GET"}}}) {
				if err != nil && ctx.Err() == nil {
					t.Error(err)
				}
				if err == nil && (m.Seq >= last || m.Method != "GET") {
					t.Errorf("found %s at %d behind %d", m.Method, m.Seq, last)
				}
				last = m.Seq
			}
			if l := q.dests["a"].mustBalance(t); l.Difference() != 0 {
				cancel()
			}
		}
	})
	for p := range 4 {
		wg.Go(func() {
			for i := p; i < n; i += 4 {
				if err := q.Enqueue(ctx, queuetest.Exchange(i, 700)); err != nil {
					t.Error(err)
					cancel()
					return
				}
			}
		})
	}
	for left.Load() > 0 && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	cancel()
	wg.Wait()
	if l := account(t, q, "a"); l.Captured != n || l.Queued != 0 {
		t.Errorf("account: %+v", l)
	}
}

func (d *dest) mustBalance(t testing.TB) tapway.LedgerLine {
	l, _ := d.line(d.q.counters.snapshot())
	if l.Difference() != 0 {
		t.Errorf("out by %d: %+v", l.Difference(), l)
	}
	return l
}

func consumeSome(t testing.TB, ctx context.Context, q *Queue, s tapway.Subscription, left *atomic.Int64) {
	for {
		msgs, err := s.Receive(ctx, 20)
		if err != nil {
			return
		}
		for _, m := range msgs {
			o := tapway.Outcome{Verdict: tapway.Delivered}
			switch r := rand.IntN(100); {
			case r < 10:
				o = tapway.Outcome{Verdict: tapway.Retry, After: time.Duration(rand.IntN(20)) * time.Millisecond, Reason: "503"}
			case r < 12:
				o = tapway.Outcome{Verdict: tapway.Dead, Reason: "400"}
			}
			if err := s.Settle(ctx, []tapway.Settlement{{Message: m, Outcome: o}}); err != nil {
				t.Error(err)
			}
			switch {
			case o.Verdict == tapway.Delivered:
				left.Add(-1)
			case o.Verdict == tapway.Dead:
				n, err := q.Resolve(ctx, "a", []uint64{m.Seq}, tapway.Outcome{Verdict: tapway.Retry})
				if (err != nil || n != 1) && ctx.Err() == nil {
					t.Errorf("resolved %d, error %v", n, err)
				}
			}
		}
	}
}

// The limit is the directory's: what is preallocated, the indexes and the state stand below it as well.
func TestLimitOfDirectory(t *testing.T) {
	everything := func(string) bool { return true }
	dir, o := t.TempDir(), Options{MaxBytes: 8 << 20, History: History{MaxAge: math.MaxInt64}, Lease: queuetest.Lease}
	q := openTest(t, dir, o)
	if _, err := q.Subscribe("a"); err != nil {
		t.Fatal(err)
	}
	most := int64(0)
	for n := range 150 {
		if err := q.Enqueue(t.Context(), queuetest.Exchange(n, 100<<10)); err != nil {
			t.Fatal(err)
		}
		if n%5 == 0 {
			settleAll(t, q, delivered)
			tidy(t, q)
		}
		most = max(most, diskUse(dir, everything))
	}
	if most > o.MaxBytes || most < o.MaxBytes*3/4 {
		t.Fatalf("the directory took up to %d bytes of %d", most, o.MaxBytes)
	}
}
