package otlp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"

	"github.com/tapway/tapway/internal/otlp/otlptest"
)

var (
	source = Source{Resource: []Attr{String("service.name", "tapway")}, Scope: "test", Version: "1"}
	began  = time.Unix(1_700_000_000, 123)
)

// TestSpans: what is written in either form is what the official types read.
func TestSpans(t *testing.T) {
	spans := []Span{{
		Trace: TraceID{1, 2, 3}, ID: SpanID{4}, Parent: SpanID{5}, Name: "GET /users/{id}", Kind: KindServer, Flags: 1, Remote: true,
		Start: began, End: began.Add(time.Second),
		Attrs:  []Attr{String("a", ""), String("b", "\"\u2028\\\x00\xff"), Int("i", math.MinInt64), Int("z", 0), Float("f", 0), Float("n", math.Inf(1)), Bool("t", true), Bool("u", false)},
		Links:  []Link{{Trace: TraceID{9}, ID: SpanID{8}, Attrs: []Attr{Int("x", 7)}}},
		Failed: true, Message: "backend broke off",
	}, {Trace: TraceID{1}, ID: SpanID{1}, Kind: KindClient, Start: began, End: began}}
	text := func(key, v string) *common.KeyValue {
		return &common.KeyValue{Key: key, Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: v}}}
	}
	whole := func(key string, v int64) *common.KeyValue {
		return &common.KeyValue{Key: key, Value: &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: v}}}
	}
	float := func(key string, v float64) *common.KeyValue {
		return &common.KeyValue{Key: key, Value: &common.AnyValue{Value: &common.AnyValue_DoubleValue{DoubleValue: v}}}
	}
	boolean := func(key string, v bool) *common.KeyValue {
		return &common.KeyValue{Key: key, Value: &common.AnyValue{Value: &common.AnyValue_BoolValue{BoolValue: v}}}
	}
	id := func(n int, first ...byte) []byte { return append(first, make([]byte, n-len(first))...) }
	want := []*tracepb.Span{{
		TraceId: id(16, 1, 2, 3), SpanId: id(8, 4), ParentSpanId: id(8, 5), Name: "GET /users/{id}", Kind: tracepb.Span_SPAN_KIND_SERVER, Flags: 0x301,
		StartTimeUnixNano: 1_700_000_000_000_000_123, EndTimeUnixNano: 1_700_000_001_000_000_123,
		Attributes: []*common.KeyValue{text("a", ""), text("b", "\"\u2028\\\x00\uFFFD"), whole("i", math.MinInt64), whole("z", 0), float("f", 0), float("n", math.Inf(1)), boolean("t", true), boolean("u", false)},
		Links:      []*tracepb.Span_Link{{TraceId: id(16, 9), SpanId: id(8, 8), Flags: 0x101, Attributes: []*common.KeyValue{whole("x", 7)}}},
		Status:     &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR, Message: "backend broke off"},
	}, {
		TraceId: id(16, 1), SpanId: id(8, 1), Kind: tracepb.Span_SPAN_KIND_CLIENT, Flags: 0x100,
		StartTimeUnixNano: 1_700_000_000_000_000_123, EndTimeUnixNano: 1_700_000_000_000_000_123,
	}}
	for _, asJSON := range []bool{false, true} {
		got := new(tracepb.TracesData)
		if err := otlptest.Decode(AppendTraces(nil, asJSON, &source, spans), asJSON, got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got.ResourceSpans[0].ScopeSpans[0].Spans, protocmp.Transform()); diff != "" {
			t.Errorf("json %v: %s", asJSON, diff)
		}
		if diff := cmp.Diff([]*common.KeyValue{text("service.name", "tapway")}, got.ResourceSpans[0].Resource.Attributes, protocmp.Transform()); diff != "" {
			t.Errorf("json %v: %s", asJSON, diff)
		}
		if scope := got.ResourceSpans[0].ScopeSpans[0].Scope; scope.Name != "test" || scope.Version != "1" {
			t.Errorf("json %v: scope %v", asJSON, scope)
		}
	}
}

