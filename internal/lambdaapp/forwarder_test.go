package lambdaapp

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/lambdasqs"
	"github.com/tapway/tapway/internal/queue/claimcheck"
	"github.com/tapway/tapway/internal/queue/sqsqueue/sqstest"
	"github.com/tapway/tapway/internal/record"
)

func recordOf(n int, body string) string {
	ex := tapway.Exchange{Meta: tapway.Meta{
		ID: tapway.ID{6: 0x70, 8: 0x80, 15: byte(n)}, Time: time.Unix(1764000000, 0), From: "api.example.com", Method: "GET", Path: fmt.Sprintf("/%d", n), Status: 200,
		Front: tapway.FrontREST, Origin: tapway.OriginBackend, Proto: "HTTP/1.1",
	}, Response: tapway.Body{Bytes: []byte(body), Size: int64(len(body))}}
	return string(record.Append(nil, &ex))
}

func stringAttribute(dataType, s string) sqstest.Attribute {
	return sqstest.Attribute{DataType: dataType, StringValue: &s}
}

// A poison message is put aside with its reason, and the rest of its batch is delivered.
func TestPoison(t *testing.T) {
	w := newWorld(t)
	f := w.start(Forwarder)
	w.sqs.Put("records", recordOf(1, "a"), nil)
	w.sqs.Put("records", "hello", map[string]sqstest.Attribute{"own": stringAttribute("String", "x")})
	w.sqs.Put("records", `["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"objects","s3Key":"gone"}]`,
		map[string]sqstest.Attribute{claimcheck.Attribute: stringAttribute("Number", "300000")})
	w.sqs.Put("records", `["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"elsewhere","s3Key":"x"}]`,
		map[string]sqstest.Attribute{claimcheck.Attribute: stringAttribute("Number", "300000")})
	w.sqs.Put("records", recordOf(2, "b"), nil)
	n, failed := w.pump()
	same(t, "messages, failed", fmt.Sprint(n, len(failed)), "5 0")
	same(t, "delivered", len(w.delivered()), 2)
	same(t, "left", len(w.sqs.Messages("records")), 0)
	reasons := map[string]string{}
	for _, m := range w.sqs.Messages("records-dead") {
		reasons[m.Body] = m.Attributes["tapway.reason"].String()
		same(t, "destination", m.Attributes["tapway.destination"].String(), "default")
		same(t, "attempts", m.Attributes["tapway.attempts"].String(), "1")
		if _, err := time.Parse(time.RFC3339Nano, m.Attributes["tapway.died"].String()); err != nil {
			t.Errorf("died: %v", err)
		}
		if strings.HasPrefix(m.Body, "[") {
			same(t, "the pointer's attribute", m.Attributes[claimcheck.Attribute].String(), "300000")
		}
	}
	if len(reasons) != 3 || !strings.Contains(reasons["hello"], "it is not a record") {
		t.Errorf("dead letters: %v", reasons)
	}
	for body, reason := range reasons {
		if strings.HasPrefix(body, "[") && !strings.Contains(reason, "its record cannot be read") {
			t.Errorf("%s died because %s", body, reason)
		}
	}
	sums := f.sums(t)
	same(t, "delivered, dead", fmt.Sprint(sums["delivered"], sums["dead"]), "2 3")
}

// S3 refuses an object as long as nobody changes something, and without s3:ListBucket also one that is gone: after
// as many tries as a destination gets it is a dead letter with its reason. An outage of S3 is waited for.
func TestObjectRefused(t *testing.T) {
	w := newWorld(t)
	status := http.StatusForbidden
	w.s3Fault = func(rw http.ResponseWriter, _ *http.Request) bool { rw.WriteHeader(status); return true }
	f := w.start(Forwarder)
	for _, tt := range []struct{ status, receives, dead int }{
		{http.StatusForbidden, 7, 0}, {http.StatusServiceUnavailable, 8, 0}, {http.StatusForbidden, 8, 1},
	} {
		status = tt.status
		event := strings.Replace(string(event1(`["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"objects","s3Key":"x"}]`, tt.receives)),
			`"messageAttributes":{}`, `"messageAttributes":{"ExtendedPayloadSize":{"dataType":"Number","stringValue":"300000"}}`, 1)
		result := f.Invoke(t.Context(), []byte(event))
		same(t, "error", result.Error, nil)
		what := fmt.Sprintf("status %d, received %d times", tt.status, tt.receives)
		same(t, what+", stays", strings.Contains(string(result.Body), `"m"`), tt.dead == 0)
		same(t, what+", dead letters", len(w.sqs.Messages("records-dead")), tt.dead)
	}
	if dead := w.sqs.Messages("records-dead"); len(dead) == 1 && !strings.Contains(dead[0].Attributes["tapway.reason"].String(), "s3:GetObject is missing, or the object is gone") {
		t.Errorf("it died because %s", dead[0].Attributes["tapway.reason"])
	}
}

