package app

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tapway/tapway/internal/queue/sqsqueue/sqstest"
)

const onSQS = "queue: sqs://records\nbucket: objects\n"

func echo(t *testing.T) string {
	return httpBackend(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		io.Copy(w, r.Body)
	}))
}

// post makes a call and tells how long it took until the last byte.
func post(t *testing.T, url string, body []byte) time.Duration {
	t.Helper()
	began := time.Now()
	resp, err := http.Post(url, "application/octet-stream", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 || !bytes.Equal(got, body) {
		t.Fatalf("got %d, %d bytes, %v", resp.StatusCode, len(got), err)
	}
	return time.Since(began)
}

// TestServeOnSQS: a call goes to SQS and from there to the destination, small and large, and
// every number adds up.
func TestServeOnSQS(t *testing.T) {
	a := newAccount(t)
	w := newWorld(t, "backend: "+echo(t)+"\n"+onSQS)
	large := bytes.Repeat([]byte("0123456789abcdef"), 40<<10) // 640 KiB: over the queue's limit twice
	post(t, w.url+"/small", []byte("hello"))
	post(t, w.url+"/large", large)
	seen := map[string]bool{}
	for i := range 2 {
		rec := w.sink.next(t, i)
		seen[rec["endpoint"].(string)] = true
		if rec["endpoint"] == "/large" && (len(rec["body"].(string)) != len(large) || len(rec["response"].(string)) != len(large)) {
			t.Errorf("the large record is cut: %d", len(rec["body"].(string)))
		}
	}
	if !seen["/small"] || !seen["/large"] {
		t.Errorf("got %v", seen)
	}
	a.gone("records")
	if n := len(a.objects("records/")); n != 1 {
		t.Errorf("%d objects, want the large record", n)
	}
	l := balanced(t, w.app.queue)
	if line := l.Destinations[0]; l.Calls != 2 || l.Stored != 2 || line.Captured != 2 || line.Delivered != 2 {
		t.Errorf("ledger %+v", l)
	}
	if status, warning := readiness(t, w.app.AdminAddr()); status != 200 || warning != "" {
		t.Errorf("readyz %d %q", status, warning)
	}
	w.app.queue.(*sqsEngine).look(t.Context()) // as it does by itself every 15 s
	_, text := call(t, "http://"+w.app.AdminAddr()+"/metrics")
	for _, want := range []string{"tapway_ledger_calls_total 2", "tapway_ledger_stored_total 2", "tapway_queue_reachable 1", `tapway_outbox_records{destination="sink"} 0`, `tapway_ledger_difference{destination="sink"} 0`} {
		if !strings.Contains(text, want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
	w.stop()
	if strings.Contains(w.log.String(), "level=ERROR") || strings.Contains(w.log.String(), "aws-secret") {
		t.Errorf("log:\n%s", w.log)
	}
}

// TestOfflineOnSQS: who looks into the data directory of a gateway on SQS is sent to it, and told
// where its queue is when it does not run.
func TestOfflineOnSQS(t *testing.T) {
	newAccount(t)
	w := newWorld(t, "backend: "+echo(t)+"\n"+onSQS)
	post(t, w.url+"/x", []byte("x"))
	data := w.app.config.Data
	var busy *BusyError
	if _, _, err := Offline(data, "test"); !errors.As(err, &busy) || busy.PID != os.Getpid() || busy.Admin != w.app.AdminAddr() {
		t.Errorf("while it runs: %v", err)
	}
	if at := Running(data); at == nil || at.Admin != w.app.AdminAddr() {
		t.Errorf("who runs: %+v", at)
	}
	w.stop()
	if _, _, err := Offline(data, "test"); !errors.Is(err, ErrOutbox) {
		t.Errorf("afterwards: %v", err)
	}
	if at := Running(data); at != nil {
		t.Errorf("it has stopped, and runs: %v", at)
	}
	if at := Running(t.TempDir()); at != nil {
		t.Errorf("an empty directory: %v", at)
	}
}

// TestSQSAway: SQS takes nothing for the whole run. No call waits for it, readiness only warns,
// and at the end every record is in the bucket.
func TestSQSAway(t *testing.T) {
	a := newAccount(t)
	a.fail(away)
	w := newWorld(t, "backend: "+echo(t)+"\n"+onSQS)
	for i := range 30 {
		if took := post(t, fmt.Sprintf("%s/%d", w.url, i), []byte("x")); took > 3*time.Second {
			t.Errorf("call %d took %v", i, took)
		}
	}
	eventually(t, "the warning", func() bool {
		status, warning := readiness(t, w.app.AdminAddr())
		return status == 200 && strings.Contains(warning, "SQS")
	})
	began := time.Now()
	w.stop()
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("stopping took %v", took)
	}
	keys := a.objects("spill/sink/")
	if len(keys) != 30 {
		t.Errorf("%d records in the bucket, want 30\n%s", len(keys), w.log)
	}
	if n := len(a.sqs.Messages("records")); n != 0 {
		t.Errorf("%d messages", n)
	}
}

// TestSQSAwayWithoutBucket: what could not be sent waits on disk, for the next process too.
func TestSQSAwayWithoutBucket(t *testing.T) {
	a := newAccount(t)
	a.fail(away)
	data := t.TempDir()
	sink := newSink(t)
	yaml := fmt.Sprintf("data: %s\nbackend: %s\nqueue: sqs://records\ndestinations: [{name: sink, url: %q}]\n", data, echo(t), sink.URL)
	w := newWorldIn(t, yaml)
	for i := range 10 {
		post(t, fmt.Sprintf("%s/%d", w.url, i), []byte("x"))
	}
	w.stop()
	if !strings.Contains(w.log.String(), "records are still in the outbox") || !strings.Contains(w.log.String(), "records=10") {
		t.Errorf("nothing is said of what is left:\n%s", w.log)
	}
	a.fail(nil)
	again := newWorldIn(t, yaml)
	for i := range 10 {
		sink.next(t, i)
	}
	a.gone("records")
	l := balanced(t, again.app.queue)
	if line := l.Destinations[0]; l.Calls != 0 || line.Captured != 10 || line.Delivered != 10 {
		t.Errorf("ledger %+v", l)
	}
}

// TestSQSComesBack: an outage in the middle delays records and loses none.
func TestSQSComesBack(t *testing.T) {
	a := newAccount(t)
	w := newWorld(t, "backend: "+echo(t)+"\n"+onSQS)
	post(t, w.url+"/before", nil)
	w.sink.next(t, 0)
	a.fail(func(sqstest.Call) *sqstest.Fault { return &sqstest.Fault{Status: 503, Code: "ServiceUnavailable"} })
	for i := range 20 {
		post(t, fmt.Sprintf("%s/%d", w.url, i), nil)
	}
	a.fail(nil)
	w.sink.next(t, 20)
	a.gone("records")
	l := balanced(t, w.app.queue)
	if l.Calls != 21 || l.Destinations[0].Delivered != 21 || len(a.objects("spill/")) != 0 {
		t.Errorf("ledger %+v", l)
	}
}

// TestSlowSQS: calls are answered while the first record is still on its way.
func TestSlowSQS(t *testing.T) {
	a := newAccount(t)
	release := make(chan struct{})
	a.fail(func(c sqstest.Call) *sqstest.Fault {
		if strings.HasPrefix(c.Action, "SendMessage") {
			<-release
		}
		return nil
	})
	w := newWorld(t, "backend: "+echo(t)+"\n"+onSQS)
	for i := range 50 {
		post(t, fmt.Sprintf("%s/%d", w.url, i), nil)
	}
	if n := len(a.sqs.Messages("records")); n != 0 {
		t.Errorf("%d messages were sent", n)
	}
	l := balanced(t, w.app.queue)
	if l.Stored != 50 || l.Destinations[0].Queued != 50 {
		t.Errorf("ledger %+v", l)
	}
	close(release)
	w.sink.next(t, 49)
	if calls := a.sqs.Calls("SendMessageBatch"); calls == 0 {
		t.Error("records went one by one")
	}
}

// TestTooLargeWithoutBucket: the record's loss is told and counted, its call is not harmed.
func TestTooLargeWithoutBucket(t *testing.T) {
	newAccount(t)
	w := newWorld(t, "backend: "+echo(t)+"\nqueue: sqs://records\n")
	post(t, w.url+"/large", make([]byte, 300<<10))
	post(t, w.url+"/small", nil)
	if rec := w.sink.next(t, 0); rec["endpoint"] != "/small" {
		t.Errorf("got %v", rec["endpoint"])
	}
	eventually(t, "the loss to be counted", func() bool {
		l, err := w.app.queue.Ledger(t.Context())
		return err == nil && l.Destinations[0].Dropped["too-large"] == 1
	})
	balanced(t, w.app.queue)
	if !strings.Contains(w.log.String(), "this line is all there is of it") {
		t.Errorf("log:\n%s", w.log)
	}
}

// TestQueueThatIsNotThere: calls are served all the same; the log and /readyz say what is wrong.
func TestQueueThatIsNotThere(t *testing.T) {
	newAccount(t)
	w := newWorld(t, "backend: "+echo(t)+"\nqueue: sqs://recrods\nbucket: objects\n")
	post(t, w.url+"/x", nil)
	eventually(t, "the warning", func() bool {
		status, warning := readiness(t, w.app.AdminAddr())
		return status == 200 && strings.Contains(warning, `"recrods"`)
	})
	w.stop()
}

// TestMaxReceiveCount: the warning comes for the last count that is too low, not for the first
// that is enough.
func TestMaxReceiveCount(t *testing.T) {
	a := newAccount(t)
	for count, warned := range map[int]bool{23: true, 24: false} {
		a.sqs.Create("records", map[string]string{"RedrivePolicy": sqstest.RedrivePolicy("records-dead", count)})
		f := startForwarder(t, "destinations: [{name: sink, url: \"http://127.0.0.1:9\", retry: {max_attempts: 8}}]\n")
		f.stop()
		if got := strings.Contains(f.log.String(), "maxReceiveCount"); got != warned {
			t.Errorf("%d: warned %v\n%s", count, got, f.log)
		}
	}
}

// TestTailOnSQS: who follows sees calls as they are recorded.
func TestTailOnSQS(t *testing.T) {
	newAccount(t)
	w := newWorld(t, "backend: "+echo(t)+"\n"+onSQS)
	post(t, w.url+"/before", nil)
	var got []string
	followed := make(chan struct{})
	follow := w.app.queue.(*sqsEngine).follow(t.Context())
	go func() {
		defer close(followed)
		for ex, err := range follow {
			if err != nil {
				t.Error(err)
				return
			}
			if got = append(got, ex.Path); len(got) == 2 {
				return
			}
		}
	}()
	post(t, w.url+"/1", nil)
	post(t, w.url+"/2", nil)
	select {
	case <-followed:
	case <-time.After(20 * time.Second):
		t.Fatal("nothing to see")
	}
	if !slices.Equal(got, []string{"/1", "/2"}) {
		t.Errorf("followed %v", got)
	}
}
