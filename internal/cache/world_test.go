package cache

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tapway/tapway"
)

// world is a cache before a handler that counts its calls.
type world struct {
	*Cache
	calls   atomic.Int32
	handler http.Handler
	backend http.HandlerFunc
}

func newWorld(t *testing.T, rule Rule, backend http.HandlerFunc, change ...func(*Settings)) *world {
	t.Helper()
	w := &world{backend: backend}
	s := Settings{
		Match:  func(*http.Request, string) (Route, bool) { return Route{Rule: &rule, Name: "ANY /{proxy+}"}, true },
		Memory: 1 << 20, MaxEntry: 64 << 10, Log: slog.New(slog.DiscardHandler),
	}
	for _, f := range change {
		f(&s)
	}
	w.Cache = New(s)
	t.Cleanup(w.Close)
	w.handler = w.Wrap(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.calls.Add(1)
		tapway.CallFrom(r.Context()).Origin = tapway.OriginBackend
		w.backend(rw, r)
	}))
	return w
}

var (
	gateway = Rule{TTL: 300 * time.Second, Whole: true}
	rfc     = Rule{Mode: RFC9111, TTL: 300 * time.Second, Whole: true}
)

// answer is what a client got, and what the record would say.
type answer struct {
	*http.Response
	body string
	call *tapway.Call
}

// ask makes a call: "GET /path" and headers, "Name: value".
func (w *world) ask(t *testing.T, line string, headers ...string) answer {
	t.Helper()
	return w.do(request(t, line, headers...))
}

func request(t *testing.T, line string, headers ...string) *http.Request {
	t.Helper()
	method, target, _ := strings.Cut(line, " ")
	r := httptest.NewRequest(method, "http://api.test/", nil)
	r.RequestURI, r.Body = target, http.NoBody
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			r.Host = value
			continue
		}
		r.Header.Add(name, value)
	}
	return r
}

func (w *world) do(r *http.Request) answer {
	call := &tapway.Call{Start: time.Now()}
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r.WithContext(tapway.WithCall(r.Context(), call)))
	res := rec.Result()
	body, _ := io.ReadAll(res.Body)
	return answer{res, string(body), call}
}

func (w *world) wantCalls(t *testing.T, n int) {
	t.Helper()
	if got := int(w.calls.Load()); got != n {
		t.Errorf("%d calls reached the backend, want %d", got, n)
	}
}

// says is a backend with fixed headers whose body numbers its answers.
func says(status int, headers ...string) http.HandlerFunc {
	var n atomic.Int32
	return func(w http.ResponseWriter, r *http.Request) {
		for _, h := range headers {
			name, value, _ := strings.Cut(h, ": ")
			w.Header().Add(name, value)
		}
		w.WriteHeader(status)
		if status != 204 && status != 304 {
			fmt.Fprintf(w, "answer %d", n.Add(1))
		}
	}
}
