package diskqueue

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/tapway/tapway"
)

// manySegments is a queue with few records in each of many segments, none of which has an index file.
func manySegments(t *testing.T) *Queue {
	t.Helper()
	o := testOptions(t)
	o.SegmentBytes = 4 << 10
	q := openTest(t, t.TempDir(), o)
	for n := range 200 {
		if err := q.Enqueue(t.Context(), varied(n)); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(q.segs.all()); n < 10 {
		t.Fatalf("%d segments", n)
	}
	return q
}

// A search that nobody waits for any more ends with the record or the segment that it is at, however much each of them takes, and
// can be gone on with there.
func TestSearchEndsSoon(t *testing.T) {
	q := manySegments(t)
	ctx, cancel := context.WithCancel(t.Context())
	asked := 0
	for _, err := range q.Search(ctx, tapway.Search{Match: func(_ *tapway.Meta, load func() (*tapway.Exchange, error)) bool {
		asked++
		cancel()
		if _, err := load(); err != nil {
			t.Error(err)
		}
		return false
	}}) {
		if err == nil {
			t.Error("a record was found")
		}
	}
	if asked != 1 {
		t.Errorf("%d records were read", asked)
	}
	var at tapway.SearchProgress
	found := uint64(0)
	for _, err := range q.Search(ctx, tapway.Search{Progress: func(p tapway.SearchProgress) { at = p }}) {
		if err == nil {
			found++
		}
	}
	if newest := q.segs.newest(); found > 200-newest.first+1 || at.Position != newest.first {
		t.Errorf("%d records found, to go on at %d; the newest segment begins at %d", found, at.Position, newest.first)
	}
}

// Close does not wait until everything is indexed.
func TestCloseLeavesIndexes(t *testing.T) {
	q := manySegments(t)
	close(q.closing)
	defer func() { q.closing = make(chan struct{}) }() // for Close
	if err := q.indexSealed(); err != nil {
		t.Fatal(err)
	}
	if files, err := filepath.Glob(filepath.Join(q.dir, "log", "*.idx")); err != nil || len(files) > 0 {
		t.Errorf("%d index files were written, error %v", len(files), err)
	}
}
