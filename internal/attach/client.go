package attach

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/tapway/tapway/internal/awsec2"
)

// Clients are the AWS clients of one account and region.
type Clients struct {
	REST   *apigateway.Client
	HTTP   *apigatewayv2.Client
	Lambda *lambda.Client
	STS    *sts.Client
	EC2    *awsec2.Client // for security groups
	Region string
}

// NewClients makes clients that wait for pacer before each attempt of a call to API Gateway,
// and slow down further when AWS answers 429. endpoint tells where a service ("LAMBDA") is
// reached, as cloud.Account.Endpoint does; nil where AWS has it. attempts bounds the tries
// of a call; 0: 8.
func NewClients(cfg aws.Config, endpoint func(service string) (*string, error), pacer *Pacer, attempts int) (*Clients, error) {
	if attempts <= 0 {
		attempts = 8
	}
	var at [5]*string
	for i, service := range []string{"API_GATEWAY", "APIGATEWAYV2", "LAMBDA", "STS", "EC2"} {
		if endpoint == nil {
			break
		}
		var err error
		if at[i], err = endpoint(service); err != nil {
			return nil, fmt.Errorf("AWS endpoint: %w", err)
		}
	}
	// Not the SDK's adaptive mode: the pacer slows down for both of API Gateway's clients, which
	// share one allowance, and its clock is ours.
	retryer := func() aws.RetryerV2 {
		return retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts, o.MaxBackoff, o.RateLimiter = attempts, 20*time.Second, ratelimit.None
		})
	}
	stack := []func(*middleware.Stack) error{pacing{pacer}.add, recordRaw}
	c := &Clients{Region: cfg.Region}
	c.REST = apigateway.NewFromConfig(cfg, func(o *apigateway.Options) {
		o.BaseEndpoint, o.Retryer, o.APIOptions = at[0], retryer(), append(o.APIOptions, stack...)
	})
	c.HTTP = apigatewayv2.NewFromConfig(cfg, func(o *apigatewayv2.Options) {
		o.BaseEndpoint, o.Retryer, o.APIOptions = at[1], retryer(), append(o.APIOptions, stack...)
	})
	c.Lambda = lambda.NewFromConfig(cfg, func(o *lambda.Options) { o.BaseEndpoint, o.Retryer = at[2], retryer() })
	c.STS = sts.NewFromConfig(cfg, func(o *sts.Options) { o.BaseEndpoint, o.Retryer = at[3], retryer() })
	c.EC2 = awsec2.New(cfg, at[4], retryer())
	return c, nil
}

// pacing makes every attempt wait, the repeated ones too.
type pacing struct{ pacer *Pacer }

func (p pacing) ID() string { return "tapway pace" }

func (p pacing) add(s *middleware.Stack) error { return s.Finalize.Add(p, middleware.After) }

func (p pacing) HandleFinalize(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
	if err := p.pacer.Wait(ctx, awsmiddleware.GetOperationName(ctx)); err != nil {
		return middleware.FinalizeOutput{}, middleware.Metadata{}, err
	}
	out, meta, err := next.HandleFinalize(ctx, in)
	p.pacer.Answered(statusOf(err) == http.StatusTooManyRequests)
	return out, meta, err
}

type rawKey struct{}

// withRaw has the body of the call's response put into dst, so that what this version of
// the SDK does not know is not lost.
func withRaw(ctx context.Context, dst *[]byte) context.Context {
	return context.WithValue(ctx, rawKey{}, dst)
}

// maxAnswer bounds what is read of one answer. The largest is an export of a whole API.
const maxAnswer = 64 << 20

// recordRaw is next to the transport: it sees the answer before the SDK does.
func recordRaw(s *middleware.Stack) error {
	return s.Deserialize.Add(middleware.DeserializeMiddlewareFunc("tapway raw answer",
		func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
			out, meta, err := next.HandleDeserialize(ctx, in)
			dst, ok := ctx.Value(rawKey{}).(*[]byte)
			answer, isHTTP := out.RawResponse.(*smithyhttp.Response)
			if err != nil || !ok || !isHTTP || answer.Body == nil {
				return out, meta, err
			}
			text, err := io.ReadAll(http.MaxBytesReader(nil, answer.Body, maxAnswer))
			answer.Body.Close()
			if err != nil {
				return out, meta, fmt.Errorf("read the answer: %w", err)
			}
			*dst, answer.Body = text, io.NopCloser(bytes.NewReader(text))
			return out, meta, nil
		}), middleware.After)
}
