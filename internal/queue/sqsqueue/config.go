package sqsqueue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/awssqs"
	"github.com/tapway/tapway/internal/queue/claimcheck"
)

// Client is what the queue needs of SQS; *awssqs.Client has it. It tries each call once: the queue has its own bounds
// for trying again.
type Client interface {
	GetQueueUrl(ctx context.Context, in *awssqs.GetQueueUrlInput) (*awssqs.GetQueueUrlOutput, error)
	GetQueueAttributes(ctx context.Context, in *awssqs.GetQueueAttributesInput) (*awssqs.GetQueueAttributesOutput, error)
	SendMessage(ctx context.Context, in *awssqs.SendMessageInput) (*awssqs.SendMessageOutput, error)
	SendMessageBatch(ctx context.Context, in *awssqs.SendMessageBatchInput) (*awssqs.SendMessageBatchOutput, error)
	ReceiveMessage(ctx context.Context, in *awssqs.ReceiveMessageInput) (*awssqs.ReceiveMessageOutput, error)
	DeleteMessageBatch(ctx context.Context, in *awssqs.DeleteMessageBatchInput) (*awssqs.DeleteMessageBatchOutput, error)
	ChangeMessageVisibilityBatch(ctx context.Context, in *awssqs.ChangeMessageVisibilityBatchInput) (*awssqs.ChangeMessageVisibilityBatchOutput, error)
	PurgeQueue(ctx context.Context, in *awssqs.PurgeQueueInput) (*awssqs.PurgeQueueOutput, error)
	StartMessageMoveTask(ctx context.Context, in *awssqs.StartMessageMoveTaskInput) (*awssqs.StartMessageMoveTaskOutput, error)
	ListMessageMoveTasks(ctx context.Context, in *awssqs.ListMessageMoveTasksInput) (*awssqs.ListMessageMoveTasksOutput, error)
	CancelMessageMoveTask(ctx context.Context, in *awssqs.CancelMessageMoveTaskInput) (*awssqs.CancelMessageMoveTaskOutput, error)
}

// Config says which queues there are. Client and Queues are required.
type Config struct {
	Client Client

	// Queues has each destination's queue: its URL, its ARN, or its name in the client's account
	// and region, "sqs://" before it or not.
	Queues map[string]string

	// DeadLetters names a destination's dead-letter queue in the same ways where it is not the
	// one of the queue's redrive policy.
	DeadLetters map[string]string

	// Region is the client's. A queue that is named in another by its URL or ARN is refused: SQS would not find it here, or
	// would find another one of the same name. "": not checked.
	Region string

	// Claims takes records that are too large for their queue; nil: they are refused, and
	// counted as dropped "too-large".
	Claims *claimcheck.Check

	// GroupID is the message group of an exchange, for SQS's fair queues: a noisy group then
	// does not delay the others. "" is no group. nil: the ID of the API the call came through.
	GroupID func(ex *tapway.Exchange) string

	// Ahead tells of an outbox in front of the queues, whose records Transfer brings here: calls
	// since the process began, and per destination what is queued in it and what was dropped there.
	// Ledger and Stats count that in. nil: there is none.
	Ahead func(ctx context.Context) (tapway.Ledger, error)

	// Attempts has how often a destination's large record is fetched that the blob store refuses to give, before it is a
	// dead letter; 0 or not there: 8, below 0: without end.
	Attempts map[string]int

	Lease       time.Duration // how long a received message is kept from others, whole seconds; 0: two minutes
	MaxHold     time.Duration // how long Run extends a lease, since the message was received; 0: 30 min
	CallTimeout time.Duration // of one call to SQS, a long poll's 20 s excepted; 0: 5 s
	Patience    time.Duration // for all tries to send a record or to settle; a context may allow less; 0: 15 s
	Log         *slog.Logger  // nil: slog.Default
}

const (
	maxLease      = 12 * time.Hour
	maxEntries    = 10        // of a batch
	maxMessage    = 1 << 20   // SQS's own limit, for a message and a batch
	safeMessage   = 256 << 10 // a queue's limit where it cannot be read: what all queues once had
	margin        = 16 << 10  // below a queue's limit a record goes to the blob store
	longPoll      = 20 * time.Second
	maxFlights    = 8 // batches on their way to one queue at a time
	rememberedMax = 16 << 10
)

