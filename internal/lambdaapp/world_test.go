package lambdaapp

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/tidwall/gjson"

	"github.com/tapway/tapway/internal/awsbase"
	"github.com/tapway/tapway/internal/lambdaruntime"
	"github.com/tapway/tapway/internal/lambdaruntime/runtimetest"
	"github.com/tapway/tapway/internal/queue/sqsqueue/sqstest"
	"github.com/tapway/tapway/internal/record/recordtest"
)

// world is an account: SQS with the queue "records" and its dead-letter queue, S3 with the
// bucket "objects", an API behind the proxy function and a destination behind the forwarder. Whoever
// is called while the calling function is frozen fails the test.
type world struct {
	t       *testing.T
	sqs     *sqstest.Server
	s3      *s3mem.Backend
	s3Fault func(w http.ResponseWriter, r *http.Request) bool
	env     map[string]string
	proxy   *function
	forward *function

	backend func(w http.ResponseWriter, r *http.Request)
	sink    func(w http.ResponseWriter, r *http.Request, body []byte)

	mu   sync.Mutex
	got  [][]byte // what the destination took
	asks []*http.Request
}

// patient is longer than a machine that has other things to do stands still: calls whose deadline matters name one.
const patient = 5 * time.Minute

// function is one of the two in its environment.
type function struct {
	*runtimetest.API
	log     *buffer
	metrics *buffer
}

// buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// newWorld makes everything but the functions.
func newWorld(t *testing.T) *world {
	w := &world{t: t, sqs: new(sqstest.Server), s3: s3mem.New()}
	w.sqs.Create("records-dead", nil)
	w.sqs.Create("records", map[string]string{"RedrivePolicy": sqstest.RedrivePolicy("records-dead", 1000), "MaximumMessageSize": "262144"})
	if err := w.s3.CreateBucket("objects"); err != nil {
		t.Fatal(err)
	}
	objects := gofakes3.New(w.s3, gofakes3.WithLogger(gofakes3.StdLog(log.New(io.Discard, "", 0)))).Server()
	w.env = map[string]string{
		"TMPDIR":     t.TempDir(),
		"AWS_REGION": sqstest.Region, "AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "aws-secret",
		"AWS_LAMBDA_FUNCTION_NAME": "tap", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
		"TAPWAY_QUEUE": "records", "TAPWAY_BUCKET": "objects",
		"AWS_ENDPOINT_URL_SQS": w.serve(w.guard(w.sqs)),
		"AWS_ENDPOINT_URL_S3": w.serve(w.guard(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if w.s3Fault == nil || !w.s3Fault(rw, r) {
				objects.ServeHTTP(rw, r)
			}
		}))),
		"TAPWAY_BACKEND": w.serve(w.guard(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			w.mu.Lock()
			w.asks = append(w.asks, r)
			w.mu.Unlock()
			if w.backend != nil {
				w.backend(rw, r)
				return
			}
			rw.Header().Set("Content-Type", r.Header.Get("Content-Type"))
			_, _ = io.Copy(rw, r.Body)
		}))),
		"TAPWAY_DESTINATION": w.serve(w.guard(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if w.sink != nil {
				w.sink(rw, r, body)
				return
			}
			w.mu.Lock()
			w.got = append(w.got, body)
			w.mu.Unlock()
		}))),
	}
	return w
}

func (w *world) serve(h http.Handler) string {
	s := httptest.NewServer(h)
	w.t.Cleanup(s.Close)
	return s.URL
}

// guard fails the test when both functions are frozen: then nobody may call.
func (w *world) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Test") == "" && !strings.Contains(r.UserAgent(), "test-pump") {
			frozen := true
			for _, f := range []*function{w.proxy, w.forward} {
				frozen = frozen && (f == nil || f.Frozen())
			}
			if frozen && (w.proxy != nil || w.forward != nil) {
				w.t.Errorf("%s %s is called while the functions are frozen", r.Method, r.URL.Path)
			}
		}
		next.ServeHTTP(rw, r)
	})
}

