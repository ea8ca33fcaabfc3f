package admin

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/awssqs"
	"github.com/tapway/tapway/internal/queue/queuetest"
	"github.com/tapway/tapway/internal/queue/sqsqueue"
	"github.com/tapway/tapway/internal/queue/sqsqueue/sqstest"
	"github.com/tapway/tapway/internal/record"
)

// sqsWorld is an admin server over a queue on SQS, whose moves take time.
type sqsWorld struct {
	*testing.T
	sqs    *sqstest.Server
	server *Server
	client *Client
	moves  *slowMoves
}

// slowMoves is SQS that moves one dead letter a second, of which there are total.
type slowMoves struct {
	sqsqueue.Client
	total     int64
	started   time.Time // zero: no move
	cancelled time.Time
	rate      *int32
	end       string // what it ends as; "": COMPLETED
	refuse    error
}

func (m *slowMoves) StartMessageMoveTask(_ context.Context, in *awssqs.StartMessageMoveTaskInput) (*awssqs.StartMessageMoveTaskOutput, error) {
	if m.refuse != nil {
		return nil, m.refuse
	}
	m.started, m.rate = time.Now(), in.MaxNumberOfMessagesPerSecond
	return &awssqs.StartMessageMoveTaskOutput{TaskHandle: aws.String("handle")}, nil
}

func (m *slowMoves) ListMessageMoveTasks(context.Context, *awssqs.ListMessageMoveTasksInput) (*awssqs.ListMessageMoveTasksOutput, error) {
	if m.started.IsZero() {
		return &awssqs.ListMessageMoveTasksOutput{}, nil
	}
	until := time.Now()
	status := "RUNNING"
	if !m.cancelled.IsZero() {
		until, status = m.cancelled, "CANCELLED"
	}
	moved := int64(until.Sub(m.started) / time.Second)
	if moved >= m.total {
		moved, status = m.total, "COMPLETED"
		if m.end != "" {
			moved, status = m.total/2, m.end
		}
	}
	e := awssqs.ListMessageMoveTasksResultEntry{
		Status: &status, ApproximateNumberOfMessagesMoved: moved, ApproximateNumberOfMessagesToMove: &m.total, StartedTimestamp: m.started.UnixMilli(),
	}
	if status == "RUNNING" {
		e.TaskHandle = aws.String("handle")
	}
	if status == "FAILED" {
		e.FailureReason = aws.String("AccessDenied")
	}
	return &awssqs.ListMessageMoveTasksOutput{Results: []awssqs.ListMessageMoveTasksResultEntry{e}}, nil
}

func (m *slowMoves) CancelMessageMoveTask(_ context.Context, in *awssqs.CancelMessageMoveTaskInput) (*awssqs.CancelMessageMoveTaskOutput, error) {
	if aws.ToString(in.TaskHandle) != "handle" {
		return nil, errors.New("no such task")
	}
	m.cancelled = time.Now()
	return &awssqs.CancelMessageMoveTaskOutput{}, nil
}

func newSQSWorld(t *testing.T) *sqsWorld {
	t.Helper()
	w := &sqsWorld{T: t, sqs: &sqstest.Server{}}
	w.sqs.Create("siem-dead", nil)
	w.sqs.Create("siem", map[string]string{"RedrivePolicy": sqstest.RedrivePolicy("siem-dead", 1000)})
	cfg := aws.Config{Region: sqstest.Region, HTTPClient: w.sqs.Client(), Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "AKIDTEST", SecretAccessKey: "SECRETTEST"}, nil
	})}
	w.moves = &slowMoves{Client: awssqs.New(cfg, aws.String(sqstest.URL)), total: 5}
	q, err := sqsqueue.New(sqsqueue.Config{Client: w.moves, Queues: map[string]string{"siem": "siem"}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	w.server = &Server{SQS: q, Log: slog.New(slog.DiscardHandler)}
	w.client = Local(w.server)
	return w
}

// dead puts n dead letters there.
func (w *sqsWorld) dead(n int) {
	for i := range n {
		w.sqs.Put("siem-dead", string(record.Append(nil, queuetest.Exchange(i, 10))), nil)
	}
}

func (w *sqsWorld) redrive(ctx context.Context, sel Selection) (all []Progress, err error) {
	for p, err := range Stream[Progress](w.client.Post(ctx, "/api/v1/deadletters/redrive", sel)) {
		if err != nil {
			return all, err
		}
		all = append(all, p)
	}
	return all, nil
}

// TestMove: SQS moves by itself, and what it says is passed on until the end.
func TestMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSQSWorld(t)
		w.dead(5)
		all, err := w.redrive(t.Context(), Selection{Rate: 50})
		if err != nil {
			t.Fatal(err)
		}
		last, third := all[len(all)-1], all[3]
		if !last.Done || last.OK != 5 || last.Matched != 5 || last.Failed != 0 || last.Moving != nil {
			t.Errorf("at the end %+v", last)
		}
		if third.OK != 2 || third.Done || len(third.Moving) != 1 {
			t.Errorf("after two seconds %+v", third)
		}
		if aws.ToInt32(w.moves.rate) != 50 {
			t.Errorf("rate %v", w.moves.rate)
		}
	})
}

