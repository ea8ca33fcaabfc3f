package proxy

import (
	"context"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tapway/tapway"
)

// pass is one call on its way. It is one piece of memory on purpose: it holds what the
// outgoing request points to, so that a call costs few allocations.
type pass struct {
	*state
	w    http.ResponseWriter
	in   *http.Request
	call *tapway.Call

	hop     Hop
	asked   tapway.Asked
	upgrade []string // the protocols the client asks to switch to; nil if it does not
	url     url.URL
	body    requestBody
	room    valueRoom
	mapping mapper

	ctx    callContext
	cancel context.CancelCauseFunc
	timer  *time.Timer // of Backend.Timeout; nil without
	total  *time.Timer // of Backend.TotalTimeout; nil without
	trace  httptrace.ClientTrace
	probe  *probe // logs the connection; nil unless asked for
	dialed atomic.Int64

	interim  sync.Mutex // held while a 1xx response is passed on
	answered bool       // guarded by interim: the round trip is over, 1xx responses come too late

	waited time.Duration // for the backend, so far
	late   *lateFlusher
	sent   bool // the head of the response went out
}

// callContext is the context of the backend's call; it finds the pass for [Dialed].
type callContext struct {
	context.Context
	pass *pass
}

type passKey struct{}

func (c *callContext) Value(key any) any {
	if key == (passKey{}) {
		return c.pass
	}
	return c.Context.Value(key)
}

// Dialed tells the call behind ctx how long dialling its backend took, TLS included. It is
// the hook of a transport; other contexts than those of a backend's call are ignored. It is
// safe to call at any time, from any goroutine.
func Dialed(ctx context.Context, took time.Duration, _ error) {
	if p, ok := ctx.Value(passKey{}).(*pass); ok {
		p.dialed.Add(int64(took))
	}
}

// serve answers the call, one way or another.
func (p *pass) serve() {
	if p.in.Method == http.MethodConnect {
		p.answer(page{status: http.StatusNotImplemented, message: "CONNECT is not supported.", reason: "CONNECT is not supported"})
		return
	}
	path, query, hasQuery, ok := tapway.Target(p.in)
	if !ok {
		p.answer(malformed("target"))
		return
	}
	if p.in.ProtoMajor > 1 { // net/http's HTTP/2 server lets through what no HTTP/1 server takes
		if !isToken(p.in.Method) {
			p.answer(malformed("method"))
			return
		}
		if p.in.Host != "" && !validHost(p.in.Host) {
			p.answer(malformed("host"))
			return
		}
	}
	p.knowPeer()
	dump := false
	if p.Debug && hasQuery {
		dump = p.Redact != nil && hasParameter(query, dumpParameter)
		if rest, found := cutParameter(query, traceParameter); found {
			query, hasQuery = rest, rest != ""
			p.probe = &probe{}
		}
	}
	if p.Router == nil {
		p.refuse(&Refusal{})
		return
	}
	hop, refusal := p.Router.Route(p.in, path, query, hasQuery)
	if refusal != nil {
		p.refuse(refusal)
		return
	}
	p.call.Route, p.call.Params = hop.Route, hop.Params
	if dump {
		p.dump(path, query)
		return
	}
	p.hop = hop
	p.forward()
}

// knowPeer takes the peer for the client when no stage before has found out who that is.
func (p *pass) knowPeer() {
	if p.call.ClientIP != "" {
		return
	}
	if peer := parsePeer(p.in.RemoteAddr); peer.IsValid() {
		p.call.ClientIP = peerText(peer, p.in.RemoteAddr)
	}
}

func (p *pass) refuse(r *Refusal) {
	p.call.Route, p.call.Params = r.Route, r.Params
	pg := page{status: r.Status, message: r.Message, reason: r.Reason}
	if pg.status == 0 {
		pg.status = http.StatusNotFound
	}
	if pg.message == "" {
		pg.message = http.StatusText(pg.status)
	}
	if pg.reason == "" {
		pg.reason = "no route"
	}
	p.answer(pg)
}

