package sqsqueue

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/awsbase"
	"github.com/tapway/tapway/internal/awss3"
	"github.com/tapway/tapway/internal/awssqs"
	"github.com/tapway/tapway/internal/blob/blobtest"
	"github.com/tapway/tapway/internal/blob/s3blob"
	"github.com/tapway/tapway/internal/mototest"
	"github.com/tapway/tapway/internal/queue/claimcheck"
	"github.com/tapway/tapway/internal/queue/queuetest"
	"github.com/tapway/tapway/internal/record"
)

// moto is SQS and S3 by somebody else: what the fake and we misunderstand alike, it may not.
type moto struct {
	*testing.T
	url string
	cfg aws.Config
	sqs *sqs.Client
	s3  *awss3.Client
}

func startMoto(t *testing.T) *moto {
	t.Helper()
	m := &moto{T: t, url: mototest.Start(t)}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	cfg := staticConfig()
	cfg.HTTPClient = awsbase.Client(transport)
	m.cfg = staticConfig() // with the client's own way to SQS
	m.sqs = sqs.NewFromConfig(cfg, func(o *sqs.Options) { o.BaseEndpoint = &m.url })
	m.s3 = awss3.New(cfg, &m.url)
	return m
}

func (m *moto) create(name string, attributes map[string]string) {
	m.Helper()
	if _, err := m.sqs.CreateQueue(m.Context(), &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes}); err != nil {
		m.Fatal(err)
	}
}

// aws runs the AWS CLI and returns what it printed.
func (m *moto) aws(args ...string) []byte {
	m.Helper()
	path, err := exec.LookPath("aws")
	if err != nil {
		m.Fatal("the AWS CLI is missing: pip install awscli")
	}
	cmd := exec.CommandContext(m.Context(), path, append(args, "--endpoint-url", m.url, "--output", "json")...)
	cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID=AKIDTEST", "AWS_SECRET_ACCESS_KEY=SECRETTEST", "AWS_REGION=eu-west-1",
		"AWS_DEFAULT_REGION=eu-west-1", "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_PAGER=")
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		m.Fatalf("aws %s: %v\n%s", strings.Join(args, " "), err, complaint.String())
	}
	return out
}

