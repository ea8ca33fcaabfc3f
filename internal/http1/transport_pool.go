package http1

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	transportMaxHosts   = 1024 // above it hosts without connections are forgotten
	transportSweepEvery = 15 * time.Second
)

// transportKey names a host: scheme and "host:port" in lower case, or as a URL spells it.
type transportKey struct{ scheme, addr string }

// transportHost is the connections to one host. Transport.mu guards it.
type transportHost struct {
	key      transportKey
	name     string // without the port, for TLS
	idle     []*clientConn
	live     int // connections in all: idle, in use, being dialled
	waiters  []chan *clientConn
	h2       bool // the host picked HTTP/2
	patience patience
	handoff  net.Conn // an HTTP/2 connection for the inner Transport
	spelled  []transportKey
}

// take gives a connection for req: the one that was idle shortest, or a new one if there is
// none or fresh is set. errTransportH2 says that HTTP/2 serves this host.
func (t *Transport) take(req *http.Request, trace *httptrace.ClientTrace, fresh, only1 bool) (*clientConn, error) {
	ctx := req.Context()
	if err := ctx.Err(); err != nil {
		return nil, clientContextError(ctx)
	}
	first := trace != nil && trace.GetConn != nil
	for {
		t.mu.Lock()
		h := t.hostLocked(req.URL)
		if h.h2 && !only1 {
			t.mu.Unlock()
			return nil, errTransportH2
		}
		if first {
			first = false
			t.mu.Unlock()
			trace.GetConn(h.key.addr)
			continue
		}
		if n := len(h.idle); n > 0 && !fresh {
			cc := h.idle[n-1]
			h.idle[n-1] = nil
			h.idle = h.idle[:n-1]
			t.idle--
			t.mu.Unlock()
			if t.usable(cc, trace) {
				return cc, nil
			}
			continue
		}
		if t.MaxConnsPerHost <= 0 || h.live < t.MaxConnsPerHost {
			h.live++
			t.mu.Unlock()
			return t.dialFor(ctx, h, trace, only1)
		}
		if fresh && t.dropIdleLocked(h) {
			continue // it unlocked
		}
		granted := make(chan *clientConn, 1)
		h.waiters = append(h.waiters, granted)
		t.mu.Unlock()
		select {
		case cc := <-granted:
			if cc == nil {
				return t.dialFor(ctx, h, trace, only1)
			}
			if t.usable(cc, trace) {
				return cc, nil
			}
		case <-ctx.Done():
			t.giveUp(h, granted)
			return nil, clientContextError(ctx)
		}
	}
}

// dropIdleLocked closes an idle connection to make room for a fresh one; it unlocks if it did.
func (t *Transport) dropIdleLocked(h *transportHost) bool {
	if len(h.idle) == 0 {
		return false
	}
	cc := h.idle[0]
	h.idle = slices.Delete(h.idle, 0, 1)
	t.idle--
	t.mu.Unlock()
	cc.close()
	return true
}

// usable checks an idle connection that was taken out, and closes it if it is not.
func (t *Transport) usable(cc *clientConn, trace *httptrace.ClientTrace) bool {
	now := time.Now()
	cc.idleFor = now.Sub(cc.idleSince)
	if limit := cc.idleLimit(); limit > 0 && cc.idleFor >= limit {
		cc.close()
		return false
	}
	p := &cc.host.patience
	if !cc.alive() {
		p.saw(cc.idleFor, cc.nc.RemoteAddr())
		cc.close()
		return false
	}
	if limit := p.limit(now); limit > 0 && cc.idleFor >= limit && !p.doubt(cc.idleFor, cc.nc.RemoteAddr()) {
		cc.close()
		return false
	}
	cc.reused = true
	if trace != nil && trace.GotConn != nil {
		trace.GotConn(httptrace.GotConnInfo{Conn: cc.nc, Reused: true, WasIdle: true, IdleTime: cc.idleFor})
	}
	return true
}

// giveUp takes a waiter out of the queue, and passes on what it may have been granted.
func (t *Transport) giveUp(h *transportHost, granted chan *clientConn) {
	t.mu.Lock()
	if i := slices.Index(h.waiters, granted); i >= 0 {
		h.waiters = slices.Delete(h.waiters, i, i+1)
		t.mu.Unlock()
		return
	}
	t.mu.Unlock()
	if cc := <-granted; cc != nil {
		t.putIdle(cc)
	} else {
		t.forget(h)
	}
}

