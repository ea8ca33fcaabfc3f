package lambdaruntime_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tapway/tapway/internal/lambdaruntime"
	"github.com/tapway/tapway/internal/lambdaruntime/runtimetest"
)

type typedError struct{ kind, text string }

func (e typedError) Error() string     { return e.text }
func (e typedError) ErrorType() string { return e.kind }

func TestErrorsBeforeTheReply(t *testing.T) {
	var none *invocation
	write := func(f func(w io.Writer) error) (reply, error) {
		return reply{Stream: func(_ context.Context, w io.Writer) error { return f(w) }}, nil
	}
	for _, c := range []struct {
		name          string
		h             func() (reply, error)
		kind, message string
		panics        bool
	}{
		{"plain", func() (reply, error) { return reply{}, errors.New("no such thing") }, "Function.Error", "no such thing", false},
		{"typed", func() (reply, error) { return reply{}, typedError{"Config.Wrong", "set it"} }, "Config.Wrong", "set it", false},
		{"typed and wrapped", func() (reply, error) { return reply{}, fmt.Errorf("load: %w", typedError{"Config.Wrong", "x"}) }, "Config.Wrong", "load: x", false},
		{"a type no header can carry", func() (reply, error) { return reply{}, typedError{"a b\r\nX: é", "x"} }, "a_b__X___", "x", false},
		{"an empty type", func() (reply, error) { return reply{}, typedError{"", "x"} }, "Function.Error", "x", false},
		{"a text full of traps", func() (reply, error) { return reply{}, errors.New("\"\\\n\r\x00é€😀\u2028</script>") }, "Function.Error", "\"\\\n\r\x00é€😀\u2028</script>", false},
		{"a reply as well", func() (reply, error) { return reply{Body: []byte("no")}, errors.New("yes") }, "Function.Error", "yes", false},
		{"panic", func() (reply, error) { panic("ouch") }, "Function.Panic", "ouch", true},
		{"nil dereference", func() (reply, error) { return reply{Body: none.Event}, nil }, "Function.Panic", "runtime error: invalid memory address or nil pointer dereference", true},
		{"stream", func() (reply, error) { return write(func(io.Writer) error { return errors.New("dry") }) }, "Function.Error", "dry", false},
		{"stream, after nothing was written", func() (reply, error) {
			return write(func(w io.Writer) error { w.Write(nil); return errors.New("dry") })
		}, "Function.Error", "dry", false},
		{"stream panics", func() (reply, error) { return write(func(io.Writer) error { panic("ouch") }) }, "Function.Panic", "ouch", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			api := runtimetest.Start(t)
			p, log := start(api, 1, func(_ context.Context, in *invocation) (reply, error) {
				if string(in.Event) == "next" {
					return reply{Body: []byte("fine")}, nil
				}
				return c.h()
			})
			res := api.Invoke(within(t), nil)
			e := res.Error
			if e == nil {
				t.Fatalf("the caller got %q, %v", res.Body, res.Err)
			}
			if e.Type != c.kind || e.BodyType != c.kind || e.Message != c.message {
				t.Errorf("got %q (%q in the body): %q\nwant %q: %q", e.Type, e.BodyType, e.Message, c.kind, c.message)
			}
			checkCause(t, e, c.panics)
			logged := func() {
				if s := log.String(); strings.Count(s, "the invocation failed") != 1 || !strings.Contains(s, res.RequestID) {
					t.Errorf("logged: %s", s)
				}
			}
			if !c.panics {
				frozen(t, api)
				logged()
				if res := api.Invoke(within(t), []byte("next")); string(res.Body) != "fine" {
					t.Errorf("the next caller got %+v", res)
				}
				return
			}
			var pe *lambdaruntime.PanicError
			if err := p.Wait(within(t)); !errors.As(err, &pe) || pe.RequestID != res.RequestID {
				t.Errorf("Run returned %v", err)
			}
			logged()
			if len(e.StackTrace) == 0 || !strings.Contains(e.StackTrace[0].Path, "failure_test.go") || e.StackTrace[0].Line == 0 || !strings.Contains(e.StackTrace[0].Label, "TestErrorsBeforeTheReply") {
				t.Errorf("the stack begins %+v", e.StackTrace)
			}
		})
	}
}

