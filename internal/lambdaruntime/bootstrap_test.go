package lambdaruntime_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/tapway/tapway/internal/lambdaruntime"
)

const bootstrapEnv = "LAMBDARUNTIME_TEST_BOOTSTRAP"

// bootstrap is the test binary as the emulator starts it.
func bootstrap() {
	r, err := lambdaruntime.FromEnv(os.Getenv)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	r.Handler = lambdaruntime.HandlerFunc(func(ctx context.Context, in *invocation) (reply, error) {
		switch event := string(in.Event); event {
		case `"fail"`:
			return reply{}, errors.New("as asked")
		case `"panic"`:
			panic("as asked")
		case `"large"`:
			return reply{Body: bytes.Repeat([]byte("x"), 7<<20)}, nil
		case `"stream"`:
			return reply{Stream: func(_ context.Context, w io.Writer) error {
				for range 3 {
					if _, err := io.WriteString(w, "piece "); err != nil {
						return err
					}
				}
				return nil
			}}, nil
		default:
			left := time.Until(in.Deadline)
			return reply{Body: fmt.Appendf(nil, `{"event":%s,"deadline":%v}`, event, left > 0 && left < time.Minute)}, nil
		}
	})
	fmt.Fprintln(os.Stderr, r.Run(context.Background()))
	os.Exit(1)
}
