package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/capture"
	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/stages"
)

func greet(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }

// TestRules: the first rule that takes an exchange decides.
func TestRules(t *testing.T) {
	c := load(t, `
backend: http://127.0.0.1:1
capture:
  rules:
    - {if: "path == '/none'", sample: 0}
    - {if: "path == '/all'", sample: 1}
    - {if: "path startsWith '/half'", sample: 0.5, bodies: false}
    - {if: "status >= 500"}
    - {if: "status >= 400", bodies: false}
    - {if: "headers['x-skip'] == 'yes'", sample: 0}
    - {if: "path == '/all'", sample: 0}
`)
	set, err := stages.NewRuleSet(c)
	if err != nil {
		t.Fatal(err)
	}
	var r stages.Rules
	r.Set(set)
	for _, tt := range []struct {
		path   string
		status int
		skip   string
		want   capture.Decision
	}{
		{"/none", 200, "", capture.Drop}, {"/all", 200, "", capture.Keep}, {"/x", 399, "", capture.Keep}, {"/x", 400, "", capture.NoBodies},
		{"/x", 499, "", capture.NoBodies}, {"/x", 500, "", capture.Keep}, {"/x", 200, "yes", capture.Drop}, {"/x", 400, "yes", capture.NoBodies}, {"/x", 200, "no", capture.Keep},
	} {
		ex := &tapway.Exchange{Meta: tapway.Meta{Path: tt.path, Status: tt.status}, RequestHeader: tapway.Header{{Name: "X-Skip", Value: tt.skip}}}
		if got := r.Decide(ex); got != tt.want {
			t.Errorf("%s %d %s: %v, want %v", tt.path, tt.status, tt.skip, got, tt.want)
		}
	}
	kept := 0
	for range 10_000 {
		switch r.Decide(&tapway.Exchange{Meta: tapway.Meta{Path: "/half"}}) {
		case capture.NoBodies:
			kept++
		case capture.Keep:
			t.Fatal("a sampled call keeps its bodies")
		}
	}
	if kept < 4700 || kept > 5300 { // six standard deviations
		t.Errorf("of 10,000 calls %d were kept, want about half", kept)
	}
}

// TestWiring: from a configuration to records at destinations, the ledger and the metrics.
func TestWiring(t *testing.T) {
	b, some, all := httpBackend(t, http.HandlerFunc(greet)), newSink(t), newSink(t)
	a, stop := start(t, load(t, fmt.Sprintf(`
backend: %s
capture: {rules: [{if: "path == '/sampled'", sample: 0}, {if: "path == '/bare'", bodies: false}]}
destinations:
  - {name: some, url: %s, if: "path startsWith '/api/'"}
  - {name: all, url: %s}
`, b, some.URL, all.URL)))
	for _, path := range []string{"/api/1", "/api/2", "/other", "/sampled", "/bare"} {
		if status, body := a.get(t, path); status != 200 || body != "hello" {
			t.Errorf("%s: %d %q", path, status, body)
		}
	}
	until(t, "four records and two", func() bool { return len(all.all()) == 4 && len(some.all()) == 2 && a.line(t, "some").Queued == 0 })
	for _, r := range all.all() {
		info := r["response_info"].(map[string]any)
		if bare := r["endpoint"] == "/bare"; bare != (r["response"] == nil) || bare != (info["encoding"] == "withheld") || info["size"] != 5.0 {
			t.Errorf("record %+v", r)
		}
	}
	if l := a.line(t, "some"); l.Captured != 5 || l.Delivered != 2 || l.Dropped["filtered"] != 2 || l.Dropped["sampled"] != 1 || l.Difference() != 0 {
		t.Errorf("ledger line %+v", l)
	}
	checkMetrics(t, a)
	stop()
	if _, err := os.Stat(addressFile(a.data)); !os.IsNotExist(err) {
		t.Errorf("the address is left behind: %v", err)
	}
}

var sample = regexp.MustCompile(`^([a-z_]+)(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? (-?[0-9.e+-]+|\+Inf|NaN)$`)

