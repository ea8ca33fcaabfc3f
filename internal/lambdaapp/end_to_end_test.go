package lambdaapp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/lambdahttp/eventtest"
	"github.com/tapway/tapway/internal/queue/sqsqueue/sqstest"
)

// An event comes in by every front and the bytes come out at the destination: small and large,
// text and binary.
func TestEndToEnd(t *testing.T) {
	bodies := map[string]struct {
		contentType string
		body        []byte
		large       bool
	}{
		"none":   {"", nil, false},
		"json":   {"application/json", []byte(`{"name":"morpheus","password":"hunter2","n":1.50}`), false},
		"text":   {"text/plain; charset=utf-8", []byte("grüße\n"), false},
		"binary": {"application/octet-stream", []byte{0xff, 0, 1, 2, 0xfe}, false},
		"large":  {"text/plain", []byte(strings.Repeat("0123456789abcdef", 20<<10)), true}, // 320 KiB, twice
	}
	for _, front := range eventtest.Fronts {
		t.Run(front.String(), func(t *testing.T) {
			w := newWorld(t)
			w.start(Proxy)
			w.start(Forwarder)
			for name, tt := range bodies {
				w.got = nil
				objects := len(w.objects("records/"))
				r := eventtest.Request{Method: "POST", Target: "/echo/" + name + "?a=b", Body: tt.body, BinaryMediaTypes: []string{"*/*"},
					Header: []tapway.Field{{Name: "Content-Type", Value: tt.contentType}, {Name: "Authorization", Value: "Bearer hunter2"}, {Name: "Accept", Value: "*/*"}}}
				if tt.contentType == "" {
					r.Method, r.Header = "GET", r.Header[1:]
				}
				event, err := front.Event(r)
				if err != nil {
					t.Fatal(err)
				}
				result := w.proxy.Invoke(t.Context(), event)
				if result.Err != nil || result.Error != nil {
					t.Fatalf("%s: %v %v", name, result.Err, result.Error)
				}
				resp, err := front.Response(r, result.Body)
				if err != nil {
					t.Fatal(err)
				}
				if resp.Status != 200 || !bytes.Equal(resp.Body, tt.body) {
					t.Errorf("%s: the client got %d and %d bytes", name, resp.Status, len(resp.Body))
				}
				w.proxy.settled(t)
				same(t, name+": objects", len(w.objects("records/")) > objects, tt.large)
				if n, failed := w.pump(); n != 1 || len(failed) > 0 {
					t.Fatalf("%s: %d messages, %v failed", name, n, failed)
				}
				recs := w.delivered()
				if len(recs) != 1 {
					t.Fatalf("%s: %d records arrived", name, len(recs))
				}
				rec := recs[0]
				same(t, name+": front", rec.Get("front"), front.Front())
				same(t, name+": endpoint", rec.Get("endpoint"), "/echo/"+name)
				same(t, name+": status", rec.Get("status"), 200)
				same(t, name+": sizes", rec.Get("body_info.size").Int()+rec.Get("response_info.size").Int(), 2*len(tt.body))
				same(t, name+": origin", rec.Get("origin"), "backend")
				if strings.Contains(rec.Raw, "hunter2") {
					t.Errorf("%s: a secret arrived: %s", name, rec.Raw)
				}
				switch name {
				case "json":
					same(t, "body", rec.Get("body"), `{"name":"morpheus","password":"[REDACTED]","n":1.50}`)
				case "text", "large":
					same(t, name+": text arrived", rec.Get("response").String() == string(tt.body), true)
				case "binary":
					same(t, "encoding", rec.Get("response_info.encoding"), "base64")
				}
			}
			same(t, "records left in the queue", len(w.sqs.Messages("records")), 0)
			sums := w.proxy.sums(t)
			same(t, "captured", sums["captured"], len(bodies))
			same(t, "calls", sums["calls"], len(bodies))
			same(t, "cold starts", sums["cold_start"], 1)
			same(t, "delivered", w.forward.sums(t)["delivered"], len(bodies))
		})
	}
}

