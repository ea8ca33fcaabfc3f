package cloud

import (
	"encoding/pem"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/queue/sqsqueue/sqstest"
)

// alone takes AWS's settings of whoever runs the tests away.
func alone(t *testing.T) {
	t.Helper()
	none := filepath.Join(t.TempDir(), "none")
	for name, value := range map[string]string{
		"AWS_CONFIG_FILE": none, "AWS_SHARED_CREDENTIALS_FILE": none, "AWS_PROFILE": "", "AWS_REGION": "", "AWS_DEFAULT_REGION": "",
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_ENDPOINT_URL": "", "AWS_ENDPOINT_URL_SQS": "",
		"AWS_ENDPOINT_URL_S3": "", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "", "AWS_CA_BUNDLE": "",
	} {
		t.Setenv(name, value)
	}
}

func TestOpenWantsARegion(t *testing.T) {
	alone(t)
	if _, err := Open(t.Context(), "", ""); err == nil || !strings.Contains(err.Error(), "AWS_REGION") {
		t.Errorf("without a region: %v", err)
	}
	a, err := Open(t.Context(), "eu-west-1", "")
	if err != nil || a.Config.Region != "eu-west-1" {
		t.Errorf("with one: %v", err)
	}
	if _, err := Open(t.Context(), "eu-west-1", "nobody"); err == nil || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("a profile that is not there: %v", err)
	}
}

// TestQueue: each destination has the queue that the configuration names for it.
func TestQueue(t *testing.T) {
	alone(t)
	fake := new(sqstest.Server)
	fake.Create("records-a", nil)
	fake.Create("records-b", nil)
	server := httptest.NewServer(fake)
	defer server.Close()
	t.Setenv("AWS_ENDPOINT_URL_SQS", server.URL)
	account, err := Open(t.Context(), "eu-west-1", "")
	if err != nil {
		t.Fatal(err)
	}
	c := config.Default()
	c.Queue = "sqs://records-{destination}"
	c.Destinations = []config.Destination{{Name: "a", Retry: config.Retry{MaxAttempts: 3}}, {Name: "b"}}
	if o, err := account.QueueConfig(c, time.Minute, nil); err != nil || o.Attempts["a"] != 3 || o.Attempts["b"] != 0 {
		t.Errorf("attempts of %v, %v", o.Attempts, err)
	}
	q, err := account.Queue(c, time.Minute, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	if err := q.Enqueue(t.Context(), &tapway.Exchange{Meta: tapway.Meta{ID: tapway.NewID(time.Now()), Time: time.Now(), Method: "GET", Path: "/x"}}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"records-a", "records-b"} {
		if n := len(fake.Messages(name)); n != 1 {
			t.Errorf("%s has %d messages, want 1", name, n)
		}
	}
}

// TestEndpoint: where the AWS CLI looks for endpoints, in its order.
func TestEndpoint(t *testing.T) {
	const services = "[default]\nservices = here\nendpoint_url = http://all\n[services here]\ns3 =\n  endpoint_url = http://s3\n"
	for _, c := range []struct {
		settings, env, s3, sqs string
	}{
		{"", "", "", ""},
		{"[default]\nendpoint_url = http://all\n", "", "http://all", "http://all"},
		{services, "", "http://s3", "http://all"},
		{services, "AWS_ENDPOINT_URL=http://env", "http://env", "http://env"},
		{services, "AWS_ENDPOINT_URL_S3=http://env", "http://env", "http://all"},
		{services, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=true", "", ""},
		{"[default]\nignore_configured_endpoint_urls = true\nendpoint_url = http://all\n", "", "", ""},
	} {
		alone(t)
		file := filepath.Join(t.TempDir(), "config")
		if err := os.WriteFile(file, []byte(c.settings), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("AWS_CONFIG_FILE", file)
		if name, value, ok := strings.Cut(c.env, "="); ok {
			t.Setenv(name, value)
		}
		account, err := Open(t.Context(), "eu-west-1", "")
		if err != nil {
			t.Fatal(err)
		}
		for service, want := range map[string]string{"S3": c.s3, "SQS": c.sqs} {
			if got, err := account.Endpoint(service); err != nil || aws.ToString(got) != want {
				t.Errorf("%q, %q: %s is at %q, %v; want %q", c.settings, c.env, service, aws.ToString(got), err, want)
			}
		}
	}
}

// TestCABundle: AWS's settings name who is trusted, for the clients of our own as well.
func TestCABundle(t *testing.T) {
	alone(t)
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("blob")) }))
	defer server.Close()
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Setenv("AWS_ENDPOINT_URL_S3", server.URL)
	get := func() error {
		account, err := Open(t.Context(), "eu-west-1", "")
		if err != nil {
			t.Fatal(err)
		}
		defer account.Close()
		blobs, err := account.Blobs("records")
		if err != nil {
			t.Fatal(err)
		}
		_, err = blobs.Get(t.Context(), "k")
		return err
	}
	if err := get(); err == nil {
		t.Fatal("a stranger's certificate was trusted")
	}
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_CA_BUNDLE", bundle)
	if err := get(); err != nil {
		t.Error(err)
	}
}
