package sqstest

import (
	"crypto/md5" // #nosec G501 -- SQS tells MD5
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"
)

const (
	maxVisibility = 12 * time.Hour
	maxTotal      = 1 << 20 // of a batch
)

type queue struct {
	name       string
	attributes map[string]string
	messages   []*message
}

type message struct {
	Message
	handle   string // of the last receive
	received time.Time
	first    time.Time
	source   string // the queue it was moved from for having been received too often
}

// ranges are the numeric attributes a queue has, with their bounds.
var ranges = map[string][3]int{ // default, least, most
	"VisibilityTimeout":             {30, 0, 43200},
	"MaximumMessageSize":            {maxTotal, 1024, maxTotal},
	"MessageRetentionPeriod":        {345600, 60, 1209600},
	"DelaySeconds":                  {0, 0, 900},
	"ReceiveMessageWaitTimeSeconds": {0, 0, 20},
}

func newQueue(name string, attributes map[string]string) (*queue, error) {
	q := &queue{name: name, attributes: map[string]string{"QueueArn": ARN(name)}}
	for a, r := range ranges {
		q.attributes[a] = strconv.Itoa(r[0])
	}
	return q, q.set(attributes)
}

func (q *queue) set(attributes map[string]string) error {
	for a, v := range attributes {
		if r, ok := ranges[a]; ok {
			if n, err := strconv.Atoi(v); err != nil || n < r[1] || n > r[2] {
				return refuse("InvalidAttributeValue", "%s: %q", a, v)
			}
		} else if a != "RedrivePolicy" {
			return refuse("InvalidAttributeName", "%s", a)
		}
	}
	maps.Copy(q.attributes, attributes)
	return nil
}

func (q *queue) url() string { return URL + "/" + Account + "/" + q.name }

func (q *queue) number(attribute string) int {
	n, _ := strconv.Atoi(q.attributes[attribute])
	return n
}

// redrive is the dead-letter queue's name and how many receives are the most.
func (q *queue) redrive() (target string, limit int) {
	var p struct {
		DeadLetterTargetArn string `json:"deadLetterTargetArn"`
		MaxReceiveCount     any    `json:"maxReceiveCount"`
	}
	if json.Unmarshal([]byte(q.attributes["RedrivePolicy"]), &p) != nil {
		return "", 0
	}
	limit, _ = strconv.Atoi(fmt.Sprint(p.MaxReceiveCount))
	return p.DeadLetterTargetArn[strings.LastIndexByte(p.DeadLetterTargetArn, ':')+1:], limit
}

func (q *queue) add(id, body string, attributes map[string]Attribute, group string, delay time.Duration) *message {
	now := time.Now()
	m := &message{Message: Message{ID: id, Body: body, Attributes: attributes, Group: group, Sent: now, Visible: now.Add(delay)}}
	q.messages = append(q.messages, m)
	return m
}

// counts are what GetQueueAttributes approximates.
func (q *queue) counts(now time.Time) (visible, leased, delayed int) {
	for _, m := range q.messages {
		switch {
		case !m.Visible.After(now):
			visible++
		case m.Receives > 0 && m.handle != "":
			leased++
		default:
			delayed++
		}
	}
	return visible, leased, delayed
}

func (q *queue) byHandle(handle string) *message {
	id, _, _ := strings.Cut(handle, "#")
	for _, m := range q.messages {
		if m.ID == id {
			return m
		}
	}
	return nil
}

func validHandle(handle string) bool {
	id, n, ok := strings.Cut(handle, "#")
	_, err := strconv.Atoi(n)
	return ok && err == nil && len(id) == 36
}

func sum(body string) string {
	s := md5.Sum([]byte(body)) // #nosec G401 -- SQS tells MD5
	return hex.EncodeToString(s[:])
}

// check is what SQS refuses about a message to be sent.
func (q *queue) check(e *entry) error {
	switch size := e.size(); {
	case e.MessageBody == "":
		return refuse("MissingParameter", "The request must contain the parameter MessageBody.")
	case size > q.number("MaximumMessageSize"):
		return &apiError{400, "InvalidParameterValueException", "InvalidParameterValue",
			fmt.Sprintf("One or more parameters are invalid. Reason: Message must be shorter than %s bytes.", q.attributes["MaximumMessageSize"])}
	case !allowed(e.MessageBody):
		return refuse("InvalidMessageContents", "Invalid characters found.")
	case len(e.MessageAttributes) > 10:
		return refuse("InvalidParameterValue", "Number of message attributes [%d] exceeds the allowed maximum [10].", len(e.MessageAttributes))
	case len(e.MessageGroupId) > 128:
		return refuse("InvalidParameterValue", "MessageGroupId is too long.")
	case e.DelaySeconds < 0 || e.DelaySeconds > 900:
		return refuse("InvalidParameterValue", "DelaySeconds %d", e.DelaySeconds)
	}
	for name, a := range e.MessageAttributes {
		switch {
		case name == "" || len(name) > 256 || strings.Trim(name, nameCharacters) != "" || strings.HasPrefix(strings.ToLower(name), "aws.") || strings.HasPrefix(strings.ToLower(name), "amazon."):
			return refuse("InvalidParameterValue", "The message attribute name '%s' is not allowed.", name)
		case a.DataType == "":
			return refuse("InvalidParameterValue", "The message attribute '%s' must contain a non-empty message attribute type.", name)
		case a.String() == "" && len(a.BinaryValue) == 0:
			return refuse("InvalidParameterValue", "The message attribute '%s' must contain a non-empty message attribute value.", name)
		case !allowed(a.String()):
			return refuse("InvalidMessageContents", "Invalid characters found in %s.", name)
		}
		if _, err := strconv.ParseFloat(a.String(), 64); a.DataType == "Number" && err != nil {
			return refuse("InvalidParameterValue", "Can't cast the value of message attribute '%s' to a number.", name)
		}
	}
	return nil
}

const nameCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-."

// allowed reports whether SQS takes these characters: #x9 | #xA | #xD | #x20 to #xD7FF |
// #xE000 to #xFFFD | #x10000 to #x10FFFF.
func allowed(s string) bool {
	for _, r := range s {
		if r < 0x20 && r != '\t' && r != '\n' && r != '\r' || r == 0xfffe || r == 0xffff {
			return false
		}
	}
	return true
}
