package demo

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// Traffic calls a gateway now and then, as a few clients would. Every call is bounded.
type Traffic struct {
	Gateway string        // base URL, without a slash at the end
	Every   time.Duration // pause between calls; 0: 400 ms
	Client  *http.Client  // nil: one of its own
}

type call struct{ method, path, body string }

var calls = []call{
	{"GET", "/api/v1/users", ""},
	{"GET", "/api/v1/users/2?fields=name&token=demo-query-token", ""},
	{"POST", "/api/v1/users", `{"name": "morpheus", "job": "leader"}`},
	{"PUT", "/api/v1/users/2", `{"job": "captain"}`},
	{"POST", "/api/v1/login", `{"user": "neo", "password": "demo-password"}`},
	{"DELETE", "/api/v1/users/999", ""},
	{"GET", "/api/v1/fail", ""},
	{"GET", "/api/v1/slow", ""},
	{"GET", "/api/v1/events", ""},
	{"GET", "/api/v1/download", ""},
}

// Run makes every kind of call once and then random ones, until ctx ends.
func (t *Traffic) Run(ctx context.Context) error {
	every := t.Every
	if every == 0 {
		every = 400 * time.Millisecond
	}
	client := t.Client
	if client == nil {
		client = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{}}
		defer client.CloseIdleConnections()
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for i := 0; ; i++ {
		switch {
		case i < len(calls):
			t.call(ctx, client, calls[i])
		case i == len(calls):
			t.echo(ctx, client)
		default:
			t.call(ctx, client, calls[rand.IntN(8)]) // #nosec G404 -- made-up traffic; the short ones
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// call makes one call; that some fail is part of the demonstration.
func (t *Traffic) call(ctx context.Context, client *http.Client, c call) {
	var body io.Reader
	if c.body != "" {
		body = strings.NewReader(c.body)
	}
	req, err := http.NewRequestWithContext(ctx, c.method, t.Gateway+c.path, body)
	if err != nil {
		return
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Authorization", "Bearer demo-bearer-token")
	if c.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := client.Do(req)
	if err != nil {
		return
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
}

func (t *Traffic) echo(ctx context.Context, client *http.Client) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(t.Gateway, "http")+"/api/v1/echo",
		&websocket.DialOptions{HTTPClient: &http.Client{Transport: client.Transport}})
	if err != nil {
		return
	}
	defer conn.CloseNow()
	if conn.Write(ctx, websocket.MessageText, []byte("hello, tap")) == nil {
		conn.Read(ctx)
	}
	conn.Close(websocket.StatusNormalClosure, "")
}