// A message of the full size, as only others send it, has no room for the attributes of its death: it goes without
// them, and a pointer keeps being one.
func TestFullSizePoison(t *testing.T) {
	w := newWorld(t)
	f := w.start(Forwarder)
	const limit = 1 << 20 // the dead-letter queue's
	full := strings.Repeat("x", limit)
	pointer := `["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"elsewhere","s3Key":"x"}]`
	pointer += strings.Repeat(" ", limit-len(pointer)-len(claimcheck.Attribute)-len("Number300000"))
	w.sqs.Create("records", map[string]string{"RedrivePolicy": sqstest.RedrivePolicy("records-dead", 1000), "MaximumMessageSize": fmt.Sprint(limit)})
	w.sqs.Put("records", full, nil)
	w.sqs.Put("records", pointer, map[string]sqstest.Attribute{claimcheck.Attribute: stringAttribute("Number", "300000")})
	nearly := full[:limit-64] // has room for whose it was
	w.sqs.Put("records", nearly, nil)
	n, failed := w.pump()
	same(t, "messages, failed", fmt.Sprint(n, len(failed)), "3 0")
	dead := w.sqs.Messages("records-dead")
	same(t, "dead letters", len(dead), 3)
	for _, m := range dead {
		same(t, "the body is the same", m.Body == full || m.Body == pointer || m.Body == nearly, true)
		same(t, "whose it was", m.Attributes["tapway.destination"].String() != "", m.Body == nearly)
		same(t, "is a pointer", m.Attributes[claimcheck.Attribute].String() == "300000", m.Body == pointer)
	}
	if !strings.Contains(f.log.String(), "it is not a record") {
		t.Error("the log does not say why it died")
	}
}

// A dead-letter queue may take less than the queue before it. What is too large for it goes there by the bucket, with
// its reason.
func TestSmallDeadLetterQueue(t *testing.T) {
	w := newWorld(t)
	w.sqs.Create("records-dead", map[string]string{"MaximumMessageSize": "65536"})
	w.sink = func(rw http.ResponseWriter, _ *http.Request, _ []byte) {
		rw.WriteHeader(http.StatusUnprocessableEntity)
	}
	f := w.start(Forwarder)
	large := recordOf(1, strings.Repeat("a", 100<<10))
	result := f.Invoke(t.Context(), event1(large, 8))
	same(t, "answer", string(result.Body), `{"batchItemFailures":[]}`)
	dead := w.sqs.Messages("records-dead")
	if len(dead) != 1 {
		t.Fatalf("%d dead letters", len(dead))
	}
	same(t, "size", dead[0].Attributes[claimcheck.Attribute].String(), fmt.Sprint(len(large)))
	same(t, "status", dead[0].Attributes["tapway.status"].String(), "422")
	p, err := claimcheck.ParsePointer([]byte(dead[0].Body))
	same(t, "error", err, nil)
	same(t, "object", string(w.object(p.Key)), large)
}

// A queue may get another dead-letter queue while the function is warm, and the old one may go.
func TestAnotherDeadLetterQueue(t *testing.T) {
	w := newWorld(t)
	f := w.start(Forwarder)
	same(t, "error", f.Invoke(t.Context(), event1("poison", 1)).Error, nil)
	same(t, "dead letters", len(w.sqs.Messages("records-dead")), 1)
	w.sqs.Create("records-new", nil)
	w.sqs.Create("records", map[string]string{"RedrivePolicy": sqstest.RedrivePolicy("records-new", 1000)})
	w.sqs.Fault = func(c sqstest.Call) *sqstest.Fault {
		if c.Queue == "records-dead" {
			return &sqstest.Fault{Status: 400, Code: "QueueDoesNotExist"}
		}
		return nil
	}
	for _, stays := range []bool{true, false} {
		result := f.Invoke(t.Context(), event1("poison", 1))
		same(t, "stays", strings.Contains(string(result.Body), `"m"`), stays)
	}
	same(t, "dead letters in the new queue", len(w.sqs.Messages("records-new")), 1)
}

