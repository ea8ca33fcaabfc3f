package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tapway/tapway/internal/access"
	"github.com/tapway/tapway/internal/config"
)

const partnerKey = "partner-0123456789abcdefghij"

// askWith calls url with headers, names and values in turn.
func askWith(t *testing.T, url string, headers ...string) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(body)
}

// TestAccess: every rule refuses with its own answer, leaves a record that names it and not the
// key, is counted, and keeps the backend out of it.
func TestAccess(t *testing.T) {
	hits := new(atomic.Int32)
	backend := httpBackend(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	policy := filepath.Join(t.TempDir(), "policy.json")
	err := os.WriteFile(policy, []byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"execute-api:Invoke","Resource":"execute-api:/*"},
		{"Sid":"NoCurl","Effect":"Deny","Principal":"*","Action":"execute-api:Invoke","Resource":"execute-api:/*","Condition":{"StringLike":{"aws:UserAgent":"curl/*"}}},
		{"Sid":"Inside","Effect":"Deny","Principal":{"AWS":"111122223333"},"Action":"execute-api:Invoke","Resource":"execute-api:/*"}]}`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, "backend: "+backend+`
proxy: {filtered_paths: /internal}
access:
  resource_policy: `+policy+`
  trusted_proxies: 127.0.0.0/8
  methods: [GET, POST]
  usage_plans: [{name: gold, quota: {limit: 2, period: MONTH}, routes: [{match: /slow, rate: 0.001}]}]
  api_keys: [{name: partner, value: `+partnerKey+`, plan: gold}]
  routes: [{match: "ANY /public/{proxy+}", api_key: off}]
`)
	for i, tt := range []struct {
		path    string
		headers []string
		status  int
		body    string
		reason  any
	}{
		{"/x", []string{"X-Api-Key", partnerKey, "X-Forwarded-For", "6.6.6.6, 203.0.113.7"}, 200, "", nil},
		{"/x", []string{"X-Api-Key", partnerKey, "User-Agent", "curl/8"}, 403, `with an explicit deny in a resource-based policy"}`, "resource policy: denied by statement 2 (NoCurl)"},
		{"/x", nil, 403, `{"message":"Forbidden"}`, "api key: missing"},
		{"/x", []string{"X-Api-Key", partnerKey + "x"}, 403, `{"message":"Forbidden"}`, "api key: unknown"},
		{"/public/..%2Finternal", nil, 403, `{"message":"Forbidden"}`, "api key: missing"},
		{"/public/x", nil, 200, "", nil},
		{"/Internal;a/x", []string{"X-Api-Key", partnerKey}, 403, `{"message":"Filtered URL."}`, "filtered path"},
		{"/x", []string{"X-Api-Key", partnerKey, "X-HTTP-Method-Override", "DELETE"}, 403, `{"message":"Missing Authentication Token"}`, "method not allowed"},
		{"/slow", []string{"X-Api-Key", partnerKey}, 200, "", nil},
		{"/slow", []string{"X-Api-Key", partnerKey}, 429, `{"message":"Too Many Requests"}`, "throttle: usage plan, route"},
		{"/x", []string{"X-Api-Key", partnerKey}, 429, `{"message":"Limit Exceeded"}`, "quota: usage plan"},
	} {
		before := hits.Load()
		status, header, body := askWith(t, w.url+tt.path, tt.headers...)
		if status != tt.status || !strings.HasSuffix(body, tt.body) || (hits.Load() > before) != (status == 200) {
			t.Errorf("%s %q: %d %s, %d calls", tt.path, tt.headers, status, body, hits.Load()-before)
		}
		rec := w.sink.next(t, i)
		if fmt.Sprint(rec["error"]) != fmt.Sprint(tt.reason) || (rec["origin"] == "gateway") != (status != 200) || rec["status"] != float64(status) {
			t.Errorf("%s: record: error %v, origin %v, status %v", tt.path, rec["error"], rec["origin"], rec["status"])
		}
		if strings.Contains(fmt.Sprint(rec), partnerKey) {
			t.Errorf("%s: the key is in the record: %v", tt.path, rec)
		}
		if status != 200 && header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %v", tt.path, header)
		}
	}
	if ip := w.sink.next(t, 0)["client_ip"]; ip != "203.0.113.7" {
		t.Errorf("client_ip %v", ip)
	}
	_, metrics := call(t, "http://"+w.app.AdminAddr()+"/metrics")
	for rule, n := range map[string]int{"resource_policy": 1, "api_key": 3, "filtered_paths": 1, "methods": 1, "plan": 2} {
		if want := fmt.Sprintf("tapway_refused_total{rule=%q} %d\n", rule, n); !strings.Contains(metrics, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	if log := w.log.String(); !strings.Contains(log, "statement 3 means AWS principals, never anonymous callers") || strings.Contains(log, partnerKey) {
		t.Errorf("log: %s", log)
	}
	w.checkLedger()
}

// TestKeysWhileRunning: a key made on the command line is in force soon, what it has used outlives
// the process, and a revoked one is refused soon.
func TestKeysWhileRunning(t *testing.T) {
	backend := httpBackend(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	data := filepath.Join(t.TempDir(), "data")
	yaml := "data: " + data + "\nbackend: " + backend + "\naccess: {usage_plans: [{name: gold, quota: {limit: 3, period: MONTH}}]}\n"
	w := newWorldIn(t, yaml)
	_, value, err := access.CreateKey(KeysFile(data), "partner", "gold", "", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	until := func(status int) {
		t.Helper()
		for deadline := time.Now().Add(15 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			got, _, _ := askWith(t, w.url+"/x", "X-Api-Key", value)
			if got == status {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("still %d", got)
			}
		}
	}
	until(200)
	w.stop()
	w = newWorldIn(t, yaml)
	for i, want := range []int{200, 200, 429, 429} {
		if got, _, _ := askWith(t, w.url+"/x", "X-Api-Key", value); got != want {
			t.Errorf("call %d after a restart: %d", i+2, got)
		}
	}
	if _, err := access.RevokeKey(KeysFile(data), "partner", time.Now()); err != nil {
		t.Fatal(err)
	}
	until(403)
}

// TestProxyProtocol: the client of a proxy's connection is in the record, over HTTP/1.1 and for a
// connection that becomes a tunnel's worth of calls.
func TestProxyProtocol(t *testing.T) {
	backend := httpBackend(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Header.Get("X-Forwarded-For")) }))
	w := newWorld(t, "backend: "+backend+"\naccess: {trusted_proxies: 127.0.0.0/8, proxy_protocol: true}\n")
	const get = "GET /x HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 6.6.6.6\r\n"
	out := raw(t, w.addr, "PROXY TCP6 2001:db8::7 ::1 4711 443\r\n"+get+"\r\n"+get+"Connection: close\r\n\r\n")
	if strings.Count(out, "HTTP/1.1 200 OK") != 2 || !strings.HasSuffix(out, "2001:db8::7") || strings.Contains(out, "6.6.6.6") {
		t.Errorf("%s", out)
	}
	for i := range 2 {
		if rec := w.sink.next(t, i); rec["client_ip"] != "2001:db8::7" {
			t.Errorf("client_ip %v", rec["client_ip"])
		}
	}
	if out := raw(t, w.addr, get+"\r\n"); out != "" {
		t.Errorf("without a header: %s", out)
	}
}

