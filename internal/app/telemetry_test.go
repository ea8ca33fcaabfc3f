package app

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"pgregory.net/rapid"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/otlp"
	"github.com/tapway/tapway/internal/otlp/otlptest"
)

const (
	w3cTrace  = "4bf92f3577b34da6a3ce929d0e0e4736"
	w3cParent = "00f067aa0ba902b7"
)

// seen is a server that keeps the headers it gets.
type seen struct {
	*httptest.Server
	mu    sync.Mutex
	heads []http.Header
}

func newSeen(t *testing.T, status int) *seen {
	s := &seen{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		s.mu.Lock()
		s.heads = append(s.heads, r.Header.Clone())
		s.mu.Unlock()
		w.WriteHeader(status)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *seen) last() http.Header {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.heads[len(s.heads)-1]
}

func tracedCall(t *testing.T, method, url string, header http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
}

func attrsOf(list []*common.KeyValue) map[string]string {
	out := map[string]string{}
	for _, a := range list {
		switch v := a.Value.Value.(type) {
		case *common.AnyValue_StringValue:
			out[a.Key] = v.StringValue
		case *common.AnyValue_IntValue:
			out[a.Key] = fmt.Sprint(v.IntValue)
		}
	}
	return out
}

func ofKind(spans []*tracepb.Span, kind tracepb.Span_SpanKind) []*tracepb.Span {
	return slices.DeleteFunc(slices.Clone(spans), func(s *tracepb.Span) bool { return s.Kind != kind })
}

// wantAttrs checks some attributes; "-" wants none.
func wantAttrs(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	for key, value := range want {
		if value == "-" && got[key] == "" {
			continue
		}
		if got[key] != value {
			t.Errorf("%s: %s is %q, want %q", what, key, got[key], value)
		}
	}
}

// TestSpansOfACall: one for the call, one within it for the backend's, and one of another trace
// for the delivery, linked to the call's; the backend and the destination get their traceparent.
func TestSpansOfACall(t *testing.T) {
	for _, protocol := range []string{"http/protobuf", "http/json"} {
		t.Run(protocol, func(t *testing.T) {
			c, backend := otlptest.New(t), newSeen(t, 503)
			w := newWorld(t, `
routes: [{match: "ANY /users/{id}", backend: "`+backend.URL+`/v1/{id}"}]
capture: {redact: {path: [id]}}
telemetry: {service: shop, attributes: {deployment.environment.name: test}, otlp: {endpoint: "`+c.URL+`/", protocol: `+protocol+`, headers: {Api-Key: k}}, traces: {sample: 1}}
`)
			tracedCall(t, "POST", w.url+"/users/7?token=hidden&a=b", http.Header{
				"Traceparent": {"00-" + w3cTrace + "-" + w3cParent + "-01"}, "Tracestate": {"vendor=1"}, "Authorization": {"hidden"}, "User-Agent": {"agent"}, "X-Other": {"other"},
			})
			record := w.sink.next(t, 0)
			w.stop()
			spans := c.Spans(3)
			if len(spans) != 3 {
				t.Fatalf("%d spans", len(spans))
			}
			server, client, producer := ofKind(spans, tracepb.Span_SPAN_KIND_SERVER)[0], ofKind(spans, tracepb.Span_SPAN_KIND_CLIENT)[0], ofKind(spans, tracepb.Span_SPAN_KIND_PRODUCER)[0]

			if hex.EncodeToString(server.TraceId) != w3cTrace || hex.EncodeToString(server.ParentSpanId) != w3cParent || server.Name != "POST /users/{id}" || server.Status.GetCode() != tracepb.Status_STATUS_CODE_ERROR {
				t.Errorf("the call's: %v", server)
			}
			wantAttrs(t, "the call's", attrsOf(server.Attributes), map[string]string{
				"http.request.method": "POST", "url.path": "/users/[REDACTED]", "url.query": "token=[REDACTED]&a=b", "url.scheme": "http", "http.route": "/users/{id}", "server.address": "127.0.0.1",
				"http.response.status_code": "503", "error.type": "503", "network.protocol.version": "1.1", "client.address": "127.0.0.1", "http.request.body.size": "5",
				"tapway.record.id": record["id"].(string), "tapway.origin": "backend",
			})
			if string(client.TraceId) != string(server.TraceId) || string(client.ParentSpanId) != string(server.SpanId) || client.Name != "POST" {
				t.Errorf("the backend's: %v", client)
			}
			if client.StartTimeUnixNano < server.StartTimeUnixNano || client.EndTimeUnixNano > server.EndTimeUnixNano || client.EndTimeUnixNano <= client.StartTimeUnixNano {
				t.Error("the backend's span is not within the call's")
			}
			wantAttrs(t, "the backend's", attrsOf(client.Attributes), map[string]string{
				"server.address": "127.0.0.1", "server.port": backend.URL[strings.LastIndexByte(backend.URL, ':')+1:], "http.response.status_code": "503", "error.type": "503",
			})
			if got, want := backend.last().Get("Traceparent"), "00-"+w3cTrace+"-"+hex.EncodeToString(client.SpanId)+"-01"; got != want {
				t.Errorf("the backend got traceparent %q, want %q", got, want)
			}
			if got := backend.last().Get("Tracestate"); got != "vendor=1" {
				t.Errorf("the backend got tracestate %q", got)
			}
			if string(producer.TraceId) == string(server.TraceId) || len(producer.ParentSpanId) != 0 || producer.Name != "send sink" {
				t.Errorf("the delivery's: %v", producer)
			}
			if l := producer.Links; len(l) != 1 || string(l[0].TraceId) != string(server.TraceId) || string(l[0].SpanId) != string(server.SpanId) {
				t.Errorf("the delivery's links: %v", l)
			}
			wantAttrs(t, "the delivery's", attrsOf(producer.Attributes), map[string]string{
				"messaging.destination.name": "sink", "messaging.message.id": record["id"].(string), "http.response.status_code": "200", "tapway.attempt": "1", "error.type": "-",
			})
			if record["trace_id"] != w3cTrace {
				t.Errorf("the record's trace is %v", record["trace_id"])
			}
			resource := attrsOf(c.Traces()[0].ResourceSpans[0].Resource.Attributes)
			wantAttrs(t, "the resource", resource, map[string]string{"service.name": "shop", "service.version": "test", "deployment.environment.name": "test"})
			for _, data := range c.Traces() {
				if text := data.String(); strings.Contains(text, "hidden") || strings.Contains(text, "other") || strings.Contains(text, "agent") || strings.Contains(text, "/7") {
					t.Errorf("a span shows what it must not: %s", text)
				}
			}
			for _, h := range c.Headers() {
				if h.Get("Api-Key") != "k" || h.Get("Content-Encoding") != "gzip" {
					t.Errorf("the collector got %v", h)
				}
			}
		})
	}
}

// TestTraceContext: what the backend gets, what the record says, and whether there are spans.
func TestTraceContext(t *testing.T) {
	const came = "00-" + w3cTrace + "-" + w3cParent
	for _, c := range []struct {
		name, config string
		traceparent  []string
		amzn         string
		trace        string // of the record; "id" is the record's id
		flags        string // of what the backend gets; "" for nothing
		unchanged    bool   // it gets what came
		spans        int
	}{
		{"no telemetry", "", []string{came + "-01"}, "", w3cTrace, "01", true, 0},
		{"switched off", "{sample: 0, parent: false}", []string{came + "-01"}, "", w3cTrace, "01", true, 0},
		{"none came, all sampled", "{sample: 1}", nil, "", "id", "01", false, 3},
		{"none came, none sampled", "{sample: 0}", nil, "", "id", "00", false, 0},
		{"sampled by the caller", "{sample: 0}", []string{came + "-01"}, "", w3cTrace, "01", false, 3},
		{"not sampled by the caller", "{sample: 1}", []string{came + "-00"}, "", w3cTrace, "00", true, 0},
		{"the caller is not asked", "{sample: 1, parent: false}", []string{came + "-00"}, "", w3cTrace, "01", false, 3},
		{"a random id stays one", "{sample: 0}", []string{came + "-03"}, "", w3cTrace, "03", false, 3},
		{"a later version", "{sample: 0}", []string{"01-" + w3cTrace + "-" + w3cParent + "-01-more"}, "", w3cTrace, "01", false, 3},
		{"not one", "{sample: 1}", []string{came + "-01-more"}, "", "id", "01", false, 3},
		{"two", "{sample: 1}", []string{came + "-01", came + "-01"}, "", "id", "01", false, 3},
		{"X-Ray's", "{sample: 0}", nil, "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1", "5759e988bd862e3fe1be46a994272793", "01", false, 3},
		{"X-Ray's, undecided", "{sample: 1}", nil, "Root=1-5759e988-bd862e3fe1be46a994272793", "5759e988bd862e3fe1be46a994272793", "01", false, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			collector, backend := otlptest.New(t), newSeen(t, 200)
			yaml := "backend: " + backend.URL + "\n"
			if c.config != "" {
				yaml += "telemetry: {metrics: false, otlp: {endpoint: \"" + collector.URL + "\"}, traces: " + c.config + "}\n"
			}
			w := newWorld(t, yaml)
			header := http.Header{"Tracestate": {"a=b"}}
			if c.traceparent != nil {
				header["Traceparent"] = c.traceparent
			}
			if c.amzn != "" {
				header["X-Amzn-Trace-Id"] = []string{c.amzn}
			}
			tracedCall(t, "GET", w.url+"/", header)
			record := w.sink.next(t, 0)
			w.stop()
			got := backend.last().Get("Traceparent")
			want := c.trace
			if want == "id" {
				want = strings.ReplaceAll(record["id"].(string), "-", "")
			}
			if record["trace_id"] != want || len(got) != 55 || got[3:35] != want || got[53:] != c.flags || (got == strings.Join(c.traceparent, ",")) != c.unchanged {
				t.Errorf("the record has %v, the backend got %q", record["trace_id"], got)
			}
			if state := backend.last().Get("Tracestate"); (state == "a=b") != (c.unchanged || c.flags != "" && c.trace == w3cTrace) {
				t.Errorf("tracestate %q", state)
			}
			if n := len(collector.Spans(c.spans)); n != c.spans {
				t.Errorf("%d spans, want %d", n, c.spans)
			}
		})
	}
}

