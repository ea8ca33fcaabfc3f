package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tapway/tapway/internal/admin"
)

const tortureRounds = 50

// TestKillAtRandomMoments kills the gateway with SIGKILL again and again under load, with
// destinations that fail at random. Every response that ended must have its record
// delivered, queued or dead at every destination, and the ledger must balance.
func TestKillAtRandomMoments(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		fmt.Fprintf(w, `{"path":%q,"got":%d}`, r.URL.Path, len(body))
	}))
	defer backend.Close()
	wild := newTortureSink(true)
	defer wild.Close()
	calm := newTortureSink(false)
	defer calm.Close()

	dir := t.TempDir()
	write(t, dir, "tapway.yaml", fmt.Sprintf(`
listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0}
backend: %s
destinations:
  - {name: wild, url: %s, timeout: 1s, retry: {max_attempts: 3, min: 1ms, max: 20ms}, batch: {max_records: 5}, format: ndjson}
  - {name: calm, url: %s, timeout: 5s, retry: {max_attempts: 100, min: 1ms, max: 20ms}}
`, backend.URL, wild.URL, calm.URL))

	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var ended endedCalls
	for range tortureRounds {
		g := serve(t, dir)
		ctx, cancel := context.WithCancel(t.Context())
		var clients sync.WaitGroup
		for range 8 {
			clients.Go(func() { ended.call(ctx, "http://"+g.addr) })
		}
		time.Sleep(time.Duration(20+random.IntN(180)) * time.Millisecond) // the random moment
		g.cmd.Process.Kill()
		<-g.log.exited
		cancel()
		clients.Wait()
		if log := g.log.String(); strings.Contains(log, "DATA RACE") || strings.Contains(log, "panic:") {
			t.Fatalf("the gateway's log:\n%s", log)
		}
	}
	if len(ended.paths) < tortureRounds {
		t.Fatalf("only %d calls ended in %d rounds", len(ended.paths), tortureRounds)
	}

	wild.heal()
	g := serve(t, dir)
	waitFor(t, "every record to be settled", func() bool {
		l := decode[admin.LedgerState](t, must(t, dir, "ledger", "--json", "--admin", g.admin))
		for _, d := range l.Destinations {
			if d.Queued > 0 {
				return false
			}
		}
		return true
	})
	g.stop(t)
	checkLedger(t, dir, len(ended.paths))
	for _, sink := range []struct {
		name string
		*tortureSink
	}{{"wild", wild}, {"calm", calm}} {
		dead := deadPaths(t, dir, sink.name)
		missing := 0
		for path := range ended.paths {
			if !sink.has(path) && !dead[path] {
				missing++
			}
		}
		if missing > 0 {
			t.Errorf("%s: %d of %d calls that ended were neither delivered nor dead", sink.name, missing, len(ended.paths))
		}
		t.Logf("%s: %d calls ended, %d paths delivered, %d dead", sink.name, len(ended.paths), sink.count(), len(dead))
	}
	mustContain(t, must(t, dir, "queue", "check"), "all sound")
	if left, err := os.ReadDir(dir + "/tapway-data/spool"); err == nil && len(left) > 0 {
		t.Errorf("%d temporary files are left over", len(left))
	}
}

func checkLedger(t *testing.T, dir string, atLeast int) {
	t.Helper()
	l := decode[admin.LedgerState](t, must(t, dir, "ledger", "--json"))
	if l.Difference != 0 || int(l.Stored) < atLeast {
		t.Errorf("ledger: %+v, want no difference and at least %d stored", l, atLeast)
	}
	for _, d := range l.Destinations {
		if d.Difference() != 0 {
			t.Errorf("ledger line %+v differs by %d", d, d.Difference())
		}
	}
}

func deadPaths(t *testing.T, dir, destination string) map[string]bool {
	t.Helper()
	paths := map[string]bool{}
	out := must(t, dir, "dlq", "list", "--json", "--limit", "0", "--destination", destination)
	for line := range strings.Lines(out) {
		if line = strings.TrimSpace(line); line != "" {
			paths[decode[admin.DeadLetter](t, line).Exchange.Path] = true
		}
	}
	return paths
}

// endedCalls are the calls whose response a client has read to its end.
type endedCalls struct {
	mu    sync.Mutex
	next  int
	paths map[string]bool
}

// call makes calls until ctx ends or the gateway is gone.
func (e *endedCalls) call(ctx context.Context, gateway string) {
	client := &http.Client{Transport: &http.Transport{}, Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	for ctx.Err() == nil {
		e.mu.Lock()
		e.next++
		path := fmt.Sprintf("/call/%d", e.next)
		size := []int{0, 10, 1000, 70_000}[e.next%4]
		e.mu.Unlock()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, gateway+path, strings.NewReader(strings.Repeat("x", size)))
		if err != nil {
			return
		}
		resp, err := client.Do(req)
		if err != nil {
			return
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != 200 || !json.Valid(body) {
			return
		}
		e.mu.Lock()
		if e.paths == nil {
			e.paths = map[string]bool{}
		}
		e.paths[path] = true
		e.mu.Unlock()
	}
}

// tortureSink remembers the paths of records it has taken; a wild one fails at random.
type tortureSink struct {
	*httptest.Server
	mu    sync.Mutex
	wild  bool
	paths map[string]bool
}

func newTortureSink(wild bool) *tortureSink {
	s := &tortureSink{wild: wild, paths: map[string]bool{}}
	s.Server = httptest.NewServer(s)
	return s
}

func (s *tortureSink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	wild := s.wild
	s.mu.Unlock()
	if wild {
		switch rand.IntN(8) {
		case 0:
			w.WriteHeader(http.StatusInternalServerError)
			return
		case 1:
			panic(http.ErrAbortHandler)
		case 2:
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
	}
	dec := json.NewDecoder(r.Body)
	var got []string
	for {
		var record struct {
			Endpoint string `json:"endpoint"`
		}
		if err := dec.Decode(&record); err == io.EOF {
			break
		} else if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		got = append(got, record.Endpoint)
	}
	s.mu.Lock()
	for _, path := range got {
		s.paths[path] = true
	}
	s.mu.Unlock()
	if wild && rand.IntN(8) == 0 {
		panic(http.ErrAbortHandler) // taken, but the answer gets lost
	}
}

func (s *tortureSink) heal() {
	s.mu.Lock()
	s.wild = false
	s.mu.Unlock()
}

func (s *tortureSink) has(path string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.paths[path]
}

func (s *tortureSink) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.paths)
}
