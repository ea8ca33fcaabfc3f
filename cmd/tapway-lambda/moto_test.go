package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/tapway/tapway/internal/awsbase"
	"github.com/tapway/tapway/internal/mototest"
)

// moto is SQS and S3 by somebody else, asked by AWS's own command line.
type moto struct {
	*testing.T
	url string
}

func startMoto(t *testing.T) *moto {
	t.Helper()
	if _, err := exec.LookPath("aws"); err != nil {
		if os.Getenv("CI") == "" {
			t.Skip("aws is missing here: pip install awscli")
		}
		t.Fatal("aws is missing: pip install awscli")
	}
	return &moto{t, mototest.Start(t)}
}

// aws runs the AWS CLI and returns what it printed.
func (m *moto) aws(args ...string) []byte {
	m.Helper()
	cmd := exec.CommandContext(m.Context(), "aws", append(args, "--endpoint-url", m.url, "--output", "json")...)
	cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID=AKID", "AWS_SECRET_ACCESS_KEY=secret", "AWS_REGION=eu-west-1",
		"AWS_DEFAULT_REGION=eu-west-1", "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_PAGER=")
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		m.Fatalf("aws %.300s: %v\n%s", strings.Join(args, " "), err, complaint.String())
	}
	return out
}

func (m *moto) queue(name string) string { return m.url + "/123456789012/" + name }

// file makes a file of a text, for arguments that are too long or too odd for a command line.
func (m *moto) file(text []byte) string {
	m.Helper()
	name := filepath.Join(m.TempDir(), "text")
	if err := os.WriteFile(name, text, 0o600); err != nil {
		m.Fatal(err)
	}
	return "file://" + name
}

func (m *moto) json(v any) string {
	m.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		m.Fatal(err)
	}
	return m.file(text)
}

type newQueue struct {
	name       string
	attributes map[string]string
}

// create makes what a deployment makes: queues in their order, because a queue's dead-letter queue
// must be there first, and a bucket.
func (m *moto) create(queues []newQueue, bucket string) {
	m.Helper()
	cfg, err := awsbase.FromEnv(func(name string) string {
		return map[string]string{"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "secret"}[name]
	})
	if err != nil {
		m.Fatal(err)
	}
	cfg.HTTPClient = awsbase.Client(&http.Transport{DisableKeepAlives: true})
	client := sqs.NewFromConfig(cfg, func(o *sqs.Options) { o.BaseEndpoint = &m.url })
	for _, q := range queues {
		if _, err := client.CreateQueue(m.Context(), &sqs.CreateQueueInput{QueueName: &q.name, Attributes: q.attributes}); err != nil {
			m.Fatal(err)
		}
	}
	mototest.CreateBucket(m.T, m.url, bucket)
}

// message is one as `aws sqs receive-message` prints it.
type message struct {
	MessageId         string
	ReceiptHandle     string
	Body              string
	Attributes        map[string]string
	MessageAttributes map[string]attribute
}

type attribute struct {
	StringValue string `json:"stringValue,omitempty"`
	BinaryValue []byte `json:"binaryValue,omitempty"`
	DataType    string `json:"dataType"`
}

// receive takes n messages out of a queue; they stay there, invisible.
func (m *moto) receive(queue string, n int) (all []message) {
	m.Helper()
	for range 5 {
		out := m.aws("sqs", "receive-message", "--queue-url", m.queue(queue), "--max-number-of-messages", "10", "--visibility-timeout", "600",
			"--message-attribute-names", "All", "--attribute-names", "All")
		var got struct{ Messages []message }
		if len(bytes.TrimSpace(out)) > 0 {
			if err := json.Unmarshal(out, &got); err != nil {
				m.Fatalf("%v in %s", err, out)
			}
		}
		if all = append(all, got.Messages...); len(all) >= n {
			break
		}
	}
	if len(all) != n {
		m.Fatalf("%d messages in %s, want %d", len(all), queue, n)
	}
	return all
}

// event is what an event source mapping would make of messages.
func (m *moto) event(queue string, all []message) []byte {
	m.Helper()
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
	for _, x := range all {
		event.Records = append(event.Records, one{x.MessageId, x.ReceiptHandle, x.Body, x.Attributes, x.MessageAttributes, "aws:sqs", "arn:aws:sqs:eu-west-1:123456789012:" + queue})
	}
	text, err := json.Marshal(event)
	if err != nil {
		m.Fatal(err)
	}
	return text
}
