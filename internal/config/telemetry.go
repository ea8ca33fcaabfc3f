package config

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tapway/tapway"
)

// AccessLog is one line per call.
type AccessLog struct {
	Path    string `yaml:"path" example:"/var/log/tapway/access.log" doc:"stdout, stderr or a file; without it there is no access log. SIGHUP opens the file anew, as logrotate wants it."`
	Format  string `yaml:"format" def:"combined" enum:"common combined json" doc:"The two formats of Apache, or one JSON object per line."`
	MaxSize Size   `yaml:"max_size" def:"0" doc:"Size at which a file becomes FILE.1, FILE.1 becomes FILE.2 and so on. 0: somebody else rotates it."`
	Keep    int    `yaml:"keep" def:"5" doc:"How many of those are kept."`
}

// Telemetry is what an OpenTelemetry collector gets.
type Telemetry struct {
	Service    string            `yaml:"service" def:"tapway" doc:"service.name of the resource."`
	Attributes map[string]string `yaml:"attributes" doc:"Further attributes of the resource: deployment.environment.name and the like."`
	OTLP       OTLP              `yaml:"otlp" doc:"Where it goes. Without an endpoint nothing is sent."`
	Traces     Traces            `yaml:"traces" doc:"A span for each call, one for its backend's, and one for each delivery, linked to its calls."`
	Metrics    bool              `yaml:"metrics" def:"true" doc:"Send metrics; /metrics has them in any case."`
}

// OTLP is how a collector is reached.
type OTLP struct {
	Endpoint    string                   `yaml:"endpoint" kind:"url" example:"http://127.0.0.1:4318" doc:"A collector's URL for OTLP over HTTP; /v1/traces and /v1/metrics are added. The egress policy is asked about it as about a destination."`
	TracesURL   string                   `yaml:"traces_url" kind:"url" doc:"The whole URL for traces, if it is another."`
	MetricsURL  string                   `yaml:"metrics_url" kind:"url" doc:"The whole URL for metrics, if it is another."`
	Headers     map[string]tapway.Secret `yaml:"headers" doc:"Headers of every request; values are secrets."`
	Protocol    string                   `yaml:"protocol" def:"http/protobuf" enum:"http/protobuf http/json" doc:"gRPC is not spoken: name the collector's port for HTTP."`
	Compression string                   `yaml:"compression" def:"gzip" enum:"gzip none" doc:"Of requests."`
	Interval    Duration                 `yaml:"interval" def:"60s" doc:"Between two exports of metrics."`
	Timeout     Duration                 `yaml:"timeout" def:"10s" doc:"Of one request."`
	TLS         ClientTLS                `yaml:"tls" doc:"TLS to the collector."`
}

// Traces says which calls get spans.
type Traces struct {
	Sample float64 `yaml:"sample" def:"0.1" doc:"Share of the traces that begin here that are sampled, 0 to 1. With 0 and parent: false there are none, and traceparent passes through as it came."`
	Parent bool    `yaml:"parent" def:"true" doc:"A call that comes with a trace is sampled if its caller sampled it. false: sample decides about every call."`
}

// On reports whether there is somewhere to send to.
func (t *Telemetry) On() bool { return t.TracesTo() != "" || t.MetricsTo() != "" }

// TracesTo is where spans go, "" for nowhere.
func (t *Telemetry) TracesTo() string {
	if t.Traces.Sample == 0 && !t.Traces.Parent {
		return ""
	}
	return signalURL(t.OTLP.TracesURL, t.OTLP.Endpoint, "/v1/traces")
}

// MetricsTo is where metrics go, "" for nowhere.
func (t *Telemetry) MetricsTo() string {
	if !t.Metrics {
		return ""
	}
	return signalURL(t.OTLP.MetricsURL, t.OTLP.Endpoint, "/v1/metrics")
}

func signalURL(whole, endpoint, path string) string {
	if whole != "" || endpoint == "" {
		return whole
	}
	base, query, has := strings.Cut(endpoint, "?")
	base = strings.TrimSuffix(base, "/") + path
	if has {
		base += "?" + query
	}
	return base
}

func (k *checker) telemetry(c *Config) {
	t := &c.Telemetry
	if s := t.Traces.Sample; !(s >= 0 && s <= 1) && !k.failed("telemetry.traces.sample") {
		k.fail("telemetry.traces.sample", fmt.Sprintf("%v is no share", s), "write a number from 0 to 1")
	}
	if t.OTLP.Interval < Duration(time.Second) && !k.failed("telemetry.otlp.interval") {
		k.fail("telemetry.otlp.interval", "it is shorter than a second", "write 10s or more")
	}
	for _, name := range slices.Sorted(maps.Keys(t.OTLP.Headers)) {
		k.headerNames("telemetry.otlp.headers", []string{name})
		if strings.ContainsAny(t.OTLP.Headers[name].Reveal(), "\r\n\x00") {
			k.fail("telemetry.otlp.headers."+name, "its value has a line break", "")
		}
	}
	if c.AccessLog.MaxSize > 0 && (c.AccessLog.Path == "stdout" || c.AccessLog.Path == "stderr") {
		k.fail("access_log.max_size", "only a file can be rotated", "remove it, or name a file in access_log.path")
	}
}

