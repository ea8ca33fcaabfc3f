package app

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/record/recordtest"
)

// world is a whole tapway in this process with a destination that keeps what it gets.
type world struct {
	t    *testing.T
	app  *App
	url  string
	addr string
	sink *sink
	stop func()
	log  *lockedLog
}

// newWorld runs an App with the YAML given; {sink} and {data} stand for what it provides.
func newWorld(t *testing.T, yaml string) *world {
	t.Helper()
	w := &world{t: t, sink: newSink(t), log: new(lockedLog)}
	yaml = strings.NewReplacer("{sink}", w.sink.URL).Replace(yaml)
	if !strings.Contains(yaml, "destinations:") {
		yaml += "\ndestinations: [{name: sink, url: \"" + w.sink.URL + "\"}]\n"
	}
	w.run("data: " + t.TempDir() + "/data\n" + yaml)
	return w
}

// newWorldIn is newWorld with the data directory and the destinations of the YAML.
func newWorldIn(t *testing.T, yaml string) *world {
	t.Helper()
	w := &world{t: t, log: new(lockedLog)}
	w.run(yaml)
	return w
}

func (w *world) run(yaml string) {
	t := w.t
	t.Helper()
	text := "listen: 127.0.0.1:0\nadmin: {listen: 127.0.0.1:0}\n" + yaml
	c, err := config.Load(config.Source{File: "test.yaml", Text: []byte(text), Getenv: func(string) (string, bool) { return "", false }})
	if err != nil {
		t.Fatal(err)
	}
	w.app, err = New(c, Options{Version: "test", Log: slog.New(slog.NewTextHandler(w.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	ready := make(chan struct{})
	go func() { done <- w.app.RunNotify(ctx, func() { close(ready) }) }()
	<-ready
	w.addr = w.app.Addr()
	w.url = "http://" + w.addr
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(w.stop)
}

// sink is a destination; every record it gets is validated against the schema.
type sink struct {
	*httptest.Server
	mu      sync.Mutex
	records []map[string]any
	news    chan struct{}
	answer  func(w http.ResponseWriter, r *http.Request) bool // true: it has answered
}

func newSink(t *testing.T) *sink {
	s := &sink{news: make(chan struct{}, 1)}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		answer := s.answer
		s.mu.Unlock()
		if answer != nil && answer(w, r) {
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		recordtest.Validate(t, body)
		var rec map[string]any
		if err := json.Unmarshal(body, &rec); err != nil {
			t.Errorf("the destination got no record: %v", err)
		}
		s.mu.Lock()
		s.records = append(s.records, rec)
		s.mu.Unlock()
		select {
		case s.news <- struct{}{}:
		default:
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// next waits for the record number n (from 0) that has come.
func (s *sink) next(t *testing.T, n int) map[string]any {
	t.Helper()
	late := time.After(20 * time.Second)
	for {
		s.mu.Lock()
		if len(s.records) > n {
			rec := s.records[n]
			s.mu.Unlock()
			return rec
		}
		s.mu.Unlock()
		select {
		case <-s.news:
		case <-late:
			t.Fatalf("record %d has not come", n)
		}
	}
}

// rawBackend is a TCP server that keeps the bytes of each request and answers with bytes.
type rawBackend struct {
	addr     string
	requests chan string
}

func newRawBackend(t *testing.T, answer func(head string) string) *rawBackend {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	b := &rawBackend{addr: l.Addr().String(), requests: make(chan string, 100)}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go b.serve(c, answer)
		}
	}()
	return b
}

func (b *rawBackend) serve(c net.Conn, answer func(string) string) {
	defer c.Close()
	r := bufio.NewReader(c)
	for {
		var head strings.Builder
		length := 0
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			head.WriteString(line)
			fmt.Sscanf(strings.ToLower(line), "content-length: %d", &length)
			if line == "\r\n" {
				break
			}
		}
		body := make([]byte, length)
		if _, err := io.ReadFull(r, body); err != nil {
			return
		}
		b.requests <- head.String() + string(body)
		out := answer(head.String())
		io.WriteString(c, out)
		if strings.Contains(out, "Connection: close") || !strings.Contains(out, "\r\n\r\n") {
			return
		}
	}
}

// raw sends bytes over a connection of its own and gives all that comes back until the
// server closes or the response with a Content-Length is whole.
func raw(t *testing.T, addr, request string) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(c, request)
	if !strings.Contains(strings.ToLower(request), "\nconnection: close\r\n") { // the server ends it then; a client that half-closes has left if its call takes long
		c.(*net.TCPConn).CloseWrite()
	}
	out, _ := io.ReadAll(c)
	return string(out)
}

type lockedLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// checkLedger demands that nothing is unaccounted for.
func (w *world) checkLedger() tapway.Ledger {
	w.t.Helper()
	l, err := w.app.queue.Ledger(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	if l.Difference() != 0 {
		w.t.Errorf("ledger differs by %d: %+v", l.Difference(), l)
	}
	for _, line := range l.Destinations {
		if line.Difference() != 0 {
			w.t.Errorf("line differs by %d: %+v", line.Difference(), line)
		}
	}
	return l
}

// httpBackend serves h on loopback and gives its URL.
func httpBackend(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}
