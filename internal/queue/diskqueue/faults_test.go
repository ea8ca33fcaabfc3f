package diskqueue

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/queue/queuetest"
)

// badDisk is a file system under test control. It knows what has been synced, can be cut off
// from power, be full, or fail to sync.
type badDisk struct {
	osFiles
	full    atomic.Bool  // nothing can be allocated any more; writes get halfway
	badSync atomic.Int32 // so many syncs of segments fail

	mu      sync.Mutex
	current map[string]*inode // by path
	durable map[string]*inode // what the directory says after a power cut
}

type inode struct {
	path   string // where its content lies now
	synced []byte
}

type badFile struct {
	file
	d  *badDisk
	in *inode
}

func newBadDisk() *badDisk {
	return &badDisk{current: map[string]*inode{}, durable: map[string]*inode{}}
}

func (d *badDisk) Open(path string, flag int) (file, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, err := os.Stat(path)
	if d.full.Load() && flag&os.O_CREATE != 0 && err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: syscall.ENOSPC}
	}
	f, err := d.osFiles.Open(path, flag)
	if err != nil {
		return nil, err
	}
	if d.current[path] == nil {
		d.current[path] = &inode{path: path}
	}
	return &badFile{f, d, d.current[path]}, nil
}

func (d *badDisk) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.osFiles.Rename(from, to); err != nil {
		return err
	}
	d.current[to] = d.current[from]
	d.current[to].path = to
	delete(d.current, from)
	return nil
}

func (d *badDisk) Remove(path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.current, path)
	return d.osFiles.Remove(path)
}

func (d *badDisk) SyncDir(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for path := range d.durable {
		if filepath.Dir(path) == dir && d.current[path] == nil {
			delete(d.durable, path)
		}
	}
	for path, in := range d.current {
		if filepath.Dir(path) == dir {
			d.durable[path] = in
		}
	}
	return nil
}

func (f *badFile) WriteAt(b []byte, off int64) (int, error) {
	if f.d.full.Load() {
		if size, err := f.Size(); err != nil || off+int64(len(b)) > size {
			n, _ := f.file.WriteAt(b[:len(b)/2], off)
			return n, &os.PathError{Op: "write", Path: f.in.path, Err: syscall.ENOSPC}
		}
	}
	return f.file.WriteAt(b, off)
}

func (f *badFile) Allocate(size int64) error {
	if f.d.full.Load() {
		return syscall.ENOSPC
	}
	return f.file.Allocate(size)
}

func (f *badFile) Sync() error {
	if strings.HasSuffix(f.in.path, segSuffix) && f.d.badSync.Load() > 0 {
		f.d.badSync.Add(-1)
		return syscall.EIO
	}
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	data, err := f.content()
	if err == nil {
		f.in.synced = data
	}
	return err
}

func (f *badFile) content() ([]byte, error) {
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	data := make([]byte, size)
	_, err = f.ReadAt(data, 0)
	return data, err
}

// cut writes to dir what a power cut would leave now: everything synced, and of the rest some
// sectors, in no order.
func (d *badDisk) cut(t testing.TB, from, to string, r *rand.Rand) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for path, in := range d.durable {
		data := append([]byte{}, in.synced...)
		if now, err := os.ReadFile(in.path); err == nil && d.current[in.path] == in && r.IntN(2) == 0 {
			if len(now) > len(data) {
				data = append(data, make([]byte, len(now)-len(data))...)
			}
			for off := 0; off+512 <= min(len(now), len(data)); off += 512 {
				if r.IntN(3) == 0 {
					copy(data[off:off+512], now[off:])
				}
			}
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			t.Fatal(err)
		}
		target := filepath.Join(to, rel)
		if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(target, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func openOn(t testing.TB, dir string, o Options, fs files) *Queue {
	t.Helper()
	q, err := open(dir, o, fs)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	return q
}

// What Enqueue has acknowledged survives a power cut at any moment, in Write mode once it has
// been synced, and what was delivered is not given out again under another record's position.
func TestPowerCut(t *testing.T) {
	for seed := range uint64(16) {
		durability := Durability(seed % 2)
		t.Run(fmt.Sprintf("%d, durability %d", seed, durability), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 2))
			disk := newBadDisk()
			dir, after := t.TempDir(), t.TempDir()
			o := testOptions(t)
			o.Log, o.SegmentBytes, o.Durability = nil, 16<<10, durability
			q := openOn(t, dir, o, disk)
			q.running.Store(true) // as if Run were there: callers leave the late work to it
			s, err := q.Subscribe("a")
			if err != nil {
				t.Fatal(err)
			}
			acked := loadUntilCut(t, q, s, 200+r.IntN(400), func() {
				if durability == Write {
					if err := q.w.sync(); err != nil { // the 10 ms are over
						t.Error(err)
					}
				}
				q.flushMu.Lock()
				defer q.flushMu.Unlock()
				disk.cut(t, dir, after, r)
				state, err := os.ReadFile(q.statePath())
				if err == nil {
					err = os.WriteFile(filepath.Join(after, "state.db"), state, 0o600)
				}
				if err != nil {
					t.Error(err)
				}
			})
			q2 := openTest(t, after, o)
			had := map[tapway.ID]bool{}
			for m, err := range q2.Search(t.Context(), tapway.Search{}) {
				if err != nil {
					t.Fatal(err)
				}
				had[m.ID] = true
			}
			for _, id := range acked {
				if !had[id] {
					t.Errorf("%s was acknowledged and is lost", id)
				}
			}
			received(t, q2)
		})
	}
}

