// Command tapway-lambda is the bootstrap of tapway's two AWS Lambda functions, on
// provided.al2023: TAPWAY_ROLE says whether it is the proxy behind an API or the forwarder
// behind an SQS queue. `make lambda` builds it.
//
// What a newcomer gets wrong: it links only what the two functions need, and a test holds it to
// that: its size and its init are paid for at every cold start.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/tapway/tapway/internal/lambdaapp"
	"github.com/tapway/tapway/internal/lambdaruntime"
)

// version is set by the linker.
var version = "dev"

func main() {
	started := time.Now()
	lambdaapp.Tune(os.Getenv)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	signal.Ignore(syscall.SIGPIPE) // a line that nobody reads must not end the function
	if err := run(ctx, started); err != nil {
		lambdaapp.NewLog(os.Stderr, slog.LevelInfo).Error("the function ends", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, started time.Time) error {
	runtime, err := lambdaruntime.FromEnv(os.Getenv)
	if err != nil {
		return err
	}
	app, err := lambdaapp.New(ctx, lambdaapp.Options{Version: version, Started: started})
	if err != nil {
		if told := runtime.InitError(ctx, err); told != nil {
			err = errors.Join(err, fmt.Errorf("tell Lambda why: %w", told))
		}
		return err
	}
	runtime.Handler, runtime.Log = app, app.Log
	return runtime.Run(ctx)
}