// A failed message comes back by its backoff, and one that has failed too often is put aside.
func TestRetries(t *testing.T) {
	w := newWorld(t)
	w.env["LAMBDA_TASK_ROOT"] = t.TempDir()
	writeFile(t, w.env["LAMBDA_TASK_ROOT"]+"/tapway.yaml", "destinations: [{name: siem, url: \""+w.env["TAPWAY_DESTINATION"]+"\", retry: {max_attempts: 2}, headers: {Authorization: hunter2}}]\n")
	delete(w.env, "TAPWAY_DESTINATION")
	answer := http.StatusServiceUnavailable
	w.sink = func(rw http.ResponseWriter, r *http.Request, _ []byte) {
		same(t, "header", r.Header.Get("Authorization"), "hunter2")
		rw.Header().Set("Retry-After", "600")
		rw.WriteHeader(answer)
	}
	f := w.start(Forwarder)
	w.sqs.Put("records", recordOf(1, "a"), nil)
	begun := time.Now()
	n, failed := w.pump()
	same(t, "messages, failed", fmt.Sprint(n, len(failed)), "1 1")
	messages := w.sqs.Messages("records")
	if len(messages) != 1 || messages[0].Visible.Before(begun.Add(599*time.Second)) || messages[0].Visible.After(begun.Add(660*time.Second)) {
		t.Errorf("it is visible in %v, want 600 s", messages[0].Visible.Sub(begun))
	}
	// The same message, received for the second time.
	answer = http.StatusInternalServerError
	again := gjson.Parse(string(event1(recordOf(1, "a"), 2)))
	result := f.Invoke(t.Context(), []byte(again.Raw))
	same(t, "answer", string(result.Body), `{"batchItemFailures":[]}`)
	dead := w.sqs.Messages("records-dead")
	if len(dead) != 1 {
		t.Fatalf("%d dead letters", len(dead))
	}
	same(t, "reason", dead[0].Attributes["tapway.reason"].String(), "gave up after 2 attempts: 500 Internal Server Error")
	same(t, "status", dead[0].Attributes["tapway.status"].String(), "500")
	same(t, "id", dead[0].Attributes["tapway.id"].String(), tapway.ID{6: 0x70, 8: 0x80, 15: 1}.String())
	same(t, "body", dead[0].Body, recordOf(1, "a"))
	f.settled(t)
	sums := f.sums(t)
	same(t, "returned, dead", fmt.Sprint(sums["returned"], sums["dead"]), "1 1")
}

// A record does not die because its destination is down, as long as its queue hands it out; one that is refused does.
func TestOutage(t *testing.T) {
	for _, tt := range []struct {
		name   string
		policy int // maxReceiveCount; 0: there is no policy
		status int // of the destination
		fault  bool
		last   int // the receive at which it dies
	}{
		{name: "down", policy: 100, status: 503, last: 97},
		{name: "no answer that counts", policy: 100, status: 429, last: 97},
		{name: "refused", policy: 100, status: 400, last: 2},
		{name: "broken", policy: 100, status: 500, last: 2},
		{name: "a policy that ends before", policy: 3, status: 503, last: 2},
		{name: "no policy", status: 503, last: 1000},
		{name: "a policy that may not be read", policy: 100, status: 503, fault: true, last: 6},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			attributes := map[string]string{}
			if tt.policy > 0 {
				attributes["RedrivePolicy"] = sqstest.RedrivePolicy("records-dead", tt.policy)
			}
			w.sqs.Create("records", attributes)
			w.sqs.Fault = func(c sqstest.Call) *sqstest.Fault {
				if tt.fault && c.Action == "GetQueueAttributes" {
					return &sqstest.Fault{Status: 403, Code: "AccessDenied"}
				}
				return nil
			}
			w.env["TAPWAY_DEAD_LETTER_QUEUE"] = "records-dead"
			w.env["LAMBDA_TASK_ROOT"] = t.TempDir()
			writeFile(t, w.env["LAMBDA_TASK_ROOT"]+"/tapway.yaml", "destinations: [{name: siem, url: \""+w.env["TAPWAY_DESTINATION"]+"\", retry: {max_attempts: 2}}]\n")
			delete(w.env, "TAPWAY_DESTINATION")
			w.sink = func(rw http.ResponseWriter, _ *http.Request, _ []byte) { rw.WriteHeader(tt.status) }
			f := w.start(Forwarder)
			for _, one := range []struct {
				receives, dead int
			}{{tt.last - 1, 0}, {tt.last, 1}} {
				f.Invoke(t.Context(), event1(recordOf(1, "a"), one.receives))
				f.settled(t)
				if n := len(w.sqs.Messages("records-dead")); n != one.dead {
					t.Errorf("received %d times: %d dead letters, want %d", one.receives, n, one.dead)
				}
			}
		})
	}
}