// TestNoHeaders: the trace goes on although the client's headers do not.
func TestNoHeaders(t *testing.T) {
	c, backend := otlptest.New(t), newSeen(t, 200)
	w := newWorld(t, "backend: "+backend.URL+"\nproxy: {no_headers: true}\ntelemetry: {metrics: false, otlp: {endpoint: \""+c.URL+"\"}, traces: {sample: 1}}\n")
	tracedCall(t, "GET", w.url+"/", nil)
	w.sink.next(t, 0)
	if got := backend.last().Get("Traceparent"); len(got) != 55 {
		t.Errorf("the backend got %q", got)
	}
}

// TestBatchSpan: one request with several records has one span with a link to each.
func TestBatchSpan(t *testing.T) {
	c, backend := otlptest.New(t), newSeen(t, 200)
	sink := newSeen(t, 200)
	w := newWorld(t, "backend: "+backend.URL+"\ndestinations: [{name: batches, url: \""+sink.URL+"\", batch: {max_records: 3, max_wait: 5s}}]\ntelemetry: {metrics: false, otlp: {endpoint: \""+c.URL+"\"}, traces: {sample: 1}}\n")
	for range 3 {
		tracedCall(t, "GET", w.url+"/", nil)
	}
	await(t, func() bool { return w.checkLedger().Destinations[0].Delivered == 3 })
	w.stop()
	links := map[string]bool{}
	for _, s := range ofKind(c.Spans(7), tracepb.Span_SPAN_KIND_PRODUCER) {
		for _, l := range s.Links {
			links[string(l.TraceId)] = true
		}
	}
	if len(links) != 3 {
		t.Errorf("links to %d traces", len(links))
	}
	if got := sink.last().Get("Traceparent"); len(got) != 55 {
		t.Errorf("the destination got traceparent %q", got)
	}
}

