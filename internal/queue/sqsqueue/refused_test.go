package sqsqueue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/queue/queuetest"
)

// refusal is a blob store's that will not give a blob, as S3's 403.
type refusal struct{}

func (refusal) Error() string { return "status 403, AccessDenied" }
func (refusal) Refused() bool { return true }

// TestBlobRefused: what nobody may read is fetched as often as a delivery is tried, with growing pauses, and then is a dead
// letter with its reason and its pointer.
func TestBlobRefused(t *testing.T) {
	for _, c := range []struct {
		attempts map[string]int
		reads    int // 0: without end
	}{
		{nil, 8}, {map[string]int{"a": 3, "b": 1}, 3}, {map[string]int{"a": 1}, 1}, {map[string]int{"a": -1}, 0},
	} {
		t.Run(fmt.Sprint(c.attempts), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(_ *world, conf *Config) {
					delete(conf.Queues, "b")
					conf.Attempts = c.attempts
				})
				s := w.subscribe("a")
				if err := w.q.Enqueue(t.Context(), queuetest.Exchange(0, 2<<20)); err != nil {
					t.Fatal(err)
				}
				w.blobs.broken(refusal{})
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Hour)
				defer cancel()
				if msgs, err := s.Receive(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
					t.Fatalf("%d messages, %v", len(msgs), err)
				}
				dead := w.sqs.Messages("a-dead")
				if c.reads == 0 {
					if len(dead) != 0 {
						t.Fatalf("a dead letter although there is no limit")
					}
					w.blobs.broken(nil)
					w.settle(s, tapway.Outcome{Verdict: tapway.Delivered}, w.receive(s, 1)...)
					return
				}
				if len(dead) != 1 {
					t.Fatalf("%d dead letters", len(dead))
				}
				a := dead[0].Attributes
				if got := a[AttributeReason].String(); !strings.Contains(got, "could not be fetched") || !strings.Contains(got, "AccessDenied") {
					t.Errorf("reason %q", got)
				}
				if got := a[AttributeAttempts].String(); got != fmt.Sprint(c.reads) {
					t.Errorf("%s attempts, want %d", got, c.reads)
				}
				if !isReserved(a) {
					t.Errorf("the pointer is no pointer any more: %+v", a)
				}
				if got := len(w.sqs.Messages("a")); got != 0 {
					t.Errorf("%d messages are left in the queue", got)
				}
				// Once the cause is mended the letter can be brought back.
				w.blobs.broken(nil)
				if r, err := w.q.Redrive(t.Context(), "a", Selection{}); err != nil || r.Done != 1 {
					t.Fatalf("%+v, %v", r, err)
				}
				w.settle(s, tapway.Outcome{Verdict: tapway.Delivered}, w.receive(s, 1)...)
			})
		})
	}
}
