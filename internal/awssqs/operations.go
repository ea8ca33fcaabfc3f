package awssqs

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// GetQueueUrl finds a queue by its name.
func (c *Client) GetQueueUrl(ctx context.Context, in *GetQueueUrlInput) (*GetQueueUrlOutput, error) {
	b := newBody()
	b.text("QueueName", in.QueueName)
	b.text("QueueOwnerAWSAccountId", in.QueueOwnerAWSAccountId)
	out := new(GetQueueUrlOutput)
	if err := c.call(ctx, "GetQueueUrl", b, out); err != nil {
		return nil, err
	}
	if out.QueueUrl == nil {
		return nil, errors.New("SQS GetQueueUrl: the answer has no QueueUrl")
	}
	return out, nil
}

// GetQueueAttributes reads a queue's attributes.
func (c *Client) GetQueueAttributes(ctx context.Context, in *GetQueueAttributesInput) (*GetQueueAttributesOutput, error) {
	b := newBody()
	b.text("QueueUrl", in.QueueUrl)
	b.texts("AttributeNames", in.AttributeNames)
	out := new(GetQueueAttributesOutput)
	if err := c.call(ctx, "GetQueueAttributes", b, out); err != nil {
		return nil, err
	}
	return out, nil
}

// SendMessage sends a message and checks the sums of what SQS has taken.
func (c *Client) SendMessage(ctx context.Context, in *SendMessageInput) (*SendMessageOutput, error) {
	b := newBody()
	b.text("QueueUrl", in.QueueUrl)
	b.text("MessageBody", in.MessageBody)
	b.attributes(in.MessageAttributes)
	b.positive("DelaySeconds", in.DelaySeconds)
	b.text("MessageGroupId", in.MessageGroupId)
	b.text("MessageDeduplicationId", in.MessageDeduplicationId)
	out := new(SendMessageOutput)
	if err := c.call(ctx, "SendMessage", b, out); err != nil {
		return nil, err
	}
	if err := checkSums(in.MessageBody, out.MD5OfMessageBody, in.MessageAttributes, out.MD5OfMessageAttributes); err != nil {
		return nil, fmt.Errorf("SQS SendMessage: message %s: %w", aws.ToString(out.MessageId), err)
	}
	return out, nil
}

// SendMessageBatch sends messages and checks the sums of what SQS has taken.
func (c *Client) SendMessageBatch(ctx context.Context, in *SendMessageBatchInput) (*SendMessageBatchOutput, error) {
	b := newBody()
	b.text("QueueUrl", in.QueueUrl)
	entries(b, in.Entries, func(e *SendMessageBatchRequestEntry) {
		b.text("Id", e.Id)
		b.text("MessageBody", e.MessageBody)
		b.attributes(e.MessageAttributes)
		b.positive("DelaySeconds", e.DelaySeconds)
		b.text("MessageGroupId", e.MessageGroupId)
		b.text("MessageDeduplicationId", e.MessageDeduplicationId)
	})
	out := new(SendMessageBatchOutput)
	if err := c.call(ctx, "SendMessageBatch", b, out); err != nil {
		return nil, err
	}
	for _, one := range out.Successful {
		for _, e := range in.Entries {
			if aws.ToString(e.Id) != aws.ToString(one.Id) {
				continue
			}
			if err := checkSums(e.MessageBody, one.MD5OfMessageBody, e.MessageAttributes, one.MD5OfMessageAttributes); err != nil {
				return nil, fmt.Errorf("SQS SendMessageBatch: message %s: %w", aws.ToString(one.MessageId), err)
			}
		}
	}
	return out, nil
}

// ReceiveMessage takes messages, each hidden from others for a time, and checks their sums.
func (c *Client) ReceiveMessage(ctx context.Context, in *ReceiveMessageInput) (*ReceiveMessageOutput, error) {
	b := newBody()
	b.text("QueueUrl", in.QueueUrl)
	b.positive("MaxNumberOfMessages", in.MaxNumberOfMessages)
	b.positive("VisibilityTimeout", in.VisibilityTimeout)
	b.positive("WaitTimeSeconds", in.WaitTimeSeconds)
	b.text("ReceiveRequestAttemptId", in.ReceiveRequestAttemptId)
	b.texts("MessageAttributeNames", in.MessageAttributeNames)
	b.texts("MessageSystemAttributeNames", in.MessageSystemAttributeNames)
	out := new(ReceiveMessageOutput)
	if err := c.call(ctx, "ReceiveMessage", b, out); err != nil {
		return nil, err
	}
	for _, m := range out.Messages {
		if err := checkSums(m.Body, m.MD5OfBody, nil, nil); err != nil {
			return nil, fmt.Errorf("SQS ReceiveMessage: message %s: %w", aws.ToString(m.MessageId), err)
		}
	}
	return out, nil
}

