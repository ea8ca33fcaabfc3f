package memqueue

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/tapway/tapway"
)

// length is how many records there are.
func (q *Queue) length() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.frames)
}

// LoadSeq reads one exchange by its position.
func (q *Queue) LoadSeq(_ context.Context, seq uint64) (*tapway.Exchange, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if seq == 0 || seq > uint64(len(q.frames)) {
		return nil, fmt.Errorf("position %d: %w", seq, tapway.ErrNotFound)
	}
	ex, err := tapway.DecodeFrame(q.frames[seq-1])
	if err != nil {
		return nil, err
	}
	ex.Seq = seq
	return ex, nil
}

// Load reads one exchange by its ID.
func (q *Queue) Load(ctx context.Context, id tapway.ID) (*tapway.Exchange, error) {
	for seq := q.length(); seq > 0; seq-- {
		if ex, err := q.LoadSeq(ctx, uint64(seq)); err == nil && ex.ID == id {
			return ex, nil
		}
	}
	return nil, fmt.Errorf("exchange %s: %w", id, tapway.ErrNotFound)
}

// Search walks the stored exchanges; see [tapway.Store]. It makes no use of hints beyond
// leaving out what they exclude.
func (q *Queue) Search(ctx context.Context, s tapway.Search) iter.Seq2[tapway.Meta, error] {
	return func(yield func(tapway.Meta, error) bool) {
		n, found := q.length(), 0
		for i := range n {
			seq := uint64(n - i)
			if s.Oldest {
				seq = uint64(i + 1)
			}
			if err := ctx.Err(); err != nil {
				yield(tapway.Meta{}, err)
				return
			}
			if seq <= s.After || s.Before > 0 && seq >= s.Before {
				continue
			}
			ex, err := q.LoadSeq(ctx, seq)
			if err != nil {
				yield(tapway.Meta{}, err)
				return
			}
			load := func() (*tapway.Exchange, error) { return q.LoadSeq(ctx, seq) }
			if !within(&ex.Meta, &s) || s.Match != nil && !s.Match(&ex.Meta, load) {
				continue
			}
			found++
			if !yield(ex.Meta, nil) || found == s.Limit {
				return
			}
		}
	}
}

func within(m *tapway.Meta, s *tapway.Search) bool {
	h := &s.Hint
	return (s.Since.IsZero() || !m.Time.Before(s.Since)) && (s.Until.IsZero() || m.Time.Before(s.Until)) &&
		(h.StatusMin <= 0 || m.Status >= h.StatusMin) && (h.StatusMax <= 0 || m.Status <= h.StatusMax) &&
		(h.Methods == nil || slices.Contains(h.Methods, m.Method)) && strings.HasPrefix(m.Path, h.PathPrefix)
}

// Follow gives every exchange behind position seq; see [tapway.Store].
func (q *Queue) Follow(ctx context.Context, seq uint64) iter.Seq2[*tapway.Exchange, error] {
	return func(yield func(*tapway.Exchange, error) bool) {
		for {
			q.mu.Lock()
			n, closed, changed := uint64(len(q.frames)), q.closed, q.waitLocked()
			q.mu.Unlock()
			for ; seq < n && ctx.Err() == nil; seq++ {
				if ex, err := q.LoadSeq(ctx, seq+1); err != nil || !yield(ex, nil) {
					return
				}
			}
			if closed {
				yield(nil, tapway.ErrClosed)
				return
			}
			select {
			case <-changed:
			case <-ctx.Done():
				yield(nil, ctx.Err())
				return
			}
		}
	}
}

// DeadLetters walks the dead letters, oldest death first.
func (q *Queue) DeadLetters(ctx context.Context, destination string) iter.Seq2[tapway.DeadLetter, error] {
	return func(yield func(tapway.DeadLetter, error) bool) {
		q.mu.Lock()
		all, err := q.lettersLocked(destination)
		q.mu.Unlock()
		if err != nil {
			yield(tapway.DeadLetter{}, err)
			return
		}
		for _, dl := range all {
			if !yield(dl, ctx.Err()) {
				return
			}
		}
	}
}