// TestSpansOfAnything: whatever a client has put into a name or a value, both forms can be read and say
// the same.
func TestSpansOfAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := func(label string) string { return string(rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, label)) }
		var attrs []Attr
		for range rapid.IntRange(0, 4).Draw(t, "attributes") {
			attrs = append(attrs, String(raw("key"), raw("value")))
		}
		spans := make([]Span, rapid.IntRange(0, 3).Draw(t, "spans"))
		for i := range spans {
			spans[i] = Span{Trace: TraceID{byte(i)}, ID: SpanID{1}, Name: raw("name"), Kind: KindServer, Start: began, End: began, Attrs: attrs, Failed: true, Message: raw("message")}
		}
		var fromProto, fromJSON tracepb.TracesData
		if err := otlptest.Decode(AppendTraces(nil, false, &source, spans), false, &fromProto); err != nil {
			t.Fatal(err)
		}
		if err := otlptest.Decode(AppendTraces(nil, true, &source, spans), true, &fromJSON); err != nil {
			t.Fatal(err)
		}
		if !proto.Equal(&fromProto, &fromJSON) {
			t.Fatalf("%v\nis not\n%v", &fromProto, &fromJSON)
		}
		if n := len(fromProto.ResourceSpans[0].ScopeSpans[0].Spans); n != len(spans) {
			t.Fatalf("%d spans of %d", n, len(spans))
		}
	})
}

// TestMetrics: the three kinds of metrics in either form.
func TestMetrics(t *testing.T) {
	h := Histogram[string]{Bounds: []float64{.005, 1}}
	for _, v := range []float64{.005, .0051, 1, 1.001} { // the last inside, the first outside
		h.Observe("k", v)
	}
	var l Level[string]
	l.Add("k", 3)
	l.Add("k", -1)
	attrs := func(k string) []Attr { return []Attr{String("key", k)} }
	metrics := []Metric{
		{Name: "g", Unit: "By", Help: "help", Form: Gauge, Points: []Point{{Value: 1.5}}},
		{Name: "c", Form: Counter, Points: []Point{{Value: 2, Attrs: attrs("x")}}},
		{Name: "u", Form: UpDown, Points: l.Points(attrs)},
		{Name: "h", Unit: "s", Form: Buckets, Bounds: h.Bounds, Points: h.Points(attrs)},
	}
	for _, asJSON := range []bool{false, true} {
		data := new(metricspb.MetricsData)
		if err := otlptest.Decode(AppendMetrics(nil, asJSON, &source, metrics, began, began.Add(time.Minute)), asJSON, data); err != nil {
			t.Fatal(err)
		}
		all := data.ResourceMetrics[0].ScopeMetrics[0].Metrics
		if len(all) != 4 {
			t.Fatalf("%d metrics", len(all))
		}
		if g := all[0]; g.Name != "g" || g.Unit != "By" || g.Description != "help" || g.GetGauge().DataPoints[0].GetAsDouble() != 1.5 {
			t.Errorf("json %v: %v", asJSON, g)
		}
		if c := all[1].GetSum(); !c.IsMonotonic || c.AggregationTemporality != 2 || c.DataPoints[0].GetAsDouble() != 2 || c.DataPoints[0].StartTimeUnixNano != nano(began) {
			t.Errorf("json %v: %v", asJSON, c)
		}
		if u := all[2].GetSum(); u.IsMonotonic || u.DataPoints[0].GetAsDouble() != 2 {
			t.Errorf("json %v: %v", asJSON, u)
		}
		p := all[3].GetHistogram().DataPoints[0]
		if diff := cmp.Diff([]uint64{1, 2, 1}, p.BucketCounts); diff != "" || p.Count != 4 || math.Abs(p.GetSum()-2.0111) > 1e-9 || p.ExplicitBounds[1] != 1 || p.Attributes[0].Value.GetStringValue() != "k" {
			t.Errorf("json %v: %v %s", asJSON, p, diff)
		}
	}
}

