package runtimetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recorder is a testing.TB that keeps what would fail the test.
type recorder struct {
	testing.TB
	mu     sync.Mutex
	errors []string
}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

func (r *recorder) said() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.errors, "; ")
}

// hand is a runtime driven by the test, one call at a time.
type hand struct {
	t      *testing.T
	base   string
	client *http.Client
}

func newHand(t *testing.T, a *API) *hand {
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return &hand{t, "http://" + a.Addr() + "/2018-06-01/runtime/", &http.Client{Transport: tr}}
}

func (h *hand) next() string {
	h.t.Helper()
	resp, err := h.client.Get(h.base + "invocation/next")
	if err != nil {
		h.t.Error(err)
		return ""
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
	return resp.Header.Get("Lambda-Runtime-Aws-Request-Id")
}

func (h *hand) post(path, mode, body string) int {
	h.t.Helper()
	req, err := http.NewRequest("POST", h.base+path, strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	if mode != "" {
		req.Header.Set("Lambda-Runtime-Function-Response-Mode", mode)
	}
	resp, err := h.client.Do(req)
	if err != nil {
		h.t.Error(err)
		return 0
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// invoke makes a call in the background.
func invoke(t *testing.T, a *API, call Call) <-chan Result {
	got, ctx := make(chan Result, 1), within(t)
	go func() { got <- a.Do(ctx, call) }()
	return got
}

func TestWorkDuringAFreezeFailsTheTest(t *testing.T) {
	tb := &recorder{TB: t}
	a := Start(tb)
	h := newHand(t, a)
	guarded := httptest.NewServer(a.Guard(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") })))
	defer guarded.Close()
	work := func() {
		t.Helper()
		resp, err := h.client.Get(guarded.URL + "/work")
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	work() // during init
	ids := make(chan string)
	go func() { ids <- h.next() }()
	if err := a.WaitFrozen(within(t)); err != nil {
		t.Fatal(err)
	}
	if got := tb.said(); got != "" {
		t.Errorf("before the freeze: %s", got)
	}
	work()
	if got, want := tb.said(), "runtimetest: GET /work: work while the environment is frozen"; got != want {
		t.Errorf("during the freeze: %q, want %q", got, want)
	}
	res := invoke(t, a, Call{})
	id := <-ids
	work()
	if status := h.post("invocation/"+id+"/response", "", "reply"); status != http.StatusAccepted {
		t.Errorf("status %d", status)
	}
	if r := <-res; string(r.Body) != "reply" || r.RequestID != id || r.Answered.Before(r.Asked) || r.Done.Before(r.Answered) {
		t.Errorf("the caller got %+v", r)
	}
	work() // after the reply, before /next
	if got := tb.said(); strings.Count(got, ";") != 0 {
		t.Errorf("while awake: %s", got)
	}
}

func TestWhatTheAPIRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		do     func(h *hand, id string) int
		status int
		caller string // the error it gets; "": the reply
		said   string
	}{
		{"a second reply", func(h *hand, id string) int {
			h.post("invocation/"+id+"/response", "", "reply")
			return h.post("invocation/"+id+"/response", "", "other")
		}, 403, "", ""},
		{"an error after the reply", func(h *hand, id string) int {
			h.post("invocation/"+id+"/response", "", "reply")
			return h.post("invocation/"+id+"/error", "", "{}")
		}, 403, "", ""},
		{"an id it never gave out", func(h *hand, id string) int {
			defer h.post("invocation/"+id+"/response", "", "reply")
			return h.post("invocation/x/response", "", "other")
		}, 400, "", ""},
		{"/next before the reply", func(h *hand, id string) int {
			defer h.post("invocation/"+id+"/response", "", "reply")
			resp, err := h.client.Get(h.base + "invocation/next")
			if err != nil {
				return 0
			}
			defer resp.Body.Close()
			io.Copy(io.Discard, resp.Body)
			return resp.StatusCode
		}, 403, "", "is not answered"},
		{"a mode that is none", func(h *hand, id string) int {
			return h.post("invocation/"+id+"/response", "Streaming?", "reply")
		}, 400, "Runtime.InvalidResponseModeHeader", ""},
		{"an error that is no JSON", func(h *hand, id string) int {
			return h.post("invocation/"+id+"/error", "", "oops")
		}, 400, "Runtime.Unknown", ""},
		{"a reply over the limit", func(h *hand, id string) int {
			return h.post("invocation/"+id+"/response", "", "reply and more")
		}, 413, "Function.ResponseSizeTooLarge", ""},
		{"a stream over the limit", func(h *hand, id string) int { // has none here
			return h.post("invocation/"+id+"/response", "streaming", "reply")
		}, 202, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			tb := &recorder{TB: t}
			a := Config{MaxReply: len("reply"), Timeout: time.Minute}.Start(tb)
			h := newHand(t, a)
			res := invoke(t, a, Call{})
			id := h.next()
			if got := c.do(h, id); got != c.status {
				t.Errorf("status %d, want %d", got, c.status)
			}
			r := <-res
			if c.caller == "" && (string(r.Body) != "reply" || r.Error != nil) || c.caller != "" && (r.Error == nil || r.Error.Type != c.caller) || r.Err != nil {
				t.Errorf("the caller got %+v, %v", r, r.Error)
			}
			if got := tb.said(); !strings.Contains(got, c.said) || (got == "") != (c.said == "") {
				t.Errorf("the test is told %q", got)
			}
		})
	}
}

func TestABrokenPostIsNoReply(t *testing.T) {
	for mode, head := range map[string]string{
		"buffered":  "Content-Length: 100\r\n\r\nhalf",
		"streaming": "Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
	} {
		a := Config{Timeout: time.Minute}.Start(t)
		res := invoke(t, a, Call{})
		id := newHand(t, a).next()
		c, err := net.Dial("tcp", a.Addr())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\nHost: x\r\n%s", id, head)
		c.(*net.TCPConn).CloseWrite()
		if r := <-res; r.Error == nil || r.Error.Type != "Runtime.TruncatedResponse" {
			t.Errorf("%s: the caller got %+v", mode, r)
		}
		c.Close()
	}
}

func TestTimeout(t *testing.T) {
	a := Start(t)
	h := newHand(t, a)
	res := invoke(t, a, Call{Timeout: time.Millisecond})
	id := h.next()
	if r := <-res; r.Error == nil || r.Error.Type != "Sandbox.Timedout" || r.Error.Message != "Task timed out after 0.00 seconds" {
		t.Errorf("the caller got %+v", r)
	}
	if got := h.post("invocation/"+id+"/response", "", "late"); got != http.StatusGone {
		t.Errorf("the late reply got %d", got)
	}
	// Work after the reply that lasts too long is noted; the caller has its reply.
	res = invoke(t, a, Call{Timeout: 50 * time.Millisecond})
	id = h.next()
	if got := h.post("invocation/"+id+"/response", "", "reply"); got != http.StatusAccepted {
		t.Errorf("status %d", got)
	}
	if r := <-res; string(r.Body) != "reply" {
		t.Errorf("the caller got %+v", r)
	}
	err := a.wait(within(t), "for the second timeout", func() bool {
		n := 0
		for _, e := range a.log {
			if e.What == TimedOut {
				n++
			}
		}
		return n == 2
	})
	if err != nil {
		t.Error(err)
	}
}

func TestACallerThatDoesNotWait(t *testing.T) {
	a := Start(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r := a.Invoke(ctx, nil); !errors.Is(r.Err, context.Canceled) {
		t.Errorf("got %+v", r)
	}
	if err := a.WaitFrozen(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if e, err := a.WaitInitError(ctx); e != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, %v", e, err)
	}
}

func TestProcess(t *testing.T) {
	a := Start(t)
	broken := errors.New("broken")
	p := a.Go(func(context.Context) error { return broken })
	if err := p.Wait(within(t)); err != broken {
		t.Errorf("Wait: %v", err)
	}
	p = a.Go(func(ctx context.Context) error { <-ctx.Done(); return nil })
	done, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Wait(done); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait: %v", err)
	}
	if err := p.Stop(); err != nil {
		t.Errorf("Stop: %v", err)
	}
}
