package diskqueue

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	bolt "go.etcd.io/bbolt"
)

// open brings the directory into a state in which everything can go on.
func (q *Queue) open() error {
	for _, dir := range []string{q.dir, q.logDir(), q.keptDir()} {
		if err := makeDir(q.fs, dir); err != nil {
			return fmt.Errorf("make the data directory: %w", err)
		}
	}
	var err error
	if q.lock, err = lockDir(filepath.Join(q.dir, "LOCK")); err != nil {
		return err
	}
	var fresh bool
	if q.counters, fresh, err = openCounters(q.fs, filepath.Join(q.dir, "store")); err != nil {
		return err
	}
	if err := q.openLog(fresh); err != nil {
		return err
	}
	if err := q.counters.flush(true); err != nil {
		return err
	}
	if err := q.openState(); err != nil {
		return err
	}
	q.fillReserve()
	q.besides.Store(diskUse(q.dir, besidesLog))
	q.stored = q.last.Load()
	q.beginHistoryTime()
	q.audit()
	return nil
}

// openLog finds the segments and where the log ends.
func (q *Queue) openLog(fresh bool) error {
	dense, kept, err := listSegments(q.fs, q.dir)
	if err != nil {
		return err
	}
	q.key = q.counters.key
	if fresh {
		if q.key, err = findKey(q.fs, append(slices.Clone(dense), kept...)); err != nil {
			return err
		}
		q.counters.mu.Lock()
		q.counters.key, q.counters.changed = q.key, true
		q.counters.mu.Unlock()
		if len(dense)+len(kept) > 0 || q.counters.harmed {
			q.o.Log.Error("the store file was lost: calls dropped so far are no longer counted", "dir", q.dir)
		}
	}
	// A segment stands on both sides only if the crash came between writing the kept one and
	// removing what it was made from.
	all := dense
	for _, s := range kept {
		if slices.ContainsFunc(dense, func(d *segment) bool { return d.first == s.first }) {
			if err := s.unlink(); err != nil {
				return err
			}
			continue
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *segment) int { return cmp.Compare(a.first, b.first) })
	next := max(q.counters.next, 1)
	for i, s := range all {
		switch {
		case s.sparse:
		case i+1 < len(all):
			s.last.Store(all[i+1].first - 1)
			s.sealed.Store(true)
		default:
			if err := q.recoverLast(s); err != nil {
				return err
			}
		}
		next = max(next, s.last.Load()+1)
		if s.last.Load() < s.first { // begun, but nothing got into it
			if err := s.unlink(); err != nil {
				return err
			}
			continue
		}
		q.adopt(s)
	}
	q.w.next = next
	q.last.Store(next - 1)
	return nil
}

func (q *Queue) adopt(s *segment) {
	q.used.Add(s.end.Load())
	q.segs.add(s)
	err := s.readZone(q.fs)
	s.count.Store(int64(s.ix.rows))
	if err != nil && !os.IsNotExist(err) && !errors.Is(err, errOtherIndex) {
		q.o.Log.Warn("segment index is not usable and will be made anew", "segment", filepath.Base(s.path), "error", err)
	}
}

// listSegments looks into log/ and kept/ and removes what an unfinished step has left. Ends
// are file sizes and, except in kept segments, last is not known yet.
func listSegments(fs files, dir string) (dense, kept []*segment, err error) {
	for _, sub := range [...]string{"log", "kept"} {
		names, err := os.ReadDir(filepath.Join(dir, sub))
		if err != nil && !os.IsNotExist(err) {
			return nil, nil, err
		}
		for _, n := range names {
			path := filepath.Join(dir, sub, n.Name())
			if strings.HasSuffix(n.Name(), ".tmp") {
				fs.Remove(path)
				continue
			}
			s, err := segmentFromFile(fs, path, sub == "kept")
			if err != nil {
				return nil, nil, err
			}
			switch {
			case s == nil:
				if seg, isIndex := strings.CutSuffix(path, idxSuffix); isIndex {
					if _, err := os.Stat(seg + segSuffix); os.IsNotExist(err) {
						fs.Remove(path)
					}
				}
			case !s.sparse:
				dense = append(dense, s)
			case len(kept) > 0 && kept[len(kept)-1].first == s.first: // an older rewriting of it
				old := kept[len(kept)-1]
				if old.gen > s.gen {
					old, s = s, old
				}
				old.unlink()
				kept[len(kept)-1] = s
			default:
				kept = append(kept, s)
			}
		}
	}
	return dense, kept, nil
}

