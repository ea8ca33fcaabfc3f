package lambdahttp

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/tapway/tapway"
)

// Call is a request that came as an event.
type Call struct {
	// Request is as from a server: RequestURI is the target, Header has no Host, Body is never
	// nil, RemoteAddr is ClientIP with port 0 ("" when that is unknown), and TLS is not nil when
	// the client used HTTPS. Content-Length is that of the body as it came out of the event.
	// Its context holds the tapway.Facts and http.ServerContextKey.
	Request *http.Request

	// Facts are what the front tells, as in Request's context. The API of a load
	// balancer is its target group, without stage and request id.
	*tapway.Facts

	// ClientIP is the address that the front saw: from the request context, or behind a load
	// balancer the last of X-Forwarded-For. "" when there is none. It may be a proxy's.
	ClientIP string

	// Trace is the X-Amzn-Trace-Id header; "" if there is none.
	Trace string

	shape shape
	body  *eventBody // nil: the request has none
}

// server is what handlers find under http.ServerContextKey: code that breaks a response off
// by panicking with http.ErrAbortHandler only does so behind a server.
var server = new(http.Server)

type callContext struct{ context.Context }

func (c callContext) Value(key any) any {
	if key == http.ServerContextKey {
		return server
	}
	return c.Context.Value(key)
}

// Decode reads the event of any front. The error is an *EventError; it holds a Call as well.
// Nothing in the Call refers to event's memory. The context becomes that of the Request.
func Decode(ctx context.Context, data []byte) (*Call, error) { return decodeEvent(ctx, data, false) }

// decodeEvent is Decode; own lets it make the request's body in data.
func decodeEvent(ctx context.Context, data []byte, own bool) (*Call, error) {
	e := event{own: own}
	err := e.parse(data)
	shape := e.shape()
	c := &Call{shape: shape, Facts: &tapway.Facts{Front: shape.front()}}
	b := builder{event: &e, call: c}
	// What was understood so far is worth having even behind an error.
	what := b.build()
	switch {
	case err != nil && (!e.odd || shape != unknown): // else its values are as they should be for what it is
		what = err.Error()
	case shape == unknown:
		what = e.strange()
	}
	b.request.Body = b.body()
	if what == "" {
		what = b.problem
	}
	c.Request = b.request.WithContext(tapway.WithFacts(callContext{ctx}, c.Facts))
	if what != "" {
		return nil, &EventError{c, what}
	}
	return c, nil
}

// builder makes a request of an event.
type builder struct {
	*event
	call    *Call
	request http.Request
	problem string // the first
}

func (b *builder) wrong(what string) {
	if b.problem == "" {
		b.problem = what
	}
}

// lost notes what the front has destroyed.
func (b *builder) lost(word string) { b.call.Fidelity = append(b.call.Fidelity, word) }

// build makes everything but the body, and tells what is wrong.
func (b *builder) build() string {
	r, c := &b.request, &b.event.context
	r.Method = b.httpMethod
	proto := c.protocol
	if b.call.shape == httpAPI2 || b.call.shape == funcURL {
		r.Method, proto = c.method2, c.protocol2
	}
	if !isToken(r.Method) {
		b.wrong("the method is missing or not a token")
	}
	r.Proto, r.ProtoMajor, r.ProtoMinor = version(proto)
	b.header()
	b.target()
	b.client()
	b.api()
	return b.problem
}

// version reads a protocol such as "HTTP/1.1"; what is not known counts as that.
func version(proto string) (string, int, int) {
	switch proto {
	case "HTTP/1.0":
		return proto, 1, 0
	case "HTTP/2.0", "HTTP/2":
		return "HTTP/2.0", 2, 0
	case "HTTP/3.0", "HTTP/3":
		return "HTTP/3.0", 3, 0
	}
	return "HTTP/1.1", 1, 1
}

// target makes path and query.
func (b *builder) target() {
	r := &b.request
	path, query := b.clientPath(), b.clientQuery()
	if path == "" {
		path = "/"
	}
	r.URL = new(url.URL)
	r.RequestURI = path
	if query != "" {
		r.RequestURI = path + "?" + query
	}
	switch {
	case path == "*" && r.Method == http.MethodOptions:
		r.URL.Path = "*"
		return
	case path[0] != '/':
		b.wrong("the path is missing or does not begin with a slash")
		return
	}
	r.URL.RawQuery = query
	r.URL.Path = path
	if decoded, err := url.PathUnescape(path); err == nil {
		r.URL.Path = decoded
	}
	if r.URL.EscapedPath() != path {
		r.URL.RawPath = path
	}
}

