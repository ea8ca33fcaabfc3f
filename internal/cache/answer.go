package cache

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/tapway/tapway"
)

// refusedWarning is API Gateway's.
const refusedWarning = "199 Cache-control headers were ignored because the caller was unauthorized."

func (a *asking) warning(h http.Header) {
	if a.warn {
		h["Warning"] = []string{refusedWarning}
	}
}

// hit answers with e.
func (a *asking) hit(e *entry, now time.Time) {
	n := &a.c.counts
	n.hits.Add(1)
	left := e.left(now)
	text := "tapway; hit; ttl=" + strconv.FormatInt(int64(left/time.Second), 10)
	if a.waited {
		n.collapsed.Add(1)
		text = "tapway; fwd=miss; collapsed"
	}
	if left <= 0 {
		n.stale.Add(1)
	}
	a.call.Origin = tapway.OriginCache
	a.give(e, now, text)
}

// give sends e.
func (a *asking) give(e *entry, now time.Time, text string) {
	a.call.Route, a.call.Params = a.route.Name, a.route.Params
	h := a.w.Header()
	for name, lines := range e.header {
		h[name] = lines
	}
	if a.rule.Mode == RFC9111 {
		h["Age"] = []string{strconv.FormatInt(int64(e.ageAt(now)/time.Second), 10)}
	}
	h["Cache-Status"] = append(slices.Clip(h["Cache-Status"]), text)
	a.warning(h)
	if _, ok := h["Content-Type"]; !ok {
		h["Content-Type"] = nil // or the server would guess one
	}
	if e.status == http.StatusOK && notModified(a.r.Header, e.header) {
		dropContent(h)
		a.w.WriteHeader(http.StatusNotModified)
		return
	}
	a.w.WriteHeader(e.status)
	if a.r.Method != http.MethodHead && len(e.body) > 0 {
		a.c.store.pin(e)
		defer a.c.store.unpin(e)
		_, _ = a.w.Write(e.body) // a client that does not take its answer cannot be helped
	}
}

// dropContent leaves out of a 304 what describes the body that it has not.
func dropContent(h http.Header) {
	delete(h, "Content-Length")
	delete(h, "Content-Encoding")
	h["Content-Type"] = nil
}

const clientGone = "client went away"

// lead gives the client the answer of a fill that is its own; false: it has to ask again.
func (a *asking) lead(f *fill) bool {
	defer f.letGo()
	sent, headSent, bodyless := 0, false, false
	a.call.Route, a.call.Params = a.route.Name, a.route.Params
	for {
		select {
		case <-f.wake:
		case <-a.r.Context().Done():
			a.abandon(f, headSent)
			return true
		}
		f.mu.Lock()
		state, body, flush, begun := f.state, f.buf[sent:], f.flush, f.begun
		f.flush = false
		f.mu.Unlock()
		switch state {
		case pending:
			continue
		case given:
			f.drain()
			a.took(f)
			a.instead(f)
			return true
		case again:
			<-f.ended
			a.waited = true
			return false
		case broken:
			<-f.ended
			a.took(f)
			if f.failure != nil {
				panic(f.failure)
			}
			panic(http.ErrAbortHandler)
		}
		if !headSent && begun {
			a.warning(a.w.Header())
			bodyless, headSent = f.head(a.w), true
			a.call.Origin = tapway.OriginBackend
		}
		if len(body) > 0 && !bodyless {
			if _, err := a.w.Write(body); err != nil {
				a.abandon(f, true)
				return true
			}
		}
		sent += len(body)
		switch {
		case state == handing:
			a.hand(f)
			return true
		case state == complete:
			<-f.ended
			a.took(f)
			a.trailers(f)
			return true
		case flush && !bodyless:
			_ = http.NewResponseController(a.w).Flush()
		}
	}
}

// hand lends the fill the ResponseWriter until it ends.
func (a *asking) hand(f *fill) {
	a.warning(a.w.Header())
	f.w = a.w
	close(f.handover)
	select {
	case <-f.ended:
	case <-a.r.Context().Done():
		f.cancel()
		<-f.ended
	}
	a.took(f)
	if f.failure != nil {
		panic(f.failure)
	}
	a.trailers(f)
}

// trailers passes on what came behind the body, as the handler has set it.
func (a *asking) trailers(f *fill) {
	h := a.w.Header()
	for name, lines := range f.header {
		if _, before := f.sent[name]; !before {
			h[name] = lines
		}
	}
}

// drainFor is how long the rest of a failure may take that a stale answer stands in for.
const drainFor = time.Second

// drain waits until the fill has ended, and sees to it that it does.
func (f *fill) drain() {
	timer := time.NewTimer(drainFor)
	defer timer.Stop()
	select {
	case <-f.ended:
	case <-timer.C:
		f.cancel()
		<-f.ended
	}
}

// instead answers with an entry in place of what the backend said.
func (a *asking) instead(f *fill) {
	now, e := time.Now(), f.stand
	text := "tapway; fwd=stale; fwd-status=304"
	if e == f.old {
		a.c.counts.stale.Add(1)
		a.call.Error = "stale answer given: " + f.reason
		text = "tapway; hit; ttl=" + strconv.FormatInt(int64(e.left(now)/time.Second), 10) + "; detail=stale-if-error"
	}
	a.call.Origin = tapway.OriginCache
	a.give(e, now, text)
}

func why(reason string) string {
	if reason == "" {
		return "the backend failed"
	}
	return reason
}

// took takes over what the fill's goroutine has found out for the record.
func (a *asking) took(f *fill) {
	c := &f.call
	a.call.Route, a.call.Params, a.call.Origin, a.call.Error = c.Route, c.Params, c.Origin, c.Error
	a.call.Connect, a.call.FirstByte, a.call.Backend = c.Connect, c.FirstByte, c.Backend+a.call.Backend
}

// abandon ends a call whose client is gone or whose time is over; others may wait on.
func (a *asking) abandon(f *fill, headSent bool) {
	close(f.left)
	f.leave()
	if !headSent && errors.Is(a.r.Context().Err(), context.DeadlineExceeded) {
		a.next.ServeHTTP(a.w, a.r) // it knows how to answer one who is too late
		return
	}
	a.call.Error = clientGone
	if headSent {
		a.call.Origin = tapway.OriginBackend
	}
	panic(http.ErrAbortHandler)
}