func segmentFromFile(fs files, path string, sparse bool) (*segment, error) {
	name, isSeg := strings.CutSuffix(filepath.Base(path), segSuffix)
	if !isSeg {
		return nil, nil
	}
	var s *segment
	if sparse {
		first, last, gen, ok := parseKeptName(filepath.Base(path))
		if !ok {
			return nil, nil
		}
		s = newSegment(fs, path, first)
		s.sparse, s.gen = true, gen
		s.last.Store(last)
		s.sealed.Store(true)
	} else {
		first, err := strconv.ParseUint(name, 10, 64)
		if err != nil || first == 0 {
			return nil, nil
		}
		s = newSegment(fs, path, first)
	}
	f, err := s.acquire()
	if err != nil {
		return nil, err
	}
	defer s.release()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	s.end.Store(max(size, segmentHead))
	return s, nil
}

// findKey asks the segments for the key of the log. A directory without any gets a new one.
func findKey(fs files, segs []*segment) (logKey, error) {
	for _, s := range segs {
		f, err := s.acquire()
		if err != nil {
			return 0, err
		}
		head := make([]byte, segmentHead)
		f.ReadAt(head, 0) // another one may be readable
		s.release()
		if _, key, err := parseSegmentHead(head); err == nil {
			return key, nil
		}
	}
	if len(segs) > 0 {
		return 0, errors.New("neither the store file nor the head of any segment can be read: the log's key is lost")
	}
	return newKey(), nil
}

// recoverLast finds the end of the newest segment: behind its last good entry. What follows
// was never acknowledged, or it is unused space.
func (q *Queue) recoverLast(s *segment) error {
	f, err := q.fs.Open(s.path, os.O_RDWR)
	if err != nil {
		return err
	}
	defer f.Close()
	size := s.end.Load()
	w := window{f: f, reuse: true}
	tail, last, err := scan(&w, q.key, segmentHead, size, s.first, 1<<63, false,
		func(uint64, int64, []byte) error { return nil },
		func(h hole) {
			q.o.Log.Error("queue segment is damaged", "segment", filepath.Base(s.path), "offset", h.off, "bytes", h.size, "from", h.from, "to", h.to)
		})
	if err != nil {
		return err
	}
	var away error
	if w.blind > tail { // even if it can be read by now: there may be entries
		away = w.ever
	}
	w = window{f: f, reuse: true}
	torn := tornBytes(&w, tail, size)
	if away = cmp.Or(away, w.ever); away != nil {
		// The positions of what is cut off are given out again: it must be known what was there.
		return fmt.Errorf("find the end of segment %s: %w; is its disk in order? Where it is lost, move the segment away", filepath.Base(s.path), away)
	}
	if torn > 0 {
		q.o.Log.Warn("unfinished write at the end of the queue cut off", "segment", filepath.Base(s.path), "offset", tail, "bytes", torn)
	}
	if err := f.Truncate(tail); err != nil {
		return fmt.Errorf("cut off an unfinished write: %w", err)
	}
	// Kill and restart, then a power cut: what is delivered from here on must not be given out
	// again under the same position.
	if err := f.Sync(); err != nil {
		return err
	}
	s.end.Store(max(tail, segmentHead))
	s.last.Store(last)
	s.sealed.Store(true)
	return nil
}

// tornBytes is how far behind tail something other than zeros stands.
func tornBytes(w *window, tail, size int64) (n int64) {
	for off := tail; off < size; off += windowSize {
		piece := w.bytes(off, int(min(windowSize, size-off)), size)
		for i, c := range piece {
			if c != 0 {
				n = off + int64(i) + 1 - tail
			}
		}
	}
	return n
}

// openState opens the database and reads every destination. A database that cannot be read is
// put aside, and everything the log still holds is delivered again.
func (q *Queue) openState() error {
	st, err := os.Stat(q.statePath())
	missing := err != nil || st.Size() == 0
	state, err := openStateSafely(q.statePath(), false)
	if err == nil && missing {
		err = q.fs.SyncDir(q.dir)
	}
	if err == nil {
		q.state = state
		err = q.loadDests()
	}
	if err == nil && q.last.Load() == 0 {
		return nil // a new directory
	}
	if err == nil && !missing {
		if missing = q.knowsMore(); !missing {
			return nil
		}
	}
	if err != nil {
		if noSpace(err) || errors.Is(err, os.ErrPermission) {
			return err
		}
		if q.state != nil {
			q.state.close()
			q.state = nil
		}
		aside := fmt.Sprintf("%s.damaged-%d", q.statePath(), q.o.Now().Unix())
		q.o.Log.Error("state database cannot be read and is put aside", "moved_to", filepath.Base(aside), "error", err)
		if err := os.Rename(q.statePath(), aside); err != nil {
			return err
		}
		if q.state, err = openState(q.statePath(), false); err != nil {
			return err
		}
	}
	return q.rebuildState()
}

