package app

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/config"
)

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
	return startWith(t, c, Options{Version: "test", Log: slog.New(slog.DiscardHandler)})
}

func startWith(t *testing.T, c *config.Config, o Options) (a *App, stop func()) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	a, err := New(c, o)
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
		// The servers of a test hold the other ends of connections a little longer.
		if err := goleak.Find(before, goleak.IgnoreAnyFunction("net/http.(*conn).serve"), goleak.IgnoreAnyFunction("net/http.(*Server).Serve")); err != nil {
			t.Error(err)
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

// all are the records it has.
func (s *sink) all() []map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.records)
}
