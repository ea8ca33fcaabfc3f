package lambdaapp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/queue/sqsqueue/sqstest"
)

// The queue is looked at once, after the reply, and what cannot work is told.
func TestAdviseQueue(t *testing.T) {
	policy := func(n int) string { return sqstest.RedrivePolicy("records-dead", n) }
	for _, tt := range []struct {
		name              string
		visibility        string
		policy            string
		fault             *sqstest.Fault
		tooShort, tooFew  bool
		attempts, seconds int
	}{
		{"as it should be", "180", policy(1000), nil, false, false, 8, 30},
		{"just right", "180", policy(16), nil, false, false, 8, 30},
		{"a second short", "179", policy(16), nil, true, false, 8, 30},
		{"a receive short", "180", policy(15), nil, false, true, 8, 30},
		{"both", "30", policy(3), nil, true, true, 8, 30},
		{"few attempts", "180", policy(3), nil, false, true, 2, 30},
		{"no redrive policy", "180", "", nil, false, false, 8, 30},
		{"a maximum as a text", "180", `{"deadLetterTargetArn":"` + sqstest.ARN("records-dead") + `","maxReceiveCount":"3"}`, nil, false, true, 8, 30},
		{"forbidden", "30", policy(3), &sqstest.Fault{Status: 403, Code: "AccessDenied"}, false, false, 8, 30},
		{"no answer", "30", policy(3), &sqstest.Fault{Delay: 3 * time.Second}, false, false, 8, 30},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			attributes := map[string]string{"VisibilityTimeout": tt.visibility}
			if tt.policy != "" {
				attributes["RedrivePolicy"] = tt.policy
			}
			w.sqs.Create("records", attributes)
			asked := 0
			w.sqs.Fault = func(c sqstest.Call) *sqstest.Fault {
				if c.Action == "GetQueueAttributes" {
					asked = c.Number
					return tt.fault
				}
				return nil
			}
			w.env["LAMBDA_TASK_ROOT"] = t.TempDir()
			writeFile(t, w.env["LAMBDA_TASK_ROOT"]+"/tapway.yaml", fmt.Sprintf("destinations: [{name: siem, url: %q, timeout: 5s, retry: {max_attempts: %d}}]\n", w.env["TAPWAY_DESTINATION"], tt.attempts))
			delete(w.env, "TAPWAY_DESTINATION")
			f := w.start(Forwarder)
			for i := range 2 {
				w.sqs.Put("records", recordOf(i, "a"), nil)
				event := sqsEventOf(w, "records")
				result := f.Do(t.Context(), invocation(event, time.Duration(tt.seconds)*time.Second))
				same(t, "error", result.Error, nil)
				same(t, "failed", gjson.GetBytes(result.Body, "batchItemFailures.#"), 0)
				f.settled(t)
			}
			log := f.log.String()
			same(t, "too short", strings.Count(log, "visibility timeout is too short"), map[bool]int{true: 1}[tt.tooShort])
			same(t, "too few", strings.Count(log, "redrive policy gives up too early"), map[bool]int{true: 1}[tt.tooFew])
			if tt.tooShort && !strings.Contains(log, `"set_to":"3m0s"`) {
				t.Errorf("the log does not say what to set: %s", log)
			}
			if tt.fault == nil && asked != 1 {
				t.Errorf("the queue was asked %d times", asked)
			}
		})
	}
}

// sqsEventOf is the trigger's event of what a queue of the fake holds.
func sqsEventOf(w *world, queue string) []byte {
	w.t.Helper()
	var records []map[string]any
	for i, m := range w.sqs.Messages(queue) {
		records = append(records, map[string]any{"messageId": fmt.Sprint(i), "receiptHandle": "r", "body": m.Body, "attributes": map[string]string{"ApproximateReceiveCount": "1"},
			"messageAttributes": map[string]any{}, "eventSource": "aws:sqs", "eventSourceARN": sqstest.ARN(queue)})
	}
	text, err := json.Marshal(map[string]any{"Records": records})
	if err != nil {
		w.t.Fatal(err)
	}
	return text
}

func TestCaptureMemory(t *testing.T) {
	const mib = 1 << 20
	for _, tt := range []struct {
		name               string
		memory, body, want int64 // MiB; the function's, capture.max_body, capture.memory
		get                int64
		warns              bool
	}{
		{"not known", 0, 10, 64, 64, false},
		{"plenty", 512, 10, 64, 64, false},
		{"exactly", 256, 10, 64, 64, false},
		{"less, but enough for a call", 128, 10, 64, 32, false},
		{"too little for a call", 128, 17, 64, 32, true},
		{"asked for more than there is", 512, 10, 256, 128, true},
		{"asked for little", 128, 10, 16, 16, false},
	} {
		c := config.Default()
		c.Capture.MaxBody, c.Capture.Memory = config.Size(tt.body*mib), config.Size(tt.want*mib)
		var out bytes.Buffer
		got := captureMemory(c, tt.memory*mib, slog.New(slog.NewTextHandler(&out, nil)))
		same(t, tt.name, got/mib, tt.get)
		same(t, tt.name+": warns", out.Len() > 0, tt.warns)
	}
}
