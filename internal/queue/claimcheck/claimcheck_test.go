package claimcheck

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/blob/blobtest"
	"github.com/tapway/tapway/internal/blob/dirblob"
)

const key = "records/0198c2f0-5b1e-7abc-8def-001122334455"

// TestDialects: the four producers' bodies, byte for byte, are all read, and two of them written.
func TestDialects(t *testing.T) {
	want := Pointer{"my-bucket", key}
	for _, c := range []struct{ producer, body string }{
		{"Java 2 by default (with the legacy attribute), tapway, Go", `["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"my-bucket","s3Key":"` + key + `"}]`},
		{"Java 1", `["com.amazon.sqs.javamessaging.MessageS3Pointer",{"s3BucketName":"my-bucket","s3Key":"` + key + `"}]`},
		{"Python", `["software.amazon.payloadoffloading.PayloadS3Pointer", {"s3BucketName": "my-bucket", "s3Key": "` + key + `"}]`},
		{"Python with use_legacy_attribute", `["com.amazon.sqs.javamessaging.MessageS3Pointer", {"s3BucketName": "my-bucket", "s3Key": "` + key + `"}]`},
	} {
		if got, err := ParsePointer([]byte(c.body)); err != nil || got != want {
			t.Errorf("%s: %+v, %v", c.producer, got, err)
		}
	}
	for legacy, golden := range map[bool]string{
		false: `["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"my-bucket","s3Key":"` + key + `"}]`,
		true:  `["com.amazon.sqs.javamessaging.MessageS3Pointer",{"s3BucketName":"my-bucket","s3Key":"` + key + `"}]`,
	} {
		if got := string(want.Append(nil, legacy)); got != golden {
			t.Errorf("legacy=%v\n got %s\nwant %s", legacy, got, golden)
		}
	}
}

func TestParsePointer(t *testing.T) {
	const class = `"software.amazon.payloadoffloading.PayloadS3Pointer"`
	for _, c := range []struct {
		body string
		want Pointer // zero: an error
	}{
		{" [\n\t" + class + " ,\r\n {\"s3Key\" : \"k\" , \"s3BucketName\" : \"b\"} ] ", Pointer{"b", "k"}},
		{`[` + class + `,{"s3BucketName":"b","s3Key":"k","region":{"x":[1,null]}}]`, Pointer{"b", "k"}},
		{`[` + class + `,{"s3BucketName":"b","s3Key":"\u006b<\u00e9"}]`, Pointer{"b", "k<é"}},
		{`[` + class + `,{"s3BucketName":"b","s3Key":"` + strings.Repeat("k", 1024) + `"}]`, Pointer{"b", strings.Repeat("k", 1024)}},
		{`[` + class + `,{"s3BucketName":"b","s3Key":"` + strings.Repeat("k", 1025) + `"}]`, Pointer{}},
		{`[` + class + `,{"s3BucketName":"b","S3KEY":"k"}]`, Pointer{}},
		{`[` + class + `,{"s3BucketName":"b","s3Key":"k","S3Key":"other"}]`, Pointer{"b", "k"}},
		{`[` + class + `,{"s3BucketName":"b","s3Key":""}]`, Pointer{}},
		{`[` + class + `,{"s3BucketName":"","s3Key":"k"}]`, Pointer{}},
		{`[` + class + `,{"s3BucketName":"b","s3Key":null}]`, Pointer{}},
		{`[` + class + `,{"s3BucketName":1,"s3Key":"k"}]`, Pointer{}},
		{`[` + class + `,{"s3BucketName":["b"],"s3Key":"k"}]`, Pointer{}},
		{`[` + class + `,{"s3BucketName":"b"}]`, Pointer{}},
		{`[` + class + `,{}]`, Pointer{}},
		{`[` + class + `,null]`, Pointer{}},
		{`[` + class + `,"x"]`, Pointer{}},
		{`[` + class + `,[]]`, Pointer{}},
		{`[` + class + `]`, Pointer{}},
		{`[` + class + `,{"s3BucketName":"b","s3Key":"k"},1]`, Pointer{}},
		{`[` + class + `,{"s3BucketName":"b","s3Key":"k"}] x`, Pointer{}},
		{`["java.lang.Runtime",{"s3BucketName":"b","s3Key":"k"}]`, Pointer{}},
		{`[null,{"s3BucketName":"b","s3Key":"k"}]`, Pointer{}},
		{`[{"s3BucketName":"b","s3Key":"k"},` + class + `]`, Pointer{}},
		{`{"s3BucketName":"b","s3Key":"k"}`, Pointer{}},
		{`[]`, Pointer{}}, {`null`, Pointer{}}, {`"x"`, Pointer{}}, {`1`, Pointer{}}, {`[`, Pointer{}}, {``, Pointer{}},
		{"[" + class + ",{\"s3BucketName\":\"b\",\"s3Key\":\"\xff\"}]", Pointer{}},
	} {
		got, err := ParsePointer([]byte(c.body))
		if got != c.want || (err == nil) == c.want.IsZero() {
			t.Errorf("%s: %+v, %v", c.body, got, err)
		}
		if err != nil && !errors.Is(err, ErrPointer) {
			t.Errorf("%s: %v does not wrap ErrPointer", c.body, err)
		}
	}
}

