package diskqueue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/queue/queuetest"
)

// The set of positions against a plain map.
func TestSettledModel(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		floor := rapid.Uint64Range(0, 3*pageBits).Draw(r, "floor")
		s, model := newSettled(floor), map[uint64]bool{}
		top := floor + 3*pageBits
		for range rapid.IntRange(1, 40).Draw(r, "steps") {
			from := rapid.Uint64Range(floor+1, top).Draw(r, "from")
			n := rapid.SampledFrom([]uint64{1, 2, 63, 64, 65, 500, pageBits}).Draw(r, "n")
			for seq := from; seq < from+n; seq++ {
				if s.add(seq) == model[seq] {
					r.Fatalf("add(%d) is wrong", seq)
				}
				model[seq] = true
			}
			want := floor
			for model[want+1] {
				want++
			}
			if s.floor != want || s.above != uint64(len(model))-(want-floor) {
				r.Fatalf("floor %d, above %d; want %d and %d", s.floor, s.above, want, uint64(len(model))-(want-floor))
			}
			seq := rapid.Uint64Range(floor, top+pageBits).Draw(r, "seq")
			next, open := max(seq, floor+1), 0
			for model[next] {
				next++
			}
			if got := s.next(seq); got != next {
				r.Fatalf("next(%d) is %d, want %d", seq, got, next)
			}
			to := seq + rapid.Uint64Range(0, 2*pageBits).Draw(r, "to")
			for q := max(seq, floor+1); q <= to; q++ {
				if !model[q] {
					open++
				}
			}
			if got := s.open(seq, to, 1<<30); got != open {
				r.Fatalf("open(%d, %d) is %d, want %d", seq, to, got, open)
			}
			// Written down and read again.
			again := newSettled(s.floor)
			for no, p := range s.pages {
				again.load(no, parsePage(p.encode()))
			}
			if again.above != s.above {
				r.Fatalf("read again: %d above, want %d", again.above, s.above)
			}
		}
	})
}

// peek knows two fields of the frame by heart; DecodeMeta is who decides.
func TestPeek(t *testing.T) {
	frame := tapway.AppendFrame(nil, queuetest.Exchange(5, 10))
	m, err := tapway.DecodeMeta(frame)
	if err != nil {
		t.Fatal(err)
	}
	if id, at := peek(frame); id != m.ID || !at.Equal(m.Time) {
		t.Fatalf("peek gives %s %v, the frame %s %v", id, at, m.ID, m.Time)
	}
	if id, at := peek([]byte{2}); !id.IsZero() || !at.IsZero() {
		t.Fatal("something was read from nothing")
	}
}

// With more messages waiting for another attempt than memory is given, the rest stays in the
// log and nothing is lost or left behind.
func TestMoreRetriesThanMemory(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		o := testOptions(t)
		o.maxHeld = 10
		q := openTest(t, dir, o)
		s, err := q.Subscribe("a")
		if err != nil {
			t.Fatal(err)
		}
		enqueueSome(t, q, 0, 100)
		attempts := map[uint64]int{}
		for queued(t, q) > 0 {
			msgs, err := s.Receive(t.Context(), 7)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range msgs {
				if attempts[m.Seq]++; m.Attempts != attempts[m.Seq]-1 {
					t.Fatalf("position %d: attempt %d says %d", m.Seq, attempts[m.Seq], m.Attempts)
				}
				o := tapway.Outcome{Verdict: tapway.Retry, After: time.Minute}
				if attempts[m.Seq] == 3 {
					o.Verdict = tapway.Delivered
				}
				if err := s.Settle(t.Context(), []tapway.Settlement{{Message: m, Outcome: o}}); err != nil {
					t.Fatal(err)
				}
			}
			if n := len(q.dests["a"].entries); n > 10 {
				t.Fatalf("%d messages held in memory", n)
			}
		}
		if len(attempts) != 100 {
			t.Fatalf("%d of 100 messages seen", len(attempts))
		}
	})
}

