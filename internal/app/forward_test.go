package app

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/queue/sqsqueue/sqstest"
	"github.com/tapway/tapway/internal/record"
)

// put stores n records in the queue as a proxy function would have sent them.
func (a *account) put(n int) {
	for i := range n {
		ex := &tapway.Exchange{Meta: tapway.Meta{
			ID: tapway.NewID(time.Now()), Time: time.Now(), Method: "GET", Path: fmt.Sprintf("/%d", i), Status: 200,
			From: "api.example.com", Front: tapway.FrontREST, Origin: tapway.OriginBackend, Proto: "HTTP/1.1",
		}}
		id := ex.ID.String()
		a.sqs.Put("records", string(record.Append(nil, ex)), map[string]sqstest.Attribute{"tapway.id": {DataType: "String", StringValue: &id}})
	}
}

// endpoints are those a destination has, each once, and how many records it got.
func (s *sink) endpoints() (distinct []string, all int) {
	for _, rec := range s.all() {
		distinct = append(distinct, rec["endpoint"].(string))
	}
	all = len(distinct)
	slices.Sort(distinct)
	return slices.Compact(distinct), all
}

func to(s *sink) string { return fmt.Sprintf("destinations: [{name: sink, url: %q}]\n", s.URL) }

// TestServeAndForward: a gateway that only sends, and a forwarder that delivers.
func TestServeAndForward(t *testing.T) {
	a := newAccount(t)
	sink := newSink(t)
	w := newWorldIn(t, fmt.Sprintf("data: %s\nbackend: %s\n%sdestinations: []\n", t.TempDir(), echo(t), onSQS))
	for i := range 5 {
		post(t, fmt.Sprintf("%s/%d", w.url, i), []byte("x"))
	}
	eventually(t, "five messages", func() bool { return len(a.sqs.Messages("records")) == 5 })
	l := balanced(t, w.app.queue)
	if l.Calls != 5 || l.Destinations[0].Destination != "default" || l.Destinations[0].Queued != 5 {
		t.Errorf("ledger %+v", l)
	}
	f := startForwarder(t, to(sink))
	sink.next(t, 4)
	a.gone("records")
	if line := balanced(t, f.queue).Destinations[0]; line.Captured != 5 || line.Delivered != 5 {
		t.Errorf("ledger %+v", line)
	}
	if status, warning := readiness(t, f.AdminAddr()); status != 200 || warning != "" {
		t.Errorf("readyz %d %q", status, warning)
	}
	eventually(t, "metrics", func() bool {
		_, text := call(t, "http://"+f.AdminAddr()+"/metrics")
		return strings.Contains(text, `tapway_delivery_attempts_total{class="accepted",destination="sink"} 5`) ||
			strings.Contains(text, `tapway_delivery_attempts_total{class="delivered",destination="sink"} 5`)
	})
}

// TestTwoForwarders share a queue, and one is cut off in the middle as if it were killed: what it
// held comes back when its leases end, and nothing is lost.
func TestTwoForwarders(t *testing.T) {
	a := newAccount(t)
	sink := newSink(t)
	const records = 300
	a.put(records)
	var dead atomic.Bool // the first forwarder's way to SQS
	victim := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if dead.Load() {
			panic(http.ErrAbortHandler)
		}
		a.sqs.ServeHTTP(w, r)
	}))
	defer victim.Close()
	other := os.Getenv("AWS_ENDPOINT_URL_SQS")
	t.Setenv("AWS_ENDPOINT_URL_SQS", victim.URL)
	c := loadForward(t, to(sink))
	first, err := NewForwarder(c, Options{Version: "test", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- first.Run(ctx) }()
	sink.next(t, records/10)
	dead.Store(true)
	victim.CloseClientConnections() // what it was polling for is nobody's
	t.Setenv("AWS_ENDPOINT_URL_SQS", other)
	second := startForwarder(t, to(sink))
	eventually(t, "the second to take what is free", func() bool {
		return second.destinations.live()[0].State().InFlight == 0 && len(sink.all()) > records/2
	})
	// What the first one held comes back when its leases end, and so does, once more, what the
	// second one held at that moment.
	for round := time.Now(); len(a.sqs.Messages("records")) > 0; time.Sleep(50 * time.Millisecond) {
		if a.sqs.Expire("records"); time.Since(round) > 30*time.Second {
			t.Fatal("messages stay in the queue")
		}
	}
	eventually(t, "every record", func() bool { distinct, _ := sink.endpoints(); return len(distinct) == records })
	cancel()
	<-ended // with an error: it could not settle
	second.stop()
	distinct, all := sink.endpoints()
	t.Logf("%d deliveries of %d records", all, len(distinct))
	if len(a.sqs.Messages("records-dead")) != 0 {
		t.Error("records died")
	}
}

