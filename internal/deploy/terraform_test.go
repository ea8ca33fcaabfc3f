package deploy

import (
	"archive/zip"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/tapway/tapway/internal/attach"
)

// fakeTerraform is a program that says what a script has it say.
func fakeTerraform(t *testing.T, script string) *Terraform {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the stand-in for terraform is a shell script")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "terraform")
	text := "#!/bin/sh\ncase \"$1\" in version) echo '{\"terraform_version\": \"1.11.4\"}'; exit;; fmt) exit;; esac\n" + script
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	tf, err := FindTerraform(t.Context(), path, dir)
	if err != nil {
		t.Fatal(err)
	}
	return tf
}

func TestFindTerraform(t *testing.T) {
	if tf := fakeTerraform(t, ""); !tf.AtLeast(1, 11) || tf.AtLeast(1, 12) || tf.AtLeast(2, 0) || !tf.AtLeast(0, 99) {
		t.Errorf("version %v", tf.Version)
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := FindTerraform(t.Context(), "", ""); !errors.Is(err, ErrNoTerraform) {
		t.Errorf("nothing on the path: %v", err)
	}
	old := filepath.Join(t.TempDir(), "tofu")
	if err := os.WriteFile(old, []byte("#!/bin/sh\necho '{\"terraform_version\": \"1.5.7\"}'\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := FindTerraform(t.Context(), old, ""); err == nil || !strings.Contains(err.Error(), "1.5.7; 1.6 or later") {
		t.Errorf("too old: %v", err)
	}
}

func TestPlanAndApply(t *testing.T) {
	tf := fakeTerraform(t, `cat <<'END'
{"@level":"info","type":"version"}
{"type":"planned_change","change":{"resource":{"addr":"b"},"action":"create"}}
{"type":"planned_change","change":{"resource":{"addr":"a"},"action":"replace"}}
{"type":"planned_change","change":{"resource":{"addr":"c"},"action":"no-op"}}
{"type":"planned_change","change":{"resource":{"addr":"d"},"action":"read"}}
{"type":"apply_start","hook":{"resource":{"addr":"a"}}}
{"type":"apply_complete","hook":{"resource":{"addr":"a"}}}
{"type":"apply_start","hook":{"resource":{"addr":"b"}}}
{"type":"apply_complete","hook":{"resource":{"addr":"b"}}}
END
`)
	c, err := tf.Plan(t.Context(), false)
	if err != nil || len(c.List) != 2 || c.List[0] != (Change{"replace", "a"}) || c.Count("create") != 1 || c.Count("create", "replace") != 2 {
		t.Errorf("%+v, %v", c, err)
	}
	last := [2]int{}
	tf.Progress = func(_ string, done, total int) { last = [2]int{done, total} }
	if err := tf.Apply(t.Context(), 2); err != nil || last != [2]int{2, 2} {
		t.Errorf("%v, %v", last, err)
	}
}

// TestDiagnose: what terraform says becomes what one does next.
func TestDiagnose(t *testing.T) {
	for _, tt := range []struct{ command, script, says string }{
		{"apply", `echo '{"type":"diagnostic","diagnostic":{"severity":"error","summary":"creating SQS Queue (x): operation error SQS: CreateQueue, https response error StatusCode: 403, AccessDenied: User: arn:aws:iam::1:user/u is not authorized to perform: sqs:createqueue on resource: y because","address":"aws_sqs_queue.x"}}'`,
			"these credentials lack sqs:createqueue"},
		{"apply", `echo '{"type":"diagnostic","diagnostic":{"severity":"error","summary":"operation error CloudWatch Logs: CreateLogGroup, https response error StatusCode: 400, AccessDeniedException: no"}}'`, "these credentials lack logs:CreateLogGroup; "},
		{"apply", `for s in "CloudWatch: PutMetricAlarm" "Lambda: GetFunction" "Lambda: GetFunction"; do
echo '{"type":"diagnostic","diagnostic":{"severity":"error","summary":"operation error '"$s"', https response error StatusCode: 403, RequestID: x"}}'; done`, "these credentials lack cloudwatch:PutMetricAlarm, lambda:GetFunction; "},
		{"apply", `echo '{"type":"diagnostic","diagnostic":{"severity":"error","summary":"timeout","address":"aws_x.y"}}'`, "aws_x.y: timeout\nWhat was made so far is in Terraform's state. When the cause is mended, the same command goes on"},
		{"apply", `echo '{"type":"diagnostic","diagnostic":{"severity":"warning","summary":"hm"}}'; echo "broken pipe" >&2`, "broken pipe"},
		{"plan", `echo '{"type":"diagnostic","diagnostic":{"severity":"error","summary":"Error acquiring the state lock","detail":"Lock Info:\n  ID:        0f1c2d3e-0000-1111-2222-333344445555\n"}}'`, "force-unlock 0f1c2d3e-0000-1111-2222-333344445555"},
		{"plan", `echo '{"type":"diagnostic","diagnostic":{"severity":"error","summary":"ExpiredToken: The security token included in the request is expired"}}'`, "log in again"},
		{"init", `echo '│ Error: Failed to query available provider packages'`, "registry.terraform.io"},
		{"init", `echo 'Error: NoSuchBucket'`, "aws s3 mb"},
	} {
		tf := fakeTerraform(t, tt.script+"\nexit 1\n")
		var err error
		switch tt.command {
		case "apply":
			err = tf.Apply(t.Context(), 1)
		case "plan":
			_, err = tf.Plan(t.Context(), false)
		default:
			err = tf.Init(t.Context())
		}
		var failed *TerraformError
		if !errors.As(err, &failed) || !strings.Contains(err.Error(), tt.says) || strings.ContainsAny(err.Error(), "│╷") {
			t.Errorf("%s: %v\nwant %s", tt.script, err, tt.says)
		}
	}
}

// TestInterrupted: terraform gets one interrupt, and the time to write its state.
func TestInterrupted(t *testing.T) {
	tf := fakeTerraform(t, `trap 'echo saved > "$0.state"; kill $!; exit 1' INT
echo '{"type":"apply_start","hook":{"resource":{"addr":"a"}}}'
sleep 60 &
wait
`)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	tf.Progress = func(string, int, int) { cancel() }
	err := tf.Apply(ctx, 1)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "goes on from there") {
		t.Errorf("interrupted: %v", err)
	}
	if _, err := os.Stat(tf.Path + ".state"); err != nil {
		t.Errorf("it had no time for its state: %v", err)
	}
}

func TestCheckPackage(t *testing.T) {
	dir := t.TempDir()
	program := []byte("\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00 and more") // arm64
	pack := func(name, inside string, text []byte) string {
		path := filepath.Join(dir, name)
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		z := zip.NewWriter(f)
		w, err := z.Create(inside)
		if err == nil {
			_, err = w.Write(text)
		}
		if err == nil {
			err = z.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	for path, says := range map[string]string{
		filepath.Join(dir, "none.zip"):              "no such file",
		pack("other.zip", "main", program):          "has no file bootstrap",
		pack("text.zip", "bootstrap", []byte("#!")): "no program for 64-bit Linux",
	} {
		if err := CheckPackage(path, "arm64"); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", path, err)
		}
	}
	good := pack("good.zip", "bootstrap", program)
	if err := CheckPackage(good, "arm64"); err != nil {
		t.Error(err)
	}
	if err := CheckPackage(good, "x86_64"); err == nil || !strings.Contains(err.Error(), "EM_AARCH64, not for x86_64") {
		t.Errorf("of another processor: %v", err)
	}
}

func TestCallPath(t *testing.T) {
	for _, tt := range []struct {
		routes []string
		want   string
	}{
		{nil, ""},
		{[]string{"POST /users", "GET /users/{id}"}, ""},
		{[]string{"ANY /{proxy+}", "GET /users"}, "/users"},
		{[]string{"POST /a", "ANY /b"}, "/b"},
		{[]string{"GET /a/{proxy+}"}, "/a/tapway-test"},
		{[]string{"ANY /{tenant}/{proxy+}"}, ""},
		{[]string{"$default"}, "/"},
		{[]string{"ANY /"}, "/"},
	} {
		p := new(attach.Plan)
		for _, r := range tt.routes {
			p.Changes = append(p.Changes, attach.Change{Route: r})
		}
		if got, ok := CallPath(p); got != tt.want || ok != (tt.want != "") {
			t.Errorf("%v: %q, want %q", tt.routes, got, tt.want)
		}
	}
	for want, a := range map[string]*attach.API{
		"https://a1.execute-api.eu-west-1.amazonaws.com/prod":     {ID: "a1", Region: "eu-west-1", Stage: "prod"},
		"https://a1.execute-api.eu-west-1.amazonaws.com":          {ID: "a1", Region: "eu-west-1", Stage: "$default"},
		"https://a1.execute-api.cn-north-1.amazonaws.com.cn/prod": {ID: "a1", Region: "cn-north-1", Stage: "prod"},
	} {
		if got := APIURL(a); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestCall(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Api-Key") != "k" || !strings.Contains(r.Header.Get("Traceparent"), "-") {
			w.Header().Set("X-Amzn-Errortype", "ForbiddenException")
			w.WriteHeader(http.StatusForbidden)
		}
		w.Header().Set("X-Amzn-Requestid", "r1")
	}))
	defer server.Close()
	c, err := NewCall(server.URL, http.Header{"X-Api-Key": {"k"}})
	if err != nil {
		t.Fatal(err)
	}
	if a, err := c.Do(t.Context(), server.Client()); err != nil || a.Status != "200 OK" || a.RequestID != "r1" || a.FromAPI != "" {
		t.Errorf("%+v, %v", a, err)
	}
	c.Header = nil
	if a, err := c.Do(t.Context(), server.Client()); err != nil || a.FromAPI != "ForbiddenException" {
		t.Errorf("%+v, %v", a, err)
	}
	if _, err := NewCall("users", nil); err == nil {
		t.Error("a path is taken for a URL")
	}
}
