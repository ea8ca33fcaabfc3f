package access

import (
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/tapway/tapway"
)

// Options are what a Chain needs besides its deciders. The zero value works.
type Options struct {
	// Page answers a Refusal without a Body. nil writes {"message": …}.
	Page func(w http.ResponseWriter, r *http.Request, status int, message, reason string)

	// Stage is the API stage in the names of resources; "" takes the front's.
	Stage string

	// Refused is told of every refusal, with the name of the decider.
	Refused func(name string)

	// Invalidate decides whose calls may have a cached response made anew; nil: nobody's.
	Invalidate *Policy

	Now func() time.Time // nil is time.Now
}

// Chain is the rules of one configuration in their order. It is immutable.
type Chain struct {
	Options
	deciders []Decider
}

// NewChain puts deciders into the order of their phases.
func NewChain(o Options, deciders ...Decider) *Chain {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Page == nil {
		o.Page = plainPage
	}
	if o.Refused == nil {
		o.Refused = func(string) {}
	}
	c := &Chain{Options: o, deciders: slices.Clone(deciders)}
	slices.SortStableFunc(c.deciders, func(a, b Decider) int { return int(a.Phase()) - int(b.Phase()) })
	return c
}

// Gate is the middleware. Set swaps its rules while calls are under way, which keep the ones
// they began with. It must be Set before use.
type Gate struct{ chain atomic.Pointer[Chain] }

// Set puts rules into force.
func (g *Gate) Set(c *Chain) { g.chain.Store(c) }

// Wrap lets those calls go to next that every rule lets pass.
func (g *Gate) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { g.chain.Load().serve(w, r, next) })
}

var requests = sync.Pool{New: func() any { return new(Request) }}

func (c *Chain) serve(w http.ResponseWriter, in *http.Request, next http.Handler) {
	path, _, _, ok := tapway.Target(in)
	if !ok {
		next.ServeHTTP(w, in) // CONNECT, or nothing that a backend could be asked: the proxy says so
		return
	}
	r := requests.Get().(*Request)
	c.begin(r, in, path)
	passed, served := 0, false
	defer func() { // also when next panics, as a proxy does whose response broke off
		for i := passed - 1; i >= 0; i-- {
			if h, ok := c.deciders[i].(Holder); ok {
				h.End(r, served)
			}
		}
		r.giveBack()
		*r = Request{}
		requests.Put(r)
	}()
	for _, d := range c.deciders {
		if refusal := d.Decide(r); refusal != nil {
			r.Call.Rule = d.Name()
			c.Refused(d.Name())
			c.refuse(w, r, refusal)
			return
		}
		passed++
	}
	served = true
	if c.Invalidate != nil && (len(in.Header["Cache-Control"]) > 0 || len(in.Header["Pragma"]) > 0) {
		r.Call.InvalidateCache = c.Invalidate.Evaluate(r, InvalidateCache).Allowed
	}
	next.ServeHTTP(w, r.HTTP)
}

func (c *Chain) begin(r *Request, in *http.Request, path string) {
	r.HTTP, r.Call, r.Path, r.Now, r.Stage = in, tapway.CallFrom(in.Context()), path, c.Now(), c.Stage
	r.facts = tapway.FactsFrom(in.Context())
	if r.Stage == "" && r.Call.API != nil {
		r.Stage = r.Call.API.Stage
	}
}

func (c *Chain) refuse(w http.ResponseWriter, r *Request, f *Refusal) {
	r.Call.Origin, r.Call.Error = tapway.OriginGateway, f.Reason
	h := w.Header()
	for name, values := range f.Header {
		h[name] = values
	}
	if f.RetryAfter > 0 {
		h["Retry-After"] = []string{strconv.FormatInt(int64((f.RetryAfter+time.Second-1)/time.Second), 10)}
	}
	if f.Body == "" {
		c.Page(w, r.HTTP, f.Status, f.Message, f.Reason)
		return
	}
	if f.Type != "" {
		h["X-Amzn-Errortype"] = []string{f.Type}
	}
	if !r.Call.ID.IsZero() {
		h["X-Amzn-Requestid"] = []string{r.Call.ID.String()}
	}
	write(w, r.HTTP, f.Status, f.Body)
}

func write(w http.ResponseWriter, r *http.Request, status int, body string) {
	h := w.Header()
	h["Content-Type"] = jsonType
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write([]byte(body)) // a client that does not take its answer cannot be helped
	}
}

var jsonType = []string{"application/json"}

func plainPage(w http.ResponseWriter, r *http.Request, status int, message, _ string) {
	write(w, r, status, `{"message":"`+string(appendEscaped(nil, message))+`"}`)
}

// appendEscaped writes s as the inside of a JSON string that a browser cannot take for HTML.
func appendEscaped(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', byte(c))
		case c < ' ' || c == '<' || c == '>' || c == '&' || c == 0x7f:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4&15], hex[c&15])
		default:
			b = utf8.AppendRune(b, c)
		}
	}
	return b
}
