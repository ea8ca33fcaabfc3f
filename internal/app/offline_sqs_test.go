package app

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tapway/tapway/internal/cloud"
	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/queue/sqsqueue/sqstest"
)

// TestOldestInSQS: the newest point of CloudWatch tells when the oldest message was sent;
// whatever else it answers, nothing is known.
func TestOldestInSQS(t *testing.T) {
	sent := time.Now().Add(-2 * time.Hour).Truncate(time.Second)
	point := func(at time.Time) string {
		return fmt.Sprintf(`{"Timestamp": %d, "Maximum": %g}`, at.Unix(), at.Sub(sent).Seconds())
	}
	points := func(all ...string) string {
		return `{"Label": "ApproximateAgeOfOldestMessage", "Datapoints": [` + strings.Join(all, ", ") + "]}"
	}
	now := time.Now().Truncate(time.Second)
	for name, tt := range map[string]struct {
		status int
		body   string
		want   time.Time
	}{
		"known":        {200, points(point(now.Add(-3*time.Minute)), point(now.Add(-time.Minute)), point(now.Add(-2*time.Minute))), sent},
		"no points":    {200, points(), time.Time{}},
		"age zero":     {200, points(fmt.Sprintf(`{"Timestamp": %d, "Maximum": 0}`, now.Unix())), time.Time{}},
		"forbidden":    {403, `{"__type": "AccessDenied"}`, time.Time{}},
		"not JSON":     {404, "<html>", time.Time{}},
		"out of order": {500, "", time.Time{}},
	} {
		t.Run(name, func(t *testing.T) {
			var asked []byte
			watch := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked, _ = io.ReadAll(r.Body)
				w.Header().Set("Content-Type", "application/x-amz-json-1.0")
				w.WriteHeader(tt.status)
				io.WriteString(w, tt.body)
			}))
			defer watch.Close()
			for key, value := range map[string]string{
				"AWS_ENDPOINT_URL": watch.URL, "AWS_ACCESS_KEY_ID": "AKIDTEST", "AWS_SECRET_ACCESS_KEY": "SECRETTEST",
				"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
			} {
				t.Setenv(key, value)
			}
			account, err := cloud.Open(t.Context(), sqstest.Region, "")
			if err != nil {
				t.Fatal(err)
			}
			c := config.Default()
			c.Queue = "https://sqs.eu-west-1.amazonaws.com/000000000000/records"
			s, done, err := OfflineSQS(account, c, "test", slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			defer done()
			if got := s.Oldest(t.Context(), "default"); !got.Equal(tt.want) {
				t.Errorf("%v, want %v", got, tt.want)
			}
			if !bytes.Contains(asked, []byte("records")) || bytes.Contains(asked, []byte("amazonaws")) {
				t.Errorf("asked for %q", asked)
			}
		})
	}
}

func TestQueueName(t *testing.T) {
	for _, ref := range []string{"records", "sqs://records", "https://sqs.eu-west-1.amazonaws.com/000000000000/records", "arn:aws:sqs:eu-west-1:000000000000:records"} {
		if got := queueName(ref); got != "records" {
			t.Errorf("%s: %s", ref, got)
		}
	}
}
