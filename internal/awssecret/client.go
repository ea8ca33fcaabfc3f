package awssecret

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/tapway/tapway/internal/awsbase"
	"github.com/tapway/tapway/internal/awssign"
)

const (
	// tryTime bounds one try, tries how many there are. The whole of Resolve has patience, which
	// is less than the 10 s that Lambda gives a function to start.
	tryTime  = 3 * time.Second
	tries    = 3
	patience = 8 * time.Second

	// maxAnswer is far above the 64 KiB that a secret may have, ten parameters included.
	maxAnswer = 1 << 20
)

// Client asks AWS. The zero values of all fields but Config do.
type Client struct {
	Config aws.Config // region, credentials and HTTP client; without one awsbase.Client

	// Where the services are, nil: where AWS has them, in the region of the configuration or of
	// the reference's ARN.
	SecretsManagerEndpoint, ParameterStoreEndpoint *string

	tryTime, pause time.Duration // 0: tryTime, 100 ms. For tests
}

// New makes a client whose endpoints AWS_ENDPOINT_URL_SECRETS_MANAGER, AWS_ENDPOINT_URL_SSM and
// AWS_ENDPOINT_URL say.
func New(cfg aws.Config, getenv func(string) string) (*Client, error) {
	c := &Client{Config: cfg}
	var err error
	if c.SecretsManagerEndpoint, err = awsbase.Endpoint(getenv, "SECRETS_MANAGER"); err == nil {
		c.ParameterStoreEndpoint, err = awsbase.Endpoint(getenv, "SSM")
	}
	return c, err
}

// fault is what AWS or the way to it answered instead of a value.
type fault struct {
	code    string // AWS's, "" when no answer came
	message string // AWS's, as far as it may be shown
	status  int
	err     error // when no answer came
}

func (f *fault) Error() string {
	switch {
	case f.err != nil:
		return f.err.Error()
	case f.code == "":
		return fmt.Sprintf("status %d", f.status)
	case f.message != "":
		return f.code + ": " + f.message
	}
	return f.code
}

func (f *fault) Unwrap() error { return f.err }

// passing reports whether the same call may do better a moment later.
func (f *fault) passing() bool {
	switch f.code {
	case "ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded", "InternalServiceError", "InternalServerError", "ServiceUnavailable":
		return true
	}
	return f.err != nil || f.status >= 500 || f.status == http.StatusTooManyRequests
}

// call does one operation, again if that may help, and reads the answer into out.
func (c *Client) call(ctx context.Context, r reference, operation string, in, out any) *fault {
	body, err := json.Marshal(in)
	if err != nil {
		return &fault{err: err}
	}
	pause := c.pause
	if pause == 0 {
		pause = 100 * time.Millisecond
	}
	for try := 1; ; try++ {
		f := c.try(ctx, r, operation, body, out)
		if f == nil || !f.passing() || try == tries || ctx.Err() != nil {
			return f
		}
		select {
		case <-ctx.Done():
			return f
		case <-time.After(pause/2 + rand.N(pause)): // #nosec G404 -- jitter
			pause *= 3
		}
	}
}

// service is what the two have of their own.
type service struct {
	name, target string
	endpoint     *string
}

func (c *Client) service(kind string) service {
	if kind == SecretsManager {
		return service{"secretsmanager", "secretsmanager.", c.SecretsManagerEndpoint}
	}
	return service{"ssm", "AmazonSSM.", c.ParameterStoreEndpoint}
}

func (c *Client) region(r reference) string {
	if r.region != "" {
		return r.region
	}
	return c.Config.Region
}

// try does one operation once. AWS's JSON 1.1 protocol is a POST with the operation in a header.
func (c *Client) try(ctx context.Context, r reference, operation string, body []byte, out any) *fault {
	limit := c.tryTime
	if limit == 0 {
		limit = tryTime
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	s, region := c.service(r.kind), c.region(r)
	url := "https://" + s.name + "." + region + "." + awsbase.Domain(region) + "/"
	if s.endpoint != nil {
		url = strings.TrimSuffix(*s.endpoint, "/") + "/"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return &fault{err: err}
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", s.target+operation)
	if c.Config.Credentials == nil {
		return &fault{code: "no credentials", message: "there are no AWS credentials"}
	}
	credentials, err := c.Config.Credentials.Retrieve(ctx)
	if err != nil {
		return &fault{code: "no credentials", message: err.Error()}
	}
	signer := awssign.Signer{Service: s.name}
	signer.Sign(req, credentials, region, time.Now(), sha256.Sum256(body))
	resp, err := c.http().Do(req)
	if err != nil {
		return &fault{err: unreached(err, limit)}
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return &fault{err: unreached(err, limit)}
	case resp.StatusCode != http.StatusOK:
		return refusal(resp, answer)
	case len(answer) > maxAnswer:
		return &fault{code: "answer too long", status: resp.StatusCode}
	case json.Unmarshal(answer, out) != nil: // its error may quote the answer
		return &fault{code: "answer not understood", message: "is this an endpoint of AWS?", status: resp.StatusCode}
	}
	return nil
}

func (c *Client) http() aws.HTTPClient {
	if c.Config.HTTPClient != nil {
		return c.Config.HTTPClient
	}
	return awsbase.Client(nil)
}

// unreached is why no answer came, without the words that http.Client puts around it.
func unreached(err error, limit time.Duration) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %v", limit)
	}
	return err
}

// refusal reads an error as the two services write it: its name in a header or in __type, perhaps
// behind a namespace.
func refusal(resp *http.Response, answer []byte) *fault {
	var e struct {
		Type    string `json:"__type"`
		Message string `json:"message"` // encoding/json takes "Message" as well
	}
	_ = json.Unmarshal(answer, &e)
	code := resp.Header.Get("X-Amzn-Errortype")
	if code == "" {
		code = e.Type
	}
	code, _, _ = strings.Cut(code, ":")
	code = code[strings.LastIndexByte(code, '#')+1:]
	f := &fault{code: word(code), status: resp.StatusCode}
	switch f.code {
	case "AccessDeniedException", "ResourceNotFoundException", "InvalidParameterException", "InvalidRequestException",
		"DecryptionFailure", "ValidationException", "InvalidKeyId", "UnrecognizedClientException", "ExpiredTokenException":
		f.message = awsbase.Said(e.Message)
	}
	return f
}

// word keeps what is not the name of an error out of one.
func word(s string) string {
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') {
			return ""
		}
	}
	return s[:min(len(s), 80)]
}
