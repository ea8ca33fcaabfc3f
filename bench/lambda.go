package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/lambdahttp/eventtest"
	"github.com/tapway/tapway/internal/queue/sqsqueue/sqstest"
)

var (
	lambda     = flag.Bool("lambda", false, "measure the Lambda functions instead; `make bench-lambda` builds them first")
	bootstraps = flag.String("bootstraps", "bin", "where lambda-ARCH/bootstrap and tapway-lambda-ARCH.zip lie")
	buildWith  = flag.String("build", "", "flags of go build beside -ldflags that the bootstraps were built with, for the variants")
	calls      = flag.Int("calls", 300, "invocations of one contender in one round; a quarter of them with the large payload")
	python     = flag.String("python", "python3", "the interpreter with urllib3 (and boto3); empty leaves Python out of the CPU figures")
	against    = flag.String("against", "", "where another build's lambda-ARCH/bootstrap lies, whose CPU is measured side by side")
)

var lambdaParts = []part{
	{"added", benchAdded}, {"one", benchOne}, {"cpu", benchCPU}, {"slow", benchSlowQueue}, {"init", benchInit},
}

// environment is what one process of a function stands in: the Runtime API, a backend, and a
// queue.
type environment struct {
	api     *runtimeAPI
	backend *stampingBackend
	queue   *sqstest.Server
	delay   time.Duration // of every send; set between invocations only
	sqs     *http.Server
	sqsAddr string
}

func newEnvironment() (*environment, error) {
	api, err := newRuntimeAPI()
	if err != nil {
		return nil, err
	}
	backend, err := newStampingBackend(append(payloads[:len(payloads):len(payloads)], ordinary)...)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	e := &environment{api: api, backend: backend, sqsAddr: l.Addr().String()}
	e.queue = &sqstest.Server{Fault: func(c sqstest.Call) *sqstest.Fault {
		if c.Action != "SendMessage" {
			return nil
		}
		return &sqstest.Fault{Delay: e.delay}
	}}
	e.empty()
	e.sqs = &http.Server{Handler: e.queue}
	go e.sqs.Serve(l)
	return e, nil
}

// empty throws away what the queue holds.
func (e *environment) empty() { e.queue.Create("records", nil) }

func (e *environment) close() {
	e.api.close()
	e.backend.Close()
	e.sqs.Close()
}

// function is a process that serves the environment's Runtime API, or is about to.
type function struct {
	*process
	log *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// run starts a program with nothing in its environment but what a function has.
func (e *environment) run(name string, env []string, program string, args ...string) (*function, error) {
	f := &function{&process{name: name, cmd: exec.Command(program, args...)}, new(lockedBuffer)}
	f.cmd.Env = append([]string{
		"AWS_LAMBDA_RUNTIME_API=" + e.api.addr(), "AWS_REGION=eu-west-1", "AWS_ACCESS_KEY_ID=AKID", "AWS_SECRET_ACCESS_KEY=secret",
		"AWS_LAMBDA_FUNCTION_NAME=bench", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=512", "AWS_ENDPOINT_URL_SQS=http://" + e.sqsAddr, "PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"),
		"TAPWAY_ROLE=proxy", "TAPWAY_BACKEND=" + e.backend.url(), "TAPWAY_QUEUE=records",
	}, env...)
	f.cmd.Stderr = f.log
	if err := f.cmd.Start(); err != nil {
		return nil, err
	}
	remember(f.process)
	return f, nil
}

// in runs use with a function in an environment of its own, and adds to an error what the
// function has said.
func in(start func(e *environment) (*function, error), use func(e *environment, f *function) error) error {
	e, err := newEnvironment()
	if err != nil {
		return err
	}
	defer e.close()
	f, err := start(e)
	if err != nil {
		return err
	}
	err = use(e, f)
	f.stop()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", f.name, err, f.log)
	}
	return nil
}

// bootstrap starts the proxy function.
func bootstrap(name string, env ...string) func(*environment) (*function, error) {
	return bootstrapIn(*bootstraps, name, env...)
}

func bootstrapIn(dir, name string, env ...string) func(*environment) (*function, error) {
	return func(e *environment) (*function, error) {
		return e.run(name, env, filepath.Join(dir, "lambda-"+runtime.GOARCH, "bootstrap"))
	}
}

// call is one invocation, checked, and how long the caller waited.
func (e *environment) call(event []byte) (timing, error) {
	if _, err := e.api.wait(); err != nil {
		return timing{}, err
	}
	t, err := e.api.invoke(event)
	if err == nil && !bytes.Contains(t.body, []byte(`"statusCode":200`)) && !bytes.Contains(t.body, []byte(`"statusCode": 200`)) {
		err = fmt.Errorf("the reply is %.300s", t.body)
	}
	return t, err
}

// callsOf is how many invocations with a payload of that size make a round.
func callsOf(size int) int {
	if size > 10<<10 {
		return max(*calls/4, 1)
	}
	return *calls
}

// eventOf is a POST of size bytes of JSON that the backend answers with as many, by a front.
func eventOf(f eventtest.Front, size int) ([]byte, error) {
	return f.Event(eventtest.Request{Method: "POST", Target: "/api/v1/users/" + strconv.Itoa(size) + "?a=b&c=d", Body: bodyOf(size), Header: []tapway.Field{
		{Name: "Content-Type", Value: "application/json"}, {Name: "Accept", Value: "application/json"}, {Name: "User-Agent", Value: "bench/1"},
		{Name: "Authorization", Value: "Bearer " + string(bytes.Repeat([]byte("x"), 200))}, {Name: "Cookie", Value: "a=b; c=d"}, {Name: "Accept-Encoding", Value: "gzip, br"},
	}})
}

// needBootstraps says how to make them.
func needBootstraps() error {
	if _, err := os.Stat(filepath.Join(*bootstraps, "lambda-"+runtime.GOARCH, "bootstrap")); errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: run `make bench-lambda`, which builds it", err)
	}
	return nil
}
