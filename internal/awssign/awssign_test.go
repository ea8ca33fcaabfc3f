package awssign

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"pgregory.net/rapid"
)

var moment = time.Date(2026, 11, 20, 10, 11, 12, 0, time.UTC)

// theirs is what the SDK's signer, which is right by definition, makes of a request.
func theirs(t interface{ Fatal(...any) }, req *http.Request, c aws.Credentials, service, region string, now time.Time, sum [sha256.Size]byte) string {
	text := hex.EncodeToString(sum[:])
	req = req.Clone(req.Context())
	req.Header.Del("Authorization")
	req.Header.Del("X-Amz-Date")
	req.Header.Del("X-Amz-Security-Token")
	err := v4.NewSigner().SignHTTP(req.Context(), c, req, text, service, region, now, func(o *v4.SignerOptions) { o.DisableURIPathEscaping = service == "s3" })
	if err != nil {
		t.Fatal(err)
	}
	return req.Header.Get("Authorization")
}

func TestSameAsSDK(t *testing.T) {
	plain := aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "secret"}
	session := aws.Credentials{AccessKeyID: "AKID2", SecretAccessKey: "other/secret+", SessionToken: "token=="}
	for _, service := range []string{"s3", "sqs", "lambda"} {
		s := &Signer{Service: service}
		for _, target := range []string{
			"https://s3.eu-west-1.amazonaws.com", "http://localhost:4566/", "https://proxy.example:443/a/b%20c%2Fd/", "http://[::1]:4566/x~y%25",
			"http://b.example:80/k?list-type=2&prefix=a%2Fb%20c%2B&continuation-token=%3D", "https://h/?x-id=GetObject&b=2&a=1",
		} {
			for _, c := range []aws.Credentials{plain, session} {
				for _, day := range []int{0, 0, 1} {
					for _, body := range []string{"", "some text"} {
						req, err := http.NewRequestWithContext(t.Context(), "PUT", target, strings.NewReader(body))
						if err != nil {
							t.Fatal(err)
						}
						req.Header = http.Header{
							"Content-Type": {"application/json"}, "X-Amz-Target": {"  A.B   c "}, "User-Agent": {"x"}, "X-Amzn-Trace-Id": {"y"},
							"X-Amz-Meta-Two": {"a ", " b"}, "If-None-Match": {`"e"`},
						}
						now, sum := moment.AddDate(0, 0, day), sha256.Sum256([]byte(body))
						s.Sign(req, c, "eu-west-1", now, sum)
						if got, want := req.Header.Get("Authorization"), theirs(t, req, c, service, "eu-west-1", now, sum); got != want {
							t.Errorf("%s %s: the signature is\n%s, the SDK's\n%s", service, target, got, want)
						}
					}
				}
			}
		}
	}
}

// TestAnyKey: whatever the key of an object, S3 and we mean the same by it.
func TestAnyKey(t *testing.T) {
	s := &Signer{Service: "s3"}
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.String().Draw(t, "key")
		raw := string(AppendEscaped([]byte("/"), key))
		req, err := http.NewRequest("GET", "https://b.s3.eu-west-1.amazonaws.com"+raw, nil)
		if err != nil {
			t.Fatal(err)
		}
		if req.URL.Path != "/"+key || req.URL.EscapedPath() != raw {
			t.Fatalf("the path of %q is %q, sent as %q", key, req.URL.Path, req.URL.EscapedPath())
		}
		c, sum := aws.Credentials{AccessKeyID: "A", SecretAccessKey: "s"}, sha256.Sum256(nil)
		s.Sign(req, c, "eu-west-1", moment, sum)
		if got, want := req.Header.Get("Authorization"), theirs(t, req, c, "s3", "eu-west-1", moment, sum); got != want {
			t.Fatalf("the signature is\n%s, the SDK's\n%s", got, want)
		}
	})
}

// TestSignedAgain: a request that is tried again has the new try's date and token alone.
func TestSignedAgain(t *testing.T) {
	s := &Signer{Service: "s3"}
	req, err := http.NewRequestWithContext(t.Context(), "GET", "https://h/k", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(nil)
	s.Sign(req, aws.Credentials{AccessKeyID: "A", SecretAccessKey: "s", SessionToken: "t"}, "eu-west-1", moment, sum)
	c := aws.Credentials{AccessKeyID: "B", SecretAccessKey: "u"}
	s.Sign(req, c, "eu-west-1", moment.Add(time.Minute), sum)
	if got, want := req.Header.Get("Authorization"), theirs(t, req, c, "s3", "eu-west-1", moment.Add(time.Minute), sum); got != want {
		t.Errorf("the signature is\n%s, the SDK's\n%s", got, want)
	}
	if got := req.Header.Get("X-Amz-Security-Token"); got != "" {
		t.Errorf("the token is still %q", got)
	}
	if got := req.Header.Get("X-Amz-Content-Sha256"); got != hex.EncodeToString(sum[:]) {
		t.Errorf("the sum is %q", got)
	}
	io.Copy(io.Discard, req.Body)
}
