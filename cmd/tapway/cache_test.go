package main

import (
	"testing"

	"github.com/tapway/tapway/internal/admin"
	"github.com/tapway/tapway/internal/cache"
)

// TestCache: stats and purge of a running process, by path and by route, and what is wrong with a call.
func TestCache(t *testing.T) {
	w := newWorld(t, `cache: {routes: [{match: "GET /books/{proxy+}"}, {match: "/songs/{id}"}]}`)
	g := serve(t, w.dir)
	g.calls(t, "/books/1", "/books/1", "/books/2?x=1", "/books/2?x=2", "/books/3/a", "/songs/1", "/songs/2", "/fail/1", "/other")
	stats := func() cache.Stats { return decode[cache.Stats](t, must(t, w.dir, "cache", "stats", "--json")) }
	if s := stats(); s.Hits != 1 || s.Misses != 6 || s.Stored != 6 || s.Entries != 6 || s.Bytes <= 0 || s.Limit != 64<<20 {
		t.Errorf("%+v", s)
	}
	mustContain(t, must(t, w.dir, "cache", "stats"), "hits     1 ", "misses   6", "6 stored", "for 6 answers")
	for _, tt := range []struct {
		args []string
		want int
	}{
		{[]string{"--path", "/books"}, 0},
		{[]string{"--path", "/books/2"}, 2},
		{[]string{"--route", "ANY /songs/{id}", "--path", "/songs/2"}, 1},
		{[]string{"--route", "ANY /songs/{id}", "--path", "/books/*"}, 0},
		{[]string{"--route", "ANY /songs/{id}"}, 1},
		{[]string{"--path", "/books/3/*"}, 1},
		{nil, 1},
		{nil, 0},
	} {
		if got := decode[admin.Purged](t, must(t, w.dir, append([]string{"cache", "purge", "--json"}, tt.args...)...)); got.Purged != tt.want {
			t.Errorf("purge %q: %d, want %d", tt.args, got.Purged, tt.want)
		}
	}
	if s := stats(); s.Entries != 0 || s.Invalidated != 6 {
		t.Errorf("afterwards: %+v", s)
	}
	g.calls(t, "/books/1")
	if s := stats(); s.Hits != 1 || s.Entries != 1 {
		t.Errorf("a purged answer was given: %+v", s)
	}
	mustContain(t, must(t, w.dir, "cache", "purge", "--path", "/books/*"), "1 answer taken out of the cache.")
	fails(t, w.dir, 2, `no such route: "GET /nothing"; there are: GET /books/{proxy+}, ANY /songs/{id}`, "cache", "purge", "--route", "GET /nothing")
	fails(t, w.dir, 2, "does not begin with a slash", "cache", "purge", "--path", "books")
	g.stop(t)
	fails(t, w.dir, 1, "there is no running gateway, and so no cache", "cache", "stats")
}
