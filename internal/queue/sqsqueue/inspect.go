package sqsqueue

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/awssqs"
)

// Stats tells how full the queues are, as SQS counts approximately. Leased has what is retried
// later as well: SQS does not tell them apart. When the oldest was sent only CloudWatch knows
// (ApproximateAgeOfOldestMessage), and bytes nobody. It fails when SQS does not answer within
// Config.Patience.
func (q *Queue) Stats(ctx context.Context) (tapway.Stats, error) {
	ctx, cancel := context.WithTimeout(ctx, q.c.Patience)
	defer cancel()
	st := tapway.Stats{Destinations: make([]tapway.DestinationStats, len(q.names))}
	errs := make([]error, len(q.names))
	parallel(len(q.names), 8, func(i int) {
		queued, dead, err := q.dests[q.names[i]].measure(ctx)
		errs[i] = err
		st.Destinations[i] = tapway.DestinationStats{
			Destination: q.names[i], Queued: queued.total(), Leased: queued.leased, Dead: dead.total(),
		}
	})
	if err := errors.Join(errs...); err != nil {
		return tapway.Stats{}, fmt.Errorf("state of the SQS queues: %w", err)
	}
	ahead := tapway.Ledger{Destinations: make([]tapway.LedgerLine, len(q.names))}
	for i, name := range q.names {
		ahead.Destinations[i].Destination = name
	}
	if err := q.addAhead(ctx, &ahead); err != nil {
		return tapway.Stats{}, err
	}
	for i := range st.Destinations {
		st.Destinations[i].Queued += ahead.Destinations[i].Queued
	}
	for _, d := range st.Destinations {
		st.Records += d.Queued + d.Dead
	}
	return st, nil
}

// Queues is each destination's queue as it was configured.
func (q *Queue) Queues() map[string]string { return maps.Clone(q.c.Queues) }

// Destinations are the configured destinations, sorted.
func (q *Queue) Destinations() []string { return append([]string(nil), q.names...) }

// Move is the state of a move task.
type Move struct {
	Handle  string    `json:"handle,omitempty"` // of a running task: what CancelMove takes
	Status  string    `json:"status"`           // RUNNING, COMPLETED, CANCELLING, CANCELLED, FAILED
	Moved   int64     `json:"moved"`
	ToMove  int64     `json:"to_move"`
	Failure string    `json:"failure,omitempty"`
	Started time.Time `json:"started"`
}

// StartMove has SQS itself move all dead letters of a destination back into its queue, at most
// rate a second; 0 lets SQS choose, 500 is the most. It returns at once and goes on without
// tapway. The messages keep the attributes of their death, which the next death replaces. SQS does it
// only for a queue that is the target of a redrive policy; a refusal wraps ErrNoMove.
func (q *Queue) StartMove(ctx context.Context, destination string, rate int) (handle string, err error) {
	from, to, err := q.arns(ctx, destination)
	if err != nil {
		return "", err
	}
	if err := q.dests[destination].alone(ctx); err != nil {
		return "", fmt.Errorf("move the dead letters of destination %q: %w: %w", destination, ErrNoMove, err)
	}
	in := &awssqs.StartMessageMoveTaskInput{SourceArn: &from, DestinationArn: &to}
	if rate > 0 {
		in.MaxNumberOfMessagesPerSecond = aws.Int32(int32(min(rate, 500)))
	}
	// Once only: a second task would be refused because of the first.
	err = q.call(ctx, func(ctx context.Context) error {
		out, err := q.c.Client.StartMessageMoveTask(ctx, in)
		if err == nil {
			handle = aws.ToString(out.TaskHandle)
		}
		return err
	})
	if err != nil && !transient(err) {
		err = fmt.Errorf("%w: %w", ErrNoMove, err)
	}
	if err != nil {
		return "", fmt.Errorf("move the dead letters of destination %q: %w", destination, err)
	}
	return handle, nil
}

