package awssqs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/tapway/tapway/internal/queue/sqsqueue/sqstest"
)

var moment = time.Date(2026, 11, 20, 10, 11, 12, 0, time.UTC)

func config(do aws.HTTPClient) aws.Config {
	return aws.Config{Region: sqstest.Region, HTTPClient: do, Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "secret", SessionToken: "token"}, nil
	})}
}

type doFunc func(*http.Request) (*http.Response, error)

func (f doFunc) Do(r *http.Request) (*http.Response, error) { return f(r) }

// answering gives every request the same answer, and keeps the last request's body.
func answering(status int, header map[string]string, text string, got *string) doFunc {
	return func(r *http.Request) (*http.Response, error) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		if got != nil {
			*got = string(b)
		}
		h := http.Header{}
		for name, value := range header {
			h.Set(name, value)
		}
		return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(text))}, nil
	}
}

// The SDK's signer is right by definition: ours must give the same header.
func TestSignature(t *testing.T) {
	for _, endpoint := range []string{"https://sqs.eu-west-1.amazonaws.com", "http://localhost:4566", "https://proxy.example:443/a/b c%2Fd/", "http://[::1]:4566/x~y"} {
		for _, credentials := range []aws.Credentials{{AccessKeyID: "AKID", SecretAccessKey: "secret"}, {AccessKeyID: "AKID2", SecretAccessKey: "other/secret+", SessionToken: "token=="}} {
			for _, day := range []int{0, 0, 1} {
				cfg := config(nil)
				cfg.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return credentials, nil })
				c := New(cfg, &endpoint)
				c.now = func() time.Time { return moment.AddDate(0, 0, day) }
				b := newBody()
				b.text("MessageBody", aws.String("some text"))
				req, err := c.request(t.Context(), "SendMessage", b)
				if err != nil {
					t.Fatal(err)
				}
				ours := req.Header.Get("Authorization")
				body, err := io.ReadAll(req.Body)
				if err != nil || string(body) != `{"MessageBody":"some text"}` {
					t.Fatalf("the body is %s, %v", body, err)
				}
				if want := strings.TrimSuffix(req.URL.Host, ":443"); req.Host != want {
					t.Errorf("the Host header is %s and what is signed %s", req.Host, want)
				}
				req.Header.Del("Authorization")
				sum := sha256.Sum256(body)
				if err := v4.NewSigner().SignHTTP(t.Context(), credentials, req, hex.EncodeToString(sum[:]), "sqs", cfg.Region, c.now()); err != nil {
					t.Fatal(err)
				}
				if theirs := req.Header.Get("Authorization"); ours != theirs {
					t.Errorf("%s: the signature is\n%s, the SDK's\n%s", endpoint, ours, theirs)
				}
			}
		}
	}
}

type switches struct{ fips, dual bool }

func (s switches) GetUseFIPSEndpoint(context.Context) (aws.FIPSEndpointState, bool, error) {
	if s.fips {
		return aws.FIPSEndpointStateEnabled, true, nil
	}
	return aws.FIPSEndpointStateDisabled, true, nil
}

func (s switches) GetUseDualStackEndpoint(context.Context) (aws.DualStackEndpointState, bool, error) {
	if s.dual {
		return aws.DualStackEndpointStateEnabled, true, nil
	}
	return aws.DualStackEndpointStateDisabled, true, nil
}

func TestEndpointSwitches(t *testing.T) {
	for _, region := range []string{"eu-west-1", "us-gov-west-1", "cn-north-1", "us-iso-east-1", "us-isob-east-1", "us-isof-south-1", "eu-isoe-west-1", "eusc-de-east-1"} {
		for _, s := range []switches{{true, false}, {false, true}, {true, true}} {
			theirs, err := sqs.NewDefaultEndpointResolverV2().ResolveEndpoint(t.Context(), sqs.EndpointParameters{Region: &region, UseFIPS: &s.fips, UseDualStack: &s.dual}.WithDefaults())
			if err != nil {
				continue // the SDK knows that AWS has no such endpoint
			}
			if ours := regional(aws.Config{Region: region, ConfigSources: []any{s}}); ours != theirs.URI.String() {
				t.Errorf("SQS in %s with %+v is at %s, the SDK has it at %s", region, s, ours, &theirs.URI)
			}
		}
	}
}

