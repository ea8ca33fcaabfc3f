package http1

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

var (
	errTransportH2    = errors.New("http1: the host speaks HTTP/2")
	errTransportNotH2 = errors.New("http1: the host does not speak HTTP/2 any more")
)

// transportDialed carries what became of a dial from the inner Transport's goroutine back to
// the caller's.
type transportDialed struct {
	mu   sync.Mutex
	done bool
	took time.Duration
	err  error
}

type transportDialedKey struct{}

// makeInner builds the Transport for HTTP/2. It speaks nothing else.
func (t *Transport) makeInner() {
	t.inner = &http.Transport{
		DialContext:            t.innerDial("http"),
		DialTLSContext:         t.innerDial("https"),
		DisableCompression:     true,
		ResponseHeaderTimeout:  t.ResponseHeaderTimeout,
		ExpectContinueTimeout:  t.expectTimeout(),
		IdleConnTimeout:        max(t.idleTimeout(), 0),
		MaxConnsPerHost:        t.MaxConnsPerHost,
		MaxResponseHeaderBytes: t.maxHeader(),
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second},
		Protocols:              new(http.Protocols),
	}
	t.inner.Protocols.SetHTTP2(true)
	t.inner.Protocols.SetUnencryptedHTTP2(true)
}

// innerDial gives the inner Transport its connections: one that take has found to be HTTP/2,
// or a new one.
func (t *Transport) innerDial(scheme string) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, _, addr string) (net.Conn, error) {
		key := transportKey{scheme, strings.ToLower(addr)}
		t.mu.Lock()
		known := t.hosts[key]
		t.mu.Unlock()
		if known != nil {
			if nc := t.takeHandoff(known); nc != nil {
				return nc, nil
			}
		}
		name, _, err := net.SplitHostPort(key.addr)
		if err != nil {
			return nil, err
		}
		start := time.Now()
		nc, state, err := t.connect(ctx, &transportHost{key: key, name: name}, nil, t.offer(false))
		if d, ok := ctx.Value(transportDialedKey{}).(*transportDialed); ok {
			d.mu.Lock()
			d.done, d.took, d.err = true, time.Since(start), err
			d.mu.Unlock()
		}
		if err == nil && state != nil && state.NegotiatedProtocol != "h2" {
			nc.Close()
			t.mu.Lock()
			if known != nil {
				known.h2 = false
			}
			t.mu.Unlock()
			return nil, errTransportNotH2
		}
		return nc, err
	}
}

func (t *Transport) keepHandoff(h *transportHost, nc net.Conn) {
	t.mu.Lock()
	h.h2 = true
	if h.handoff == nil {
		h.handoff, nc = nc, nil
	}
	t.mu.Unlock()
	if nc != nil {
		nc.Close()
	}
}

func (t *Transport) takeHandoff(h *transportHost) net.Conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	nc := h.handoff
	h.handoff = nil
	return nc
}

// roundTripH2 makes the call over HTTP/2, or over HTTP/1.1 after all if that is all the host
// speaks by now. The body has not been read.
func (t *Transport) roundTripH2(req *http.Request) (*http.Response, error) {
	t.innerOnce.Do(t.makeInner)
	ctx := req.Context()
	var dialed *transportDialed
	if t.Dialed != nil {
		dialed = &transportDialed{}
		ctx = context.WithValue(ctx, transportDialedKey{}, dialed)
	}
	out := req.WithContext(ctx)
	if _, ok := req.Header["User-Agent"]; !ok {
		out.Header = make(http.Header, len(req.Header)+1)
		for name, values := range req.Header {
			out.Header[name] = values
		}
		out.Header["User-Agent"] = nil // present and empty: net/http adds none
	}
	if strings.HasPrefix(req.URL.Opaque, "//") {
		u := *req.URL
		host := req.Host
		if host == "" {
			host = u.Host
		}
		u.Opaque = "//" + host + u.Opaque // net/http takes scheme and host off again
		out.URL = &u
	}
	var body *transportH2Body
	if req.Body != nil && req.Body != http.NoBody {
		body = &transportH2Body{rc: req.Body, held: true}
		out.Body = body
	}
	resp, err := t.inner.RoundTrip(out)
	t.dropHandoff(req)
	if dialed != nil {
		dialed.mu.Lock()
		done, took, derr := dialed.done, dialed.took, dialed.err
		dialed.mu.Unlock()
		if done {
			t.Dialed(req.Context(), took, derr)
		}
	}
	if errors.Is(err, errTransportNotH2) && (body == nil || !body.wasRead()) {
		return t.RoundTrip(req)
	}
	body.release()
	if err != nil {
		return nil, t.h2Error(req, err)
	}
	resp.Request = req
	if t.BodyIdleTimeout > 0 && resp.Body != http.NoBody {
		resp.Body = &transportIdleBody{ReadCloser: resp.Body, limit: t.BodyIdleTimeout}
	}
	return resp, nil
}

// dropHandoff closes a connection that the inner Transport turned out not to need.
func (t *Transport) dropHandoff(req *http.Request) {
	if req.URL.Scheme != "https" {
		return
	}
	t.mu.Lock()
	h := t.hostLocked(req.URL)
	nc := h.handoff
	h.handoff = nil
	t.mu.Unlock()
	if nc != nil {
		nc.Close()
	}
}

func (t *Transport) h2Error(req *http.Request, err error) error {
	if req.Context().Err() != nil {
		return clientContextError(req.Context())
	}
	if transportIsTimeout(err) && !errors.Is(err, ErrConnectTimeout) {
		return ErrResponseHeaderTimeout // the only one the inner Transport has
	}
	return err
}

// transportH2Body keeps a request body open until it is certain that the inner Transport
// makes the call: it closes the body even when it could not connect.
type transportH2Body struct {
	rc     io.ReadCloser
	mu     sync.Mutex
	held   bool
	closed bool
	read   bool
}

func (b *transportH2Body) Read(p []byte) (int, error) {
	b.mu.Lock()
	b.read = true
	b.mu.Unlock()
	return b.rc.Read(p)
}

func (b *transportH2Body) wasRead() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.read
}

func (b *transportH2Body) Close() error {
	b.mu.Lock()
	now := !b.held && !b.closed
	b.closed = true
	b.mu.Unlock()
	if now {
		return b.rc.Close()
	}
	return nil
}

// release lets a Close through, also one that came before.
func (b *transportH2Body) release() {
	if b == nil {
		return
	}
	b.mu.Lock()
	now := b.held && b.closed
	b.held = false
	b.mu.Unlock()
	if now {
		b.rc.Close()
	}
}

// transportIdleBody ends a body that brings nothing for too long.
type transportIdleBody struct {
	io.ReadCloser
	limit time.Duration
	late  bool // the limit has struck
}

func (b *transportIdleBody) Read(p []byte) (int, error) {
	timer := time.AfterFunc(b.limit, func() { b.ReadCloser.Close() })
	n, err := b.ReadCloser.Read(p)
	b.late = !timer.Stop() || b.late
	if b.late && err != nil && err != io.EOF {
		err = ErrBodyIdleTimeout
	}
	return n, err
}
