package lambdaapp

import (
	"context"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/lambdaruntime"
	"github.com/tapway/tapway/internal/quietnet"
)

// Options is what a function is built from besides its configuration.
type Options struct {
	Version string
	Started time.Time           // when the process began, for init_ms; zero: now
	Getenv  func(string) string // nil: os.Getenv
	Metrics io.Writer           // nil: os.Stdout, where Lambda picks the Embedded Metric Format up
	Log     io.Writer           // nil: os.Stderr
}

// App is one of the two functions. It is a lambdaruntime.Handler.
type App struct {
	Role Role
	Log  *slog.Logger

	handler lambdaruntime.Handler
	metrics *metrics
	init    time.Duration
	warm    atomic.Bool
}

// NewLog makes the logger for a function: JSON lines with the names that Lambda knows.
func NewLog(w io.Writer, level slog.Leveler) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 {
			switch a.Key {
			case slog.TimeKey:
				a.Key = "timestamp"
			case slog.MessageKey:
				a.Key = "message"
			}
		}
		if d, ok := a.Value.Any().(time.Duration); ok {
			a.Value = slog.StringValue(d.String())
		}
		return a
	}}))
}

// New reads the configuration and builds the function. It makes no call but for the
// configuration itself, if that is in S3, and for the secrets that it names. An error says what to set; give it to Lambda with
// lambdaruntime.Runtime.InitError.
func New(ctx context.Context, o Options) (*App, error) {
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	if o.Metrics == nil {
		o.Metrics = quietnet.Output(os.Stdout)
	}
	if o.Log == nil {
		o.Log = os.Stderr
	}
	if o.Started.IsZero() {
		o.Started = time.Now()
	}
	role, err := roleOf(o.Getenv)
	if err != nil {
		return nil, err
	}
	cloud, err := newCloud(o.Getenv)
	if err != nil {
		return nil, err
	}
	c, err := loadConfig(ctx, role, o.Getenv, cloud.fetch, cloud.secrets.Resolve)
	if err != nil {
		return nil, err
	}
	a := &App{Role: role, Log: NewLog(o.Log, level(c, o.Getenv))}
	a.metrics = newMetrics(o.Metrics, o.Getenv("AWS_LAMBDA_FUNCTION_NAME"), string(role), a.Log)
	for _, name := range []string{"AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT"} {
		if strings.EqualFold(o.Getenv(name), "true") {
			a.Log.Warn("a function does not heed "+name+": name the endpoints by AWS_ENDPOINT_URL_SQS, AWS_ENDPOINT_URL_S3 and the like", "variable", name)
		}
	}
	size := memory(o.Getenv)
	if role == Proxy {
		var s *sender
		var count counting
		if s, err = cloud.sender(c, a.metrics, a.Log); err == nil {
			count, err = newCounting(c, cloud, o.Getenv, a.metrics, a.Log, size)
		}
		if err == nil {
			a.handler, err = newProxy(ctx, c, cloud, s, count, a.metrics, a.Log, size)
		}
	} else {
		a.handler, err = newForwarder(c, cloud, a.metrics, a.Log, o.Version)
	}
	if err != nil {
		return nil, err
	}
	a.init = time.Since(o.Started)
	return a, nil
}

// level is the log's: AWS_LAMBDA_LOG_LEVEL, which the function's logging settings make, or the
// configuration's.
func level(c *config.Config, getenv func(string) string) slog.Level {
	text := getenv("AWS_LAMBDA_LOG_LEVEL")
	if text == "" {
		text = c.Log.Level
	}
	switch strings.ToUpper(text) { // AWS's words and ours
	case "TRACE", "DEBUG":
		return slog.LevelDebug
	case "WARN":
		return slog.LevelWarn
	case "ERROR", "FATAL":
		return slog.LevelError
	}
	return slog.LevelInfo
}

// Invoke is lambdaruntime.Handler.
func (a *App) Invoke(ctx context.Context, in *lambdaruntime.Invocation) (lambdaruntime.Reply, error) {
	if !a.warm.Swap(true) {
		a.metrics.coldStart(a.init)
	}
	return a.handler.Invoke(ctx, in)
}