// event1 is an event with one message.
func event1(body string, receives int) []byte {
	return fmt.Appendf(nil, `{"Records":[{"messageId":"m","receiptHandle":"r","body":%q,"attributes":{"ApproximateReceiveCount":"%d"},"messageAttributes":{},"eventSource":"aws:sqs","eventSourceARN":%q}]}`,
		body, receives, sqstest.ARN("records"))
}

// Without permission to see the redrive policy, and without one, dead letters stay in the queue and the
// log says what to do; a configured dead-letter queue needs neither.
func TestDeadLetterQueue(t *testing.T) {
	for _, tt := range []struct {
		name   string
		fault  func(sqstest.Call) *sqstest.Fault
		more   string
		queue  string
		failed bool
		hint   string
	}{
		{"redrive policy", nil, "", "records", false, ""},
		{"configured", func(c sqstest.Call) *sqstest.Fault {
			if c.Action == "GetQueueAttributes" {
				return &sqstest.Fault{Status: 403, Code: "AccessDenied"}
			}
			return nil
		}, "TAPWAY_DEAD_LETTER_QUEUE=sqs://records-dead", "records", false, ""},
		{"no permission", func(c sqstest.Call) *sqstest.Fault {
			if c.Action == "GetQueueAttributes" {
				return &sqstest.Fault{Status: 403, Code: "AccessDenied"}
			}
			return nil
		}, "", "records", true, "allow sqs:GetQueueAttributes, or set TAPWAY_DEAD_LETTER_QUEUE"},
		{"no policy", nil, "", "bare", true, "give it one, or set TAPWAY_DEAD_LETTER_QUEUE"},
		{"down", func(sqstest.Call) *sqstest.Fault { return &sqstest.Fault{Status: 503, Code: "ServiceUnavailable"} }, "", "records", true, "could not be set aside"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.sqs.Create("bare", nil)
			w.sqs.Fault = tt.fault
			f := w.start(Forwarder, tt.more, "TAPWAY_QUEUE=")
			event := strings.ReplaceAll(string(event1("poison", 1)), ":records", ":"+tt.queue)
			result := f.Invoke(t.Context(), []byte(event))
			same(t, "error", result.Error, nil)
			same(t, "failed", strings.Contains(string(result.Body), `"m"`), tt.failed)
			same(t, "dead letters", len(w.sqs.Messages("records-dead")) == 1, !tt.failed)
			if !strings.Contains(f.log.String(), tt.hint) {
				t.Errorf("no %q in %s", tt.hint, f.log)
			}
		})
	}
}

// The forwarder reads what any of the extended clients has written.
func TestDialects(t *testing.T) {
	w := newWorld(t)
	f := w.start(Forwarder, "TAPWAY_DELETE_OBJECTS=true")
	cloud, err := newCloud(func(name string) string { return w.env[name] })
	if err != nil {
		t.Fatal(err)
	}
	cloud.base.HTTPClient = &http.Client{Transport: marked{}}
	dialects := []struct{ attribute, pointer string }{
		{claimcheck.LegacyAttribute, `["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"objects","s3Key":"%s"}]`},
		{claimcheck.Attribute, `["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"objects","s3Key":"%s"}]`},
		{claimcheck.Attribute, `["software.amazon.payloadoffloading.PayloadS3Pointer", {"s3BucketName": "objects", "s3Key": "%s"}]`},
		{claimcheck.LegacyAttribute, `["com.amazon.sqs.javamessaging.MessageS3Pointer", {"s3BucketName": "objects", "s3Key": "%s"}]`},
	}
	for i, d := range dialects {
		key := fmt.Sprintf("1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4be%d", i)
		if err := cloud.blobs("objects").Put(t.Context(), key, []byte(recordOf(i, strings.Repeat("x", 1000)))); err != nil {
			t.Fatal(err)
		}
		w.sqs.Put("records", fmt.Sprintf(d.pointer, key), map[string]sqstest.Attribute{d.attribute: stringAttribute("Number", "1500")})
	}
	n, failed := w.pump()
	same(t, "messages, failed", fmt.Sprint(n, len(failed)), "4 0")
	var got []string
	for _, rec := range w.delivered() {
		got = append(got, rec.Get("endpoint").String())
	}
	slices.Sort(got)
	same(t, "delivered", got, []string{"/0", "/1", "/2", "/3"})
	same(t, "objects left", len(w.objects("")), 0)
	same(t, "delivered", f.sums(t)["delivered"], 4)
}

