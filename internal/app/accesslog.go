package app

import (
	"context"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/accesslog"
	"github.com/tapway/tapway/internal/config"
)

// openTelemetry makes what tells others of calls, as far as the configuration asks for it.
func (a *App) openTelemetry(c *config.Config) (err error) {
	if a.telemetry, err = newTelemetry(c, a.way, a.metrics, a.options.Version, a.log); err != nil {
		return fmt.Errorf("telemetry: %w", err)
	}
	if c.AccessLog.Path == "" {
		return nil
	}
	format, err := accesslog.ParseFormat(c.AccessLog.Format)
	if err != nil {
		return err
	}
	l, err := accesslog.Open(accesslog.Options{Path: c.AccessLog.Path, Format: format, MaxSize: int64(c.AccessLog.MaxSize), Keep: c.AccessLog.Keep, Log: a.log})
	if err != nil {
		return err
	}
	for result, count := range map[string]func() uint64{
		"written": func() uint64 { n, _ := l.Lines(); return n },
		"dropped": func() uint64 { _, n := l.Lines(); return n },
	} {
		a.metrics.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "tapway_access_log_lines_total", ConstLabels: prometheus.Labels{"result": result},
			Help: "Lines of the access log: written, or dropped because they could not be.",
		}, func() float64 { return float64(count()) }))
	}
	a.accessLog = l
	return nil
}

// writeAccessLog writes until ctx ends, and then what is left.
func (a *App) writeAccessLog(ctx context.Context) error {
	if a.accessLog == nil {
		return nil
	}
	if err := a.accessLog.Run(ctx); err != nil {
		a.log.Warn("the access log is not whole", "err", err)
	}
	return nil
}

// ended is told of every call by the capture, after observe.
func (a *App) ended(call *tapway.Call, ex *tapway.Exchange) {
	if a.accessLog != nil {
		a.accessLog.Write(ex, call.Rule)
	}
	a.telemetry.ended(call, ex)
}
