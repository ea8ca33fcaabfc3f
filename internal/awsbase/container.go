package awsbase

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

const (
	// containerEarly is how long before they end credentials are fetched anew.
	containerEarly = 5 * time.Minute
	// containerAgain is how long old ones that still hold are used after no new ones came.
	containerAgain = 30 * time.Second
	containerTime  = 2 * time.Second
)

// container fetches credentials from an endpoint of the environment, as environments have it that outlive their credentials. See
// https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html.
type container struct {
	url    string
	getenv func(string) string
	client http.Client
	now    func() time.Time

	mu   sync.Mutex
	have aws.Credentials
	next time.Time // when the endpoint is to be asked again
}

// newContainer checks the endpoint as the SDKs do: the token goes to this machine, to ECS's or EKS's own addresses, or over TLS.
func newContainer(getenv func(string) string) (*container, error) {
	const name = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
	u, err := url.Parse(getenv(name))
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New(name + ": want a URL that begins with http:// or https:// and a host")
	}
	if u.Scheme == "http" && !near(u.Hostname()) {
		return nil, errors.New(name + ": http:// is for this machine and for the addresses of ECS and EKS; want https://")
	}
	c := &container{url: u.String(), getenv: getenv, now: time.Now}
	c.client.Transport = &http.Transport{DialContext: (&net.Dialer{Timeout: containerTime}).DialContext, DisableKeepAlives: true} // without a proxy
	c.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c, nil
}

// near reports whether a host may be asked without TLS.
func near(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	switch ip.Unmap().String() {
	case "169.254.170.2", "169.254.170.23", "fd00:ec2::23":
		return true
	}
	return ip.Unmap().IsLoopback()
}

// Retrieve is aws.CredentialsProvider.
func (c *container) Retrieve(ctx context.Context) (aws.Credentials, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if c.have.HasKeys() && now.Before(c.next) {
		return c.have, nil
	}
	got, err := c.fetch(ctx)
	switch {
	case err == nil:
		c.have, c.next = got, now.Add(time.Hour)
		if got.CanExpire {
			c.next = got.Expires.Add(-containerEarly)
			if soon := now.Add(containerAgain); c.next.Before(soon) {
				c.next = soon
			}
		}
	case c.have.HasKeys() && (!c.have.CanExpire || now.Before(c.have.Expires)):
		c.next = now.Add(containerAgain)
	default:
		return aws.Credentials{}, err
	}
	return c.have, nil
}

// fetch asks the endpoint. No error quotes its answer.
func (c *container) fetch(ctx context.Context) (aws.Credentials, error) {
	ctx, cancel := context.WithTimeout(ctx, containerTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url, nil)
	if err != nil {
		return aws.Credentials{}, fmt.Errorf("fetch credentials: %w", err)
	}
	token := c.getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN")
	if file := c.getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"); file != "" {
		text, err := os.ReadFile(file) // it is renewed
		if err != nil {
			return aws.Credentials{}, fmt.Errorf("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: %w", err)
		}
		token = strings.TrimSpace(string(text))
	}
	if strings.ContainsAny(token, "\r\n") {
		return aws.Credentials{}, errors.New("the token for the container's credentials has a line end in it")
	}
	if token != "" {
		req.Header.Set("Authorization", token)
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return aws.Credentials{}, fmt.Errorf("fetch credentials: %w", err)
	}
	defer resp.Body.Close()
	var out struct {
		AccessKeyId, SecretAccessKey, Token string
		Expiration                          time.Time
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	switch {
	case err != nil:
		return aws.Credentials{}, fmt.Errorf("fetch credentials: %w", err)
	case resp.StatusCode != http.StatusOK:
		return aws.Credentials{}, fmt.Errorf("fetch credentials: the container's endpoint answers with status %d", resp.StatusCode)
	case json.Unmarshal(text, &out) != nil || out.AccessKeyId == "" || out.SecretAccessKey == "":
		return aws.Credentials{}, errors.New("fetch credentials: the container's endpoint answers with something else")
	}
	return aws.Credentials{
		AccessKeyID: out.AccessKeyId, SecretAccessKey: out.SecretAccessKey, SessionToken: out.Token,
		CanExpire: !out.Expiration.IsZero(), Expires: out.Expiration, Source: "container",
	}, nil
}
