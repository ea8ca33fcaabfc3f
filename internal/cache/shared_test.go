package cache

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tapway/tapway"
)

// TestRevalidation: an answer that is no longer fresh is checked by its validator, the 304's
// header counts, and the client's own condition is the cache's to judge.
func TestRevalidation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []string
		w := newWorld(t, rfc, func(rw http.ResponseWriter, r *http.Request) {
			asked = append(asked, r.Header.Get("If-None-Match"))
			rw.Header().Set("Cache-Control", "max-age=60")
			rw.Header().Set("Etag", `"1"`)
			if r.Header.Get("If-None-Match") == `"1"` {
				rw.Header().Set("X-Round", "2")
				rw.WriteHeader(http.StatusNotModified)
				return
			}
			_, _ = rw.Write([]byte("body"))
		})
		w.ask(t, "GET /a", `If-None-Match: "0"`)
		time.Sleep(60 * time.Second)
		got := w.ask(t, "GET /a", `If-None-Match: "0"`)
		if got.StatusCode != 200 || got.body != "body" || got.Header.Get("X-Round") != "2" || got.call.Origin != tapway.OriginCache {
			t.Errorf("revalidated: %d %q %v", got.StatusCode, got.body, got.Header)
		}
		time.Sleep(59 * time.Second)
		if got := w.ask(t, "GET /a", `If-None-Match: "1"`); got.StatusCode != 304 || got.Header.Get("Age") != "59" {
			t.Errorf("fresh again: %d %v", got.StatusCode, got.Header)
		}
		if len(asked) != 2 || asked[0] != "" || asked[1] != `"1"` {
			t.Errorf("the backend was asked with %q", asked)
		}
	})
}

// TestOther304: a 304 that is about another answer than the one kept is not believed.
func TestOther304(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, rfc, func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Cache-Control", "max-age=60")
			rw.Header().Set("Etag", `"1"`)
			if r.Header.Get("If-None-Match") != "" {
				rw.Header().Set("Etag", `"2"`)
				rw.WriteHeader(http.StatusNotModified)
				return
			}
			_, _ = rw.Write([]byte("body"))
		})
		w.ask(t, "GET /a")
		time.Sleep(61 * time.Second)
		if got := w.ask(t, "GET /a"); got.StatusCode != 200 || got.body != "body" || got.call.Origin != tapway.OriginBackend {
			t.Errorf("%d %q by %s", got.StatusCode, got.body, got.call.Origin)
		}
		w.wantCalls(t, 3)
	})
}

func TestStaleWhileRevalidate(t *testing.T) {
	for _, tt := range []struct {
		control string
		after   time.Duration
		stale   bool
	}{
		{"max-age=60, stale-while-revalidate=30", 90*time.Second - 1, true},
		{"max-age=60, stale-while-revalidate=30", 90 * time.Second, false},
		{"max-age=60", 60 * time.Second, false},
		{"max-age=60, stale-while-revalidate=30, must-revalidate", 61 * time.Second, false},
		{"max-age=60, stale-while-revalidate=30, proxy-revalidate", 61 * time.Second, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, rfc, says(200, "Cache-Control: "+tt.control))
			w.ask(t, "GET /a")
			time.Sleep(tt.after)
			first := w.ask(t, "GET /a")
			synctest.Wait()
			second := w.ask(t, "GET /a")
			if (first.body == "answer 1") != tt.stale || second.body != "answer 2" {
				t.Errorf("%s after %v: %q, then %q", tt.control, tt.after, first.body, second.body)
			}
			w.wantCalls(t, 2)
		})
	}
}

func TestStaleIfError(t *testing.T) {
	for _, tt := range []struct {
		control string
		status  int
		after   time.Duration
		want    int
	}{
		{"max-age=60, stale-if-error=30", 503, 90*time.Second - 1, 200},
		{"max-age=60, stale-if-error=30", 503, 90 * time.Second, 503},
		{"max-age=60, stale-if-error=30", 404, 61 * time.Second, 404},
		{"max-age=60, stale-if-error=30, must-revalidate", 503, 61 * time.Second, 503},
		{"max-age=60", 503, 60 * time.Second, 503},
		{"max-age=60", 503, 0, 503}, // fresh, but a new one is wanted
		{"max-age=60, stale-if-error=30", 503, 0, 200},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, rfc, says(200, "Cache-Control: "+tt.control), func(s *Settings) { s.Anyone = true })
			w.ask(t, "GET /a")
			w.backend = says(tt.status)
			time.Sleep(tt.after)
			control := "Cache-Control: no-transform"
			if tt.after == 0 {
				control = "Cache-Control: no-cache"
			}
			got := w.ask(t, "GET /a", control)
			if got.StatusCode != tt.want {
				t.Errorf("%s, %d after %v: %d", tt.control, tt.status, tt.after, got.StatusCode)
			}
			if stale := tt.want == 200; stale != (got.call.Origin == tapway.OriginCache) || stale != (got.call.Error != "") {
				t.Errorf("%s: the record says %s %q", tt.control, got.call.Origin, got.call.Error)
			}
		})
	}
}

