package alarm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tapway/tapway"
)

const fires, still, over = "firing dead_letters siem", "repeat dead_letters siem", "resolved dead_letters siem"

func TestToldOnceAndAgain(t *testing.T) {
	w := newWorld(t, Settings{Rules: rules, Repeat: 4 * time.Hour}, "ops")
	w.tick(0, dead(0))
	w.expect("ops")
	w.tick(time.Minute, dead(1))
	w.expect("ops", fires)
	w.tick(time.Minute, dead(5))
	w.expect("ops")
	w.tick(4*time.Hour-time.Minute-1, dead(5)) // the last moment before the repeat
	w.expect("ops")
	w.tick(1, dead(5))
	w.expect("ops", still)
	w.tick(time.Hour, dead(0))
	w.expect("ops", over)
	w.tick(24*time.Hour, dead(0))
	w.expect("ops")
}

func TestNoRepeat(t *testing.T) {
	w := newWorld(t, Settings{Rules: rules}, "ops")
	w.tick(0, dead(1))
	w.tick(1000*time.Hour, dead(1))
	w.expect("ops", fires)
}

func TestAck(t *testing.T) {
	w := newWorld(t, Settings{Rules: rules, Repeat: time.Hour}, "ops", "pager")
	if _, err := w.Ack(DeadLetters, "siem", "", w.now); !errors.Is(err, tapway.ErrNotFound) {
		t.Errorf("what does not fire is acknowledged: %v", err)
	}
	if _, err := w.Ack("dead_leters", "siem", "", w.now); !errors.As(err, new(*InputError)) {
		t.Errorf("what is no alarm: %v", err)
	}
	w.tick(0, dead(3))
	s, err := w.Ack(DeadLetters, "siem", "known", w.now)
	if err != nil || s.Acknowledged == nil || s.Acknowledged.Note != "known" {
		t.Fatalf("%+v, %v", s, err)
	}
	w.tick(5*time.Hour, dead(5))
	w.expect("ops", fires)
	w.expect("pager", fires, "acknowledged dead_letters siem")
	w.restart()
	w.tick(5*time.Hour, dead(5))
	w.expect("pager")
	w.tick(time.Second, dead(6)) // twice as bad
	w.expect("ops", "worse dead_letters siem")
	w.expect("pager", "worse dead_letters siem")
	w.tick(time.Hour, dead(6))
	w.expect("ops", still)
	w.tick(time.Second, dead(0))
	w.expect("ops", over)
	w.tick(time.Second, dead(1)) // the next one was acknowledged by nobody
	w.tick(time.Hour, dead(1))
	w.expect("ops", fires, still)
}

func TestSilence(t *testing.T) {
	other := Sample{Name: DeadLetters, Destination: "archive", Value: 1}
	w := newWorld(t, Settings{Rules: rules, Repeat: time.Hour}, "ops")
	s, err := w.Silence(Silence{Name: DeadLetters, Destination: "siem"}, 2*time.Hour, w.now)
	if err != nil {
		t.Fatal(err)
	}
	w.tick(time.Minute, dead(1), other)
	w.expect("ops", "firing dead_letters archive")
	if l := w.List(w.now); len(l.Silences) != 1 || !l.Alarms[1].SilencedTill.Equal(s.Until) || !l.Alarms[0].SilencedTill.IsZero() {
		t.Errorf("shown: %+v", l)
	}
	w.restart()
	w.tick(2*time.Hour-time.Minute-1, dead(1)) // archive is gone
	w.expect("ops", "resolved dead_letters archive")
	w.tick(1, dead(1))
	w.expect("ops", fires) // what still fires when the silence ends
	if _, err = w.Silence(Silence{}, time.Hour, w.now); err != nil {
		t.Fatal(err)
	}
	w.tick(59*time.Minute, dead(0))
	w.expect("ops", over) // ends are told all the same
	w.tick(0, dead(1))
	id := w.List(w.now).Silences[0].ID
	if err := w.Unsilence("nobody's"); !errors.Is(err, tapway.ErrNotFound) {
		t.Errorf("Unsilence: %v", err)
	}
	if err := w.Unsilence(id); err != nil {
		t.Fatal(err)
	}
	w.tick(0, dead(1))
	w.expect("ops", fires)
	for _, bad := range []struct {
		s    Silence
		long time.Duration
	}{{Silence{Name: "x"}, time.Hour}, {Silence{}, 0}, {Silence{}, -time.Hour}, {Silence{}, silenceMost + 1}, {Silence{Note: strings.Repeat("x", noteMost+1)}, time.Hour}} {
		if _, err := w.Silence(bad.s, bad.long, w.now); !errors.As(err, new(*InputError)) {
			t.Errorf("silence %v for %v: %v", bad.s, bad.long, err)
		}
	}
}

