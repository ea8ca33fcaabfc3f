package lambdaapp

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/tapway/tapway/internal/queue/claimcheck"
	"github.com/tapway/tapway/internal/queue/sqsqueue/sqstest"
)

// Whatever SQS does, each call's record is in exactly one place (in the queue twice if an answer was lost), it is counted
// there, and the client sees nothing of it.
func TestFaultsOfSQS(t *testing.T) {
	send := func(f func(n int) *sqstest.Fault) func(sqstest.Call) *sqstest.Fault {
		return func(c sqstest.Call) *sqstest.Fault {
			if c.Action != "SendMessage" {
				return nil
			}
			return f(c.Number)
		}
	}
	always := func(f sqstest.Fault) func(sqstest.Call) *sqstest.Fault {
		return send(func(int) *sqstest.Fault { return &f })
	}
	for _, tt := range []struct {
		name             string
		fault            func(sqstest.Call) *sqstest.Fault
		queued, spilled  int
		captured, extras string
	}{
		{"throttled once", send(func(n int) *sqstest.Fault {
			if n == 1 {
				return &sqstest.Fault{Status: 400, Code: "RequestThrottled"}
			}
			return nil
		}), 1, 0, "1", "0"},
		{"throttled for good", always(sqstest.Fault{Status: 400, Code: "RequestThrottled"}), 0, 1, "1", "1"},
		{"slower than the time there is", always(sqstest.Fault{Delay: 30 * time.Second}), 0, 1, "1", "1"},
		{"slow once", send(func(n int) *sqstest.Fault {
			if n == 1 {
				return &sqstest.Fault{Delay: 30 * time.Second}
			}
			return nil
		}), 1, 0, "1", "0"},
		{"an answer lost", send(func(n int) *sqstest.Fault {
			if n == 1 {
				return &sqstest.Fault{Lost: true}
			}
			return nil
		}), 2, 0, "1", "0"},
		{"internal errors", always(sqstest.Fault{Status: 500, Code: "InternalError"}), 0, 1, "1", "1"},
		{"no such queue", func(sqstest.Call) *sqstest.Fault {
			return &sqstest.Fault{Status: 400, Code: "QueueDoesNotExist"}
		}, 0, 1, "1", "1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel() // they wait more than they work
			w := newWorld(t)
			w.sqs.Fault = tt.fault
			f := w.start(Proxy)
			began := time.Now()
			result := f.Do(t.Context(), invocation(urlEvent("POST", "/a", "hello"), 9*time.Second))
			same(t, "error, status", fmt.Sprint(result.Error, gjson.GetBytes(result.Body, "statusCode")), "<nil> 200")
			if waited := result.Answered.Sub(result.Asked); waited > 2*time.Second {
				t.Errorf("the client waited %v", waited)
			}
			f.settled(t)
			if took := time.Since(began); took > 9*time.Second {
				t.Errorf("the function works for %v, longer than it may", took)
			}
			messages := w.sqs.Messages("records")
			same(t, "queued, spilled", fmt.Sprint(len(messages), len(w.objects("spill/"))), fmt.Sprint(tt.queued, tt.spilled))
			for _, m := range messages {
				same(t, "the same record", m.Body, messages[0].Body)
			}
			sums := f.sums(t)
			same(t, "calls, captured, spilled", fmt.Sprint(sums["calls"], sums["captured"], sums["spilled"]), "1 "+tt.captured+" "+tt.extras)
		})
	}
}

// S3 is down: a record that does not fit into a message has nowhere to go, which is counted; those that fit are
// not touched by it.
func TestS3DownAtCapture(t *testing.T) {
	w := newWorld(t)
	w.s3Fault = func(rw http.ResponseWriter, _ *http.Request) bool {
		rw.WriteHeader(http.StatusServiceUnavailable)
		return true
	}
	f := w.start(Proxy)
	for _, size := range []int{10, 300 << 10} {
		result := f.Do(t.Context(), invocation(urlEvent("POST", "/a", strings.Repeat("x", size)), 4*time.Second))
		same(t, "error, status", fmt.Sprint(result.Error, gjson.GetBytes(result.Body, "statusCode")), "<nil> 200")
		f.settled(t)
	}
	sums := f.sums(t)
	same(t, "calls, captured", fmt.Sprint(sums["calls"], sums["captured"]), "2 1")
	same(t, "queued", len(w.sqs.Messages("records")), 1)
	dropped := 0.0
	for name, n := range sums {
		if strings.HasPrefix(name, "dropped:") {
			dropped += n
		}
	}
	same(t, "dropped", dropped, 1)
	if !strings.Contains(f.log.String(), `"endpoint":"/a"`) {
		t.Errorf("the log does not tell what was lost: %s", f.log)
	}
}

