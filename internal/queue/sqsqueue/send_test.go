package sqsqueue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/awssqs"
	"github.com/tapway/tapway/internal/queue/claimcheck"
	"github.com/tapway/tapway/internal/queue/queuetest"
	"github.com/tapway/tapway/internal/queue/sqsqueue/sqstest"
	"github.com/tapway/tapway/internal/record"
)

// TestMessage: what lies in the queue is the record, for anybody to read, and few attributes.
func TestMessage(t *testing.T) {
	w := newWorld(t, nil)
	ex := queuetest.Exchange(7, 100)
	ex.API = &tapway.API{ID: "a1b2c3", Stage: "prod", RequestID: "r"}
	if err := w.q.Enqueue(t.Context(), ex); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b"} {
		m := w.sqs.Messages(name)[0]
		if m.Body != string(record.Append(nil, ex)) {
			t.Errorf("body %s", m.Body)
		}
		if len(m.Attributes) != 2 || m.Attributes["tapway.id"].String() != ex.ID.String() || m.Attributes["tapway.time"].String() != "2026-11-20T10:00:00.007Z" {
			t.Errorf("attributes %+v", m.Attributes)
		}
		if m.Group != "a1b2c3" {
			t.Errorf("group %q", m.Group)
		}
	}
}

// TestCharacters: every byte can stand in an exchange, SQS takes few of them, and the
// record's escapes make the difference. The fake refuses what SQS refuses.
func TestCharacters(t *testing.T) {
	w := newWorld(t, nil)
	s := w.subscribe("a")
	var all strings.Builder
	for c := range rune(0x120) {
		all.WriteRune(c)
	}
	all.WriteString("\ufdd0\ufffd\ufffe\uffff\u2028\U0001f600\U0010ffff")
	for _, text := range []string{all.String(), "\xff\xfe\x00\xed\xa0\x80", "\x00", "\ufffe", "\uffff"} {
		ex := queuetest.Exchange(0, 0)
		ex.Path, ex.Route, ex.Error, ex.From, ex.TraceID = "/"+text, text, text, text, text
		ex.RequestHeader = tapway.Header{{Name: "X-" + text, Value: text}, {Name: "Content-Type", Value: "text/plain"}}
		ex.ResponseHeader = tapway.Header{{Name: "Content-Type", Value: "application/json"}}
		body, _ := json.Marshal(map[string]string{"t": text})
		ex.Request = tapway.Body{Bytes: []byte(text), Size: int64(len(text))}
		ex.Response = tapway.Body{Bytes: body, Size: int64(len(body))}
		ex.API = &tapway.API{ID: text}
		if err := w.q.Enqueue(t.Context(), ex); err != nil {
			t.Fatalf("%+q: %v", text, err)
		}
		msgs := w.receive(s, 1)
		var got, want any
		if err := errors.Join(json.Unmarshal(msgs[0].Record, &got), json.Unmarshal(record.Append(nil, ex), &want)); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%+q came out differently", text)
		}
		// The reason of a death is an attribute, where nothing can be escaped.
		w.settle(s, tapway.Outcome{Verdict: tapway.Dead, Reason: text + strings.Repeat("é", 300)}, msgs...)
	}
	if n := len(w.sqs.Messages("a-dead")); n != 5 {
		t.Errorf("%d dead letters", n)
	}
	if err := w.q.Enqueue(t.Context(), &tapway.Exchange{}); err != nil {
		t.Errorf("an empty exchange: %v", err)
	}
}

