package capture

import (
	"context"
	"sync/atomic"
	"time"
)

// defaultGrace is how long one call is held up, in sum, for memory or for the disk that
// temporary files are on. It is short beside a commit on a slow disk, and long beside
// the moment that a burst takes to find its memory free again.
const defaultGrace = 50 * time.Millisecond

// grace is what is left of that for one call. Its request and its response may spend it at once.
type grace struct{ left atomic.Int64 }

func (g *grace) reset(d time.Duration) { g.left.Store(int64(d)) }

// spend runs wait with a context that ends when the grace does.
func (g *grace) spend(wait func(ctx context.Context) error) error {
	left := time.Duration(g.left.Load())
	if left <= 0 {
		return context.DeadlineExceeded
	}
	start := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), left)
	defer cancel()
	err := wait(ctx)
	g.left.Add(-int64(time.Since(start)))
	return err
}

// take takes n of b, at once or within the grace.
func (g *grace) take(b *budget, n int64) (int64, error) {
	if got, ok := b.try(n); ok {
		return got, nil
	}
	var got int64
	err := g.spend(func(ctx context.Context) (err error) {
		got, err = b.acquire(ctx, n)
		return err
	})
	return got, err
}
