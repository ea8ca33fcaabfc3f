package sqsqueue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"go.uber.org/goleak"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/awssqs"
	"github.com/tapway/tapway/internal/queue/claimcheck"
	"github.com/tapway/tapway/internal/queue/queuetest"
	"github.com/tapway/tapway/internal/queue/sqsqueue/sqstest"
	"github.com/tapway/tapway/internal/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// staticConfig is a client configuration with keys that nobody checks.
func staticConfig() aws.Config {
	return aws.Config{
		Region: sqstest.Region,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIDTEST", SecretAccessKey: "SECRETTEST"}, nil
		}),
	}
}

// mapBlobs is a blob store in memory, with faults.
type mapBlobs struct {
	mu    sync.Mutex
	blobs map[string][]byte
	fail  error
}

func (b *mapBlobs) do(ctx context.Context, f func() error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := errors.Join(ctx.Err(), b.fail); err != nil {
		return err
	}
	return f()
}

func (b *mapBlobs) Put(ctx context.Context, key string, body []byte) error {
	return b.do(ctx, func() error {
		if b.blobs == nil {
			b.blobs = map[string][]byte{}
		}
		b.blobs[key] = bytes.Clone(body)
		return nil
	})
}

func (b *mapBlobs) Get(ctx context.Context, key string) (body []byte, err error) {
	err = b.do(ctx, func() error {
		var ok bool
		if body, ok = b.blobs[key]; !ok {
			return tapway.ErrNotFound
		}
		body = bytes.Clone(body)
		return nil
	})
	return body, err
}

func (b *mapBlobs) Delete(ctx context.Context, key string) error {
	return b.do(ctx, func() error { delete(b.blobs, key); return nil })
}

func (b *mapBlobs) broken(err error) {
	b.mu.Lock()
	b.fail = err
	b.mu.Unlock()
}

func (b *mapBlobs) keys() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []string
	for k := range b.blobs {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}

// world is a fake SQS with queues for destinations a and b, a blob store, and a queue on them.
type world struct {
	testing.TB
	sqs   *sqstest.Server
	blobs *mapBlobs
	log   *syncBuffer
	q     *Queue
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// newWorld makes one; change may alter the configuration, and the server before it is called.
func newWorld(t testing.TB, change func(w *world, c *Config)) *world {
	t.Helper()
	w := &world{TB: t, sqs: &sqstest.Server{}, blobs: &mapBlobs{}, log: &syncBuffer{}}
	c := w.config()
	if change != nil {
		change(w, &c)
	}
	for _, name := range []string{"a", "b"} {
		w.sqs.Create(name+"-dead", nil)
		w.sqs.Create(name, map[string]string{"RedrivePolicy": sqstest.RedrivePolicy(name+"-dead", 1000)})
	}
	w.q = w.open(c)
	return w
}

func (w *world) config() Config {
	cfg := staticConfig()
	cfg.HTTPClient = w.sqs.Client()
	return Config{
		Client: awssqs.New(cfg, aws.String(sqstest.URL)), Queues: map[string]string{"a": "a", "b": "sqs://b"},
		Claims: &claimcheck.Check{Store: w.blobs, Bucket: "records", Prefix: "r/"},
		Lease:  queuetest.Lease, Log: slog.New(slog.NewTextHandler(w.log, nil)),
	}
}

// open makes another queue on the same SQS: another process.
func (w *world) open(c Config) *Queue {
	w.Helper()
	q, err := New(c)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { q.Close() })
	if err := q.Prepare(w.Context()); err != nil {
		w.Fatal(err)
	}
	return q
}

func (w *world) enqueue(from, to int) {
	w.Helper()
	for n := from; n < to; n++ {
		if err := w.q.Enqueue(w.Context(), queuetest.Exchange(n, 10)); err != nil {
			w.Fatal(err)
		}
	}
}

func (w *world) subscribe(name string) tapway.Subscription {
	w.Helper()
	s, err := w.q.Subscribe(name)
	if err != nil {
		w.Fatal(err)
	}
	return s
}

func (w *world) receive(s tapway.Subscription, max int) []tapway.Message {
	w.Helper()
	msgs, err := s.Receive(w.Context(), max)
	if err != nil {
		w.Fatal(err)
	}
	return msgs
}

func (w *world) none(s tapway.Subscription, why string) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), time.Second)
	defer cancel()
	if msgs, err := s.Receive(ctx, 10); !errors.Is(err, context.DeadlineExceeded) || len(msgs) > 0 {
		w.Fatalf("%s: received %d messages, error %v", why, len(msgs), err)
	}
}

func (w *world) settle(s tapway.Subscription, o tapway.Outcome, msgs ...tapway.Message) {
	w.Helper()
	var all []tapway.Settlement
	for _, m := range msgs {
		all = append(all, tapway.Settlement{Message: m, Outcome: o})
	}
	if err := s.Settle(w.Context(), all); err != nil {
		w.Fatal(err)
	}
}

// line is a destination's account; it and the whole ledger must have no difference.
func (w *world) line(name string) tapway.LedgerLine {
	w.Helper()
	l, err := w.q.Ledger(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	if l.Difference() != 0 {
		w.Fatalf("the ledger is out by %d: %+v", l.Difference(), l)
	}
	for _, line := range l.Destinations {
		if line.Destination == name {
			if line.Difference() != 0 {
				w.Fatalf("the account of %s is out by %d: %+v", name, line.Difference(), line)
			}
			return line
		}
	}
	w.Fatalf("no account of %s", name)
	return tapway.LedgerLine{}
}

// number is the n of queuetest.Exchange(n, …).
func (w *world) number(m tapway.Message) int {
	w.Helper()
	ex, err := record.Parse(m.Record)
	if err != nil {
		w.Fatalf("message %s: %v", m.ID, err)
	}
	if ex.ID != m.ID {
		w.Fatalf("message says ID %s, its record %s", m.ID, ex.ID)
	}
	return numberOf(w, ex)
}

func numberOf(t testing.TB, ex *tapway.Exchange) int {
	t.Helper()
	values, err := url.ParseQuery(ex.Query)
	var n int
	if err == nil {
		_, err = fmt.Sscan(values.Get("n"), &n)
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (w *world) numbers(msgs []tapway.Message) (ns []int) {
	w.Helper()
	for _, m := range msgs {
		ns = append(ns, w.number(m))
	}
	slices.Sort(ns)
	return ns
}

func (w *world) want(msgs []tapway.Message, ns ...int) {
	w.Helper()
	if got := w.numbers(msgs); !slices.Equal(got, ns) {
		w.Fatalf("received %v, want %v", got, ns)
	}
}

var discardLog = slog.New(slog.NewTextHandler(io.Discard, nil))

func receiveAll(url string) *awssqs.ReceiveMessageInput {
	return &awssqs.ReceiveMessageInput{QueueUrl: &url, MessageAttributeNames: []string{"All"}, MessageSystemAttributeNames: systemAttributes, VisibilityTimeout: 360}
}
