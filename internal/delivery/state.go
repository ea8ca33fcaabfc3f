package delivery

import (
	"time"

	"github.com/tapway/tapway"
)

// State is what a Worker is doing. Counters are since Run began; what is queued and dead is
// the queue's to tell.
type State struct {
	Destination string    `json:"destination"`
	Phase       Phase     `json:"phase"`
	Since       time.Time `json:"since"`               // of the phase
	PausedBy    string    `json:"paused_by,omitempty"` // paused: "operator" or "destination"
	Reason      string    `json:"reason,omitempty"`    // why it is not closed
	NextProbe   time.Time `json:"next_probe,omitzero"` // open: when the destination is tried again

	Failures    int       `json:"failures"` // requests that failed in a row
	LastError   string    `json:"last_error,omitempty"`
	LastFailure time.Time `json:"last_failure,omitzero"`
	LastSuccess time.Time `json:"last_success,omitzero"`

	InFlight    int `json:"in_flight"`   // attempts running
	Waiting     int `json:"waiting"`     // records leased and not yet attempted
	Concurrency int `json:"concurrency"` // attempts allowed at a time just now

	Requests  uint64 `json:"requests"`
	Bytes     uint64 `json:"bytes"`     // of request bodies
	Delivered uint64 `json:"delivered"` // records, as the next four
	Retried   uint64 `json:"retried"`
	Dead      uint64 `json:"dead"`
	Dropped   uint64 `json:"dropped"` // not wanted by the filter
	Released  uint64 `json:"released"`
}

// count adds one outcome.
func (s *State) count(v tapway.Verdict) {
	switch v {
	case tapway.Delivered:
		s.Delivered++
	case tapway.Retry:
		s.Retried++
	case tapway.Dead:
		s.Dead++
	case tapway.Dropped:
		s.Dropped++
	case tapway.Released:
		s.Released++
	}
}

// State tells what the Worker is doing. It may be called at any time.
func (w *Worker) State() State {
	w.mu.Lock()
	defer w.mu.Unlock()
	b := w.breakerLocked()
	s := w.state
	s.Destination = w.Sender.Name
	s.Phase, s.Since, s.PausedBy, s.NextProbe, s.Failures = b.phase, b.since, b.pausedBy, b.until, b.failures
	if b.phase != Closed {
		s.Reason = b.reason
	}
	switch b.phase {
	case Closed:
		s.Concurrency = b.limit
	case HalfOpen:
		s.Concurrency = 1
	}
	return s
}

// Pause stops deliveries until Resume: running attempts end, records stay queued. It may be
// called before Run. Pauses remembers it beyond the process.
func (w *Worker) Pause(reason string) {
	w.mu.Lock()
	w.breakerLocked().pause("operator", reason, time.Now())
	w.mu.Unlock()
	w.logPhase()
	w.nudge()
}

// Inherit pauses a Worker that has not run yet as its predecessor was, with the same reason and by
// the same; it does nothing unless before is paused.
func (w *Worker) Inherit(before State) {
	if before.Phase != Paused {
		return
	}
	w.mu.Lock()
	w.breakerLocked().pause(before.PausedBy, before.Reason, before.Since)
	w.mu.Unlock()
	w.logPhase()
}

// Resume ends a pause, or the wait of an open breaker, with a probe. It does nothing when
// the Worker is delivering.
func (w *Worker) Resume() {
	w.mu.Lock()
	changed := w.breakerLocked().resume(time.Now())
	w.mu.Unlock()
	if changed {
		w.logPhase()
		w.nudge()
	}
}