// loadUntilCut lets producers and a consumer run, calls cut after n records while they go on,
// and gives what was acknowledged before it.
func loadUntilCut(t *testing.T, q *Queue, s tapway.Subscription, n int, cut func()) (acked []tapway.ID) {
	ctx, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex
	var all []tapway.ID
	enough := make(chan struct{})
	var wg sync.WaitGroup
	for p := range 6 {
		wg.Go(func() {
			for i := p; ctx.Err() == nil; i += 6 {
				ex := queuetest.Exchange(i, i%900)
				if err := q.Enqueue(context.Background(), ex); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if all = append(all, ex.ID); len(all) == n {
					close(enough)
				}
				mu.Unlock()
			}
		})
	}
	wg.Go(func() {
		for {
			msgs, err := s.Receive(ctx, 20)
			if err != nil {
				return
			}
			var done []tapway.Settlement
			for _, m := range msgs {
				done = append(done, tapway.Settlement{Message: m, Outcome: tapway.Outcome{Verdict: tapway.Delivered}})
			}
			if err := s.Settle(ctx, done); err != nil {
				t.Error(err)
			}
		}
	})
	<-enough
	mu.Lock()
	acked = append(acked, all...)
	mu.Unlock()
	cut()
	cancel()
	wg.Wait()
	return acked
}

// A disk that is full costs only the records that come meanwhile: they are counted, what is
// there stays, and it goes on by itself when there is space again.
func TestDiskFull(t *testing.T) {
	for _, history := range []int64{-1, 1 << 20} {
		t.Run(fmt.Sprintf("history %d", history), func(t *testing.T) {
			disk := newBadDisk()
			dir := t.TempDir()
			o := testOptions(t)
			o.SegmentBytes, o.History.MaxBytes = 8<<10, history
			q := openOn(t, dir, o, disk)
			if _, err := q.Subscribe("a"); err != nil {
				t.Fatal(err)
			}
			stored, refused := uint64(0), uint64(0)
			for i := range 300 {
				disk.full.Store(i >= 100 && i < 200)
				if i == 200 {
					q.w.retryAt = q.w.retryAt.Add(-retryEvery) // the wait is over
				}
				err := q.Enqueue(t.Context(), queuetest.Exchange(i, 300))
				switch {
				case err == nil:
					stored++
				case errors.Is(err, tapway.ErrQueueFull) && errors.Is(err, syscall.ENOSPC):
					refused++
				default:
					t.Fatal(err)
				}
			}
			if refused < 50 || stored < 200 {
				t.Fatalf("%d stored, %d refused", stored, refused)
			}
			l := account(t, q, "a")
			if l.Captured != 300 || l.Queued != stored || l.Dropped["disk-full"] != refused {
				t.Fatalf("account: %+v", l)
			}
			q.Close()
			q = openTest(t, dir, o)
			if got := received(t, q); uint64(len(got)) != stored {
				t.Fatalf("received %d of %d", len(got), stored)
			}
			if l := account(t, q, "a"); l.Captured != 300 || l.Delivered != stored || l.Dropped["disk-full"] != refused {
				t.Fatalf("account: %+v", l)
			}
		})
	}
}

