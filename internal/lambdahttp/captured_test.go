package lambdahttp

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/capture"
	"github.com/tapway/tapway/internal/lambdahttp/eventtest"
)

// store is a tapway.Queue as far as a Recorder needs one.
type store struct {
	tapway.Queue
	mu  sync.Mutex
	all []*tapway.Exchange
}

func (s *store) Enqueue(_ context.Context, ex *tapway.Exchange) error {
	copied, err := tapway.DecodeFrame(tapway.AppendFrame(nil, ex))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, copied)
	return err
}

func (s *store) Drop(string) {}

func (s *store) last() *tapway.Exchange {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all[len(s.all)-1]
}

// Behind a capture the record has what the front told, and the status that the client got, with
// the whole response that did not fit.
func TestCaptured(t *testing.T) {
	q := new(store)
	rec := &capture.Recorder{Queue: q, Log: quiet()}
	for _, length := range []int{5, 300_000} {
		for _, f := range eventtest.Fronts {
			d := &Door{MaxReply: 100_000, Handler: rec.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Length", strconv.Itoa(length))
				io.WriteString(w, strings.Repeat("x", length))
			}))}
			res, _ := through(t, d, f, eventtest.Request{Target: "/a%20b?c=d"})
			ex := q.last()
			if ex.Front != f.Front() || ex.API == nil || ex.ClientIP != "203.0.113.7" || ex.Path != "/a%20b" || ex.Query != "c=d" || ex.TraceID != "6a5145a8536f3e792f6be9b44c1f46fa" {
				t.Errorf("%v: %+v", f, ex)
			}
			if ex.Status != res.Status || len(ex.Response.Bytes) != length || (ex.Error == "") != (length == 5) {
				t.Errorf("%v: recorded %d %q with %d bytes, the client got %d", f, ex.Status, ex.Error, len(ex.Response.Bytes), res.Status)
			}
		}
	}
}

// One request through every front and a server leaves the same record.
func TestTheSameRecord(t *testing.T) {
	q := new(store)
	rec := &capture.Recorder{Queue: q, Log: quiet()}
	echo := rec.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.Copy(w, r.Body)
	}))
	r := eventtest.Request{Method: "POST", Host: "api.example.com", Custom: true, Target: "/users/1?a=b", Body: []byte(`{"a":"é"}`),
		Header: fields("Content-Type", "application/json", "Cookie", "a=b", "X-Own", "1")}
	type summary struct {
		tapway.Meta
		request, response string
		header            http.Header
	}
	var want *summary
	for _, f := range eventtest.Fronts {
		through(t, &Door{Handler: echo}, f, r)
		ex := q.last()
		h := ex.RequestHeader.HTTP()
		for _, name := range eventtest.Added {
			h.Del(name)
		}
		got := &summary{ex.Meta, string(ex.Request.Bytes), string(ex.Response.Bytes), h}
		got.ID, got.Time, got.Duration, got.Overhead, got.Front = tapway.ID{}, ex.Time, 0, 0, ""
		got.Time = tapway.Meta{}.Time
		if want == nil {
			want = got
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%v:\n%+v\nwant\n%+v", f, got, want)
		}
	}
}

