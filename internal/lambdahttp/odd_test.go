package lambdahttp

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/lambdahttp/eventtest"
)

// Header values that are no UTF-8 reach the client as they stand in the record: read as ISO-8859-1, not as U+FFFD.
func TestHeaderValuesOfOldBackends(t *testing.T) {
	for sent, want := range map[string]string{
		"gr\xfc\xdfe.txt":        "gr\u00fc\u00dfe.txt",
		"\xff":                   "\u00ff",
		"\x80":                   "\u0080",
		"\x7e\"\\":               "~\"\\",
		"gr\u00fc\u20ac":         "gr\u00fc\u20ac", // which is UTF-8 already
		"a\tb\xfc\"\\\u2028":     "a\tb\u00fc\"\\\u00e2\u0080\u00a8",
		"\xed\xa0\x80 surrogate": "\u00ed\u00a0\u0080 surrogate",
	} {
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header()["X-Name"], w.Header()["Set-Cookie"] = []string{sent, "b"}, []string{"n=" + sent}
			w.WriteHeader(http.StatusNoContent)
		})
		for _, f := range eventtest.Fronts {
			res, _ := through(t, &Door{Handler: h}, f, eventtest.Request{})
			if got := strings.Join(res.Header["X-Name"], ", "); got != want+", b" || res.Header.Get("Set-Cookie") != "n="+want {
				t.Errorf("%v: %+q is %+q, %+q", f, sent, got, res.Header.Get("Set-Cookie"))
			}
			if f != eventtest.REST && f != eventtest.FunctionURL {
				continue
			}
			event, err := f.Event(eventtest.Request{})
			if err != nil {
				t.Fatal(err)
			}
			reply, err := (&Door{Handler: h, Stream: true}).Serve(t.Context(), event)
			if err != nil {
				t.Fatal(err)
			}
			if res, err = f.StreamResponse(reply.Stream); err != nil || strings.Join(res.Header["X-Name"], ", ") != want+", b" {
				t.Errorf("%v, stream: %+q is %+q, %v", f, sent, res.Header["X-Name"], err)
			}
			_, _ = io.Copy(io.Discard, reply.Stream)
			reply.Stream.Close()
			if err := reply.Wait(); err != nil {
				t.Error(err)
			}
		}
	}
}

// A Function URL tells cookies twice. The header counts as long as it says the same; one that has several lines joined
// like any other header would make one cookie of them.
func TestCookiesOfFunctionURLs(t *testing.T) {
	for _, tt := range []struct {
		headers, cookies, want string
		changed                bool
	}{
		{`{"cookie":"a=b; c=d"}`, `["a=b","c=d"]`, "a=b; c=d", false},
		{`{"cookie":"a=b;c=d"}`, `["a=b","c=d"]`, "a=b;c=d", false},
		{`{"cookie":"a=b;  c=d; "}`, `["a=b","c=d"]`, "a=b;  c=d;", false},
		{`{"cookie":"a=b,c=d"}`, `["a=b","c=d"]`, "a=b; c=d", true},
		{`{"cookie":"a=b; c=d,e=f"}`, `["a=b","c=d","e=f"]`, "a=b; c=d; e=f", true},
		{`{"cookie":"a=b,c=d"}`, `["a=b,c=d"]`, "a=b,c=d", false}, // one cookie with a comma
		{`{"cookie":"a=b,c=d"}`, `null`, "a=b,c=d", false},
		{`{"cookie":"a=b,c=d"}`, `[]`, "a=b,c=d", false},
		{`{}`, `["a=b"]`, "a=b", false},
	} {
		event := fmt.Sprintf(`{"version":"2.0","rawPath":"/","headers":%s,"cookies":%s,"requestContext":{"accountId":"anonymous","http":{"method":"GET"}}}`, tt.headers, tt.cookies)
		call, err := Decode(t.Context(), []byte(event))
		if err != nil {
			t.Fatal(err)
		}
		if got := call.Request.Header["Cookie"]; !slices.Equal(got, []string{tt.want}) || slices.Contains(call.Fidelity, tapway.FidelityCookieFormat) != tt.changed {
			t.Errorf("%s, %s: %q, want %q; %v", tt.headers, tt.cookies, got, tt.want, call.Fidelity)
		}
	}
}

// An event that no front sends says what it is, also where one of its members has a name that a front's has, with a
// value of another type.
func TestEventsOfOthers(t *testing.T) {
	for event, want := range map[string]string{
		`{"version":"2.0","path":"/","method":"GET","headers":{"a":["b"]},"requestContext":{"serviceArn":"arn:aws:vpc-lattice:x"}}`: `the event has "version", "path", "method", "headers", "requestContext"; expected`,
		`{"body":{"a":1},"id":"x"}`:                           `the event has "body", "id"; expected`,
		`{"Records":[],"headers":[]}`:                         `the event has "Records", "headers"; expected`,
		`{"requestContext":{"connectionId":"x"},"headers":5}`: "WebSocket",
		`{"methodArn":"x","headers":5}`:                       "authorizer",
		`[]`:                                                  "the event is not a JSON object; expected",
		`"ping"`:                                              "the event is not a JSON object; expected",
		`{"headers":5`:                                        "malformed at byte 12",
	} {
		_, err := Decode(t.Context(), []byte(event))
		bad, ok := errors.AsType[*EventError](err)
		if !ok || bad.Call.Front != "" || bad.ErrorType() != "Event.Unknown" || !strings.Contains(err.Error(), want) || bad.Call.Request == nil {
			t.Errorf("%s: %v, want %q", event, err, want)
		}
	}
}

// What is not text may reach a REST API's clients as base64, compressed pages too. Where nobody has said what the API
// decodes, the log tells of it once.
func TestBase64IsToldOnce(t *testing.T) {
	var log strings.Builder
	d := &Door{Log: slog.New(slog.NewTextHandler(&log, nil))}
	serve := func(f eventtest.Front, body string) {
		d.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = io.WriteString(w, body)
		})
		event, err := f.Event(eventtest.Request{})
		if err != nil {
			t.Fatal(err)
		}
		if reply, err := d.Serve(t.Context(), event); err != nil || reply.Wait() != nil {
			t.Fatal(err, reply.Wait())
		}
	}
	for _, f := range eventtest.Fronts[1:] {
		serve(f, "\x1f\x8b")
	}
	serve(eventtest.REST, "text")
	if log.String() != "" {
		t.Errorf("nothing was to be told: %s", &log)
	}
	serve(eventtest.REST, "\x1f\x8b")
	serve(eventtest.REST, "\x1f\x8b")
	if got := log.String(); strings.Count(got, "binaryMediaTypes") != 1 || !strings.Contains(got, "level=INFO") || !strings.Contains(got, "encoding=gzip") || !strings.Contains(got, "type=text/html") {
		t.Errorf("the log: %s", got)
	}
}