func await(t *testing.T, ready func() bool) {
	t.Helper()
	late := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ready() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("it does not happen")
		}
	}
}

// TestMetricsOfCalls: names, units, buckets and attributes of the conventions, and our own.
func TestMetricsOfCalls(t *testing.T) {
	c, backend := otlptest.New(t), newSeen(t, 404)
	w := newWorld(t, "routes: [{match: \"ANY /a/{x}\", backend: \""+backend.URL+"\"}]\ntelemetry: {otlp: {endpoint: \""+c.URL+"\"}, traces: {sample: 0, parent: false}}\n")
	tracedCall(t, "POST", w.url+"/a/1", nil)
	tracedCall(t, "BREW", w.url+"/a/2", nil)
	w.sink.next(t, 1)
	await(t, func() bool { return w.checkLedger().Destinations[0].Delivered == 2 })
	w.stop()
	all := c.Metrics(func(m map[string]*metricspb.Metric) bool { return m["http.server.request.duration"] != nil })
	server := all["http.server.request.duration"]
	points := server.GetHistogram().DataPoints
	if server.Unit != "s" || len(points) != 2 || len(points[0].ExplicitBounds) != 14 || points[0].ExplicitBounds[0] != .005 || points[0].ExplicitBounds[13] != 10 {
		t.Fatalf("%v", server)
	}
	methods := map[string]bool{}
	for _, p := range points {
		a := attrsOf(p.Attributes)
		methods[a["http.request.method"]] = true
		wantAttrs(t, "server", a, map[string]string{"http.route": "/a/{x}", "http.response.status_code": "404", "url.scheme": "http", "error.type": "-", "server.address": "-"})
		if p.Count != 1 || p.GetSum() <= 0 {
			t.Errorf("%v", p)
		}
	}
	if !methods["POST"] || !methods["_OTHER"] || len(methods) != 2 {
		t.Errorf("methods %v", methods)
	}
	wantAttrs(t, "client", attrsOf(all["http.client.request.duration"].GetHistogram().DataPoints[0].Attributes), map[string]string{
		"server.address": "127.0.0.1", "http.response.status_code": "404", "error.type": "404", "http.route": "-"})
	for _, p := range all["http.server.active_requests"].GetSum().DataPoints {
		if p.GetAsDouble() != 0 {
			t.Errorf("calls are still active: %v", p)
		}
	}
	if p := all["http.server.request.body.size"].GetHistogram().DataPoints[0]; p.GetSum() != 5 {
		t.Errorf("%v", p)
	}
	for name, unit := range map[string]string{
		"tapway.queue_oldest_age": "s", "tapway.ledger_records": "", "tapway.ledger_calls": "", "tapway.store": "By", "tapway.delivery_attempts": "",
		"tapway.delivery_attempt_duration": "s", "tapway.calls": "", "tapway.destination_working": "",
	} {
		if m := all[name]; m == nil || m.Unit != unit {
			t.Errorf("%s: %v", name, m)
		}
	}
	if s := all["tapway.ledger_calls"].GetSum(); s == nil || !s.IsMonotonic || s.DataPoints[0].GetAsDouble() != 2 {
		t.Errorf("%v", all["tapway.ledger_calls"])
	}
	if p := all["tapway.delivery_attempt_duration"].GetHistogram().DataPoints[0]; p.Count != 2 || len(p.BucketCounts) != len(p.ExplicitBounds)+1 {
		t.Errorf("%v", p)
	}
}

