package admin

import (
	"fmt"
	"iter"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"context"

	"github.com/tapway/tapway"
)

// A search that is asked for its progress ends with a line that says where to go on.
func TestSearchTellsWhereToGoOn(t *testing.T) {
	bothWays(t, func(t *testing.T, w *world, c *Client) {
		w.add("/1", "/2", "/3", "/4", "/5")
		for _, oldest := range []string{"", "1"} {
			q := url.Values{"limit": {"2"}, "progress": {"1"}, "oldest": {oldest}, "filter": {"method == GET"}}
			var paths string
			for page := range 3 {
				var at *Searched
				for _, l := range list[FoundLine](t, c, "/api/v1/exchanges", q) {
					if at = l.Progress; at == nil {
						paths += l.Path
					}
				}
				switch {
				case at == nil || !at.Ended || at.Searched > at.Total:
					t.Fatalf("page %d ends with %+v", page, at)
				case page == 2 && at.Next != 0:
					t.Errorf("the last page goes on at %d", at.Next)
				case page < 2 && oldest == "":
					q.Set("before", fmt.Sprint(at.Next))
				case page < 2:
					q.Set("after", fmt.Sprint(at.Next))
				}
			}
			if want := map[string]string{"": "/5/4/3/2/1", "1": "/1/2/3/4/5"}[oldest]; paths != want {
				t.Errorf("oldest %q: %s, want %s", oldest, paths, want)
			}
		}
		for _, wait := range []string{"0s", "-1s", "soon"} {
			body, err := c.Get(t.Context(), "/api/v1/exchanges", url.Values{"wait": {wait}})
			refused(t, body, err, 400, "wait:")
		}
	})
}

// slowStore searches one record a second and never ends by itself.
type slowStore struct{ tapway.Store }

func (slowStore) Search(ctx context.Context, s tapway.Search) iter.Seq2[tapway.Meta, error] {
	return func(yield func(tapway.Meta, error) bool) {
		for n := uint64(1); ; n++ {
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
				yield(tapway.Meta{}, fmt.Errorf("search: %w", ctx.Err()))
				return
			}
			s.Progress(tapway.SearchProgress{Searched: n, Total: 1000, Position: 1001 - n})
			if n%2 == 0 && !yield(tapway.Meta{Seq: 1001 - n}, nil) {
				return
			}
		}
	}
}

// With wait the answer comes in time with what was found; what is found is seen at once; and
// who goes away ends the search.
func TestSearchWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Local(&Server{Store: slowStore{}})
		began := time.Now()
		lines := list[FoundLine](t, c, "/api/v1/exchanges", url.Values{"wait": {"4500ms"}, "progress": {"1"}})
		last := lines[len(lines)-1].Progress
		if time.Since(began) != 4500*time.Millisecond || len(lines) != 7 || last == nil || *last != (Searched{Searched: 4, Total: 1000, Ended: true, Next: 997}) {
			t.Errorf("after %v %d lines, the last %+v", time.Since(began), len(lines), last)
		}
		if lines := list[FoundLine](t, c, "/api/v1/exchanges", url.Values{"wait": {"4500ms"}}); len(lines) != 2 || lines[1].Seq != 997 {
			t.Errorf("without progress %+v", lines)
		}
		body, err := c.Get(t.Context(), "/api/v1/exchanges", nil)
		if err != nil {
			t.Fatal(err)
		}
		began = time.Now()
		b := make([]byte, 100)
		if n, err := body.Read(b); n == 0 || err != nil || time.Since(began) > 3*time.Second {
			t.Errorf("the first record comes after %v, error %v", time.Since(began), err)
		}
		body.Close() // waits for the handler: the search ends
	})
}
