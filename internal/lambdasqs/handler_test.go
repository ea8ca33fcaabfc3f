package lambdasqs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/delivery"
	"github.com/tapway/tapway/internal/record"
)

var quiet = slog.New(slog.DiscardHandler)

const queueARN = "arn:aws:sqs:eu-west-1:123456789012:records"

// world is a destination, the AWS calls that are made on the way, and the handler between.
type world struct {
	*Handler
	sender *delivery.Sender
	dest   *Destination
	log    bytes.Buffer

	mu        sync.Mutex
	got       []string // ids of what arrived, in order
	bodies    map[string]string
	now, most int
	postponed map[string]time.Duration
	buried    map[string]tapway.Outcome
	discarded []string
	seen      map[string]tapway.Outcome

	// answer says what the destination answers to a request, counted from 1. nil: 200.
	answer func(n int, r *http.Request, body string) (status int, took time.Duration)
}

func newWorld() *world {
	w := &world{bodies: map[string]string{}, postponed: map[string]time.Duration{}, buried: map[string]tapway.Outcome{}, seen: map[string]tapway.Outcome{}}
	w.sender = &delivery.Sender{Name: "siem", URL: "http://siem.example.com/in", Transport: w,
		Retry: delivery.Retry{Min: 8 * time.Second, Max: time.Hour, Rand: func() float64 { return 0.5 }}}
	w.dest = &Destination{Sender: w.sender}
	w.Handler = &Handler{
		Destination: func(arn string) *Destination {
			if arn == queueARN {
				return w.dest
			}
			return nil
		},
		Postpone: func(_ context.Context, m *Message, d time.Duration) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.postponed[m.ID] = d
			return nil
		},
		Bury: func(_ context.Context, m *Message, o tapway.Outcome) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.buried[m.ID] = o
			return nil
		},
		Observe: func(_ string, m *Message, o tapway.Outcome) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.seen[m.ID] = o
		},
		Log: slog.New(slog.NewTextHandler(&w.log, nil)),
	}
	return w
}

func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	body, _ := io.ReadAll(r.Body)
	r.Body.Close()
	w.mu.Lock()
	w.got = append(w.got, r.Header.Get("Webhook-Id"))
	w.bodies[r.Header.Get("Webhook-Id")] = string(body)
	n := len(w.got)
	w.now++
	w.most = max(w.most, w.now)
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.now--
		w.mu.Unlock()
	}()
	status, took := 200, time.Duration(0)
	if w.answer != nil {
		status, took = w.answer(n, r, string(body))
	}
	select {
	case <-time.After(took):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	if status == 0 {
		return nil, io.EOF
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody}, nil
}

// one is a message for an event.
type one struct {
	id       string
	body     string
	receives int
	queue    string
}

func event(messages ...one) []byte {
	var wire wireEvent
	for _, m := range messages {
		w := wireMessage{MessageID: m.id, Receipt: "r-" + m.id, Body: m.body, Source: "aws:sqs", QueueARN: m.queue}
		if w.QueueARN == "" {
			w.QueueARN = queueARN
		}
		w.Attributes.Receives = strconv.Itoa(max(m.receives, 1))
		wire.Records = append(wire.Records, w)
	}
	text, err := json.Marshal(wire)
	if err != nil {
		panic(err)
	}
	return text
}

func testID(n int) tapway.ID {
	id := tapway.ID{6: 0x70, 8: 0x80, 15: byte(n)}
	return id
}

// text is the record of call n.
func text(n int) string {
	ex := tapway.Exchange{Meta: tapway.Meta{ID: testID(n), Time: time.Unix(1764000000, 0), Method: "GET", Path: fmt.Sprintf("/%d", n), Status: 200}}
	return string(record.Append(nil, &ex))
}

func records(n int) []one {
	var out []one
	for i := range n {
		out = append(out, one{id: strconv.Itoa(i), body: text(i)})
	}
	return out
}

// handle gives the ids that are to stay in the queue.
func (w *world) handle(t *testing.T, ctx context.Context, messages ...one) []string {
	t.Helper()
	out, discard, err := w.Handle(ctx, event(messages...))
	if err != nil {
		t.Fatal(err)
	}
	if len(w.discarded) > 0 {
		t.Error("a record is removed before Lambda knows that it was delivered")
	}
	discard(ctx)
	var answer struct {
		BatchItemFailures []struct{ ItemIdentifier string }
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		t.Fatal(err)
	}
	failed := []string{}
	for _, f := range answer.BatchItemFailures {
		failed = append(failed, f.ItemIdentifier)
	}
	if len(w.seen) != len(messages) && w.Destination(queueARN) != nil {
		t.Errorf("%d of %d messages were observed", len(w.seen), len(messages))
	}
	return failed
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("%s: %s, want %s", what, g, w)
	}
}

