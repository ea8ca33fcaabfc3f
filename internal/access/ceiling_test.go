package access

import (
	"bytes"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestCeiling: the last call of the day's is served, the next answered 429 until midnight; what another rule
// refuses does not count; it is said once when it is near and once when it is reached.
func TestCeiling(t *testing.T) {
	var log bytes.Buffer
	near := 0
	noon := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	state := newState(t, noon)
	c := &Ceiling{Calls: NewBudget(state, "calls", "calls", 10, slog.New(slog.NewTextHandler(&log, nil)), func() { near++ })}
	w := newWorld(t, c, NewFilteredPaths([]string{"/no"}, ""))
	for day := range 2 {
		w.now, w.served, near = noon.AddDate(0, 0, day), 0, 0
		log.Reset()
		for range 5 {
			w.get(t, "/no")
		}
		for i := range 10 {
			if got := w.get(t, "/x"); got.status != 200 || near != min(max(i-6, 0), 1) {
				t.Fatalf("call %d: %d, near %d", i, got.status, near)
			}
		}
		for range 3 {
			got := w.get(t, "/x")
			if got.status != 429 || got.body != `{"message":"Limit Exceeded"}` || got.header.Get("Retry-After") != "43200" || w.call.Error != "ceiling: calls of the day" {
				t.Errorf("%+v %q", got, w.call.Error)
			}
		}
		if text := log.String(); w.served != 10 || strings.Count(text, "four fifths") != 1 || strings.Count(text, "is reached") != 1 {
			t.Errorf("%d served, log:\n%s", w.served, text)
		}
	}
	if got := w.seen[len(w.seen)-1]; got != "ceiling" {
		t.Error(got)
	}
}

// TestCeilingOfCost: calls are served while there is money, and cost what they turn out to cost, also when
// another rule refuses them.
func TestCeilingOfCost(t *testing.T) {
	now := time.Now()
	state := newState(t, now)
	price := int64(300)
	c := &Ceiling{
		Calls: NewBudget(state, "calls", "calls", 100, nil, nil),
		Cost:  NewBudget(state, "cost", "billionths", 1000, nil, nil),
		Price: func(_ *Request, took time.Duration) int64 {
			if took < 0 || took > time.Minute {
				t.Errorf("it took %v", took)
			}
			return price
		},
	}
	w := newWorld(t, c, NewFilteredPaths([]string{"/no"}, ""))
	for i, want := range []struct {
		path   string
		status int
	}{{"/x", 200}, {"/no", 403}, {"/x", 200}, {"/x", 200}, {"/x", 429}, {"/no", 429}} { // 1,200 were spent when it ended
		if got := w.get(t, want.path); got.status != want.status {
			t.Errorf("call %d: %d", i, got.status)
		}
	}
	start, _ := Quota{Period: Day}.Window(now)
	if calls, cost := c.Calls.tally.Used(start.Unix()), c.Cost.tally.Used(start.Unix()); calls != 3 || cost != 1200 {
		t.Errorf("%d calls, %d spent", calls, cost)
	}
}

// TestCeilingOverMidnight: a call costs on the day it ends, whole, and nothing on the day it began.
func TestCeilingOverMidnight(t *testing.T) {
	midnight := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name         string
		began, ended time.Time
		between      time.Time // of another call, that begins and ends then; zero: there is none
		before, on   int64     // what each day has cost; -1: forgotten
	}{
		{"ended in the last moment", midnight.Add(-time.Second), midnight.Add(-1), time.Time{}, 300, 0},
		{"ended at midnight", midnight.Add(-time.Second), midnight, time.Time{}, -1, 300},
		{"began at midnight", midnight, midnight.Add(time.Second), time.Time{}, -1, 300},
		{"another one has begun the day", midnight.Add(-time.Second), midnight.Add(time.Minute), midnight.Add(time.Second), -1, 600},
		{"a clock that was set back", midnight, midnight.Add(-time.Minute), time.Time{}, -1, 300},
	} {
		state := newState(t, midnight)
		now := tt.began
		c := &Ceiling{Cost: NewBudget(state, "cost", "billionths", 1000, nil, nil), Price: func(*Request, time.Duration) int64 { return 300 }, now: func() time.Time { return now }}
		w := newWorld(t, c)
		w.now = tt.began
		w.serve = func(http.ResponseWriter, *http.Request) {
			if !tt.between.IsZero() {
				w.serve, w.now, now = nil, tt.between, tt.between
				w.get(t, "/other")
			}
			now = tt.ended
		}
		w.get(t, "/x")
		tally := c.Cost.tally
		day, used, _ := tally.(*localTally).take()
		want := tt.before
		if day == midnight.Unix() {
			want = tt.on
		} else if tt.before < 0 {
			t.Errorf("%s: the day after was not begun", tt.name)
		}
		if used != want {
			t.Errorf("%s: %d spent, want %d", tt.name, used, want)
		}
	}
}

// away is a counter that cannot be reached.
type away struct{ Counter }

func (away) Tally(string) Tally { return awayTally{} }
func (away) Rate(string) Tally  { return awayTally{} }

type awayTally struct{ Tally }

func (awayTally) Take(_, _, _ int64, _ *Wait) Admission         { return Unknown }
func (awayTally) Watch(func(start, before, after, limit int64)) {}

// TestCountersAway: calls that cannot be counted and must be are answered 503, by whichever rule counts.
func TestCountersAway(t *testing.T) {
	state := NewState(away{}, time.Now())
	for name, d := range map[string]Decider{
		"ceiling": &Ceiling{Calls: NewBudget(state, "calls", "calls", 10, nil, nil)},
		"plan":    &Plans{Throttle: state.Throttle("gateway", Rate{PerSecond: 10}), State: state},
	} {
		w := newWorld(t, d)
		if got := w.get(t, "/x"); got.status != 503 || got.header.Get("Retry-After") != "1" || w.call.Error != "counters: out of reach" || w.served != 0 {
			t.Errorf("%s: %+v %q", name, got, w.call.Error)
		}
	}
}

// TestRateWindow: as many calls as a burst holds in the time it takes to come back, and never more on average
// than the rate.
func TestRateWindow(t *testing.T) {
	at := time.Unix(1_000_000_007, 5e8)
	for _, tt := range []struct {
		rate              Rate
		start, end, limit int64
	}{
		{Rate{PerSecond: 50}, 1_000_000_007, 1_000_000_008, 50},
		{Rate{PerSecond: 50, Burst: 100}, 1_000_000_006, 1_000_000_008, 100},
		{Rate{PerSecond: 100, Burst: 50}, 1_000_000_007, 1_000_000_008, 100},
		{Rate{PerSecond: 0.1}, 1_000_000_000, 1_000_000_010, 1},
		{Rate{PerSecond: 1.5}, 1_000_000_006, 1_000_000_008, 3},
		{Rate{PerSecond: 0.3}, 1_000_000_004, 1_000_000_008, 1},
	} {
		start, end, limit := tt.rate.window(at)
		if start != tt.start || end != tt.end || limit != tt.limit {
			t.Errorf("%v: %d to %d, %d", tt.rate, start, end, limit)
		}
		if most := float64(limit) / float64(end-start); most > tt.rate.PerSecond {
			t.Errorf("%v: %v per second", tt.rate, most)
		}
	}
}