// On a full disk, history goes before a record is refused.
func TestDiskFullTakesHistory(t *testing.T) {
	disk := newBadDisk()
	o := testOptions(t)
	o.SegmentBytes = 8 << 10
	q := openOn(t, t.TempDir(), o, disk)
	if _, err := q.Subscribe("a"); err != nil {
		t.Fatal(err)
	}
	for i := range 60 {
		if err := q.Enqueue(t.Context(), queuetest.Exchange(i, 300)); err != nil {
			t.Fatal(err)
		}
	}
	received(t, q)
	before := len(logFiles(t, q.dir))
	disk.full.Store(true)
	for i := range 60 {
		q.Enqueue(t.Context(), queuetest.Exchange(i, 300))
	}
	if after := len(logFiles(t, q.dir)); after >= before {
		t.Fatalf("%d segments before, %d after", before, after)
	}
	account(t, q, "a")
}

// After a failed fsync nobody can know what is on the disk: those records are refused, and
// they must not come back by themselves.
func TestSyncFails(t *testing.T) {
	disk := newBadDisk()
	dir := t.TempDir()
	q := openOn(t, dir, testOptions(t), disk)
	if _, err := q.Subscribe("a"); err != nil {
		t.Fatal(err)
	}
	var acked []uint64
	failed := uint64(0)
	for i := range 50 {
		if i%10 == 5 {
			disk.badSync.Store(1)
		}
		if err := q.Enqueue(t.Context(), queuetest.Exchange(i, 300)); err == nil {
			acked = append(acked, uint64(len(acked)+1))
		} else if failed++; !errors.Is(err, syscall.EIO) {
			t.Fatal(err)
		}
	}
	if failed != 5 {
		t.Fatalf("%d failed", failed)
	}
	if l := account(t, q, "a"); l.Captured != 50 || l.Queued != 45 || l.Dropped["disk-error"] != 5 {
		t.Fatalf("account: %+v", l)
	}
	q.Close()
	q = openTest(t, dir, testOptions(t))
	if got := received(t, q); fmt.Sprint(got) != fmt.Sprint(acked) {
		t.Fatalf("received %v, want %v", got, acked)
	}
	if l := account(t, q, "a"); l.Captured != 50 || l.Delivered != 45 {
		t.Fatalf("account: %+v", l)
	}
}

// When the database cannot be written, settlements wait; nothing is settled twice or lost.
func TestStateNotWritable(t *testing.T) {
	dir := t.TempDir()
	q := openTest(t, dir, testOptions(t))
	s, err := q.Subscribe("a")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		if err := q.Enqueue(t.Context(), queuetest.Exchange(i, 10)); err != nil {
			t.Fatal(err)
		}
	}
	msgs, err := s.Receive(t.Context(), 20)
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range msgs {
		o := tapway.Outcome{Verdict: tapway.Verdict(i % 5), Reason: "because"}
		if err := s.Settle(t.Context(), []tapway.Settlement{{Message: m, Outcome: o}}); err != nil {
			t.Fatal(err)
		}
	}
	want := account(t, q, "a")
	good := q.state
	bad, err := openState(filepath.Join(t.TempDir(), "other.db"), false)
	if err != nil {
		t.Fatal(err)
	}
	if err := bad.close(); err != nil {
		t.Fatal(err)
	}
	q.state = bad
	q.dests["a"].changed = true
	for range 3 {
		if err := q.flush(); err == nil {
			t.Fatal("written into a closed database")
		}
	}
	q.state = good
	if err := q.flush(); err != nil {
		t.Fatal(err)
	}
	q.Close()
	q = openTest(t, dir, testOptions(t))
	if got := account(t, q, "a"); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("account %+v, want %+v", got, want)
	}
}

func TestLock(t *testing.T) {
	dir := t.TempDir()
	q := openTest(t, dir, testOptions(t))
	_, err := Open(dir, testOptions(t))
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprintf("process %d", os.Getpid())) {
		t.Fatalf("second Open: %v", err)
	}
	if _, err := Check(t.Context(), dir, nil); !errors.Is(err, ErrLocked) {
		t.Fatalf("Check: %v", err)
	}
	q.Close()
	openTest(t, dir, testOptions(t))
}
