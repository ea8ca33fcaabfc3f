package diskqueue

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tapway/tapway"
)

// zone is what is known of all rows of an index at once.
type zone struct {
	minTime, maxTime     int64 // of Meta.Time, Unix nanoseconds
	minID, maxID         int64 // of the time in the ID, milliseconds
	minStatus, maxStatus uint16
}

// index is the content of an index file, or the growing index of the segment being written. It
// has what filters ask most, exactly as the frames have it: see row.
type index struct {
	zone
	first   uint64
	covered int64 // bytes of the segment that are indexed
	failed  error // the disk did not read some of them: rows are missing, and it is not to be kept
	seqs    []uint32
	offs    []uint32
	times   []int64
	ids     []uint32
	numbers [numNumbers][]int64
	texts   [numTexts]texts
}

// The columns of numbers and of text, in the order of the file.
const (
	numStatus = iota
	numDuration
	numRequestSize
	numResponseSize
	numNumbers

	textMethod = iota - numNumbers - 1
	textPath
	textFrom
	textRoute
	textClientIP
	textError
	textOrigin
	textFront
	numTexts
)

// texts is a column of text: in each row the number of a word.
type texts struct {
	dictionary
	rows []uint32
}

// dictionary gives strings numbers in order of appearance.
type dictionary struct {
	words []string
	nos   map[string]uint32 // only while it grows
	last  uint32            // what no gave: most columns say the same over and over
}

func (d *dictionary) no(s string) uint32 {
	if int(d.last) < len(d.words) && d.words[d.last] == s {
		return d.last
	}
	d.last = d.find(s)
	return d.last
}

func (d *dictionary) find(s string) uint32 {
	if n, ok := d.nos[s]; ok {
		return n
	}
	if d.nos == nil {
		d.nos = map[string]uint32{}
	}
	n := uint32(len(d.words))
	d.words = append(d.words, s)
	d.nos[s] = n
	return n
}

// indexState is a segment's way to its index.
type indexState struct {
	mu     sync.Mutex
	live   *index // grows while the segment is being written
	remade bool   // once it did not lead to a good entry
	sound  bool   // the file's checksum was right, once
	again  int64  // the tick from which on a live one that lacks rows is made anew
	saved  atomic.Bool
	zone   atomic.Pointer[zone]
	rows   int
}

// errGone says that a segment has left the log and gets no new files.
var errGone = errors.New("segment is gone")

func newIndex(first uint64) *index {
	return &index{first: first, covered: segmentHead, zone: zone{minTime: 1<<63 - 1, maxTime: -1 << 63, minID: 1<<63 - 1, maxID: -1 << 63, minStatus: 1<<16 - 1}}
}

func idHash(id tapway.ID) uint32 { return binary.LittleEndian.Uint32(id[12:]) }

func idMillis(id tapway.ID) int64 { return id.Time().UnixMilli() }

func (x *index) add(seq uint64, off int64, m *tapway.Meta) {
	t, ms, status := m.Time.UnixNano(), idMillis(m.ID), uint16(m.Status)
	x.minTime, x.maxTime = min(x.minTime, t), max(x.maxTime, t)
	x.minID, x.maxID = min(x.minID, ms), max(x.maxID, ms)
	x.minStatus, x.maxStatus = min(x.minStatus, status), max(x.maxStatus, status)
	x.seqs = append(x.seqs, uint32(seq-x.first))
	x.offs = append(x.offs, uint32(off/8))
	x.times = append(x.times, t)
	x.ids = append(x.ids, idHash(m.ID))
	for i, v := range [...]int64{int64(m.Status), int64(m.Duration), m.RequestSize, m.ResponseSize} {
		x.numbers[i] = append(x.numbers[i], v)
	}
	for i, v := range [...]string{m.Method, m.Path, m.From, m.Route, m.ClientIP, m.Error, string(m.Origin), string(m.Front)} {
		c := &x.texts[i]
		c.rows = append(c.rows, c.no(v))
	}
}

// reserve makes room for n more rows.
func (x *index) reserve(n int) {
	x.seqs, x.offs, x.times, x.ids = slices.Grow(x.seqs, n), slices.Grow(x.offs, n), slices.Grow(x.times, n), slices.Grow(x.ids, n)
	for i := range x.numbers {
		x.numbers[i] = slices.Grow(x.numbers[i], n)
	}
	for i := range x.texts {
		x.texts[i].rows = slices.Grow(x.texts[i].rows, n)
	}
}

