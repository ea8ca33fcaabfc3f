package sqsqueue

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/tapway/tapway"
)

// ErrTooLarge says that a record exceeds the queue's limit and there is no blob store for it.
var ErrTooLarge = errors.New("the record is larger than the queue takes, and there is no blob store for large records")

// EnqueueError says which destinations' queues did not take a record. With several
// destinations some may have it all the same.
type EnqueueError struct {
	ID     tapway.ID
	Failed map[string]error // by destination
	Stored []string         // destinations whose queues have it
	Record []byte           // to keep elsewhere, and to give to EnqueueRecord later
}

func (e *EnqueueError) Error() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(e.Failed)) {
		parts = append(parts, fmt.Sprintf("destination %q: %v", name, e.Failed[name]))
	}
	return fmt.Sprintf("enqueue %s: %s", e.ID, strings.Join(parts, "; "))
}

// Unwrap gives the causes.
func (e *EnqueueError) Unwrap() (all []error) {
	for _, name := range slices.Sorted(maps.Keys(e.Failed)) {
		all = append(all, e.Failed[name])
	}
	return all
}

// depositError marks failures of the blob store, which the ledger counts apart.
type depositError struct{ error }

func (e depositError) Unwrap() error { return e.error }

// entryError is one entry of a batch that failed alone.
type entryError struct {
	code, message string
	sender        bool
}

func (e *entryError) Error() string     { return strings.TrimSuffix(e.code+": "+e.message, ": ") }
func (e *entryError) ErrorCode() string { return e.code }

// code is SQS's name for an error without the older protocol's prefix, "" if SQS did not answer.
func code(err error) string {
	var coded interface{ ErrorCode() string }
	if !errors.As(err, &coded) {
		return ""
	}
	c := coded.ErrorCode()
	c = strings.TrimPrefix(c, "AWS.SimpleQueueService.")
	return strings.TrimSuffix(c, "Exception")
}

// transient reports whether the same call may succeed later: everything but a refusal.
func transient(err error) bool {
	var entry *entryError
	if errors.As(err, &entry) && !entry.sender {
		return true
	}
	var refused interface{ ClockSet() bool }
	if errors.As(err, &refused) && refused.ClockSet() {
		return true
	}
	var status interface{ HTTPStatusCode() int }
	if errors.As(err, &status) {
		switch s := status.HTTPStatusCode(); {
		case s >= 500, s == http.StatusTooManyRequests, s == http.StatusRequestTimeout:
			return true
		}
	}
	var coded interface{ ErrorCode() string }
	if !errors.As(err, &coded) {
		return true // no answer
	}
	switch c := coded.ErrorCode(); c {
	case "TooManyRequestsException", "RequestLimitExceeded", "BandwidthLimitExceeded", "LimitExceededException", "SlowDown", "PriorRequestNotComplete":
		return true
	default:
		return strings.Contains(c, "Throttl")
	}
}

// gone reports whether SQS has no such queue.
func gone(err error) bool {
	c := code(err)
	return c == "QueueDoesNotExist" || c == "NonExistentQueue"
}

// refusesGroups reports whether a standard queue was refused a message for its group alone: fair queues are not
// everywhere, and services that speak SQS's protocol may not know of them.
func refusesGroups(err error) bool {
	return code(err) == "InvalidParameterValue" && strings.Contains(err.Error(), "MessageGroupId")
}

// lostLease reports whether an error about a receipt handle means that the message is gone or has
// been received again: nothing is left to do with this handle.
func lostLease(err error) bool {
	switch code(err) {
	case "MessageNotInflight", "ReceiptHandleIsInvalid", "InvalidParameterValue":
		return true
	}
	return false
}

// reason is what the ledger counts a failed Enqueue under. ctx is its caller's: an attempt is
// also canceled when the time for all of them is over.
func reason(ctx context.Context, err error) string {
	var deposit depositError
	switch {
	case errors.Is(err, ErrTooLarge):
		return "too-large"
	case errors.Is(err, tapway.ErrClosed):
		return "closed"
	case errors.Is(err, context.Canceled) && errors.Is(ctx.Err(), context.Canceled):
		return "canceled"
	case errors.As(err, &deposit):
		return "blob-store-unavailable"
	case !transient(err):
		return "queue-refused"
	}
	return "queue-unavailable"
}

// call makes one call within the time for one.
func (q *Queue) call(ctx context.Context, do func(ctx context.Context) error) error {
	cctx, cancel := context.WithTimeout(ctx, q.c.CallTimeout)
	defer cancel()
	err := do(cctx)
	if err != nil && ctx.Err() == nil && cctx.Err() != nil {
		return fmt.Errorf("no answer within %s: %w", q.c.CallTimeout, err)
	}
	return err
}

// try makes a call until it succeeds, is refused, or ctx ends. When ctx ends the last failure says more
// than that it has, so both are in the error.
func (q *Queue) try(ctx context.Context, do func(ctx context.Context) error) error {
	for n := 0; ; n++ {
		err := q.call(ctx, do)
		if err == nil || !transient(err) {
			return err
		}
		if !pause(ctx, n) {
			return ended(ctx, err)
		}
	}
}

// ended joins the end of ctx to what failed before.
func ended(ctx context.Context, err error) error {
	if cause := ctx.Err(); cause != nil && !errors.Is(err, cause) {
		return fmt.Errorf("%w after: %w", cause, err)
	}
	return err
}

// pause waits before the n-th repetition, from 0: at most 50 ms, doubled up to 2 s, with full
// jitter. It reports false when ctx ended.
func pause(ctx context.Context, n int) bool {
	ceiling := min(50*time.Millisecond<<min(n, 10), 2*time.Second)
	t := time.NewTimer(time.Duration(rand.Int64N(int64(ceiling))) + time.Millisecond) // #nosec G404 -- jitter
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
