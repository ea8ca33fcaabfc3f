package alarm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tapway/tapway"
)

// Webhook posts messages to a URL, which is a secret: Slack's and Teams' are all one needs to
// write there. Redirects are not followed.
type Webhook struct {
	URL        tapway.Secret
	Format     string // "json", "slack", "teams" or "pagerduty"
	Header     map[string]tapway.Secret
	RoutingKey tapway.Secret // PagerDuty's
	Transport  http.RoundTripper

	// Sign makes the header webhook-signature of Standard Webhooks; nil: messages are not signed.
	Sign func(id string, unix int64, body []byte) string
}

// bodies makes the form of a message by format.
var bodies = map[string]func(w *Webhook, m *Message) any{
	"json": plainJSON, "slack": slackJSON, "teams": teamsJSON, "pagerduty": pagerDutyJSON,
}

// Send is a Target's Send.
func (w *Webhook) Send(ctx context.Context, m *Message) (string, error) {
	answer, err := w.post(ctx, m)
	if err == nil && m.Kind == Test && w.Format == "pagerduty" { // a test must not leave an incident open
		end := *m
		end.Kind, end.ID = Resolved, m.ID+".resolved"
		_, err = w.post(ctx, &end)
	}
	return answer, err
}

func (w *Webhook) post(ctx context.Context, m *Message) (string, error) {
	body, err := json.Marshal(bodies[w.Format](w, m))
	if err != nil {
		return "", refused("make the message: %v", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL.Reveal(), bytes.NewReader(body))
	if err != nil {
		return "", refused("the webhook's URL cannot be used") // the error itself would quote it
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "tapway/"+m.Version)
	for name, value := range w.Header {
		req.Header.Set(name, value.Reveal())
	}
	if w.Sign != nil {
		unix := time.Now().Unix()
		req.Header.Set("webhook-id", m.ID)
		req.Header.Set("webhook-timestamp", strconv.FormatInt(unix, 10))
		req.Header.Set("webhook-signature", w.Sign(m.ID, unix, body))
	}
	resp, err := w.Transport.RoundTrip(req)
	if err != nil {
		return "", w.failure(ctx, req.URL, err)
	}
	defer resp.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(resp.Body, 8<<10))
	answer := strconv.Itoa(resp.StatusCode) + " " + http.StatusText(resp.StatusCode)
	if text := strings.TrimSpace(clean(w.scrub(req.URL, string(said)))); text != "" {
		answer += ": " + clip(text, 200)
	}
	if resp.StatusCode/100 == 2 {
		return answer, nil
	}
	if resp.StatusCode/100 == 3 {
		answer += " (redirects are not followed)"
	}
	return "", &SendError{Err: fmt.Errorf("%s answered %s", req.URL.Host, answer), Refused: resp.StatusCode < 500, After: retryAfter(resp.Header.Get("Retry-After"), time.Now())}
}

// failure is an error of the connection; it names the host alone.
func (w *Webhook) failure(ctx context.Context, to *url.URL, err error) error {
	var dial *net.OpError
	never := errors.As(err, &dial) && dial.Op == "dial"
	var denied interface{ DeniedBy() string }
	if errors.As(err, &denied) {
		never = true
	}
	if ctx.Err() != nil {
		err = errors.New("it takes too long")
	}
	return &SendError{Err: fmt.Errorf("post to %s: %s", to.Host, clip(clean(w.scrub(to, err.Error())), 300)), Refused: never}
}

// scrub takes secrets out of what came back.
func (w *Webhook) scrub(u *url.URL, s string) string {
	hidden := []string{w.URL.Reveal(), w.RoutingKey.Reveal(), u.RequestURI(), u.EscapedPath(), u.RawQuery}
	for _, value := range w.Header {
		hidden = append(hidden, value.Reveal())
	}
	for _, part := range strings.Split(u.EscapedPath(), "/") {
		if len(part) >= 16 { // a token; shorter parts are words
			hidden = append(hidden, part)
		}
	}
	for _, h := range hidden {
		if len(h) >= 4 {
			s = strings.ReplaceAll(s, h, tapway.Secret("x").String())
		}
	}
	return s
}

// retryAfter reads seconds or a date (RFC 9110 §10.2.3); 0 when it is neither.
func retryAfter(s string, now time.Time) time.Duration {
	if n, err := strconv.Atoi(s); err == nil {
		return time.Duration(min(max(n, 0), 86400)) * time.Second
	}
	if t, err := http.ParseTime(s); err == nil {
		return max(t.Sub(now), 0)
	}
	return 0
}
