package app

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// tunnels are the calls that ask for an upgrade. Once a connection is hijacked the server
// neither ends it nor waits for it, and its record is only made when it ends.
type tunnels struct {
	mu    sync.Mutex
	next  int
	open  map[int]context.CancelFunc
	ended bool
}

// wrap lets end cancel the calls that ask for an upgrade; others pass untouched.
func (t *tunnels) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.Header["Upgrade"]) == 0 {
			next.ServeHTTP(w, r)
			return
		}
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer t.add(cancel)()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

func (t *tunnels) add(cancel context.CancelFunc) (remove func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		cancel()
	}
	if t.open == nil {
		t.open = map[int]context.CancelFunc{}
	}
	t.next++
	n := t.next
	t.open[n] = cancel
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.open, n)
	}
}

// end closes every tunnel, and those still to come.
func (t *tunnels) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	for _, cancel := range t.open {
		cancel()
	}
}

// recordWait is how long calls that were cut off may take to leave their record.
const recordWait = 3 * time.Second

// awaitRecords waits for the records of the calls that were cut off: the queue closes next.
func (a *App) awaitRecords() {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(recordWait); time.Now().Before(end); <-ticker.C {
		if a.recorder.Stats().InFlight == 0 {
			return
		}
	}
	a.log.Error("calls did not end and leave no record", "calls", a.recorder.Stats().InFlight)
}