// knowsMore reports whether the file of names has a destination that the database lacks: an
// old or an emptied database.
func (q *Queue) knowsMore() bool {
	names, err := q.readNames()
	return err == nil && slices.ContainsFunc(names, func(name string) bool { return q.dests[name] == nil })
}

func (q *Queue) readNames() (names []string, err error) {
	data, err := readFile(q.fs, q.namesPath())
	if err == nil {
		err = json.Unmarshal(data, &names)
	}
	return names, err
}

func (q *Queue) loadDests() error {
	clear(q.dests)
	return q.state.view(func(tx *bolt.Tx) error {
		q.loseNames = tx.Bucket(keyRebuilt) != nil
		return q.names(tx, func(name string, b *bolt.Bucket) error {
			d, err := q.loadDest(name, b)
			if err != nil {
				return err
			}
			q.dests[name] = d
			q.raise(d)
			return nil
		})
	})
}

// audit says so if an account does not add up after a restart: its parts were written in one
// transaction, so this means a damaged database or a defect.
func (q *Queue) audit() {
	drops := q.counters.snapshot()
	for _, d := range q.allDests() {
		if line, ok := d.line(drops); ok && line.Difference() != 0 {
			q.o.Log.Error("the ledger of a destination does not add up", "destination", d.name, "difference", line.Difference())
		}
	}
}

// raise keeps positions that d knows of, settled or between two attempts, from being given out again,
// should the log have lost its end: what comes next would count as what was there before.
func (q *Queue) raise(d *dest) {
	top := d.done.floor
	for seq := range d.entries {
		top = max(top, seq)
	}
	for no := range d.done.pages {
		for seq := no * pageBits; seq < (no+1)*pageBits; seq++ {
			if d.done.has(seq) {
				top = max(top, seq)
			}
		}
	}
	if top > q.last.Load() {
		q.o.Log.Error("the log ends before positions that were already received", "destination", d.name, "log", q.last.Load(), "received", top)
		q.w.next = top + 1
		q.last.Store(top)
	}
}

// rebuildState begins a new account for every known destination at the oldest record.
func (q *Queue) rebuildState() error {
	clear(q.dests)
	names, err := q.readNames()
	from := q.oldest() - 1
	if err != nil {
		q.loseNames = true
		if err := q.state.update(func(tx *bolt.Tx) error {
			_, err := tx.CreateBucketIfNotExists(keyRebuilt)
			return err
		}); err != nil {
			return err
		}
	}
	q.o.Log.Error("delivery state was lost: every destination gets all records still stored once more",
		"destinations", names, "from", from+1, "to", q.last.Load())
	for _, name := range names {
		d := newDest(q, name, 0)
		d.beginLocked(from, q.counters.snapshot())
		d.purge = true
		q.dests[name] = d
	}
	if err := q.flush(); err != nil {
		return err
	}
	return q.redriveKept()
}

// redriveKept makes every destination owe the records in kept/ again: they lie before the
// oldest position of the log.
func (q *Queue) redriveKept() error {
	for _, s := range q.segs.all() {
		if !s.sparse {
			continue
		}
		x, err := s.index(q)
		if err != nil {
			return err
		}
		for _, d := range q.allDests() {
			if err := q.oweAgain(d, s.first, x.seqs); err != nil {
				return err
			}
		}
	}
	return nil
}

func (q *Queue) oweAgain(d *dest, first uint64, seqs []uint32) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.base += uint64(len(seqs))
	d.spilled += uint64(len(seqs))
	d.changed = true
	c := d.collectLocked()
	d.writing = nil
	now := q.o.Now()
	err := q.state.update(func(tx *bolt.Tx) error {
		if err := c.write(tx); err != nil {
			return err
		}
		b := bucket(tx, d.name).Bucket(bktRetry)
		for _, s := range seqs {
			row := retryRow{again: true, next: now}
			if err := b.Put(seqKey(first+uint64(s)), row.encode()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("queue kept records again: %w", err)
	}
	return nil
}

func (q *Queue) writeNames() error {
	names := []string{}
	for _, d := range q.allDests() {
		d.mu.Lock()
		if !d.forgotten {
			names = append(names, d.name)
		}
		d.mu.Unlock()
	}
	data, err := json.Marshal(names)
	if err != nil {
		return err
	}
	return writeFile(q.fs, q.namesPath(), append(data, '\n'))
}

// fillReserve puts bytes aside for a full disk; without them there is merely no reserve.
func (q *Queue) fillReserve() {
	if st, err := os.Stat(q.reservePath()); err == nil && st.Size() >= reserveSize {
		return
	}
	f, err := os.OpenFile(q.reservePath(), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	if _, err := f.Write(make([]byte, reserveSize)); err != nil && !errors.Is(err, io.ErrShortWrite) {
		os.Remove(q.reservePath())
	}
}
