package diskqueue

import (
	"path/filepath"
	"testing"
)

// movingFiles calls before when the spare file is about to be renamed.
type movingFiles struct {
	files
	before func()
}

func (f movingFiles) Rename(from, to string) error {
	if filepath.Base(from) == spareName {
		f.before()
	}
	return f.files.Rename(from, to)
}

// TestSpareMoves: while the spare file becomes the next segment, no other spare is made in its place: it would be the
// same file, and the segment's beginning would be overwritten.
func TestSpareMoves(t *testing.T) {
	o := smallSegments(t)
	dir := t.TempDir()
	q := openTest(t, dir, o)
	moved := 0
	q.fs = movingFiles{q.fs, func() {
		moved++
		newest := q.segs.newest() // upkeep has looked at it before it was sealed
		newest.sealed.Store(false)
		q.w.prepare()
		newest.sealed.Store(true)
	}}
	for range 200 {
		enqueueSome(t, q, 0, 1)
		q.w.prepare()
	}
	if moved < 3 {
		t.Fatalf("only %d segments began with the spare file", moved)
	}
	r, err := q.Check(t.Context(), func(int64, int64) {})
	if err != nil || r.Records != 200 || len(r.Damage) > 0 {
		t.Errorf("%+v, %v", r, err)
	}
}