// The client has its reply before SQS has the record; the next invocation comes after that.
func TestReplyBeforeSend(t *testing.T) {
	w := newWorld(t)
	replied := make(chan struct{})
	w.sqs.Fault = func(c sqstest.Call) *sqstest.Fault {
		if c.Action == "SendMessage" {
			<-replied // without a reply first this would last until the function's time is over
		}
		return nil
	}
	f := w.start(Proxy)
	result := f.Invoke(t.Context(), urlEvent("GET", "/a", ""))
	same(t, "error", result.Error, nil)
	same(t, "sent before the reply", len(w.sqs.Messages("records")), 0)
	close(replied)
	f.settled(t)
	same(t, "sent after it", len(w.sqs.Messages("records")), 1)
}

// With capture: before the record is in the queue when the client has its reply.
func TestSendBeforeReply(t *testing.T) {
	w := newWorld(t)
	f := w.start(Proxy, "TAPWAY_CAPTURE=before")
	for i := range 3 {
		result := f.Invoke(t.Context(), urlEvent("GET", "/a", ""))
		same(t, "error", result.Error, nil)
		same(t, "sent", len(w.sqs.Messages("records")), i+1)
	}
	f.settled(t)
	same(t, "captured", f.sums(t)["captured"], 3)
}

// SQS takes nothing: the record goes into the bucket, and the client never notices.
func TestSpill(t *testing.T) {
	for _, mode := range []string{"after", "before"} {
		for name, fault := range map[string]*sqstest.Fault{
			"refused": {Status: 403, Code: "AccessDenied"}, "down": {Status: 503, Code: "ServiceUnavailable"}, "cut off": {Cut: true},
		} {
			t.Run(mode+"/"+name, func(t *testing.T) {
				w := newWorld(t)
				w.sqs.Fault = func(sqstest.Call) *sqstest.Fault { return fault }
				f := w.start(Proxy, "TAPWAY_CAPTURE="+mode)
				f2 := f.Do(t.Context(), invocation(urlEvent("POST", "/a", "hello"), 3*time.Second))
				same(t, "error", f2.Error, nil)
				same(t, "status", gjson.GetBytes(f2.Body, "statusCode"), 200)
				f.settled(t)
				keys := w.objects("spill/default/")
				if len(keys) != 1 || !strings.HasSuffix(keys[0], ".json") {
					t.Fatalf("the bucket has %v", w.objects(""))
				}
				rec := gjson.ParseBytes(w.object(keys[0]))
				same(t, "record", rec.Get("response"), "hello")
				if !strings.HasSuffix(keys[0], rec.Get("id").String()+".json") {
					t.Errorf("%s does not name %s", keys[0], rec.Get("id"))
				}
				sums := f.sums(t)
				same(t, "captured, spilled", fmt.Sprint(sums["captured"], sums["spilled"]), "1 1")
			})
		}
	}
}

// A failure that passes is only a failure of the first try.
func TestRetry(t *testing.T) {
	w := newWorld(t)
	w.sqs.Fault = func(c sqstest.Call) *sqstest.Fault {
		if c.Action == "SendMessage" && c.Number < 3 {
			return &sqstest.Fault{Status: 503, Code: "ServiceUnavailable"}
		}
		return nil
	}
	f := w.start(Proxy)
	f.Invoke(t.Context(), urlEvent("GET", "/a", ""))
	f.settled(t)
	same(t, "queued", len(w.sqs.Messages("records")), 1)
	same(t, "spilled", len(w.objects("")), 0)
}

// Neither SQS nor S3: the record is in the log, as long as it fits; what does not is counted.
func TestLastResort(t *testing.T) {
	for _, tt := range []struct {
		name   string
		size   int
		bucket string
		whole  bool
		counts string
	}{
		{"small", 10, "objects", true, "1 1 0"},
		{"without a bucket", 10, "", true, "1 1 0"},
		{"large", 300 << 10, "objects", false, "0 0 1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.sqs.Fault = func(sqstest.Call) *sqstest.Fault { return &sqstest.Fault{Status: 403, Code: "AccessDenied"} }
			w.s3Fault = func(rw http.ResponseWriter, _ *http.Request) bool {
				rw.WriteHeader(http.StatusForbidden)
				return true
			}
			f := w.start(Proxy, "TAPWAY_BUCKET="+tt.bucket)
			result := f.Do(t.Context(), invocation(urlEvent("POST", "/a", strings.Repeat("x", tt.size)), 3*time.Second))
			same(t, "error", result.Error, nil)
			f.settled(t)
			sums := f.sums(t)
			same(t, "captured, logged, dropped", fmt.Sprint(sums["captured"], sums["logged"], sums["dropped:queue-unavailable"]), tt.counts)
			found := 0
			for line := range strings.Lines(f.log.String()) {
				if rec := gjson.Get(line, "record"); rec.Exists() {
					found++
					same(t, "whole", gjson.Get(line, "whole").Bool(), tt.whole)
					same(t, "length of the response", len(rec.Get("response").String()) == tt.size, tt.whole)
					same(t, "endpoint", rec.Get("endpoint"), "/a")
					same(t, "level", gjson.Get(line, "level"), "ERROR")
					if len(line) > 256<<10 {
						t.Errorf("a line of %d bytes", len(line))
					}
				}
			}
			same(t, "lines", found, 1)
		})
	}
}

