package diskqueue

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tapway/tapway"
)

// ioPatience is how long the disk may fail to read a segment before what cannot be read counts as
// damaged. A network disk that is away for a moment must cost nothing.
const ioPatience = 5 * time.Minute

// trouble is how long the disk has failed to read a segment.
type trouble struct {
	on atomic.Bool // seq has failed, and was not read since

	mu          sync.Mutex
	seq         uint64 // the position that failed first
	since, last int64  // the ticks of the first and of the last failure
}

// failing wraps err, with which the disk refused to read s at seq, while it may still get over it; nil when
// that has lasted too long. It begins anew where seq was read since, where nobody has met a failure for as
// long, and after an hour.
func (q *Queue) failing(s *segment, seq uint64, err error) error {
	now, t := q.ticks(), &s.trouble
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.on.Load() || seq != t.seq && now-t.last > int64(ioPatience) || now-t.since > int64(12*ioPatience) {
		t.seq, t.since = seq, now
		t.on.Store(true)
	}
	t.last = now
	if now-t.since >= int64(ioPatience) {
		return nil
	}
	return fmt.Errorf("segment %s cannot be read now: %w", filepath.Base(s.path), err)
}

// over notes that all from one position to another could be read.
func (t *trouble) over(from, to uint64) {
	if !t.on.Load() {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if from <= t.seq && t.seq <= to {
		t.on.Store(false)
	}
}

// refused reports whether a read failed because of the disk and not because there is no more.
func refused(err error) bool { return err != nil && !errors.Is(err, io.EOF) }

// lost reports whether a record that could not be read will never be.
func lost(err error) bool {
	return errors.Is(err, errDamaged) || errors.Is(err, tapway.ErrNotFound) || errors.Is(err, errMissing)
}
