package app

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/accesslog"
	"github.com/tapway/tapway/internal/config"
)

// BenchmarkTelemetry is what telemetry adds to a call, apart from everything else: its place in a
// trace, its metrics, and its two spans if it is sampled.
func BenchmarkTelemetry(b *testing.B) {
	for _, c := range []struct{ name, yaml string }{
		{"off", ""},
		{"metrics", "telemetry: {otlp: {endpoint: 'http://127.0.0.1:1'}, traces: {sample: 0, parent: false}}"},
		{"not sampled", "telemetry: {otlp: {endpoint: 'http://127.0.0.1:1'}, traces: {sample: 0}}"},
		{"sampled", "telemetry: {otlp: {endpoint: 'http://127.0.0.1:1'}, traces: {sample: 1}}"},
	} {
		b.Run(c.name, func(b *testing.B) {
			t := benchTelemetry(b, c.yaml)
			call, ex := benchCall()
			handler := t.wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			r := httptest.NewRequest("GET", "/users/7", nil)
			r = r.WithContext(tapway.WithCall(r.Context(), call))
			b.ReportAllocs()
			for b.Loop() {
				handler.ServeHTTP(nil, r)
				t.ended(call, ex)
			}
		})
	}
}

func benchTelemetry(b *testing.B, yaml string) *telemetry {
	c, err := config.Load(config.Source{Text: []byte("backend: http://127.0.0.1:1\n" + yaml + "\n"), Getenv: func(string) (string, bool) { return "", false }})
	if err != nil {
		b.Fatal(err)
	}
	m, log := newMetrics(), slog.New(slog.DiscardHandler)
	way, err := wayOut(c, m, log)
	if err != nil {
		b.Fatal(err)
	}
	t, err := newTelemetry(c, way, m, "bench", log)
	if err != nil {
		b.Fatal(err)
	}
	return t
}

func benchCall() (*tapway.Call, *tapway.Exchange) {
	now := time.Now()
	call := &tapway.Call{ID: tapway.NewID(now), Start: now, Backend: time.Millisecond, Asked: &tapway.Asked{Method: "GET", Scheme: "http", Host: "10.0.0.1:8080", Status: 200}}
	ex := &tapway.Exchange{Meta: tapway.Meta{
		ID: call.ID, Time: now, Duration: 2 * time.Millisecond, FirstByte: time.Millisecond, Origin: tapway.OriginBackend, Proto: "HTTP/1.1", From: "api.example.com",
		Method: "GET", Path: "/users/7", Query: "a=b", Route: "GET /users/{id}", ClientIP: "203.0.113.7", Status: 200, ResponseSize: 1024, TraceID: w3cTrace,
	}, RequestHeader: tapway.Header{{Name: "User-Agent", Value: "curl/8.5.0"}, {Name: "Accept", Value: "*/*"}}}
	return call, ex
}

// BenchmarkAccessLog is what a line adds to a call.
func BenchmarkAccessLog(b *testing.B) {
	for _, format := range []accesslog.Format{accesslog.Combined, accesslog.JSON} {
		b.Run([]string{"combined", "common", "json"}[format], func(b *testing.B) {
			l, err := accesslog.Open(accesslog.Options{Path: filepath.Join(b.TempDir(), "access.log"), Format: format})
			if err != nil {
				b.Fatal(err)
			}
			go l.Run(b.Context())
			_, ex := benchCall()
			b.ReportAllocs()
			for b.Loop() {
				l.Write(ex, "")
			}
		})
	}
}

// BenchmarkWholeCall is a call through a whole tapway on this machine, for comparison.
func BenchmarkWholeCall(b *testing.B) {
	for _, c := range []struct{ name, yaml string }{
		{"off", ""}, {"sampled", "telemetry: {otlp: {endpoint: 'http://127.0.0.1:1'}, traces: {sample: 1}}"},
		{"a tenth sampled", "telemetry: {otlp: {endpoint: 'http://127.0.0.1:1'}}"},
	} {
		b.Run(c.name, func(b *testing.B) {
			backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }))
			defer backend.Close()
			cfg, err := config.Load(config.Source{Text: []byte("listen: 127.0.0.1:0\nadmin: {listen: 'off'}\ndata: " + b.TempDir() + "/d\ncapture: {durability: write}\nbackend: " + backend.URL + "\n" + c.yaml + "\n"), Getenv: func(string) (string, bool) { return "", false }})
			if err != nil {
				b.Fatal(err)
			}
			a, err := New(cfg, Options{Version: "bench", Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				b.Fatal(err)
			}
			ready, done := make(chan struct{}), make(chan struct{})
			ctx, cancel := context.WithCancel(b.Context())
			go func() { defer close(done); _ = a.RunNotify(ctx, func() { close(ready) }) }()
			<-ready
			b.ReportAllocs()
			for b.Loop() {
				resp, err := http.Get("http://" + a.Addr() + "/users/7")
				if err != nil {
					b.Fatal(err)
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			cancel()
			<-done
		})
	}
}
