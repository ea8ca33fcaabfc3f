package diskqueue

import (
	"context"
	"fmt"
	"io"
	"iter"
	"slices"
	"sort"
	"strings"

	"github.com/tapway/tapway"
)

// Search walks the stored exchanges; see [tapway.Store]. Whole segments are passed over by
// their zone, rows by the columns of the index; only what is left costs a read of its
// metadata, and only Match's load reads a whole frame. Where records come in meanwhile, it
// leaves most of the time to them; see pace.
func (q *Queue) Search(ctx context.Context, s tapway.Search) iter.Seq2[tapway.Meta, error] {
	return func(yield func(tapway.Meta, error) bool) {
		segs := q.segs.all()
		if !s.Oldest {
			slices.Reverse(segs)
		}
		last := q.last.Load()
		p := q.newPace(ctx, &s)
		for _, seg := range segs {
			p.total += spanOf(seg, &s, last)
		}
		found := 0
		for i, seg := range segs {
			before := p.searched
			if mayHold(seg, &s, last) {
				more, err := q.searchSegment(seg, &s, last, p, func(m tapway.Meta) bool {
					found++
					p.stop()
					defer p.start()
					return yield(m, nil) && (s.Limit <= 0 || found < s.Limit)
				})
				if err != nil {
					p.tell(true)
					yield(tapway.Meta{}, fmt.Errorf("search: %w", err))
					return
				}
				if !more {
					p.tell(true)
					return
				}
			}
			p.past(seg, last, before+spanOf(seg, &s, last))
			if i+1 == len(segs) {
				break
			}
			if err := q.ended(ctx); err != nil { // reading an index, or making it, takes a while
				p.tell(true)
				yield(tapway.Meta{}, fmt.Errorf("search: %w", err))
				return
			}
		}
		p.tell(true)
	}
}

// spanOf is how many records of a segment lie within After and Before.
func spanOf(seg *segment, s *tapway.Search, last uint64) uint64 {
	from, to := max(seg.first, s.After+1), min(seg.last.Load(), last)
	if s.Before > 0 {
		to = min(to, s.Before-1)
	}
	if to < from {
		return 0
	}
	if seg.sparse {
		return min(uint64(seg.count.Load()), to-from+1)
	}
	return to - from + 1
}

// mayHold asks what is known of a segment as a whole.
func mayHold(seg *segment, s *tapway.Search, last uint64) bool {
	segLast := min(seg.last.Load(), last)
	if segLast < seg.first || s.Before > 0 && seg.first >= s.Before || segLast <= s.After {
		return false
	}
	z := seg.ix.zone.Load()
	if z == nil {
		return true
	}
	return (s.Since.IsZero() || z.maxTime >= s.Since.UnixNano()) &&
		(s.Until.IsZero() || z.minTime < s.Until.UnixNano()) &&
		(s.Hint.StatusMin <= 0 || int(z.maxStatus) >= s.Hint.StatusMin) &&
		(s.Hint.StatusMax <= 0 || int(z.minStatus) <= s.Hint.StatusMax)
}

// rowFilter is a search put in terms of one index.
type rowFilter struct {
	x            *index
	since, until int64
	low, high    int    // status
	methods      []bool // nil: any
	paths        []bool // nil: any
	from, to     int    // rows
	ask          func(*tapway.Meta) bool
}

func newRowFilter(x *index, s *tapway.Search, last uint64) *rowFilter {
	f := &rowFilter{x: x, ask: s.Maybe, since: -1 << 63, until: 1<<63 - 1, low: max(s.Hint.StatusMin, 0), high: 1<<16 - 1}
	if !s.Since.IsZero() {
		f.since = s.Since.UnixNano()
	}
	if !s.Until.IsZero() {
		f.until = s.Until.UnixNano()
	}
	if s.Hint.StatusMax > 0 {
		f.high = s.Hint.StatusMax
	}
	if s.Hint.Methods != nil {
		f.methods = mark(x.texts[textMethod].words, func(w string) bool { return slices.Contains(s.Hint.Methods, w) })
	}
	if s.Hint.PathPrefix != "" {
		f.paths = mark(x.texts[textPath].words, func(w string) bool { return strings.HasPrefix(w, s.Hint.PathPrefix) })
	}
	row := func(seq uint64) int { // the first row at or behind seq
		return sort.Search(len(x.seqs), func(i int) bool { return x.first+uint64(x.seqs[i]) >= seq })
	}
	f.from, f.to = row(s.After+1), row(last+1)
	if s.Before > 0 {
		f.to = min(f.to, row(s.Before))
	}
	return f
}

