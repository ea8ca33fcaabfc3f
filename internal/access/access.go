package access

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"github.com/tapway/tapway"
)

// Phase is where in the order of rules a decider stands. Deciders of one phase are asked in the
// order in which they were given to NewChain.
type Phase int

const (
	Address        Phase = iota // who is calling: everything else goes by it
	ResourcePolicy              // may this address, at this time, ask for this at all
	Limits                      // is there room for one more call of this address
	Authentication              // who does the caller prove to be: API key, JWT, signature, certificate
	Plan                        // does the caller's plan, the route, the gateway have a call left
	Filter                      // is this method and path passed on at all
	phases
)

var phaseNames = [...]string{"address", "resource policy", "limits", "authentication", "plan", "filter"}

func (p Phase) String() string { return phaseNames[p] }

// Phases are all phases in their order.
func Phases() []Phase {
	out := make([]Phase, phases)
	for i := range out {
		out[i] = Phase(i)
	}
	return out
}

// Decider is one rule. It must be safe for concurrent use and is not changed once in a Chain.
type Decider interface {
	// Phase is where it stands in the order.
	Phase() Phase

	// Name is what the configuration calls it ("resource_policy"): it stands in the metrics and
	// in what explain prints.
	Name() string

	// Decide lets r pass by giving nil. It may write into r what later deciders need (Client,
	// Caller). When r.Dry it takes nothing and waits for nothing, and tells with r.Because what
	// made it decide so.
	//
	// It keeps nothing of r, of r.HTTP, its context or its body past the call, not in a goroutine
	// either: what a refused call had in memory, the next one gets. Strings it may keep.
	//
	// A decider that reads the body puts what it read back into r.HTTP.Body; r.HTTP is what the
	// next stage gets.
	Decide(r *Request) *Refusal
}

// Answerer is a Decider that sees the responses to the calls it lets pass.
type Answerer interface {
	Decider

	// Answer gives the writer that a response goes to in place of w. end, which may be nil, is called
	// when all of it has been written, and not when it broke off. A Holder's End comes after it.
	Answer(r *Request, w http.ResponseWriter) (to http.ResponseWriter, end func())
}

// Holder is a Decider that takes something for a call it lets pass: a token, a place.
type Holder interface {
	Decider

	// End is called once for every call that Decide let pass and that was not Dry, when it is
	// over. served is false when a later decider refused it: what was taken goes back.
	End(r *Request, served bool)
}

// Request is one call as the deciders see it. It is only valid until the call is over.
type Request struct {
	HTTP  *http.Request
	Call  *tapway.Call // what a decider writes here goes into the record
	Path  string       // raw, still percent-encoded, as in the request line; "*" for OPTIONS *
	Now   time.Time
	Stage string // API stage that resources of a policy name; "" when there is none

	Client netip.Addr // by phase Address; IPv4 in IPv6 as IPv4, without zone; zero: unknown
	Secure bool       // by phase Address: the client's connection was TLS

	Caller Caller // by phase Authentication; the zero Caller is anonymous
	APIKey string // by phase Authentication, when the key is not in the header; never logged
	Keyed  bool   // by phase Authentication: APIKey counts in place of the header, also when it is ""

	// Dry is set when somebody only asks what would be decided.
	Dry bool

	facts      *tapway.Facts // nil on tapway's own listener
	key        *Client       // by Keys
	credential *Credential   // by IAM
	because    string
	bounds     []string // when Dry: what Plans found to bound the call

	readings [2]string // room, so that the usual call allocates nothing
	cases    []string  // its readings in the letter case that was sent; nil: not made yet
	folded   []string  // the same in lower case
	overdone bool      // encoded more often than any honest client does

	askedRoom [2]string
	asked     []string // nil: not looked up yet; see methods

	ruleRoom [2]*Rule
	rules    []*Rule // nil: not looked up yet
	placed   bool    // Concurrency holds a place for its address

	takenRoom [4]taken
	taken     []taken // by Plans
	counted   int64   // by Plans: the window in which it counts against the quota; 0: it does not
	wait      Wait    // for counts that other processes keep too

	body     []byte // by Bodies
	bodyRead bool
	held     int64 // bytes that Bodies has lent
	bodies   *Bodies

	refused Refusal    // room for one that is only this call's
	answer  [12]string // room for its header: names and values

	seen      [][sha256.Size]byte // by Webhooks: what it remembers of this call
	ownHeader bool                // HTTP.Header is a copy
}

// Caller is whom an authenticated call comes from.
type Caller struct {
	ARN     string // "" is anonymous
	Account string // AWS account, 12 digits; "" when there is none
}

// Because tells why a decider decides as it does, when somebody asked. Where a call passes, ask
// for r.Dry before: the arguments cost an allocation each.
func (r *Request) Because(format string, args ...any) {
	if r.Dry {
		r.because = fmt.Sprintf(format, args...)
	}
}

// Refusal is an answer in place of the backend's. It may be shared: it is not changed.
type Refusal struct {
	Status int

	// Type and Body are API Gateway's: x-amzn-ErrorType ("" for none) and the JSON as it is sent.
	// Without Body there is a page, as from the proxy, with Message.
	Type, Body string
	Message    string

	Header     http.Header   // more of the answer, such as WWW-Authenticate
	RetryAfter time.Duration // rounded up to seconds; 0: none

	// Reason stands in the record as tapway.Call.Error: few words, no secrets, no addresses.
	Reason string
}

// The refusals of API Gateway that more than one decider gives.
const (
	forbiddenBody       = `{"message":"Forbidden"}`
	tooManyRequestsBody = `{"message":"Too Many Requests"}`
	limitExceededBody   = `{"message":"Limit Exceeded"}`
	unavailableBody     = `{"message":"Service Unavailable"}`
)

// Forbidden is API Gateway's answer to a missing or invalid API key, and to a token without
// the right scope.
func Forbidden(reason string) *Refusal {
	return &Refusal{Status: http.StatusForbidden, Type: "ForbiddenException", Body: forbiddenBody, Reason: reason}
}

// Unauthorized is API Gateway's answer to a missing or invalid token.
func Unauthorized(reason string) *Refusal {
	return &Refusal{Status: http.StatusUnauthorized, Type: "UnauthorizedException", Body: `{"message":"Unauthorized"}`, Reason: reason}
}

// TooManyRequests is API Gateway's answer when a rate is exceeded. It sends no Retry-After;
// tapway does where it knows the time.
func TooManyRequests(reason string, after time.Duration) *Refusal {
	return new(Refusal).tooManyRequests(reason, after)
}

func (f *Refusal) tooManyRequests(reason string, after time.Duration) *Refusal {
	*f = Refusal{Status: http.StatusTooManyRequests, Type: "TooManyRequestsException", Body: tooManyRequestsBody, RetryAfter: after, Reason: reason}
	return f
}

// LimitExceeded is API Gateway's answer when a quota is used up.
func LimitExceeded(reason string, after time.Duration) *Refusal {
	return new(Refusal).limitExceeded(reason, after)
}

func (f *Refusal) limitExceeded(reason string, after time.Duration) *Refusal {
	*f = Refusal{Status: http.StatusTooManyRequests, Type: "LimitExceededException", Body: limitExceededBody, RetryAfter: after, Reason: reason}
	return f
}
