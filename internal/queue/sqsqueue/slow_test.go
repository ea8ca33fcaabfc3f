package sqsqueue

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/queue/queuetest"
)

// slowBlobs answers a Get after some time.
type slowBlobs struct {
	*mapBlobs
	takes time.Duration
}

func (b *slowBlobs) Get(ctx context.Context, key string) ([]byte, error) {
	select {
	case <-time.After(b.takes):
		return b.mapBlobs.Get(ctx, key)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// TestSlowStore: a blob store that does not answer holds up large records, and the small ones that were received
// with them hardly. One that is only slow gets the time it takes.
func TestSlowStore(t *testing.T) {
	for _, takes := range []time.Duration{time.Hour, 15 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, func(w *world, c *Config) {
				onlyA(w, c)
				c.Lease = 2 * time.Minute
				c.Claims.Store = &slowBlobs{w.blobs, takes}
			})
			if err := w.q.Enqueue(t.Context(), queuetest.Exchange(0, 2<<20)); err != nil {
				t.Fatal(err)
			}
			s := w.subscribe("a")
			large := false
			for round := range 8 {
				w.enqueue(1+3*round, 4+3*round)
				start := time.Now()
				for small := 0; small < 3; {
					msgs := w.receive(s, 10)
					for _, m := range msgs {
						if w.number(m) == 0 {
							large = true
						} else {
							small++
						}
					}
					w.settle(s, tapway.Outcome{Verdict: tapway.Delivered}, msgs...)
				}
				if took := time.Since(start); round == 0 && took > 6*time.Second {
					t.Errorf("small records came after %v", took)
				}
				time.Sleep(40 * time.Second)
			}
			if large != (takes < time.Minute) {
				t.Errorf("the large record came: %v", large)
			}
		})
	}
}
