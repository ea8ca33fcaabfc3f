package app

import (
	"bytes"
	"encoding/binary"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tapway/tapway/internal/cloud"
	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/queue/sqsqueue/sqstest"
)

// cbor writes what the answer of CloudWatch needs of RFC 8949.
func cborText(s string) string { return string([]byte{0x78, byte(len(s))}) + s }

func cborFloat(f float64) string {
	return "\xfb" + string(binary.BigEndian.AppendUint64(nil, math.Float64bits(f)))
}

func cborTime(t time.Time) string { return "\xc1" + cborFloat(float64(t.Unix())) }

// TestOldestInSQS: the newest point of CloudWatch tells when the oldest message was sent;
// whatever else it answers, nothing is known.
func TestOldestInSQS(t *testing.T) {
	sent := time.Now().Add(-2 * time.Hour).Truncate(time.Second)
	point := func(at time.Time) string {
		return "\xa2" + cborText("Timestamp") + cborTime(at) + cborText("Maximum") + cborFloat(at.Sub(sent).Seconds())
	}
	points := func(all ...string) string {
		return "\xa1" + cborText("Datapoints") + string([]byte{0x80 + byte(len(all))}) + strings.Join(all, "")
	}
	now := time.Now().Truncate(time.Second)
	for name, tt := range map[string]struct {
		status int
		body   string
		want   time.Time
	}{
		"known":        {200, points(point(now.Add(-3*time.Minute)), point(now.Add(-time.Minute)), point(now.Add(-2*time.Minute))), sent},
		"no points":    {200, points(), time.Time{}},
		"age zero":     {200, points("\xa2" + cborText("Timestamp") + cborTime(now) + cborText("Maximum") + cborFloat(0)), time.Time{}},
		"forbidden":    {403, "\xa1" + cborText("__type") + cborText("AccessDenied"), time.Time{}},
		"not CBOR":     {404, "<html>", time.Time{}},
		"out of order": {500, "", time.Time{}},
	} {
		t.Run(name, func(t *testing.T) {
			var asked []byte
			watch := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked, _ = io.ReadAll(r.Body)
				w.Header().Set("Smithy-Protocol", "rpc-v2-cbor")
				w.Header().Set("Content-Type", "application/cbor")
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
