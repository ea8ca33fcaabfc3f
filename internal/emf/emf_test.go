package emf

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func newWriter() (*Writer, *bytes.Buffer) {
	var out bytes.Buffer
	return &Writer{Out: &out, Dimensions: []Dimension{{"function", "tap"}}, Now: func() time.Time { return time.UnixMilli(1764000000123) }}, &out
}

func TestFlush(t *testing.T) {
	w, out := newWriter()
	w.Add("captured", Count, 1)
	w.Add("overhead_ms", Milliseconds, 0.25)
	w.Add("dropped", Count, 1, Dimension{"reason", "sampled"})
	w.Add("captured", Count, 2)
	w.Add("overhead_ms", Milliseconds, 1)
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	want := `{"_aws":{"CloudWatchMetrics":[{"Namespace":"tapway","Dimensions":[["function"]],"Metrics":[{"Name":"captured","Unit":"Count"},{"Name":"overhead_ms","Unit":"Milliseconds"}]}],"Timestamp":1764000000123},"captured":3,"function":"tap","overhead_ms":[0.25,1]}
{"_aws":{"CloudWatchMetrics":[{"Namespace":"tapway","Dimensions":[["function","reason"]],"Metrics":[{"Name":"dropped","Unit":"Count"}]}],"Timestamp":1764000000123},"dropped":1,"function":"tap","reason":"sampled"}
`
	if got := out.String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	out.Reset()
	if err := w.Flush(); err != nil || out.Len() != 0 {
		t.Errorf("the second Flush writes %q, %v", out, err)
	}
}

// A form is used again only for the same metrics in the same order; whatever changes, the lines say what was added.
func TestFlushAgain(t *testing.T) {
	w, out := newWriter()
	sampled := Dimension{"reason", "sampled"}
	for i, want := range []string{
		`"calls":1,"function":"tap","ms":0.5|"dropped":1,"function":"tap","reason":"sampled"`,
		`"calls":2,"function":"tap","ms":[1.5,2]|"dropped":1,"function":"tap","reason":"sampled"`,
		`"dropped":1,"function":"tap","reason":"sampled"|"calls":1,"function":"tap"`,
		`"calls":1,"function":"tap","lost":1`,
		`"calls":1,"function":"tap","ms":3`,
	} {
		switch i {
		case 0, 1:
			for j := range i + 1 {
				w.Add("calls", Count, 1)
				w.Add("ms", Milliseconds, float64(i)+float64(j+1)/2)
			}
			w.Add("dropped", Count, 1, sampled)
		case 2:
			w.Add("dropped", Count, 1, sampled)
			w.Add("calls", Count, 1)
		case 3:
			w.Add("lost", Count, 1)
			w.Add("calls", Count, 1)
		case 4:
			w.Add("calls", Count, 1)
			w.Add("ms", Milliseconds, 3)
		}
		out.Reset()
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		read(t, out.String())
		for j, part := range strings.Split(want, "|") {
			if line := strings.Split(out.String(), "\n")[j]; !strings.HasSuffix(line, "1764000000123},"+part+"}") {
				t.Errorf("flush %d, line %d: %s", i, j, line)
			}
		}
	}
}

