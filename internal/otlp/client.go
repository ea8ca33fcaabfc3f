package otlp

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxReply is how much of a collector's answer is read.
const maxReply = 64 << 10

// Client sends one kind of data to one address. Only URL must be set.
type Client struct {
	URL       string            // http or https, the path included: http://127.0.0.1:4318/v1/traces; never logged
	Header    http.Header       // added to every request; values may hold secrets and are never logged
	JSON      bool              // http/json; else http/protobuf
	Gzip      bool              // compress requests
	Timeout   time.Duration     // of one request; 0: 10 s
	Transport http.RoundTripper // must not follow redirects; nil: http.DefaultTransport
	UserAgent string            // "": "tapway"
}

// verdict is what became of a request.
type verdict uint8

const (
	sent    verdict = iota // taken, save what answer.rejected says
	again                  // may work later
	refused                // never will
)

// answer is what a request came to.
type answer struct {
	verdict  verdict
	after    time.Duration // what the collector asks to wait; 0: nothing
	rejected int64         // how many spans or points it did not take
	reason   string        // fit for a log; "" when all was taken
}

// post makes one request.
func (c *Client) post(ctx context.Context, body []byte) answer {
	timeout := c.Timeout
	if timeout <= 0 {
		timeout = 10 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := c.request(ctx, body)
	if err != nil {
		return answer{verdict: refused, reason: "the endpoint is no URL"}
	}
	transport := c.Transport
	if transport == nil {
		transport = http.DefaultTransport
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return answer{verdict: again, reason: printable(withoutURL(err).Error())}
	}
	defer resp.Body.Close()
	reply, err := io.ReadAll(io.LimitReader(resp.Body, maxReply))
	if err != nil {
		reply = nil // the status says enough
	}
	isJSON := strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json")
	switch code := resp.StatusCode; {
	case code >= 200 && code <= 299:
		a := answer{}
		a.rejected, a.reason = partialSuccess(reply, isJSON)
		return a
	case code == 429 || code == 502 || code == 503 || code == 504:
		return answer{verdict: again, after: retryAfter(resp.Header, time.Now()), reason: statusReason(code, reply, isJSON)}
	default:
		return answer{verdict: refused, reason: statusReason(code, reply, isJSON)}
	}
}

func (c *Client) request(ctx context.Context, body []byte) (*http.Request, error) {
	if c.Gzip {
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		z.Write(body) // a buffer never fails
		z.Close()
		body = packed.Bytes()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	agent := c.UserAgent
	if agent == "" {
		agent = "tapway"
	}
	req.Header.Set("User-Agent", agent)
	for name, values := range c.Header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
		req.Header.Del("Host")
	}
	if c.Gzip {
		req.Header.Set("Content-Encoding", "gzip")
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	if c.JSON {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// withoutURL keeps the URL, in which there may be a key, out of an error.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

func statusReason(code int, reply []byte, isJSON bool) string {
	text := fmt.Sprintf("status %d", code)
	if said := statusMessage(reply, isJSON); said != "" {
		text += ": " + said
	}
	return text
}

// retryAfter reads the header in either form; nobody waits longer than an hour for it.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := h.Get("Retry-After")
	var d time.Duration
	if n, err := strconv.Atoi(v); err == nil {
		d = time.Duration(min(n, 3600)) * time.Second
	} else if t, err := http.ParseTime(v); err == nil {
		d = t.Sub(now)
	}
	return min(max(d, 0), time.Hour)
}

// partialSuccess reads an ExportTraceServiceResponse or its sibling for metrics: they have the
// same fields. What cannot be read says nothing.
func partialSuccess(reply []byte, isJSON bool) (rejected int64, message string) {
	if isJSON {
		var r struct {
			PartialSuccess struct {
				RejectedSpans      json.RawMessage `json:"rejectedSpans"`
				RejectedDataPoints json.RawMessage `json:"rejectedDataPoints"`
				ErrorMessage       string          `json:"errorMessage"`
			} `json:"partialSuccess"`
		}
		if json.Unmarshal(reply, &r) != nil {
			return 0, ""
		}
		for _, raw := range []json.RawMessage{r.PartialSuccess.RejectedSpans, r.PartialSuccess.RejectedDataPoints} {
			n, _ := strconv.ParseInt(strings.Trim(string(raw), `"`), 10, 64)
			rejected = max(rejected, n)
		}
		return rejected, printable(r.PartialSuccess.ErrorMessage)
	}
	for n, _, inner, rest, ok := protoField(reply); ok; n, _, inner, rest, ok = protoField(rest) {
		if n != 1 {
			continue
		}
		for n, value, text, rest, ok := protoField(inner); ok; n, value, text, rest, ok = protoField(rest) {
			switch n {
			case 1:
				rejected = max(int64(value), 0)
			case 2:
				message = printable(string(text))
			}
		}
	}
	return rejected, message
}

// statusMessage reads the message of a google.rpc.Status, in which a collector says what is wrong.
func statusMessage(reply []byte, isJSON bool) string {
	if isJSON {
		var r struct {
			Message string `json:"message"`
		}
		_ = json.Unmarshal(reply, &r) // what cannot be read says nothing
		return printable(r.Message)
	}
	for n, _, text, rest, ok := protoField(reply); ok; n, _, text, rest, ok = protoField(rest) {
		if n == 2 && utf8.Valid(text) {
			return printable(string(text))
		}
	}
	return ""
}

// printable makes a stranger's text fit for a log: one line, not too long.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) > 300 {
		s = strings.ToValidUTF8(s[:300], "") + "…"
	}
	return strings.TrimSpace(s)
}
