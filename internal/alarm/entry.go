package alarm

import (
	"slices"
	"time"

	"github.com/tapway/tapway"
)

// State is where an alarm stands.
type State string

const (
	OK      State = "ok"
	Pending State = "pending" // there is trouble, but not yet for as long as the rule says
	Firing  State = "firing"
)

const (
	settle     = time.Minute      // least time without trouble that ends an alarm close to its threshold
	flapWithin = time.Hour        // so far back firings are counted
	flapCount  = 3                // with so many of them an alarm flaps
	calm       = 15 * time.Minute // time without trouble that ends an alarm that flaps
	lookAnew   = time.Minute      // how old a Detail may be while an alarm fires
)

// entry is one alarm as the file keeps it.
type entry struct {
	Name        string           `json:"name"`
	Destination string           `json:"destination,omitempty"`
	State       State            `json:"state"`
	Since       time.Time        `json:"since"`           // Firing, Pending: when the trouble began; OK: when it ended
	Quiet       time.Time        `json:"quiet,omitzero"`  // Firing: since when there is no trouble
	Fired       []time.Time      `json:"fired,omitempty"` // within flapWithin, oldest first
	Incident    string           `json:"incident,omitempty"`
	Value       float64          `json:"value"`
	Severity    Severity         `json:"severity"`
	Worst       float64          `json:"worst,omitempty"` // when it was acknowledged
	Worse       time.Time        `json:"worse,omitzero"`  // when it became worse than that
	Ack         *Ack             `json:"acknowledged,omitempty"`
	Detail      Detail           `json:"detail,omitzero"`
	Sent        map[string]*sent `json:"sent,omitempty"` // by target

	rule    Rule
	why     string // of the last sample
	unknown bool   // the last sample was
	watched bool   // there was one
	looked  time.Time
}

// Ack says that somebody knows.
type Ack struct {
	At   time.Time `json:"at"`
	Note string    `json:"note,omitempty"`
}

// sent is what a target was told of an alarm last.
type sent struct {
	Incident string    `json:"incident"`
	Open     bool      `json:"open,omitempty"`   // told, or perhaps told, that it fires, and not yet that it ended
	Unsure   bool      `json:"unsure,omitempty"` // the message that it fires may not have arrived
	At       time.Time `json:"at,omitzero"`      // of the last message that arrived
	Count    int       `json:"count,omitempty"`  // of those of this incident
	Acked    bool      `json:"acked,omitempty"`
	Failures int       `json:"failures,omitempty"` // of the present message, in a row
	Next     time.Time `json:"next,omitzero"`      // not before this after a failure
}

// change is a transition worth telling.
type change struct {
	entry    *entry
	from, to State
	gone     bool // it ended because it is not watched any more
}

// step takes a sample in. It returns the transition to or from Firing, nil if there is none.
func (e *entry) step(rule Rule, s Sample, now time.Time) *change {
	e.rule, e.why, e.watched, e.unknown = rule, s.Why, true, s.Quality == Unknown
	if e.Severity != rule.Severity {
		if e.Ack != nil && rule.Severity.rank() > e.Severity.rank() {
			e.worsen(now)
		}
		e.Severity = rule.Severity
	}
	if s.Quality == Unknown {
		return nil
	}
	breach := s.Quality != Few && rule.breach(e.Name, s.Value)
	if breach || e.State != Firing || s.Quality != Early {
		e.Value = s.Value
	}
	switch {
	case e.State != Firing && !breach:
		if e.State != OK {
			e.State, e.Since = OK, now
		}
	case e.State == Firing && breach:
		e.Quiet = time.Time{}
		if e.Ack != nil && e.isWorse() {
			e.worsen(now)
		}
	case e.State == Firing && s.Quality != Early:
		return e.quieten(s, now)
	case e.State == OK:
		e.State, e.Since = Pending, now
		return e.fire(now)
	case e.State == Pending:
		return e.fire(now)
	}
	return nil
}

// fire makes a pending alarm fire if it has been pending for long enough.
func (e *entry) fire(now time.Time) *change {
	if now.Sub(e.Since) < e.rule.For {
		return nil
	}
	e.State, e.Quiet, e.Incident, e.Ack, e.Worse = Firing, time.Time{}, tapway.NewID(now).String(), nil, time.Time{}
	e.Fired = append(slices.DeleteFunc(e.Fired, func(t time.Time) bool { return now.Sub(t) >= flapWithin }), now)
	e.looked = time.Time{}
	return &change{entry: e, from: OK, to: Firing}
}

// quieten ends a firing alarm once it has been without trouble for long enough.
func (e *entry) quieten(s Sample, now time.Time) *change {
	if e.Quiet.IsZero() {
		e.Quiet = now
	}
	need := time.Duration(0)
	if s.Quality == Few || !e.rule.clear(e.Name, s.Value) {
		need = max(e.rule.For, settle)
	}
	if e.flaps(now) {
		need = max(need, calm)
	}
	if now.Sub(e.Quiet) < need {
		return nil
	}
	return e.resolve(now)
}

// resolve ends a firing alarm. Who acknowledged it need not be remembered.
func (e *entry) resolve(now time.Time) *change {
	e.State, e.Since, e.Quiet, e.Ack, e.Worse = OK, now, time.Time{}, nil, time.Time{}
	return &change{entry: e, from: Firing, to: OK}
}

// flaps reports whether it has fired so often lately that the next end has to wait.
func (e *entry) flaps(now time.Time) bool {
	n := 0
	for _, t := range e.Fired {
		if now.Sub(t) < flapWithin {
			n++
		}
	}
	return n >= flapCount
}

// isWorse reports whether the value is twice as bad as when it was acknowledged.
func (e *entry) isWorse() bool {
	if e.Name == Disk {
		return e.Value <= e.Worst/2
	}
	return e.Value >= e.Worst*2 && e.Value > e.Worst
}

func (e *entry) worsen(now time.Time) { e.Ack, e.Worse = nil, now }

// open reports whether somebody was told that it fires and not that it ended.
func (e *entry) open() bool {
	for _, s := range e.Sent {
		if s.Open {
			return true
		}
	}
	return false
}
