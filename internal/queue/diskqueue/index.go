package diskqueue

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
	"sync"
	"sync/atomic"

	"github.com/tapway/tapway"
)

// An index file serves searches and look-ups in one segment without touching its frames:
//
//	word(8) version(4) rows(4) first(8) covered(8) zone... bodyCRC(4) headCRC(4)
//	columns: seq(4, minus first) offset/8(4) time(8) id(4) path(4) status(2) method(2)
//	methods and paths: count(4) { length(4) bytes }...
//
// It is made from the segment when that is sealed, or by whoever first needs it.
const (
	indexWord    = "tapwayix"
	indexVersion = 1
	indexHead    = 128
	indexRow     = 4 + 4 + 8 + 4 + 4 + 2 + 2
)

// zone is what is known of all rows of an index at once.
type zone struct {
	minTime, maxTime     int64 // of Meta.Time, Unix nanoseconds
	minID, maxID         int64 // of the time in the ID, milliseconds
	minStatus, maxStatus uint16
}

// index is the content of an index file, or the growing index of the segment being written.
type index struct {
	zone
	first   uint64
	covered int64 // bytes of the segment that are indexed
	seqs    []uint32
	offs    []uint32
	times   []int64
	ids     []uint32
	paths   []uint32
	status  []uint16
	methods []uint16
	method  dictionary
	path    dictionary
}

// dictionary gives strings numbers in order of appearance.
type dictionary struct {
	words []string
	nos   map[string]uint32 // only while it grows
}

func (d *dictionary) no(s string) uint32 {
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
	x.paths = append(x.paths, x.path.no(m.Path))
	x.status = append(x.status, status)
	method := x.method.no(m.Method)
	x.methods = append(x.methods, uint16(min(method, 1<<16-1))) // strangers can invent methods
}

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
	w := window{f: f, reuse: true}
	_, _, err = scan(&w, q.key, x.covered, end, from, last, s.sparse, func(seq uint64, off int64, frame []byte) error {
		m, err := tapway.DecodeMeta(frame)
		if err != nil {
			m = tapway.Meta{} // a frame of a later version is still a record
		}
		x.add(seq, off, &m)
		return nil
	}, func(hole) {})
	x.covered = end
	return err
}