// Dead letters that are redriven all at once are taken into memory a few at a time, also over
// a restart.
func TestRedriveMoreThanMemory(t *testing.T) {
	dir := t.TempDir()
	q := openTest(t, dir, testOptions(t))
	if _, err := q.Subscribe("a"); err != nil {
		t.Fatal(err)
	}
	enqueueSome(t, q, 0, 200)
	settleAll(t, q, func(uint64) tapway.Outcome { return tapway.Outcome{Verdict: tapway.Dead} })
	if n, err := q.Resolve(t.Context(), "a", upTo(200), tapway.Outcome{Verdict: tapway.Retry}); n != 200 || err != nil {
		t.Fatalf("resolved %d, error %v", n, err)
	}
	q.Close()
	o := testOptions(t)
	o.maxHeld = 20
	q = openTest(t, dir, o)
	s, err := q.Subscribe("a")
	if err != nil {
		t.Fatal(err)
	}
	got := map[uint64]int{}
	for round := range 3 {
		for len(got) < 60*(round+1) {
			msgs, err := s.Receive(t.Context(), 5)
			if err != nil {
				t.Fatal(err)
			}
			for i, m := range msgs {
				o := tapway.Outcome{Verdict: tapway.Delivered}
				if i == 0 && round < 2 {
					o = tapway.Outcome{Verdict: tapway.Dead}
				}
				if err := s.Settle(t.Context(), []tapway.Settlement{{Message: m, Outcome: o}}); err != nil {
					t.Fatal(err)
				}
				got[m.Seq]++
			}
			if n := len(q.dests["a"].entries); n > 20 {
				t.Fatalf("%d messages held in memory", n)
			}
			if len(got)%10 == 0 {
				if err := q.flush(); err != nil {
					t.Fatal(err)
				}
			}
			account(t, q, "a")
		}
		q.Close()
		q = openTest(t, dir, o)
		if s, err = q.Subscribe("a"); err != nil {
			t.Fatal(err)
		}
	}
	received(t, q)
	for seq, n := range got {
		if n != 1 {
			t.Errorf("position %d was received %d times", seq, n)
		}
	}
	if l := account(t, q, "a"); l.Delivered+l.Dead != 200 {
		t.Errorf("account: %+v", l)
	}
}

// A message that is damaged while it waits for its next attempt is dropped, and counted.
func TestDamagedBetweenAttempts(t *testing.T) {
	dir := t.TempDir()
	q := openTest(t, dir, testOptions(t))
	s, err := q.Subscribe("a")
	if err != nil {
		t.Fatal(err)
	}
	enqueueSome(t, q, 0, 3)
	msgs, err := s.Receive(t.Context(), 3)
	if err != nil {
		t.Fatal(err)
	}
	off, _ := q.segs.newest().offset(2)
	if _, err := mustOpen(t, logFiles(t, dir)[0]).WriteAt([]byte("noise"), off+100); err != nil {
		t.Fatal(err)
	}
	for _, m := range msgs {
		if err := s.Settle(t.Context(), []tapway.Settlement{{Message: m, Outcome: tapway.Outcome{Verdict: tapway.Retry}}}); err != nil {
			t.Fatal(err)
		}
	}
	if got := received(t, q); !slices.Equal(got, []uint64{1, 3}) {
		t.Fatalf("received %v", got)
	}
	if l := account(t, q, "a"); l.Dropped["damaged"] != 1 {
		t.Fatalf("account: %+v", l)
	}
	states, err := q.States(t.Context(), 2)
	if err != nil || states[0].State != "dropped" || states[0].Reason != "damaged" {
		t.Fatalf("states %+v, error %v", states, err)
	}
	report, err := q.Check(t.Context(), nil)
	if err != nil || len(report.Damage) != 1 || report.Damage[0].FromSeq != 2 || report.Damage[0].ToSeq != 2 {
		t.Fatalf("report %+v, error %v", report, err)
	}
}

