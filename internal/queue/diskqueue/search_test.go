package diskqueue

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/filter"
	"github.com/tapway/tapway/internal/queue/queuetest"
)

// varied is like queuetest.Exchange, with more that differs from record to record.
func varied(n int) *tapway.Exchange {
	ex := queuetest.Exchange(n, n%50)
	ex.Path = fmt.Sprintf("/api/v%d/%s/%d", n%3, []string{"users", "orders"}[n/7%2], n%11)
	ex.Origin = []tapway.Origin{tapway.OriginBackend, tapway.OriginGateway, tapway.OriginCache}[n%13%3]
	ex.Front = []tapway.Front{tapway.FrontServer, tapway.FrontREST}[n%17%2]
	ex.ClientIP = fmt.Sprintf("203.0.113.%d", n%5)
	ex.Duration = time.Duration(n%7) * 300 * time.Millisecond
	ex.ResponseSize = int64(n%3) << 33 // beyond 32 bits
	ex.From = []string{"", "api.example.com"}[n%19%2]
	ex.Route = []string{"ANY /{proxy+}", ""}[n%23%2]
	ex.Error = []string{"", "", "", "the backend refused the connection"}[n%4]
	if n%29 == 0 {
		ex.Request = tapway.Body{Bytes: []byte("a needle"), Size: 8}
	}
	return ex
}

// genSearch draws conditions around what varied makes.
func genSearch(depth int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		if depth > 0 {
			switch rapid.IntRange(0, 4).Draw(t, "shape") {
			case 0:
				return "(" + genSearch(depth-1).Draw(t, "a") + " && " + genSearch(depth-1).Draw(t, "b") + ")"
			case 1:
				return "(" + genSearch(depth-1).Draw(t, "a") + " || " + genSearch(depth-1).Draw(t, "b") + ")"
			case 2:
				return "!(" + genSearch(depth-1).Draw(t, "a") + ")"
			}
		}
		return rapid.SampledFrom([]string{
			"status == 404", "status >= 5xx", "status < 201", "method == GET", "method in [PUT, DELETE]", "method == PURGE",
			`path startsWith "/api/v1/"`, `path == "/api/v0/users/3"`, `path contains "orders"`, `path matches "[02468]$"`,
			"duration > 900ms", "duration <= 300ms", "size > 1GiB", "request_size == 7", "response_size >= 16GiB",
			"origin == gateway", "origin != backend", "front == rest", `client_ip in "203.0.113.0/31"`, `from == ""`, "route", "error",
			`time >= "2026-11-20T10:00:00.1Z"`, `time < "2026-11-20T10:00:00.05Z"`, `query endsWith "3"`, `headers["content-type"] startsWith "text/"`,
			`body contains "needle"`, "overhead > 1s", "destination", "attempts == 0",
		}).Draw(t, "leaf")
	})
}

// The index never hides a record that a look at every record finds, whatever is asked.
func TestIndexHidesNothing(t *testing.T) {
	o := testOptions(t)
	o.SegmentBytes = 8 << 10
	q := openTest(t, t.TempDir(), o)
	const records = 300
	var all []*tapway.Exchange
	for n := range records {
		ex := varied(n)
		if err := q.Enqueue(t.Context(), ex); err != nil {
			t.Fatal(err)
		}
		if all = append(all, ex); n == records/2 {
			if err := q.indexSealed(); err != nil { // some from files, the others from memory
				t.Fatal(err)
			}
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		expr := genSearch(3).Draw(t, "filter")
		f, err := filter.Parse(expr)
		if err != nil {
			t.Fatal(err)
		}
		s := f.Search()
		s.Oldest = rapid.Bool().Draw(t, "oldest")
		s.After, s.Before = rapid.Uint64Range(0, records).Draw(t, "after"), rapid.Uint64Range(0, records+1).Draw(t, "before")
		s.Limit = rapid.SampledFrom([]int{0, 1, 10}).Draw(t, "limit")
		var want []uint64
		for i, ex := range all {
			seq := uint64(i + 1)
			env := filter.EnvOf(ex)
			if seq > s.After && (s.Before == 0 || seq < s.Before) && f.Match(&env) {
				want = append(want, seq)
			}
		}
		if !s.Oldest {
			slices.Reverse(want)
		}
		if s.Limit > 0 {
			want = want[:min(s.Limit, len(want))]
		}
		var got []uint64
		for m, err := range q.Search(context.Background(), s) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, m.Seq)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%s: found %v, want %v", expr, got, want)
		}
	})
}

// An index file says of every record what its frame says.
func TestIndexFileIsExact(t *testing.T) {
	x := newIndex(5)
	for n := range 1000 {
		x.add(uint64(5+2*n), int64(segmentHead+n*800), &varied(n).Meta)
	}
	y, err := decodeIndex(x.encode())
	if err != nil {
		t.Fatal(err)
	}
	for n := range 1000 {
		want := varied(n).Meta
		want = tapway.Meta{
			Seq: uint64(5 + 2*n), Time: want.Time, Status: want.Status, Duration: want.Duration, RequestSize: want.RequestSize, ResponseSize: want.ResponseSize,
			Method: want.Method, Path: want.Path, From: want.From, Route: want.Route, ClientIP: want.ClientIP, Error: want.Error, Origin: want.Origin, Front: want.Front,
		}
		var got tapway.Meta
		if y.row(n, &got); got != want {
			t.Fatalf("row %d is %+v, want %+v", n, got, want)
		}
		if y.offs[n] != x.offs[n] || y.ids[n] != x.ids[n] {
			t.Fatalf("row %d lies elsewhere", n)
		}
	}
}

