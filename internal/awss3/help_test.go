package awss3

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// said is one answer of a scripted S3.
type said struct {
	status int
	header map[string]string
	body   string
	length int64 // Content-Length; 0: that of the body; -1: not told
	err    error // instead of an answer
}

// script is an HTTP client that gives its answers one after the other, the last one for ever.
type script struct {
	mu      sync.Mutex
	answers []said
	seen    []*http.Request
	bodies  []string
}

func (s *script) Do(req *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body := ""
	if req.Body != nil {
		b, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		body = string(b)
	}
	one := s.answers[min(len(s.seen), len(s.answers)-1)]
	s.seen, s.bodies = append(s.seen, req), append(s.bodies, body)
	if one.err != nil {
		return nil, one.err
	}
	h := http.Header{}
	for name, value := range one.header {
		h.Set(name, value)
	}
	length := one.length
	if length == 0 {
		length = int64(len(one.body))
	}
	return &http.Response{StatusCode: one.status, Header: h, Body: io.NopCloser(strings.NewReader(one.body)), ContentLength: length}, nil
}

var credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
	return aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "secret", SessionToken: "token"}, nil
})

// client is one of a scripted S3 that hardly waits between its tries.
func client(t *testing.T, answers ...said) (*Client, *script) {
	t.Helper()
	s := &script{answers: answers}
	c := New(aws.Config{Region: "eu-west-1", HTTPClient: s, Credentials: credentials}, nil)
	c.pause = time.Microsecond
	return c, s
}

func refused(code string) string {
	return `<?xml version="1.0" encoding="UTF-8"?><Error><Code>` + code + `</Code><Message>what S3 says</Message><RequestId>r</RequestId></Error>`
}
