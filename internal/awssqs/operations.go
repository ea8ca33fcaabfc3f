package awssqs

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// option is in the signatures so that a Client can stand where the SDK's does; options are not looked at.
type option = func(*sqs.Options)

// GetQueueUrl is the SDK's.
func (c *Client) GetQueueUrl(ctx context.Context, in *sqs.GetQueueUrlInput, _ ...option) (*sqs.GetQueueUrlOutput, error) {
	b := newBody()
	b.text("QueueName", in.QueueName)
	b.text("QueueOwnerAWSAccountId", in.QueueOwnerAWSAccountId)
	var out struct{ QueueUrl *string }
	if err := c.call(ctx, "GetQueueUrl", b, &out); err != nil {
		return nil, err
	}
	if out.QueueUrl == nil {
		return nil, errors.New("SQS GetQueueUrl: the answer has no QueueUrl")
	}
	return &sqs.GetQueueUrlOutput{QueueUrl: out.QueueUrl}, nil
}

// GetQueueAttributes is the SDK's.
func (c *Client) GetQueueAttributes(ctx context.Context, in *sqs.GetQueueAttributesInput, _ ...option) (*sqs.GetQueueAttributesOutput, error) {
	b := newBody()
	b.text("QueueUrl", in.QueueUrl)
	texts(b, "AttributeNames", in.AttributeNames)
	var out struct{ Attributes map[string]string }
	if err := c.call(ctx, "GetQueueAttributes", b, &out); err != nil {
		return nil, err
	}
	return &sqs.GetQueueAttributesOutput{Attributes: out.Attributes}, nil
}

// SendMessage is the SDK's, and checks the sum of the attributes as well.
func (c *Client) SendMessage(ctx context.Context, in *sqs.SendMessageInput, _ ...option) (*sqs.SendMessageOutput, error) {
	b := newBody()
	b.text("QueueUrl", in.QueueUrl)
	b.text("MessageBody", in.MessageBody)
	b.attributes(in.MessageAttributes)
	b.positive("DelaySeconds", in.DelaySeconds)
	b.text("MessageGroupId", in.MessageGroupId)
	b.text("MessageDeduplicationId", in.MessageDeduplicationId)
	var out sent
	if err := c.call(ctx, "SendMessage", b, &out); err != nil {
		return nil, err
	}
	if err := checkSums(in.MessageBody, out.MD5OfMessageBody, in.MessageAttributes, out.MD5OfMessageAttributes); err != nil {
		return nil, fmt.Errorf("SQS SendMessage: message %s: %w", aws.ToString(out.MessageId), err)
	}
	return &sqs.SendMessageOutput{MessageId: out.MessageId, MD5OfMessageBody: out.MD5OfMessageBody, MD5OfMessageAttributes: out.MD5OfMessageAttributes}, nil
}

// SendMessageBatch is the SDK's, and checks the sum of the attributes as well.
func (c *Client) SendMessageBatch(ctx context.Context, in *sqs.SendMessageBatchInput, _ ...option) (*sqs.SendMessageBatchOutput, error) {
	b := newBody()
	b.text("QueueUrl", in.QueueUrl)
	entries(b, in.Entries, func(e *types.SendMessageBatchRequestEntry) {
		b.text("Id", e.Id)
		b.text("MessageBody", e.MessageBody)
		b.attributes(e.MessageAttributes)
		b.positive("DelaySeconds", e.DelaySeconds)
		b.text("MessageGroupId", e.MessageGroupId)
		b.text("MessageDeduplicationId", e.MessageDeduplicationId)
	})
	var got struct {
		Successful []sent
		Failed     []failed
	}
	if err := c.call(ctx, "SendMessageBatch", b, &got); err != nil {
		return nil, err
	}
	out := &sqs.SendMessageBatchOutput{Failed: failures(got.Failed)}
	for _, one := range got.Successful {
		for _, e := range in.Entries {
			if aws.ToString(e.Id) != aws.ToString(one.Id) {
				continue
			}
			if err := checkSums(e.MessageBody, one.MD5OfMessageBody, e.MessageAttributes, one.MD5OfMessageAttributes); err != nil {
				return nil, fmt.Errorf("SQS SendMessageBatch: message %s: %w", aws.ToString(one.MessageId), err)
			}
		}
		out.Successful = append(out.Successful, types.SendMessageBatchResultEntry{
			Id: one.Id, MessageId: one.MessageId, MD5OfMessageBody: one.MD5OfMessageBody, MD5OfMessageAttributes: one.MD5OfMessageAttributes,
		})
	}
	return out, nil
}

// ReceiveMessage is the SDK's. AttributeNames, which SQS has given up, is left out.
func (c *Client) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, _ ...option) (*sqs.ReceiveMessageOutput, error) {
	b := newBody()
	b.text("QueueUrl", in.QueueUrl)
	b.positive("MaxNumberOfMessages", in.MaxNumberOfMessages)
	b.positive("VisibilityTimeout", in.VisibilityTimeout)
	b.positive("WaitTimeSeconds", in.WaitTimeSeconds)
	b.text("ReceiveRequestAttemptId", in.ReceiveRequestAttemptId)
	texts(b, "MessageAttributeNames", in.MessageAttributeNames)
	texts(b, "MessageSystemAttributeNames", in.MessageSystemAttributeNames)
	var got struct{ Messages []message }
	if err := c.call(ctx, "ReceiveMessage", b, &got); err != nil {
		return nil, err
	}
	out := new(sqs.ReceiveMessageOutput)
	for _, m := range got.Messages {
		if err := checkSums(m.Body, m.MD5OfBody, nil, nil); err != nil {
			return nil, fmt.Errorf("SQS ReceiveMessage: message %s: %w", aws.ToString(m.MessageId), err)
		}
		out.Messages = append(out.Messages, m.sdk())
	}
	return out, nil
}

