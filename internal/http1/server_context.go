package http1

import (
	"net/http"

	"github.com/tapway/tapway/internal/lazycontext"
)

// requestContext is a request's context, part of the request's one allocation.
type requestContext struct {
	lazycontext.Context
	conn *serverConn

	key, value any // by Attach
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
	return c.Context.Value(key)
}

func (c *requestContext) String() string { return "http1.requestContext" }
