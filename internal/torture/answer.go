package torture

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
)

// check looks whether a call that came through an API got its answer, as it would without tapway, and
// whether one past the API was refused.
func (c *client) check(one *call, q url.Values, breaksOff bool) {
	if c.outside {
		if one.status != http.StatusForbidden && one.status != http.StatusServiceUnavailable {
			c.problem("a call past the API was not refused", "%s %s: %d", one.method, one.path, one.status)
		}
		return
	}
	fault := q.Get("fault")
	if one.way == "" || breaksOff || fault != "" && fault != backendSlow && fault != backendDrip {
		return
	}
	why := c.secrets.wrong(one, q)
	if why == "" {
		return
	}
	itself := false // tapway may have answered
	if one.way == wayTapway {
		switch one.status {
		case http.StatusGatewayTimeout:
			itself = one.ended.Sub(one.began) >= proxyTimeout
		case http.StatusServiceUnavailable:
			itself = c.keep(one) != ""
		case http.StatusBadGateway: // the backend may have ended a connection just when it was used again; that is rare
			itself = true
		}
	}
	if itself {
		c.answered(one.status)
	} else {
		c.problem("a wrong answer through the API", "%s %s, led to %s, in life %d: %s", one.method, one.path, one.way, one.life, why)
	}
}

// wrong says in what an answer is not the one that a query asks a backend for, "" if it is.
func (s *secrets) wrong(one *call, q url.Values) string {
	status, err := strconv.Atoi(q.Get("status"))
	if err != nil || one.status != status {
		return fmt.Sprintf("status %d, want %s", one.status, q.Get("status"))
	}
	var body []byte
	if one.method != http.MethodHead && status != http.StatusNoContent && status != http.StatusNotModified {
		seed, _ := strconv.ParseUint(q.Get("seed"), 10, 64)
		size, _ := strconv.Atoi(q.Get("size"))
		_, body = s.answer(rand.New(rand.NewPCG(seed, 2)), q.Get("reply"), size)
	}
	if sum := sha256.Sum256(body); one.got != int64(len(body)) || one.sumGot != hex.EncodeToString(sum[:]) {
		return fmt.Sprintf("a body of %d bytes, sum %s, want %d, %x", one.got, one.sumGot, len(body), sum)
	}
	return ""
}

// wentNowhere counts a call that was led to tapway while it was away.
func (c *calls) wentNowhere() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.none++
}

// answered counts an answer that tapway gave itself.
func (c *calls) answered(status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.own == nil {
		c.own = map[int]int{}
	}
	c.own[status]++
}

// judgeAPI compares what went past tapway with what it has recorded, and counts what it answered itself.
func (w *world) judgeAPI(dead map[string]bool) {
	for _, c := range w.calls.past {
		if w.led.has(c.path) {
			continue // an earlier try of the same call
		}
		for _, k := range w.sinks {
			if len(k.find(c.path)) > 0 {
				w.problem("a call that was led past tapway has a record", "%s %s in life %d, at %s", c.method, c.path, c.life, k.name)
			}
		}
		if dead[c.path] {
			w.problem("a call that was led past tapway has a record", "%s %s in life %d, a dead letter", c.method, c.path, c.life)
		}
	}
	if n := w.backend.leaked.Load(); n > 0 {
		w.problem("the secret of an attach reached the backend", "%d calls", n)
	}
	through := 0
	for _, c := range w.calls.ended {
		if c.way == wayTapway {
			through++
		}
	}
	w.o.Log("calls through an API: %d led to tapway, %d past it, %d nowhere as tapway was away; tapway answered itself, by status: %v",
		through, len(w.calls.past), w.calls.none, w.calls.own)
	if n := w.calls.own[http.StatusBadGateway]; n > 5+through/50 {
		w.problem("tapway did not reach the backend too often", "%d of %d calls", n, through)
	}
}
