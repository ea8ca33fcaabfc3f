package mcp

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/admin"
	"github.com/tapway/tapway/internal/queue/diskqueue"
)

// world is a Server over a real store.
type world struct {
	store  *diskqueue.Queue
	server *Server

	mu     sync.Mutex
	resent []string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	store, err := diskqueue.Open(t.TempDir(), diskqueue.Options{MaxBytes: -1, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	w := &world{store: store}
	api := admin.Local(&admin.Server{Store: store, Log: quiet, Version: "test", Resend: func(string) (admin.Resend, error) {
		return func(_ context.Context, ex *tapway.Exchange) (int, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.resent = append(w.resent, ex.Path)
			return 200, nil
		}, nil
	}})
	w.server = &Server{
		Version: "test", Write: true,
		Open: func(context.Context) (*admin.Client, func(), error) { return api, func() {}, nil },
		Explain: func(_ context.Context, c Call) (any, error) {
			return map[string]any{"passes": c.IP != "203.0.113.7", "path": c.Path}, nil
		},
	}
	return w
}

// add stores a call and gives its id.
func (w *world) add(t *testing.T, path string, status int, body string) string {
	t.Helper()
	now := time.Now()
	ex := &tapway.Exchange{Meta: tapway.Meta{ID: tapway.NewID(now), Time: now, Method: "GET", Path: path, Status: status, Front: tapway.FrontServer, Origin: tapway.OriginBackend, ResponseSize: int64(len(body))}}
	ex.ResponseHeader = tapway.Header{{Name: "Content-Type", Value: "text/plain"}}
	ex.Response = tapway.Body{Bytes: []byte(body), Size: int64(len(body))}
	if err := w.store.Enqueue(t.Context(), ex); err != nil {
		t.Fatal(err)
	}
	return ex.ID.String()
}

// kill stores calls and makes dead letters of them.
func (w *world) kill(t *testing.T, reason string, paths ...string) {
	t.Helper()
	sub, err := w.store.Subscribe("siem")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		w.add(t, path, 200, "x")
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		got, err := sub.Receive(ctx, 1)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		if err := sub.Settle(t.Context(), []tapway.Settlement{{Message: got[0], Outcome: tapway.Outcome{Verdict: tapway.Dead, Reason: reason, Status: 422}}}); err != nil {
			t.Fatal(err)
		}
	}
}

// agent is a session of a real client.
type agent struct {
	*sdk.ClientSession
	t *testing.T
}

// bothWays runs a test with a client over pipes and one over HTTP.
func bothWays(t *testing.T, test func(t *testing.T, w *world, a agent)) {
	t.Run("stdio", func(t *testing.T) {
		w := newWorld(t)
		test(t, w, overPipes(t, w.server))
	})
	t.Run("http", func(t *testing.T) {
		w := newWorld(t)
		s := httptest.NewServer(w.server)
		t.Cleanup(s.Close)
		transport := &http.Transport{}
		t.Cleanup(transport.CloseIdleConnections)
		test(t, w, connect(t, &sdk.StreamableClientTransport{Endpoint: s.URL, HTTPClient: &http.Client{Transport: transport}}))
	})
}

func overPipes(t *testing.T, s *Server) agent {
	t.Helper()
	toServer, fromClient := io.Pipe()
	toClient, fromServer := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := s.Serve(context.Background(), toServer, fromServer)
		fromServer.Close()
		done <- err
	}()
	t.Cleanup(func() {
		fromClient.Close()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return connect(t, &sdk.IOTransport{Reader: toClient, Writer: fromClient})
}

func connect(t *testing.T, transport sdk.Transport) agent {
	t.Helper()
	client := sdk.NewClient(&sdk.Implementation{Name: "test", Version: "1"}, nil)
	session, err := client.Connect(t.Context(), transport, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { session.Close() })
	return agent{session, t}
}

// call calls a tool and gives the text of its result.
func (a agent) call(name, args string) (text string, failed bool) {
	a.t.Helper()
	params := &sdk.CallToolParams{Name: name}
	if args != "" {
		params.Arguments = json.RawMessage(args)
	}
	r, err := a.CallTool(a.t.Context(), params)
	if err != nil {
		a.t.Fatalf("%s %s: %v", name, args, err)
	}
	if len(r.Content) != 1 {
		a.t.Fatalf("%s: %d pieces of content", name, len(r.Content))
	}
	return r.Content[0].(*sdk.TextContent).Text, r.IsError
}

// read calls a tool that must succeed and reads its result; marked says whether it must be
// marked as captured.
func read[T any](a agent, marked bool, name, args string) (v T) {
	a.t.Helper()
	body, failed := a.call(name, args)
	if failed {
		a.t.Fatalf("%s %s: %s", name, args, body)
	}
	if got := strings.HasPrefix(body, "What stands between"); got != marked {
		a.t.Errorf("%s: marked as captured: %v", name, got)
	}
	if err := json.Unmarshal([]byte(inside(a.t, body)), &v); err != nil {
		a.t.Fatalf("%s %s: %v: %s", name, args, err, body)
	}
	return v
}

// inside takes the marks away.
func inside(t *testing.T, body string) string {
	t.Helper()
	if !strings.HasPrefix(body, "What stands between") {
		return body
	}
	lines := strings.Split(body, "\n")
	if len(lines) != 4 || !strings.HasPrefix(lines[1], "<captured-traffic-") || lines[3] != "</"+lines[1][1:] {
		t.Fatalf("the marks are not around one line: %q", body)
	}
	return lines[2]
}

func (a agent) fails(name, args, says string) {
	a.t.Helper()
	body, failed := a.call(name, args)
	if !failed || !strings.Contains(body, says) {
		a.t.Errorf("%s %s: failed %v, want %q: %s", name, args, failed, says, body)
	}
}

func quoted(s string) string { return fmt.Sprintf("%q", s) }
