package awss3

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// TestEndpoints: AWS's buckets are where the SDK's rules have them.
func TestEndpoints(t *testing.T) {
	for _, region := range []string{"eu-west-1", "us-east-1", "us-gov-west-1", "cn-north-1", "us-iso-east-1", "us-isob-east-1", "eusc-de-east-1"} {
		for _, bucket := range []string{"records", "my.records", "a1-b", "3bc", strings.Repeat("b", 63), "under_score", "Capital"} {
			for _, fips := range []bool{false, true} {
				for _, dual := range []bool{false, true} {
					theirs, err := s3.NewDefaultEndpointResolverV2().ResolveEndpoint(t.Context(), s3.EndpointParameters{
						Bucket: &bucket, Region: &region, UseFIPS: &fips, UseDualStack: &dual,
					}.WithDefaults())
					if err != nil {
						continue // the SDK knows that AWS has no such endpoint
					}
					cfg := aws.Config{Region: region, ConfigSources: []any{switches{fips, dual}}}
					ours, err := New(cfg, nil).locate(bucket, "", "")
					if err != nil || strings.TrimSuffix(ours.String(), "/") != theirs.URI.String() {
						t.Errorf("%s in %s, FIPS %v, dual-stack %v: at %v, %v; the SDK has it at %s", bucket, region, fips, dual, ours, err, &theirs.URI)
					}
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

func TestLocate(t *testing.T) {
	for _, tt := range []struct{ endpoint, bucket, key, want string }{
		{"", "records", "a b/é%+.json", "https://records.s3.eu-west-1.amazonaws.com/a%20b/%C3%A9%25%2B.json"},
		{"", "records", "/k", "https://records.s3.eu-west-1.amazonaws.com//k"},
		{"", "my.records", "k", "https://s3.eu-west-1.amazonaws.com/my.records/k"},
		{"http://localhost:4566", "records", "k", "http://localhost:4566/records/k"},
		{"http://localhost:4566/", "records", "", "http://localhost:4566/records"},
		{"https://store.example/s3%2F/", "records", "a/../b", "https://store.example/s3%2F/records/a/../b"},
		{"https://user:pw@store.example?x=1", "records", "k", "https://store.example/records/k"},
	} {
		var endpoint *string
		if tt.endpoint != "" {
			endpoint = &tt.endpoint
		}
		u, err := New(aws.Config{Region: "eu-west-1"}, endpoint).locate(tt.bucket, tt.key, "")
		if err != nil || u.String() != tt.want {
			t.Errorf("%s %s at %q: %v, %v; want %s", tt.bucket, tt.key, tt.endpoint, u, err, tt.want)
		}
	}
	for endpoint, bucket := range map[string]string{
		"s3.example": "b", "ftp://s3.example": "b", "http://": "b", "http://a b": "b", "http://s3.example": "", "http://s3.example/": "a/b",
		"https://s3.example": "arn:aws:s3:eu-west-1:1:accesspoint/a", "https://s3.example/": "b--eun1-az1--x-s3",
	} {
		c, s := client(t, said{status: 200})
		other := New(aws.Config{Region: "eu-west-1", HTTPClient: s, Credentials: credentials}, &endpoint)
		c.base, c.bad, c.pathOnly = other.base, other.bad, true
		if err := c.Put(t.Context(), &PutInput{Bucket: bucket, Key: "k"}); err == nil || len(s.seen) > 0 {
			t.Errorf("%q at %s: %v after %d tries", bucket, endpoint, err, len(s.seen))
		}
	}
}

// TestSameAsSDK: the SDK asks for the same by the same words, but for what it says about itself.
func TestSameAsSDK(t *testing.T) {
	endpoint := aws.String("http://store.example:9000/base")
	list := said{status: 200, body: "<ListBucketResult></ListBucketResult>"}
	_, ours := client(t, list)
	_, theirs := client(t, list)
	c := New(aws.Config{Region: "eu-west-1", HTTPClient: ours, Credentials: credentials}, endpoint)
	sdk := s3.NewFromConfig(aws.Config{Region: "eu-west-1", HTTPClient: theirs, Credentials: credentials}, func(o *s3.Options) {
		o.BaseEndpoint, o.UsePathStyle, o.RequestChecksumCalculation = endpoint, true, aws.RequestChecksumCalculationWhenRequired
	})
	const key = "spill/a b/é+%&='*~.json"
	b, k := aws.String("records"), aws.String(key)
	check := func(errs ...error) {
		t.Helper()
		for _, err := range errs {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	check(c.Put(t.Context(), &PutInput{Bucket: *b, Key: key, Body: []byte("123456789"), SSE: "aws:kms", KMSKeyID: "alias/k"}))
	_, err := sdk.PutObject(t.Context(), &s3.PutObjectInput{
		Bucket: b, Key: k, Body: strings.NewReader("123456789"), ChecksumCRC32C: aws.String("4waSgw=="), ServerSideEncryption: "aws:kms", SSEKMSKeyId: aws.String("alias/k"),
	})
	check(err)
	_, err = c.Get(t.Context(), &GetInput{Bucket: *b, Key: key, MaxBytes: 100, IfNoneMatch: `"e"`})
	check(err)
	_, err = sdk.GetObject(t.Context(), &s3.GetObjectInput{Bucket: b, Key: k, ChecksumMode: "ENABLED", IfNoneMatch: aws.String(`"e"`)})
	check(err)
	check(c.Delete(t.Context(), *b, key))
	_, err = sdk.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: b, Key: k})
	check(err)
	_, err = c.List(t.Context(), &ListInput{Bucket: *b, Prefix: "a b+/é", After: "to/ke=n"})
	check(err)
	_, err = sdk.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: b, Prefix: aws.String("a b+/é"), ContinuationToken: aws.String("to/ke=n"), EncodingType: "url"})
	check(err)
	for i, got := range ours.seen {
		want := theirs.seen[i]
		theirQuery := want.URL.Query()
		theirQuery.Del("x-id") // the operation, for logs
		if got.Method != want.Method || got.URL.Host != want.URL.Host || got.URL.EscapedPath() != want.URL.EscapedPath() || got.URL.Query().Encode() != theirQuery.Encode() {
			t.Errorf("%s %s; the SDK: %s %s", got.Method, got.URL, want.Method, want.URL)
		}
		if ours.bodies[i] != theirs.bodies[i] || got.ContentLength != want.ContentLength {
			t.Errorf("the body %q of %d; the SDK's %q of %d", ours.bodies[i], got.ContentLength, theirs.bodies[i], want.ContentLength)
		}
		for name, value := range want.Header {
			switch name {
			case "Authorization", "User-Agent", "Amz-Sdk-Request", "Amz-Sdk-Invocation-Id", "X-Amz-Date", "Accept-Encoding":
			default:
				if g := got.Header[name]; !slices.Equal(g, value) {
					t.Errorf("%s %s: %s is %q, the SDK's is %q", got.Method, got.URL.Path, name, g, value)
				}
			}
		}
	}
}

// TestTries: what may pass is tried again, with the whole body; what is certain is not.
func TestTries(t *testing.T) {
	for _, tt := range []struct {
		name  string
		first said
		tries int
	}{
		{"500", said{status: 500}, 2}, {"503 SlowDown", said{status: 503, body: refused("SlowDown")}, 2}, {"502 of a gateway", said{status: 502, body: "<html>"}, 2},
		{"429", said{status: 429}, 2}, {"400 RequestTimeout", said{status: 400, body: refused("RequestTimeout")}, 2}, {"no connection", said{err: io.ErrUnexpectedEOF}, 2},
		{"clock", said{status: 403, body: refused("RequestTimeTooSkewed"), header: map[string]string{"Date": "Fri, 20 Nov 2026 10:11:12 GMT"}}, 2},
		{"clock, not told", said{status: 403, body: refused("RequestTimeTooSkewed")}, 1},
		{"400", said{status: 400, body: refused("InvalidRequest")}, 1}, {"403", said{status: 403, body: refused("AccessDenied")}, 1},
		{"404", said{status: 404, body: refused("NoSuchBucket")}, 1}, {"501", said{status: 501, body: refused("NotImplemented")}, 1},
		{"301", said{status: 301, body: refused("PermanentRedirect")}, 1},
	} {
		c, s := client(t, tt.first, said{status: 200})
		err := c.Put(t.Context(), &PutInput{Bucket: "records", Key: "k", Body: []byte("whole")})
		if len(s.seen) != tt.tries || (err == nil) != (tt.tries == 2) {
			t.Errorf("%s: %d tries, %v; want %d", tt.name, len(s.seen), err, tt.tries)
		}
		for _, body := range s.bodies {
			if body != "whole" {
				t.Errorf("%s: sent %q", tt.name, body)
			}
		}
		if tt.name == "clock" {
			if date := s.seen[1].Header.Get("X-Amz-Date"); !strings.HasPrefix(date, "20261120T1011") {
				t.Errorf("the second try goes by the clock %s", date)
			}
		}
	}
	c, s := client(t, said{status: 503, body: refused("SlowDown")})
	c.tries = 4
	err := c.Delete(t.Context(), "records", "k")
	if e, ok := errors.AsType[*Error](err); !ok || e.Code != "SlowDown" || len(s.seen) != 4 || !strings.Contains(err.Error(), "tried 4 times") {
		t.Errorf("%d tries, %v", len(s.seen), err)
	}
	// There is no time for a wait that the context's deadline cuts short.
	c.pause, s.seen = time.Hour, nil
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := c.Delete(ctx, "records", "k"); err == nil || len(s.seen) != 1 {
		t.Errorf("%d tries, %v", len(s.seen), err)
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		c, _ := client(t, said{err: errors.New("away")})
		c.pause = time.Hour
		time.AfterFunc(10*time.Millisecond, stop)
		if err := c.Delete(ctx, "records", "k"); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "away") {
			t.Errorf("told to stop: %v", err)
		}
	})
}

func TestRefusals(t *testing.T) {
	for _, tt := range []struct {
		answer said
		want   Error
	}{
		{said{status: 404, body: refused("NoSuchKey"), header: map[string]string{"x-amz-request-id": "r", "x-amz-id-2": "h"}}, Error{Code: "NoSuchKey", Message: "what S3 says", RequestID: "r", HostID: "h"}},
		{said{status: 301, body: `<Error><Code>PermanentRedirect</Code><Message>The bucket  is` + "\n" + `elsewhere.</Message><Endpoint>x</Endpoint></Error>`, header: map[string]string{"x-amz-bucket-region": "eu-central-1"}},
			Error{Code: "PermanentRedirect", Message: "The bucket is elsewhere.", Region: "eu-central-1"}},
		{said{status: 400, body: `<Error><Code>AuthorizationHeaderMalformed</Code><Region>us-west-2</Region></Error>`}, Error{Code: "AuthorizationHeaderMalformed", Region: "us-west-2"}},
		{said{status: 403, header: map[string]string{"x-amz-bucket-region": "eu-west-1"}}, Error{Code: "Forbidden"}},
		{said{status: 404, body: "<html><Code>x</Code>"}, Error{Code: "NotFound"}},
		{said{status: 304}, Error{Code: "NotModified"}},
		{said{status: 499, body: "<Error><Code>A</Code>" + strings.Repeat("<", 1<<20)}, Error{Code: "A"}},
		{said{status: 499}, Error{Code: "UnknownError"}},
		{said{status: 400, body: "<Error><Code>" + strings.Repeat("C", 81) + "</Code></Error>"}, Error{Code: strings.Repeat("C", 80) + "…"}},
	} {
		c, _ := client(t, tt.answer)
		_, err := c.Get(t.Context(), &GetInput{Bucket: "records", Key: "k", MaxBytes: 1})
		tt.want.Operation, tt.want.Status = "GetObject", tt.answer.status
		got, ok := errors.AsType[*Error](err)
		if !ok || *got != tt.want {
			t.Errorf("%d %.80s: %#v, want %#v", tt.answer.status, tt.answer.body, err, tt.want)
			continue
		}
		if got.ErrorCode() != got.Code || got.HTTPStatusCode() != got.Status || got.ErrorMessage() != got.Message || !strings.Contains(err.Error(), got.Code) {
			t.Errorf("%v", err)
		}
	}
}

// TestGet: an object is as long as S3 says, has the sum it was stored with, and is not larger than wanted.
func TestGet(t *testing.T) {
	const text = "123456789"
	sum := func(name, value string) map[string]string {
		return map[string]string{"X-Amz-Checksum-" + name: value, "ETag": `"e"`}
	}
	for _, tt := range []struct {
		name   string
		answer said
		max    int64
		tries  int // 1: the first did, or trying again does not help
		ok     bool
	}{
		{"no sum", said{status: 200, body: text}, 9, 1, true},
		{"CRC32C", said{status: 200, body: text, header: sum("Crc32c", "4waSgw==")}, 9, 1, true},
		{"CRC32", said{status: 200, body: text, header: sum("Crc32", "y/Q5Jg==")}, 9, 1, true},
		{"CRC64NVME", said{status: 200, body: text, header: sum("Crc64nvme", "rosUhgp5mIg=")}, 9, 1, true},
		{"SHA-1", said{status: 200, body: text, header: sum("Sha1", "98O8HYCOBHMq32eZZczDTKeuNEE=")}, 9, 1, true},
		{"SHA-256", said{status: 200, body: text, header: sum("Sha256", "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU=")}, 9, 1, true},
		{"another CRC32C", said{status: 200, body: text, header: sum("Crc32c", "4waSgg==")}, 9, 3, false},
		{"of parts", said{status: 200, body: text, header: sum("Crc32c", "4waSgg==-2")}, 9, 1, true},
		{"cut off", said{status: 200, body: text, length: 10}, 99, 3, false},
		{"length unknown", said{status: 200, body: text, length: -1}, 9, 1, true},
		{"too long", said{status: 200, body: text}, 8, 1, false},
		{"too long, length unknown", said{status: 200, body: text, length: -1}, 8, 1, false},
	} {
		c, s := client(t, tt.answer)
		o, err := c.Get(t.Context(), &GetInput{Bucket: "records", Key: "k", MaxBytes: tt.max})
		if (err == nil) != tt.ok || len(s.seen) != tt.tries {
			t.Errorf("%s: %v after %d tries", tt.name, err, len(s.seen))
		}
		if err == nil && (string(o.Body) != text || o.ETag != tt.answer.header["ETag"]) {
			t.Errorf("%s: %q, %s", tt.name, o.Body, o.ETag)
		}
		if TooLarge(err) != strings.HasPrefix(tt.name, "too long") {
			t.Errorf("%s: too large %v, %v", tt.name, TooLarge(err), err)
		}
	}
}

func TestPages(t *testing.T) {
	const head = `<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">`
	for body, want := range map[string]*Page{
		head + `<Contents><Key>a+b%2Fc%00</Key><Owner><ID>x</ID></Owner></Contents><EncodingType>url</EncodingType></ListBucketResult>`:                                                         {Keys: []string{"a b/c\x00"}},
		head + `<Contents><Key>a+b%2F&amp;</Key></Contents><Contents><Key>c</Key></Contents><IsTruncated>true</IsTruncated><NextContinuationToken>n</NextContinuationToken></ListBucketResult>`: {Keys: []string{"a+b%2F&", "c"}, Next: "n"},
		head + `<IsTruncated>false</IsTruncated><NextContinuationToken>n</NextContinuationToken></ListBucketResult>`:                                                                            {},
		head + `<IsTruncated>true</IsTruncated></ListBucketResult>`:                                                                                                                             nil, // or a caller would go round for ever, or miss the rest
		head + `<Contents><Key>a</Key></Contents>`:                                                      nil,
		head + `<Contents><Key>%zz</Key></Contents><EncodingType>url</EncodingType></ListBucketResult>`: nil,
		`<Something><Key>a</Key></Something>`:                                                           nil,
		``:                                                                                              nil,
		strings.Repeat("<a>", 20):                                                                       nil,
	} {
		c, _ := client(t, said{status: 200, body: body})
		got, err := c.List(t.Context(), &ListInput{Bucket: "records"})
		if (err == nil) != (want != nil) || want != nil && (!slices.Equal(got.Keys, want.Keys) || got.Next != want.Next) {
			t.Errorf("%.200s: %+v, %v", body, got, err)
		}
	}
}

// TestWire: over a connection, as S3's own checks would see it.
func TestWire(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.RequestURI != "/records/a%20b" || r.Header.Get("X-Amz-Security-Token") != "token" || r.Header.Get("Content-Length") != strconv.Itoa(len(body)) && r.Method == "PUT" {
			t.Errorf("%s %s of %s bytes", r.Method, r.RequestURI, r.Header.Get("Content-Length"))
		}
		if r.Method == "GET" {
			w.Write(bytes.Repeat([]byte{'x'}, 1<<20))
		}
	}))
	defer srv.Close()
	c := New(aws.Config{Region: "eu-west-1", Credentials: credentials}, &srv.URL)
	for _, size := range []int{0, 1, 1 << 20} {
		if err := c.Put(t.Context(), &PutInput{Bucket: "records", Key: "a b", Body: make([]byte, size)}); err != nil {
			t.Error(err)
		}
	}
	if o, err := c.Get(t.Context(), &GetInput{Bucket: "records", Key: "a b", MaxBytes: 1 << 20}); err != nil || len(o.Body) != 1<<20 {
		t.Error(err)
	}
	srv.Close()
	c.pause = time.Microsecond
	if err := c.Delete(t.Context(), "records", "a b"); err == nil || !strings.Contains(err.Error(), "tried 3 times") {
		t.Errorf("nobody there: %v", err)
	}
}

