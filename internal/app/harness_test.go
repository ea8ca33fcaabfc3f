package app

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(tidy{m}) }

// tidy lets go of the connections that http.Get keeps before leaks are looked for.
type tidy struct{ *testing.M }

func (m tidy) Run() int {
	code := m.M.Run()
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	return code
}

// load reads a configuration with free ports and a directory of its own.
func load(t *testing.T, text string) *config.Config {
	t.Helper()
	c, err := config.Load(config.Source{
		File: "tapway.yaml", Text: []byte(text), Set: map[string]string{"listen": "127.0.0.1:0", "admin.listen": "127.0.0.1:0", "data": t.TempDir()},
		Getenv: func(string) (string, bool) { return "", false },
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// start builds and runs an App; stop ends it and waits.
func start(t *testing.T, c *config.Config) (a *App, stop func()) {
	t.Helper()
	a, err := New(c, Options{Version: "test", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended, ready := make(chan error, 1), make(chan struct{})
	go func() { ended <- a.RunNotify(ctx, func() { close(ready) }) }()
	<-ready
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(30 * time.Second):
			t.Error("Run does not end")
		}
	})
	t.Cleanup(stop)
	return a, stop
}

// call makes one call on a connection of its own.
func call(t *testing.T, url string) (int, string) {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func (a *App) get(t *testing.T, path string) (int, string) {
	t.Helper()
	return call(t, "http://"+a.Addr()+path)
}

func (a *App) line(t *testing.T, destination string) tapway.LedgerLine {
	t.Helper()
	l, err := a.queue.Ledger(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if i := slices.IndexFunc(l.Destinations, func(d tapway.LedgerLine) bool { return d.Destination == destination }); i >= 0 {
		return l.Destinations[i]
	}
	t.Fatalf("no destination %s", destination)
	return tapway.LedgerLine{}
}

// eventually polls: deliveries happen on goroutines of their own.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); <-ticker.C {
		if cond() {
			return
		}
	}
	t.Fatalf("waited in vain: %s", what)
}

func backend(t *testing.T) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") }))
	t.Cleanup(s.Close)
	return s
}

// quickSink is a destination that remembers records by path.
type quickSink struct {
	*httptest.Server
	mu   sync.Mutex
	recs []sunk
}

type sunk struct {
	Endpoint string `json:"endpoint"`
	Response any    `json:"response"`
	Info     struct {
		Encoding string `json:"encoding"`
		Size     int64  `json:"size"`
	} `json:"response_info"`
}

func newQuickSink(t *testing.T) *quickSink {
	s := new(quickSink)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var rec sunk
		if err := json.NewDecoder(r.Body).Decode(&rec); err != nil {
			t.Error(err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.recs = append(s.recs, rec)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *quickSink) all() []sunk {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.recs)
}
