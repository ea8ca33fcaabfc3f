package http1

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// requestContext is a request's context, part of the request's one allocation. A real
// cancellable context stands behind it from the first Done on, so that a handler that never
// asks does not pay for it, and Value leads the context package to it, so that children are
// attached to it directly instead of by a goroutine each.
type requestContext struct {
	base context.Context
	conn *serverConn

	key, value any // by Attach

	mu    sync.Mutex
	inner context.Context // nil until Done is called
	stop  context.CancelFunc
	over  bool
}

func (c *requestContext) Deadline() (time.Time, bool) { return c.base.Deadline() }

func (c *requestContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inner == nil {
		c.inner, c.stop = context.WithCancel(c.base)
		if c.over {
			c.stop()
		}
	}
	return c.inner.Done()
}

func (c *requestContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inner != nil {
		return c.inner.Err()
	}
	if c.over {
		return context.Canceled
	}
	return c.base.Err()
}

// Attach makes value what Value gives for key. It is for whoever sees the request first, before
// the context is anybody else's, and works once.
func (c *requestContext) Attach(key, value any) bool {
	if c.key != nil || key == nil {
		return false
	}
	c.key, c.value = key, value
	return true
}

func (c *requestContext) Value(key any) any {
	if c.key != nil && key == c.key {
		return c.value
	}
	switch key {
	case http.ServerContextKey:
		return c.conn.server.h2
	case http.LocalAddrContextKey:
		return c.conn.local
	}
	c.mu.Lock()
	ctx := c.inner
	c.mu.Unlock()
	if ctx == nil {
		ctx = c.base
	}
	return ctx.Value(key)
}

func (c *requestContext) String() string { return "http1.requestContext" }

// cancel ends the context. Calls after the first do nothing.
func (c *requestContext) cancel() {
	c.mu.Lock()
	c.over = true
	stop := c.stop
	c.mu.Unlock()
	if stop != nil {
		stop()
	}
}
