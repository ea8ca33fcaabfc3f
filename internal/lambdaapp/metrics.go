package lambdaapp

import (
	"io"
	"log/slog"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/egress"
	"github.com/tapway/tapway/internal/emf"
)

// metrics are the ledger and the times, as lines of the Embedded Metric Format. Every call
// ends as captured (spilled and logged ones are counted among these as well) or as dropped
// with a reason; every message as delivered, retried, dead or dropped.
type metrics struct {
	out *emf.Writer
	log *slog.Logger
}

func newMetrics(out io.Writer, function, role string, log *slog.Logger) *metrics {
	return &metrics{&emf.Writer{Out: out, Dimensions: []emf.Dimension{{Name: "function", Value: function}, {Name: "role", Value: role}}}, log}
}

// captured counts a record that is kept; how is "", "spilled" or "logged".
func (m *metrics) captured(how string) {
	m.out.Add("captured", emf.Count, 1)
	if how != "" {
		m.out.Add(how, emf.Count, 1)
	}
}

// dropped counts a call without a record. lost is the same without its reason, to be alarmed
// by, and without what a rule left out on purpose.
func (m *metrics) dropped(reason string) {
	m.out.Add("dropped", emf.Count, 1, emf.Dimension{Name: "reason", Value: reason})
	if reason != "sampled" {
		m.out.Add("lost", emf.Count, 1)
	}
}

// call is told of every call by the capture.
func (m *metrics) call(ex *tapway.Exchange) {
	m.out.Add("calls", emf.Count, 1)
	m.out.Add("overhead_ms", emf.Milliseconds, millis(ex.Overhead))
	if ex.Origin == tapway.OriginBackend {
		m.out.Add("backend_ms", emf.Milliseconds, millis(max(ex.Duration-ex.Overhead, 0)))
	}
}

// message is told what became of a message by the forwarder.
func (m *metrics) message(destination string, o tapway.Outcome) {
	to := emf.Dimension{Name: "destination", Value: destination}
	switch o.Verdict {
	case tapway.Delivered:
		m.out.Add("delivered", emf.Count, 1, to)
	case tapway.Dead:
		m.out.Add("dead", emf.Count, 1, to)
	case tapway.Dropped:
		m.out.Add("dropped", emf.Count, 1, to, emf.Dimension{Name: "reason", Value: o.Reason})
	default:
		m.out.Add("returned", emf.Count, 1, to)
	}
}

func (m *metrics) attempt(destination string, took time.Duration) {
	m.out.Add("delivery_ms", emf.Milliseconds, millis(took), emf.Dimension{Name: "destination", Value: destination})
}

// dialled is told of every connection that was to be made. Those that the policy lets pass are
// not worth a metric here, and neither is the rule: the log has it.
func (m *metrics) dialled(o egress.Outcome, _ string) {
	switch o {
	case egress.Denied:
		m.out.Add("egress_denied", emf.Count, 1)
	case egress.WouldDeny:
		m.out.Add("egress_would_deny", emf.Count, 1)
	}
}

func (m *metrics) coldStart(took time.Duration) {
	m.out.Add("cold_start", emf.Count, 1)
	m.out.Add("init_ms", emf.Milliseconds, millis(took))
}

func (m *metrics) flush() {
	if err := m.out.Flush(); err != nil {
		m.log.Warn("metrics could not be written", "error", err)
	}
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
