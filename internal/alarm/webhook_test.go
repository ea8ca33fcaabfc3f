package alarm

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tapway/tapway"
)

// post is what a receiver got.
type post struct {
	header http.Header
	path   string
	body   map[string]any
}

// receiver answers with status and body, and keeps what it gets.
func receiver(t *testing.T, status int, header, body string) (url string, got func() []post) {
	t.Helper()
	posts := make(chan post, 10)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := post{header: r.Header, path: r.URL.RequestURI()}
		if err := json.NewDecoder(r.Body).Decode(&p.body); err != nil {
			t.Errorf("no JSON: %v", err)
		}
		posts <- p
		if name, value, ok := strings.Cut(header, ": "); ok {
			w.Header().Set(name, value)
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}))
	t.Cleanup(s.Close)
	return s.URL, func() (out []post) {
		for len(posts) > 0 {
			out = append(out, <-posts)
		}
		return out
	}
}

func TestFormats(t *testing.T) {
	resolved, test := *fire, *fire
	resolved.Kind, resolved.ID, resolved.Alarm.State = Resolved, "i1.resolved.1", OK
	test.Kind = Test
	acked := *fire
	acked.Kind = Acknowledged
	// at follows names and numbers into a JSON value.
	at := func(v any, path string) any {
		for _, step := range strings.Split(path, ".") {
			switch x := v.(type) {
			case map[string]any:
				v = x[step]
			case []any:
				v = x[int(step[0]-'0')]
			default:
				return nil
			}
		}
		return v
	}
	for _, c := range []struct {
		format string
		m      *Message
		want   map[string]any
	}{
		{"json", fire, map[string]any{"version": 1.0, "event": "firing", "id": "i1.firing.0", "incident": "i1", "host": "gateway-1", "alarm.name": "dead_letters",
			"alarm.records.2": "id-3", "alarm.last_error": "503 Service Unavailable", "alarm.command": "tapway dlq list --destination siem", "link": fire.Link}},
		{"json", &test, map[string]any{"event": "test", "alarm": nil}},
		{"slack", fire, map[string]any{"blocks.0.type": "header", "blocks.0.text.type": "plain_text", "blocks.1.type": "section", "blocks.1.text.type": "mrkdwn", "blocks.2.elements.0.url": fire.Link,
			"text": "[tapway] CRITICAL dead_letters of siem: 3 records of siem are dead letters, more than 0"}},
		{"teams", fire, map[string]any{"type": "message", "attachments.0.contentType": "application/vnd.microsoft.card.adaptive", "attachments.0.content.type": "AdaptiveCard",
			"attachments.0.content.body.0.color": "attention", "attachments.0.content.body.2.type": "FactSet", "attachments.0.content.actions.0.url": fire.Link}},
		{"teams", &resolved, map[string]any{"attachments.0.content.body.0.color": "good"}},
		{"pagerduty", fire, map[string]any{"routing_key": "key-key-key", "event_action": "trigger", "dedup_key": "tapway-i1", "payload.severity": "critical", "payload.source": "gateway-1",
			"payload.class": "dead_letters", "payload.component": "siem", "payload.timestamp": "2026-11-21T07:00:00Z", "payload.custom_details.records": "id-1, id-2, id-3", "links.0.href": fire.Link}},
		{"pagerduty", &resolved, map[string]any{"event_action": "resolve", "dedup_key": "tapway-i1", "payload": nil}},
		{"pagerduty", &acked, map[string]any{"event_action": "acknowledge", "dedup_key": "tapway-i1"}},
	} {
		t.Run(c.format+" "+string(c.m.Kind), func(t *testing.T) {
			url, got := receiver(t, 202, "", "accepted")
			w := &Webhook{URL: tapway.Secret(url), Format: c.format, Transport: http.DefaultTransport}
			if c.format == "pagerduty" {
				w.RoutingKey = "key-key-key"
			}
			answer, err := w.Send(t.Context(), c.m)
			if err != nil || answer != "202 Accepted: accepted" {
				t.Fatalf("%q, %v", answer, err)
			}
			posts := got()
			for path, want := range c.want {
				if v := at(posts[0].body, path); !reflect.DeepEqual(v, want) {
					t.Errorf("%s is %v, want %v", path, v, want)
				}
			}
		})
	}
}

// TestPagerDutyTest: a test leaves no incident open.
func TestPagerDutyTest(t *testing.T) {
	url, got := receiver(t, 202, "", "")
	m := *fire
	m.Kind = Test
	w := &Webhook{URL: tapway.Secret(url), Format: "pagerduty", RoutingKey: "key", Transport: http.DefaultTransport}
	if _, err := w.Send(t.Context(), &m); err != nil {
		t.Fatal(err)
	}
	posts := got()
	if len(posts) != 2 || posts[0].body["event_action"] != "trigger" || posts[1].body["event_action"] != "resolve" || posts[0].body["dedup_key"] != posts[1].body["dedup_key"] {
		t.Errorf("%+v", posts)
	}
}