// TestClaims: the limit is the queue's own, and on either side of it everything else is the same.
func TestClaims(t *testing.T) {
	for _, c := range []struct {
		max, limit int
	}{{1024, 768}, {64 << 10, 48 << 10}, {256 << 10, 240 << 10}, {1 << 20, 1008 << 10}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, func(w *world, cfg *Config) {
				cfg.Queues = map[string]string{"small": "small"}
				w.sqs.Create("small-dead", nil)
				w.sqs.Create("small", map[string]string{
					"MaximumMessageSize": itoa(c.max), "RedrivePolicy": sqstest.RedrivePolicy("small-dead", 100),
				})
			})
			s := w.subscribe("small")
			own := 2 * len("String")
			own += len(AttributeID) + 36 + len(AttributeTime) + len("2026-11-20T10:00:00Z")
			for extra, claimed := range map[int]bool{0: false, 1: true} {
				rec := recordOf(t, c.limit-own+extra)
				if err := w.q.EnqueueRecord(t.Context(), rec); err != nil {
					t.Fatal(err)
				}
				m := w.sqs.Messages("small")[0]
				if _, got := m.Attributes["ExtendedPayloadSize"]; got != claimed || (len(w.blobs.keys()) == 1) != claimed {
					t.Errorf("limit %d, size %d: claimed %v, %d blobs", c.max, len(rec), got, len(w.blobs.keys()))
				}
				if claimed && (m.Attributes["ExtendedPayloadSize"].DataType != "Number" || m.Attributes["ExtendedPayloadSize"].String() != itoa(len(rec))) {
					t.Errorf("attribute %+v", m.Attributes)
				}
				msgs := w.receive(s, 1)
				if string(msgs[0].Record) != string(rec) {
					t.Errorf("limit %d: %d bytes came out as %d", c.max, len(rec), len(msgs[0].Record))
				}
				w.settle(s, tapway.Outcome{Verdict: tapway.Delivered}, msgs...)
				if left := w.blobs.keys(); len(left) != 0 {
					t.Errorf("left in the blob store: %v", left)
				}
			}
		})
	}
}

func ptr(s string) *string { return &s }

func itoa(n int) string { b, _ := json.Marshal(n); return string(b) }

// recordOf makes a record of exactly size bytes, as the original system would have written it.
func recordOf(t *testing.T, size int) []byte {
	t.Helper()
	ex := queuetest.Exchange(0, 0)
	ex.RequestHeader, ex.ResponseHeader = nil, nil
	ex.RequestHeader = tapway.Header{{Name: "Content-Type", Value: "text/plain"}}
	ex.From, ex.Path, ex.Query, ex.Route, ex.ClientIP, ex.RequestSize = "", "", "", "", "", 0
	rec := record.Append(nil, ex)
	rec = append(rec[:len(rec)-1], `,"pad":""}`...)
	if len(rec) > size {
		t.Fatalf("the smallest record has %d bytes, want %d", len(rec), size)
	}
	return []byte(strings.Replace(string(rec), `"pad":"`, `"pad":"`+strings.Repeat("x", size-len(rec)), 1))
}

// TestKeep: blobs that are kept serve all destinations at once.
func TestKeep(t *testing.T) {
	for _, keep := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, func(_ *world, c *Config) { c.Claims.Keep = keep })
			if err := w.q.Enqueue(t.Context(), queuetest.Exchange(0, 2<<20)); err != nil {
				t.Fatal(err)
			}
			if n := len(w.blobs.keys()); n != map[bool]int{false: 2, true: 1}[keep] {
				t.Errorf("keep=%v: %d blobs", keep, n)
			}
			for _, name := range []string{"a", "b"} {
				s := w.subscribe(name)
				w.settle(s, tapway.Outcome{Verdict: tapway.Delivered}, w.receive(s, 1)...)
			}
			if n := len(w.blobs.keys()); n != map[bool]int{false: 0, true: 1}[keep] {
				t.Errorf("keep=%v: %d blobs at the end", keep, n)
			}
		})
	}
}