// A batch of which some fail: exactly these are returned, each with the pause that its own
// answer asked for, and neither a poison message nor one whose object cannot be had keeps the others.
func TestPartialFailure(t *testing.T) {
	w := newWorld(t)
	w.sink = func(rw http.ResponseWriter, _ *http.Request, body []byte) {
		n, _ := strconv.Atoi(strings.TrimPrefix(gjson.GetBytes(body, "endpoint").String(), "/"))
		if n >= 100 {
			rw.Header().Set("Retry-After", strconv.Itoa(n))
			rw.WriteHeader(http.StatusInternalServerError)
			return
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.got = append(w.got, body)
	}
	w.s3Fault = func(rw http.ResponseWriter, _ *http.Request) bool {
		rw.WriteHeader(http.StatusServiceUnavailable)
		return true
	}
	w.env["LAMBDA_TASK_ROOT"] = t.TempDir()
	writeFile(t, w.env["LAMBDA_TASK_ROOT"]+"/tapway.yaml", fmt.Sprintf("destinations: [{name: siem, url: %q, timeout: 2m}]\n", w.env["TAPWAY_DESTINATION"]))
	f := w.start(Forwarder, "TAPWAY_DESTINATION=")
	for _, n := range []int{1, 100, 2, 200} {
		w.sqs.Put("records", recordOf(n, "x"), nil)
	}
	w.sqs.Put("records", "poison", nil)
	w.sqs.Put("records", `["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"objects","s3Key":"x"}]`,
		map[string]sqstest.Attribute{claimcheck.Attribute: stringAttribute("Number", "300000")})
	w.sqs.Put("records", recordOf(3, "x"), nil)
	began := time.Now()
	n, failed := w.pump()
	ended := time.Now()
	same(t, "messages, failed", fmt.Sprint(n, len(failed)), "7 3")
	var endpoints []string
	for _, rec := range w.delivered() {
		endpoints = append(endpoints, rec.Get("endpoint").String())
	}
	slices.Sort(endpoints)
	same(t, "delivered", endpoints, []string{"/1", "/2", "/3"})
	same(t, "dead letters", len(w.sqs.Messages("records-dead")), 1)
	left := w.sqs.Messages("records")
	same(t, "left", len(left), 3)
	for _, m := range left {
		if !slices.Contains(failed, m.ID) {
			t.Errorf("%.60s stays but is not named", m.Body)
		}
		// Set between began and ended, with up to a second on top and one for the rounding.
		least, most := m.Visible.Sub(began), m.Visible.Sub(ended)
		switch wanted, _ := strconv.Atoi(strings.TrimPrefix(gjson.Get(m.Body, "endpoint").String(), "/")); {
		case wanted >= 100 && (least < time.Duration(wanted)*time.Second || most > time.Duration(wanted+2)*time.Second):
			t.Errorf("/%d comes back in %v to %v", wanted, most, least)
		case wanted < 100 && (least < 0 || most > time.Second): // its object: the backoff's own
			t.Errorf("the one in the bucket comes back in %v to %v", most, least)
		}
	}
	sums := f.sums(t)
	same(t, "delivered, returned, dead", fmt.Sprint(sums["delivered"], sums["returned"], sums["dead"]), "3 3 1")
}

// A destination that hangs: the function answers before its time is over, with everything that
// was not delivered, and no message is lost.
func TestForwarderDeadline(t *testing.T) {
	w := newWorld(t)
	w.sink = func(_ http.ResponseWriter, r *http.Request, _ []byte) { <-r.Context().Done() }
	f := w.start(Forwarder)
	var records []string
	for n := range 4 {
		records = append(records, gjson.GetBytes(event1(recordOf(n, "x"), 1), "Records.0").Raw)
		records[n] = strings.Replace(records[n], `"messageId":"m"`, fmt.Sprintf(`"messageId":"m%d"`, n), 1)
	}
	began := time.Now()
	result := f.Do(t.Context(), invocation([]byte(`{"Records":[`+strings.Join(records, ",")+`]}`), 3*time.Second))
	same(t, "error", result.Error, nil)
	if took := time.Since(began); took >= 3*time.Second {
		t.Errorf("it answers after %v", took)
	}
	same(t, "failed", gjson.GetBytes(result.Body, "batchItemFailures.#").Int(), 4)
	f.settled(t)
	same(t, "delivered", f.sums(t)["delivered"], 0)
	same(t, "returned", f.sums(t)["returned"], 4)
}

// SQS is down for the forwarder: what is delivered stays delivered, what failed is returned all
// the same, with the queue's own pause.
func TestSQSDownForTheForwarder(t *testing.T) {
	w := newWorld(t)
	w.sqs.Fault = func(sqstest.Call) *sqstest.Fault { return &sqstest.Fault{Status: 503, Code: "ServiceUnavailable"} }
	w.sink = func(rw http.ResponseWriter, _ *http.Request, body []byte) {
		if gjson.GetBytes(body, "endpoint").String() == "/2" {
			rw.WriteHeader(http.StatusInternalServerError)
		}
	}
	f := w.start(Forwarder)
	for n, want := range map[int]string{1: `{"batchItemFailures":[]}`, 2: `{"batchItemFailures":[{"itemIdentifier":"m"}]}`} {
		result := f.Do(t.Context(), invocation(event1(recordOf(n, "x"), 1), 5*time.Second))
		same(t, "error", result.Error, nil)
		same(t, fmt.Sprintf("answer for /%d", n), string(result.Body), want)
	}
	f.settled(t)
	same(t, "delivered, returned", fmt.Sprint(f.sums(t)["delivered"], f.sums(t)["returned"]), "1 1")
}
