package capture

import (
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/tapway/tapway"
)

// requestBody tees what the next stage reads. It reads nothing itself: a body that nobody
// asked for is not captured. It may be read on another goroutine, and still be when the call
// has ended: what that read gets is not captured, and later ones get nothing.
type requestBody struct {
	call *call
	src  io.ReadCloser

	mu      sync.Mutex
	over    bool // the exchange has been taken: call.scratch is no longer ours
	eof     bool
	blocked time.Duration // spent waiting for the client
}

func (b *requestBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	over := b.over
	b.mu.Unlock()
	if over {
		return 0, http.ErrBodyReadAfterClose // the connection may be at its next request
	}
	start := b.call.since()
	n, err := b.src.Read(p)
	took := b.call.since() - start

	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return n, err
	}
	b.blocked += took
	b.call.request.add(p[:n])
	if err == io.EOF && !b.eof {
		b.eof = true
		if b.call.req.Trailer == nil {
			b.call.req.Trailer = b.call.in.Trailer // unannounced ones appear on the server's request only
		}
		b.call.ex.RequestTrailer = b.call.ex.RequestTrailer.AppendHTTP(b.call.in.Trailer)
	}
	return n, err
}

func (b *requestBody) Close() error { return b.src.Close() }

// Buffered is how many bytes a Read would not have to wait for, if the server tells.
func (b *requestBody) Buffered() int {
	if src, ok := b.src.(interface{ Buffered() int }); ok {
		return src.Buffered()
	}
	return 0
}

// end stops the capture and tells how long the client was waited for.
func (b *requestBody) end() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = true
	return b.blocked
}

// hasBody reports whether a request announces a body.
func hasBody(r *http.Request) bool {
	return r.Body != nil && r.Body != http.NoBody && r.ContentLength != 0
}

// takeRequest writes what can be said of a call before anyone has read from it.
func takeRequest(ex *tapway.Exchange, r *http.Request) {
	ex.From, ex.Method, ex.Proto = r.Host, r.Method, r.Proto
	ex.Path, ex.Query = target(r)
	ex.TraceID = traceID(r.Header)
	h := ex.RequestHeader.AppendHTTP(r.Header)
	// net/http keeps these apart from the other headers.
	if len(r.TransferEncoding) > 0 {
		h = append(h, tapway.Field{Name: "Transfer-Encoding", Value: strings.Join(r.TransferEncoding, ", ")})
	}
	for name := range r.Trailer {
		h = append(h, tapway.Field{Name: "Trailer", Value: name})
	}
	ex.RequestHeader = h
}

// target gives the path and query as the client sent them, of any of the four forms of a
// request target (RFC 9112 §3.2).
func target(r *http.Request) (path, query string) {
	uri := r.RequestURI
	if uri == "" { // not from a server
		return r.URL.EscapedPath(), r.URL.RawQuery
	}
	if uri[0] != '/' && r.Method != http.MethodConnect {
		if scheme, rest, ok := strings.Cut(uri, "://"); ok && !strings.ContainsAny(scheme, "/?") {
			if at := strings.IndexAny(rest, "/?"); at < 0 {
				uri = "/"
			} else if uri = rest[at:]; uri[0] == '?' {
				return "/", uri[1:]
			}
		}
	}
	path, query, _ = strings.Cut(uri, "?")
	return path, query
}

// traceID gives the trace of W3C's traceparent, else the root of AWS's X-Amzn-Trace-Id, as 32
// hex digits.
func traceID(h http.Header) string {
	if v := h["Traceparent"]; len(v) == 1 && len(v[0]) >= 55 && v[0][2] == '-' && v[0][35] == '-' {
		if id := v[0][3:35]; isHex(id) && strings.Trim(id, "0") != "" {
			return id
		}
	}
	for _, line := range h["X-Amzn-Trace-Id"] {
		for part := range strings.SplitSeq(line, ";") {
			root, ok := strings.CutPrefix(strings.TrimSpace(part), "Root=1-")
			if ok && len(root) == 33 && root[8] == '-' && isHex(root[:8]) && isHex(root[9:]) {
				return root[:8] + root[9:]
			}
		}
	}
	return ""
}

// isHex reports whether s is lower-case hex digits.
func isHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// remoteIP is the address of the connection, for when no stage has told the client's.
func remoteIP(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	return host
}
