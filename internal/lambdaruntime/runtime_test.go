package lambdaruntime_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tapway/tapway/internal/lambdaruntime"
	"github.com/tapway/tapway/internal/lambdaruntime/runtimetest"
)

func TestMain(m *testing.M) {
	if os.Getenv(bootstrapEnv) != "" {
		bootstrap() // does not return
	}
	goleak.VerifyTestMain(m)
}

type (
	invocation = lambdaruntime.Invocation
	reply      = lambdaruntime.Reply
)

// journal is a log that a test can read.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

// start runs h against api and returns what it logs.
func start(api *runtimetest.API, n int, h lambdaruntime.HandlerFunc) (*runtimetest.Process, *journal) {
	j := &journal{}
	r := &lambdaruntime.Runtime{API: api.Addr(), Handler: h, Concurrency: n, Log: slog.New(slog.NewTextHandler(j, nil))}
	return api.Go(r.Run), j
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func frozen(t *testing.T, api *runtimetest.API) {
	t.Helper()
	if err := api.WaitFrozen(within(t)); err != nil {
		t.Fatal(err)
	}
}

func whats(api *runtimetest.API) string {
	var all []string
	for _, e := range api.Log() {
		all = append(all, e.What)
	}
	return strings.Join(all, ", ")
}

func TestTheCallerHasItsReplyBeforeTheWorkAfterIt(t *testing.T) {
	for name, r := range map[string]reply{
		"buffered": {Body: []byte("served")},
		"streamed": {Stream: func(_ context.Context, w io.Writer) error {
			_, err := io.WriteString(w, "served")
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			api := runtimetest.Start(t)
			began, release := make(chan struct{}), make(chan struct{})
			start(api, 1, func(context.Context, *invocation) (reply, error) {
				r.After = func(ctx context.Context) {
					close(began)
					select {
					case <-release:
					case <-ctx.Done():
						t.Error("the context of the work ended early")
					}
				}
				return r, nil
			})
			res := api.Do(within(t), runtimetest.Call{Timeout: time.Minute})
			if string(res.Body) != "served" || res.Err != nil || res.Error != nil {
				t.Fatalf("the caller got %+v", res)
			}
			<-began
			if got, want := whats(api), "next, delivered, reply begun, reply done"; got != want {
				t.Errorf("while the work runs: %s; want %s", got, want)
			}
			if api.Frozen() {
				t.Error("the environment froze under the work")
			}
			close(release)
			frozen(t, api)
			if got, want := whats(api), "next, delivered, reply begun, reply done, next"; got != want {
				t.Errorf("in the end: %s; want %s", got, want)
			}
		})
	}
}

func TestWhatTheHandlerIsTold(t *testing.T) {
	api := runtimetest.Config{FunctionARN: "arn:aws:lambda:eu-west-1:1:function:f:live"}.Start(t)
	seen := make(chan invocation, 2)
	traces := make(chan string, 4)
	start(api, 1, func(ctx context.Context, in *invocation) (reply, error) {
		seen <- *in
		traces <- lambdaruntime.TraceID(ctx)
		traces <- os.Getenv("_X_AMZN_TRACE_ID")
		return reply{ContentType: "text/plain", After: func(ctx context.Context) {
			traces <- lambdaruntime.TraceID(ctx)
		}}, nil
	})
	t.Setenv("_X_AMZN_TRACE_ID", "")
	before := time.Now()
	res := api.Do(within(t), runtimetest.Call{Event: []byte(`{"a":1}`), TraceID: "Root=1-2-3", Timeout: time.Minute, Header: http.Header{
		"Lambda-Runtime-Client-Context":   {`{"client":{}}`},
		"Lambda-Runtime-Cognito-Identity": {`{"id":"x"}`},
		"Lambda-Runtime-Aws-Tenant-Id":    {"blue"},
	}})
	if len(res.Body) != 0 || res.ContentType != "text/plain" || res.Streaming {
		t.Errorf("the caller got %+v", res)
	}
	in := <-seen
	if d := in.Deadline.Sub(before.Add(time.Minute)); d < -time.Second || d > 10*time.Second {
		t.Errorf("the deadline is off by %v", d)
	}
	in.Deadline = time.Time{}
	want := invocation{RequestID: res.RequestID, TraceID: "Root=1-2-3", FunctionARN: "arn:aws:lambda:eu-west-1:1:function:f:live",
		ClientContext: `{"client":{}}`, CognitoIdentity: `{"id":"x"}`, TenantID: "blue", First: true}
	if string(in.Event) != `{"a":1}` {
		t.Errorf("event %q", in.Event)
	}
	in.Event = nil
	if got := in; got.RequestID != want.RequestID || got.TraceID != want.TraceID || got.FunctionARN != want.FunctionARN ||
		got.ClientContext != want.ClientContext || got.CognitoIdentity != want.CognitoIdentity || got.TenantID != want.TenantID || !got.First {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	for _, where := range []string{"the handler's context", "the environment", "the context of the work after"} {
		if got := <-traces; got != "Root=1-2-3" {
			t.Errorf("%s has the trace id %q", where, got)
		}
	}
	api.Invoke(within(t), nil)
	if in := <-seen; in.First || in.TraceID != "" {
		t.Errorf("the second invocation is told %+v", in)
	}
	if ctx, env := <-traces, <-traces; ctx+env != "" {
		t.Errorf("the second invocation inherited the trace %q, %q", ctx, env)
	}
}

func TestALargeEventArrivesWhole(t *testing.T) {
	api := runtimetest.Start(t)
	start(api, 1, func(_ context.Context, in *invocation) (reply, error) { return reply{Body: in.Event}, nil })
	for _, size := range []int{0, 1, 4095, 4096, 16 << 10, 16<<10 + 1, 6 << 20} {
		event := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
		for _, chunked := range []bool{false, true} {
			res := api.Do(within(t), runtimetest.Call{Event: event, Chunked: chunked, Timeout: time.Minute})
			if !bytes.Equal(res.Body, event) || res.Err != nil || res.ContentType != "application/json" {
				t.Errorf("%d bytes, chunked %v: %d came back, %v", size, chunked, len(res.Body), res.Err)
			}
		}
	}
}

// The memory of an event is another invocation's only when the handler has said so, and then as much of it as is needed.
func TestSpentEvents(t *testing.T) {
	for _, spent := range []bool{true, false} {
		api := runtimetest.Start(t)
		type seen struct {
			event []byte
			was   string
		}
		var all []seen
		again := 0
		start(api, 1, func(_ context.Context, in *invocation) (reply, error) {
			for _, s := range all {
				if &s.event[0] == &in.Event[0] {
					again++
				}
				if !spent && string(s.event) != s.was {
					t.Errorf("an event of %d bytes was written to", len(s.was))
				}
			}
			all = append(all, seen{in.Event, string(in.Event)})
			return reply{Body: in.Event, Spent: spent}, nil
		})
		for i, size := range []int{5000, 1, 5000, 4999, 5001, 20000, 3} {
			event := bytes.Repeat([]byte{byte('a' + i)}, size)
			if res := api.Do(within(t), runtimetest.Call{Event: event, Timeout: time.Minute}); !bytes.Equal(res.Body, event) {
				t.Errorf("spent %v: %d bytes came back as %d", spent, size, len(res.Body))
			}
		}
		if spent != (again > 0) {
			t.Errorf("spent %v: memory was used again %d times", spent, again)
		}
	}
}

func TestOneConnectionUntilAStreamEnds(t *testing.T) {
	var mu sync.Mutex
	var peers []string
	api := runtimetest.Config{Intercept: func(call string, _ http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		peers = append(peers, r.RemoteAddr)
		return false
	}}.Start(t)
	start(api, 1, func(_ context.Context, in *invocation) (reply, error) {
		if string(in.Event) == "stream" {
			return reply{Stream: func(_ context.Context, w io.Writer) error { _, err := io.WriteString(w, "x"); return err }}, nil
		}
		return reply{Body: in.Event}, nil
	})
	for _, event := range []string{"a", strings.Repeat("b", 6<<20), "stream", "c"} {
		if res := api.Invoke(within(t), []byte(event)); res.Err != nil || res.Error != nil {
			t.Fatal(res.Err, res.Error)
		}
	}
	frozen(t, api)
	mu.Lock()
	defer mu.Unlock()
	if len(peers) != 9 { // 5 × next, 4 × response
		t.Fatalf("%d calls", len(peers))
	}
	for i, p := range peers {
		want := peers[0]
		if i > 5 {
			want = peers[6]
		}
		if p != want {
			t.Errorf("call %d came from %s, want %s: %q", i, p, want, peers)
		}
	}
	if peers[0] == peers[6] {
		t.Error("the connection of a stream was used again")
	}
}

func TestDeadlines(t *testing.T) {
	far := runtimetest.Call{Timeout: time.Minute}
	for _, c := range []struct {
		name, header string
		call         runtimetest.Call
		told         bool
	}{
		{name: "told", call: far, told: true},
		{name: "missing", call: runtimetest.Call{Timeout: time.Minute, Header: http.Header{"Lambda-Runtime-Deadline-Ms": nil}}},
		{name: "nonsense", call: runtimetest.Call{Timeout: time.Minute, Header: http.Header{"Lambda-Runtime-Deadline-Ms": {"soon"}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			api := runtimetest.Start(t)
			start(api, 1, func(ctx context.Context, in *invocation) (reply, error) {
				d, ok := ctx.Deadline()
				if ok != c.told || !d.Equal(in.Deadline) || ctx.Err() != nil {
					t.Errorf("the handler's context ends at %v (%v), the invocation at %v", d, ok, in.Deadline)
				}
				return reply{After: func(after context.Context) {
					if ctx.Err() == nil {
						t.Error("the handler's context outlives the reply")
					}
					d, ok := after.Deadline()
					if c.told && !d.Equal(in.Deadline.Add(-250*time.Millisecond)) || !ok || after.Err() != nil {
						t.Errorf("the work after the reply must end at %v (%v): the deadline is %v", d, ok, in.Deadline)
					}
				}}, nil
			})
			if res := api.Do(within(t), c.call); res.Err != nil || res.Error != nil {
				t.Error(res.Err, res.Error)
			}
			frozen(t, api)
		})
	}
}

func TestAHandlerThatUsesAllItsTime(t *testing.T) {
	api := runtimetest.Start(t)
	called := make(chan error, 1)
	_, log := start(api, 1, func(ctx context.Context, in *invocation) (reply, error) {
		if string(in.Event) == "quick" {
			return reply{Body: []byte("served")}, nil
		}
		<-ctx.Done()
		// The fake's timer and ours run out together: wait for its word.
		for !strings.Contains(whats(api), runtimetest.TimedOut) {
			runtime.Gosched()
		}
		return reply{After: func(ctx context.Context) { called <- ctx.Err() }}, ctx.Err()
	})
	res := api.Do(within(t), runtimetest.Call{Timeout: 50 * time.Millisecond})
	if res.Error == nil || res.Error.Type != "Sandbox.Timedout" {
		t.Fatalf("the caller got %+v", res)
	}
	if err := <-called; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the work after the reply has a context with %v", err)
	}
	frozen(t, api)
	if s := log.String(); !strings.Contains(s, "Function.TooLate") || !strings.Contains(s, "deadline exceeded") {
		t.Errorf("logged: %s", s)
	}
	if res := api.Invoke(within(t), []byte("quick")); string(res.Body) != "served" {
		t.Errorf("the next caller got %+v", res)
	}
}

func TestStopLetsWhatHasBegunEnd(t *testing.T) {
	for _, n := range []int{1, 3} {
		api := runtimetest.Config{Concurrency: n}.Start(t)
		began, release := make(chan struct{}), make(chan struct{})
		after := false
		p, _ := start(api, n, func(ctx context.Context, _ *invocation) (reply, error) {
			close(began)
			<-release
			return reply{Body: []byte("late"), After: func(ctx context.Context) { after = ctx.Err() == nil }}, ctx.Err()
		})
		got := make(chan runtimetest.Result)
		go func() { got <- api.Do(within(t), runtimetest.Call{Timeout: time.Minute}) }()
		<-began
		stopped := make(chan error)
		go func() { stopped <- p.Stop() }()
		close(release)
		if res := <-got; string(res.Body) != "late" {
			t.Errorf("%d loops: the caller got %q, %v, %v", n, res.Body, res.Error, res.Err)
		}
		if err := <-stopped; err != nil {
			t.Errorf("%d loops: %v", n, err)
		}
		if !after {
			t.Errorf("%d loops: the work after the reply did not run, or without time", n)
		}
	}
}

func TestConcurrency(t *testing.T) {
	const n = 4
	t.Setenv("_X_AMZN_TRACE_ID", "")
	api := runtimetest.Config{Concurrency: n}.Start(t)
	var together sync.WaitGroup
	together.Add(n)
	start(api, n, func(ctx context.Context, in *invocation) (reply, error) {
		together.Done()
		together.Wait() // all n are inside at once
		if env := os.Getenv("_X_AMZN_TRACE_ID"); env != "" {
			t.Errorf("the environment names trace %q", env)
		}
		return reply{Body: []byte(string(in.Event) + lambdaruntime.TraceID(ctx))}, nil
	})
	var calls sync.WaitGroup
	for _, s := range []string{"a", "b", "c", "d"} {
		calls.Go(func() {
			res := api.Do(within(t), runtimetest.Call{Event: []byte(s), TraceID: "Root=" + s, Timeout: time.Minute})
			if string(res.Body) != s+"Root="+s {
				t.Errorf("%s got %q, %v, %v", s, res.Body, res.Error, res.Err)
			}
		})
	}
	calls.Wait()
	frozen(t, api)
}

func TestOneLoopsFailureStopsTheOthersGently(t *testing.T) {
	api := runtimetest.Config{Concurrency: 2}.Start(t)
	began, release := make(chan struct{}), make(chan struct{})
	p, _ := start(api, 2, func(_ context.Context, in *invocation) (reply, error) {
		if string(in.Event) == "panic" {
			panic("ouch")
		}
		close(began)
		<-release
		return reply{Body: []byte("unharmed")}, nil
	})
	got := make(chan runtimetest.Result)
	go func() { got <- api.Do(within(t), runtimetest.Call{Timeout: time.Minute}) }()
	<-began
	if res := api.Invoke(within(t), []byte("panic")); res.Error == nil {
		t.Fatalf("the panic's caller got %+v", res)
	}
	close(release)
	if res := <-got; string(res.Body) != "unharmed" {
		t.Errorf("the other caller got %+v", res)
	}
	var pe *lambdaruntime.PanicError
	if err := p.Wait(within(t)); !errors.As(err, &pe) || pe.Message != "ouch" {
		t.Errorf("Run returned %v", err)
	}
}

func TestAPanicAfterTheReplyChangesNothing(t *testing.T) {
	api := runtimetest.Start(t)
	_, log := start(api, 1, func(context.Context, *invocation) (reply, error) {
		return reply{Body: []byte("fine"), After: func(context.Context) { panic("after all") }}, nil
	})
	for range 2 {
		if res := api.Invoke(within(t), nil); string(res.Body) != "fine" || res.Error != nil {
			t.Errorf("the caller got %+v", res)
		}
	}
	frozen(t, api)
	if s := log.String(); strings.Count(s, "after all") != 2 || !strings.Contains(s, "runtime_test.go") {
		t.Errorf("logged: %s", s)
	}
}

func TestFromEnv(t *testing.T) {
	for _, c := range []struct{ api, n, want string }{
		{"127.0.0.1:9001", "", ""},
		{"169.254.100.1:9001", "16", ""},
		{"localhost", "1", ""},
		{"", "", "AWS_LAMBDA_RUNTIME_API is not set"},
		{"http://127.0.0.1:9001", "", "not host:port"},
		{"127.0.0.1:9001\r\nX: y", "", "not host:port"},
		{"127.0.0.1:9001", "0", "not a positive number"},
		{"127.0.0.1:9001", "-1", "not a positive number"},
		{"127.0.0.1:9001", "many", "not a positive number"},
	} {
		r, err := lambdaruntime.FromEnv(func(name string) string {
			return map[string]string{"AWS_LAMBDA_RUNTIME_API": c.api, "AWS_LAMBDA_MAX_CONCURRENCY": c.n}[name]
		})
		if c.want == "" {
			if err != nil || r.API != c.api {
				t.Errorf("%q: %+v, %v", c, r, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v", c, err)
		}
	}
}
