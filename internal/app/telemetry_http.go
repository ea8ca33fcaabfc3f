package app

import (
	"net"
	"net/http"
	"strconv"
	"strings"

	dto "github.com/prometheus/client_model/go"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/otlp"
)

// httpMetrics are the metrics of the semantic conventions for HTTP (version 1.37).
type httpMetrics struct {
	server, client         otlp.Histogram[httpKey]
	requestBody, replyBody otlp.Histogram[httpKey]
	active                 otlp.Level[string] // by method
}

// httpKey are the attributes of a series. Nothing in it is as free as what clients send: an
// address a client asked for is in spans alone.
type httpKey struct {
	method, route, scheme, failure string
	host                           string // of the backend
	status                         int
}

var (
	// durations are the buckets that the conventions advise.
	durations = []float64{.005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10}
	sizes     = []float64{0, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20, 64 << 20}
)

func newHTTPMetrics() *httpMetrics {
	m := new(httpMetrics)
	m.server.Bounds, m.client.Bounds = durations, durations
	m.requestBody.Bounds, m.replyBody.Bounds = sizes, sizes
	return m
}

func (m *httpMetrics) count(scheme string, call *tapway.Call, ex *tapway.Exchange) {
	key := httpKey{method: knownMethod(ex.Method), route: routeOf(ex), scheme: scheme, status: ex.Status, failure: callError(ex)}
	m.server.Observe(key, ex.Duration.Seconds())
	m.requestBody.Observe(key, float64(ex.RequestSize))
	m.replyBody.Observe(key, float64(ex.ResponseSize))
	if a := call.Asked; a != nil {
		m.client.Observe(httpKey{method: knownMethod(a.Method), scheme: a.Scheme, host: a.Host, status: a.Status, failure: backendError(call, ex)}, call.Backend.Seconds())
	}
}

func (k httpKey) attrs() []otlp.Attr {
	out := []otlp.Attr{otlp.String("http.request.method", k.method), otlp.String("url.scheme", k.scheme)}
	if k.route != "" {
		out = append(out, otlp.String("http.route", k.route))
	}
	if k.host != "" {
		out = appendAddress(out, k.host, k.scheme)
	}
	if k.status != 0 {
		out = append(out, otlp.Int("http.response.status_code", int64(k.status)))
	}
	if k.failure != "" {
		out = append(out, otlp.String("error.type", k.failure))
	}
	return out
}

// collect reads all metrics: those of the conventions, and everything of ours that /metrics has.
func (t *telemetry) collect() []otlp.Metric {
	h := t.http
	histogram := func(name, unit, help string, from *otlp.Histogram[httpKey]) otlp.Metric {
		return otlp.Metric{Name: name, Unit: unit, Help: help, Form: otlp.Buckets, Bounds: from.Bounds, Points: from.Points(httpKey.attrs)}
	}
	all := []otlp.Metric{
		histogram("http.server.request.duration", "s", "Duration of HTTP server requests.", &h.server),
		histogram("http.client.request.duration", "s", "Duration of HTTP client requests: the time a backend was waited for.", &h.client),
		histogram("http.server.request.body.size", "By", "Size of HTTP server request bodies.", &h.requestBody),
		histogram("http.server.response.body.size", "By", "Size of HTTP server response bodies.", &h.replyBody),
		{Name: "http.server.active_requests", Unit: "{request}", Help: "Number of active HTTP server requests.", Form: otlp.UpDown, Points: h.active.Points(func(method string) []otlp.Attr {
			return []otlp.Attr{otlp.String("http.request.method", method), otlp.String("url.scheme", t.scheme)}
		})},
	}
	families, _ := t.metrics.registry.Gather() // it gives what it could read
	for _, f := range families {
		if m, ok := fromPrometheus(f); ok {
			all = append(all, m)
		}
	}
	kept := all[:0]
	for _, m := range all {
		if len(m.Points) > 0 {
			kept = append(kept, m)
		}
	}
	return kept
}