var badEvents = []struct {
	event  string
	front  tapway.Front
	what   string
	method string
	target string
}{
	{``, "", "not a JSON object", "", "/"},
	{`null`, "", "not a JSON object", "", "/"},
	{`{`, "", "malformed", "", "/"},
	{`{}`, "", "the event is empty; expected an event of a REST API, an HTTP API", "", "/"},
	{`{"Records":[{"eventSource":"aws:sqs"}]}`, "", `"Records", as from SQS`, "", "/"},
	{`{"version":"0","id":"x","detail-type":"y","detail":{}}`, "", `the event has "version", "id", "detail-type", "detail"; expected`, "", "/"},
	{`{"requestContext":{"connectionId":"x","apiId":"a"},"body":"b"}`, "", "WebSocket", "", "/"},
	{`{"type":"REQUEST","methodArn":"arn:aws:execute-api:x","resource":"/a","path":"/a","httpMethod":"GET","headers":{},"requestContext":{"resourceId":"b","apiId":"c"}}`, "", "question to an authorizer", "GET", "/a"},
	{`{"version":"2.0","type":"REQUEST","routeArn":"arn:aws:execute-api:x","rawPath":"/a","headers":{},"requestContext":{"http":{"method":"GET"}}}`, "", "question to an authorizer", "", "/"},
	{`{"resource":"/","httpMethod":"GET","path":"/a"}`, "", "expected", "GET", "/a"},
	{`{"resource":"/","httpMethod":"GET","path":"/a","requestContext":{},"headers":5}`, tapway.FrontREST, "headers is not an object at byte ", "GET", "/a"},
	{`{"resource":"/","httpMethod":"GET","path":"/a","requestContext":{},"headers":{"a":5}}`, tapway.FrontREST, "headers is not a string", "GET", "/a"},
	{`{"resource":"/","httpMethod":"GET","path":"/a","requestContext":{}`, tapway.FrontREST, "malformed", "GET", "/a"},
	{`{"resource":"/","httpMethod":"GET","path":"/a","requestContext":{}}}`, tapway.FrontREST, "goes on behind its end", "GET", "/a"},
	{`{"resource":"/","httpMethod":"G T","path":"/a","requestContext":{}}`, tapway.FrontREST, "not a token", "G T", "/a"},
	{`{"resource":"/","httpMethod":"GET","path":"a","requestContext":{}}`, tapway.FrontREST, "slash", "GET", "a"},
	{`{"resource":"/","httpMethod":"GET","path":"*","requestContext":{}}`, tapway.FrontREST, "slash", "GET", "*"},
	{`{"resource":"/","httpMethod":"GET","path":"/a","requestContext":{},"headers":{"a b":"c"}}`, tapway.FrontREST, "header name", "GET", "/a"},
	{`{"resource":"/","httpMethod":"GET","path":"/a","requestContext":{},"headers":{"a":"b\r\nc: d"}}`, tapway.FrontREST, "control character", "GET", "/a"},
	{`{"version":"2.0","rawPath":"/a","requestContext":{"http":{"method":"GET"}},"cookies":["a\n"]}`, tapway.FrontHTTP, "control character", "GET", "/a"},
	{`{"version":"2.0","rawPath":"/a","requestContext":{"http":{}}}`, tapway.FrontHTTP, "method is missing", "", "/a"},
	{`{"version":"2.0","rawPath":"/a","requestContext":{"http":{"method":"PUT"}},"isBase64Encoded":true,"body":"*"}`, tapway.FrontHTTP, "not base64", "PUT", "/a"},
	// Lambda writes the request context behind the headers: what is wrong before it must not hide whose event it is.
	{`{"version":"2.0","rawPath":"/a","headers":{"a":5,"b":[1]},"requestContext":{"http":{"method":"GET"}}}`, tapway.FrontHTTP, "headers is not a string at byte 47", "GET", "/a"},
	{`{"resource":"/","path":"/a","httpMethod":"GET","multiValueHeaders":{"a":"b"},"queryStringParameters":[{"x":{}}],"requestContext":{}}`, tapway.FrontREST, "multiValueHeaders is not an array", "GET", "/a"},
	{`{"resource":"/","path":"/a","httpMethod":"PUT","isBase64Encoded":"no","body":7,"requestContext":{}}`, tapway.FrontREST, "isBase64Encoded is not true or false", "PUT", "/a"},
	{`{"requestContext":{"elb":{}},"httpMethod":"GET","path":"/a","body":{}}`, tapway.FrontALB, "body is not a string", "GET", "/a"},
}

// An event that nobody can answer is an error that says what was expected; one of a known
// front is answered with 400, and whoever records it gets what was understood.
func TestBadEvents(t *testing.T) {
	q := new(store)
	rec := &capture.Recorder{Queue: q, Log: quiet()}
	for _, tt := range badEvents {
		_, err := Decode(t.Context(), []byte(tt.event))
		bad, ok := errors.AsType[*EventError](err)
		if !ok || !strings.Contains(err.Error(), tt.what) || bad.Call.Front != tt.front || (bad.ErrorType() == "Event.Unknown") != (tt.front == "") {
			t.Errorf("%s: %v", tt.event, err)
			continue
		}
		if r := bad.Call.Request; r.Method != tt.method || r.RequestURI != tt.target || r.URL == nil || r.Header == nil || r.Body == nil {
			t.Errorf("%s: understood %s %s", tt.event, r.Method, r.RequestURI)
		}
		for _, own := range []bool{false, true} {
			d := &Door{Handler: http.NotFoundHandler(), Log: quiet()}
			if own {
				d.BadRequest = func(w http.ResponseWriter, r *http.Request, bad *EventError) {
					rec.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						tapway.CallFrom(r.Context()).Error = "malformed event"
						w.WriteHeader(400)
						io.WriteString(w, `{"message":"Malformed event: own"}`)
					})).ServeHTTP(w, r)
				}
			}
			reply, err := d.Serve(t.Context(), []byte(tt.event))
			if tt.front == "" {
				if err == nil {
					t.Errorf("%s: answered", tt.event)
				}
				continue
			}
			var out struct {
				StatusCode int
				Body       string
			}
			if err != nil || json.Unmarshal(reply.Body, &out) != nil || out.StatusCode != 400 || !strings.Contains(out.Body, "Malformed event: ") {
				t.Errorf("%s: %v %+v", tt.event, err, reply)
			}
			if own && (q.last().Path != tt.target || q.last().Method != tt.method || q.last().Front != tt.front || q.last().Status != 400) {
				t.Errorf("%s: recorded %+v", tt.event, q.last().Meta)
			}
		}
	}
}
