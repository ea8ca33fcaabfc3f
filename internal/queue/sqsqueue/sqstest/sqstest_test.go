package sqstest_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/tapway/tapway/internal/queue/sqsqueue/sqstest"
)

func client(s *sqstest.Server) *sqs.Client {
	return sqs.New(sqs.Options{
		Region: sqstest.Region, BaseEndpoint: aws.String(sqstest.URL), HTTPClient: s.Client(), Retryer: aws.NopRetryer{},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIDTEST", SecretAccessKey: "SECRETTEST"}, nil
		}),
	})
}

func code(err error) string {
	var coded interface{ ErrorCode() string }
	if err == nil {
		return ""
	}
	if !errors.As(err, &coded) {
		return err.Error()
	}
	return coded.ErrorCode()
}

// TestStrict: what SQS refuses is refused, and its neighbour is taken.
func TestStrict(t *testing.T) {
	var s sqstest.Server
	url := s.Create("q", map[string]string{"MaximumMessageSize": "1024"})
	c := client(&s)
	text := func(v string) types.MessageAttributeValue {
		return types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &v}
	}
	ten := map[string]types.MessageAttributeValue{}
	for _, n := range strings.Split("a b c d e f g h i j", " ") {
		ten[n] = text("v")
	}
	eleven := map[string]types.MessageAttributeValue{"k": text("v")}
	for n, v := range ten {
		eleven[n] = v
	}
	for _, e := range []struct {
		body string
		a    map[string]types.MessageAttributeValue
		want string
	}{
		{strings.Repeat("x", 1024), nil, ""},
		{strings.Repeat("x", 1025), nil, "InvalidParameterValue"},
		{strings.Repeat("x", 1024-len("aStringv")), map[string]types.MessageAttributeValue{"a": text("v")}, ""},
		{strings.Repeat("x", 1025-len("aStringv")), map[string]types.MessageAttributeValue{"a": text("v")}, "InvalidParameterValue"},
		{"\t\n\r \ud7ff\ue000\ufffd\U00010000\U0010ffff", nil, ""},
		{"\x00", nil, "InvalidMessageContents"}, {"\x1f", nil, "InvalidMessageContents"},
		{"\ufffe", nil, "InvalidMessageContents"}, {"\uffff", nil, "InvalidMessageContents"},
		{"x", ten, ""}, {"x", eleven, "InvalidParameterValue"},
		{"x", map[string]types.MessageAttributeValue{"a": text("")}, "InvalidParameterValue"},
		{"x", map[string]types.MessageAttributeValue{"AWS.x": text("v")}, "InvalidParameterValue"},
		{"x", map[string]types.MessageAttributeValue{"a b": text("v")}, "InvalidParameterValue"},
		{"x", map[string]types.MessageAttributeValue{"a": {DataType: aws.String("Number"), StringValue: aws.String("one")}}, "InvalidParameterValue"},
	} {
		_, err := c.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: &e.body, MessageAttributes: e.a})
		if got := strings.TrimSuffix(code(err), "Exception"); got != e.want {
			t.Errorf("%.30q (%d bytes), %d attributes: %q, want %q", e.body, len(e.body), len(e.a), got, e.want)
		}
	}
	if _, err := c.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: aws.String(url + "x"), MessageBody: aws.String("x")}); !strings.Contains(code(err), "NonExistentQueue") && !strings.Contains(code(err), "QueueDoesNotExist") {
		t.Errorf("no such queue: %q", code(err))
	}
}

// TestLeases: visibility, its limit of twelve hours, and old receipt handles.
func TestLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s sqstest.Server
		url := s.Create("q", nil)
		c := client(&s)
		s.Put("q", "x", nil)
		receive := func(wait int32) []types.Message {
			t.Helper()
			out, err := c.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url, WaitTimeSeconds: wait})
			if err != nil {
				t.Fatal(err)
			}
			return out.Messages
		}
		hide := func(handle *string, seconds int32) string {
			_, err := c.ChangeMessageVisibility(t.Context(), &sqs.ChangeMessageVisibilityInput{QueueUrl: &url, ReceiptHandle: handle, VisibilityTimeout: seconds})
			return code(err)
		}
		first := receive(0)[0].ReceiptHandle
		if len(receive(20)) != 0 {
			t.Error("received twice within 20 s")
		}
		if got := hide(first, 43200-19); !strings.HasPrefix(got, "InvalidParameterValue") {
			t.Errorf("more than twelve hours in all: %q", got)
		}
		if got := hide(first, 43200-20); got != "" {
			t.Errorf("exactly twelve hours in all: %q", got)
		}
		time.Sleep(12 * time.Hour)
		if got := hide(first, 1); !strings.Contains(got, "MessageNotInflight") {
			t.Errorf("not leased: %q", got)
		}
		second := receive(0)[0].ReceiptHandle
		for i, handle := range []*string{first, second} {
			if _, err := c.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: handle}); err != nil {
				t.Error(err)
			}
			if n := len(s.Messages("q")); n != 1-i {
				t.Errorf("%d messages after delete %d", n, i)
			}
		}
	})
}

// TestRedrive: what was received too often goes to the dead-letter queue, with its source.
func TestRedrive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s sqstest.Server
		dead := s.Create("dead", nil)
		url := s.Create("q", map[string]string{"RedrivePolicy": sqstest.RedrivePolicy("dead", 2)})
		c := client(&s)
		s.Put("q", "x", nil)
		for i, want := range []int{1, 1, 0} {
			out, err := c.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url, VisibilityTimeout: 1})
			if err != nil || len(out.Messages) != want {
				t.Fatalf("receive %d: %d messages, %v", i, len(out.Messages), err)
			}
			time.Sleep(time.Second)
		}
		out, err := c.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &dead, MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"}})
		if err != nil || len(out.Messages) != 1 || out.Messages[0].Attributes["DeadLetterQueueSourceArn"] != sqstest.ARN("q") {
			t.Fatalf("%+v, %v", out, err)
		}
	})
}