// unreadable is a file with a bad page.
type unreadable struct {
	io.ReaderAt
	from, to int64
}

func (u unreadable) ReadAt(b []byte, off int64) (int, error) {
	if off < u.to && off+int64(len(b)) > u.from {
		return 0, syscall.EIO
	}
	return u.ReaderAt.ReadAt(b, off)
}

// A page that the disk cannot read costs the records on it and no others.
func TestUnreadablePage(t *testing.T) {
	dir := t.TempDir()
	o := testOptions(t)
	o.SegmentBytes = 1 << 20
	fill(t, dir, o, 100, 500)
	q := openTest(t, dir, o)
	f := mustOpen(t, logFiles(t, dir)[0])
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	w := window{f: unreadable{f, 8192, 12288}}
	var got, lost uint64
	_, _, err = scan(&w, q.key, segmentHead, st.Size(), 1, 100, false,
		func(uint64, int64, []byte) error { got++; return nil },
		func(h hole) { lost += h.to - h.from + 1 })
	if err != nil || got+lost != 100 || lost < 4 || lost > 8 {
		t.Fatalf("%d read, %d lost, error %v", got, lost, err)
	}
}

// However many messages are asked for, no more of them come than memory should hold at once,
// and the others are not kept from anyone.
func TestReceiveIsBoundedInBytes(t *testing.T) {
	q := openTest(t, t.TempDir(), testOptions(t))
	s, err := q.Subscribe("a")
	if err != nil {
		t.Fatal(err)
	}
	for n := range 5 {
		if err := q.Enqueue(t.Context(), queuetest.Exchange(n, 7<<20)); err != nil {
			t.Fatal(err)
		}
	}
	for _, o := range []tapway.Outcome{{Verdict: tapway.Retry}, {Verdict: tapway.Delivered}} {
		var seqs []uint64
		var all []tapway.Settlement
		for len(seqs) < 5 {
			msgs, err := s.Receive(t.Context(), 100)
			if err != nil {
				t.Fatal(err)
			}
			if len(msgs) > 3 {
				t.Fatalf("%d messages of 7 MiB at once", len(msgs))
			}
			for _, m := range msgs {
				seqs = append(seqs, m.Seq)
				all = append(all, tapway.Settlement{Message: m, Outcome: o})
			}
		}
		if err := s.Settle(t.Context(), all); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(seqs, upTo(5)) {
			t.Fatalf("received %v", seqs)
		}
	}
	if l := account(t, q, "a"); l.Delivered != 5 {
		t.Fatalf("account: %+v", l)
	}
}

