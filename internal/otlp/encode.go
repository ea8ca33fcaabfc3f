package otlp

import "time"

// Source says whose spans and metrics these are.
type Source struct {
	Resource []Attr // the process: service.name and so on
	Scope    string // what measures: the program's import path
	Version  string // of Scope
}

// schema is the version of the semantic conventions that the names are taken from.
const schema = "https://opentelemetry.io/schemas/1.37.0"

const cumulative = 2 // AggregationTemporality

// AppendTraces adds an ExportTraceServiceRequest to dst.
func AppendTraces(dst []byte, asJSON bool, s *Source, spans []Span) []byte {
	w := &writer{asJSON, dst}
	return w.whole(func() {
		w.messages(1, "resourceSpans", 1, func(int) {
			s.resource(w)
			w.messages(2, "scopeSpans", 1, func(int) {
				s.scope(w)
				w.messages(2, "spans", len(spans), func(i int) { w.span(&spans[i]) })
				w.text(3, "schemaUrl", schema)
			})
			w.text(3, "schemaUrl", schema)
		})
	})
}

// AppendMetrics adds an ExportMetricsServiceRequest to dst. start is when counting began, now
// when the values were read.
func AppendMetrics(dst []byte, asJSON bool, s *Source, metrics []Metric, start, now time.Time) []byte {
	w := &writer{asJSON, dst}
	return w.whole(func() {
		w.messages(1, "resourceMetrics", 1, func(int) {
			s.resource(w)
			w.messages(2, "scopeMetrics", 1, func(int) {
				s.scope(w)
				w.messages(2, "metrics", len(metrics), func(i int) { w.metric(&metrics[i], nano(start), nano(now)) })
				w.text(3, "schemaUrl", schema)
			})
			w.text(3, "schemaUrl", schema)
		})
	})
}

func (s *Source) resource(w *writer) {
	w.message(1, "resource", func() { w.attrs(1, s.Resource) })
}

func (s *Source) scope(w *writer) {
	w.message(1, "scope", func() {
		w.text(1, "name", s.Scope)
		w.optText(2, "version", s.Version)
	})
}

func nano(t time.Time) uint64 { return uint64(t.UnixNano()) }

func (w *writer) attrs(n int, list []Attr) {
	w.messages(n, "attributes", len(list), func(i int) {
		a := &list[i]
		w.text(1, "key", a.Key)
		w.message(2, "value", func() {
			switch a.kind {
			case isText:
				w.text(1, "stringValue", a.text)
			case isBool:
				w.boolean(2, "boolValue", a.whole != 0)
			case isInt:
				w.int64(3, "intValue", a.whole)
			case isFloat:
				w.double(4, "doubleValue", a.float)
			}
		})
	})
}

// What stands above the trace flags in the flags of spans and links: whether it is known that the
// parent is in another process, and whether it is.
const (
	knowsRemote = 0x100
	isRemote    = 0x200
)

func (w *writer) span(s *Span) {
	w.id(1, "traceId", s.Trace[:])
	w.id(2, "spanId", s.ID[:])
	if s.Parent != (SpanID{}) {
		w.id(4, "parentSpanId", s.Parent[:])
	}
	w.text(5, "name", s.Name)
	w.small(6, "kind", uint32(s.Kind))
	w.fixed64(7, "startTimeUnixNano", nano(s.Start))
	w.fixed64(8, "endTimeUnixNano", nano(s.End))
	w.attrs(9, s.Attrs)
	w.messages(13, "links", len(s.Links), func(i int) {
		l := &s.Links[i]
		w.id(1, "traceId", l.Trace[:])
		w.id(2, "spanId", l.ID[:])
		w.attrs(4, l.Attrs)
		w.fixed32(6, "flags", 1|knowsRemote)
	})
	if s.Failed {
		w.message(15, "status", func() {
			w.optText(2, "message", s.Message)
			w.small(3, "code", 2) // STATUS_CODE_ERROR
		})
	}
	flags := uint32(s.Flags) | knowsRemote
	if s.Remote {
		flags |= isRemote
	}
	w.fixed32(16, "flags", flags)
}

func (w *writer) metric(m *Metric, start, now uint64) {
	w.text(1, "name", m.Name)
	w.optText(2, "description", m.Help)
	w.optText(3, "unit", m.Unit)
	switch m.Form {
	case Gauge:
		w.message(5, "gauge", func() { w.numbers(m, 0, now) })
	case Counter, UpDown:
		w.message(7, "sum", func() {
			w.numbers(m, start, now)
			w.small(2, "aggregationTemporality", cumulative)
			if m.Form == Counter {
				w.boolean(3, "isMonotonic", true)
			}
		})
	case Buckets:
		w.message(9, "histogram", func() {
			w.messages(1, "dataPoints", len(m.Points), func(i int) { w.buckets(m.Bounds, &m.Points[i], start, now) })
			w.small(2, "aggregationTemporality", cumulative)
		})
	}
}

func (w *writer) numbers(m *Metric, start, now uint64) {
	w.messages(1, "dataPoints", len(m.Points), func(i int) {
		p := &m.Points[i]
		if start != 0 {
			w.fixed64(2, "startTimeUnixNano", start)
		}
		w.fixed64(3, "timeUnixNano", now)
		w.double(4, "asDouble", p.Value)
		w.attrs(7, p.Attrs)
	})
}

func (w *writer) buckets(bounds []float64, p *Point, start, now uint64) {
	w.fixed64(2, "startTimeUnixNano", start)
	w.fixed64(3, "timeUnixNano", now)
	w.fixed64(4, "count", p.Count)
	w.double(5, "sum", p.Sum)
	w.list(6, "bucketCounts", len(p.Counts), func(i int) { w.rawFixed64(p.Counts[i]) })
	w.list(7, "explicitBounds", len(bounds), func(i int) { w.rawDouble(bounds[i]) })
	w.attrs(9, p.Attrs)
}
