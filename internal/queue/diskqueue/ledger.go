package diskqueue

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/tapway/tapway"
)

// Ledger counts where everything ended up. Stored is the newest position, Calls is counted
// apart from it where records are published and drops are noted, and per destination captured, delivered, dead and dropped are counters while
// queued is what its set of settled positions leaves over.
func (q *Queue) Ledger(context.Context) (tapway.Ledger, error) {
	if err := q.enter(); err != nil {
		return tapway.Ledger{}, err
	}
	defer q.leave()
	var l tapway.Ledger
	q.storedMu.Lock()
	l.Stored, l.Calls = q.last.Load(), q.stored
	q.storedMu.Unlock()
	dropped, calls := q.counters.count()
	l.Dropped, l.Calls = dropped, l.Calls+calls
	l.Destinations = []tapway.LedgerLine{}
	for _, d := range q.allDests() {
		if line, ok := d.line(q.counters.snapshot()); ok {
			l.Destinations = append(l.Destinations, line)
		}
	}
	return l, nil
}

// publish makes n records visible, of which last is the newest, and counts them as calls.
func (q *Queue) publish(last uint64, n int) {
	q.storedMu.Lock()
	defer q.storedMu.Unlock()
	q.stored += uint64(n)
	q.last.Store(last)
}

// line is one destination's account; none for a name that never had one.
func (d *dest) line(drops map[string]uint64) (tapway.LedgerLine, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	last := d.q.last.Load()
	line := tapway.LedgerLine{Destination: d.name, Delivered: d.delivered, Dead: d.dead, Queued: d.queuedLocked(last)}
	captured, early := d.accountLocked(last, drops)
	line.Captured, line.Dropped = captured, maps.Clone(d.dropped)
	for reason, n := range early {
		line.Dropped[reason] += n
	}
	return line, !d.forgotten || captured > 0
}

// Stats is the state of the store.
func (q *Queue) Stats(context.Context) (tapway.Stats, error) {
	if err := q.enter(); err != nil {
		return tapway.Stats{}, err
	}
	defer q.leave()
	st := tapway.Stats{Last: q.last.Load(), Limit: max(q.o.MaxBytes, 0), Destinations: []tapway.DestinationStats{}}
	st.Bytes = diskUse(q.dir, func(string) bool { return true })
	for _, s := range q.segs.all() {
		last := s.last.Load()
		if last < s.first {
			continue
		}
		n := last - s.first + 1
		if s.sparse {
			x, err := s.index(q)
			if err != nil {
				return st, err
			}
			if n = uint64(len(x.seqs)); n == 0 {
				continue
			}
		}
		st.Records += n
		if st.First == 0 {
			st.First = s.first
			st.Oldest = q.captured(q.firstIn(s))
		}
	}
	for _, d := range q.allDests() {
		if ds, ok := d.stats(); ok {
			st.Destinations = append(st.Destinations, ds)
		}
	}
	return st, nil
}

func (q *Queue) firstIn(s *segment) uint64 {
	if s.sparse {
		if x, err := s.index(q); err == nil && len(x.seqs) > 0 {
			return x.first + uint64(x.seqs[0])
		}
	}
	return s.first
}

// captured is the capture time of a stored record; zero if it cannot be read.
func (q *Queue) captured(seq uint64) time.Time {
	frame, err := q.readSeq(seq)
	if err != nil {
		return time.Time{}
	}
	_, at := peek(frame)
	return at
}

func (d *dest) stats() (tapway.DestinationStats, bool) {
	d.mu.Lock()
	last := d.q.last.Load()
	ds := tapway.DestinationStats{
		Destination: d.name, Queued: d.queuedLocked(last), Leased: uint64(d.nLeased), Retrying: uint64(d.nRetry), Dead: d.dead,
	}
	oldest := d.done.next(d.done.floor + 1)
	if d.nAgain > 0 {
		for seq, e := range d.entries {
			if e.again {
				oldest = min(oldest, seq)
			}
		}
	}
	forgotten := d.forgotten
	d.mu.Unlock()
	if ds.Queued > 0 && oldest <= last {
		ds.OldestQueued = d.q.captured(oldest)
	}
	return ds, !forgotten
}

