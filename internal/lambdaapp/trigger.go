package lambdaapp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/tidwall/gjson"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/awssqs"
	"github.com/tapway/tapway/internal/lambdasqs"
	"github.com/tapway/tapway/internal/queue/claimcheck"
	"github.com/tapway/tapway/internal/queue/sqsqueue"
)

// trigger is what the forwarder does with SQS and S3 besides answering Lambda: it fetches
// large records, sets when a failed message comes back, and moves dead ones.
type trigger struct {
	sqs    sqsClient
	claims *claimcheck.Check                   // nil: there is no bucket
	delete bool                                // the object of a delivered record
	dead   func(destination string) string     // the configured dead-letter queue; "": the redrive policy's
	owner  func(queueARN string) (name string) // of the queue: its destination

	mu   sync.Mutex
	urls map[string]string // of queues, by ARN or name
	dlqs map[string]string // ARN or name of the dead-letter queue, by ARN of its queue
}

// sqsClient is what a trigger needs of SQS.
type sqsClient interface {
	GetQueueUrl(ctx context.Context, in *awssqs.GetQueueUrlInput) (*awssqs.GetQueueUrlOutput, error)
	GetQueueAttributes(ctx context.Context, in *awssqs.GetQueueAttributesInput) (*awssqs.GetQueueAttributesOutput, error)
	SendMessage(ctx context.Context, in *awssqs.SendMessageInput) (*awssqs.SendMessageOutput, error)
	DeleteMessageBatch(ctx context.Context, in *awssqs.DeleteMessageBatchInput) (*awssqs.DeleteMessageBatchOutput, error)
	ChangeMessageVisibility(ctx context.Context, in *awssqs.ChangeMessageVisibilityInput) (*awssqs.ChangeMessageVisibilityOutput, error)
}

// payload is lambdasqs.Handler's.
func (t *trigger) payload(ctx context.Context, m *lambdasqs.Message) (lambdasqs.Payload, error) {
	if !isClaim(m) {
		return lambdasqs.Payload{Record: []byte(m.Body)}, nil
	}
	if t.claims == nil {
		return lambdasqs.Payload{}, errors.New("it is in a bucket: set TAPWAY_BUCKET")
	}
	rec, pointer, err := t.claims.Redeem(ctx, []byte(m.Body))
	if err != nil {
		switch {
		case claimcheck.Permanent(err):
			err = fmt.Errorf("%w: %w", lambdasqs.ErrPoison, err)
		case claimcheck.Refused(err):
			err = fmt.Errorf("%w: %w", lambdasqs.ErrRefused, err)
		}
		return lambdasqs.Payload{}, err
	}
	p := lambdasqs.Payload{Record: rec}
	if t.delete {
		p.Discard = func(ctx context.Context) error { return t.claims.Discard(ctx, pointer) }
	}
	return p, nil
}

// postpone is lambdasqs.Handler's.
func (t *trigger) postpone(ctx context.Context, m *lambdasqs.Message, d time.Duration) error {
	url, err := t.url(ctx, m.QueueARN)
	if err != nil {
		return err
	}
	_, err = t.sqs.ChangeMessageVisibility(ctx, &awssqs.ChangeMessageVisibilityInput{QueueUrl: &url, ReceiptHandle: &m.Receipt, VisibilityTimeout: int32(d / time.Second)})
	return err
}