// row fills in what the index has of a record: the fields that tapway.Search.Maybe may ask.
func (x *index) row(i int, m *tapway.Meta) {
	m.Seq, m.Time = x.first+uint64(x.seqs[i]), time.Unix(0, x.times[i]).UTC()
	m.Status, m.Duration = int(x.numbers[numStatus][i]), time.Duration(x.numbers[numDuration][i])
	m.RequestSize, m.ResponseSize = x.numbers[numRequestSize][i], x.numbers[numResponseSize][i]
	m.Method, m.Path, m.From, m.Route = x.text(textMethod, i), x.text(textPath, i), x.text(textFrom, i), x.text(textRoute, i)
	m.ClientIP, m.Error = x.text(textClientIP, i), x.text(textError, i)
	m.Origin, m.Front = tapway.Origin(x.text(textOrigin, i)), tapway.Front(x.text(textFront, i))
}

func (x *index) text(column, i int) string { return x.texts[column].words[x.texts[column].rows[i]] }

// grow indexes what has been appended to s since the last time.
func (x *index) grow(q *Queue, s *segment) error {
	end, last := s.end.Load(), s.last.Load()
	if x.covered >= end {
		return nil
	}
	f, err := s.acquire()
	if err != nil {
		return err
	}
	defer s.release()
	from := s.first
	if n := len(x.seqs); n > 0 {
		from = x.first + uint64(x.seqs[n-1]) + 1
	}
	if last >= from && s.sealed.Load() {
		x.reserve(int(min(last-from+1, uint64(end-x.covered)/entryHead)))
	}
	w := window{f: f, reuse: true}
	_, _, err = scan(&w, q.key, x.covered, end, from, last, s.sparse, func(seq uint64, off int64, frame []byte) error {
		m, err := tapway.DecodeMeta(frame)
		if err != nil {
			m = tapway.Meta{} // a frame of a later version is still a record
		}
		x.add(seq, off, &m)
		return nil
	}, func(hole) {})
	if w.ever != nil {
		x.failed = w.ever
	}
	x.covered = end
	return err
}

// view is a stable look at a growing index: appending leaves what it shows alone.
func (x *index) view() *index {
	v := *x
	for i := range v.texts {
		v.texts[i].nos = nil
	}
	return &v
}

// index gives the segment's index, from its file if there is one.
func (s *segment) index(q *Queue) (*index, error) {
	s.ix.mu.Lock()
	defer s.ix.mu.Unlock()
	for range 2 {
		if s.ix.saved.Load() {
			if x, err := s.loadIndex(q); err == nil {
				return x, nil
			}
			s.ix.saved.Store(false)
		}
		if !s.sealed.Load() || s.saveIndexLocked(q) != nil {
			break
		}
	}
	if err := s.growLocked(q); err != nil {
		return nil, err
	}
	return s.ix.live.view(), nil
}

// reindexEvery is how often a segment that the disk does not read whole is indexed anew.
const reindexEvery = 30 * time.Second

func (s *segment) growLocked(q *Queue) error {
	if now := q.ticks(); s.ix.live == nil || s.ix.live.failed != nil && now >= s.ix.again {
		s.ix.live, s.ix.again = newIndex(s.first), now+int64(reindexEvery)
	}
	if err := s.ix.live.grow(q, s); err != nil {
		s.ix.live = nil // what it has is not known
		return fmt.Errorf("index segment: %w", err)
	}
	return nil
}

// unindexed is why rows may be missing in the index that is in memory; nil if none are.
func (s *segment) unindexed() error {
	s.ix.mu.Lock()
	defer s.ix.mu.Unlock()
	if s.ix.live == nil {
		return nil
	}
	return s.ix.live.failed
}

// saveIndex writes the index of a sealed segment and lets go of it in memory.
func (s *segment) saveIndex(q *Queue) error {
	s.ix.mu.Lock()
	defer s.ix.mu.Unlock()
	return s.saveIndexLocked(q)
}

func (s *segment) saveIndexLocked(q *Queue) error {
	if s.gone.Load() {
		return errGone
	}
	if s.ix.saved.Load() || !s.sealed.Load() {
		return nil
	}
	if err := s.growLocked(q); err != nil {
		return err
	}
	x := s.ix.live
	if x.failed != nil {
		if len(x.seqs) > 0 {
			s.setZone(x) // it may leave the history all the same
		}
		return fmt.Errorf("index segment %s: %w", filepath.Base(s.path), x.failed)
	}
	if err := writeFile(q.fs, s.indexPath(), x.encode()); err != nil {
		return fmt.Errorf("write index: %w", err)
	}
	s.setZone(x)
	s.ix.live, s.ix.sound = nil, true
	s.ix.saved.Store(true)
	s.mu.Lock()
	s.offs = nil
	s.mu.Unlock()
	return nil
}

