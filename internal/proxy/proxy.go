package proxy

import (
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/tapway/tapway"
)

// Router finds where a call goes. It must be safe for concurrent use.
type Router interface {
	// Route gets the path and query as the client sent them, still percent-encoded; the path
	// is "*" for the server-wide OPTIONS. A Refusal other than nil answers the call, and the
	// Hop counts for nothing.
	Route(r *http.Request, rawPath, rawQuery string, hasQuery bool) (Hop, *Refusal)
}

// Hop is where one call goes.
type Hop struct {
	Route   string             // the route that matched, "GET /users/{id}", for the record
	Params  []tapway.PathParam // what its parameters matched, for the record
	Backend *Backend           // how to reach it; never nil

	Method       string // "" is the client's
	Scheme, Host string // of the backend: "http" or "https", and host[:port]
	Path         string // percent-encoded, written exactly as it stands here; "" is "/"
	Query        string // as it stands here, without "?"
	HasQuery     bool   // whether there is a "?" at all: "/a?" is not "/a"

	// Header is set on the outgoing request after everything else, replacing what the client
	// sent; a name without values is removed. "Host" sets the Host header. Hop-by-hop names
	// and those that frame the body are ignored.
	Header http.Header

	// OnlyMapped drops the client's headers except those that describe the body, as API
	// Gateway's HTTP (not HTTP_PROXY) integrations do.
	OnlyMapped bool

	// Response, if not nil, may change the header of the backend's response, before anything
	// else does, and gives the status for the client. When it gives false, there is no answer
	// for the backend's status: the client gets 500 {"message":"Internal server error"}, as
	// from API Gateway.
	Response func(status int, header http.Header) (int, bool)

	// BackendBase is the path prefix on the backend that stands for PublicBase before the
	// client: with "/v1" and "/api/v1" a Location of /v1/users is /api/v1/users to the
	// client. Both without a trailing slash; equal values change nothing.
	BackendBase, PublicBase string
}

// Backend is how one backend is reached. Many calls share it; it is not changed once used.
type Backend struct {
	// Transport makes the round trip. It writes URL.Opaque verbatim as the request target,
	// neither decompresses nor follows redirects, and gives io.ErrUnexpectedEOF for a body
	// that was cut short. For http.Transport set DisableCompression and see [NetHTTP].
	Transport http.RoundTripper

	// Upgrades, if not nil, makes the round trip of calls that ask for another protocol
	// (WebSocket). Set it where Transport speaks HTTP/2, which cannot do that.
	Upgrades http.RoundTripper

	// Timeout is how long the backend may take to begin its response, counted from when the call
	// is sent and anew whenever more of its body has come from the client, who may not pause for
	// longer either. 0 is no bound. Once the response has begun it no longer counts: that a large
	// one takes its time breaks nothing, and one that stops is the Transport's to notice.
	Timeout time.Duration

	// TotalTimeout bounds the whole call, the client's upload and download included. 0 is no bound.
	// Once the response has begun it no longer counts for upgrades and for responses that are
	// endless by their type (event streams, gRPC, multipart replace).
	TotalTimeout time.Duration

	PreserveHost bool     // send the client's Host header instead of Hop.Host
	MaxResponse  int64    // bytes of response body; 0 is no bound
	Aliases      []string // other host[:port] forms by which the backend names itself in Location and the like
}

// transport picks the round tripper for an upgrade or an ordinary call.
func (b *Backend) transport(upgrade bool) http.RoundTripper {
	if upgrade && b.Upgrades != nil {
		return b.Upgrades
	}
	return b.Transport
}

// Refusal is why a call goes nowhere.
type Refusal struct {
	Status  int    // of the answer; 0 is 404
	Message string // in the answer; "" is the status text
	Reason  string // tapway.Call.Error; "" is "no route"

	// What tapway.Call is to say of a route that was found: without Params none of them could be
	// redacted in the recorded path.
	Route  string
	Params []tapway.PathParam
}

// Settings is what a [Handler] goes by. The zero value answers every call with 404.
type Settings struct {
	Router    Router
	Forwarded Forwarded

	// NoHeaders keeps the client's headers from the backend, except those that describe the
	// body (Content-Type, Content-Encoding, …) and those an upgrade cannot do without. What
	// tapway adds itself is up to Forwarded and Hop.Header.
	NoHeaders bool

	MaxRequestBody int64 // bytes; larger ones are answered 413; 0 is no bound

	// BodyStatus gives the status that an error of reading a request's body stands for (400,
	// 408, 413), 0 if it does not know. nil knows none, and the kind of the error decides.
	BodyStatus func(err error) int

	AppName    string // on the page for browsers; "" is "This application"
	ErrorTitle string // its heading when the backend failed; "" is "Gateway Error"

	// Debug lets ?dump_request=y answer with the request as it arrived, redacted by Redact
	// (without Redact there is no dump), and ?trace_connection=y log how the backend was
	// reached. Otherwise both are the backend's own parameters.
	Debug  bool
	Redact func(*tapway.Exchange)

	Log *slog.Logger // nil is slog.Default()
}

// Handler passes calls on. Make one with [New]; [Handler.Reload] changes its settings while
// it serves.
type Handler struct {
	state atomic.Pointer[state]
}

// state is Settings made ready; calls under way keep the one they began with.
type state struct{ Settings }

// New makes a Handler.
func New(s Settings) *Handler {
	h := new(Handler)
	h.Reload(s)
	return h
}

// Reload sets what calls that begin from now on go by.
func (h *Handler) Reload(s Settings) {
	if s.AppName == "" {
		s.AppName = "This application"
	}
	if s.ErrorTitle == "" {
		s.ErrorTitle = "Gateway Error"
	}
	if s.Log == nil {
		s.Log = slog.Default()
	}
	h.state.Store(&state{s})
}

// ServeHTTP passes r on and its answer back. It panics with http.ErrAbortHandler when a
// response cannot be completed, so that the client never takes it for a whole one.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p := &pass{state: h.state.Load(), w: w, in: r, call: tapway.CallFrom(r.Context())}
	p.serve()
}
