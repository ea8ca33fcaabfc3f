package cache

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
)

// within checks that the memory in use is below its bound, and gives it.
func (w *world) within(t *testing.T) int64 {
	t.Helper()
	s := w.Stats()
	if s.Bytes > s.Limit || s.Bytes < 0 {
		t.Errorf("%d bytes in use of %d", s.Bytes, s.Limit)
	}
	return s.Bytes
}

// TestSlowLeaderBeyondMemory: when there is no memory for an answer whose first client takes
// nothing, those who wait for it go to the backend, and what the client has taken is given back.
func TestSlowLeaderBeyondMemory(t *testing.T) {
	for _, told := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			const pieces = 32
			started, more := make(chan struct{}, 1), make(chan struct{})
			w := newWorld(t, gateway, func(rw http.ResponseWriter, r *http.Request) {
				if told {
					rw.Header().Set("Content-Length", strconv.Itoa(pieces<<10))
				}
				select {
				case started <- struct{}{}:
					<-more // the others have come
				default:
				}
				for range pieces {
					_, _ = rw.Write(make([]byte, 1<<10))
				}
			}, func(s *Settings) { s.Memory = 10 << 10 })
			slow := &stuck{http.Header{}, make(chan struct{})}
			ended := make(chan struct{})
			go func() {
				w.handler.ServeHTTP(slow, request(t, "GET /a"))
				close(ended)
			}()
			synctest.Wait()
			answers := make(chan answer)
			for range 3 {
				go func() { answers <- w.ask(t, "GET /a") }()
			}
			synctest.Wait()
			w.wantCalls(t, 1)
			close(more)
			for range 3 {
				if got := <-answers; len(got.body) != pieces<<10 {
					t.Errorf("got %d bytes", len(got.body))
				}
				w.within(t)
			}
			w.wantCalls(t, 4)
			if got := w.ask(t, "GET /a"); len(got.body) != pieces<<10 {
				t.Errorf("a later one got %d bytes", len(got.body))
			}
			close(slow.until)
			<-ended
			synctest.Wait()
			if used := w.within(t); used > 2*overhead || w.store.fixed != 0 {
				t.Errorf("afterwards %d bytes are in use, %d of them for good", used, w.store.fixed)
			}
		})
	}
}

// TestCopyDropped: what the client of an answer that grew too large has taken is not held while
// the rest streams.
func TestCopyDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rest := make(chan struct{})
		w := newWorld(t, gateway, func(rw http.ResponseWriter, r *http.Request) {
			_, _ = rw.Write(make([]byte, 1000))
			_, _ = rw.Write(make([]byte, 1000))
			<-rest
		}, func(s *Settings) { s.MaxEntry = 1500 })
		go w.handler.ServeHTTP(discard{http.Header{}}, request(t, "GET /a"))
		synctest.Wait()
		if used := w.within(t); used > overhead+100 {
			t.Errorf("%d bytes are held while the rest streams", used)
		}
		close(rest)
		synctest.Wait()
	})
}

// TestSlowClients: what slow clients have still to take counts, be it of answers being fetched,
// of kept ones or of ones that are gone; without room calls pass.
func TestSlowClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, gateway, func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Length", "1000")
			_, _ = rw.Write(make([]byte, 1000))
		}, func(s *Settings) { s.Memory = 20 << 10 })
		w.ask(t, "GET /hit")
		until := make(chan struct{})
		for i := range 60 {
			path := "/hit"
			if i >= 3 {
				path = "/" + strconv.Itoa(i)
			}
			go w.handler.ServeHTTP(&stuck{http.Header{}, until}, request(t, "GET "+path))
			synctest.Wait()
			w.within(t)
		}
		if used := w.within(t); used < 15<<10 {
			t.Errorf("only %d bytes are in use: slow clients do not count", used)
		}
		stored := w.Stats().Stored
		if stored < 5 || stored > 15 {
			t.Errorf("%d answers of 1,000 bytes were kept in 20 KiB", stored)
		}
		if got := w.ask(t, "GET /new"); len(got.body) != 1000 {
			t.Errorf("without room a client got %d bytes", len(got.body))
		}
		if _, err := w.Purge("", ""); err != nil {
			t.Fatal(err)
		}
		if s := w.Stats(); s.Entries != 0 || s.Bytes < 10<<10 {
			t.Errorf("purged, with slow clients still reading: %+v", s)
		}
		close(until)
		synctest.Wait()
		if used := w.within(t); used != 0 || w.store.fixed != 0 {
			t.Errorf("at the end %d bytes are in use, %d of them for good", used, w.store.fixed)
		}
		w.ask(t, "GET /hit")
		if got := w.ask(t, "GET /hit"); got.Header.Get("Cache-Status") != "tapway; hit; ttl=300" {
			t.Errorf("afterwards nothing is kept: %v", got.Header)
		}
	})
}

// TestMarked: after an answer that turned out not to be kept at its end, nobody waits for the next.
func TestMarked(t *testing.T) {
	for name, backend := range map[string]http.HandlerFunc{
		"longer than is kept": func(rw http.ResponseWriter, r *http.Request) {
			for range 4 {
				_, _ = rw.Write([]byte(strings.Repeat("x", 500)))
			}
		},
		"trailers": func(rw http.ResponseWriter, r *http.Request) {
			_, _ = rw.Write([]byte("x"))
			rw.Header().Set(http.TrailerPrefix+"X-Sum", "1")
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			slow := make(chan struct{})
			w := newWorld(t, gateway, backend, func(s *Settings) { s.MaxEntry = 1000 })
			first := w.ask(t, "GET /a")
			if name == "trailers" && first.Trailer.Get("X-Sum") != "1" {
				t.Errorf("the trailer is lost: %v", first.Trailer)
			}
			w.backend = func(rw http.ResponseWriter, r *http.Request) { <-slow }
			for range 3 {
				go w.ask(t, "GET /a")
			}
			synctest.Wait()
			w.wantCalls(t, 4)
			close(slow)
			synctest.Wait()
		})
	}
}

// TestSlowHits: answers from the cache that slow clients are still reading count until they have
// them, purged or not, and once for all who read the same.
func TestSlowHits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, gateway, func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Length", "1000")
			_, _ = rw.Write(make([]byte, 1000))
		})
		until := make(chan struct{})
		for i := range 5 {
			path := "/" + strconv.Itoa(i)
			w.ask(t, "GET "+path)
			for range 3 {
				go w.handler.ServeHTTP(&stuck{http.Header{}, until}, request(t, "GET "+path))
			}
		}
		synctest.Wait()
		before := w.Stats()
		if before.Hits != 15 || before.Bytes < 5000 || before.Bytes > 10000 {
			t.Errorf("while they are read: %+v", before)
		}
		w.ask(t, "GET /alone")
		if n, err := w.Purge("", ""); n != 6 || err != nil {
			t.Errorf("purged %d %v", n, err)
		}
		if s := w.Stats(); s.Bytes != before.Bytes || s.Entries != 0 {
			t.Errorf("purged, and still being read: %+v, want %d bytes", s, before.Bytes)
		}
		close(until)
		synctest.Wait()
		if used := w.within(t); used != 0 || w.store.fixed != 0 {
			t.Errorf("at the end %d bytes are in use, %d of them for good", used, w.store.fixed)
		}
	})
}
