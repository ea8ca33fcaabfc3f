package access

import (
	"hash/maphash"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Concurrency is the decider of how many calls are under way at once: of one address, else it
// is answered 429, and in all, else 503. Addresses of IPv6 count together by /64, which is what
// one customer gets.
type Concurrency struct {
	PerAddress int // 0: no bound
	Total      int // 0: no bound
	State      *State
}

func (*Concurrency) Phase() Phase { return Limits }
func (*Concurrency) Name() string { return "limits" }

var (
	addressBusy = TooManyRequests("limits: calls of this address", time.Second)
	gatewayBusy = &Refusal{Status: http.StatusServiceUnavailable, Type: "ServiceUnavailableException", Body: unavailableBody, RetryAfter: time.Second, Reason: "limits: calls in all"}
)

// Decide is Decider.
func (c *Concurrency) Decide(r *Request) *Refusal {
	p := &c.State.places
	if r.Dry {
		r.Because("at most %s calls of one address and %s in all are served at once", orAny(c.PerAddress), orAny(c.Total))
		return nil
	}
	if n := p.total.Add(1); c.Total > 0 && n > int64(c.Total) {
		p.total.Add(-1)
		return gatewayBusy
	}
	if c.PerAddress > 0 && r.Client.IsValid() {
		if !p.enter(customer(r.Client), c.PerAddress) {
			p.total.Add(-1)
			return addressBusy
		}
		r.placed = true
	}
	return nil
}

// End is Holder.
func (c *Concurrency) End(r *Request, _ bool) {
	p := &c.State.places
	p.total.Add(-1)
	if r.placed {
		p.leave(customer(r.Client))
		r.placed = false
	}
}

// customer is what one customer's addresses have in common.
func customer(addr netip.Addr) netip.Addr {
	if addr.Is6() && !addr.Is4In6() {
		p, _ := addr.Prefix(64) // IPv6 has that many bits
		return p.Addr()
	}
	return addr.Unmap()
}

// places counts what is under way, in all and by address. Memory is only taken by addresses
// that have something under way.
type places struct {
	total  atomic.Int64
	seed   maphash.Seed
	shards [64]struct {
		mu sync.Mutex
		n  map[netip.Addr]int
	}
}

func (p *places) init() { p.seed = maphash.MakeSeed() }

// enter takes a place, unless limit are taken.
func (p *places) enter(addr netip.Addr, limit int) bool {
	s := &p.shards[maphash.Comparable(p.seed, addr)%uint64(len(p.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.n[addr] >= limit {
		return false
	}
	if s.n == nil {
		s.n = map[netip.Addr]int{}
	}
	s.n[addr]++
	return true
}

func (p *places) leave(addr netip.Addr) {
	s := &p.shards[maphash.Comparable(p.seed, addr)%uint64(len(p.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.n[addr]--; s.n[addr] <= 0 {
		delete(s.n, addr)
	}
}

func orAny(n int) string {
	if n == 0 {
		return "any number of"
	}
	return strconv.Itoa(n)
}
