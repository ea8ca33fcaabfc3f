package tapstate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/tapway/tapway/internal/attach"
)

// Queue is the queue of one destination. SQS's counts are approximate, and a few seconds old.
type Queue struct {
	Destination     string   `json:"destination"`
	Name            string   `json:"queue"`
	Visible         *int     `json:"visible"`      // waiting
	InFlight        *int     `json:"in_flight"`    // being delivered
	Delayed         *int     `json:"delayed"`      // not to be delivered before a moment
	OldestAge       *float64 `json:"oldest_age_s"` // CloudWatch's latest datum, minutes old
	DeadLetterQueue string   `json:"dead_letter_queue,omitempty"`
	Dead            *int     `json:"dead"`
	Ref             string   `json:"-"`                   // how it was named: name, URL or ARN
	DeadRef         string   `json:"-"`                   // likewise, of the dead-letter queue; "": there is none
	Feeding         string   `json:"forwarder,omitempty"` // state of what feeds the forwarder, such as "Enabled"; "" where nothing does
}

// queues finds the queues and counts what is in them.
func (r *Reader) queues(ctx context.Context, t Tap, s *State) {
	feeds := map[string]string{}
	var arns []string
	if t.Forwarder != "" {
		var err error
		if arns, feeds, err = r.feeds(ctx, t.Forwarder); err != nil {
			part := "what feeds the forwarder"
			if len(t.Queues) == 0 {
				part = "queues"
			}
			s.unread(part, err)
		} else if len(arns) == 0 && len(t.Queues) == 0 {
			s.problem("no queue feeds function %s: nothing is delivered", t.Forwarder)
		}
	}
	refs := t.Queues
	if len(refs) == 0 {
		refs = arns
	}
	for i, ref := range refs {
		q := Queue{Name: nameOf(ref), Ref: ref, Feeding: feeds[nameOf(ref)]}
		q.Destination = strings.TrimPrefix(q.Name, t.Project+"-")
		attributes, err := r.attributes(ctx, ref)
		if err != nil {
			s.unread("queue "+q.Name, err)
		} else {
			q.Visible, q.InFlight, q.Delayed = counted(attributes)
		}
		dead := redrive(attributes)
		if i < len(t.DeadLetters) {
			dead = t.DeadLetters[i]
		}
		if dead != "" {
			q.DeadRef, q.DeadLetterQueue = dead, nameOf(dead)
			if attributes, err = r.attributes(ctx, dead); err != nil {
				s.unread("dead-letter queue "+q.DeadLetterQueue, err)
			} else {
				q.Dead = sum(counted(attributes))
			}
		}
		switch q.Feeding {
		case "", "Enabled", "Enabling", "Creating", "Updating":
		default:
			s.problem("queue %s does not feed function %s (%s): its records wait", q.Name, t.Forwarder, q.Feeding)
		}
		if q.Dead != nil && *q.Dead > 0 {
			s.problem("dead letters of %s: %d; `tapway dlq list --queue sqs://%s` says why", q.Destination, *q.Dead, q.Name)
		}
		s.Queues = append(s.Queues, q)
	}
}

// feeds are the queues that a function is fed from, and the state of that by their names.
func (r *Reader) feeds(ctx context.Context, function string) (arns []string, states map[string]string, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	states = map[string]string{}
	pages := lambda.NewListEventSourceMappingsPaginator(r.Lambda, &lambda.ListEventSourceMappingsInput{FunctionName: &function})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, nil, attach.Failed("find the queues of function "+function, err)
		}
		for _, m := range page.EventSourceMappings {
			arn := aws.ToString(m.EventSourceArn)
			if parts := strings.Split(arn, ":"); len(parts) == 6 && parts[2] == "sqs" {
				arns = append(arns, arn)
				states[nameOf(arn)] = aws.ToString(m.State)
			}
		}
	}
	return arns, states, nil
}

// attributes of a queue by its name, URL or ARN.
func (r *Reader) attributes(ctx context.Context, ref string) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	name, url := nameOf(ref), ref
	if !strings.HasPrefix(ref, "http://") && !strings.HasPrefix(ref, "https://") {
		in := &sqs.GetQueueUrlInput{QueueName: &name}
		if parts := strings.Split(ref, ":"); len(parts) == 6 && parts[0] == "arn" {
			in.QueueOwnerAWSAccountId = &parts[4]
		}
		out, err := r.SQS.GetQueueUrl(ctx, in)
		if missing(err) {
			return nil, fmt.Errorf("there is no queue %s, or these credentials may not know of it", name)
		}
		if err != nil {
			return nil, attach.Failed("find queue "+name, err)
		}
		url = aws.ToString(out.QueueUrl)
	}
	out, err := r.SQS.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []types.QueueAttributeName{
		types.QueueAttributeNameApproximateNumberOfMessages, types.QueueAttributeNameApproximateNumberOfMessagesNotVisible,
		types.QueueAttributeNameApproximateNumberOfMessagesDelayed, types.QueueAttributeNameRedrivePolicy,
	}})
	if missing(err) {
		return nil, fmt.Errorf("there is no queue %s, or these credentials may not know of it", name)
	}
	if err != nil {
		return nil, attach.Failed("read queue "+name, err)
	}
	return out.Attributes, nil
}

func missing(err error) bool { return errors.As(err, new(*types.QueueDoesNotExist)) }

func counted(attributes map[string]string) (visible, inFlight, delayed *int) {
	of := func(name types.QueueAttributeName) *int {
		n, err := strconv.Atoi(attributes[string(name)])
		if err != nil {
			return nil
		}
		return &n
	}
	return of(types.QueueAttributeNameApproximateNumberOfMessages), of(types.QueueAttributeNameApproximateNumberOfMessagesNotVisible), of(types.QueueAttributeNameApproximateNumberOfMessagesDelayed)
}

// sum adds what is known; nil when nothing is.
func sum(all ...*int) *int {
	var total *int
	for _, n := range all {
		if n == nil {
			continue
		}
		if total == nil {
			total = new(int)
		}
		*total += *n
	}
	return total
}

// redrive is the ARN of the queue that a redrive policy leads to.
func redrive(attributes map[string]string) string {
	var policy struct {
		Target string `json:"deadLetterTargetArn"`
	}
	if json.Unmarshal([]byte(attributes["RedrivePolicy"]), &policy) != nil {
		return ""
	}
	return policy.Target
}

// nameOf is the last part of a queue's name, URL or ARN.
func nameOf(ref string) string { return ref[strings.LastIndexAny(ref, "/:")+1:] }
