package delivery

import (
	"log/slog"
	"sync"
	"time"
)

// logEvery is how often a destination's failed attempts are logged; the lines left out are
// counted in the next.
const logEvery = time.Second

// failureLog writes a line for failed attempts, not more often than logEvery.
type failureLog struct {
	mu   sync.Mutex
	next time.Time
	left int
}

func (f *failureLog) write(log *slog.Logger, now time.Time, batch int, number int, r *report) {
	f.mu.Lock()
	if now.Before(f.next) {
		f.left++
		f.mu.Unlock()
		return
	}
	left := f.left
	f.left, f.next = 0, now.Add(logEvery)
	f.mu.Unlock()

	args := []any{"id", r.failure.id, "records", batch, "attempt", number, "reason", r.failure.reason, "class", r.failure.class.String()}
	if r.failure.status != 0 {
		args = append(args, "status", r.failure.status)
	}
	if r.failure.retryAfter > 0 {
		args = append(args, "retry_after", r.failure.retryAfter.String())
	}
	if left > 0 {
		args = append(args, "more", left)
	}
	log.Warn("delivery failed", args...)
}

// logPhase writes a line when the breaker has changed.
func (w *Worker) logPhase() {
	s := w.State()
	w.mu.Lock()
	log := w.logger()
	same := w.logged == s.Phase && w.loggedSince.Equal(s.Since)
	w.logged, w.loggedSince = s.Phase, s.Since
	w.mu.Unlock()
	if same {
		return
	}
	switch s.Phase {
	case Closed:
		log.Info("destination works again: delivering")
	case HalfOpen:
		log.Info("probing the destination", "failed_before", s.Reason)
	case Open:
		log.Warn("destination left alone: it is failing", "reason", s.Reason, "failures", s.Failures, "next_probe", s.NextProbe)
	case Paused:
		log.Warn("destination paused; its records stay queued until it is resumed", "by", s.PausedBy, "reason", s.Reason)
	}
}
