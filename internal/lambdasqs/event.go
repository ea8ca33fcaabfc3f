package lambdasqs

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// ErrEvent is wrapped by the errors of an event that is not one of an SQS trigger. Lambda
// then returns the whole batch to the queue.
var ErrEvent = errors.New("not an event of an SQS trigger")

// Message is one message as the trigger delivers it.
type Message struct {
	ID         string
	Receipt    string
	QueueARN   string // "arn:aws:sqs:eu-west-1:123456789012:records"
	Body       string
	Attributes map[string]Attribute // the producer's
	Receives   int                  // how often the queue has handed it out, this time included; at least 1
	First      time.Time            // when it did so for the first time; zero if the queue does not say
	Group      string               // MessageGroupId; "" if it has none
	Trace      string               // AWSTraceHeader; "" if it has none
}

// Attribute is a message attribute.
type Attribute struct {
	DataType string // "String", "Number", "Binary", with an optional label behind a dot
	String   string // of the first two
	Binary   []byte // of the last
}

// wireEvent is the trigger's JSON. Unlike in SQS's own API the names begin in lower case.
type wireEvent struct {
	Records []wireMessage `json:"Records"`
}

type wireMessage struct {
	MessageID  string `json:"messageId"`
	Receipt    string `json:"receiptHandle"`
	Body       string `json:"body"`
	Attributes struct {
		Receives string `json:"ApproximateReceiveCount"`
		First    string `json:"ApproximateFirstReceiveTimestamp"` // milliseconds since 1970
		Group    string `json:"MessageGroupId"`
		Trace    string `json:"AWSTraceHeader"`
	} `json:"attributes"`
	MessageAttributes map[string]struct {
		StringValue string `json:"stringValue"`
		BinaryValue []byte `json:"binaryValue"`
		DataType    string `json:"dataType"`
	} `json:"messageAttributes"`
	Source   string `json:"eventSource"`
	QueueARN string `json:"eventSourceARN"`
}

// ParseEvent reads the event of an SQS trigger. Its error wraps ErrEvent and never quotes a
// message.
func ParseEvent(event []byte) ([]Message, error) {
	var wire wireEvent
	if err := json.Unmarshal(event, &wire); err != nil {
		return nil, fmt.Errorf("%w: %s", ErrEvent, shape(err))
	}
	if wire.Records == nil {
		return nil, fmt.Errorf("%w: it has no Records; invoke this function by an event source mapping of the queue", ErrEvent)
	}
	messages := make([]Message, len(wire.Records))
	for i := range wire.Records {
		w := &wire.Records[i]
		switch {
		case w.Source != "aws:sqs":
			return nil, fmt.Errorf("%w: record %d comes from %.40q; the forwarder reads SQS queues only", ErrEvent, i, w.Source)
		case w.MessageID == "":
			return nil, fmt.Errorf("%w: record %d has no messageId, so it could not be returned by itself", ErrEvent, i)
		}
		messages[i] = Message{
			ID: w.MessageID, Receipt: w.Receipt, QueueARN: w.QueueARN, Body: w.Body,
			Receives: receives(w.Attributes.Receives), First: millis(w.Attributes.First),
			Group: w.Attributes.Group, Trace: w.Attributes.Trace,
		}
		if len(w.MessageAttributes) > 0 {
			messages[i].Attributes = make(map[string]Attribute, len(w.MessageAttributes))
			for name, a := range w.MessageAttributes {
				messages[i].Attributes[name] = Attribute{DataType: a.DataType, String: a.StringValue, Binary: a.BinaryValue}
			}
		}
	}
	return messages, nil
}

// shape says what is wrong with JSON without showing any of it.
func shape(err error) string {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Sprintf("it is not JSON, from byte %d on", syntax.Offset)
	case errors.As(err, &kind):
		return fmt.Sprintf("%s is of the wrong kind: %s", kind.Field, kind.Value)
	}
	return "it cannot be read"
}

func receives(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return 1
	}
	return max(n, 1)
}

func millis(text string) time.Time {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 {
		return time.Time{}
	}
	return time.UnixMilli(n).UTC()
}

// answer names the messages that Lambda is to leave in the queue.
func answer(failed []string) []byte {
	type item struct {
		ID string `json:"itemIdentifier"`
	}
	out := struct {
		Failures []item `json:"batchItemFailures"` // never null: that would count as none too, but read as a mistake
	}{Failures: make([]item, len(failed))}
	for i, id := range failed {
		out.Failures[i].ID = id
	}
	text, err := json.Marshal(out)
	if err != nil {
		panic("lambdasqs: " + err.Error()) // strings always marshal
	}
	return text
}
