package alarm

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Status is an alarm as the admin API shows it.
type Status struct {
	Name        string    `json:"name"`
	Destination string    `json:"destination"` // "": it is of no destination
	Severity    Severity  `json:"severity"`
	State       State     `json:"state"`
	Since       time.Time `json:"since"`
	Value       float64   `json:"value"`
	Threshold   float64   `json:"threshold"`
	Unit        Unit      `json:"unit"`
	Message     string    `json:"message"`
	Detail
	Command      string    `json:"command,omitempty"` // what to type
	Acknowledged *Ack      `json:"acknowledged,omitempty"`
	SilencedTill time.Time `json:"silenced_until,omitzero"`
	Unknown      string    `json:"unknown,omitempty"` // why the value cannot be had; state and value are the last known ones
}

// Event is a line of the history.
type Event struct {
	At          time.Time `json:"at"`
	Name        string    `json:"name"`
	Destination string    `json:"destination"`
	From        State     `json:"from"`
	To          State     `json:"to"`
	Value       float64   `json:"value"`
	Message     string    `json:"message"`
}

// Silence keeps messages of some alarms back. They are evaluated and shown all the same, and
// ends of what was told before are told.
type Silence struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"`        // "": of every name
	Destination string    `json:"destination"` // "": of every destination, and of none
	Until       time.Time `json:"until"`
	Note        string    `json:"note,omitempty"`
}

func (s *Silence) covers(e *entry, now time.Time) bool {
	return now.Before(s.Until) && (s.Name == "" || s.Name == e.Name) && (s.Destination == "" || s.Destination == e.Destination)
}

// NotifyState is how it goes with one target.
type NotifyState struct {
	Name      string    `json:"name"`
	Kind      string    `json:"kind"` // "email" or "webhook"
	Format    string    `json:"format"`
	LastSent  time.Time `json:"last_sent,omitzero"`
	LastError string    `json:"last_error"`
	Failures  int       `json:"failures"` // in a row
}

// Listing is everything that is to be shown.
type Listing struct {
	Alarms   []Status      `json:"alarms"`
	History  []Event       `json:"history"` // newest first
	Notify   []NotifyState `json:"notify"`
	Silences []Silence     `json:"silences"`
	Watching bool          `json:"watching"` // whether a process evaluates them
}

// status is the entry as it is shown.
func (e *entry) status() Status {
	s := Status{
		Name: e.Name, Destination: e.Destination, Severity: e.Severity, State: e.State, Since: e.Since, Value: e.Value,
		Threshold: e.rule.Threshold, Unit: units[e.Name], Message: e.sentence(), Command: e.command(),
	}
	if e.State != OK {
		s.Detail = e.Detail
	}
	if s.Records == nil {
		s.Records = []string{}
	}
	if e.Ack != nil {
		ack := *e.Ack
		s.Acknowledged = &ack
	}
	if e.unknown {
		s.Unknown = cmp.Or(e.why, "not measured yet")
	}
	return s
}

// sentence says what the value is and what it is held against.
func (e *entry) sentence() string {
	value, threshold := Text(units[e.Name], e.Value), Text(units[e.Name], e.rule.Threshold)
	within := ""
	if e.rule.Window > 0 {
		within = " in the last " + span(e.rule.Window)
	}
	var out string
	switch e.Name {
	case DeadLetters:
		out = fmt.Sprintf("%s of %s are dead letters", counted(e.Value, "record"), e.Destination)
		if e.Value == 1 {
			out = fmt.Sprintf("1 record of %s is a dead letter", e.Destination)
		}
	case OldestAge:
		out = fmt.Sprintf("the oldest record for %s has waited for %s", e.Destination, value)
	case ErrorRate:
		out = fmt.Sprintf("%s of the calls that went to the backend%s failed", value, within)
	case DeliveryErrorRate:
		out = fmt.Sprintf("%s of the attempts to deliver to %s%s failed", value, e.Destination, within)
	case Disk:
		out = fmt.Sprintf("%s are free in the data directory", value)
	default:
		out = fmt.Sprintf("%s%s left no record", counted(e.Value, "call"), within)
	}
	side := "more than"
	if e.Name == Disk {
		side = "less than"
	}
	if e.rule.breach(e.Name, e.Value) {
		out += ", " + side + " " + threshold
	} else {
		out += " (alarm: " + side + " " + threshold + ")"
	}
	if e.why != "" && !e.unknown {
		out += "; " + e.why
	}
	return out
}

// command is what to type to see more.
func (e *entry) command() string {
	switch e.Name {
	case DeadLetters:
		return "tapway dlq list --destination " + e.Destination
	case OldestAge, DeliveryErrorRate:
		return "tapway queue stats"
	case ErrorRate:
		return `tapway search "status >= 500" --since 10m`
	case Disk:
		return "tapway doctor"
	}
	return "tapway ledger"
}

// Text writes a value with its unit for people.
func Text(unit Unit, v float64) string {
	switch unit {
	case Seconds:
		return span(time.Duration(v * float64(time.Second)))
	case Ratio:
		return strconv.FormatFloat(float64(int64(v*1000+.5))/10, 'f', -1, 64) + " %"
	case Bytes:
		for _, u := range [...]struct {
			name string
			size float64
		}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
			if v >= u.size {
				return strconv.FormatFloat(float64(int64(v/u.size*10+.5))/10, 'f', -1, 64) + " " + u.name
			}
		}
		return strconv.FormatFloat(v, 'f', 0, 64) + " B"
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

func counted(v float64, one string) string {
	if v == 1 {
		return "1 " + one
	}
	return strconv.FormatFloat(v, 'f', -1, 64) + " " + one + "s"
}

// span writes a duration without zeros at its end: "5m", "1h30m", "45s".
func span(d time.Duration) string {
	if d < time.Second && d > 0 {
		return d.Round(time.Millisecond).String()
	}
	out := d.Round(time.Second).String()
	if strings.HasSuffix(out, "m0s") {
		out = strings.TrimSuffix(out, "0s")
	}
	if strings.HasSuffix(out, "h0m") {
		out = strings.TrimSuffix(out, "0m")
	}
	return out
}

// order is that of Names, then of destinations.
func order(a, b *entry) int {
	return cmp.Or(cmp.Compare(slices.Index(Names, a.Name), slices.Index(Names, b.Name)), cmp.Compare(a.Destination, b.Destination))
}
