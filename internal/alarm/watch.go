package alarm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tapway/tapway"
)

// DefaultEvery is how often alarms are evaluated unless Watch.Every says otherwise.
const DefaultEvery = 5 * time.Second

const silenceMost = 366 * 24 * time.Hour

// Settings is what a reload can change.
type Settings struct {
	Rules   map[string]Rule // by name; a name that is not there is off
	Repeat  time.Duration   // between two messages of an alarm that goes on; 0: there is one only
	Targets []Target
	Console string // URL of the web console, for links; "": there are none
}

// Watch evaluates alarms and sends their messages. Make it with New, set it with Use, run it with Run.
type Watch struct {
	Read    func(ctx context.Context, now time.Time) Reading
	Every   time.Duration // 0: DefaultEvery
	Host    string        // of the machine, for messages
	Version string        // of tapway, likewise
	Log     *slog.Logger  // nil: slog.Default()

	path string
	put  func(path string, text []byte) error // write, except in tests

	mu       sync.Mutex
	settings Settings
	all      map[key]*entry
	history  []Event // oldest first
	silences []Silence
	counts   map[string]uint64
	notify   map[string]*notifyState
	totals   map[string]*[2]uint64 // messages sent and failed, by target
	busy     map[string]bool       // targets to which messages are on their way
	running  bool
	dirty    bool

	saving sync.Mutex // held while the file is written, before mu
	failed bool       // the last time
}

type key struct{ name, destination string }

func (e *entry) key() key { return key{e.Name, e.Destination} }

// New makes a Watch that remembers in the file at path; "" remembers nothing. With an error,
// because the file cannot be read, it gives a Watch that begins anew.
func New(path string, now time.Time) (*Watch, error) {
	m, err := load(path, now)
	w := &Watch{
		path: path, put: write, all: map[key]*entry{}, history: m.History, silences: m.Silences, counts: m.Counts, notify: m.Notify,
		totals: map[string]*[2]uint64{}, busy: map[string]bool{},
	}
	if w.counts == nil {
		w.counts = map[string]uint64{}
	}
	if w.notify == nil {
		w.notify = map[string]*notifyState{}
	}
	for _, e := range m.Alarms {
		w.all[e.key()] = e
	}
	return w, err
}

func (w *Watch) log() *slog.Logger {
	if w.Log != nil {
		return w.Log
	}
	return slog.Default()
}

// Use puts settings into force. What was told to targets that are gone is forgotten.
func (w *Watch) Use(s Settings) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.settings = s
	here := func(name string) bool {
		return slices.ContainsFunc(s.Targets, func(t Target) bool { return t.Name == name })
	}
	for _, e := range w.all {
		if rule, ok := s.Rules[e.Name]; ok {
			e.rule = rule
		}
		maps.DeleteFunc(e.Sent, func(name string, _ *sent) bool { return !here(name) })
	}
	maps.DeleteFunc(w.notify, func(name string, _ *notifyState) bool { return !here(name) })
	maps.DeleteFunc(w.totals, func(name string, _ *[2]uint64) bool { return !here(name) })
	for _, t := range s.Targets {
		if w.notify[t.Name] == nil {
			w.notify[t.Name] = &notifyState{}
		}
		if w.totals[t.Name] == nil {
			w.totals[t.Name] = &[2]uint64{}
		}
	}
	w.dirty = true
}

