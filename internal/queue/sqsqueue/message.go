package sqsqueue

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/tidwall/gjson"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/awssqs"
	"github.com/tapway/tapway/internal/queue/claimcheck"
)

// The message attributes. SQS allows ten; a dead letter has eight of these and the claim check's.
const (
	AttributeID   = "tapway.id"   // of the exchange
	AttributeTime = "tapway.time" // when it began, RFC 3339

	// Of dead letters only; times in RFC 3339.
	AttributeDestination  = "tapway.destination"
	AttributeReason       = "tapway.reason"
	AttributeStatus       = "tapway.status" // the destination's last answer; absent if there was none
	AttributeAttempts     = "tapway.attempts"
	AttributeFirstAttempt = "tapway.first_attempt"
	AttributeDied         = "tapway.died"
)

// deadAttributes are what redrive takes off.
var deadAttributes = []string{AttributeDestination, AttributeReason, AttributeStatus, AttributeAttempts, AttributeFirstAttempt, AttributeDied}

type attributes = map[string]awssqs.MessageAttributeValue

func text(s string) awssqs.MessageAttributeValue {
	return awssqs.MessageAttributeValue{DataType: aws.String("String"), StringValue: &s}
}

func number(n int) awssqs.MessageAttributeValue {
	return awssqs.MessageAttributeValue{DataType: aws.String("Number"), StringValue: aws.String(strconv.Itoa(n))}
}

func at(t time.Time) awssqs.MessageAttributeValue {
	return text(t.UTC().Format(time.RFC3339Nano))
}

func valueOf(a attributes, name string) string { return aws.ToString(a[name].StringValue) }

func timeOf(a attributes, name string) time.Time {
	t, _ := time.Parse(time.RFC3339Nano, valueOf(a, name))
	return t
}

// size is what counts against the limit: the body and the names, types and values of
// the attributes.
func size(body string, a attributes) int {
	n := len(body)
	for name, v := range a {
		n += len(name) + len(aws.ToString(v.DataType)) + len(aws.ToString(v.StringValue)) + len(v.BinaryValue)
	}
	return n
}

// isClaim reports whether the body is a pointer.
func isClaim(a attributes) bool {
	for name := range a {
		if claimcheck.IsReserved(name) {
			return true
		}
	}
	return false
}

// escape makes a record fit for a message body. SQS refuses U+FFFE and U+FFFF, which JSON lets stand
// in a string as they are; everything else it refuses JSON has escaped.
func escape(record []byte) []byte {
	if !bytes.Contains(record, []byte("\uFFFE")) && !bytes.Contains(record, []byte("\uFFFF")) {
		return record
	}
	record = bytes.ReplaceAll(record, []byte("\uFFFE"), []byte(`\ufffe`))
	return bytes.ReplaceAll(record, []byte("\uFFFF"), []byte(`\uffff`))
}

// printable makes s fit for an attribute's value: not empty, short, and only of characters that
// SQS takes.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f || r == utf8.RuneError || r == 0xfffe || r == 0xffff {
			return ' '
		}
		return r
	}, s)
	for len(s) > 256 {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	if s == "" {
		return "unknown"
	}
	return s
}

// groupID makes s a message group: at most 128 letters, digits and punctuation.
func groupID(s string) string {
	s = strings.Map(func(r rune) rune {
		if r <= 0x20 || r >= 0x7f {
			return '-'
		}
		return r
	}, s)
	return s[:min(len(s), 128)]
}

// Receipt is what settles a message: [tapway.Message.Receipt] has it as text. A Lambda
// function, which receives nothing itself, makes it from its event with Queue.Adopt.
type Receipt struct {
	MessageID string             `json:"id"`
	Handle    string             `json:"handle"`
	Received  int64              `json:"received,omitempty"` // Unix milliseconds
	Group     string             `json:"group,omitempty"`
	Pointer   claimcheck.Pointer `json:"pointer,omitzero"` // of a large record
	Raw       *Raw               `json:"raw,omitempty"`    // of a message without a record
}

// Raw is a message without a record, or whose pointer leads to none: what its dead letter will be.
type Raw struct {
	Body      string `json:"body"`
	Attribute string `json:"attribute,omitempty"` // the reserved one; "" if it has none
	Size      string `json:"size,omitempty"`      // a number
}

func (r Receipt) String() string {
	b, _ := json.Marshal(r) // strings and a number always encode
	return string(b)
}

// ParseReceipt reads what String printed.
func ParseReceipt(s string) (Receipt, error) {
	var r Receipt
	if err := json.Unmarshal([]byte(s), &r); err != nil || r.MessageID == "" || r.Handle == "" {
		return Receipt{}, fmt.Errorf("%.100q is no receipt of an SQS queue", s)
	}
	return r, nil
}

// Delivery is a message as SQS hands it out, to a receiver or in the event of a Lambda function.
type Delivery struct {
	MessageID  string
	Handle     string // the receipt handle
	Body       string
	System     map[string]string // ApproximateReceiveCount, SentTimestamp, …
	Attributes map[string]awssqs.MessageAttributeValue
}

func deliveryOf(m *awssqs.Message) *Delivery {
	return &Delivery{
		MessageID: aws.ToString(m.MessageId), Handle: aws.ToString(m.ReceiptHandle), Body: aws.ToString(m.Body),
		System: m.Attributes, Attributes: m.MessageAttributes,
	}
}

func (d *Delivery) millis(name string) time.Time {
	n, err := strconv.ParseInt(d.System[name], 10, 64)
	if err != nil || n <= 0 {
		return time.Time{}
	}
	return time.UnixMilli(n).UTC()
}

// receives is how often the message was received, this time included; at least 1.
func (d *Delivery) receives() int {
	n, err := strconv.Atoi(d.System["ApproximateReceiveCount"])
	if err != nil {
		return 1
	}
	return max(n, 1)
}

// raw is the message as it came, with the attribute that makes it a pointer. Others may have given
// that any type; a number is what SQS takes.
func (d *Delivery) raw() *Raw {
	r := &Raw{Body: d.Body}
	for name, v := range d.Attributes {
		if claimcheck.IsReserved(name) {
			r.Attribute, r.Size = name, "0"
			if n, err := strconv.ParseUint(aws.ToString(v.StringValue), 10, 63); err == nil {
				r.Size = strconv.FormatUint(n, 10)
			}
		}
	}
	return r
}

// identify tells the exchange's ID and time: from the attributes, from the record, or, of what
// others sent, from the message's own.
func (d *Delivery) identify(record []byte) (id tapway.ID, enqueued time.Time) {
	id, _ = tapway.ParseID(valueOf(d.Attributes, AttributeID))
	enqueued = timeOf(d.Attributes, AttributeTime)
	if id.IsZero() || enqueued.IsZero() {
		found := gjson.GetManyBytes(record, "id", "time")
		if id.IsZero() {
			id, _ = tapway.ParseID(found[0].String())
		}
		if enqueued.IsZero() {
			enqueued, _ = time.Parse(time.RFC3339Nano, found[1].String())
		}
	}
	if id.IsZero() {
		id, _ = tapway.ParseID(d.MessageID)
	}
	if enqueued.IsZero() {
		enqueued = d.millis("SentTimestamp")
	}
	return id, enqueued
}