// Without a bucket a record that is larger than a message takes is lost, and counted.
func TestTooLarge(t *testing.T) {
	w := newWorld(t)
	f := w.start(Proxy, "TAPWAY_BUCKET=")
	f.Invoke(t.Context(), urlEvent("POST", "/a", strings.Repeat("x", 300<<10)))
	f.settled(t)
	sums := f.sums(t)
	same(t, "dropped, lost", fmt.Sprint(sums["dropped:too-large"], sums["lost"]), "1 1")
	if !strings.Contains(f.log.String(), "set TAPWAY_BUCKET") {
		t.Errorf("the log does not say what to set: %s", f.log)
	}
}

// A backend that is slower than the function may be is cut off in time for reply and record.
func TestSlowBackend(t *testing.T) {
	w := newWorld(t)
	w.backend = func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	f := w.start(Proxy)
	result := f.Do(t.Context(), invocation(urlEvent("GET", "/slow", ""), 2*time.Second))
	same(t, "error", result.Error, nil)
	same(t, "status", gjson.GetBytes(result.Body, "statusCode"), 504)
	f.settled(t)
	messages := w.sqs.Messages("records")
	if len(messages) != 1 {
		t.Fatalf("%d records", len(messages))
	}
	same(t, "record", gjson.Get(messages[0].Body, "status"), 504)
	if !strings.Contains(f.log.String(), "raise the function's timeout") {
		t.Errorf("no warning in %s", f.log)
	}
}

// A stream reaches the caller as it is produced, and its record the queue when it has ended.
func TestStream(t *testing.T) {
	w := newWorld(t)
	more := make(chan struct{})
	w.backend = func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(rw, "data: 1\n\n")
		rw.(http.Flusher).Flush()
		<-more
		_, _ = io.WriteString(rw, "data: 2\n\n")
	}
	f := w.start(Proxy, "TAPWAY_STREAM=true")
	event, err := eventtest.FunctionURL.Event(eventtest.Request{Target: "/events"})
	if err != nil {
		t.Fatal(err)
	}
	open, err := f.Open(t.Context(), invocation(event, 0))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := eventtest.FunctionURL.StreamResponse(open.Body)
	if err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 9)
	if _, err := io.ReadFull(resp.Stream, first); err != nil || string(first) != "data: 1\n\n" {
		t.Fatalf("first: %q, %v", first, err)
	}
	close(more)
	rest, err := io.ReadAll(resp.Stream)
	if err != nil || string(rest) != "data: 2\n\n" {
		t.Fatalf("rest: %q, %v", rest, err)
	}
	f.settled(t)
	messages := w.sqs.Messages("records")
	if len(messages) != 1 {
		t.Fatalf("%d records", len(messages))
	}
	same(t, "record", gjson.Get(messages[0].Body, "response"), "data: 1\n\ndata: 2\n\n")
}

// What is no event of a front fails; what is one but malformed is answered, with a record.
func TestMalformed(t *testing.T) {
	w := newWorld(t)
	f := w.start(Proxy)
	for _, event := range []string{"{}", "[]", `"x"`, `{"Records":[]}`} {
		if result := f.Invoke(t.Context(), []byte(event)); result.Error == nil {
			t.Errorf("%s is answered with %s", event, result.Body)
		}
	}
	f.settled(t)
	same(t, "dropped", f.sums(t)["dropped:malformed"], 4)
	var event map[string]any
	if err := json.Unmarshal(urlEvent("POST", "/bad", "x"), &event); err != nil {
		t.Fatal(err)
	}
	event["body"], event["isBase64Encoded"] = "%%%", true
	text, _ := json.Marshal(event)
	result := f.Invoke(t.Context(), text)
	same(t, "status", gjson.GetBytes(result.Body, "statusCode"), 400)
	f.settled(t)
	messages := w.sqs.Messages("records")
	if len(messages) != 1 {
		t.Fatalf("%d records", len(messages))
	}
	same(t, "origin", gjson.Get(messages[0].Body, "origin"), "gateway")
	same(t, "status", gjson.Get(messages[0].Body, "status"), 400)
}

