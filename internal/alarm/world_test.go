package alarm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var began = time.Date(2026, 11, 21, 7, 0, 0, 0, time.UTC)

// world is a Watch on a clock of its own. Messages are sent between two ticks of it.
type world struct {
	t    testing.TB
	path string
	now  time.Time
	set  Settings
	*Watch

	told map[string][]string // by target: "firing dead_letters siem"
	fail map[string]error    // by target: what its Send answers
}

func newWorld(t testing.TB, set Settings, targets ...string) *world {
	w := &world{t: t, path: filepath.Join(t.TempDir(), "alarms.json"), now: began, set: set, told: map[string][]string{}, fail: map[string]error{}}
	for _, name := range targets {
		kind, from, _ := strings.Cut(name, ":")
		w.set.Targets = append(w.set.Targets, Target{Name: kind, Kind: "webhook", Format: "json", From: Severity(from), Acks: kind == "pager", Send: w.sendTo(kind)})
	}
	w.restart()
	return w
}

func (w *world) sendTo(target string) func(context.Context, *Message) (string, error) {
	return func(_ context.Context, m *Message) (string, error) {
		if err := w.fail[target]; err != nil {
			return "", err
		}
		w.told[target] = append(w.told[target], strings.TrimSpace(fmt.Sprintf("%s %s %s", m.Kind, m.Alarm.Name, m.Alarm.Destination)))
		return "200 OK", nil
	}
}

// restart is a new process with the same file.
func (w *world) restart() {
	w.t.Helper()
	var err error
	if w.Watch, err = New(w.path, w.now); err != nil {
		w.t.Fatal(err)
	}
	w.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	w.put = func(path string, text []byte) error { return os.WriteFile(path, text, 0o600) } // as write, but quick
	w.Use(w.set)
}

// tick lets time pass, measures and sends.
func (w *world) tick(d time.Duration, samples ...Sample) {
	w.t.Helper()
	w.now = w.now.Add(d)
	w.Evaluate(Reading{Samples: samples}, w.now)
	w.deliver()
}

func (w *world) deliver() {
	w.t.Helper()
	if err := w.save(); err != nil {
		w.t.Fatal(err)
	}
	var work []func()
	w.send(context.Background(), func() time.Time { return w.now }, func(f func()) { work = append(work, f) })
	for _, f := range work {
		f()
	}
}

// expect compares what a target was told since the last call.
func (w *world) expect(target string, want ...string) {
	w.t.Helper()
	if got := strings.Join(w.told[target], ", "); got != strings.Join(want, ", ") {
		w.t.Errorf("%s after %v: told %q, want %q", target, w.now.Sub(began), got, strings.Join(want, ", "))
	}
	w.told[target] = nil
}

func (w *world) state(name, destination string) State {
	for _, s := range w.List(w.now).Alarms {
		if s.Name == name && s.Destination == destination {
			return s.State
		}
	}
	return ""
}

// dead is a sample of dead letters at siem.
func dead(n float64) Sample { return Sample{Name: DeadLetters, Destination: "siem", Value: n} }

// rules are the defaults that tests need.
var rules = map[string]Rule{
	DeadLetters: {Severity: Critical},
	OldestAge:   {Threshold: 300, For: 3 * time.Minute, Severity: Warning},
	ErrorRate:   {Threshold: .05, For: time.Minute, Window: 5 * time.Minute, Severity: Warning},
	Disk:        {Threshold: 1 << 30, For: time.Minute, Severity: Critical},
}

var (
	errDown = &SendError{Err: errors.New("connection refused"), Refused: true}
	errLate = &SendError{Err: errors.New("it takes too long")}
)
