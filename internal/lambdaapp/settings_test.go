package lambdaapp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tapway/tapway/internal/lambdaruntime"
	"github.com/tapway/tapway/internal/lambdaruntime/runtimetest"
)

// A function that cannot work does not start, and says what to set.
func TestInitErrors(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, dir+"/bad.yaml", "backend: https://b\nproxi: {}\ncapture: {max_body: lots}\n")
	for _, tt := range []struct {
		name string
		role Role
		set  []string
		want []string
	}{
		{"no role", "", nil, []string{"TAPWAY_ROLE is not set: set it to proxy", "forwarder"}},
		{"another role", "gateway", nil, []string{`TAPWAY_ROLE is "gateway": set it to proxy`}},
		{"no region", Proxy, []string{"AWS_REGION="}, []string{"set AWS_REGION"}},
		{"no credentials", Proxy, []string{"AWS_ACCESS_KEY_ID="}, []string{"give the function a role"}},
		{"an endpoint without a host", Proxy, []string{"AWS_ENDPOINT_URL_S3=https://"}, []string{"AWS_ENDPOINT_URL_S3", "http://"}},
		{"an endpoint that is no URL", Proxy, []string{"AWS_ENDPOINT_URL_SQS=http://user:hunter2@a b"}, []string{"AWS_ENDPOINT_URL_SQS", "http://"}},
		{"a wrong endpoint", Proxy, []string{"AWS_ENDPOINT_URL_SQS=localhost:4566"}, []string{"AWS_ENDPOINT_URL_SQS", "http://"}},
		{"no backend", Proxy, []string{"TAPWAY_BACKEND="}, []string{"there is nowhere to send calls", "TAPWAY_BACKEND (or REMOTE_URL)"}},
		{"a wrong backend", Proxy, []string{"TAPWAY_BACKEND=api.internal"}, []string{"environment variable TAPWAY_BACKEND", `write https://api.internal`}},
		{"a wrong older name", Proxy, []string{"TAPWAY_BACKEND=", "REMOTE_URL=ftp://x"}, []string{"environment variable REMOTE_URL"}},
		{"no queue", Proxy, []string{"TAPWAY_QUEUE="}, []string{"set TAPWAY_QUEUE"}},
		{"a FIFO queue", Proxy, []string{"TAPWAY_QUEUE=a.fifo"}, []string{"environment variable TAPWAY_QUEUE", "use a standard queue"}},
		{"a queue elsewhere", Proxy, []string{"AWS_ENDPOINT_URL_SQS=", "TAPWAY_QUEUE=arn:aws:sqs:us-east-1:123456789012:records"}, []string{"is in us-east-1, and this is eu-west-1", "take a queue in the same region"}},
		{"a queue for destinations that are not there", Proxy, []string{"TAPWAY_QUEUE=sqs://q-{destination}", "TAPWAY_DESTINATION="}, []string{"set destinations, or leave {destination} out"}},
		{"a wrong bucket", Proxy, []string{"TAPWAY_BUCKET=s3://x"}, []string{"environment variable TAPWAY_BUCKET", "without s3://"}},
		{"no destination", Forwarder, []string{"TAPWAY_DESTINATION="}, []string{"set TAPWAY_DESTINATION"}},
		{"a wrong destination", Forwarder, []string{"TAPWAY_DESTINATION=siem"}, []string{"environment variable TAPWAY_DESTINATION"}},
		{"a wrong timeout", Proxy, []string{"REQUEST_TIMEOUT=soon"}, []string{"environment variable REQUEST_TIMEOUT", "write 250ms"}},
		{"a wrong mode", Proxy, []string{"TAPWAY_CAPTURE=never"}, []string{"environment variable TAPWAY_CAPTURE", "after, before"}},
		{"no file", Proxy, []string{"TAPWAY_CONFIG=none.yaml"}, []string{`TAPWAY_CONFIG is "none.yaml"`, "put the file into the function's package"}},
		{"half a place in S3", Proxy, []string{"TAPWAY_CONFIG=s3://objects"}, []string{"write s3://BUCKET/KEY"}},
		{"not in S3", Proxy, []string{"TAPWAY_CONFIG=s3://objects/none.yaml"}, []string{"s3://objects/none.yaml could not be read", "put it there"}},
		{"a wrong file", Proxy, []string{"TAPWAY_CONFIG=" + dir + "/bad.yaml"}, []string{`bad.yaml:2:1: proxi: unknown key; did you mean "proxy"?`, "bad.yaml:3:21: capture.max_body"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			api := runtimetest.Start(t)
			f := &function{API: api, log: new(buffer), metrics: new(buffer)}
			_, err := New(t.Context(), w.options(f, tt.role, tt.set...))
			if err == nil {
				t.Fatal("it starts")
			}
			if told := (&lambdaruntime.Runtime{API: api.Addr()}).InitError(t.Context(), err); told != nil {
				t.Fatal(told)
			}
			heard, err := api.WaitInitError(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			same(t, "type", heard.Type, "Config.Invalid")
			if strings.Contains(heard.Message, "hunter2") {
				t.Errorf("the message is %q", heard.Message)
			}
			for _, want := range tt.want {
				if !strings.Contains(heard.Message, want) {
					t.Errorf("the message is %q, want %q in it", heard.Message, want)
				}
			}
		})
	}
}

