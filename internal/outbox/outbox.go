// Package outbox takes records from a queue on this machine to a queue elsewhere, so that no
// call ever waits for the one elsewhere.
//
// What a newcomer gets wrong: a record leaves the machine's queue only when the other one has
// it, so what is sent twice (after a crash in between) is normal, and what is lost in between does
// not exist. Being unable to send is no reason to give a record up: it waits on disk. The bucket
// is for two cases only, a disk that fills up and a process that ends for good.
package outbox

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/tapway/tapway"
)

// Local is the machine's queue; *diskqueue.Queue is one.
type Local interface {
	Subscribe(destination string) (tapway.Subscription, error)
	Stats(ctx context.Context) (tapway.Stats, error)
}

// Outbox takes records from Local to where Send sends them. Make it with New.
type Outbox struct {
	Config
	dests    []*destination
	spillNow chan struct{} // closed when the process ends and everything is to go into the bucket
}

// Config is what an Outbox is made from. Local, Send and Destinations are required.
type Config struct {
	Local        Local
	Destinations []string

	// Send brings a record to one destination's queue and returns nil when that has it. It has
	// tried as long as it makes sense to.
	Send func(ctx context.Context, ex *tapway.Exchange, destination string) error

	// Bucket takes records when Local is nearly full and when the process ends, if they cannot
	// be sent then. nil: they stay in Local.
	Bucket tapway.BlobStore

	MaxPause time.Duration // between two tries while nothing can be sent; 0: 15 s
	Log      *slog.Logger  // nil: slog.Default
}

// New makes an Outbox and its positions in Local. It starts nothing.
func New(c Config) (*Outbox, error) {
	c.MaxPause = cmp.Or(c.MaxPause, 15*time.Second)
	c.Log = cmp.Or(c.Log, slog.Default())
	o := &Outbox{Config: c, spillNow: make(chan struct{})}
	for _, name := range c.Destinations {
		sub, err := c.Local.Subscribe(name)
		if err != nil {
			return nil, err
		}
		o.dests = append(o.dests, newDestination(o, name, sub))
	}
	return o, nil
}

// Run sends until ctx ends; what is under way then is put back. It returns nil.
func (o *Outbox) Run(ctx context.Context) error {
	var all sync.WaitGroup
	for _, d := range o.dests {
		all.Go(func() { d.run(ctx) })
	}
	all.Wait()
	return nil
}

// Err is why records cannot be sent at present, nil while they can.
func (o *Outbox) Err() error {
	var errs []error
	for _, d := range o.dests {
		if err := d.inTrouble(); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Flush waits until Local is empty; the capture must have ended. From when nothing can be sent,
// or two thirds of ctx's time are over, the bucket takes what is left, if there is one. What
// is still there when ctx ends stays in Local, for the next process: Flush gives its number.
// It is called once, while Run runs.
func (o *Outbox) Flush(ctx context.Context) (left uint64) {
	begun := time.Now()
	end, bounded := ctx.Deadline()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	spilling := o.Bucket == nil
	for {
		var err error
		if left, err = o.queued(ctx); err != nil || left == 0 {
			return left
		}
		if !spilling && (o.Err() != nil || bounded && time.Since(begun) > end.Sub(begun)*2/3) {
			spilling = true
			close(o.spillNow)
		}
		if spilling && o.Bucket == nil && o.Err() != nil {
			return left // there is nothing to wait for
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return left
		}
	}
}

// queued is how many records are in Local for somebody.
func (o *Outbox) queued(ctx context.Context) (n uint64, err error) {
	s, err := o.Local.Stats(context.WithoutCancel(ctx))
	for _, d := range s.Destinations {
		if slices.Contains(o.Destinations, d.Destination) {
			n += d.Queued
		}
	}
	return n, err
}

// full reports whether Local is about to take no more.
func (o *Outbox) full(ctx context.Context) bool {
	s, err := o.Local.Stats(ctx)
	return err == nil && s.Limit > 0 && s.Bytes > s.Limit/5*4
}

// ending reports whether Flush wants everything in the bucket.
func (o *Outbox) ending() bool {
	select {
	case <-o.spillNow:
		return true
	default:
		return false
	}
}
