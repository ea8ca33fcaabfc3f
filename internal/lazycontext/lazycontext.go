// Package lazycontext is a context that costs nothing until somebody waits for its end.
//
// What a newcomer gets wrong: that an unused context.WithCancel is free. It allocates, hangs itself on its parent, and with a
// deadline starts a timer; a server makes one for each call, and few calls ever look. Here the real context is made by
// the first Done. Value leads the context package to it, so that children are attached to that directly, and not by a goroutine
// each as to a foreign context.
package lazycontext

import (
	"cmp"
	"context"
	"sync"
	"time"
)

// Context is a context.Context that is a part of something larger, which sets its fields before anybody sees it. It must
// not be copied.
type Context struct {
	Base context.Context // its parent
	End  time.Time       // its deadline, no later than Base's; zero: Base's

	mu    sync.Mutex
	inner context.Context // nil until Done is called
	stop  context.CancelFunc
	over  error // why it has ended; nil before Cancel
}

// Deadline is context.Context's.
func (c *Context) Deadline() (time.Time, bool) {
	if c.End.IsZero() {
		return c.Base.Deadline()
	}
	return c.End, true
}

// Done is context.Context's. The first one makes what others wait for.
func (c *Context) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inner == nil {
		if c.End.IsZero() {
			c.inner, c.stop = context.WithCancel(c.Base)
		} else {
			c.inner, c.stop = context.WithDeadline(c.Base, c.End)
		}
		if c.over != nil {
			c.stop()
		}
	}
	return c.inner.Done()
}

// Err is context.Context's.
func (c *Context) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.inner != nil:
		return c.inner.Err()
	case c.over != nil:
		return c.over
	}
	return c.ended()
}

// ended is why it ended of itself; nil if it did not.
func (c *Context) ended() error {
	if !c.End.IsZero() && !time.Now().Before(c.End) {
		return context.DeadlineExceeded
	}
	return c.Base.Err()
}

// Value is context.Context's. What the context is a part of may know more, and should ask here last.
func (c *Context) Value(key any) any {
	c.mu.Lock()
	ctx := c.inner
	c.mu.Unlock()
	if ctx == nil {
		ctx = c.Base
	}
	return ctx.Value(key)
}

// Asked reports whether anybody has called Done, and may still hold what it gave.
func (c *Context) Asked() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.inner != nil
}

// Cancel ends the context. Calls after the first do nothing.
func (c *Context) Cancel() {
	c.mu.Lock()
	if c.over == nil {
		c.over = cmp.Or(c.ended(), context.Canceled)
	}
	stop := c.stop
	c.mu.Unlock()
	if stop != nil {
		stop()
	}
}
