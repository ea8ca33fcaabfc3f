package proxy

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// quietWriter is a ResponseWriter that costs nothing.
type quietWriter struct{ h http.Header }

func (q *quietWriter) Header() http.Header         { return q.h }
func (q *quietWriter) Write(p []byte) (int, error) { return len(p), nil }
func (q *quietWriter) WriteHeader(int)             {}

func hotCall() (*Handler, *http.Request, *quietWriter) {
	header := http.Header{"Content-Type": {"application/json"}, "Content-Length": {"1024"}, "Date": {"x"}, "Etag": {"y"}}
	body := strings.Repeat("x", 1024)
	b := &Backend{Timeout: time.Minute, Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
		io.Copy(io.Discard, r.Body)
		return &http.Response{StatusCode: 200, Header: header, ContentLength: 1024, Body: io.NopCloser(strings.NewReader(body))}, nil
	})}
	h := New(Settings{Router: routerFunc(func(_ *http.Request, path, query string, hasQuery bool) (Hop, *Refusal) {
		return Hop{Route: "r", Scheme: "http", Host: "b:80", Path: path, Query: query, HasQuery: hasQuery, Backend: b}, nil
	})})
	r := httptest.NewRequest("GET", "/api/v1/users/5?x=1", nil)
	for _, name := range []string{"Accept", "Accept-Encoding", "User-Agent", "Cookie", "Authorization"} {
		r.Header.Set(name, "value")
	}
	return h, r, &quietWriter{http.Header{}}
}

// What a call costs beyond the server and the transport, counted, not timed.
func TestAllocations(t *testing.T) {
	h, r, w := hotCall()
	allocations := testing.AllocsPerRun(1000, func() {
		clear(w.h)
		h.ServeHTTP(w, r)
	})
	const ofTheFakes = 6 // the response, its body and its copying, and the Call that no capture made
	if allocations > 25+ofTheFakes {
		t.Errorf("%v allocations per call", allocations)
	}
}

func BenchmarkCall(b *testing.B) {
	h, r, w := hotCall()
	b.ReportAllocs()
	for b.Loop() {
		clear(w.h)
		h.ServeHTTP(w, r)
	}
}
