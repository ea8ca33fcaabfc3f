// Package emf writes metrics as lines of CloudWatch's Embedded Metric Format: JSON on standard
// output, which CloudWatch turns into metrics without an API call, an agent or a permission.
//
// What a newcomer gets wrong: every combination of dimension values is a metric of its own,
// and is paid for as one. Dimensions are for what one draws a chart by (destination, reason),
// never for ids, paths or clients.
package emf

import (
	"errors"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/tapway/tapway/internal/jsonstring"
)

// Unit is a CloudWatch unit.
type Unit string

const (
	Count        Unit = "Count"
	Milliseconds Unit = "Milliseconds"
	Bytes        Unit = "Bytes"
)

// The format's limits. CloudWatch ignores, silently, what goes beyond them.
const (
	maxMetrics    = 100  // on a line
	maxValues     = 100  // of a metric on a line
	maxDimensions = 30   // of a line
	maxName       = 255  // of a dimension; a metric's may be longer
	maxText       = 1024 // of a dimension's value
	maxLineValues = 2000 // keeps a line far below the 256 KiB of a log event

	biggest = 0x1p360
)

// Dimension is a name and value that CloudWatch keeps metrics apart by.
type Dimension struct{ Name, Value string }

// Writer gathers metrics until Flush. Out must be set; it is safe for concurrent use.
type Writer struct {
	Out        io.Writer        // os.Stdout on Lambda; it gets whole lines, several in one Write
	Namespace  string           // "": tapway
	Dimensions []Dimension      // of every metric
	Now        func() time.Time // nil: time.Now

	mu    sync.Mutex
	lines []*line // with metrics, in the order in which they came
	known []*line // all that are used again
	buf   []byte
}

// maxKnown bounds what is kept of combinations of dimensions, and of a combination's metrics.
const maxKnown = 64

// maxWrite is from how many bytes on what was made so far is written before more is made.
const maxWrite = 32 << 10

// line is what is known of one combination of dimensions. It outlives a Flush, with the form of its text.
type line struct {
	dimensions []Dimension
	metrics    []*metric // with values, in the order in which they came
	known      []*metric
	form       form
}

type metric struct {
	name   string
	unit   Unit
	values []float64 // one, their sum, if the unit is Count
}

// Add gathers one value. Counts are summed up; of anything else every value is kept, for
// CloudWatch's percentiles. A value that is not a finite number is left out. The metric's
// name must differ from the dimensions'.
func (w *Writer) Add(name string, unit Unit, value float64, dimensions ...Dimension) {
	if math.IsNaN(value) || math.Abs(value) > biggest {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.line(dimensions).add(name, unit, value)
}

// line finds the line of a combination of dimensions, or makes it, and sees to it that it is written.
func (w *Writer) line(dimensions []Dimension) *line {
	for _, l := range w.lines {
		if slices.Equal(l.dimensions, dimensions) {
			return l
		}
	}
	i := slices.IndexFunc(w.known, func(l *line) bool { return slices.Equal(l.dimensions, dimensions) })
	if i < 0 {
		i = len(w.known)
		w.known = append(w.known, &line{dimensions: slices.Clone(dimensions)})
	}
	w.lines = append(w.lines, w.known[i])
	return w.known[i]
}

func (l *line) add(name string, unit Unit, value float64) {
	for _, m := range l.metrics {
		if m.name == name && m.unit == unit {
			m.add(value)
			return
		}
	}
	for _, m := range l.known {
		if m.name == name && m.unit == unit {
			m.values = m.values[:0]
			m.add(value)
			l.metrics = append(l.metrics, m)
			return
		}
	}
	m := &metric{name, unit, []float64{value}}
	l.known = append(l.known, m)
	l.metrics = append(l.metrics, m)
}

func (m *metric) add(value float64) {
	if m.unit == Count && len(m.values) > 0 {
		m.values[0] += value
	} else {
		m.values = append(m.values, value)
	}
}

// Flush writes what was gathered, in the order in which it came, and begins anew. When there
// is nothing it writes nothing. What could not be written is lost: a metric is not worth more.
func (w *Writer) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now
	if w.Now != nil {
		now = w.Now
	}
	var errs []error
	buf := w.buf[:0]
	write := func(least int) {
		if len(buf) > least {
			if _, err := w.Out.Write(buf); err != nil {
				errs = append(errs, err)
			}
			buf = buf[:0]
		}
	}
	for _, l := range w.lines {
		if l.ordinary() {
			buf = l.append(buf, w, now())
			write(maxWrite)
			continue
		}
		rest := line{dimensions: l.dimensions, metrics: slices.Clone(l.metrics)}
		for i, m := range rest.metrics {
			rest.metrics[i] = &metric{m.name, m.unit, slices.Clone(m.values)} // take takes from them
		}
		for len(rest.metrics) > 0 {
			var f form
			part := rest.take()
			buf = f.make(w, l.dimensions, part).append(buf, now())
			write(maxWrite)
		}
	}
	write(0)
	w.buf = buf
	if len(w.known) > maxKnown {
		w.known = nil
	}
	for _, l := range w.lines {
		l.metrics = l.metrics[:0]
		if len(l.known) > maxKnown {
			l.known = nil
		}
		for _, m := range l.known {
			if cap(m.values) > maxValues {
				m.values = nil
			}
		}
	}
	clear(w.lines)
	w.lines = w.lines[:0]
	return errors.Join(errs...)
}