// TestTooLarge: without a blob store, or with one that is down, the record is refused and counted.
func TestTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(_ *world, c *Config) { c.Claims = nil })
		if err := w.q.Enqueue(t.Context(), queuetest.Exchange(0, 2<<20)); !errors.Is(err, ErrTooLarge) {
			t.Errorf("error %v", err)
		}
		if l := w.line("a"); l.Dropped["too-large"] != 1 {
			t.Errorf("account %+v", l)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.blobs.broken(errors.New("S3 is down"))
		err := w.q.Enqueue(t.Context(), queuetest.Exchange(0, 2<<20))
		if err == nil || !strings.Contains(err.Error(), "S3 is down") {
			t.Errorf("error %v", err)
		}
		if l := w.line("a"); l.Dropped["blob-store-unavailable"] != 1 {
			t.Errorf("account %+v", l)
		}
	})
}

// TestBlobTrouble: a blob that cannot be read now is read later; one that will never be is a
// dead letter, and holds nothing up.
func TestBlobTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(_ *world, c *Config) { delete(c.Queues, "b") })
		s := w.subscribe("a")
		if err := w.q.Enqueue(t.Context(), queuetest.Exchange(0, 2<<20)); err != nil {
			t.Fatal(err)
		}
		w.blobs.broken(errors.New("S3 is down"))
		w.none(s, "its blob cannot be read")
		w.blobs.broken(nil)
		start := time.Now()
		m := w.receive(s, 1)
		if d := time.Since(start); d > 30*time.Second || m[0].Attempts != 0 {
			t.Errorf("came after %v with %d attempts", d, m[0].Attempts)
		}
		w.settle(s, tapway.Outcome{Verdict: tapway.Delivered}, m...)

		num := func(s string) map[string]sqstest.Attribute {
			return map[string]sqstest.Attribute{s: {DataType: "Number", StringValue: ptr("300000")}}
		}
		w.sqs.Put("a", string(claimcheck.Pointer{Bucket: "records", Key: "r/gone"}.Append(nil, false)), num("ExtendedPayloadSize"))
		w.sqs.Put("a", string(claimcheck.Pointer{Bucket: "payroll", Key: "r/x"}.Append(nil, true)), num("SQSLargePayloadSize"))
		w.sqs.Put("a", `["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":1}]`, num("ExtendedPayloadSize"))
		w.enqueue(1, 2)
		var got []tapway.Message
		for len(got) == 0 {
			got = w.receive(s, 10)
		}
		w.want(got, 1)
		dead := w.sqs.Messages("a-dead")
		if len(dead) != 3 {
			t.Fatalf("%d dead letters, want 3", len(dead))
		}
		for i, want := range []string{"is gone", `outside "records/"`, "s3BucketName is no string"} {
			if got := dead[i].Attributes[AttributeReason].String(); !strings.Contains(got, want) {
				t.Errorf("reason %q, want %q", got, want)
			}
			if !isReserved(dead[i].Attributes) {
				t.Errorf("the pointer is no pointer any more: %+v", dead[i].Attributes)
			}
		}
		if !strings.Contains(dead[0].Body, `"r/gone"`) {
			t.Errorf("body %s", dead[0].Body)
		}
	})
}

func isReserved(a map[string]sqstest.Attribute) bool {
	for name := range a {
		if claimcheck.IsReserved(name) {
			return true
		}
	}
	return false
}

// TestSentTwice: of a large record that was sent twice one is delivered, and the other, whose
// blob went with the first, is no dead letter.
func TestSentTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(w *world, c *Config) {
			delete(c.Queues, "b")
			w.sqs.Fault = first("SendMessage", 1, sqstest.Fault{Lost: true})
		})
		s := w.subscribe("a")
		if err := w.q.Enqueue(t.Context(), queuetest.Exchange(0, 2<<20)); err != nil {
			t.Fatal(err)
		}
		w.settle(s, tapway.Outcome{Verdict: tapway.Delivered}, w.receive(s, 1)...)
		w.none(s, "the other is a copy")
		if l := w.line("a"); l.Captured != 1 || l.Delivered != 1 || l.Dead != 0 {
			t.Errorf("account %+v", l)
		}
	})
}