func (c *Config) withDefaults() {
	set := func(d *time.Duration, otherwise time.Duration) {
		if *d <= 0 {
			*d = otherwise
		}
	}
	set(&c.Lease, 2*time.Minute)
	c.Lease = min((c.Lease + time.Second - 1).Truncate(time.Second), maxLease)
	set(&c.MaxHold, 30*time.Minute)
	c.MaxHold = min(c.MaxHold, maxLease)
	set(&c.CallTimeout, 5*time.Second)
	set(&c.Patience, 15*time.Second)
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.GroupID == nil {
		c.GroupID = func(ex *tapway.Exchange) string {
			if ex.API == nil {
				return ""
			}
			return ex.API.ID
		}
	}
	c.Queues, c.DeadLetters, c.Attempts = maps.Clone(c.Queues), maps.Clone(c.DeadLetters), maps.Clone(c.Attempts)
}

func (c *Config) check() error {
	if c.Client == nil {
		return errors.New("SQS: there is no client")
	}
	if len(c.Queues) == 0 {
		return errors.New("SQS: there is no queue: name one for each destination")
	}
	seen := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(c.Queues)) {
		if err := c.checkRef(c.Queues[name]); err != nil {
			return fmt.Errorf("SQS queue of destination %q: %w", name, err)
		}
		if other, ok := seen[c.Queues[name]]; ok {
			return fmt.Errorf("SQS: destinations %q and %q have the same queue: each needs one of its own", other, name)
		}
		seen[c.Queues[name]] = name
	}
	for _, name := range slices.Sorted(maps.Keys(c.DeadLetters)) {
		if _, ok := c.Queues[name]; !ok {
			return fmt.Errorf("SQS: a dead-letter queue is named for %q, which is no destination", name)
		}
		if err := c.checkRef(c.DeadLetters[name]); err != nil {
			return fmt.Errorf("SQS dead-letter queue of destination %q: %w", name, err)
		}
		if other, ok := seen[c.DeadLetters[name]]; ok {
			return fmt.Errorf("SQS: the dead-letter queue of %q is the queue of %q", name, other)
		}
	}
	if c.Claims != nil {
		return c.Claims.Validate()
	}
	return nil
}

// isURL tells the URL of a queue from the other ways to name one.
func isURL(ref string) bool {
	return strings.HasPrefix(ref, "https://") || strings.HasPrefix(ref, "http://")
}

// splitRef gives the name and, of an ARN, the account of a queue that is not named by URL.
func splitRef(ref string) (name, account string) {
	if parts := strings.Split(ref, ":"); len(parts) == 6 && parts[0] == "arn" && parts[2] == "sqs" {
		return parts[5], parts[4]
	}
	return strings.TrimPrefix(ref, "sqs://"), ""
}

// regionOf is the region in a queue's URL at AWS (https://sqs.eu-west-1.amazonaws.com/…, also of older forms and of
// interface endpoints) or in its ARN; "" if there is none.
func regionOf(ref string) string {
	if !isURL(ref) {
		if parts := strings.Split(ref, ":"); len(parts) == 6 && parts[0] == "arn" {
			return parts[3]
		}
		return ""
	}
	u, err := url.Parse(ref)
	if err != nil || !strings.Contains(u.Host, ".amazonaws.") && !strings.Contains(u.Host, ".api.aws") && !strings.Contains(u.Host, ".api.amazonwebservices.") {
		return ""
	}
	labels := strings.Split(u.Host, ".")
	for i, label := range labels {
		switch {
		case (label == "sqs" || label == "sqs-fips") && i+1 < len(labels) && strings.Contains(labels[i+1], "-"):
			return labels[i+1]
		case label == "queue" && i == 1:
			return labels[0]
		}
	}
	return ""
}

func (c *Config) checkRef(ref string) error {
	if region := regionOf(ref); region != "" && c.Region != "" && region != c.Region {
		return fmt.Errorf("%q is in %s, and this is %s: take a queue in the same region", ref, region, c.Region)
	}
	name := ref[strings.LastIndexByte(ref, '/')+1:]
	if !isURL(ref) {
		name, _ = splitRef(ref)
	}
	if strings.HasSuffix(name, ".fifo") {
		return fmt.Errorf("%q is a FIFO queue: a record that fails would hold up those behind it; use a standard queue", ref)
	}
	if name == "" || len(name) > 80 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
		return fmt.Errorf("%q is not the name, URL or ARN of a queue", ref)
	}
	return nil
}
