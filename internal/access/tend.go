package access

import (
	"context"
	"time"
)

// Tender is a Decider that has to be looked after while it is in force: keys to fetch, a file to
// read again.
type Tender interface {
	Decider

	// Tend does what is due. It is called every TendEvery, never twice at once.
	Tend(ctx context.Context, now time.Time)
}

// TendEvery is how often the rules in force are looked after.
const TendEvery = time.Second

// Run looks after the rules in force until ctx ends. Where it does not run, as on Lambda, a call
// that needs what is due waits for it.
func (g *Gate) Run(ctx context.Context) error {
	tick := time.NewTicker(TendEvery)
	defer tick.Stop()
	for {
		g.tend(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (g *Gate) tend(ctx context.Context) {
	c := g.chain.Load()
	for _, d := range c.deciders {
		if t, ok := d.(Tender); ok && ctx.Err() == nil {
			t.Tend(ctx, c.now())
		}
	}
}
