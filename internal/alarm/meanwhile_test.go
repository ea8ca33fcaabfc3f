package alarm

import (
	"context"
	"testing"
	"time"
)

// TestGoneWhileTold: an alarm that is no longer watched while its first message is on its way is
// told to be over, as any other.
func TestGoneWhileTold(t *testing.T) {
	w := newWorld(t, Settings{Rules: rules}, "ops")
	send := w.set.Targets[0].Send
	w.settings.Targets[0].Send = func(ctx context.Context, m *Message) (string, error) {
		if m.Kind == Fires {
			w.Evaluate(Reading{}, w.now) // the destination is gone
		}
		return send(ctx, m)
	}
	w.tick(0, dead(1))
	w.tick(time.Second)
	w.expect("ops", fires, over)
	if w.tick(time.Second); len(w.all) != 0 {
		t.Errorf("%d alarms are kept", len(w.all))
	}
}

// TestBackWhileTold: what is gone and comes back meanwhile does not lose its end.
func TestBackWhileTold(t *testing.T) {
	w := newWorld(t, Settings{Rules: rules}, "ops")
	send, again := w.set.Targets[0].Send, false
	w.settings.Targets[0].Send = func(ctx context.Context, m *Message) (string, error) {
		if !again {
			again = true
			w.Evaluate(Reading{}, w.now)
			w.Evaluate(Reading{Samples: []Sample{dead(1)}}, w.now)
		}
		return send(ctx, m)
	}
	w.tick(0, dead(1))
	w.expect("ops", fires, over, fires)
	w.tick(time.Second)
	w.expect("ops", over)
}

// TestTargetTakenOut: whoever a reload takes out while a message to them is on its way gets no more.
func TestTargetTakenOut(t *testing.T) {
	w := newWorld(t, Settings{Rules: rules}, "ops")
	late := Sample{Name: OldestAge, Destination: "siem", Value: 400}
	w.tick(0, dead(1), late)
	w.expect("ops", fires)
	send, n := w.set.Targets[0].Send, 0
	w.settings.Targets[0].Send = func(ctx context.Context, m *Message) (string, error) {
		if n++; n > 3 {
			return "", errDown // or it would go on for ever
		}
		w.set.Targets = nil
		w.Use(w.set)
		return send(ctx, m)
	}
	w.tick(3*time.Minute, dead(1), late)
	w.tick(time.Minute, dead(1), late)
	w.expect("ops", "firing oldest_age siem")
	for k, e := range w.all {
		if len(e.Sent) != 0 {
			t.Errorf("of %v it is remembered what nobody was told", k)
		}
	}
}

// TestTargetChanged: a message after a reload goes where the new configuration says, and does not wait
// for what the old one has failed at.
func TestTargetChanged(t *testing.T) {
	w := newWorld(t, Settings{Rules: rules}, "ops")
	w.fail["ops"] = errDown
	w.tick(0, dead(1))
	delete(w.fail, "ops")
	w.Use(w.set)
	w.tick(time.Second, dead(1))
	w.expect("ops", fires)
}

// TestClockSetBack: what an earlier process has failed at is not waited for longer than a backoff lasts,
// when the clock is set back after the start.
func TestClockSetBack(t *testing.T) {
	w := newWorld(t, Settings{Rules: rules}, "ops")
	w.fail["ops"] = errDown
	w.tick(0, dead(1))
	delete(w.fail, "ops")
	w.deliver()
	w.restart()
	w.now = w.now.Add(-7 * time.Hour)
	w.tick(0, dead(1))
	w.expect("ops", fires)
}
