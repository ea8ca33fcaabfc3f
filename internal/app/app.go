// Package app builds a running tapway from a configuration. It is the only package that
// knows all the others: the stages meet here, through http.Handler, http.RoundTripper and
// the words of the root package.
//
// What a newcomer gets wrong: what can change while it runs (routes, rules, destinations,
// certificates) is behind a swap in [App.Reload]; everything else needs a restart, and
// Reload says so instead of half doing it.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/access"
	"github.com/tapway/tapway/internal/accesslog"
	"github.com/tapway/tapway/internal/admin"
	"github.com/tapway/tapway/internal/cache"
	"github.com/tapway/tapway/internal/capture"
	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/console"
	"github.com/tapway/tapway/internal/egress"
	"github.com/tapway/tapway/internal/http1"
	"github.com/tapway/tapway/internal/mcp"
	"github.com/tapway/tapway/internal/proxy"
	"github.com/tapway/tapway/internal/series"
	"github.com/tapway/tapway/internal/stages"
)

// Options is what does not come from the configuration.
type Options struct {
	Version string
	Log     *slog.Logger  // nil: slog.Default()
	Source  config.Source // where Reload reads the configuration again

	// Rules makes further rules of the gate, at the start and at every reload; nil: none.
	Rules func() ([]access.Decider, error)

	// Explain tells an agent which access rule decides about a call; nil: it is not offered.
	Explain func(context.Context, mcp.Call) (any, error)
}

// App is gateway, queue, forwarder and admin API in one process. Make it with New, run it
// with Run.
type App struct {
	options Options
	data    string        // directory; only a restart changes it
	lease   time.Duration // of the queue; likewise
	log     *slog.Logger
	metrics *metrics

	queue        engine
	recorder     *capture.Recorder
	gate         gate
	shown        *lastShown
	series       *series.Series
	cache        *cache.Cache
	proxy        *proxy.Handler
	rules        stages.Rules
	certificate  certificate
	tunnels      tunnels
	destinations *destinations
	alarms       *alarms
	server       *http1.Server
	listener     net.Listener
	adminServer  *http.Server
	adminLis     net.Listener

	once   *once
	health health

	telemetry *telemetry     // nil: there is no collector
	accessLog *accesslog.Log // nil: there is none

	mu     sync.Mutex // of what Reload changes
	config *config.Config
	routes *stages.Routes
	way    *egress.Dialer
}

// New opens the queue and the listeners, and builds everything from c. Nothing is served
// before Run. The error says what to do.
func New(c *config.Config, o Options) (*App, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	a := &App{options: o, data: c.Data, lease: lease(c.Destinations), log: o.Log, config: c, metrics: newMetrics(), once: newOnce(o.Version)}
	if err := a.build(c); err != nil {
		a.close()
		return nil, err
	}
	return a, nil
}

// build makes the parts; what it has opened before an error, close closes.
func (a *App) build(c *config.Config) (err error) {
	if a.way, err = wayOut(c, a.metrics, a.log); err != nil {
		return err
	}
	a.once.use(a.way)
	if err = a.openTelemetry(c); err != nil {
		return err
	}
	if a.routes, err = stages.NewRoutes(c, a.way); err != nil {
		return err
	}
	set, err := stages.NewRuleSet(c)
	if err != nil {
		return err
	}
	a.rules.Set(set)
	if a.listener, err = listen("the gateway", c.Listen); err != nil {
		return err
	}
	a.listener = a.guard(c, a.listener)
	if c.Admin.Listen != "off" {
		if a.adminLis, err = listen("the admin API", c.Admin.Listen); err != nil {
			return err
		}
	}
	if a.queue, err = openEngine(c, a.log, false); err != nil {
		return err
	}
	a.writeAddress(c.Data)
	a.proxy = proxy.New(a.routes.Settings(c, a.rules.Redact, a.log))
	kept, err := a.routes.CacheSettings(c, a.proxy.Refuse, a.log)
	if err != nil {
		return err
	}
	a.cache = cache.New(kept)
	if err = a.openGate(c); err != nil {
		return err
	}
	a.openFigures(c)
	a.recorder = &capture.Recorder{
		Queue: a.queue, Redact: a.rules.Redact, Decide: a.rules.Decide,
		MaxBody: int64(c.Capture.MaxBody), Memory: int64(c.Capture.Memory), SpoolDir: filepath.Join(c.Data, "spool"),
		Refuse: c.Capture.OnFailure == "refuse", Observe: a.observe, Ended: a.ended, Log: a.log,
	}
	if err = a.newServer(c); err != nil {
		return err
	}
	a.alarms = newAlarms(c, a.options, a.queue, a.log)
	targets, err := alarmTargets(c, a.way)
	if err != nil {
		return err
	}
	a.alarms.use(c, targets)
	a.destinations = &destinations{queue: a.queue, version: a.options.Version, log: a.log, metrics: a.metrics, attempted: a.alarms.attempt, telemetry: a.telemetry,
		pauses: openPauses(c.Data, c.Destinations, a.queue, a.log)}
	if err = a.destinations.set(c.Destinations, a.way); err != nil {
		return err
	}
	a.alarms.names = a.destinations.names
	a.metrics.watch(a.queue, a.recorder, a.destinations)
	a.metrics.registry.MustRegister(a.alarms)
	a.metrics.registry.MustRegister(cacheCollector{a.cache})
	a.adminServer = newAdminServer(a.admin(c), a.log)
	return nil
}

