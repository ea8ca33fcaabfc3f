package lambdaapp

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/capture"
	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/egress"
	"github.com/tapway/tapway/internal/lambdahttp"
	"github.com/tapway/tapway/internal/lambdaruntime"
	"github.com/tapway/tapway/internal/proxy"
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
	routes  *apiRoutes // nil: one configuration for all
	log     *slog.Logger
	timeout time.Duration // of a call to the backend; 0: none
	warned  atomic.Bool
}

// newProxy builds the stages. memory is the function's, 0 if not known; region is AWS's.
func newProxy(c *config.Config, fetch fetcher, s *sender, m *metrics, log *slog.Logger, memory int64, region string) (*proxyFunction, error) {
	way, err := wayOut(c, m, log)
	if err != nil {
		return nil, err
	}
	if len(c.Cache.Routes) > 0 {
		return nil, &SettingsError{"cache: a function keeps no answers: every execution environment would have its own; remove cache.routes, or use the cache of the API Gateway's stage"}
	}
	routes, err := stages.NewRoutes(c, way)
	if err != nil {
		return nil, &SettingsError{err.Error()}
	}
	set, err := stages.NewRuleSet(c)
	if err != nil {
		return nil, &SettingsError{err.Error()}
	}
	rules := new(stages.Rules)
	rules.Set(set)
	settings := routes.Settings(c, rules.Redact, log)
	var tables *apiRoutes
	if c.Lambda.Routes != "" {
		tables = newAPIRoutes(c, way, routes, fetch, log)
		settings.Router = tables
	}
	handler := proxy.New(settings)
	gate, err := newGate(c, handler, region, way, log)
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
	door := &lambdahttp.Door{
		Handler: recorder.Wrap(gate.Wrap(traced(handler))), Stream: c.Lambda.Stream, OwnEvents: true, Log: log,
		BadRequest: func(w http.ResponseWriter, r *http.Request, bad *lambdahttp.EventError) {
			recorder.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				handler.Refuse(w, r, http.StatusBadRequest, "Malformed event", "malformed event: "+bad.What)
			})).ServeHTTP(w, r)
		},
	}
	return &proxyFunction{door: door, sender: s, metrics: m, routes: tables, log: log, timeout: c.Proxy.Timeout.D()}, nil
}

// wayOut is asked for every connection to a backend or a destination.
func wayOut(c *config.Config, m *metrics, log *slog.Logger) (*egress.Dialer, error) {
	policy, err := c.Egress.Policy()
	if err != nil {
		return nil, &SettingsError{err.Error()}
	}
	return &egress.Dialer{Policy: policy, Observe: m.dialled, Log: log}, nil
}

// Invoke is lambdaruntime.Handler.
func (p *proxyFunction) Invoke(ctx context.Context, in *lambdaruntime.Invocation) (lambdaruntime.Reply, error) {
	box := new(outbox)
	ctx = context.WithValue(ctx, outboxKey{}, box)
	cancel := context.CancelFunc(func() {})
	if !in.Deadline.IsZero() {
		total := time.Until(in.Deadline)
		p.warn(total)
		box.deadline = in.Deadline.Add(-min(windUp, total/8))
		ctx, cancel = context.WithDeadline(ctx, in.Deadline.Add(-min(reserve, total/4)))
	}
	reply, err := p.door.Serve(ctx, in.Event)
	if err != nil {
		cancel()
		p.metrics.dropped("malformed")
		return lambdaruntime.Reply{After: func(context.Context) { p.metrics.flush() }}, err
	}
	out := lambdaruntime.Reply{Body: reply.Body, ContentType: reply.ContentType, After: func(ctx context.Context) {
		if err := reply.Wait(); err != nil {
			p.log.Warn("the client did not get the whole response", "error", err)
		}
		cancel()
		p.sender.empty(ctx, box)
		p.metrics.flush()
		if p.routes != nil {
			p.routes.refresh(ctx)
		}
	}}
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
	most := total - min(reserve, total/4)
	if p.warned.Swap(true) || p.timeout > 0 && p.timeout <= most {
		return
	}
	p.log.Warn("calls are cut off by the function's timeout before their own: raise the function's timeout, or lower proxy.timeout (REQUEST_TIMEOUT)",
		"function_timeout", total.Round(100*time.Millisecond).String(), "proxy_timeout", p.timeout.String(), "cut_off_after", most.Round(100*time.Millisecond).String())
}
