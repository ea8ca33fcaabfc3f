package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tapway/tapway/internal/lambdahttp/eventtest"
	"github.com/tapway/tapway/internal/lambdaruntime/runtimetest"
	"github.com/tapway/tapway/internal/queue/sqsqueue/sqstest"
)

// TestBootstrap is the program itself: it answers an event, leaves the record in the queue, and
// ends when it is told to.
func TestBootstrap(t *testing.T) {
	bin := build(t)
	backend, queue, sqs := surroundings(t)
	api := runtimetest.Start(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	process := api.Go(func(context.Context) error {
		cmd := command(ctx, bin, "AWS_LAMBDA_RUNTIME_API="+api.Addr(), "TAPWAY_ROLE=proxy", "TAPWAY_BACKEND="+backend, "TAPWAY_QUEUE=records", "AWS_ENDPOINT_URL_SQS="+sqs)
		if err := cmd.Run(); !errors.Is(err, context.Canceled) { // which is what a clean exit after the interrupt is called
			return err
		}
		return nil
	})
	event, err := eventtest.REST.Event(eventtest.Request{Target: "/a?b=c"})
	if err != nil {
		t.Fatal(err)
	}
	result := api.Invoke(t.Context(), event)
	if result.Err != nil || result.Error != nil || !strings.Contains(string(result.Body), `"body":"hello"`) {
		t.Fatalf("the reply is %s, %v, %v", result.Body, result.Error, result.Err)
	}
	waiting, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	if err := api.WaitFrozen(waiting); err != nil {
		t.Fatal(err)
	}
	if all := queue.Messages("records"); len(all) != 1 || !strings.Contains(all[0].Body, `"endpoint":"/a"`) {
		t.Errorf("the queue has %d messages", len(all))
	}
	cancel()
	if err := process.Wait(waiting); err != nil {
		t.Errorf("it ends with %v", err)
	}
}

// TestBootstrapInitError: what is wrong reaches Lambda and the log, and the exit status tells.
func TestBootstrapInitError(t *testing.T) {
	bin := build(t)
	api := runtimetest.Start(t)
	out, err := command(t.Context(), bin, "AWS_LAMBDA_RUNTIME_API="+api.Addr(), "TAPWAY_ROLE=proxy", "TAPWAY_QUEUE=records").CombinedOutput()
	if err == nil {
		t.Error("it exits as if all were well")
	}
	heard, waitErr := api.WaitInitError(t.Context())
	if waitErr != nil {
		t.Fatal(waitErr)
	}
	for _, text := range []string{heard.Message, string(out)} {
		if !strings.Contains(text, "TAPWAY_BACKEND (or REMOTE_URL)") {
			t.Errorf("it does not say what to set: %s", text)
		}
	}
	out, err = command(t.Context(), bin).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "AWS_LAMBDA_RUNTIME_API is not set") {
		t.Errorf("outside of Lambda: %s, %v", out, err)
	}
}

// binaries is where the program is; it is built once, for whoever needs it first.
var binaries string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "tapway-lambda-*")
	if err != nil {
		panic(err)
	}
	binaries = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

var built = sync.OnceValues(func() (string, error) {
	bin := filepath.Join(binaries, "bootstrap")
	if out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return bin, nil
})

func build(t *testing.T) string {
	t.Helper()
	bin, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

// surroundings are what a proxy function has around it: a backend that says hello, and an SQS with the queue records.
func surroundings(t *testing.T) (backend string, queue *sqstest.Server, sqs string) {
	t.Helper()
	b := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	t.Cleanup(b.Close)
	queue = new(sqstest.Server)
	queue.Create("records", nil)
	q := httptest.NewServer(queue)
	t.Cleanup(q.Close)
	return b.URL, queue, q.URL
}

// command runs the bootstrap with nothing in its environment but what a function has. It is
// interrupted when ctx ends.
func command(ctx context.Context, bin string, env ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, bin)
	cmd.Env = append(env, "AWS_REGION=eu-west-1", "AWS_ACCESS_KEY_ID=AKID", "AWS_SECRET_ACCESS_KEY=secret")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// A function whose output nobody reads goes on: its lines are lost, and no call is.
func TestNobodyReadsTheOutput(t *testing.T) {
	bin := build(t)
	backend, queue, sqs := surroundings(t)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	read.Close()
	defer write.Close()
	api := runtimetest.Start(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	process := api.Go(func(context.Context) error {
		cmd := command(ctx, bin, "AWS_LAMBDA_RUNTIME_API="+api.Addr(), "TAPWAY_ROLE=proxy", "TAPWAY_BACKEND="+backend, "TAPWAY_QUEUE=records", "AWS_ENDPOINT_URL_SQS="+sqs)
		cmd.Stdout, cmd.Stderr = write, write
		if err := cmd.Run(); !errors.Is(err, context.Canceled) {
			return err
		}
		return nil
	})
	event, err := eventtest.REST.Event(eventtest.Request{Target: "/a"})
	if err != nil {
		t.Fatal(err)
	}
	waiting, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	for range 2 {
		result := api.Invoke(waiting, event)
		if result.Err != nil || result.Error != nil {
			t.Fatalf("the reply is %s, %v, %v", result.Body, result.Error, result.Err)
		}
		if err := api.WaitFrozen(waiting); err != nil {
			t.Fatal(err)
		}
	}
	if all := queue.Messages("records"); len(all) != 2 {
		t.Errorf("the queue has %d messages", len(all))
	}
	cancel()
	if err := process.Wait(waiting); err != nil {
		t.Error(err)
	}
}
