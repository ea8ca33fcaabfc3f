package diskqueue

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
)

const (
	// tidyEvery is how often upkeep looks for what can go.
	tidyEvery = time.Second
	// restAfter is how long after the last record preallocated space is given back.
	restAfter = 10 * time.Second
)

func (q *Queue) tidyLoop(ctx context.Context) {
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	var quiet logOnce
	var last uint64
	var since time.Time
	for {
		if now := q.last.Load(); now != last || since.IsZero() {
			last, since = now, time.Now()
		} else if time.Since(since) >= restAfter {
			seg := q.segs.newest()
			q.w.rest(seg != nil && seg.end.Load() > q.o.SegmentBytes/4)
			since = time.Now().Add(time.Hour) // once is enough
		}
		err := q.tidy(0)
		if err == nil && q.enter() == nil {
			err = q.state.trim()
			q.leave()
		}
		quiet.log(q.o.Log, "queue upkeep failed; it will be tried again", err)
		select {
		case <-ctx.Done():
			return
		case <-q.closing:
			return
		case <-q.tidyKick:
		case <-tick.C:
		}
	}
}

// worth is what a segment still holds that somebody is owed.
type worth struct {
	seg  *segment
	live []uint64 // positions; nil with busy
	busy bool     // more than half of it, or about to be received: left alone
}

// tidy indexes finished segments, deletes those that nobody is owed and that have left the
// history, and moves the last few records out of old segments. need asks for that many bytes
// of room, for which history goes before its time.
func (q *Queue) tidy(need int64) (err error) {
	if err := q.enter(); err != nil {
		return nil
	}
	defer q.leave()
	if need == 0 {
		// On a full disk there is no room for indexes, but what has left the history still goes.
		indexErr := q.indexSealed()
		defer func() { err = cmp.Or(err, indexErr) }()
	}
	q.flushMu.Lock()
	defer q.flushMu.Unlock()
	all, err := q.weigh()
	if err != nil {
		return err
	}
	goal := int64(-1)
	if need > 0 {
		goal = max(q.used.Load()-need, 0)
	}
	q.besides.Store(diskUse(q.dir, besidesLog))
	if room := q.room(); q.used.Load()+need > room {
		goal = max(room-max(need, q.o.SegmentBytes), 0)
	}
	leaving := q.choose(all, goal)
	if len(leaving) == 0 {
		return nil
	}
	// What a segment's last settlements say must be on the disk before the segment is not.
	if err := q.flushLocked(); err != nil {
		return err
	}
	q.counters.advance(q.last.Load() + 1)
	if err := q.counters.flush(true); err != nil {
		return err
	}
	for i := range leaving {
		if err := q.retire(&leaving[i]); err != nil {
			return err
		}
	}
	q.fillReserve()
	return q.pruneDrops()
}

// indexSealed writes the indexes that are missing, without holding anyone up. One that cannot
// be written does not keep the others from it.
func (q *Queue) indexSealed() (first error) {
	for _, s := range q.segs.all() {
		if q.ended(context.Background()) != nil {
			return first // Close waits for us, and there may be gigabytes to index
		}
		if s.sealed.Load() && !s.ix.saved.Load() && !s.gone.Load() && q.o.History.MaxBytes >= 0 && q.o.History.MaxAge >= 0 {
			if err := s.saveIndex(q); err != nil && !s.gone.Load() && first == nil {
				first = err
			}
		}
	}
	return first
}

// weigh looks at every sealed segment, oldest first.
func (q *Queue) weigh() ([]worth, error) {
	var all []worth
	for _, s := range q.segs.all() {
		if !s.sealed.Load() {
			continue
		}
		w, err := q.weighOne(s)
		if err != nil {
			return nil, err
		}
		all = append(all, w)
	}
	return all, nil
}

