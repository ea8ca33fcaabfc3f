package lambdaapp

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/capture"
	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/egress"
	"github.com/tapway/tapway/internal/lambdahttp"
	"github.com/tapway/tapway/internal/lambdaruntime"
	"github.com/tapway/tapway/internal/proxy"
	"github.com/tapway/tapway/internal/quietnet"
	"github.com/tapway/tapway/internal/stages"
)

const (
	// windUp is kept free between the last try to send a record and the invocation's deadline.
	windUp = 500 * time.Millisecond

	// reserve is kept free between the end of a call and the invocation's deadline, for the
	// reply and for the record; but at most a quarter of the time there is.
	reserve = 2 * time.Second
)

// proxyFunction passes calls on: the same handler as on one machine, behind the doors of the
// AWS fronts.
type proxyFunction struct {
	door    *lambdahttp.Door
	sender  *sender
	metrics *metrics
	count   counting
	log     *slog.Logger
	timeout time.Duration // of a call to the backend; 0: none
	tables  *tables       // nil: routes come from the configuration alone
	routes  *stages.Routes
	last    atomic.Int64 // end of the last call, in nanoseconds since 1970
	warned  atomic.Bool
}

// newProxy builds the stages. memory is the function's, 0 if not known.
func newProxy(ctx context.Context, c *config.Config, cloud *cloud, s *sender, count counting, m *metrics, log *slog.Logger, memory int64) (*proxyFunction, error) {
	way, err := wayOut(c, m, log)
	if err != nil {
		return nil, err
	}
	if len(c.Cache.Routes) > 0 {
		return nil, &SettingsError{"cache: a function keeps no answers: every execution environment would have its own; remove cache.routes, or use the cache of the API Gateway's stage"}
	}
	if c.Telemetry.On() || c.AccessLog.Path != "" {
		log.Warn("telemetry and access_log are not for functions: their metrics and lines are in CloudWatch, and traceparent passes through")
	}
	functions := newFunctions(cloud.base, cloud.lambdaEndpoint, log)
	routes, err := ownRoutes(ctx, c, cloud, way, functions)
	if err != nil {
		return nil, err
	}
	set, err := stages.NewRuleSet(c)
	if err != nil {
		return nil, &SettingsError{err.Error()}
	}
	rules := new(stages.Rules)
	rules.Set(set)
	settings := routes.Settings(c, rules.Redact, log)
	var others proxy.Router = routes
	if c.OpenAPI != "" {
		others = export{routes}
		settings.Router = others
	}
	apis := newTables(c, cloud, way, others, functions)
	if apis != nil {
		settings.Router = apis
	}
	handler := proxy.New(settings)
	gate, err := newGate(c, handler, apis, cloud, way, count, log)
	if err != nil {
		return nil, err
	}
	recorder := &capture.Recorder{
		Queue:  &queue{before: c.Lambda.Capture == "before", sender: s, metrics: m},
		Redact: rules.Redact, Decide: rules.Decide, MaxBody: int64(c.Capture.MaxBody), Memory: captureMemory(c, memory, log),
		Refuse: c.Capture.OnFailure == "refuse" && c.Lambda.Capture == "before", Log: log,
		Observe: func(ex *tapway.Exchange, _ error, _ time.Duration) {
			m.call(ex)
			if rules.LogCalls() {
				log.Info("call", "id", ex.ID, "method", ex.Method, "path", ex.Path, "status", ex.Status, "duration", ex.Duration,
					"overhead", ex.Overhead, "client", ex.ClientIP, "origin", ex.Origin, "route", ex.Route, "front", ex.Front, "error", ex.Error)
			}
		},
	}
	if !rules.LogCalls() {
		recorder.Sampled = m.call // which has no need of the rest
	}
	p := &proxyFunction{sender: s, metrics: m, count: count, log: log, timeout: c.Proxy.Timeout.D(), tables: apis, routes: routes}
	p.door = &lambdahttp.Door{
		Handler: recorder.Wrap(gate.Wrap(p.thawed(traced(handler)))), Stream: c.Lambda.Stream, OwnEvents: apis == nil && c.OpenAPI == "", Log: log, // else the routes look into events
		BalancerTLS: balancerTLS(c),
		BadRequest: func(w http.ResponseWriter, r *http.Request, bad *lambdahttp.EventError) {
			recorder.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				handler.Refuse(w, r, http.StatusBadRequest, "Malformed event", "malformed event: "+bad.What)
			})).ServeHTTP(w, r)
		},
	}
	return p, nil
}

