package alarm

import (
	"context"
	"sync"
	"time"
)

// Run evaluates the alarms every now and then and sends what is due, until ctx ends. Messages
// under way then have a few seconds to arrive. No message is waited for, by alarms or by
// other messages' targets.
func (w *Watch) Run(ctx context.Context) error {
	every := w.Every
	if every <= 0 {
		every = DefaultEvery
	}
	sending, stop := context.WithCancel(context.WithoutCancel(ctx)) // outlives ctx: a message cut off would come twice
	defer stop()
	var under sync.WaitGroup
	w.setRunning(true)
	defer w.setRunning(false)
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		now := time.Now()
		r := w.Read(ctx, now)
		if ctx.Err() != nil {
			break // what was read may be half of it
		}
		w.Evaluate(r, now)
		if err := w.save(); err != nil {
			w.log().Error("alarms are not remembered", "err", err)
		}
		w.send(sending, time.Now, func(f func()) { under.Go(f) })
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
		if ctx.Err() != nil {
			break
		}
	}
	w.finish(&under, stop)
	if err := w.save(); err != nil {
		w.log().Error("alarms are not remembered", "err", err)
	}
	return nil
}

// finish waits for messages under way, for a few seconds.
func (w *Watch) finish(under *sync.WaitGroup, stop func()) {
	late := time.AfterFunc(finishMost, stop)
	defer late.Stop()
	under.Wait()
}

func (w *Watch) setRunning(on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running = on
}
