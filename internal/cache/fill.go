package cache

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tapway/tapway"
)

// state is how far a fill is.
type state uint8

const (
	pending  state = iota // nothing has come
	storing               // the body comes, and is kept so far
	handing               // it is not kept: the client's ResponseWriter is wanted
	complete              // all of it came
	given                 // fill.stand is the answer
	again                 // the backend's 304 was about another answer: ask without conditions
	broken                // it broke off
)

// fill is one request to the backend on its way into the cache. It is the ResponseWriter of a
// goroutine of its own. The call that began it reads what has come from buf, at its own pace:
// a slow client holds up nobody. What turns out not to be kept it gets directly, for which it
// hands over its ResponseWriter and waits.
type fill struct {
	c          *Cache
	s          *Settings
	rule       *Rule
	restricted bool
	place      place
	key, at    key    // without and with what Vary names, as far as that was known
	old        *entry // what there was; nil: nothing
	checks     bool   // the request asks whether old is still good
	background bool
	doomed     bool // guarded by the store: it must not be kept
	began      time.Time
	asked      http.Header // of the call that began it
	req        *http.Request
	cancel     context.CancelFunc

	call   tapway.Call // of the goroutine; the client reads it after done or ended
	header http.Header // likewise

	wake     chan struct{} // something has changed for the client
	handover chan struct{} // closed: w is the fill's
	left     chan struct{} // closed: the client is gone
	done     chan struct{} // closed: no use waiting any longer
	ended    chan struct{} // closed: the goroutine has ended

	w http.ResponseWriter // after handover

	holders atomic.Int32 // of buf: the goroutine and the client
	pinned  *entry       // in place of reserved, once the answer is in the store

	mu         sync.Mutex
	state      state
	status     int
	sent       http.Header // as it was when the head came
	verdict    verdict
	buf        []byte
	length     int64 // declared; -1: it is not
	reserved   int64
	flush      bool
	begun      bool // it was to be kept at first: the head is the client's to send
	stand      *entry
	shared     bool   // stand is for those who wait, too
	reason     string // why stand is a stale one
	interested int    // the client and those who wait
	settled    bool   // done is closed
	failure    any    // what the handler panicked with
}

var (
	errGone = errors.New("cache: the client went away")
	errLong = errors.New("cache: more than the declared length")
)

// enter counts one more who waits; false: it is too late.
func (f *fill) enter() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.settled {
		return false
	}
	f.interested++
	return true
}

// leave is for those who have entered.
func (f *fill) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.interested--; f.interested == 0 && !f.background {
		f.cancel()
	}
}

// run makes the call.
func (f *fill) run(next http.Handler) {
	defer f.cancel()
	defer func() {
		if p := recover(); p != nil {
			f.failure = p
			if p != http.ErrAbortHandler {
				f.s.Log.Error("a handler behind the cache panicked", "panic", fmt.Sprint(p))
			}
		}
		f.finish()
	}()
	next.ServeHTTP(f, f.req)
	if f.state == pending {
		f.WriteHeader(http.StatusOK)
	}
}

// Header is the handler's.
func (f *fill) Header() http.Header { return f.header }

// WriteHeader decides whether the response is kept.
func (f *fill) WriteHeader(status int) {
	if status < 200 || f.state != pending { // only this goroutine changes the state
		return
	}
	now := time.Now()
	if f.fromOld(status, now) {
		return
	}
	length := int64(-1)
	if lines := f.header["Content-Length"]; len(lines) == 1 {
		if n, err := strconv.ParseInt(lines[0], 10, 64); err == nil && n >= 0 {
			length = n
		}
	}
	v := judge(f.rule, f.restricted, status, f.header, f.began, now)
	keep := v.keep && f.call.Origin == tapway.OriginBackend && length <= f.s.MaxEntry
	if keep && length > 0 {
		keep = f.reserve(length)
	}
	f.mu.Lock()
	f.status, f.sent, f.length, f.verdict = status, f.header.Clone(), length, v
	if keep {
		if length > 0 {
			f.buf = make([]byte, 0, length)
		}
		f.state, f.begun = storing, true
		f.tell()
		f.mu.Unlock()
		return
	}
	f.mu.Unlock()
	f.replaced(status)
	f.hand()
}

// replaced is for a response that is not kept: the old one is not so any more, and nobody needs
// to wait for the next.
func (f *fill) replaced(status int) {
	if status >= 500 || f.restricted {
		return
	}
	if f.old != nil && !ofTheCall(status) {
		f.c.store.remove(f.old)
	}
	f.c.store.mark(f.at, f.place, time.Now().Add(markFor))
}

