package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tapway/tapway/internal/admin"
	"github.com/tapway/tapway/internal/record/recordtest"
)

// world is a directory with a tapway.yaml, a backend and a destination.
type world struct {
	dir     string
	backend *httptest.Server
	sink    *sink
}

// newWorld writes a configuration whose destination "sink" gives a record up after one
// attempt. more is added to it.
func newWorld(t *testing.T, more string) *world {
	t.Helper()
	w := &world{dir: t.TempDir(), backend: httptest.NewServer(http.HandlerFunc(answer)), sink: newSink(t)}
	t.Cleanup(w.backend.Close)
	w.configure(t, fmt.Sprintf(`
backend: %s
destinations:
  - {name: sink, url: %s, retry: {max_attempts: 1, min: 1ms, max: 1ms}}
%s`, w.backend.URL, w.sink.URL, more))
	return w
}

// configure writes tapway.yaml with free ports.
func (w *world) configure(t *testing.T, text string) {
	t.Helper()
	if !strings.Contains(text, "admin:") {
		text = "admin: {listen: 127.0.0.1:0}\n" + text
	}
	write(t, w.dir, "tapway.yaml", "listen: 127.0.0.1:0\n"+text)
}

// answer is the backend: the path's first word says what it does.
func answer(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "application/json")
	if strings.HasPrefix(r.URL.Path, "/fail") {
		w.WriteHeader(http.StatusInternalServerError)
	}
	fmt.Fprintf(w, `{"path":%q,"replay":%q}`, r.URL.Path, r.Header.Get("X-Tapway-Replay"))
}

// sink is a destination. While it is strict it refuses records of paths below /poison, and
// while it is down every one.
type sink struct {
	*httptest.Server
	t            *testing.T
	mu           sync.Mutex
	strict, down bool
	got          []string // endpoints of the records taken
	all          strings.Builder
}

func newSink(t *testing.T) *sink {
	s := &sink{t: t, strict: true}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var rec struct {
		Endpoint string `json:"endpoint"`
	}
	if err != nil || json.Unmarshal(body, &rec) != nil {
		s.t.Errorf("the destination got no record: %v %.200s", err, body)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	recordtest.Validate(s.t, body)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.down:
		w.WriteHeader(http.StatusServiceUnavailable)
	case s.strict && strings.HasPrefix(rec.Endpoint, "/poison"):
		w.WriteHeader(http.StatusUnprocessableEntity)
	default:
		s.got = append(s.got, rec.Endpoint)
		s.all.Write(body)
	}
}

func (s *sink) set(f func(*sink)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

// count is how many records of paths with this beginning it has taken.
func (s *sink) count(prefix string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, path := range s.got {
		if strings.HasPrefix(path, prefix) {
			n++
		}
	}
	return n
}

// calls makes calls to paths at the gateway, one after the other.
func (g *gateway) calls(t *testing.T, paths ...string) {
	t.Helper()
	for _, path := range paths {
		get(t, "http://"+g.addr+path)
	}
}

// settled waits until nothing is queued any more and gives the ledger.
func settled(t *testing.T, dir string) admin.LedgerState {
	t.Helper()
	var l admin.LedgerState
	waitFor(t, "every record to be settled", func() bool {
		l = decode[admin.LedgerState](t, must(t, dir, "ledger", "--json"))
		for _, d := range l.Destinations {
			if d.Queued > 0 {
				return false
			}
		}
		return true
	})
	if l.Difference != 0 {
		t.Errorf("the ledger differs by %d: %+v", l.Difference, l)
	}
	return l
}

// fails runs a command that must end with this code and say all of this on standard error.
func fails(t *testing.T, dir string, code int, says string, args ...string) {
	t.Helper()
	out, errOut, got := execute(t, dir, args...)
	if got != code || !strings.Contains(errOut, says) {
		t.Errorf("tapway %s: exit %d, want %d and %q:\n%s%s", strings.Join(args, " "), got, code, says, out, errOut)
	}
	if strings.Contains(errOut, "goroutine ") || strings.Contains(errOut, "panic") {
		t.Errorf("tapway %s shows its insides:\n%s", strings.Join(args, " "), errOut)
	}
	if code != 0 && !strings.HasPrefix(errOut, "tapway: ") && !strings.Contains(says, "\n") && says != "" && len(args) > 0 && args[0] != "config" {
		t.Errorf("tapway %s does not say who speaks:\n%s", strings.Join(args, " "), errOut)
	}
}

// jsonLines reads lines of JSON.
func jsonLines[T any](t *testing.T, text string) []T {
	t.Helper()
	var out []T
	for line := range strings.Lines(text) {
		out = append(out, decode[T](t, line))
	}
	return out
}

// interrupt sends a running command a signal and waits for its end.
func (c *running) interrupt(t *testing.T, within time.Duration) {
	t.Helper()
	began := time.Now()
	c.cmd.Process.Signal(os.Interrupt)
	select {
	case <-c.exited:
	case <-time.After(within):
		t.Fatalf("still running %v after an interrupt:\n%s", time.Since(began), c.out)
	}
}
