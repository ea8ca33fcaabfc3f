package capture

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tapway/tapway"
)

// Who must not serve what they cannot record answers 503, or breaks off what is too long to
// be held back.
func TestRefuse(t *testing.T) {
	const refused = `{"message":"Service Unavailable"}`
	for _, c := range []struct {
		name    string
		method  string
		handler http.HandlerFunc
		broken  bool // the client gets no whole response
	}{
		{"length", "GET", func(w http.ResponseWriter, r *http.Request) { withLength(5)(w); io.WriteString(w, "hello"); flush(w) }, false},
		{"chunked, flushed", "GET", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello"); flush(w) }, false},
		{"204", "GET", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(204) }, false},
		{"HEAD", "HEAD", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(200) }, false},
		{"nothing written", "GET", func(w http.ResponseWriter, r *http.Request) {}, false},
		{"as long as can be held", "GET", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, long(maxHold)) }, false},
		{"one byte longer", "GET", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, long(maxHold+1)) }, true},
		{"one byte longer, with a length", "GET", func(w http.ResponseWriter, r *http.Request) {
			withLength(maxHold + 1)(w)
			io.WriteString(w, long(maxHold))
			io.WriteString(w, "x")
		}, true},
		{"event stream", "GET", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
			io.WriteString(w, "data: 1\n\n")
		}, true},
		{"panic", "GET", func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }, true},
	} {
		for _, h2 := range []bool{false, true} {
			t.Run(map[bool]string{true: "h2/", false: "h1/"}[h2]+c.name, func(t *testing.T) {
				q := newQueue(t)
				q.before = func(context.Context) error { return tapway.ErrQueueFull }
				var observed atomic.Int64
				s := serve(t, &Recorder{Queue: q, Refuse: true, Observe: func(ex *tapway.Exchange, err error, _ time.Duration) {
					if !errors.Is(err, tapway.ErrQueueFull) {
						t.Errorf("observed %v", err)
					}
					observed.Store(int64(ex.Status))
				}}, func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("X-Secret", "1")
					c.handler(w, r)
				}, false)
				a := ask(s, framing{method: c.method}, h2)
				if c.broken {
					if a.err == nil {
						t.Errorf("the client got %d and %d bytes", a.res.StatusCode, len(a.body))
					}
				} else {
					body := refused
					if c.method == "HEAD" {
						body = ""
					}
					if a.err != nil || a.res.StatusCode != 503 || a.body != body || a.res.Header.Get("X-Secret") != "" {
						t.Errorf("the client got %v, %v %q", a.err, a.res, a.body)
					}
				}
				s.settled()
				if got := observed.Load(); !c.broken && got != 503 || c.broken && got == 503 {
					t.Errorf("observed status %d", got)
				}
			})
		}
	}
}

// Sampled out is not lost: such a response is served.
func TestRefuseServesSampled(t *testing.T) {
	rec := &Recorder{Refuse: true, Decide: func(*tapway.Exchange) Decision { return Drop }}
	s := serve(t, rec, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") }, false)
	if res, body, err := s.raw("GET", "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"); err != nil || res.StatusCode != 200 || body != "hello" {
		t.Errorf("%v %v %q", err, res, body)
	}
}

// When memory is full, responses are no longer held whole, but still not completed.
func TestRefuseWithoutMemory(t *testing.T) {
	q := newQueue(t)
	q.before = func(context.Context) error { return tapway.ErrQueueFull }
	s := serve(t, &Recorder{Queue: q, Refuse: true, Memory: 10 << 10, SpoolDir: t.TempDir()}, func(w http.ResponseWriter, r *http.Request) {
		for range 50 {
			io.WriteString(w, strings.Repeat("x", 1000))
		}
	}, false)
	if _, body, err := s.raw("GET", "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"); err == nil {
		t.Errorf("the client got %d bytes", len(body))
	}
	s.settled()
}
