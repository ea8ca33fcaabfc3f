package delivery

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// story drives a breaker without spreading and with a clock of its own.
type story struct {
	*testing.T
	*breaker
	clock time.Time
	n     int
}

func newStory(t *testing.T, config Breaker) *story {
	at := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	return &story{T: t, breaker: newBreaker(config, 4, func() float64 { return 1 }, at), clock: at}
}

// try makes one attempt that ends so; the record is a new one unless it is named.
func (s *story) try(class Class, after time.Duration, record ...string) {
	s.Helper()
	if s.room(s.clock, 0) == 0 {
		s.Fatalf("no room for an attempt: %s", s.phase)
	}
	s.n++
	id := fmt.Sprint(s.n)
	if len(record) > 0 {
		id = record[0]
	}
	epoch, _ := s.begin()
	s.end(s.clock, epoch, made(class, after, id))
}

func made(class Class, after time.Duration, id string) *report {
	r := &report{requests: 1}
	if class == Accepted {
		r.accepted = true
	} else {
		r.failure = answer{id: id, class: class, reason: class.String(), retryAfter: after}
	}
	return r
}

func (s *story) is(phase Phase) {
	s.Helper()
	if s.phase != phase {
		s.Fatalf("after %d attempts the breaker is %s, want %s", s.n, s.phase, phase)
	}
}

// pass lets time go by and says what there is room for then.
func (s *story) pass(d time.Duration, room int) {
	s.Helper()
	s.clock = s.clock.Add(d)
	if got := s.room(s.clock, 0); got != room {
		s.Fatalf("room for %d after %v, want %d", got, d, room)
	}
}

func TestBreakerOpensAndCloses(t *testing.T) {
	s := newStory(t, Breaker{Threshold: 3})
	s.pass(0, 4)
	s.try(Failed, 0)
	s.try(Failed, 0)
	s.is(Closed)
	s.try(Accepted, 0) // starts the count again
	s.try(TimedOut, 0)
	s.try(Failed, 0)
	s.is(Closed)
	s.try(Broken, 0)
	s.is(Open)

	// Each failed probe doubles the wait, up to a minute.
	for _, wait := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
		s.pass(wait*time.Second-1, 0)
		s.is(Open)
		s.pass(1, 1)
		s.is(HalfOpen)
		if _, probe := s.begin(); !probe || s.room(s.clock, 1) != 0 {
			t.Fatal("more than one probe at a time")
		}
		s.probing = false
		s.try(Failed, 0)
		s.is(Open)
	}
	s.pass(time.Minute, 1)
	s.try(Accepted, 0)
	s.is(Closed)

	// Then it starts slowly.
	s.pass(0, 2)
	s.try(Accepted, 0)
	s.pass(0, 3)
	s.try(Accepted, 0)
	s.try(Accepted, 0)
	s.pass(0, 4)

	// And the next time it begins with a short wait again.
	for range 3 {
		s.try(Failed, 0)
	}
	s.pass(time.Second-1, 0)
	s.pass(1, 1)
}

func TestBreakerPoisonedRecord(t *testing.T) {
	s := newStory(t, Breaker{Threshold: 3})
	for range 20 {
		s.try(Failed, 0, "poison")
		s.try(Rejected, 0, "other poison")
	}
	s.is(Closed)
	s.try(Rejected, 0, "third")
	s.is(Open)
	s.pass(time.Second, 1)
	s.try(Failed, 0, "poison") // a poisoned probe only costs time
	s.is(Open)
	s.pass(2*time.Second, 1)
	s.try(Accepted, 0)
	s.is(Closed)
}

func TestBreakerConnections(t *testing.T) {
	s := newStory(t, Breaker{})
	s.try(Unreachable, 0)
	s.is(Open)

	s = newStory(t, Breaker{})
	for range 5 {
		s.is(Closed)
		s.try(Broken, 0, "same")
	}
	s.is(Open)

	s = newStory(t, Breaker{Threshold: -1})
	for range 100 {
		s.try(Unreachable, 0)
		s.try(Failed, 0)
	}
	s.is(Closed)
	s.try(Busy, time.Second)
	s.is(Open)
}

func TestBreakerBusy(t *testing.T) {
	s := newStory(t, Breaker{Threshold: 10})
	s.try(Busy, 0)
	s.is(Closed)
	s.pass(0, 2) // half as many at a time
	s.try(Busy, 0)
	s.try(Busy, 0)
	s.pass(0, 1)
	s.try(Accepted, 0)
	s.pass(0, 2)

	s.try(Busy, 90*time.Second) // it said for how long
	s.is(Open)
	s.pass(90*time.Second-1, 0)
	s.pass(1, 1)
	for _, asked := range []time.Duration{time.Hour, time.Hour + 1, MaxRetryAfter} { // bounded
		s.try(Busy, asked)
		s.pass(time.Hour-1, 0)
		s.pass(1, 1)
	}
	s.try(Accepted, 0)
	s.is(Closed)

	for range 9 { // Retry-After on other answers is about the record
		s.try(Failed, time.Hour)
		s.is(Closed)
	}
	s.try(Rejected, time.Hour)
	s.is(Open)
	s.pass(time.Second, 1)
	s.try(Failed, time.Hour) // also when it is the probe
	s.pass(2*time.Second, 1)

	s = newStory(t, Breaker{MaxRetryAfter: 2 * time.Hour})
	s.try(Busy, 3*time.Hour)
	s.pass(2*time.Hour-1, 0)
	s.pass(1, 1)
}

