package main

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/tapway/tapway/internal/awsconsole/awsconsoletest"
)

// TestConsoleHere: the address of the running tapway is printed, and opened if wanted.
func TestConsoleHere(t *testing.T) {
	w := newWorld(t, "")
	fails(t, w.dir, 1, "there is no data directory", "console")
	g := serve(t, w.dir)
	if got := must(t, w.dir, "console"); got != "http://"+g.admin+"/\n" {
		t.Errorf("it says %q, and listens at %s", got, g.admin)
	}
	if got := must(t, w.dir, "console", "--admin", g.admin); got != "http://"+g.admin+"/\n" {
		t.Errorf("with --admin it says %q", got)
	}
	opened := browserStub(t)
	must(t, w.dir, "console", "--open")
	waitFor(t, "the browser", func() bool { return opened() == "http://"+g.admin+"/" })
	t.Setenv("BROWSER", filepath.Join(w.dir, "none"))
	if _, errOut, code := execute(t, w.dir, "console", "--open"); code != 0 || !strings.Contains(errOut, "open http://"+g.admin+"/ yourself") {
		t.Errorf("without a browser: exit %d, %s", code, errOut)
	}
	g.stop(t)
	fails(t, w.dir, 1, "no tapway runs here", "console")
}

// browserStub is a $BROWSER that writes down what it was to open.
func browserStub(t *testing.T) (opened func() string) {
	t.Helper()
	dir := t.TempDir()
	script, note := filepath.Join(dir, "browser"), filepath.Join(dir, "opened")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nprintf %s \"$1\" > '"+note+".part' && mv '"+note+".part' '"+note+"'\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("BROWSER", script)
	return func() string {
		text, _ := os.ReadFile(note)
		return string(text)
	}
}

// TestConsoleUsage: flags that do not go together.
func TestConsoleUsage(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"--project", "shop"}, "--project goes with --aws"},
		{[]string{"--listen", "127.0.0.1:0"}, "--listen goes with --aws"},
		{[]string{"--aws", "--data", "x"}, "--data does not go with --aws"},
		{[]string{"--data", "x", "--admin", "y"}, "exclude each other"},
		{[]string{"--aws", "--listen", "9091"}, "is not an address"},
		{[]string{"--aws", "--listen", "0.0.0.0:9091"}, "set --token"},
		{[]string{"--aws", "--listen", ":9091"}, "set --token"},
		{[]string{"--aws", "--project", ""}, "--project is empty"},
		{[]string{"--aws"}, "say which tap"},
		{[]string{"--kms-key", "arn:aws:kms:eu-west-1:1:key/a"}, "--kms-key goes with --aws"},
		{[]string{"--aws", "--kms-key", "arn:aws:kms:eu-west-1:1:key/a"}, "goes with --print-policy"},
		{[]string{"--aws", "--print-policy", "--kms-key", "alias/shop"}, "is not the ARN of a key"},
	} {
		fails(t, dir, 2, tt.want, append([]string{"console"}, tt.args...)...)
	}
	mustContain(t, must(t, dir, "console", "--aws", "--project", "shop", "--region", "eu-west-1", "--print-policy"),
		"cloudwatch:DescribeAlarmHistory", "function:shop-proxy", "arn:aws:sqs:eu-west-1:*:shop-*-dead", "arn:aws:s3:::shop-records-*/spill/*")
	if policy := must(t, dir, "console", "--aws", "--project", "shop", "--print-policy"); strings.Contains(policy, "kms:") {
		t.Errorf("without a key of its own: %s", policy)
	}
	mustContain(t, must(t, dir, "console", "--aws", "--project", "shop", "--print-policy", "--kms-key", "arn:aws:kms:eu-west-1:123456789012:key/a"),
		`"kms:Decrypt"`, "arn:aws:kms:eu-west-1:123456789012:key/a")
}

// TestConsoleAWS: the console of a tap on AWS is served, to this machine alone, until it is ended.
func TestConsoleAWS(t *testing.T) {
	awsconsoletest.Start(t)
	dir := t.TempDir()
	opened := browserStub(t)
	fails(t, dir, 1, "--queue", "console", "--aws", "--project", "none", "--listen", "127.0.0.1:0")
	r := begin(t, dir, "console", "--aws", "--project", "shop", "--listen", "127.0.0.1:0", "--open")
	waitFor(t, "the address", func() bool { return strings.HasSuffix(r.out.String(), "/\n") })
	url := strings.TrimSpace(r.out.String())
	waitFor(t, "the browser", func() bool { return opened() == url })

	ask := func(method, path string, change func(*http.Request)) (int, string) {
		t.Helper()
		req, err := http.NewRequest(method, url+path, strings.NewReader(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		if change != nil {
			change(req)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(text)
	}
	if status, text := ask("GET", "", nil); status != 200 || !strings.Contains(text, "<title>tapway") {
		t.Errorf("the page: %d %s", status, text)
	}
	if status, text := ask("GET", "api/v1/place", nil); status != 200 || !strings.Contains(text, `"name":"shop"`) || !strings.Contains(text, "in bucket "+awsconsoletest.Bucket) {
		t.Errorf("the place: %d %s", status, text)
	}
	if status, text := ask("GET", "api/v1/queue", nil); status != 200 || !strings.Contains(text, `"queue":"shop-siem"`) {
		t.Errorf("the queues: %d %s", status, text)
	}
	if status, _ := ask("GET", "api/v1/queue", func(r *http.Request) { r.Host = "evil.example.com" }); status != 403 {
		t.Errorf("another name than loopback's: %d", status)
	}
	if status, _ := ask("POST", "api/v1/deadletters/purge", func(r *http.Request) { r.Header.Set("Origin", "https://evil.example.com") }); status != 403 {
		t.Errorf("from another origin: %d", status)
	}
	if err := r.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	<-r.exited
	if code := r.cmd.ProcessState.ExitCode(); code != 0 || strings.Contains(r.err.String(), "level=") {
		t.Errorf("exit %d\n%s", code, r.err)
	}

	named := begin(t, dir, "console", "--aws", "--queue", "sqs://shop-lake", "--bucket", awsconsoletest.Bucket, "--listen", "127.0.0.1:0", "--token", "s3same-token")
	waitFor(t, "the address", func() bool { return strings.HasSuffix(named.out.String(), "/\n") })
	url = strings.TrimSpace(named.out.String())
	if status, _ := ask("GET", "api/v1/queue", nil); status != 401 {
		t.Errorf("without the token: %d", status)
	}
	if status, text := ask("GET", "api/v1/queue", func(r *http.Request) { r.Header.Set("Authorization", "Bearer s3same-token") }); status != 200 || !strings.Contains(text, `"destination":"shop-lake"`) {
		t.Errorf("with the token: %d %s", status, text)
	}
}
