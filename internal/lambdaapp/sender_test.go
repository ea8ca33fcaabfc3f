package lambdaapp

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tapway/tapway"
)

// silentStore is a bucket that does not answer while down.
type silentStore struct {
	tapway.BlobStore
	down bool
}

func (s *silentStore) Put(ctx context.Context, _ string, _ []byte) error {
	if !s.down {
		return nil
	}
	<-ctx.Done()
	return ctx.Err()
}

// An outage of SQS, or of the bucket too, takes its whole time of one call only, and a second of those behind it: else
// every environment would be busy for ten seconds with each call. A refusal is no outage.
func TestOutageTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := slog.New(slog.DiscardHandler)
		bucket := &silentStore{}
		silent := func(ctx context.Context, _ *tapway.Exchange) error { <-ctx.Done(); return ctx.Err() }
		refuses := func(context.Context, *tapway.Exchange) error { return errors.New("refused") }
		takes := func(context.Context, *tapway.Exchange) error { return nil }
		s := &sender{destinations: []string{"default"}, spill: bucket, patience: afterPatience, metrics: newMetrics(io.Discard, "f", "proxy", log), log: log}
		for i, tt := range []struct {
			queue  func(context.Context, *tapway.Exchange) error
			bucket bool // is down
			want   time.Duration
		}{
			{takes, false, 0}, {silent, false, 10 * time.Second}, {silent, false, time.Second}, {silent, true, 6 * time.Second}, {silent, true, 2 * time.Second},
			{silent, false, 2*time.Second - time.Second}, {takes, false, 0}, {silent, false, 10 * time.Second}, {refuses, false, 0}, {silent, false, 10 * time.Second},
		} {
			s.enqueue, bucket.down = tt.queue, tt.bucket
			start := time.Now()
			_ = s.send(t.Context(), &tapway.Exchange{})
			if took := time.Since(start); took != tt.want {
				t.Errorf("call %d took %v, want %v", i, took, tt.want)
			}
		}
	})
}
