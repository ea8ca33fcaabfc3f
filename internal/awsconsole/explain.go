package awsconsole

import (
	"cmp"
	"context"
	"errors"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/tapway/tapway/internal/attach"
	"github.com/tapway/tapway/internal/queue/sqsqueue"
)

// explained is SQS whose refusals say which permission is missing.
type explained struct{ sqsqueue.Client }

// keyAction is the permission that a refusal by a queue's own key in KMS names.
var keyAction = regexp.MustCompile(`kms:[A-Za-z]+`)

// explain leaves everything but a refusal as it is.
func explain(err error) error {
	var api interface{ ErrorCode() string }
	if errors.As(err, &api) && strings.HasPrefix(strings.ToUpper(api.ErrorCode()), "KMS") && strings.Contains(api.ErrorCode(), "AccessDenied") {
		action := cmp.Or(keyAction.FindString(err.Error()), "kms:Decrypt")
		return &attach.DeniedError{Doing: "ask SQS, whose queue is encrypted with a key of your own", Action: action, Err: err}
	}
	var denied *attach.DeniedError
	if named := attach.Failed("ask SQS", err); err != nil && errors.As(named, &denied) {
		return named
	}
	return err
}

func (e explained) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, opts ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	out, err := e.Client.ReceiveMessage(ctx, in, opts...)
	return out, explain(err)
}

func (e explained) ChangeMessageVisibilityBatch(ctx context.Context, in *sqs.ChangeMessageVisibilityBatchInput, opts ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	out, err := e.Client.ChangeMessageVisibilityBatch(ctx, in, opts...)
	return out, explain(err)
}

func (e explained) SendMessage(ctx context.Context, in *sqs.SendMessageInput, opts ...func(*sqs.Options)) (*sqs.SendMessageOutput, error) {
	out, err := e.Client.SendMessage(ctx, in, opts...)
	return out, explain(err)
}

func (e explained) SendMessageBatch(ctx context.Context, in *sqs.SendMessageBatchInput, opts ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error) {
	out, err := e.Client.SendMessageBatch(ctx, in, opts...)
	return out, explain(err)
}

func (e explained) DeleteMessageBatch(ctx context.Context, in *sqs.DeleteMessageBatchInput, opts ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	out, err := e.Client.DeleteMessageBatch(ctx, in, opts...)
	return out, explain(err)
}

func (e explained) PurgeQueue(ctx context.Context, in *sqs.PurgeQueueInput, opts ...func(*sqs.Options)) (*sqs.PurgeQueueOutput, error) {
	out, err := e.Client.PurgeQueue(ctx, in, opts...)
	return out, explain(err)
}

func (e explained) StartMessageMoveTask(ctx context.Context, in *sqs.StartMessageMoveTaskInput, opts ...func(*sqs.Options)) (*sqs.StartMessageMoveTaskOutput, error) {
	out, err := e.Client.StartMessageMoveTask(ctx, in, opts...)
	return out, explain(err)
}

func (e explained) ListMessageMoveTasks(ctx context.Context, in *sqs.ListMessageMoveTasksInput, opts ...func(*sqs.Options)) (*sqs.ListMessageMoveTasksOutput, error) {
	out, err := e.Client.ListMessageMoveTasks(ctx, in, opts...)
	return out, explain(err)
}

func (e explained) CancelMessageMoveTask(ctx context.Context, in *sqs.CancelMessageMoveTaskInput, opts ...func(*sqs.Options)) (*sqs.CancelMessageMoveTaskOutput, error) {
	out, err := e.Client.CancelMessageMoveTask(ctx, in, opts...)
	return out, explain(err)
}