// Objects stay unless it is said that they go, and without a bucket a large record waits.
func TestObjectsStay(t *testing.T) {
	w := newWorld(t)
	f := w.start(Forwarder)
	cloud, err := newCloud(func(name string) string { return w.env[name] })
	if err != nil {
		t.Fatal(err)
	}
	cloud.base.HTTPClient = &http.Client{Transport: marked{}}
	if err := cloud.blobs("objects").Put(t.Context(), "records/x", []byte(recordOf(1, "y"))); err != nil {
		t.Fatal(err)
	}
	pointer := `["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"objects","s3Key":"records/x"}]`
	w.sqs.Put("records", pointer, map[string]sqstest.Attribute{claimcheck.Attribute: stringAttribute("Number", "1500")})
	n, failed := w.pump()
	same(t, "messages, failed", fmt.Sprint(n, len(failed)), "1 0")
	same(t, "objects", w.objects(""), []string{"records/x"})
	same(t, "delivered", f.sums(t)["delivered"], 1)

	w = newWorld(t)
	w.start(Forwarder, "TAPWAY_BUCKET=")
	w.sqs.Put("records", pointer, map[string]sqstest.Attribute{claimcheck.Attribute: stringAttribute("Number", "1500")})
	n, failed = w.pump()
	same(t, "messages, failed", fmt.Sprint(n, len(failed)), "1 1")
	if !strings.Contains(w.forward.log.String(), "set TAPWAY_BUCKET") {
		t.Errorf("the log does not say what to set: %s", w.forward.log)
	}
}

// One function may serve several queues, each with its own destination and filter.
func TestForwardsToSeveral(t *testing.T) {
	w := newWorld(t)
	url := w.env["TAPWAY_DESTINATION"]
	delete(w.env, "TAPWAY_DESTINATION")
	w.env["LAMBDA_TASK_ROOT"] = t.TempDir()
	writeFile(t, w.env["LAMBDA_TASK_ROOT"]+"/tapway.yaml", fmt.Sprintf("queue: sqs://records-{destination}\ndestinations: [{name: a, url: %s/a, if: \"path == '/1'\"}, {name: b, url: %s/b}]\n", url, url))
	var paths []string
	w.sink = func(_ http.ResponseWriter, r *http.Request, _ []byte) { paths = append(paths, r.URL.Path) }
	f := w.start(Forwarder, "TAPWAY_QUEUE=")
	for _, tt := range []struct {
		queue string
		n     int
		want  string
	}{{"records-a", 1, "[/a]"}, {"records-a", 2, "[]"}, {"records-b", 2, "[/b]"}, {"records-c", 1, "[]"}} {
		paths = nil
		result := f.Invoke(t.Context(), []byte(strings.ReplaceAll(string(event1(recordOf(tt.n, ""), 1)), ":records", ":"+tt.queue)))
		same(t, "error", result.Error, nil)
		same(t, tt.queue, paths, tt.want)
		same(t, tt.queue+" failed", strings.Contains(string(result.Body), `"m"`), tt.queue == "records-c")
	}
	f.settled(t)
	same(t, "filtered", f.sums(t)["dropped:filtered"], 1)
}

func TestForwarderRefuses(t *testing.T) {
	w := newWorld(t)
	f := w.start(Forwarder)
	result := f.Invoke(t.Context(), urlEvent("GET", "/", ""))
	if result.Error == nil || !strings.Contains(result.Error.Message, "event source mapping") {
		t.Errorf("an API's event is answered with %v", result.Error)
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{"": "unknown", "a\nb\x00": "a b ", strings.Repeat("ü", 200): strings.Repeat("ü", 128), "\xff": " ", strings.Repeat("x", 255) + "ü": strings.Repeat("x", 255)} {
		if got := printable(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// What S3 cannot give now is tried again; what it will never give is not.
func TestPayloadErrors(t *testing.T) {
	tr := &trigger{claims: &claimcheck.Check{Store: failing{}, Bucket: "objects"}}
	m := &lambdasqs.Message{Body: `["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"objects","s3Key":"x"}]`,
		Attributes: map[string]lambdasqs.Attribute{claimcheck.Attribute: {DataType: "Number", String: "1"}}}
	if _, err := tr.payload(t.Context(), m); err == nil || claimcheck.Permanent(err) {
		t.Errorf("an outage of S3 is permanent: %v", err)
	}
}

type failing struct{}

func (failing) Put(context.Context, string, []byte) error   { return context.DeadlineExceeded }
func (failing) Get(context.Context, string) ([]byte, error) { return nil, context.DeadlineExceeded }
func (failing) Delete(context.Context, string) error        { return context.DeadlineExceeded }