// ofTheCall reports whether a status tells of the call rather than of what it asks for. Any other
// full response says that what is kept does not hold any more (RFC 9111 §4.3.3); with these
// anybody could have an answer dropped that stale-if-error is to stand in with.
func ofTheCall(status int) bool {
	switch status {
	case http.StatusBadRequest, http.StatusRequestTimeout, http.StatusRequestURITooLong, http.StatusExpectationFailed, http.StatusMisdirectedRequest,
		http.StatusTooEarly, http.StatusTooManyRequests, http.StatusRequestHeaderFieldsTooLarge:
		return true
	}
	return false
}

// markFor is how long nobody waits for another's answer after one that was not kept.
const markFor = 10 * time.Second

// fromOld sees to responses in place of which the old answer is given.
func (f *fill) fromOld(status int, now time.Time) bool {
	e := f.old
	switch {
	case e == nil || f.rule.Mode != RFC9111:
		return false
	case status == http.StatusNotModified && f.checks:
		if etag := validator(f.header["Etag"]); etag != "" && strings.TrimPrefix(etag, "W/") != strings.TrimPrefix(validator(e.header["Etag"]), "W/") {
			f.c.store.remove(e)
			f.set(again, nil)
			return true
		}
		f.c.counts.revalidated.Add(1)
		next, shared := f.renewed(e, now)
		f.shared = shared
		f.set(given, next)
		return true
	case failed(status, f.call.Origin) && !e.check && e.staleError > 0 && -e.left(now) < e.staleError:
		f.shared, f.reason = true, why(f.call.Error)
		f.set(given, e)
		return true
	}
	return false
}

// renewed is e with the header of a 304 (RFC 9111 §4.3.4), in the store if it may be kept. shared
// is false when it is for the client only that asked.
func (f *fill) renewed(e *entry, now time.Time) (next *entry, shared bool) {
	h := e.header.Clone()
	h["Date"] = []string{now.UTC().Format(http.TimeFormat)} // unless the 304 has one: the old one's age begins anew
	for name, lines := range f.header {
		if !strings.HasPrefix(name, "Content-") && name != "Set-Cookie" {
			h[name] = slices.Clone(lines)
		}
	}
	v := judge(f.rule, f.restricted, e.status, h, f.began, now)
	delete(h, "Age")
	next = &entry{freshness: v.freshness, place: e.place, status: e.status, header: h, body: e.body, public: v.public}
	if !v.keep {
		f.c.store.remove(e)
		return next, false
	}
	stored := f.c.store.put(f, f.key, f.asked, v.vary, next)
	return next, stored && next.key == f.at
}

func (f *fill) set(s state, stand *entry) {
	f.mu.Lock()
	f.state, f.stand = s, stand
	f.tell()
	f.mu.Unlock()
	f.settle()
}

// hand waits for the client's ResponseWriter and sends the head, if that is still to go.
func (f *fill) hand() bool {
	headToGo := f.state == pending
	f.mu.Lock()
	f.state = handing
	f.tell()
	f.mu.Unlock()
	f.settle()
	select {
	case <-f.handover:
	case <-f.left:
		f.cancel()
		return false
	}
	if headToGo {
		f.head(f.w)
	}
	f.mu.Lock()
	f.buf = nil // the client has all of it
	f.mu.Unlock()
	f.c.store.release(f.reserved)
	f.reserved = 0
	return true
}

// letGo is for the goroutine and for the client, when they need buf no longer: a slow client's
// part of it counts as memory in use until it is taken.
func (f *fill) letGo() {
	if f.holders.Add(-1) > 0 {
		return
	}
	f.c.store.release(f.reserved)
	if f.pinned != nil {
		f.c.store.unpin(f.pinned)
	}
}

// head sends the head to the client that has the fill's answer. The client's own conditions were
// not the backend's to judge.
func (f *fill) head(w http.ResponseWriter) (bodyless bool) {
	h := w.Header()
	for name, lines := range f.sent {
		h[name] = lines
	}
	status := f.status
	if f.call.Origin == tapway.OriginBackend {
		h["Cache-Status"] = append(slices.Clip(h["Cache-Status"]), f.cacheStatus())
		if status == http.StatusOK && notModified(f.asked, f.sent) {
			status = http.StatusNotModified
			dropContent(h)
		}
	}
	w.WriteHeader(status)
	return status == http.StatusNotModified
}

func (f *fill) cacheStatus() string {
	why := "uri-miss"
	switch {
	case f.old != nil:
		why = "stale"
	case f.key != f.at:
		why = "vary-miss"
	}
	text := "tapway; fwd=" + why
	if f.checks {
		text += "; fwd-status=" + strconv.Itoa(f.status)
	}
	if f.begun {
		text += "; stored"
	}
	return text
}

