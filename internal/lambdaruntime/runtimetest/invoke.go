package runtimetest

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Call is an invocation to be made.
type Call struct {
	Event   []byte
	TraceID string
	Header  http.Header   // of the answer to /next; replaces what the API would send, nil value: left out
	Timeout time.Duration // 0: Config.Timeout
	Chunked bool          // the event is sent without Content-Length, as the official emulator does
}

// FunctionError is what a caller gets instead of a reply, or at the end of a broken stream.
type FunctionError struct {
	Type       string `json:"-"` // of the header or the trailer
	Message    string `json:"errorMessage"`
	BodyType   string `json:"errorType"`
	StackTrace []struct {
		Path  string `json:"path"`
		Line  int    `json:"line"`
		Label string `json:"label"`
	} `json:"stackTrace"`
	Header http.Header `json:"-"` // of the runtime's POST; nil in a stream's trailer and for errors of the API
	Raw    []byte      `json:"-"`
}

func (e *FunctionError) Error() string { return e.Type + ": " + e.Message }

func decodeError(kind string, header http.Header, raw []byte) (*FunctionError, error) {
	e := &FunctionError{}
	err := json.Unmarshal(raw, e)
	e.Type, e.Header, e.Raw = kind, header, raw
	return e, err
}

// Response is a reply whose body may still be on its way.
type Response struct {
	RequestID   string
	ContentType string
	Streaming   bool
	Error       *FunctionError // instead of a reply
	Answered    time.Time      // when the caller got the reply's head

	// Body is never nil and must be read to its end or closed; a caller that does not read holds a
	// stream up. It fails with a *FunctionError if the stream ended with error trailers.
	Body io.ReadCloser

	v *invocation
}

// Trailer returns the trailers of a streamed reply, once Body was read to its end.
func (r *Response) Trailer() http.Header {
	select {
	case <-r.v.ended:
		return r.v.trailer
	default:
		return nil
	}
}

// Result is what a caller has in the end.
type Result struct {
	RequestID   string
	Body        []byte // all of it, or what came before the error
	ContentType string
	Streaming   bool
	Error       *FunctionError // from the function or from Lambda (a timeout, a reply too large)
	Trailer     http.Header
	Err         error // the call itself failed: ctx ended, the API was closed
	Asked       time.Time
	Answered    time.Time // first byte
	Done        time.Time // last byte
}

// Invoke calls the function and waits for its whole reply.
func (a *API) Invoke(ctx context.Context, event []byte) Result {
	return a.Do(ctx, Call{Event: event})
}

// Do is Invoke with all there is to say.
func (a *API) Do(ctx context.Context, call Call) Result {
	res := Result{Asked: time.Now()}
	resp, err := a.Open(ctx, call)
	if err != nil {
		res.Err = err
		return res
	}
	defer resp.Body.Close()
	res.RequestID, res.ContentType, res.Streaming = resp.RequestID, resp.ContentType, resp.Streaming
	res.Error, res.Answered = resp.Error, resp.Answered
	stop := context.AfterFunc(ctx, func() { resp.Body.Close() })
	defer stop()
	res.Body, err = io.ReadAll(resp.Body)
	res.Done = time.Now()
	if !errors.As(err, &res.Error) {
		res.Err = err
	}
	res.Trailer = resp.Trailer()
	return res
}

// Open calls the function and returns as soon as its reply begins.
func (a *API) Open(ctx context.Context, call Call) (*Response, error) {
	v := a.newInvocation(call)
	select {
	case a.queue <- v:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case resp := <-v.reply:
		return resp, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("invocation %s got no reply: %w", v.id, ctx.Err())
	case <-a.stop:
		return nil, fmt.Errorf("invocation %s got no reply: the API was closed", v.id)
	}
}

// invocation is one from the call to the return of its loop. What follows mu in API guards
// answered, late and timer.
type invocation struct {
	id       string
	call     Call
	reply    chan *Response // gets one
	ended    chan struct{}  // closed when a stream's trailers are there
	trailer  http.Header
	answered bool // the runtime has posted, or Lambda given up
	late     bool // Lambda has given up
	timer    *time.Timer
}

func (a *API) newInvocation(call Call) *invocation {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.count++
	v := &invocation{
		id:    fmt.Sprintf("00000000-0000-4000-8000-%012d", a.count),
		call:  call,
		reply: make(chan *Response, 1),
		ended: make(chan struct{}),
	}
	a.known[v.id] = v
	a.pending++
	return v
}

func (v *invocation) answer(resp *Response) {
	resp.RequestID, resp.v, resp.Answered = v.id, v, time.Now()
	v.reply <- resp
}

func (v *invocation) fail(e *FunctionError) {
	v.answer(&Response{Error: e, Body: http.NoBody})
}

// streamError reads a broken stream's trailers; nil if it ended well.
func streamError(trailer http.Header) error {
	kind := trailer.Get("Lambda-Runtime-Function-Error-Type")
	if kind == "" {
		return nil
	}
	raw, err := base64.StdEncoding.DecodeString(trailer.Get("Lambda-Runtime-Function-Error-Body"))
	if err != nil {
		return fmt.Errorf("the error body trailer: %w", err)
	}
	e, err := decodeError(kind, nil, raw)
	if err != nil {
		return fmt.Errorf("the error body trailer %q: %w", raw, err)
	}
	return e
}
