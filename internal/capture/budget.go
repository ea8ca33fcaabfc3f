package capture

import (
	"context"
	"sync"
)

// budget is a weighted semaphore. Waiters are served in their order, so that a large one is not
// overtaken for ever.
type budget struct {
	mu      sync.Mutex
	free    int64
	size    int64
	waiting []*waiter
}

type waiter struct {
	n     int64
	ready chan struct{}
}

func newBudget(size int64) *budget { return &budget{free: size, size: size} }

// try takes n, or everything when n is more than that, if it is free and nobody waits. It gives
// what release takes back.
func (b *budget) try(n int64) (int64, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.tryLocked(min(n, b.size))
}

func (b *budget) tryLocked(n int64) (int64, bool) {
	if len(b.waiting) > 0 || n > b.free {
		return 0, false
	}
	b.free -= n
	return n, true
}

// acquire is try that waits until ctx ends.
func (b *budget) acquire(ctx context.Context, n int64) (int64, error) {
	n = min(n, b.size)
	b.mu.Lock()
	if _, ok := b.tryLocked(n); ok {
		b.mu.Unlock()
		return n, nil
	}
	w := &waiter{n: n, ready: make(chan struct{})}
	b.waiting = append(b.waiting, w)
	b.mu.Unlock()

	select {
	case <-w.ready:
		return n, nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.waiting {
		if b.waiting[i] == w {
			b.waiting = append(b.waiting[:i], b.waiting[i+1:]...)
			b.wakeLocked() // the ones behind it may fit
			return 0, ctx.Err()
		}
	}
	return n, nil // served at the same moment
}

func (b *budget) release(n int64) {
	b.mu.Lock()
	b.free += n
	b.wakeLocked()
	b.mu.Unlock()
}

func (b *budget) wakeLocked() {
	for len(b.waiting) > 0 && b.waiting[0].n <= b.free {
		b.free -= b.waiting[0].n
		close(b.waiting[0].ready)
		b.waiting = b.waiting[1:]
	}
}
