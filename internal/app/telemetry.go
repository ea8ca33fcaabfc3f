package app

import (
	"context"
	"encoding/hex"
	"iter"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/delivery"
	"github.com/tapway/tapway/internal/egress"
	"github.com/tapway/tapway/internal/http1"
	"github.com/tapway/tapway/internal/otlp"
	"github.com/tapway/tapway/internal/record"
	"github.com/tapway/tapway/internal/stages"
)

// telemetry makes spans and metrics of calls and deliveries for an OpenTelemetry collector.
// nil does nothing.
type telemetry struct {
	exporter  *otlp.Exporter
	transport *http1.Transport
	way       atomic.Pointer[egress.Dialer] // a reload may put in another
	spans     bool
	counts    bool
	sampler   sampler
	scheme    string // of the gateway
	metrics   *metrics
	http      *httpMetrics
}

const scopeName = "github.com/tapway/tapway"

// newTelemetry gives nil when the configuration names no collector.
func newTelemetry(c *config.Config, way *egress.Dialer, m *metrics, version string, log *slog.Logger) (*telemetry, error) {
	o := &c.Telemetry
	if !o.On() {
		return nil, nil
	}
	settings, err := stages.ClientTLS(o.OTLP.TLS)
	if err != nil {
		return nil, err
	}
	t := &telemetry{spans: o.TracesTo() != "", counts: o.MetricsTo() != "", sampler: newSampler(o.Traces.Sample, o.Traces.Parent), scheme: "http", metrics: m, http: newHTTPMetrics()}
	if c.TLS != nil {
		t.scheme = "https"
	}
	t.way.Store(way)
	known := egress.URLs(o.TracesTo(), o.MetricsTo())
	t.transport = &http1.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return t.way.Load().For(known)(ctx, network, addr)
		},
		TLSConfig: settings, HTTP2: true, ConnectTimeout: min(o.OTLP.Timeout.D(), 5*time.Second), MaxIdlePerHost: 2,
	}
	header := http.Header{}
	for name, value := range o.OTLP.Headers {
		header.Set(name, value.Reveal())
	}
	client := func(url string) *otlp.Client {
		if url == "" {
			return nil
		}
		return &otlp.Client{URL: url, Header: header, JSON: o.OTLP.Protocol == "http/json", Gzip: o.OTLP.Compression == "gzip",
			Timeout: o.OTLP.Timeout.D(), Transport: t.transport, UserAgent: "tapway/" + version}
	}
	t.exporter = &otlp.Exporter{
		Source: otlp.Source{Resource: resource(o, version), Scope: scopeName, Version: version},
		Traces: client(o.TracesTo()), Metrics: client(o.MetricsTo()), Collect: t.collect, Interval: o.OTLP.Interval.D(), Log: log,
	}
	if t.spans {
		m.traced = true
		t.watch(m.registry)
	}
	return t, nil
}

// resource says which process this is.
func resource(o *config.Telemetry, version string) []otlp.Attr {
	all := map[string]string{"service.version": version, "service.instance.id": tapway.NewID(time.Now()).String()}
	if host, err := os.Hostname(); err == nil {
		all["host.name"] = host
	}
	maps.Copy(all, o.Attributes)
	all["service.name"] = o.Service
	var out []otlp.Attr
	for _, key := range slices.Sorted(maps.Keys(all)) {
		out = append(out, otlp.String(key, all[key]))
	}
	return out
}

// watch shows in /metrics what becomes of spans.
func (t *telemetry) watch(registry *prometheus.Registry) {
	for result, count := range map[string]func(otlp.Stats) uint64{
		"sent":    func(s otlp.Stats) uint64 { return s.Sent },
		"dropped": func(s otlp.Stats) uint64 { return s.Dropped },
		"failed":  func(s otlp.Stats) uint64 { return s.Failed },
	} {
		registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "tapway_telemetry_spans_total", ConstLabels: prometheus.Labels{"result": result},
			Help: "Spans for the OpenTelemetry collector: sent, dropped because their queue was full, or failed because the collector did not take them.",
		}, func() float64 { return float64(count(t.exporter.Stats())) }))
	}
}

// Run exports until ctx ends, and then once more.
func (t *telemetry) Run(ctx context.Context) error {
	if t == nil {
		return nil
	}
	err := t.exporter.Run(ctx)
	t.transport.CloseIdleConnections()
	return err
}