// ordinary reports whether all of l fits on one line.
func (l *line) ordinary() bool {
	values := 0
	for _, m := range l.metrics {
		if len(m.values) > maxValues {
			return false
		}
		values += len(m.values)
	}
	return len(l.metrics) <= maxMetrics && values <= maxLineValues
}

// append writes l. Its form is made anew only when the metrics are others than last time.
func (l *line) append(b []byte, w *Writer, now time.Time) []byte {
	if !slices.Equal(l.form.metrics, l.metrics) {
		l.form.make(w, l.dimensions, slices.Clone(l.metrics))
	}
	return l.form.append(b, now)
}

// take removes as much from l as fits on one line.
func (l *line) take() []*metric {
	var out []*metric
	values := 0
	for len(l.metrics) > 0 && len(out) < maxMetrics && values < maxLineValues {
		m := l.metrics[0]
		n := min(len(m.values), maxValues)
		out = append(out, &metric{m.name, m.unit, m.values[:n]})
		values += n
		if m.values = m.values[n:]; len(m.values) > 0 {
			break // the same name cannot stand on a line twice
		}
		l.metrics = l.metrics[1:]
	}
	return out
}

// form is the text of a line but for the time and the values: what stands before the time, and before and behind
// each value.
type form struct {
	metrics []*metric // that it was made for
	head    []byte
	order   []*metric // as their values stand
	between [][]byte  // one more than order
}

// member is a dimension, with its value in JSON, or a metric.
type member struct {
	name   string
	value  []byte
	metric *metric
}

// make writes the form of one JSON object and its line feed.
func (f *form) make(w *Writer, more []Dimension, metrics []*metric) *form {
	namespace := w.Namespace
	if namespace == "" {
		namespace = "tapway"
	}
	var members []member
	b := append(appendText([]byte(`{"_aws":{"CloudWatchMetrics":[{"Namespace":`), namespace), `,"Dimensions":[[`...)
	for _, list := range [...][]Dimension{w.Dimensions, more} {
		for _, one := range list {
			name := clean(one.Name, maxName)
			if len(members) == maxDimensions || slices.ContainsFunc(members, func(m member) bool { return m.name == name }) {
				continue
			}
			if len(members) > 0 {
				b = append(b, ',')
			}
			b = appendText(b, name)
			members = append(members, member{name: name, value: appendText(nil, clean(one.Value, maxText))})
		}
	}
	b = append(b, `]],"Metrics":[`...)
	for i, m := range metrics {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(append(b, `{"Name":`...), m.name)
		b = append(appendText(append(b, `,"Unit":`...), string(m.unit)), '}')
		members = append(members, member{name: m.name, metric: m})
	}
	*f = form{metrics: metrics, head: append(b, `]}],"Timestamp":`...)}
	slices.SortFunc(members, func(a, b member) int { return strings.Compare(a.name, b.name) })
	text := []byte{'}'}
	for _, m := range members {
		text = append(appendText(append(text, ','), m.name), ':')
		if m.metric == nil {
			text = append(text, m.value...)
			continue
		}
		f.order, f.between = append(f.order, m.metric), append(f.between, text)
		text = nil
	}
	f.between = append(f.between, append(text, '}', '\n'))
	return f
}

func (f *form) append(b []byte, now time.Time) []byte {
	b = strconv.AppendInt(append(b, f.head...), now.UnixMilli(), 10)
	for i, m := range f.order {
		b = appendValues(append(b, f.between[i]...), m.values)
	}
	return append(b, f.between[len(f.order)]...)
}

func appendText(b []byte, s string) []byte {
	return jsonstring.Append(b, strings.ToValidUTF8(s, string(utf8.RuneError)))
}

// appendValues writes a value as a number, and several as an array.
func appendValues(b []byte, values []float64) []byte {
	if len(values) != 1 {
		b = append(b, '[')
	}
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		format := byte('f')
		if a := math.Abs(v); a != 0 && (a < 1e-6 || a >= 1e21) {
			format = 'e'
		}
		b = strconv.AppendFloat(b, v, format, -1, 64)
	}
	if len(values) != 1 {
		b = append(b, ']')
	}
	return b
}

// clean makes a text that CloudWatch takes: printable ASCII, not empty, not too long, and not
// beginning with a colon.
func clean(text string, limit int) string {
	if isClean(text) {
		return text[:min(len(text), limit)]
	}
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == utf8.RuneError {
			return '?'
		}
		return r
	}, text)
	text = strings.TrimLeft(strings.TrimSpace(text), ":")
	if text == "" {
		return "unknown"
	}
	return text[:min(len(text), limit)]
}

// isClean reports whether clean would change nothing but the length.
func isClean(text string) bool {
	if text == "" || text[0] == ':' || text[0] == ' ' || text[len(text)-1] == ' ' {
		return false
	}
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}
