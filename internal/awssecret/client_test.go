package awssecret

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/tapway/tapway/internal/awsbase"
)

const (
	token  = "hunter2-session"
	secret = "hunter2-value"
)

// fake is both services. It answers like AWS from what it has, and what fault says before that.
type fake struct {
	secrets    map[string]string // by name or "name@STAGE"
	binary     map[string]string // base64
	parameters map[string]string
	forbidden  string // a name for which nothing is allowed
	fault      func(n int, operation string) (status int, answer string)

	mu    sync.Mutex
	calls []string // "operation names"
	heads []http.Header
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	operation := r.Header.Get("X-Amz-Target")
	body, _ := io.ReadAll(r.Body)
	var in struct {
		SecretId, VersionStage string
		Names                  []string
		WithDecryption         bool
	}
	if json.Unmarshal(body, &in) != nil || r.Method != "POST" || r.URL.Path != "/" || r.Header.Get("Content-Type") != "application/x-amz-json-1.1" {
		http.Error(w, "not JSON 1.1", http.StatusBadRequest)
		return
	}
	f.mu.Lock()
	n := len(f.calls)
	f.calls = append(f.calls, strings.TrimSpace(fmt.Sprint(operation, " ", in.SecretId, " ", in.VersionStage, strings.Join(in.Names, " "))))
	f.heads = append(f.heads, r.Header)
	f.mu.Unlock()
	if f.fault != nil {
		if status, answer := f.fault(n, operation); status != 0 {
			w.WriteHeader(status)
			io.WriteString(w, answer)
			return
		}
	}
	refuse := func(code, message string) {
		w.WriteHeader(http.StatusBadRequest)
		json.NewEncoder(w).Encode(map[string]string{"__type": "com.amazonaws#" + code, "Message": message})
	}
	switch operation {
	case "secretsmanager.GetSecretValue":
		id := in.SecretId
		if in.VersionStage != "" {
			id += "@" + in.VersionStage
		}
		if text, ok := f.secrets[id]; ok {
			json.NewEncoder(w).Encode(map[string]any{"Name": in.SecretId, "SecretString": text})
		} else if b, ok := f.binary[id]; ok {
			json.NewEncoder(w).Encode(map[string]any{"Name": in.SecretId, "SecretBinary": b})
		} else {
			refuse("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
		}
	case "AmazonSSM.GetParameters":
		if len(in.Names) > 10 || !in.WithDecryption {
			refuse("ValidationException", "")
			return
		}
		if slices.Contains(in.Names, f.forbidden) {
			refuse("AccessDeniedException", "User: arn:aws:sts::1:assumed-role/r is not authorized to perform: ssm:GetParameters on resource: "+f.forbidden)
			return
		}
		found, missing := []map[string]any{}, []string{}
		for _, name := range in.Names {
			arn, selector := "arn:aws:ssm:eu-west-1:1:parameter", ""
			plain := strings.TrimPrefix(name, arn)
			if i := strings.IndexByte(plain, ':'); i >= 0 {
				plain, selector = plain[:i], plain[i:]
			}
			if value, ok := f.parameters[name]; ok {
				found = append(found, map[string]any{"Name": plain, "Selector": selector, "ARN": arn + plain, "Value": value, "Version": 3})
			} else {
				missing = append(missing, name)
			}
		}
		slices.Reverse(found) // the order is AWS's
		json.NewEncoder(w).Encode(map[string]any{"Parameters": found, "InvalidParameters": missing})
	default:
		refuse("UnknownOperationException", "")
	}
}

func (f *fake) start(t *testing.T) *Client {
	t.Helper()
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	return client(t, server.URL)
}

func client(t *testing.T, url string) *Client {
	t.Helper()
	env := map[string]string{
		"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "hunter2-key", "AWS_SESSION_TOKEN": token,
		"AWS_ENDPOINT_URL_SECRETS_MANAGER": url, "AWS_ENDPOINT_URL_SSM": url,
	}
	getenv := func(name string) string { return env[name] }
	cfg, err := awsbase.FromEnv(getenv)
	if err != nil {
		t.Fatal(err)
	}
	transport := new(http.Transport)
	t.Cleanup(transport.CloseIdleConnections)
	cfg.HTTPClient = awsbase.Client(transport)
	c, err := New(cfg, getenv)
	if err != nil {
		t.Fatal(err)
	}
	c.pause = time.Millisecond
	return c
}

func TestResolve(t *testing.T) {
	const arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:hook-AbCdEf"
	f := &fake{
		secrets: map[string]string{
			"siem": "tok\r\n", "siem@AWSPREVIOUS": "old", "a@b": "at", arn: "whsec", "empty": "",
			"db": `{"user":"u","password":"p\"\u00fc","port":5432,"on":true,"none":null,"in":{"a":1},"":"x"}`,
		},
		binary:     map[string]string{"text": "aGVsbG8=", "bytes": "//4="},
		parameters: map[string]string{"/a/b": "1", "plain": "2", "/a/b:3": "three", "/a/b:live": "label", "arn:aws:ssm:eu-west-1:1:parameter/a/b:2": "shared", "/pem": "-----BEGIN X-----\na\n-----END X-----\n"},
	}
	c := f.start(t)
	want := map[string]string{
		"aws-secretsmanager:siem": "tok", "aws-secretsmanager:siem@AWSPREVIOUS": "old", "aws-secretsmanager:a@b": "at", "aws-secretsmanager:" + arn: "whsec", "aws-secretsmanager:empty": "",
		"aws-secretsmanager:db#user": "u", "aws-secretsmanager:db#password": `p"ü`, "aws-secretsmanager:db#port": "5432", "aws-secretsmanager:db#on": "true",
		"aws-secretsmanager:text": "hello",
		"aws-ssm:/a/b":            "1", "aws-ssm:plain": "2", "aws-ssm:/a/b:3": "three", "aws-ssm:arn:aws:ssm:eu-west-1:1:parameter/a/b:2": "shared", "aws-ssm:/a/b:live": "label", "aws-ssm:/pem": "-----BEGIN X-----\na\n-----END X-----",
	}
	values, failed := c.Resolve(t.Context(), append(slices.Collect(maps.Keys(want)), "aws-ssm:plain"))
	if !maps.Equal(values, want) || len(failed) > 0 {
		t.Errorf("values %q\nwant %q\nfailed %v", values, want, failed)
	}
	calls := map[string]int{}
	for _, call := range f.calls {
		operation, _, _ := strings.Cut(call, " ")
		calls[operation]++
	}
	if calls["secretsmanager.GetSecretValue"] != 7 || calls["AmazonSSM.GetParameters"] != 4 { // the fields of db are one call, the versions of /a/b three, an ARN's region another
		t.Errorf("calls: %v", f.calls)
	}
	for i, h := range f.heads {
		region := "eu-west-1"
		if strings.Contains(f.calls[i], arn) {
			region = "us-east-1"
		}
		if a := h.Get("Authorization"); !strings.HasPrefix(a, "AWS4-HMAC-SHA256 Credential=AKID/") || !strings.Contains(a, "/"+region+"/") || h.Get("X-Amz-Security-Token") != token {
			t.Errorf("%s is signed with %s", f.calls[i], a)
		}
	}
}

func TestParameter(t *testing.T) {
	for text, want := range map[string]string{
		"aws-ssm:/a": "/a", "aws-ssm:/a:1": "/a", "aws-ssm:a:x": "a", "aws-ssm:arn:aws:ssm:eu-west-1:1:parameter/a/b": "arn:aws:ssm:eu-west-1:1:parameter/a/b",
		"aws-ssm:arn:aws:ssm:eu-west-1:1:parameter/a/b:7": "arn:aws:ssm:eu-west-1:1:parameter/a/b",
	} {
		if r, err := parse(text); err != nil || r.parameter() != want {
			t.Errorf("%s is of %s, %v; want %s", text, r.parameter(), err, want)
		}
	}
}

func TestBatches(t *testing.T) {
	for n, calls := range map[int]int{1: 1, 10: 1, 11: 2, 20: 2, 25: 3} {
		f := &fake{parameters: map[string]string{}}
		var all []string
		for i := range n {
			name := fmt.Sprintf("/p/%d", i)
			f.parameters[name] = name
			all = append(all, "aws-ssm:"+name)
		}
		values, failed := f.start(t).Resolve(t.Context(), all)
		if len(values) != n || len(failed) > 0 || len(f.calls) != calls {
			t.Errorf("%d parameters: %d values by %d calls, want %d; failed %v", n, len(values), len(f.calls), calls, failed)
		}
		for name, value := range values {
			if name != "aws-ssm:"+value {
				t.Errorf("%s is %s", name, value)
			}
		}
	}
}

// One parameter that may not be read does not hide the others.
func TestForbiddenInABatch(t *testing.T) {
	f := &fake{parameters: map[string]string{"/a": "1", "/c": "3"}, forbidden: "/b"}
	values, failed := f.start(t).Resolve(t.Context(), []string{"aws-ssm:/a", "aws-ssm:/b", "aws-ssm:/c", "aws-ssm:/d"})
	if len(values) != 2 || len(failed) != 2 {
		t.Errorf("%v, %v", values, failed)
	}
	has(t, failed["aws-ssm:/b"], "${aws-ssm:/b}: AccessDeniedException: User: ", "allow ssm:GetParameters on it, and kms:Decrypt")
	has(t, failed["aws-ssm:/d"], "${aws-ssm:/d}: there is no such parameter in eu-west-1")
}

func has(t *testing.T, err error, want ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error, want %q", want)
		return
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("the error is %q, want %q in it", err, w)
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the error holds a secret: %v", err)
	}
}

