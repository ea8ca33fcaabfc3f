package lambdaapp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/awsbase"
	"github.com/tapway/tapway/internal/awss3"
	"github.com/tapway/tapway/internal/awssecret"
	"github.com/tapway/tapway/internal/awssqs"
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

	lambdaEndpoint *string

	scratch string // directory for what may outlive a crash of the environment's process

	once sync.Once
	s3   *awss3.Client
}

func newCloud(getenv func(string) string) (*cloud, error) {
	base, err := awsbase.FromEnv(getenv)
	if err != nil {
		return nil, &SettingsError{err.Error()}
	}
	c := &cloud{base: base, scratch: cmp.Or(getenv("TMPDIR"), "/tmp")}
	if c.sqsEndpoint, err = awsbase.Endpoint(getenv, "SQS"); err == nil {
		c.s3Endpoint, err = awsbase.Endpoint(getenv, "S3")
	}
	if err == nil {
		c.lambdaEndpoint, err = awsbase.Endpoint(getenv, "LAMBDA")
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
	c.once.Do(func() { c.s3 = awss3.New(c.base, c.s3Endpoint) })
	return &s3blob.Store{Client: c.s3, Bucket: bucket}
}

// fetch reads an object of at most limit bytes, for a configuration that lies in S3.
func (c *cloud) fetch(ctx context.Context, bucket, key string, limit int64) ([]byte, error) {
	store := c.blobs(bucket)
	store.MaxBytes = limit
	return store.Get(ctx, key)
}

// maxTable bounds a route table: those of the largest APIs have less than a tenth of it.
const maxTable = 16 << 20

// fetchIf reads an object unless its ETag still is etag ("" reads it in any case). The error is
// errNotModified, tapway.ErrNotFound, errNotPermitted, which may mean not found as well, or another.
func (c *cloud) fetchIf(ctx context.Context, bucket, key, etag string) (text []byte, newETag string, err error) {
	out, err := c.blobs(bucket).Client.Get(ctx, &awss3.GetInput{Bucket: bucket, Key: key, MaxBytes: maxTable, IfNoneMatch: etag})
	if err == nil {
		return out.Body, out.ETag, nil
	}
	if awss3.TooLarge(err) {
		return nil, "", fmt.Errorf("read %s: it has more than %d bytes", key, maxTable)
	}
	if refused, ok := errors.AsType[*awss3.Error](err); ok {
		switch {
		case refused.Status == http.StatusNotModified:
			return nil, etag, errNotModified
		case refused.Code == "NoSuchBucket":
			return nil, "", fmt.Errorf("bucket %s is not there in this region", bucket)
		case refused.Status == http.StatusNotFound:
			return nil, "", tapway.ErrNotFound
		case refused.Status == http.StatusForbidden:
			return nil, "", fmt.Errorf("read %s: %w", key, errNotPermitted)
		}
	}
	return nil, "", fmt.Errorf("read %s: %w", key, err)
}

// queues makes a client for SQS, which is called for every record: not the SDK's, which takes several times as
// much CPU and a megabyte of the bootstrap.
func (c *cloud) queues() *awssqs.Client {
	cfg := c.base
	cfg.HTTPClient = nil // it has a leaner one of its own
	return awssqs.New(cfg, c.sqsEndpoint)
}

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
	region := c.base.Region
	if c.sqsEndpoint != nil {
		region = "" // it may be anywhere
	}
	q, err := sqsqueue.New(sqsqueue.Config{
		Client: c.queues(), Queues: queues, Region: region, Claims: c.claims(conf, "records/"), CallTimeout: 3 * time.Second, Patience: s.patience, Log: log,
	})
	if err != nil {
		return nil, settingsf("queue: %v", err)
	}
	s.enqueue = q.Enqueue
	return s, nil
}
