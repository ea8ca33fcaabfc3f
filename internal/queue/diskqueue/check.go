package diskqueue

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	bolt "go.etcd.io/bbolt"

	"github.com/tapway/tapway"
)

// checker collects what Check finds.
type checker struct {
	fs       files
	dir      string
	key      logKey
	report   tapway.CheckReport
	progress func(done, total int64)
	done     int64
	total    int64
}

// Check verifies every stored record and the state database; see [tapway.Store].
func (q *Queue) Check(ctx context.Context, progress func(done, total int64)) (tapway.CheckReport, error) {
	if err := q.enter(); err != nil {
		return tapway.CheckReport{}, err
	}
	c := newChecker(q.fs, q.dir, q.key, progress)
	q.flushMu.Lock() // bbolt's check must have no writer beside it
	err := q.state.view(c.database)
	q.flushMu.Unlock()
	q.leave()
	if err != nil {
		return c.report, err
	}
	segs := q.segs.all()
	for _, s := range segs {
		c.total += s.end.Load()
	}
	for _, s := range segs {
		if err := q.ended(ctx); err != nil {
			return c.report, err
		}
		if err := c.segment(ctx, s, s.last.Load()); err != nil && !s.gone.Load() {
			return c.report, err
		}
	}
	return c.report, nil
}

// Check verifies a data directory that no process has open, also one that Open refuses. It
// changes nothing. What follows the last record of the newest segment, an unfinished write,
// is not damage: Open cuts it off.
func Check(ctx context.Context, dir string, progress func(done, total int64)) (tapway.CheckReport, error) {
	fail := func(err error) (tapway.CheckReport, error) {
		return tapway.CheckReport{}, fmt.Errorf("check %s: %w", dir, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "log")); err != nil {
		return fail(err)
	}
	lock, err := lockDir(filepath.Join(dir, "LOCK"))
	if err != nil {
		return fail(err)
	}
	defer lock.Close()
	segs, err := segmentsToCheck(dir)
	if err != nil {
		return fail(err)
	}
	c := newChecker(osFiles{}, dir, 0, progress)
	if err := c.findKey(segs); err != nil {
		return fail(err)
	}
	if err := c.offlineDatabase(); err != nil {
		return fail(err)
	}
	for i, s := range segs {
		c.total += s.end.Load()
		if !s.sparse && i+1 < len(segs) {
			s.last.Store(segs[i+1].first - 1)
		}
	}
	for i, s := range segs {
		last := s.last.Load()
		if i+1 == len(segs) && !s.sparse {
			last = 0 // unknown
		}
		if err := c.segment(ctx, s, last); err != nil {
			return c.report, fmt.Errorf("check %s: %w", dir, err)
		}
	}
	return c.report, nil
}

func newChecker(fs files, dir string, key logKey, progress func(done, total int64)) *checker {
	if progress == nil {
		progress = func(int64, int64) {}
	}
	c := &checker{fs: fs, dir: dir, key: key, progress: progress}
	c.report.Damage = []tapway.Damage{}
	return c
}

// segmentsToCheck lists segments without touching any file.
func segmentsToCheck(dir string) (segs []*segment, err error) {
	for _, sub := range [...]string{"log", "kept"} {
		names, err := os.ReadDir(filepath.Join(dir, sub))
		if err != nil && !os.IsNotExist(err) {
			return nil, err
		}
		for _, n := range names {
			s, err := segmentFromFile(osFiles{}, filepath.Join(dir, sub, n.Name()), sub == "kept")
			if err != nil {
				return nil, err
			}
			if s != nil && !slices.ContainsFunc(segs, func(o *segment) bool { return o.first == s.first }) {
				segs = append(segs, s)
			}
		}
	}
	slices.SortFunc(segs, func(a, b *segment) int {
		if a.first < b.first {
			return -1
		}
		return 1
	})
	return segs, nil
}

