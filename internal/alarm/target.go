package alarm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tapway/tapway"
)

const (
	backoffFirst = 10 * time.Second
	backoffMost  = 15 * time.Minute
	giveUp       = 24 * time.Hour // an end that could not be told for so long is not told any more
	sendMost     = 30 * time.Second
	finishMost   = 3 * time.Second // for messages under way when the process ends
)

// Target is somebody to be told.
type Target struct {
	Name   string
	Kind   string   // "email" or "webhook"
	Format string   // of a webhook: "json", "slack", "teams", "pagerduty"; "" for an email
	From   Severity // the least severe alarms it is told of; "" is Warning
	Acks   bool     // whether it is told of acknowledgements

	// Send sends one message and gives the other end's answer, in a line. It has a deadline. Its
	// error holds no secret; a *SendError tells more about it.
	Send func(ctx context.Context, m *Message) (answer string, err error)
}

// SendError is a message that did not arrive, or may not have.
type SendError struct {
	Err     error
	Refused bool          // it has certainly not arrived
	After   time.Duration // the other end wants to be left alone for so long; 0: it did not say
}

func (e *SendError) Error() string { return e.Err.Error() }
func (e *SendError) Unwrap() error { return e.Err }

// refused is a SendError of a message that has certainly not arrived.
func refused(format string, args ...any) error {
	return &SendError{Err: fmt.Errorf(format, args...), Refused: true}
}

// due gives what a target is to be told of an alarm now; nil is nothing.
func (w *Watch) due(t *Target, e *entry, now time.Time) *Message {
	s := e.Sent[t.Name]
	if s != nil && now.Before(s.Next) {
		return nil
	}
	if s != nil && s.Open && (e.State != Firing || s.Incident != e.Incident) {
		if e.State != Firing && now.Sub(e.Since) > giveUp {
			s.Open, w.dirty = false, true
			return nil
		}
		return w.message(t, e, Resolved, s, now)
	}
	told := s != nil && s.Open && s.Count > 0 && !s.Unsure // here Incident is e's
	quiet := !e.Quiet.IsZero() && told                     // perhaps over: a repeat can wait
	switch {
	case e.State != Firing, e.Severity.rank() < t.From.rank(), w.silenced(e, now):
		return nil
	case !told:
		return w.message(t, e, Fires, s, now)
	case e.Worse.After(s.At):
		return w.message(t, e, GotWorse, s, now)
	case t.Acks && e.Ack != nil && !s.Acked:
		return w.message(t, e, Acknowledged, s, now)
	case e.Ack == nil && !quiet && w.settings.Repeat > 0 && now.Sub(s.At) >= w.settings.Repeat:
		return w.message(t, e, Repeats, s, now)
	}
	return nil
}

func (w *Watch) silenced(e *entry, now time.Time) bool {
	for i := range w.silences {
		if w.silences[i].covers(e, now) {
			return true
		}
	}
	return false
}

func (w *Watch) message(t *Target, e *entry, kind Kind, s *sent, now time.Time) *Message {
	m := &Message{Incident: e.Incident, Kind: kind, At: now, Alarm: e.status(), Host: w.Host, Version: w.Version, Link: link(w.settings.Console)}
	n := 0
	if s != nil && s.Incident != "" && (kind != Fires || s.Incident == e.Incident) {
		m.Incident, n = s.Incident, s.Count
	}
	if kind == Resolved {
		m.Alarm.State = OK
		m.Alarm.Severity = cmp.Or(m.Alarm.Severity, Warning)
	}
	m.ID = fmt.Sprintf("%s.%s.%d", m.Incident, kind, n)
	return m
}

// send tells every target that is not being told something already what is due. start runs a
// function on a goroutine of its own; send itself waits for nobody.
func (w *Watch) send(ctx context.Context, now func() time.Time, start func(func())) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.settings.Targets {
		t := w.settings.Targets[i]
		if w.busy[t.Name] {
			continue
		}
		if m, _ := w.next(&t, now()); m == nil {
			continue
		}
		w.busy[t.Name] = true
		start(func() {
			defer func() {
				w.mu.Lock()
				delete(w.busy, t.Name)
				w.mu.Unlock()
			}()
			for ctx.Err() == nil && w.sendOne(ctx, &t, now) {
			}
		})
	}
}

// next is the first message that is due to a target. w.mu is held.
func (w *Watch) next(t *Target, now time.Time) (*Message, *entry) {
	for _, e := range w.sorted() {
		if m := w.due(t, e, now); m != nil {
			return m, e
		}
	}
	return nil, nil
}

