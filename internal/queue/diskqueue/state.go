package diskqueue

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
)

// The state database has one bucket per destination, and in it
//
//	meta     destMeta as JSON
//	pages    page number -> 512 bytes of bits, or one byte for a page that is all settled
//	retry    position -> retryRow
//	dead     time of death, position -> deadRow: in the order in which they are listed
//	deadseq  position -> time of death
//	dropped  page number -> which of its positions were dropped, and why
//
// Every commit is synced: a torn commit would be worse than an old one, and ten a second cost
// less than one percent of what the log syncs.
var (
	bktDests   = []byte("destinations")
	keyMeta    = []byte("meta")
	bktPages   = []byte("pages")
	bktRetry   = []byte("retry")
	bktDead    = []byte("dead")
	bktDeadSeq = []byte("deadseq")
	bktDropped = []byte("dropped")
	keyRebuilt = []byte("rebuilt")
)

var errState = errors.New("state database is damaged")

// stateDB wraps bbolt so that neither its panics nor a damaged page can end the process.
type stateDB struct{ db *bolt.DB }

func openState(path string, readOnly bool) (*stateDB, error) {
	// The list of free pages is kept in the file: making it on opening would mean a walk
	// through the file in a goroutine of bbolt's, whose panics nobody could catch.
	db, err := bolt.Open(path, 0o600, &bolt.Options{
		Timeout: time.Second, FreelistType: bolt.FreelistMapType, NoStatistics: true, ReadOnly: readOnly,
	})
	if err != nil {
		return nil, err
	}
	db.AllocSize = 1 << 20
	return &stateDB{db}, nil
}

// openStateSafely turns what a damaged file makes bbolt do (errors, panics, faults in its
// mapped memory) into one error, and reads the whole file once.
func openStateSafely(path string, readOnly bool) (s *stateDB, err error) {
	defer guard(&err)()
	s, err = openState(path, readOnly)
	if err != nil {
		return nil, err
	}
	var size, content int64
	err = s.view(func(tx *bolt.Tx) error {
		st, err := os.Stat(path)
		if err != nil {
			return err
		}
		if size = tx.Size(); st.Size() < size {
			return fmt.Errorf("%w: it has %d bytes and should have %d", errState, st.Size(), size)
		}
		return tx.ForEach(func(_ []byte, b *bolt.Bucket) error { return readAll(b, &content) })
	})
	if err != nil {
		s.close()
		return nil, err
	}
	if !readOnly && size > compactFrom && size > 4*content {
		return s.compact(path)
	}
	return s, nil
}

// compactFrom is the size from which a database that is mostly empty is written anew.
const compactFrom = 16 << 20

// compact writes the database anew without its free pages: bbolt never gives any back.
func (s *stateDB) compact(path string) (*stateDB, error) {
	tmp := path + ".tmp"
	os.Remove(tmp) // of an earlier try
	by, err := openState(tmp, false)
	if err != nil {
		return s, nil // it is only larger than it could be
	}
	err = bolt.Compact(by.db, s.db, 1<<20)
	if cerr := by.close(); err == nil {
		err = cerr
	}
	if err != nil {
		os.Remove(tmp)
		return s, nil
	}
	if err := s.close(); err != nil {
		return nil, err
	}
	if err := os.Rename(tmp, path); err != nil {
		return nil, err
	}
	if err := (osFiles{}).SyncDir(filepath.Dir(path)); err != nil {
		return nil, err
	}
	return openState(path, false)
}

// readAll touches every key and value below b.
func readAll(b *bolt.Bucket, content *int64) error {
	var sum byte
	err := b.ForEach(func(k, v []byte) error {
		for _, c := range k {
			sum += c
		}
		for _, c := range v {
			sum += c
		}
		if v == nil {
			return readAll(b.Bucket(k), content)
		}
		*content += int64(len(k) + len(v))
		return nil
	})
	runtime.KeepAlive(sum)
	return err
}

func guard(err *error) func() {
	old := debug.SetPanicOnFault(true)
	return func() {
		debug.SetPanicOnFault(old)
		if p := recover(); p != nil {
			*err = fmt.Errorf("%w: %v", errState, p)
		}
	}
}

func (s *stateDB) view(f func(*bolt.Tx) error) (err error) {
	defer guard(&err)()
	return s.db.View(f)
}

func (s *stateDB) update(f func(*bolt.Tx) error) (err error) {
	defer guard(&err)()
	return s.db.Update(f)
}

// trim keeps the mapped pages of a large database from counting as this process's memory.
func (s *stateDB) trim() error {
	return s.view(func(tx *bolt.Tx) error { // while it is open the file is not mapped anew
		if size := tx.Size(); size > 4<<20 {
			forget(s.db.Info().Data, size)
		}
		return nil
	})
}

func (s *stateDB) close() (err error) {
	defer guard(&err)()
	return s.db.Close()
}