// ErrNoMove says that SQS does not move dead letters by itself: their queue is not the target
// of a redrive policy or has those of other destinations as well, a move is under way, or the permission for it is
// missing. Redrive does without.
var ErrNoMove = errors.New("SQS does not move them by itself")

// LastMove is the newest move of a destination's dead letters; ErrNotFound when there was none.
func (q *Queue) LastMove(ctx context.Context, destination string) (Move, error) {
	from, _, err := q.arns(ctx, destination)
	if err != nil {
		return Move{}, err
	}
	var out *awssqs.ListMessageMoveTasksOutput
	err = q.try(ctx, func(ctx context.Context) error {
		out, err = q.c.Client.ListMessageMoveTasks(ctx, &awssqs.ListMessageMoveTasksInput{SourceArn: &from, MaxResults: aws.Int32(1)})
		return err
	})
	if err != nil {
		return Move{}, fmt.Errorf("list the moves of destination %q: %w", destination, err)
	}
	if len(out.Results) == 0 {
		return Move{}, fmt.Errorf("a move of the dead letters of destination %q: %w", destination, tapway.ErrNotFound)
	}
	r := &out.Results[0]
	return Move{
		Handle: aws.ToString(r.TaskHandle), Status: aws.ToString(r.Status), Moved: r.ApproximateNumberOfMessagesMoved,
		ToMove: aws.ToInt64(r.ApproximateNumberOfMessagesToMove), Failure: aws.ToString(r.FailureReason), Started: time.UnixMilli(r.StartedTimestamp).UTC(),
	}, nil
}

// CancelMove stops a running move. What was moved stays moved.
func (q *Queue) CancelMove(ctx context.Context, handle string) error {
	err := q.try(ctx, func(ctx context.Context) error {
		_, err := q.c.Client.CancelMessageMoveTask(ctx, &awssqs.CancelMessageMoveTaskInput{TaskHandle: &handle})
		return err
	})
	if err != nil {
		return fmt.Errorf("cancel the move: %w", err)
	}
	return nil
}

// arns names the dead-letter queue and the queue of a destination.
func (q *Queue) arns(ctx context.Context, destination string) (from, to string, err error) {
	d, err := q.destination(destination)
	if err != nil {
		return "", "", err
	}
	dead, err := d.deadLetters(ctx)
	if err != nil {
		return "", "", err
	}
	for t, arn := range map[*target]*string{dead: &from, d.main: &to} {
		url, f, err := t.lookUp(ctx)
		if err != nil {
			return "", "", err
		}
		if *arn = f.arn; f.arn == "" {
			return "", "", fmt.Errorf("the ARN of queue %s cannot be read: allow sqs:GetQueueAttributes", url)
		}
	}
	return from, to, nil
}

// PurgeAll has SQS itself empty a destination's dead-letter queue, and returns about how many
// there were. It is quick for any number, but leaves large records to the bucket's lifecycle
// rule, and SQS takes up to a minute and allows it once a minute. It fails where the queue has the dead letters
// of other destinations as well.
func (q *Queue) PurgeAll(ctx context.Context, destination string) (about uint64, err error) {
	d, err := q.destination(destination)
	if err != nil {
		return 0, err
	}
	if err := d.alone(ctx); err != nil {
		return 0, fmt.Errorf("purge the dead letters of destination %q: %w", destination, err)
	}
	_, dead, err := d.measure(ctx)
	if err != nil {
		return 0, err
	}
	dl, err := d.deadLetters(ctx)
	if err != nil {
		return 0, err
	}
	url, _, _ := dl.ready()
	err = q.try(ctx, func(ctx context.Context) error {
		_, err := q.c.Client.PurgeQueue(ctx, &awssqs.PurgeQueueInput{QueueUrl: &url})
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("purge the dead letters of destination %q: %w", destination, err)
	}
	for range dead.total() {
		d.account.settled(tapway.Outcome{Verdict: tapway.Dropped, Reason: "purged"})
	}
	return dead.total(), nil
}