func TestBreakerGoneAndPause(t *testing.T) {
	s := newStory(t, Breaker{})
	s.try(Gone, 0)
	s.is(Paused)
	if s.pausedBy != "destination" || s.reason != "gone" {
		t.Errorf("paused by %q: %q", s.pausedBy, s.reason)
	}
	s.pass(1000*time.Hour, 0)
	if !s.resume(s.clock) {
		t.Fatal("not resumed")
	}
	s.is(HalfOpen)
	s.try(Gone, 0)
	s.is(Paused)
	s.resume(s.clock)
	s.try(Accepted, 0)
	s.is(Closed)
	if s.resume(s.clock) {
		t.Error("resumed although nothing was paused")
	}

	// A running attempt does not end an operator's pause, nor does an old answer count later.
	epoch, _ := s.begin()
	s.pause("operator", "maintenance", s.clock)
	s.end(s.clock, epoch, made(Accepted, 0, "x"))
	s.is(Paused)
	s.resume(s.clock)
	s.end(s.clock, epoch, made(Gone, 0, "x"))
	s.is(HalfOpen)
}

func TestBreakerLateAnswers(t *testing.T) {
	s := newStory(t, Breaker{Threshold: 2})
	var epochs []uint64
	for range 4 {
		epoch, _ := s.begin()
		epochs = append(epochs, epoch)
	}
	for i, epoch := range epochs {
		s.end(s.clock, epoch, made(Failed, 0, fmt.Sprint(i)))
	}
	s.is(Open)
	s.pass(time.Second, 1) // the third and fourth failure have not doubled the wait
	epoch, probe := s.begin()
	if !probe {
		t.Fatal("not a probe")
	}
	s.end(s.clock, epochs[0], made(Accepted, 0, "late"))
	s.is(HalfOpen)
	s.end(s.clock, epoch, &report{}) // its record could not be made: it says nothing
	s.is(HalfOpen)
	s.pass(0, 1)
}

// Whatever happens, there is never room for more than the limit, a breaker that is not
// paused gets another chance, and one success closes it.
func TestBreakerProperties(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		clock := time.Unix(0, 0)
		b := newBreaker(Breaker{Threshold: rapid.IntRange(-1, 4).Draw(r, "threshold")}, 4, nil, clock)
		type running struct {
			epoch uint64
			probe bool
		}
		var inflight []running
		r.Repeat(map[string]func(*rapid.T){
			"": func(r *rapid.T) {
				if len(inflight) > 4 {
					r.Fatalf("%d attempts at a time", len(inflight))
				}
			},
			"start": func(r *rapid.T) {
				if b.room(clock, len(inflight)) == 0 {
					return
				}
				epoch, probe := b.begin()
				for _, other := range inflight {
					if probe && other.probe && other.epoch == epoch {
						r.Fatal("two probes at a time")
					}
				}
				inflight = append(inflight, running{epoch, probe})
			},
			"end": func(r *rapid.T) {
				if len(inflight) == 0 {
					return
				}
				i := rapid.IntRange(0, len(inflight)-1).Draw(r, "which")
				class := Class(rapid.IntRange(1, int(Stopped)).Draw(r, "class"))
				after := time.Duration(rapid.IntRange(0, 100).Draw(r, "after")) * time.Second
				b.end(clock, inflight[i].epoch, made(class, after, fmt.Sprint(rapid.IntRange(0, 9).Draw(r, "id"))))
				inflight = append(inflight[:i], inflight[i+1:]...)
			},
			"time":   func(r *rapid.T) { clock = clock.Add(time.Duration(rapid.IntRange(1, 1e10).Draw(r, "time"))) },
			"pause":  func(r *rapid.T) { b.pause("operator", "", clock) },
			"resume": func(r *rapid.T) { b.resume(clock) },
		})
		if b.phase == Paused {
			b.resume(clock)
		}
		for _, old := range inflight {
			b.end(clock, old.epoch, made(Stopped, 0, ""))
		}
		clock = clock.Add(MaxRetryAfter)
		if b.room(clock, 0) == 0 {
			r.Fatalf("stuck: %s", b.phase)
		}
		epoch, _ := b.begin()
		b.end(clock, epoch, made(Accepted, 0, ""))
		if b.phase != Closed {
			r.Fatalf("a success leaves it %s", b.phase)
		}
	})
}