func TestDelivers(t *testing.T) {
	w := newWorld()
	failed := w.handle(t, t.Context(), records(3)...)
	same(t, "failed", failed, []string{})
	for i := range 3 {
		if got := w.bodies[testID(i).String()]; got != text(i) {
			t.Errorf("record %d arrived as %q", i, got)
		}
	}
	same(t, "postponed and buried", len(w.postponed)+len(w.buried), 0)
}

// What an answer means for the message: whether it stays, when it comes back, where it goes.
func TestVerdicts(t *testing.T) {
	tests := []struct {
		name     string
		status   int
		receives int
		failed   []string
		after    time.Duration // 0: not postponed
		buried   string        // "": not buried
	}{
		{"delivered", 204, 1, []string{}, 0, ""},
		{"first failure", 500, 1, []string{"0"}, 4 * time.Second, ""},
		{"third failure", 503, 3, []string{"0"}, 16 * time.Second, ""},
		{"last but one", 503, 7, []string{"0"}, 256 * time.Second, ""},
		{"last", 503, 8, []string{}, 0, "gave up after 8 attempts: 503 Service Unavailable"},
		{"received even more often", 503, 20, []string{}, 0, "gave up after 20 attempts: 503 Service Unavailable"},
		{"a redirect", 302, 1, []string{"0"}, 4 * time.Second, ""},
		{"broken off", 0, 1, []string{"0"}, 4 * time.Second, ""},
		{"gone", 410, 1, []string{"0"}, time.Hour, ""},
		{"gone at the last attempt", 410, 8, []string{"0"}, time.Hour, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			w.answer = func(int, *http.Request, string) (int, time.Duration) { return tt.status, 0 }
			failed := w.handle(t, t.Context(), one{id: "0", body: text(0), receives: tt.receives})
			same(t, "failed", failed, tt.failed)
			same(t, "postponed", w.postponed["0"], tt.after)
			same(t, "buried", w.buried["0"].Reason, tt.buried)
			same(t, "attempts", len(w.got), 1)
		})
	}
}

// Nothing in a batch keeps the rest of it from being delivered.
func TestPoison(t *testing.T) {
	missing := fmt.Errorf("get records/x: %w", tapway.ErrNotFound)
	poison := map[string]struct {
		body   string
		reason string // of the dead letter
	}{
		"not-json":   {"hello", "it is not a record"},
		"no-record":  {`{"hello":1}`, "it is not a record"},
		"no-id":      {`{"version":1,"body":null,"body_info":{"encoding":"none","size":0},"response":null,"response_info":{"encoding":"none","size":0}}`, "it is not a record: it has no id"},
		"empty":      {"", "it is not a record"},
		"no-object":  {"pointer:missing", "its record cannot be read: get records/x: not found"},
		"no-pointer": {"pointer:broken", "its record cannot be read: poison message: no pointer"},
	}
	w := newWorld()
	w.Payload = func(_ context.Context, m *Message) (Payload, error) {
		switch m.Body {
		case "pointer:missing":
			return Payload{}, missing
		case "pointer:broken":
			return Payload{}, fmt.Errorf("%w: no pointer", ErrPoison)
		case "pointer:panic":
			panic("secret")
		case "pointer:down":
			return Payload{}, errors.New("503 Slow Down")
		}
		return Payload{Record: []byte(m.Body)}, nil
	}
	batch := records(2)
	for id, p := range poison {
		batch = append(batch, one{id: id, body: p.body})
	}
	batch = append(batch, one{id: "panics", body: "pointer:panic"}, one{id: "panicked", body: "pointer:panic", receives: 8},
		one{id: "later", body: "pointer:down", receives: 9}, one{id: "9", body: text(9)})
	failed := w.handle(t, t.Context(), batch...)
	slices.Sort(failed)
	same(t, "failed", failed, []string{"later", "panics"})
	for id, p := range poison {
		if got := w.buried[id]; got.Verdict != tapway.Dead || !strings.HasPrefix(got.Reason, p.reason) {
			t.Errorf("%s is buried as %+v, want %q", id, got, p.reason)
		}
	}
	same(t, "buried", w.buried["panicked"].Reason, "the forwarder panicked with a string")
	same(t, "delivered", len(w.got), 3)
	if strings.Contains(w.log.String(), "secret") {
		t.Errorf("the log quotes a panic: %s", w.log.String())
	}
}

// A dead letter that cannot be set aside stays in the queue, whatever the reason.
func TestBuryFails(t *testing.T) {
	for _, bury := range []func(context.Context, *Message, tapway.Outcome) error{
		nil, func(context.Context, *Message, tapway.Outcome) error { return errors.New("access denied") },
	} {
		w := newWorld()
		w.Bury = bury
		failed := w.handle(t, t.Context(), one{id: "bad", body: "hello"}, one{id: "1", body: text(1)})
		same(t, "failed", failed, []string{"bad"})
		same(t, "postponed", w.postponed["bad"], 4*time.Second)
		same(t, "observed", w.seen["bad"].Verdict, tapway.Retry)
	}
}

