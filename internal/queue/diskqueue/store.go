package diskqueue

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"sync"
	"time"

	"github.com/tapway/tapway"
)

// The store file has two slots, written in turn, so that a torn write leaves the other one:
//
//	word(8) generation(8) key(8) next(8) reasons(4) { length(1) reason count(8) }... crc(4)
//
// It is made once at full size: counting a call that did not fit works on a full disk.
const (
	storeWord = "tapwayst"
	storeSlot = 8 << 10
	maxReason = 64
	reasonCap = 100 // more kinds of reasons than this are counted as "other"
)

// counters is the store file: the key of the log, a position that was certainly given out
// before, and the calls that were dropped before they got a position.
type counters struct {
	f file

	mu      sync.Mutex
	harmed  bool // there was a store file, and it could not be read
	key     logKey
	next    uint64 // no position below it may be given out again; 0 or 1 in a new store
	dropped map[string]uint64
	calls   uint64 // how many calls these are, counted apart
	changed bool

	writeMu sync.Mutex
	gen     uint64
	written time.Time
}

// openCounters reads the store file, or makes it. fresh says that it was not there or not
// readable; then the caller decides on the key.
func openCounters(fs files, path string) (c *counters, fresh bool, err error) {
	f, err := fs.Open(path, os.O_CREATE|os.O_RDWR)
	if err != nil {
		return nil, false, fmt.Errorf("open store file: %w", err)
	}
	c = &counters{f: f, dropped: map[string]uint64{}}
	buf := make([]byte, 2*storeSlot)
	n, err := f.ReadAt(buf, 0)
	if refused(err) {
		f.Close()
		return nil, false, fmt.Errorf("read store file: %w", err)
	}
	fresh = true
	for _, slot := range [][]byte{buf[:storeSlot], buf[storeSlot:]} {
		if got, ok := parseStore(slot); ok && (fresh || got.gen > c.gen) {
			c.key, c.next, c.dropped, c.gen = got.key, got.next, got.dropped, got.gen
			fresh = false
		}
	}
	c.harmed = fresh && len(bytes.Trim(buf, "\x00")) > 0
	for _, n := range c.dropped {
		c.calls += n
	}
	if n < len(buf) {
		if err := f.Allocate(int64(len(buf))); err != nil {
			f.Close()
			return nil, false, fmt.Errorf("make store file: %w", err)
		}
	}
	return c, fresh, nil
}

func (c *counters) drop(reason string) {
	if len(reason) > maxReason {
		reason = reason[:maxReason]
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.dropped[reason]; !known && len(c.dropped) >= reasonCap {
		reason = "other"
	}
	c.dropped[reason]++
	c.calls++
	c.changed = true
}

func (c *counters) snapshot() map[string]uint64 {
	dropped, _ := c.count()
	return dropped
}

func (c *counters) count() (dropped map[string]uint64, calls uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.dropped), c.calls
}

// advance notes that positions below next are taken, for the time when no segment says so.
func (c *counters) advance(next uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if next > c.next {
		c.next, c.changed = next, true
	}
}

// stale reports whether something has been waiting to be written for some time.
func (c *counters) stale() bool {
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	return time.Since(c.written) > flushEvery
}

// flush writes the counters if they changed: then they survive a kill. With sync they also
// survive a power cut.
func (c *counters) flush(sync bool) error {
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	c.mu.Lock()
	if !c.changed {
		c.mu.Unlock()
		if sync {
			return c.f.Sync()
		}
		return nil
	}
	c.changed = false
	slot := c.encode(c.gen + 1)
	c.mu.Unlock()
	_, err := c.f.WriteAt(slot, int64(c.gen%2)*storeSlot)
	if err == nil && sync {
		err = c.f.Sync()
	}
	if err != nil {
		c.mu.Lock()
		c.changed = true
		c.mu.Unlock()
		return fmt.Errorf("write store file: %w", err)
	}
	c.gen++
	c.written = time.Now()
	return nil
}

func (c *counters) encode(gen uint64) []byte {
	le := binary.LittleEndian
	b := make([]byte, 0, storeSlot)
	b = append(b, storeWord...)
	b = le.AppendUint64(b, gen)
	b = le.AppendUint64(b, uint64(c.key))
	b = le.AppendUint64(b, c.next)
	b = le.AppendUint32(b, uint32(len(c.dropped)))
	for reason, n := range c.dropped {
		b = append(b, byte(len(reason)))
		b = append(b, reason...)
		b = le.AppendUint64(b, n)
	}
	b = le.AppendUint32(b, crcOf(b))
	return b[:storeSlot]
}

func parseStore(b []byte) (*counters, bool) {
	le := binary.LittleEndian
	if string(b[:8]) != storeWord {
		return nil, false
	}
	c := &counters{gen: le.Uint64(b[8:]), key: logKey(le.Uint64(b[16:])), next: le.Uint64(b[24:]), dropped: map[string]uint64{}}
	at := 36
	for range le.Uint32(b[32:]) {
		if at+1 > len(b) || at+1+int(b[at])+8+4 > len(b) {
			return nil, false
		}
		n := int(b[at])
		c.dropped[string(b[at+1:at+1+n])] = le.Uint64(b[at+1+n:])
		at += 1 + n + 8
	}
	if at+4 > len(b) || le.Uint32(b[at:]) != crcOf(b[:at]) {
		return nil, false
	}
	return c, true
}

func newKey() logKey {
	var b [8]byte
	rand.Read(b[:])
	return logKey(binary.LittleEndian.Uint64(b[:]))
}

// Drop counts a call of which no record is kept. The count survives a kill at the latest
// after 100 ms if Run is running, otherwise with the next Drop, Enqueue error or Close.
func (q *Queue) Drop(reason string) {
	q.counters.drop(reason)
	if !q.running.Load() && q.counters.stale() {
		if err := q.counters.flush(false); err != nil && !errors.Is(err, os.ErrClosed) {
			q.o.Log.Error("dropped calls not written down", "error", err)
		}
	}
}

var _ tapway.Store = (*Queue)(nil)
