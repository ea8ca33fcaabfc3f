package lambdaapp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/queue/sqsqueue"
	"github.com/tapway/tapway/internal/spill"
)

const (
	// What the queue gets, all tries together; the bucket gets half of it. A client waits for
	// the record in before, so it is not to wait long.
	afterPatience  = 10 * time.Second
	beforePatience = 2 * time.Second

	// afterTrouble is what a queue or bucket gets that has not answered the last time, until it does: with ten seconds
	// for every call an outage of SQS would use the account's concurrency up, and then clients would notice.
	afterTrouble = time.Second
)

// sender brings a record to the destinations' queues, or else into the bucket, or else into
// the log.
type sender struct {
	enqueue      func(context.Context, *tapway.Exchange) error // an error is a *sqsqueue.EnqueueError, if there are queues that have the record
	destinations []string
	spill        tapway.BlobStore // nil: there is no bucket
	patience     time.Duration
	metrics      *metrics
	log          *slog.Logger

	queueDown, bucketDown atomic.Bool // it took its whole time, and in vain, the last time
}

// empty sends what an outbox holds.
func (s *sender) empty(ctx context.Context, box *outbox) {
	for _, frame := range box.take() {
		ex, err := tapway.DecodeFrame(frame)
		if err != nil {
			s.metrics.dropped("defect")
			s.log.Error("record lost", "error", err)
			continue
		}
		_ = s.send(ctx, ex) // it has logged and counted what went wrong
	}
}

// send returns nil when the record is kept somewhere from where it can be sent again. ctx ends
// when the function may be stopped; half of the time until then is kept for the bucket.
func (s *sender) send(ctx context.Context, ex *tapway.Exchange) error {
	err := s.toQueue(ctx, ex)
	if err == nil {
		s.metrics.captured("")
		return nil
	}
	text, missing := spill.Left(ex, err, s.destinations)
	keys, spillErr := s.toBucket(ctx, ex, text, missing)
	if spillErr == nil {
		s.metrics.captured("spilled")
		s.log.Warn("the queue did not take a record; it is in the bucket, and `tapway queue recover` enqueues it", "id", ex.ID, "keys", keys, "error", err)
		return nil
	}
	return s.toLog(ex, text, missing, err, spillErr)
}

func (s *sender) toQueue(ctx context.Context, ex *tapway.Exchange) error {
	budget := bounded(s.patience, &s.queueDown)
	if deadline, ok := ctx.Deadline(); ok {
		budget = min(budget, time.Until(deadline)/2)
	}
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	err := s.enqueue(ctx, ex)
	s.queueDown.Store(err != nil && ctx.Err() != nil)
	return err
}

func bounded(patience time.Duration, down *atomic.Bool) time.Duration {
	if down.Load() {
		return min(patience, afterTrouble)
	}
	return patience
}

func (s *sender) toBucket(ctx context.Context, ex *tapway.Exchange, text []byte, missing []string) (keys []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, bounded(s.patience/2, &s.bucketDown))
	defer cancel()
	keys, err = spill.Put(ctx, s.spill, ex, text, missing)
	s.bucketDown.Store(err != nil && ctx.Err() != nil)
	return keys, err
}

// toLog is the last resort. A record that does not go into a log line whole counts as lost.
func (s *sender) toLog(ex *tapway.Exchange, text []byte, missing []string, queueErr, spillErr error) error {
	if spill.Log(s.log, ex, text, missing, queueErr, spillErr) {
		s.metrics.captured("logged")
		return nil
	}
	reason := "queue-unavailable"
	if errors.Is(queueErr, sqsqueue.ErrTooLarge) {
		reason = "too-large"
	}
	s.metrics.dropped(reason)
	return fmt.Errorf("neither the queue nor the bucket took it: %w", queueErr)
}
