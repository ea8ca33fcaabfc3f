package admin

import (
	"fmt"
	"net/http"
	"time"

	"github.com/tapway/tapway"
)

// QueueState is the store and, while a gateway runs, its live destinations.
type QueueState struct {
	tapway.Stats
	Live []DestinationState `json:"live,omitempty"`
}

func (s *Server) queue(w http.ResponseWriter, r *http.Request) {
	stats, err := s.Store.Stats(r.Context())
	if err != nil {
		fail(w, err)
		return
	}
	state := QueueState{Stats: stats}
	if s.Live != nil {
		for _, d := range s.Live() {
			state.Live = append(state.Live, d.State())
		}
	}
	writeJSON(w, http.StatusOK, state)
}

// Progress is a line of a long operation; the last one has Done set.
type Progress struct {
	Matched int64  `json:"matched"`           // how many it is about
	OK      int64  `json:"ok"`                // changed, delivered or verified so far
	Failed  int64  `json:"failed"`            // could not be
	Skipped int64  `json:"skipped,omitempty"` // could not be tried: body withheld or truncated
	Error   string `json:"last_error,omitempty"`
	Done    bool   `json:"done"`

	Report *tapway.CheckReport `json:"report,omitempty"` // of a check
}

// check verifies the store and streams how far it is, in bytes.
func (s *Server) check(w http.ResponseWriter, r *http.Request) {
	out := &lines{w: w}
	last := time.Time{}
	report, err := s.Store.Check(r.Context(), func(done, total int64) {
		if now := time.Now(); now.Sub(last) > 200*time.Millisecond {
			last = now
			out.value(Progress{Matched: total, OK: done}, true)
		}
	})
	if err != nil {
		out.end(err)
		return
	}
	out.value(Progress{Matched: report.Bytes, OK: report.Bytes, Failed: int64(len(report.Damage)), Done: true, Report: &report}, true)
}

// LedgerState is the ledger with its differences worked out.
type LedgerState struct {
	tapway.Ledger
	Difference int64            `json:"difference"` // 0, or calls that nobody can account for
	Lines      map[string]int64 `json:"differences"`
}

func (s *Server) ledger(w http.ResponseWriter, r *http.Request) {
	l, err := s.Store.Ledger(r.Context())
	if err != nil {
		fail(w, err)
		return
	}
	state := LedgerState{Ledger: l, Difference: l.Difference(), Lines: map[string]int64{}}
	for _, line := range l.Destinations {
		state.Lines[line.Destination] = line.Difference()
		if state.Difference == 0 {
			state.Difference = line.Difference()
		}
	}
	writeJSON(w, http.StatusOK, state)
}

// control pauses, resumes or forgets a destination.
func (s *Server) control(w http.ResponseWriter, r *http.Request) {
	name, action := r.PathValue("name"), r.PathValue("action")
	var live Destination
	if s.Live != nil {
		for _, d := range s.Live() {
			if d.Name() == name {
				live = d
			}
		}
	}
	switch {
	case action == "forget" && live != nil:
		fail(w, &badInput{fmt.Sprintf("destination %q is in use; remove it from the configuration first", name)})
		return
	case action == "forget":
		if err := s.Store.Forget(r.Context(), name); err != nil {
			fail(w, err)
			return
		}
	case action != "pause" && action != "resume":
		fail(w, &badInput{fmt.Sprintf("%q is not an action; use pause, resume or forget", action)})
		return
	case live == nil:
		fail(w, fmt.Errorf("destination %q: %w among those being delivered to", name, tapway.ErrNotFound))
		return
	case action == "pause":
		live.Pause("by an operator")
	case action == "resume":
		live.Resume()
	}
	s.log().Info("destination changed by an operator", "destination", name, "action", action)
	writeJSON(w, http.StatusOK, map[string]string{"destination": name, "action": action})
}
