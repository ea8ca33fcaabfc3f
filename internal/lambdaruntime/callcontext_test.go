package lambdaruntime

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// Whoever looks at an invocation's context sees a deadline like any other, although none is armed before somebody waits.
func TestCallContext(t *testing.T) {
	type key struct{}
	begin := func(d time.Duration) *callContext {
		c := &callContext{base: context.WithValue(context.Background(), key{}, "v"), trace: "Root=1"}
		if d > 0 {
			c.deadline = time.Now().Add(d)
		}
		return c
	}
	for name, test := range map[string]func(*testing.T){
		"values": func(t *testing.T) {
			c := begin(0)
			child, cancel := context.WithCancel(c)
			defer cancel()
			for _, ctx := range []context.Context{c, child} {
				if TraceID(ctx) != "Root=1" || ctx.Value(key{}) != "v" || ctx.Value("other") != nil {
					t.Errorf("%v", ctx)
				}
			}
		},
		"no deadline": func(t *testing.T) {
			c := begin(0)
			if at, ok := c.Deadline(); ok || !at.IsZero() || c.Err() != nil {
				t.Error(at, ok, c.Err())
			}
			c.cancel()
			if <-c.Done(); c.Err() != context.Canceled {
				t.Error(c.Err())
			}
		},
		"asked early": func(t *testing.T) {
			c := begin(time.Second)
			child, cancel := context.WithTimeout(c, time.Minute)
			defer cancel()
			start := time.Now()
			<-child.Done()
			if took := time.Since(start); took != time.Second || c.Err() != context.DeadlineExceeded || child.Err() != context.DeadlineExceeded {
				t.Error(took, c.Err(), child.Err())
			}
		},
		"asked late": func(t *testing.T) {
			c := begin(time.Second)
			time.Sleep(time.Second - 1)
			if c.Err() != nil {
				t.Error(c.Err())
			}
			time.Sleep(time.Nanosecond)
			if c.Err() != context.DeadlineExceeded {
				t.Error(c.Err())
			}
			<-c.Done()
			c.cancel()
			if c.Err() != context.DeadlineExceeded {
				t.Error(c.Err())
			}
		},
		"cancelled before anybody asked": func(t *testing.T) {
			c := begin(time.Second)
			c.cancel()
			c.cancel()
			time.Sleep(2 * time.Second)
			if c.Err() != context.Canceled {
				t.Error(c.Err())
			}
			<-c.Done()
		},
		"cancelled behind its deadline": func(t *testing.T) {
			c := begin(time.Second)
			time.Sleep(2 * time.Second)
			c.cancel()
			if c.Err() != context.DeadlineExceeded {
				t.Error(c.Err())
			}
		},
		"cancelled while somebody waits": func(t *testing.T) {
			c := begin(time.Hour)
			done := c.Done()
			c.cancel()
			if <-done; c.Err() != context.Canceled {
				t.Error(c.Err())
			}
		},
	} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
	}
}