// checkMetrics reads the exposition line by line as Prometheus would.
func checkMetrics(t *testing.T, a *App) {
	t.Helper()
	status, text := call(t, "http://"+a.AdminAddr()+"/metrics")
	if status != 200 {
		t.Fatalf("metrics: %d %s", status, text)
	}
	typed := map[string]bool{}
	values := map[string]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if words := strings.Fields(line); words[0] == "#" {
			typed[words[2]] = true
			continue
		}
		m := sample.FindStringSubmatch(line)
		if m == nil {
			t.Errorf("not a sample: %s", line)
			continue
		}
		name := m[1]
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			if base, ok := strings.CutSuffix(name, suffix); ok && typed[base] {
				name = base
			}
		}
		if !typed[name] {
			t.Errorf("%s has no HELP and TYPE", name)
		}
		values[m[1]+m[2]] = m[4]
	}
	for name, want := range map[string]string{
		`tapway_ledger_calls_total`: "5", `tapway_ledger_stored_total`: "4", `tapway_ledger_dropped_total{reason="sampled"}`: "1",
		`tapway_ledger_records{destination="some",state="captured"}`: "5", `tapway_ledger_records{destination="some",state="delivered"}`: "2",
		`tapway_ledger_records{destination="some",state="queued"}`: "0", `tapway_ledger_records{destination="some",state="dead"}`: "0",
		`tapway_ledger_destination_dropped_total{destination="some",reason="filtered"}`: "2", `tapway_ledger_difference{destination="some"}`: "0",
		`tapway_ledger_difference{destination="all"}`: "0", `tapway_destination_working{destination="all"}`: "1", `tapway_calls_in_flight`: "0",
		`tapway_calls_total{origin="backend",status="2xx"}`: "5", `tapway_delivery_attempts_total{class="accepted",destination="all"}`: "4",
		`tapway_call_duration_seconds_count`: "5", `tapway_enqueue_failures_total`: "0",
	} {
		if values[name] != want {
			t.Errorf("%s is %q, want %s", name, values[name], want)
		}
	}
}