func checkCause(t *testing.T, e *runtimetest.FunctionError, stack bool) {
	t.Helper()
	var cause struct {
		Exceptions []struct {
			Type, Message string
			Stack         []struct{ Path, Label string }
		}
	}
	if err := json.Unmarshal([]byte(e.Header.Get("Lambda-Runtime-Function-Xray-Error-Cause")), &cause); err != nil {
		t.Fatalf("the X-Ray cause: %v", err)
	}
	if len(cause.Exceptions) != 1 || cause.Exceptions[0].Type != e.Type || cause.Exceptions[0].Message != e.Message || (len(cause.Exceptions[0].Stack) > 0) != stack {
		t.Errorf("the X-Ray cause is %+v", cause)
	}
}

func TestTheWorkAfterAnErrorRuns(t *testing.T) {
	api := runtimetest.Start(t)
	ran := make(chan string, 1)
	start(api, 1, func(context.Context, *invocation) (reply, error) {
		return reply{After: func(context.Context) { ran <- whats(api) }}, errors.New("no")
	})
	if res := api.Invoke(within(t), nil); res.Error == nil {
		t.Fatal("no error")
	}
	if got, want := <-ran, "next, delivered, failed"; got != want {
		t.Errorf("the work ran after: %s; want %s", got, want)
	}
}

func TestAReplyThatIsTooLarge(t *testing.T) {
	const limit = 6<<20 + 100
	api := runtimetest.Start(t)
	after := make(chan int, 4)
	_, log := start(api, 1, func(_ context.Context, in *invocation) (reply, error) {
		n := limit
		if string(in.Event) != "fits" {
			n += 1 + 8<<20*len(in.Event)
		}
		return reply{Body: make([]byte, n), After: func(context.Context) { after <- n }}, nil
	})
	for _, event := range []string{"", "x", "fits"} {
		res := api.Do(within(t), runtimetest.Call{Event: []byte(event), Timeout: time.Minute})
		if event == "fits" {
			if len(res.Body) != limit || res.Error != nil {
				t.Errorf("%d bytes: %d came, %v, %v", limit, len(res.Body), res.Error, res.Err)
			}
		} else if res.Error == nil || res.Error.Type != "Function.ResponseSizeTooLarge" {
			t.Errorf("too large %q: the caller got %d bytes, %v", event, len(res.Body), res.Err)
		}
		<-after
	}
	frozen(t, api)
	if n := strings.Count(log.String(), "Function.ResponseSizeTooLarge"); n != 2 {
		t.Errorf("%d lines about it: %s", n, log)
	}
}