// remove is lambdasqs.Handler's.
func (t *trigger) remove(ctx context.Context, arn string, settled []*lambdasqs.Message) error {
	url, err := t.url(ctx, arn)
	if err != nil {
		return err
	}
	var errs []error
	for tens := range slices.Chunk(settled, 10) {
		in := &awssqs.DeleteMessageBatchInput{QueueUrl: &url}
		for i, m := range tens {
			in.Entries = append(in.Entries, awssqs.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: &m.Receipt})
		}
		out, err := t.sqs.DeleteMessageBatch(ctx, in)
		if err == nil && len(out.Failed) > 0 {
			err = fmt.Errorf("%d of %d: %s", len(out.Failed), len(tens), aws.ToString(out.Failed[0].Code))
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// bury is lambdasqs.Handler's. The message goes as it is, a pointer as a pointer, with why it
// died in the attributes that the dead-letter commands read.
func (t *trigger) bury(ctx context.Context, m *lambdasqs.Message, o tapway.Outcome) error {
	dlq, err := t.deadLetters(ctx, m.QueueARN)
	if err != nil {
		return err
	}
	url, err := t.url(ctx, dlq)
	if err != nil {
		t.forget(m.QueueARN, dlq, err)
		return err
	}
	in := &awssqs.SendMessageInput{QueueUrl: &url, MessageBody: &m.Body, MessageAttributes: t.deadAttributes(m, o)}
	if m.Body == "" {
		in.MessageBody = aws.String(" ") // SQS takes no empty body
	}
	if m.Group != "" {
		in.MessageGroupId = &m.Group
	}
	kept := keptAttributes(m)
	whose := maps.Clone(kept)
	whose[sqsqueue.AttributeDestination] = in.MessageAttributes[sqsqueue.AttributeDestination]
	_, err = t.sqs.SendMessage(ctx, in)
	for _, less := range []map[string]awssqs.MessageAttributeValue{whose, kept} {
		if !strings.HasPrefix(codeOf(err), "InvalidParameterValue") {
			break
		}
		// Somebody else's message of the full size: it goes without its reason, which is in the log, and is not lost.
		in.MessageAttributes = less
		_, err = t.sqs.SendMessage(ctx, in)
	}
	if strings.HasPrefix(codeOf(err), "InvalidParameterValue") && t.claims != nil && !isClaim(m) {
		err = t.buryByBucket(ctx, in, t.deadAttributes(m, o), err)
	}
	t.forget(m.QueueARN, dlq, err)
	return err
}

// buryByBucket sends a message by the bucket that is larger than its dead-letter queue takes: one that was made before
// August 2025 takes a quarter of what its queue does. refused is what the queue has said of it.
func (t *trigger) buryByBucket(ctx context.Context, in *awssqs.SendMessageInput, attributes map[string]awssqs.MessageAttributeValue, refused error) error {
	ticket, err := t.claims.Deposit(ctx, []byte(*in.MessageBody))
	if err != nil {
		return fmt.Errorf("%w; and it could not be put into the bucket instead: %w", refused, err)
	}
	attributes[ticket.Attribute] = awssqs.MessageAttributeValue{DataType: aws.String("Number"), StringValue: aws.String(strconv.Itoa(ticket.Size))}
	in.MessageBody, in.MessageAttributes = aws.String(string(ticket.Body)), attributes
	_, err = t.sqs.SendMessage(ctx, in)
	return err
}

// codeOf is SQS's name for an error, "" if it has none.
func codeOf(err error) string {
	var coded interface{ ErrorCode() string }
	if !errors.As(err, &coded) {
		return ""
	}
	return strings.TrimPrefix(coded.ErrorCode(), "AWS.SimpleQueueService.")
}

// forget makes the next one ask again which queue the dead letters of a queue go to, if the one that was known is gone.
func (t *trigger) forget(arn, dlq string, err error) {
	switch codeOf(err) {
	case "NonExistentQueue", "QueueDoesNotExist":
		t.mu.Lock()
		delete(t.dlqs, arn)
		delete(t.urls, dlq)
		t.mu.Unlock()
	}
}

func isClaim(m *lambdasqs.Message) bool {
	for name := range m.Attributes {
		if claimcheck.IsReserved(name) {
			return true
		}
	}
	return false
}

// keptAttributes are those of a message that its dead letter has as well: without them a pointer would be none.
func keptAttributes(m *lambdasqs.Message) map[string]awssqs.MessageAttributeValue {
	out := map[string]awssqs.MessageAttributeValue{}
	for name, a := range m.Attributes {
		if a.String != "" && (claimcheck.IsReserved(name) || name == sqsqueue.AttributeID || name == sqsqueue.AttributeTime) {
			out[name] = awssqs.MessageAttributeValue{DataType: aws.String(a.DataType), StringValue: aws.String(a.String)}
		}
	}
	return out
}

func (t *trigger) deadAttributes(m *lambdasqs.Message, o tapway.Outcome) map[string]awssqs.MessageAttributeValue {
	text := func(s string) awssqs.MessageAttributeValue {
		return awssqs.MessageAttributeValue{DataType: aws.String("String"), StringValue: aws.String(printable(s))}
	}
	number := func(n int) awssqs.MessageAttributeValue {
		return awssqs.MessageAttributeValue{DataType: aws.String("Number"), StringValue: aws.String(strconv.Itoa(n))}
	}
	now := time.Now().UTC()
	first := m.First
	if first.IsZero() {
		first = now
	}
	out := keptAttributes(m)
	out[sqsqueue.AttributeDestination] = text(t.owner(m.QueueARN))
	out[sqsqueue.AttributeReason] = text(o.Reason)
	out[sqsqueue.AttributeAttempts] = number(m.Receives)
	out[sqsqueue.AttributeFirstAttempt] = text(first.Format(time.RFC3339Nano))
	out[sqsqueue.AttributeDied] = text(now.Format(time.RFC3339Nano))
	if o.Status != 0 {
		out[sqsqueue.AttributeStatus] = number(o.Status)
	}
	if _, ok := out[sqsqueue.AttributeID]; !ok {
		if id := gjson.Get(m.Body, "id").String(); len(id) == 36 {
			out[sqsqueue.AttributeID] = text(id)
		}
	}
	return out
}

// printable makes a text that SQS takes as an attribute's value.
func printable(s string) string {
	s = strings.ToValidUTF8(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError || r == 0xfffe || r == 0xffff {
			return ' '
		}
		return r
	}, s), " ")
	if len(s) > 256 {
		s = strings.ToValidUTF8(s[:256], "")
	}
	if s == "" {
		return "unknown"
	}
	return s
}

