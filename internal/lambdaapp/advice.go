package lambdaapp

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/tapway/tapway/internal/awssqs"
	"github.com/tapway/tapway/internal/config"
)

// adviceTime bounds the one call that the forwarder makes to see whether its queue fits.
const adviceTime = 2 * time.Second

// captureMemory is what a function with so much memory may use for bodies being captured, and warns
// when that is less than what was asked for, or than one call may need. memory is 0 if not known.
func captureMemory(c *config.Config, memory int64, log *slog.Logger) int64 {
	want := int64(c.Capture.Memory)
	if memory == 0 || want <= memory/4 {
		return want
	}
	get, call := memory/4, 2*int64(c.Capture.MaxBody)
	if c.Capture.Memory != config.Default().Capture.Memory || get < call {
		log.Warn("the function has too little memory for the bodies of large calls: those wait in encrypted files under /tmp, which is slower; raise the function's memory, or lower capture.max_body",
			"function_memory", config.Size(memory).String(), "capture_memory", c.Capture.Memory.String(), "used", config.Size(get).String(),
			"needed", config.Size(4*want).String())
	}
	return get
}

// adviseQueue warns when the queue that triggers a forwarder cannot work with the function's timeout and
// the destination's retries. It is advice: without the permission to read the queue's
// attributes there is none.
func (f *forwarder) adviseQueue(ctx context.Context, arn string, timeout time.Duration, attempts int) {
	q, ok := f.settings(ctx, arn)
	if !ok {
		return
	}
	log, name := f.log, queueName(arn)
	timeout = timeout.Round(time.Second)
	if q.visibility < 6*timeout {
		log.Warn("the queue's visibility timeout is too short: a message may be handed out again while it is being delivered, and so be delivered twice; set it to six times the function's timeout",
			"queue", name, "visibility_timeout", q.visibility.String(), "function_timeout", timeout.String(), "set_to", (6 * timeout).String())
	}
	if q.receives > 0 && q.receives < 2*attempts {
		log.Warn("the queue's redrive policy gives up too early: SQS counts each time that it hands a message out, and moves it to the dead-letter queue without a reason before its attempts are over; raise maxReceiveCount, to 1000 if you like: tapway moves dead letters itself",
			"queue", name, "max_receive_count", q.receives, "max_attempts", attempts)
	}
}

// queueLimits are a queue's visibility timeout and its maxReceiveCount; 0 is no redrive policy.
type queueLimits struct {
	visibility time.Duration
	receives   int
}

// settings reads the limits of a queue, once if it can.
func (f *forwarder) settings(ctx context.Context, arn string) (queueLimits, bool) {
	if q, ok := f.limits.Load(arn); ok {
		return q.(queueLimits), true
	}
	ctx, cancel := context.WithTimeout(ctx, adviceTime)
	defer cancel()
	visibility, receives, err := queueSettings(ctx, f.trigger, arn)
	if err != nil {
		f.log.Debug("the queue's settings could not be read; that needs sqs:GetQueueAttributes", "queue", queueName(arn), "error", err)
		return queueLimits{}, false
	}
	q := queueLimits{visibility, receives}
	f.limits.Store(arn, q)
	return q, true
}

func queueSettings(ctx context.Context, t *trigger, arn string) (visibility time.Duration, receives int, err error) {
	url, err := t.url(ctx, arn)
	if err != nil {
		return 0, 0, err
	}
	out, err := t.sqs.GetQueueAttributes(ctx, &awssqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []string{
		awssqs.QueueAttributeVisibilityTimeout, awssqs.QueueAttributeRedrivePolicy,
	}})
	if err != nil {
		return 0, 0, err
	}
	seconds, err := strconv.Atoi(out.Attributes["VisibilityTimeout"])
	if err != nil {
		return 0, 0, fmt.Errorf("visibility timeout: %w", err)
	}
	if text := out.Attributes["RedrivePolicy"]; text != "" {
		var policy struct {
			Max json.RawMessage `json:"maxReceiveCount"` // a number, or one as a text
		}
		if err := json.Unmarshal([]byte(text), &policy); err != nil {
			return 0, 0, fmt.Errorf("redrive policy: %w", err)
		}
		text = string(policy.Max)
		if unquoted, err := strconv.Unquote(text); err == nil {
			text = unquoted
		}
		if receives, err = strconv.Atoi(text); err != nil {
			return 0, 0, fmt.Errorf("redrive policy: %w", err)
		}
	}
	return time.Duration(seconds) * time.Second, receives, nil
}

const (
	// outageReceives is how often a queue without a redrive policy may hand out a record whose destination is down.
	outageReceives = 1000
	// outageUnknown is how many times max_attempts that is where the policy cannot be read; adviseQueue asks for less.
	outageUnknown = 3
	// outageSpare is what is left of maxReceiveCount, so that it is tapway that gives a record up, with its reason.
	outageSpare = 3
)

// outage is how many attempts a record of the present event gets while its destination is down. A function has no
// circuit breaker, so what bounds it is how often the queue hands a record out.
func (f *forwarder) outage(attempts int) int {
	arn := f.event.Load()
	if arn == nil {
		return attempts
	}
	switch q, ok := f.settings(context.Background(), *arn); {
	case !ok:
		return outageUnknown * attempts
	case q.receives > 0:
		return q.receives - outageSpare
	}
	return outageReceives
}