// An error names the reference, AWS's code and what to do, and nothing secret.
func TestErrors(t *testing.T) {
	answer := func(status int, text string) func(int, string) (int, string) {
		return func(int, string) (int, string) { return status, text }
	}
	const sm, ssm = "aws-secretsmanager:s", "aws-ssm:/s"
	for _, tt := range []struct {
		name, ref string
		fault     func(int, string) (int, string)
		want      []string
		calls     int
	}{
		{"not there", "aws-secretsmanager:none", nil, []string{"${aws-secretsmanager:none}: ResourceNotFoundException: Secrets Manager can't find", "check its name"}, 1},
		{"no such field", "aws-secretsmanager:json#no", nil, []string{`${aws-secretsmanager:json#no}: the secret has no field "no"`}, 1},
		{"a field that is an object", "aws-secretsmanager:json#in", nil, []string{`the field "in" of the secret is neither`}, 1},
		{"a field that is null", "aws-secretsmanager:json#null", nil, []string{`the field "null" of the secret is neither`}, 1},
		{"a field of what is no JSON", "aws-secretsmanager:s#a", nil, []string{"the secret is not a JSON object"}, 1},
		{"binary", "aws-secretsmanager:bytes", nil, []string{"the secret is binary"}, 1},
		{"forbidden", sm, answer(400, `{"__type":"AccessDeniedException","Message":"User: x is not authorized to perform: secretsmanager:GetSecretValue on resource: s"}`),
			[]string{"${aws-secretsmanager:s}: AccessDeniedException", "allow secretsmanager:GetSecretValue on it"}, 1},
		{"the key is forbidden", sm, answer(400, `{"__type":"AccessDeniedException","Message":"Access to KMS is not allowed"}`), []string{"AccessDeniedException", "allow kms:Decrypt with the key"}, 1},
		{"decryption", sm, answer(400, `{"__type":"DecryptionFailure"}`), []string{"DecryptionFailure", "allow kms:Decrypt"}, 1},
		{"the key of a parameter", ssm, answer(400, `{"__type":"AccessDeniedException","message":"The ciphertext refers to a customer master key that does not exist"}`), []string{"${aws-ssm:/s}: AccessDenied", "allow kms:Decrypt"}, 1},
		{"a wrong signature quotes the request", sm, answer(400, `{"__type":"InvalidSignatureException","message":"The Canonical String should have been x-amz-security-token:`+token+`"}`),
			[]string{"InvalidSignatureException", "the clock"}, 1},
		{"an expired token", ssm, answer(400, `{"__type":"ExpiredTokenException","message":"The security token included in the request is expired"}`), []string{"ExpiredTokenException: The security token"}, 1},
		{"throttled", sm, answer(400, `{"__type":"ThrottlingException","message":"Rate exceeded"}`), []string{"ThrottlingException"}, 3},
		{"an internal error", ssm, answer(500, `{"__type":"InternalServerError"}`), []string{"InternalServerError"}, 3},
		{"a proxy in between", sm, answer(503, "<html>"+secret), []string{"${aws-secretsmanager:s}: status 503"}, 3},
		{"another server", sm, answer(200, "<html>"+secret), []string{"answer not understood", "is this an endpoint of AWS?"}, 1},
		{"an odd name of an error", sm, answer(400, `{"__type":"`+secret+`"}`), []string{"status 400"}, 1},
		{"an answer of the wrong kind", ssm, answer(200, `{"Parameters":"`+secret+`"}`), []string{"answer not understood"}, 1},
		{"an empty answer", ssm, answer(200, `{}`), []string{"there is no such parameter"}, 1},
		{"an endless answer", sm, answer(200, `{"SecretString":"`+strings.Repeat("x", maxAnswer)+`"}`), []string{"answer too long"}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := &fake{secrets: map[string]string{"s": secret, "json": `{"a":"` + secret + `","in":{"b":"` + secret + `"},"null":null}`}, binary: map[string]string{"bytes": "//4="}, fault: tt.fault}
			values, failed := f.start(t).Resolve(t.Context(), []string{tt.ref})
			if len(values) > 0 {
				t.Errorf("a value")
			}
			has(t, failed[tt.ref], tt.want...)
			if len(f.calls) != tt.calls {
				t.Errorf("%d calls, want %d", len(f.calls), tt.calls)
			}
		})
	}
}