// TestForwarderReturnsLeases: at SIGTERM what was not attempted is back in the queue at once.
func TestForwarderReturnsLeases(t *testing.T) {
	a := newAccount(t)
	sink := newSink(t)
	begun, release := make(chan struct{}, 100), make(chan struct{})
	sink.answer = func(http.ResponseWriter, *http.Request) bool {
		begun <- struct{}{}
		<-release
		return false
	}
	a.put(50)
	f := startForwarder(t, fmt.Sprintf("destinations: [{name: sink, url: %q, concurrency: 2}]\n", sink.URL))
	<-begun
	<-begun
	stopped := make(chan struct{})
	go func() { defer close(stopped); f.stop() }()
	eventually(t, "it to stop", func() bool { return !f.serving.Load() })
	close(release)
	<-stopped
	left := a.sqs.Messages("records")
	if delivered := len(sink.all()); delivered+len(left) != 50 || delivered < 2 {
		t.Errorf("%d delivered and %d left", delivered, len(left))
	}
	for _, m := range left {
		if m.Visible.After(time.Now()) {
			t.Errorf("%s is still leased until %v", m.ID, m.Visible)
		}
	}
}

// TestForwarderRefuses: what cannot work is said at the start.
func TestForwarderRefuses(t *testing.T) {
	a := newAccount(t)
	a.sqs.Create("orphan", nil)
	for yaml, says := range map[string]string{
		"queue: disk\ndestinations: [{name: a, url: \"http://a\"}]\n": "set queue: sqs://NAME (--queue, TAPWAY_QUEUE)",
		"queue: sqs://records\n": "there is nowhere to deliver to",
		"queue: sqs://recrods\ndestinations: [{name: a, url: \"http://a\"}]\n":                                                                                              `find queue "recrods"`,
		"queue: sqs://orphan\ndestinations: [{name: a, url: \"http://a\"}]\n":                                                                                               "has no dead-letter queue",
		"queue: sqs://records\ndestinations: [{name: a, url: \"http://a\", if: \"status > 0\", batch: {max_records: 2}}]\nlambda: {dead_letter_queue: \"sqs://nowhere\"}\n": `find queue "nowhere"`,
	} {
		c, err := config.Load(config.Source{File: "t.yaml", Text: []byte("admin: {listen: 127.0.0.1:0}\n" + yaml), Forwards: true, Getenv: func(string) (string, bool) { return "", false }})
		if err != nil {
			t.Fatal(err)
		}
		f, err := NewForwarder(c, Options{Log: slog.New(slog.DiscardHandler)})
		if err == nil {
			err = f.Run(t.Context())
		}
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", yaml, err)
		}
	}
}

// TestForwarderWaitsForSQS: an SQS that does not answer is no reason to end.
func TestForwarderWaitsForSQS(t *testing.T) {
	a := newAccount(t)
	sink := newSink(t)
	a.put(3)
	a.fail(func(c sqstest.Call) *sqstest.Fault {
		if c.Number <= 2 && c.Action != "GetQueueAttributes" { // which is asked again only after seconds
			return &sqstest.Fault{Status: 500, Code: "InternalError"}
		}
		return nil
	})
	startForwarder(t, to(sink))
	sink.next(t, 2)
}