// bucket gives a destination's bucket, or nil.
func bucket(tx *bolt.Tx, name string) *bolt.Bucket {
	if b := tx.Bucket(bktDests); b != nil {
		return b.Bucket([]byte(name))
	}
	return nil
}

func makeBucket(tx *bolt.Tx, name string) (*bolt.Bucket, error) {
	b, err := tx.CreateBucketIfNotExists(bktDests)
	if err != nil {
		return nil, err
	}
	b, err = b.CreateBucketIfNotExists([]byte(name))
	if err != nil {
		return nil, err
	}
	for _, sub := range [...][]byte{bktPages, bktRetry, bktDead, bktDeadSeq, bktDropped} {
		if _, err := b.CreateBucketIfNotExists(sub); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// change is what one destination has not written down yet.
type change struct {
	d       *dest
	meta    []byte
	pages   map[uint64][]byte // nil: delete
	retries map[uint64][]byte // nil: delete
	deaths  []death
	drops   map[uint64][]byte // page -> more of its row
	purge   bool              // everything written before is void
}

// collectLocked takes what has changed since the last time, or nil.
func (d *dest) collectLocked() *change {
	if !d.changed {
		return nil
	}
	meta, err := json.Marshal(destMeta{
		Floor: d.done.floor, Start: d.start, Base: d.base, Before: d.before, Delivered: d.delivered,
		Dropped: d.dropped, Dead: d.dead, Reasons: d.reasons, Forgotten: d.forgotten,
	})
	if err != nil {
		panic(err) // numbers and strings: cannot happen
	}
	c := &change{d: d, meta: meta, pages: map[uint64][]byte{}, retries: map[uint64][]byte{}, deaths: d.deaths, drops: d.drops, purge: d.purge}
	for no := range d.done.dirty {
		c.pages[no] = d.done.pages[no].encode()
	}
	for seq := range d.touched {
		c.retries[seq] = nil
		e := d.entries[seq]
		if e == nil {
			continue
		}
		r := retryRow{attempts: e.attempts, again: e.again, next: d.q.wall(e.at), wait: time.Duration(e.at - d.q.ticks()), first: e.first, lastErr: e.lastErr}
		if e.state != waiting {
			r.next, r.wait = d.q.o.Now(), 0 // a lease does not outlive the process
		}
		c.retries[seq] = r.encode()
		e.saved = true
	}
	clear(d.done.dirty)
	clear(d.touched)
	d.deaths, d.drops, d.purge = nil, map[uint64][]byte{}, false
	d.changed, d.nChanges = false, 0
	d.writing = c
	return c
}

// restoreLocked puts back what could not be written.
func (d *dest) restoreLocked(c *change) {
	for no := range c.pages {
		d.done.dirty[no] = struct{}{}
	}
	for seq := range c.retries {
		d.touched[seq] = struct{}{}
	}
	d.deaths = append(c.deaths, d.deaths...)
	for no, row := range c.drops {
		d.drops[no] = append(row, d.drops[no]...)
	}
	d.purge = d.purge || c.purge
	d.changed = true
	d.nChanges += len(c.deaths) + len(c.retries)
}

func (c *change) write(tx *bolt.Tx) error {
	if c.purge && bucket(tx, c.d.name) != nil {
		if err := tx.Bucket(bktDests).DeleteBucket([]byte(c.d.name)); err != nil {
			return err
		}
	}
	b, err := makeBucket(tx, c.d.name)
	if err != nil {
		return err
	}
	if err := b.Put(keyMeta, c.meta); err != nil {
		return err
	}
	if err := putAll(b.Bucket(bktPages), c.pages); err != nil {
		return err
	}
	if err := putAll(b.Bucket(bktRetry), c.retries); err != nil {
		return err
	}
	dropped := b.Bucket(bktDropped)
	for no, row := range c.drops {
		key := seqKey(no)
		if err := dropped.Put(key, slices.Concat(dropped.Get(key), row)); err != nil {
			return err
		}
	}
	dead, byDeadSeq := b.Bucket(bktDead), b.Bucket(bktDeadSeq)
	for i := range c.deaths {
		key := deadKey(c.deaths[i].died, c.deaths[i].seq)
		if err := dead.Put(key, c.deaths[i].encode()); err != nil {
			return err
		}
		if err := byDeadSeq.Put(seqKey(c.deaths[i].seq), key[:8]); err != nil {
			return err
		}
	}
	return nil
}

func putAll(b *bolt.Bucket, rows map[uint64][]byte) error {
	for no, data := range rows {
		var err error
		if data == nil {
			err = b.Delete(seqKey(no))
		} else {
			err = b.Put(seqKey(no), data)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// flush writes down what was settled, all destinations in one transaction.
func (q *Queue) flush() error {
	q.flushMu.Lock()
	defer q.flushMu.Unlock()
	return q.flushLocked()
}

func (q *Queue) flushLocked() error {
	var changes []*change
	for _, d := range q.allDests() {
		d.mu.Lock()
		if c := d.collectLocked(); c != nil {
			changes = append(changes, c)
		}
		d.mu.Unlock()
	}
	q.lastFlush.Store(q.ticks())
	if len(changes) == 0 {
		return nil
	}
	// The state must never be ahead of the log: after a power cut the positions it calls
	// settled would be given out again.
	err := q.w.sync()
	if err == nil {
		err = q.writeChanges(changes)
	}
	if err != nil && noSpace(err) && q.giveReserve() {
		err = q.writeChanges(changes)
	}
	for _, c := range changes {
		c.d.mu.Lock()
		if c.d.writing = nil; err != nil {
			c.d.restoreLocked(c)
		}
		c.d.mu.Unlock()
	}
	if err != nil {
		return fmt.Errorf("write down settlements: %w", err)
	}
	return nil
}

func (q *Queue) writeChanges(changes []*change) error {
	return q.state.update(func(tx *bolt.Tx) error {
		for _, c := range changes {
			if err := c.write(tx); err != nil {
				return err
			}
		}
		return nil
	})
}

// giveReserve frees the bytes that were put aside for this moment.
func (q *Queue) giveReserve() bool {
	err := os.Remove(q.reservePath())
	if err == nil {
		q.o.Log.Warn("disk full: the reserve was given up to write down settlements")
	}
	return err == nil
}

// loadDest reads a destination when the queue is opened.
func (q *Queue) loadDest(name string, b *bolt.Bucket) (*dest, error) {
	var m destMeta
	if err := json.Unmarshal(b.Get(keyMeta), &m); err != nil {
		return nil, fmt.Errorf("%w: destination %q: %w", errState, name, err)
	}
	d := newDest(q, name, m.Start)
	d.base, d.delivered, d.dead, d.forgotten = m.Base, m.Delivered, m.Dead, m.Forgotten
	for reason, n := range m.Before {
		d.before[reason] = n
	}
	for reason, n := range m.Dropped {
		d.dropped[reason] = n
	}
	d.reasons = m.Reasons
	d.done = newSettled(m.Floor)
	d.pos = m.Floor + 1
	d.rd.next = d.pos
	if pages := b.Bucket(bktPages); pages != nil {
		err := pages.ForEach(func(k, v []byte) error {
			p := parsePage(v)
			if p == nil || len(k) != 8 {
				return fmt.Errorf("%w: destination %q: a page of positions", errState, name)
			}
			d.done.load(binary.BigEndian.Uint64(k), p)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return d, d.loadRetries(b.Bucket(bktRetry))
}

// load takes in a page that was written down; bits up to the floor do not count.
func (s *settled) load(no uint64, p *page) {
	if (no+1)*pageBits <= s.floor+1 {
		s.dirty[no] = struct{}{} // passed: delete it with the next flush
		return
	}
	s.pages[no] = p
	for seq := max(no*pageBits, s.floor+1); seq < (no+1)*pageBits; seq++ {
		if p.bits[seq%pageBits/64]&(1<<(seq%64)) != 0 {
			s.above++
		}
	}
}

// loadRetries takes in the messages between attempts, and as many redriven ones as fit.
func (d *dest) loadRetries(b *bolt.Bucket) error {
	if b == nil {
		return nil
	}
	return b.ForEach(func(k, v []byte) error {
		r, ok := parseRetry(v)
		if !ok || len(k) != 8 {
			return fmt.Errorf("%w: destination %q: a retry", errState, d.name)
		}
		seq := binary.BigEndian.Uint64(k)
		switch {
		case r.again && len(d.entries) >= d.q.maxHeld/2:
			d.spilled++
		case r.again || !d.done.has(seq):
			d.insertLocked(seq, r)
		}
		return nil
	})
}

// refillLocked takes more redriven messages from the database into memory.
func (d *dest) refillLocked() {
	var rows []struct {
		seq uint64
		r   retryRow
	}
	room := min(d.q.maxHeld/2-len(d.entries), 10_000)
	err := d.q.state.view(func(tx *bolt.Tx) error {
		b := bucket(tx, d.name)
		if b == nil {
			return nil
		}
		c := b.Bucket(bktRetry).Cursor()
		k, v := c.Seek(seqKey(d.spillPos))
		for ; k != nil && len(rows) < room; k, v = c.Next() {
			seq := binary.BigEndian.Uint64(k)
			d.spillPos = seq + 1
			gone := d.rowGoneLocked(seq) // settled, its row not yet deleted
			if r, ok := parseRetry(v); ok && r.again && d.entries[seq] == nil && !gone {
				rows = append(rows, struct {
					seq uint64
					r   retryRow
				}{seq, r})
			}
		}
		if k == nil {
			d.spillPos = 0 // the next look begins at the front again
		}
		return nil
	})
	if err != nil {
		d.q.o.Log.Error("redriven records cannot be read", "destination", d.name, "error", err)
	}
	for _, row := range rows {
		d.insertLocked(row.seq, row.r)
		d.spilled--
	}
}