// otel sets what OpenTelemetry's own variables say, as
// https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/ has them. Like
// other variables they win over the file.
func (d *decoder) otel(c *Config) {
	t := &c.Telemetry
	take := func(name, key string, set func(string) error) {
		text, ok := d.getenv(name)
		if text = strings.TrimSpace(text); !ok || text == "" {
			return
		}
		d.origins[key] = "environment variable " + name
		d.forget(key)
		if err := set(text); err != nil {
			message, hint, _ := strings.Cut(err.Error(), "; ")
			d.problems = append(d.problems, Problem{File: d.origins[key], Key: key, Message: message, Hint: hint})
		}
	}
	text := func(to *string) func(string) error {
		return func(s string) error { *to = s; return nil }
	}
	secret := func(to *tapway.Secret) func(string) error {
		return func(s string) error { *to = tapway.Secret(s); return nil }
	}
	take("OTEL_EXPORTER_OTLP_ENDPOINT", "telemetry.otlp.endpoint", text(&t.OTLP.Endpoint))
	take("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "telemetry.otlp.traces_url", text(&t.OTLP.TracesURL))
	take("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "telemetry.otlp.metrics_url", text(&t.OTLP.MetricsURL))
	take("OTEL_EXPORTER_OTLP_HEADERS", "telemetry.otlp.headers", func(s string) error {
		pairs, err := baggage(s)
		t.OTLP.Headers = map[string]tapway.Secret{}
		for name, value := range pairs {
			t.OTLP.Headers[name] = tapway.Secret(value)
		}
		return err
	})
	take("OTEL_EXPORTER_OTLP_PROTOCOL", "telemetry.otlp.protocol", func(s string) error {
		if s == "grpc" {
			return fmt.Errorf("gRPC is not spoken; set it to http/protobuf and name the collector's port for HTTP, 4318 mostly")
		}
		t.OTLP.Protocol = s
		return nil
	})
	take("OTEL_EXPORTER_OTLP_COMPRESSION", "telemetry.otlp.compression", text(&t.OTLP.Compression))
	take("OTEL_EXPORTER_OTLP_TIMEOUT", "telemetry.otlp.timeout", milliseconds(&t.OTLP.Timeout))
	take("OTEL_METRIC_EXPORT_INTERVAL", "telemetry.otlp.interval", milliseconds(&t.OTLP.Interval))
	take("OTEL_EXPORTER_OTLP_CERTIFICATE", "telemetry.otlp.tls.ca", text(&t.OTLP.TLS.CA))
	take("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "telemetry.otlp.tls.cert", text(&t.OTLP.TLS.Cert))
	take("OTEL_EXPORTER_OTLP_CLIENT_KEY", "telemetry.otlp.tls.key", secret(&t.OTLP.TLS.Key))
	take("OTEL_RESOURCE_ATTRIBUTES", "telemetry.attributes", func(s string) error {
		pairs, err := baggage(s)
		all := map[string]string{}
		maps.Copy(all, t.Attributes)
		maps.Copy(all, pairs)
		if name := pairs["service.name"]; name != "" {
			t.Service = name
		}
		delete(all, "service.name")
		t.Attributes = all
		return err
	})
	take("OTEL_SERVICE_NAME", "telemetry.service", text(&t.Service))
	take("OTEL_TRACES_SAMPLER", "telemetry.traces.sample", func(s string) error { return sampler(t, s) })
	take("OTEL_TRACES_SAMPLER_ARG", "telemetry.traces.sample", func(s string) error {
		if name, _ := d.getenv("OTEL_TRACES_SAMPLER"); !strings.HasSuffix(strings.TrimSpace(name), "traceidratio") {
			return nil // it says something about that sampler only
		}
		return setSample(t, s)
	})
	take("OTEL_TRACES_EXPORTER", "telemetry.traces", func(s string) error {
		if s == "none" {
			t.Traces = Traces{}
		}
		return nil
	})
	take("OTEL_METRICS_EXPORTER", "telemetry.metrics", func(s string) error { t.Metrics = t.Metrics && s != "none"; return nil })
	take("OTEL_SDK_DISABLED", "telemetry", func(s string) error {
		if strings.EqualFold(s, "true") {
			t.Traces, t.Metrics = Traces{}, false
		}
		return nil
	})
}

func milliseconds(to *Duration) func(string) error {
	return func(s string) error {
		n, err := strconv.ParseUint(s, 10, 31)
		if err != nil {
			return fmt.Errorf("%q is no number of milliseconds; write 10000 for ten seconds", s)
		}
		*to = Duration(time.Duration(n) * time.Millisecond)
		return nil
	}
}

func sampler(t *Telemetry, name string) error {
	base, parent := strings.CutPrefix(name, "parentbased_")
	t.Traces.Parent = parent
	switch base {
	case "always_on":
		t.Traces.Sample = 1
	case "always_off":
		t.Traces.Sample = 0
	case "traceidratio":
		t.Traces.Sample = 1 // without an argument
	default:
		return fmt.Errorf("%q is no sampler that tapway has; write always_on, always_off, traceidratio, or one of these behind parentbased_", name)
	}
	return nil
}

func setSample(t *Telemetry, s string) error {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return fmt.Errorf("%q is no share; write a number from 0 to 1", s)
	}
	t.Traces.Sample = f
	return nil
}

// baggage reads "name=value,name=value" with percent-encoded values, as these variables have it.
// Its error shows nothing of them: they may be secrets.
func baggage(s string) (map[string]string, error) {
	out := map[string]string{}
	for part := range strings.SplitSeq(s, ",") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		name, value, ok := strings.Cut(part, "=")
		name = strings.TrimSpace(name)
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if !ok || name == "" || err != nil {
			return nil, fmt.Errorf("it is no list of pairs; write name=value,name=value with anything unusual percent-encoded")
		}
		out[name] = value
	}
	return out, nil
}
