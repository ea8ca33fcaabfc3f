package diskqueue

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/tapway/tapway"
)

// reader goes through the log in order, reading ahead. It is not safe for concurrent use.
type reader struct {
	q    *Queue
	seg  *segment // acquired; nil before the first read and between segments
	win  window
	off  int64
	next uint64 // the position it is at
}

// seek moves to position seq.
func (r *reader) seek(seq uint64) {
	if r.seg != nil && seq > r.next && seq-r.next <= 32 && seq <= r.seg.last.Load() {
		for r.next < seq {
			if _, frame, _ := r.read(seq - 1); frame == nil {
				break
			}
		}
	}
	if r.next != seq {
		r.close()
		r.next = seq
	}
}

// read gives the next readable entry up to position last. Positions between the one it was
// at and seq cannot be read. When there is none it gives no frame: then seq is the position
// behind all that is there, and everything before it is read or lost.
func (r *reader) read(last uint64) (seq uint64, frame []byte, err error) {
	for r.next <= last {
		if r.seg == nil {
			ok, err := r.enter(last)
			if err != nil {
				return r.next, nil, err
			}
			if !ok {
				r.next = last + 1
				break
			}
			if r.seg == nil {
				continue // it was lost as a whole
			}
		}
		end, top := r.seg.end.Load(), min(r.seg.last.Load(), last)
		if r.next > top {
			if top == last {
				break
			}
			r.leave(top)
			continue
		}
		seq, frame, size, err := r.win.entryAt(r.q.key, r.off, end)
		if err != nil || seq < r.next || seq > top {
			if bad := r.win.failed; bad != nil {
				if bad = r.q.failing(r.seg, r.next, bad); bad != nil {
					r.win = window{f: r.win.f} // the next try asks the disk again
					return r.next, nil, bad
				}
			}
			at, ok := r.win.resync(r.q.key, r.off, end, r.next, top)
			if !ok {
				// Nothing more up to top: all the rest of it is lost (or not owed, if sparse).
				r.leave(top)
				continue
			}
			seq, frame, size, _ = r.win.entryAt(r.q.key, at, end)
			r.off = at
		} else {
			r.seg.trouble.over(r.next, seq)
		}
		r.off += size
		r.next = seq + 1
		return seq, frame, nil
	}
	return r.next, nil, nil
}

// enter opens the segment that holds the next position, or the first one behind it.
func (r *reader) enter(last uint64) (ok bool, err error) {
	seg := r.q.segs.at(r.next)
	if seg == nil || seg.first > last {
		return false, nil
	}
	f, err := seg.acquire()
	if err != nil {
		if r.q.segs.at(r.next) != seg {
			return r.enter(last) // it was replaced or deleted while we looked
		}
		if !seg.missing(err) {
			return false, err // too many open files, for one: it may work later
		}
		r.q.o.Log.Error("queue segment is missing", "segment", filepath.Base(seg.path), "from", r.next, "to", seg.last.Load())
		r.next = seg.last.Load() + 1
		return true, nil
	}
	r.seg, r.win = seg, window{f: f}
	r.off = segmentHead
	if r.next > seg.first {
		// An index can point anywhere: what lies before the entry that is there would be passed over.
		if off, present, err := seg.locate(r.q, r.next); err == nil && present {
			if _, err := readEntry(f, r.q.key, off, seg.end.Load(), r.next); err == nil {
				r.off = off
			}
		}
	}
	r.next = max(r.next, seg.first)
	return true, nil
}

// leave goes on behind position top. A segment that is still being written ends there only
// for now.
func (r *reader) leave(top uint64) {
	r.close()
	r.next = top + 1
}

func (r *reader) close() {
	if r.seg != nil {
		r.seg.release()
		r.seg, r.win = nil, window{}
	}
}

// readSeq reads one frame by position. ErrNotFound says that it is not (or no longer) there,
// errDamaged that it cannot be read.
func (q *Queue) readSeq(seq uint64) ([]byte, error) {
	for range 3 {
		seg := q.segs.at(seq)
		if seq == 0 || seg == nil || seg.first > seq {
			return nil, fmt.Errorf("position %d: %w", seq, tapway.ErrNotFound)
		}
		frame, err := seg.readSeq(q, seq)
		if err == nil || !seg.gone.Load() {
			return frame, err
		}
	}
	return nil, fmt.Errorf("position %d: %w", seq, tapway.ErrNotFound)
}

func (s *segment) readSeq(q *Queue, seq uint64) ([]byte, error) {
	f, err := s.acquire()
	if err != nil {
		if s.missing(err) {
			err = fmt.Errorf("%w: %w", errMissing, err)
		}
		return nil, err
	}
	defer s.release()
	for {
		off, present, err := s.locate(q, seq)
		if err != nil {
			return nil, err
		}
		if present {
			frame, err := readEntry(f, q.key, off, s.end.Load(), seq)
			if err == nil {
				s.trouble.over(seq, seq)
				return frame, nil
			}
			if !errors.Is(err, errDamaged) {
				if err = q.failing(s, seq, err); err != nil {
					return nil, err
				}
			}
		} else if bad := s.unindexed(); bad != nil {
			if bad = q.failing(s, seq, bad); bad != nil {
				return nil, bad
			}
		}
		if !present && s.sparse {
			return nil, fmt.Errorf("position %d: %w", seq, tapway.ErrNotFound)
		}
		// The index may be what is wrong: it is made anew once.
		if !s.rebuildIndex(q) {
			return nil, fmt.Errorf("position %d: %w", seq, errDamaged)
		}
	}
}

// readEntry reads the entry at off, mostly in one call. It is errDamaged if that is not the one of
// seq, and the disk's error if that does not read it.
func readEntry(f io.ReaderAt, key logKey, off, end int64, seq uint64) ([]byte, error) {
	if off < segmentHead || end-off < entryHead {
		return nil, errDamaged // an index can say anything
	}
	buf := make([]byte, min(8<<10, end-off))
	n, err := f.ReadAt(buf, off)
	if n < entryHead {
		return nil, readError(err)
	}
	got, length, err := key.parseHead(buf)
	if err != nil || got != seq || off+entryHead+int64(length) > end {
		return nil, errDamaged
	}
	total := entryHead + length
	if total > n {
		whole := make([]byte, total)
		copy(whole, buf[:n])
		if m, err := f.ReadAt(whole[n:], off+int64(n)); m < total-n {
			return nil, readError(err)
		}
		buf = whole
	}
	if !key.check(buf[:entryHead], buf[entryHead:total]) {
		return nil, errDamaged
	}
	return buf[entryHead:total:total], nil
}

// readError is what an entry of which a part is not there is refused with.
func readError(err error) error {
	if refused(err) {
		return err
	}
	return errDamaged
}