func TestSeverityOfTargets(t *testing.T) {
	warning := Sample{Name: OldestAge, Destination: "siem", Value: 400}
	w := newWorld(t, Settings{Rules: rules}, "all:warning", "worst:critical")
	w.tick(0, dead(1), warning)
	w.tick(3*time.Minute, dead(1), warning)
	w.expect("all", fires, "firing oldest_age siem")
	w.expect("worst", fires)
}

// TestRestart: a new process neither repeats what was told nor forgets to tell the end, and
// tells what the old one had no time for.
func TestRestart(t *testing.T) {
	w := newWorld(t, Settings{Rules: rules, Repeat: time.Hour}, "ops", "slow")
	w.fail["slow"] = errDown
	w.tick(0, dead(1))
	w.expect("ops", fires)
	w.expect("slow")
	w.fail["slow"] = nil
	w.restart()
	w.tick(30*time.Second, dead(1))
	w.expect("ops")
	w.expect("slow", fires)
	w.restart()
	w.tick(time.Second, dead(0))
	w.expect("ops", over)
	w.expect("slow", over)
	if n := len(w.List(w.now).History); n != 2 {
		t.Errorf("%d events in the history", n)
	}
}

// TestCrash: what was told after the file was written last comes twice at worst; here the file
// is that from before the message.
func TestCrash(t *testing.T) {
	w := newWorld(t, Settings{Rules: rules}, "ops")
	w.Evaluate(Reading{Samples: []Sample{dead(1)}}, w.now)
	if err := w.save(); err != nil {
		t.Fatal(err)
	}
	w.restart()
	w.tick(time.Second, dead(0))
	w.expect("ops") // nobody was told, so there is no end to tell
	w.tick(time.Second, dead(1))
	w.expect("ops", fires)
}

func TestFailingTarget(t *testing.T) {
	w := newWorld(t, Settings{Rules: rules}, "ops", "well")
	w.fail["ops"] = errDown
	tries := func() uint64 { return w.Messages()["ops"][1] }
	w.tick(0, dead(1))
	w.expect("well", fires) // nobody waits for the other
	for i, pause := range []time.Duration{10 * time.Second, 20 * time.Second, 40 * time.Second, 80 * time.Second, 160 * time.Second, 320 * time.Second, 640 * time.Second, 15 * time.Minute, 15 * time.Minute} {
		w.tick(pause-1, dead(1))
		if got := tries(); got != uint64(i+1) {
			t.Fatalf("before pause %d ended: %d tries", i, got)
		}
		w.tick(1, dead(1))
		if got := tries(); got != uint64(i+2) {
			t.Fatalf("after pause %d: %d tries", i, got)
		}
	}
	n := w.List(w.now).Notify[0]
	if n.Failures != 10 || n.LastError != "connection refused" || !n.LastSent.IsZero() {
		t.Errorf("shown: %+v", n)
	}
	w.fail["ops"] = nil
	w.tick(time.Hour, dead(0)) // over before anybody could be told
	w.expect("ops")
	w.expect("well", over)
	w.tick(time.Second, dead(1))
	w.expect("ops", fires)
	if n := w.List(w.now).Notify[0]; n.Failures != 0 || n.LastError != "" || !n.LastSent.Equal(w.now) {
		t.Errorf("shown: %+v", n)
	}
}

// TestUnsure: a message that may have arrived is followed by its end.
func TestUnsure(t *testing.T) {
	w := newWorld(t, Settings{Rules: rules}, "ops")
	w.fail["ops"] = errLate
	w.tick(0, dead(1))
	w.fail["ops"] = nil
	w.restart()
	w.tick(time.Minute, dead(0))
	w.expect("ops", over)
	w.fail["ops"] = errLate
	w.tick(time.Minute, dead(1))
	w.fail["ops"] = nil
	w.tick(time.Minute, dead(1))
	w.expect("ops", fires)
}

// TestEndIsTold: the end of what was told is tried for a day.
func TestEndIsTold(t *testing.T) {
	w := newWorld(t, Settings{Rules: rules}, "ops")
	w.tick(0, dead(1))
	w.expect("ops", fires)
	w.fail["ops"] = errDown
	w.tick(time.Second, dead(0))
	w.fail["ops"] = nil
	w.tick(giveUp, dead(0))
	w.expect("ops", over)

	w.tick(time.Second, dead(1))
	w.fail["ops"] = errDown
	w.tick(time.Second, dead(0))
	w.fail["ops"] = nil
	w.tick(giveUp+1, dead(0))
	w.expect("ops", fires)
}

