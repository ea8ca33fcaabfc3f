package awssqs

// What goes in and comes out has the names of SQS's API, whose reference says what it means:
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_Operations.html. A nil pointer is
// left out, as is a number of 0 whose comment says so.

// GetQueueUrlInput asks for the URL of a queue by its name.
type GetQueueUrlInput struct {
	QueueName              *string
	QueueOwnerAWSAccountId *string // nil: the caller's
}

// GetQueueUrlOutput has the URL, never nil.
type GetQueueUrlOutput struct{ QueueUrl *string }

// The attributes of a queue that tapway asks for.
const (
	QueueAttributeAll                = "All"
	QueueAttributeArn                = "QueueArn"
	QueueAttributeMaximumMessageSize = "MaximumMessageSize"
	QueueAttributeRedrivePolicy      = "RedrivePolicy"
	QueueAttributeVisibilityTimeout  = "VisibilityTimeout"
	QueueAttributeMessages           = "ApproximateNumberOfMessages"
	QueueAttributeMessagesDelayed    = "ApproximateNumberOfMessagesDelayed"
	QueueAttributeMessagesNotVisible = "ApproximateNumberOfMessagesNotVisible"
)

// GetQueueAttributesInput asks for attributes of a queue.
type GetQueueAttributesInput struct {
	QueueUrl       *string
	AttributeNames []string
}

// GetQueueAttributesOutput has those that the queue has.
type GetQueueAttributesOutput struct{ Attributes map[string]string }

// MessageAttributeValue is an attribute of a message, set by who sends it.
type MessageAttributeValue struct {
	DataType    *string // "String", "Number" or "Binary", perhaps with a dot and a name behind it
	StringValue *string
	BinaryValue []byte
}

// SendMessageInput is a message to send.
type SendMessageInput struct {
	QueueUrl, MessageBody                  *string
	MessageAttributes                      map[string]MessageAttributeValue
	DelaySeconds                           int32 // 0: as the queue has it
	MessageGroupId, MessageDeduplicationId *string
}

// SendMessageOutput is a message that SQS has taken.
type SendMessageOutput struct{ MessageId, MD5OfMessageBody, MD5OfMessageAttributes *string }

// SendMessageBatchRequestEntry is a message of a batch to send.
type SendMessageBatchRequestEntry struct {
	Id, MessageBody                        *string
	MessageAttributes                      map[string]MessageAttributeValue
	DelaySeconds                           int32 // 0: as the queue has it
	MessageGroupId, MessageDeduplicationId *string
}

// SendMessageBatchInput is ten messages at most.
type SendMessageBatchInput struct {
	QueueUrl *string
	Entries  []SendMessageBatchRequestEntry
}

// SendMessageBatchResultEntry is a message of a batch that SQS has taken.
type SendMessageBatchResultEntry struct{ Id, MessageId, MD5OfMessageBody, MD5OfMessageAttributes *string }

// BatchResultErrorEntry is an entry of a batch that SQS has refused.
type BatchResultErrorEntry struct {
	Id, Code, Message *string
	SenderFault       bool
}

// SendMessageBatchOutput tells of every entry what became of it.
type SendMessageBatchOutput struct {
	Successful []SendMessageBatchResultEntry
	Failed     []BatchResultErrorEntry
}

// The attributes that SQS gives a message.
const (
	MessageAttributeAll          = "All"
	MessageAttributeSent         = "SentTimestamp"                    // milliseconds since 1970
	MessageAttributeFirstReceive = "ApproximateFirstReceiveTimestamp" // likewise
	MessageAttributeReceives     = "ApproximateReceiveCount"
	MessageAttributeGroup        = "MessageGroupId"
)

// ReceiveMessageInput asks for messages.
type ReceiveMessageInput struct {
	QueueUrl                    *string
	MaxNumberOfMessages         int32 // ten at most; 0: one
	VisibilityTimeout           int32 // seconds; 0: as the queue has it
	WaitTimeSeconds             int32 // 0: as the queue has it
	ReceiveRequestAttemptId     *string
	MessageAttributeNames       []string
	MessageSystemAttributeNames []string
}

