package cache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tapway/tapway"
)

// Cache is the middleware. Make one with [New]; [Cache.Reload] changes what it goes by.
type Cache struct {
	settings atomic.Pointer[Settings]
	store    store
	counts   counts

	mu      sync.Mutex
	flights map[key]*fill // those that others may wait for
	closed  bool
	running sync.WaitGroup // fills
}

// counts are of calls, except as told.
type counts struct {
	hits, misses, passed, collapsed, stale atomic.Uint64
	stored, revalidated, invalidated       atomic.Uint64 // of answers
}

// Stats is what a cache has done since it was made, and what it holds.
type Stats struct {
	Hits        uint64 `json:"hits"`        // calls answered from the cache, stale ones included
	Misses      uint64 `json:"misses"`      // calls that could have been and were not
	Passed      uint64 `json:"passed"`      // calls of a cached route that are not for the cache
	Collapsed   uint64 `json:"collapsed"`   // of Hits: waited for what another call had asked for
	Stale       uint64 `json:"stale"`       // of Hits
	Stored      uint64 `json:"stored"`      // answers
	Revalidated uint64 `json:"revalidated"` // answers that the backend said are still good
	Invalidated uint64 `json:"invalidated"` // answers taken out by a change or a purge
	Evicted     uint64 `json:"evicted"`     // answers that made room
	Entries     int    `json:"entries"`
	Bytes       int64  `json:"bytes"`
	Limit       int64  `json:"limit"`
}

// New makes a Cache.
func New(s Settings) *Cache {
	c := &Cache{flights: map[key]*fill{}}
	c.store.init()
	c.Reload(s)
	return c
}

// Reload sets what calls that begin from now on go by, and empties the cache: what was kept came
// by other rules, maybe from another backend.
func (c *Cache) Reload(s Settings) {
	if s.Log == nil {
		s.Log = slog.Default()
	}
	c.settings.Store(&s)
	c.store.mu.Lock()
	c.store.limit = s.Memory
	c.store.mu.Unlock()
	c.store.purge("", "")
	c.mu.Lock()
	clear(c.flights) // who comes now waits for none of them
	c.mu.Unlock()
}

// Close ends what is being fetched and waits for it. Calls that come later are passed on.
func (c *Cache) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.store.mu.Lock()
	for f := range c.store.filling {
		f.cancel()
	}
	c.store.mu.Unlock()
	c.running.Wait()
}

// ErrNoRule is that a purge names a rule that there is not.
var ErrNoRule = errors.New("the cache has no such route")

// Purge takes out the answers of a path, as it stands in the request line, whatever its host and
// query; "/a/*" is all paths that begin so, and "" all. rule takes only those that the rule of
// this name keeps; "" is all rules. What is being fetched is not kept either. The error is
// [ErrNoRule].
func (c *Cache) Purge(path, rule string) (int, error) {
	if rule != "" && !slices.Contains(c.settings.Load().Rules, rule) {
		return 0, fmt.Errorf("%w: %q; there are: %s", ErrNoRule, rule, strings.Join(c.settings.Load().Rules, ", "))
	}
	n := c.store.purge(path, rule)
	c.counts.invalidated.Add(uint64(n))
	return n, nil
}

// Stats is what the cache has done.
func (c *Cache) Stats() Stats {
	n := &c.counts
	out := Stats{
		Hits: n.hits.Load(), Misses: n.misses.Load(), Passed: n.passed.Load(), Collapsed: n.collapsed.Load(), Stale: n.stale.Load(),
		Stored: n.stored.Load(), Revalidated: n.revalidated.Load(), Invalidated: n.invalidated.Load(),
	}
	c.store.mu.Lock()
	defer c.store.mu.Unlock()
	out.Entries, out.Bytes, out.Limit, out.Evicted = len(c.store.entries), c.store.used, c.store.limit, c.store.evicted
	return out
}

// Wrap is the middleware before next.
func (c *Cache) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := c.settings.Load()
		path, query, hasQuery, ok := tapway.Target(r)
		if s.Match == nil || !ok || isUpgrade(r) {
			next.ServeHTTP(w, r)
			return
		}
		switch r.Method {
		case http.MethodGet, http.MethodHead:
		case http.MethodOptions, http.MethodTrace, http.MethodConnect:
			next.ServeHTTP(w, r)
			return
		default:
			c.change(s, w, r, path, next)
			return
		}
		route, ok := s.Match(r, path)
		if !ok || route.Rule == nil || route.Rule.TTL <= 0 {
			next.ServeHTTP(w, r)
			return
		}
		if !s.plain(r, path, route) {
			c.counts.passed.Add(1)
			next.ServeHTTP(w, r)
			return
		}
		at := place{host: hostOf(r), path: path, route: route.Rule.Name}
		a := &asking{c: c, s: s, next: next, w: w, r: r, call: tapway.CallFrom(r.Context()), route: route, rule: route.Rule, place: at}
		a.serve(path, query, hasQuery)
	})
}

