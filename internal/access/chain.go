package access

import (
	"io"
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

	Now func() time.Time // nil is when the call began
}

func (o *Options) now() time.Time {
	if o.Now != nil {
		return o.Now()
	}
	return time.Now()
}

// Chain is the rules of one configuration in their order. It is immutable.
type Chain struct {
	Options
	deciders  []Decider
	answerers []Answerer
}

// NewChain puts deciders into the order of their phases.
func NewChain(o Options, deciders ...Decider) *Chain {
	if o.Page == nil {
		o.Page = plainPage
	}
	if o.Refused == nil {
		o.Refused = func(string) {}
	}
	c := &Chain{Options: o, deciders: slices.Clone(deciders)}
	slices.SortStableFunc(c.deciders, func(a, b Decider) int { return int(a.Phase()) - int(b.Phase()) })
	for _, d := range c.deciders {
		if a, ok := d.(Answerer); ok {
			c.answerers = append(c.answerers, a)
		}
	}
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
			r.Call.Access = c.now().Sub(r.Now)
			r.Call.Rule = d.Name()
			c.Refused(d.Name())
			c.refuse(w, r, refusal)
			return
		}
		passed++
	}
	if served = true; passed > 0 {
		r.Call.Access = c.now().Sub(r.Now)
	}
	if c.Invalidate != nil && (len(in.Header["Cache-Control"]) > 0 || len(in.Header["Pragma"]) > 0) {
		r.Call.InvalidateCache = c.Invalidate.Evaluate(r, InvalidateCache).Allowed
	}
	var ends []func()
	for _, a := range c.answerers {
		var end func()
		if w, end = a.Answer(r, w); end != nil {
			ends = append(ends, end)
		}
	}
	next.ServeHTTP(w, r.HTTP)
	for _, end := range slices.Backward(ends) {
		end()
	}
}

func (c *Chain) begin(r *Request, in *http.Request, path string) {
	r.HTTP, r.Call, r.Path, r.Stage = in, tapway.CallFrom(in.Context()), path, c.Stage
	if r.Now = r.Call.Start; c.Now != nil || r.Now.IsZero() {
		r.Now = c.now()
	}
	r.facts = tapway.FactsFrom(in.Context())
	if r.Stage == "" && r.Call.API != nil {
		r.Stage = r.Call.API.Stage
	}
}

func (c *Chain) refuse(w http.ResponseWriter, r *Request, f *Refusal) {
	r.Call.Origin, r.Call.Error = tapway.OriginGateway, f.Reason
	fields := r.answer[:0]
	for name, values := range f.Header {
		for _, v := range values {
			fields = append(fields, name, v)
		}
	}
	if f.RetryAfter > 0 {
		fields = append(fields, "Retry-After", strconv.FormatInt(int64((f.RetryAfter+time.Second-1)/time.Second), 10))
	}
	if f.Body == "" {
		setAll(w.Header(), fields)
		c.Page(w, r.HTTP, f.Status, f.Message, f.Reason)
		return
	}
	if f.Type != "" {
		fields = append(fields, "X-Amzn-Errortype", f.Type)
	}
	if !r.Call.ID.IsZero() {
		fields = append(fields, "X-Amzn-Requestid", r.Call.ID.String())
	}
	fields = append(fields, "Content-Type", "application/json")
	if a, ok := w.(answerer); ok && a.Answer(f.Status, fields, f.Body) {
		return
	}
	setAll(w.Header(), fields)
	write(w, r.HTTP, f.Status, f.Body)
}

// answerer is a ResponseWriter that takes a whole response at once, header names and values in turn,
// if it can: a flood of refusals is cheaper without a map each. It keeps none of what it gets, and no
// decider may have kept anything of the request: its memory is used again when the handler has returned.
type answerer interface {
	Answer(status int, header []string, body string) bool
}

// setAll puts names and values into h; the values of one name follow each other.
func setAll(h http.Header, fields []string) {
	for i := 0; i+1 < len(fields); i += 2 {
		if i > 0 && fields[i] == fields[i-2] {
			h[fields[i]] = append(h[fields[i]], fields[i+1])
		} else {
			h[fields[i]] = []string{fields[i+1]}
		}
	}
}

func write(w http.ResponseWriter, r *http.Request, status int, body string) {
	w.Header()["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = io.WriteString(w, body) // a client that does not take its answer cannot be helped
	}
}

func plainPage(w http.ResponseWriter, r *http.Request, status int, message, _ string) {
	w.Header()["Content-Type"] = []string{"application/json"}
	write(w, r, status, `{"message":"`+string(appendEscaped(nil, message))+`"}`)
}

// appendEscaped writes s as the inside of a JSON string that a browser cannot take for HTML.
func appendEscaped(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	plain := 0
	for plain < len(s) && s[plain] >= ' ' && s[plain] < 0x7f && s[plain] != '"' && s[plain] != '\\' && s[plain] != '<' && s[plain] != '>' && s[plain] != '&' {
		plain++
	}
	b = append(b, s[:plain]...) // mostly all of it
	for _, c := range s[plain:] {
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
