package diskqueue

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/queue/queuetest"
)

// awayDisk is a file system whose disk refuses to read a part of some files while it is away.
type awayDisk struct {
	osFiles
	away   atomic.Bool
	reads  atomic.Int64 // above 0: it is back after as many reads
	full   atomic.Bool  // no new file can be made
	suffix string
	from   int64 // bytes behind this cannot be read
}

type awayFile struct {
	file
	d    *awayDisk
	path string
}

func (d *awayDisk) Open(path string, flag int) (file, error) {
	if flag&os.O_CREATE != 0 && d.full.Load() {
		return nil, syscall.ENOSPC
	}
	f, err := d.osFiles.Open(path, flag)
	if err != nil {
		return nil, err
	}
	return &awayFile{f, d, path}, nil
}

func (f *awayFile) ReadAt(b []byte, off int64) (int, error) {
	if f.d.away.Load() && strings.HasSuffix(f.path, f.d.suffix) && off+int64(len(b)) > f.d.from {
		if f.d.reads.Add(-1) == 0 {
			f.d.away.Store(false)
		}
		return 0, syscall.EIO
	}
	return f.file.ReadAt(b, off)
}

// inBubble runs a test with time that passes by itself, on a disk that is there at first.
func inBubble(t *testing.T, do func(t *testing.T, dir string, o Options, disk *awayDisk)) {
	synctest.Test(t, func(t *testing.T) {
		o := smallSegments(t)
		o.SegmentBytes = 16 << 10
		o.Now = func() time.Time { return queuetest.Exchange(39, 0).Time }
		do(t, t.TempDir(), o, &awayDisk{suffix: segSuffix, from: 8 << 10})
	})
}

func numbers(from, to uint64) (all []uint64) {
	for n := from; n <= to; n++ {
		all = append(all, n)
	}
	return all
}

// An index that lacks rows, because the disk did not read the segment, is not kept; it is made anew
// when the disk is back.
func TestIndexWhileTheDiskIsAway(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string, o Options, disk *awayDisk) {
		q := openOn(t, dir, o, disk)
		if _, err := q.Subscribe("a"); err != nil {
			t.Fatal(err)
		}
		enqueueSome(t, q, 0, 40)
		settleAll(t, q, delivered)
		q.w.rest(true)
		disk.away.Store(true)
		for range 3 { // at once, and again when it is looked at anew
			if err := q.tidy(0); !errors.Is(err, syscall.EIO) {
				t.Fatalf("tidy: %v", err)
			}
			time.Sleep(reindexEvery)
		}
		if names, err := filepath.Glob(filepath.Join(dir, "log", "*.idx")); err != nil || len(names) > 1 { // the last segment is short
			t.Fatalf("%d indexes were kept: %v", len(names), err)
		}
		if some := found(t, q); len(some) == 0 || len(some) == 40 {
			t.Errorf("found %d records while the disk reads only some", len(some))
		}
		disk.away.Store(false)
		time.Sleep(reindexEvery)
		tidy(t, q)
		if got := found(t, q); !slices.Equal(got, numbers(1, 40)) {
			t.Errorf("found %v", got)
		}
		q.Close()
		q = openTest(t, dir, o)
		if got := found(t, q); !slices.Equal(got, numbers(1, 40)) {
			t.Errorf("found %v after a restart", got)
		}
	})
}

