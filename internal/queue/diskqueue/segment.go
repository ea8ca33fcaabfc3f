package diskqueue

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// segment is one file of the log. Between its siblings it covers every position from first
// to last; a sparse one (in kept/) holds only some of them, and nobody is owed the rest.
type segment struct {
	fs     files
	path   string
	first  uint64
	sparse bool
	gen    int // of a kept segment: which rewriting of it

	last   atomic.Uint64 // the newest position that may be read; first-1 when empty
	end    atomic.Int64  // where it ends
	sealed atomic.Bool   // nothing is appended any more
	gone   atomic.Bool   // left the log; its file may be unlinked
	count  atomic.Int64  // of a kept segment: its entries

	trouble trouble // of the disk with it

	mu   sync.Mutex
	f    file // open while refs > 0
	refs int
	offs []uint32 // of the segment being written: offset/8 per position

	ix indexState
}

const (
	segSuffix = ".seg"
	idxSuffix = ".idx"
	spareName = "spare.tmp" // the next segment, preallocated
)

func segmentName(first uint64) string { return fmt.Sprintf("%020d%s", first, segSuffix) }

func keptName(first, last uint64, gen int) string {
	return fmt.Sprintf("%020d-%020d.%d%s", first, last, gen, segSuffix)
}

// parseKeptName is the inverse of keptName.
func parseKeptName(name string) (first, last uint64, gen int, ok bool) {
	name, ok = strings.CutSuffix(name, segSuffix)
	span, g, ok2 := strings.Cut(name, ".")
	a, b, ok3 := strings.Cut(span, "-")
	var err [3]error
	first, err[0] = strconv.ParseUint(a, 10, 64)
	last, err[1] = strconv.ParseUint(b, 10, 64)
	gen, err[2] = strconv.Atoi(g)
	return first, last, gen, ok && ok2 && ok3 && err == [3]error{} && first > 0 && last >= first
}

func newSegment(fs files, path string, first uint64) *segment {
	s := &segment{fs: fs, path: path, first: first}
	s.last.Store(first - 1)
	s.end.Store(segmentHead)
	return s
}

// acquire opens the file for reading; every call is paired with release.
func (s *segment) acquire() (file, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.f == nil {
		f, err := s.fs.Open(s.path, os.O_RDONLY)
		if err != nil {
			return nil, fmt.Errorf("open segment: %w", err)
		}
		s.f = f
	}
	s.refs++
	return s.f, nil
}

func (s *segment) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refs--
	if s.refs == 0 && s.f != nil {
		s.f.Close() // opened for reading: nothing can be lost
		s.f = nil
	}
}

// offset tells where an entry of the segment being written lies.
func (s *segment) offset(seq uint64) (int64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := seq - s.first; seq >= s.first && i < uint64(len(s.offs)) {
		return int64(s.offs[i]) * 8, true
	}
	return 0, false
}

func (s *segment) indexPath() string { return strings.TrimSuffix(s.path, segSuffix) + idxSuffix }

// segments is the log's table of contents, ordered by position. kept and log segments never
// overlap.
type segments struct {
	mu   sync.RWMutex
	list []*segment
}

// all is a snapshot.
func (l *segments) all() []*segment {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return slices.Clone(l.list)
}

// at gives the segment to read position seq from, or else the next one behind it.
func (l *segments) at(seq uint64) *segment {
	l.mu.RLock()
	defer l.mu.RUnlock()
	i := sort.Search(len(l.list), func(i int) bool { return l.list[i].first > seq })
	if i > 0 && l.list[i-1].last.Load() >= seq {
		return l.list[i-1]
	}
	for ; i < len(l.list); i++ {
		if l.list[i].last.Load() >= l.list[i].first {
			return l.list[i]
		}
	}
	return nil
}

// newest is the last one, or nil.
func (l *segments) newest() *segment {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if len(l.list) == 0 {
		return nil
	}
	return l.list[len(l.list)-1]
}

func (l *segments) add(s *segment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := sort.Search(len(l.list), func(i int) bool { return l.list[i].first > s.first })
	l.list = slices.Insert(l.list, i, s)
}

// replace takes old out and puts by (which may be nil) in its place.
func (l *segments) replace(old, by *segment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(l.list, old)
	if i < 0 {
		return
	}
	old.gone.Store(true)
	if by != nil {
		l.list[i] = by
	} else {
		l.list = slices.Delete(l.list, i, i+1)
	}
}

// unlink removes a segment's files, index first: an index without its log is only litter.
func (s *segment) unlink() error {
	s.gone.Store(true)
	s.ix.mu.Lock()
	defer s.ix.mu.Unlock()
	s.fs.Remove(s.indexPath()) // it may never have been written
	if err := s.fs.Remove(s.path); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("remove segment: %w", err)
	}
	return s.fs.SyncDir(filepath.Dir(s.path))
}