// What is kept for the next lines does not grow with every combination that there ever was.
func TestManyCombinations(t *testing.T) {
	w, out := newWriter()
	for i := range 10 * maxKnown {
		w.Add("n", Count, 1, Dimension{"destination", fmt.Sprint(i)})
		w.Add(fmt.Sprint("m", i), Count, 1)
		if i%maxKnown == 0 || i%7 == 0 {
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	_, sums, _ := read(t, out.String())
	if sums["n"] != 10*maxKnown || len(sums) != 10*maxKnown+1 {
		t.Errorf("%v of n, %d metrics", sums["n"], len(sums))
	}
	if len(w.known) > maxKnown {
		t.Errorf("%d combinations are kept", len(w.known))
	}
}

type writes struct{ lens []int }

func (w *writes) Write(p []byte) (int, error) {
	w.lens = append(w.lens, len(p))
	return len(p), nil
}

// Lines leave together, but not without bound.
func TestWrites(t *testing.T) {
	for _, tt := range []struct{ lines, writes int }{{1, 1}, {2, 1}, {60, 1}, {600, 4}} {
		out := &writes{}
		w := &Writer{Out: out}
		for i := range tt.lines {
			w.Add("n", Count, 1, Dimension{"destination", fmt.Sprint(i)})
		}
		if err := w.Flush(); err != nil || len(out.lens) != tt.writes || slices.Max(out.lens) > 2*maxWrite {
			t.Errorf("%d lines: writes of %v bytes, %v", tt.lines, out.lens, err)
		}
	}
}

// read checks every line against the format's limits and sums up what it says.
func read(t *testing.T, text string) (lines int, sums map[string]float64, counts map[string]int) {
	t.Helper()
	sums, counts = map[string]float64{}, map[string]int{}
	for line := range strings.Lines(text) {
		lines++
		if len(line) > 256<<10 {
			t.Errorf("a line of %d bytes", len(line))
		}
		var root map[string]json.RawMessage
		var aws struct {
			Timestamp         int64
			CloudWatchMetrics []struct {
				Namespace  string
				Dimensions [][]string
				Metrics    []struct{ Name, Unit string }
			}
		}
		if err := json.Unmarshal([]byte(line), &root); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		if err := json.Unmarshal(root["_aws"], &aws); err != nil {
			t.Fatal(err)
		}
		d := aws.CloudWatchMetrics[0]
		if len(d.Metrics) > maxMetrics || len(d.Metrics) == 0 || len(d.Dimensions[0]) > maxDimensions {
			t.Errorf("%d metrics, %d dimensions", len(d.Metrics), len(d.Dimensions[0]))
		}
		for _, name := range d.Dimensions[0] {
			var text string
			if err := json.Unmarshal(root[name], &text); err != nil || text == "" || len(text) > maxText || name == "" || len(name) > maxName {
				t.Errorf("dimension %q is %q, %v", name, text, err)
			}
		}
		for _, m := range d.Metrics {
			var values []float64
			if err := json.Unmarshal(root[m.Name], &values); err != nil {
				values = make([]float64, 1)
				if err := json.Unmarshal(root[m.Name], &values[0]); err != nil {
					t.Errorf("metric %q is %s", m.Name, root[m.Name])
				}
			}
			if len(values) > maxValues {
				t.Errorf("%d values of %s", len(values), m.Name)
			}
			for _, v := range values {
				sums[m.Name] += v
				counts[m.Name]++
			}
		}
	}
	return lines, sums, counts
}

func TestManyValues(t *testing.T) {
	for _, tt := range []struct{ n, lines int }{{1, 1}, {100, 1}, {101, 2}, {1000, 10}} {
		w, out := newWriter()
		for range tt.n {
			w.Add("backend_ms", Milliseconds, 2)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		lines, sums, counts := read(t, out.String())
		if lines != tt.lines || counts["backend_ms"] != tt.n || sums["backend_ms"] != float64(2*tt.n) {
			t.Errorf("%d values: %d lines, %d values", tt.n, lines, counts["backend_ms"])
		}
	}
}

func TestManyMetrics(t *testing.T) {
	for _, tt := range []struct{ metrics, values, lines int }{{100, 1, 1}, {101, 1, 2}, {30, 100, 2}} {
		w, out := newWriter()
		for i := range tt.metrics {
			for range tt.values {
				w.Add(fmt.Sprintf("m%d", i), Milliseconds, math.Pi)
			}
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		lines, _, counts := read(t, out.String())
		if lines != tt.lines || len(counts) != tt.metrics || counts["m0"] != tt.values {
			t.Errorf("%+v: %d lines, %d metrics, %d values", tt, lines, len(counts), counts["m0"])
		}
	}
}

func TestValues(t *testing.T) {
	w, out := newWriter()
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64} {
		w.Add("bad", Milliseconds, v)
	}
	for _, v := range []float64{0, -1, math.SmallestNonzeroFloat64, biggest} {
		w.Add("good", Milliseconds, v)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if _, _, counts := read(t, out.String()); counts["good"] != 4 || counts["bad"] != 0 {
		t.Errorf("%v", counts)
	}
}

func TestDimensions(t *testing.T) {
	w, out := newWriter()
	many := []Dimension{{"empty", ""}, {"long", strings.Repeat("x", 2000)}, {"line", "a\nb\x00ü"}, {":colon", " :a"}, {"function", "twice"}}
	for i := range 40 {
		many = append(many, Dimension{fmt.Sprintf("d%d", i), "v"})
	}
	w.Add("n", Count, 1, many...)
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	read(t, out.String())
	for _, want := range []string{`"empty":"unknown"`, `"line":"a?b??"`, `"colon":"a"`, `"function":"tap"`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %s in %.400s", want, out)
		}
	}
}

func TestConcurrent(t *testing.T) {
	w, out := newWriter()
	var adding sync.WaitGroup
	for range 8 {
		adding.Go(func() {
			for range 100 {
				w.Add("n", Count, 1, Dimension{"reason", "x"})
			}
		})
	}
	adding.Wait()
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if lines, sums, _ := read(t, out.String()); lines != 1 || sums["n"] != 800 {
		t.Errorf("%d lines, %v", lines, sums)
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("no space") }

func TestBrokenOutput(t *testing.T) {
	w, _ := newWriter()
	w.Out = broken{}
	w.Add("n", Count, 1)
	if err := w.Flush(); err == nil {
		t.Error("no error")
	}
}