// diskUse adds up what the directory's files of which counts says yes take on the disk, as far as it can be read.
func diskUse(dir string, counts func(name string) bool) (n int64) {
	filepath.WalkDir(dir, func(_ string, e os.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() && counts(e.Name()) {
			if info, err := e.Info(); err == nil {
				n += blocks(info)
			}
		}
		return nil
	})
	return n
}

// States tells what became of one exchange, for every destination that is (or was) owed it.
func (q *Queue) States(_ context.Context, seq uint64) ([]tapway.DeliveryState, error) {
	if err := q.enter(); err != nil {
		return nil, err
	}
	defer q.leave()
	if seq == 0 || seq > q.last.Load() {
		return nil, fmt.Errorf("position %d: %w", seq, tapway.ErrNotFound)
	}
	states := []tapway.DeliveryState{}
	for _, d := range q.allDests() {
		st, ok, err := d.state(seq)
		if err != nil {
			return nil, err
		}
		if ok {
			states = append(states, st)
		}
	}
	return states, nil
}

func (d *dest) state(seq uint64) (st tapway.DeliveryState, ok bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	st.Destination = d.name
	e := d.entries[seq]
	switch {
	case d.forgotten:
		return st, false, nil
	case e != nil:
		st.Attempts, st.Reason, st.State = e.attempts, e.lastErr, "queued"
		if e.state == leased {
			st.State = "leased"
		} else if e.attempts > 0 {
			st.State = "retrying"
		}
		if e.state == waiting {
			st.Next = d.q.wall(e.at).UTC()
		}
		return st, true, nil
	case !d.done.has(seq):
		st.State = "queued"
		return st, true, nil
	}
	for i := range d.deaths {
		if d.deaths[i].seq == seq {
			st.State, st.Attempts, st.Reason = "dead", d.deaths[i].attempts, d.deaths[i].reason
			return st, true, nil
		}
	}
	if reason, ok := d.dropReasonLocked(seq, nil); ok {
		st.State, st.Reason = "dropped", reason
		return st, true, nil
	}
	st.State = "delivered"
	known := seq > d.start
	err = d.q.state.view(func(tx *bolt.Tx) error {
		b := bucket(tx, d.name)
		if b == nil {
			return nil
		}
		if died := b.Bucket(bktDeadSeq).Get(seqKey(seq)); died != nil {
			key := append(append([]byte{}, died...), seqKey(seq)...)
			if dl, ok := parseDead(key, b.Bucket(bktDead).Get(key)); ok {
				st.State, st.Attempts, st.Reason, known = "dead", dl.attempts, dl.reason, true
			}
		} else if r, ok := parseRetry(b.Bucket(bktRetry).Get(seqKey(seq))); ok && r.again && !d.rowGoneLocked(seq) {
			st.State, known = "queued", true
		} else if reason, ok := d.dropReasonLocked(seq, b.Bucket(bktDropped).Get(seqKey(seq/pageBits))); ok {
			st.State, st.Reason, known = "dropped", reason, true
		}
		return nil
	})
	return st, known, err
}

// rowGoneLocked reports whether a retry row in the database is about to be deleted.
func (d *dest) rowGoneLocked(seq uint64) bool {
	_, gone := d.touched[seq]
	if !gone && d.writing != nil {
		_, gone = d.writing.retries[seq]
	}
	return gone
}

// dropReasonLocked looks a dropped position up in row, or without one in what is not yet
// written down.
func (d *dest) dropReasonLocked(seq uint64, row []byte) (string, bool) {
	if row == nil {
		row = d.drops[seq/pageBits]
		if d.writing != nil {
			row = append(append([]byte{}, row...), d.writing.drops[seq/pageBits]...)
		}
	}
	for ; len(row) >= 3; row = row[3:] {
		if uint64(binary.LittleEndian.Uint16(row)) == seq%pageBits && int(row[2]) < len(d.reasons) {
			return d.reasons[row[2]], true
		}
	}
	return "", false
}