// TestReady: serving, and what a store that takes no more means in both ways of failing.
func TestReady(t *testing.T) {
	b := httpBackend(t, http.HandlerFunc(greet))
	for _, tt := range []struct {
		more         string
		call, status int
		says         string
	}{
		{"", 200, 200, `{"status":"ready"}`},
		{"storage: {limit: 1}\n", 200, 200, `"warning":"records cannot be stored`},
		{"storage: {limit: 1}\ncapture: {on_failure: refuse}\n", 503, 503, "records cannot be stored"},
	} {
		c := load(t, "backend: "+b+"\ndestinations: [{name: down, url: \"http://127.0.0.1:1/\"}]\n"+tt.more)
		a, err := New(c, Options{Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.ready(); err == nil || !strings.Contains(err.Error(), "not serving") {
			t.Errorf("before it serves: %v", err)
		}
		a.close()
		a, stop := start(t, c)
		if status, _ := a.get(t, "/x"); status != tt.call {
			t.Errorf("%sthe call: %d, want %d", tt.more, status, tt.call)
		}
		if status, body := call(t, "http://"+a.AdminAddr()+"/readyz"); status != tt.status || !strings.Contains(body, tt.says) {
			t.Errorf("%s/readyz: %d %s, want %d %s", tt.more, status, body, tt.status, tt.says)
		}
		if l := a.line(t, "down"); l.Difference() != 0 || tt.more != "" && l.Dropped["queue-full"] != 1 {
			t.Errorf("%sledger %+v", tt.more, l)
		}
		// What lies back counts no more.
		a.health.failed.Store(time.Now().Add(-recent).UnixNano())
		if status, body := call(t, "http://"+a.AdminAddr()+"/readyz"); status != 200 || strings.Contains(body, "warning") {
			t.Errorf("%slater: %d %s", tt.more, status, body)
		}
		stop()
		if _, err := a.ready(); err == nil {
			t.Error("ready although it has stopped")
		}
	}
	if err := writable(filepath.Join(t.TempDir(), "gone")); err == nil {
		t.Error("a directory that is not there can be written")
	}
}

// TestShutdown: what a working destination can still get is delivered; one that hangs or is
// gone holds nothing up for long, and keeps its records queued.
func TestShutdown(t *testing.T) {
	b, good := httpBackend(t, http.HandlerFunc(greet)), newSink(t)
	hang := make(chan struct{})
	hanging := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	}))
	defer hanging.Close()
	defer close(hang)
	a, stop := start(t, load(t, fmt.Sprintf(`
backend: %s
limits: {shutdown: 1s}
destinations:
  - {name: good, url: %s}
  - {name: hanging, url: %s, timeout: 1h}
  - {name: gone, url: "http://127.0.0.1:1/"}
`, b, good.URL, hanging.URL)))
	for i := range 50 {
		a.get(t, fmt.Sprintf("/%d", i))
	}
	began := time.Now()
	stop()
	if took := time.Since(began); took > 9*time.Second { // 1 s of calls, 0.25 s of draining, 4 s and 2 s of grace
		t.Errorf("stopping took %v", took)
	}
	if n := len(good.all()); n != 50 {
		t.Errorf("%d of 50 records were delivered", n)
	}
	server, closeStore, err := Offline(a.data, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore()
	l, err := server.Store.Ledger(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range l.Destinations {
		if d.Difference() != 0 || d.Destination == "good" && d.Delivered != 50 || d.Destination != "good" && d.Queued != 50 {
			t.Errorf("ledger line %+v", d)
		}
	}
}

// TestNewFails: a New that fails leaves nothing open.
func TestNewFails(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for says, change := range map[string]func(*config.Config){
		"the gateway cannot listen":   func(c *config.Config) { c.Listen = taken.Addr().String() },
		"the admin API cannot listen": func(c *config.Config) { c.Admin.Listen = taken.Addr().String() },
		"make the data directory":     func(c *config.Config) { c.Data = file },
		"read the CA":                 func(c *config.Config) { c.Proxy.TLS.CA = "nowhere" },
		"no PEM certificate":          func(c *config.Config) { c.Proxy.TLS.CA = file },
		"certificate nowhere":         func(c *config.Config) { c.TLS = &config.ServerTLS{Cert: "nowhere", Key: "nowhere"} },
		`destination "x"`:             func(c *config.Config) { c.Destinations[0].Format = "xml" },
		"read the export":             func(c *config.Config) { c.OpenAPI = "nowhere" },
	} {
		c := load(t, "backend: http://a\ndestinations: [{name: x, url: http://b}]\n")
		change(c)
		a, err := New(c, Options{Log: slog.New(slog.DiscardHandler)})
		if err == nil || a != nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, %v; want %q", a, err, says)
			continue
		}
		if c.Data == file {
			continue
		}
		if _, closeStore, err := Offline(c.Data, "test"); err == nil {
			closeStore()
		} else if !errors.Is(err, ErrNoStore) && !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: afterwards the store cannot be opened: %v", says, err)
		}
	}
}

// TestOffline: looking makes no store, and tells who has one open.
func TestOffline(t *testing.T) {
	dir := t.TempDir()
	if _, _, err := Offline(dir, "test"); !errors.Is(err, ErrNoStore) {
		t.Errorf("an empty directory: %v", err)
	}
	if names, _ := os.ReadDir(dir); len(names) != 0 {
		t.Errorf("looking made %v", names)
	}
	b := httpBackend(t, http.HandlerFunc(greet))
	c := load(t, "backend: "+b+"\nstorage: {history_age: 1h}\ndestinations: [{name: x, url: "+newSink(t).URL+"}]\n")
	a, stop := start(t, c)
	for range 5 {
		a.get(t, "/x")
	}
	var busy *BusyError
	if _, _, err := Offline(c.Data, "test"); !errors.As(err, &busy) || busy.PID != os.Getpid() || busy.Admin != a.AdminAddr() {
		t.Errorf("while it runs: %v", err)
	}
	if _, err := New(c, Options{Log: slog.New(slog.DiscardHandler)}); !errors.As(err, &busy) {
		t.Errorf("a second process: %v", err)
	}
	stop()
	for range 3 {
		server, closeStore, err := Offline(c.Data, "test")
		if err != nil {
			t.Fatal(err)
		}
		s, err := server.Store.Stats(t.Context())
		if err != nil || s.Records != 5 {
			t.Errorf("%d of 5 records are left, %v", s.Records, err)
		}
		closeStore()
	}
}

