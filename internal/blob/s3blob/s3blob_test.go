package s3blob

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"go.uber.org/goleak"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/awsbase"
	"github.com/tapway/tapway/internal/awss3"
	"github.com/tapway/tapway/internal/blob/blobtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is an S3 server in this process; see is shown every request before it is answered and may
// answer it itself.
func fake(t *testing.T, see func(w http.ResponseWriter, r *http.Request) bool) *awss3.Client {
	t.Helper()
	backend := s3mem.New()
	if err := backend.CreateBucket("records"); err != nil {
		t.Fatal(err)
	}
	h := gofakes3.New(backend, gofakes3.WithLogger(gofakes3.StdLog(log.New(io.Discard, "", 0)))).Server()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if see == nil || !see(w, r) {
			h.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	client := awsbase.Client(nil)
	t.Cleanup(client.CloseIdleConnections)
	cfg := aws.Config{
		Region: "eu-west-1", HTTPClient: client,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "SECRET"}, nil
		}),
	}
	return awss3.New(cfg, aws.String(srv.URL))
}

func TestContract(t *testing.T) {
	for _, prefix := range []string{"", "spill/"} {
		t.Run("prefix="+prefix, func(t *testing.T) {
			blobtest.Test(t, func(t *testing.T) tapway.BlobStore {
				return &Store{Client: fake(t, nil), Bucket: "records", Prefix: prefix}
			})
		})
	}
}

func TestRequest(t *testing.T) {
	var mu sync.Mutex
	var head http.Header
	var path string
	c := fake(t, func(_ http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		head, path = r.Header.Clone(), r.URL.Path
		return false
	})
	s := &Store{Client: c, Bucket: "records", Prefix: "p/", SSE: "aws:kms", KMSKeyID: "alias/tapway"}
	if err := s.Put(t.Context(), "k", []byte("123456789")); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if path != "/records/p/k" {
		t.Errorf("path %q", path)
	}
	for name, want := range map[string]string{
		"X-Amz-Checksum-Crc32c":                       "4waSgw==", // the check value of CRC-32C
		"X-Amz-Server-Side-Encryption":                "aws:kms",
		"X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id": "alias/tapway",
		"Content-Encoding":                            "",
		"X-Amz-Meta-Anything":                         "",
	} {
		if got := head.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if bucket, object := s.Locate("k"); bucket != "records" || object != "p/k" {
		t.Errorf("located at %q, %q", bucket, object)
	}
}

// TestRetriedUpload: a body must be sent again from its beginning.
func TestRetriedUpload(t *testing.T) {
	var mu sync.Mutex
	tries := 0
	c := fake(t, func(w http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		if r.Method == http.MethodPut {
			if tries++; tries == 1 {
				io.Copy(io.Discard, r.Body)
				http.Error(w, "", http.StatusServiceUnavailable)
				return true
			}
		}
		return false
	})
	s := &Store{Client: c, Bucket: "records"}
	body := blobtest.Body(300<<10, 1)
	if err := s.Put(t.Context(), "k", body); err != nil {
		t.Fatal(err)
	}
	got, err := s.Get(t.Context(), "k")
	if err != nil || !bytes.Equal(got, body) {
		t.Errorf("%d bytes, error %v", len(got), err)
	}
	mu.Lock()
	defer mu.Unlock()
	if tries != 2 {
		t.Errorf("%d tries", tries)
	}
}

func TestFailures(t *testing.T) {
	deny := false
	var mu sync.Mutex
	c := fake(t, func(w http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		if deny {
			w.WriteHeader(http.StatusForbidden)
			io.WriteString(w, `<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>`)
		}
		return deny
	})
	_, err := (&Store{Client: c, Bucket: "nowhere"}).Get(t.Context(), "k")
	if err == nil || errors.Is(err, tapway.ErrNotFound) || !strings.Contains(err.Error(), "bucket does not exist") {
		t.Errorf("a missing bucket is no missing blob: %v", err)
	}
	s := &Store{Client: c, Bucket: "records", MaxBytes: 9}
	for size, ok := range map[int]bool{9: true, 10: false} {
		if err := s.Put(t.Context(), "k", make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		_, err := s.Get(t.Context(), "k")
		if (err == nil) != ok {
			t.Errorf("%d bytes where 9 are the most: %v", size, err)
		}
		if final, _ := errors.AsType[*tooLargeError](err); !ok && (final == nil || !final.Permanent()) {
			t.Errorf("trying again would not help, and %v does not say so", err)
		}
	}
	mu.Lock()
	deny = true
	mu.Unlock()
	if _, err := s.Get(t.Context(), "k"); err == nil || errors.Is(err, tapway.ErrNotFound) || !strings.Contains(err.Error(), "s3:GetObject") {
		t.Errorf("forbidden: %v", err)
	}
	if err := s.Put(t.Context(), "k", nil); err == nil || !strings.Contains(err.Error(), "permission") {
		t.Errorf("forbidden: %v", err)
	}
}
