package http1

import (
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// A request that is sent at the moment at which the backend gives an idle connection up gets no
// answer, and one that is not idempotent must not be sent again. No look at the socket can tell,
// so idle connections are given up before the backend does: as long before as its Keep-Alive
// header allows, and without one by what was seen of it.
const (
	// patienceMargin is kept from what Keep-Alive says, or half of that if that is less. It is
	// for the way to the backend and back.
	patienceMargin = time.Second
	// patienceFrom is from what age the end of an idle connection tells of the backend's limit;
	// younger ones end because a backend ends.
	patienceFrom = time.Second
	// patienceFor is how long that is believed.
	patienceFor = 10 * time.Minute
)

// patience is how long a host keeps idle connections, by what was seen. A backend that restarts
// ends connections of any age, so what was learnt is given up at the first sight of a connection
// to the same address that is older and lives.
type patience struct {
	atomic.Pointer[patienceSeen]
}

type patienceSeen struct {
	limit time.Duration // three quarters of the youngest age at which a connection was closed
	wrong time.Duration // five quarters of it: one that is older and lives shows that it was no limit
	addr  string        // of that connection
	until time.Time
}

// saw takes in that the host has closed a connection to addr that was idle for age.
func (p *patience) saw(age time.Duration, addr net.Addr) {
	if age < patienceFrom {
		return
	}
	now, limit := time.Now(), age*3/4
	if seen := p.Load(); seen != nil && seen.limit <= limit && now.Before(seen.until) {
		return
	}
	seen := &patienceSeen{limit: limit, wrong: age * 5 / 4, until: now.Add(patienceFor)}
	if addr != nil {
		seen.addr = addr.String()
	}
	p.Store(seen)
}

// doubt takes in that a connection to addr lives that is idle for age; it reports whether nothing is left of what was learnt.
func (p *patience) doubt(age time.Duration, addr net.Addr) bool {
	seen := p.Load()
	if seen == nil {
		return true
	}
	if age < seen.wrong || addr == nil || addr.String() != seen.addr {
		return false
	}
	return p.CompareAndSwap(seen, nil)
}

// limit is 0 while nothing is known.
func (p *patience) limit(now time.Time) time.Duration {
	if seen := p.Load(); seen != nil && now.Before(seen.until) {
		return seen.limit
	}
	return 0
}

// idleLimit is how long the connection may be idle, by our own limit and by what the backend has told; 0: for ever.
func (cc *clientConn) idleLimit() time.Duration {
	limit := max(cc.t.idleTimeout(), 0)
	if cc.told > 0 && (limit == 0 || cc.told < limit) {
		limit = cc.told
	}
	return limit
}

// keepAliveTold reads the timeout of a Keep-Alive header (RFC 2068 §19.7.1), less the margin.
// It is 0 if there is none, and negative if the connection is not kept at all.
func keepAliveTold(values []string) time.Duration {
	for _, v := range values {
		for param := range strings.SplitSeq(v, ",") {
			name, value, _ := strings.Cut(param, "=")
			if !strings.EqualFold(strings.TrimSpace(name), "timeout") {
				continue
			}
			n, err := strconv.ParseUint(strings.Trim(value, " \t\""), 10, 31)
			if err != nil {
				return 0
			}
			if n == 0 {
				return -1
			}
			told := time.Duration(n) * time.Second
			return told - min(patienceMargin, told/2)
		}
	}
	return 0
}

// transportHungUp reports whether an error is how a connection ends that the backend closed.
func transportHungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