// Write keeps b, or sends it where nothing is kept.
func (f *fill) Write(b []byte) (int, error) {
	if f.state == pending {
		f.WriteHeader(http.StatusOK)
	}
	switch f.state {
	case given, again:
		return len(b), nil // of the answer in place of which another is given
	case handing:
		return f.direct(b)
	}
	if f.length >= 0 && int64(len(f.buf)+len(b)) > f.length {
		return 0, errLong
	}
	if int64(len(f.buf)+len(b)) > f.s.MaxEntry || !f.grow(len(b)) {
		f.replaced(f.status)
		if !f.hand() {
			return 0, errGone
		}
		return f.direct(b)
	}
	f.mu.Lock()
	f.buf = append(f.buf, b...)
	f.tell()
	f.mu.Unlock()
	return len(b), nil
}

// direct writes to the client. One who has the answer already gets no body.
func (f *fill) direct(b []byte) (int, error) {
	if f.w == nil {
		return 0, errGone
	}
	if f.status == http.StatusOK && f.call.Origin == tapway.OriginBackend && notModified(f.asked, f.sent) {
		return len(b), nil
	}
	return f.w.Write(b)
}

// grow makes room for n bytes more.
func (f *fill) grow(n int) bool {
	need := len(f.buf) + n
	if need <= cap(f.buf) {
		return true
	}
	size := min(max(need, 2*cap(f.buf), 4<<10), int(max(f.s.MaxEntry, int64(need))))
	if !f.reserve(int64(size) - f.reserved) {
		return false
	}
	grown := append(make([]byte, 0, size), f.buf...)
	f.mu.Lock()
	f.buf = grown
	f.mu.Unlock()
	return true
}

func (f *fill) reserve(n int64) bool {
	if !f.c.store.reserve(n) {
		return false
	}
	f.reserved += n
	return true
}

// FlushError is for http.ResponseController.
func (f *fill) FlushError() error {
	f.mu.Lock()
	handing := f.state == handing
	if f.state == storing {
		f.flush = true
		f.tell()
	}
	f.mu.Unlock()
	if handing && f.w != nil {
		return http.NewResponseController(f.w).Flush()
	}
	return nil
}

// tell wakes the client.
func (f *fill) tell() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// settle lets those go who wait.
func (f *fill) settle() {
	f.mu.Lock()
	over := f.settled
	f.settled = true
	f.mu.Unlock()
	if over {
		return
	}
	f.c.mu.Lock()
	if f.c.flights[f.at] == f {
		delete(f.c.flights, f.at)
	}
	f.c.mu.Unlock()
	close(f.done)
}

// finish is after the last byte.
func (f *fill) finish() {
	last := f.state
	switch {
	case f.state == pending, f.state == storing && (f.failure != nil || f.length >= 0 && int64(len(f.buf)) != f.length):
		last = broken
	case f.state == storing:
		last = complete
	}
	switch {
	case last != complete:
	case f.trailers():
		f.replaced(f.status)
	default:
		f.keep()
	}
	f.c.store.end(f)
	f.letGo()
	f.mu.Lock()
	f.state = last
	f.tell()
	f.mu.Unlock()
	f.settle()
	close(f.ended)
}

// trailers reports whether something came behind the body that an entry would not have.
func (f *fill) trailers() bool {
	for name := range f.header {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			return true
		}
	}
	return false
}

// keep puts the answer into the store. The client may still be reading buf, so a copy without
// the room to spare is made only if there is memory for both.
func (f *fill) keep() {
	body, booked, copied := f.buf, f.reserved, false
	if n := int64(len(body)); int64(cap(body))-n > n/8 && f.c.store.reserve(n) {
		body, booked, copied = append(make([]byte, 0, n), body...), n, true
	}
	h := f.sent.Clone()
	if f.rule.Mode == APIGateway {
		delete(h, "Date") // the server writes the present one
	} else if len(h["Date"]) == 0 {
		h["Date"] = []string{f.verdict.came.UTC().Format(http.TimeFormat)}
	}
	delete(h, "Age")
	if f.status != http.StatusNoContent {
		h["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	e := &entry{freshness: f.verdict.freshness, place: f.place, status: f.status, header: h, body: body, public: f.verdict.public}
	if !f.c.store.settle(f, booked, f.asked, f.verdict.vary, e) {
		if copied {
			f.c.store.release(booked)
		}
		return
	}
	f.c.counts.stored.Add(1)
	if f.pinned = e; !copied {
		f.reserved = 0 // it is e's now
	}
}
