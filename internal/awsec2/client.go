package awsec2

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/smithy-go"

	"github.com/tapway/tapway/internal/awsbase"
)

const (
	version = "2016-11-15"

	// maxAnswer is above a page of 1000 rules with 50 tags each.
	maxAnswer = 32 << 20
)

// Client calls EC2. It is safe for concurrent use.
type Client struct {
	config   aws.Config
	endpoint string
	retryer  aws.Retryer
	now      func() time.Time
}

// New makes a client of cfg's region, at endpoint; nil is where AWS has it. Of cfg it takes the region, the
// credentials, the HTTP client and whether endpoints are to be FIPS ones; without a client it is awsbase's.
// retryer says which failures are tried again, how often and after how long; nil is retry.NewStandard().
func New(cfg aws.Config, endpoint *string, retryer aws.Retryer) *Client {
	c := &Client{config: cfg, endpoint: regional(cfg), retryer: retryer, now: time.Now}
	if endpoint != nil {
		c.endpoint = strings.TrimSuffix(*endpoint, "/") + "/"
	}
	if c.config.HTTPClient == nil {
		c.config.HTTPClient = awsbase.Client(nil)
	}
	if c.retryer == nil {
		c.retryer = retry.NewStandard()
	}
	return c
}

// regional is where AWS has EC2. The GovCloud regions' only endpoints are FIPS ones.
func regional(cfg aws.Config) string {
	name := "ec2"
	if awsbase.FIPS(cfg) && !strings.HasPrefix(cfg.Region, "us-gov-") {
		name = "ec2-fips"
	}
	return "https://" + name + "." + cfg.Region + "." + awsbase.Domain(cfg.Region) + "/"
}

// call makes one call, as often as the retryer has it, and reads the answer into out, which may be nil. Its
// errors are a *smithy.OperationError around what happened, as the SDK's are.
func (c *Client) call(ctx context.Context, operation string, in url.Values, out any) error {
	in.Set("Action", operation)
	in.Set("Version", version)
	err := c.attempts(ctx, operation, in.Encode(), out)
	if err != nil {
		return &smithy.OperationError{ServiceID: "EC2", OperationName: operation, Err: err}
	}
	return nil
}

func (c *Client) attempts(ctx context.Context, operation, form string, out any) error {
	for n := 1; ; n++ {
		answer, err := c.attempt(ctx, form)
		switch {
		case err == nil:
			return decode(answer, operation, out)
		case ctx.Err() != nil || !c.retryer.IsErrorRetryable(err):
			return err
		case n >= c.retryer.MaxAttempts():
			return &retry.MaxAttemptsError{Attempt: n, Err: err}
		}
		delay, noDelay := c.retryer.RetryDelay(n, err)
		if noDelay != nil {
			return fmt.Errorf("%w (no time to try again: %w)", err, noDelay)
		}
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%w while waiting to try again after: %w", ctx.Err(), err)
		}
	}
}

// attempt gives the body of an answer of status 200.
func (c *Client) attempt(ctx context.Context, form string) ([]byte, error) {
	req, err := c.request(ctx, form)
	if err != nil {
		return nil, err
	}
	resp, err := c.config.HTTPClient.Do(req)
	if err != nil {
		return nil, connectionError{err}
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case resp.StatusCode != http.StatusOK:
		return nil, refusal(resp, answer)
	case err != nil:
		return nil, connectionError{fmt.Errorf("read the answer: %w", err)}
	case len(answer) > maxAnswer:
		return nil, fmt.Errorf("the answer has more than %d bytes", maxAnswer)
	}
	return answer, nil
}

// request makes a signed request.
func (c *Client) request(ctx context.Context, form string) (*http.Request, error) {
	if c.config.Credentials == nil {
		return nil, errors.New("there are no AWS credentials")
	}
	credentials, err := c.config.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, fmt.Errorf("AWS credentials: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint, strings.NewReader(form))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("User-Agent", "tapway")
	sum := sha256.Sum256([]byte(form))
	return req, v4.NewSigner().SignHTTP(ctx, credentials, req, hex.EncodeToString(sum[:]), "ec2", c.config.Region, c.now())
}