// A disk that is away for less than ioPatience costs no record, neither one that is received for the
// first time nor one between two attempts nor a dead one; one that stays away costs what is on it.
func TestDeliveryWhileTheDiskIsAway(t *testing.T) {
	for _, back := range []bool{true, false} {
		inBubble(t, func(t *testing.T, dir string, o Options, disk *awayDisk) {
			q := openOn(t, dir, o, disk)
			s, err := q.Subscribe("a")
			if err != nil {
				t.Fatal(err)
			}
			enqueueSome(t, q, 0, 40)
			msgs, err := s.Receive(t.Context(), 10)
			if err != nil || len(msgs) != 10 {
				t.Fatalf("received %d: %v", len(msgs), err)
			}
			for _, m := range msgs {
				if err := s.Settle(t.Context(), []tapway.Settlement{{Message: m, Outcome: tapway.Outcome{Verdict: tapway.Retry}}}); err != nil {
					t.Fatal(err)
				}
			}
			q.w.rest(true)
			disk.away.Store(true)
			var got []uint64
			pass := func(until time.Duration) {
				for end := time.Now().Add(until); time.Now().Before(end); {
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					msgs, err := s.Receive(ctx, 100)
					cancel()
					if err != nil {
						time.Sleep(time.Second)
					}
					for _, m := range msgs {
						got = append(got, m.Seq)
						if err := s.Settle(t.Context(), []tapway.Settlement{{Message: m, Outcome: delivered(0)}}); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
			pass(ioPatience - 10*time.Second)
			if l := account(t, q, "a"); l.Dropped["damaged"] != 0 || l.Queued == 0 {
				t.Fatalf("while there is hope: %+v", l)
			}
			disk.away.Store(!back)
			pass(10*ioPatience + time.Duration(2)*o.Lease)
			l := account(t, q, "a")
			if l.Queued != 0 || back && (l.Dropped["damaged"] != 0 || l.Delivered != 40) {
				t.Errorf("back %v: %+v", back, l)
			}
			if !back && (l.Dropped["damaged"] == 0 || l.Delivered == 0) {
				t.Errorf("away for good: %+v", l)
			}
			slices.Sort(got)
			if back && !slices.Equal(got, numbers(1, 40)) {
				t.Errorf("got %v", got)
			}
		})
	}
}

// A disk that is away again has all the patience again, when it was back or nobody has asked it in between; what it does
// not read all that time is lost, however many records that are.
func TestDiskIsAwayAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string, o Options, disk *awayDisk) {
		q := openOn(t, dir, o, disk)
		if _, err := q.Subscribe("a"); err != nil {
			t.Fatal(err)
		}
		enqueueSome(t, q, 0, 40)
		q.w.rest(true)
		seg := q.segs.all()[0]
		last := seg.last.Load()
		look := func(seq uint64, away, gone bool) {
			t.Helper()
			disk.away.Store(away)
			if _, err := q.readSeq(seq); (err != nil) != away || away && (lost(err) != gone || !gone && !errors.Is(err, syscall.EIO)) {
				t.Fatalf("position %d: %v", seq, err)
			}
		}
		look(last, true, false)
		time.Sleep(ioPatience - time.Second)
		look(last, true, false)
		look(last, false, false) // it is back
		time.Sleep(ioPatience)
		look(last, true, false)
		time.Sleep(ioPatience / 2)
		look(last-1, false, false) // back, but nobody asks for the same
		time.Sleep(ioPatience)
		look(last-1, true, false)
		look(last-2, true, false)
		time.Sleep(ioPatience)
		look(last-1, true, true)
		look(last-2, true, true)
	})
}

// What is left of an old segment is moved only when it can be read.
func TestKeepWhileTheDiskIsAway(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string, o Options, disk *awayDisk) {
		o.History.MaxAge = -1
		disk.from = 0
		q := openOn(t, dir, o, disk)
		if _, err := q.Subscribe("a"); err != nil {
			t.Fatal(err)
		}
		enqueueSome(t, q, 0, 40)
		settleAll(t, q, func(seq uint64) tapway.Outcome {
			if seq == 7 {
				return tapway.Outcome{Verdict: tapway.Dead, Reason: "422"}
			}
			return delivered(seq)
		})
		q.w.rest(true)
		disk.away.Store(true)
		if err := q.tidy(0); !errors.Is(err, syscall.EIO) {
			t.Fatalf("tidy: %v", err)
		}
		disk.away.Store(false)
		tidy(t, q)
		if kept, err := filepath.Glob(filepath.Join(dir, "kept", "*"+segSuffix)); err != nil || len(kept) == 0 {
			t.Fatalf("nothing was kept: %v", err)
		}
		if n, err := q.Resolve(t.Context(), "a", []uint64{7}, tapway.Outcome{Verdict: tapway.Retry}); n != 1 || err != nil {
			t.Fatalf("resolved %d: %v", n, err)
		}
		if got := received(t, q); !slices.Equal(got, []uint64{7}) {
			t.Errorf("received %v", got)
		}
	})
}

