package delivery

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tapway/tapway"
)

// testQueue is a subscription in memory that keeps books on every settlement.
type testQueue struct {
	t  testing.TB
	mu sync.Mutex

	waiting  []tapway.Message // oldest first
	due      map[uint64]time.Time
	leased   map[uint64]bool
	settled  map[uint64][]tapway.Outcome // all of them, in order
	final    map[uint64]tapway.Verdict
	receives []int // what was asked for
	groups   int
	total    int
	changed  chan struct{} // closed and replaced at every change

	settleErr, receiveErr error // given once each
	closed                bool
}

func newTestQueue(t testing.TB) *testQueue {
	return &testQueue{t: t, due: map[uint64]time.Time{}, leased: map[uint64]bool{},
		settled: map[uint64][]tapway.Outcome{}, final: map[uint64]tapway.Verdict{}, changed: make(chan struct{})}
}

// message is an exchange with one header and a JSON body, as a frame.
func message(n int) tapway.Message {
	at := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC).Add(time.Duration(n) * time.Millisecond)
	ex := &tapway.Exchange{
		Meta: tapway.Meta{ID: tapway.NewID(at), Time: at, Method: "POST", Path: fmt.Sprintf("/users/%d", n), From: "api.example.com",
			Status: 201, Front: tapway.FrontServer, Origin: tapway.OriginBackend, Proto: "HTTP/1.1"},
		RequestHeader: tapway.Header{{Name: "Content-Type", Value: "application/json"}, {Name: "X-N", Value: fmt.Sprint(n)}},
		Request:       tapway.Body{Bytes: fmt.Appendf(nil, `{"n":%d}`, n), Size: int64(len(fmt.Sprint(n)) + 6)},
	}
	return tapway.Message{ID: ex.ID, Enqueued: at, Frame: tapway.AppendFrame(nil, ex)}
}

func messages(n int) []tapway.Message {
	out := make([]tapway.Message, n)
	for i := range out {
		out[i] = message(i)
	}
	return out
}

func (q *testQueue) put(messages ...tapway.Message) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, m := range messages {
		q.total++
		m.Seq = uint64(q.total)
		q.waiting = append(q.waiting, m)
	}
	q.change()
}

func (q *testQueue) change() {
	close(q.changed)
	q.changed = make(chan struct{})
}

func (q *testQueue) Receive(ctx context.Context, most int) ([]tapway.Message, error) {
	for {
		q.mu.Lock()
		if err := q.receiveErr; err != nil {
			q.receiveErr = nil
			q.mu.Unlock()
			return nil, err
		}
		if q.closed {
			q.mu.Unlock()
			return nil, tapway.ErrClosed
		}
		var out, rest []tapway.Message
		next := time.Hour
		now := time.Now()
		for _, m := range q.waiting {
			if wait := q.due[m.Seq].Sub(now); wait > 0 || len(out) == most {
				next = min(next, max(wait, 0))
				rest = append(rest, m)
				continue
			}
			q.leased[m.Seq] = true
			out = append(out, m)
		}
		changed := q.changed
		if len(out) > 0 {
			q.waiting = rest
			q.receives = append(q.receives, most)
			q.mu.Unlock()
			return out, nil
		}
		q.mu.Unlock()
		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

func (q *testQueue) Settle(ctx context.Context, settlements []tapway.Settlement) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.settleErr; err != nil {
		q.settleErr = nil
		return err
	}
	if q.closed {
		return tapway.ErrClosed
	}
	q.groups++
	for _, s := range settlements {
		m, o := s.Message, s.Outcome
		if !q.leased[m.Seq] {
			q.t.Errorf("record %d is settled (%v) without a lease", m.Seq, o.Verdict)
			continue
		}
		delete(q.leased, m.Seq)
		q.settled[m.Seq] = append(q.settled[m.Seq], o)
		switch o.Verdict {
		case tapway.Retry, tapway.Released:
			if o.Verdict == tapway.Retry {
				m.Attempts++
				m.LastError = o.Reason
			}
			q.due[m.Seq] = time.Now().Add(o.After)
			at, _ := slices.BinarySearchFunc(q.waiting, m, func(a, b tapway.Message) int { return int(a.Seq) - int(b.Seq) })
			q.waiting = slices.Insert(q.waiting, at, m)
		default:
			q.final[m.Seq] = o.Verdict
		}
	}
	q.change()
	return nil
}

// wait returns when every record has come to its end.
func (q *testQueue) wait() {
	q.t.Helper()
	q.until("every record is settled", func() bool { return len(q.final) == q.total })
}

// until waits for a condition; it is asked with the lock held, after every change.
func (q *testQueue) until(what string, ok func() bool) {
	q.t.Helper()
	timeout := time.NewTimer(30 * 24 * time.Hour)
	if _, real := q.t.Context().Deadline(); real {
		timeout.Reset(time.Minute)
	}
	defer timeout.Stop()
	for {
		q.mu.Lock()
		done, changed := ok(), q.changed
		q.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-timeout.C:
			q.t.Fatalf("timed out before %s", what)
		}
	}
}

// outcomes are those that record seq has had so far.
func (q *testQueue) outcomes(seq uint64) []tapway.Outcome {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.settled[seq])
}

// count is how many records ended so.
func (q *testQueue) count(v tapway.Verdict) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	for _, f := range q.final {
		if f == v {
			n++
		}
	}
	return n
}

// now is what a test may look at while the worker runs.
func (q *testQueue) now() (waiting []tapway.Message, leased int, receives []int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.waiting), len(q.leased), slices.Clone(q.receives)
}

// whole checks that every record is either at its end or waiting, and none is leased.
func (q *testQueue) whole() {
	q.t.Helper()
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.leased) != 0 {
		q.t.Errorf("%d records are still leased", len(q.leased))
	}
	if n := len(q.final) + len(q.waiting); n != q.total {
		q.t.Errorf("%d ended and %d waiting of %d records", len(q.final), len(q.waiting), q.total)
	}
}
