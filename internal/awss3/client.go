package awss3

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/tapway/tapway/internal/awsbase"
	"github.com/tapway/tapway/internal/awssign"
)

const (
	// maxList is above a thousand keys of 1024 bytes, each byte escaped.
	maxList = 8 << 20

	// maxRefusal is above every error of S3's.
	maxRefusal = 64 << 10
)

// Client calls S3. It is safe for concurrent use.
type Client struct {
	region      string
	credentials aws.CredentialsProvider
	http        aws.HTTPClient
	signer      awssign.Signer
	tries       int
	pause       time.Duration // the longest wait after the first try
	now         func() time.Time
	skew        atomic.Int64 // nanoseconds that S3's clock is ahead of ours, once it has said so

	base     *url.URL
	bad      error // the endpoint is no URL; every call gives it
	pathOnly bool  // the bucket is always in the path
}

// New makes a client that reaches S3 at endpoint; nil is where AWS has it. Of cfg it takes the region, the
// credentials, the HTTP client, how often a call is tried, and whether AWS's endpoints are to be FIPS or dual-stack
// ones. Without an HTTP client it is awsbase.Client, without a number of tries three.
func New(cfg aws.Config, endpoint *string) *Client {
	c := &Client{
		region: cfg.Region, credentials: cfg.Credentials, http: cfg.HTTPClient, signer: awssign.Signer{Service: "s3"},
		tries: cmp.Or(max(cfg.RetryMaxAttempts, 0), 3), pause: 200 * time.Millisecond, now: time.Now, pathOnly: endpoint != nil,
	}
	if c.http == nil {
		c.http = awsbase.Client(nil)
	}
	if endpoint == nil {
		c.base = &url.URL{Scheme: "https", Host: regional(cfg)}
		return c
	}
	c.base, c.bad = url.Parse(*endpoint)
	if c.bad == nil && (c.base.Host == "" || c.base.Scheme != "http" && c.base.Scheme != "https") {
		c.bad = errors.New("it does not begin with http:// or https://")
	}
	if c.bad != nil {
		c.bad = fmt.Errorf("the endpoint of S3: %w", c.bad)
	}
	return c
}

// regional is the host of AWS's own endpoint.
func regional(cfg aws.Config) string {
	name := "s3"
	if awsbase.FIPS(cfg) {
		name = "s3-fips"
	}
	if awsbase.DualStack(cfg) {
		name += ".dualstack"
	}
	return name + "." + cfg.Region + "." + awsbase.Domain(cfg.Region)
}

// call is one operation, whatever it takes to have it done.
type call struct {
	operation   string
	method      string
	bucket, key string // key "": the bucket itself
	query       string
	header      http.Header // nil: none
	body        []byte
	sum         [sha256.Size]byte // of body

	limit int64 // of the answer's body, when it is no error
	// check looks at an answer before it counts; its error has the call tried again. nil: nothing to check.
	check func(header http.Header, body []byte) error
}

// answer is what S3 said to a call that it did.
type answer struct {
	header http.Header
	body   []byte
}

// errTooLarge says that an answer has more than its limit. Trying again does not help.
var errTooLarge = errors.New("it is larger than what is read")

// locate gives the URL of a key in a bucket.
func (c *Client) locate(bucket, key, query string) (*url.URL, error) {
	switch {
	case c.bad != nil:
		return nil, c.bad
	case bucket == "" || strings.ContainsAny(bucket, "/?#:@%\\ "):
		return nil, fmt.Errorf("%q is not the name of a bucket", bucket)
	case strings.HasSuffix(bucket, "--x-s3"):
		return nil, fmt.Errorf("the bucket %q is a directory bucket, which tapway cannot use: take a general purpose bucket", bucket)
	}
	u := *c.base
	u.RawQuery, u.Fragment, u.RawFragment, u.User = query, "", "", nil
	path, raw := strings.TrimSuffix(u.Path, "/"), strings.TrimSuffix(u.EscapedPath(), "/")
	if c.pathOnly || !hostable(bucket) {
		path, raw = path+"/"+bucket, raw+"/"+bucket
	} else {
		u.Host = bucket + "." + u.Host
	}
	if key != "" || path == "" {
		path, raw = path+"/"+key, string(awssign.AppendEscaped([]byte(raw+"/"), key))
	}
	u.Path, u.RawPath = path, raw
	return &u, nil
}

// hostable reports whether a bucket's name can be a label of a host's name that AWS's certificate covers.
func hostable(bucket string) bool {
	for i := range len(bucket) {
		if c := bucket[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && (c != '-' || i == 0 || i == len(bucket)-1) {
			return false
		}
	}
	return len(bucket) >= 3 && len(bucket) <= 63
}

// request makes a signed request.
func (c *Client) request(ctx context.Context, call *call) (*http.Request, error) {
	u, err := c.locate(call.bucket, call.key, call.query)
	if err != nil {
		return nil, err
	}
	if c.credentials == nil {
		return nil, errors.New("there are no AWS credentials")
	}
	credentials, err := c.credentials.Retrieve(ctx)
	if err != nil {
		return nil, fmt.Errorf("AWS credentials: %w", err)
	}
	req := &http.Request{
		Method: call.method, URL: u, Host: awssign.HostHeader(u), Header: http.Header{"User-Agent": {"tapway"}, "Accept-Encoding": {"identity"}},
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, ContentLength: int64(len(call.body)),
	}
	for name, values := range call.header {
		req.Header[name] = values
	}
	if call.method == http.MethodPut { // a body of no bytes is one too
		req.GetBody = func() (io.ReadCloser, error) { return bodyOf(call.body), nil }
		req.Body = bodyOf(call.body)
	}
	c.signer.Sign(req, credentials, c.region, c.now().Add(time.Duration(c.skew.Load())), call.sum)
	return req.WithContext(ctx), nil
}

func bodyOf(b []byte) io.ReadCloser {
	if len(b) == 0 {
		return http.NoBody
	}
	return io.NopCloser(bytes.NewReader(b))
}

// try makes the call once.
func (c *Client) try(ctx context.Context, call *call) (*answer, error) {
	req, err := c.request(ctx, call)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, &wayError{err}
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, maxRefusal)) // what there is of it may do
		return nil, c.refusal(call, resp, body)
	}
	body, err := readAll(resp.Body, resp.ContentLength, call.limit)
	switch {
	case errors.Is(err, errTooLarge):
		return nil, err
	case err != nil:
		return nil, &wayError{fmt.Errorf("read the answer: %w", err)}
	}
	if call.check != nil {
		if err := call.check(resp.Header, body); err != nil {
			return nil, &wayError{err}
		}
	}
	return &answer{resp.Header, body}, nil
}

// readAll reads at most limit bytes; size is how many there are, below 0 if nobody knows.
func readAll(r io.Reader, size, limit int64) ([]byte, error) {
	if size > limit {
		return nil, errTooLarge
	}
	if size < 0 {
		b, err := io.ReadAll(io.LimitReader(r, limit+1))
		if err == nil && int64(len(b)) > limit {
			return nil, errTooLarge
		}
		return b, err
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, err
	}
	return b, nil
}