// ownRoutes are those that the configuration has itself, or names in S3; none when every call comes
// through an API with a table.
func ownRoutes(ctx context.Context, c *config.Config, cloud *cloud, way *egress.Dialer, lambda *functions) (routes *stages.Routes, err error) {
	e := stages.Export{Name: c.OpenAPI, StageVariables: c.StageVariables, Function: lambda.to}
	switch {
	case strings.HasPrefix(c.OpenAPI, "s3://"):
		bucket, key, _ := config.S3(c.OpenAPI) // the configuration was checked
		limited, cancel := context.WithTimeout(ctx, fetchTime)
		e.Text, err = cloud.fetch(limited, bucket, key, maxTable)
		cancel()
		if err != nil {
			return nil, settingsf("openapi: %s could not be read: %v%s", c.OpenAPI, err, unreadHint(err))
		}
		routes, err = stages.NewAPIRoutes(c, way, e)
	case c.OpenAPI != "":
		if e.Text, err = os.ReadFile(c.OpenAPI); err != nil {
			return nil, settingsf("openapi: %v", err)
		}
		routes, err = stages.NewAPIRoutes(c, way, e)
	case hasRoutes(c):
		routes, err = stages.NewRoutes(c, way)
	default:
		routes, err = stages.NoRoutes(c, way)
	}
	if err != nil {
		return nil, &SettingsError{err.Error()}
	}
	return routes, nil
}

// hasRoutes reports whether the configuration says where calls go that come through no API with a table.
func hasRoutes(c *config.Config) bool {
	return c.Backend != "" || len(c.Routes) > 0 || c.OpenAPI != ""
}

// newTables makes what reads the route tables of lambda.routes; nil without that.
func newTables(c *config.Config, cloud *cloud, way *egress.Dialer, others proxy.Router, lambda *functions) *tables {
	if c.Lambda.Routes == "" {
		return nil
	}
	bucket, prefix, _ := config.S3(c.Lambda.Routes) // the configuration was checked
	if prefix != "" && !strings.HasSuffix(prefix, "/") {
		prefix += "/"
	}
	return &tables{
		bucket: bucket, prefix: prefix, fetch: cloud.fetchIf, others: others, alone: !hasRoutes(c), log: lambda.log, now: time.Now,
		build: func(e stages.Export) (*stages.Routes, error) {
			e.Function = lambda.to
			return stages.NewAPIRoutes(c, way, e)
		},
	}
}

// wayOut is asked for every connection to a backend or a destination.
func wayOut(c *config.Config, m *metrics, log *slog.Logger) (*egress.Dialer, error) {
	policy, err := c.Egress.Policy()
	if err != nil {
		return nil, &SettingsError{err.Error()}
	}
	return &egress.Dialer{Policy: policy, Observe: m.dialled, Log: log, Connect: quietnet.Dialer(new(net.Dialer))}, nil
}

// Invoke is lambdaruntime.Handler.
func (p *proxyFunction) Invoke(ctx context.Context, in *lambdaruntime.Invocation) (lambdaruntime.Reply, error) {
	box := &outbox{event: in.Event, arn: in.FunctionARN}
	cancel := context.CancelFunc(func() {})
	if !in.Deadline.IsZero() {
		total := time.Until(in.Deadline)
		p.warn(total)
		box.deadline = in.Deadline.Add(-min(windUp, total/8))
		// It is before the runtime's own, which need not be watched then.
		ctx, cancel = context.WithDeadline(context.WithoutCancel(ctx), in.Deadline.Add(-min(reserve, total/4)))
	}
	ctx = &boxContext{ctx, box}
	reply, err := p.door.Serve(ctx, in.Event)
	if err != nil {
		cancel()
		p.metrics.dropped("malformed")
		return lambdaruntime.Reply{After: func(context.Context) { p.metrics.flush() }}, err
	}
	out := lambdaruntime.Reply{Body: reply.Body, ContentType: reply.ContentType, After: func(ctx context.Context) {
		if err := reply.Wait(); err != nil {
			p.log.Warn("the client did not get the whole response", "request_id", in.RequestID, "error", err)
		}
		cancel()
		reply.Release()
		p.sender.empty(ctx, box)
		p.metrics.flush()
		p.count.settle(ctx)
		p.tables.refresh(ctx, box)
	}}
	out.Spent = p.door.OwnEvents && reply.Stream == nil
	if reply.Stream != nil {
		out.Stream = func(_ context.Context, w io.Writer) error { return passOn(w, reply.Stream) }
	}
	return out, nil
}

// passOn writes what comes as soon as it comes.
func passOn(w io.Writer, from io.ReadCloser) error {
	defer from.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if _, werr := w.Write(buf[:n]); werr != nil {
				return werr
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// warn says once that a call may be ended by the function's timeout before it is by its own.
func (p *proxyFunction) warn(total time.Duration) {
	total = total.Round(time.Second) // a function's timeout is whole seconds, of which a moment has passed
	most := total - min(reserve, total/4)
	if total <= 0 || p.warned.Swap(true) || p.timeout > 0 && p.timeout <= most {
		return
	}
	p.log.Warn("calls are cut off by the function's timeout before their own: raise the function's timeout, or lower proxy.timeout (REQUEST_TIMEOUT)",
		"function_timeout", total.String(), "proxy_timeout", p.timeout.String(), "cut_off_after", most.Round(100*time.Millisecond).String())
}