// TestStrangeWords: what comes from a destination or a backend breaks no form and stays within its limits.
func TestStrangeWords(t *testing.T) {
	m := *fire
	m.Alarm.LastError = "<!channel> & `rm -rf` \x00\n*bold* " + strings.Repeat("ä", 5000)
	m.Alarm.Message = "<@U123>\n" + strings.Repeat("x", 5000)
	for format, form := range bodies {
		text, err := json.Marshal(form(&Webhook{}, &m))
		if err != nil {
			t.Fatal(err)
		}
		if len(text) > 25<<10 {
			t.Errorf("%s: %d bytes", format, len(text))
		}
		var v struct {
			Blocks []struct{ Text struct{ Text string } }
		}
		if err := json.Unmarshal(text, &v); err != nil {
			t.Error(err)
		}
		if format == "slack" {
			if strings.ContainsAny(v.Blocks[1].Text.Text, "<>") || len([]rune(v.Blocks[0].Text.Text)) > 150 || len([]rune(v.Blocks[1].Text.Text)) > 3000 {
				t.Errorf("slack: %s", text)
			}
		}
	}
}

func TestWebhookHeaders(t *testing.T) {
	url, got := receiver(t, 200, "", "")
	w := &Webhook{
		URL: tapway.Secret(url + "/hooks/T0/B0?key=1"), Format: "json", Header: map[string]tapway.Secret{"Authorization": "Bearer x"}, Transport: http.DefaultTransport,
		Sign: func(id string, unix int64, body []byte) string {
			if id != fire.ID || time.Since(time.Unix(unix, 0)) > time.Minute || !json.Valid(body) {
				t.Errorf("signed: %s %d %s", id, unix, body)
			}
			return "v1,abc"
		},
	}
	if answer, err := w.Send(t.Context(), fire); err != nil || answer != "200 OK" {
		t.Fatalf("%q, %v", answer, err)
	}
	p := got()[0]
	if p.path != "/hooks/T0/B0?key=1" || p.header.Get("Authorization") != "Bearer x" || p.header.Get("webhook-id") != fire.ID ||
		p.header.Get("webhook-signature") != "v1,abc" || p.header.Get("Content-Type") != "application/json" {
		t.Errorf("%+v", p)
	}
}

// TestWebhookFailures: what is said of a failure, and never the URL, which is a secret.
func TestWebhookFailures(t *testing.T) {
	const secret = "/services/T000/B000/XXXXXXXXXXXXXXXXXXXXXXXX"
	hang := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	t.Cleanup(hang.Close)
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		panic(http.ErrAbortHandler)
	}))
	t.Cleanup(broken.Close)
	echo, _ := receiver(t, 403, "", "no_service for "+secret+"?v=token-token")
	busy, _ := receiver(t, 429, "Retry-After: 120", "slow down")
	moved, _ := receiver(t, 302, "Location: http://127.0.0.1:1/", "")
	down, _ := receiver(t, 500, "", strings.Repeat("x", 1<<20))
	for _, c := range []struct {
		name, url, says string
		refused         bool
		after           time.Duration
	}{
		{"it echoes the URL", echo, "answered 403 Forbidden: no_service for [REDACTED]", true, 0},
		{"too many", busy, "answered 429 Too Many Requests: slow down", true, 2 * time.Minute},
		{"redirect", moved, "answered 302 Found (redirects are not followed)", true, 0},
		{"its own failure", down, "answered 500 Internal Server Error: xxx", false, 0},
		{"nobody listens", "http://127.0.0.1:1", "post to 127.0.0.1:1: ", true, 0},
		{"it hangs", hang.URL, "it takes too long", false, 0},
		{"it breaks off", broken.URL, "EOF", false, 0},
		{"no URL", "http://[::1", "cannot be used", true, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			if c.says == "it takes too long" {
				ctx, cancel = context.WithTimeout(t.Context(), 200*time.Millisecond)
			}
			defer cancel()
			w := &Webhook{URL: tapway.Secret(c.url + secret + "?v=token-token"), Format: "slack", Transport: http.DefaultTransport}
			_, err := w.Send(ctx, fire)
			var se *SendError
			if !errors.As(err, &se) || !strings.Contains(err.Error(), c.says) || se.Refused != c.refused || se.After != c.after {
				t.Fatalf("%v (%+v), want %q", err, se, c.says)
			}
			if len(err.Error()) > 500 || strings.Contains(err.Error(), "XXXXXX") || strings.Contains(err.Error(), "token-token") {
				t.Errorf("error: %v", err)
			}
		})
	}
}

func TestRetryAfter(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"": 0, "soon": 0, "-1": 0, "0": 0, "1": time.Second, "99999999": 24 * time.Hour,
		"Sat, 21 Nov 2026 07:00:10 GMT": 10 * time.Second, "Sat, 21 Nov 2026 06:00:00 GMT": 0,
	} {
		if got := retryAfter(text, began); got != want {
			t.Errorf("%q is %v, want %v", text, got, want)
		}
	}
}
