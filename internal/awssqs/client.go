package awssqs

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/tapway/tapway/internal/awsbase"
	"github.com/tapway/tapway/internal/awssign"
	"github.com/tapway/tapway/internal/http1"
	"github.com/tapway/tapway/internal/quietnet"
)

const (
	contentType = "application/x-amz-json-1.0"

	// maxAnswer is above ten messages of 1 MiB each, all of their bytes escaped as \u0022.
	maxAnswer = 64 << 20
)

// Client calls SQS. It is safe for concurrent use.
type Client struct {
	url         *url.URL
	bad         error // the endpoint is no URL; every call gives it
	region      string
	credentials aws.CredentialsProvider
	do          func(*http.Request) (*http.Response, error)
	signer      awssign.Signer
	now         func() time.Time
	skew        atomic.Int64 // nanoseconds that SQS's clock is ahead of ours, once it has said so
}

// New makes a client that reaches SQS at endpoint; nil is where AWS has it. Of cfg it takes the region, the
// credentials, whether AWS's endpoints are to be FIPS or dual-stack ones, and the HTTP client; without one it is
// an http1.Transport, or awsbase.Client if the environment names a proxy for the endpoint.
func New(cfg aws.Config, endpoint *string) *Client {
	c := &Client{region: cfg.Region, credentials: cfg.Credentials, signer: awssign.Signer{Service: "sqs"}, now: time.Now}
	where := regional(cfg)
	if endpoint != nil {
		where = *endpoint
	}
	if c.url, c.bad = url.Parse(where); c.bad == nil && (c.url.Host == "" || c.url.Scheme != "http" && c.url.Scheme != "https") {
		c.bad = errors.New("it does not begin with http:// or https://")
	}
	if c.bad != nil {
		c.bad = fmt.Errorf("the endpoint of SQS: %w", c.bad)
		return c
	}
	c.url = &url.URL{Scheme: c.url.Scheme, Host: c.url.Host, Path: strings.TrimSuffix(c.url.Path, "/") + "/"}
	switch proxy, err := http.ProxyFromEnvironment(&http.Request{URL: c.url}); {
	case cfg.HTTPClient != nil:
		c.do = cfg.HTTPClient.Do
	case proxy != nil || err != nil:
		c.do = awsbase.Client(nil).Do
	default:
		c.do = newTransport().RoundTrip
	}
	return c
}

// regional is where AWS has SQS. The GovCloud regions' only endpoints are FIPS ones.
func regional(cfg aws.Config) string {
	name, domain := "sqs", awsbase.Domain(cfg.Region)
	dual := awsbase.DualStack(cfg)
	if awsbase.FIPS(cfg) && (dual || !strings.HasPrefix(cfg.Region, "us-gov-")) {
		name = "sqs-fips"
	}
	if dual {
		domain = awsbase.DualStackDomain(cfg.Region)
	}
	return "https://" + name + "." + cfg.Region + "." + domain
}

// newTransport has the bounds of awsbase.Client. TLS sessions are resumed, because connections do not outlive a
// function's long sleeps.
func newTransport() *http1.Transport {
	return &http1.Transport{
		DialContext:    quietnet.Dialer(&net.Dialer{Timeout: 3 * time.Second, KeepAlive: 30 * time.Second}),
		TLSConfig:      &tls.Config{MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(4)},
		ConnectTimeout: 8 * time.Second,
		MaxIdlePerHost: 64,
	}
}

// call makes one call with what in holds, which it gives back to the pool, and reads the answer into out.
func (c *Client) call(ctx context.Context, operation string, in *body, out any) error {
	defer in.release()
	if c.bad != nil {
		return c.bad
	}
	req, err := c.request(ctx, operation, in)
	if err != nil {
		return fmt.Errorf("SQS %s: %w", operation, err)
	}
	resp, err := c.do(req)
	if err != nil {
		return fmt.Errorf("SQS %s: %w", operation, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return fmt.Errorf("SQS %s: read the answer: %w", operation, err)
	case resp.StatusCode != http.StatusOK:
		refused := refusal(operation, resp, answer)
		c.setClock(refused, resp.Header.Get("Date"))
		return refused
	case len(answer) > maxAnswer:
		return fmt.Errorf("SQS %s: the answer has more than %d bytes", operation, maxAnswer)
	case out == nil:
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("SQS %s: the answer is not understood: %w", operation, err)
	}
	return nil
}

// request makes a signed request.
func (c *Client) request(ctx context.Context, operation string, in *body) (*http.Request, error) {
	if c.credentials == nil {
		return nil, errors.New("there are no AWS credentials")
	}
	credentials, err := c.credentials.Retrieve(ctx)
	if err != nil {
		return nil, fmt.Errorf("AWS credentials: %w", err)
	}
	in.b = append(in.b, '}')
	h := http.Header{
		"Content-Type":      {contentType},
		"User-Agent":        {"tapway"},
		"X-Amz-Target":      {"AmazonSQS." + operation},
		"X-Amzn-Query-Mode": {"true"}, // SQS then also gives the codes that errors had in its older protocol
	}
	if trace := traceHeader(); trace != "" {
		h["X-Amzn-Trace-Id"] = []string{trace}
	}
	req := &http.Request{
		Method: http.MethodPost, URL: c.url, Host: awssign.HostHeader(c.url), Header: h, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: in.reader(), ContentLength: int64(len(in.b)),
		GetBody: func() (io.ReadCloser, error) { return in.reader(), nil },
	}
	c.signer.Sign(req, credentials, c.region, c.now().Add(time.Duration(c.skew.Load())), sha256.Sum256(in.b))
	return req.WithContext(ctx), nil
}

// traceHeader is the invocation's trace as AWS's SDKs pass it on: AWS sees by it when a function calls itself through
// a queue. It is not signed.
func traceHeader() string {
	if os.Getenv("AWS_LAMBDA_FUNCTION_NAME") == "" {
		return ""
	}
	trace := os.Getenv("_X_AMZN_TRACE_ID")
	for i := range len(trace) {
		if trace[i] <= ' ' || trace[i] >= 0x7f {
			return ""
		}
	}
	return trace
}

// setClock takes SQS's clock when a signature was refused and ours is minutes off, for the calls to come.
func (c *Client) setClock(refused *Error, date string) {
	at, err := http.ParseTime(date)
	if err != nil || refused.Status != http.StatusBadRequest && refused.Status != http.StatusForbidden {
		return
	}
	switch refused.Code {
	case "InvalidSignatureException", "SignatureDoesNotMatch", "RequestExpired", "RequestTimeTooSkewed", "RequestInTheFuture":
		// Ours may have been put right since the last time.
		now := c.now()
		if used := now.Add(time.Duration(c.skew.Load())); at.Sub(used).Abs() > 4*time.Minute {
			c.skew.Store(int64(at.Sub(now)))
			refused.clock = true
		}
	}
}