// use lets the exporter out by another way.
func (t *telemetry) use(way *egress.Dialer) {
	if t != nil {
		t.way.Store(way)
	}
}

// wrap stands behind the capture: it gives each call its place in a trace.
func (t *telemetry) wrap(next http.Handler) http.Handler {
	if t == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if t.spans {
			call := tapway.CallFrom(r.Context())
			call.Trace = t.begin(call.ID, r.Header)
		}
		if t.counts {
			method := knownMethod(r.Method)
			t.http.active.Add(method, 1)
			defer t.http.active.Add(method, -1)
		}
		next.ServeHTTP(w, r)
	})
}

// begin finds a call's trace and whether it is sampled.
func (t *telemetry) begin(id tapway.ID, h http.Header) *tapway.Trace {
	p := placeOf(headerValue(h), id)
	keep := t.sampler.keeps(&p)
	out := &tapway.Trace{ID: hex.EncodeToString(p.trace[:]), Parent: p.parent, Flags: p.flags &^ 1, Sampled: keep, Fresh: !p.w3c}
	if keep {
		out.Flags |= 1
	}
	if keep || !p.w3c { // a trace that is not sampled has no span of ours that the backend could name
		out.Header = traceparent(p.trace, backendSpan(id), out.Flags)
	} else if p.flags&1 != 0 {
		out.Header = traceparent(p.trace, p.parent, out.Flags) // the sampler overrules the caller
	}
	return out
}

// ended is told of every call by the capture, with its redacted exchange.
func (t *telemetry) ended(call *tapway.Call, ex *tapway.Exchange) {
	if t == nil {
		return
	}
	if t.counts {
		t.http.count(t.scheme, call, ex)
	}
	sampled := call.Trace != nil && call.Trace.Sampled
	if t.spans {
		t.metrics.durationOf(ex, sampled)
	}
	if !sampled {
		return
	}
	server := t.callSpan(call, ex)
	if call.Asked == nil {
		t.exporter.Add(server)
		return
	}
	t.exporter.Add(server, backendCallSpan(&server, call, ex))
}

// callSpan is the span of a call (semantic conventions, HTTP server). What it shows of the URL went
// through redaction, and it shows no header.
func (t *telemetry) callSpan(call *tapway.Call, ex *tapway.Exchange) otlp.Span {
	s := otlp.Span{ID: callSpan(ex.ID), Parent: call.Trace.Parent, Kind: otlp.KindServer, Flags: call.Trace.Flags, Remote: true, Start: ex.Time, End: ex.Time.Add(ex.Duration)}
	unhex(s.Trace[:], call.Trace.ID)
	method := knownMethod(ex.Method)
	s.Name = spanMethod(method)
	route := routeOf(ex)
	if route != "" {
		s.Name += " " + route
	}
	s.Attrs = append(make([]otlp.Attr, 0, 18), otlp.String("http.request.method", method))
	add := func(key, value string) {
		if value != "" {
			s.Attrs = append(s.Attrs, otlp.String(key, value))
		}
	}
	if method == otherMethod {
		add("http.request.method_original", ex.Method)
	}
	add("url.scheme", t.scheme)
	add("url.path", ex.Path)
	add("url.query", ex.Query)
	add("http.route", route)
	s.Attrs = appendAddress(s.Attrs, ex.From, "")
	add("client.address", ex.ClientIP)
	add("network.protocol.version", protocolVersion(ex.Proto))
	if ex.Status != 0 {
		s.Attrs = append(s.Attrs, otlp.Int("http.response.status_code", int64(ex.Status)))
	}
	s.Attrs = append(s.Attrs, otlp.Int("http.request.body.size", ex.RequestSize), otlp.Int("http.response.body.size", ex.ResponseSize))
	add("tapway.record.id", ex.ID.String())
	add("tapway.origin", string(ex.Origin))
	add("tapway.rule", call.Rule)
	if kind := callError(ex); kind != "" {
		add("error.type", kind)
		s.Failed, s.Message = true, ex.Error
	}
	return s
}