func TestA413ThatTheAPILeavesToTheRuntime(t *testing.T) {
	api := runtimetest.Config{Intercept: func(call string, w http.ResponseWriter, r *http.Request) bool {
		if call == "response" {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
		}
		return call == "response"
	}}.Start(t)
	start(api, 1, func(_ context.Context, in *invocation) (reply, error) {
		if string(in.Event) == "stream" {
			return reply{Stream: func(_ context.Context, w io.Writer) error {
				_, err := io.Copy(w, io.LimitReader(zeros{}, 16<<20))
				return err
			}}, nil
		}
		return reply{Body: make([]byte, 100)}, nil
	})
	for _, event := range []string{"", "stream", ""} {
		res := api.Invoke(within(t), []byte(event))
		if res.Error == nil || res.Error.Type != "Function.ResponseSizeTooLarge" || !strings.HasPrefix(res.Error.Message, "the reply is larger than Lambda carries") {
			t.Errorf("%q: the caller got %+v, %v", event, res.Error, res.Err)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestAnswersThatEndTheLoop(t *testing.T) {
	for _, c := range []struct {
		call   string
		status int
		event  string
	}{
		{"next", 403, ""},
		{"next", 500, ""},
		{"response", 200, ""},
		{"response", 400, ""},
		{"response", 403, ""},
		{"response", 500, ""},
		{"response", 500, "stream"},
		{"error", 400, "fail"},
		{"error", 413, "fail"},
		{"error", 500, "fail"},
	} {
		t.Run(fmt.Sprintf("%d to %s %s", c.status, c.call, c.event), func(t *testing.T) {
			api := runtimetest.Config{Intercept: func(call string, w http.ResponseWriter, r *http.Request) bool {
				if call == c.call {
					io.Copy(io.Discard, r.Body)
					http.Error(w, "the reason", c.status)
				}
				return call == c.call
			}}.Start(t)
			after := c.call == "next"
			p, _ := start(api, 1, func(_ context.Context, in *invocation) (r reply, err error) {
				switch string(in.Event) {
				case "fail":
					err = errors.New("as asked")
				case "stream":
					r.Stream = func(_ context.Context, w io.Writer) error { _, err := w.Write([]byte("x")); return err }
				}
				r.After = func(context.Context) { after = true }
				return r, err
			})
			ctx, cancel := context.WithCancel(within(t))
			called := make(chan struct{})
			go func() {
				defer close(called)
				api.Do(ctx, runtimetest.Call{Event: []byte(c.event), Timeout: time.Minute})
			}()
			err := p.Wait(within(t))
			cancel()
			<-called
			var status *lambdaruntime.StatusError
			if !errors.As(err, &status) || status.Status != c.status || status.Call != c.call || status.Body != "the reason" {
				t.Errorf("Run returned %v", err)
			}
			if c.call != "next" && !strings.HasPrefix(err.Error(), "invocation ") {
				t.Errorf("Run returned %q, which does not name the invocation", err)
			}
			if !after {
				t.Error("the work after the reply did not run")
			}
		})
	}
}

func TestInitError(t *testing.T) {
	api := runtimetest.Start(t)
	r := &lambdaruntime.Runtime{API: api.Addr()}
	for _, c := range []struct {
		err  error
		kind string
	}{
		{errors.New("TAPWAY_BACKEND is not set"), "Runtime.InitError"},
		{typedError{"Runtime.ConfigInvalid", "TAPWAY_BACKEND is not set"}, "Runtime.ConfigInvalid"},
	} {
		if err := r.InitError(within(t), c.err); err != nil {
			t.Fatal(err)
		}
		e, err := api.WaitInitError(within(t))
		if err != nil {
			t.Fatal(err)
		}
		if e.Type != c.kind || e.BodyType != c.kind || e.Message != "TAPWAY_BACKEND is not set" {
			t.Errorf("the API was told %+v", e)
		}
		checkCause(t, e, false)
	}
	api = runtimetest.Config{Intercept: func(_ string, w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusForbidden)
		return true
	}}.Start(t)
	var status *lambdaruntime.StatusError
	if err := (&lambdaruntime.Runtime{API: api.Addr()}).InitError(within(t), errors.New("x")); !errors.As(err, &status) || status.Status != 403 || status.Call != "init/error" {
		t.Errorf("a refused init error: %v", err)
	}
}

func TestALongErrorIsCut(t *testing.T) {
	api := runtimetest.Start(t)
	long := bytes.Repeat([]byte("é€"), 1<<20)
	start(api, 1, func(context.Context, *invocation) (reply, error) { return reply{}, errors.New(string(long)) })
	res := api.Invoke(within(t), nil)
	if e := res.Error; e == nil || len(e.Message) < 16<<10 || len(e.Message) > 33<<10 {
		t.Errorf("the caller got %.200v, %v", res.Error, res.Err)
	}
}