// TestUntrusted: a certificate does not get better by trying again.
func TestUntrusted(t *testing.T) {
	tries := 0
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	defer srv.Close()
	c := New(aws.Config{Region: "eu-west-1", Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		tries++
		return aws.Credentials{AccessKeyID: "A", SecretAccessKey: "s"}, nil
	})}, &srv.URL)
	if err := c.Delete(t.Context(), "records", "k"); err == nil || tries != 1 {
		t.Errorf("%v after %d tries", err, tries)
	}
}

func TestNoCredentials(t *testing.T) {
	c, s := client(t, said{status: 200})
	c.credentials = nil
	if err := c.Delete(t.Context(), "records", "k"); err == nil {
		t.Error("a call without credentials")
	}
	c.credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return aws.Credentials{}, errors.New("they have gone") })
	if err := c.Delete(t.Context(), "records", "k"); err == nil || !strings.Contains(err.Error(), "they have gone") || len(s.seen) > 0 {
		t.Error(err)
	}
}

func FuzzPage(f *testing.F) {
	f.Add("<ListBucketResult><Contents><Key>a%20b</Key></Contents><EncodingType>url</EncodingType></ListBucketResult>")
	f.Add("<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>n</NextContinuationToken></ListBucketResult>")
	f.Add("<Error><Code>c</Code></Error>")
	f.Fuzz(func(t *testing.T, text string) {
		page, err := readPage([]byte(text))
		var theirs struct {
			XMLName  xml.Name `xml:"ListBucketResult"`
			Contents []struct{ Key string }
			Encoding string `xml:"EncodingType"`
		}
		if err == nil && xml.Unmarshal([]byte(text), &theirs) == nil && theirs.Encoding == "" && len(page.Keys) > len(theirs.Contents) {
			t.Errorf("%q has the keys %q", text, page.Keys)
		}
		c := &Client{region: "eu-west-1", now: time.Now}
		if e := c.refusal(&call{}, &http.Response{StatusCode: 400, Header: http.Header{}}, []byte(text)); e.Code == "" {
			t.Error("an error without a code")
		}
	})
}

