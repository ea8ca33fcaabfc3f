package cache

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tapway/tapway"
)

// crowd has n calls made at once and gives their answers.
func (w *world) crowd(t *testing.T, n int, line string) []answer {
	t.Helper()
	answers := make([]answer, n)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() { answers[i] = w.ask(t, line) })
	}
	all.Wait()
	return answers
}

func TestOneForMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one := says(200)
		w := newWorld(t, gateway, func(rw http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Second)
			one(rw, r)
		})
		for _, got := range w.crowd(t, 50, "GET /a") {
			if got.body != "answer 1" {
				t.Errorf("%q", got.body)
			}
		}
		w.wantCalls(t, 1)
		if s := w.Stats(); s.Collapsed != 49 || s.Misses != 1 || s.Hits != 49 {
			t.Errorf("stats: %+v", s)
		}
	})
}

// TestNotForMany: those who waited for an answer that is not kept go on alone, together, and for
// a while nobody waits.
func TestNotForMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, gateway, func(rw http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Second)
			rw.WriteHeader(http.StatusNotFound)
		})
		start := time.Now()
		w.crowd(t, 20, "GET /a")
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("took %v, want 2s", took)
		}
		w.crowd(t, 20, "GET /a")
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("took %v in all, want 3s", took)
		}
		w.wantCalls(t, 40)
	})
}

// TestLeaderLeaves: that the first client goes away is nothing to the others; when nobody is
// left, the backend's call ends.
func TestLeaderLeaves(t *testing.T) {
	for _, others := range []int{1, 0} {
		synctest.Test(t, func(t *testing.T) {
			var ended time.Duration
			start := time.Now()
			w := newWorld(t, gateway, func(rw http.ResponseWriter, r *http.Request) {
				rw.WriteHeader(200)
				_, _ = rw.Write([]byte("half"))
				select {
				case <-r.Context().Done():
					ended = time.Since(start)
					panic(http.ErrAbortHandler)
				case <-time.After(10 * time.Second):
				}
				_, _ = rw.Write([]byte("whole"))
			})
			ctx, cancel := context.WithCancel(t.Context())
			call := new(tapway.Call)
			go func() {
				defer func() { _ = recover() }()
				w.handler.ServeHTTP(discard{http.Header{}}, request(t, "GET /a").WithContext(tapway.WithCall(ctx, call)))
			}()
			synctest.Wait()
			var got answer
			var waiting sync.WaitGroup
			for range others {
				waiting.Go(func() { got = w.ask(t, "GET /a") })
			}
			time.Sleep(time.Second)
			cancel()
			synctest.Wait()
			if call.Error != clientGone {
				t.Errorf("the leader's record: %q", call.Error)
			}
			time.Sleep(10 * time.Second)
			waiting.Wait()
			synctest.Wait()
			w.wantCalls(t, 1)
			if others == 1 && (got.body != "halfwhole" || ended != 0) {
				t.Errorf("the other got %q, the backend's call ended after %v", got.body, ended)
			}
			if others == 0 && (ended != time.Second || w.Stats().Entries != 0) {
				t.Errorf("the backend's call ended after %v, %+v", ended, w.Stats())
			}
		})
	}
}

type discard struct{ h http.Header }

func (d discard) Header() http.Header        { return d.h }
func (discard) WriteHeader(int)              {}
func (discard) Write(b []byte) (int, error)  { return len(b), nil }
func (discard) Flush()                       {}
func (s *stuck) Header() http.Header         { return s.h }
func (s *stuck) WriteHeader(int)             {}
func (s *stuck) Write(b []byte) (int, error) { <-s.until; return len(b), nil }

// stuck is a client that takes nothing.
type stuck struct {
	h     http.Header
	until chan struct{}
}

// TestSlowLeader: a first client that takes nothing holds up nobody.
func TestSlowLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, gateway, says(200))
		slow := &stuck{http.Header{}, make(chan struct{})}
		go w.handler.ServeHTTP(slow, request(t, "GET /a"))
		synctest.Wait()
		if got := w.ask(t, "GET /a"); got.body != "answer 1" {
			t.Errorf("%q", got.body)
		}
		w.wantCalls(t, 1)
		close(slow.until)
		synctest.Wait()
	})
}

// TestWaiterLeaves: one who waits and goes away ends neither the fetch nor waits for it.
func TestWaiterLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, gateway, func(rw http.ResponseWriter, r *http.Request) {
			select {
			case <-time.After(10 * time.Second):
				_, _ = rw.Write([]byte("late"))
			case <-r.Context().Done():
				rw.WriteHeader(http.StatusGatewayTimeout)
			}
		})
		var first answer
		var leading sync.WaitGroup
		leading.Go(func() { first = w.ask(t, "GET /a") })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if got := w.do(request(t, "GET /a").WithContext(ctx)); got.StatusCode != 504 || time.Since(start) != time.Second {
			t.Errorf("the one who waited: %d after %v", got.StatusCode, time.Since(start))
		}
		leading.Wait()
		if first.body != "late" {
			t.Errorf("the first: %q", first.body)
		}
	})
}