// backendCallSpan is the span of the backend's call (semantic conventions, HTTP client). It ends with the
// response, or as soon as that was no longer waited for.
func backendCallSpan(server *otlp.Span, call *tapway.Call, ex *tapway.Exchange) otlp.Span {
	a := call.Asked
	method := knownMethod(a.Method)
	s := otlp.Span{Trace: server.Trace, ID: backendSpan(ex.ID), Parent: server.ID, Kind: otlp.KindClient, Flags: server.Flags, Name: spanMethod(method)}
	s.Start = ex.Time.Add(a.Sent)
	s.End = ex.Time.Add(max(a.Sent+call.Backend, ex.FirstByte))
	s.Attrs = append(make([]otlp.Attr, 0, 8), otlp.String("http.request.method", method), otlp.String("url.scheme", a.Scheme))
	s.Attrs = appendAddress(s.Attrs, a.Host, a.Scheme)
	if method == otherMethod {
		s.Attrs = append(s.Attrs, otlp.String("http.request.method_original", a.Method))
	}
	if a.Status != 0 {
		s.Attrs = append(s.Attrs, otlp.Int("http.response.status_code", int64(a.Status)))
	}
	if kind := backendError(call, ex); kind != "" {
		s.Attrs = append(s.Attrs, otlp.String("error.type", kind))
		s.Failed = true
		if a.Status < 400 {
			s.Message = ex.Error
		}
	}
	return s
}

// maxLinks is how many calls the span of a batch points to.
const maxLinks = 128

// deliver is what a Sender asks before each request: if one of its calls was sampled, the request
// gets a span of its own trace, linked to the spans of those calls. A delivery may come hours after
// its call, and one request may carry many.
func (t *telemetry) deliver(messages iter.Seq[*tapway.Message]) (string, func(delivery.Attempt)) {
	var links []otlp.Link
	for m := range messages {
		if l, ok := t.link(m); ok && len(links) < maxLinks {
			links = append(links, l)
		}
	}
	if len(links) == 0 {
		return "", nil
	}
	id := tapway.NewID(time.Now())
	s := otlp.Span{Trace: otlp.TraceID(id), ID: callSpan(id), Kind: otlp.KindProducer, Flags: 1, Links: links}
	return traceparent(s.Trace, s.ID, 1), func(a delivery.Attempt) {
		s.End = time.Now()
		s.Start = s.End.Add(-a.Took)
		s.Name = "send " + a.Destination
		s.Attrs = []otlp.Attr{
			otlp.String("messaging.system", "tapway"), otlp.String("messaging.operation.name", "send"), otlp.String("messaging.operation.type", "send"),
			otlp.String("messaging.destination.name", a.Destination), otlp.String("messaging.message.id", a.ID),
			otlp.Int("messaging.batch.message_count", int64(a.Records)), otlp.Int("messaging.message.body.size", int64(a.Bytes)),
			otlp.Int("tapway.attempt", int64(a.Number)), otlp.String("tapway.class", a.Class.String()),
		}
		if a.Status != 0 {
			s.Attrs = append(s.Attrs, otlp.Int("http.response.status_code", int64(a.Status)))
		}
		if a.Class != delivery.Accepted {
			s.Attrs = append(s.Attrs, otlp.String("error.type", statusOr(a.Status, a.Class.String())))
			s.Failed, s.Message = true, a.Reason
		}
		t.exporter.Add(s)
	}
}

// link finds the span of the call that a message is about; false if it was not sampled.
func (t *telemetry) link(m *tapway.Message) (otlp.Link, bool) {
	ex, err := record.Exchange(m)
	if err != nil || ex.TraceID == "" { // without an id it was captured when there were no traces
		return otlp.Link{}, false
	}
	p := placeOf(func(name string) (value string) {
		n := 0
		for _, f := range ex.RequestHeader {
			if f.Name == name {
				value = f.Value
				n++
			}
		}
		if n != 1 {
			return ""
		}
		return value
	}, ex.ID)
	if !unhex(p.trace[:], ex.TraceID) || !t.sampler.keeps(&p) {
		return otlp.Link{}, false
	}
	return otlp.Link{Trace: p.trace, ID: callSpan(ex.ID), Attrs: []otlp.Attr{otlp.String("tapway.record.id", ex.ID.String())}}, true
}

// sender is Sender.Begin, nil when nobody wants spans.
func (t *telemetry) sender() func(iter.Seq[*tapway.Message]) (string, func(delivery.Attempt)) {
	if t == nil || !t.spans {
		return nil
	}
	return t.deliver
}