// TestForwarderReload: destinations change without a restart, new ones wait for one.
func TestForwarderReload(t *testing.T) {
	a := newAccount(t)
	sink, other := newSink(t), newSink(t)
	text := "queue: sqs://records\nbucket: objects\nadmin: {listen: 127.0.0.1:0}\n" + to(sink)
	f := startForwarder(t, to(sink))
	f.options.Source = config.Source{File: "tapway.yaml", Forwards: true, Getenv: func(string) (string, bool) { return "", false }, ReadFile: func(string) ([]byte, error) { return []byte(text), nil }}
	a.put(1)
	sink.next(t, 0)
	text = strings.ReplaceAll(text, sink.URL, other.URL)
	if restart, err := f.Reload(); err != nil || restart != nil {
		t.Fatal(restart, err)
	}
	eventually(t, "the new address", func() bool {
		a.put(1) // the poll that the reload broke off may have taken one, which comes back after its lease
		return len(other.all()) > 0
	})
	text = strings.ReplaceAll(text, "name: sink", "name: another")
	if _, err := f.Reload(); err == nil || !strings.Contains(err.Error(), "restart") {
		t.Errorf("a new destination: %v", err)
	}
	text = "queue: sqs://else\nadmin: {listen: 127.0.0.1:0}\nbucket: objects\n" + to(other)
	if restart, err := f.Reload(); err != nil || !slices.Equal(restart, []string{"queue"}) {
		t.Errorf("another queue: %v %v", restart, err)
	}
}

// TestFeed: readers see what comes after they began, in order, and a slow one a jump.
func TestFeed(t *testing.T) {
	f := newFeed()
	text := func(n int) []byte {
		return record.Append(nil, &tapway.Exchange{Meta: tapway.Meta{ID: tapway.NewID(time.Now()), Time: time.Now(), Method: "GET", Path: fmt.Sprint("/", n)}})
	}
	f.add(1, [][]byte{text(1)}) // nobody looks
	if len(f.kept) != 0 {
		t.Error("it keeps what nobody looks at")
	}
	ctx, cancel := context.WithCancel(t.Context())
	next, stop := iter.Pull2(f.follow(ctx))
	defer stop()
	see := func(want uint64) {
		t.Helper()
		ex, err, ok := next()
		if !ok || err != nil || ex.Seq != want || ex.Path != fmt.Sprint("/", want) {
			t.Fatalf("got %+v %v %v, want %d", ex, err, ok, want)
		}
	}
	joined := make(chan struct{})
	go func() {
		eventually(t, "the reader", f.watched)
		f.add(2, [][]byte{text(2), text(3)})
		close(joined)
	}()
	see(2)
	<-joined
	see(3)
	for n := 4; n < 4+feedRecords; n++ {
		f.add(1, [][]byte{text(n)})
	}
	see(4) // the oldest that is kept
	for n := 4 + feedRecords; n < 16+feedRecords; n++ {
		f.add(1, [][]byte{text(n)})
	}
	see(16) // the jump
	f.add(1, [][]byte{make([]byte, feedBytes)})
	if f.bytes > feedBytes || len(f.kept) != 1 {
		t.Errorf("it keeps %d bytes", f.bytes)
	}
	cancel()
	if _, err, _ := next(); !errors.Is(err, context.Canceled) {
		t.Errorf("at the end: %v", err)
	}
	stop()
	if f.readers != 0 || f.kept != nil {
		t.Error("it keeps records for nobody")
	}
}

// settling is a subscription whose Settle fails when told.
type settling struct {
	tapway.Subscription
	err error
}

func (s *settling) Settle(context.Context, []tapway.Settlement) error { return s.err }

// TestShown: only what is delivered is shown, once, when the queue knows it.
func TestShown(t *testing.T) {
	f := newFeed()
	under := &settling{err: errors.New("later")}
	s := &shown{under, f}
	batch := []tapway.Settlement{
		{Message: tapway.Message{Record: []byte("a")}, Outcome: tapway.Outcome{Verdict: tapway.Delivered}},
		{Message: tapway.Message{Record: []byte("b")}, Outcome: tapway.Outcome{Verdict: tapway.Retry}},
		{Message: tapway.Message{Record: []byte("c")}, Outcome: tapway.Outcome{Verdict: tapway.Delivered}},
	}
	f.join()
	if err := s.Settle(t.Context(), batch); err == nil || len(f.kept) != 0 {
		t.Errorf("a settlement that fails: %v, %d shown", err, len(f.kept))
	}
	under.err = nil
	if err := s.Settle(t.Context(), batch); err != nil || len(f.kept) != 2 || string(f.kept[0].text) != "a" || string(f.kept[1].text) != "c" || f.kept[1].seq != 2 {
		t.Errorf("%v, shown %+v", err, f.kept)
	}
	batch[0].Message.Record[0] = 'x'
	if string(f.kept[0].text) != "a" {
		t.Error("what is shown is not a copy")
	}
}
