package admin

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/queue/diskqueue"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is an admin server over a real store.
type world struct {
	t      *testing.T
	store  *diskqueue.Queue
	server *Server
	live   *fakeDestination

	mu        sync.Mutex
	delivered []string // "to id" of what Deliver got
	resent    []string // "to method path" of what Resend got
	refuse    bool     // Deliver and Resend fail
}

func newWorld(t *testing.T) *world {
	t.Helper()
	store, err := diskqueue.Open(t.TempDir(), diskqueue.Options{MaxBytes: -1, SegmentBytes: 1 << 20, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	w := &world{t: t, store: store, live: &fakeDestination{name: "siem"}}
	w.server = &Server{
		Store: store, Version: "test", Log: slog.New(slog.DiscardHandler),
		Live: func() []Destination { return []Destination{w.live} }, Deliver: w.deliver,
		Resend: func(to string) (Resend, error) {
			if to == "http://unusable" {
				return nil, errors.New("to: cannot be used")
			}
			return func(_ context.Context, ex *tapway.Exchange) (int, error) {
				return 200, w.note(&w.resent, to, ex.Method+" "+ex.Path)
			}, nil
		},
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "up 1\n") }),
	}
	return w
}

func (w *world) note(list *[]string, to, what string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refuse {
		return errors.New("refused")
	}
	*list = append(*list, to+" "+what)
	return nil
}

func (w *world) deliver(_ context.Context, to string, batch []tapway.Message) ([]tapway.Outcome, error) {
	out := make([]tapway.Outcome, len(batch))
	for i := range batch {
		ex, err := tapway.DecodeFrame(batch[i].Frame)
		if err != nil {
			return nil, err
		}
		out[i] = tapway.Outcome{Verdict: tapway.Delivered}
		if w.note(&w.delivered, to, ex.Path) != nil {
			out[i] = tapway.Outcome{Verdict: tapway.Retry, Reason: "503 Service Unavailable"}
		}
	}
	return out, nil
}

// add stores exchanges with these paths; status 500 for /fail….
func (w *world) add(paths ...string) {
	w.t.Helper()
	for _, path := range paths {
		now := time.Now()
		ex := &tapway.Exchange{Meta: tapway.Meta{
			ID: tapway.NewID(now), Time: now, Duration: 12345 * time.Microsecond, Front: tapway.FrontServer, Origin: tapway.OriginBackend, Proto: "HTTP/1.1",
			From: "api.example.com", Method: "GET", Path: path, Query: "a=b", Status: 200, ClientIP: "203.0.113.7", RequestSize: 2, ResponseSize: 2,
		}}
		ex.RequestHeader = tapway.Header{{Name: "X-Path", Value: path}, {Name: "Content-Type", Value: "application/json"}}
		ex.ResponseHeader = tapway.Header{{Name: "Content-Type", Value: "application/json"}}
		ex.Request = tapway.Body{Bytes: []byte("{}"), Size: 2}
		ex.Response = tapway.Body{Bytes: []byte("[]"), Size: 2}
		switch path {
		case "/fail":
			ex.Status = 500
		case "/withheld":
			ex.Request = tapway.Body{Size: 9, Withheld: true}
		case "/truncated":
			ex.Request = tapway.Body{Bytes: []byte("{"), Size: 9, Truncated: true}
		case "/upgraded":
			ex.Status, ex.RequestHeader = 101, append(ex.RequestHeader, tapway.Field{Name: "Upgrade", Value: "websocket"})
		}
		if err := w.store.Enqueue(w.t.Context(), ex); err != nil {
			w.t.Fatal(err)
		}
	}
}

// kill makes dead letters of paths at a destination.
func (w *world) kill(destination string, paths ...string) {
	w.t.Helper()
	sub, err := w.store.Subscribe(destination)
	if err != nil {
		w.t.Fatal(err)
	}
	w.add(paths...)
	for left := len(paths); left > 0; {
		ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
		batch, err := sub.Receive(ctx, left)
		cancel()
		if err != nil {
			w.t.Fatal(err)
		}
		var done []tapway.Settlement
		for _, m := range batch {
			done = append(done, tapway.Settlement{Message: m, Outcome: tapway.Outcome{Verdict: tapway.Dead, Reason: "422 Unprocessable Entity", Status: 422}})
		}
		if err := sub.Settle(w.t.Context(), done); err != nil {
			w.t.Fatal(err)
		}
		left -= len(batch)
	}
}

func (w *world) line(destination string) tapway.LedgerLine {
	w.t.Helper()
	l, err := w.store.Ledger(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, line := range l.Destinations {
		if line.Destination == destination {
			if line.Difference() != 0 {
				w.t.Errorf("the ledger differs: %+v", line)
			}
			return line
		}
	}
	w.t.Fatalf("no destination %s", destination)
	return tapway.LedgerLine{}
}

// bothWays runs a test over the network and without one.
func bothWays(t *testing.T, test func(t *testing.T, w *world, c *Client)) {
	t.Run("network", func(t *testing.T) {
		w := newWorld(t)
		s := httptest.NewServer(w.server.Handler())
		t.Cleanup(s.Close)
		transport := &http.Transport{}
		t.Cleanup(transport.CloseIdleConnections)
		test(t, w, &Client{Base: s.URL, HTTP: transport})
	})
	t.Run("local", func(t *testing.T) {
		w := newWorld(t)
		test(t, w, Local(w.server))
	})
}

// list reads a stream to its end.
func list[T any](t *testing.T, c *Client, path string, q url.Values) []T {
	t.Helper()
	var out []T
	for v, err := range Stream[T](c.Get(t.Context(), path, q)) {
		if err != nil {
			t.Fatalf("%s?%s: %v", path, q.Encode(), err)
		}
		out = append(out, v)
	}
	return out
}

// follow reads the progress of a POST to its end.
func follow(t *testing.T, c *Client, path string, what any) Progress {
	t.Helper()
	var last Progress
	for p, err := range Stream[Progress](c.Post(t.Context(), path, what)) {
		if err != nil {
			t.Fatalf("%s %+v: %v", path, what, err)
		}
		last = p
	}
	if !last.Done {
		t.Errorf("%s %+v: the last line is %+v", path, what, last)
	}
	return last
}

// refused checks the status and message of an answer that must be an error.
func refused(t *testing.T, body io.ReadCloser, err error, status int, says string) {
	t.Helper()
	if err == nil {
		text, _ := io.ReadAll(body)
		body.Close()
		t.Errorf("not refused: %.500s", text)
		return
	}
	var e *StatusError
	if !errors.As(err, &e) || e.Status != status || !strings.Contains(e.Message, says) {
		t.Errorf("refused with %T %v, want %d %q", err, err, status, says)
	}
}

type fakeDestination struct {
	name string
	mu   sync.Mutex
	now  string
}

func (d *fakeDestination) Name() string        { return d.name }
func (d *fakeDestination) Pause(reason string) { d.set("paused " + reason) }
func (d *fakeDestination) Resume()             { d.set("closed") }
func (d *fakeDestination) set(s string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now = s
}
func (d *fakeDestination) State() DestinationState {
	d.mu.Lock()
	defer d.mu.Unlock()
	return DestinationState{Destination: d.name, URL: "http://siem", State: d.now}
}
