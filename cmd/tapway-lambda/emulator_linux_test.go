package main

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tapway/tapway/internal/lambdahttp/eventtest"
)

// TestEmulator makes a call through AWS's own emulator where that is installed. It holds the
// caller until the next invocation is asked for, so the record is in the queue by then.
func TestEmulator(t *testing.T) {
	rie, err := exec.LookPath("aws-lambda-rie")
	if err != nil {
		t.Skip("aws-lambda-rie is not on the PATH; it is built from github.com/aws/aws-lambda-runtime-interface-emulator")
	}
	backend, queue, sqs := surroundings(t)
	front, api := freeAddress(t), freeAddress(t)
	cmd := exec.Command(rie, "--runtime-interface-emulator-address", front, "--runtime-api-address", api, "--log-level", "error", build(t))
	cmd.Env = append(os.Environ(), "TAPWAY_ROLE=proxy", "TAPWAY_BACKEND="+backend, "TAPWAY_QUEUE=records", "AWS_ENDPOINT_URL_SQS="+sqs,
		"AWS_REGION=eu-west-1", "AWS_ACCESS_KEY_ID=AKID", "AWS_SECRET_ACCESS_KEY=secret", "AWS_LAMBDA_FUNCTION_TIMEOUT=20")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // the bootstrap ends with it
	var log bytes.Buffer
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
	event, err := eventtest.FunctionURL.Event(eventtest.Request{Target: "/a"})
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}
	for deadline := time.Now().Add(20 * time.Second); ; {
		c, err := net.Dial("tcp", front)
		if err == nil {
			c.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the emulator does not listen")
		}
		time.Sleep(10 * time.Millisecond) // a foreign process: there is nothing to wait on
	}
	resp, err := client.Post("http://"+front+"/2015-03-31/functions/function/invocations", "application/json", bytes.NewReader(event))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(body), `"body":"hello"`) {
		t.Errorf("the reply is %s, %v", body, err)
	}
	if n := len(queue.Messages("records")); n != 1 {
		t.Errorf("the queue has %d messages", n)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
