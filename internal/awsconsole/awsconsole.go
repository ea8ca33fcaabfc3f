// Package awsconsole shows a tap that is deployed on AWS in the web console: it makes the
// admin.Server that answers for it from what SQS, CloudWatch and S3 tell.
//
// What a newcomer gets wrong: no process of tapway's runs there that could be asked. Queues are counted
// by SQS, the ledger and the alarms are CloudWatch's and minutes old, and the only calls that can be
// opened are those whose records lie in the bucket or among the dead letters: to look at a record that
// waits in a queue is to receive it, and would keep it from its destination.
package awsconsole

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/tapway/tapway/internal/admin"
	"github.com/tapway/tapway/internal/attach"
	"github.com/tapway/tapway/internal/blob/s3blob"
	"github.com/tapway/tapway/internal/queue/claimcheck"
	"github.com/tapway/tapway/internal/queue/sqsqueue"
	"github.com/tapway/tapway/internal/tapstate"
)

// Options say which tap is shown. Reader and Queues are required.
type Options struct {
	Reader *tapstate.Reader
	Queues sqsqueue.Client // for their dead letters
	Tap    tapstate.Tap
	Region string

	Bucket        *s3blob.Store // of large and spilled records; nil: none is known
	NoBucket      error         // why none is known; nil: nobody looked for one
	DeleteObjects bool          // the forwarder removes large records once they are delivered

	Attached *attach.State // what was attached to the tap; nil: not known

	Version string
	Log     *slog.Logger // nil: slog.Default()
}

// Console is the tap as it is shown.
type Console struct {
	o       Options
	project string
	queue   *sqsqueue.Queue
	archive *archive

	turn   chan struct{} // holds one token: whoever has it asks AWS
	mu     sync.Mutex
	full   *tapstate.State
	fullAt time.Time
	some   *tapstate.State // the queues alone
	someAt time.Time
	events eventsRead

	charted chartsAt
}

// How old an answer may be before AWS is asked again. CloudWatch charges for each metric that is
// asked for, and is a minute or more behind itself; SQS's counts are asked for nearly nothing.
const (
	fullFresh = time.Minute
	someFresh = 4 * time.Second
)

// New finds the tap's queues; without any there is nothing to show. Nothing else is asked before
// somebody looks.
func New(ctx context.Context, o Options) (*Console, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	state, err := o.Reader.ReadQueues(ctx, o.Tap)
	if err != nil {
		return nil, err
	}
	if len(state.Queues) == 0 {
		err := errors.New("the tap has no queue: name the installation with --project, or its queues with --queue")
		for _, u := range state.Unread {
			err = fmt.Errorf("%s; or name the queues with --queue", u.Error)
		}
		return nil, err
	}
	c := sqsqueue.Config{Client: explained{o.Queues}, Queues: map[string]string{}, DeadLetters: map[string]string{}, Log: o.Log}
	for _, q := range state.Queues {
		c.Queues[q.Destination] = q.Ref
		if q.DeadRef != "" {
			c.DeadLetters[q.Destination] = q.DeadRef
		}
	}
	if o.Bucket != nil {
		c.Claims = &claimcheck.Check{Store: o.Bucket, Prefix: claimPrefix, Keep: !o.DeleteObjects}
	}
	console := &Console{o: o, project: state.Project, turn: make(chan struct{}, 1), some: state, someAt: time.Now()}
	if console.queue, err = sqsqueue.New(c); err != nil {
		return nil, err
	}
	console.archive = newArchive(o.Bucket, console.queue)
	return console, nil
}

// Close ends what looks at the queues.
func (c *Console) Close() { c.queue.Close() }

// Server is the admin API of the console. It has no files of the web console, and no token.
func (c *Console) Server() *admin.Server {
	return &admin.Server{
		SQS: c.queue, Version: c.o.Version, Log: c.o.Log, Routes: c.routes,
		Elsewhere: &admin.Elsewhere{
			Name: c.name(), Where: strings.TrimSpace("AWS " + c.o.Region), History: c.archive, Notes: c.notes(),
			Queue: c.answerQueue, Ledger: c.answerLedger, Alarms: c.answerAlarms, Charts: c.answerCharts,
		},
	}
}