// The configuration comes from the package, from a named file in it, or from S3; the environment
// goes before it.
func TestWhereTheConfigurationIs(t *testing.T) {
	w := newWorld(t)
	root := t.TempDir()
	w.env["LAMBDA_TASK_ROOT"] = root
	writeFile(t, root+"/tapway.yaml", "proxy: {app_name: bundled}\n")
	writeFile(t, root+"/other.yaml", "proxy: {app_name: other, error_title: file}\n")
	fetch := func(_ context.Context, bucket, key string, _ int64) ([]byte, error) {
		if bucket != "objects" || key != "a/b.yaml" {
			return nil, errors.New("no such object")
		}
		return []byte("proxy: {app_name: s3}\n"), nil
	}
	for set, want := range map[string]string{"": "bundled", "other.yaml": "other", root + "/other.yaml": "other", "s3://objects/a/b.yaml": "s3"} {
		o := w.options(new(function), Proxy, "TAPWAY_CONFIG="+set, "GENERAL_ERROR=environment")
		c, err := loadConfig(t.Context(), Proxy, o.Getenv, fetch, nil)
		if err != nil {
			t.Fatal(err)
		}
		same(t, set, c.Proxy.AppName+" "+c.Proxy.ErrorTitle, want+" environment")
	}
}

func TestConfigInS3(t *testing.T) {
	w := newWorld(t)
	cloud, err := newCloud(func(name string) string { return w.env[name] })
	if err != nil {
		t.Fatal(err)
	}
	if err := cloud.blobs("objects").Put(t.Context(), "tapway.yaml", []byte("proxy: {filtered_paths: [/no]}\n")); err != nil {
		t.Fatal(err)
	}
	f := w.start(Proxy, "TAPWAY_CONFIG=s3://objects/tapway.yaml")
	result := f.Invoke(t.Context(), urlEvent("GET", "/no", ""))
	if !strings.Contains(string(result.Body), `"statusCode":403`) {
		t.Errorf("the reply is %s", result.Body)
	}
	f.settled(t)
}

func TestLevel(t *testing.T) {
	w := newWorld(t)
	for aws, want := range map[string]string{"": "INFO", "DEBUG": "DEBUG", "TRACE": "DEBUG", "WARN": "WARN", "ERROR": "ERROR", "FATAL": "ERROR", "x": "INFO"} {
		f := &function{log: new(buffer), metrics: new(buffer)}
		app, err := New(t.Context(), w.options(f, Proxy, "AWS_LAMBDA_LOG_LEVEL="+aws))
		if err != nil {
			t.Fatal(err)
		}
		app.Log.Debug("d")
		app.Log.Info("i")
		app.Log.Warn("w")
		app.Log.Error("e")
		first, _, _ := strings.Cut(f.log.String(), "\n")
		if !strings.Contains(first, `"level":"`+want+`"`) || !strings.Contains(first, `"timestamp":`) || !strings.Contains(first, `"message":`) {
			t.Errorf("%q logs %s", aws, f.log)
		}
	}
}