func newAdminServer(s *admin.Server, log *slog.Logger) *http.Server {
	return &http.Server{Handler: s.Handler(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
}

func listen(what, addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s cannot listen: %w; stop what listens there or choose another address", what, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%s cannot listen: %w", what, err)
	}
	return l, nil
}

// newServer makes the front.
func (a *App) newServer(c *config.Config) error {
	handler := a.tunnels.wrap(a.recorder.Wrap(a.telemetry.wrap(a.gate.Wrap(a.cache.Wrap(a.proxy)))))
	a.server = &http1.Server{
		Handler: handler, BadRequest: a.badRequest,
		ReadHeaderTimeout: limit(c.Limits.HeaderTimeout), IdleTimeout: limit(c.Limits.IdleTimeout),
		ReadTimeout: limit(c.Limits.BodyTimeout), WriteTimeout: limit(c.Limits.WriteTimeout),
		MaxHeaderBytes: int(c.Limits.HeaderBytes), MaxHeaders: c.Limits.Headers, MaxConns: c.Limits.Connections,
		H2C: c.H2C, ErrorLog: a.log,
	}
	if c.TLS == nil {
		return nil
	}
	settings, err := a.certificate.load(c.TLS)
	a.server.TLSConfig = settings
	return err
}

// limit turns the configuration's 0, no limit, into http1's.
func limit(d config.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d.D()
}

// badRequest answers a request that never reached the stages, and records it.
func (a *App) badRequest(w http.ResponseWriter, r *http.Request, reason *http1.ProtocolError) {
	a.recorder.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.proxy.Refuse(w, r, reason.Status, "Bad request: "+reason.Reason+".", "bad request: "+reason.Reason)
	})).ServeHTTP(w, r)
}

// Addr is where the gateway listens, AdminAddr where the admin API does ("" if it is off).
func (a *App) Addr() string { return a.listener.Addr().String() }

func (a *App) AdminAddr() string {
	if a.adminLis == nil {
		return ""
	}
	return a.adminLis.Addr().String()
}

// Run serves until ctx ends, then lets calls under way end within limits.shutdown, gives
// deliveries a moment, and closes the queue. What was not delivered stays queued.
func (a *App) Run(ctx context.Context) error { return a.RunNotify(ctx, func() {}) }

