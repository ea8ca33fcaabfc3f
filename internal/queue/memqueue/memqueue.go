// Package memqueue is a queue in memory: for tests, and for whoever wants the tap without
// keeping anything.
//
// What a newcomer gets wrong: it keeps every record until the process ends, so it is not a
// lighter diskqueue. It is written to be obviously right, not fast.
package memqueue

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tapway/tapway"
)

// Queue keeps everything in memory. The zero Queue is empty and ready to use. It is safe for
// concurrent use and must not be copied.
type Queue struct {
	// Lease is how long a received message is kept from others; 0 means two minutes.
	Lease time.Duration

	mu      sync.Mutex
	frames  [][]byte // by position - 1
	calls   uint64
	dropped map[string]uint64
	dests   map[string]*dest
	changed chan struct{} // closed when something may have become due; nil while nobody waits
	closed  bool
}

var _ tapway.Store = (*Queue)(nil)

// fate is where one record stands with one destination.
type fate struct {
	state    string // as in tapway.DeliveryState
	attempts int
	due      time.Time // queued, retrying: not before; leased: until
	first    time.Time
	reason   string
	status   int
	died     time.Time
	held     bool // whoever received it last has not settled it
}

type dest struct {
	q         *Queue
	name      string
	from      int // fates[i] is of position from+i+1
	fates     []*fate
	low       int               // all fates before it are settled for good, or dead
	before    map[string]uint64 // calls dropped when it was subscribed
	base      tapway.LedgerLine // what it counted before it was forgotten
	line      tapway.LedgerLine // Delivered and Dropped; the rest is counted from fates
	forgotten bool
}

// Enqueue stores ex; see [tapway.Queue].
func (q *Queue) Enqueue(ctx context.Context, ex *tapway.Exchange) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := ctx.Err(); err != nil {
		q.dropLocked("canceled")
		return fmt.Errorf("enqueue: %w", err)
	}
	if q.closed {
		q.dropLocked("closed")
		return fmt.Errorf("enqueue: %w", tapway.ErrClosed)
	}
	q.calls++
	q.frames = append(q.frames, tapway.AppendFrame(nil, ex))
	for _, d := range q.dests {
		if !d.forgotten {
			d.fates = append(d.fates, &fate{state: "queued"})
		}
	}
	q.wakeLocked()
	return nil
}

// Drop counts a call of which no record is kept.
func (q *Queue) Drop(reason string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.dropLocked(reason)
}

func (q *Queue) dropLocked(reason string) {
	if q.dropped == nil {
		q.dropped = map[string]uint64{}
	}
	q.calls++
	q.dropped[reason]++
}

func (q *Queue) wakeLocked() {
	if q.changed != nil {
		close(q.changed)
		q.changed = nil
	}
}

func (q *Queue) waitLocked() <-chan struct{} {
	if q.changed == nil {
		q.changed = make(chan struct{})
	}
	return q.changed
}

// Close ends every Receive and Follow. What was stored can still be looked at.
func (q *Queue) Close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.wakeLocked()
	return nil
}

// Subscribe gives the consumer side for one destination; see [tapway.Queue].
func (q *Queue) Subscribe(name string) (tapway.Subscription, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, tapway.ErrClosed
	}
	d := q.dests[name]
	if d == nil {
		d = &dest{q: q, name: name, forgotten: true}
		d.base.Dropped, d.line.Dropped = map[string]uint64{}, map[string]uint64{}
		if q.dests == nil {
			q.dests = map[string]*dest{}
		}
		q.dests[name] = d
	}
	if d.forgotten {
		d.forgotten = false
		d.from, d.fates, d.low = len(q.frames), nil, 0
		d.before = maps.Clone(q.dropped)
	}
	return d, nil
}

// Receive leases messages; see [tapway.Subscription].
func (d *dest) Receive(ctx context.Context, max int) ([]tapway.Message, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		d.q.mu.Lock()
		if d.q.closed {
			d.q.mu.Unlock()
			return nil, tapway.ErrClosed
		}
		msgs, next := d.takeLocked(time.Now(), atLeastOne(max))
		changed := d.q.waitLocked()
		d.q.mu.Unlock()
		if len(msgs) > 0 {
			return msgs, nil
		}
		var timer <-chan time.Time
		if !next.IsZero() {
			t := time.NewTimer(time.Until(next))
			defer t.Stop()
			timer = t.C
		}
		select {
		case <-changed:
		case <-timer:
		case <-ctx.Done():
		}
	}
}

func atLeastOne(n int) int { return max(n, 1) }

func (f *fate) open() bool {
	return f.state == "queued" || f.state == "leased" || f.state == "retrying"
}