func (c *Console) name() string {
	if c.project != "" {
		return c.project
	}
	return c.o.Tap.Queues[0][strings.LastIndexAny(c.o.Tap.Queues[0], "/:")+1:]
}

// notes tell by view what is shown, and what cannot be.
func (c *Console) notes() map[string]string {
	n := map[string]string{
		"overview": "These are the functions' own metrics in CloudWatch, asked for once a minute, and a minute or more behind.",
		"keys":     "The proxy function's API keys are in its own configuration: `tapway keys` on that file shows them.",
		"alarms":   "These are CloudWatch's alarms, read once a minute. They cannot be acknowledged or silenced; who is told is up to the SNS topic that they name.",
		"delivery": "SQS counts approximately; ages and sums are CloudWatch's, some minutes old. To pause a destination, disable the forwarder function's trigger for its queue.",
	}
	waiting := "Records that wait in the queues are not shown: to look at one is to receive it, and would keep it from its destination."
	switch {
	case c.o.Bucket == nil && c.o.NoBucket != nil:
		n["traffic"] = "Which bucket the tap has could not be read: " + c.o.NoBucket.Error() + ". Name it with --bucket."
	case c.o.Bucket == nil:
		n["traffic"] = "There is no history on AWS unless records are in S3, and this tap has no bucket: every record passes through SQS alone. " + waiting + " Dead letters can be opened."
	default:
		n["traffic"] = "AWS keeps no history of every call. Here are those whose records are in bucket " + c.o.Bucket.Bucket +
			": what was too large for SQS, and what SQS did not take. " + waiting
	}
	if c.o.Attached == nil {
		n["routes"] = "Which routes are attached stands in what `tapway attach` saved: name the API with --api."
	}
	return n
}

// routes are what was attached, as it was before.
func (c *Console) routes() []admin.Route {
	st := c.o.Attached
	if st == nil || st.Plan == nil {
		return nil
	}
	out := make([]admin.Route, 0, len(st.Plan.Changes))
	for _, ch := range st.Plan.Changes {
		out = append(out, admin.Route{Match: ch.Route, Backend: ch.From})
	}
	return out
}

// state is the whole tap, not older than a minute; the counts of its queues are newer.
func (c *Console) state(ctx context.Context) (*tapstate.State, error) {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	var err error
	if c.full == nil || time.Since(c.fullAt) >= fullFresh {
		if c.full, err = c.o.Reader.Read(ctx, c.o.Tap); err != nil {
			return nil, err
		}
		c.fullAt = time.Now()
		c.some, c.someAt = c.full, c.fullAt
	}
	if time.Since(c.someAt) >= someFresh {
		if c.some, err = c.o.Reader.ReadQueues(ctx, c.o.Tap); err != nil {
			return nil, err
		}
		c.someAt = time.Now()
	}
	return merged(c.full, c.some), nil
}

// merged is full with the counts of some.
func merged(full, some *tapstate.State) *tapstate.State {
	s := *full
	if len(some.Queues) == 0 {
		return &s
	}
	s.Queues = make([]tapstate.Queue, len(some.Queues))
	for i, q := range some.Queues {
		for _, old := range full.Queues {
			if old.Name == q.Name {
				q.OldestAge = old.OldestAge
			}
		}
		s.Queues[i] = q
	}
	return &s
}

// Bucket reads from a function's settings which bucket it uses; "" if it uses none.
func Bucket(ctx context.Context, client *lambda.Client, function string) (bucket string, deletes bool, err error) {
	out, err := client.GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: aws.String(function)})
	if err != nil {
		return "", false, attach.Failed("read the settings of function "+function, err)
	}
	if out.Environment == nil {
		return "", false, nil
	}
	v := out.Environment.Variables
	return v["TAPWAY_BUCKET"], v["TAPWAY_DELETE_OBJECTS"] == "true", nil
}
