package app

import (
	"math"
	"testing"
	"time"

	"github.com/tapway/tapway"
)

// TestSlowExemplar: the exemplar of a call that is slower than the last bound makes Prometheus list
// the last bucket too, which has no bound in OTLP.
func TestSlowExemplar(t *testing.T) {
	m := newMetrics()
	for _, took := range []time.Duration{time.Millisecond, 31 * time.Second} {
		m.durationOf(&tapway.Exchange{Meta: tapway.Meta{TraceID: w3cTrace, Duration: took}}, true)
	}
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	seen := false
	for _, f := range families {
		if f.GetName() != "tapway_call_duration_seconds" {
			continue
		}
		seen = true
		got, _ := fromPrometheus(f)
		p := got.Points[0]
		if len(got.Bounds) != len(seconds) || math.IsInf(got.Bounds[len(got.Bounds)-1], 1) {
			t.Errorf("bounds %v, want %v", got.Bounds, seconds)
		}
		if n := len(p.Counts); n != len(seconds)+1 || p.Counts[n-1] != 1 || p.Count != 2 {
			t.Errorf("counts %v of %d", p.Counts, p.Count)
		}
	}
	if !seen {
		t.Error("there is no such metric")
	}
}
