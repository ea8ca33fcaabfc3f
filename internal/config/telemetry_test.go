package config

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tapway/tapway"
)

// withOTel loads YAML with these variables.
func withOTel(t *testing.T, yaml string, env map[string]string) (*Config, error) {
	t.Helper()
	return Load(Source{
		File: "t.yaml", Text: []byte("backend: http://127.0.0.1:1\n" + yaml), OTel: true,
		Getenv: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
	})
}

// TestTelemetryPlaces: where each signal goes.
func TestTelemetryPlaces(t *testing.T) {
	for _, c := range []struct{ yaml, traces, metrics string }{
		{"", "", ""},
		{"{otlp: {endpoint: 'http://c:4318'}}", "http://c:4318/v1/traces", "http://c:4318/v1/metrics"},
		{"{otlp: {endpoint: 'https://c/otlp/?key=1'}}", "https://c/otlp/v1/traces?key=1", "https://c/otlp/v1/metrics?key=1"},
		{"{otlp: {endpoint: 'http://c', traces_url: 'http://t/x'}}", "http://t/x", "http://c/v1/metrics"},
		{"{otlp: {metrics_url: 'http://m/x'}}", "", "http://m/x"},
		{"{otlp: {endpoint: 'http://c'}, metrics: false}", "http://c/v1/traces", ""},
		{"{otlp: {endpoint: 'http://c'}, traces: {sample: 0}}", "http://c/v1/traces", "http://c/v1/metrics"},
		{"{otlp: {endpoint: 'http://c'}, traces: {sample: 0, parent: false}}", "", "http://c/v1/metrics"},
	} {
		got, err := withOTel(t, "telemetry: "+c.yaml+"\n", nil)
		if err != nil {
			t.Fatal(err)
		}
		o := &got.Telemetry
		if o.TracesTo() != c.traces || o.MetricsTo() != c.metrics || o.On() != (c.traces+c.metrics != "") {
			t.Errorf("%s: %q %q %v", c.yaml, o.TracesTo(), o.MetricsTo(), o.On())
		}
	}
}

// TestOTelVariables: OpenTelemetry's own variables win over the file, and the particular over the
// general.
func TestOTelVariables(t *testing.T) {
	const file = "telemetry: {service: file, attributes: {a: file, b: file}, otlp: {endpoint: 'http://file', headers: {X: file}}, traces: {sample: 0.5}}\n"
	for name, c := range map[string]struct {
		env  map[string]string
		want func(*Telemetry)
	}{
		"none":     {nil, func(*Telemetry) {}},
		"empty":    {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, func(*Telemetry) {}},
		"endpoint": {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://env:4318"}, func(o *Telemetry) { o.OTLP.Endpoint = "http://env:4318" }},
		"of one signal": {map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://m"},
			func(o *Telemetry) { o.OTLP.TracesURL, o.OTLP.MetricsURL = "http://t", "http://m" }},
		"headers": {map[string]string{"OTEL_EXPORTER_OTLP_HEADERS": "Authorization=Basic%20abc==, x=1"},
			func(o *Telemetry) {
				o.OTLP.Headers = map[string]tapway.Secret{"Authorization": "Basic abc==", "x": "1"}
			}},
		"the rest": {map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json", "OTEL_EXPORTER_OTLP_COMPRESSION": "none", "OTEL_EXPORTER_OTLP_TIMEOUT": "2500", "OTEL_METRIC_EXPORT_INTERVAL": "15000"},
			func(o *Telemetry) {
				o.OTLP.Protocol, o.OTLP.Compression, o.OTLP.Timeout, o.OTLP.Interval = "http/json", "none", Duration(2500*time.Millisecond), Duration(15*time.Second)
			}},
		"resource": {map[string]string{"OTEL_RESOURCE_ATTRIBUTES": "service.name=res,b=env,c=x%2Cy"},
			func(o *Telemetry) {
				o.Service, o.Attributes = "res", map[string]string{"a": "file", "b": "env", "c": "x,y"}
			}},
		"service":   {map[string]string{"OTEL_RESOURCE_ATTRIBUTES": "service.name=res", "OTEL_SERVICE_NAME": "svc"}, func(o *Telemetry) { o.Service = "svc" }},
		"sampler":   {map[string]string{"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"}, func(o *Telemetry) { o.Traces = Traces{Sample: .25} }},
		"parent":    {map[string]string{"OTEL_TRACES_SAMPLER": "parentbased_always_off", "OTEL_TRACES_SAMPLER_ARG": "0.25"}, func(o *Telemetry) { o.Traces = Traces{Parent: true} }},
		"always":    {map[string]string{"OTEL_TRACES_SAMPLER": "always_on"}, func(o *Telemetry) { o.Traces = Traces{Sample: 1} }},
		"no traces": {map[string]string{"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "otlp"}, func(o *Telemetry) { o.Traces = Traces{} }},
		"disabled":  {map[string]string{"OTEL_SDK_DISABLED": "true"}, func(o *Telemetry) { o.Traces, o.Metrics = Traces{}, false }},
	} {
		t.Run(name, func(t *testing.T) {
			want, err := withOTel(t, file, nil)
			if err != nil {
				t.Fatal(err)
			}
			c.want(&want.Telemetry)
			got, err := withOTel(t, file, c.env)
			if err != nil {
				t.Fatal(err)
			}
			reveal := cmp.Transformer("reveal", func(s tapway.Secret) string { return s.Reveal() })
			if diff := cmp.Diff(want.Telemetry, got.Telemetry, reveal); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestTelemetryProblems: each says what is wrong and where, and shows no secret.
func TestTelemetryProblems(t *testing.T) {
	for _, c := range []struct {
		yaml, name, value string
		want              string
	}{
		{"telemetry: {traces: {sample: 1.1}}", "", "", "telemetry.traces.sample"},
		{"telemetry: {otlp: {interval: 999ms}}", "", "", "telemetry.otlp.interval"},
		{"telemetry: {otlp: {endpoint: 'c:4318'}}", "", "", "telemetry.otlp.endpoint"},
		{"telemetry: {otlp: {protocol: grpc}}", "", "", "http/protobuf"},
		{"telemetry: {otlp: {headers: {'a b': x}}}", "", "", "not a header name"},
		{"access_log: {path: stdout, max_size: 1MiB}", "", "", "access_log.max_size"},
		{"access_log: {path: x, format: apache}", "", "", "common, combined, json"},
		{"", "OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "gRPC is not spoken"},
		{"", "OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318", "OTEL_EXPORTER_OTLP_ENDPOINT"},
		{"", "OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "milliseconds"},
		{"", "OTEL_EXPORTER_OTLP_HEADERS", "hidden", "OTEL_EXPORTER_OTLP_HEADERS"},
		{"", "OTEL_EXPORTER_OTLP_HEADERS", "a=hidden%zz", "percent-encoded"},
		{"", "OTEL_TRACES_SAMPLER", "jaeger_remote", "no sampler"},
	} {
		_, err := withOTel(t, c.yaml+"\n", map[string]string{c.name: c.value})
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s %s=%s: %v", c.yaml, c.name, c.value, err)
		}
	}
	// Elsewhere than in serve and forward they are another program's.
	c, err := Load(Source{Text: []byte("backend: http://127.0.0.1:1\n"), Getenv: func(name string) (string, bool) { return "grpc", strings.HasPrefix(name, "OTEL_") }})
	if err != nil || c.Telemetry.On() {
		t.Errorf("%v", err)
	}
}
