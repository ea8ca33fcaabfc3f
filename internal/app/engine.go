package app

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/admin"
	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/queue/diskqueue"
)

// engine is the queue of a process: the one on its disk, or the one on SQS.
type engine interface {
	tapway.Queue

	// Run does what is to be done in the background until ctx ends.
	Run(ctx context.Context) error

	// storable tells why records cannot be stored, nil if they can.
	storable() error

	// warning tells what is wrong although records can be stored, nil if nothing is.
	warning() error

	// windUp gives what was captured a moment to go out when the process ends. Workers still
	// run, calls do not.
	windUp(most time.Duration, ds *destinations)

	// warnLeft names destinations for which this machine keeps records although nobody asks for
	// them: they use disk for ever.
	warnLeft(names []string)

	// figures are for metrics.
	figures(ctx context.Context) figures

	// serve gives the admin API what it reads.
	serve(s *admin.Server)
}

// figures are what metrics show of a queue.
type figures struct {
	ledger    *tapway.Ledger // nil when it cannot be had; without lines when only they cannot
	store     *tapway.Stats  // the queue's, on this machine; nil: it is elsewhere
	outbox    *tapway.Stats  // of what waits to be sent to a queue elsewhere; nil: there is none
	reachable *bool          // whether a queue elsewhere answers; nil: it is not elsewhere
}

// openEngine opens the queue that the configuration names. forwards: records are only
// delivered.
func openEngine(c *config.Config, log *slog.Logger, forwards bool) (engine, error) {
	if c.Queue != "disk" {
		return openSQS(c, log, forwards)
	}
	q, err := openQueue(c, log)
	if err != nil {
		return nil, err
	}
	return &diskEngine{Queue: q, probe: probe{dir: c.Data}, log: log}, nil
}

// diskEngine is the queue on this machine's disk.
type diskEngine struct {
	*diskqueue.Queue
	probe probe
	log   *slog.Logger
}

func (e *diskEngine) storable() error {
	if _, err := e.Stats(context.Background()); err != nil {
		return err
	}
	return e.probe.ask(time.Now())
}

func (e *diskEngine) warning() error { return nil }

func (e *diskEngine) windUp(most time.Duration, ds *destinations) { ds.drain(min(most, 2*time.Second)) }

func (e *diskEngine) warnLeft(names []string) {
	s, err := e.Stats(context.Background())
	if err != nil {
		return
	}
	for _, d := range s.Destinations {
		if !slices.Contains(names, d.Destination) {
			e.log.Warn("records are kept for a destination that is not configured; `tapway queue forget` gives them up",
				"destination", d.Destination, "queued", d.Queued, "dead", d.Dead)
		}
	}
}

func (e *diskEngine) figures(ctx context.Context) (f figures) {
	if l, err := e.Ledger(ctx); err == nil {
		f.ledger = &l
	}
	if s, err := e.Stats(ctx); err == nil {
		f.store = &s
	}
	return f
}

func (e *diskEngine) serve(s *admin.Server) { s.Store = e.Queue }

// probe tries whether a directory can be written.
type probe struct {
	dir string

	mu   sync.Mutex
	when time.Time
	err  error
}

// ask tries at most once a second: whoever asks without a token must not cost more.
func (p *probe) ask(now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Sub(p.when) >= time.Second {
		p.when, p.err = now, writable(p.dir)
	}
	return p.err
}

// writable writes a block into dir and removes it.
func writable(dir string) error {
	f, err := os.CreateTemp(dir, ".ready-*")
	if err != nil {
		return fmt.Errorf("the data directory cannot be written: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(make([]byte, 4096))
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("the data directory cannot be written: %w", err)
	}
	return nil
}