// DeleteMessageBatch ends messages that were received.
func (c *Client) DeleteMessageBatch(ctx context.Context, in *DeleteMessageBatchInput) (*DeleteMessageBatchOutput, error) {
	b := newBody()
	b.text("QueueUrl", in.QueueUrl)
	entries(b, in.Entries, func(e *DeleteMessageBatchRequestEntry) {
		b.text("Id", e.Id)
		b.text("ReceiptHandle", e.ReceiptHandle)
	})
	out := new(DeleteMessageBatchOutput)
	if err := c.call(ctx, "DeleteMessageBatch", b, out); err != nil {
		return nil, err
	}
	return out, nil
}

// ChangeMessageVisibility says when a message that was received comes back.
func (c *Client) ChangeMessageVisibility(ctx context.Context, in *ChangeMessageVisibilityInput) (*ChangeMessageVisibilityOutput, error) {
	b := newBody()
	b.text("QueueUrl", in.QueueUrl)
	b.text("ReceiptHandle", in.ReceiptHandle)
	b.number("VisibilityTimeout", in.VisibilityTimeout)
	if err := c.call(ctx, "ChangeMessageVisibility", b, nil); err != nil { // the answer is empty
		return nil, err
	}
	return new(ChangeMessageVisibilityOutput), nil
}

// ChangeMessageVisibilityBatch says when messages that were received come back.
func (c *Client) ChangeMessageVisibilityBatch(ctx context.Context, in *ChangeMessageVisibilityBatchInput) (*ChangeMessageVisibilityBatchOutput, error) {
	b := newBody()
	b.text("QueueUrl", in.QueueUrl)
	entries(b, in.Entries, func(e *ChangeMessageVisibilityBatchRequestEntry) {
		b.text("Id", e.Id)
		b.text("ReceiptHandle", e.ReceiptHandle)
		b.number("VisibilityTimeout", e.VisibilityTimeout)
	})
	out := new(ChangeMessageVisibilityBatchOutput)
	if err := c.call(ctx, "ChangeMessageVisibilityBatch", b, out); err != nil {
		return nil, err
	}
	return out, nil
}

// PurgeQueue empties a queue.
func (c *Client) PurgeQueue(ctx context.Context, in *PurgeQueueInput) (*PurgeQueueOutput, error) {
	b := newBody()
	b.text("QueueUrl", in.QueueUrl)
	if err := c.call(ctx, "PurgeQueue", b, nil); err != nil { // the answer is empty
		return nil, err
	}
	return new(PurgeQueueOutput), nil
}

// StartMessageMoveTask has SQS move the messages of a queue of dead letters.
func (c *Client) StartMessageMoveTask(ctx context.Context, in *StartMessageMoveTaskInput) (*StartMessageMoveTaskOutput, error) {
	b := newBody()
	b.text("SourceArn", in.SourceArn)
	b.text("DestinationArn", in.DestinationArn)
	if n := in.MaxNumberOfMessagesPerSecond; n != nil {
		b.number("MaxNumberOfMessagesPerSecond", *n)
	}
	out := new(StartMessageMoveTaskOutput)
	if err := c.call(ctx, "StartMessageMoveTask", b, out); err != nil {
		return nil, err
	}
	return out, nil
}

// ListMessageMoveTasks lists the moves of a queue's dead letters.
func (c *Client) ListMessageMoveTasks(ctx context.Context, in *ListMessageMoveTasksInput) (*ListMessageMoveTasksOutput, error) {
	b := newBody()
	b.text("SourceArn", in.SourceArn)
	if n := in.MaxResults; n != nil {
		b.number("MaxResults", *n)
	}
	out := new(ListMessageMoveTasksOutput)
	if err := c.call(ctx, "ListMessageMoveTasks", b, out); err != nil {
		return nil, err
	}
	return out, nil
}

// CancelMessageMoveTask ends a move.
func (c *Client) CancelMessageMoveTask(ctx context.Context, in *CancelMessageMoveTaskInput) (*CancelMessageMoveTaskOutput, error) {
	b := newBody()
	b.text("TaskHandle", in.TaskHandle)
	out := new(CancelMessageMoveTaskOutput)
	if err := c.call(ctx, "CancelMessageMoveTask", b, out); err != nil {
		return nil, err
	}
	return out, nil
}