// TestMoto: the queue on moto's SQS and S3, read and written by the AWS CLI as well.
func TestMoto(t *testing.T) {
	m := startMoto(t)
	const bucket = "records"
	m.create("siem-dead", nil)
	m.create("siem", map[string]string{
		"MaximumMessageSize": "65536", "VisibilityTimeout": "60",
		"RedrivePolicy": `{"deadLetterTargetArn":"arn:aws:sqs:eu-west-1:123456789012:siem-dead","maxReceiveCount":"1000"}`,
	})
	mototest.CreateBucket(t, m.url, bucket)
	store := &s3blob.Store{Client: m.s3, Bucket: bucket}
	t.Run("blob", func(t *testing.T) {
		i := 0
		blobtest.Test(t, func(*testing.T) tapway.BlobStore {
			i++
			return &s3blob.Store{Client: m.s3, Bucket: bucket, Prefix: fmt.Sprintf("test%d/", i)}
		})
	})
	q, err := New(Config{
		Client: awssqs.New(m.cfg, &m.url), Queues: map[string]string{"siem": "sqs://siem"}, Lease: 30 * time.Second, CallTimeout: 20 * time.Second, Patience: time.Minute,
		Claims: &claimcheck.Check{Store: store, Prefix: "large/"}, Log: discardLog,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	if err := q.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := &world{TB: t, q: q}
	small, large := queuetest.Exchange(1, 100), queuetest.Exchange(2, 300<<10)
	small.API = &tapway.API{ID: "a1b2c3", Stage: "prod"}
	for _, ex := range []*tapway.Exchange{small, large} {
		if err := q.Enqueue(t.Context(), ex); err != nil {
			t.Fatal(err)
		}
	}
	m.readByCLI(bucket, small, large)
	m.cycle(w, store, small, large)
}

// readByCLI reads both records as a stranger would, and puts them back at once.
func (m *moto) readByCLI(bucket string, small, large *tapway.Exchange) {
	m.Helper()
	url := m.url + "/123456789012/siem"
	var got struct {
		Messages []struct {
			Body              string
			ReceiptHandle     string
			Attributes        map[string]string
			MessageAttributes map[string]struct{ StringValue, DataType string }
		}
	}
	out := m.aws("sqs", "receive-message", "--queue-url", url, "--max-number-of-messages", "10", "--visibility-timeout", "0",
		"--message-attribute-names", "All", "--attribute-names", "All")
	if err := json.Unmarshal(out, &got); err != nil {
		m.Fatal(err)
	}
	if len(got.Messages) != 2 {
		m.Fatalf("the CLI got %d messages: %s", len(got.Messages), out)
	}
	for _, msg := range got.Messages {
		id := msg.MessageAttributes[AttributeID].StringValue
		size := msg.MessageAttributes["ExtendedPayloadSize"]
		switch id {
		case small.ID.String():
			if msg.Body != string(record.Append(nil, small)) || size.DataType != "" || msg.Attributes["MessageGroupId"] != "a1b2c3" {
				m.Errorf("the small message: %+v", msg)
			}
		case large.ID.String():
			want := record.Append(nil, large)
			var pointer []json.RawMessage
			var where struct{ S3BucketName, S3Key string }
			if err := json.Unmarshal([]byte(msg.Body), &pointer); err != nil || len(pointer) != 2 || json.Unmarshal(pointer[1], &where) != nil {
				m.Fatalf("the large message: %s", msg.Body)
			}
			if size.DataType != "Number" || size.StringValue != fmt.Sprint(len(want)) || where.S3BucketName != bucket || !strings.HasPrefix(where.S3Key, "large/") {
				m.Errorf("the large message: %+v", msg)
			}
			file := filepath.Join(m.TempDir(), "object")
			m.aws("s3api", "get-object", "--bucket", where.S3BucketName, "--key", where.S3Key, file)
			if object, err := os.ReadFile(file); err != nil || !bytes.Equal(object, want) {
				m.Errorf("the object has %d bytes that are not the record's %d: %v", len(object), len(want), err)
			}
		default:
			m.Errorf("a message with ID %q", id)
		}
	}
}

// cycle goes through attempts, death, redrive and delivery, with one message from the CLI.
func (m *moto) cycle(w *world, store *s3blob.Store, small, large *tapway.Exchange) {
	m.Helper()
	s := w.subscribe("siem")
	byID := map[tapway.ID]tapway.Message{}
	for len(byID) < 2 {
		for _, msg := range w.receive(s, 10) {
			byID[msg.ID] = msg
		}
	}
	if string(byID[large.ID].Record) != string(record.Append(nil, large)) {
		m.Error("the large record came out differently")
	}
	// The CLI has received both before: to tapway that was an attempt.
	if a := byID[small.ID].Attempts; a != 1 {
		m.Errorf("%d attempts", a)
	}
	w.settle(s, tapway.Outcome{Verdict: tapway.Retry, Reason: "503"}, byID[small.ID])
	w.settle(s, tapway.Outcome{Verdict: tapway.Dead, Reason: "410 Gone", Status: 410}, byID[large.ID])
	again := w.receive(s, 10)
	if len(again) != 1 || again[0].ID != small.ID || again[0].Attempts != 2 || again[0].LastError != "503" {
		m.Errorf("after the retry: %+v", again)
	}
	w.settle(s, tapway.Outcome{Verdict: tapway.Delivered}, again...)
	if l := w.line("siem"); l.Captured != 2 || l.Delivered != 1 || l.Dead != 1 {
		m.Errorf("account %+v", l)
	}
	for dl, err := range w.q.PeekDeadLetters(m.Context(), "siem", 0) {
		if err != nil || dl.Meta.ID != large.ID || dl.Reason != "410 Gone" || dl.Status != 410 {
			m.Errorf("%+v, %v", dl, err)
		}
	}
	if r, err := w.q.Redrive(m.Context(), "siem", Selection{Match: func(dl *DeadLetter) bool { return dl.Status == 410 }}); err != nil || r.Done != 1 {
		m.Errorf("redrive: %+v, %v", r, err)
	}
	m.aws("sqs", "send-message", "--queue-url", m.url+"/123456789012/siem", "--message-body", `{"from":"the CLI","endpoint":"/","method":"GET","status":200}`)
	var foreign bool
	for n := 0; n < 2; {
		msgs := w.receive(s, 10)
		for _, msg := range msgs {
			foreign = foreign || string(msg.Record) == `{"from":"the CLI","endpoint":"/","method":"GET","status":200}`
			n++
		}
		w.settle(s, tapway.Outcome{Verdict: tapway.Delivered}, msgs...)
	}
	if !foreign {
		m.Error("the CLI's message did not come")
	}
	out, err := m.s3.List(m.Context(), &awss3.ListInput{Bucket: store.Bucket, Prefix: "large/"})
	if err != nil || len(out.Keys) != 0 {
		m.Errorf("left in the bucket: %+v, %v", out, err)
	}
	if st, err := w.q.Stats(m.Context()); err != nil || st.Destinations[0].Queued != 0 || st.Destinations[0].Dead != 0 {
		m.Errorf("%+v, %v", st, err)
	}
}