func TestEndpoints(t *testing.T) {
	for region, want := range map[string]string{
		"eu-west-1": "https://sqs.eu-west-1.amazonaws.com/", "us-gov-west-1": "https://sqs.us-gov-west-1.amazonaws.com/",
		"cn-north-1": "https://sqs.cn-north-1.amazonaws.com.cn/", "us-isob-east-1": "https://sqs.us-isob-east-1.sc2s.sgov.gov/",
	} {
		if got := New(aws.Config{Region: region}, nil).url.String(); got != want {
			t.Errorf("SQS in %s is at %s, want %s", region, got, want)
		}
		// The SDK knows it from its rules.
		theirs, err := sqs.NewDefaultEndpointResolverV2().ResolveEndpoint(t.Context(), sqs.EndpointParameters{Region: &region}.WithDefaults())
		if err != nil || theirs.URI.String()+"/" != want {
			t.Errorf("the SDK has SQS in %s at %v, %v", region, theirs.URI, err)
		}
	}
	for _, bad := range []string{"sqs.example", "ftp://sqs.example", "http://", "http://a b"} {
		_, err := New(config(nil), &bad).PurgeQueue(t.Context(), &PurgeQueueInput{})
		if err == nil || !strings.Contains(err.Error(), "the endpoint of SQS") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestRequestBodies(t *testing.T) {
	var got string
	c := New(config(answering(200, nil, `{"QueueUrl":"u"}`, &got)), aws.String("http://sqs.example"))
	attributes := map[string]MessageAttributeValue{
		"b": {DataType: aws.String("Binary"), BinaryValue: []byte{0, 255}}, "a": {DataType: aws.String("Number"), StringValue: aws.String("1")},
	}
	s := aws.String
	for _, one := range []struct {
		call func() error
		want string
	}{
		{func() error {
			_, err := c.GetQueueUrl(t.Context(), &GetQueueUrlInput{QueueName: s("q")})
			return err
		}, `{"QueueName":"q"}`},
		{func() error {
			_, err := c.SendMessage(t.Context(), &SendMessageInput{QueueUrl: s("u"), MessageBody: s("a\"b\n€"), MessageAttributes: attributes, MessageGroupId: s("g"), DelaySeconds: 3})
			return err
		}, `{"QueueUrl":"u","MessageBody":"a\"b\n€","MessageAttributes":{"a":{"DataType":"Number","StringValue":"1"},"b":{"DataType":"Binary","BinaryValue":"AP8="}},"DelaySeconds":3,"MessageGroupId":"g"}`},
		{func() error {
			_, err := c.ChangeMessageVisibilityBatch(t.Context(), &ChangeMessageVisibilityBatchInput{QueueUrl: s("u"),
				Entries: []ChangeMessageVisibilityBatchRequestEntry{{Id: s("0"), ReceiptHandle: s("h")}, {Id: s("1"), ReceiptHandle: s("i"), VisibilityTimeout: 9}}})
			return err
		}, `{"QueueUrl":"u","Entries":[{"Id":"0","ReceiptHandle":"h","VisibilityTimeout":0},{"Id":"1","ReceiptHandle":"i","VisibilityTimeout":9}]}`},
		{func() error {
			_, err := c.ReceiveMessage(t.Context(), &ReceiveMessageInput{QueueUrl: s("u"), MaxNumberOfMessages: 10, WaitTimeSeconds: 20,
				MessageAttributeNames: []string{"All"}, MessageSystemAttributeNames: []string{"SentTimestamp", "MessageGroupId"}})
			return err
		}, `{"QueueUrl":"u","MaxNumberOfMessages":10,"WaitTimeSeconds":20,"MessageAttributeNames":["All"],"MessageSystemAttributeNames":["SentTimestamp","MessageGroupId"]}`},
	} {
		if err := one.call(); err != nil || got != one.want {
			t.Errorf("sent %s, %v; want %s", got, err, one.want)
		}
		if !json.Valid([]byte(got)) {
			t.Errorf("no JSON: %s", got)
		}
	}
}

func TestRefusals(t *testing.T) {
	for _, one := range []struct {
		status int
		header map[string]string
		text   string
		want   Error
	}{
		{400, map[string]string{"X-Amzn-Query-Error": "AWS.SimpleQueueService.NonExistentQueue;Sender", "X-Amzn-RequestId": "r1"},
			`{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"The specified queue does not exist."}`,
			Error{Code: "AWS.SimpleQueueService.NonExistentQueue", Message: "The specified queue does not exist.", RequestID: "r1", Sender: true}},
		{403, nil, `{"__type":"AccessDeniedException","Message":"no"}`, Error{Code: "AccessDeniedException", Message: "no", Sender: true}},
		{400, map[string]string{"X-Amzn-Errortype": "ThrottlingException:http://internal.amazon.com/"}, `{}`, Error{Code: "ThrottlingException", Sender: true}},
		{500, map[string]string{"X-Amzn-Query-Error": "InternalFailure;Receiver"}, ``, Error{Code: "InternalFailure"}},
		{403, nil, `{"__type":"com.amazon.coral.service#InvalidSignatureException","message":"The request signature we calculated does not match.\n\nThe Canonical String for this request should have been\n'POST\n/\n\nx-amz-security-token:SESSIONTOKEN'"}`,
			Error{Code: "InvalidSignatureException", Message: "The request signature we calculated does not match.", Sender: true}},
		{400, nil, `{"__type":"InvalidParameterValue","message":"` + strings.Repeat("x", 500) + `"}`,
			Error{Code: "InvalidParameterValue", Message: strings.Repeat("x", 400) + "…", Sender: true}},
		{503, nil, `<html>busy</html>`, Error{Code: "UnknownError"}},
		{301, nil, ``, Error{Code: "UnknownError", Sender: true}},
	} {
		_, err := New(config(answering(one.status, one.header, one.text, nil)), aws.String("http://sqs.example")).PurgeQueue(t.Context(), &PurgeQueueInput{})
		one.want.Operation, one.want.Status = "PurgeQueue", one.status
		got, ok := errors.AsType[*Error](err)
		if !ok || *got != one.want {
			t.Errorf("%d %s: %#v, want %#v", one.status, one.text, err, one.want)
			continue
		}
		if got.ErrorCode() != one.want.Code || got.HTTPStatusCode() != one.status || got.ErrorMessage() != one.want.Message || !strings.Contains(got.Error(), one.want.Code) {
			t.Errorf("%v", got)
		}
	}
}

// A message whose bytes were changed on the way counts as not sent.
func TestSums(t *testing.T) {
	text, other := "hello", "5d41402abc4b2a76b9719d911017c593"
	attributes := map[string]MessageAttributeValue{"id": {DataType: aws.String("String"), StringValue: aws.String("x")}}
	const right = "5d41402abc4b2a76b9719d911017c592"
	own := attributesMD5(attributes)
	send := func(answer string) error {
		_, err := New(config(answering(200, nil, answer, nil)), aws.String("http://sqs.example")).SendMessage(t.Context(), &SendMessageInput{MessageBody: &text, MessageAttributes: attributes})
		return err
	}
	for answer, ok := range map[string]bool{
		`{"MD5OfMessageBody":"` + right + `"}`:                                          true,
		`{"MD5OfMessageBody":"` + other + `"}`:                                          false,
		`{"MD5OfMessageBody":"` + right + `","MD5OfMessageAttributes":"` + own + `"}`:   true,
		`{"MD5OfMessageBody":"` + right + `","MD5OfMessageAttributes":"` + other + `"}`: false,
		`{}`:        true,
		`{"Message`: false,
	} {
		if err := send(answer); (err == nil) != ok {
			t.Errorf("%s: %v", answer, err)
		}
	}
	batch := func(answer string) error {
		_, err := New(config(answering(200, nil, answer, nil)), aws.String("http://sqs.example")).SendMessageBatch(t.Context(), &SendMessageBatchInput{
			Entries: []SendMessageBatchRequestEntry{{Id: aws.String("0"), MessageBody: aws.String("x")}, {Id: aws.String("1"), MessageBody: &text}}})
		return err
	}
	if err := batch(`{"Successful":[{"Id":"1","MD5OfMessageBody":"` + right + `"}],"Failed":[{"Id":"0","Code":"c","SenderFault":true}]}`); err != nil {
		t.Error(err)
	}
	if err := batch(`{"Successful":[{"Id":"1","MD5OfMessageBody":"` + other + `"}]}`); err == nil {
		t.Error("a batch with a wrong sum is accepted")
	}
	_, err := New(config(answering(200, nil, `{"Messages":[{"Body":"hello","MD5OfBody":"`+other+`"}]}`, nil)), aws.String("http://sqs.example")).ReceiveMessage(t.Context(), &ReceiveMessageInput{})
	if err == nil {
		t.Error("a received message with a wrong sum is accepted")
	}
}

// Over the client's own transport, with many callers and bodies on either side of what a transport sends by itself.
func TestManyCallers(t *testing.T) {
	for _, secure := range []bool{false, true} {
		fake := &sqstest.Server{}
		fake.Create("q", nil)
		server := httptest.NewUnstartedServer(fake)
		if secure {
			server.StartTLS()
		} else {
			server.Start()
		}
		c := New(config(nil), &server.URL)
		if secure {
			transport := newTransport()
			transport.TLSConfig.RootCAs = server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
			c.do = transport.RoundTrip
		}
		var wg sync.WaitGroup
		want := map[string]bool{}
		for n := range 40 {
			text := strings.Repeat(string(rune('a'+n%26)), 1+n*n*100) + string(rune('A'+n))
			want[text] = true
			wg.Go(func() {
				if _, err := c.SendMessage(t.Context(), &SendMessageInput{QueueUrl: aws.String(sqstest.URL + "/000000000000/q"), MessageBody: &text}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		got := map[string]bool{}
		for _, m := range fake.Messages("q") {
			got[m.Body] = true
		}
		if !maps.Equal(got, want) {
			t.Errorf("secure %v: %d messages of %d arrived", secure, len(got), len(want))
		}
		server.Close()
	}
}

// A transport may read a request's body after the call: it must not get the next call's bytes.
func TestBodyAfterTheCall(t *testing.T) {
	var late io.ReadCloser
	do := doFunc(func(r *http.Request) (*http.Response, error) {
		late, _ = r.GetBody()
		return nil, errors.New("refused at once")
	})
	c := New(config(do), aws.String("http://sqs.example"))
	if _, err := c.SendMessage(t.Context(), &SendMessageInput{MessageBody: aws.String("mine")}); err == nil || !strings.Contains(err.Error(), "refused at once") {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(late); err == nil || len(b) > 0 {
		t.Errorf("read %q, %v after the call", b, err)
	}
}

func TestTrace(t *testing.T) {
	var got []string
	c := New(config(doFunc(func(r *http.Request) (*http.Response, error) {
		got = append(got, r.Header.Get("X-Amzn-Trace-Id"))
		return nil, io.ErrUnexpectedEOF
	})), aws.String("http://sqs.example"))
	for _, env := range []string{"Root=1-5759e988-bd862e3fe1be46a994272793", "a\nb", ""} {
		t.Setenv("_X_AMZN_TRACE_ID", env)
		for _, function := range []string{"f", ""} {
			t.Setenv("AWS_LAMBDA_FUNCTION_NAME", function)
			_, _ = c.PurgeQueue(t.Context(), &PurgeQueueInput{})
		}
	}
	if want := []string{"Root=1-5759e988-bd862e3fe1be46a994272793", "", "", "", "", ""}; !slices.Equal(got, want) {
		t.Errorf("sent %q, want %q", got, want)
	}
}

// What the SDK's client sends and what ours sends mean the same.
func TestSameAsSDK(t *testing.T) {
	s := aws.String
	url, text, group := s("https://sqs.eu-west-1.amazonaws.com/1/q"), s("{\"a\":\"\\u0001 \x7f € 😀\"}\r\n\t"), s("g")
	var ours, theirs string
	endpoint := s("http://sqs.example")
	_, err := New(config(answering(200, nil, `{}`, &ours)), endpoint).SendMessage(t.Context(), &SendMessageInput{
		QueueUrl: url, MessageBody: text, MessageGroupId: group,
		MessageAttributes: map[string]MessageAttributeValue{"n": {DataType: s("Number"), StringValue: s("7")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	sdk := sqs.NewFromConfig(config(answering(200, nil, `{}`, &theirs)), func(o *sqs.Options) { o.BaseEndpoint = endpoint })
	_, err = sdk.SendMessage(t.Context(), &sqs.SendMessageInput{
		QueueUrl: url, MessageBody: text, MessageGroupId: group,
		MessageAttributes: map[string]types.MessageAttributeValue{"n": {DataType: s("Number"), StringValue: s("7")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var a, b any
	if json.Unmarshal([]byte(ours), &a) != nil || json.Unmarshal([]byte(theirs), &b) != nil || !reflect.DeepEqual(a, b) {
		t.Errorf("sent %s, the SDK sends %s", ours, theirs)
	}
}

// TestReceived: what ours reads in an answer is what the SDK's client reads in it.
func TestReceived(t *testing.T) {
	const answer = `{"Messages":[{"MessageId":"m","ReceiptHandle":"h","Body":"hello","MD5OfBody":"5d41402abc4b2a76b9719d911017c592","MD5OfMessageAttributes":"x",` +
		`"Attributes":{"SentTimestamp":"1","MessageGroupId":"g"},"MessageAttributes":{"b":{"DataType":"Binary","BinaryValue":"AP8="},"s":{"DataType":"String","StringValue":"€"}}}]}`
	ours, err := New(config(answering(200, nil, answer, nil)), aws.String("http://sqs.example")).ReceiveMessage(t.Context(), &ReceiveMessageInput{})
	if err != nil {
		t.Fatal(err)
	}
	sdk := sqs.NewFromConfig(config(answering(200, nil, answer, nil)), func(o *sqs.Options) {
		o.BaseEndpoint, o.DisableMessageChecksumValidation = aws.String("http://sqs.example"), true
	})
	theirs, err := sdk.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: aws.String("u")})
	if err != nil {
		t.Fatal(err)
	}
	a, b := ours.Messages[0], theirs.Messages[0]
	if *a.MessageId != *b.MessageId || *a.ReceiptHandle != *b.ReceiptHandle || *a.Body != *b.Body || *a.MD5OfBody != *b.MD5OfBody || !maps.Equal(a.Attributes, b.Attributes) {
		t.Errorf("%+v, the SDK reads %+v", a, b)
	}
	for name, v := range b.MessageAttributes {
		if got := a.MessageAttributes[name]; *got.DataType != *v.DataType || aws.ToString(got.StringValue) != aws.ToString(v.StringValue) || !bytes.Equal(got.BinaryValue, v.BinaryValue) {
			t.Errorf("%s: %+v, the SDK reads %+v", name, got, v)
		}
	}
	if len(a.MessageAttributes) != len(b.MessageAttributes) || len(ours.Messages) != len(theirs.Messages) {
		t.Errorf("%+v, the SDK reads %+v", ours, theirs)
	}
}

// TestClock: after a refusal for it, SQS's clock counts.
func TestClock(t *testing.T) {
	for code, moved := range map[string]bool{"InvalidSignatureException": true, "RequestExpired": true, "AccessDenied": false} {
		var dates []string
		c := New(config(doFunc(func(r *http.Request) (*http.Response, error) {
			dates = append(dates, r.Header.Get("X-Amz-Date"))
			return answering(403, map[string]string{"Date": "Fri, 20 Nov 2026 12:00:00 GMT"}, `{"__type":"`+code+`"}`, nil)(r)
		})), aws.String("http://sqs.example"))
		c.now = func() time.Time { return moment }
		for range 2 {
			if _, err := c.PurgeQueue(t.Context(), &PurgeQueueInput{}); err == nil {
				t.Error("no error")
			}
		}
		if dates[0] != "20261120T101112Z" || (dates[1] == "20261120T120000Z") != moved {
			t.Errorf("%s: calls at %v", code, dates)
		}
	}
}

// TestClockPutRight: SQS's clock counts no longer than ours is wrong.
func TestClockPutRight(t *testing.T) {
	theirs, ours := moment.Add(10*time.Minute), moment
	c := New(config(doFunc(func(r *http.Request) (*http.Response, error) {
		if at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date")); err != nil || at.Sub(theirs).Abs() > 5*time.Minute {
			return answering(403, map[string]string{"Date": theirs.Format(http.TimeFormat)}, `{"__type":"InvalidSignatureException"}`, nil)(r)
		}
		return answering(200, nil, "", nil)(r)
	})), aws.String("http://sqs.example"))
	c.now = func() time.Time { return ours }
	for _, step := range []struct {
		clock time.Time
		right bool
	}{{moment, false}, {moment, true}, {theirs, false}, {theirs, true}} {
		ours = step.clock
		if _, err := c.PurgeQueue(t.Context(), &PurgeQueueInput{}); (err == nil) != step.right {
			t.Errorf("our clock at %v: %v", ours, err)
		}
	}
}

// TestReceivedLarge: ten messages of 1 MiB each, which the queue's limit allows, all of them quotes.
func TestReceivedLarge(t *testing.T) {
	one := `{"MessageId":"m","Body":"` + strings.Repeat(`\"`, 1<<20) + `"}`
	answer := `{"Messages":[` + strings.TrimSuffix(strings.Repeat(one+",", 10), ",") + `]}`
	c := New(config(answering(200, nil, answer, nil)), aws.String("http://sqs.example"))
	out, err := c.ReceiveMessage(t.Context(), &ReceiveMessageInput{})
	if err != nil || len(out.Messages) != 10 || len(*out.Messages[9].Body) != 1<<20 {
		t.Errorf("%v", err)
	}
}

func TestNoCredentials(t *testing.T) {
	cfg := config(answering(200, nil, `{}`, nil))
	cfg.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{}, errors.New("they have gone")
	})
	if _, err := New(cfg, nil).PurgeQueue(t.Context(), &PurgeQueueInput{}); err == nil || !strings.Contains(err.Error(), "they have gone") {
		t.Error(err)
	}
	cfg.Credentials = nil
	if _, err := New(cfg, nil).PurgeQueue(t.Context(), &PurgeQueueInput{}); err == nil {
		t.Error("a call without credentials")
	}
}

func FuzzRefusal(f *testing.F) {
	f.Add(`{"__type":"a#b","message":"m"}`, "x;Sender", "t:u")
	f.Fuzz(func(t *testing.T, text, query, kind string) {
		e := refusal("Op", &http.Response{StatusCode: 400, Header: http.Header{"X-Amzn-Query-Error": {query}, "X-Amzn-Errortype": {kind}}}, []byte(text))
		if e.Code == "" {
			t.Error("an error without a code")
		}
	})
}
