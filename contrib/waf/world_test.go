package waf

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/access"
)

// world is a firewall behind a real listener and in front of a backend that remembers what it got.
type world struct {
	*httptest.Server
	t      *testing.T
	log    *lockedBuffer
	memory *Memory
	fire   *Firewall

	answer http.HandlerFunc // the backend, where it is not to give back what it got

	mu     sync.Mutex
	got    []string // bodies
	errors []string // Call.Error of each call
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func newWorld(t *testing.T, change func(*Config)) *world {
	t.Helper()
	c := Default()
	c.Mode = Block
	if change != nil {
		change(&c)
	}
	w := &world{t: t, log: new(lockedBuffer), memory: new(Memory)}
	var err error
	if w.fire, err = New(c, w.memory, slog.New(slog.NewTextHandler(w.log, nil))); err != nil {
		t.Fatal(err)
	}
	gate := new(access.Gate)
	gate.Set(access.NewChain(access.Options{}, &access.ClientAddress{}, w.fire))
	backend := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			body = append(body, "!"+err.Error()...)
		}
		w.mu.Lock()
		w.got = append(w.got, string(body))
		w.mu.Unlock()
		if w.answer != nil {
			w.answer(rw, r)
			return
		}
		rw.Write(body)
	})
	inside := gate.Wrap(backend)
	w.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		call := &tapway.Call{ID: tapway.NewID(time.Now())}
		inside.ServeHTTP(rw, r.WithContext(tapway.WithCall(r.Context(), call)))
		w.mu.Lock()
		w.errors = append(w.errors, call.Error)
		w.mu.Unlock()
	}))
	t.Cleanup(w.Close)
	return w
}

// send makes a call as an ordinary client of an API does and gives status and body.
func (w *world) send(method, target, contentType, body string, headers ...string) (int, string) {
	w.t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	return w.do(method, target, contentType, reader, headers...)
}

func (w *world) do(method, target, contentType string, body io.Reader, headers ...string) (int, string) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), method, w.URL+target, body)
	if err != nil {
		w.t.Error(err)
		return 0, ""
	}
	r.Host = "api.example.com"
	r.Header.Set("User-Agent", "shop-app/3.1")
	r.Header.Set("Accept", "application/json")
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Error(err)
		return 0, ""
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Error(err)
	}
	return resp.StatusCode, string(text)
}

// last is what the record of the last call says went wrong.
func (w *world) last() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.errors) == 0 {
		return "no call"
	}
	return w.errors[len(w.errors)-1]
}

// after is what the record of the nth call says went wrong: it is written behind the last byte.
func (w *world) after(n int) string {
	w.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		w.mu.Lock()
		done := len(w.errors) >= n
		w.mu.Unlock()
		if done {
			return w.last()
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("call %d does not end", n)
		}
	}
}

func (w *world) reached() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.got)
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
