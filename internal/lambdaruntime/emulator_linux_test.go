package lambdaruntime_test

import (
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestEmulator runs the loop under AWS's own emulator where that is installed.
func TestEmulator(t *testing.T) {
	rie, err := exec.LookPath("aws-lambda-rie")
	if err != nil {
		t.Skip("aws-lambda-rie is not on the PATH; it is built from github.com/aws/aws-lambda-runtime-interface-emulator")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	front, api := freeAddr(t), freeAddr(t)
	cmd := exec.Command(rie, "--runtime-interface-emulator-address", front, "--runtime-api-address", api, "--log-level", "error", self)
	cmd.Env = append(os.Environ(), bootstrapEnv+"=1", "AWS_LAMBDA_FUNCTION_TIMEOUT=20")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // the bootstrap ends with it
	var log journal
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		cmd.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	invoke := func(event string) string {
		req, err := http.NewRequestWithContext(within(t), "POST", "http://"+front+"/2015-03-31/functions/function/invocations", strings.NewReader(event))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatalf("%.40s: %v", event, err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	for !dials(front) {
		if within(t).Err() != nil {
			t.Fatal("the emulator does not listen")
		}
		time.Sleep(10 * time.Millisecond) // a foreign process: there is nothing to wait on
	}
	big := `"` + strings.Repeat("y", 5<<20) + `"`
	for _, c := range []struct{ event, want string }{
		{`{"a":1}`, `{"event":{"a":1},"deadline":true}`},
		{`"fail"`, `{"errorMessage":"as asked","errorType":"Function.Error"}`},
		{`"stream"`, "piece piece piece "},
		{`{"after":"stream"}`, `{"event":{"after":"stream"},"deadline":true}`},
		{`"large"`, "ResponseSizeTooLarge"},
		{big, `{"event":` + big + `,"deadline":true}`},
		{`"panic"`, `"stackTrace":[{"path":"`},
		{`{"after":"panic"}`, `{"event":{"after":"panic"},"deadline":true}`}, // in a new process
	} {
		if got := invoke(c.event); !strings.Contains(got, c.want) {
			t.Errorf("%.40s: got %.300s, want %.300s", c.event, got, c.want)
		}
	}
}

func freeAddr(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func dials(addr string) bool {
	c, err := net.Dial("tcp", addr)
	if err == nil {
		c.Close()
	}
	return err == nil
}