// A failure that passes costs a try.
func TestRetry(t *testing.T) {
	f := &fake{secrets: map[string]string{"s": "v"}, fault: func(n int, _ string) (int, string) {
		if n < 2 {
			return 500, "{}"
		}
		return 0, ""
	}}
	values, failed := f.start(t).Resolve(t.Context(), []string{"aws-secretsmanager:s"})
	if values["aws-secretsmanager:s"] != "v" || len(f.calls) != 3 {
		t.Errorf("%v, %v after %d calls", values, failed, len(f.calls))
	}
}

func TestNobodyListens(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	url := server.URL
	server.Close()
	_, failed := client(t, url).Resolve(t.Context(), []string{"aws-secretsmanager:s", "aws-ssm:/s"})
	has(t, failed["aws-secretsmanager:s"], "connection refused", "interface endpoint for secretsmanager")
	has(t, failed["aws-ssm:/s"], "connection refused", "interface endpoint for ssm")
}

// silence is a network that swallows everything.
type silence struct{}

func (silence) Do(req *http.Request) (*http.Response, error) {
	<-req.Context().Done()
	return nil, req.Context().Err()
}

// Without an answer it ends in time for Lambda to hear why, however many references there are.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &Client{Config: aws.Config{Region: "eu-west-1", HTTPClient: silence{}, Credentials: client(t, "http://x").Config.Credentials}}
		var all []string
		for i := range 50 {
			all = append(all, fmt.Sprintf("aws-secretsmanager:%d", i))
		}
		begin := time.Now()
		_, failed := c.Resolve(t.Context(), all)
		if took := time.Since(begin); took != patience || len(failed) != len(all) {
			t.Errorf("it took %v, and %d have failed", took, len(failed))
		}
		has(t, failed[all[0]], "no answer within 3s")
	})
}