func (c *checker) findKey(segs []*segment) error {
	data, err := readFile(c.fs, filepath.Join(c.dir, "store"))
	if err == nil && len(data) == 2*storeSlot {
		for _, slot := range [][]byte{data[:storeSlot], data[storeSlot:]} {
			if got, ok := parseStore(slot); ok {
				c.key = got.key
				return nil
			}
		}
	}
	c.damage("store", 0, int64(len(data)), 0, 0, "neither copy of the store file can be read")
	if c.key, err = findKey(c.fs, segs); err != nil && len(segs) > 0 {
		return err
	}
	return nil
}

func (c *checker) damage(file string, off, size int64, from, to uint64, what string) {
	if from > to {
		from, to = 0, 0
	}
	c.report.Damage = append(c.report.Damage, tapway.Damage{File: file, Offset: off, Bytes: size, FromSeq: from, ToSeq: to, What: what})
}

// database looks for inconsistencies in the state database.
func (c *checker) database(tx *bolt.Tx) error {
	for err := range tx.Check() {
		c.damage("state.db", 0, tx.Size(), 0, 0, err.Error())
	}
	return nil
}

func (c *checker) offlineDatabase() error {
	path := filepath.Join(c.dir, "state.db")
	st, err := os.Stat(path)
	if err != nil {
		if os.IsNotExist(err) {
			c.damage("state.db", 0, 0, 0, 0, "missing: every record would be delivered again")
			return nil
		}
		return err
	}
	state, err := openStateSafely(path, true)
	switch {
	case err == nil:
		defer state.close()
		return state.view(c.database)
	case errors.Is(err, os.ErrPermission):
		return err
	}
	c.damage("state.db", 0, st.Size(), 0, 0, err.Error())
	return nil
}

// segment verifies one segment; last is 0 when nobody knows where it ends.
func (c *checker) segment(ctx context.Context, s *segment, last uint64) error {
	f, err := s.acquire()
	if err != nil {
		return err
	}
	defer s.release()
	name, err := filepath.Rel(c.dir, s.path)
	if err != nil {
		return err
	}
	c.report.Segments++
	end := s.end.Load()
	head := make([]byte, segmentHead)
	f.ReadAt(head, 0)
	if first, key, err := parseSegmentHead(head); err != nil || first != s.first || key != c.key {
		c.damage(name, 0, segmentHead, 0, 0, "the head of the segment")
	}
	high := last
	if last == 0 {
		high = 1 << 63
	}
	base := c.done
	w := window{f: f, reuse: true}
	tail, got, err := scan(&w, c.key, segmentHead, end, s.first, high, s.sparse, func(_ uint64, off int64, frame []byte) error {
		c.report.Records++
		c.report.Bytes += int64(aligned(entryHead + len(frame)))
		c.done = base + off
		if c.report.Records%1024 == 0 {
			c.progress(c.done, c.total)
		}
		return ctx.Err()
	}, func(h hole) {
		c.damage(name, h.off, h.size, h.from, h.to, "a record fails its checksum or is not there")
	})
	if err != nil {
		return err
	}
	if torn := tornBytes(&w, tail, end); last != 0 && (got < last && !s.sparse || s.sparse && torn > 0) {
		c.damage(name, tail, end-tail, got+1, last, "records at the end fail their checksum or are not there")
	}
	c.done = base + end
	c.progress(c.done, c.total)
	return c.index(s, end)
}

// index verifies an index file, if there is one. A bad one is only a nuisance.
func (c *checker) index(s *segment, end int64) error {
	data, err := readFile(c.fs, s.indexPath())
	if err != nil {
		return nil // it will be made when it is needed
	}
	x, err := decodeIndex(data)
	if errors.Is(err, errOtherIndex) {
		return nil
	}
	if err != nil || x.first != s.first || x.covered != end && s.sealed.Load() {
		name, _ := filepath.Rel(c.dir, s.indexPath())
		c.damage(name, 0, int64(len(data)), 0, 0, "the search index; it is made anew when it is needed")
	}
	return nil
}
