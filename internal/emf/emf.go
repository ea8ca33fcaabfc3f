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
	Out        io.Writer        // os.Stdout on Lambda; every line is one Write
	Namespace  string           // "": tapway
	Dimensions []Dimension      // of every metric
	Now        func() time.Time // nil: time.Now

	mu    sync.Mutex
	lines []*line
}

// line is what is known of one combination of dimensions.
type line struct {
	dimensions []Dimension
	metrics    []*metric
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
	i := slices.IndexFunc(w.lines, func(l *line) bool { return slices.Equal(l.dimensions, dimensions) })
	if i < 0 {
		i = len(w.lines)
		w.lines = append(w.lines, &line{dimensions: slices.Clone(dimensions)})
	}
	w.lines[i].add(name, unit, value)
}

func (l *line) add(name string, unit Unit, value float64) {
	for _, m := range l.metrics {
		if m.name != name || m.unit != unit {
			continue
		}
		if unit == Count {
			m.values[0] += value
		} else {
			m.values = append(m.values, value)
		}
		return
	}
	l.metrics = append(l.metrics, &metric{name, unit, []float64{value}})
}

// Flush writes what was gathered, in the order in which it came, and begins anew. When there
// is nothing it writes nothing. What could not be written is lost: a metric is not worth more.
func (w *Writer) Flush() error {
	w.mu.Lock()
	lines := w.lines
	w.lines = nil
	w.mu.Unlock()
	now := time.Now
	if w.Now != nil {
		now = w.Now
	}
	var errs []error
	for _, l := range lines {
		for len(l.metrics) > 0 {
			text := w.line(now(), l.dimensions, l.take())
			if _, err := w.Out.Write(text); err != nil {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// take removes as much from l as fits on one line.
func (l *line) take() []metric {
	var out []metric
	values := 0
	for len(l.metrics) > 0 && len(out) < maxMetrics && values < maxLineValues {
		m := l.metrics[0]
		n := min(len(m.values), maxValues)
		out = append(out, metric{m.name, m.unit, m.values[:n]})
		values += n
		if m.values = m.values[n:]; len(m.values) > 0 {
			break // the same name cannot stand on a line twice
		}
		l.metrics = l.metrics[1:]
	}
	return out
}

// member is a name and its value in JSON.
type member struct {
	name  string
	value []byte
}

// line is one JSON object and its line feed. It is written by hand because there is one for every call on Lambda.
func (w *Writer) line(now time.Time, more []Dimension, metrics []metric) []byte {
	var room [24]member
	var text [256]byte
	members, values := room[:0], text[:0]
	put := func(name string, from int) {
		members = append(members, member{name, values[from:len(values):len(values)]})
	}

	namespace := w.Namespace
	if namespace == "" {
		namespace = "tapway"
	}
	b := append(make([]byte, 0, 512), `{"_aws":{"CloudWatchMetrics":[{"Namespace":`...)
	b = append(appendText(b, namespace), `,"Dimensions":[[`...)
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
			from := len(values)
			values = appendText(values, clean(one.Value, maxText))
			put(name, from)
		}
	}
	b = append(b, `]],"Metrics":[`...)
	for i, m := range metrics {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(append(b, `{"Name":`...), m.name)
		b = append(appendText(append(b, `,"Unit":`...), string(m.unit)), '}')
		from := len(values)
		values = appendValues(values, m.values)
		put(m.name, from)
	}
	b = strconv.AppendInt(append(b, `]}],"Timestamp":`...), now.UnixMilli(), 10)
	b = append(b, '}')
	slices.SortFunc(members, func(a, b member) int { return strings.Compare(a.name, b.name) })
	for _, m := range members {
		b = append(appendText(append(b, ','), m.name), ':')
		b = append(b, m.value...)
	}
	return append(b, '}', '\n')
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