func TestMemory(t *testing.T) {
	for text, want := range map[string]int64{"": 0, "128": 128 << 20, "10240": 10240 << 20, "-1": 0, "x": 0} {
		if got := memory(func(string) string { return text }); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

// What AWS's SDKs do by a variable and a function does not is said.
func TestEndpointVariables(t *testing.T) {
	w := newWorld(t)
	for _, tt := range []struct{ set, want string }{
		{"AWS_USE_FIPS_ENDPOINT=true", "does not heed AWS_USE_FIPS_ENDPOINT"}, {"AWS_USE_DUALSTACK_ENDPOINT=TRUE", "does not heed AWS_USE_DUALSTACK_ENDPOINT"}, {"AWS_USE_FIPS_ENDPOINT=false", ""},
	} {
		f := &function{log: new(buffer), metrics: new(buffer)}
		if _, err := New(t.Context(), w.options(f, Forwarder, tt.set)); err != nil {
			t.Fatal(err)
		}
		if log := f.log.String(); tt.want == "" && strings.Contains(log, "heed") || !strings.Contains(log, tt.want) {
			t.Errorf("%s: %s", tt.set, log)
		}
	}
}

// A configuration in S3 that cannot be had: the error says what to do about just that.
func TestConfigInS3Errors(t *testing.T) {
	refuse := func(status int, code, more string) func(w http.ResponseWriter, r *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if code == "PermanentRedirect" {
				w.Header().Set("X-Amz-Bucket-Region", "us-east-1")
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "<Error><Code>"+code+"</Code><Message>no</Message>"+more+"</Error>")
			return true
		}
	}
	for _, tt := range []struct {
		name  string
		fault func(w http.ResponseWriter, r *http.Request) bool
		want  []string
		not   []string
	}{
		{"missing", nil, []string{"not found; put it there, or correct the name"}, []string{"s3:GetObject", "VPC"}},
		{"forbidden", refuse(403, "AccessDenied", ""), []string{"403, AccessDenied", "s3:GetObject", "kms:Decrypt"}, []string{"VPC"}},
		{"another region's bucket", refuse(301, "PermanentRedirect", ""), []string{"the bucket is in us-east-1"}, []string{"kms:Decrypt", "VPC"}},
		{"another region's bucket, by its signature", refuse(400, "AuthorizationHeaderMalformed", "<Region>us-east-1</Region>"), []string{"the bucket is in us-east-1"}, []string{"kms:Decrypt", "VPC"}},
		{"no such bucket", refuse(404, "NoSuchBucket", ""), []string{"the bucket does not exist in this region"}, []string{"kms:Decrypt", "VPC"}},
		{"too large", func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Content-Length", "1048577")
			_, _ = w.Write(bytes.Repeat([]byte("#"), 1<<20+1))
			return true
		}, []string{"more than the 1048576 bytes"}, []string{"kms:Decrypt", "VPC"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.s3Fault = tt.fault
			f := &function{log: new(buffer), metrics: new(buffer)}
			_, err := New(t.Context(), w.options(f, Proxy, "TAPWAY_CONFIG=s3://objects/tapway.yaml"))
			if err == nil {
				t.Fatal("it starts")
			}
			for _, want := range append(tt.want, "TAPWAY_CONFIG: s3://objects/tapway.yaml could not be read") {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error is %q, want %q in it", err, want)
				}
			}
			for _, not := range tt.not {
				if strings.Contains(err.Error(), not) {
					t.Errorf("the error is %q, with %q in it", err, not)
				}
			}
		})
	}
}

// Nobody is there to ask: that may be the network, and is said so.
func TestConfigInS3Unreachable(t *testing.T) {
	w := newWorld(t)
	f := &function{log: new(buffer), metrics: new(buffer)}
	gone := httptest.NewServer(nil)
	gone.Close()
	_, err := New(t.Context(), w.options(f, Proxy, "TAPWAY_CONFIG=s3://objects/tapway.yaml", "AWS_ENDPOINT_URL_S3="+gone.URL))
	if err == nil || !strings.Contains(err.Error(), "In a VPC the function needs a gateway endpoint") {
		t.Errorf("the error is %v", err)
	}
}

// A pattern among the filtered paths would filter nothing.
func TestFilteredPatterns(t *testing.T) {
	for value, ok := range map[string]bool{
		"/foobar|/baz": true, "/foobar|": true, "/a.b/c-d_e~f": true, "/a+b": true, "/a(b)": true, "/100$us": true, "/what?": true,
		"^/foobar": false, "/foobar$": false, "/foo.*": false, "/foo.+/x": false, "/foobar/*": false, "/users/[0-9]": false, `/users/\d`: false, "/users/{id}": false, "/ok|/no.*": false,
	} {
		w := newWorld(t)
		f := &function{log: new(buffer), metrics: new(buffer)}
		_, err := New(t.Context(), w.options(f, Proxy, "FILTERED_PATH="+value))
		if ok != (err == nil) || err != nil && (!strings.Contains(err.Error(), "FILTERED_PATH") || !strings.Contains(err.Error(), "looks like a pattern")) {
			t.Errorf("%s: %v", value, err)
		}
	}
}