// forward makes the backend's call and passes on its answer.
func (p *pass) forward() {
	b := p.hop.Backend
	if b == nil || b.transport(false) == nil || p.hop.Host == "" || !cleanTarget(p.hop.Path) || !cleanTarget(p.hop.Query) {
		p.Log.Error("the route leads nowhere", "route", p.hop.Route)
		p.answer(page{status: http.StatusBadGateway, message: "The backend is not configured.", reason: "backend not configured"})
		return
	}
	if p.MaxRequestBody > 0 && p.in.ContentLength > p.MaxRequestBody {
		p.answer(requestTooLarge)
		return
	}
	p.upgrade = upgradeOf(p.in)
	defer p.end()
	out := p.request()
	start := time.Now()
	if b.Timeout > 0 {
		p.timer = time.AfterFunc(b.Timeout, p.timedOut)
		p.body.watch(p.timer, b.Timeout, start)
	}
	if b.TotalTimeout > 0 {
		p.total = time.AfterFunc(b.TotalTimeout, p.timedOut)
	}
	p.asked = tapway.Asked{Method: out.Method, Scheme: p.hop.Scheme, Host: p.hop.Host, Sent: start.Sub(p.call.Start)}
	p.call.Asked = &p.asked
	res, err := b.transport(p.upgrade != nil).RoundTrip(out)
	now := time.Now()
	p.waited = max(0, now.Sub(start)-time.Duration(p.body.waited.Load()))
	p.interim.Lock()
	p.answered = true
	p.interim.Unlock()
	p.call.Connect = time.Duration(p.dialed.Load())
	p.call.Backend = p.waited
	if p.probe != nil {
		p.probe.log(p, start, now, err)
	}
	if err != nil {
		p.fail(err)
		return
	}
	if p.timer != nil {
		p.body.unwatch()
	}
	p.call.FirstByte = now.Sub(p.call.Start)
	p.asked.Status = res.StatusCode
	defer res.Body.Close()
	if res.StatusCode == http.StatusSwitchingProtocols {
		p.switchProtocols(res)
		return
	}
	p.respond(res)
}

// end lets go of everything that belongs to the backend's call.
func (p *pass) end() {
	p.body.end()
	if p.timer != nil {
		p.timer.Stop()
	}
	p.endless()
	p.cancel(nil)
}

// endless stops the timer of Backend.TotalTimeout.
func (p *pass) endless() {
	if p.total != nil {
		p.total.Stop()
	}
}

// timedOut is what the timers of a Backend do.
func (p *pass) timedOut() {
	p.body.interrupt(p.w)
	p.cancel(errTimeout)
}

// request makes the outgoing call.
func (p *pass) request() *http.Request {
	p.ctx.Context, p.cancel = context.WithCancelCause(p.in.Context())
	p.ctx.pass = p
	p.trace.Got1xxResponse = p.passInterim
	if p.probe != nil {
		p.probe.hook(&p.trace)
	}
	out := p.in.WithContext(httptrace.WithClientTrace(&p.ctx, &p.trace))

	p.url = url.URL{Scheme: p.hop.Scheme, Host: p.hop.Host, Opaque: p.hop.Path, RawQuery: p.hop.Query, ForceQuery: p.hop.HasQuery}
	if p.url.Opaque == "" {
		p.url.Opaque = "/"
	}
	out.URL = &p.url
	if p.hop.Method != "" {
		out.Method = p.hop.Method
	}
	if !p.hop.Backend.PreserveHost {
		out.Host = p.hop.Host
	}
	for name, values := range p.hop.Header {
		if len(values) > 0 && http.CanonicalHeaderKey(name) == "Host" {
			out.Host = values[0]
		}
	}
	out.Header = p.requestHeader()
	out.RequestURI = ""
	out.Proto, out.ProtoMajor, out.ProtoMinor = "HTTP/1.1", 1, 1
	out.TransferEncoding = nil
	out.Close = false
	out.Trailer = nil
	out.TLS = nil
	out.Response = nil
	if p.in.Body == nil || p.in.Body == http.NoBody || p.in.ContentLength == 0 {
		out.Body, out.ContentLength = http.NoBody, 0
		return out
	}
	p.requestBody(out)
	return out
}

// requestBody gives out the incoming body and trailers.
func (p *pass) requestBody(out *http.Request) {
	b := &p.body
	b.src, b.ctx, b.limit, b.status, b.from = p.in.Body, p.in.Context(), p.MaxRequestBody, p.BodyStatus, p.in
	out.Body = b
	if p.in.ContentLength < 0 || len(p.in.Trailer) > 0 {
		// An empty map still lets trailers through that were not announced.
		out.Trailer = make(http.Header, len(p.in.Trailer))
		for name := range p.in.Trailer {
			if !forbiddenTrailer(name) {
				out.Trailer[name] = nil
			}
		}
		b.to = out
	}
	if p.in.ProtoMajor == 1 {
		// Without this net/http discards the rest of the request when the response begins,
		// while the transport still reads it, and answers are cut short. Other servers need not know it.
		_ = http.NewResponseController(p.w).EnableFullDuplex()
	}
}

// passInterim hands 103 Early Hints and the like to the client as they come. 100 Continue
// is the server's: it sends one when the body is first read.
func (p *pass) passInterim(code int, header textproto.MIMEHeader) error {
	p.interim.Lock()
	defer p.interim.Unlock()
	if p.answered || code == http.StatusContinue || code < 100 || code > 199 || !p.in.ProtoAtLeast(1, 1) {
		return nil
	}
	h := p.w.Header()
	kept := h.Clone()
	clear(h)
	p.copyResponseHeader(h, http.Header(header))
	if p.in.ProtoMajor > 1 {
		// When the client resets the stream, net/http's HTTP/2 server returns and goes on reading
		// the map, which crashes the process if it changes. It reads a copy, without this line of
		// it, if it has to leave one out.
		h["Content-Length"] = noLength
	}
	p.w.WriteHeader(code)
	clear(h)
	for name, values := range kept {
		h[name] = values
	}
	return nil
}
