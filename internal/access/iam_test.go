package access

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"pgregory.net/rapid"

	"github.com/tapway/tapway"
)

const (
	suiteKey    = "AKIDEXAMPLE"
	suiteSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	suiteDate   = "20150830T123600Z"
)

var suiteTime = time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)

// newIAM takes the credentials of AWS's test suite.
func newIAM() *IAM {
	s := &State{}
	return &IAM{
		Default: ByIAM, Service: "service", Region: "us-east-1", Bodies: &Bodies{Max: 1 << 20, Total: 1 << 22, State: s},
		Credentials: map[string]*Credential{
			suiteKey:  {Name: "suite", Secret: suiteSecret},
			"AKIDSES": {Name: "session", Secret: suiteSecret, SessionToken: "the-session-token"},
		},
	}
}

// ask makes a call with any target and host.
func (w *world) ask(t testing.TB, method, target, body string, headers ...string) (answer, http.Header) {
	t.Helper()
	r := httptest.NewRequest(method, "/", strings.NewReader(body))
	r.RequestURI, r.Host, r.RemoteAddr, r.ContentLength = target, "example.amazonaws.com", w.from, int64(len(body))
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		} else {
			r.Header.Add(headers[i], headers[i+1])
		}
	}
	w.call = &tapway.Call{}
	out := httptest.NewRecorder()
	var seen http.Header
	w.gate.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		w.served++
		seen = r.Header
		if got, _ := io.ReadAll(r.Body); string(got) != body {
			t.Errorf("the backend reads %q, not %q", got, body)
		}
	})).ServeHTTP(out, r.WithContext(tapway.WithCall(r.Context(), w.call)))
	return answer{out.Code, out.Body.String(), out.Header()}, seen
}

func iamWorld(t testing.TB, d *IAM) *world {
	w := newWorld(t, d)
	w.now = suiteTime
	return w
}

func authorization(signed, signature string) string {
	return "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=" + signed + ", Signature=" + signature
}

