package alarm

import (
	"testing"
	"time"
)

// TestStep tells stories of one alarm: what is measured when, and the state that makes. Each
// promise has its neighbour: the last moment at which it does not hold yet.
func TestStep(t *testing.T) {
	type at struct {
		after time.Duration // since the line before
		value float64
		kind  Quality
		want  State
	}
	second, minute := time.Second, time.Minute
	for _, c := range []struct {
		name  string
		alarm string
		story []at
	}{
		{"at the threshold is not above it", DeadLetters, []at{{0, 0, Known, OK}, {second, 1, Known, Firing}, {second, 0, Known, OK}}},
		{"for", OldestAge, []at{{0, 300, Known, OK}, {second, 301, Known, Pending}, {3*minute - 1, 400, Known, Pending}, {1, 400, Known, Firing}}},
		{"not long enough", OldestAge, []at{{0, 301, Known, Pending}, {2 * minute, 300, Known, OK}, {minute, 301, Known, Pending}, {2 * minute, 301, Known, Pending}}},
		{"a tenth below ends at once", OldestAge, []at{{0, 301, Known, Pending}, {3 * minute, 301, Known, Firing}, {second, 271, Known, Firing}, {second, 270, Known, OK}}},
		{"just below ends after for", OldestAge, []at{{0, 301, Known, Pending}, {3 * minute, 301, Known, Firing},
			{second, 300, Known, Firing}, {3*minute - 1, 300, Known, Firing}, {1, 300, Known, OK}}},
		{"trouble in between begins the wait anew", OldestAge, []at{{0, 301, Known, Pending}, {3 * minute, 301, Known, Firing},
			{second, 300, Known, Firing}, {2 * minute, 301, Known, Firing}, {second, 300, Known, Firing}, {2 * minute, 300, Known, Firing}, {minute, 300, Known, OK}}},
		{"disk is below", Disk, []at{{0, 1 << 30, Known, OK}, {second, 1<<30 - 1, Known, Pending}, {minute, 1, Known, Firing},
			{second, 1.09 * (1 << 30), Known, Firing}, {second, 1.11 * (1 << 30), Known, OK}}},
		{"what is not known changes nothing", OldestAge, []at{{0, 301, Known, Pending}, {3 * minute, 0, Unknown, Pending}, {second, 301, Known, Firing},
			{time.Hour, 0, Unknown, Firing}, {second, 0, Known, OK}}},
		{"too few calls are no trouble", ErrorRate, []at{{0, 1, Few, OK}, {second, .06, Known, Pending}, {second, 1, Few, OK}}},
		{"too few calls end it slowly", ErrorRate, []at{{0, .06, Known, Pending}, {minute, .06, Known, Firing}, {second, 0, Few, Firing}, {minute - 1, 0, Few, Firing}, {1, 0, Few, OK}}},
		{"early only trouble counts", ErrorRate, []at{{0, .06, Early, Pending}, {minute, .06, Early, Firing}, {time.Hour, 0, Early, Firing}, {second, 0, Known, OK}}},
		{"three firings in an hour are flapping", DeadLetters, []at{
			{0, 1, Known, Firing}, {minute, 0, Known, OK}, {minute, 1, Known, Firing}, {minute, 0, Known, OK}, {minute, 1, Known, Firing},
			{minute, 0, Known, Firing}, {15*minute - 1, 0, Known, Firing}, {1, 0, Known, OK}}},
		{"three firings in more than an hour are not", DeadLetters, []at{
			{0, 1, Known, Firing}, {minute, 0, Known, OK}, {minute, 1, Known, Firing}, {minute, 0, Known, OK}, {58 * minute, 1, Known, Firing}, {1, 0, Known, OK}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := &entry{Name: c.alarm, State: OK, Since: began}
			now := began
			for i, line := range c.story {
				now = now.Add(line.after)
				before := e.State
				ch := e.step(rules[c.alarm], Sample{Value: line.value, Quality: line.kind}, now)
				if e.State != line.want {
					t.Fatalf("line %d: %s, want %s", i, e.State, line.want)
				}
				if wants := (before == Firing) != (line.want == Firing); (ch != nil) != wants {
					t.Errorf("line %d: from %s to %s is told: %v", i, before, line.want, ch != nil)
				}
			}
		})
	}
}

// TestSince: what is shown is when the trouble began, not when it fired.
func TestSince(t *testing.T) {
	w := newWorld(t, Settings{Rules: rules})
	late := Sample{Name: OldestAge, Destination: "siem", Value: 400}
	w.tick(0, late)
	w.tick(4*time.Minute, late)
	s := w.List(w.now).Alarms[0]
	if s.State != Firing || !s.Since.Equal(began) {
		t.Errorf("%s since %v", s.State, s.Since)
	}
}

func TestWindow(t *testing.T) {
	var w Window
	at := func(d time.Duration) time.Time { return began.Add(d) }
	for i, c := range []struct {
		now        time.Duration
		total, bad uint64
		wantTotal  uint64
		wantBad    uint64
		whole      bool
	}{
		{0, 100, 10, 0, 0, false}, // what was before it is not counted
		{30 * time.Second, 110, 11, 10, 1, false},
		{59 * time.Second, 120, 12, 20, 2, false},
		{60 * time.Second, 120, 12, 20, 2, true},
		{89 * time.Second, 130, 15, 30, 5, true}, // begins at the last point before it
		{90 * time.Second, 130, 15, 20, 4, true},
		{5 * time.Minute, 130, 15, 0, 0, true},
		{5*time.Minute + time.Second, 5, 1, 0, 0, false}, // counts began anew
		{5*time.Minute + 2*time.Second, 7, 1, 2, 0, false},
		{time.Minute, 9, 1, 0, 0, false}, // the clock was set back
	} {
		total, bad, whole := w.Over(at(c.now), time.Minute, c.total, c.bad)
		if total != c.wantTotal || bad != c.wantBad || whole != c.whole {
			t.Errorf("line %d: %d, %d, %v", i, total, bad, whole)
		}
	}
}

func TestText(t *testing.T) {
	for _, c := range []struct {
		unit  Unit
		value float64
		want  string
	}{
		{Records, 3, "3"}, {Records, 0, "0"},
		{Seconds, 300, "5m"}, {Seconds, 3600, "1h"}, {Seconds, 5400, "1h30m"}, {Seconds, 61, "1m1s"}, {Seconds, .25, "250ms"}, {Seconds, 0, "0s"},
		{Ratio, .05, "5 %"}, {Ratio, .1234, "12.3 %"}, {Ratio, 1, "100 %"},
		{Bytes, 1 << 30, "1 GiB"}, {Bytes, 1<<30 - 1, "1024 MiB"}, {Bytes, 1023, "1023 B"}, {Bytes, 1.5 * (1 << 20), "1.5 MiB"},
	} {
		if got := Text(c.unit, c.value); got != c.want {
			t.Errorf("%v %s is %q, want %q", c.value, c.unit, got, c.want)
		}
	}
}
