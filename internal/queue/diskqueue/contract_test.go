package diskqueue

import (
	"log/slog"
	"path/filepath"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/queue/queuetest"
)

func testOptions(t testing.TB) Options {
	return Options{
		Lease: queuetest.Lease, SegmentBytes: 64 << 10, MaxBytes: -1, History: keepsHistory,
		Log: slog.New(slog.NewTextHandler(testWriter{t}, nil)),
	}
}

// keepsHistory is for exchanges with fixed times: with the usual age their history would be gone one day.
var keepsHistory = History{MaxAge: 100 * 365 * 24 * time.Hour}

// testWriter sends log lines to the test that caused them.
type testWriter struct{ t testing.TB }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Logf("%s", b)
	return len(b), nil
}

func openTest(t testing.TB, dir string, o Options) *Queue {
	t.Helper()
	q, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := q.Close(); err != nil {
			t.Error(err)
		}
	})
	return q
}

func TestContractWrite(t *testing.T) {
	queuetest.Test(t, func(t *testing.T) tapway.Queue {
		o := testOptions(t)
		o.Durability = Write
		return openTest(t, t.TempDir(), o)
	})
}

// The model again, with sequences that shrink when they fail.
func TestModel(t *testing.T) {
	base := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		n := 0
		// A bubble's test has no deadline to ask for, so it must not look like a *testing.T.
		rapid.Check(struct{ testing.TB }{t}, func(r *rapid.T) {
			n++
			q, err := Open(filepath.Join(base, strconv.Itoa(n)), testOptions(t))
			if err != nil {
				r.Fatal(err)
			}
			defer q.Close()
			choose := func(label string, n int) int { return rapid.IntRange(0, n-1).Draw(r, label) }
			queuetest.Model(r, q, choose, rapid.IntRange(1, 40).Draw(r, "steps"))
		})
	})
}

func TestStoreContract(t *testing.T) {
	queuetest.TestStore(t, func(t *testing.T) tapway.Store { return openTest(t, t.TempDir(), testOptions(t)) })
}

func TestDurableContract(t *testing.T) {
	queuetest.TestDurable(t, func(t *testing.T, dir string) tapway.Queue { return openTest(t, dir, testOptions(t)) })
}
