// Package awsbase is what every AWS client of ours is made with: an HTTP client, and a
// configuration from the environment that needs no more of the SDK than its core.
//
// What a newcomer gets wrong: the SDK's own config module also reads profiles, SSO, instance
// metadata. It costs megabytes and init time a Lambda function has no use for, so only the
// command line links it, and hands its aws.Config to the same constructors.
package awsbase

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Client makes the HTTP client for an SDK client out of base; nil is Transport's. It has no limit on a whole call: the
// SDK's callers give a context.
func Client(base http.RoundTripper) *http.Client {
	if base == nil {
		base = Transport()
	}
	return &http.Client{
		Transport:     plainBody{base},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Transport makes a transport with keep-alive connections for idle callers, by way of the environment's proxy.
func Transport() *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 3 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   5 * time.Second,
		ForceAttemptHTTP2:     true,
		MaxIdleConns:          128,
		MaxIdleConnsPerHost:   64,
		IdleConnTimeout:       90 * time.Second,
		ExpectContinueTimeout: time.Second,
	}
}

// plainBody hides all methods of request bodies but Read and Close. The SDK closes a body as
// soon as the answer's head has come, and its WriteTo then returns io.EOF, which net/http takes for
// a failed write: up to one call in twenty of 40 KiB and more fails although it was answered.
type plainBody struct{ http.RoundTripper }

func (t plainBody) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil && req.Body != http.NoBody {
		req = req.Clone(req.Context())
		req.Body = struct{ io.ReadCloser }{req.Body}
	}
	return t.RoundTripper.RoundTrip(req)
}

// FromEnv makes a configuration from AWS's own variables, as they stand in every Lambda
// function: the region and the credentials, which are read again at each use of an expired copy. Without keys but with
// AWS_CONTAINER_CREDENTIALS_FULL_URI they come from there, and are renewed before they end.
// It makes no call itself.
func FromEnv(getenv func(string) string) (aws.Config, error) {
	region := getenv("AWS_REGION")
	if region == "" {
		region = getenv("AWS_DEFAULT_REGION")
	}
	if region == "" {
		return aws.Config{}, errors.New("the AWS region is not known: set AWS_REGION")
	}
	if getenv("AWS_ACCESS_KEY_ID") == "" && getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI") != "" {
		c, err := newContainer(getenv)
		if err != nil {
			return aws.Config{}, err
		}
		return aws.Config{Region: region, Credentials: c, HTTPClient: Client(nil)}, nil
	}
	if getenv("AWS_ACCESS_KEY_ID") == "" || getenv("AWS_SECRET_ACCESS_KEY") == "" {
		return aws.Config{}, errors.New("there are no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the function a role")
	}
	return aws.Config{
		Region: region,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			c := aws.Credentials{
				AccessKeyID: getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: getenv("AWS_SECRET_ACCESS_KEY"),
				SessionToken: getenv("AWS_SESSION_TOKEN"), Source: "environment",
			}
			if !c.HasKeys() {
				return c, errors.New("the AWS credentials have gone from the environment")
			}
			return c, nil
		}),
		HTTPClient: Client(nil),
	}, nil
}

// Endpoint is where a service ("SQS", "S3") is to be reached by AWS_ENDPOINT_URL_SQS or
// AWS_ENDPOINT_URL; nil: where AWS has it. AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=true makes it nil.
func Endpoint(getenv func(string) string, service string) (*string, error) {
	if strings.EqualFold(getenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"), "true") {
		return nil, nil
	}
	for _, name := range []string{"AWS_ENDPOINT_URL_" + service, "AWS_ENDPOINT_URL"} {
		if u := getenv(name); u != "" {
			if parsed, err := url.Parse(u); err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https" {
				return nil, fmt.Errorf("%s: want a URL that begins with http:// or https:// and a host", name) // it may hold a password
			}
			return aws.String(u), nil
		}
	}
	return nil, nil
}

// domains are those of AWS's other partitions, by the beginning of a region's name; dual for IPv4 and IPv6.
var domains = [...]struct{ prefix, domain, dual string }{
	{"cn-", "amazonaws.com.cn", "api.amazonwebservices.com.cn"}, {"us-iso-", "c2s.ic.gov", "api.aws.ic.gov"},
	{"us-isob-", "sc2s.sgov.gov", "api.aws.scloud"}, {"us-isof-", "csp.hci.ic.gov", "api.aws.hci.ic.gov"},
	{"eu-isoe-", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"}, {"eusc-", "amazonaws.eu", "api.amazonwebservices.eu"},
}

// Domain is what a region's endpoints end with: "amazonaws.com" in most.
func Domain(region string) string {
	for _, d := range domains {
		if strings.HasPrefix(region, d.prefix) {
			return d.domain
		}
	}
	return "amazonaws.com"
}

// DualStackDomain is what a region's endpoints for IPv4 and IPv6 end with, of most services.
func DualStackDomain(region string) string {
	for _, d := range domains {
		if strings.HasPrefix(region, d.prefix) {
			return d.dual
		}
	}
	return "api.aws"
}

// FIPS reports whether AWS's FIPS endpoints are to be used, by AWS_USE_FIPS_ENDPOINT or use_fips_endpoint in a
// profile. A configuration of FromEnv does not say so.
func FIPS(cfg aws.Config) bool {
	for _, source := range cfg.ConfigSources {
		s, ok := source.(interface {
			GetUseFIPSEndpoint(context.Context) (aws.FIPSEndpointState, bool, error)
		})
		if !ok {
			continue
		}
		if state, found, err := s.GetUseFIPSEndpoint(context.Background()); err == nil && found {
			return state == aws.FIPSEndpointStateEnabled
		}
	}
	return false
}

// DualStack reports whether AWS's endpoints for IPv4 and IPv6 are to be used, by AWS_USE_DUALSTACK_ENDPOINT or
// use_dualstack_endpoint in a profile. A configuration of FromEnv does not say so.
func DualStack(cfg aws.Config) bool {
	for _, source := range cfg.ConfigSources {
		s, ok := source.(interface {
			GetUseDualStackEndpoint(context.Context) (aws.DualStackEndpointState, bool, error)
		})
		if !ok {
			continue
		}
		if state, found, err := s.GetUseDualStackEndpoint(context.Background()); err == nil && found {
			return state == aws.DualStackEndpointStateEnabled
		}
	}
	return false
}