// TestRefused: what a refusal tells about later calls.
func TestRefused(t *testing.T) {
	for _, tt := range []struct {
		status int
		code   string
		want   bool
	}{
		{403, "AccessDenied", true}, {403, "InvalidAccessKeyId", true}, {404, "NoSuchBucket", true}, {400, "KMS.DisabledException", true},
		{301, "PermanentRedirect", true}, {307, "TemporaryRedirect", false}, {304, "", false}, {400, "RequestTimeout", false}, {408, "", false},
		{409, "OperationAborted", false}, {429, "", false}, {400, "ThrottlingException", false}, {400, "KMS.ThrottlingException", false},
		{403, "RequestTimeTooSkewed", false}, {400, "ExpiredToken", false}, {500, "InternalError", false}, {501, "NotImplemented", false}, {503, "SlowDown", false},
	} {
		c, _ := client(t, said{status: tt.status, body: refused(tt.code)})
		_, err := c.Get(t.Context(), &GetInput{Bucket: "records", Key: "k", MaxBytes: 10})
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Refused() != tt.want {
			t.Errorf("%d %s: %v; want refused %v", tt.status, tt.code, err, tt.want)
		}
	}
}

// TestRefusedLarge: of a body that S3 does not even read the reason is told, and it is not sent.
func TestRefusedLarge(t *testing.T) {
	for size, want := range map[int]string{expectFrom - 1: "", expectFrom: "100-continue", 4 * expectFrom: "100-continue"} {
		var expect []string
		sent := 0
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			expect = append(expect, r.Header.Get("Expect"))
			if want == "" { // else the server asks for the body by reading it
				n, _ := io.Copy(io.Discard, r.Body)
				sent += int(n)
			}
			w.WriteHeader(http.StatusForbidden)
			io.WriteString(w, refused("AccessDenied"))
		}))
		c := New(aws.Config{Region: "eu-west-1", Credentials: credentials}, &server.URL)
		err := c.Put(t.Context(), &PutInput{Bucket: "records", Key: "k", Body: make([]byte, size)})
		server.Close()
		if e, ok := errors.AsType[*Error](err); !ok || e.Code != "AccessDenied" {
			t.Errorf("%d bytes: %v", size, err)
		}
		if !slices.Equal(expect, []string{want}) || (sent == size) != (want == "") {
			t.Errorf("%d bytes: tries that expect %q, %d bytes were sent", size, expect, sent)
		}
	}
}