func TestDialable(t *testing.T) {
	for addr, want := range map[string]string{
		"": "", "127.0.0.1:9090": "127.0.0.1:9090", "0.0.0.0:9090": "127.0.0.1:9090", "[::]:9090": "[::1]:9090", "192.0.2.1:1": "192.0.2.1:1", "x": "",
	} {
		if got := dialable(addr); got != want {
			t.Errorf("dialable(%q) = %q, want %q", addr, got, want)
		}
	}
}

// TestFixed: every key that only a restart changes is one of the configuration's, and what
// was kept is what was.
func TestFixed(t *testing.T) {
	for _, key := range fixed {
		at := reflect.TypeFor[config.Config]()
		for name := range strings.SplitSeq(key, ".") {
			found := false
			for i := range at.NumField() {
				if at.Field(i).Tag.Get("yaml") == name {
					at, found = at.Field(i).Type, true
					break
				}
			}
			if !found {
				t.Fatalf("the configuration has no key %s", key)
			}
		}
	}
	now, next := config.Default(), config.Default()
	if changed := keepFixed(next, now); changed != nil {
		t.Errorf("nothing changed, and %q is named", changed)
	}
	next.Admin.Token, next.Limits.Headers, next.Log.Calls, next.Proxy.Debug, next.TLS = "x", 1, true, true, &config.ServerTLS{}
	if changed := keepFixed(next, now); !reflect.DeepEqual(changed, []string{"admin.token", "limits.headers", "tls"}) {
		t.Errorf("changed: %q", changed)
	}
	if next.Admin.Token != "" || next.Limits.Headers != 200 || !next.Log.Calls || !next.Proxy.Debug || next.TLS != nil {
		t.Errorf("kept: %+v", next)
	}
}

// TestRepeat: a repeated request is the recorded one without what belonged to its connection
// or was redacted.
func TestRepeat(t *testing.T) {
	ex := &tapway.Exchange{Meta: tapway.Meta{ID: tapway.NewID(time.Now()), Method: "POST", Path: "/a%2Fb//c", Query: "x=1&x"}}
	ex.RequestHeader = tapway.Header{{Name: "Authorization", Value: "[REDACTED]"}, {Name: "Cookie", Value: "a=[REDACTED:12ab]"}, {Name: "Connection", Value: "close"},
		{Name: "Content-Length", Value: "3"}, {Name: "Content-Encoding", Value: "gzip"}, {Name: "X-A", Value: "1"}, {Name: "X-A", Value: "2"}}
	ex.Request = tapway.Body{Bytes: []byte("abc"), Size: 3}
	var got *http.Request
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r }))
	defer s.Close()
	o := newOnce("test")
	defer o.close()
	for _, decoded := range []bool{false, true} {
		ex.Request.Decoded = decoded
		again, err := o.resend(s.URL + "/base/")
		if err != nil {
			t.Fatal(err)
		}
		if status, err := again(context.Background(), ex); status != 200 || err != nil {
			t.Fatalf("%d %v", status, err)
		}
		h := got.Header
		if got.RequestURI != "/base/a%2Fb//c?x=1&x" || got.Method != "POST" || got.ContentLength != 3 || h.Get("Authorization")+h.Get("Cookie") != "" ||
			len(h["X-A"]) != 2 || h.Get("X-Tapway-Replay") != ex.ID.String() || (h.Get("Content-Encoding") == "") != decoded {
			t.Errorf("decoded %v: %s %s %v", decoded, got.Method, got.RequestURI, h)
		}
	}
}
