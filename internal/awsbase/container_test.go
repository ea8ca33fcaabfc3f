package awsbase

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

// Credentials of a container are fetched when they are needed, again before they end, and old ones are used while they hold.
func TestContainer(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	var asked int
	var status = 200
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked++; r.Header.Get("Authorization") != fmt.Sprintf("token-%d", asked) {
			t.Errorf("call %d has the token %q", asked, r.Header.Get("Authorization"))
		}
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"AccessKeyId":"AKID","SecretAccessKey":"hunter2","Token":"session-%d","Expiration":%q}`, asked, now.Add(time.Hour).Format(time.RFC3339))
	}))
	defer s.Close()
	file := t.TempDir() + "/token"
	cfg, err := FromEnv(env("AWS_REGION", "eu-west-1", "AWS_CONTAINER_CREDENTIALS_FULL_URI", s.URL, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file))
	if err != nil {
		t.Fatal(err)
	}
	c := cfg.Credentials.(*container)
	c.now = func() time.Time { return now }
	for i, step := range []struct {
		after  time.Duration
		status int
		token  string // "" is an error
		asked  int
	}{
		{0, 500, "", 1},
		{0, 200, "session-2", 2},
		{54 * time.Minute, 200, "session-2", 2},
		{time.Minute, 500, "session-2", 3}, // they hold for five minutes
		{29 * time.Second, 200, "session-2", 3},
		{time.Second, 200, "session-4", 4},
		{55 * time.Minute, 500, "session-4", 5},
		{5 * time.Minute, 500, "", 6},
	} {
		now, status = now.Add(step.after), step.status
		if err := os.WriteFile(file, fmt.Appendf(nil, "token-%d\n", asked+1), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := c.Retrieve(t.Context())
		if got.SessionToken != step.token || (err != nil) != (step.token == "") || asked != step.asked {
			t.Errorf("step %d: %q, %v after %d calls", i, got.SessionToken, err, asked)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("step %d: the error is %v", i, err)
		}
	}
}

func TestContainerAnswers(t *testing.T) {
	for _, answer := range []string{"", "{}", "secret hunter2", `{"AccessKeyId":"a"}`, `{"AccessKeyId":"hunter2","SecretAccessKey":1}`} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, answer) }))
		c, err := newContainer(env("AWS_CONTAINER_CREDENTIALS_FULL_URI", s.URL))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Retrieve(context.Background()); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q gives %v", answer, err)
		}
		s.Close()
	}
}

func TestContainerEndpoint(t *testing.T) {
	for where, ok := range map[string]bool{
		"http://127.0.0.1:9001/credentials": true, "http://localhost/": true, "http://[::1]:1/": true, "http://169.254.170.2/": true, "http://169.254.170.23/v1": true,
		"http://[fd00:ec2::23]/v1": true, "https://credentials.example.com/": true, "http://127.255.255.254/": true,
		"http://169.254.170.3/": false, "http://128.0.0.1/": false, "http://example.com/": false, "http://localhost.example.com/": false, "credentials": false, "https://": false, "ftp://127.0.0.1/": false, ":": false,
	} {
		if _, err := FromEnv(env("AWS_REGION", "eu-west-1", "AWS_CONTAINER_CREDENTIALS_FULL_URI", where)); (err == nil) != ok {
			t.Errorf("%s: %v", where, err)
		}
	}
	// Keys in the environment go first.
	cfg, err := FromEnv(env("AWS_REGION", "eu-west-1", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/", "AWS_ACCESS_KEY_ID", "AKID", "AWS_SECRET_ACCESS_KEY", "x"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := cfg.Credentials.Retrieve(t.Context()); err != nil || got.AccessKeyID != "AKID" {
		t.Errorf("%v, %v", got.AccessKeyID, err)
	}
}
