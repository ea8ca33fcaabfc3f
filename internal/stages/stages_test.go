package stages

import (
	"context"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/capture"
	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/delivery"
	"github.com/tapway/tapway/internal/egress"
	"github.com/tapway/tapway/internal/http1"
	"github.com/tapway/tapway/internal/proxy"
)

// loadForwarder is load without the need for a backend.
func loadForwarder(t *testing.T, text string) *config.Config {
	t.Helper()
	c, err := config.Load(config.Source{File: "test.yaml", Text: []byte(text), Forwards: true, Getenv: func(string) (string, bool) { return "", false }})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func routes(t *testing.T, text string) *Routes {
	t.Helper()
	r, err := NewRoutes(load(t, text), new(egress.Dialer))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// ask routes a request as the proxy does.
func ask(r *Routes, method, target string) (proxy.Hop, *proxy.Refusal) {
	path, query, hasQuery := strings.Cut(target, "?")
	in := httptest.NewRequest(method, "http://api.example.com/", nil)
	in = in.WithContext(tapway.WithCall(in.Context(), new(tapway.Call)))
	return r.Route(in, path, query, hasQuery)
}

// Where calls go: one backend for everything, or the route that is closest, byte for byte.
func TestRoutes(t *testing.T) {
	one := "backend: https://one.internal/base\n"
	several := "routes:\n" +
		"  - {match: \"GET /api/v1/users/{id}\", backend: \"https://users.internal/v1/users/{id}\", timeout: 5s}\n" +
		"  - {match: \"ANY /{proxy+}\", backend: \"https://legacy.internal/{proxy}\"}\n"
	for _, tt := range []struct {
		config, method, target string
		want                   string // scheme://host path?query route
		status                 int
	}{
		{one, "GET", "/", "https://one.internal/base/ $default", 0},
		{one, "PUT", "/a%2Fb/c?d=%20", "https://one.internal/base/a%2Fb/c?d=%20 $default", 0},
		{several, "GET", "/api/v1/users/7?x=1", "https://users.internal/v1/users/7?x=1 GET /api/v1/users/{id}", 0},
		{several, "GET", "/api/v1/users/a%2Fb", "https://users.internal/v1/users/a%2Fb GET /api/v1/users/{id}", 0},
		{several, "POST", "/api/v1/users/7", "", http.StatusNotFound}, // the closest template decides, as at API Gateway
		{several, "GET", "/api/v1/users/7/x", "https://legacy.internal/api/v1/users/7/x ANY /{proxy+}", 0},
		{several, "GET", "/", "", http.StatusNotFound},
		{"routes: [{match: \"GET /a\", backend: \"http://a.internal\"}]\n", "GET", "/b", "", http.StatusNotFound},
	} {
		hop, refusal := ask(routes(t, tt.config), tt.method, tt.target)
		if refusal != nil {
			if refusal.Status != tt.status {
				t.Errorf("%s %s is refused with %d", tt.method, tt.target, refusal.Status)
			}
			continue
		}
		got := hop.Scheme + "://" + hop.Host + hop.Path
		if hop.HasQuery {
			got += "?" + hop.Query
		}
		if got += " " + hop.Route; got != tt.want || tt.status != 0 {
			t.Errorf("%s %s goes to %q, want %q", tt.method, tt.target, got, tt.want)
		}
	}
}

// A route has its own timeout, and connections of its own only where its TLS differs.
func TestBackends(t *testing.T) {
	r := routes(t, "proxy: {timeout: 9s}\nroutes:\n"+
		"  - {match: \"GET /a\", backend: \"https://x.internal/a\"}\n"+
		"  - {match: \"GET /b\", backend: \"https://x.internal/b\", timeout: 1s, preserve_host: true}\n"+
		"  - {match: \"GET /c\", backend: \"https://x.internal/c\", tls: {insecure_skip_verify: true}}\n")
	find := func(path string) *proxy.Backend {
		t.Helper()
		hop, refusal := ask(r, "GET", path)
		if refusal != nil {
			t.Fatal(path, refusal)
		}
		return hop.Backend
	}
	a, b, c := find("/a"), find("/b"), find("/c")
	if a.Timeout != 9*time.Second || b.Timeout != time.Second || c.Timeout != 9*time.Second {
		t.Errorf("timeouts %v %v %v", a.Timeout, b.Timeout, c.Timeout)
	}
	if a.PreserveHost || !b.PreserveHost || c.PreserveHost {
		t.Error("preserve_host is not the route's")
	}
	if a.Transport != b.Transport || a.Transport == c.Transport {
		t.Error("connections are shared between the wrong routes")
	}
	if a.Transport.(*http1.Transport).TLSConfig.InsecureSkipVerify || !c.Transport.(*http1.Transport).TLSConfig.InsecureSkipVerify {
		t.Error("insecure_skip_verify is not the route's")
	}
	if r.Count() != 3 {
		t.Errorf("%d routes", r.Count())
	}
}

// The prefixes that stand for each other in Location headers and cookies.
func TestBases(t *testing.T) {
	for _, tt := range []struct{ match, backend, path, public, base string }{
		{"GET /api/users/{id}", "https://h.internal/v1/users/{id}", "/api/users/7", "/api", "/v1"},
		{"ANY /api/{proxy+}", "https://h.internal/v1/{proxy}", "/api/x", "/api", "/v1"},
		{"ANY /{proxy+}", "https://h.internal/{proxy}", "/x", "", ""},
		{"GET /a", "https://h.internal/b", "/a", "/a", "/b"},
		{"GET /{tenant}/users", "https://h.internal/users", "/t/users", "", ""}, // nothing fixed stands for anything
	} {
		hop, refusal := ask(routes(t, fmt.Sprintf("routes: [{match: %q, backend: %q}]\n", tt.match, tt.backend)), "GET", tt.path)
		if refusal != nil || hop.PublicBase != tt.public || hop.BackendBase != tt.base {
			t.Errorf("%s: %q stands for %q (%v), want %q and %q", tt.match, hop.PublicBase, hop.BackendBase, refusal, tt.public, tt.base)
		}
	}
}

// An export of an API Gateway refuses what it does not have as API Gateway does.
func TestOpenAPI(t *testing.T) {
	export := filepath.Join(t.TempDir(), "api.json")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(export, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const operation = `{"openapi":"3.0.1","info":{"title":"x","version":"1"},"paths":{"/users/{id}":{"get":{"responses":{},"x-amazon-apigateway-integration":` +
		`{"type":"%s","httpMethod":"GET","uri":"https://users.internal/v1/users/{id}","timeoutInMillis":5000,"tlsConfig":{"insecureSkipVerification":true},` +
		`"requestParameters":{"integration.request.path.id":"method.request.path.id"}}}}}}`
	write(fmt.Sprintf(operation, "http_proxy"))
	r := routes(t, "openapi: "+export+"\n")
	hop, refusal := ask(r, "GET", "/users/7")
	if refusal != nil || hop.Host != "users.internal" || hop.Path != "/v1/users/7" || hop.Backend.Timeout != 5*time.Second {
		t.Fatalf("%+v, %+v", hop, refusal)
	}
	if !hop.Backend.Transport.(*http1.Transport).TLSConfig.InsecureSkipVerify {
		t.Error("insecureSkipVerification is not the operation's")
	}
	for _, target := range []string{"/users", "/users/7/x"} {
		if _, refusal := ask(r, "GET", target); refusal == nil || refusal.Status != http.StatusForbidden || refusal.Message != "Missing Authentication Token" {
			t.Errorf("%s is answered with %+v", target, refusal)
		}
	}
	for text, want := range map[string]string{
		fmt.Sprintf(operation, "aws"): "no route that can be served here",
		`{`:                           export,
	} {
		write(text)
		if _, err := NewRoutes(&config.Config{OpenAPI: export}, new(egress.Dialer)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := NewRoutes(&config.Config{OpenAPI: "missing.json"}, new(egress.Dialer)); err == nil || !strings.Contains(err.Error(), "read the export") {
		t.Errorf("a missing file: %v", err)
	}
}

// Only who is trusted may say who the client is; an address alone is a prefix of its own.
func TestTrustedProxies(t *testing.T) {
	r := routes(t, "backend: http://b.internal\naccess: {trusted_proxies: [\"10.0.0.0/8\", \"192.0.2.1\", \"2001:db8::1\"]}\nproxy: {forwarded: \"off\"}\n")
	var got []string
	for _, p := range r.forwarded.Trusted {
		got = append(got, p.String())
	}
	if fmt.Sprint(got) != "[10.0.0.0/8 192.0.2.1/32 2001:db8::1/128]" || !r.forwarded.Off {
		t.Errorf("%v, off %v", got, r.forwarded.Off)
	}
}

// The first rule that takes an exchange decides.
func TestRules(t *testing.T) {
	set, err := NewRuleSet(load(t, "backend: http://b.internal\ncapture:\n  redact: {headers: [X-Own]}\n  rules:\n"+
		"    - {if: \"path == '/never'\", sample: 0}\n    - {if: \"status >= 500\"}\n    - {if: \"path startsWith '/large'\", bodies: false}\n    - {if: 'request_headers[\"x-quiet\"] == \"1\"', sample: 0}\nlog: {calls: true}\n"))
	if err != nil {
		t.Fatal(err)
	}
	var rules Rules
	rules.Set(set)
	if !rules.LogCalls() {
		t.Error("calls are not logged")
	}
	for _, tt := range []struct {
		path   string
		status int
		header string
		want   capture.Decision
	}{
		{"/", 200, "", capture.Keep},
		{"/never", 200, "", capture.Drop},
		{"/never", 500, "", capture.Drop},
		{"/nevermore", 200, "", capture.Keep},
		{"/large/1", 200, "", capture.NoBodies},
		{"/large/1", 499, "", capture.NoBodies},
		{"/large/1", 500, "", capture.Keep},
		{"/", 200, "1", capture.Drop},
	} {
		ex := &tapway.Exchange{Meta: tapway.Meta{Path: tt.path, Status: tt.status, Method: "GET"}}
		if tt.header != "" {
			ex.RequestHeader = tapway.Header{{Name: "X-Quiet", Value: tt.header}}
		}
		if got := rules.Decide(ex); got != tt.want {
			t.Errorf("%s %d %q: %v, want %v", tt.path, tt.status, tt.header, got, tt.want)
		}
	}
	ex := &tapway.Exchange{RequestHeader: tapway.Header{{Name: "X-Own", Value: "secret"}, {Name: "Authorization", Value: "secret"}, {Name: "X-Other", Value: "kept"}}}
	rules.Redact(ex)
	if text := fmt.Sprint(ex.RequestHeader); strings.Contains(text, "secret") || !strings.Contains(text, "kept") {
		t.Errorf("after redaction: %s", text)
	}
}

// Without rules everything is kept, and half of the calls by a share of one half.
func TestSampling(t *testing.T) {
	var rules Rules
	for text, bounds := range map[string][2]int{"": {1000, 1000}, "capture: {rules: [{if: \"status > 0\", sample: 0.5}]}\n": {350, 650}, "capture: {rules: [{if: \"status > 0\", sample: 1}]}\n": {1000, 1000}} {
		set, err := NewRuleSet(load(t, "backend: http://b.internal\n"+text))
		if err != nil {
			t.Fatal(err)
		}
		rules.Set(set)
		kept := 0
		for range 1000 {
			if rules.Decide(&tapway.Exchange{Meta: tapway.Meta{Status: 200}}) == capture.Keep {
				kept++
			}
		}
		if kept < bounds[0] || kept > bounds[1] {
			t.Errorf("%q keeps %d of 1000", text, kept)
		}
	}
}

// A destination is what its part of the configuration says, down to the wire.
func TestDestination(t *testing.T) {
	type got struct{ header, path, body string }
	arrived := make(chan got, 1)
	sink := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		arrived <- got{r.Header.Get("X-Key"), r.URL.Path, r.Header.Get("User-Agent")}
	}))
	defer sink.Close()
	c := loadForwarder(t, fmt.Sprintf("destinations: [{name: siem, url: %q, headers: {X-Key: secret}, timeout: 3s, concurrency: 7, if: \"path == '/a'\", batch: {max_records: 5, max_wait: 1s}, retry: {max_attempts: 4, min: 2s, max: 9s}}]\n", sink.URL+"/in"))
	var seen []delivery.Attempt
	d, err := NewDestination(c.Destinations[0], new(egress.Dialer), "1.2", func(a delivery.Attempt) { seen = append(seen, a) })
	if err != nil {
		t.Fatal(err)
	}
	defer d.Transport.CloseIdleConnections()
	s := d.Sender
	if s.Name != "siem" || s.Timeout != 3*time.Second || s.Batch.MaxRecords != 5 || s.Batch.MaxWait != time.Second || s.Retry.MaxAttempts != 4 ||
		s.Retry.Min != 2*time.Second || s.Retry.Max != 9*time.Second || d.Transport.MaxIdlePerHost != 7 {
		t.Errorf("%+v, %+v", s, d.Transport)
	}
	for path, want := range map[string]bool{"/a": true, "/ab": false} {
		ex := &tapway.Exchange{Meta: tapway.Meta{Path: path, Status: 200}}
		if d.Match(&tapway.Message{Frame: tapway.AppendFrame(nil, ex)}) != want {
			t.Errorf("the filter takes %s: %v", path, !want)
		}
	}
	out := s.Send(context.Background(), []tapway.Message{{ID: tapway.ID{1}, Frame: tapway.AppendFrame(nil, &tapway.Exchange{Meta: tapway.Meta{ID: tapway.ID{1}, Path: "/a", Status: 200}})}})
	if len(out) != 1 || out[0].Verdict != tapway.Delivered || len(seen) != 1 {
		t.Fatalf("%+v, %d attempts seen", out, len(seen))
	}
	if g := <-arrived; g.header != "secret" || g.path != "/in" || !strings.Contains(g.body, "1.2") {
		t.Errorf("%+v", g)
	}
}

func TestDestinationErrors(t *testing.T) {
	good := loadForwarder(t, "destinations: [{name: a, url: \"http://a.example.com\"}]\n").Destinations[0]
	for what, change := range map[string]func(*config.Destination){
		"format": func(d *config.Destination) { d.Format = "xml" },
		"filter": func(d *config.Destination) { d.If = "path ==" },
		"CA":     func(d *config.Destination) { d.TLS.CA = "missing.pem" },
		"URL":    func(d *config.Destination) { d.URL = "nowhere" },
	} {
		bad := good
		change(&bad)
		if _, err := NewDestination(bad, new(egress.Dialer), "", nil); err == nil {
			t.Errorf("a wrong %s is taken", what)
		}
	}
}

// A private CA is trusted where it is named, and nowhere else.
func TestClientTLS(t *testing.T) {
	srv := httptest.NewTLSServer(http.NotFoundHandler())
	defer srv.Close()
	dir := t.TempDir()
	ca, junk := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "junk.pem")
	for name, text := range map[string][]byte{ca: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), junk: []byte("no PEM")} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name  string
		c     config.ClientTLS
		works bool
	}{
		{"nothing", config.ClientTLS{}, false},
		{"CA", config.ClientTLS{CA: ca}, true},
		{"CA, another name", config.ClientTLS{CA: ca, ServerName: "other.internal"}, false},
		{"CA, its name", config.ClientTLS{CA: ca, ServerName: "example.com"}, true},
		{"unverified", config.ClientTLS{InsecureSkipVerify: true}, true},
	} {
		settings, err := ClientTLS(tt.c)
		if err != nil {
			t.Fatal(err)
		}
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: settings, DisableKeepAlives: true}}
		resp, err := client.Get(srv.URL)
		if err == nil {
			resp.Body.Close()
		}
		if (err == nil) != tt.works {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	for what, c := range map[string]config.ClientTLS{"no PEM certificate": {CA: junk}, "read the CA": {CA: filepath.Join(dir, "missing")}, "client certificate": {Cert: ca, Key: tapway.Secret(junk)}} {
		if _, err := ClientTLS(c); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// What the proxy stage is told is what the configuration says.
func TestSettings(t *testing.T) {
	c := load(t, "backend: http://b.internal\nproxy: {no_headers: true, app_name: Sample, error_title: Broken, max_request: 1KiB}\n")
	r, err := NewRoutes(c, new(egress.Dialer))
	if err != nil {
		t.Fatal(err)
	}
	s := r.Settings(c, nil, nil)
	if !s.NoHeaders || s.AppName != "Sample" || s.ErrorTitle != "Broken" || s.MaxRequestBody != 1<<10 || s.Router != r {
		t.Errorf("%+v", s)
	}
	if got := s.BodyStatus(fmt.Errorf("read: %w", &http1.ProtocolError{Status: 413})); got != 413 {
		t.Errorf("a protocol error is %d", got)
	}
	if got := s.BodyStatus(os.ErrClosed); got != 0 {
		t.Errorf("another error is %d", got)
	}
}