// start makes a function of a role and runs it. more are variables, "NAME=value"; without a
// value they are removed.
func (w *world) start(role Role, more ...string) *function {
	w.t.Helper()
	f := &function{API: runtimetest.Config{Timeout: patient}.Start(w.t), log: new(buffer), metrics: new(buffer)}
	app, err := New(w.t.Context(), w.options(f, role, more...))
	if err != nil {
		w.t.Fatal(err)
	}
	if role == Proxy {
		w.proxy = f
	} else {
		w.forward = f
	}
	f.Go((&lambdaruntime.Runtime{API: f.Addr(), Handler: app, Log: app.Log}).Run)
	w.t.Cleanup(func() {
		for _, secret := range []string{"aws-secret", "hunter2"} {
			if strings.Contains(f.log.String(), secret) || strings.Contains(f.metrics.String(), secret) {
				w.t.Errorf("the %s's output holds the secret %q", role, secret)
			}
		}
		if w.t.Failed() {
			w.t.Logf("log of the %s:\n%s", role, f.log)
		}
	})
	return f
}

func (w *world) options(f *function, role Role, more ...string) Options {
	env := map[string]string{"TAPWAY_ROLE": string(role)}
	for name, value := range w.env {
		env[name] = value
	}
	for _, one := range more {
		name, value, _ := strings.Cut(one, "=")
		env[name] = value
	}
	return Options{Version: "test", Getenv: func(name string) string { return env[name] }, Log: f.log, Metrics: f.metrics}
}

// settled waits until a function has ended its work after the reply.
func (f *function) settled(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	defer cancel()
	if err := f.WaitFrozen(ctx); err != nil {
		t.Fatal(err)
	}
}

// sums adds up the metrics that a function has written, by name, and by name and reason.
func (f *function) sums(t *testing.T) map[string]float64 {
	t.Helper()
	out := map[string]float64{}
	for line := range strings.Lines(f.metrics.String()) {
		if !gjson.Valid(line) || gjson.Get(line, "function").String() != "tap" {
			t.Errorf("not a line of metrics: %s", line)
			continue
		}
		for _, m := range gjson.Get(line, "_aws.CloudWatchMetrics.0.Metrics.#.Name").Array() {
			name := m.String()
			if reason := gjson.Get(line, "reason"); reason.Exists() {
				name += ":" + reason.String()
			}
			for _, v := range append(gjson.Get(line, m.String()).Array(), gjson.Result{}) {
				out[name] += v.Num
			}
		}
	}
	return out
}

func (w *world) client() *sqs.Client {
	cfg, err := awsbase.FromEnv(func(name string) string { return w.env[name] })
	if err != nil {
		w.t.Fatal(err)
	}
	cfg.HTTPClient = &http.Client{Transport: marked{}}
	return sqs.NewFromConfig(cfg, func(o *sqs.Options) { o.BaseEndpoint = aws.String(w.env["AWS_ENDPOINT_URL_SQS"]) })
}

// marked are the test's own calls, which come while the functions are frozen.
type marked struct{}

func (marked) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("X-Test", "1")
	return http.DefaultTransport.RoundTrip(r)
}

// pump does what the event source mapping does: it hands out up to ten messages and deletes
// those that the forwarder does not name. It returns how many there were, and the ids that failed.
func (w *world) pump() (n int, failed []string) {
	w.t.Helper()
	ctx, client := w.t.Context(), w.client()
	queue := aws.String(sqstest.URL + "/" + sqstest.Account + "/records")
	out, err := client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: queue, MaxNumberOfMessages: 10, MessageAttributeNames: []string{"All"},
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if len(out.Messages) == 0 {
		return 0, nil
	}
	result := w.forward.Invoke(ctx, sqsEvent(out.Messages))
	if result.Err != nil || result.Error != nil {
		w.t.Fatalf("the forwarder fails: %v %v", result.Err, result.Error)
	}
	for _, one := range gjson.GetBytes(result.Body, "batchItemFailures.#.itemIdentifier").Array() {
		failed = append(failed, one.String())
	}
	for _, m := range out.Messages {
		if !slices.Contains(failed, *m.MessageId) {
			if _, err := client.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: queue, ReceiptHandle: m.ReceiptHandle}); err != nil {
				w.t.Logf("delete: %v", err)
			}
		}
	}
	w.forward.settled(w.t)
	return len(out.Messages), failed
}

