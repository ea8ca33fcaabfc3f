package tapway

import (
	"context"
	"net/http"
	"time"
)

// Call is the slip that travels with one request through the stages: each writes what only
// it knows, and the capture reads it at the end. It belongs to the request's goroutine.
type Call struct {
	ID        ID        // set by the capture before the next stage runs
	Start     time.Time // when the head of the request had been read
	ClientIP  string    // by access, from the connection and trusted proxies
	Route     string    // by the proxy: the route that matched
	Params    []PathParam
	Origin    Origin        // by whoever answers; "" counts as OriginGateway
	Error     string        // what went wrong, for the record: few words, no addresses, no secrets
	Connect   time.Duration // dialling the backend
	FirstByte time.Duration // from Start to the backend's first response byte
	Backend   time.Duration // waited for the backend in all: sending, waiting, reading
	API       *API
	Fidelity  []string
	Front     Front // "" counts as FrontServer

	// InvalidateCache is set by access when a call that asks for a new answer in place of a cached
	// one may do so.
	InvalidateCache bool

	Rule   string        // by access: the rule that refused the call; "" if none did
	Access time.Duration // by access: how long its rules took; 0 if there are none

	Trace *Trace // its place in a distributed trace; nil: nobody makes spans
	Asked *Asked // by the proxy: the backend's call; nil if there was none
}

// Trace is a call's place in a distributed trace (W3C Trace Context).
type Trace struct {
	ID      string  // 32 hex digits: the record's trace_id
	Parent  [8]byte // the caller's span; zero if there is none
	Flags   byte    // of traceparent
	Sampled bool
	Header  string // the traceparent that the backend gets; "" passes the client's on
	Fresh   bool   // no traceparent came: a tracestate that did belongs to nothing
}

// Asked is what the proxy has asked of a backend for one call.
type Asked struct {
	Method       string
	Scheme, Host string        // "http" or "https", and host[:port]
	Sent         time.Duration // from Call.Start
	Status       int           // as the backend gave it, before any mapping; 0: there was none
}

type callKey struct{}

// WithCall attaches a Call to a context.
func WithCall(ctx context.Context, c *Call) context.Context {
	return context.WithValue(ctx, callKey{}, c)
}

// AttachCall is WithCall for a server's request that nobody else has seen yet. Where the server's
// context has room for a value of its own, as http1's has, it gives r itself, else a copy.
func AttachCall(r *http.Request, c *Call) *http.Request {
	room, ok := r.Context().(interface{ Attach(key, value any) bool })
	if ok && room.Attach(callKey{}, c) {
		return r
	}
	return r.WithContext(WithCall(r.Context(), c))
}

// CallFrom gives the Call of a request. Outside a capture there is none: it gives a fresh
// one, so that stages never need to ask.
func CallFrom(ctx context.Context) *Call {
	if c, ok := ctx.Value(callKey{}).(*Call); ok {
		return c
	}
	return &Call{Start: time.Now()}
}
