// Package emf writes metrics as lines of CloudWatch's Embedded Metric Format: JSON on standard
// output, which CloudWatch turns into metrics without an API call, an agent or a permission.
//
// What a newcomer gets wrong: every combination of dimension values is a metric of its own,
// and is paid for as one. Dimensions are for what one draws a chart by (destination, reason),
// never for ids, paths or clients.
package emf

import (
	"encoding/json"
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
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

// line is one JSON object and its line feed.
func (w *Writer) line(now time.Time, more []Dimension, metrics []metric) []byte {
	type definition struct {
		Name string `json:"Name"`
		Unit Unit   `json:"Unit"`
	}
	type directive struct {
		Namespace  string       `json:"Namespace"`
		Dimensions [][]string   `json:"Dimensions"`
		Metrics    []definition `json:"Metrics"`
	}
	d := directive{Namespace: w.Namespace, Dimensions: [][]string{{}}}
	if d.Namespace == "" {
		d.Namespace = "tapway"
	}
	root := map[string]any{}
	for _, one := range slices.Concat(w.Dimensions, more) {
		name := clean(one.Name, maxName)
		if _, twice := root[name]; twice || len(d.Dimensions[0]) == maxDimensions {
			continue
		}
		d.Dimensions[0] = append(d.Dimensions[0], name)
		root[name] = clean(one.Value, maxText)
	}
	for _, m := range metrics {
		d.Metrics = append(d.Metrics, definition{m.name, m.unit})
		if len(m.values) == 1 {
			root[m.name] = m.values[0]
		} else {
			root[m.name] = m.values
		}
	}
	root["_aws"] = map[string]any{"Timestamp": now.UnixMilli(), "CloudWatchMetrics": []directive{d}}
	text, err := json.Marshal(root)
	if err != nil {
		panic("emf: " + err.Error()) // texts and finite numbers always marshal
	}
	return append(text, '\n')
}

// clean makes a text that CloudWatch takes: printable ASCII, not empty, not too long, and not
// beginning with a colon.
func clean(text string, limit int) string {
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
