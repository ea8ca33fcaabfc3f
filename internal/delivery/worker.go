package delivery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/tapway/tapway"
)

// Worker delivers what one destination's subscription holds. Several destinations are
// several Workers, which do not wait for each other. Sub and Sender are required.
//
// A queue's leases must last longer than the Batch's MaxWait, three of the Sender's Timeouts and a
// few seconds, or records are delivered twice.
type Worker struct {
	Sub    tapway.Subscription
	Sender *Sender

	// Match says which messages the destination wants; the others are settled as dropped,
	// "filtered", without an attempt. nil: all of them. Matching makes one from a filter.
	Match func(m *tapway.Message) bool

	Concurrency int // attempts at a time; 0: 16
	Breaker     Breaker

	// MaxBytes bounds the stored bytes of the records being attempted at a time; a larger one
	// is attempted alone. Half as many are received before their turn. 0: 32 MiB.
	MaxBytes int

	Grace time.Duration // how long running attempts may take when Run is to end; 0: 4 s
	Log   *slog.Logger  // nil: slog.Default

	mu          sync.Mutex
	breaker     *breaker
	wake        chan struct{}
	running     bool
	state       State // its counters and last errors
	failures    failureLog
	logged      Phase
	loggedSince time.Time
}

func (w *Worker) concurrency() int {
	if w.Concurrency <= 0 {
		return 16
	}
	return w.Concurrency
}

func (w *Worker) maxBytes() int {
	if w.MaxBytes <= 0 {
		return 32 << 20
	}
	return w.MaxBytes
}

func (w *Worker) logger() *slog.Logger {
	log := w.Log
	if log == nil {
		log = slog.Default()
	}
	return log.With("destination", w.Sender.Name)
}

// breakerLocked makes the breaker when it is first asked for, which may be before Run.
func (w *Worker) breakerLocked() *breaker {
	if w.breaker == nil {
		config := w.Breaker
		if config.MaxRetryAfter <= 0 {
			config.MaxRetryAfter = max(time.Hour, w.Sender.Retry.max())
		}
		w.breaker = newBreaker(config, w.concurrency(), w.Sender.Retry.Rand, time.Now())
		w.wake = make(chan struct{}, 1)
	}
	return w.breaker
}

// nudge makes the loop look again.
func (w *Worker) nudge() {
	w.mu.Lock()
	w.breakerLocked()
	wake := w.wake
	w.mu.Unlock()
	signal(wake)
}

// Run delivers until ctx ends. Then it receives nothing more, releases what has not been
// attempted, lets running attempts end within Grace, settles everything and returns nil. An
// error means that the Sender's configuration is wrong, that the queue was closed or that it has
// forgotten the destination.
func (w *Worker) Run(ctx context.Context) error {
	if err := w.Sender.Check(); err != nil {
		return err
	}
	w.mu.Lock()
	if w.running {
		w.mu.Unlock()
		return fmt.Errorf("destination %q: Run is running already", w.Sender.Name)
	}
	w.running = true
	w.breakerLocked()
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.running = false
		w.mu.Unlock()
	}()

	// Attempts and settlements outlive ctx by the grace period.
	alive, kill := context.WithCancel(context.WithoutCancel(ctx))
	defer kill()
	settling, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()

	log := w.logger()
	l := newLoop(w, log, newSettler(w.Sub, log, w.nudge))
	var attempts, receiver sync.WaitGroup
	for range w.concurrency() {
		attempts.Go(func() { l.attempts(alive) })
	}
	receiver.Go(l.receiver)
	settlerStop, settlerEnd := make(chan struct{}), make(chan error, 1)
	go func() { settlerEnd <- l.settler.run(settling, settlerStop) }()

	err := l.run(ctx, settlerEnd)

	l.stopReceive()
	l.releaseWaiting(0)
	close(l.ask)
	close(l.jobs)
	grace := time.AfterFunc(orDefault(w.Grace, 4*time.Second), kill)
	attempts.Wait()
	grace.Stop()
	receiver.Wait()
	l.drain()
	late := time.AfterFunc(2*time.Second, giveUp)
	defer late.Stop()
	close(settlerStop)
	if !l.settlerEnded {
		if e := <-settlerEnd; e != nil && err == nil {
			err = e
		}
	}
	if errors.Is(err, context.Canceled) {
		err = errors.New("the queue did not take the last outcomes in time: some records will be delivered again")
	}
	if err != nil {
		return fmt.Errorf("destination %q: %w", w.Sender.Name, err)
	}
	return nil
}