// TestMoveGoesOn: whoever watches may go and come back, and somebody may cancel it.
func TestMoveGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSQSWorld(t)
		w.dead(5)
		ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		defer cancel()
		all, err := w.redrive(ctx, Selection{})
		if last := all[len(all)-1]; last.Done || len(last.Moving) != 1 || last.OK != 2 {
			t.Errorf("after an interrupt: %+v, %v", last, err)
		}
		began := w.moves.started
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		all, _ = w.redrive(ctx, Selection{})
		if last := all[len(all)-1]; w.moves.started != began || !strings.Contains(last.Note, "under way already") {
			t.Errorf("seen again: %+v", last)
		}
		done, err := JSON[[]Cancelled](w.client.Post(t.Context(), "/api/v1/deadletters/cancel", Selection{}))
		if err != nil || len(done) != 1 || !done[0].Cancelled || done[0].Moved != 3 {
			t.Errorf("cancel: %+v, %v", done, err)
		}
		done, err = JSON[[]Cancelled](w.client.Post(t.Context(), "/api/v1/deadletters/cancel", Selection{Destination: "siem"}))
		if err != nil || done[0].Cancelled {
			t.Errorf("cancel again: %+v, %v", done, err)
		}
	})
}

// TestMoveFails: what SQS did not move counts as failed.
func TestMoveFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSQSWorld(t)
		w.dead(5)
		w.moves.end = "FAILED"
		all, err := w.redrive(t.Context(), Selection{})
		if last := all[len(all)-1]; err != nil || !last.Done || last.OK != 2 || last.Failed != 3 || last.Error != "AccessDenied" {
			t.Errorf("%+v, %v", last, err)
		}
	})
}

// TestMoveRefused: SQS says no, so it is done one by one; SQS does not answer, so it is not done.
func TestMoveRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSQSWorld(t)
		w.dead(3)
		w.moves.refuse = errors.New("connection lost")
		all, err := w.redrive(t.Context(), Selection{})
		if last := all[len(all)-1]; err != nil || last.OK != 0 || last.Failed != 3 || len(w.sqs.Messages("siem-dead")) != 3 {
			t.Errorf("no answer: %+v, %v", last, err)
		}
		w.moves.refuse = &types.UnsupportedOperation{}
		all, err = w.redrive(t.Context(), Selection{})
		if last := all[len(all)-1]; err != nil || last.OK != 3 || last.Matched != 3 || !strings.Contains(last.Note, "one by one") || len(w.sqs.Messages("siem")) != 3 {
			t.Errorf("refused: %+v, %v", last, err)
		}
	})
}

// TestEachFails: what SQS does not take back counts as failed, and stays.
func TestEachFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSQSWorld(t)
		w.sqs.Fault = func(c sqstest.Call) *sqstest.Fault {
			if strings.HasPrefix(c.Action, "SendMessage") {
				return &sqstest.Fault{Status: 403, Code: "AccessDenied"}
			}
			return nil
		}
		w.dead(13)
		all, err := w.redrive(t.Context(), Selection{Each: true})
		if last := all[len(all)-1]; err != nil || !last.Done || last.OK != 0 || last.Failed != 13 || last.Matched != 13 || last.Error == "" {
			t.Errorf("%+v, %v", last, err)
		}
		if n := len(w.sqs.Messages("siem-dead")); n != 13 {
			t.Errorf("%d dead letters left", n)
		}
		all, err = w.redrive(t.Context(), Selection{Filter: "query == 'n=3'"})
		if last := all[len(all)-1]; err != nil || last.Matched != 1 || last.Failed != 1 {
			t.Errorf("%+v, %v", last, err)
		}
	})
}