// takeLocked leases what is due at now; next is when something else will be.
func (d *dest) takeLocked(now time.Time, limit int) (msgs []tapway.Message, next time.Time) {
	for d.low < len(d.fates) && !d.fates[d.low].open() {
		d.low++
	}
	lease := d.q.Lease
	if lease <= 0 {
		lease = 2 * time.Minute
	}
	for i := d.low; i < len(d.fates) && len(msgs) < limit; i++ {
		f := d.fates[i]
		if !f.open() {
			continue
		}
		if f.due.After(now) {
			if next.IsZero() || f.due.Before(next) {
				next = f.due
			}
			continue
		}
		seq := uint64(d.from + i + 1)
		m := tapway.Message{Seq: seq, Attempts: f.attempts, FirstAttempt: f.first, LastError: f.reason, Frame: d.q.frames[seq-1]}
		if meta, err := tapway.DecodeMeta(m.Frame); err == nil {
			m.ID, m.Enqueued = meta.ID, meta.Time
		}
		f.state, f.due, f.held = "leased", now.Add(lease), true
		msgs = append(msgs, m)
	}
	return msgs, next
}

func (d *dest) fate(seq uint64) *fate {
	if i := int(seq) - d.from - 1; seq > 0 && i >= 0 && i < len(d.fates) {
		return d.fates[i]
	}
	return nil
}

// Settle ends leases; see [tapway.Subscription].
func (d *dest) Settle(_ context.Context, settlements []tapway.Settlement) error {
	d.q.mu.Lock()
	defer d.q.mu.Unlock()
	if d.q.closed {
		return tapway.ErrClosed
	}
	now := time.Now()
	for _, s := range settlements {
		f := d.fate(s.Message.Seq)
		if f == nil || !f.open() || !f.held && s.Outcome.Verdict != tapway.Delivered {
			continue
		}
		d.settleLocked(f, s.Outcome, now)
	}
	d.q.wakeLocked()
	return nil
}

func (d *dest) settleLocked(f *fate, o tapway.Outcome, now time.Time) {
	if o.Verdict == tapway.Retry || o.Verdict == tapway.Dead {
		if f.attempts++; f.first.IsZero() {
			f.first = now
		}
		f.reason, f.status = o.Reason, o.Status
	}
	f.held = false
	switch o.Verdict {
	case tapway.Delivered:
		f.state = "delivered"
		d.line.Delivered++
	case tapway.Dead:
		f.state, f.died = "dead", now
	case tapway.Dropped:
		f.state, f.reason = "dropped", o.Reason
		d.line.Dropped[o.Reason]++
	default:
		f.state, f.due = "queued", now.Add(max(o.After, 0))
		if f.attempts > 0 {
			f.state = "retrying"
		}
	}
}

// Ledger counts where everything ended up.
func (q *Queue) Ledger(context.Context) (tapway.Ledger, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := tapway.Ledger{Calls: q.calls, Stored: uint64(len(q.frames)), Dropped: map[string]uint64{}, Destinations: []tapway.LedgerLine{}}
	maps.Copy(l.Dropped, q.dropped)
	for _, name := range slices.Sorted(maps.Keys(q.dests)) {
		l.Destinations = append(l.Destinations, q.dests[name].lineLocked())
	}
	return l, nil
}

func (d *dest) lineLocked() tapway.LedgerLine {
	l := tapway.LedgerLine{Destination: d.name, Captured: d.base.Captured, Delivered: d.line.Delivered, Dropped: maps.Clone(d.base.Dropped)}
	for reason, n := range d.line.Dropped {
		l.Dropped[reason] += n
	}
	if d.forgotten {
		return l
	}
	for _, f := range d.fates {
		l.Captured++
		if f.open() {
			l.Queued++
		} else if f.state == "dead" {
			l.Dead++
		}
	}
	for reason, n := range d.q.dropped {
		if n -= d.before[reason]; n > 0 {
			l.Captured += n
			l.Dropped[reason] += n
		}
	}
	return l
}

// Forget removes a destination; see [tapway.Store].
func (q *Queue) Forget(_ context.Context, destination string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	d, err := q.destLocked(destination)
	if err != nil {
		return err
	}
	l := d.lineLocked()
	if gone := l.Queued + l.Dead; gone > 0 {
		l.Dropped["forgotten"] += gone
	}
	d.base = tapway.LedgerLine{Captured: l.Captured, Dropped: l.Dropped}
	d.line = tapway.LedgerLine{Delivered: l.Delivered, Dropped: map[string]uint64{}}
	d.forgotten, d.fates, d.low = true, nil, 0
	return nil
}

func (q *Queue) destLocked(name string) (*dest, error) {
	if d := q.dests[name]; d != nil && !d.forgotten {
		return d, nil
	}
	return nil, fmt.Errorf("destination %q: %w", name, tapway.ErrNotFound)
}

func (q *Queue) sortedLocked() (all []*dest) {
	for _, d := range q.dests {
		if !d.forgotten {
			all = append(all, d)
		}
	}
	slices.SortFunc(all, func(a, b *dest) int { return strings.Compare(a.name, b.name) })
	return all
}
