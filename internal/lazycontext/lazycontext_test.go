package lazycontext

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

type key struct{}

func begin(d time.Duration) *Context {
	c := &Context{Base: context.WithValue(context.Background(), key{}, "v")}
	if d > 0 {
		c.End = time.Now().Add(d)
	}
	return c
}

// TestContext: whoever looks at it sees a context like any other, although nothing is armed before somebody waits.
func TestContext(t *testing.T) {
	for name, test := range map[string]func(*testing.T){
		"values": func(t *testing.T) {
			c := begin(0)
			child, cancel := context.WithCancel(c)
			defer cancel()
			for _, ctx := range []context.Context{c, child} {
				if ctx.Value(key{}) != "v" || ctx.Value("other") != nil {
					t.Errorf("%v", ctx)
				}
			}
		},
		"no deadline": func(t *testing.T) {
			c := begin(0)
			if at, ok := c.Deadline(); ok || !at.IsZero() || c.Err() != nil || c.Asked() {
				t.Error(at, ok, c.Err(), c.Asked())
			}
			c.Cancel()
			if <-c.Done(); c.Err() != context.Canceled || !c.Asked() {
				t.Error(c.Err(), c.Asked())
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
			c.Cancel()
			if c.Err() != context.DeadlineExceeded {
				t.Error(c.Err())
			}
		},
		"cancelled before anybody asked": func(t *testing.T) {
			c := begin(time.Second)
			c.Cancel()
			c.Cancel()
			time.Sleep(2 * time.Second)
			if c.Err() != context.Canceled {
				t.Error(c.Err())
			}
			<-c.Done()
		},
		"cancelled behind its deadline": func(t *testing.T) {
			c := begin(time.Second)
			time.Sleep(2 * time.Second)
			c.Cancel()
			if c.Err() != context.DeadlineExceeded {
				t.Error(c.Err())
			}
		},
		"cancelled while somebody waits": func(t *testing.T) {
			c := begin(time.Hour)
			done := c.Done()
			c.Cancel()
			if <-done; c.Err() != context.Canceled {
				t.Error(c.Err())
			}
		},
		"its base ends": func(t *testing.T) {
			base, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			c, asked := &Context{Base: base}, &Context{Base: base}
			done := asked.Done()
			at, ok := c.Deadline()
			if want, _ := base.Deadline(); !ok || at != want || c.Err() != nil {
				t.Error(at, ok, c.Err())
			}
			<-done
			for _, c := range []*Context{c, asked} {
				if c.Cancel(); c.Err() != context.DeadlineExceeded {
					t.Error(c.Err())
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
	}
}

// TestNoGoroutines: it costs its children none. They are attached to it, also through values.
func TestNoGoroutines(t *testing.T) {
	c := begin(0)
	before := goleak.IgnoreCurrent()
	child, stop := context.WithCancel(context.WithValue(c, key{}, 1))
	defer stop()
	if err := goleak.Find(before); err != nil {
		t.Error(err)
	}
	c.Cancel()
	if child.Err() != context.Canceled {
		t.Error("the child was not cancelled at once")
	}
}

// TestNothingAllocated: as long as nobody waits.
func TestNothingAllocated(t *testing.T) {
	c := &Context{Base: t.Context()}
	if n := testing.AllocsPerRun(100, func() {
		if c.Err() != nil || c.Value(key{}) != nil || c.Asked() {
			t.Error("it has ended, or knows something")
		}
		c.Deadline()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	c.Cancel()
}