func isUpgrade(r *http.Request) bool { return len(r.Header["Upgrade"]) > 0 }

// direct reports whether a request asks for something that only the backend can give: a part, a
// precondition that is its own, or an answer to a body that no key has. Over HTTP/2 there is a
// Body in any case.
func direct(r *http.Request) bool {
	if r.ContentLength != 0 || len(r.TransferEncoding) > 0 {
		return true
	}
	for _, name := range [...]string{"Range", "If-Range", "If-Match", "If-Unmodified-Since", "Expect"} {
		if len(r.Header[name]) > 0 {
			return true
		}
	}
	return strips(r.Header["Connection"])
}

// strips reports whether a Connection header names others. The proxy takes those out, so that the
// backend would not see what the key has: its answer must not be anybody else's.
func strips(lines []string) bool {
	for _, line := range lines {
		for one := range strings.SplitSeq(line, ",") {
			switch strings.ToLower(trim(one)) {
			case "", "close", "keep-alive", "te", "upgrade":
			default:
				return true
			}
		}
	}
	return false
}

// asking is one call that the cache may answer.
type asking struct {
	c    *Cache
	s    *Settings
	next http.Handler
	w    http.ResponseWriter
	r    *http.Request
	call *tapway.Call

	route      Route
	rule       *Rule
	place      place
	key        key
	restricted bool // it says who is calling, in words that the key does not have
	control    requestControl
	renew      bool // it asks for a new answer and may
	waited     bool // for another call's answer, once
	warn       bool
}

func (a *asking) serve(path, query string, hasQuery bool) {
	if direct(a.r) {
		a.pass()
		return
	}
	f := look(a.r, a.rule, a.s.Credentials, query)
	switch {
	case !f.uncovered || a.rule.Callers != Bypass:
	case a.rule.Mode == APIGateway:
		a.pass()
		return
	default:
		a.restricted = true
	}
	var ok bool
	if a.key, ok = keyOf(a.r, a.rule, &f, path, query, hasQuery); !ok {
		a.pass()
		return
	}
	a.control = parseRequest(a.r.Header)
	if a.control.renew() {
		a.renew = a.s.Anyone || a.call.InvalidateCache
		if !a.renew && a.s.Refused == Fail {
			a.s.page(a.w, a.r, http.StatusForbidden, "Forbidden", "may not invalidate the cache")
			return
		}
		a.warn = !a.renew && a.s.Refused == Warn
	}
	a.answer()
}

// pass leaves the call to the backend.
func (a *asking) pass() {
	a.c.counts.passed.Add(1)
	a.warning(a.w.Header())
	a.next.ServeHTTP(a.w, a.r)
}

// answer finds an answer, or has one fetched.
func (a *asking) answer() {
	for {
		e, at := a.c.store.find(a.key, a.r.Header)
		now := time.Now()
		alone := a.waited || a.renew
		if e != nil && !e.until.IsZero() {
			alone = alone || now.Before(e.until)
			e = nil
		}
		if e != nil && a.restricted && !e.public {
			e = nil
		}
		if e != nil {
			switch use := a.use(e, now); use {
			case fresh, stale, staleWhile:
				a.hit(e, now)
				if use == staleWhile {
					a.background(e, at)
				}
				return
			}
		}
		if a.rule.Mode == RFC9111 && a.control.onlyIfCached {
			a.s.page(a.w, a.r, http.StatusGatewayTimeout, "Not in the cache.", "only-if-cached, and it is not")
			return
		}
		if a.r.Method == http.MethodHead || a.rule.Mode == RFC9111 && a.control.noStore {
			a.c.counts.misses.Add(1)
			a.warning(a.w.Header())
			a.next.ServeHTTP(a.w, a.r)
			return
		}
		if a.rule.Mode == APIGateway && e != nil {
			a.c.store.remove(e) // its time is over, or a new one was asked for
			e = nil
		}
		if a.fetch(e, at, alone) {
			return
		}
	}
}

