package awsconsole

import (
	"cmp"
	"context"
	"errors"
	"regexp"
	"strings"

	"github.com/aws/smithy-go"

	"github.com/tapway/tapway/internal/attach"
	"github.com/tapway/tapway/internal/awssqs"
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
	var refused *awssqs.Error
	var denied *attach.DeniedError
	if !errors.As(err, &refused) {
		return err
	}
	named := attach.Failed("ask SQS", &smithy.OperationError{ServiceID: "SQS", OperationName: refused.Operation, Err: err})
	if errors.As(named, &denied) {
		return named
	}
	return err
}

func (e explained) ReceiveMessage(ctx context.Context, in *awssqs.ReceiveMessageInput) (*awssqs.ReceiveMessageOutput, error) {
	out, err := e.Client.ReceiveMessage(ctx, in)
	return out, explain(err)
}

func (e explained) ChangeMessageVisibilityBatch(ctx context.Context, in *awssqs.ChangeMessageVisibilityBatchInput) (*awssqs.ChangeMessageVisibilityBatchOutput, error) {
	out, err := e.Client.ChangeMessageVisibilityBatch(ctx, in)
	return out, explain(err)
}

func (e explained) SendMessage(ctx context.Context, in *awssqs.SendMessageInput) (*awssqs.SendMessageOutput, error) {
	out, err := e.Client.SendMessage(ctx, in)
	return out, explain(err)
}

func (e explained) SendMessageBatch(ctx context.Context, in *awssqs.SendMessageBatchInput) (*awssqs.SendMessageBatchOutput, error) {
	out, err := e.Client.SendMessageBatch(ctx, in)
	return out, explain(err)
}

func (e explained) DeleteMessageBatch(ctx context.Context, in *awssqs.DeleteMessageBatchInput) (*awssqs.DeleteMessageBatchOutput, error) {
	out, err := e.Client.DeleteMessageBatch(ctx, in)
	return out, explain(err)
}

func (e explained) PurgeQueue(ctx context.Context, in *awssqs.PurgeQueueInput) (*awssqs.PurgeQueueOutput, error) {
	out, err := e.Client.PurgeQueue(ctx, in)
	return out, explain(err)
}

func (e explained) StartMessageMoveTask(ctx context.Context, in *awssqs.StartMessageMoveTaskInput) (*awssqs.StartMessageMoveTaskOutput, error) {
	out, err := e.Client.StartMessageMoveTask(ctx, in)
	return out, explain(err)
}

func (e explained) ListMessageMoveTasks(ctx context.Context, in *awssqs.ListMessageMoveTasksInput) (*awssqs.ListMessageMoveTasksOutput, error) {
	out, err := e.Client.ListMessageMoveTasks(ctx, in)
	return out, explain(err)
}

func (e explained) CancelMessageMoveTask(ctx context.Context, in *awssqs.CancelMessageMoveTaskInput) (*awssqs.CancelMessageMoveTaskOutput, error) {
	out, err := e.Client.CancelMessageMoveTask(ctx, in)
	return out, explain(err)
}
