package tapway

import (
	"net/http"
	"strings"
	"time"
)

// Front says how a call arrived.
type Front string

const (
	FrontServer      Front = "server" // tapway's own listener
	FrontREST        Front = "rest"   // API Gateway REST API (v1)
	FrontHTTP        Front = "http"   // API Gateway HTTP API (v2)
	FrontFunctionURL Front = "url"    // Lambda Function URL
	FrontALB         Front = "alb"    // Application Load Balancer
)

// Origin says who made the response.
type Origin string

const (
	OriginBackend Origin = "backend" // passed on from the backend
	OriginGateway Origin = "gateway" // tapway answered itself: refused, filtered, backend down
	OriginCache   Origin = "cache"   // served from the cache
)

// Meta is what can be said of an exchange without its headers and bodies: what lists show,
// filters ask, and the search index holds.
type Meta struct {
	Seq uint64 // position in the queue that stores it, from 1; 0 outside a queue
	ID  ID

	Time      time.Time     // when the head of the request had been read
	Duration  time.Duration // from Time until the last byte of the response was ready for the client
	Overhead  time.Duration // the part of Duration that was neither the backend's nor the client's
	Access    time.Duration // the part of Overhead that the access rules took, and what they waited for a body they read; 0 if there were none
	Connect   time.Duration // dialling the backend, TLS included; 0 on a reused connection
	FirstByte time.Duration // from Time to the backend's first response byte; 0 if there was none

	Front  Front
	Origin Origin
	Proto  string // "HTTP/1.1", "HTTP/2.0"
	From   string // the host the client asked for: the Host header or :authority
	Method string
	Path   string // escaped, as the client sent it; redacted path parameters excepted
	Query  string // raw, without "?"; redacted parameters excepted
	Route  string // the route that matched, "GET /users/{id}"; "" if none did

	ClientIP string // "" when unknown
	Status   int    // as the client saw it; 0 when the client left before any status
	Error    string // what went wrong, in a few words without addresses or secrets; "" if nothing did
	TraceID  string // 32 hex digits from traceparent, or the root of X-Amzn-Trace-Id; "" if none

	RequestSize  int64 // body bytes that passed, as on the wire (compressed if it was)
	ResponseSize int64
}

// Exchange is one HTTP request and the response it got, as the client saw them, redacted.
type Exchange struct {
	Meta
	RequestHeader   Header
	ResponseHeader  Header
	RequestTrailer  Header
	ResponseTrailer Header
	Request         Body
	Response        Body
	API             *API     // nil unless an AWS front delivered the call
	Fidelity        []string // what the front had destroyed before tapway saw it; nil on tapway's own listener
	PathParams      []PathParam
}

// PathParam is one matched parameter of a route: where its raw value lies in Path.
// It lives from capture to redaction and is not stored.
type PathParam struct {
	Name  string
	Value string // raw, still percent-encoded
}

// API names the AWS API that a call came through.
type API struct {
	ID        string `json:"id"`
	Stage     string `json:"stage"`
	RequestID string `json:"request_id"`
}

// Field is one header line; Name is in canonical form as net/http has it.
type Field struct{ Name, Value string }

// Header is a list of header lines. Repeated names stand as often as they were sent.
type Header []Field

// Get gives the first value of name in any letter case, "" if there is none.
func (h Header) Get(name string) string {
	for i := range h {
		if len(h[i].Name) == len(name) && strings.EqualFold(h[i].Name, name) {
			return h[i].Value
		}
	}
	return ""
}

// Has reports whether name stands in h in any letter case.
func (h Header) Has(name string) bool {
	for i := range h {
		if len(h[i].Name) == len(name) && strings.EqualFold(h[i].Name, name) {
			return true
		}
	}
	return false
}

// AppendHTTP adds every line of h to dst.
func (dst Header) AppendHTTP(h http.Header) Header {
	for name, values := range h {
		for _, v := range values {
			dst = append(dst, Field{name, v})
		}
	}
	return dst
}

// HTTP is the same header in net/http's form.
func (h Header) HTTP() http.Header {
	out := make(http.Header, len(h))
	for _, f := range h {
		out[f.Name] = append(out[f.Name], f.Value)
	}
	return out
}

// Body is one side's body: the bytes that passed, up to the capture limit.
type Body struct {
	Bytes []byte // as they passed, content codings included, unless Decoded; nil when there was none or it is withheld
	Size  int64  // how many bytes passed; more than len(Bytes) when Truncated

	// Sum is the SHA-256 of all the bytes that passed. It is only set when Bytes are no longer
	// exactly those (truncated, redacted, withheld); otherwise Summed is false and the sum is
	// made from Bytes where it is wanted, off the hot path.
	Sum    [32]byte
	Summed bool

	Truncated bool // the body went on past the capture limit, or ended before its end
	Decoded   bool // redaction has removed the content codings from Bytes
	Withheld  bool // redaction could not be carried out, a rule said no bodies, or there was no memory for it: Bytes is nil although Size may not be 0
}