// RunNotify is Run that calls ready once calls are served.
func (a *App) RunNotify(ctx context.Context, ready func()) error {
	defer a.close()
	upkeep, stopUpkeep := context.WithCancel(context.WithoutCancel(ctx)) // outlives ctx: it ends after the last call
	defer stopUpkeep()
	failed := make(chan error, 8)
	var tasks sync.WaitGroup
	start := func(what string, run func() error) {
		tasks.Go(func() {
			if err := run(); err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, context.Canceled) {
				failed <- fmt.Errorf("%s: %w", what, err)
			}
		})
	}
	start("queue", func() error { return a.queue.Run(upkeep) })
	start("telemetry", func() error { return a.telemetry.Run(upkeep) })
	start("access log", func() error { return a.writeAccessLog(upkeep) })
	start("API keys", func() error { return a.gate.run(upkeep) })
	tasks.Go(func() { a.runFigures(upkeep) })
	a.destinations.start()
	start("alarms", func() error { return a.alarms.watch.Run(upkeep) })
	start("gateway", func() error { return a.server.Serve(a.listener) })
	if a.adminLis != nil {
		from := newAdminListener(a.adminLis, a.config.Admin.Connections, a.log)
		start("admin API", func() error { return from.serve(a.adminServer) })
	}
	a.health.serving.Store(true)
	a.log.Info("serving", "gateway", a.Addr(), "admin", a.AdminAddr(), "data", a.config.Data, "queue", a.config.Queue, "destinations", a.destinations.names(), "version", a.options.Version)
	a.queue.warnLeft(a.destinations.names())
	ready()

	var err error
	select {
	case <-ctx.Done():
		a.log.Info("stopping: calls under way end, records are delivered")
	case err = <-failed:
		a.log.Error("stopping", "err", err)
	}
	a.health.serving.Store(false)
	err = errors.Join(err, a.stop())
	stopUpkeep()
	tasks.Wait()
	a.removeAddress() // before the lock goes: the next process writes its own
	err = errors.Join(err, a.queue.Close())
	a.log.Info("stopped")
	return err
}

// stop ends the front, then the deliveries, then the admin API.
func (a *App) stop() error {
	a.mu.Lock()
	window := a.config.Limits.ShutdownWindow.D()
	a.mu.Unlock()
	deadline, cancel := context.WithTimeout(context.Background(), window)
	defer cancel()
	err := a.server.Shutdown(deadline)
	if errors.Is(err, context.DeadlineExceeded) {
		a.log.Warn("calls still under way were cut off", "after", window)
		err = a.server.Close()
	}
	a.tunnels.end()
	a.cache.Close()
	a.awaitRecords()
	a.queue.windUp(window/4, a.destinations)
	a.destinations.stop()
	a.adminServer.Close()
	a.once.close()
	a.mu.Lock()
	a.routes.Close()
	a.mu.Unlock()
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return err
}

// close releases what New opened; what is closed already does not mind.
func (a *App) close() {
	if a.listener != nil {
		a.listener.Close()
	}
	if a.adminLis != nil {
		a.adminLis.Close()
	}
	if a.queue != nil {
		a.removeAddress()
		a.queue.Close()
	}
	if a.series != nil {
		a.series.Close()
	}
}

// observe is told of every call by the capture.
func (a *App) observe(ex *tapway.Exchange, err error, took time.Duration) {
	a.metrics.call(ex, err, took)
	a.alarms.call(ex)
	a.series.Add(series.Call{Status: ex.Status, Took: ex.Duration, In: ex.RequestSize, Out: ex.ResponseSize})
	a.health.stored(err)
	if a.rules.LogCalls() {
		a.log.Info("call", "id", ex.ID, "method", ex.Method, "path", ex.Path, "status", ex.Status, "duration", ex.Duration,
			"overhead", ex.Overhead, "client", ex.ClientIP, "origin", ex.Origin, "route", ex.Route, "error", ex.Error)
	}
}

// serveAgents adds /mcp to an admin API.
func serveAgents(s *admin.Server, c *config.Config, o Options, log *slog.Logger) {
	if c.Admin.MCP != "read" && c.Admin.MCP != "write" {
		return
	}
	client := admin.Local(s)
	s.MCP = &mcp.Server{
		Version: o.Version, Write: c.Admin.MCP == "write", Log: log, Explain: o.Explain,
		Open: func(context.Context) (*admin.Client, func(), error) { return client, func() {}, nil },
	}
}

// admin builds the admin API.
func (a *App) admin(c *config.Config) *admin.Server {
	s := &admin.Server{
		Version: a.options.Version, Token: c.Admin.Token, Log: a.log,
		Ready: a.ready, Reload: a.Reload, Live: a.destinations.live, Metrics: a.metrics.handler(),
		Deliver: a.once.deliver, Resend: a.once.resend,
		Console: console.Handler(), Gateway: a.gatewayURL(c), Routes: a.routeList,
	}
	s.Cache, s.Alarms = a.cache, a.alarms.watch
	s.LoginRefused = a.metrics.loginRefused
	s.Series, s.Keys = a.series, a.keyList
	a.queue.serve(s)
	serveAgents(s, c, a.options, a.log)
	return s
}
