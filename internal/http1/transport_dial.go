package http1

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http/httptrace"
	"time"
)

var transportDialer net.Dialer

// dialFor makes the connection whose place in h has been taken, and gives the place back if
// there is none: after a failure, or because the host picked HTTP/2 (errTransportH2).
func (t *Transport) dialFor(ctx context.Context, h *transportHost, trace *httptrace.ClientTrace, only1 bool) (*clientConn, error) {
	t.mu.Lock()
	h2 := h.h2 && !only1 // found out while this caller waited for its place
	t.mu.Unlock()
	if h2 {
		t.forget(h)
		return nil, errTransportH2
	}
	start := time.Now()
	nc, state, err := t.connect(ctx, h, trace, t.offer(only1))
	if t.Dialed != nil {
		t.Dialed(ctx, time.Since(start), err)
	}
	if err != nil {
		t.forget(h)
		return nil, err
	}
	if state != nil && state.NegotiatedProtocol == "h2" {
		t.keepHandoff(h, nc)
		t.forget(h)
		return nil, errTransportH2
	}
	if trace != nil && trace.GotConn != nil {
		trace.GotConn(httptrace.GotConnInfo{Conn: nc})
	}
	return newClientConn(t, h, nc, state), nil
}

func (t *Transport) offer(only1 bool) []string {
	if t.HTTP2 && !only1 {
		return []string{"h2", "http/1.1"}
	}
	return []string{"http/1.1"}
}

// connect dials h, TLS included, within ConnectTimeout.
func (t *Transport) connect(ctx context.Context, h *transportHost, trace *httptrace.ClientTrace, protos []string) (net.Conn, *tls.ConnectionState, error) {
	limited := ctx
	if t.ConnectTimeout > 0 {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeout(ctx, t.ConnectTimeout)
		defer cancel()
	}
	dial := t.DialContext
	if dial == nil {
		dial = transportDialer.DialContext
	}
	nc, err := dial(limited, "tcp", h.key.addr)
	if err != nil {
		return nil, nil, transportDialError(ctx, limited, err)
	}
	if h.key.scheme != "https" {
		return nc, nil, nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.TLSConfig != nil {
		cfg = t.TLSConfig.Clone()
	}
	if cfg.ServerName == "" {
		cfg.ServerName = h.name
	}
	cfg.NextProtos = protos
	tc := tls.Client(nc, cfg)
	if trace != nil && trace.TLSHandshakeStart != nil {
		trace.TLSHandshakeStart()
	}
	err = tc.HandshakeContext(limited)
	state := tc.ConnectionState()
	if trace != nil && trace.TLSHandshakeDone != nil {
		trace.TLSHandshakeDone(state, err)
	}
	if err != nil {
		nc.Close()
		return nil, nil, transportDialError(ctx, limited, err)
	}
	return tc, &state, nil
}

// transportDialError tells a caller who left from a backend that is too slow. The network may
// notice a context's deadline a moment before the context does.
func transportDialError(ctx, limited context.Context, err error) error {
	if at, ok := ctx.Deadline(); ok && ctx.Done() != nil && time.Until(at) <= 0 {
		<-ctx.Done()
	}
	switch {
	case ctx.Err() != nil:
		return clientContextError(ctx)
	case limited.Err() != nil:
		return ErrConnectTimeout
	case transportIsTimeout(err):
		return fmt.Errorf("%w: %w", ErrConnectTimeout, err)
	}
	return fmt.Errorf("http1: connect: %w", err)
}