func FuzzParsePointer(f *testing.F) {
	f.Add([]byte(`["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"b","s3Key":"k"}]`))
	f.Add([]byte(`["com.amazon.sqs.javamessaging.MessageS3Pointer", {"s3BucketName": "b", "s3Key": "k", "x": 1}]`))
	f.Add([]byte(`["com.amazon.sqs.javamessaging.MessageS3Pointer",{"s3BucketName":"\ud800","s3Key":"<\u2028"}]`))
	f.Add([]byte(`[null,null]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		p, err := ParsePointer(body)
		if err != nil {
			if !errors.Is(err, ErrPointer) || !p.IsZero() {
				t.Fatalf("%+v, %v", p, err)
			}
			return
		}
		if p.Bucket == "" || p.Key == "" || !utf8.ValidString(p.Bucket+p.Key) {
			t.Fatalf("took %+v", p)
		}
		for _, legacy := range []bool{false, true} {
			if again, err := ParsePointer(p.Append(nil, legacy)); err != nil || again != p {
				t.Fatalf("%+v became %+v, %v", p, again, err)
			}
		}
	})
}

func TestReceipts(t *testing.T) {
	p := Pointer{"b", "a/k"}
	const joined = "-..s3BucketName..-b-..s3BucketName..--..s3Key..-a/k-..s3Key..-h-1-2"
	if got := JoinReceipt(p, "h-1-2"); got != joined {
		t.Errorf("got %s", got)
	}
	if got := JoinReceipt(Pointer{}, "h-1-2"); got != "h-1-2" {
		t.Errorf("got %s", got)
	}
	for _, c := range []struct {
		receipt string
		p       Pointer
		handle  string
	}{
		{joined, p, "h-1-2"},
		{"h-1-2", Pointer{}, "h-1-2"},
		{"", Pointer{}, ""},
		{bucketMarker + "b" + bucketMarker, Pointer{}, bucketMarker + "b" + bucketMarker},
		{bucketMarker + "b" + bucketMarker + keyMarker + "k", Pointer{}, bucketMarker + "b" + bucketMarker + keyMarker + "k"},
	} {
		if gp, gh := SplitReceipt(c.receipt); gp != c.p || gh != c.handle {
			t.Errorf("%q: %+v, %q", c.receipt, gp, gh)
		}
	}
}

// located is a store in a directory that says where it is, as s3blob does.
type located struct{ dirblob.Store }

func (located) Locate(key string) (bucket, object string) { return "outside", "pre/" + key }

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	c := &Check{Store: located{dirblob.Store{Dir: dir}}, Prefix: "records/", NewKey: func() string { return "k1" }}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	body := blobtest.Body(300<<10, 3)
	ticket, err := c.Deposit(t.Context(), body)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(ticket.Body), `["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"outside","s3Key":"pre/records/k1"}]`; got != want {
		t.Errorf("body %s", got)
	}
	if ticket.Attribute != "ExtendedPayloadSize" || ticket.Size != len(body) || !IsReserved(ticket.Attribute) {
		t.Errorf("ticket %+v", ticket)
	}
	got, p, err := c.Redeem(t.Context(), ticket.Body)
	if err != nil || string(got) != string(body) || p != ticket.Pointer {
		t.Errorf("%d bytes, %+v, %v", len(got), p, err)
	}

	c.Keep = true
	if err := c.Discard(t.Context(), p); err != nil {
		t.Error(err)
	}
	if _, _, err := c.Redeem(t.Context(), ticket.Body); err != nil {
		t.Errorf("it should have been kept: %v", err)
	}
	c.Keep = false
	for range 2 {
		if err := c.Discard(t.Context(), p); err != nil {
			t.Error(err)
		}
	}
	_, p, err = c.Redeem(t.Context(), ticket.Body)
	var missing *MissingError
	if !errors.As(err, &missing) || !errors.Is(err, tapway.ErrNotFound) || missing.Pointer != ticket.Pointer || p != ticket.Pointer || !Permanent(err) {
		t.Errorf("after it was discarded: %v", err)
	}
}

func TestLegacy(t *testing.T) {
	c := &Check{Store: dirblob.Store{Dir: t.TempDir()}, Bucket: "b", Legacy: true, NewKey: func() string { return "k" }}
	ticket, err := c.Deposit(t.Context(), []byte("body"))
	if err != nil || ticket.Attribute != "SQSLargePayloadSize" ||
		string(ticket.Body) != `["com.amazon.sqs.javamessaging.MessageS3Pointer",{"s3BucketName":"b","s3Key":"k"}]` {
		t.Errorf("%s %s, %v", ticket.Attribute, ticket.Body, err)
	}
	if !IsReserved(ticket.Attribute) || IsReserved("extendedpayloadsize") || IsReserved("") {
		t.Error("reserved names")
	}
}

// TestForeign: a pointer does not make tapway read or delete what is not its own.
func TestForeign(t *testing.T) {
	dir := t.TempDir()
	c := &Check{Store: located{dirblob.Store{Dir: filepath.Join(dir, "in")}}}
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, p := range []Pointer{{"other", "pre/k"}, {"outside", "k"}, {"outside", "pre/"}, {"outside", "../pre/k"}} {
		_, _, err := c.Redeem(t.Context(), p.Append(nil, false))
		var foreign *ForeignError
		if !errors.As(err, &foreign) || !Permanent(err) {
			t.Errorf("%+v: %v", p, err)
		}
		if err := c.Discard(t.Context(), p); err != nil {
			t.Errorf("%+v: %v", p, err)
		}
	}
	_, _, err := c.Redeem(t.Context(), Pointer{"outside", "pre/../secret"}.Append(nil, false))
	var missing *MissingError
	if !errors.As(err, &missing) {
		t.Errorf("a key with dots: %v", err)
	}
}

type broken struct{ err error }

func (b broken) Put(context.Context, string, []byte) error   { return b.err }
func (b broken) Get(context.Context, string) ([]byte, error) { return nil, b.err }
func (b broken) Delete(context.Context, string) error        { return b.err }
func (b broken) Locate(k string) (bucket, object string)     { return "b", k }

func TestBrokenStore(t *testing.T) {
	c := &Check{Store: broken{errors.New("S3 is down")}}
	if _, err := c.Deposit(t.Context(), []byte("x")); err == nil || !strings.Contains(err.Error(), "S3 is down") {
		t.Errorf("deposit: %v", err)
	}
	_, _, err := c.Redeem(t.Context(), Pointer{"b", "k"}.Append(nil, false))
	if err == nil || Permanent(err) {
		t.Errorf("redeem: %v", err)
	}
	if err := c.Discard(t.Context(), Pointer{"b", "k"}); err == nil {
		t.Error("discard said nothing")
	}
}

func TestValidate(t *testing.T) {
	store := dirblob.Store{Dir: "d"}
	for _, c := range []struct {
		check Check
		want  string // "": valid
	}{
		{Check{Store: store, Bucket: "b"}, ""},
		{Check{Store: store, Bucket: "b", Prefix: "a/B-9_x."}, ""},
		{Check{Store: store, Bucket: "b", Prefix: strings.Repeat("p", 981)}, ""},
		{Check{Store: store, Bucket: "b", Prefix: strings.Repeat("p", 982)}, "982 bytes"},
		{Check{Store: store, Bucket: "b", Prefix: "/a"}, "prefix"},
		{Check{Store: store, Bucket: "b", Prefix: ".a"}, "prefix"},
		{Check{Store: store, Bucket: "b", Prefix: "a/../b"}, "prefix"},
		{Check{Store: store, Bucket: "b", Prefix: "a b"}, "prefix"},
		{Check{Store: store, Bucket: "b", Prefix: "a:b"}, "prefix"},
		{Check{Store: store}, "bucket"},
		{Check{}, "blob store"},
	} {
		err := c.check.Validate()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.check, err, c.want)
		}
	}
}