// TestBrokenOff: what did not come whole is neither kept nor passed off as whole.
func TestBrokenOff(t *testing.T) {
	for _, how := range []string{"abort", "short", "panic", "before the head"} {
		w := newWorld(t, gateway, func(rw http.ResponseWriter, r *http.Request) {
			if how == "before the head" {
				panic(http.ErrAbortHandler)
			}
			if how == "short" {
				rw.Header().Set("Content-Length", "10")
			}
			_, _ = rw.Write([]byte("half"))
			switch how {
			case "abort":
				panic(http.ErrAbortHandler)
			case "panic":
				panic("a bug")
			}
		})
		func() {
			defer func() {
				want := any(http.ErrAbortHandler)
				if how == "panic" {
					want = "a bug"
				}
				if got := recover(); got != want {
					t.Errorf("%s: the client's handler ended with %v", how, got)
				}
			}()
			w.ask(t, "GET /a")
		}()
		if s := w.Stats(); s.Entries != 0 || s.Bytes != 0 {
			t.Errorf("%s: kept %+v", how, s)
		}
	}
}

// TestStreams: the first client has each piece as it comes.
func TestStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := make(chan struct{})
		w := newWorld(t, gateway, func(rw http.ResponseWriter, r *http.Request) {
			for i := range 3 {
				fmt.Fprint(rw, i)
				_ = http.NewResponseController(rw).Flush()
				<-next
			}
		})
		var got strings.Builder
		go w.handler.ServeHTTP(tee{discard{http.Header{}}, &got}, request(t, "GET /a"))
		for i := range 3 {
			synctest.Wait()
			if want := "012"[:i+1]; got.String() != want {
				t.Errorf("the client has %q, want %q", got.String(), want)
			}
			next <- struct{}{}
		}
		synctest.Wait()
		if s := w.Stats(); s.Stored != 1 {
			t.Errorf("%+v", s)
		}
	})
}

type tee struct {
	discard
	to *strings.Builder
}

func (t tee) Write(b []byte) (int, error) { return t.to.Write(b) }

// TestTooLarge: a body beyond the bound passes whole, whether its length is told or not, and
// those who wait go on alone.
func TestTooLarge(t *testing.T) {
	for _, tt := range []struct {
		size  int
		told  bool
		piece int
		kept  bool
	}{
		{1000, true, 1000, true}, {1001, true, 1001, false}, {1000, false, 10, true}, {1001, false, 10, false}, {5000, false, 5000, false}, {5000, true, 10, false},
	} {
		body := strings.Repeat("x", tt.size)
		w := newWorld(t, gateway, func(rw http.ResponseWriter, r *http.Request) {
			if tt.told {
				rw.Header().Set("Content-Length", strconv.Itoa(len(body)))
			}
			for rest := body; rest != ""; {
				n := min(tt.piece, len(rest))
				_, _ = rw.Write([]byte(rest[:n]))
				rest = rest[n:]
			}
		}, func(s *Settings) { s.MaxEntry = 1000 })
		for _, got := range w.crowd(t, 8, "GET /a") {
			if got.body != body || got.StatusCode != 200 {
				t.Errorf("%+v: %d bytes, status %d", tt, len(got.body), got.StatusCode)
			}
		}
		if s := w.Stats(); (s.Stored > 0) != tt.kept || !tt.kept && s.Bytes > 2*overhead {
			t.Errorf("%+v: %+v", tt, s)
		}
	}
}

// TestBound: memory stays below its bound, the least used goes first, and all of it comes back.
func TestBound(t *testing.T) {
	w := newWorld(t, gateway, func(rw http.ResponseWriter, r *http.Request) { _, _ = rw.Write(make([]byte, 1000)) }, func(s *Settings) { s.Memory = 10 << 10 })
	w.ask(t, "GET /often")
	for i := range 50 {
		w.ask(t, "GET /"+strconv.Itoa(i))
		if got := w.ask(t, "GET /often"); got.call.Origin != tapway.OriginCache {
			t.Fatalf("after %d others the most used is gone", i)
		}
		if s := w.Stats(); s.Bytes > s.Limit {
			t.Fatalf("%+v", s)
		}
	}
	if s := w.Stats(); s.Evicted == 0 || s.Stored != 51 {
		t.Errorf("%+v", s)
	}
	if _, err := w.Purge("", ""); err != nil {
		t.Fatal(err)
	}
	if s := w.Stats(); s.Bytes != 0 || s.Entries != 0 {
		t.Errorf("empty: %+v", s)
	}
}