// TestForeignMessages: the record of the original system, without attributes, is delivered as it
// is. What is no record at all is a dead letter, wherever a pointer has found it.
func TestForeignMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, onlyA)
		s := w.subscribe("a")
		body := `{"from":"h","endpoint":"/","method":"GET","body":null,"request_headers":{},"response":null,"response_headers":{},"status":200}`
		w.sqs.Put("a", body, nil)
		m := w.receive(s, 1)
		if string(m[0].Record) != body || m[0].ID.IsZero() || !m[0].Enqueued.Equal(time.Now()) {
			t.Errorf("%s: %+v", body, m[0])
		}
		w.settle(s, tapway.Outcome{Verdict: tapway.Delivered}, m...)
		ex := queuetest.Exchange(5, 0)
		w.sqs.Put("a", string(record.Append(nil, ex)), nil)
		if m = w.receive(s, 1); m[0].ID != ex.ID || !m[0].Enqueued.Equal(ex.Time) {
			t.Errorf("a record without attributes: %+v", m[0])
		}
		w.settle(s, tapway.Outcome{Verdict: tapway.Delivered}, m...)

		if err := w.blobs.Put(t.Context(), "conf/tapway.yaml", []byte("token: s3cret")); err != nil {
			t.Fatal(err)
		}
		secret := string(claimcheck.Pointer{Bucket: "records", Key: "conf/tapway.yaml"}.Append(nil, false))
		attribute := func(kind string) map[string]sqstest.Attribute {
			if kind == "Binary" {
				return map[string]sqstest.Attribute{claimcheck.Attribute: {DataType: kind, BinaryValue: []byte{1}}}
			}
			return map[string]sqstest.Attribute{claimcheck.Attribute: {DataType: kind, StringValue: ptr("many")}}
		}
		for _, f := range []struct {
			body       string
			attributes map[string]sqstest.Attribute
		}{
			{"not JSON", nil},
			{"{}", nil},
			{"[" + body + "]", nil},
			{strings.Repeat("[", 100_000), nil},
			{secret, nil}, // no attribute: no pointer
			{secret, attribute("String")},
			{secret, attribute("Binary")},
			{"no pointer", attribute("Binary")},
		} {
			w.sqs.Put("a", f.body, f.attributes)
			w.none(s, "it is no record")
			dead := w.sqs.Messages("a-dead")
			if len(dead) != 1 || dead[0].Body != f.body || isReserved(dead[0].Attributes) != (f.attributes != nil) || len(w.sqs.Messages("a")) != 0 {
				t.Fatalf("%.40s: dead letters %.300s", f.body, fmt.Sprint(dead))
			}
			if r, err := w.q.Purge(t.Context(), "a", Selection{}); err != nil || r.Done != 1 {
				t.Fatalf("%.40s: %+v, %v", f.body, r, err)
			}
		}
		if _, err := w.blobs.Get(t.Context(), "conf/tapway.yaml"); err != nil {
			t.Errorf("a purge has deleted what is not tapway's: %v", err)
		}
	})
}

