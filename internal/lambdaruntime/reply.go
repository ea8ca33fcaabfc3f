package lambdaruntime

import (
	"context"
	"io"
)

// Handler answers invocations. Invoke is called by several goroutines at once if
// [Runtime.Concurrency] is over 1. Its context ends at the invocation's deadline, and not when
// the context of Run ends: an invocation that has begun is finished.
//
// With an error the caller gets the error's text as errorMessage, so it must hold nothing the
// caller may not see, and errorType from the first error in its tree with a method
// ErrorType() string ("Function.Error" if there is none; AWS advises "Category.Reason").
// The Reply's After runs nevertheless; the rest of it is ignored.
type Handler interface {
	Invoke(ctx context.Context, in *Invocation) (Reply, error)
}

// HandlerFunc is a function as a [Handler].
type HandlerFunc func(ctx context.Context, in *Invocation) (Reply, error)

// Invoke calls f.
func (f HandlerFunc) Invoke(ctx context.Context, in *Invocation) (Reply, error) { return f(ctx, in) }

// Reply is what the caller gets, and what is to be done once it has it. The zero Reply is an
// empty body.
type Reply struct {
	// Body is the whole reply, not copied. Lambda refuses more than 6 MiB: then the caller gets
	// the error Function.ResponseSizeTooLarge, and After runs.
	Body []byte

	// Stream, if not nil, makes the reply instead of Body, as a Lambda response stream. Every
	// Write is sent at once as one chunk, so small pieces want a bufio.Writer; p is not kept.
	// A Write waits while the caller does not read. After an error of Write, Stream should return;
	// after Stream has returned, every Write fails.
	//
	// An error, or a panic, before the first byte becomes an ordinary invocation error; one after
	// it ends the stream with error trailers, so that what the caller got is not taken for all.
	// ctx is that of Invoke.
	//
	// The function must be invoked in streaming mode (a RESPONSE_STREAM URL, or an integration
	// with responseTransferMode STREAM); Lambda does not tell the function whether it is.
	Stream func(ctx context.Context, w io.Writer) error

	// ContentType is "application/json" if empty, and "application/octet-stream" with Stream.
	ContentType string

	// Spent says that nobody reads Invocation.Event any more once After has returned: its memory is used for the
	// next. A transport that still sends a request's body made of it would send another caller's bytes, so this
	// is only for those who can be sure.
	Spent bool

	// After, if not nil, runs when the API has acknowledged the reply and before the next
	// invocation is asked for: the caller has its bytes, the environment does not freeze. It also
	// runs when the reply failed to get through. Its context carries the values of Invoke's and
	// ends [Runtime.Margin] before the deadline, or at once if the handler used that time up; After
	// is called even then, so that it can leave a last word. It must heed the context: at the
	// deadline Lambda kills the process. A panic is logged and changes nothing.
	After func(ctx context.Context)
}
