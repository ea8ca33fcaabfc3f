package awsbase

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func TestFromEnv(t *testing.T) {
	full := []string{"AWS_REGION", "eu-west-1", "AWS_ACCESS_KEY_ID", "AKID", "AWS_SECRET_ACCESS_KEY", "s3cr3t", "AWS_SESSION_TOKEN", "tok"}
	cfg, err := FromEnv(env(full...))
	if err != nil {
		t.Fatal(err)
	}
	c, err := cfg.Credentials.Retrieve(t.Context())
	if err != nil || cfg.Region != "eu-west-1" || c.AccessKeyID != "AKID" || c.SecretAccessKey != "s3cr3t" || c.SessionToken != "tok" {
		t.Errorf("%+v, %v", c.AccessKeyID, err)
	}
	if cfg, err := FromEnv(env("AWS_DEFAULT_REGION", "eu-west-2", "AWS_ACCESS_KEY_ID", "a", "AWS_SECRET_ACCESS_KEY", "b")); err != nil || cfg.Region != "eu-west-2" {
		t.Errorf("the default region: %q, %v", cfg.Region, err)
	}
	for _, c := range []struct {
		env  []string
		want string
	}{
		{full[2:], "AWS_REGION"},
		{append(full[:2:2], full[4:]...), "AWS_ACCESS_KEY_ID"},
		{full[:4], "AWS_SECRET_ACCESS_KEY"},
	} {
		if _, err := FromEnv(env(c.env...)); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%v: error %v, want it to name %s", c.env, err, c.want)
		}
	}
}

func TestEndpoint(t *testing.T) {
	for _, c := range []struct {
		env  []string
		want string
	}{
		{nil, ""},
		{[]string{"AWS_ENDPOINT_URL", "http://localhost:1"}, "http://localhost:1"},
		{[]string{"AWS_ENDPOINT_URL", "http://localhost:1", "AWS_ENDPOINT_URL_SQS", "https://sqs:2"}, "https://sqs:2"},
		{[]string{"AWS_ENDPOINT_URL_S3", "http://localhost:1"}, ""},
		{[]string{"AWS_ENDPOINT_URL", "http://localhost:1", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true"}, ""},
	} {
		got, err := Endpoint(env(c.env...), "SQS")
		if err != nil || (got == nil) != (c.want == "") || got != nil && *got != c.want {
			t.Errorf("%v: %v, %v; want %q", c.env, got, err, c.want)
		}
	}
	if _, err := Endpoint(env("AWS_ENDPOINT_URL_SQS", "localhost:4566"), "SQS"); err == nil || !strings.Contains(err.Error(), "AWS_ENDPOINT_URL_SQS") {
		t.Errorf("an endpoint without a scheme: %v", err)
	}
}

// writerTo stands for the SDK's request body.
type writerTo struct{ io.ReadCloser }

func (writerTo) WriteTo(io.Writer) (int64, error) { return 0, io.EOF }

func TestClientHidesWriteTo(t *testing.T) {
	got := make(chan string, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got <- string(b)
	}))
	defer srv.Close()
	c := Client(nil)
	defer c.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), "POST", srv.URL, writerTo{io.NopCloser(strings.NewReader("hello"))})
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = 5
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if b := <-got; b != "hello" {
		t.Errorf("the body arrived as %q", b)
	}
}

func TestClientFollowsNoRedirect(t *testing.T) {
	srv := httptest.NewServer(http.RedirectHandler("http://198.51.100.1/", http.StatusTemporaryRedirect))
	defer srv.Close()
	c := Client(nil)
	defer c.CloseIdleConnections()
	resp, err := c.Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusTemporaryRedirect {
		t.Errorf("status %d", resp.StatusCode)
	}
}