// fromPrometheus turns tapway_queue_oldest_age_seconds into tapway.queue_oldest_age in s, so that the name
// that Prometheus makes of it again is the one that /metrics has: the same dashboard and the same
// rules do for both.
func fromPrometheus(f *dto.MetricFamily) (otlp.Metric, bool) {
	name, ours := strings.CutPrefix(f.GetName(), "tapway_")
	if !ours {
		return otlp.Metric{}, false
	}
	m := otlp.Metric{Help: f.GetHelp()}
	name = strings.TrimSuffix(name, "_total")
	for suffix, unit := range map[string]string{"_seconds": "s", "_bytes": "By"} {
		if base, ok := strings.CutSuffix(name, suffix); ok {
			name, m.Unit = base, unit
		}
	}
	m.Name = "tapway." + name
	for _, from := range f.GetMetric() {
		var p otlp.Point
		for _, l := range from.GetLabel() {
			p.Attrs = append(p.Attrs, otlp.String(l.GetName(), l.GetValue()))
		}
		switch f.GetType() {
		case dto.MetricType_COUNTER:
			m.Form, p.Value = otlp.Counter, from.GetCounter().GetValue()
		case dto.MetricType_GAUGE:
			m.Form, p.Value = otlp.Gauge, from.GetGauge().GetValue()
		case dto.MetricType_HISTOGRAM:
			m.Form = otlp.Buckets
			m.Bounds = readBuckets(from.GetHistogram(), &p)
		default:
			return otlp.Metric{}, false
		}
		m.Points = append(m.Points, p)
	}
	return m, true
}

// readBuckets turns Prometheus's cumulative buckets into OTLP's.
func readBuckets(h *dto.Histogram, p *otlp.Point) (bounds []float64) {
	before := uint64(0)
	for _, b := range h.GetBucket() {
		bounds = append(bounds, b.GetUpperBound())
		p.Counts = append(p.Counts, b.GetCumulativeCount()-before)
		before = b.GetCumulativeCount()
	}
	p.Count, p.Sum = h.GetSampleCount(), h.GetSampleSum()
	p.Counts = append(p.Counts, p.Count-before)
	return bounds
}

const otherMethod = "_OTHER"

// knownMethod is what the conventions make of a method: a client can make up any number of others.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete,
		http.MethodConnect, http.MethodOptions, http.MethodTrace, http.MethodPatch:
		return method
	}
	return otherMethod
}

// spanMethod is a method as it stands in a span's name.
func spanMethod(method string) string {
	if method == otherMethod {
		return "HTTP"
	}
	return method
}

// routeOf is the template of the route without its method.
func routeOf(ex *tapway.Exchange) string {
	if _, template, ok := strings.Cut(ex.Route, " "); ok {
		return template
	}
	return ex.Route
}

// protocolVersion is "1.1" of "HTTP/1.1", and "2" of "HTTP/2.0".
func protocolVersion(proto string) string {
	version, _ := strings.CutPrefix(proto, "HTTP/")
	return strings.TrimSuffix(version, ".0")
}

// appendAddress adds server.address and server.port of host[:port].
func appendAddress(attrs []otlp.Attr, hostport, scheme string) []otlp.Attr {
	if hostport == "" {
		return attrs
	}
	host, text, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.Trim(hostport, "[]")
		text = map[string]string{"http": "80", "https": "443"}[scheme]
	}
	attrs = append(attrs, otlp.String("server.address", host))
	if port, err := strconv.ParseUint(text, 10, 16); err == nil {
		attrs = append(attrs, otlp.Int("server.port", int64(port)))
	}
	return attrs
}

// callError is the error.type of a call, "" if it is none: the client's own mistakes, 4xx, are not
// the server's errors.
func callError(ex *tapway.Exchange) string {
	switch {
	case ex.Status >= 500:
		return strconv.Itoa(ex.Status)
	case ex.Status == 0, ex.Origin == tapway.OriginBackend && ex.Error != "":
		return failureKind(ex.Error)
	}
	return ""
}

// backendError is the error.type of a backend's call, "" if it is none. To a client 4xx is one.
func backendError(call *tapway.Call, ex *tapway.Exchange) string {
	switch {
	case call.Asked.Status >= 400:
		return strconv.Itoa(call.Asked.Status)
	case ex.Error != "":
		return failureKind(ex.Error)
	}
	return ""
}

// failureKind is a word for what stages say went wrong.
func failureKind(reason string) string {
	switch {
	case reason == "client went away":
		return "client_gone"
	case strings.Contains(reason, "timed out"):
		return "timeout"
	case reason == "backend refused the connection", reason == "backend unreachable":
		return "connection_refused"
	case reason == "backend name not found":
		return "name_not_found"
	case strings.HasPrefix(reason, "egress denied"):
		return "egress_denied"
	case strings.Contains(reason, "TLS"):
		return "tls"
	case strings.Contains(reason, "broke off"):
		return "broke_off"
	}
	return "_OTHER"
}

func statusOr(status int, other string) string {
	if status != 0 {
		return strconv.Itoa(status)
	}
	return other
}