func TestLookUp(t *testing.T) {
	denied := func(times int) func(sqstest.Call) *sqstest.Fault {
		return first("GetQueueAttributes", times, sqstest.Fault{Status: 403, Code: "AccessDenied"})
	}
	open := func(t *testing.T, ref string, fault func(sqstest.Call) *sqstest.Fault) (*world, *Queue) {
		w := newWorld(t, nil)
		c := w.config()
		c.Queues = map[string]string{"a": ref}
		w.sqs.Fault = fault
		q, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { q.Close() })
		return w, q
	}
	for _, ref := range []string{"a", "sqs://a", sqstest.ARN("a"), sqstest.URL + "/" + sqstest.Account + "/a"} {
		synctest.Test(t, func(t *testing.T) {
			w, q := open(t, ref, nil)
			if err := q.Enqueue(t.Context(), queuetest.Exchange(0, 10)); err != nil {
				t.Fatal(err)
			}
			s, _ := q.Subscribe("a")
			msgs, err := s.Receive(t.Context(), 1)
			if err != nil {
				t.Fatal(err)
			}
			w.settle(s, tapway.Outcome{Verdict: tapway.Dead, Reason: "x"}, msgs...)
			if n := len(w.sqs.Messages("a-dead")); n != 1 {
				t.Errorf("%s: %d dead letters", ref, n)
			}
		})
	}
	t.Run("who may only send", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w, q := open(t, "a", denied(1000))
			for n, size := range []int{10, 300 << 10} { // the queue would take the second as it is
				if err := q.Enqueue(t.Context(), queuetest.Exchange(n, size)); err != nil {
					t.Fatal(err)
				}
			}
			if n := len(w.blobs.keys()); n != 1 {
				t.Errorf("%d blobs, want 1: the safe limit is 256 KiB", n)
			}
			if c := strings.Count(w.log.String(), "attributes cannot be read"); c != 1 {
				t.Errorf("said %d times: %s", c, w.log.String())
			}
		})
	})
	t.Run("the dead-letter queue is not known", func(t *testing.T) {
		for _, c := range []struct {
			name    string
			fault   sqstest.Fault
			refused bool
		}{
			{"for want of a permission", sqstest.Fault{Status: 403, Code: "AccessDenied"}, true},
			{"while SQS throttles", sqstest.Fault{Status: 400, Code: "RequestThrottled"}, false},
			{"while SQS is down", sqstest.Fault{Status: 503, Code: "ServiceUnavailable"}, false},
		} {
			synctest.Test(t, func(t *testing.T) {
				_, q := open(t, "a", first("GetQueueAttributes", 1000, c.fault))
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				err := q.Prepare(ctx)
				if err == nil || Refused(err) != c.refused || strings.Contains(err.Error(), "allow sqs:GetQueueAttributes") != c.refused || !strings.Contains(err.Error(), c.fault.Code) {
					t.Errorf("%s: refused %v, want %v: %v", c.name, Refused(err), c.refused, err)
				}
			})
		}
	})
	t.Run("no dead-letter queue", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, q := open(t, "a-dead", nil)
			if err := q.Enqueue(t.Context(), queuetest.Exchange(0, 10)); err != nil {
				t.Fatal(err)
			}
			s, _ := q.Subscribe("a")
			if err := q.Prepare(t.Context()); !errors.Is(err, tapway.ErrNotFound) {
				t.Errorf("prepared without it: %v", err)
			}
			if st, err := q.Stats(t.Context()); err != nil || st.Destinations[0].Queued != 1 {
				t.Errorf("it can be looked at all the same: %+v, %v", st, err)
			}
			if _, err := s.Receive(t.Context(), 1); !errors.Is(err, tapway.ErrNotFound) || !strings.Contains(err.Error(), "no dead-letter queue") {
				t.Errorf("error %v", err)
			}
		})
	})
	t.Run("no queue", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, q := open(t, "nothing", nil)
			if err := q.Enqueue(t.Context(), queuetest.Exchange(0, 10)); err == nil || !strings.Contains(err.Error(), "does not exist") {
				t.Errorf("error %v", err)
			}
			if err := q.Prepare(t.Context()); err == nil {
				t.Error("Prepare said nothing")
			}
		})
	})
}

