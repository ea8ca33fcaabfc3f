package lambdasqs

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseEvent(t *testing.T) {
	event, err := os.ReadFile("testdata/event.json")
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseEvent(event)
	if err != nil {
		t.Fatal(err)
	}
	want := []Message{{
		ID: "059f36b4-87a3-44ab-83d2-661975830a7d", Receipt: "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a", Body: "Test message.",
		QueueARN: "arn:aws:sqs:us-east-2:123456789012:my-queue", Receives: 3, First: time.UnixMilli(1545082649185).UTC(),
		Group: "a1b2c3", Trace: "Root=1-5e1b4151-5ac6c58f3a3f3f3f3f3f3f3f",
		Attributes: map[string]Attribute{
			"ExtendedPayloadSize": {DataType: "Number", String: "300000"},
			"raw":                 {DataType: "Binary", Binary: []byte{0, 1, 2}},
		},
	}, {
		ID: "2e1424d4-f796-459a-8184-9c92662be6da", Receipt: "AQEBzWwaftRI0KuVm4tP+/7q1rGgNqicHq",
		QueueARN: "arn:aws:sqs:us-east-2:123456789012:my-queue", Receives: 1,
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestParseEventRefuses(t *testing.T) {
	tests := []struct{ name, event, want string }{
		{"nothing", ``, "not JSON, from byte 0"},
		{"cut short", `{"Records":[{"messageId":"secret`, "not JSON"},
		{"an array", `["secret"]`, "wrong kind"},
		{"records of the wrong kind", `{"Records":"secret"}`, "Records is of the wrong kind"},
		{"a body of the wrong kind", `{"Records":[{"messageId":"1","eventSource":"aws:sqs","body":7}]}`, "body is of the wrong kind"},
		{"binary that is not base64", `{"Records":[{"messageId":"1","eventSource":"aws:sqs","messageAttributes":{"a":{"binaryValue":"%secret"}}}]}`, "cannot be read"},
		{"an API event", `{"version":"2.0","rawPath":"/secret"}`, "it has no Records; invoke this function by an event source mapping"},
		{"an S3 event", `{"Records":[{"eventSource":"aws:s3"}]}`, `record 0 comes from "aws:s3"`},
		{"the second from elsewhere", `{"Records":[{"messageId":"1","eventSource":"aws:sqs"},{"messageId":"2","eventSource":"aws:sns"}]}`, `record 1 comes from "aws:sns"`},
		{"no id", `{"Records":[{"eventSource":"aws:sqs","body":"secret"}]}`, "record 0 has no messageId"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := new(Handler).Handle(context.Background(), []byte(tt.event))
			if !errors.Is(err, ErrEvent) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("the error is %v, want one about %q", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the error quotes the message: %v", err)
			}
		})
	}
}

func TestAnswer(t *testing.T) {
	if got, want := string(answer(nil)), `{"batchItemFailures":[]}`; got != want {
		t.Errorf("none: %s, want %s", got, want)
	}
	if got, want := string(answer([]string{"a", `"`})), `{"batchItemFailures":[{"itemIdentifier":"a"},{"itemIdentifier":"\""}]}`; got != want {
		t.Errorf("two: %s, want %s", got, want)
	}
}

// An empty batch is none to fail.
func TestNoRecords(t *testing.T) {
	got, _, err := new(Handler).Handle(context.Background(), []byte(`{"Records":[]}`))
	if err != nil || string(got) != `{"batchItemFailures":[]}` {
		t.Errorf("%s, %v", got, err)
	}
}

// Whatever comes in, every message that is not settled is named, each once, and by its own id.
func FuzzHandle(f *testing.F) {
	event, err := os.ReadFile("testdata/event.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(event)
	f.Add([]byte(`{"Records":[{"messageId":"1","eventSource":"aws:sqs","attributes":{"ApproximateReceiveCount":"-9"}}]}`))
	f.Add([]byte(`{"Records":[]}`))
	f.Add([]byte(`{"Records":null}`))
	f.Fuzz(func(t *testing.T, event []byte) {
		h := &Handler{Destination: func(string) *Destination { return nil }, Log: quiet}
		out, _, err := h.Handle(context.Background(), event)
		messages, parseErr := ParseEvent(event)
		if (err == nil) != (parseErr == nil) {
			t.Fatalf("handled: %v, parsed: %v", err, parseErr)
		}
		if err != nil {
			if !errors.Is(err, ErrEvent) {
				t.Fatalf("%v is not ErrEvent", err)
			}
			return
		}
		var answer struct {
			BatchItemFailures []struct{ ItemIdentifier string }
		}
		if err := json.Unmarshal(out, &answer); err != nil {
			t.Fatal(err)
		}
		if len(answer.BatchItemFailures) != len(messages) {
			t.Fatalf("%d of %d messages are named", len(answer.BatchItemFailures), len(messages))
		}
		for i := range messages {
			if messages[i].ID == "" || messages[i].Receives < 1 {
				t.Fatalf("message %d is %+v", i, messages[i])
			}
		}
	})
}
