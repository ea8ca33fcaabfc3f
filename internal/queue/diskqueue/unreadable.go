package diskqueue

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/tapway/tapway"
)

// ioPatience is how long the disk may fail to read a segment before what cannot be read counts as
// damaged. A network disk that is away for a moment must cost nothing.
const ioPatience = 5 * time.Minute

// failing wraps err, with which the disk refused to read s, while it may still get over it; nil when
// that has lasted too long. A segment whose disk has failed long ago begins anew.
func (q *Queue) failing(s *segment, err error) error {
	now := max(q.ticks(), 1)
	since := s.failed.Load()
	if since == 0 || now-since > int64(12*ioPatience) {
		s.failed.CompareAndSwap(since, now)
		since = now
	}
	if now-since >= int64(ioPatience) {
		return nil
	}
	return fmt.Errorf("segment %s cannot be read now: %w", filepath.Base(s.path), err)
}

// refused reports whether a read failed because of the disk and not because there is no more.
func refused(err error) bool { return err != nil && !errors.Is(err, io.EOF) }

// lost reports whether a record that could not be read will never be.
func lost(err error) bool {
	return errors.Is(err, errDamaged) || errors.Is(err, tapway.ErrNotFound) || errors.Is(err, errMissing)
}
