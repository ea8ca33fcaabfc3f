package cache

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/tapway/tapway"
)

// Mode is whose rules say what is kept, and how long.
type Mode uint8

const (
	// APIGateway is the stage cache of an API Gateway: 200s to GET are kept for the TTL, whatever
	// the backend says in Cache-Control.
	APIGateway Mode = iota
	// RFC9111 is a shared cache: the backend says what is kept, and how long.
	RFC9111
)

// Callers is what becomes of calls that say who is calling: with Authorization, a Cookie, an
// API key, a client certificate.
type Callers uint8

const (
	Bypass   Callers = iota // they are not answered from the cache, unless the key has what they say, or (RFC9111) the response is public
	Separate                // each caller has answers of his own
	Shared                  // all get the same answers
)

// MaxTTL is the longest time of an API Gateway's cache.
const MaxTTL = time.Hour

// Rule is what is kept of some calls. It is not changed once in use.
type Rule struct {
	Name    string // by which its answers can be purged, such as "GET /catalog/{proxy+}"
	Mode    Mode
	TTL     time.Duration // with APIGateway how long answers are kept; 0: nothing is, in either mode
	Query   []string      // names of query parameters in the key; nil is none
	Whole   bool          // the whole query is in the key, as it was sent
	Headers []string      // names of headers in the key, in canonical form
	Callers Callers
}

// Route is what a call's method and path mean.
type Route struct {
	Rule   *Rule
	Name   string             // for tapway.Call.Route: on a hit the proxy does not say it
	Params []tapway.PathParam // likewise; without them none could be redacted in the recorded path
}

// Refused is what becomes of a request for a new answer (Cache-Control: max-age=0 or no-cache)
// from those who may not ask for one.
type Refused uint8

const (
	Warn   Refused = iota // the header is ignored, and a Warning says so
	Fail                  // 403
	Ignore                // the header is ignored
)

// Settings is what a Cache goes by. The zero value keeps nothing.
type Settings struct {
	// Match tells what is kept of a call; false is nothing. It is asked with GET and HEAD, and
	// with methods that change things, for the rule of a GET of that path.
	Match func(r *http.Request, rawPath string) (Route, bool)

	// Rules are the names of all rules.
	Rules []string

	Memory   int64 // bytes of all entries, of those being filled and of what slow clients have still to take
	MaxEntry int64 // bytes of one body

	// Anyone may ask for new answers; otherwise only calls with tapway.Call.InvalidateCache.
	Anyone  bool
	Refused Refused

	// Credentials are further headers by which callers are told apart, in canonical form.
	Credentials []string

	// Page answers in tapway's own name. nil writes a plain text.
	Page func(w http.ResponseWriter, r *http.Request, status int, message, reason string)

	Log *slog.Logger // nil: slog.Default()
}

func (s *Settings) page(w http.ResponseWriter, r *http.Request, status int, message, reason string) {
	call := tapway.CallFrom(r.Context())
	call.Origin, call.Error = tapway.OriginGateway, reason
	if s.Page != nil {
		s.Page(w, r, status, message, reason)
		return
	}
	http.Error(w, message, status)
}