// That its visibility could not be set changes nothing about a failed message.
func TestPostponeFails(t *testing.T) {
	for _, postpone := range []func(context.Context, *Message, time.Duration) error{
		nil, func(context.Context, *Message, time.Duration) error { return errors.New("throttled") },
	} {
		w := newWorld()
		w.Postpone = postpone
		w.answer = func(int, *http.Request, string) (int, time.Duration) { return 500, 0 }
		same(t, "failed", w.handle(t, t.Context(), records(2)...), []string{"0", "1"})
	}
}

// Pauses are whole seconds and fit into SQS's twelve hours.
func TestPause(t *testing.T) {
	for _, tt := range []struct{ min, want time.Duration }{
		{time.Millisecond, time.Second}, {2 * time.Second, time.Second}, {2*time.Second + 2, 2 * time.Second}, {100 * time.Hour, maxPause},
	} {
		w := newWorld()
		w.sender.Retry.Min, w.sender.Retry.Max = tt.min, tt.min
		w.answer = func(int, *http.Request, string) (int, time.Duration) { return 500, 0 }
		w.handle(t, t.Context(), records(1)...)
		same(t, fmt.Sprint(tt.min), w.postponed["0"], tt.want)
	}
}

func TestDiscard(t *testing.T) {
	w := newWorld()
	w.Payload = func(_ context.Context, m *Message) (Payload, error) {
		return Payload{Record: []byte(m.Body), Discard: func(context.Context) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.discarded = append(w.discarded, m.ID)
			return errors.New("access denied") // which is no reason to deliver it again
		}}, nil
	}
	w.answer = func(_ int, _ *http.Request, body string) (int, time.Duration) {
		switch {
		case strings.Contains(body, `"/1"`):
			return 500, 0
		}
		return 200, 0
	}
	batch := records(3)
	batch[2].body = "hello" // dead: its object is what the dead letter stands for
	same(t, "failed", w.handle(t, t.Context(), batch...), []string{"1"})
	same(t, "discarded", w.discarded, []string{"0"})
}

// What a trigger is to keep, but knows no answer for, is kept by an error, and what is settled does not come again.
func TestWholeBatches(t *testing.T) {
	w := newWorld()
	var removed []string
	w.WholeBatches = func(_ context.Context, arn string) bool { return arn == queueARN }
	w.Remove = func(_ context.Context, arn string, settled []*Message) error {
		for _, m := range settled {
			removed = append(removed, arn+" "+m.ID)
		}
		return errors.New("no answer") // then they come again
	}
	same(t, "failed", w.handle(t, t.Context(), records(2)...), []string{})
	same(t, "removed", removed, []string(nil))
	w.answer = func(_ int, _ *http.Request, body string) (int, time.Duration) {
		if strings.Contains(body, `"/1"`) {
			return 500, 0
		}
		return 200, 0
	}
	batch := records(4)
	batch[3].body = "hello" // dead, and set aside
	out, _, err := w.Handle(t.Context(), event(batch...))
	if !errors.Is(err, ErrStays) || out != nil {
		t.Errorf("%s, %v", out, err)
	}
	same(t, "removed", removed, []string{queueARN + " 0", queueARN + " 2", queueARN + " 3"})
	if !strings.Contains(w.log.String(), "they will be delivered again") {
		t.Errorf("the log: %s", &w.log)
	}
}

func TestFilter(t *testing.T) {
	w := newWorld()
	w.dest.Match = func(m *tapway.Message) bool { return m.ID == testID(1) }
	same(t, "failed", w.handle(t, t.Context(), records(3)...), []string{})
	same(t, "delivered", w.got, []string{testID(1).String()})
	same(t, "observed", w.seen["0"], tapway.Outcome{Verdict: tapway.Dropped, Reason: "filtered"})
}

// Several queues may trigger one function; those that nobody knows are left alone.
func TestQueues(t *testing.T) {
	w := newWorld()
	known := w.Destination
	w.Destination = func(arn string) *Destination {
		if arn == "other" {
			return nil
		}
		return known(arn)
	}
	out, _, err := w.Handle(t.Context(), event(one{id: "0", body: text(0)}, one{id: "x", body: text(1), queue: "other"}, one{id: "2", body: text(2)}))
	if err != nil {
		t.Fatal(err)
	}
	same(t, "answer", string(out), `{"batchItemFailures":[{"itemIdentifier":"x"}]}`)
	same(t, "delivered", len(w.got), 2)
	if !strings.Contains(w.log.String(), "queue=other") {
		t.Errorf("the log does not name the queue: %s", w.log.String())
	}
}

func TestConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.dest.Concurrency = 3
		w.answer = func(int, *http.Request, string) (int, time.Duration) { return 200, time.Second }
		start := time.Now()
		same(t, "failed", w.handle(t, t.Context(), records(7)...), []string{})
		same(t, "at a time", w.most, 3)
		same(t, "took", time.Since(start), 3*time.Second)
	})
}

// What cannot be tried in time is returned untried, with its visibility as it is, and what
// is under way then is cut off in time to answer.
func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.dest.Concurrency = 1
		w.sender.Timeout = 10 * time.Second
		w.answer = func(n int, _ *http.Request, _ string) (int, time.Duration) { return 200, 9 * time.Second }
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		start := time.Now()
		// 28 s for attempts: at 0, 9 and 18 s there are 10 s left, at 27 s there are not.
		same(t, "failed", w.handle(t, ctx, records(5)...), []string{"3", "4"})
		same(t, "took", time.Since(start), 27*time.Second)
		same(t, "attempts", len(w.got), 3)
		same(t, "postponed", w.postponed, map[string]time.Duration{})
		same(t, "reason", w.seen["4"].Reason, reasonNoTime)
	})
}

func TestDeadlineShorterThanTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.dest.Concurrency = 1
		w.sender.Timeout = time.Minute
		w.answer = func(n int, _ *http.Request, _ string) (int, time.Duration) {
			if n == 1 {
				return 200, time.Second
			}
			return 200, time.Hour
		}
		ctx, cancel := context.WithTimeout(t.Context(), 6*time.Second)
		defer cancel()
		start := time.Now()
		same(t, "failed", w.handle(t, ctx, records(3)...), []string{"1", "2"})
		same(t, "took", time.Since(start), 4500*time.Millisecond) // a quarter is kept for settling
		same(t, "attempts", len(w.got), 2)
		same(t, "reason", w.seen["1"].Reason, reasonNoTime)
	})
}

// A destination that is down is left alone for the rest of the event, and its records come
// back by their backoff.
func TestDown(t *testing.T) {
	tests := []struct {
		name     string
		answer   func(n int, r *http.Request, body string) (int, time.Duration)
		attempts int
	}{
		{"refusing", func(int, *http.Request, string) (int, time.Duration) { return 503, 0 }, threshold},
		{"unreachable", func(int, *http.Request, string) (int, time.Duration) { return 0, 0 }, threshold},
		{"gone", func(int, *http.Request, string) (int, time.Duration) { return 410, 0 }, 1},
		{"now and then", func(n int, _ *http.Request, _ string) (int, time.Duration) {
			if n%threshold == 0 {
				return 200, 0
			}
			return 503, 0
		}, 20},
		{"not its fault", func(int, *http.Request, string) (int, time.Duration) { return 400, 0 }, 20},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			w.dest.Concurrency = 1
			w.answer = tt.answer
			failed := w.handle(t, t.Context(), records(20)...)
			same(t, "attempts", len(w.got), tt.attempts)
			same(t, "postponed", len(w.postponed), len(failed))
			if tt.attempts < 20 {
				same(t, "verdict of the rest", w.seen["19"].Verdict, tapway.Released)
				same(t, "failed", len(failed), 20)
			}
		})
	}
}

// A destination that takes batches gets them, last attempts excepted.
func TestBatches(t *testing.T) {
	w := newWorld()
	w.dest.Concurrency = 1
	w.sender.Batch.MaxRecords = 3
	w.sender.Format = delivery.NDJSON
	var sizes []int
	w.answer = func(_ int, _ *http.Request, body string) (int, time.Duration) {
		sizes = append(sizes, strings.Count(body, `"version":1`))
		if strings.Contains(body, `"/5"`) {
			return 400, 0
		}
		return 200, 0
	}
	batch := records(8)
	batch[1].receives = 8
	batch[3].body = "poison"
	failed := w.handle(t, t.Context(), batch...)
	same(t, "failed", failed, []string{"5"})
	same(t, "buried", len(w.buried), 1)
	// 0 | 1 alone | 2 (3) 4 | 5 6 7, refused and halved
	same(t, "records per request", sizes, []int{1, 1, 2, 3, 1, 2})
}

func TestFirstAttempt(t *testing.T) {
	w := newWorld()
	var attempts []string
	w.answer = func(_ int, r *http.Request, _ string) (int, time.Duration) {
		attempts = append(attempts, r.Header.Get("X-Tapway-Attempt"))
		return 200, 0
	}
	w.dest.Concurrency = 1
	w.handle(t, t.Context(), one{id: "0", body: text(0)}, one{id: "1", body: text(1), receives: 4})
	same(t, "attempts", attempts, []string{"1", "4"})
}
