package http1

import (
	"errors"
	"io"
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
	patienceFor = time.Hour
)

// patience is how long a host keeps idle connections, by what was seen.
type patience struct {
	atomic.Pointer[patienceSeen]
}

type patienceSeen struct {
	limit time.Duration // three quarters of the youngest age at which a connection was closed
	until time.Time
}

// saw takes in that the host has closed a connection that was idle for age.
func (p *patience) saw(age time.Duration) {
	if age < patienceFrom {
		return
	}
	now, limit := time.Now(), age*3/4
	if seen := p.Load(); seen != nil && seen.limit <= limit && now.Before(seen.until) {
		return
	}
	p.Store(&patienceSeen{limit, now.Add(patienceFor)})
}

// limit is 0 while nothing is known.
func (p *patience) limit(now time.Time) time.Duration {
	if seen := p.Load(); seen != nil && now.Before(seen.until) {
		return seen.limit
	}
	return 0
}

// idleLimit is how long the connection may be idle and still be used; 0: for ever.
func (cc *clientConn) idleLimit(now time.Time) time.Duration {
	limit := max(cc.t.idleTimeout(), 0)
	for _, less := range [...]time.Duration{cc.told, cc.host.patience.limit(now)} {
		if less > 0 && (limit == 0 || less < limit) {
			limit = less
		}
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
