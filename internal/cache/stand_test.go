package cache

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tapway/tapway"
)

// TestPrivate304: what a 304 says to one client only, those who waited with it do not get.
func TestPrivate304(t *testing.T) {
	for _, control := range []string{"private", "no-store", "max-age=60"} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, rfc, says(200, `Etag: "1"`, "Cache-Control: max-age=1"))
			w.ask(t, "GET /a")
			time.Sleep(2 * time.Second)
			w.backend = func(rw http.ResponseWriter, r *http.Request) {
				if r.Header.Get("If-None-Match") == "" {
					rw.WriteHeader(http.StatusTeapot)
					return
				}
				time.Sleep(time.Second)
				rw.Header().Set("Cache-Control", control)
				rw.Header().Set("X-User", "alice")
				rw.WriteHeader(http.StatusNotModified)
			}
			got := 0
			for _, a := range w.crowd(t, 5, "GET /a") {
				if a.Header.Get("X-User") != "" {
					got++
				}
			}
			want := 1
			if control == "max-age=60" {
				want = 5
			}
			if got != want {
				t.Errorf("%s: %d clients got it, want %d", control, got, want)
			}
		})
	}
}

// TestVary304: a 304 that says by what else the answers differ is for the one who asked.
func TestVary304(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, rfc, says(200, `Etag: "1"`, "Cache-Control: max-age=1"))
		w.ask(t, "GET /a")
		time.Sleep(2 * time.Second)
		w.backend = func(rw http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Second)
			rw.Header().Set("Vary", "X-Lang")
			rw.Header().Set("Cache-Control", "max-age=60")
			if r.Header.Get("If-None-Match") != "" && r.Header.Get("X-Lang") == "" {
				rw.WriteHeader(http.StatusNotModified)
				return
			}
			_, _ = rw.Write([]byte(r.Header.Get("X-Lang")))
		}
		go w.ask(t, "GET /a")
		synctest.Wait()
		if got := w.ask(t, "GET /a", "X-Lang: fr"); got.body != "fr" {
			t.Errorf("who wants fr got %q", got.body)
		}
	})
}

// TestChangeWhileChecking: who asks after a change does not get the old answer because the
// backend was asked about it before.
func TestChangeWhileChecking(t *testing.T) {
	for _, status := range []int{http.StatusNotModified, http.StatusServiceUnavailable} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, rfc, says(200, `Etag: "1"`, "Cache-Control: max-age=1, stale-if-error=600"))
			w.ask(t, "GET /a")
			time.Sleep(2 * time.Second)
			release, changed := make(chan struct{}), false
			w.backend = func(rw http.ResponseWriter, r *http.Request) {
				switch {
				case r.Method == http.MethodPost:
					changed = true
					rw.WriteHeader(http.StatusNoContent)
				case changed:
					_, _ = rw.Write([]byte("new"))
				default:
					<-release
					rw.WriteHeader(status)
				}
			}
			go w.ask(t, "GET /a")
			synctest.Wait()
			w.ask(t, "POST /a")
			after := make(chan answer, 1)
			go func() { after <- w.ask(t, "GET /a") }()
			synctest.Wait()
			close(release)
			if got := <-after; got.body != "new" {
				t.Errorf("%d: after the change a client got %q", status, got.body)
			}
		})
	}
}

// TestErrorThatHangs: the stale answer does not wait for the rest of the failure it stands in for.
func TestErrorThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, rfc, says(200, "Cache-Control: max-age=1, stale-if-error=600"))
		w.ask(t, "GET /a")
		time.Sleep(2 * time.Second)
		w.backend = func(rw http.ResponseWriter, r *http.Request) {
			rw.WriteHeader(http.StatusServiceUnavailable)
			select {
			case <-r.Context().Done():
				tapway.CallFrom(r.Context()).Error = "client went away"
				panic(http.ErrAbortHandler)
			case <-time.After(time.Hour):
			}
		}
		start := time.Now()
		got := w.ask(t, "GET /a")
		if took := time.Since(start); got.StatusCode != 200 || took > 5*time.Second {
			t.Errorf("%d after %v", got.StatusCode, took)
		}
		if want := "stale answer given: the backend failed"; got.call.Error != want {
			t.Errorf("the record says %q, want %q", got.call.Error, want)
		}
	})
}

// TestReloadMeanwhile: a call that began by the old rules leaves nothing behind under the new.
func TestReloadMeanwhile(t *testing.T) {
	var w *world
	w = newWorld(t, gateway, says(200), func(s *Settings) {
		match := s.Match
		s.Match = func(r *http.Request, path string) (Route, bool) {
			if r.Header.Get("X-Reload") != "" {
				w.Reload(*w.settings.Load())
			}
			return match(r, path)
		}
	})
	w.ask(t, "GET /a", "X-Reload: 1")
	if s := w.Stats(); s.Entries != 0 || s.Stored != 0 {
		t.Errorf("kept by the old rules: %+v", s)
	}
	w.ask(t, "GET /a")
	if s := w.Stats(); s.Entries != 1 {
		t.Errorf("not kept by the new: %+v", s)
	}
}