func TestRegionOf(t *testing.T) {
	for ref, want := range map[string]string{
		"q": "", "sqs://q": "", "arn:aws-cn:sqs:cn-north-1:123456789012:q": "cn-north-1", "arn:x": "",
		"https://sqs.eu-west-1.amazonaws.com/123456789012/q":                  "eu-west-1",
		"https://sqs-fips.us-east-1.amazonaws.com/123456789012/q":             "us-east-1",
		"https://sqs.us-gov-west-1.amazonaws.com/123456789012/q":              "us-gov-west-1",
		"https://sqs.cn-north-1.amazonaws.com.cn/123456789012/q":              "cn-north-1",
		"https://sqs.eu-west-1.api.aws/123456789012/q":                        "eu-west-1",
		"https://eu-west-1.queue.amazonaws.com/123456789012/q":                "eu-west-1",
		"https://queue.amazonaws.com/123456789012/q":                          "", // an old form of us-east-1's
		"https://vpce-1a-2b.sqs.eu-west-1.vpce.amazonaws.com/123456789012/q":  "eu-west-1",
		"https://vpce-1a-2b-eu-west-1a.sqs.eu-west-1.vpce.amazonaws.com/1/q":  "eu-west-1",
		"http://sqs.us-east-1.localhost.localstack.cloud:4566/000000000000/q": "",
		"http://127.0.0.1:5000/000000000000/q":                                "",
		"https://sqs.amazonaws.com/123456789012/q":                            "",
	} {
		if got := regionOf(ref); got != want {
			t.Errorf("%s: %q, want %q", ref, got, want)
		}
	}
}

func TestConfig(t *testing.T) {
	client := awssqs.New(staticConfig(), nil)
	for _, c := range []struct {
		c    Config
		want string
	}{
		{Config{Client: client, Queues: map[string]string{"a": "a"}}, ""},
		{Config{Queues: map[string]string{"a": "a"}}, "no client"},
		{Config{Client: client}, "no queue"},
		{Config{Client: client, Queues: map[string]string{"a": "a.fifo"}}, "FIFO"},
		{Config{Client: client, Queues: map[string]string{"a": "https://sqs.eu-west-1.amazonaws.com/1/a.fifo"}}, "FIFO"},
		{Config{Client: client, Queues: map[string]string{"a": ""}}, "not the name"},
		{Config{Client: client, Queues: map[string]string{"a": "a b"}}, "not the name"},
		{Config{Client: client, Queues: map[string]string{"a": strings.Repeat("q", 81)}}, "not the name"},
		{Config{Client: client, Queues: map[string]string{"a": "q", "b": "q"}}, "one of its own"},
		{Config{Client: client, Queues: map[string]string{"a": "q"}, DeadLetters: map[string]string{"b": "d"}}, "no destination"},
		{Config{Client: client, Queues: map[string]string{"a": "q"}, DeadLetters: map[string]string{"a": "q"}}, "is the queue of"},
		{Config{Client: client, Queues: map[string]string{"a": "q"}, DeadLetters: map[string]string{"a": "d/"}}, "not the name"},
		{Config{Client: client, Queues: map[string]string{"a": "q"}, Claims: &claimcheck.Check{}}, "blob store"},
		{Config{Client: client, Region: "eu-west-1", Queues: map[string]string{"a": "arn:aws:sqs:us-east-1:123456789012:q"}}, "is in us-east-1, and this is eu-west-1"},
		{Config{Client: client, Region: "eu-west-1", Queues: map[string]string{"a": "q"}, DeadLetters: map[string]string{"a": "arn:aws:sqs:us-east-1:123456789012:d"}}, "is in us-east-1"},
		{Config{Client: client, Region: "eu-west-1", Queues: map[string]string{"a": "https://sqs.us-east-1.amazonaws.com/123456789012/q"}}, "same region"},
		{Config{Client: client, Region: "eu-west-1", Queues: map[string]string{"a": "arn:aws:sqs:eu-west-1:123456789012:q", "b": "https://sqs.eu-west-1.amazonaws.com/1/b", "c": "c"}}, ""},
		{Config{Client: client, Queues: map[string]string{"a": "arn:aws:sqs:us-east-1:123456789012:q"}}, ""},
	} {
		q, err := New(c.c)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.c, err, c.want)
		}
		if q != nil {
			q.Close()
		}
	}
}
