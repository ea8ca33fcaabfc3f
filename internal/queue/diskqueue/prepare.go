package diskqueue

import (
	"fmt"
	"os"
	"sync"
)

// maxLate is how many finished segments may wait for their last work; then the leader does it.
const maxLate = 4

// lateWork is what the writer leaves for later: in Write mode syncing, in both cutting finished
// segments to their size. Nobody who appends waits for it.
type lateWork struct {
	busy sync.Mutex // held while the disk works

	mu     sync.Mutex
	file   file // the segment being written
	dirty  bool // it was written to since it was last synced (Write mode)
	sealed []sealedFile
	dir    bool // the directory has names that were not synced (Write mode)
}

type sealedFile struct {
	f    file
	size int64
	name string
}

// sync does the late work. When it returns nil everything written before is durable. A failed
// sync is not tried again on the same pages, because the kernel may have dropped them and
// called them clean: the log goes on in a new segment.
func (w *writer) sync() error {
	w.late.busy.Lock()
	defer w.late.busy.Unlock()
	w.late.mu.Lock()
	sealed, f, dir := w.late.sealed, w.late.file, w.late.dir
	if !w.late.dirty {
		f = nil
	}
	w.late.sealed, w.late.dirty, w.late.dir = nil, false, false
	w.late.mu.Unlock()
	var first error
	for _, s := range sealed {
		// Cutting gives back what was preallocated. If it fails, the next segment's first
		// position still says where this one ends.
		if err := s.f.Truncate(s.size); err != nil {
			w.q.o.Log.Warn("queue segment not cut to size", "segment", s.name, "error", err)
		}
		if w.q.o.Durability == Write {
			if err := s.f.Sync(); err != nil && first == nil {
				first = fmt.Errorf("sync segment %s: %w", s.name, err)
			}
		}
		s.f.Close()
	}
	if f != nil {
		if err := f.Sync(); err != nil {
			w.suspect.Store(true)
			first = fmt.Errorf("sync segment: %w", err)
		}
	}
	if dir {
		if err := w.q.fs.SyncDir(w.q.logDir()); err != nil && first == nil {
			first = fmt.Errorf("sync segment names: %w", err)
		}
	}
	return first
}

// allocate makes a file of size bytes, or of as much as the disk still gives but not less
// than need.
func allocate(fs files, path string, size, need int64) (file, int64, error) {
	f, err := fs.Open(path, os.O_CREATE|os.O_TRUNC|os.O_RDWR)
	if err != nil {
		return nil, 0, err
	}
	for {
		err = f.Allocate(size)
		if err == nil {
			return f, size, nil
		}
		if !noSpace(err) || size == need {
			f.Close()
			fs.Remove(path)
			return nil, 0, err
		}
		if terr := f.Truncate(0); terr != nil {
			f.Close()
			return nil, 0, terr
		}
		size = max(size/4, need)
	}
}

// prepare makes the file of the next segment ahead of time, when the present one is half
// full, so that no caller waits for it. Only upkeep calls it.
func (w *writer) prepare() {
	seg := w.q.segs.newest()
	if seg == nil || seg.sealed.Load() || seg.end.Load() < w.q.o.SegmentBytes/2 {
		return
	}
	w.mu.Lock()
	need := w.spare == nil && !w.moving && !w.closed
	w.mu.Unlock()
	if !need {
		return
	}
	f, size, err := allocate(w.q.fs, w.q.sparePath(), w.q.o.SegmentBytes, w.q.o.SegmentBytes)
	if err != nil {
		return // whoever needs it will meet the same error and report it
	}
	w.mu.Lock()
	if !w.closed {
		w.spare, w.spareN, f = f, size, nil
	}
	w.mu.Unlock()
	if f != nil {
		w.dropSpare(f)
	}
}

// giveSpareBack removes the spare file, if there is one.
func (w *writer) giveSpareBack() {
	w.mu.Lock()
	spare := w.spare
	w.spare, w.moving = nil, w.moving || spare != nil
	w.mu.Unlock()
	if spare != nil {
		defer w.moved()
		w.dropSpare(spare)
	}
}

// moved ends moving.
func (w *writer) moved() {
	w.mu.Lock()
	w.moving = false
	w.mu.Unlock()
}

func (w *writer) dropSpare(f file) {
	f.Close()
	if err := w.q.fs.Remove(w.q.sparePath()); err != nil {
		w.q.o.Log.Warn("spare queue segment not removed", "error", err)
	}
}

// rest gives back what is preallocated when nothing has been appended for some time. With seal
// the segment ends where it is, so that it can be deleted; without, it goes on growing from
// there: a record now and then must not leave a file each.
func (w *writer) rest(seal bool) {
	w.mu.Lock()
	if w.leading || w.closed {
		w.mu.Unlock()
		return
	}
	w.leading = true
	w.mu.Unlock()
	w.giveSpareBack()
	if seal {
		w.seal()
	} else if w.f != nil {
		if err := w.f.Truncate(w.off); err != nil {
			w.q.o.Log.Warn("preallocated queue space not given back", "error", err)
		}
	}
	w.handOver()
}

// handOver ends a leadership: the first caller of the next batch leads, or nobody does.
func (w *writer) handOver() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.cur.pending) > 0 {
		heir := w.cur.pending[0].w
		heir.lead = true
		heir.wake <- struct{}{}
		return
	}
	w.leading = false
	w.room.Broadcast()
}
