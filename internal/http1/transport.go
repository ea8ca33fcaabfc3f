package http1

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"time"
)

const (
	transportMaxIdlePerHost = 256
	transportIdleTimeout    = 90 * time.Second
	transportMaxHeader      = 256 << 10
	transportExpectTimeout  = time.Second
	transportMaxInterim     = 1000     // 1xx responses to one request: 102 comes every few seconds for as long as the backend works
	transportSmallBody      = 64 << 10 // request bodies up to this size are sent by the caller itself
)

// Transport is an http.RoundTripper to backends over HTTP/1.1, plain and TLS. A call runs on
// the caller's goroutine from dialling to the last body byte; only a request body that is
// large or of unknown length is sent by a second goroutine, so that early responses and
// streams in both directions work. The zero value is ready to use; it must not be copied,
// and its fields must not change once it is in use.
//
// It passes on what it is given: no header is added but Host and the body's framing, nothing
// is decompressed, no redirect is followed, no proxy is asked. CONNECT is refused.
//
// URL.Opaque that starts with "/" is the request target exactly as written, even when it
// starts with "//"; other URLs are written as URL.RequestURI has them. A target with white
// space or a control character is refused. HTTP/2 carries the same targets, with two limits
// of the standard library: header names travel in lower case, and header names and values
// that RFC 9113 forbids are refused instead of cleaned.
//
// A call may fail with a *ProtocolError (the backend broke HTTP; its Status is 502), with one
// of the timeout errors below, with the context's error, or with what the network reported.
type Transport struct {
	// DialContext makes TCP connections; nil is a net.Dialer's.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)
	// TLSConfig is cloned for every connection. An empty ServerName becomes the URL's host;
	// NextProtos is always replaced.
	TLSConfig *tls.Config
	// HTTP2 offers h2 by ALPN over TLS. A host that picks it is served by an inner
	// http.Transport from then on. Requests with an Upgrade header stay with HTTP/1.1.
	HTTP2 bool
	// H2C speaks HTTP/2 with prior knowledge to http:// hosts.
	H2C bool

	ConnectTimeout        time.Duration // TCP and TLS together; 0: none
	ResponseHeaderTimeout time.Duration // from the request written to the end of the final response's header; 0: none
	BodyIdleTimeout       time.Duration // longest wait for more of a response body; 0: none; not for upgraded connections
	ExpectContinueTimeout time.Duration // how long Expect: 100-continue holds the body back; 0: 1 s
	IdleConnTimeout       time.Duration // 0: 90 s; negative: no limit

	MaxIdlePerHost         int   // 0: 256; negative: every connection is closed after its call
	MaxConnsPerHost        int   // callers beyond it wait; 0: no limit
	MaxResponseHeaderBytes int64 // all response headers of a call together, 1xx included; 0: 256 KiB

	// Dialed is called on the caller's goroutine after a connection was, or was not, made for
	// the request, TLS included. A call that took an idle connection does not call it.
	Dialed func(ctx context.Context, took time.Duration, err error)

	mu      sync.Mutex
	hosts   map[transportKey]*transportHost
	aliases map[transportKey]*transportHost // by the URL's spelling of the host, to spare work
	idle    int                             // idle connections in all
	sweeper *time.Timer                     // nil while no connection is idle

	innerOnce sync.Once
	inner     *http.Transport // HTTP/2
}

type transportTimeout struct{ what string }

func (e *transportTimeout) Error() string { return "http1: timeout " + e.what }
func (e *transportTimeout) Timeout() bool { return true }

// Temporary completes net.Error.
func (e *transportTimeout) Temporary() bool { return true }

// The timeouts of a call, for errors.Is. They are net.Errors and give true for Timeout.
var (
	ErrConnectTimeout        error = &transportTimeout{"connecting to the backend"}
	ErrResponseHeaderTimeout error = &transportTimeout{"waiting for the response header"}
	ErrBodyIdleTimeout       error = &transportTimeout{"waiting for more of the response body"}
)

