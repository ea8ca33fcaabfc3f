package cloud

import (
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

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