// mark says for each word whether it is wanted.
func mark(words []string, wanted func(string) bool) []bool {
	marks := make([]bool, len(words))
	for i, w := range words {
		marks[i] = wanted(w)
	}
	return marks
}

func (f *rowFilter) match(i int) bool {
	x := f.x
	status := int(x.numbers[numStatus][i])
	return x.times[i] >= f.since && x.times[i] < f.until && status >= f.low && status <= f.high &&
		(f.methods == nil || f.methods[x.texts[textMethod].rows[i]]) && (f.paths == nil || f.paths[x.texts[textPath].rows[i]])
}

// maybe asks the search about a row; m is room for it.
func (f *rowFilter) maybe(i int, m *tapway.Meta) bool {
	if f.ask == nil {
		return true
	}
	f.x.row(i, m)
	return f.ask(m)
}

// searchSegment reports whether the search goes on behind this segment.
func (q *Queue) searchSegment(seg *segment, s *tapway.Search, last uint64, p *pace, yield func(tapway.Meta) bool) (more bool, err error) {
	f, err := seg.acquire()
	if err != nil {
		if seg.gone.Load() || seg.missing(err) {
			return true, nil // deleted since we began: it left the history
		}
		return false, err
	}
	defer seg.release()
	x, err := seg.index(q)
	if err != nil {
		return false, err
	}
	rows := newRowFilter(x, s, last)
	metas := metaReader{f: f, key: q.key, end: seg.end.Load()}
	var row tapway.Meta
	for n := range rows.to - rows.from {
		i := rows.from + n
		if !s.Oldest {
			i = rows.to - 1 - n
		}
		if rows.match(i) && rows.maybe(i, &row) && !q.searchRecord(&metas, x, i, s, p, yield) {
			p.at(x.first + uint64(x.seqs[i]))
			return false, nil
		}
		if err := p.did(x.first + uint64(x.seqs[i])); err != nil {
			return false, err
		}
	}
	return true, nil
}

// searchRecord looks at the record of row i itself. It reports whether the search goes on.
func (q *Queue) searchRecord(metas *metaReader, x *index, i int, s *tapway.Search, p *pace, yield func(tapway.Meta) bool) bool {
	seq, off := x.first+uint64(x.seqs[i]), int64(x.offs[i])*8
	p.cost += costMeta
	m, ok := metas.read(seq, off, !s.Oldest)
	if !ok {
		return true
	}
	if s.Match != nil {
		load := func() (*tapway.Exchange, error) {
			frame := metas.whole(seq, off)
			p.cost += costLook // what is done with it may take long: a body is decoded
			p.bytes += int64(len(frame))
			if frame == nil {
				return q.LoadSeq(p.ctx, seq) // the index may be what is wrong
			}
			return decode(seq, frame)
		}
		if !s.Match(&m, load) {
			return true
		}
	}
	return yield(m)
}

// ended gives the error with which a long walk stops.
func (q *Queue) ended(ctx context.Context) error {
	select {
	case <-q.closing:
		return tapway.ErrClosed
	default:
		return ctx.Err()
	}
}

// metaReader reads the metadata of entries of one segment, in large pieces while the entries
// asked for lie close together.
type metaReader struct {
	f    io.ReaderAt
	key  logKey
	end  int64
	buf  []byte
	off  int64
	prev int64
}

// mostMeta is as much as metadata usually takes with the head of its entry.
const mostMeta = 2 << 10