// view is a stable look at a growing index: appending leaves what it shows alone.
func (x *index) view() *index {
	v := *x
	v.method.nos, v.path.nos = nil, nil
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

func (s *segment) growLocked(q *Queue) error {
	if s.ix.live == nil {
		s.ix.live = newIndex(s.first)
	}
	if err := s.ix.live.grow(q, s); err != nil {
		return fmt.Errorf("index segment: %w", err)
	}
	return nil
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
	if err := writeFile(q.fs, s.indexPath(), x.encode()); err != nil {
		return fmt.Errorf("write index: %w", err)
	}
	s.setZone(x)
	s.ix.live = nil
	s.ix.saved.Store(true)
	s.mu.Lock()
	s.offs = nil
	s.mu.Unlock()
	return nil
}

func (s *segment) setZone(x *index) {
	s.ix.rows = len(x.seqs)
	z := x.zone
	s.ix.zone.Store(&z)
}

// rebuildIndex makes an index file anew; false when that has been done or there is none.
func (s *segment) rebuildIndex(q *Queue) bool {
	s.ix.mu.Lock()
	defer s.ix.mu.Unlock()
	if s.ix.remade || !s.ix.saved.Load() {
		return false
	}
	s.ix.remade = true
	s.ix.saved.Store(false)
	return s.saveIndexLocked(q) == nil
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

// locate finds the offset of a position. ok is false when no index can say; present is false
// when the index says that the segment has no such entry.
func (s *segment) locate(q *Queue, seq uint64) (off int64, present, ok bool) {
	if off, ok := s.offset(seq); ok {
		return off, true, true
	}
	s.ix.mu.Lock()
	defer s.ix.mu.Unlock()
	if !s.ix.saved.Load() {
		if s.growLocked(q) != nil {
			return 0, false, false
		}
		x := s.ix.live
		i := sort.Search(len(x.seqs), func(i int) bool { return uint64(x.seqs[i]) >= seq-s.first })
		if i == len(x.seqs) || uint64(x.seqs[i]) != seq-s.first {
			return 0, false, true
		}
		return int64(x.offs[i]) * 8, true, true
	}
	off, present, err := s.locateInFile(q, seq)
	return off, present, err == nil
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

func (x *index) encode() []byte {
	le := binary.LittleEndian
	n := len(x.seqs)
	b := make([]byte, indexHead, indexHead+n*indexRow+64*len(x.path.words)+1024)
	for _, c := range [...][]uint32{x.seqs, x.offs} {
		for _, v := range c {
			b = le.AppendUint32(b, v)
		}
	}
	for _, v := range x.times {
		b = le.AppendUint64(b, uint64(v))
	}
	for _, c := range [...][]uint32{x.ids, x.paths} {
		for _, v := range c {
			b = le.AppendUint32(b, v)
		}
	}
	for _, c := range [...][]uint16{x.status, x.methods} {
		for _, v := range c {
			b = le.AppendUint16(b, v)
		}
	}
	for _, d := range [...]*dictionary{&x.method, &x.path} {
		b = le.AppendUint32(b, uint32(len(d.words)))
		for _, w := range d.words {
			b = le.AppendUint32(b, uint32(len(w)))
			b = append(b, w...)
		}
	}
	head := append(b[:0], indexWord...)
	head = le.AppendUint32(head, indexVersion)
	head = le.AppendUint32(head, uint32(n))
	for _, v := range [...]uint64{x.first, uint64(x.covered), uint64(x.minTime), uint64(x.maxTime), uint64(x.minID), uint64(x.maxID)} {
		head = le.AppendUint64(head, v)
	}
	head = le.AppendUint16(head, x.minStatus)
	copy(b, le.AppendUint16(head, x.maxStatus))
	le.PutUint32(b[indexHead-8:], crcOf(b[indexHead:]))
	le.PutUint32(b[indexHead-4:], crcOf(b[:indexHead-4]))
	return b
}

func parseIndexHead(b []byte) (x *index, rows int, bodyCRC uint32, err error) {
	le := binary.LittleEndian
	if len(b) < indexHead || string(b[:8]) != indexWord || le.Uint32(b[8:]) != indexVersion ||
		le.Uint32(b[indexHead-4:]) != crcOf(b[:indexHead-4]) {
		return nil, 0, 0, errDamaged
	}
	x = &index{first: le.Uint64(b[16:]), covered: int64(le.Uint64(b[24:]))}
	x.minTime, x.maxTime = int64(le.Uint64(b[32:])), int64(le.Uint64(b[40:]))
	x.minID, x.maxID = int64(le.Uint64(b[48:])), int64(le.Uint64(b[56:]))
	x.minStatus, x.maxStatus = le.Uint16(b[64:]), le.Uint16(b[66:])
	return x, int(le.Uint32(b[12:])), le.Uint32(b[indexHead-8:]), nil
}

func decodeIndex(b []byte) (*index, error) {
	x, n, sum, err := parseIndexHead(b)
	if err != nil {
		return nil, err
	}
	b = b[indexHead:]
	if crcOf(b) != sum || len(b) < n*indexRow+8 {
		return nil, errDamaged
	}
	le := binary.LittleEndian
	u32 := func() []uint32 {
		col := make([]uint32, n)
		for i := range col {
			col[i] = le.Uint32(b[4*i:])
		}
		b = b[4*n:]
		return col
	}
	u16 := func() []uint16 {
		col := make([]uint16, n)
		for i := range col {
			col[i] = le.Uint16(b[2*i:])
		}
		b = b[2*n:]
		return col
	}
	x.seqs, x.offs = u32(), u32()
	x.times = make([]int64, n)
	for i := range x.times {
		x.times[i] = int64(le.Uint64(b[8*i:]))
	}
	b = b[8*n:]
	x.ids, x.paths = u32(), u32()
	x.status, x.methods = u16(), u16()
	for _, d := range [...]*dictionary{&x.method, &x.path} {
		if b, err = d.decode(b); err != nil {
			return nil, err
		}
	}
	for i := range n {
		known := int(x.methods[i]) < len(x.method.words) || len(x.method.words) >= 1<<16-1
		if int(x.paths[i]) >= len(x.path.words) || !known {
			return nil, errDamaged
		}
	}
	return x, nil
}

func (d *dictionary) decode(b []byte) ([]byte, error) {
	le := binary.LittleEndian
	if len(b) < 4 {
		return nil, errDamaged
	}
	n := int(le.Uint32(b))
	b = b[4:]
	if n > len(b)/4 {
		return nil, errDamaged
	}
	d.words = make([]string, n)
	for i := range d.words {
		if len(b) < 4 || uint64(le.Uint32(b)) > uint64(len(b)-4) {
			return nil, errDamaged
		}
		end := 4 + int(le.Uint32(b))
		d.words[i] = string(b[4:end])
		b = b[end:]
	}
	return b, nil
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
	if err != nil || x.first != s.first || x.covered != s.end.Load() {
		return errDamaged
	}
	s.ix.rows = rows
	s.ix.zone.Store(&x.zone)
	s.ix.saved.Store(true)
	return nil
}
