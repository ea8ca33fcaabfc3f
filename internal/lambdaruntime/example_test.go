package lambdaruntime_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/tapway/tapway/internal/lambdaruntime"
)

// A bootstrap: what is wrong with the configuration is told to Lambda, then the loop runs until
// the process is killed.
func Example() {
	r, err := lambdaruntime.FromEnv(os.Getenv)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	ctx := context.Background()
	backend := os.Getenv("TAPWAY_BACKEND")
	if backend == "" {
		err = r.InitError(ctx, errors.New("set TAPWAY_BACKEND to the URL of the API behind this function"))
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	r.Handler = lambdaruntime.HandlerFunc(func(_ context.Context, in *lambdaruntime.Invocation) (lambdaruntime.Reply, error) {
		return lambdaruntime.Reply{
			Body:  in.Event,
			After: func(ctx context.Context) { fmt.Println("the caller has its reply; send the record within", ctx) },
		}, nil
	})
	fmt.Fprintln(os.Stderr, r.Run(ctx))
	os.Exit(1)
}