// TestEndBeforeNext: where the end could not be told before the next firing, it is told first.
func TestEndBeforeNext(t *testing.T) {
	w := newWorld(t, Settings{Rules: rules}, "ops")
	w.tick(0, dead(1))
	w.fail["ops"] = errDown
	w.tick(time.Second, dead(0))
	w.tick(time.Second, dead(1))
	w.fail["ops"] = nil
	w.tick(time.Minute, dead(1))
	w.expect("ops", fires, over, fires)
}

func TestNotWatchedAnyMore(t *testing.T) {
	w := newWorld(t, Settings{Rules: rules}, "ops")
	w.tick(0, dead(1))
	w.now = w.now.Add(time.Second)
	w.Evaluate(Reading{Unknown: map[string]string{DeadLetters: "SQS does not answer"}}, w.now)
	w.deliver()
	if s := w.List(w.now).Alarms[0]; s.State != Firing || s.Unknown != "SQS does not answer" {
		t.Errorf("what cannot be told is %+v", s)
	}
	w.expect("ops", fires)
	w.tick(time.Second) // the destination is gone
	w.expect("ops", over)
	if l := w.List(w.now); len(l.Alarms) != 0 || l.History[0].Message != "it is not watched any more" {
		t.Errorf("shown: %+v", l)
	}
	w.tick(time.Second, dead(1))
	w.set.Rules = map[string]Rule{}
	w.Use(w.set)
	w.tick(time.Second, dead(1)) // switched off
	w.expect("ops", fires, over)
}

func TestHistoryIsBounded(t *testing.T) {
	w := newWorld(t, Settings{Rules: rules})
	for i := range historyMost {
		w.tick(time.Hour, dead(1))
		w.tick(time.Hour, dead(0))
		if n := len(w.List(w.now).History); n != min(2*i+2, historyMost) {
			t.Fatalf("%d events after %d", n, 2*i+2)
		}
	}
	l := w.List(w.now)
	if !l.History[0].At.Equal(w.now) || l.History[0].To != OK {
		t.Errorf("the newest is %+v", l.History[0])
	}
}

// TestDetail: it is looked up when an alarm begins to fire and once a minute from then on, and
// is not lost with what it was found in.
func TestDetail(t *testing.T) {
	looks := 0
	d := Detail{LastError: "503", Records: []string{"a"}}
	s := dead(1)
	s.Detail = func() Detail { looks++; return d }
	w := newWorld(t, Settings{Rules: rules})
	for _, c := range []struct {
		after time.Duration
		want  int
	}{{0, 1}, {time.Second, 1}, {time.Minute - time.Second - 1, 1}, {1, 2}} {
		w.tick(c.after, s)
		if looks != c.want {
			t.Errorf("%d looks, want %d", looks, c.want)
		}
	}
	d = Detail{}
	w.tick(time.Hour, s)
	if got := w.List(w.now).Alarms[0]; got.LastError != "503" || len(got.Records) != 1 {
		t.Errorf("shown: %+v", got.Detail)
	}
}

func TestTestMessages(t *testing.T) {
	w := newWorld(t, Settings{Rules: rules})
	if _, err := w.Test(context.Background(), "", w.now); !errors.As(err, new(*InputError)) {
		t.Errorf("nobody to tell: %v", err)
	}
	w = newWorld(t, Settings{Rules: rules}, "ops", "down")
	w.fail["down"] = errDown
	got, err := w.Test(context.Background(), "", w.now)
	if want := []Tested{{Name: "ops", Answer: "200 OK"}, {Name: "down", Error: "connection refused"}}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := w.Test(context.Background(), "opps", w.now); !errors.As(err, new(*InputError)) {
		t.Errorf("an unknown name: %v", err)
	}
	w.expect("ops", "test")
	w.tick(0, dead(1)) // a test holds nothing back
	w.expect("ops", fires)
}