// client says who called, and whether over TLS: load balancers alone serve plain HTTP.
func (b *builder) client() {
	r, call := &b.request, b.call
	ip := b.event.context.sourceIP
	if call.shape == restAPI {
		call.Facts.VPC, call.Facts.VPCEndpoint = b.event.context.vpc, b.event.context.vpcEndpoint
	}
	switch call.shape {
	case httpAPI2, funcURL:
		ip = b.event.context.source2
	case albSingle, albMulti:
		ip = ""
		if lines := r.Header["X-Forwarded-For"]; len(lines) > 0 {
			last := lines[len(lines)-1]
			ip = last[strings.LastIndexByte(last, ',')+1:]
		}
	}
	if addr := parseAddr(ip); addr.IsValid() {
		call.ClientIP = addr.String()
		r.RemoteAddr = net.JoinHostPort(call.ClientIP, "0")
	}
	if call.Front == tapway.FrontREST || call.Front == tapway.FrontHTTP {
		call.Facts.ClientCert = b.event.context.cert.fact()
	}
	secure := call.Front != tapway.FrontALB
	if v := r.Header["X-Forwarded-Proto"]; !secure && len(v) > 0 {
		secure = strings.EqualFold(v[len(v)-1], "https")
	}
	if secure {
		r.TLS = overTLS
	}
	if v := r.Header["X-Amzn-Trace-Id"]; len(v) > 0 {
		call.Trace = v[0]
	}
}

// overTLS stands for the client's connection, which ended at the front.
var overTLS = &tls.ConnectionState{HandshakeComplete: true}

// parseAddr reads an address with or without port and brackets.
func parseAddr(s string) netip.Addr {
	s = strings.Trim(s, " \t")
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	if err != nil {
		ap, _ := netip.ParseAddrPort(s)
		addr = ap.Addr()
	}
	return addr.WithZone("").Unmap()
}

func (b *builder) api() {
	c := &b.event.context
	switch b.call.Front {
	case "":
	case tapway.FrontALB:
		// arn:aws:elasticloadbalancing:REGION:ACCOUNT:targetgroup/NAME/ID
		if group := c.targetGroup; group != "" {
			b.call.API = &tapway.API{ID: group[strings.LastIndexByte(group, ':')+1:]}
		}
	default:
		b.call.API = &tapway.API{ID: c.apiID, Stage: c.stage, RequestID: c.requestID}
	}
}

// body makes the body and sets its length.
func (b *builder) body() io.ReadCloser {
	text, r := b.event.body, &b.request
	if b.base64 {
		decoded, err := decodeBase64(text)
		if err != nil {
			b.wrong("isBase64Encoded is true, but the body is not base64")
		}
		text = decoded
	} else if !b.ascii && bytes.Contains(text, []byte("\ufffd")) {
		b.lost(tapway.FidelityBodyEncoding)
	}
	r.ContentLength = int64(len(text))
	if len(text) > 0 {
		if length := strconv.Itoa(len(text)); r.Header.Get("Content-Length") != length {
			r.Header["Content-Length"] = []string{length}
		}
	} else if v := r.Header["Content-Length"]; v != nil && v[0] != "0" {
		delete(r.Header, "Content-Length")
	}
	delete(r.Header, "Transfer-Encoding") // the front has undone it
	if len(text) == 0 {
		return http.NoBody
	}
	b.call.body = &eventBody{rest: text}
	return b.call.body
}

// decodeBase64 takes base64 with and without padding.
func decodeBase64(text []byte) ([]byte, error) {
	out := make([]byte, base64.RawStdEncoding.DecodedLen(len(text))) // the larger of the two
	n, err := base64.StdEncoding.Decode(out, text)
	if err != nil {
		n, err = base64.RawStdEncoding.Decode(out, text)
	}
	if err != nil {
		return nil, errors.New("not base64")
	}
	return out[:n], nil
}

// eventBody is a body that is all there. A transport may read it on a goroutine of its own, which may outlive the handler.
type eventBody struct {
	mu   sync.Mutex
	rest []byte
	over bool
}

// Read tells of the end with the last bytes, which spares another call.
func (b *eventBody) Read(p []byte) (n int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return 0, http.ErrBodyReadAfterClose
	}
	n = copy(p, b.rest)
	if b.rest = b.rest[n:]; len(b.rest) == 0 {
		err = io.EOF
	}
	return n, err
}

func (*eventBody) Close() error { return nil }

// letGo makes sure that nobody reads the event's memory any more.
func (b *eventBody) letGo() {
	if b == nil {
		return
	}
	b.mu.Lock()
	b.rest, b.over = nil, true
	b.mu.Unlock()
}

// isToken reports whether s is a token (RFC 9110 §5.6.2): a method or a header name.
func isToken(s string) bool {
	for i := range len(s) {
		if c := s[i]; c >= utf8.RuneSelf || !tokenByte[c] {
			return false
		}
	}
	return s != ""
}

var tokenByte = func() (t [utf8.RuneSelf]bool) {
	for c := range t {
		t[c] = 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", byte(c)) >= 0
	}
	return t
}()
