package lambdahttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"sync/atomic"

	"github.com/tapway/tapway"
)

const (
	// MaxReply is what Lambda takes as the reply to one invocation.
	MaxReply = 6 << 20

	// MaxALBReply is what a load balancer takes.
	MaxALBReply = 1 << 20

	defaultDrain = 64 << 20
)

// Why a client did not get what the handler wrote, or not whole.
var (
	ErrTooLarge = errors.New("lambdahttp: the response does not fit into a reply")
	ErrBroken   = errors.New("lambdahttp: the response broke off")
	ErrUpgrade  = errors.New("lambdahttp: a protocol cannot be switched on Lambda")
)

// A PanicError is what a handler has panicked with, other than http.ErrAbortHandler. The door
// has logged it with its stack.
type PanicError struct{ Value any }

func (e *PanicError) Error() string {
	return fmt.Sprintf("lambdahttp: the handler panicked with a %T", e.Value)
}

// Door serves events with an http.Handler. Only Handler must be set; the fields are not changed
// once it is used. It is safe for concurrent use.
type Door struct {
	Handler http.Handler

	// BadRequest answers events whose front is known but which are malformed; r holds what was
	// understood of them: Method may be anything, URL, Header and Body are never nil. nil
	// answers 400 with {"message": …}.
	BadRequest func(w http.ResponseWriter, r *http.Request, err *EventError)

	// Stream answers Function URLs and REST APIs with a stream. The URL must have the invoke mode
	// RESPONSE_STREAM, the integration the transfer mode STREAM: an event does not tell, and a
	// reply of the wrong kind reaches the client as garbage. Other fronts do not stream.
	Stream bool

	// BinaryMediaTypes are those of the REST API, as far as they are known. A reply that is not
	// text goes out as base64 in any case; only what the client accepts first being among these
	// makes the API decode it, and a warning is logged when it is not. nil is not known: then it is
	// told once that it may be so.
	BinaryMediaTypes []string

	// MaxReply bounds a buffered reply, as it is posted, in bytes: 0 is MaxReply, or
	// MaxALBReply behind a load balancer.
	MaxReply int

	// Drain is how many bytes of a body the handler may go on writing when it is clear that the
	// reply is too large, so that what it captures is whole: 0 is 64 MiB, below 0 none. Beyond
	// that its writes fail.
	Drain int64

	// BalancerTLS is what a load balancer's listener does with client certificates.
	BalancerTLS BalancerTLS

	// OwnEvents gives the bytes of every event to the door: the request's body is made in them
	// instead of a copy. When Serve has returned a reply that does not stream, nobody reads them any more.
	OwnEvents bool

	Log *slog.Logger // nil is slog.Default

	told atomic.Bool // that a REST API may not decode base64
}

// Reply is what to post as the response to an invocation.
type Reply struct {
	Call *Call

	// Body is a whole reply, JSON. It is nil when Stream is set.
	Body []byte

	// Stream gives prelude and body as the handler produces them. It fails when the response
	// breaks off: the invocation's response must then end with an error. Whoever reads it closes
	// it; closing it before its end cancels the request's context.
	Stream io.ReadCloser

	// ContentType is how the reply is to be posted.
	ContentType string

	done chan struct{} // nil when the handler has returned already
	err  error
	ref  *[]byte // Body's memory, if Release can give it back
}

// ContentTypeStream marks a streamed reply that begins with a prelude.
const ContentTypeStream = "application/vnd.awslambda.http-integration-response"

// Wait returns when the handler has: of a streamed reply that may be after the end of the stream.
// What is to be done after the reply, such as sending records, comes after Wait. The error says
// why the client did not get what the handler wrote: ErrTooLarge, ErrBroken, ErrUpgrade or a
// *PanicError, perhaps wrapped.
func (r *Reply) Wait() error {
	if r.done != nil {
		<-r.done
	}
	return r.err
}

// Serve answers one event. It returns when the handler has, or at once with a reply that
// streams. The error is an *EventError for an event of no known front, which nobody could
// answer: the invocation fails.
func (d *Door) Serve(ctx context.Context, event []byte) (*Reply, error) {
	call, err := decodeEvent(ctx, event, d.OwnEvents)
	if err != nil {
		bad, ok := errors.AsType[*EventError](err)
		if !ok || bad.Call.Front == "" {
			return nil, err
		}
		return d.serve(bad.Call, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { d.refuse(w, r, bad) })), nil
	}
	return d.ServeCall(call), nil
}

// ServeCall is Serve for an event that is decoded.
func (d *Door) ServeCall(call *Call) *Reply {
	d.balancerCert(call)
	return d.serve(call, d.Handler)
}

func (d *Door) serve(call *Call, h http.Handler) *Reply {
	if d.Stream && (call.shape == funcURL || call.shape == restAPI) {
		return d.stream(call, h)
	}
	return d.buffer(call, h)
}

func (d *Door) refuse(w http.ResponseWriter, r *http.Request, err *EventError) {
	if d.BadRequest != nil {
		d.BadRequest(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadRequest)
	_, _ = w.Write(message("Malformed event: " + err.What))
}

// run calls the handler and gives what its panic amounts to.
func (d *Door) run(h http.Handler, w http.ResponseWriter, r *http.Request) (err error) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			if err = ErrBroken; errors.Is(r.Context().Err(), context.DeadlineExceeded) {
				err = fmt.Errorf("%w: %w", ErrBroken, context.DeadlineExceeded)
			}
		default:
			what := fmt.Sprintf("%T", p) // its value may quote the request
			if e, ok := p.(runtime.Error); ok {
				what = e.Error()
			}
			d.log().Error("handler panicked", "method", r.Method, "panic", what, "stack", string(debug.Stack()))
			err = &PanicError{p}
		}
	}()
	h.ServeHTTP(w, r)
	return nil
}

func (d *Door) log() *slog.Logger {
	if d.Log != nil {
		return d.Log
	}
	return slog.Default()
}

func (d *Door) maxReply(front tapway.Front) int {
	switch {
	case d.MaxReply > 0:
		return d.MaxReply
	case front == tapway.FrontALB:
		return MaxALBReply
	}
	return MaxReply
}

func (d *Door) drain() int64 {
	if d.Drain == 0 {
		return defaultDrain
	}
	return max(d.Drain, 0)
}

// message is a body such as API Gateway's own.
func message(text string) []byte {
	return append(appendText([]byte(`{"message":`), text), '}')
}

// failure is what the client gets instead of a response that failed with err. room is what a
// large one should have fitted into.
func (c *Call) failure(err error, room string) (head, body []byte) {
	status, text := http.StatusBadGateway, "Internal server error"
	switch {
	case errors.Is(err, ErrTooLarge):
		text = "The response is too large: it does not fit into " + room + " bytes."
	case errors.Is(err, ErrUpgrade):
		text = "The response switches protocols, which is not possible here."
	case errors.Is(err, context.DeadlineExceeded):
		status, text = http.StatusGatewayTimeout, "The response did not end in time."
	case errors.Is(err, ErrBroken):
		text = "The response broke off."
	}
	if c.Request.Method != http.MethodHead {
		body = message(text)
	}
	return appendHead(nil, c.shape, status, http.Header{"Content-Type": {"application/json"}}, true), body
}