func (q *Queue) weighOne(s *segment) (worth, error) {
	first, last := s.first, s.last.Load()
	span := last - first + 1
	limit := int(span/2) + 1
	if s.sparse {
		limit = int(min(span, 1<<31-1)) // a kept one is small however full it is
	}
	w := worth{seg: s}
	seen := map[uint64]struct{}{}
	for _, d := range q.allDests() {
		if w.busy = !d.owedIn(first, last, limit, seen); w.busy {
			return w, nil
		}
	}
	err := q.state.view(func(tx *bolt.Tx) error {
		return q.names(tx, func(_ string, b *bolt.Bucket) error {
			for _, rows := range [...]*bolt.Bucket{b.Bucket(bktDeadSeq), b.Bucket(bktRetry)} {
				c := rows.Cursor()
				for k, v := c.Seek(seqKey(first)); k != nil && len(seen) <= limit; k, v = c.Next() {
					seq := binary.BigEndian.Uint64(k)
					if seq > last {
						break
					}
					if len(v) == 8 || v[0]&1 != 0 { // a death, or redriven
						seen[seq] = struct{}{}
					}
				}
			}
			return nil
		})
	})
	w.busy = len(seen) > limit
	if !w.busy {
		for seq := range seen {
			w.live = append(w.live, seq)
		}
		slices.Sort(w.live)
	}
	return w, err
}

// owedIn adds the positions of first..last that d is owed to seen; false when they are more
// than limit.
func (d *dest) owedIn(first, last uint64, limit int, seen map[uint64]struct{}) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.forgotten {
		return true
	}
	// What has not been received yet will be soon, from where it is.
	if d.freshLocked() <= last || d.done.open(first, last, limit+1) > limit {
		return false
	}
	for seq := d.done.next(first); seq <= last; seq = d.done.next(seq + 1) {
		seen[seq] = struct{}{}
	}
	for i := range d.deaths {
		if seq := d.deaths[i].seq; seq >= first && seq <= last {
			seen[seq] = struct{}{}
		}
	}
	return len(seen) <= limit
}

// choose picks what goes: segments out of the history by age or size and, while more than
// goal bytes are used (-1: no matter), the oldest ones that are not busy.
func (q *Queue) choose(all []worth, goal int64) (out []worth) {
	h := q.o.History
	now := q.historyTime()
	out = make([]worth, 0, len(all))
	leave := make([]bool, len(all))
	var kept int64
	for i := len(all) - 1; i >= 0; i-- {
		w := &all[i]
		if w.busy {
			continue
		}
		kept += w.seg.end.Load()
		z := w.seg.ix.zone.Load()
		leave[i] = h.MaxAge < 0 || h.MaxBytes < 0 || kept > h.MaxBytes ||
			z != nil && z.maxTime < now.Add(-h.MaxAge).UnixNano()
	}
	used := q.used.Load()
	front := true // everything older goes as well, without leaving a gap
	for i := range all {
		w := &all[i]
		if !w.busy && !leave[i] && goal >= 0 && used > goal && len(w.live) == 0 {
			leave[i] = true
		}
		if leave[i] && goal >= 0 {
			used -= w.seg.end.Load()
		}
		switch {
		case !leave[i]:
		case len(w.live) == 0 && (front || w.seg.end.Load() > segmentHead):
			out = append(out, *w)
			continue
		case w.seg.sparse && int64(len(w.live))*2 > w.seg.count.Load():
		case len(w.live) > 0:
			out = append(out, *w)
		}
		front = false
	}
	return out
}

// retire removes a segment from the log, or replaces it by a small one with what is left.
func (q *Queue) retire(w *worth) error {
	s := w.seg
	list := q.segs.all()
	var by *segment
	if len(w.live) > 0 || len(list) > 0 && list[0] != s {
		// A gap between two segments would look like a loss: an empty one says it is none.
		var err error
		if by, err = q.keep(s, w.live); err != nil {
			return err
		}
	}
	q.segs.replace(s, by)
	q.used.Add(-s.end.Load())
	if by != nil {
		q.used.Add(by.end.Load())
	}
	return s.unlink()
}