// The end of the log is not looked for on a disk that does not read it, and its counters are not
// begun anew: nothing is changed, and the next start has everything.
func TestOpenWhileTheDiskIsAway(t *testing.T) {
	for _, suffix := range []string{segSuffix, "store"} {
		inBubble(t, func(t *testing.T, dir string, o Options, disk *awayDisk) {
			o.SegmentBytes = 64 << 10
			fill(t, dir, o, 20, 700)
			disk.suffix, disk.from = suffix, 4000
			disk.away.Store(true)
			path := logFiles(t, dir)[0]
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if q, err := open(dir, o, disk); !errors.Is(err, syscall.EIO) {
				if err == nil {
					q.Close()
				}
				t.Fatalf("%s: opened with %v", suffix, err)
			}
			if after, err := os.ReadFile(path); err != nil || !slices.Equal(before, after) {
				t.Errorf("%s: the log was changed (%v)", suffix, err)
			}
			disk.away.Store(false)
			if got := received(t, openOn(t, dir, o, disk)); !slices.Equal(got, numbers(1, 20)) {
				t.Errorf("%s: received %v", suffix, got)
			}
		})
	}
}

// However short the moment is in which the disk is away, no record is taken for an unfinished write.
func TestOpenWhileTheDiskIsAwayForAMoment(t *testing.T) {
	for reads := int64(1); reads < 40; reads++ {
		inBubble(t, func(t *testing.T, dir string, o Options, disk *awayDisk) {
			o.SegmentBytes = 64 << 10
			fill(t, dir, o, 20, 700)
			disk.from = 4000
			disk.reads.Store(reads)
			disk.away.Store(true)
			q, err := open(dir, o, disk)
			if err != nil {
				if !errors.Is(err, syscall.EIO) {
					t.Fatal(err)
				}
				disk.away.Store(false)
				q = openOn(t, dir, o, disk)
			} else {
				defer q.Close()
			}
			if got := received(t, q); !slices.Equal(got, numbers(1, 20)) {
				t.Errorf("after %d reads: received %v", reads, got)
			}
		})
	}
}

// An index file that cannot be read is no reason to give a record up: neither where its disk is away,
// nor where it was taken away, twice, nor on a full disk that takes no new one.
func TestLookUpWithoutIndex(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string, o Options, disk *awayDisk) {
		disk.suffix, disk.from = idxSuffix, 0
		q := openOn(t, dir, o, disk)
		if _, err := q.Subscribe("a"); err != nil {
			t.Fatal(err)
		}
		enqueueSome(t, q, 0, 40)
		look := func(when string) {
			t.Helper()
			for seq := uint64(1); seq <= 40; seq++ {
				if _, err := q.readSeq(seq); err != nil {
					t.Errorf("%s: position %d: %v", when, seq, err)
				}
			}
		}
		tidy(t, q)
		disk.away.Store(true)
		look("away")
		disk.away.Store(false)
		for _, when := range []string{"gone", "gone again", "gone, and no room for new ones"} {
			tidy(t, q)
			names, err := filepath.Glob(filepath.Join(dir, "log", "*"+idxSuffix))
			if err != nil || len(names) < 3 {
				t.Fatalf("%s: indexes: %v, %v", when, names, err)
			}
			for _, name := range names {
				if err := os.Remove(name); err != nil {
					t.Fatal(err)
				}
			}
			disk.full.Store(strings.Contains(when, "room"))
			look(when)
		}
		disk.full.Store(false)
		if got := received(t, q); !slices.Equal(got, numbers(1, 40)) {
			t.Errorf("received %v", got)
		}
	})
}
