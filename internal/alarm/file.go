package alarm

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	historyMost = 200 // events kept
	fileMost    = 64 << 20
	version     = 1
)

// memory is what the file holds.
type memory struct {
	Version  int                     `json:"version"`
	Alarms   []*entry                `json:"alarms,omitempty"`
	History  []Event                 `json:"history,omitempty"` // oldest first
	Silences []Silence               `json:"silences,omitempty"`
	Counts   map[string]uint64       `json:"counts,omitempty"`
	Notify   map[string]*notifyState `json:"notify,omitempty"` // by target
}

// notifyState is what is remembered of a target as such.
type notifyState struct {
	LastSent  time.Time `json:"last_sent,omitzero"`
	LastError string    `json:"last_error,omitempty"`
	Failures  int       `json:"failures,omitempty"`
}

// load reads the file at path; where there is none nothing is remembered. "" is no file.
func load(path string, now time.Time) (*memory, error) {
	m := &memory{Version: version}
	if path == "" {
		return m, nil
	}
	text, err := readAtMost(path)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err == nil {
		m, err = parse(text, now)
	}
	if err != nil {
		return &memory{Version: version}, fmt.Errorf("read what alarms were told, %s: %w; they begin anew, and what fires is told again", path, err)
	}
	return m, nil
}

func readAtMost(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err == nil && info.Size() > fileMost {
		err = fmt.Errorf("%d bytes are too many", info.Size())
	}
	if err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

// parse reads a file's text. What cannot be is left out, and no time is later than now: a clock
// that was wrong must not keep an alarm back for years.
func parse(text []byte, now time.Time) (*memory, error) {
	m := new(memory)
	if err := json.Unmarshal(text, m); err != nil {
		return nil, err
	}
	if m.Version != version {
		return nil, fmt.Errorf("it is of version %d, not %d", m.Version, version)
	}
	seen := map[key]bool{}
	m.Alarms = slices.DeleteFunc(m.Alarms, func(e *entry) bool {
		if e == nil || units[e.Name] == "" || seen[e.key()] || e.State != OK && e.State != Pending && e.State != Firing || e.State == Firing && e.Incident == "" {
			return true
		}
		seen[e.key()] = true
		e.mend(now)
		return false
	})
	m.Silences = slices.DeleteFunc(m.Silences, func(s Silence) bool { return s.ID == "" || s.Until.Sub(now) > silenceMost })
	m.History = m.History[max(0, len(m.History)-historyMost):]
	for name, s := range m.Notify {
		if s == nil {
			delete(m.Notify, name)
			continue
		}
		notAfter(now, &s.LastSent)
		s.Failures = max(s.Failures, 0)
	}
	return m, nil
}

// mend makes an entry from a file one that could have come about.
func (e *entry) mend(now time.Time) {
	notAfter(now, &e.Since)
	notAfter(now, &e.Quiet)
	notAfter(now, &e.Worse)
	for i := range e.Fired {
		notAfter(now, &e.Fired[i])
	}
	if e.Ack != nil {
		notAfter(now, &e.Ack.At)
	}
	if math.IsNaN(e.Value) || math.IsInf(e.Value, 0) {
		e.Value = 0
	}
	for target, s := range e.Sent {
		if s == nil || s.Open && s.Incident == "" {
			delete(e.Sent, target)
			continue
		}
		notAfter(now, &s.At)
		s.Failures, s.Count = max(s.Failures, 0), max(s.Count, 0)
		if s.Next.Sub(now) > backoffMost {
			s.Next = now.Add(backoffMost)
		}
	}
}

func notAfter(now time.Time, t *time.Time) {
	if t.After(now) {
		*t = now
	}
}

// write replaces the file at path whole: a reader finds the old one or the new one, and so does
// whoever comes after a power cut.
func write(path string, text []byte) (err error) {
	f, err := os.OpenFile(path+".tmp", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