// TestConnectionLimits: one address too many is closed before it costs a call.
func TestConnectionLimits(t *testing.T) {
	backend := httpBackend(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	w := newWorld(t, "backend: "+backend+"\nlimits: {connections_per_address: 1}\n")
	first, err := net.Dial("tcp", w.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	first.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(first, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n")
	if _, err := first.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	second, err := net.Dial("tcp", w.addr)
	if err == nil {
		second.SetDeadline(time.Now().Add(10 * time.Second))
		if n, err := second.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Error("the second connection stays")
		}
		second.Close()
	}
	if _, metrics := call(t, "http://"+w.app.AdminAddr()+"/metrics"); !strings.Contains(metrics, `tapway_refused_total{rule="connections of an address"} 1`) {
		t.Error("it is not counted")
	}
}

// TestAccessReload: rules change while calls go on; what is wrong changes nothing.
func TestAccessReload(t *testing.T) {
	backend := httpBackend(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	dir := t.TempDir()
	file := filepath.Join(dir, "tapway.yaml")
	write := func(rules string) {
		t.Helper()
		text := "listen: 127.0.0.1:0\nadmin: {listen: \"off\"}\ndata: " + dir + "/data\nbackend: " + backend + "\naccess: " + rules + "\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("{throttle: {rate: 0.001, burst: 1}}")
	source := config.Source{File: file}
	c, err := config.Load(source)
	if err != nil {
		t.Fatal(err)
	}
	log := new(lockedLog)
	a, err := New(c, Options{Version: "test", Log: newTestLog(log), Source: source})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done, ready := make(chan error, 1), make(chan struct{})
	go func() { done <- a.RunNotify(ctx, func() { close(ready) }) }()
	<-ready
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	want := func(status int) {
		t.Helper()
		if got, _, body := askWith(t, "http://"+a.Addr()+"/x"); got != status {
			t.Errorf("%d %s, want %d", got, body, status)
		}
	}
	want(200)
	want(429)
	write("{throttle: {rate: 0.001, burst: 1}, methods: [GET]}")
	if restart, err := a.Reload(); err != nil || len(restart) != 0 {
		t.Fatal(restart, err)
	}
	want(429) // a reload does not fill the bucket
	write("{methods: [POST]}")
	if _, err := a.Reload(); err != nil {
		t.Fatal(err)
	}
	want(403)
	write("{methods: [post]}")
	if _, err := a.Reload(); err == nil {
		t.Error("a wrong method is taken")
	}
	want(403)
	write("{proxy_protocol: true, trusted_proxies: 127.0.0.1}")
	if restart, err := a.Reload(); err != nil || strings.Join(restart, " ") != "access.proxy_protocol" {
		t.Error(restart, err)
	}
	want(200)
}

func newTestLog(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }
