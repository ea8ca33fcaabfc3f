package lambdaapp

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidwall/gjson"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/delivery"
	"github.com/tapway/tapway/internal/lambdaruntime"
	"github.com/tapway/tapway/internal/lambdasqs"
	"github.com/tapway/tapway/internal/stages"
)

// forwarder delivers what an SQS trigger brings.
type forwarder struct {
	handler *lambdasqs.Handler
	metrics *metrics
	log     *slog.Logger
	longest time.Duration // the longest timeout of a destination

	trigger  *trigger
	owner    func(queueARN string) *lambdasqs.Destination // nil: the queue is no destination's
	mappings *mappings
	advised  sync.Map               // ARNs of queues that have been looked at
	event    atomic.Pointer[string] // ARN of the queue that the present event came from
	limits   sync.Map               // queueLimits that were read, by ARN
}

func newForwarder(c *config.Config, cloud *cloud, m *metrics, log *slog.Logger, version string) (*forwarder, error) {
	f := &forwarder{metrics: m, log: log}
	way, err := wayOut(c, m, log)
	if err != nil {
		return nil, err
	}
	byQueue := map[string]*lambdasqs.Destination{} // by the queue's name; "" is any queue
	for _, one := range c.Destinations {
		d, err := stages.NewDestination(one, way, version, func(a delivery.Attempt) { m.attempt(a.Destination, a.Took) })
		if err != nil {
			return nil, settingsf("destination %q: %v", one.Name, err)
		}
		attempts := one.Retry.MaxAttempts
		d.Sender.Outage = func() int { return f.outage(attempts) }
		name := ""
		if c.Queue != "disk" {
			name = queueName(config.QueueFor(c.Queue, one.Name))
		}
		byQueue[name] = &lambdasqs.Destination{Sender: d.Sender, Match: d.Match, Concurrency: one.Concurrency}
		f.longest = max(f.longest, one.Timeout.D())
	}
	find := func(arn string) *lambdasqs.Destination {
		if d, ok := byQueue[""]; ok {
			return d
		}
		return byQueue[queueName(arn)]
	}
	t := &trigger{
		sqs: cloud.queues(), claims: cloud.claims(c, ""), delete: c.Lambda.DeleteObjects,
		dead: func(destination string) string {
			return config.QueueFor(strings.TrimPrefix(c.Lambda.DeadLetterQueue, "sqs://"), destination)
		},
		owner: func(arn string) string { return find(arn).Sender.Name },
	}
	f.trigger, f.owner, f.mappings = t, find, &mappings{log: log}
	if cloud.sqsEndpoint == nil || cloud.lambdaEndpoint != nil { // else the queue may not be AWS's
		f.mappings.ask = newFunctions(cloud.base, cloud.lambdaEndpoint, log).wholeBatches
	}
	f.handler = &lambdasqs.Handler{
		Destination: find,
		Payload:     t.payload, Postpone: t.postpone, Bury: t.bury, Remove: t.remove, Log: log,
		WholeBatches: func(ctx context.Context, arn string) bool { return f.mappings.known(arn).wholeBatches(ctx) },
		Observe:      func(destination string, _ *lambdasqs.Message, o tapway.Outcome) { m.message(destination, o) },
	}
	return f, nil
}

// queueName is the last part of a queue's name, URL or ARN.
func queueName(queue string) string { return queue[strings.LastIndexAny(queue, "/:")+1:] }

// Invoke is lambdaruntime.Handler.
func (f *forwarder) Invoke(ctx context.Context, in *lambdaruntime.Invocation) (lambdaruntime.Reply, error) {
	total := time.Until(in.Deadline)
	if !in.Deadline.IsZero() && in.First {
		if total < f.longest+5*time.Second {
			f.log.Warn("the function's timeout is too short for a destination that is slow: its attempts are cut off; set it to six times the longest timeout of a destination, and the queue's visibility timeout to six times that",
				"function_timeout", total.Round(100*time.Millisecond).String(), "destination_timeout", f.longest.String())
		}
	}
	arn := gjson.GetBytes(in.Event, "Records.0.eventSourceARN").String()
	f.event.Store(&arn)
	joined := f.mappings.of(context.WithoutCancel(ctx), in.FunctionARN, arn)
	answer, discard, err := f.handler.Handle(ctx, in.Event)
	return lambdaruntime.Reply{Body: answer, After: func(ctx context.Context) {
		f.metrics.flush()
		discard(ctx)
		if !in.Deadline.IsZero() && !errors.Is(err, lambdasqs.ErrEvent) {
			f.advise(ctx, arn, total)
		}
		joined.wholeBatches(ctx) // the call must have ended when the environment freezes
	}}, err
}

// advise looks at a queue once, after the reply: it is to cost no delivery its time.
func (f *forwarder) advise(ctx context.Context, arn string, timeout time.Duration) {
	d := f.owner(arn)
	if _, done := f.advised.LoadOrStore(arn, true); done || d == nil {
		return
	}
	f.adviseQueue(ctx, arn, timeout, d.Sender.Retry.MaxAttempts)
}