// DeleteMessageBatch is the SDK's.
func (c *Client) DeleteMessageBatch(ctx context.Context, in *sqs.DeleteMessageBatchInput, _ ...option) (*sqs.DeleteMessageBatchOutput, error) {
	b := newBody()
	b.text("QueueUrl", in.QueueUrl)
	entries(b, in.Entries, func(e *types.DeleteMessageBatchRequestEntry) {
		b.text("Id", e.Id)
		b.text("ReceiptHandle", e.ReceiptHandle)
	})
	var got settled
	if err := c.call(ctx, "DeleteMessageBatch", b, &got); err != nil {
		return nil, err
	}
	out := &sqs.DeleteMessageBatchOutput{Failed: failures(got.Failed)}
	for _, one := range got.Successful {
		out.Successful = append(out.Successful, types.DeleteMessageBatchResultEntry{Id: one.Id})
	}
	return out, nil
}

// ChangeMessageVisibility is the SDK's.
func (c *Client) ChangeMessageVisibility(ctx context.Context, in *sqs.ChangeMessageVisibilityInput, _ ...option) (*sqs.ChangeMessageVisibilityOutput, error) {
	b := newBody()
	b.text("QueueUrl", in.QueueUrl)
	b.text("ReceiptHandle", in.ReceiptHandle)
	b.number("VisibilityTimeout", in.VisibilityTimeout)
	if err := c.call(ctx, "ChangeMessageVisibility", b, nil); err != nil { // the answer is empty
		return nil, err
	}
	return new(sqs.ChangeMessageVisibilityOutput), nil
}

// ChangeMessageVisibilityBatch is the SDK's.
func (c *Client) ChangeMessageVisibilityBatch(ctx context.Context, in *sqs.ChangeMessageVisibilityBatchInput, _ ...option) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	b := newBody()
	b.text("QueueUrl", in.QueueUrl)
	entries(b, in.Entries, func(e *types.ChangeMessageVisibilityBatchRequestEntry) {
		b.text("Id", e.Id)
		b.text("ReceiptHandle", e.ReceiptHandle)
		b.number("VisibilityTimeout", e.VisibilityTimeout)
	})
	var got settled
	if err := c.call(ctx, "ChangeMessageVisibilityBatch", b, &got); err != nil {
		return nil, err
	}
	out := &sqs.ChangeMessageVisibilityBatchOutput{Failed: failures(got.Failed)}
	for _, one := range got.Successful {
		out.Successful = append(out.Successful, types.ChangeMessageVisibilityBatchResultEntry{Id: one.Id})
	}
	return out, nil
}

// PurgeQueue is the SDK's.
func (c *Client) PurgeQueue(ctx context.Context, in *sqs.PurgeQueueInput, _ ...option) (*sqs.PurgeQueueOutput, error) {
	b := newBody()
	b.text("QueueUrl", in.QueueUrl)
	if err := c.call(ctx, "PurgeQueue", b, nil); err != nil { // the answer is empty
		return nil, err
	}
	return new(sqs.PurgeQueueOutput), nil
}

// StartMessageMoveTask is the SDK's.
func (c *Client) StartMessageMoveTask(ctx context.Context, in *sqs.StartMessageMoveTaskInput, _ ...option) (*sqs.StartMessageMoveTaskOutput, error) {
	b := newBody()
	b.text("SourceArn", in.SourceArn)
	b.text("DestinationArn", in.DestinationArn)
	if n := in.MaxNumberOfMessagesPerSecond; n != nil {
		b.number("MaxNumberOfMessagesPerSecond", *n)
	}
	var out struct{ TaskHandle *string }
	if err := c.call(ctx, "StartMessageMoveTask", b, &out); err != nil {
		return nil, err
	}
	return &sqs.StartMessageMoveTaskOutput{TaskHandle: out.TaskHandle}, nil
}

// ListMessageMoveTasks is the SDK's.
func (c *Client) ListMessageMoveTasks(ctx context.Context, in *sqs.ListMessageMoveTasksInput, _ ...option) (*sqs.ListMessageMoveTasksOutput, error) {
	b := newBody()
	b.text("SourceArn", in.SourceArn)
	if n := in.MaxResults; n != nil {
		b.number("MaxResults", *n)
	}
	var got struct{ Results []task }
	if err := c.call(ctx, "ListMessageMoveTasks", b, &got); err != nil {
		return nil, err
	}
	out := new(sqs.ListMessageMoveTasksOutput)
	for _, t := range got.Results {
		out.Results = append(out.Results, t.sdk())
	}
	return out, nil
}

// CancelMessageMoveTask is the SDK's.
func (c *Client) CancelMessageMoveTask(ctx context.Context, in *sqs.CancelMessageMoveTaskInput, _ ...option) (*sqs.CancelMessageMoveTaskOutput, error) {
	b := newBody()
	b.text("TaskHandle", in.TaskHandle)
	var out struct{ ApproximateNumberOfMessagesMoved int64 }
	if err := c.call(ctx, "CancelMessageMoveTask", b, &out); err != nil {
		return nil, err
	}
	return &sqs.CancelMessageMoveTaskOutput{ApproximateNumberOfMessagesMoved: out.ApproximateNumberOfMessagesMoved}, nil
}
