package cache

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tapway/tapway"
)

// TestHTTP2: over HTTP/2 a call that is answered from the cache gets what the backend's has got: trailers, the
// length, no body for HEAD, and a GET that has a body goes to the backend.
func TestHTTP2(t *testing.T) {
	w := newWorld(t, rfc, func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		h := rw.Header()
		h.Set("Cache-Control", "max-age=60")
		h.Set("Content-Type", "text/plain")
		switch r.URL.Path {
		case "/announced":
			h.Set("Trailer", "X-Sum")
		case "/length":
			h.Set("Content-Length", "5")
		}
		rw.WriteHeader(http.StatusOK)
		io.WriteString(rw, "hello"+string(body))
		switch r.URL.Path {
		case "/announced":
			h.Set("X-Sum", "1")
		case "/trailer":
			h.Set(http.TrailerPrefix+"X-Sum", "1")
		}
	})
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.handler.ServeHTTP(rw, tapway.AttachCall(r, &tapway.Call{Start: time.Now()}))
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	ask := func(method, path, body string) string {
		t.Helper()
		var send io.Reader
		if body != "" {
			send = struct{ io.Reader }{strings.NewReader(body)} // of a length that is not known
		}
		req, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, send)
		if err != nil {
			t.Fatal(err)
		}
		res, err := s.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		got, err := io.ReadAll(res.Body)
		if err != nil || res.ProtoMajor != 2 {
			t.Fatal(err, res.Proto)
		}
		return fmt.Sprintf("%d %q length %d sum %q", res.StatusCode, got, res.ContentLength, res.Trailer.Get("X-Sum"))
	}
	for _, c := range []struct {
		method, path, body, want string
		calls                    int32
	}{
		{"GET", "/length", "", `200 "hello" length 5 sum ""`, 1},
		{"GET", "/length", "", `200 "hello" length 5 sum ""`, 1},
		{"HEAD", "/length", "", `200 "" length 5 sum ""`, 1},
		{"GET", "/none", "x", `200 "hellox"`, 2},
		{"GET", "/none", "", `200 "hello"`, 3},
		{"GET", "/none", "", `200 "hello" length 5 sum ""`, 3},
		{"GET", "/none", "x", `200 "hellox"`, 4},
		{"GET", "/trailer", "", `200 "hello" length 5 sum "1"`, 5},
		{"GET", "/trailer", "", `200 "hello" length 5 sum "1"`, 6},
		{"GET", "/announced", "", `200 "hello" length 5 sum "1"`, 7},
		{"GET", "/announced", "", `200 "hello" length 5 sum "1"`, 8},
	} {
		if got := ask(c.method, c.path, c.body); !strings.HasPrefix(got, c.want) || w.calls.Load() != c.calls {
			t.Errorf("%s %s %q: %s after %d calls, want %s after %d", c.method, c.path, c.body, got, w.calls.Load(), c.want, c.calls)
		}
	}
}