// TestTooManySeries: what a client can make up does not grow memory for ever.
func TestTooManySeries(t *testing.T) {
	var h Histogram[int]
	for i := range maxSeries + 10 {
		h.Observe(i, 1)
	}
	points := h.Points(func(int) []Attr { return nil })
	if len(points) != maxSeries+1 {
		t.Fatalf("%d series", len(points))
	}
	for _, p := range points {
		if len(p.Attrs) == 1 && p.Attrs[0] == overflow[0] && p.Count == 10 {
			return
		}
	}
	t.Error("there is no series for the rest")
}

// TestExport is a real collector: both signals, in both forms, packed and not, with headers.
func TestExport(t *testing.T) {
	for _, asJSON := range []bool{false, true} {
		c := otlptest.New(t)
		client := func(path string) *Client {
			return &Client{URL: c.URL + path, JSON: asJSON, Gzip: asJSON, Header: http.Header{"Api-Key": {"secret"}}}
		}
		e := &Exporter{Source: source, Traces: client("/v1/traces"), Metrics: client("/v1/metrics"), Delay: time.Millisecond,
			Collect: func() []Metric { return []Metric{{Name: "m", Points: []Point{{Value: 1}}}} }}
		e.Add(Span{Trace: TraceID{1}, ID: SpanID{1}, Name: "first", Start: began, End: began})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- e.Run(ctx) }()
		if got := c.Spans(1); got[0].Name != "first" {
			t.Errorf("%v", got)
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		c.Metrics(func(m map[string]*metricspb.Metric) bool { return m["m"] != nil }) // sent at the end
		for _, h := range c.Headers() {
			if h.Get("Api-Key") != "secret" || h.Get("User-Agent") == "" {
				t.Errorf("headers %v", h)
			}
		}
		if s := e.Stats(); s.Sent != 1 || s.Failed+s.Dropped != 0 {
			t.Errorf("%+v", s)
		}
	}
}