// TestCollectorDenied: the egress policy decides about the collector too, and calls go on.
func TestCollectorDenied(t *testing.T) {
	c, backend := otlptest.New(t), newSeen(t, 200)
	w := newWorld(t, "backend: "+backend.URL+"\negress: {allow: [\""+strings.TrimPrefix(backend.URL, "http://")+"\"]}\ndestinations: []\ntelemetry: {otlp: {endpoint: \""+c.URL+"\"}, traces: {sample: 1}}\n")
	tracedCall(t, "GET", w.url+"/", nil)
	w.stop()
	if n := len(c.Headers()); n != 0 {
		t.Errorf("the collector got %d requests", n)
	}
	if log := w.log.String(); !strings.Contains(log, "telemetry was not sent") || !strings.Contains(log, "egress") {
		t.Errorf("log: %s", log)
	}
}

// TestExemplars: a sampled call's trace stands behind its bucket, for those who read OpenMetrics.
func TestExemplars(t *testing.T) {
	c, backend := otlptest.New(t), newSeen(t, 200)
	w := newWorld(t, "backend: "+backend.URL+"\ntelemetry: {metrics: false, otlp: {endpoint: \""+c.URL+"\"}, traces: {sample: 0}}\n")
	tracedCall(t, "GET", w.url+"/", http.Header{"Traceparent": {"00-" + w3cTrace + "-" + w3cParent + "-01"}})
	tracedCall(t, "GET", w.url+"/", nil)
	w.sink.next(t, 1)
	text := scrape(t, w, "application/openmetrics-text; version=1.0.0")
	if n := strings.Count(text, `# {trace_id="`+w3cTrace+`"}`); n != 1 || !strings.Contains(text, "tapway_call_duration_seconds_count 2") {
		t.Errorf("%d exemplars in %s", n, text)
	}
}

