package admin

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/tapway/tapway"
)

// QueueState is the queue and, while a gateway runs, its live destinations.
type QueueState struct {
	tapway.Stats
	Approximate bool               `json:"approximate,omitempty"` // as SQS counts: about a minute behind; leased has what is retried as well
	Live        []DestinationState `json:"live,omitempty"`
}

func (s *Server) queue(w http.ResponseWriter, r *http.Request) {
	state := QueueState{}
	var err error
	if s.Store != nil {
		state.Stats, err = s.Store.Stats(r.Context())
	} else {
		state.Approximate = true
		state.Stats, err = s.sqsStats(r.Context())
	}
	if err != nil {
		fail(w, err)
		return
	}
	if s.Live != nil {
		for _, d := range s.Live() {
			state.Live = append(state.Live, d.State())
		}
	}
	writeJSON(w, http.StatusOK, state)
}

// sqsStats are SQS's counts, and the oldest records as far as somebody knows them.
func (s *Server) sqsStats(ctx context.Context) (tapway.Stats, error) {
	stats, err := s.SQS.Stats(ctx)
	if err != nil || s.Oldest == nil {
		return stats, err
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second) // for all: it is no more than a kindness
	defer cancel()
	for i := range stats.Destinations {
		d := &stats.Destinations[i]
		if d.Queued == 0 {
			continue
		}
		d.OldestQueued = s.Oldest(ctx, d.Destination)
		if !d.OldestQueued.IsZero() && (stats.Oldest.IsZero() || d.OldestQueued.Before(stats.Oldest)) {
			stats.Oldest = d.OldestQueued
		}
	}
	return stats, nil
}

// Progress is a line of a long operation; the last one has Done set.
type Progress struct {
	Matched int64  `json:"matched"`           // how many it is about
	OK      int64  `json:"ok"`                // changed, delivered or verified so far
	Failed  int64  `json:"failed"`            // could not be
	Skipped int64  `json:"skipped,omitempty"` // could not be tried: body withheld or truncated
	Error   string `json:"last_error,omitempty"`
	Done    bool   `json:"done"`

	Seen   int64    `json:"seen,omitempty"`   // looked at while counting
	About  bool     `json:"about,omitempty"`  // Matched is what SQS counts approximately
	Moving []string `json:"moving,omitempty"` // destinations whose dead letters SQS moves by itself just now, whoever watches
	Note   string   `json:"note,omitempty"`   // what an operator should know of how it is done

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
	Difference int64             `json:"difference"` // 0, or calls that nobody can account for
	Lines      map[string]int64  `json:"differences"`
	Scope      string            `json:"scope,omitempty"`   // "": all there is; else one of the Scopes
	Spilled    map[string]uint64 `json:"spilled,omitempty"` // in the bucket instead of SQS, by destination
}

// Scopes of a ledger that cannot know everything, so that a difference is no loss.
const (
	// ScopeProcess: captured, delivered and dropped are what this process did, queued and dead
	// what SQS counts of everybody's.
	ScopeProcess = "process"
	// ScopeWindow: what the metrics of a tap deployed elsewhere add up to in a span of time; what
	// began before it or ends after it is in one part alone.
	ScopeWindow = "window"
	// ScopeQueue: only what lies in SQS and the bucket; the rest is counted where it happens.
	ScopeQueue = "queue"
)

// queueLedger is a ledger of ScopeQueue: without fields that would be zero for want of
// knowledge.
type queueLedger struct {
	Scope        string            `json:"scope"`
	Destinations []queueLine       `json:"destinations"`
	Spilled      map[string]uint64 `json:"spilled,omitempty"`
}

type queueLine struct {
	Destination string `json:"destination"`
	Queued      uint64 `json:"queued"`
	Dead        uint64 `json:"dead"`
}

func (s *Server) ledger(w http.ResponseWriter, r *http.Request) {
	if s.Store == nil {
		s.sqsLedger(w, r)
		return
	}
	l, err := s.Store.Ledger(r.Context())
	if err != nil {
		fail(w, err)
		return
	}
	writeJSON(w, http.StatusOK, stateOf(l))
}

func stateOf(l tapway.Ledger) LedgerState {
	state := LedgerState{Ledger: l, Difference: l.Difference(), Lines: map[string]int64{}}
	for _, line := range l.Destinations {
		state.Lines[line.Destination] = line.Difference()
		if state.Difference == 0 {
			state.Difference = line.Difference()
		}
	}
	return state
}

// sqsLedger is this process's account while it delivers, and else what lies in SQS.
func (s *Server) sqsLedger(w http.ResponseWriter, r *http.Request) {
	l, err := s.SQS.Ledger(r.Context())
	var spilled map[string]uint64
	if err == nil && s.Spilled != nil {
		if spilled, err = s.Spilled(r.Context()); err != nil && s.Live != nil {
			s.log().Warn("spilled records cannot be counted: listing the bucket failed", "err", err) // who delivers need not be allowed to
			err = nil
		}
	}
	if err != nil {
		fail(w, err)
		return
	}
	if s.Live != nil {
		state := stateOf(l)
		state.Scope, state.Spilled = ScopeProcess, spilled
		writeJSON(w, http.StatusOK, state)
		return
	}
	state := queueLedger{Scope: ScopeQueue, Destinations: []queueLine{}, Spilled: spilled}
	for _, line := range l.Destinations {
		state.Destinations = append(state.Destinations, queueLine{line.Destination, line.Queued, line.Dead})
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
	case action == "forget" && s.Store == nil:
		fail(w, &impossible{"forget is not possible here: SQS holds what is queued until it is delivered or its retention ends; delete the queue itself if nobody needs it"})
		return
	case action == "forget":
		if err := s.Store.Forget(r.Context(), name); err != nil {
			fail(w, err)
			return
		}
	case action != "pause" && action != "resume":
		fail(w, &badInput{fmt.Sprintf("%q is not an action; use pause, resume or forget", action)})
		return
	case live == nil && s.Store == nil && s.Live == nil:
		fail(w, &impossible{action + " is not possible here: no process of tapway's delivers; disable or enable the forwarder function's trigger instead"})
		return
	case live == nil:
		there := "none is"
		if s.Live != nil {
			var names []string
			for _, d := range s.Live() {
				names = append(names, d.Name())
			}
			if len(names) > 0 {
				there = "there are " + strings.Join(names, ", ")
			}
		}
		fail(w, fmt.Errorf("destination %q: %w among those being delivered to; %s", name, tapway.ErrNotFound, there))
		return
	case action == "pause":
		live.Pause("by an operator")
	case action == "resume":
		live.Resume()
	}
	s.log().Info("destination changed by an operator", "destination", name, "action", action)
	writeJSON(w, http.StatusOK, map[string]string{"destination": name, "action": action})
}