func TestParse(t *testing.T) {
	for text, want := range map[string]reference{
		"aws-secretsmanager:a/b_c+d=e.f@g-h":             {kind: SecretsManager, id: "a/b_c+d=e.f@g-h"},
		"aws-secretsmanager:a@AWSPREVIOUS#f":             {kind: SecretsManager, id: "a", stage: "AWSPREVIOUS", field: "f"},
		"aws-secretsmanager:a#f@AWSPREVIOUS":             {kind: SecretsManager, id: "a", field: "f@AWSPREVIOUS"},
		"aws-secretsmanager:a@AWSPENDING":                {kind: SecretsManager, id: "a", stage: "AWSPENDING"},
		"aws-ssm:/a/b":                                   {kind: ParameterStore, id: "/a/b"},
		"aws-ssm:/a/b:7":                                 {kind: ParameterStore, id: "/a/b:7"},
		"aws-ssm:a@AWSPREVIOUS":                          {kind: ParameterStore, id: "a@AWSPREVIOUS"},
		"aws-ssm:arn:aws-cn:ssm:cn-north-1:1:parameter/": {kind: ParameterStore, id: "arn:aws-cn:ssm:cn-north-1:1:parameter/", region: "cn-north-1"},
	} {
		want.text = text
		if got, err := parse(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"": "write ${aws-secretsmanager:NAME}", "aws-ssm": "write", "vault:x": "write", "aws-ssm:": "no name", "aws-secretsmanager:#f": "no name", "aws-secretsmanager:a#": "no field",
		"aws-secretsmanager:a b": "not the name or the ARN of a secret", "aws-ssm:/ü": "not the name or the ARN of a parameter", "aws-ssm:" + strings.Repeat("x", 2049): "not the name",
		"aws-secretsmanager:arn:aws:ssm:eu-west-1:1:parameter/x": "not the ARN of a secret", "aws-ssm:arn:aws:ssm:eu-west-1:1": "not the ARN of a parameter", "aws-ssm:arn:aws:ssm::1:x": "not the ARN",
	} {
		if _, err := parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: %v, want %q", text, err, want)
		}
	}
}

