// Package otlptest is an OpenTelemetry collector for tests, in process, over HTTP. It reads what
// it gets with the official types, so that it takes nothing that a real one would not.
//
// What a newcomer gets wrong: those types read OTLP's JSON but for its ids, which are hex
// there; the collector turns them into base64 first, and complains when they are anything else.
package otlptest

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"sync"
	"testing"
	"time"

	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// Collector keeps what it gets.
type Collector struct {
	*httptest.Server
	t testing.TB

	mu      sync.Mutex
	news    chan struct{} // closed and replaced when something has come
	spans   []*tracepb.Span
	traces  []*tracepb.TracesData
	metrics []*metricspb.MetricsData
	heads   []http.Header
	answer  func(w http.ResponseWriter, r *http.Request) bool
}

// New starts a collector that ends with the test.
func New(t testing.TB) *Collector {
	c := &Collector{t: t, news: make(chan struct{})}
	c.Server = httptest.NewServer(c)
	t.Cleanup(c.Close)
	return c
}

// Answer sets what answers requests before the collector reads them; true: it has answered.
func (c *Collector) Answer(f func(w http.ResponseWriter, r *http.Request) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answer = f
}

// ServeHTTP takes /v1/traces and /v1/metrics.
func (c *Collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	answer := c.answer
	c.heads = append(c.heads, r.Header.Clone())
	c.mu.Unlock()
	if answer != nil && answer(w, r) {
		return
	}
	if err := c.take(r); err != nil {
		c.t.Errorf("collector: %s: %v", r.URL.Path, err)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
	if r.Header.Get("Content-Type") == "application/json" {
		io.WriteString(w, "{}")
	}
}

func (c *Collector) take(r *http.Request) error {
	if r.Method != http.MethodPost {
		return fmt.Errorf("method %s", r.Method)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return err
		}
		if body, err = io.ReadAll(z); err != nil {
			return err
		}
	}
	asJSON := r.Header.Get("Content-Type") == "application/json"
	if !asJSON && r.Header.Get("Content-Type") != "application/x-protobuf" {
		return fmt.Errorf("content type %q", r.Header.Get("Content-Type"))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch r.URL.Path {
	case "/v1/traces":
		data := new(tracepb.TracesData)
		if err := Decode(body, asJSON, data); err != nil {
			return err
		}
		c.traces = append(c.traces, data)
		for _, rs := range data.ResourceSpans {
			for _, ss := range rs.ScopeSpans {
				c.spans = append(c.spans, ss.Spans...)
			}
		}
	case "/v1/metrics":
		data := new(metricspb.MetricsData)
		if err := Decode(body, asJSON, data); err != nil {
			return err
		}
		c.metrics = append(c.metrics, data)
	default:
		return fmt.Errorf("no such path")
	}
	close(c.news)
	c.news = make(chan struct{})
	return nil
}

var ids = regexp.MustCompile(`"(traceId|spanId|parentSpanId)":"([^"]*)"`)

// Decode reads a request's body with the official types. TracesData and MetricsData are the
// same messages as the requests of the collector's service.
func Decode(body []byte, asJSON bool, into proto.Message) error {
	if !asJSON {
		return proto.Unmarshal(body, into)
	}
	if !json.Valid(body) {
		return fmt.Errorf("not JSON: %s", body)
	}
	var bad error
	body = ids.ReplaceAllFunc(body, func(found []byte) []byte {
		parts := ids.FindSubmatch(found)
		id, err := hex.DecodeString(string(parts[2]))
		if err != nil || len(id) != 16 && len(id) != 8 {
			bad = fmt.Errorf("%s is no id in hex", found)
		}
		return fmt.Appendf(nil, `"%s":"%s"`, parts[1], base64.StdEncoding.EncodeToString(id))
	})
	if bad != nil {
		return bad
	}
	return protojson.Unmarshal(body, into)
}

// wait waits until there is what enough asks for, with the lock held.
func (c *Collector) wait(what string, enough func() bool) {
	c.t.Helper()
	late := time.After(20 * time.Second)
	for {
		c.mu.Lock()
		ok, news := enough(), c.news
		c.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-news:
		case <-late:
			c.t.Fatalf("collector: %s have not come; there are %d spans and %d exports of metrics", what, len(c.spans), len(c.metrics))
		}
	}
}

// Spans waits for n spans and gives all there are.
func (c *Collector) Spans(n int) []*tracepb.Span {
	c.t.Helper()
	c.wait(fmt.Sprint(n, " spans"), func() bool { return len(c.spans) >= n })
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]*tracepb.Span(nil), c.spans...)
}

// Traces are all exports of spans so far.
func (c *Collector) Traces() []*tracepb.TracesData {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]*tracepb.TracesData(nil), c.traces...)
}

// Metrics waits until an export of metrics satisfies good, and gives that one's metrics by name.
func (c *Collector) Metrics(good func(map[string]*metricspb.Metric) bool) map[string]*metricspb.Metric {
	c.t.Helper()
	var found map[string]*metricspb.Metric
	c.wait("the metrics wanted", func() bool {
		for _, data := range c.metrics {
			all := map[string]*metricspb.Metric{}
			for _, rm := range data.ResourceMetrics {
				for _, sm := range rm.ScopeMetrics {
					for _, m := range sm.Metrics {
						all[m.Name] = m
					}
				}
			}
			if good(all) {
				found = all
				return true
			}
		}
		return false
	})
	return found
}

// Headers are those of all requests so far.
func (c *Collector) Headers() []http.Header {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]http.Header(nil), c.heads...)
}
