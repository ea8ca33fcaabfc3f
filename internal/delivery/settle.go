package delivery

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/tapway/tapway"
)

const (
	settleGroup  = 256                  // settlements that are not kept waiting for more
	settleWait   = 5 * time.Millisecond // how long fewer are
	maxUnsettled = 8192                 // beyond this nothing more is received
)

// settler gathers settlements and hands them to the queue in groups, because a queue pays
// for each call with a transaction or a round trip.
type settler struct {
	sub     tapway.Subscription
	log     *slog.Logger
	settled func() // called after every group

	mu      sync.Mutex
	pending []tapway.Settlement
	spare   []tapway.Settlement
	kick    chan struct{} // something is pending
	many    chan struct{} // a group is pending
}

func newSettler(sub tapway.Subscription, log *slog.Logger, settled func()) *settler {
	return &settler{sub: sub, log: log, settled: settled, kick: make(chan struct{}, 1), many: make(chan struct{}, 1)}
}

// add takes the outcomes of a batch; it copies both.
func (s *settler) add(batch []tapway.Message, outcomes []tapway.Outcome) {
	s.mu.Lock()
	for i := range batch {
		s.pending = append(s.pending, tapway.Settlement{Message: batch[i], Outcome: outcomes[i]})
	}
	n := len(s.pending)
	s.mu.Unlock()
	signal(s.kick)
	if n >= settleGroup {
		signal(s.many)
	}
}

func (s *settler) backlog() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.pending)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// final reports whether a queue's error will not go away: it was closed, or the destination
// was forgotten.
func final(err error) bool {
	return errors.Is(err, tapway.ErrClosed) || errors.Is(err, tapway.ErrNotFound)
}

// run settles until stop is closed and nothing is left, or ctx ends. Only a final error of
// the queue ends it: every other failure is tried again, and if that never helps the leases end and
// the records are delivered once more.
func (s *settler) run(ctx context.Context, stop <-chan struct{}) error {
	wait := time.NewTimer(0)
	defer wait.Stop()
	for {
		select {
		case <-s.kick:
		case <-stop:
			if s.backlog() == 0 {
				return nil
			}
		}
		wait.Reset(settleWait)
		select {
		case <-wait.C:
		case <-s.many:
		case <-stop:
		}
		s.mu.Lock()
		group := s.pending
		s.pending, s.spare = s.spare, nil
		s.mu.Unlock()
		if len(group) == 0 {
			continue
		}
		if err := s.settle(ctx, group); err != nil {
			return err
		}
		clear(group) // lets go of the frames
		s.spare = group[:0]
		s.settled()
	}
}

func (s *settler) settle(ctx context.Context, group []tapway.Settlement) error {
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		err := s.sub.Settle(ctx, group)
		if err == nil {
			return nil
		}
		if final(err) || ctx.Err() != nil {
			return err
		}
		s.log.Error("outcomes could not be stored; trying again", "records", len(group), "error", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return err
		}
	}
}