// TestFullQueue: a collector that never answers costs spans, not time.
func TestFullQueue(t *testing.T) {
	e := &Exporter{Traces: &Client{URL: "http://127.0.0.1:1"}, Queue: 3}
	for range 5 {
		e.Add(Span{}, Span{})
	}
	if s := e.Stats(); s.Dropped != 7 || s.Waiting != 3 {
		t.Errorf("%+v", s)
	}
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func reply(code int, header http.Header, body string) *http.Response {
	if header == nil {
		header = http.Header{}
	}
	return &http.Response{StatusCode: code, Header: header, Body: io.NopCloser(strings.NewReader(body))}
}

// TestRetry: what the specification wants repeated is repeated, after the time asked for, and all
// else is not.
func TestRetry(t *testing.T) {
	partial := "\n\x07\x08\x01\x12\x03bad" // partial_success {rejected_spans: 1, error_message: "bad"}
	for name, c := range map[string]struct {
		answers []func() (*http.Response, error)
		after   [2]time.Duration // bounds of when the last request came
		stats   Stats
		logged  string
	}{
		"200": {answers: codes(200), stats: Stats{Sent: 2}},
		"429": {answers: codes(429, 200), after: [2]time.Duration{time.Second / 2, 3 * time.Second / 2}, stats: Stats{Sent: 2}},
		"502": {answers: codes(502, 504, 200), after: [2]time.Duration{time.Second, 5 * time.Second}, stats: Stats{Sent: 2}},
		"503 with Retry-After": {answers: []func() (*http.Response, error){
			func() (*http.Response, error) { return reply(503, http.Header{"Retry-After": {"7"}}, ""), nil }, codes(200)[0]},
			after: [2]time.Duration{7 * time.Second, 7 * time.Second}, stats: Stats{Sent: 2}},
		"Retry-After beyond its patience": {answers: []func() (*http.Response, error){
			func() (*http.Response, error) { return reply(429, http.Header{"Retry-After": {"61"}}, ""), nil }},
			stats: Stats{Failed: 2}, logged: "status 429"},
		"no connection": {answers: []func() (*http.Response, error){
			func() (*http.Response, error) { return nil, errors.New("refused") }, codes(200)[0]},
			after: [2]time.Duration{time.Second / 2, 3 * time.Second / 2}, stats: Stats{Sent: 2}},
		"400": {answers: []func() (*http.Response, error){func() (*http.Response, error) {
			return reply(400, http.Header{"Content-Type": {"application/json"}}, `{"code":3,"message":"what\nis this"}`), nil
		}}, stats: Stats{Failed: 2}, logged: "status 400: what is this"},
		"500": {answers: codes(500), stats: Stats{Failed: 2}, logged: "status 500"},
		"302": {answers: codes(302), stats: Stats{Failed: 2}, logged: "status 302"},
		"partial success": {answers: []func() (*http.Response, error){func() (*http.Response, error) { return reply(200, nil, partial), nil }},
			stats: Stats{Sent: 1, Failed: 1}, logged: "reason=bad rejected=1"},
		"partial success in JSON": {answers: []func() (*http.Response, error){func() (*http.Response, error) {
			return reply(200, http.Header{"Content-Type": {"application/json; charset=utf-8"}}, `{"partialSuccess":{"rejectedSpans":"1","errorMessage":"bad"}}`), nil
		}}, stats: Stats{Sent: 1, Failed: 1}, logged: "reason=bad rejected=1"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				start, n, last := time.Now(), 0, time.Duration(0)
				client := &Client{URL: "http://collector.invalid/?key=hidden", Header: http.Header{"Authorization": {"hidden"}}, Transport: transport(func(*http.Request) (*http.Response, error) {
					last = time.Since(start)
					n++
					return c.answers[min(n, len(c.answers))-1]()
				})}
				e := &Exporter{Traces: client, Delay: 100 * time.Millisecond, Log: slog.New(slog.NewTextHandler(&log, nil))}
				e.Add(Span{Start: began, End: began}, Span{Start: began, End: began})
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- e.Run(ctx) }()
				time.Sleep(2 * time.Minute) // of the bubble's clock
				cancel()
				<-done
				if n != len(c.answers) {
					t.Errorf("%d requests, want %d", n, len(c.answers))
				}
				if got := e.Stats(); got != c.stats {
					t.Errorf("%+v, want %+v", got, c.stats)
				}
				if c.after[1] > 0 && (last < c.after[0] || last > c.after[1]+200*time.Millisecond) {
					t.Errorf("the last request came after %v, want %v", last, c.after)
				}
				if !strings.Contains(log.String(), c.logged) || c.logged == "" && log.Len() > 0 || strings.Contains(log.String(), "hidden") {
					t.Errorf("log: %s", log.String())
				}
			})
		})
	}
}

func codes(list ...int) (out []func() (*http.Response, error)) {
	for _, code := range list {
		out = append(out, func() (*http.Response, error) { return reply(code, nil, ""), nil })
	}
	return out
}

// TestEndWhileDown: a collector that is down does not hold the end up.
func TestEndWhileDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := transport(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		e := &Exporter{Traces: &Client{URL: "http://collector.invalid", Transport: hang, Timeout: time.Hour}, Log: slog.New(slog.DiscardHandler)}
		for range 2000 {
			e.Add(Span{})
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		start := time.Now()
		if err := e.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// FuzzReply: a collector's answer may be anything.
func FuzzReply(f *testing.F) {
	f.Add([]byte("\n\x07\x08\x01\x12\x03bad"), false)
	f.Add([]byte(`{"partialSuccess":{"rejectedSpans":1}}`), true)
	f.Fuzz(func(t *testing.T, body []byte, isJSON bool) {
		n, message := partialSuccess(body, isJSON)
		text := statusMessage(body, isJSON)
		if n < 0 || len(message) > 310 || len(text) > 310 || strings.ContainsAny(message+text, "\r\n\x00\x1b") {
			t.Errorf("%d %q %q", n, message, text)
		}
		if _, err := json.Marshal(message + text); err != nil {
			t.Error(err)
		}
	})
}
