package sqsqueue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/awssqs"
)

// target is one SQS queue, looked up when it is first needed.
type target struct {
	q   *Queue
	ref string // as configured

	turn chan struct{} // holds one token: whoever has it looks the queue up

	mu    sync.Mutex
	url   string
	facts facts
	known time.Time // when facts were read; zero: never
	retry time.Time // facts that could not be read are read again after this
	why   error     // they could not be read

	outbox outbox
}

// facts are what the queue's attributes say.
type facts struct {
	arn     string
	most    int    // bytes of a message, attributes included
	limit   int    // up to which a record is sent as it is: most less a margin
	deadARN string // of the dead-letter queue; "" if it has none

	maxReceives int // of the redrive policy; 0 if there is none
}

func newTarget(q *Queue, ref string) *target {
	t := &target{q: q, ref: ref, turn: make(chan struct{}, 1)}
	t.outbox.t = t
	return t
}

// sized are the facts of a queue that takes most bytes.
func sized(most int) facts { return facts{most: most, limit: limitFor(most)} }

func limitFor(most int) int { return most - min(margin, most/4) }

// lookUp makes the queue's URL and, as far as SQS tells, its facts known. Facts that cannot be
// read are replaced by what is safe for every queue: a producer needs no more than
// sqs:SendMessage, and SQS may be slow just now.
func (t *target) lookUp(ctx context.Context) (string, facts, error) {
	if url, f, ok := t.ready(); ok {
		return url, f, nil
	}
	select {
	case t.turn <- struct{}{}:
		defer func() { <-t.turn }()
	case <-ctx.Done():
		return "", facts{}, ctx.Err()
	}
	if url, f, ok := t.ready(); ok {
		return url, f, nil
	}
	if err := t.findURL(ctx); err != nil {
		return "", facts{}, err
	}
	attributes, err := t.attributes(ctx, awssqs.QueueAttributeArn, awssqs.QueueAttributeMaximumMessageSize, awssqs.QueueAttributeRedrivePolicy)
	if err != nil && (gone(err) || ctx.Err() != nil) {
		return "", facts{}, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		if t.retry.IsZero() {
			t.q.c.Log.Warn("the queue's attributes cannot be read; taking 256 KiB for its limit", "queue", t.url, "error", err)
		}
		t.retry = time.Now().Add(time.Minute)
		if transient(err) {
			t.retry = time.Now().Add(5 * time.Second)
		}
		t.facts, t.why = sized(safeMessage), err
		return t.url, t.facts, nil
	}
	t.facts, t.known, t.why = readFacts(attributes), time.Now(), nil
	return t.url, t.facts, nil
}

// ready reports whether there is nothing to look up now.
func (t *target) ready() (string, facts, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.url, t.facts, t.url != "" && (!t.known.IsZero() || time.Now().Before(t.retry))
}

// unknown is why the facts could not be read the last time; nil when they could.
func (t *target) unknown() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.why
}

func (t *target) findURL(ctx context.Context) error {
	t.mu.Lock()
	found := t.url != ""
	t.mu.Unlock()
	if found {
		return nil
	}
	url := t.ref
	if !isURL(t.ref) {
		name, account := splitRef(t.ref)
		in := &awssqs.GetQueueUrlInput{QueueName: &name}
		if account != "" {
			in.QueueOwnerAWSAccountId = &account
		}
		err := t.q.try(ctx, func(ctx context.Context) error {
			out, err := t.q.c.Client.GetQueueUrl(ctx, in)
			if err == nil {
				url = *out.QueueUrl
			}
			return err
		})
		if gone(err) {
			where := "this region"
			if t.q.c.Region != "" {
				where = "region " + t.q.c.Region
			}
			return fmt.Errorf("find queue %q: %w; it was looked for in %s: check the name, the region (AWS_REGION, --region) and the account", name, err, where)
		}
		if err != nil {
			return fmt.Errorf("find queue %q: %w", name, err)
		}
	}
	t.mu.Lock()
	t.url = url
	t.mu.Unlock()
	return nil
}

