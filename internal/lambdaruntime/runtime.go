package lambdaruntime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	defaultMargin = 250 * time.Millisecond
	afterNoLimit  = 10 * time.Second // for After when the API told no deadline
	traceEnv      = "_X_AMZN_TRACE_ID"
)

// Runtime is a custom runtime. Its fields must not change once Run was called; it must not be
// copied.
type Runtime struct {
	API         string       // host:port, as in AWS_LAMBDA_RUNTIME_API
	Handler     Handler      // not needed for InitError
	Concurrency int          // loops, as in AWS_LAMBDA_MAX_CONCURRENCY; 0: 1
	Log         *slog.Logger // nil: slog.Default()

	// Margin is kept free between the end of Reply.After's context and the deadline, for After to
	// wind up in. 0: 250 ms; negative: none.
	Margin time.Duration

	warm atomic.Bool // an invocation was received
}

// FromEnv makes a Runtime, without Handler, from what Lambda puts in the environment:
// AWS_LAMBDA_RUNTIME_API, and AWS_LAMBDA_MAX_CONCURRENCY, which only Managed Instances set.
// getenv is os.Getenv.
func FromEnv(getenv func(string) string) (*Runtime, error) {
	r := &Runtime{API: getenv("AWS_LAMBDA_RUNTIME_API")}
	if r.API == "" {
		return nil, errors.New("AWS_LAMBDA_RUNTIME_API is not set: this program is started by AWS Lambda, or by its emulator")
	}
	if strings.ContainsFunc(r.API, func(c rune) bool { return c <= ' ' || c >= 0x7f || c == '/' }) {
		return nil, fmt.Errorf("AWS_LAMBDA_RUNTIME_API is %q, not host:port", r.API)
	}
	if s := getenv("AWS_LAMBDA_MAX_CONCURRENCY"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("AWS_LAMBDA_MAX_CONCURRENCY is %q, not a positive number", s)
		}
		r.Concurrency = n
	}
	return r, nil
}

// PanicError ends Run after a handler panicked. The caller of the invocation has been told.
type PanicError struct {
	RequestID string
	Message   string
}

func (e *PanicError) Error() string {
	return fmt.Sprintf("the handler panicked in invocation %s: %s", e.RequestID, e.Message)
}

