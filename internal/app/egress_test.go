package app

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/config"
)

// ask calls url as a browser would, and follows no redirect.
func ask(t *testing.T, url string) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/html")
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

// port is the port of a URL on loopback.
func port(url string) string { return url[strings.LastIndexByte(url, ':')+1:] }

// TestDeniedBackend: the client gets a page without an address, the record and the metrics have
// the rule, the log the address; under report_only all is as without rules, but counted.
func TestDeniedBackend(t *testing.T) {
	for _, reportOnly := range []string{"false", "true"} {
		hits := new(atomic.Int32)
		backend := port(httpBackend(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) })))
		sink := newSink(t)
		// The backend's name resolves to an address that only the sink's port is allowed at.
		w := newWorldIn(t, "data: "+t.TempDir()+"\nbackend: http://localhost:"+backend+
			"\negress: {allow: [\"127.0.0.1:"+port(sink.URL)+"\", 10.0.0.0/8], report_only: "+reportOnly+"}\ndestinations: [{name: sink, url: \""+sink.URL+"\"}]\n")
		status, _, body := ask(t, w.url+"/x")
		rec := sink.next(t, 0)
		_, metrics := call(t, "http://"+w.app.AdminAddr()+"/metrics")
		if !strings.Contains(metrics, `tapway_egress_total{rule="127.0.0.1/32:`+port(sink.URL)+`",verdict="allowed"} 1`) {
			t.Errorf("the destination's connection is not counted: %s", metrics)
		}
		if reportOnly == "true" {
			if status != 200 || hits.Load() != 1 || rec["origin"] != "backend" || !strings.Contains(metrics, `tapway_egress_total{rule="allow list",verdict="would_deny"} 1`) {
				t.Errorf("report only: %d, %d calls, %v\n%s", status, hits.Load(), rec, metrics)
			}
			if log := w.log.String(); !strings.Contains(log, "report_only lets it pass") || !strings.Contains(log, "denied-by: allow list") {
				t.Errorf("log: %s", log)
			}
			continue
		}
		if status != 502 || hits.Load() != 0 || !strings.Contains(body, "The backend is not available.") {
			t.Errorf("%d, %d calls: %s", status, hits.Load(), body)
		}
		for _, never := range []string{"127.0.0.1", "localhost", "::1", backend, "egress", "allow list"} {
			if strings.Contains(body, never) {
				t.Errorf("the client is told %q", never)
			}
		}
		if rec["origin"] != "gateway" || rec["error"] != "egress denied by allow list" {
			t.Errorf("record: origin %v, error %v", rec["origin"], rec["error"])
		}
		if !strings.Contains(metrics, `tapway_egress_total{rule="allow list",verdict="denied"} 1`) {
			t.Errorf("metrics: %s", metrics)
		}
		if log := w.log.String(); !strings.Contains(log, "egress denied by allow list: localhost:"+backend+" is ") {
			t.Errorf("log: %s", log)
		}
	}
}

// TestEgressReload: a denied destination keeps its records, and gets them once a reload allows it;
// a backend that a reload denies is not reached by connections from before.
func TestEgressReload(t *testing.T) {
	hits := new(atomic.Int32)
	backend := port(httpBackend(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) })))
	sink := newSink(t)
	file := filepath.Join(t.TempDir(), "tapway.yaml")
	write := func(egress string) {
		t.Helper()
		text := "listen: 127.0.0.1:0\nadmin: {listen: 127.0.0.1:0}\ndata: " + filepath.Dir(file) + "/data\nbackend: http://localhost:" + backend +
			"\negress: " + egress + "\ndestinations: [{name: sink, url: \"http://localhost:" + port(sink.URL) + "\", retry: {min: 10ms, max: 20ms, max_attempts: 1000}}]\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`{deny: ["127.0.0.1:` + port(sink.URL) + `", "[::1]:` + port(sink.URL) + `"]}`)
	source := config.Source{File: file, Getenv: func(string) (string, bool) { return "", false }}
	c, err := config.Load(source)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := startWith(t, c, Options{Version: "test", Log: slog.New(slog.DiscardHandler), Source: source})
	if status, _, _ := ask(t, "http://"+a.Addr()+"/x"); status != 200 || hits.Load() != 1 {
		t.Fatalf("%d, %d calls", status, hits.Load())
	}
	until(t, "an attempt fails", func() bool {
		return strings.HasPrefix(a.destinations.live()[0].State().LastError, "egress denied by ")
	})
	if line := a.line(t, "sink"); line.Queued != 1 || line.Dead != 0 {
		t.Errorf("%+v", line)
	}
	write(`{deny: ["127.0.0.1:` + backend + `", "[::1]:` + backend + `"]}`)
	if restart, err := a.Reload(); err != nil || len(restart) > 0 {
		t.Fatalf("%v %v", restart, err)
	}
	sink.next(t, 0)
	if status, _, _ := ask(t, "http://"+a.Addr()+"/x"); status != 502 || hits.Load() != 1 {
		t.Errorf("%d, %d calls", status, hits.Load())
	}
	if rec := sink.next(t, 1); !strings.HasPrefix(rec["error"].(string), "egress denied by ") {
		t.Errorf("%v", rec["error"])
	}
	unchanged := a.destinations.live()[0]
	if _, err := a.Reload(); err != nil || a.destinations.live()[0] != unchanged {
		t.Errorf("a reload without a change replaced the worker: %v", err)
	}
}

// TestRedirects: none is followed, neither for a client nor for a destination.
func TestRedirects(t *testing.T) {
	hits := new(atomic.Int32)
	trap := httpBackend(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	redirect := http.RedirectHandler(trap+"/there", http.StatusTemporaryRedirect)
	sink := httptest.NewServer(redirect)
	t.Cleanup(sink.Close)
	w := newWorld(t, "backend: "+httpBackend(t, redirect)+"\ndestinations: [{name: sink, url: \""+sink.URL+"\", retry: {max_attempts: 1}}]\n")
	if status, header, _ := ask(t, w.url+"/here"); status != 307 || header.Get("Location") != trap+"/there" {
		t.Errorf("%d %v", status, header)
	}
	until(t, "the record is dead", func() bool { return w.app.line(t, "sink").Dead == 1 })
	if last := w.app.destinations.live()[0].State().LastError; !strings.Contains(last, "redirects are not followed") {
		t.Errorf("last error %q", last)
	}
	if hits.Load() != 0 {
		t.Error("a redirect was followed")
	}
}

// TestOperatorsCalls: what an operator redrives or replays to is asked about as well, by the rules
// for what is configured.
func TestOperatorsCalls(t *testing.T) {
	hits := new(atomic.Int32)
	to := httpBackend(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	o := newOnce("test")
	defer o.close()
	send := func() error {
		again, err := o.resend(to)
		if err != nil {
			t.Fatal(err)
		}
		_, err = again(t.Context(), &tapway.Exchange{Meta: tapway.Meta{ID: tapway.NewID(time.Now()), Method: "GET", Path: "/"}})
		return err
	}
	if err := send(); err != nil {
		t.Errorf("without rules: %v", err)
	}
	c := load(t, "backend: http://a.test\negress: {deny: [127.0.0.0/8]}\n")
	way, err := wayOut(c, newMetrics(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	o.use(way)
	if err := send(); err == nil || !strings.Contains(err.Error(), "egress denied by 127.0.0.0/8") {
		t.Errorf("with a rule against it: %v", err)
	}
	if hits.Load() != 1 {
		t.Errorf("%d requests", hits.Load())
	}
}