// scrape reads /metrics.
func scrape(t *testing.T, w *world, accept string) string {
	t.Helper()
	req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://"+w.app.AdminAddr()+"/metrics", nil)
	req.Header.Set("Accept", accept)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("%v, %s", err, resp.Status)
	}
	return string(text)
}

// TestSampler: a share of traces, always the same ones, with nothing and everything at its ends.
func TestSampler(t *testing.T) {
	kept := map[float64]int{}
	for range 10000 {
		p := place{trace: otlp.TraceID(tapway.NewID(time.Now()))}
		before := false
		for _, share := range []float64{0, .1, .5, 1} {
			keep := newSampler(share, true).keeps(&p)
			if before && !keep {
				t.Fatalf("%x is kept by a smaller share than %v and not by that", p.trace, share)
			}
			if before = keep; keep {
				kept[share]++
			}
		}
	}
	if kept[0] != 0 || kept[1] != 10000 || kept[.1] < 800 || kept[.1] > 1200 || kept[.5] < 4700 || kept[.5] > 5300 { // ten and six standard deviations
		t.Errorf("%v", kept)
	}
}

// TestTraceparentForms: what is made can be read, and what is not one is not taken for one.
func TestTraceparentForms(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := tapway.NewID(time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "time"), 0))
		p, ok := parseTraceparent(traceparent(otlp.TraceID(id), backendSpan(id), 1))
		if !ok || p.trace != otlp.TraceID(id) || p.parent != backendSpan(id) || p.flags != 1 || backendSpan(id) == callSpan(id) {
			t.Fatal(p, ok)
		}
	})
	const good = "00-" + w3cTrace + "-" + w3cParent + "-01"
	if _, ok := parseTraceparent(good); !ok {
		t.Error(good)
	}
	for _, bad := range []string{
		"", good[:54], good + "-", good + "-x", "ff" + good[2:], "0g" + good[2:], strings.ToUpper(good), strings.Replace(good, w3cTrace, strings.Repeat("0", 32), 1),
		strings.Replace(good, w3cParent, strings.Repeat("0", 16), 1), strings.Replace(good, "-", "_", 1), "01" + good[2:] + "x", good[:53] + "0g",
	} {
		if _, ok := parseTraceparent(bad); ok {
			t.Errorf("%q was taken", bad)
		}
	}
}

// FuzzPlace: these headers are strangers' bytes.
func FuzzPlace(f *testing.F) {
	f.Add("00-"+w3cTrace+"-"+w3cParent+"-01", "")
	f.Add("", "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1")
	f.Fuzz(func(t *testing.T, parent, amzn string) {
		id := tapway.NewID(time.Now())
		p := placeOf(headerValue(http.Header{"Traceparent": {parent}, "X-Amzn-Trace-Id": {amzn}}), id)
		if p.trace == (otlp.TraceID{}) {
			t.Error("no trace")
		}
		if _, ok := parseTraceparent(traceparent(p.trace, callSpan(id), p.flags)); !ok {
			t.Errorf("%q and %q make no traceparent", parent, amzn)
		}
	})
}
