package admin

import (
	"encoding/json"
	"net/http"
	"sync"
	"time"
)

// lines writes a stream of JSON lines. Once the first line is out, an error can only be
// told as a last line {"error": …}. It is safe for concurrent use.
type lines struct {
	mu      sync.Mutex
	w       http.ResponseWriter
	started bool
	pending int // lines since the last flush
	failed  error
}

func (l *lines) startLocked() {
	if !l.started {
		l.started = true
		h := l.w.Header()
		h.Set("Content-Type", "application/x-ndjson")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		l.w.WriteHeader(http.StatusOK)
	}
}

// raw writes one line that is JSON already.
func (l *lines) raw(line []byte, flush bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.startLocked()
	if l.failed != nil {
		return l.failed
	}
	_, l.failed = l.w.Write(append(line, '\n'))
	if l.pending++; l.failed == nil && (flush || l.pending >= 256) {
		l.pending = 0
		l.failed = http.NewResponseController(l.w).Flush()
	}
	return l.failed
}

func (l *lines) value(v any, flush bool) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return l.raw(line, flush)
}

// flush sends what has been written.
func (l *lines) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.pending > 0 && l.failed == nil {
		l.pending = 0
		l.failed = http.NewResponseController(l.w).Flush()
	}
}

// end tells an error, as a status if nothing was written yet.
func (l *lines) end(err error) {
	if err == nil {
		l.mu.Lock()
		l.startLocked()
		l.mu.Unlock()
		return
	}
	l.mu.Lock()
	started := l.started
	l.mu.Unlock()
	if !started {
		fail(l.w, err)
		return
	}
	l.value(map[string]string{"error": err.Error()}, true)
}

// heartbeat keeps a quiet stream alive with empty lines until stop is called.
func (l *lines) heartbeat(every time.Duration) (stop func()) {
	ticker := time.NewTicker(every)
	done := make(chan struct{})
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		for {
			select {
			case <-ticker.C:
				l.raw(nil, true)
			case <-done:
				return
			}
		}
	}()
	return func() {
		ticker.Stop()
		close(done)
		<-finished
	}
}