// TestSigV4Suite: cases of AWS's published test suite for Signature Version 4.
func TestSigV4Suite(t *testing.T) {
	const vanilla = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
	for _, tt := range []struct {
		name, method, target, body, signed, signature string
		headers                                       []string
	}{
		{"get-vanilla", "GET", "/", "", "host;x-amz-date", vanilla, nil},
		{"get-vanilla-empty-query-key", "GET", "/?Param1=value1", "", "host;x-amz-date", "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb", nil},
		{"get-vanilla-query-order-key-case", "GET", "/?Param2=value2&Param1=value1", "", "host;x-amz-date", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500", nil},
		{"get-relative", "GET", "/example/..", "", "host;x-amz-date", vanilla, nil},
		{"get-relative-relative", "GET", "/example1/example2/../..", "", "host;x-amz-date", vanilla, nil},
		{"get-slash", "GET", "//", "", "host;x-amz-date", vanilla, nil},
		{"get-slash-dot-slash", "GET", "/./", "", "host;x-amz-date", vanilla, nil},
		{"get-slash-pointless-dot", "GET", "/./example", "", "host;x-amz-date", "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5", nil},
		{"get-slashes", "GET", "//example//", "", "host;x-amz-date", "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84", nil},
		{"get-unreserved", "GET", "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", "", "host;x-amz-date", "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f", nil},
		{"get-utf8", "GET", "/ሴ", "", "host;x-amz-date", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85", nil},
		{"get-header-key-duplicate", "GET", "/", "", "host;my-header1;x-amz-date", "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea", []string{"My-Header1", "value2", "My-Header1", "value2", "My-Header1", "value1"}},
		{"get-header-value-trim", "GET", "/", "", "host;my-header1;my-header2;x-amz-date", "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736", []string{"My-Header1", " value1", "My-Header2", ` "a   b   c"`}},
		{"post-vanilla", "POST", "/", "", "host;x-amz-date", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b", nil},
		{"post-header-key-sort", "POST", "/", "", "host;my-header1;x-amz-date", "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c", []string{"My-Header1", "value1"}},
		{"post-x-www-form-urlencoded", "POST", "/", "Param1=value1", "content-type;host;x-amz-date", "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a", []string{"Content-Type", "application/x-www-form-urlencoded"}},
	} {
		w := iamWorld(t, newIAM())
		headers := append([]string{"X-Amz-Date", suiteDate, "Authorization", authorization(tt.signed, tt.signature)}, tt.headers...)
		if got, _ := w.ask(t, tt.method, tt.target, tt.body, headers...); got.status != 200 {
			t.Errorf("%s: %d %s", tt.name, got.status, got.body)
		}
		if got, _ := w.ask(t, tt.method, tt.target+"x", tt.body, headers...); got.status != 403 {
			t.Errorf("%s with another target: %d", tt.name, got.status)
		}
	}
}

// sdkSign signs with AWS's own signer; it gives what then goes over the wire.
func sdkSign(t interface{ Fatal(...any) }, service string, presign bool, method, rawURL string, body []byte, headers map[string]string, at time.Time) (target string, out []string) {
	req, err := http.NewRequest(method, rawURL, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	out = []string{"Host", req.Host}
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	sum := sha256.Sum256(body)
	creds := aws.Credentials{AccessKeyID: suiteKey, SecretAccessKey: suiteSecret}
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = service == "s3" })
	if presign {
		q := req.URL.Query()
		q.Set("X-Amz-Expires", "60")
		req.URL.RawQuery = q.Encode()
		signedURL, signed, err := signer.PresignHTTP(context.Background(), creds, req, hex.EncodeToString(sum[:]), service, "us-east-1", at)
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(signedURL)
		if err != nil {
			t.Fatal(err)
		}
		for name, values := range signed {
			if name != "Host" && name != "Content-Length" {
				out = append(out, name, values[0])
			}
		}
		return u.RequestURI(), out
	}
	if err := signer.SignHTTP(context.Background(), creds, req, hex.EncodeToString(sum[:]), service, "us-east-1", at); err != nil {
		t.Fatal(err)
	}
	for name, values := range req.Header {
		out = append(out, name, values[0])
	}
	return req.URL.RequestURI(), out
}

// TestSigV4SDK: whatever AWS's own signer signs is admitted, and nothing of it can be changed.
func TestSigV4SDK(t *testing.T) {
	methods := []string{"GET", "POST", "PUT", "DELETE"}
	rapid.Check(t, func(rt *rapid.T) {
		service := rapid.SampledFrom([]string{"execute-api", "s3"}).Draw(rt, "service")
		presign := rapid.Bool().Draw(rt, "presign")
		method := rapid.SampledFrom(methods).Draw(rt, "method")
		segments := rapid.SliceOfN(rapid.StringMatching(`[a-zA-Z0-9 +%&=;:@~._ä-]{1,8}`), 0, 3).Draw(rt, "path")
		u := url.URL{Scheme: "https", Host: "api.example.com", Path: "/" + strings.Join(segments, "/")}
		q := url.Values{}
		for _, name := range rapid.SliceOfN(rapid.StringMatching(`[a-zA-Z0-9 +%*&=~{ä-]{1,6}`), 0, 4).Draw(rt, "names") {
			q.Add(name, rapid.StringMatching(`[a-zA-Z0-9 +%/*~ä]{0,6}`).Draw(rt, "value"))
		}
		u.RawQuery = q.Encode()
		body := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(rt, "body")
		headers := map[string]string{"X-Custom": rapid.StringMatching(`[a-z ]{1,8}x`).Draw(rt, "header"), "User-Agent": "test"}
		target, signed := sdkSign(rt, service, presign, method, u.String(), body, headers, suiteTime)
		d := newIAM()
		d.Service = service
		w := iamWorld(t, d)
		if got, _ := w.ask(t, method, target, string(body), signed...); got.status != 200 {
			rt.Fatalf("%s %s, presigned %v: %d %s", method, target, presign, got.status, w.call.Error)
		}
		refused := func(what string, got answer) {
			if got.status == 200 {
				rt.Fatalf("%s was changed: admitted", what)
			}
		}
		if len(body) > 0 {
			bit := rapid.IntRange(0, 8*len(body)-1).Draw(rt, "bit")
			body[bit/8] ^= 1 << (bit % 8)
			got, _ := w.ask(t, method, target, string(body), signed...)
			refused("the body", got)
			body[bit/8] ^= 1 << (bit % 8)
		}
		got, _ := w.ask(t, "PATCH", target, string(body), signed...)
		refused("the method", got)
		path, query, _ := strings.Cut(target, "?")
		got, _ = w.ask(t, method, path+"x?"+query, string(body), signed...)
		refused("the path", got)
		got, _ = w.ask(t, method, target+map[bool]string{true: "&", false: "?"}[strings.Contains(target, "?")]+"z=1", string(body), signed...)
		refused("the query", got)
		for i := 1; i < len(signed); i += 2 {
			if signed[i-1] == "User-Agent" {
				continue
			}
			value := []byte(signed[i])
			bit := rapid.IntRange(0, 8*len(value)-1).Draw(rt, "bit of a header")
			value[bit/8] ^= 1 << (bit % 8)
			changed := append([]string{}, signed...)
			if changed[i] = string(value); squeeze(changed[i]) == squeeze(signed[i]) {
				continue
			}
			got, _ = w.ask(t, method, target, string(body), changed...)
			refused(signed[i-1], got)
		}
		if presign {
			at := strings.Index(target, "X-Amz-Signature=") + len("X-Amz-Signature=") + rapid.IntRange(0, 63).Draw(rt, "digit")
			changed := []byte(target)
			changed[at] ^= 1
			got, _ = w.ask(t, method, string(changed), string(body), signed...)
			refused("the signature", got)
		}
	})
}

func TestIAMRefusals(t *testing.T) {
	const good = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
	auth := authorization("host;x-amz-date", good)
	date := []string{"X-Amz-Date", suiteDate}
	with := func(authorization string, more ...string) []string {
		return append(append([]string{"Authorization", authorization}, date...), more...)
	}
	replace := func(old, new string) []string { return with(strings.Replace(auth, old, new, 1)) }
	for _, tt := range []struct {
		name, target string
		headers      []string
		kind, says   string
		reason       string
	}{
		{"nothing", "/", nil, "MissingAuthenticationTokenException", `{"message":"Missing Authentication Token"}`, "iam: signature missing"},
		{"another scheme", "/", with("Bearer x"), "MissingAuthenticationTokenException", "Missing Authentication Token", "iam: signature missing"},
		{"SigV4a", "/", replace("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"), "IncompleteSignatureException", "Signature Version 4A", "iam: SigV4a"},
		{"SigV4a in the query", "/?X-Amz-Algorithm=AWS4-ECDSA-P256-SHA256", nil, "IncompleteSignatureException", "Signature Version 4A", "iam: SigV4a"},
		{"another algorithm", "/", replace("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"), "IncompleteSignatureException", "not supported", "iam: signature malformed"},
		{"two headers", "/", with(auth, "Authorization", auth), "IncompleteSignatureException", "more than one", "iam: signature malformed"},
		{"signed twice", "/?X-Amz-Signature=x", with(auth), "InvalidSignatureException", "Sign it once", "iam: signed twice"},
		{"no signature", "/", replace(", Signature="+good, ""), "IncompleteSignatureException", "requires 'Signature' parameter", "iam: signature malformed"},
		{"no date", "/", with(auth)[:2], "IncompleteSignatureException", "'X-Amz-Date'", "iam: signature malformed"},
		{"a parameter twice", "/", with(auth + ", Signature=" + good), "IncompleteSignatureException", "malformed", "iam: signature malformed"},
		{"an unknown parameter", "/", with(auth + ", Extra=1"), "IncompleteSignatureException", "malformed", "iam: signature malformed"},
		{"four elements", "/", replace("us-east-1/", ""), "IncompleteSignatureException", "exactly 5", "iam: signature malformed"},
		{"host not signed", "/", replace("host;x-amz-date", "x-amz-date"), "IncompleteSignatureException", "'Host' must be", "iam: signature malformed"},
		{"not sorted", "/", replace("host;x-amz-date", "x-amz-date;host"), "IncompleteSignatureException", "sorted", "iam: signature malformed"},
		{"twice", "/", replace("host;x-amz-date", "host;host;x-amz-date"), "IncompleteSignatureException", "sorted", "iam: signature malformed"},
		{"header not there", "/", replace("host;x-amz-date", "host;x-amz-date;x-other"), "IncompleteSignatureException", "not there", "iam: signature malformed"},
		{"short signature", "/", replace(good, good[1:]), "IncompleteSignatureException", "64 hex digits", "iam: signature malformed"},
		{"unknown key", "/", replace(suiteKey, "AKIDOTHER"), "UnrecognizedClientException", "The security token included in the request is invalid.", "iam: unknown access key"},
		{"a session token", "/", with(auth, "X-Amz-Security-Token", "x"), "UnrecognizedClientException", "security token", "iam: session token"},
		{"no session token", "/", replace(suiteKey, "AKIDSES"), "UnrecognizedClientException", "security token", "iam: session token"},
		{"service", "/", replace("/service/", "/s3/"), "InvalidSignatureException", "correct service: 'service'", "iam: scope: service"},
		{"region", "/", replace("us-east-1", "us-east-2"), "InvalidSignatureException", "valid region", "iam: scope: region"},
		{"scope's date", "/", replace("20150830", "20150829"), "InvalidSignatureException", "Date in Credential scope", "iam: scope: date"},
		{"wrong", "/", replace(good, "6"+good[1:]), "InvalidSignatureException", "does not match the signature you provided", "iam: signature wrong"},
		{"upper case", "/", replace(good, strings.ToUpper(good)), "InvalidSignatureException", "does not match", "iam: signature wrong"},
		{"chunks", "/", with(auth, "X-Amz-Content-Sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"), "InvalidSignatureException", "chunks", "iam: chunk signatures"},
		{"unsigned payload", "/", with(auth, "X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD"), "InvalidSignatureException", "payload has to be signed", "iam: unsigned payload"},
		{"a hash that is none", "/", with(auth, "X-Amz-Content-Sha256", "abc"), "IncompleteSignatureException", "x-amz-content-sha256", "iam: signature malformed"},
		{"query badly encoded", "/?a=%zz", with(auth), "IncompleteSignatureException", "query string", "iam: signature malformed"},
		{"presigned for too long", presignedTarget(t, "604801"), nil, "IncompleteSignatureException", "604800", "iam: signature malformed"},
		{"presigned for no time", presignedTarget(t, "0"), nil, "IncompleteSignatureException", "604800", "iam: signature malformed"},
		{"presigned, half", "/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=x", nil, "IncompleteSignatureException", "must include", "iam: signature malformed"},
	} {
		w := iamWorld(t, newIAM())
		got, _ := w.ask(t, "GET", tt.target, "", tt.headers...)
		if got.status != 403 || got.header.Get("X-Amzn-Errortype") != tt.kind || !strings.Contains(got.body, tt.says) || w.call.Error != tt.reason {
			t.Errorf("%s: %d %s %s, recorded %q", tt.name, got.status, got.header.Get("X-Amzn-Errortype"), got.body, w.call.Error)
		}
	}
}

func presignedTarget(t *testing.T, expires string) string {
	target, _ := sdkSign(t, "service", true, "GET", "https://example.amazonaws.com/", nil, nil, suiteTime)
	return strings.Replace(target, "X-Amz-Expires=60", "X-Amz-Expires="+expires, 1)
}

// TestIAMTimes: the last second inside, the first outside.
func TestIAMTimes(t *testing.T) {
	target, headers := sdkSign(t, "service", false, "GET", "https://api.example.com/x", nil, nil, suiteTime)
	presigned, presignedHeaders := sdkSign(t, "service", true, "GET", "https://api.example.com/x", nil, nil, suiteTime)
	for _, tt := range []struct {
		away      time.Duration
		presigned bool
		says      string
	}{
		{5 * time.Minute, false, ""}, {5*time.Minute + time.Second, false, "Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z (20150830T124101Z - 5 min.)"},
		{-5 * time.Minute, false, ""}, {-5*time.Minute - time.Second, false, "Signature not yet current: 20150830T123600Z is still later than 20150830T123559Z (20150830T123059Z + 5 min.)"},
		{time.Minute, true, ""}, {time.Minute + time.Second, true, "Signature expired: 20150830T123701Z is later than 20150830T123700Z"},
		{-5 * time.Minute, true, ""}, {-5*time.Minute - time.Second, true, "Signature not yet current"},
	} {
		w := iamWorld(t, newIAM())
		w.now = suiteTime.Add(tt.away)
		line, more := target, headers
		if tt.presigned {
			line, more = presigned, presignedHeaders
		}
		got, _ := w.ask(t, "GET", line, "", more...)
		if (got.status == 200) != (tt.says == "") || !strings.Contains(got.body, tt.says) {
			t.Errorf("%v away, presigned %v: %d %s", tt.away, tt.presigned, got.status, got.body)
		}
	}
}

// TestIAMBody: a hash that the caller announces is held against the body; whoever does not know
// the secret does not make us read it.
func TestIAMBody(t *testing.T) {
	sum := sha256.Sum256([]byte("hello"))
	announced := map[string]string{"X-Amz-Content-Sha256": hex.EncodeToString(sum[:])}
	target, headers := sdkSign(t, "service", false, "POST", "https://api.example.com/x", []byte("hello"), announced, suiteTime)
	w := iamWorld(t, newIAM())
	if got, _ := w.ask(t, "POST", target, "hello", headers...); got.status != 200 {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got, _ := w.ask(t, "POST", target, "hallo", headers...); got.status != 403 || w.call.Error != "iam: body is not the one that was signed" {
		t.Errorf("another body: %d %s", got.status, w.call.Error)
	}
	for i := range headers {
		headers[i] = strings.Replace(headers[i], "Signature=", "Signature=0", 1)
		if n := len(headers[i]); strings.Contains(headers[i], "Signature=0") {
			headers[i] = headers[i][:n-1]
		}
	}
	d := newIAM()
	d.Bodies.Max = 1 // reading would be refused with 413
	w = iamWorld(t, d)
	if got, _ := w.ask(t, "POST", target, "hello", headers...); got.status != 403 || w.call.Error != "iam: signature wrong" {
		t.Errorf("the body was read for a wrong signature: %d %s", got.status, w.call.Error)
	}
	d = newIAM()
	d.Unsigned = true
	w = iamWorld(t, d)
	req, _ := http.NewRequest("POST", "https://api.example.com/x", strings.NewReader("hello"))
	req.Header.Set("X-Amz-Content-Sha256", unsignedPayload)
	if err := v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: suiteKey, SecretAccessKey: suiteSecret}, req, unsignedPayload, "service", "us-east-1", suiteTime); err != nil {
		t.Fatal(err)
	}
	headers = []string{"Host", "api.example.com"}
	for name, values := range req.Header {
		headers = append(headers, name, values[0])
	}
	if got, _ := w.ask(t, "POST", "/x", "olleh", headers...); got.status != 200 {
		t.Errorf("an unsigned payload where it is allowed: %d %s", got.status, w.call.Error)
	}
}

// TestIAMCaller: routes of a credential, its session token, and what the backend hears.
func TestIAMCaller(t *testing.T) {
	d := newIAM()
	pets, _ := ParsePattern("GET /pets/{proxy+}")
	d.Credentials[suiteKey].Routes, d.Header = []Pattern{pets}, "X-Caller"
	w := iamWorld(t, d)
	for path, want := range map[string]int{"/pets/1": 200, "/Pets/1": 200, "/pets": 403, "/pets/%2e%2e/admin": 403} {
		target, headers := sdkSign(t, "service", false, "GET", "https://api.example.com"+path, nil, nil, suiteTime)
		got, seen := w.ask(t, "GET", target, "", append(headers, "X-Caller", "root", "X_caller", "root")...)
		if got.status != want || want == 200 && (seen.Get("X-Caller") != "suite" || seen["X_caller"] != nil) {
			t.Errorf("%s: %d %s, the backend hears %q", path, got.status, w.call.Error, seen)
		}
	}
	req, _ := http.NewRequest("GET", "https://api.example.com/", nil)
	if err := v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: "AKIDSES", SecretAccessKey: suiteSecret, SessionToken: "the-session-token"}, req, emptyHash, "service", "us-east-1", suiteTime); err != nil {
		t.Fatal(err)
	}
	headers := []string{"Host", "api.example.com"}
	for name, values := range req.Header {
		headers = append(headers, name, values[0])
	}
	if got, _ := w.ask(t, "GET", "/", "", headers...); got.status != 200 {
		t.Errorf("with its session token: %d %s", got.status, w.call.Error)
	}
}