// request catches where a call would go.
type request struct{ *http.Request }

func (r *request) Do(req *http.Request) (*http.Response, error) {
	r.Request = req
	return nil, errors.New("caught")
}

func TestEndpoints(t *testing.T) {
	for _, tt := range []struct{ region, ref, want string }{
		{"eu-west-1", "aws-ssm:/a", "https://ssm.eu-west-1.amazonaws.com/"},
		{"us-gov-west-1", "aws-secretsmanager:a", "https://secretsmanager.us-gov-west-1.amazonaws.com/"},
		{"cn-north-1", "aws-secretsmanager:a", "https://secretsmanager.cn-north-1.amazonaws.com.cn/"},
		{"us-isob-east-1", "aws-ssm:a", "https://ssm.us-isob-east-1.sc2s.sgov.gov/"},
		{"eusc-de-east-1", "aws-ssm:a", "https://ssm.eusc-de-east-1.amazonaws.eu/"},
		{"eu-west-1", "aws-secretsmanager:arn:aws:secretsmanager:us-east-1:1:secret:x-AbCdEf", "https://secretsmanager.us-east-1.amazonaws.com/"},
	} {
		caught := new(request)
		c := &Client{Config: aws.Config{Region: tt.region, HTTPClient: caught, Credentials: client(t, "http://x").Config.Credentials}, pause: time.Millisecond}
		_, failed := c.Resolve(t.Context(), []string{tt.ref})
		has(t, failed[tt.ref], "caught")
		if got := caught.URL.String(); got != tt.want {
			t.Errorf("%s in %s is at %s, want %s", tt.ref, tt.region, got, tt.want)
		}
	}
	if _, err := New(aws.Config{}, func(name string) string { return map[string]string{"AWS_ENDPOINT_URL_SSM": "localhost"}[name] }); err == nil || !strings.Contains(err.Error(), "AWS_ENDPOINT_URL_SSM") {
		t.Errorf("a wrong endpoint: %v", err)
	}
	_, failed := new(Client).Resolve(t.Context(), []string{"aws-ssm:a"})
	has(t, failed["aws-ssm:a"], "there are no AWS credentials")
}

// FuzzAnswer: whatever an endpoint answers, every reference has a value or an error.
func FuzzAnswer(f *testing.F) {
	f.Add(200, `{"SecretString":"{\"a\":1}","Parameters":[{"Name":"/a","Value":"v"}]}`)
	f.Add(400, `{"__type":"a#b","message":"c"}`)
	f.Add(200, `{"SecretBinary":"!","Parameters":[null]}`)
	f.Fuzz(func(t *testing.T, status int, text string) {
		if status < 200 || status > 599 {
			return
		}
		c := &Client{Config: aws.Config{Region: "eu-west-1", HTTPClient: canned{status, text}, Credentials: client(t, "http://x").Config.Credentials}, pause: 1}
		all := []string{"aws-secretsmanager:a", "aws-secretsmanager:a#a", "aws-ssm:/a", "aws-ssm:/b", "x"}
		values, failed := c.Resolve(t.Context(), all)
		for _, ref := range all {
			if _, ok := values[ref]; ok == (failed[ref] != nil) {
				t.Errorf("%s: %v, %v", ref, ok, failed[ref])
			}
		}
	})
}

type canned struct {
	status int
	text   string
}

func (c canned) Do(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: c.status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(c.text))}, nil
}
