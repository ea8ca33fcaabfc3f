package runtimetest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Config says how an API behaves. The zero value is Lambda with its defaults.
type Config struct {
	Concurrency int           // loops that must wait in /next for a freeze; 0: 1
	Timeout     time.Duration // of the function: makes the deadline; 0: 3 s
	MaxReply    int           // bytes of a buffered reply; 0: 6 MiB and 100 bytes, as Lambda
	FunctionARN string        // "": one in eu-west-1

	// Intercept, if not nil, may answer a call of the runtime itself and return true. call is
	// "next", "response", "error" or "init/error". The API then takes no note of the call.
	Intercept func(call string, w http.ResponseWriter, r *http.Request) bool
}

// API is a fake Runtime API on a loopback port. Its methods may be called from any goroutine.
type API struct {
	cfg    Config
	tb     testing.TB
	server *httptest.Server
	stop   chan struct{}
	queue  chan *invocation

	mu      sync.Mutex
	changed chan struct{} // closed and replaced whenever what follows changes
	count   int
	waiting int // loops in /next
	pending int // invocations that no loop has taken yet
	known   map[string]*invocation
	begun   []*invocation // taken, and their loop is not back yet; oldest first
	initErr *FunctionError
	log     []Entry
	closed  bool
}

// Start is Config{}.Start.
func Start(tb testing.TB) *API { return Config{}.Start(tb) }

// Start begins to listen. The API ends with the test, and fails it if the runtime asks for an
// invocation before it has answered the last one, or works during a freeze.
func (c Config) Start(tb testing.TB) *API {
	c.Concurrency = max(c.Concurrency, 1)
	if c.Timeout == 0 {
		c.Timeout = 3 * time.Second
	}
	if c.MaxReply == 0 {
		c.MaxReply = 6<<20 + 100
	}
	if c.FunctionARN == "" {
		c.FunctionARN = "arn:aws:lambda:eu-west-1:123456789012:function:test"
	}
	a := &API{
		cfg:     c,
		tb:      tb,
		stop:    make(chan struct{}),
		queue:   make(chan *invocation, 1024),
		changed: make(chan struct{}),
		known:   map[string]*invocation{},
	}
	mux := http.NewServeMux()
	const base = "/2018-06-01/runtime/"
	mux.HandleFunc("GET "+base+"invocation/next", a.intercepted("next", a.next))
	mux.HandleFunc("POST "+base+"invocation/{id}/response", a.intercepted("response", a.response))
	mux.HandleFunc("POST "+base+"invocation/{id}/error", a.intercepted("error", a.failed))
	mux.HandleFunc("POST "+base+"init/error", a.intercepted("init/error", a.initFailed))
	a.server = httptest.NewServer(mux)
	tb.Cleanup(a.close)
	return a
}

func (a *API) close() {
	a.mu.Lock()
	a.closed = true
	for _, v := range a.known {
		if v.timer != nil {
			v.timer.Stop()
		}
	}
	a.mu.Unlock()
	close(a.stop)
	a.server.Close()
}

// Addr is the value of AWS_LAMBDA_RUNTIME_API: host:port.
func (a *API) Addr() string { return strings.TrimPrefix(a.server.URL, "http://") }

// Kinds of entries in the log.
const (
	Next       = "next"        // a loop asks for an invocation
	Delivered  = "delivered"   // it gets one
	ReplyBegun = "reply begun" // the caller gets the head of the reply
	ReplyDone  = "reply done"  // the caller has all of it, and the runtime its 202
	Failed     = "failed"      // the runtime posted an error for it
	Refused    = "refused"     // the reply was too large
	TimedOut   = "timed out"   // the deadline passed before the loop was back: Lambda kills here
	InitFailed = "init failed"
)

// Entry is something that happened at the API.
type Entry struct {
	At        time.Time
	What      string
	RequestID string // empty for Next and InitFailed
}

// Log returns what happened so far, in its order.
func (a *API) Log() []Entry {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.log)
}

func (a *API) noteLocked(what, id string) {
	a.log = append(a.log, Entry{time.Now(), what, id})
	close(a.changed)
	a.changed = make(chan struct{})
}

// Frozen says whether Lambda would have frozen the environment: every loop waits in /next and
// there is no invocation for them.
func (a *API) Frozen() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.frozenLocked()
}

func (a *API) frozenLocked() bool {
	return a.waiting >= a.cfg.Concurrency && a.pending == 0
}

// WaitFrozen waits until the environment is frozen: init and all work after replies have ended.
func (a *API) WaitFrozen(ctx context.Context) error {
	return a.wait(ctx, "for the environment to freeze", a.frozenLocked)
}

func (a *API) wait(ctx context.Context, what string, until func() bool) error {
	for {
		a.mu.Lock()
		ok, changed := until(), a.changed
		a.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait %s: %w", what, ctx.Err())
		}
	}
}

// Awake fails the test if the environment is frozen now; what names the work that was seen.
func (a *API) Awake(what string) {
	a.tb.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.frozenLocked() {
		a.violationLocked("%s: work while the environment is frozen", what)
	}
}

// Guard is next with [API.Awake] asked at every call.
func (a *API) Guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.Awake(r.Method + " " + r.URL.Path)
		next.ServeHTTP(w, r)
	})
}

func (a *API) violationLocked(format string, args ...any) {
	if !a.closed {
		a.tb.Errorf("runtimetest: "+format, args...)
	}
}

// WaitInitError waits for the runtime to report that it cannot start.
func (a *API) WaitInitError(ctx context.Context) (*FunctionError, error) {
	err := a.wait(ctx, "for an init error", func() bool { return a.initErr != nil })
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.initErr, err
}

// Process is a runtime under test, started by [API.Go].
type Process struct {
	cancel context.CancelFunc
	done   chan struct{}
	err    error

	mu   sync.Mutex
	seen bool // someone has asked for err
}

// Go runs a runtime until the test ends or Stop is called. An error of it that nobody has seen
// through Stop or Wait fails the test.
func (a *API) Go(run func(context.Context) error) *Process {
	ctx, cancel := context.WithCancel(context.Background())
	p := &Process{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.err = run(ctx)
	}()
	a.tb.Cleanup(func() {
		p.mu.Lock()
		seen := p.seen
		p.mu.Unlock()
		if err := p.Stop(); err != nil && !seen {
			a.tb.Errorf("runtimetest: the runtime ended: %v", err)
		}
	})
	return p
}

// Stop ends the runtime's context, waits for its end and returns its error.
func (p *Process) Stop() error {
	p.cancel()
	return p.Wait(context.Background())
}

// Wait waits for the runtime to end by itself.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-p.done:
	case <-ctx.Done():
		return errors.Join(errors.New("the runtime is still running"), ctx.Err())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = true
	return p.err
}
