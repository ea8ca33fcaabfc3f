package awssqs

import "github.com/aws/aws-sdk-go-v2/service/sqs/types"

// The answers are read into types of our own: given to encoding/json, the SDK's would bring all their methods, and
// with them the SDK's serialisation, into the program.

// sent is a message that SQS has taken; Id is a batch's.
type sent struct{ Id, MessageId, MD5OfMessageBody, MD5OfMessageAttributes *string }

// failed is an entry of a batch that SQS has refused.
type failed struct {
	Id, Code, Message *string
	SenderFault       bool
}

func failures(all []failed) (out []types.BatchResultErrorEntry) {
	for _, f := range all {
		out = append(out, types.BatchResultErrorEntry{Id: f.Id, Code: f.Code, Message: f.Message, SenderFault: f.SenderFault})
	}
	return out
}

// settled is the answer to a batch of deletions or changes.
type settled struct {
	Successful []struct{ Id *string }
	Failed     []failed
}

type message struct {
	MessageId, ReceiptHandle, Body, MD5OfBody, MD5OfMessageAttributes *string
	Attributes                                                        map[string]string
	MessageAttributes                                                 map[string]struct {
		DataType, StringValue *string
		BinaryValue           []byte
	}
}

func (m *message) sdk() types.Message {
	out := types.Message{
		MessageId: m.MessageId, ReceiptHandle: m.ReceiptHandle, Body: m.Body, MD5OfBody: m.MD5OfBody,
		MD5OfMessageAttributes: m.MD5OfMessageAttributes, Attributes: m.Attributes,
	}
	for name, v := range m.MessageAttributes {
		if out.MessageAttributes == nil {
			out.MessageAttributes = map[string]types.MessageAttributeValue{}
		}
		out.MessageAttributes[name] = types.MessageAttributeValue{DataType: v.DataType, StringValue: v.StringValue, BinaryValue: v.BinaryValue}
	}
	return out
}

type task struct {
	ApproximateNumberOfMessagesMoved         int64
	ApproximateNumberOfMessagesToMove        *int64
	DestinationArn, FailureReason, SourceArn *string
	MaxNumberOfMessagesPerSecond             *int32
	StartedTimestamp                         int64
	Status, TaskHandle                       *string
}

func (t *task) sdk() types.ListMessageMoveTasksResultEntry {
	return types.ListMessageMoveTasksResultEntry{
		ApproximateNumberOfMessagesMoved: t.ApproximateNumberOfMessagesMoved, ApproximateNumberOfMessagesToMove: t.ApproximateNumberOfMessagesToMove,
		DestinationArn: t.DestinationArn, FailureReason: t.FailureReason, SourceArn: t.SourceArn,
		MaxNumberOfMessagesPerSecond: t.MaxNumberOfMessagesPerSecond, StartedTimestamp: t.StartedTimestamp, Status: t.Status, TaskHandle: t.TaskHandle,
	}
}