// keep copies a few records of s into a segment of their own in kept/.
func (q *Queue) keep(s *segment, live []uint64) (*segment, error) {
	gen := 0
	if s.sparse {
		gen = s.gen + 1
	}
	path := filepath.Join(q.keptDir(), keptName(s.first, s.last.Load(), gen))
	tmp := path + ".tmp"
	f, err := q.fs.Open(tmp, os.O_CREATE|os.O_TRUNC|os.O_RDWR)
	if err != nil {
		return nil, fmt.Errorf("keep records: %w", err)
	}
	end, err := q.copyEntries(f, s, live)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = q.fs.Rename(tmp, path)
	}
	if err == nil {
		err = q.fs.SyncDir(q.keptDir())
	}
	if err != nil {
		q.fs.Remove(tmp)
		return nil, fmt.Errorf("keep records: %w", err)
	}
	by := newSegment(q.fs, path, s.first)
	by.sparse, by.gen = true, gen
	by.last.Store(s.last.Load())
	by.end.Store(end)
	by.count.Store(int64(len(live)))
	by.sealed.Store(true)
	return by, by.saveIndex(q)
}

func (q *Queue) copyEntries(f file, s *segment, live []uint64) (end int64, err error) {
	buf := appendSegmentHead(nil, s.first, q.key)
	for _, seq := range live {
		frame, err := s.readSeq(q, seq)
		if err != nil && !lost(err) {
			return 0, err // it stays where it is for now
		}
		if err != nil {
			q.o.Log.Error("queue record is damaged and cannot be kept", "position", seq, "error", err)
			continue
		}
		at := len(buf)
		buf = append(buf, make([]byte, entryHead)...)
		buf = append(buf, frame...)
		q.key.putHead(buf[at:], seq, len(frame), crcOf(frame))
		buf = append(buf, make([]byte, aligned(len(buf))-len(buf))...)
		if len(buf) > windowSize {
			n, err := f.WriteAt(buf, end)
			if err != nil {
				return 0, err
			}
			end += int64(n)
			buf = buf[:0]
		}
	}
	n, err := f.WriteAt(buf, end)
	return end + int64(n), err
}

// pruneDrops forgets why positions were dropped that the log no longer holds.
func (q *Queue) pruneDrops() error {
	list := q.segs.all()
	if len(list) == 0 {
		return nil
	}
	first := seqKey(list[0].first / pageBits)
	return q.state.update(func(tx *bolt.Tx) error {
		return q.names(tx, func(_ string, b *bolt.Bucket) error {
			rows := b.Bucket(bktDropped)
			if rows == nil {
				return nil
			}
			c := rows.Cursor()
			for k, _ := c.First(); k != nil && string(k) < string(first); k, _ = c.First() {
				if err := c.Delete(); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// makeRoom frees history for need bytes, if there is any. It is asked by every caller on a full
// store, so it looks at most every 100 ms.
func (q *Queue) makeRoom(need int64) {
	now, last := q.ticks(), q.roomTried.Load()
	if now-last < int64(retryEvery) || !q.roomTried.CompareAndSwap(last, now) {
		return
	}
	before := q.used.Load()
	if err := q.tidy(max(need, q.o.SegmentBytes)); err != nil {
		q.o.Log.Error("no room could be made in the queue", "error", err)
	}
	if freed := before - q.used.Load(); freed > 0 {
		q.roomTried.Store(now - int64(retryEvery))
		q.o.Log.Warn("queue full: the oldest history was deleted before its time", "bytes", freed)
	}
}

// ensureRoom keeps the directory below its limit.
func (q *Queue) ensureRoom(size int64) error {
	if q.used.Load()+size <= q.room() {
		return nil
	}
	q.makeRoom(size)
	if q.used.Load()+size > q.room() {
		return errOverLimit
	}
	return nil
}

// room is how many bytes the frames of the log may take of MaxBytes, half of it at least.
// The rest is for what the log has preallocated, up to one segment and half of the next, and
// for the files beside it.
func (q *Queue) room() int64 {
	limit := q.o.MaxBytes
	if limit <= 0 {
		return math.MaxInt64
	}
	ahead := min(q.o.SegmentBytes+q.o.SegmentBytes/2, limit/8)
	return max(limit-ahead-q.besides.Load(), limit/2)
}

// besidesLog reports whether a file is one that room leaves room for as it is.
func besidesLog(name string) bool { return filepath.Ext(name) != segSuffix && name != spareName }