// Run asks for invocations and answers them until ctx ends; then it lets those that have begun
// end, After included, and returns nil. On any error the process should exit non-zero: the Runtime
// API cannot be reached or answers what it must not, or a [PanicError]. The other loops end
// their invocations before Run returns it.
//
// A reply that is too large (413), or refused because its time is up (410, or another 4xx after
// the deadline), fails its invocation only.
func (r *Runtime) Run(ctx context.Context) error {
	n := max(r.Concurrency, 1)
	if n == 1 {
		return r.loop(ctx)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ends := make(chan error, n)
	for range n {
		go func() { ends <- r.loop(ctx) }()
	}
	var first error
	for range n {
		if err := <-ends; err != nil && first == nil {
			first = err
			cancel()
		}
	}
	return first
}

// InitError tells Lambda why the function cannot start; call it instead of Run, and exit
// non-zero. The error's text is in the function's log and, until init succeeds, in the answer
// to its callers. The type is the error's ErrorType(), or "Runtime.InitError".
func (r *Runtime) InitError(ctx context.Context, err error) error {
	c := conn{api: r.address()}
	defer c.close()
	return r.postFailure(ctx, &c, "init/error", "init/error", failureOf(err, "Runtime.InitError"))
}

func (r *Runtime) address() string {
	if _, _, err := net.SplitHostPort(r.API); err != nil {
		return net.JoinHostPort(strings.Trim(r.API, "[]"), "80")
	}
	return r.API
}

func (r *Runtime) log() *slog.Logger {
	if r.Log != nil {
		return r.Log
	}
	return slog.Default()
}

func (r *Runtime) loop(ctx context.Context) error {
	c := conn{api: r.address()}
	defer c.end()
	base := context.WithoutCancel(ctx) // what has begun is finished: Lambda takes no invocation back
	for {
		if ctx.Err() != nil {
			return nil
		}
		in, err := c.next(ctx)
		if err != nil {
			if err == ctx.Err() {
				return nil
			}
			return err
		}
		if err := r.serve(base, &c, in); err != nil {
			return err
		}
	}
}

// serve takes one invocation from its event to the end of After.
func (r *Runtime) serve(ctx context.Context, c *conn, in *Invocation) error {
	in.First = !r.warm.Load() && r.warm.CompareAndSwap(false, true)
	if r.Concurrency <= 1 && os.Getenv(traceEnv) != in.TraceID {
		os.Setenv(traceEnv, in.TraceID) // the AWS SDK puts it on its requests
	}
	call := newCallContext(ctx, in.Deadline, in.TraceID)
	reply, f := r.invoke(call, in)
	f, err := r.reply(call, c, in, reply, f)
	call.Cancel()
	if tooLate(in, err) {
		f, err = f.as("Function.TooLate", "answered after the deadline"), nil
	}
	if f != nil {
		r.logFailure(in, f)
	}
	if reply.After != nil {
		r.after(ctx, in, reply.After)
	}
	if reply.Spent {
		c.keep(in.Event)
	}
	switch {
	case err != nil:
		return fmt.Errorf("invocation %s: %w", in.RequestID, err)
	case f != nil && f.panicked:
		return &PanicError{in.RequestID, f.message}
	}
	return nil
}

// invoke calls the handler; its panic is a failure like another.
func (r *Runtime) invoke(ctx context.Context, in *Invocation) (reply Reply, f *failure) {
	defer func() {
		if v := recover(); v != nil {
			reply, f = Reply{}, panicFailure(v)
		}
	}()
	reply, err := r.Handler.Invoke(ctx, in)
	if err != nil {
		f = failureOf(err, "Function.Error")
	}
	return reply, f
}

// reply posts what the caller gets. It returns why the invocation failed, nil if it did not, and
// an error if the loop cannot go on.
func (r *Runtime) reply(ctx context.Context, c *conn, in *Invocation, reply Reply, f *failure) (*failure, error) {
	base := context.WithoutCancel(ctx) // a reply past the deadline is worth trying
	path := "invocation/" + in.RequestID + "/"
	var err error
	switch {
	case f != nil:
		return f, r.postFailure(base, c, "error", path+"error", f)
	case reply.Stream != nil:
		s := &stream{ctx: base, c: c, path: path + "response", contentType: orElse(reply.ContentType, "application/octet-stream")}
		f = runStream(ctx, s, reply.Stream)
		if f != nil && !s.began {
			return f, r.postFailure(base, c, "error", path+"error", f)
		}
		err = s.end(f)
	default:
		err = c.post(base, "response", path+"response", reply.Body,
			field{"Content-Type", orElse(reply.ContentType, "application/json")})
	}
	var status *StatusError
	if !errors.As(err, &status) || status.Status != http.StatusRequestEntityTooLarge {
		return f, err
	}
	f = f.as("Function.ResponseSizeTooLarge", "the reply is larger than Lambda carries")
	err = r.postFailure(base, c, "error", path+"error", f)
	if errors.As(err, &status) && status.Status < http.StatusInternalServerError {
		err = nil // the API has told the caller itself
	}
	return f, err
}

// tooLate says whether the API refused an answer because it had given the invocation up. On one
// invocation at a time Lambda kills the process then; with several the others must not suffer.
func tooLate(in *Invocation, err error) bool {
	var status *StatusError
	if !errors.As(err, &status) || status.Status/100 != 4 {
		return false
	}
	return status.Status == http.StatusGone || !in.Deadline.IsZero() && time.Now().After(in.Deadline)
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func runStream(ctx context.Context, s *stream, write func(context.Context, io.Writer) error) (f *failure) {
	defer s.shut()
	defer func() {
		if v := recover(); v != nil {
			f = panicFailure(v)
		}
	}()
	if err := write(ctx, s); err != nil {
		return failureOf(err, "Function.Error")
	}
	return nil
}

func (r *Runtime) postFailure(ctx context.Context, c *conn, call, path string, f *failure) error {
	return c.post(ctx, call, path, f.json(1<<20),
		field{"Content-Type", "application/json"},
		field{errorTypeName, f.kind},
		field{"Lambda-Runtime-Function-XRay-Error-Cause", f.cause()})
}

// after runs the work that follows the reply.
func (r *Runtime) after(ctx context.Context, in *Invocation, work func(context.Context)) {
	end := time.Now().Add(afterNoLimit)
	if !in.Deadline.IsZero() {
		margin := r.Margin
		if margin == 0 {
			margin = defaultMargin
		}
		end = in.Deadline.Add(-max(margin, 0))
	}
	call := newCallContext(ctx, end, in.TraceID)
	defer call.Cancel()
	defer func() {
		if v := recover(); v != nil {
			f := panicFailure(v)
			r.log().Error("the work after the reply panicked", "request_id", in.RequestID, "panic", f.message, "stack", f.where())
		}
	}()
	work(call)
}

func (r *Runtime) logFailure(in *Invocation, f *failure) {
	attrs := []any{"request_id", in.RequestID, "error_type", f.kind, "error", f.message}
	if f.panicked {
		attrs = append(attrs, "stack", f.where())
	}
	r.log().Error("the invocation failed", attrs...)
}
