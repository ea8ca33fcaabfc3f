package lambdaruntime

import (
	"context"
	"time"

	"github.com/tapway/tapway/internal/lazycontext"
)

// callContext is the context of one invocation: with its deadline, for which no timer runs until somebody waits for it, and
// with its trace.
type callContext struct {
	lazycontext.Context
	trace string
}

// newCallContext's base never ends.
func newCallContext(base context.Context, end time.Time, trace string) *callContext {
	return &callContext{lazycontext.Context{Base: base, End: end}, trace}
}

func (c *callContext) Value(key any) any {
	if key == (traceKey{}) {
		return c.trace
	}
	return c.Context.Value(key)
}

func (c *callContext) String() string { return "lambdaruntime.callContext" }