// attributes asks once for some of the queue's attributes, whose URL must be known.
func (t *target) attributes(ctx context.Context, names ...string) (got map[string]string, err error) {
	t.mu.Lock()
	url := t.url
	t.mu.Unlock()
	err = t.q.call(ctx, func(ctx context.Context) error {
		out, err := t.q.c.Client.GetQueueAttributes(ctx, &awssqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: names})
		if err == nil {
			got = out.Attributes
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the attributes of queue %s: %w", url, err)
	}
	return got, nil
}

func readFacts(attributes map[string]string) facts {
	f := sized(safeMessage)
	if n, err := strconv.Atoi(attributes["MaximumMessageSize"]); err == nil && n > 0 {
		f = sized(min(n, maxMessage))
	}
	f.arn = attributes["QueueArn"]
	var policy struct {
		Target      string `json:"deadLetterTargetArn"`
		MaxReceives any    `json:"maxReceiveCount"` // a number, or one in quotes
	}
	if json.Unmarshal([]byte(attributes["RedrivePolicy"]), &policy) == nil {
		f.deadARN = policy.Target
		f.maxReceives, _ = strconv.Atoi(fmt.Sprint(policy.MaxReceives))
	}
	return f
}

// depth is how many messages a queue has, as SQS counts them.
type depth struct{ visible, leased, delayed uint64 }

func (d depth) total() uint64 { return d.visible + d.leased + d.delayed }

// measure asks for the depth. Unlike a missing limit, a missing count is an error.
func (t *target) measure(ctx context.Context) (d depth, err error) {
	if _, _, err := t.lookUp(ctx); err != nil {
		return d, err
	}
	var attributes map[string]string
	err = t.q.try(ctx, func(ctx context.Context) error {
		attributes, err = t.attributes(ctx, awssqs.QueueAttributeMessages,
			awssqs.QueueAttributeMessagesNotVisible, awssqs.QueueAttributeMessagesDelayed)
		return err
	})
	if err != nil {
		return d, err
	}
	for name, n := range map[string]*uint64{"": &d.visible, "NotVisible": &d.leased, "Delayed": &d.delayed} {
		text := attributes["ApproximateNumberOfMessages"+name]
		if *n, err = strconv.ParseUint(text, 10, 64); err != nil {
			return d, fmt.Errorf("read the attributes of queue %q: ApproximateNumberOfMessages%s is %q", t.ref, name, text)
		}
	}
	return d, nil
}

// deadLetters is the destination's dead-letter queue: the configured one, or that of the redrive policy,
// which is always in the same account and region.
func (d *destination) deadLetters(ctx context.Context) (*target, error) {
	d.mu.Lock()
	dead := d.dead
	d.mu.Unlock()
	if dead != nil {
		return dead, nil
	}
	url, f, err := d.main.lookUp(ctx)
	if err != nil {
		return nil, err
	}
	if f.arn == "" {
		why := d.main.unknown()
		if why == nil {
			why = errors.New("SQS did not name the queue's ARN")
		}
		hint := ""
		if !transient(why) {
			hint = "; allow sqs:GetQueueAttributes, or name the dead-letter queue (lambda.dead_letter_queue, TAPWAY_DEAD_LETTER_QUEUE)"
		}
		return nil, fmt.Errorf("destination %q: its dead-letter queue is not known: %w%s", d.name, why, hint)
	}
	if f.deadARN == "" {
		return nil, fmt.Errorf("destination %q: queue %s has no dead-letter queue: if it is one itself, name the queue before it; else give it a redrive policy, or name one (lambda.dead_letter_queue, TAPWAY_DEAD_LETTER_QUEUE): %w", d.name, url, tapway.ErrNotFound)
	}
	name, _ := splitRef(f.deadARN)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead == nil {
		d.dead = newTarget(d.q, url[:strings.LastIndexByte(url, '/')+1]+name)
	}
	return d.dead, nil
}

// forgetDead makes the next one ask the redrive policy again, if the dead-letter queue it named has gone.
func (d *destination) forgetDead(ctx context.Context, dead *target, err error) {
	if !gone(err) || dead == nil || d.q.c.DeadLetters[d.name] != "" {
		return
	}
	d.mu.Lock()
	known := d.dead == dead
	if known {
		d.dead = nil
	}
	d.mu.Unlock()
	if known {
		d.main.reread(ctx)
	}
}