// Run syncs in Write mode, prepares segments, writes settlements down and ends when told.
func TestRun(t *testing.T) {
	for _, end := range []string{"context", "close"} {
		t.Run(end, func(t *testing.T) {
			dir := t.TempDir()
			o := testOptions(t)
			o.Durability, o.SegmentBytes, o.History.MaxAge = Write, 32<<10, 1<<62 // the records are of a fixed day
			q := openTest(t, dir, o)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var wg sync.WaitGroup
			wg.Go(func() {
				if err := q.Run(ctx); err != nil {
					t.Error(err)
				}
			})
			s, err := q.Subscribe("a")
			if err != nil {
				t.Fatal(err)
			}
			for n := range 200 {
				enqueueSome(t, q, n, n+1)
				msgs, err := s.Receive(t.Context(), 1)
				if err != nil {
					t.Fatal(err)
				}
				if err := s.Settle(t.Context(), []tapway.Settlement{{Message: msgs[0], Outcome: delivered(0)}}); err != nil {
					t.Fatal(err)
				}
				q.Drop("sampled")
			}
			eventually(t, "settlements are written down", func() bool {
				q.dests["a"].mu.Lock()
				defer q.dests["a"].mu.Unlock()
				return !q.dests["a"].changed
			})
			eventually(t, "records are synced", func() bool {
				q.w.late.mu.Lock()
				defer q.w.late.mu.Unlock()
				return !q.w.late.dirty
			})
			eventually(t, "finished segments are indexed", func() bool {
				indexes, err := filepath.Glob(filepath.Join(dir, "log", "*.idx"))
				return err == nil && len(indexes) >= 4
			})
			if end == "close" {
				if err := q.Close(); err != nil {
					t.Fatal(err)
				}
			} else {
				cancel()
			}
			wg.Wait()
		})
	}
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for range 1000 {
		if is() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("not within ten seconds: %s", what)
}

// A background sync that fails is not tried again on the same pages: the log goes on in a new
// segment.
func TestBackgroundSyncFails(t *testing.T) {
	disk := newBadDisk()
	o := testOptions(t)
	o.Durability = Write
	q := openOn(t, t.TempDir(), o, disk)
	q.running.Store(true) // as if Run were there: callers leave the syncing to it
	enqueueSome(t, q, 0, 2)
	disk.badSync.Store(1)
	if err := q.w.sync(); !errors.Is(err, syscall.EIO) {
		t.Fatalf("sync: %v", err)
	}
	enqueueSome(t, q, 2, 4)
	if n := len(logFiles(t, q.dir)); n != 2 {
		t.Fatalf("%d segments, want 2", n)
	}
	if got := found(t, q); !slices.Equal(got, upTo(4)) {
		t.Fatalf("found %v", got)
	}
}

// An idle queue gives back what it had preallocated, and goes on in the same file.
func TestRest(t *testing.T) {
	dir := t.TempDir()
	o := testOptions(t)
	o.SegmentBytes = 8 << 20
	q := openTest(t, dir, o)
	for n := range 5 {
		enqueueSome(t, q, n, n+1)
		q.w.rest(false)
		st, err := os.Stat(logFiles(t, dir)[0])
		if err != nil || st.Size() != q.segs.newest().end.Load() {
			t.Fatalf("%d bytes, want %d; error %v", st.Size(), q.segs.newest().end.Load(), err)
		}
	}
	if n := len(logFiles(t, dir)); n != 1 {
		t.Fatalf("%d segments", n)
	}
	q.Close()
	q = openTest(t, dir, o)
	if got := found(t, q); !slices.Equal(got, upTo(5)) {
		t.Fatalf("found %v", got)
	}
}

// The reserve lets settlements be written down when nothing else fits on the disk.
func TestReserve(t *testing.T) {
	q := openTest(t, t.TempDir(), testOptions(t))
	if st, err := os.Stat(q.reservePath()); err != nil || st.Size() != reserveSize {
		t.Fatalf("reserve: %v, error %v", st, err)
	}
	if !q.giveReserve() || q.giveReserve() {
		t.Fatal("the reserve is given up once")
	}
	q.fillReserve()
	if _, err := os.Stat(q.reservePath()); err != nil {
		t.Fatal(err)
	}
}

// Should the log have lost its end although the database says otherwise, no position that was
// delivered once is given out again.
func TestLogBehindState(t *testing.T) {
	dir := t.TempDir()
	q := openTest(t, dir, testOptions(t))
	if _, err := q.Subscribe("b"); err != nil {
		t.Fatal(err)
	}
	if _, err := q.Subscribe("a"); err != nil {
		t.Fatal(err)
	}
	enqueueSome(t, q, 0, 10)
	off, _ := q.segs.newest().offset(6)
	received(t, q)
	q.Close()
	if err := os.Truncate(logFiles(t, dir)[0], off); err != nil {
		t.Fatal(err)
	}
	q = openTest(t, dir, testOptions(t))
	enqueueSome(t, q, 10, 11)
	if got := received(t, q); !slices.Equal(got, []uint64{11}) {
		t.Fatalf("received %v", got)
	}
	s, err := q.Subscribe("b")
	if err != nil {
		t.Fatal(err)
	}
	var got []uint64
	for len(got) < 6 {
		msgs, err := s.Receive(t.Context(), 20)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range msgs {
			got = append(got, m.Seq)
		}
	}
	if !slices.Equal(got, []uint64{1, 2, 3, 4, 5, 11}) {
		t.Fatalf("b received %v", got)
	}
	if l := account(t, q, "b"); l.Captured != 11 || l.Queued != 6 || l.Dropped["damaged"] != 5 {
		t.Fatalf("account of b: %+v", l)
	}
}

// The same for a position that waited for another attempt when the log lost its end: the record that
// comes next is not taken for it, and is delivered.
func TestLogBehindRetry(t *testing.T) {
	dir := t.TempDir()
	q := openTest(t, dir, testOptions(t))
	s, err := q.Subscribe("a")
	if err != nil {
		t.Fatal(err)
	}
	enqueueSome(t, q, 0, 3)
	msgs, err := s.Receive(t.Context(), 3)
	if err != nil || len(msgs) != 3 {
		t.Fatalf("received %d: %v", len(msgs), err)
	}
	verdicts := []tapway.Verdict{tapway.Delivered, tapway.Delivered, tapway.Retry}
	for i, m := range msgs {
		if err := s.Settle(t.Context(), []tapway.Settlement{{Message: m, Outcome: tapway.Outcome{Verdict: verdicts[i]}}}); err != nil {
			t.Fatal(err)
		}
	}
	off, _ := q.segs.newest().offset(3)
	q.Close()
	if err := os.Truncate(logFiles(t, dir)[0], off); err != nil {
		t.Fatal(err)
	}
	q = openTest(t, dir, testOptions(t))
	if s, err = q.Subscribe("a"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if msgs, err := s.Receive(ctx, 1); err == nil { // it finds that the record is gone
		t.Fatalf("received %+v", msgs)
	}
	if l := account(t, q, "a"); l.Captured != 3 || l.Dropped["damaged"] != 1 || l.Queued != 0 {
		t.Fatalf("account: %+v", l)
	}
	enqueueSome(t, q, 3, 4)
	if got := received(t, q); !slices.Equal(got, []uint64{4}) {
		t.Fatalf("received %v", got)
	}
	if l := account(t, q, "a"); l.Captured != 4 || l.Delivered != 3 || l.Dropped["damaged"] != 1 {
		t.Fatalf("account: %+v", l)
	}
}

// A purged million of dead letters does not leave a database of their size behind.
func TestStateIsCompacted(t *testing.T) {
	dir := t.TempDir()
	q := openTest(t, dir, testOptions(t))
	if _, err := q.Subscribe("a"); err != nil {
		t.Fatal(err)
	}
	d := q.dests["a"]
	for round := range 40 {
		d.mu.Lock()
		for i := range 5000 {
			seq := uint64(round*5000 + i + 1)
			d.deaths = append(d.deaths, death{seq: seq, deadRow: deadRow{reason: fmt.Sprintf("%0100d", seq), died: time.Unix(0, int64(seq))}})
			d.dead++
			d.base++
		}
		d.changed = true
		d.mu.Unlock()
		if err := q.flush(); err != nil {
			t.Fatal(err)
		}
	}
	st, err := os.Stat(q.statePath())
	if err != nil || st.Size() < compactFrom {
		t.Fatalf("%v bytes, error %v", st.Size(), err)
	}
	if n, err := q.Resolve(t.Context(), "a", upTo(200_000), tapway.Outcome{Verdict: tapway.Delivered}); n != 200_000 || err != nil {
		t.Fatalf("resolved %d, error %v", n, err)
	}
	q.Close()
	q = openTest(t, dir, testOptions(t))
	if st, err = os.Stat(q.statePath()); err != nil || st.Size() > compactFrom/4 {
		t.Fatalf("%d bytes, error %v", st.Size(), err)
	}
	if l := account(t, q, "a"); l.Delivered != 200_000 {
		t.Fatalf("account: %+v", l)
	}
}
