package diskqueue

import (
	"encoding/binary"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

// maxHeld is how many messages of one destination may be leased or waiting for another
// attempt at a time. Beyond it only those are received; the rest stays in the log in order.
const maxHeld = 100_000

// dest is one destination's side of the queue.
type dest struct {
	q    *Queue
	name string
	wake broadcast

	mu        sync.Mutex
	forgotten bool

	start     uint64            // it is owed the positions behind this one
	base      uint64            // calls of its account that start and before do not cover
	before    map[string]uint64 // drops before the log when start was set; not its own
	delivered uint64
	dropped   map[string]uint64
	reasons   []string // of drops, numbered in order of appearance
	dead      uint64
	done      settled

	pos      uint64 // the next position that nobody has received
	rd       reader
	entries  map[uint64]*entry
	spare    []*entry
	timed    entryHeap
	ready    entryHeap
	nLeased  int
	nRetry   int    // entries with attempts behind them
	nAgain   int    // redriven entries in memory
	spilled  uint64 // redriven entries only in the database
	spillPos uint64 // where the last look at those ended

	// Not yet written down:
	deaths   []death
	drops    map[uint64][]byte   // page -> what to add to its row of drops
	purge    bool                // everything written before is void
	touched  map[uint64]struct{} // retry rows to write or delete
	changed  bool
	nChanges int
	writing  *change // on its way into the database
}

func newDest(q *Queue, name string, start uint64) *dest {
	return &dest{
		q: q, name: name, start: start, pos: start + 1, done: newSettled(start),
		before: map[string]uint64{}, dropped: map[string]uint64{}, entries: map[uint64]*entry{},
		touched: map[uint64]struct{}{}, drops: map[uint64][]byte{}, timed: entryHeap{byTime: true}, rd: reader{q: q, next: start + 1},
	}
}

// broadcast wakes everyone who waits; it costs one load when nobody does.
type broadcast struct {
	armed atomic.Bool
	mu    sync.Mutex
	ch    chan struct{}
}

// arm gives a channel that the next broadcast closes. Arm first, then look, then wait.
func (b *broadcast) arm() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch == nil {
		b.ch = make(chan struct{})
	}
	b.armed.Store(true)
	return b.ch
}

func (b *broadcast) broadcast() {
	if !b.armed.Load() {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch != nil {
		close(b.ch)
		b.ch = nil
	}
	b.armed.Store(false)
}

// queuedLocked counts what is not settled, up to position last.
func (d *dest) queuedLocked(last uint64) uint64 {
	if d.forgotten {
		return 0
	}
	n := uint64(d.nAgain) + d.spilled
	if last > d.done.floor {
		n += last - d.done.floor - d.done.above
	}
	return n
}

// accountLocked gives captured and the calls dropped before the log since start.
func (d *dest) accountLocked(last uint64, drops map[string]uint64) (captured uint64, early map[string]uint64) {
	captured = d.base
	early = map[string]uint64{}
	if d.forgotten {
		return captured, early
	}
	if last > d.start {
		captured += last - d.start
	}
	for reason, n := range drops {
		if n > d.before[reason] {
			early[reason] = n - d.before[reason]
			captured += n - d.before[reason]
		}
	}
	return captured, early
}

// forgetLocked closes the account: what was still owed counts as dropped. A destination of
// the same name goes on with it.
func (d *dest) forgetLocked(last uint64, drops map[string]uint64) {
	gone := d.queuedLocked(last) + d.dead
	captured, early := d.accountLocked(last, drops)
	for reason, n := range early {
		d.dropped[reason] += n
	}
	if gone > 0 {
		d.dropped["forgotten"] += gone
	}
	d.base = captured
	d.forgotten = true
	d.resetLocked(last)
	d.purge = true
}

// resetLocked lets the account begin anew behind position last, with nothing owed.
func (d *dest) resetLocked(last uint64) {
	d.rd.close()
	d.start, d.pos, d.done, d.rd = last, last+1, newSettled(last), reader{q: d.q, next: last + 1}
	d.entries, d.timed, d.ready = map[uint64]*entry{}, entryHeap{byTime: true}, entryHeap{}
	d.nLeased, d.nRetry, d.nAgain, d.spilled, d.spillPos, d.dead = 0, 0, 0, 0, 0, 0
	d.deaths, d.touched, d.drops = nil, map[uint64]struct{}{}, map[uint64][]byte{}
	d.before = map[string]uint64{}
	d.changed = true
}

// beginLocked makes a new (or forgotten) destination owe everything behind position last.
func (d *dest) beginLocked(last uint64, drops map[string]uint64) {
	d.resetLocked(last)
	d.forgotten = false
	d.before = maps.Clone(drops)
}

func (d *dest) newEntry(seq uint64) *entry {
	var e *entry
	if n := len(d.spare); n > 0 {
		e = d.spare[n-1]
		d.spare = d.spare[:n-1]
		*e = entry{seq: seq}
	} else {
		e = &entry{seq: seq}
	}
	d.entries[seq] = e
	return e
}

// insertLocked takes a row of the retry bucket into memory.
func (d *dest) insertLocked(seq uint64, r retryRow) {
	e := d.newEntry(seq)
	e.attempts, e.first, e.lastErr, e.again, e.saved = r.attempts, r.first, r.lastErr, r.again, true
	e.at, e.state = d.q.tick(&r), waiting
	if e.attempts > 0 {
		d.nRetry++
	}
	if e.again {
		d.nAgain++
	}
	d.timed.push(e)
}

// leaseLocked hands e out until the lease ends.
func (d *dest) leaseLocked(e *entry, now int64) {
	e.state, e.held = leased, true
	e.at = now + int64(d.q.o.Lease)
	d.nLeased++
	d.timed.push(e)
}

// detachLocked takes e out of its heap.
func (d *dest) detachLocked(e *entry) {
	if e.state == ready {
		d.ready.remove(e)
		return
	}
	if e.state == leased {
		d.nLeased--
	}
	d.timed.remove(e)
}

// finishLocked settles a position for good and forgets its entry, which may be nil.
func (d *dest) finishLocked(seq uint64, e *entry) {
	if e == nil || !e.again {
		d.done.add(seq)
	}
	d.changed = true
	d.nChanges++
	if e == nil {
		return
	}
	d.detachLocked(e)
	if e.attempts > 0 {
		d.nRetry--
	}
	if e.again {
		d.nAgain--
	}
	if e.saved {
		d.touched[seq] = struct{}{}
	}
	delete(d.entries, seq)
	if len(d.spare) < 1024 {
		d.spare = append(d.spare, e)
	}
}

// dropLocked settles a position as dropped for a reason.
func (d *dest) dropLocked(seq uint64, e *entry, reason string) {
	d.finishLocked(seq, e)
	d.noteDropLocked(seq, d.reasonLocked(reason))
}

// noteDropLocked counts a drop, and keeps its reason for States.
func (d *dest) noteDropLocked(seq uint64, reason string) {
	no := slices.Index(d.reasons, reason)
	if no < 0 {
		no = len(d.reasons)
		d.reasons = append(d.reasons, reason)
	}
	d.dropped[reason]++
	// Position within the page and number of the reason: what States reads.
	row := binary.LittleEndian.AppendUint16(d.drops[seq/pageBits], uint16(seq%pageBits))
	d.drops[seq/pageBits] = append(row, byte(no))
}

// reasonLocked keeps reasons few: more kinds than reasonCap count as "other".
func (d *dest) reasonLocked(reason string) string {
	if _, known := d.dropped[reason]; !known && len(d.dropped) >= reasonCap {
		return "other"
	}
	return reason
}
