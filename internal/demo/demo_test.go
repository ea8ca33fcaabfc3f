package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func serve(t *testing.T, h http.Handler) (string, *http.Client) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL, s.Client()
}

// TestAPI is the life of a user, and every other path.
func TestAPI(t *testing.T) {
	url, client := serve(t, new(API).Handler())
	ask := func(method, path, body string) (int, map[string]any) {
		t.Helper()
		req, err := http.NewRequest(method, url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		var v map[string]any
		if len(text) > 0 {
			if err := json.Unmarshal(text, &v); err != nil {
				t.Errorf("%s %s: %v in %s", method, path, err, text)
			}
		}
		return resp.StatusCode, v
	}
	for _, tt := range []struct {
		method, path, body string
		status             int
		key, want          string
	}{
		{"GET", "/api/v1/users", "", 200, "total", "3"},
		{"POST", "/api/v1/users", `{"name":"morpheus","job":"leader","id":"7"}`, 201, "id", "4"},
		{"GET", "/api/v1/users/4", "", 200, "name", "morpheus"},
		{"PUT", "/api/v1/users/4", `{"job":"captain","id":"9","createdAt":"never"}`, 200, "id", "4"},
		{"GET", "/api/v1/users/4", "", 200, "job", "captain"},
		{"DELETE", "/api/v1/users/4", "", 204, "", ""},
		{"DELETE", "/api/v1/users/4", "", 404, "message", "no user 4"},
		{"GET", "/api/v1/users/x", "", 404, "message", "no user x"},
		{"POST", "/api/v1/users", "[]", 400, "message", "the body must be a JSON object"},
		{"POST", "/api/v1/users", "null", 400, "message", "the body must be a JSON object"},
		{"POST", "/api/v1/login", `{"user":"neo","password":"x"}`, 200, "access_token", "demo-access-token"},
		{"GET", "/api/v1/fail", "", 500, "message", "the example API fails here on purpose"},
		{"GET", "/nowhere", "", 404, "message", "no such path in the example API"},
	} {
		status, v := ask(tt.method, tt.path, tt.body)
		if status != tt.status || tt.key != "" && fmt.Sprint(v[tt.key]) != tt.want {
			t.Errorf("%s %s: %d %v, want %d %s", tt.method, tt.path, status, v, tt.status, tt.want)
		}
	}
	if _, user := ask("POST", "/api/v1/users", `{"name":"x"}`); user["createdAt"] == nil {
		t.Errorf("created without createdAt: %v", user)
	}
}

func TestStreams(t *testing.T) {
	url, client := serve(t, new(API).Handler())
	resp, err := client.Get(url + "/api/v1/download")
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	if n != DownloadSize || err != nil || resp.ContentLength != DownloadSize {
		t.Errorf("download: %d bytes, %v", n, err)
	}
	resp, err = client.Get(url + "/api/v1/events")
	if err != nil {
		t.Fatal(err)
	}
	first := make([]byte, len("id: 1\n"))
	if _, err := io.ReadFull(resp.Body, first); err != nil || string(first) != "id: 1\n" || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("events begin with %q, %v", first, err)
	}
	resp.Body.Close()

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(url, "http")+"/api/v1/echo", &websocket.DialOptions{HTTPClient: client})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	for _, text := range []string{"hello", "", strings.Repeat("x", 10_000)} {
		if err := conn.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if kind, back, err := conn.Read(ctx); err != nil || kind != websocket.MessageText || string(back) != text {
			t.Errorf("echo: %v %.20q %v", kind, back, err)
		}
	}
}

// TestTraffic: every kind of call is made, and all of it ends with its context.
func TestTraffic(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]int{}
	api := new(API).Handler()
	url, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen[r.Method+" "+r.URL.Path]++
		mu.Unlock()
		if r.URL.Path != "/api/v1/slow" && r.URL.Path != "/api/v1/events" {
			api.ServeHTTP(w, r)
		}
	}))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- (&Traffic{Gateway: url, Every: time.Millisecond}).Run(ctx) }()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		mu.Lock()
		enough := seen["GET /api/v1/echo"] > 0 && seen["GET /api/v1/users"] > 1
		mu.Unlock()
		if enough {
			break
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, c := range calls {
		path, _, _ := strings.Cut(c.path, "?")
		if seen[c.method+" "+path] == 0 {
			t.Errorf("%s %s was not called: %v", c.method, path, seen)
		}
	}
}

// TestSink: a record is a line of at most 80 columns that cannot move the cursor; anything
// else is refused.
func TestSink(t *testing.T) {
	var out bytes.Buffer
	s := &Sink{Out: &out}
	post := func(body string) int {
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, httptest.NewRequest("POST", "/in", strings.NewReader(body)))
		return rec.Code
	}
	if code := post(`{"method":"GET","endpoint":"/a\u001b[2J/with/a/very/long/päth/indeed","query":"x=1","status":200,"duration_ms":1.25,"overhead_ms":0.1}`); code != 204 {
		t.Errorf("a record is answered %d", code)
	}
	for _, bad := range []string{"", "x", "[]"} {
		if code := post(bad); code != 400 {
			t.Errorf("%q is answered %d", bad, code)
		}
	}
	line := out.String()
	if s.Received() != 1 || strings.Count(line, "\n") != 1 || strings.ContainsRune(line, '\x1b') || utf8.RuneCountInString(line) > 81 || !strings.Contains(line, "200 GET    /a?[2J/with/a/very/long/p…") {
		t.Errorf("%d received, line %q", s.Received(), line)
	}
	rec := httptest.NewRecorder()
	s.ServeHTTP(rec, httptest.NewRequest("GET", "/in", nil))
	if rec.Code != 200 || !strings.Contains(rec.Body.String(), `"received":1`) {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}
