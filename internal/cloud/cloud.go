// Package cloud makes the AWS clients of processes that are not Lambda functions: the
// gateway, the forwarder and the command line, wherever they run. Profiles, SSO, containers
// and instance roles all give credentials.
//
// What a newcomer gets wrong: a Lambda function does not use it. What it costs to find
// credentials is not paid there (package awsbase), and a test keeps it out of the bootstrap.
package cloud

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/schemas"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go/transport/http/protocol/awsjson"

	"github.com/tapway/tapway/internal/awsbase"
	"github.com/tapway/tapway/internal/awss3"
	"github.com/tapway/tapway/internal/awssqs"
	"github.com/tapway/tapway/internal/blob/s3blob"
	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/queue/claimcheck"
	"github.com/tapway/tapway/internal/queue/sqsqueue"
)

// Account is an AWS account and region to talk to.
type Account struct {
	Config aws.Config
	getenv func(string) string
}

// Open finds region and credentials as the AWS CLI does. region and profile override what
// the environment and the shared files say; "" leaves it to them. It makes no call to AWS but
// what an SSO or an instance role needs, and that only when credentials are first used.
func Open(ctx context.Context, region, profile string) (*Account, error) {
	var options []func(*awsconfig.LoadOptions) error
	if region != "" {
		options = append(options, awsconfig.WithRegion(region))
	}
	if profile != "" {
		options = append(options, awsconfig.WithSharedConfigProfile(profile))
	}
	cfg, err := awsconfig.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("read the AWS settings: %w", err)
	}
	if cfg.Region == "" {
		return nil, fmt.Errorf("no AWS region is known; set AWS_REGION, or a region in the profile")
	}
	cfg.HTTPClient = client(cfg.HTTPClient)
	return &Account{Config: cfg, getenv: os.Getenv}, nil
}

// client is an awsbase.Client that trusts whom the SDK's, loaded, does: AWS_CA_BUNDLE or ca_bundle in a profile names
// them.
func client(loaded aws.HTTPClient) *http.Client {
	transport := awsbase.Transport()
	if l, ok := loaded.(interface{ GetTransport() *http.Transport }); ok {
		if c := l.GetTransport().TLSClientConfig; c != nil && c.RootCAs != nil {
			transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.RootCAs}
		}
	}
	return awsbase.Client(transport)
}

// Endpoint is where a service ("SQS", "S3") is to be reached by AWS's own variables (AWS_ENDPOINT_URL_SQS,
// AWS_ENDPOINT_URL) or the profile (endpoint_url, of the service or of all); nil: where AWS has it.
func (a *Account) Endpoint(service string) (*string, error) {
	endpoint, err := awsbase.Endpoint(a.getenv, service)
	if endpoint != nil || err != nil {
		return endpoint, err
	}
	ctx := context.Background()
	if ignored, found, err := awsconfig.GetIgnoreConfiguredEndpoints(ctx, a.Config.ConfigSources); err == nil && found && ignored {
		return nil, nil
	}
	for _, source := range a.Config.ConfigSources {
		s, ok := source.(interface {
			GetServiceBaseEndpoint(ctx context.Context, service string) (string, bool, error)
		})
		if !ok {
			continue
		}
		if u, found, err := s.GetServiceBaseEndpoint(ctx, service); err == nil && found {
			return &u, nil
		}
	}
	return a.Config.BaseEndpoint, nil
}

// Blobs is a bucket.
func (a *Account) Blobs(bucket string) (*s3blob.Store, error) {
	endpoint, err := a.Endpoint("S3")
	if err != nil {
		return nil, err
	}
	return &s3blob.Store{Client: awss3.New(a.Config, endpoint), Bucket: bucket}, nil
}

// SQS is the SDK's client, for what is asked of queues besides their messages.
func (a *Account) SQS() (*sqs.Client, error) {
	endpoint, err := a.Endpoint("SQS")
	if err != nil {
		return nil, err
	}
	return sqs.NewFromConfig(a.Config, func(o *sqs.Options) {
		o.Retryer = aws.NopRetryer{}
		if endpoint != nil {
			o.BaseEndpoint = endpoint
		}
	}), nil
}

// Messages is a client for what is in queues.
func (a *Account) Messages() (*awssqs.Client, error) {
	endpoint, err := a.Endpoint("SQS")
	if err != nil {
		return nil, err
	}
	return awssqs.New(a.Config, endpoint), nil
}

// CloudWatch is a client for metrics and alarms, which tries a call twice: what they tell is
// welcome, not needed. It speaks JSON, which emulators of AWS understand as well as AWS does, and
// not the SDK's CBOR.
func (a *Account) CloudWatch() (*cloudwatch.Client, error) {
	endpoint, err := a.Endpoint("CLOUDWATCH")
	if err != nil {
		return nil, err
	}
	return cloudwatch.NewFromConfig(a.Config, func(o *cloudwatch.Options) {
		o.RetryMaxAttempts, o.Protocol = 2, awsjson.New10(schemas.GraniteServiceVersion20100801)
		if endpoint != nil {
			o.BaseEndpoint = endpoint
		}
	}), nil
}

// Queues names the SQS queue of every destination of a configuration. Without destinations there
// is one, named "default", as a proxy function has it.
func Queues(c *config.Config) map[string]string {
	queues := map[string]string{}
	for _, d := range c.Destinations {
		queues[d.Name] = config.QueueFor(c.Queue, d.Name)
	}
	if len(queues) == 0 {
		queues["default"] = config.QueueFor(c.Queue, "default")
	}
	return queues
}

// Queue is the SQS queues of every destination of a configuration, with the bucket for large
// records behind them, if there is one. Without destinations there is one queue, named
// "default", as a proxy function has it. It makes no call.
func (a *Account) Queue(c *config.Config, lease time.Duration, log *slog.Logger) (*sqsqueue.Queue, error) {
	o, err := a.QueueConfig(c, lease, log)
	if err != nil {
		return nil, err
	}
	q, err := sqsqueue.New(o)
	if err != nil {
		return nil, fmt.Errorf("queue: %w", err)
	}
	return q, nil
}

// QueueConfig is what Queue makes its queues from, for those who add to it.
func (a *Account) QueueConfig(c *config.Config, lease time.Duration, log *slog.Logger) (sqsqueue.Config, error) {
	client, err := a.Messages()
	if err != nil {
		return sqsqueue.Config{}, err
	}
	o := sqsqueue.Config{Client: client, Queues: Queues(c), DeadLetters: map[string]string{}, Attempts: map[string]int{}, Lease: lease, Log: log}
	if endpoint, err := a.Endpoint("SQS"); err == nil && endpoint == nil { // another may be anywhere
		o.Region = a.Config.Region
	}
	for _, d := range c.Destinations {
		o.Attempts[d.Name] = d.Retry.MaxAttempts
	}
	for destination := range o.Queues {
		if c.Lambda.DeadLetterQueue != "" {
			o.DeadLetters[destination] = config.QueueFor(c.Lambda.DeadLetterQueue, destination)
		}
	}
	if c.Bucket != "" {
		blobs, err := a.Blobs(c.Bucket)
		if err != nil {
			return sqsqueue.Config{}, err
		}
		o.Claims = &claimcheck.Check{Store: blobs, Prefix: "records/", Keep: !c.Lambda.DeleteObjects}
	}
	return o, nil
}

// Close closes connections that nobody uses.
func (a *Account) Close() {
	if client, ok := a.Config.HTTPClient.(interface{ CloseIdleConnections() }); ok {
		client.CloseIdleConnections()
	}
}
