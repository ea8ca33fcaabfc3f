package app

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/tapway/tapway/internal/admin"
	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/delivery"
	"github.com/tapway/tapway/internal/egress"
	"github.com/tapway/tapway/internal/http1"
	"github.com/tapway/tapway/internal/stages"
)

// destinations are the workers, one for each destination.
type destinations struct {
	queue   engine
	version string
	log     *slog.Logger
	metrics *metrics
	pauses  *delivery.Pauses

	attempted func(delivery.Attempt) // is told of every request; nil: nobody is
	telemetry *telemetry             // nil: there is no collector

	mu      sync.Mutex
	all     []*destination
	running bool
}

// destination is one worker with the configuration it was made from.
type destination struct {
	config    config.Destination
	way       *egress.Dialer
	worker    *delivery.Worker
	transport *http1.Transport
	pauses    *delivery.Pauses

	cancel context.CancelFunc
	done   chan struct{} // closed when Run has returned
}

// set makes the workers without starting them.
func (ds *destinations) set(list []config.Destination, way *egress.Dialer) error {
	plan, err := ds.plan(list, way)
	if err != nil {
		return err
	}
	ds.apply(plan)
	return nil
}

// plan makes what list asks for and changes nothing: a destination that stays as it is, and
// whose connections were let out by the same way, keeps its worker.
func (ds *destinations) plan(list []config.Destination, way *egress.Dialer) ([]*destination, error) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	var plan []*destination
	for _, c := range list {
		i := slices.IndexFunc(ds.all, func(d *destination) bool { return d.way == way && reflect.DeepEqual(d.config, c) })
		if i >= 0 {
			plan = append(plan, ds.all[i])
			continue
		}
		d, err := ds.make(c, way)
		if err != nil {
			return nil, fmt.Errorf("destination %q: %w", c.Name, err)
		}
		plan = append(plan, d)
	}
	// Positions come last: a destination that another one's mistake keeps out must not begin
	// to queue.
	for _, d := range plan {
		if d.worker.Sub == nil {
			sub, err := ds.queue.Subscribe(d.config.Name)
			if err != nil {
				return nil, fmt.Errorf("destination %q: %w", d.config.Name, err)
			}
			d.worker.Sub = sub
		}
	}
	return plan, nil
}

// make builds one destination, still without its position in the queue.
func (ds *destinations) make(c config.Destination, way *egress.Dialer) (*destination, error) {
	d, err := stages.NewDestination(c, way, ds.version, ds.observe)
	if err != nil {
		return nil, err
	}
	d.Sender.Begin = ds.telemetry.sender()
	worker := &delivery.Worker{Sender: d.Sender, Match: d.Match, Concurrency: c.Concurrency, Log: ds.log}
	if reason, paused := ds.pauses.Reason(c.Name); paused {
		worker.Pause(reason)
	}
	return &destination{config: c, way: way, worker: worker, transport: d.Transport, pauses: ds.pauses}, nil
}

func (ds *destinations) observe(at delivery.Attempt) {
	ds.metrics.attempt(at)
	if ds.attempted != nil {
		ds.attempted(at)
	}
}

// apply stops what the plan leaves out and starts what it adds. A destination that changed
// stops before its successor starts, so that nothing is sent twice by the change, and one
// that an operator paused stays paused.
func (ds *destinations) apply(plan []*destination) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	var gone []*destination
	for _, d := range ds.all {
		if !slices.Contains(plan, d) {
			gone = append(gone, d)
		}
	}
	var ending sync.WaitGroup
	for _, d := range gone {
		ending.Go(d.end)
	}
	ending.Wait()
	old := ds.all
	ds.all = plan
	for _, d := range plan {
		d.inheritPause(gone)
	}
	if ds.running {
		for _, d := range plan {
			if !slices.Contains(old, d) {
				d.begin(ds.log)
			}
		}
	}
}

// inheritPause keeps a destination paused when only its settings have changed. One that
// paused itself (410) is tried again when its URL is another.
func (d *destination) inheritPause(gone []*destination) {
	for _, before := range gone {
		s := before.worker.State()
		if before.config.Name == d.config.Name && s.Phase == delivery.Paused && (s.PausedBy == "operator" || before.config.URL == d.config.URL) {
			d.worker.Inherit(s)
		}
	}
}

func (ds *destinations) start() {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	ds.running = true
	for _, d := range ds.all {
		d.begin(ds.log)
	}
}

func (d *destination) begin(log *slog.Logger) {
	ctx, cancel := context.WithCancel(context.Background())
	d.cancel, d.done = cancel, make(chan struct{})
	go func() {
		defer close(d.done)
		if err := d.worker.Run(ctx); err != nil {
			log.Error("delivery stopped", "destination", d.config.Name, "err", err)
		}
	}()
}

// end stops receiving, and waits for the attempts under way.
func (d *destination) end() {
	if d.cancel != nil {
		d.cancel()
		<-d.done
	}
	d.transport.CloseIdleConnections()
}

func (ds *destinations) stop() {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	ds.running = false
	var ending sync.WaitGroup
	for _, d := range ds.all {
		ending.Go(d.end)
	}
	ending.Wait()
}

// drain waits until every destination that works has all it can get, at most for the time
// given. One that is down is not waited for: its records stay queued.
func (ds *destinations) drain(most time.Duration) {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(most); time.Now().Before(end); <-ticker.C {
		if !ds.pending() {
			return
		}
	}
}

func (ds *destinations) pending() bool {
	l, err := ds.queue.Ledger(context.Background())
	if err != nil {
		return false
	}
	ds.mu.Lock()
	defer ds.mu.Unlock()
	for _, d := range ds.all {
		if d.worker.State().Phase != delivery.Closed {
			continue
		}
		for _, line := range l.Destinations {
			if line.Destination == d.config.Name && line.Queued > 0 {
				return true
			}
		}
	}
	return false
}

// PauseAll stops every delivery until an operator resumes it; records stay queued.
func (a *App) PauseAll(reason string) {
	for _, d := range a.destinations.live() {
		d.Pause(reason)
	}
}

func (ds *destinations) names() []string {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	var names []string
	for _, d := range ds.all {
		names = append(names, d.config.Name)
	}
	return names
}

// live gives the destinations to the admin API.
func (ds *destinations) live() []admin.Destination {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	out := make([]admin.Destination, len(ds.all))
	for i, d := range ds.all {
		out[i] = d
	}
	return out
}

// Name, Pause, Resume and State are what the admin API wants of a destination.
func (d *destination) Name() string { return d.config.Name }

func (d *destination) State() admin.DestinationState {
	s := d.worker.State()
	return admin.DestinationState{
		Destination: d.config.Name, URL: d.config.URL, State: string(s.Phase), Reason: s.Reason, Since: s.Since, Next: s.NextProbe,
		InFlight: s.InFlight, Failures: s.Failures, LastError: s.LastError, LastSuccess: s.LastSuccess,
	}
}