// The older systems' variables do what they did.
func TestOlderNames(t *testing.T) {
	w := newWorld(t)
	backend := w.env["TAPWAY_BACKEND"]
	f := w.start(Proxy, "TAPWAY_BACKEND=", "REMOTE_URL="+backend, "FILTERED_PATH=/foobar|/baz", "FILTERED_URL_MSG=Not here.",
		"NO_HEADERS=y", "PAYLOAD_QUOTA=100", "REQUEST_TIMEOUT=5", "APP_NAME=Sample", "GENERAL_ERROR=Broken")
	get := func(target string) gjson.Result {
		t.Helper()
		result := f.Invoke(t.Context(), urlEvent("GET", target, "", "x-own", "1"))
		if result.Error != nil {
			t.Fatal(result.Error)
		}
		return gjson.ParseBytes(result.Body)
	}
	same(t, "passed on", get("/a").Get("statusCode"), 200)
	same(t, "the client's headers", w.asks[0].Header.Get("X-Own"), "")
	reply := get("/foobar/x")
	same(t, "filtered", reply.Get("statusCode"), 403)
	if !strings.Contains(reply.Get("body").String(), "Not here.") {
		t.Errorf("the message is %s", reply.Get("body"))
	}
	w.backend = func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write(make([]byte, 101)) }
	same(t, "over the quota", get("/b").Get("statusCode"), 502)
	f.settled(t)
	same(t, "captured", f.sums(t)["captured"], 3)
}

// Rules and filters hold as on one machine; what they leave out is counted.
func TestSampledOut(t *testing.T) {
	w := newWorld(t)
	w.env["LAMBDA_TASK_ROOT"] = t.TempDir()
	writeFile(t, w.env["LAMBDA_TASK_ROOT"]+"/tapway.yaml", "capture: {rules: [{if: \"path == '/quiet'\", sample: 0}]}\nlog: {calls: true}\n")
	f := w.start(Proxy)
	f.Invoke(t.Context(), urlEvent("GET", "/quiet", ""))
	f.Invoke(t.Context(), urlEvent("GET", "/loud", ""))
	f.settled(t)
	sums := f.sums(t)
	same(t, "calls, captured, sampled, lost", fmt.Sprint(sums["calls"], sums["captured"], sums["dropped:sampled"], sums["lost"]), "2 1 1 0")
	if !strings.Contains(f.log.String(), `"path":"/loud"`) {
		t.Errorf("the calls are not logged: %s", f.log)
	}
}

// Several destinations have a queue each; those that do not take a record get it by the bucket.
func TestSeveralDestinations(t *testing.T) {
	w := newWorld(t)
	w.sqs.Create("records-a", nil)
	w.sqs.Create("records-b", nil)
	w.sqs.Fault = func(c sqstest.Call) *sqstest.Fault {
		if c.Queue == "records-b" && c.Action == "SendMessage" {
			return &sqstest.Fault{Status: 403, Code: "AccessDenied"}
		}
		return nil
	}
	w.env["LAMBDA_TASK_ROOT"] = t.TempDir()
	writeFile(t, w.env["LAMBDA_TASK_ROOT"]+"/own.yaml", "destinations: [{name: a, url: http://a.example.com}, {name: b, url: http://b.example.com}]\n")
	f := w.start(Proxy, "TAPWAY_CONFIG=own.yaml", "TAPWAY_QUEUE=sqs://records-{destination}", "TAPWAY_DESTINATION=")
	result := f.Invoke(t.Context(), urlEvent("GET", "/a", ""))
	same(t, "error", result.Error, nil)
	f.settled(t)
	same(t, "in the queue", len(w.sqs.Messages("records-a")), 1)
	keys := w.objects("spill/")
	if len(keys) != 1 || !slices.ContainsFunc(keys, func(k string) bool { return strings.HasPrefix(k, "spill/b/") }) {
		t.Errorf("the bucket has %v", keys)
	}
}