// Index files of another version are made anew, silently; those torn anywhere as well. What is
// found stays the same.
func TestOldAndTornIndexes(t *testing.T) {
	dir := t.TempDir()
	o := testOptions(t)
	o.SegmentBytes = 4 << 10
	fill(t, dir, o, 30, 200)
	q := openTest(t, dir, o)
	if err := q.indexSealed(); err != nil {
		t.Fatal(err)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "log", "*.idx"))
	if err != nil || len(files) < 3 {
		t.Fatalf("%d indexes, error %v", len(files), err)
	}
	good, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	old := slices.Clone(good)
	binary.LittleEndian.PutUint32(old[8:], indexVersion-1)
	binary.LittleEndian.PutUint32(old[indexHead-4:], crcOf(old[:indexHead-4]))
	if _, err := decodeIndex(old); !errors.Is(err, errOtherIndex) {
		t.Fatalf("an index of another version: %v", err)
	}
	pieces := [][]byte{old, nil, []byte("x")}
	for n := 1; n < len(good); n += 1 + len(good)/13 {
		flipped := slices.Clone(good)
		flipped[n] ^= 0x40
		pieces = append(pieces, good[:n], flipped)
	}
	f, err := filter.Parse("duration < 20ms && path contains '/users/'")
	if err != nil {
		t.Fatal(err)
	}
	for i, piece := range pieces {
		if err := os.WriteFile(files[0], piece, 0o600); err != nil {
			t.Fatal(err)
		}
		q := openTest(t, dir, o)
		if i == 0 {
			if r, err := q.Check(t.Context(), nil); err != nil || len(r.Damage) > 0 {
				t.Fatalf("an index of another version: %+v, error %v", r.Damage, err)
			}
		}
		found := 0
		for _, err := range q.Search(t.Context(), f.Search()) {
			if err != nil {
				t.Fatal(err)
			}
			found++
		}
		if found != 20 {
			t.Fatalf("piece %d: %d records found", i, found)
		}
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
		if again, err := os.ReadFile(files[0]); err != nil || !slices.Equal(again, good) {
			t.Fatalf("piece %d: the index was not made anew (%v)", i, err)
		}
	}
}

// A search tells how far it is, ends when asked to, and can be continued where it was.
func TestSearchProgress(t *testing.T) {
	o := testOptions(t)
	o.SegmentBytes = 8 << 10
	q := openTest(t, t.TempDir(), o)
	for n := range 200 {
		if err := q.Enqueue(t.Context(), varied(n)); err != nil {
			t.Fatal(err)
		}
	}
	for _, oldest := range []bool{false, true} {
		var last tapway.SearchProgress
		s := tapway.Search{Oldest: oldest, Progress: func(p tapway.SearchProgress) { last = p }}
		var got []uint64
		for m, err := range q.Search(t.Context(), s) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, m.Seq)
		}
		if last.Searched != 200 || last.Total != 200 || len(got) != 200 {
			t.Errorf("oldest %v: %+v after %d records", oldest, last, len(got))
		}
		// Broken off by a limit, by its reader's end of time, or anywhere: it goes on where it was.
		got = nil
		for s.Limit = 7; len(got) < 200; {
			ctx, cancel := context.WithCancel(t.Context())
			before := len(got)
			for m, err := range q.Search(ctx, s) {
				if err != nil {
					if !errors.Is(err, context.Canceled) {
						t.Fatal(err)
					}
					continue
				}
				if got = append(got, m.Seq); len(got)%3 == 0 {
					cancel()
				}
			}
			cancel()
			if len(got) == before {
				t.Fatalf("nothing behind %+v", last)
			}
			if oldest {
				s.After = last.Position
			} else {
				s.Before = last.Position
			}
		}
		want := upTo(200)
		if !oldest {
			slices.Reverse(want)
		}
		if !slices.Equal(got, want) {
			t.Errorf("oldest %v: in pieces %v", oldest, got)
		}
	}
}

// While records come in, all searches together work a fifth of the time at most; otherwise
// they do not wait.
func TestSearchesRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &Queue{closing: make(chan struct{})}
		const slices = 50
		work := func(busy bool) time.Duration {
			began := time.Now()
			var wg sync.WaitGroup
			var worked atomic.Int64
			for range 3 {
				wg.Go(func() {
					p := q.newPace(t.Context(), &tapway.Search{})
					for range slices {
						time.Sleep(paceSlice) // as if it had worked
						if busy {
							q.last.Add(1)
						}
						p.cost = costLook
						if err := p.did(1); err != nil {
							t.Error(err)
						}
					}
					worked.Add(int64(p.worked))
				})
			}
			wg.Wait()
			if worked.Load() != int64(3*slices*paceSlice) {
				t.Errorf("worked %v", time.Duration(worked.Load()))
			}
			return time.Since(began)
		}
		if took := work(false); took != slices*paceSlice {
			t.Errorf("an idle gateway: %v", took)
		}
		// Each works for paceFree at first, and owes that with its first rest.
		rested := 3 * paceShare * (slices*paceSlice - paceFree)
		if took := work(true); took < rested {
			t.Errorf("a busy gateway: done after %v, want at least %v", took, rested)
		}
		p := q.newPace(t.Context(), &tapway.Search{})
		p.worked, p.bytes, p.owed = time.Second, paceBytes, 0
		q.last.Add(1)
		began := time.Now()
		if err := p.rest(); err != nil || time.Since(began) < 900*time.Millisecond {
			t.Errorf("%d bytes in %v, error %v", paceBytes, time.Since(began), err)
		}
		close(q.closing)
		q.last.Add(1)
		if err := p.rest(); !errors.Is(err, tapway.ErrClosed) {
			t.Errorf("a closed queue: %v", err)
		}
	})
}
