package lambdaruntime

import (
	"cmp"
	"context"
	"sync"
	"time"
)

// callContext is the context of one invocation. No timer runs for its deadline, and nothing is allocated for it, until somebody
// asks for Done: most work in Reply.After never does. Value leads the context package to the real context
// behind it, so that children are attached to that and not by a goroutine each.
type callContext struct {
	base     context.Context // it never ends
	deadline time.Time       // zero: none
	trace    string

	mu    sync.Mutex
	inner context.Context // nil until Done is called
	stop  context.CancelFunc
	over  error // why it has ended; nil before cancel
}

func (c *callContext) Deadline() (time.Time, bool) { return c.deadline, !c.deadline.IsZero() }

func (c *callContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inner == nil {
		if c.deadline.IsZero() {
			c.inner, c.stop = context.WithCancel(c.base)
		} else {
			c.inner, c.stop = context.WithDeadline(c.base, c.deadline)
		}
		if c.over != nil {
			c.stop()
		}
	}
	return c.inner.Done()
}

func (c *callContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.inner != nil:
		return c.inner.Err()
	case c.over != nil:
		return c.over
	}
	return c.late()
}

// late is the deadline's error if it has passed.
func (c *callContext) late() error {
	if !c.deadline.IsZero() && !time.Now().Before(c.deadline) {
		return context.DeadlineExceeded
	}
	return nil
}

func (c *callContext) Value(key any) any {
	if key == (traceKey{}) {
		return c.trace
	}
	c.mu.Lock()
	ctx := c.inner
	c.mu.Unlock()
	if ctx == nil {
		ctx = c.base
	}
	return ctx.Value(key)
}

func (c *callContext) String() string { return "lambdaruntime.callContext" }

// cancel ends the context. Calls after the first do nothing.
func (c *callContext) cancel() {
	c.mu.Lock()
	if c.over == nil {
		c.over = cmp.Or(c.late(), context.Canceled)
	}
	stop := c.stop
	c.mu.Unlock()
	if stop != nil {
		stop()
	}
}