// url gives the URL of a queue that is named by its name, URL or ARN.
func (t *trigger) url(ctx context.Context, queue string) (string, error) {
	if strings.HasPrefix(queue, "https://") || strings.HasPrefix(queue, "http://") {
		return queue, nil
	}
	t.mu.Lock()
	url := t.urls[queue]
	t.mu.Unlock()
	if url != "" {
		return url, nil
	}
	in := &awssqs.GetQueueUrlInput{QueueName: aws.String(queueName(queue))}
	if parts := strings.Split(queue, ":"); len(parts) == 6 && parts[0] == "arn" {
		in.QueueOwnerAWSAccountId = &parts[4]
	}
	out, err := t.sqs.GetQueueUrl(ctx, in)
	if err != nil {
		return "", fmt.Errorf("find queue %q: %w", queue, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.urls == nil {
		t.urls = map[string]string{}
	}
	t.urls[queue] = *out.QueueUrl
	return *out.QueueUrl, nil
}

// deadLetters names the dead-letter queue of a queue.
func (t *trigger) deadLetters(ctx context.Context, arn string) (string, error) {
	if dead := t.dead(t.owner(arn)); dead != "" {
		return dead, nil
	}
	t.mu.Lock()
	dlq := t.dlqs[arn]
	t.mu.Unlock()
	if dlq != "" {
		return dlq, nil
	}
	url, err := t.url(ctx, arn)
	if err != nil {
		return "", err
	}
	out, err := t.sqs.GetQueueAttributes(ctx, &awssqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []string{awssqs.QueueAttributeRedrivePolicy}})
	if err != nil {
		return "", fmt.Errorf("read the redrive policy of %s: %w; allow sqs:GetQueueAttributes, or set TAPWAY_DEAD_LETTER_QUEUE", queueName(arn), err)
	}
	var policy struct {
		Target string `json:"deadLetterTargetArn"`
	}
	if err := json.Unmarshal([]byte(out.Attributes["RedrivePolicy"]), &policy); err != nil || policy.Target == "" {
		return "", fmt.Errorf("queue %s has no redrive policy: give it one, or set TAPWAY_DEAD_LETTER_QUEUE", queueName(arn))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dlqs == nil {
		t.dlqs = map[string]string{}
	}
	t.dlqs[arn] = policy.Target
	return policy.Target, nil
}