// sqsEvent is the trigger's JSON of messages.
func sqsEvent(messages []types.Message) []byte {
	type attribute struct {
		StringValue *string `json:"stringValue,omitempty"`
		BinaryValue []byte  `json:"binaryValue,omitempty"`
		DataType    string  `json:"dataType"`
	}
	type one struct {
		MessageID         string               `json:"messageId"`
		ReceiptHandle     string               `json:"receiptHandle"`
		Body              string               `json:"body"`
		Attributes        map[string]string    `json:"attributes"`
		MessageAttributes map[string]attribute `json:"messageAttributes"`
		EventSource       string               `json:"eventSource"`
		EventSourceARN    string               `json:"eventSourceARN"`
	}
	var event struct{ Records []one }
	for _, m := range messages {
		o := one{MessageID: *m.MessageId, ReceiptHandle: *m.ReceiptHandle, Body: aws.ToString(m.Body), Attributes: m.Attributes,
			MessageAttributes: map[string]attribute{}, EventSource: "aws:sqs", EventSourceARN: sqstest.ARN("records")}
		for name, a := range m.MessageAttributes {
			o.MessageAttributes[name] = attribute{a.StringValue, a.BinaryValue, *a.DataType}
		}
		event.Records = append(event.Records, o)
	}
	text, err := json.Marshal(event)
	if err != nil {
		panic(err)
	}
	return text
}

// delivered are the records that the destination has, every one valid.
func (w *world) delivered() []gjson.Result {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []gjson.Result
	for _, rec := range w.got {
		recordtest.Validate(w.t, rec)
		out = append(out, gjson.ParseBytes(rec))
	}
	return out
}

// objects are the keys in the bucket that begin with prefix.
func (w *world) objects(prefix string) (keys []string) {
	list, err := w.s3.ListBucket("objects", &gofakes3.Prefix{HasPrefix: prefix != "", Prefix: prefix}, gofakes3.ListBucketPage{})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, o := range list.Contents {
		keys = append(keys, o.Key)
	}
	return keys
}

func (w *world) object(key string) []byte {
	o, err := w.s3.GetObject("objects", key, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	defer o.Contents.Close()
	text, err := io.ReadAll(o.Contents)
	if err != nil {
		w.t.Fatal(err)
	}
	return text
}

// urlEvent is a call of a Function URL.
func urlEvent(method, target, body string, header ...string) []byte {
	path, query, _ := strings.Cut(target, "?")
	headers := map[string]string{"host": "abc.lambda-url.eu-west-1.on.aws", "x-forwarded-proto": "https"}
	for i := 0; i < len(header); i += 2 {
		headers[header[i]] = header[i+1]
	}
	event := map[string]any{
		"version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": query, "headers": headers, "isBase64Encoded": false,
		"requestContext": map[string]any{
			"accountId": "anonymous", "apiId": "abc", "domainName": "abc.lambda-url.eu-west-1.on.aws", "domainPrefix": "abc", "requestId": "r1", "routeKey": "$default", "stage": "$default",
			"http": map[string]any{"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "203.0.113.7", "userAgent": "test"},
		},
	}
	if body != "" {
		event["body"] = body
		headers["content-length"] = strconv.Itoa(len(body))
	}
	text, err := json.Marshal(event)
	if err != nil {
		panic(err)
	}
	return text
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("%s: %s, want %s", what, g, w)
	}
}

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func invocation(event []byte, timeout time.Duration) runtimetest.Call {
	return runtimetest.Call{Event: event, Timeout: timeout}
}
