package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tapway/tapway/internal/admin"
	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/console"
	"github.com/tapway/tapway/internal/egress"
	"github.com/tapway/tapway/internal/queue/sqsqueue"
)

// Forwarder delivers what an SQS queue holds: an App without its gateway. Any number of them
// can share a queue. Make it with NewForwarder, run it with Run.
type Forwarder struct {
	options Options
	lease   time.Duration // of the queue; only a restart changes it
	log     *slog.Logger
	metrics *metrics

	queue        engine
	destinations *destinations
	once         *once
	telemetry    *telemetry // nil: there is no collector
	adminServer  *http.Server
	adminLis     net.Listener // nil: the admin API is off
	serving      atomic.Bool

	mu     sync.Mutex // of what Reload changes
	config *config.Config
	way    *egress.Dialer
}

// ErrNothingToForward says that a configuration has nothing a Forwarder could do.
var ErrNothingToForward = errors.New("there is nothing to forward")

// NewForwarder builds everything from c, which names an SQS queue and a destination. It makes
// no call and keeps nothing on disk.
func NewForwarder(c *config.Config, o Options) (*Forwarder, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if c.Queue == "disk" {
		return nil, fmt.Errorf("%w: queue: disk is inside `tapway serve`, which delivers by itself; set queue: sqs://NAME (--queue, TAPWAY_QUEUE)", ErrNothingToForward)
	}
	if len(c.Destinations) == 0 {
		return nil, fmt.Errorf("%w: there is nowhere to deliver to; set destinations (--destination, TAPWAY_DESTINATION)", ErrNothingToForward)
	}
	f := &Forwarder{options: o, lease: lease(c.Destinations), log: o.Log, config: c, metrics: newMetrics(), once: newOnce(o.Version)}
	if err := f.build(c); err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

// build makes the parts; what it has opened before an error, close closes.
func (f *Forwarder) build(c *config.Config) (err error) {
	if f.way, err = wayOut(c, f.metrics, f.log); err != nil {
		return err
	}
	f.once.use(f.way)
	if f.telemetry, err = newTelemetry(c, f.way, f.metrics, f.options.Version, f.log); err != nil {
		return fmt.Errorf("telemetry: %w", err)
	}
	if c.Admin.Listen != "off" {
		if f.adminLis, err = listen("the admin API", c.Admin.Listen); err != nil {
			return err
		}
	}
	if f.queue, err = openEngine(c, f.log, true); err != nil {
		return err
	}
	f.destinations = &destinations{queue: f.queue, version: f.options.Version, log: f.log, metrics: f.metrics, telemetry: f.telemetry}
	if err = f.destinations.set(c.Destinations, f.way); err != nil {
		return err
	}
	f.metrics.watch(f.queue, nil, f.destinations)
	s := &admin.Server{
		Version: f.options.Version, Token: c.Admin.Token, Log: f.log,
		Ready: f.ready, Reload: f.Reload, Live: f.destinations.live, Metrics: f.metrics.handler(),
		Deliver: f.once.deliver, Resend: f.once.resend, Console: console.Handler(),
	}
	s.LoginRefused = f.metrics.loginRefused
	f.queue.serve(s)
	serveAgents(s, c, f.options, f.log)
	f.adminServer = newAdminServer(s, f.log)
	return nil
}

// AdminAddr is where the admin API listens, "" if it is off.
func (f *Forwarder) AdminAddr() string {
	if f.adminLis == nil {
		return ""
	}
	return f.adminLis.Addr().String()
}

// Run delivers until ctx ends; then it lets attempts under way end and returns the rest to the
// queue for others. It fails at once when SQS refuses the queue; when SQS does not answer, it
// waits for it.
func (f *Forwarder) Run(ctx context.Context) error { return f.RunNotify(ctx, func() {}) }

// RunNotify is Run that calls ready once records are delivered.
func (f *Forwarder) RunNotify(ctx context.Context, ready func()) error {
	defer f.close()
	if err := f.queue.(*sqsEngine).find(ctx); sqsqueue.Refused(err) {
		return fmt.Errorf("the queue cannot be used: %w", err)
	}
	if f.config.Bucket == "" {
		f.log.Warn("there is no bucket: records that are larger than the queue takes cannot be read, and wait in the queue; set bucket (TAPWAY_BUCKET)")
	}
	upkeep, stopUpkeep := context.WithCancel(context.WithoutCancel(ctx)) // outlives ctx: it ends after the last attempt
	defer stopUpkeep()
	failed := make(chan error, 4)
	var tasks sync.WaitGroup
	start := func(what string, run func() error) {
		tasks.Go(func() {
			if err := run(); err != nil && !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("%s: %w", what, err)
			}
		})
	}
	start("queue", func() error { return f.queue.Run(upkeep) })
	start("telemetry", func() error { return f.telemetry.Run(upkeep) })
	f.destinations.start()
	if f.adminLis != nil {
		from := newAdminListener(f.adminLis, f.config.Admin.Connections, f.log)
		start("admin API", func() error { return from.serve(f.adminServer) })
	}
	f.serving.Store(true)
	if len(f.config.Alarms.Notify) > 0 {
		f.log.Warn("alarms.notify has no effect here: alarms are watched by `tapway serve`, those of the queues by CloudWatch")
	}
	f.log.Info("forwarding", "queue", f.config.Queue, "admin", f.AdminAddr(), "destinations", f.destinations.names(), "version", f.options.Version)
	ready()

	var err error
	select {
	case <-ctx.Done():
		f.log.Info("stopping: attempts under way end, the rest goes back to the queue")
	case err = <-failed:
		f.log.Error("stopping", "err", err)
	}
	f.serving.Store(false)
	f.destinations.stop()
	f.adminServer.Close()
	f.once.close()
	stopUpkeep()
	tasks.Wait()
	err = errors.Join(err, f.queue.Close())
	f.log.Info("stopped")
	return err
}

// close releases what NewForwarder opened; what is closed already does not mind.
func (f *Forwarder) close() {
	if f.adminLis != nil {
		f.adminLis.Close()
	}
	if f.queue != nil {
		f.queue.Close()
	}
}

func (f *Forwarder) ready() (warning string, err error) {
	if !f.serving.Load() {
		return "", errors.New("not delivering: starting or stopping")
	}
	return text(f.queue.warning()), nil
}

// Reload is App.Reload for the destinations and the way to them, which is all that can change here.
func (f *Forwarder) Reload() (restart []string, err error) {
	restart, err = f.reload()
	if err != nil {
		f.log.Error("reload refused, the old configuration stays in force", "err", err)
	}
	return restart, err
}

func (f *Forwarder) reload() ([]string, error) {
	c, err := readAgain(f.options.Source)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	restart := keepBack(c, f.config, f.lease)
	if len(c.Destinations) == 0 {
		return nil, fmt.Errorf("%w: the new configuration has no destination", ErrNothingToForward)
	}
	way := f.way
	if !reflect.DeepEqual(c.Egress, f.config.Egress) {
		if way, err = wayOut(c, f.metrics, f.log); err != nil {
			return nil, err
		}
	}
	plan, err := f.destinations.plan(c.Destinations, way)
	if err != nil {
		return nil, err
	}
	f.config, f.way = c, way
	f.once.use(way)
	f.telemetry.use(way)
	f.destinations.apply(plan)
	f.log.Info("reloaded", "file", f.options.Source.File, "destinations", f.destinations.names())
	warnRestart(f.log, restart)
	return restart, nil
}
