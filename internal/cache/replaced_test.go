package cache

import (
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tapway/tapway"
)

// TestReplaced: what a backend says in place of a stale answer counts (RFC 9111 §4.3.3). Only a
// 304, a failure, and what is about the call leave the old answer as it was; it is never given
// in place of what was said, but for stale-if-error.
func TestReplaced(t *testing.T) {
	for _, tt := range []struct {
		status  int
		control string // of the second answer
		want    int    // what the client gets then
		after   int    // and when the backend fails next
	}{
		{304, "max-age=1, stale-if-error=600", 200, 200},
		{200, "max-age=1, stale-if-error=600", 200, 200},
		{200, "no-store", 200, 500},
		{201, "", 201, 500},
		{302, "no-store", 302, 500},
		{400, "", 400, 200},
		{401, "", 401, 500},
		{403, "", 403, 500},
		{404, "", 404, 500},
		{404, "no-store", 404, 500},
		{404, "max-age=1, stale-if-error=600", 404, 404},
		{404, "max-age=1", 404, 500},
		{405, "", 405, 500},
		{408, "", 408, 200},
		{410, "", 410, 500},
		{410, "private", 410, 500},
		{421, "", 421, 200},
		{425, "", 425, 200},
		{428, "", 428, 500},
		{429, "", 429, 200},
		{431, "", 431, 200},
		{451, "", 451, 500},
		{500, "", 200, 200},
		{501, "", 501, 200},
		{503, "no-store", 200, 200},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, rfc, says(200, `Etag: "1"`, "Cache-Control: max-age=1, stale-if-error=600"))
			w.ask(t, "GET /a")
			time.Sleep(2 * time.Second)
			w.backend = says(tt.status, "Cache-Control: "+tt.control)
			if got := w.ask(t, "GET /a"); got.StatusCode != tt.want {
				t.Errorf("%d %s: the client got %d", tt.status, tt.control, got.StatusCode)
			}
			time.Sleep(3 * time.Second)
			w.backend = says(500)
			if got := w.ask(t, "GET /a"); got.StatusCode != tt.after {
				t.Errorf("%d %s: when the backend fails after it, the client got %d, want %d", tt.status, tt.control, got.StatusCode, tt.after)
			}
		})
	}
}

// TestRefusedCaller: that one caller is refused says nothing about the answer for everybody.
func TestRefusedCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, rfc, says(200, "Cache-Control: public, max-age=1, stale-if-error=600"))
		w.ask(t, "GET /a")
		time.Sleep(2 * time.Second)
		w.backend = says(403)
		if got := w.ask(t, "GET /a", "Authorization: wrong"); got.StatusCode != 403 {
			t.Errorf("the caller got %d", got.StatusCode)
		}
		w.backend = says(503)
		if got := w.ask(t, "GET /a"); got.StatusCode != 200 {
			t.Errorf("the others got %d", got.StatusCode)
		}
	})
}

// TestHEAD: it is answered from a GET, and never the other way.
func TestHEAD(t *testing.T) {
	for _, rule := range []Rule{gateway, rfc} {
		w := newWorld(t, rule, func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Cache-Control", "max-age=60")
			rw.Header().Set("Content-Length", "5")
			if r.Method != http.MethodHead {
				_, _ = rw.Write([]byte("whole"))
			}
		})
		for range 2 {
			if got := w.ask(t, "HEAD /a"); got.call.Origin != tapway.OriginBackend || got.Header.Get("Content-Length") != "5" {
				t.Errorf("a HEAD was kept: %v", got.Header)
			}
		}
		if s := w.Stats(); s.Entries != 0 {
			t.Errorf("a HEAD left %+v", s)
		}
		if got := w.ask(t, "GET /a"); got.body != "whole" || got.call.Origin != tapway.OriginBackend {
			t.Errorf("GET after HEAD: %q by %s", got.body, got.call.Origin)
		}
		if got := w.ask(t, "HEAD /a"); got.call.Origin != tapway.OriginCache || got.body != "" || got.Header.Get("Content-Length") != "5" {
			t.Errorf("HEAD after GET: %q by %s, %v", got.body, got.call.Origin, got.Header)
		}
		w.wantCalls(t, 3)
	}
}

// TestPart: who asks for a part gets it from the backend, and nobody else gets it for the whole.
func TestPart(t *testing.T) {
	w := newWorld(t, rfc, func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Cache-Control", "max-age=60")
		if r.Header.Get("Range") != "" {
			rw.Header().Set("Content-Range", "bytes 0-1/5")
			rw.WriteHeader(http.StatusPartialContent)
			_, _ = rw.Write([]byte("wh"))
			return
		}
		_, _ = rw.Write([]byte("whole"))
	})
	for _, tt := range []struct {
		header, body string
		origin       tapway.Origin
	}{
		{"Range: bytes=0-1", "wh", tapway.OriginBackend},
		{"X: y", "whole", tapway.OriginBackend},
		{"Range: bytes=0-1", "wh", tapway.OriginBackend},
		{"X: y", "whole", tapway.OriginCache},
	} {
		if got := w.ask(t, "GET /a", tt.header); got.body != tt.body || got.call.Origin != tt.origin {
			t.Errorf("%s: %q by %s", tt.header, got.body, got.call.Origin)
		}
	}
}

// TestCodings: each client gets the coding that it asked for, whether the backend says Vary or not.
func TestCodings(t *testing.T) {
	for _, vary := range []string{"", "Accept-Encoding", "Origin, accept-encoding"} {
		w := newWorld(t, rfc, func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Cache-Control", "max-age=60")
			if vary != "" {
				rw.Header().Set("Vary", vary)
			}
			coding := r.Header.Get("Accept-Encoding")
			if coding != "" {
				rw.Header().Set("Content-Encoding", coding)
			}
			rw.Header().Set("Content-Length", strconv.Itoa(len(coding)+1))
			_, _ = rw.Write([]byte(coding + "."))
		})
		for range 2 {
			for _, coding := range []string{"gzip", "br", ""} {
				if coding == "" && vary == "" {
					continue // who says nothing takes anything, and without Vary an answer in the clear is for all
				}
				headers := []string{"X: y"}
				if coding != "" {
					headers = append(headers, "Accept-Encoding: "+coding)
				}
				if got := w.ask(t, "GET /a", headers...); got.body != coding+"." || got.Header.Get("Content-Encoding") != coding {
					t.Errorf("Vary %q, %q: got %q in %q", vary, coding, got.body, got.Header.Get("Content-Encoding"))
				}
			}
		}
		if s := w.Stats(); s.Hits == 0 {
			t.Errorf("Vary %q: nothing was kept", vary)
		}
	}
}