func (r *metaReader) read(seq uint64, off int64, backwards bool) (m tapway.Meta, ok bool) {
	need := min(mostMeta, r.end-off)
	if need < entryHead {
		return m, false
	}
	if off < r.off || off+need > r.off+int64(len(r.buf)) {
		size := need
		if d := off - r.prev; r.prev > 0 && d < windowSize/4 && d > -windowSize/4 {
			size = windowSize
		}
		start := off
		if backwards {
			start = max(off+need-size, 0)
		}
		size = min(size, r.end-start)
		if int64(cap(r.buf)) < size {
			r.buf = make([]byte, size)
		}
		r.buf, r.off = r.buf[:size], start
		n, _ := r.f.ReadAt(r.buf, start)
		clear(r.buf[n:])
	}
	r.prev = off
	piece := r.buf[off-r.off:]
	got, length, err := r.key.parseHead(piece)
	if err != nil || got != seq {
		return m, false // damaged since it was indexed
	}
	frame := piece[entryHead:min(len(piece), entryHead+length)]
	m, err = tapway.DecodeMeta(frame)
	if err != nil && len(frame) < length { // it is longer than what we read
		m, err = tapway.DecodeMeta(r.whole(seq, off))
	}
	m.Seq = seq
	return m, err == nil
}

// whole gives the frame of an entry, verified and in memory of its own, or nil. Mostly it is in
// what was read for the metadata.
func (r *metaReader) whole(seq uint64, off int64) []byte {
	if off >= r.off && off+entryHead <= r.off+int64(len(r.buf)) {
		piece := r.buf[off-r.off:]
		got, length, err := r.key.parseHead(piece)
		if err == nil && got == seq && entryHead+length <= len(piece) && r.key.check(piece[:entryHead], piece[entryHead:entryHead+length]) {
			return slices.Clone(piece[entryHead : entryHead+length])
		}
	}
	frame, _ := readEntry(r.f, r.key, off, r.end, seq) // what cannot be read is passed over
	return frame
}

// Load reads one exchange by its ID, which tells the time and so the segments to look into.
func (q *Queue) Load(ctx context.Context, id tapway.ID) (*tapway.Exchange, error) {
	ms, hash := idMillis(id), idHash(id)
	segs := q.segs.all()
	slices.Reverse(segs)
	for _, seg := range segs {
		if z := seg.ix.zone.Load(); z != nil && (ms < z.minID || ms > z.maxID) {
			continue
		}
		if err := q.ended(ctx); err != nil {
			return nil, err
		}
		x, err := seg.index(q)
		if err != nil {
			if seg.gone.Load() || seg.missing(err) {
				continue
			}
			return nil, err
		}
		for i, h := range x.ids {
			if h != hash {
				continue
			}
			ex, err := q.LoadSeq(ctx, x.first+uint64(x.seqs[i]))
			if err == nil && ex.ID == id {
				return ex, nil
			}
		}
	}
	return nil, fmt.Errorf("exchange %s: %w", id, tapway.ErrNotFound)
}

// LoadSeq reads one exchange by its position.
func (q *Queue) LoadSeq(_ context.Context, seq uint64) (*tapway.Exchange, error) {
	if seq == 0 || seq > q.last.Load() {
		return nil, fmt.Errorf("position %d: %w", seq, tapway.ErrNotFound)
	}
	frame, err := q.readSeq(seq)
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	return decode(seq, frame)
}

func decode(seq uint64, frame []byte) (*tapway.Exchange, error) {
	ex, err := tapway.DecodeFrame(frame)
	if err != nil {
		return nil, fmt.Errorf("position %d: %w", seq, err)
	}
	ex.Seq = seq
	return ex, nil
}

// Follow gives every exchange behind position seq as soon as it is durable; see [tapway.Store].
func (q *Queue) Follow(ctx context.Context, seq uint64) iter.Seq2[*tapway.Exchange, error] {
	return func(yield func(*tapway.Exchange, error) bool) {
		r := reader{q: q, next: seq + 1}
		defer r.close()
		for {
			if err := q.ended(ctx); err != nil {
				yield(nil, err)
				return
			}
			last := q.last.Load()
			if r.next > last {
				arrived := q.arrived.arm()
				if q.last.Load() == last {
					select {
					case <-arrived:
					case <-ctx.Done():
					case <-q.closing:
					}
				}
				continue
			}
			got, frame, err := r.read(last)
			if err != nil {
				yield(nil, fmt.Errorf("follow: %w", err))
				return
			}
			if frame == nil {
				continue
			}
			ex, err := decode(got, frame)
			if err != nil {
				q.o.Log.Error("queue record cannot be decoded", "position", got, "error", err)
				continue
			}
			if !yield(ex, nil) {
				return
			}
		}
	}
}
