package alarm

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestPromises: whatever is measured, whoever does not answer, and however often the process is
// restarted, no target is told twice of one firing within the repeat interval, every end follows
// a beginning that was told or may have been, and every beginning is followed by its end.
func TestPromises(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t, Settings{Rules: rules, Repeat: time.Hour}, "ops")
		open, perhaps := false, false
		var last time.Time
		check := func() {
			for _, m := range w.told["ops"] {
				switch kind, _, _ := strings.Cut(m, " "); Kind(kind) {
				case Fires:
					if open {
						rt.Fatalf("told twice that it fires, after %v", w.now.Sub(began))
					}
					open, last = true, w.now
				case Repeats:
					if !open || w.now.Sub(last) < time.Hour {
						rt.Fatalf("repeated after %v", w.now.Sub(last))
					}
					last = w.now
				case GotWorse:
					if !open {
						rt.Fatal("worse than nothing")
					}
					last = w.now
				case Resolved:
					if !open && !perhaps {
						rt.Fatal("an end without a beginning")
					}
					open, perhaps = false, false
				}
			}
			w.told["ops"] = nil
		}
		rt.Repeat(map[string]func(*rapid.T){
			"measure": func(rt *rapid.T) {
				s := dead(float64(rapid.SampledFrom([]int{0, 0, 1, 2, 8}).Draw(rt, "value")))
				s.Quality = rapid.SampledFrom([]Quality{Known, Known, Known, Few, Early, Unknown}).Draw(rt, "quality")
				w.tick(rapid.SampledFrom([]time.Duration{time.Second, 20 * time.Second, 10 * time.Minute, 2 * time.Hour}).Draw(rt, "pause"), s)
				if w.fail["ops"] == errLate {
					perhaps = true
				}
				check()
			},
			"answer":  func(*rapid.T) { w.fail["ops"] = nil },
			"refuse":  func(*rapid.T) { w.fail["ops"] = errDown },
			"hang":    func(*rapid.T) { w.fail["ops"] = errLate },
			"restart": func(*rapid.T) { w.restart() },
			"ack":     func(*rapid.T) { w.Ack(DeadLetters, "siem", "", w.now) },
			"silence": func(*rapid.T) { w.Silence(Silence{}, 30*time.Minute, w.now) },
		})
		w.fail["ops"] = nil
		for range 8 { // flapping, a silence and a backoff are over within that
			w.tick(10*time.Minute, dead(0))
			check()
		}
		if open {
			rt.Fatal("the end was not told")
		}
	})
}