// Evaluate takes a reading in: alarms begin to fire and end. It sends nothing.
func (w *Watch) Evaluate(r Reading, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.all {
		e.watched = false
	}
	var changes []*change
	for _, s := range r.Samples {
		rule, on := w.settings.Rules[s.Name]
		if !on {
			continue
		}
		k := key{s.Name, s.Destination}
		e := w.all[k]
		if e == nil {
			e = &entry{Name: s.Name, Destination: s.Destination, State: OK, Since: now, Severity: rule.Severity}
			w.all[k] = e
		}
		before := e.State
		if c := e.step(rule, s, now); c != nil {
			changes = append(changes, c)
		}
		w.dirty = w.dirty || e.State != before
		if e.State == Firing && s.Detail != nil && now.Sub(e.looked) >= lookAnew {
			if d := s.Detail(); e.looked.IsZero() || d.LastError != "" || len(d.Records) > 0 {
				e.Detail = d
			}
			e.looked, w.dirty = now, true
		}
	}
	for k, e := range w.all {
		if e.watched {
			continue
		}
		if why, unknown := r.Unknown[e.Name]; unknown && w.on(e.Name) {
			e.watched, e.unknown, e.why = true, true, why
			continue
		}
		if e.State == Firing {
			c := e.resolve(now)
			c.gone = true
			changes = append(changes, c)
		}
		if !e.open() {
			delete(w.all, k)
			w.dirty = true
		}
	}
	slices.SortFunc(changes, func(a, b *change) int { return order(a.entry, b.entry) })
	for _, c := range changes {
		w.note(c, now)
	}
	if n := len(w.silences); n > 0 {
		w.silences = slices.DeleteFunc(w.silences, func(s Silence) bool { return !now.Before(s.Until) })
		w.dirty = w.dirty || len(w.silences) != n
	}
}

func (w *Watch) on(name string) bool {
	_, on := w.settings.Rules[name]
	return on
}

// note logs a change and puts it into the history.
func (w *Watch) note(c *change, now time.Time) {
	e := c.entry
	message := e.sentence()
	if c.gone {
		message = "it is not watched any more"
	}
	w.history = append(w.history, Event{At: now, Name: e.Name, Destination: e.Destination, From: c.from, To: c.to, Value: e.Value, Message: message})
	w.history = append(w.history[:0], w.history[max(0, len(w.history)-historyMost):]...)
	w.dirty = true
	attributes := []any{"name", e.Name, "destination", e.Destination, "severity", e.Severity, "message", message}
	if c.to == Firing {
		w.log().Warn("alarm fires", append(attributes, "last_error", e.Detail.LastError, "command", e.command())...)
	} else {
		w.log().Info("alarm is over", attributes...)
	}
}

// List shows everything.
func (w *Watch) List(now time.Time) Listing {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := Listing{Alarms: []Status{}, History: []Event{}, Notify: []NotifyState{}, Silences: []Silence{}, Watching: w.running}
	for _, e := range w.sorted() {
		if !e.watched && e.State != Firing {
			continue
		}
		s := e.status()
		for i := range w.silences {
			if till := w.silences[i].Until; w.silences[i].covers(e, now) && till.After(s.SilencedTill) {
				s.SilencedTill = till
			}
		}
		l.Alarms = append(l.Alarms, s)
	}
	l.History = append(l.History, w.history...)
	slices.Reverse(l.History)
	for _, t := range w.settings.Targets {
		n := w.notify[t.Name]
		l.Notify = append(l.Notify, NotifyState{Name: t.Name, Kind: t.Kind, Format: t.Format, LastSent: n.LastSent, LastError: n.LastError, Failures: n.Failures})
	}
	for _, s := range w.silences {
		if now.Before(s.Until) {
			l.Silences = append(l.Silences, s)
		}
	}
	return l
}

func (w *Watch) sorted() []*entry { return slices.SortedFunc(maps.Values(w.all), order) }

// Messages counts the messages of this process that were sent and that failed, by target.
func (w *Watch) Messages() map[string][2]uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[string][2]uint64{}
	for name, n := range w.totals {
		out[name] = *n
	}
	return out
}

// InputError is a mistake of whoever asks; its text says what to do instead.
type InputError struct{ message string }

func (e *InputError) Error() string { return e.message }

func inputf(format string, args ...any) error { return &InputError{fmt.Sprintf(format, args...)} }

// noteMost is the longest note, in bytes.
const noteMost = 1000