// sendOne sends what is due to a target next and remembers what became of it. It reports
// whether there was anything.
func (w *Watch) sendOne(ctx context.Context, t *Target, now func() time.Time) bool {
	w.mu.Lock()
	m, e := w.next(t, now())
	w.mu.Unlock()
	if m == nil {
		return false
	}
	within, cancel := context.WithTimeout(ctx, sendMost)
	answer, err := t.Send(within, m)
	cancel()
	w.mu.Lock()
	w.sent(t, e, m, err, now())
	w.mu.Unlock()
	attributes := []any{"notify", t.Name, "kind", m.Kind, "name", m.Alarm.Name, "destination", m.Alarm.Destination}
	if err != nil {
		w.log().Error("alarm message not sent", append(attributes, "err", err)...)
	} else {
		w.log().Info("alarm message sent", append(attributes, "answer", answer)...)
	}
	if err := w.save(); err != nil {
		w.log().Error("alarms are not remembered", "err", err)
	}
	return true
}

// sent takes in what became of a message. w.mu is held.
func (w *Watch) sent(t *Target, e *entry, m *Message, err error, now time.Time) {
	w.tell(t.Name, err, now)
	s := e.Sent[t.Name]
	if s == nil {
		s = &sent{}
		if e.Sent == nil {
			e.Sent = map[string]*sent{}
		}
		e.Sent[t.Name] = s
	}
	if s.Incident != m.Incident {
		*s = sent{Incident: m.Incident, Failures: s.Failures}
	}
	if err != nil {
		var se *SendError
		certain := errors.As(err, &se) && se.Refused
		s.Failures++
		wait := backoffMost
		if n := s.Failures - 1; n < 7 {
			wait = min(backoffFirst<<n, backoffMost)
		}
		if se != nil {
			wait = min(max(wait, se.After), backoffMost)
		}
		s.Next = now.Add(wait)
		if m.Kind == Fires && !certain {
			s.Open, s.Unsure = true, true // whoever may have been told is told of the end too
		}
		return
	}
	s.Failures, s.Next, s.At, s.Unsure = 0, time.Time{}, now, false
	switch m.Kind {
	case Resolved:
		s.Open = false
		if e.State != Firing && !e.watched && !e.open() {
			delete(w.all, e.key())
		}
	case Acknowledged:
		s.Acked = true
	default:
		s.Open, s.Acked = true, false
		s.Count++
	}
}

// tell remembers of a target how it went. w.mu is held.
func (w *Watch) tell(name string, err error, now time.Time) {
	n, total := w.notify[name], w.totals[name]
	w.dirty = true
	if n == nil || total == nil {
		return // a reload has removed it
	}
	if err != nil {
		total[1]++
		n.Failures++
		n.LastError = err.Error()
		return
	}
	total[0]++
	n.Failures, n.LastError, n.LastSent = 0, "", now
}

// Tested is what became of a test message.
type Tested struct {
	Name   string `json:"name"`
	Error  string `json:"error"`            // "" when it was sent
	Answer string `json:"answer,omitempty"` // what the other end said
}

// Test sends a test message to the target of that name, to all for "". It does not wait for
// backoffs, and leaves them as they are.
func (w *Watch) Test(ctx context.Context, name string, now time.Time) ([]Tested, error) {
	w.mu.Lock()
	targets := w.settings.Targets
	w.mu.Unlock()
	if len(targets) == 0 {
		return nil, &InputError{errNoTarget.Error()}
	}
	out := []Tested{}
	for i := range targets {
		t := &targets[i]
		if name != "" && t.Name != name {
			continue
		}
		m := &Message{
			Incident: "test-" + tapway.NewID(now).String(), Kind: Test, At: now, Host: w.Host, Version: w.Version, Link: link(w.settings.Console),
			Alarm: Status{Severity: Warning, State: OK, Since: now, Unit: Records, Message: "this is a test"},
		}
		m.ID = m.Incident
		within, cancel := context.WithTimeout(ctx, sendMost)
		answer, err := t.Send(within, m)
		cancel()
		one := Tested{Name: t.Name, Answer: answer}
		if err != nil {
			one.Error = err.Error()
		}
		w.mu.Lock()
		w.tell(t.Name, err, now)
		w.mu.Unlock()
		w.log().Info("test message", "notify", t.Name, "answer", answer, "err", one.Error)
		out = append(out, one)
	}
	if len(out) == 0 {
		return nil, inputf("notify: no %q in alarms.notify", name)
	}
	return out, w.save()
}
