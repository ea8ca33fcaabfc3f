package diskqueue

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/queue/queuetest"
)

// runTest runs the upkeep until the test ends.
func runTest(t *testing.T, q *Queue) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := q.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
}

// Somebody deletes the segment that is being written. What follows goes into a new one; what
// was in it counts as damaged, also what waits for another attempt.
func TestSegmentDeleted(t *testing.T) {
	dir := t.TempDir()
	q := openTest(t, dir, testOptions(t))
	s, err := q.Subscribe("a")
	if err != nil {
		t.Fatal(err)
	}
	enqueueSome(t, q, 0, 5)
	msgs, err := s.Receive(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	retry := tapway.Outcome{Verdict: tapway.Retry}
	if err := s.Settle(t.Context(), []tapway.Settlement{{Message: msgs[0], Outcome: retry}}); err != nil {
		t.Fatal(err)
	}
	// Without a reader that holds the file open.
	q.dests["a"].mu.Lock()
	q.dests["a"].rd.close()
	q.dests["a"].mu.Unlock()
	if err := os.Remove(logFiles(t, dir)[0]); err != nil {
		t.Fatal(err)
	}
	runTest(t, q)
	eventually(t, "the segment is given up", q.w.suspect.Load)
	enqueueSome(t, q, 5, 10)
	if n := len(logFiles(t, dir)); n != 1 {
		t.Fatalf("%d segments, want a new one", n)
	}
	if got := found(t, q); !slices.Equal(got, []uint64{6, 7, 8, 9, 10}) {
		t.Errorf("found %v", got)
	}
	if got := received(t, q); !slices.Equal(got, []uint64{6, 7, 8, 9, 10}) {
		t.Errorf("received %v", got)
	}
	if l := account(t, q, "a"); l.Delivered != 5 || l.Dropped["damaged"] != 5 {
		t.Errorf("account: %+v", l)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	q = openTest(t, dir, testOptions(t))
	if l := account(t, q, "a"); l.Captured != 10 || l.Delivered != 5 || l.Dropped["damaged"] != 5 {
		t.Errorf("after a restart: %+v", l)
	}
}

// The whole directory goes away and comes back, like a disk that is unmounted: calls of that
// time are counted, and nothing that was stored is given up.
func TestDirectoryGone(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	q := openTest(t, data, testOptions(t))
	if _, err := q.Subscribe("a"); err != nil {
		t.Fatal(err)
	}
	enqueueSome(t, q, 0, 5)
	if err := os.Rename(data, filepath.Join(dir, "elsewhere")); err != nil {
		t.Fatal(err)
	}
	runTest(t, q)
	eventually(t, "the segment is given up", q.w.suspect.Load)
	if err := q.Enqueue(t.Context(), queuetest.Exchange(5, 10)); err == nil {
		t.Fatal("a record was taken without a directory")
	}
	s, err := q.Subscribe("a")
	if err != nil {
		t.Fatal(err)
	}
	if msgs, err := s.Receive(t.Context(), 10); err == nil {
		t.Fatalf("received %d without a directory", len(msgs))
	}
	if l := account(t, q, "a"); l.Queued != 5 || l.Dropped["disk-error"] != 1 {
		t.Fatalf("account: %+v", l)
	}
	if err := os.Rename(filepath.Join(dir, "elsewhere"), data); err != nil {
		t.Fatal(err)
	}
	eventually(t, "records are taken again", func() bool { return q.Enqueue(t.Context(), queuetest.Exchange(6, 10)) == nil })
	if got := received(t, q); len(got) != 6 {
		t.Errorf("received %v", got)
	}
	if l := account(t, q, "a"); l.Delivered != 6 || l.Dropped["damaged"] != 0 {
		t.Errorf("account: %+v", l)
	}
}