const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func TestIAMExplain(t *testing.T) {
	w := iamWorld(t, newIAM())
	r := httptest.NewRequest("GET", "/", nil)
	r.Host = "example.amazonaws.com"
	r.Header.Set("X-Amz-Date", suiteDate)
	r.Header.Set("Authorization", authorization("host;x-amz-date", strings.Repeat("0", 64)))
	steps, refusal := w.gate.chain.Load().Explain(r)
	if why := steps[3].Why; refusal == nil || !strings.Contains(why, `GET\n/\n\nhost:example.amazonaws.com\nx-amz-date:20150830T123600Z\n\nhost;x-amz-date\n`+emptyHash) {
		t.Errorf("%s", why)
	}
}

func FuzzSigV4(f *testing.F) {
	f.Add("/?a=b", authorization("host;x-amz-date", strings.Repeat("0", 64)), suiteDate, "")
	f.Add("/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20150830%2Fus-east-1%2Fservice%2Faws4_request&X-Amz-Date=20150830T123600Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature="+strings.Repeat("0", 64), "", "", "")
	f.Add("/", "AWS4-HMAC-SHA256 Credential=,,=", "", "STREAMING-")
	f.Fuzz(func(t *testing.T, target, auth, date, hash string) {
		d := newIAM()
		d.Credentials[suiteKey].Secret = "a secret that no seed was signed with"
		w := iamWorld(t, d)
		if got, _ := w.ask(t, "GET", target, "", "Authorization", auth, "X-Amz-Date", date, "X-Amz-Content-Sha256", hash); got.status == 200 {
			if _, _, _, ok := tapway.Target(&http.Request{RequestURI: target, Method: "GET", URL: new(url.URL)}); ok {
				t.Errorf("%q %q is admitted", target, auth)
			}
		}
	})
}