// Message is one that was received.
type Message struct {
	MessageId, ReceiptHandle, Body, MD5OfBody, MD5OfMessageAttributes *string

	Attributes        map[string]string
	MessageAttributes map[string]MessageAttributeValue
}

// ReceiveMessageOutput has the messages that there were.
type ReceiveMessageOutput struct{ Messages []Message }

// DeleteMessageBatchRequestEntry is a message to delete.
type DeleteMessageBatchRequestEntry struct{ Id, ReceiptHandle *string }

// DeleteMessageBatchInput is ten messages at most.
type DeleteMessageBatchInput struct {
	QueueUrl *string
	Entries  []DeleteMessageBatchRequestEntry
}

// BatchResultEntry is an entry of a batch that was done.
type BatchResultEntry struct{ Id *string }

// DeleteMessageBatchOutput tells of every entry what became of it.
type DeleteMessageBatchOutput struct {
	Successful []BatchResultEntry
	Failed     []BatchResultErrorEntry
}

// ChangeMessageVisibilityInput says when a message comes back.
type ChangeMessageVisibilityInput struct {
	QueueUrl, ReceiptHandle *string
	VisibilityTimeout       int32 // seconds; 0: at once
}

// ChangeMessageVisibilityOutput has nothing in it.
type ChangeMessageVisibilityOutput struct{}

// ChangeMessageVisibilityBatchRequestEntry says when a message comes back.
type ChangeMessageVisibilityBatchRequestEntry struct {
	Id, ReceiptHandle *string
	VisibilityTimeout int32 // seconds; 0: at once
}

// ChangeMessageVisibilityBatchInput is ten messages at most.
type ChangeMessageVisibilityBatchInput struct {
	QueueUrl *string
	Entries  []ChangeMessageVisibilityBatchRequestEntry
}

// ChangeMessageVisibilityBatchOutput tells of every entry what became of it.
type ChangeMessageVisibilityBatchOutput struct {
	Successful []BatchResultEntry
	Failed     []BatchResultErrorEntry
}

// PurgeQueueInput names a queue to empty.
type PurgeQueueInput struct{ QueueUrl *string }

// PurgeQueueOutput has nothing in it.
type PurgeQueueOutput struct{}

// StartMessageMoveTaskInput says which dead letters go where.
type StartMessageMoveTaskInput struct {
	SourceArn                    *string
	DestinationArn               *string // nil: to the queues they came from
	MaxNumberOfMessagesPerSecond *int32  // nil: as fast as SQS can
}

// StartMessageMoveTaskOutput has the handle for CancelMessageMoveTask.
type StartMessageMoveTaskOutput struct{ TaskHandle *string }

// ListMessageMoveTasksInput names a queue of dead letters.
type ListMessageMoveTasksInput struct {
	SourceArn  *string
	MaxResults *int32 // nil: the latest
}

// ListMessageMoveTasksResultEntry is a move that goes on or has ended.
type ListMessageMoveTasksResultEntry struct {
	ApproximateNumberOfMessagesMoved         int64
	ApproximateNumberOfMessagesToMove        *int64
	DestinationArn, FailureReason, SourceArn *string
	MaxNumberOfMessagesPerSecond             *int32
	StartedTimestamp                         int64   // milliseconds since 1970
	Status                                   *string // "RUNNING", "COMPLETED", "CANCELLING", "CANCELLED" or "FAILED"
	TaskHandle                               *string // nil unless it is running
}

// ListMessageMoveTasksOutput has them, the latest first.
type ListMessageMoveTasksOutput struct {
	Results []ListMessageMoveTasksResultEntry
}

// CancelMessageMoveTaskInput names a move to end.
type CancelMessageMoveTaskInput struct{ TaskHandle *string }

// CancelMessageMoveTaskOutput tells how many messages it has moved.
type CancelMessageMoveTaskOutput struct{ ApproximateNumberOfMessagesMoved int64 }
