package lambdaapp

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/tapway/tapway/internal/awsbase"
	"github.com/tapway/tapway/internal/awssecret"
	"github.com/tapway/tapway/internal/blob/s3blob"
	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/queue/claimcheck"
	"github.com/tapway/tapway/internal/queue/sqsqueue"
)

// cloud makes the AWS clients, each when it is first needed: a client costs time, and a
// function whose records are small never talks to S3.
type cloud struct {
	base        aws.Config
	sqsEndpoint *string // nil: AWS's own
	s3Endpoint  *string
	secrets     *awssecret.Client

	once sync.Once
	s3   *s3.Client
}

func newCloud(getenv func(string) string) (*cloud, error) {
	base, err := awsbase.FromEnv(getenv)
	if err != nil {
		return nil, &SettingsError{err.Error()}
	}
	c := &cloud{base: base}
	if c.sqsEndpoint, err = awsbase.Endpoint(getenv, "SQS"); err == nil {
		c.s3Endpoint, err = awsbase.Endpoint(getenv, "S3")
	}
	if err == nil {
		c.secrets, err = awssecret.New(base, getenv)
	}
	if err != nil {
		return nil, &SettingsError{err.Error()}
	}
	return c, nil
}

func (c *cloud) blobs(bucket string) *s3blob.Store {
	c.once.Do(func() { c.s3 = s3blob.NewClient(c.base, c.s3Endpoint) })
	return &s3blob.Store{Client: c.s3, Bucket: bucket}
}

// fetch reads an object, for a configuration that lies in S3.
func (c *cloud) fetch(ctx context.Context, bucket, key string) ([]byte, error) {
	return c.blobs(bucket).Get(ctx, key)
}

// queues makes a client for SQS.
func (c *cloud) queues() *sqs.Client { return sqsqueue.NewClient(c.base, c.sqsEndpoint) }

// claims are the large records, whose keys begin with prefix; nil when there is no bucket.
func (c *cloud) claims(conf *config.Config, prefix string) *claimcheck.Check {
	if conf.Bucket == "" {
		return nil
	}
	return &claimcheck.Check{Store: c.blobs(conf.Bucket), Prefix: prefix, Keep: !conf.Lambda.DeleteObjects}
}

// sender makes the proxy's way to its queues.
func (c *cloud) sender(conf *config.Config, m *metrics, log *slog.Logger) (*sender, error) {
	s := &sender{patience: afterPatience, metrics: m, log: log}
	if conf.Lambda.Capture == "before" {
		s.patience = beforePatience
	}
	queues := map[string]string{}
	for _, d := range conf.Destinations {
		queues[d.Name] = config.QueueFor(conf.Queue, d.Name)
	}
	if len(queues) == 0 { // the forwarder knows where it delivers; this function need not
		queues["default"] = conf.Queue
	}
	s.destinations = slices.Sorted(maps.Keys(queues))
	if conf.Bucket != "" {
		s.spill = c.blobs(conf.Bucket)
	} else {
		log.Warn("there is no bucket: records that are larger than the queue takes, or that it refuses, are lost; set TAPWAY_BUCKET")
	}
	q, err := sqsqueue.New(sqsqueue.Config{
		Client: c.queues(), Queues: queues, Claims: c.claims(conf, "records/"), CallTimeout: 3 * time.Second, Patience: s.patience, Log: log,
	})
	if err != nil {
		return nil, settingsf("queue: %v", err)
	}
	s.enqueue = q.Enqueue
	return s, nil
}