// TestSQSRefusals: what SQS cannot do is refused with what can be done instead.
func TestSQSRefusals(t *testing.T) {
	w := newSQSWorld(t)
	for path, says := range map[string]string{
		"/api/v1/exchanges": "dlq list", "/api/v1/exchanges/0198c2f0-7c1e-7b3a-9d2e-3f1f7b6a5c4d": "dlq show", "/api/v1/export": "no history", "/api/v1/tail": "sees no calls",
	} {
		body, err := w.client.Get(t.Context(), path, nil)
		refused(t, body, err, http.StatusNotImplemented, says)
	}
	for path, says := range map[string]string{
		"/api/v1/replay": "redrive --to", "/api/v1/queue/check": "sound", "/api/v1/destinations/siem/pause": "trigger", "/api/v1/destinations/siem/forget": "delete the queue itself",
	} {
		body, err := w.client.Post(t.Context(), path, Selection{})
		refused(t, body, err, http.StatusNotImplemented, says)
	}
	body, err := Local(newWorld(t).server).Post(t.Context(), "/api/v1/deadletters/cancel", Selection{})
	refused(t, body, err, http.StatusNotImplemented, "nothing to cancel")
}

// TestFollow: without a store tail is the live feed, filtered.
func TestFollow(t *testing.T) {
	w := newSQSWorld(t)
	w.server.Follow = func(ctx context.Context) iter.Seq2[*tapway.Exchange, error] {
		return func(yield func(*tapway.Exchange, error) bool) {
			for n := range 8 {
				if !yield(queuetest.Exchange(n, 0), nil) {
					return
				}
			}
			yield(nil, errors.New("the feed broke"))
		}
	}
	var got []string
	var failed error
	for s, err := range Stream[Summary](w.client.Get(t.Context(), "/api/v1/tail", url.Values{"filter": {"method == 'PUT'"}, "last": {"10"}})) {
		if failed = err; err == nil {
			got = append(got, s.Query)
		}
	}
	if strings.Join(got, " ") != "n=2 n=6" || failed == nil || !strings.Contains(failed.Error(), "the feed broke") {
		t.Errorf("%q, %v", got, failed)
	}
}

// TestSQSState: the oldest record is told where somebody knows it, and the ledger's scope.
func TestSQSState(t *testing.T) {
	w := newSQSWorld(t)
	w.dead(2)
	w.sqs.Put("siem", "x", nil)
	oldest := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	w.server.Oldest = func(context.Context, string) time.Time { return oldest }
	q, err := JSON[QueueState](w.client.Get(t.Context(), "/api/v1/queue", nil))
	if err != nil || !q.Approximate || q.Records != 3 || !q.Oldest.Equal(oldest) || !q.Destinations[0].OldestQueued.Equal(oldest) {
		t.Errorf("%+v, %v", q, err)
	}
	l, err := JSON[LedgerState](w.client.Get(t.Context(), "/api/v1/ledger", nil))
	if err != nil || l.Scope != ScopeQueue || l.Destinations[0].Dead != 2 {
		t.Errorf("%+v, %v", l, err)
	}
	w.server.Live = func() []Destination { return nil }
	w.server.Spilled = func(context.Context) (map[string]uint64, error) { return map[string]uint64{"siem": 7}, nil }
	l, err = JSON[LedgerState](w.client.Get(t.Context(), "/api/v1/ledger", nil))
	if err != nil || l.Scope != ScopeProcess || l.Destinations[0].Captured != 3 || l.Spilled["siem"] != 7 || l.Difference != 0 {
		t.Errorf("%+v, %v", l, err)
	}
	at, err := JSON[Source](w.client.Get(t.Context(), "/api/v1/source", nil))
	if err != nil || at.Queue != "sqs" || at.Queues["siem"] != "siem" {
		t.Errorf("%+v, %v", at, err)
	}
	if at, err := JSON[Source](Local(newWorld(t).server).Get(t.Context(), "/api/v1/source", nil)); err != nil || at.Queue != "disk" {
		t.Errorf("%+v, %v", at, err)
	}
}