func (s *segment) setZone(x *index) {
	s.ix.rows = len(x.seqs)
	if s.sparse {
		s.count.Store(int64(s.ix.rows))
	}
	z := x.zone
	s.ix.zone.Store(&z)
}

// rebuildIndex makes an index anew that does not lead to a good entry; false when that has been
// done, or it has never been written. Where it cannot be written it is in memory.
func (s *segment) rebuildIndex(q *Queue) bool {
	s.ix.mu.Lock()
	defer s.ix.mu.Unlock()
	if s.ix.remade || !s.ix.saved.Load() {
		return false
	}
	s.ix.remade = true
	s.ix.saved.Store(false)
	return s.saveIndexLocked(q) == nil || s.ix.live != nil
}

func (s *segment) loadIndex(q *Queue) (*index, error) {
	data, err := readFile(q.fs, s.indexPath())
	if err != nil {
		return nil, err
	}
	x, err := decodeIndex(data)
	if err != nil {
		return nil, err
	}
	if x.first != s.first || x.covered != s.end.Load() {
		return nil, errDamaged
	}
	s.setZone(x)
	return x, nil
}

// locate finds the offset of a position. present is false when the index says that the segment has
// no such entry. An index file that is of no use is one to be made anew: until then there is one in memory.
func (s *segment) locate(q *Queue, seq uint64) (off int64, present bool, err error) {
	if off, ok := s.offset(seq); ok {
		return off, true, nil
	}
	s.ix.mu.Lock()
	defer s.ix.mu.Unlock()
	if s.ix.saved.Load() {
		if off, present, err = s.locateInFile(q, seq); err == nil {
			return off, present, nil
		}
		s.ix.saved.Store(false)
	}
	if err := s.growLocked(q); err != nil {
		return 0, false, err
	}
	x := s.ix.live
	i := sort.Search(len(x.seqs), func(i int) bool { return uint64(x.seqs[i]) >= seq-s.first })
	if i == len(x.seqs) || uint64(x.seqs[i]) != seq-s.first {
		return 0, false, nil
	}
	return int64(x.offs[i]) * 8, true, nil
}

// locateInFile reads just the rows it needs: mostly one, because positions are dense.
func (s *segment) locateInFile(q *Queue, seq uint64) (off int64, present bool, err error) {
	f, err := q.fs.Open(s.indexPath(), os.O_RDONLY)
	if err != nil {
		return 0, false, err
	}
	defer f.Close()
	head := make([]byte, indexHead)
	if _, err := f.ReadAt(head, 0); err != nil {
		return 0, false, err
	}
	x, rows, _, err := parseIndexHead(head)
	if err != nil || x.first != s.first || x.covered != s.end.Load() {
		return 0, false, errDamaged
	}
	if err := s.soundIndex(q); err != nil {
		return 0, false, err
	}
	var b [4]byte
	cell := func(column, row int) uint32 {
		if _, rerr := f.ReadAt(b[:], int64(indexHead+4*(column*rows+row))); rerr != nil && err == nil {
			err = rerr
		}
		return binary.LittleEndian.Uint32(b[:])
	}
	want := uint32(seq - s.first)
	row := int(want)
	if row >= rows || cell(0, row) != want {
		row = sort.Search(rows, func(i int) bool { return cell(0, i) >= want })
		if row == rows || cell(0, row) != want {
			return 0, false, err
		}
	}
	return int64(cell(1, row)) * 8, true, err
}

// soundIndex looks once whether the index file is what was written: a row of a damaged one could say that an entry is not
// there, or lead past others. Only locate calls it.
func (s *segment) soundIndex(q *Queue) error {
	if s.ix.sound {
		return nil
	}
	data, err := readFile(q.fs, s.indexPath())
	if err != nil {
		return err
	}
	_, _, sum, err := parseIndexHead(data)
	if err != nil || crcOf(data[indexHead:]) != sum {
		return errDamaged
	}
	s.ix.sound = true
	return nil
}

// readZone reads only the head of the index file, when the queue is opened.
func (s *segment) readZone(fs files) error {
	f, err := fs.Open(s.indexPath(), os.O_RDONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	head := make([]byte, indexHead)
	if _, err := f.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	x, rows, _, err := parseIndexHead(head)
	if err != nil {
		return err
	}
	if x.first != s.first || x.covered != s.end.Load() {
		return errDamaged
	}
	s.ix.rows = rows
	s.ix.zone.Store(&x.zone)
	s.ix.saved.Store(true)
	return nil
}