func TestRequestDirectives(t *testing.T) {
	for _, tt := range []struct {
		control string
		after   time.Duration
		anyone  bool
		status  int
		body    string
	}{
		{"only-if-cached", 0, false, 200, "answer 1"},
		{"only-if-cached", 60 * time.Second, false, 504, ""},
		{"max-stale=10", 70 * time.Second, false, 200, "answer 1"},
		{"max-stale=10", 71 * time.Second, false, 200, "answer 2"},
		{"max-stale", 1000 * time.Second, false, 200, "answer 1"},
		{"max-age=5", 6 * time.Second, true, 200, "answer 2"},
		{"max-age=5", 5 * time.Second, true, 200, "answer 1"},
		{"max-age=5", 6 * time.Second, false, 200, "answer 1"},
		{"min-fresh=10", 51 * time.Second, true, 200, "answer 2"},
		{"min-fresh=10", 51 * time.Second, false, 200, "answer 1"},
		{"no-cache", 0, true, 200, "answer 2"},
		{"no-cache", 0, false, 200, "answer 1"},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, rfc, says(200, "Cache-Control: max-age=60"), func(s *Settings) { s.Anyone = tt.anyone })
			w.ask(t, "GET /a")
			time.Sleep(tt.after)
			got := w.ask(t, "GET /a", "Cache-Control: "+tt.control)
			if got.StatusCode != tt.status || tt.body != "" && got.body != tt.body {
				t.Errorf("%s after %v: %d %q", tt.control, tt.after, got.StatusCode, got.body)
			}
		})
	}
}

// TestInvalidate: a new answer is made for those who may ask for one; others are told so, or not.
func TestInvalidate(t *testing.T) {
	for _, tt := range []struct {
		header  string
		refused Refused
		may     bool
		status  int
		body    string
		warning bool
	}{
		{"Cache-Control: max-age=0", Warn, true, 200, "answer 2", false},
		{"Cache-Control: no-cache", Warn, true, 200, "answer 2", false},
		{"Pragma: no-cache", Warn, true, 200, "answer 2", false},
		{"Cache-Control: max-age=1", Warn, true, 200, "answer 1", false},
		{"Cache-Control: max-age=0", Warn, false, 200, "answer 1", true},
		{"Cache-Control: max-age=0", Ignore, false, 200, "answer 1", false},
		{"Cache-Control: max-age=0", Fail, false, 403, "", false},
	} {
		w := newWorld(t, gateway, says(200), func(s *Settings) { s.Refused = tt.refused })
		w.ask(t, "GET /a")
		r := request(t, "GET /a", tt.header)
		outer := w.handler
		w.handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			tapway.CallFrom(r.Context()).InvalidateCache = tt.may
			outer.ServeHTTP(rw, r)
		})
		got := w.do(r)
		if got.StatusCode != tt.status || tt.body != "" && got.body != tt.body || (got.Header.Get("Warning") != "") != tt.warning {
			t.Errorf("%s %v: %d %q %v", tt.header, tt.refused, got.StatusCode, got.body, got.Header)
		}
		w.handler = outer
		want := "answer 1"
		if tt.may && tt.body == "answer 2" {
			want = "answer 2"
		}
		if got := w.ask(t, "GET /a"); got.body != want {
			t.Errorf("%s: afterwards %q, want %q", tt.header, got.body, want)
		}
	}
}

// TestChange: what a call has changed is asked for anew, by path, Location and Content-Location
// of the same host.
func TestChange(t *testing.T) {
	for _, tt := range []struct {
		line, header string
		status       int
		gone         bool
	}{
		{"POST /a", "", 201, true},
		{"DELETE /a?x=1", "", 204, true},
		{"PURGE /a", "", 200, true},
		{"POST /a", "", 399, true},
		{"POST /a", "", 400, false},
		{"OPTIONS /a", "", 200, false},
		{"POST /b", "", 200, false},
		{"POST /b", "Location: /a", 303, true},
		{"POST /b/c", "Content-Location: ../a", 200, true},
		{"POST /b", "Location: http://api.test/a?y=2", 201, true},
		{"POST /b", "Location: http://other.test/a", 201, false},
	} {
		w := newWorld(t, rfc, says(200, "Cache-Control: max-age=60"))
		r := func() answer { return w.ask(t, "GET /a", "Host: api.test") }
		r()
		keep := w.backend
		headers := []string{"X: y"}
		if tt.header != "" {
			headers = append(headers, tt.header)
		}
		w.backend = says(tt.status, headers...)
		w.ask(t, tt.line, "Host: API.test") // the same host
		w.backend = keep
		if gone := r().call.Origin == tapway.OriginBackend; gone != tt.gone {
			t.Errorf("%s %d %s: gone %v, want %v", tt.line, tt.status, tt.header, gone, tt.gone)
		}
	}
}

// TestChangeWhileFetching: an answer that was asked for before a change is not kept after it.
func TestChangeWhileFetching(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		w := newWorld(t, rfc, func(rw http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet {
				<-release
				rw.Header().Set("Cache-Control", "max-age=60")
			}
			_, _ = rw.Write([]byte("x"))
		})
		go w.ask(t, "GET /a")
		synctest.Wait()
		w.ask(t, "POST /a")
		close(release)
		synctest.Wait()
		w.ask(t, "GET /a")
		w.wantCalls(t, 3)
	})
}

func TestPurgeAndReload(t *testing.T) {
	w := newWorld(t, gateway, says(200))
	w.ask(t, "GET /a?x=1")
	w.ask(t, "GET /a?x=2")
	w.ask(t, "GET /a/b")
	w.ask(t, "GET /ab")
	if n, err := w.Purge("/a", ""); n != 2 || err != nil {
		t.Errorf("/a: %d %v", n, err)
	}
	if n, err := w.Purge("/a/*", ""); n != 1 || err != nil {
		t.Errorf("/a/*: %d %v", n, err)
	}
	w.Reload(*w.settings.Load())
	if s := w.Stats(); s.Entries != 0 || s.Bytes != 0 || s.Invalidated != 3 {
		t.Errorf("after a reload: %+v", s)
	}
}
