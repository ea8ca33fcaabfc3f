package admin

import (
	"context"
	"iter"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tapway/tapway"
)

// TestLive: the first line tells the position; then come the calls that match, and a caller
// that continues where it was misses none.
func TestLive(t *testing.T) {
	bothWays(t, func(t *testing.T, w *world, c *Client) {
		w.add("/before", "/fail")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		watched := make(chan Live)
		go func() {
			defer close(watched)
			for l, err := range Stream[Live](c.Get(ctx, "/api/v1/live", url.Values{"filter": {"status >= 500"}})) {
				if err != nil {
					if ctx.Err() == nil {
						t.Error(err)
					}
					return
				}
				select {
				case watched <- l:
				case <-ctx.Done():
					return
				}
			}
		}()
		first := <-watched
		if first.Position != 2 || first.Calls != nil || first.Skipped != 0 {
			t.Errorf("the first line: %+v", first)
		}
		w.add("/ok", "/fail")
		next := <-watched
		if next.Position != 4 || len(next.Calls) != 1 || next.Calls[0].Path != "/fail" || next.Calls[0].Seq != 4 || next.Skipped != 0 {
			t.Errorf("the next line: %+v", next)
		}
		cancel()
		for range watched {
		}

		again, stop := context.WithCancel(t.Context())
		defer stop()
		var paths []string
		for l, err := range Stream[Live](c.Get(again, "/api/v1/live", url.Values{"after": {"2"}})) {
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range l.Calls {
				paths = append(paths, s.Path)
			}
			if len(paths) >= 2 {
				break
			}
		}
		if len(paths) != 2 || paths[0] != "/ok" || paths[1] != "/fail" {
			t.Errorf("continued with %v", paths)
		}
		for query, says := range map[string]string{"filter=status+>=": "filter: column", "after=x": "is not a position"} {
			q, _ := url.ParseQuery(query)
			body, err := c.Get(t.Context(), "/api/v1/live", q)
			refused(t, body, err, 400, says)
		}
		w.server.Live = nil
		body, err := c.Get(t.Context(), "/api/v1/live", nil)
		refused(t, body, err, 501, "nothing live here")
	})
}

// busyStore has more calls than anybody can read; it counts how many were read.
type busyStore struct {
	tapway.Store
	mu   sync.Mutex
	read uint64
	rate uint64 // a second
	born time.Time
}

func (s *busyStore) last() uint64 { return uint64(time.Since(s.born)) * s.rate / uint64(time.Second) }

func (s *busyStore) Stats(context.Context) (tapway.Stats, error) {
	return tapway.Stats{Last: s.last()}, nil
}

func (s *busyStore) Follow(ctx context.Context, seq uint64) iter.Seq2[*tapway.Exchange, error] {
	return func(yield func(*tapway.Exchange, error) bool) {
		for seq++; ; seq++ {
			for seq > s.last() {
				if !pause(ctx, time.Millisecond) {
					yield(nil, ctx.Err())
					return
				}
			}
			s.mu.Lock()
			s.read++
			s.mu.Unlock()
			if !yield(&tapway.Exchange{Meta: tapway.Meta{Seq: seq, Method: "GET", Path: "/" + strconv.FormatUint(seq, 10), Status: 200}}, nil) {
				return
			}
		}
	}
}

// slowBrowser reads a line and then nothing for a while.
type slowBrowser struct {
	*httptest.ResponseRecorder
	pause time.Duration
}

func (b *slowBrowser) Write(p []byte) (int, error) {
	time.Sleep(b.pause)
	return b.ResponseRecorder.Write(p)
}

// TestLiveSkips: a busy gateway is looked at no faster than the budget, a slow browser holds
// nothing up, and either way every call is shown or counted as skipped.
func TestLiveSkips(t *testing.T) {
	for _, tt := range []struct {
		name  string
		rate  uint64
		pause time.Duration
		skips bool
	}{
		{"quiet", 50, 0, false},
		{"as fast as the budget", liveBudget * 10, 0, false},
		{"busy", 100_000, 0, true},
		{"a slow browser", 1500, 3 * time.Second, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &busyStore{rate: tt.rate, born: time.Now()}
				s := &Server{Store: store, Live: func() []Destination { return nil }}
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				out := &slowBrowser{httptest.NewRecorder(), tt.pause}
				s.Handler().ServeHTTP(out, httptest.NewRequest(http.MethodGet, "http://localhost/api/v1/live?after=0", nil).WithContext(ctx))
				var shown, skipped, position, seq uint64
				for l, err := range Stream[Live](out.Result().Body, nil) {
					if err != nil {
						t.Fatal(err)
					}
					shown, skipped, position = shown+uint64(len(l.Calls)), skipped+l.Skipped, l.Position
					if len(l.Calls) > liveRoom {
						t.Errorf("a line has %d calls", len(l.Calls))
					}
					for _, c := range l.Calls {
						if c.Seq <= seq {
							t.Fatalf("%d comes after %d", c.Seq, seq)
						}
						seq = c.Seq
					}
				}
				if shown == 0 || shown+skipped != position || (skipped > 0) != tt.skips {
					t.Errorf("%d shown, %d skipped, position %d", shown, skipped, position)
				}
				if most := uint64(10*10+1) * liveBudget; store.read > most {
					t.Errorf("%d of %d exchanges were read, at most %d may be", store.read, store.last(), most)
				}
				if behind := store.last() - position; behind > liveBehind+tt.rate*4 {
					t.Errorf("the list is %d calls behind", behind)
				}
			})
		})
	}
}
