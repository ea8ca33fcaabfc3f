package diskqueue

import (
	"errors"
	"os"
	"path/filepath"
)

// missing reports whether err says that the segment's file was taken away. When its directory
// is not there either, that may be a disk which comes back: then nothing counts as lost yet.
func (s *segment) missing(err error) bool {
	if !errors.Is(err, os.ErrNotExist) || s.gone.Load() {
		return false
	}
	_, err = os.Stat(filepath.Dir(s.path))
	return err == nil
}

// verify gives up the segment being written when its name is gone: the kernel would go on
// taking what is appended, and nobody would find it after the next start.
func (w *writer) verify() {
	s := w.q.segs.newest()
	if s == nil || s.sealed.Load() {
		return
	}
	if _, err := os.Stat(s.path); errors.Is(err, os.ErrNotExist) && !s.sealed.Load() && !w.suspect.Swap(true) {
		w.q.o.Log.Error("queue segment was deleted while it was being written: its records are lost at the next start",
			"segment", filepath.Base(s.path), "from", s.first, "to", s.last.Load())
	}
}
