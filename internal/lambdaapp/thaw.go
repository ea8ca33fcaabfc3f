package lambdaapp

import (
	"net/http"
	"time"
)

// thawed gives idle connections to the backends up before a call that cannot be made twice, when none was used for a while. What the
// backend, or something on the way to it, sends while the environment is frozen is lost: a connection that was closed then looks
// open still, and the call that uses it fails. A call that can be made twice is, by the transport.
func (p *proxyFunction) thawed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if last := p.last.Load(); last != 0 && !repeatable(r) && time.Now().UnixNano()-last > int64(freshFor) {
			p.routes.Close()
			p.tables.close()
		}
		defer func() { p.last.Store(time.Now().UnixNano()) }()
		next.ServeHTTP(w, r)
	})
}

// repeatable reports whether the transport sends a request again that got no answer (RFC 9110 §9.2.2); of one with a body it has
// no second copy.
func repeatable(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return r.ContentLength == 0
	}
	return false
}

// close lets the idle connections of all tables' routes go.
func (t *tables) close() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, one := range t.apis {
		if one.mu.TryLock() { // else it is being read, or chosen from: then the environment was not frozen
			if one.routes != nil {
				one.routes.Close()
			}
			one.mu.Unlock()
		}
	}
}
