package lambdaapp

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"
)

// TestEgress: the policy holds on Lambda too, for the proxy and for the forwarder, and denials are
// a metric.
func TestEgress(t *testing.T) {
	for _, tt := range []struct {
		more   string // one more variable
		status int
		asks   int
		sums   string // of egress_denied and egress_would_deny
	}{
		{"", 502, 0, "1 0"},
		{"TAPWAY_EGRESS_REPORT_ONLY=true", 200, 1, "0 1"},
		{"TAPWAY_EGRESS_ALLOW=127.0.0.0/8|::1", 200, 1, "0 0"},
	} {
		w := newWorld(t)
		sink := strings.TrimPrefix(w.env["TAPWAY_DESTINATION"], "http://")
		w.env["TAPWAY_BACKEND"] = strings.Replace(w.env["TAPWAY_BACKEND"], "127.0.0.1", "localhost", 1)
		f := w.start(Proxy, "TAPWAY_EGRESS_ALLOW=10.0.0.0/8|"+sink, tt.more)
		result := f.Do(t.Context(), invocation(urlEvent("GET", "/x", ""), 10*time.Second))
		same(t, "status", gjson.GetBytes(result.Body, "statusCode").Int(), tt.status)
		f.settled(t)
		same(t, "calls of the backend", len(w.asks), tt.asks)
		sums := f.sums(t)
		same(t, "denied, would be denied", fmt.Sprint(sums["egress_denied"], sums["egress_would_deny"]), tt.sums)
		messages := w.sqs.Messages("records")
		if len(messages) != 1 {
			t.Fatalf("%d records", len(messages))
		}
		if tt.asks == 0 {
			same(t, "record's error", gjson.Get(messages[0].Body, "error"), "egress denied by allow list")
			same(t, "record's origin", gjson.Get(messages[0].Body, "origin"), "gateway")
			if body := string(result.Body); strings.Contains(body, "127.0.0.1") || strings.Contains(body, "egress") {
				t.Errorf("the client is told %s", body)
			}
		}
	}

	w := newWorld(t)
	w.env["TAPWAY_DESTINATION"] = strings.Replace(w.env["TAPWAY_DESTINATION"], "127.0.0.1", "localhost", 1)
	f := w.start(Forwarder, "TAPWAY_EGRESS_DENY=127.0.0.0/8|::1", "TAPWAY_BACKEND")
	w.sqs.Put("records", recordOf(1, "a"), nil)
	n, failed := w.pump()
	same(t, "messages, failed", fmt.Sprint(n, len(failed)), "1 1")
	f.settled(t)
	sums := f.sums(t)
	same(t, "denied, returned, dead", fmt.Sprint(sums["egress_denied"], sums["returned"], sums["dead"]), "1 1 0")
	if len(w.got) > 0 || !strings.Contains(f.log.String(), "egress denied by ") {
		t.Errorf("%d records delivered; log: %s", len(w.got), f.log)
	}
}
