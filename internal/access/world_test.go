package access

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/tapway/tapway"
)

var overTLS = &tls.ConnectionState{HandshakeComplete: true}

// world is a gate with rules before a backend that only counts.
type world struct {
	gate   Gate
	now    time.Time // of the calls; zero: time.Now
	call   *tapway.Call
	served int
	serve  http.HandlerFunc // nil: 200
	from   string
	seen   []string // names of deciders that refused
}

func newWorld(t testing.TB, deciders ...Decider) *world {
	t.Helper()
	w := &world{from: "203.0.113.7:4711"}
	w.rules(deciders...)
	return w
}

// rules puts others into force.
func (w *world) rules(deciders ...Decider) {
	w.gate.Set(NewChain(Options{Refused: func(name string) { w.seen = append(w.seen, name) }, Now: func() time.Time {
		if w.now.IsZero() {
			return time.Now()
		}
		return w.now
	}}, append([]Decider{&ClientAddress{}}, deciders...)...))
}

type answer struct {
	status int
	body   string
	header http.Header
}

func (w *world) get(t testing.TB, target string, headers ...string) answer {
	return w.do(t, "GET", target, headers...)
}

// do makes a call as a server would hand it over; headers are names and values in turn.
func (w *world) do(t testing.TB, method, target string, headers ...string) answer {
	t.Helper()
	r := httptest.NewRequest(method, "/", nil)
	r.RequestURI, r.RemoteAddr = target, w.from
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w.call = &tapway.Call{ID: tapway.NewID(time.Now())}
	r = r.WithContext(tapway.WithCall(r.Context(), w.call))
	out := httptest.NewRecorder()
	w.gate.Wrap(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.served++
		w.call.Origin = tapway.OriginBackend
		if w.serve != nil {
			w.serve(rw, r)
		}
	})).ServeHTTP(out, r)
	return answer{out.Code, out.Body.String(), out.Header()}
}