// putIdle hands a connection to whoever waits for one, or keeps it.
func (t *Transport) putIdle(cc *clientConn) {
	cc.idleSince = time.Now()
	limit := t.MaxIdlePerHost
	if limit == 0 {
		limit = transportMaxIdlePerHost
	}
	t.mu.Lock()
	h := cc.host
	if len(h.waiters) > 0 {
		h.waiters[0] <- cc
		h.waiters = slices.Delete(h.waiters, 0, 1)
		t.mu.Unlock()
		return
	}
	if len(h.idle) >= limit {
		t.mu.Unlock()
		cc.close()
		return
	}
	h.idle = append(h.idle, cc)
	t.idle++
	if t.sweeper == nil {
		t.sweeper = time.AfterFunc(t.sweepInterval(), t.sweep)
	}
	t.mu.Unlock()
}

// forget frees the place of a connection that is no more.
func (t *Transport) forget(h *transportHost) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(h.waiters) > 0 {
		h.waiters[0] <- nil
		h.waiters = slices.Delete(h.waiters, 0, 1)
		return
	}
	h.live--
	if h.live == 0 && !h.h2 && h.patience.limit(time.Now()) == 0 {
		t.dropHostLocked(h)
	}
}

func (t *Transport) dropHostLocked(h *transportHost) {
	delete(t.hosts, h.key)
	for _, k := range h.spelled {
		delete(t.aliases, k)
	}
	h.spelled = nil
}

// hostLocked finds or makes the host of a URL.
func (t *Transport) hostLocked(u *url.URL) *transportHost {
	spelled := transportKey{u.Scheme, u.Host}
	if h := t.aliases[spelled]; h != nil {
		return h
	}
	name, port := strings.ToLower(u.Hostname()), u.Port()
	if port == "" {
		port = "80"
		if u.Scheme == "https" {
			port = "443"
		}
	}
	key := transportKey{u.Scheme, net.JoinHostPort(name, port)}
	h := t.hosts[key]
	if h == nil {
		if t.hosts == nil {
			t.hosts = map[transportKey]*transportHost{}
			t.aliases = map[transportKey]*transportHost{}
		}
		if len(t.hosts) >= transportMaxHosts {
			for _, old := range t.hosts {
				if old.live == 0 && old.handoff == nil {
					t.dropHostLocked(old)
				}
			}
		}
		h = &transportHost{key: key, name: name}
		t.hosts[key] = h
	}
	if len(h.spelled) < 8 {
		h.spelled = append(h.spelled, spelled)
		t.aliases[spelled] = h
	}
	return h
}

func (t *Transport) idleTimeout() time.Duration {
	if t.IdleConnTimeout == 0 {
		return transportIdleTimeout
	}
	return t.IdleConnTimeout
}

func (t *Transport) sweepInterval() time.Duration {
	if limit := t.idleTimeout(); limit > 0 {
		return max(min(limit/2, transportSweepEvery), time.Millisecond)
	}
	return transportSweepEvery
}

// sweep closes idle connections that are too old or that the backend has closed. It comes
// again as long as there are idle connections.
func (t *Transport) sweep() {
	now := time.Now()
	var dead []*clientConn
	t.mu.Lock()
	for _, h := range t.hosts {
		h.idle = slices.DeleteFunc(h.idle, func(cc *clientConn) bool {
			age, limit := now.Sub(cc.idleSince), cc.idleLimit()
			gone := limit > 0 && age >= limit
			// What was learnt of the host's limit is for take, and this is how it is found to be wrong.
			if !gone && cc.sock != nil {
				if cc.alive() {
					h.patience.doubt(age, cc.nc.RemoteAddr())
				} else {
					gone = true
					h.patience.saw(age, cc.nc.RemoteAddr())
				}
			}
			if gone {
				dead = append(dead, cc)
			}
			return gone
		})
	}
	t.idle -= len(dead)
	if t.sweeper != nil {
		if t.idle > 0 {
			t.sweeper.Reset(t.sweepInterval())
		} else {
			t.sweeper = nil
		}
	}
	t.mu.Unlock()
	for _, cc := range dead {
		cc.close()
	}
}

// clientContextError is the error of a context that is done; it is also its cause.
func clientContextError(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if cause == nil || errors.Is(cause, err) {
		if cause != nil {
			return cause
		}
		return err
	}
	return fmt.Errorf("%w: %w", err, cause)
}