// fetch asks the backend, or waits for a call that does; false is to look again.
func (a *asking) fetch(e *entry, at key, alone bool) bool {
	f, first := a.c.join(a, e, at, alone)
	if f == nil { // closed
		a.next.ServeHTTP(a.w, a.r)
		return true
	}
	if first {
		a.c.counts.misses.Add(1)
		return a.lead(f)
	}
	start := time.Now()
	select {
	case <-f.done:
	case <-a.r.Context().Done():
		f.leave()
		a.next.ServeHTTP(a.w, a.r) // it knows how to answer one who is gone or too late
		return true
	}
	f.leave()
	a.waited = true
	a.call.Backend += time.Since(start)
	if e := f.stand; e != nil && f.shared && (!a.restricted || e.public) && !a.c.store.isDoomed(f) {
		a.hit(e, time.Now())
		return true
	}
	return false
}

// use is what an entry is good for.
type use uint8

const (
	useless use = iota
	fresh
	stale      // the client takes it so
	staleWhile // while a new one is fetched
)

func (a *asking) use(e *entry, now time.Time) use {
	left := e.left(now)
	if a.renew {
		return useless
	}
	if a.rule.Mode == APIGateway {
		if left > 0 {
			return fresh
		}
		return useless
	}
	q := &a.control
	if a.mayAsk() && (q.maxAge != unset && e.ageAt(now) > q.maxAge || q.minFresh != unset && left < q.minFresh) || e.check {
		return useless
	}
	switch {
	case left > 0:
		return fresh
	case !e.strict && q.maxStale != unset && -left <= q.maxStale:
		return stale
	case -left < e.staleRevalidate:
		return staleWhile
	}
	return useless
}

// mayAsk reports whether the client may have the backend asked.
func (a *asking) mayAsk() bool { return a.s.Anyone || a.call.InvalidateCache }

// background has a new answer fetched while nobody waits.
func (a *asking) background(e *entry, at key) {
	a.c.mu.Lock()
	defer a.c.mu.Unlock()
	if a.c.flights[at] != nil || a.c.closed {
		return
	}
	f := a.c.newFillLocked(a, e, at, true)
	a.c.flights[at] = f
}

// join gives the fetch for a key, and whether it is this call's own. nil: the cache is closed.
func (c *Cache) join(a *asking, e *entry, at key, alone bool) (f *fill, first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, false
	}
	if !alone {
		if f = c.flights[at]; f != nil && f.enter() {
			return f, false
		}
	}
	f = c.newFillLocked(a, e, at, false)
	if !alone {
		c.flights[at] = f
	}
	return f, true
}

// backgroundFor bounds what nobody waits for.
const backgroundFor = time.Minute

func (c *Cache) newFillLocked(a *asking, e *entry, at key, background bool) *fill {
	f := &fill{
		c: c, s: a.s, rule: a.rule, restricted: a.restricted, place: a.place, key: a.key, at: at, old: e, background: background, began: time.Now(),
		header: http.Header{}, wake: make(chan struct{}, 1), handover: make(chan struct{}), left: make(chan struct{}), done: make(chan struct{}), ended: make(chan struct{}),
		call: *a.call, interested: 1,
	}
	ctx := context.WithoutCancel(a.r.Context()) // it is for all who wait, not for the first of them
	var cancel context.CancelFunc
	if background {
		ctx, cancel = context.WithTimeout(ctx, backgroundFor)
		close(f.left)
	} else {
		ctx, cancel = context.WithCancel(ctx)
	}
	f.cancel = cancel
	f.holders.Store(2)
	if background {
		f.holders.Store(1)
	}
	f.asked = a.r.Header.Clone()
	f.req = a.r.Clone(tapway.WithCall(ctx, &f.call))
	f.req.Method, f.req.Body = http.MethodGet, http.NoBody
	delete(f.req.Header, "If-None-Match")
	delete(f.req.Header, "If-Modified-Since")
	if e != nil && a.rule.Mode == RFC9111 {
		if etag := validator(e.header["Etag"]); etag != "" {
			f.req.Header["If-None-Match"], f.checks = []string{etag}, true
		} else if date := validator(e.header["Last-Modified"]); date != "" {
			f.req.Header["If-Modified-Since"], f.checks = []string{date}, true
		}
	}
	c.store.begin(f)
	c.running.Go(func() { f.run(a.next) })
	return f
}

// change passes on a call that may change something, and takes out what it changes.
func (c *Cache) change(s *Settings, w http.ResponseWriter, r *http.Request, path string, next http.Handler) {
	route, ok := s.Match(r, path)
	if ok && route.Rule != nil && route.Rule.Mode == RFC9111 && strings.HasPrefix(path, "/") {
		w = &changeWriter{ResponseWriter: w, c: c, scheme: schemeOf(r), host: hostOf(r), path: path}
	}
	next.ServeHTTP(w, r)
}