// TestShared: what one forwarder is told to discard another destination may still need.
func TestShared(t *testing.T) {
	store := dirblob.Store{Dir: t.TempDir()}
	producer := &Check{Store: store, Bucket: "b", Prefix: "records/", Keep: true}
	for _, c := range []struct {
		deposit func(context.Context, []byte) (Ticket, error)
		shared  bool
	}{{producer.Deposit, false}, {producer.DepositShared, true}} {
		ticket, err := c.deposit(t.Context(), []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		consumer := &Check{Store: store, Bucket: "b"} // as the forwarder on Lambda has it: no prefix
		if err := consumer.Discard(t.Context(), ticket.Pointer); err != nil {
			t.Fatal(err)
		}
		if _, _, err := consumer.Redeem(t.Context(), ticket.Body); (err == nil) != c.shared {
			t.Errorf("shared %v: %v", c.shared, err)
		}
	}
}

func TestOwn(t *testing.T) {
	c := &Check{Store: dirblob.Store{Dir: t.TempDir()}, Bucket: "b", Prefix: "records/"}
	for p, want := range map[Pointer]bool{
		{"b", "records/x"}: true, {"b", "records/shared/x"}: true,
		{"b", "recordsx"}: false, {"b", "conf/tapway.yaml"}: false, {"b", ""}: false, {"other", "records/x"}: false,
	} {
		if got := c.Own(p); got != want {
			t.Errorf("%+v: %v, want %v", p, got, want)
		}
	}
}
