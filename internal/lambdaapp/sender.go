package lambdaapp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/queue/sqsqueue"
	"github.com/tapway/tapway/internal/record"
)

const (
	// What the queue gets, all tries together; the bucket gets half of it. A client waits for
	// the record in before, so it is not to wait long.
	afterPatience  = 10 * time.Second
	beforePatience = 2 * time.Second

	// SpillPrefix begins the keys of records that a queue did not take:
	// spill/DESTINATION/YYYY/MM/DD/ID.json, each a record as it would have been sent.
	SpillPrefix = "spill/"

	// maxLogged is the longest record that goes into a log line whole: an event of CloudWatch
	// Logs has at most 256 KiB.
	maxLogged = 192 << 10
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
	text, missing := s.left(ex, err)
	keys, spillErr := s.toBucket(ctx, ex, text, missing)
	if spillErr == nil {
		s.metrics.captured("spilled")
		s.log.Warn("the queue did not take a record; it is in the bucket, and `tapway queue recover` enqueues it", "id", ex.ID, "keys", keys, "error", err)
		return nil
	}
	return s.toLog(ex, text, missing, err, spillErr)
}

func (s *sender) toQueue(ctx context.Context, ex *tapway.Exchange) error {
	budget := s.patience
	if deadline, ok := ctx.Deadline(); ok {
		budget = min(budget, time.Until(deadline)/2)
	}
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	return s.enqueue(ctx, ex)
}

// left is the record, and the destinations whose queues do not have it.
func (s *sender) left(ex *tapway.Exchange, err error) (text []byte, missing []string) {
	if failed, ok := errors.AsType[*sqsqueue.EnqueueError](err); ok {
		return failed.Record, slices.Sorted(maps.Keys(failed.Failed))
	}
	return record.Append(nil, ex), s.destinations
}

var errNoBucket = errors.New("there is no bucket: set TAPWAY_BUCKET")

func (s *sender) toBucket(ctx context.Context, ex *tapway.Exchange, text []byte, missing []string) (keys []string, err error) {
	if s.spill == nil {
		return nil, errNoBucket
	}
	ctx, cancel := context.WithTimeout(ctx, s.patience/2)
	defer cancel()
	for _, destination := range missing {
		key := SpillPrefix + destination + "/" + ex.Time.UTC().Format("2006/01/02/") + ex.ID.String() + ".json"
		if err = s.spill.Put(ctx, key, text); err != nil && ctx.Err() == nil {
			err = s.spill.Put(ctx, key, text)
		}
		if err != nil {
			return keys, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// toLog writes the record as a last resort. It is redacted, as everything that is stored; one
// that is too long for a line goes without its bodies, and counts as lost.
func (s *sender) toLog(ex *tapway.Exchange, text []byte, missing []string, queueErr, spillErr error) error {
	whole := len(text) <= maxLogged
	if whole {
		s.metrics.captured("logged")
	} else {
		short := *ex
		short.Request = tapway.Body{Size: ex.Request.Size, Withheld: ex.Request.Size > 0}
		short.Response = tapway.Body{Size: ex.Response.Size, Withheld: ex.Response.Size > 0}
		if text = record.Append(nil, &short); len(text) > maxLogged { // its headers alone are that long
			text = []byte("null")
		}
		reason := "queue-unavailable"
		if errors.Is(queueErr, sqsqueue.ErrTooLarge) {
			reason = "too-large"
		}
		s.metrics.dropped(reason)
	}
	s.log.Error("neither the queue nor the bucket took a record; this line is all there is of it", "id", ex.ID, "destinations", missing,
		"whole", whole, "queue_error", queueErr.Error(), "bucket_error", spillErr.Error(), "record", json.RawMessage(text))
	if whole {
		return nil
	}
	return fmt.Errorf("neither the queue nor the bucket took it: %w", queueErr)
}
