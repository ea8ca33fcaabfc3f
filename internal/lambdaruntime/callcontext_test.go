package lambdaruntime

import (
	"context"
	"testing"
	"time"
)

// An invocation's context knows its trace, its deadline and what Run's knows; its children do too.
func TestCallContext(t *testing.T) {
	type key struct{}
	end := time.Now().Add(time.Hour)
	c := newCallContext(context.WithValue(t.Context(), key{}, "v"), end, "Root=1")
	child, cancel := context.WithCancel(c)
	defer cancel()
	for _, ctx := range []context.Context{c, child} {
		if at, ok := ctx.Deadline(); !ok || at != end || TraceID(ctx) != "Root=1" || ctx.Value(key{}) != "v" || ctx.Value("other") != nil {
			t.Errorf("%v: %v", ctx, at)
		}
	}
	if c.Cancel(); child.Err() != context.Canceled {
		t.Error(child.Err())
	}
}