// Ack acknowledges an alarm that fires: its message is not repeated until it ends or becomes
// twice as bad.
func (w *Watch) Ack(name, destination, note string, now time.Time) (Status, error) {
	if len(note) > noteMost {
		return Status{}, inputf("note: it is longer than %d bytes", noteMost)
	}
	w.mu.Lock()
	e := w.all[key{name, destination}]
	if e == nil || e.State != Firing {
		defer w.mu.Unlock()
		if e == nil && !slices.Contains(Names, name) {
			return Status{}, inputf("name: %q is no alarm; they are %s", name, strings.Join(Names, ", "))
		}
		return Status{}, fmt.Errorf("no alarm %s%s fires: %w", name, of(destination), tapway.ErrNotFound)
	}
	e.Ack, e.Worst, e.Worse, w.dirty = &Ack{now, note}, e.Value, time.Time{}, true
	w.log().Info("alarm acknowledged", "name", name, "destination", destination, "note", note)
	s := e.status()
	w.mu.Unlock()
	return s, w.save()
}

func of(destination string) string {
	if destination == "" {
		return ""
	}
	return " of " + destination
}

// Silence keeps the messages of some alarms back for a while.
func (w *Watch) Silence(s Silence, long time.Duration, now time.Time) (Silence, error) {
	switch {
	case s.Name != "" && !slices.Contains(Names, s.Name):
		return s, inputf("name: %q is no alarm; they are %s", s.Name, strings.Join(Names, ", "))
	case long < time.Second || long > silenceMost:
		return s, inputf("for: a silence lasts from a second to a year")
	case len(s.Note) > noteMost:
		return s, inputf("note: it is longer than %d bytes", noteMost)
	}
	s.ID, s.Until = tapway.NewID(now).String(), now.Add(long).Round(time.Second)
	w.mu.Lock()
	if len(w.silences) >= 1000 {
		w.mu.Unlock()
		return s, inputf("there are 1000 silences already; remove some")
	}
	w.silences = append(w.silences, s)
	w.dirty = true
	w.mu.Unlock()
	w.log().Info("alarms silenced", "name", s.Name, "destination", s.Destination, "until", s.Until, "note", s.Note)
	return s, w.save()
}

// Unsilence ends a silence; tapway.ErrNotFound when there is none.
func (w *Watch) Unsilence(id string) error {
	w.mu.Lock()
	i := slices.IndexFunc(w.silences, func(s Silence) bool { return s.ID == id })
	if i < 0 {
		w.mu.Unlock()
		return fmt.Errorf("silence %q: %w", id, tapway.ErrNotFound)
	}
	w.silences = slices.Delete(w.silences, i, i+1)
	w.dirty = true
	w.mu.Unlock()
	w.log().Info("silence ended", "id", id)
	return w.save()
}

// Count gives a count that was kept with Keep, perhaps by a process before this one.
func (w *Watch) Count(name string) (n uint64, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, ok = w.counts[name]
	return n, ok
}

// Keep remembers a count beyond the process.
func (w *Watch) Keep(name string, n uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if old, ok := w.counts[name]; !ok || old != n {
		w.counts[name], w.dirty = n, true
	}
}

// save writes the file if anything in it has changed. A failure is logged once, and tried again
// with the next change: alarms go on without it.
func (w *Watch) save() error {
	w.saving.Lock()
	defer w.saving.Unlock()
	w.mu.Lock()
	if !w.dirty || w.path == "" {
		w.mu.Unlock()
		return nil
	}
	w.dirty = false
	text, err := json.Marshal(memory{Version: version, Alarms: w.sorted(), History: w.history, Silences: w.silences, Counts: w.counts, Notify: w.notify})
	w.mu.Unlock()
	if err == nil {
		err = w.put(w.path, append(text, '\n'))
	}
	if err == nil {
		w.failed = false
		return nil
	}
	w.mu.Lock()
	w.dirty = true
	w.mu.Unlock()
	err = fmt.Errorf("remember alarms: %w; after a restart messages may come twice", err)
	if w.failed {
		return nil // it is known
	}
	w.failed = true
	return err
}

var errNoTarget = errors.New("nobody is told of alarms: the configuration has no alarms.notify")