// TestBadFile: a file that cannot be read is told of and replaced.
func TestBadFile(t *testing.T) {
	for _, text := range []string{"", "{", "[]", `{"version":2}`, "null", `{"version":1,"alarms":{}}`, "\x00"} {
		path := filepath.Join(t.TempDir(), "alarms.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		w, err := New(path, began)
		if err == nil || w == nil || !strings.Contains(err.Error(), path) {
			t.Fatalf("%q: %v", text, err)
		}
		w.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
		w.Use(Settings{Rules: rules})
		w.Evaluate(Reading{Samples: []Sample{dead(1)}}, began)
		if err := w.save(); err != nil {
			t.Fatal(err)
		}
		if w, err = New(path, began); err != nil || w.all[key{DeadLetters, "siem"}].State != Firing {
			t.Errorf("%q: after it was replaced: %v", text, err)
		}
	}
}

// TestNoFile: without a directory to write to alarms go on, and it is told once.
func TestNoFile(t *testing.T) {
	w := newWorld(t, Settings{Rules: rules}, "ops")
	w.Watch.path, w.put = filepath.Join(t.TempDir(), "gone", "alarms.json"), write
	w.Evaluate(Reading{Samples: []Sample{dead(1)}}, w.now)
	if err := w.save(); err == nil || !strings.Contains(err.Error(), "messages may come twice") {
		t.Errorf("save: %v", err)
	}
	if err := w.save(); err != nil {
		t.Errorf("told twice: %v", err)
	}
	w.deliver()
	w.expect("ops", fires)
}

// FuzzParse: whatever the file holds, alarms go on with it.
func FuzzParse(f *testing.F) {
	w := newWorld(f, Settings{Rules: rules, Repeat: time.Hour}, "ops")
	w.fail["ops"] = errLate
	w.tick(0, dead(1), Sample{Name: Disk, Value: 1})
	w.Silence(Silence{}, time.Hour, w.now)
	text, err := os.ReadFile(w.path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"version":1,"alarms":[{"name":"disk","state":"firing","since":"2999-01-01T00:00:00Z","incident":"x","sent":{"ops":{"open":true,"next":"2999-01-01T00:00:00Z"}}},null]}`))
	f.Add([]byte(`{"version":1,"alarms":[{"name":"dead_letters","destination":"siem","state":"ok","since":"2026-01-01T00:00:00Z","fired":["2999-01-01T00:00:00Z"],"sent":{"ops":null}}],"silences":[{"id":"a","until":"9999-01-01T00:00:00Z"}],"notify":{"ops":null}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := parse(text, began)
		if err != nil {
			return
		}
		path := filepath.Join(t.TempDir(), "alarms.json")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		w := newWorld(t, Settings{Rules: rules, Repeat: time.Hour}, "ops")
		w.path = path
		w.restart()
		if len(w.all) != len(m.Alarms) {
			t.Errorf("%d alarms from %d", len(w.all), len(m.Alarms))
		}
		for range 4 { // whatever was remembered, what fires is told within a silence and a backoff, and its end is
			w.tick(silenceMost, dead(1), Sample{Name: Disk, Value: math.MaxInt64})
		}
		if w.state(DeadLetters, "siem") != Firing {
			t.Error("an alarm does not fire")
		}
		w.told["ops"] = nil
		w.tick(time.Hour, dead(0))
		w.tick(time.Hour, dead(0))
		w.expect("ops", over)
		w.restart()
	})
}

// TestRun: what one target takes its time for holds back neither the others nor the evaluation,
// and a message under way when the process ends has a moment to arrive.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, err := New(filepath.Join(t.TempDir(), "alarms.json"), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		w.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
		evaluated := 0
		w.Read = func(context.Context, time.Time) Reading {
			evaluated++
			return Reading{Samples: []Sample{dead(float64(evaluated))}}
		}
		quick, slow := 0, 0
		w.Use(Settings{Rules: rules, Repeat: time.Minute, Targets: []Target{
			{Name: "slow", Send: func(ctx context.Context, _ *Message) (string, error) {
				<-ctx.Done()
				slow++
				return "", fmt.Errorf("it hangs: %w", ctx.Err())
			}},
			{Name: "quick", Send: func(context.Context, *Message) (string, error) { quick++; return "", nil }},
		}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		start := time.Now()
		go func() { done <- w.Run(ctx) }()
		time.Sleep(61 * time.Second)
		synctest.Wait()
		if evaluated != 13 || quick != 2 || slow != 1 {
			t.Errorf("after a minute: %d evaluations, %d quick, %d slow", evaluated, quick, slow)
		}
		if l := w.List(time.Now()); !l.Watching || l.Notify[0].Failures != 1 {
			t.Errorf("shown: %+v", l)
		}
		cancel() // the second try of the slow one is under way
		if err := <-done; err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took != 61*time.Second+finishMost {
			t.Errorf("ended after %v", took)
		}
		if w.List(time.Now()).Watching {
			t.Error("still watching")
		}
	})
}
