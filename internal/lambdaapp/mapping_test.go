package lambdaapp

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/tidwall/gjson"

	"github.com/tapway/tapway/internal/queue/sqsqueue/sqstest"
)

const testARN = "arn:aws:lambda:eu-west-1:123456789012:function:test"

// mappingOf is an entry of Lambda's list.
func mappingOf(function, state, types string) string {
	return fmt.Sprintf(`{"UUID":"u","EventSourceArn":%q,"FunctionArn":%q,"State":%q,"FunctionResponseTypes":%s}`, sqstest.ARN("records"), function, state, types)
}

// A trigger without ReportBatchItemFailures deletes every message of a batch that is answered: what failed is kept by a
// failed invocation, and what was delivered is not delivered again.
func TestWholeBatches(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		list   string
		whole  bool
	}{
		{"with", 200, mappingOf(testARN, "Enabled", `["ReportBatchItemFailures"]`), false},
		{"without", 200, mappingOf(testARN, "Enabled", `[]`), true},
		{"null", 200, mappingOf(testARN, "Enabled", `null`), true},
		{"another function's", 200, mappingOf(testARN+"2", "Enabled", `[]`), false},
		{"an alias", 200, mappingOf(testARN+":live", "Enabled", `[]`), true},
		{"disabled", 200, mappingOf(testARN, "Disabled", `[]`), false},
		{"the exact one counts", 200, mappingOf(testARN+":old", "Enabled", `[]`) + "," + mappingOf(testARN, "Enabled", `["ReportBatchItemFailures"]`), false},
		{"one of two", 200, mappingOf(testARN, "Enabled", `["ReportBatchItemFailures"]`) + "," + mappingOf(testARN, "Enabling", `[]`), true},
		{"none", 200, "", false},
		{"forbidden", 403, "", false},
		{"no JSON", 200, "]", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			asked := 0
			w.env["AWS_ENDPOINT_URL_LAMBDA"] = w.serve(w.guard(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				asked++
				if r.Method != "GET" || r.URL.Path != "/2015-03-31/event-source-mappings/" || r.URL.Query().Get("EventSourceArn") != sqstest.ARN("records") ||
					!strings.Contains(r.Header.Get("Authorization"), "/eu-west-1/lambda/aws4_request") {
					t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
				}
				rw.WriteHeader(tt.status)
				fmt.Fprintf(rw, `{"EventSourceMappings":[%s]}`, tt.list)
			})))
			w.sink = func(rw http.ResponseWriter, _ *http.Request, body []byte) {
				if strings.Contains(string(body), `"/2"`) {
					rw.WriteHeader(http.StatusInternalServerError)
				}
			}
			f := w.start(Forwarder)
			for i := range 12 {
				w.sqs.Put("records", recordOf(i, "a"), nil)
			}
			var event []byte
			client, queue := w.client(), aws.String(sqstest.URL+"/"+sqstest.Account+"/records")
			out, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: queue, MaxNumberOfMessages: 10})
			if err != nil {
				t.Fatal(err)
			}
			more, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: queue, MaxNumberOfMessages: 10})
			if err != nil {
				t.Fatal(err)
			}
			event = sqsEvent(append(out.Messages, more.Messages...))
			result := f.Invoke(t.Context(), event)
			f.settled(t)
			log := f.log.String()
			same(t, "told", strings.Count(log, "has no ReportBatchItemFailures: until it has"), map[bool]int{true: 1}[tt.whole])
			if !tt.whole {
				same(t, "error", result.Error, nil)
				same(t, "failed", gjson.GetBytes(result.Body, "batchItemFailures.#"), 1)
				same(t, "left", len(w.sqs.Messages("records")), 12)
			} else {
				if result.Error == nil || !strings.Contains(result.Error.Message, "1 messages stay in their queue") {
					t.Errorf("the invocation's error: %+v %s", result.Error, result.Body)
				}
				left := w.sqs.Messages("records")
				if len(left) != 1 || !strings.Contains(left[0].Body, `"/2"`) || !left[0].Visible.After(time.Now().Add(-time.Minute)) {
					t.Errorf("left: %+v", left)
				}
			}
			// A batch without a failure is answered as ever.
			result = f.Invoke(t.Context(), sqsEvent(out.Messages[:1]))
			f.settled(t)
			same(t, "error", result.Error, nil)
			same(t, "failed", gjson.GetBytes(result.Body, "batchItemFailures.#"), 0)
			same(t, "asked", asked, 1)
		})
	}
}

// A mapping that was put right is asked about again, and one that was right from the start is not.
func TestMappingMended(t *testing.T) {
	done := make(chan struct{})
	close(done)
	for _, tt := range []struct {
		m    mapping
		want bool
	}{
		{mapping{asked: time.Now().Add(-mended), done: done, whole: true}, true},
		{mapping{asked: time.Now().Add(-mended / 2), done: done, whole: true}, false},
		{mapping{asked: time.Now().Add(-mended), done: done}, false},
		{mapping{asked: time.Now().Add(-mended), done: make(chan struct{}), whole: true}, false},
	} {
		same(t, "stale", tt.m.stale(), tt.want)
	}
}