// RoundTrip sends req and returns the response as soon as its header has been read. The
// caller reads Body to its end or closes it; only a body read to its end gives the connection
// back for reuse. RoundTrip never modifies req and always closes req.Body, if need be in the
// background and while a Read on it is under way, to end that Read.
//
// When req's context is done, the call ends at once with the context's error, and so does a
// Read of the response body. The body of a 101 response is an io.ReadWriteCloser over the
// connection (with CloseWrite where the connection has it), and lives until it is closed,
// whatever becomes of the context, as with net/http.
//
// A request is sent again, once and on a fresh connection, if an idle connection turned out
// to be closed before any byte of an answer: when nothing of it had been written, or when its
// method is idempotent (RFC 9110 §9.2.2) or it has an Idempotency-Key header, and as long as
// its body was not read yet or GetBody can give it again.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	plan, err := clientPlanFor(req)
	if err != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, err
	}
	if t.H2C && req.URL.Scheme == "http" && !plan.upgrade {
		return t.roundTripH2(req)
	}
	var source *clientSource
	if plan.body != clientNoBody {
		source = &clientSource{rc: req.Body}
		plan.expect = plan.expect && !source.hasCome()
	} else if req.Body != nil {
		req.Body.Close()
	}
	trace := httptrace.ContextClientTrace(req.Context())
	for fresh := false; ; fresh = true {
		cc, err := t.take(req, trace, fresh, plan.upgrade)
		if errors.Is(err, errTransportH2) {
			return t.roundTripH2(req)
		}
		if err != nil {
			source.close()
			return nil, err
		}
		c := &clientCall{t: t, cc: cc, req: req, plan: plan, source: source, trace: trace}
		resp, err := c.do()
		if err == nil {
			return resp, nil
		}
		again, ok := source, false
		if !fresh && c.retry {
			again, ok = source.rewind(req)
		}
		if !ok {
			source.close()
			return nil, err
		}
		source = again
	}
}

// CloseIdleConnections closes the connections that no call uses at the moment.
func (t *Transport) CloseIdleConnections() {
	t.mu.Lock()
	var idle []*clientConn
	for _, h := range t.hosts {
		idle = append(idle, h.idle...)
		h.idle = nil
	}
	t.idle = 0
	if t.sweeper != nil {
		t.sweeper.Stop()
		t.sweeper = nil
	}
	t.mu.Unlock()
	for _, cc := range idle {
		cc.close()
	}
	t.innerOnce.Do(t.makeInner)
	t.inner.CloseIdleConnections()
}

// clientPlan is what a request needs, settled before anything is dialled.
type clientPlan struct {
	host    string // the Host header
	body    clientBodyKind
	length  int64 // of a body of known length
	expect  bool  // wait for 100 before the body
	upgrade bool  // only HTTP/1.1 will do
	close   bool  // the request says the connection ends with it
}

type clientBodyKind uint8

const (
	clientNoBody  clientBodyKind = iota
	clientSmall                  // known length, sent by the caller
	clientLarge                  // known length, sent by a second goroutine
	clientChunked                // unknown length, likewise
)

func clientPlanFor(req *http.Request) (clientPlan, error) {
	var p clientPlan
	u := req.URL
	switch {
	case u == nil || u.Host == "":
		return p, errors.New("http1: the request has no host")
	case u.Scheme != "http" && u.Scheme != "https":
		return p, fmt.Errorf("http1: unsupported scheme %q", u.Scheme)
	case req.Method != "" && !validName(req.Method):
		return p, errors.New("http1: the method is not a token")
	case req.Method == http.MethodConnect:
		return p, errors.New("http1: CONNECT is not supported")
	case !transportValidTarget(u):
		return p, errors.New("http1: white space or a control character in the request target")
	}
	p.host = req.Host
	if p.host == "" {
		p.host = u.Host
	}
	for i := range len(p.host) {
		if c := p.host[i]; c <= ' ' || c >= 0x7f {
			return p, errors.New("http1: the host is not plain ASCII (write it in Punycode)")
		}
	}
	for name := range req.Trailer {
		if transportSkip(name) {
			return p, fmt.Errorf("http1: %s may not be a trailer", name)
		}
	}
	p.upgrade = len(req.Header["Upgrade"]) > 0
	p.close = req.Close || transportHasToken(req.Header["Connection"], "close")
	if req.Body == nil || req.Body == http.NoBody {
		if req.Body == nil && req.ContentLength > 0 {
			return p, fmt.Errorf("http1: ContentLength is %d but there is no Body", req.ContentLength)
		}
		return p, nil
	}
	p.length = req.ContentLength
	switch chunked := len(req.TransferEncoding) > 0 && req.TransferEncoding[0] == "chunked"; {
	case chunked || p.length <= 0:
		p.body = clientChunked
	case p.length <= transportSmallBody:
		p.body = clientSmall
	default:
		p.body = clientLarge
	}
	p.expect = len(req.Header["Expect"]) > 0 && transportHasToken(req.Header["Expect"], "100-continue")
	return p, nil
}

// transportValidTarget keeps a target from ending the request line early.
func transportValidTarget(u *url.URL) bool {
	for _, s := range [...]string{u.Opaque, u.RawQuery} {
		for i := range len(s) {
			if s[i] <= ' ' || s[i] == 0x7f {
				return false
			}
		}
	}
	return true // URL.EscapedPath escapes what must not stand in a path
}
