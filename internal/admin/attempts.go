package admin

import (
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

// What may be guessed: an address has some tries at once and one more after each pause, and so have all
// addresses together. A try that was right costs nothing.
const (
	triesPerAddress = 10
	pausePerAddress = 10 * time.Second
	triesInAll      = 100
	pauseInAll      = time.Second

	maxAddresses = 10_000 // that are remembered
)

// attempts bounds how often the token can be guessed. The zero value is ready.
//
// Strangers cannot lock anybody else out: when all tries are used up, an address that has not been wrong
// lately still has one.
type attempts struct {
	mu   sync.Mutex
	all  tries
	from map[netip.Prefix]*tries
}

// tries is what is left of a number of them; the zero value is full.
type tries struct {
	used float64
	at   time.Time
}

func (t *tries) refill(now time.Time, pause time.Duration) {
	if elapsed := now.Sub(t.at); elapsed > 0 {
		t.used = max(0, t.used-float64(elapsed)/float64(pause))
		t.at = now
	}
}

// begin takes a try; without one it gives the time until there is one.
func (a *attempts) begin(addr netip.Prefix, now time.Time) (wait time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	one := a.from[addr]
	if one == nil {
		one = a.addLocked(addr, now)
	}
	one.refill(now, pausePerAddress)
	a.all.refill(now, pauseInAll)
	most := float64(triesPerAddress - 1) // that may be used before this one
	if a.all.used > triesInAll-1 {
		most = 0
	}
	if one.used > most {
		return time.Duration((one.used - most) * float64(pausePerAddress))
	}
	one.used++
	a.all.used = min(a.all.used+1, triesInAll)
	return 0
}

// right gives a try back.
func (a *attempts) right(addr netip.Prefix) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if one := a.from[addr]; one != nil {
		one.used = max(0, one.used-1)
	}
	a.all.used = max(0, a.all.used-1)
}

func (a *attempts) addLocked(addr netip.Prefix, now time.Time) *tries {
	if a.from == nil {
		a.from = map[netip.Prefix]*tries{}
	}
	if len(a.from) >= maxAddresses {
		for old, t := range a.from {
			if t.refill(now, pausePerAddress); t.used == 0 {
				delete(a.from, old)
			}
		}
		for old := range a.from {
			if len(a.from) < maxAddresses {
				break
			}
			delete(a.from, old)
		}
	}
	t := &tries{at: now}
	a.from[addr] = t
	return t
}

// addressOf is where a request comes from; IPv6 by /64, which is what one customer gets.
func addressOf(r *http.Request) netip.Prefix {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Prefix{} // together, and bounded as one
	}
	addr, bits := from.Addr().Unmap().WithZone(""), 32
	if addr.Is6() {
		bits = 64
	}
	prefix, _ := addr.Prefix(bits)
	return prefix
}

// proves reports whether a try is right, and answers those that are not, or come too often: then right is not
// asked. Each is counted.
func (s *Server) proves(w http.ResponseWriter, r *http.Request, right func() bool, wrong func()) bool {
	addr := addressOf(r)
	if wait := s.attempts.begin(addr, time.Now()); wait > 0 {
		s.loginRefused("throttled")
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
		writeError(w, http.StatusTooManyRequests, "too many wrong tokens came from there; try again later")
		return false
	}
	if right() {
		s.attempts.right(addr)
		return true
	}
	s.loginRefused("wrong")
	s.log().Warn("admin token refused", "from", r.RemoteAddr, "path", r.URL.Path)
	wrong()
	return false
}

func (s *Server) loginRefused(reason string) {
	if s.LoginRefused != nil {
		s.LoginRefused(reason)
	}
}