func (q *Queue) lettersLocked(destination string) (all []tapway.DeadLetter, err error) {
	dests := q.sortedLocked()
	if destination != "" {
		d, err := q.destLocked(destination)
		if err != nil {
			return nil, err
		}
		dests = []*dest{d}
	}
	for _, d := range dests {
		for i, f := range d.fates {
			if f.state != "dead" {
				continue
			}
			m, err := tapway.DecodeMeta(q.frames[d.from+i])
			if err != nil {
				return nil, err
			}
			m.Seq = uint64(d.from + i + 1)
			all = append(all, tapway.DeadLetter{
				Destination: d.name, Meta: m, Reason: f.reason, Status: f.status,
				Attempts: f.attempts, FirstAttempt: f.first, Died: f.died,
			})
		}
	}
	slices.SortStableFunc(all, func(a, b tapway.DeadLetter) int { return a.Died.Compare(b.Died) })
	return all, nil
}

// Resolve ends dead letters; see [tapway.Store].
func (q *Queue) Resolve(_ context.Context, destination string, seqs []uint64, o tapway.Outcome) (n int, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	d, err := q.destLocked(destination)
	if err != nil {
		return 0, err
	}
	if o.Verdict == tapway.Dead {
		return 0, fmt.Errorf("resolve dead letters: %q is not a way to end one", o.Verdict)
	}
	for _, seq := range seqs {
		f := d.fate(seq)
		if f == nil || f.state != "dead" {
			continue
		}
		n++
		switch o.Verdict {
		case tapway.Delivered, tapway.Dropped:
			d.settleLocked(f, o, time.Now())
		default:
			*f = fate{state: "queued", due: time.Now().Add(max(o.After, 0))}
			d.low = min(d.low, int(seq)-d.from-1)
		}
	}
	q.wakeLocked()
	return n, nil
}

// States tells what became of one exchange, for every destination that is owed it.
func (q *Queue) States(_ context.Context, seq uint64) ([]tapway.DeliveryState, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if seq == 0 || seq > uint64(len(q.frames)) {
		return nil, fmt.Errorf("position %d: %w", seq, tapway.ErrNotFound)
	}
	states := []tapway.DeliveryState{}
	for _, d := range q.sortedLocked() {
		f := d.fate(seq)
		if f == nil {
			continue
		}
		st := tapway.DeliveryState{Destination: d.name, State: f.state, Attempts: f.attempts, Reason: f.reason}
		if f.state == "retrying" || f.state == "queued" {
			st.Next = f.due
		}
		states = append(states, st)
	}
	return states, nil
}

// Stats is the state of the store. Bytes is what the frames take in memory.
func (q *Queue) Stats(context.Context) (tapway.Stats, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	st := tapway.Stats{Last: uint64(len(q.frames)), Records: uint64(len(q.frames)), Destinations: []tapway.DestinationStats{}}
	for _, frame := range q.frames {
		st.Bytes += int64(len(frame))
	}
	if len(q.frames) > 0 {
		st.First, st.Oldest = 1, q.timeLocked(1)
	}
	for _, d := range q.sortedLocked() {
		ds := tapway.DestinationStats{Destination: d.name}
		for i, f := range d.fates {
			if f.state == "dead" {
				ds.Dead++
			}
			if !f.open() {
				continue
			}
			if ds.Queued++; ds.Queued == 1 {
				ds.OldestQueued = q.timeLocked(d.from + i + 1)
			}
			if f.state == "leased" && f.due.After(time.Now()) {
				ds.Leased++
			}
			if f.attempts > 0 {
				ds.Retrying++
			}
		}
		st.Destinations = append(st.Destinations, ds)
	}
	return st, nil
}

func (q *Queue) timeLocked(seq int) time.Time {
	m, err := tapway.DecodeMeta(q.frames[seq-1])
	if err != nil {
		return time.Time{}
	}
	return m.Time
}

// Check finds nothing: memory does not rot.
func (q *Queue) Check(_ context.Context, progress func(done, total int64)) (tapway.CheckReport, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	r := tapway.CheckReport{Records: uint64(len(q.frames)), Damage: []tapway.Damage{}}
	for _, frame := range q.frames {
		r.Bytes += int64(len(frame))
	}
	if progress != nil {
		progress(r.Bytes, r.Bytes)
	}
	return r, nil
}
