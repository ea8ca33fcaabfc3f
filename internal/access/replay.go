package access

import (
	"crypto/sha256"
	"sync"
	"time"
)

// maxReplays is how many signatures are remembered; further ones are refused, because a replay
// could not be told.
const maxReplays = 1 << 18

// sweepEvery is how often what has expired is let go of.
const sweepEvery = time.Minute

// replays remembers what has been here until it would have expired anyway. The zero value is
// empty.
type replays struct {
	mu    sync.Mutex
	until map[[sha256.Size]byte]int64 // seconds since 1970
	swept time.Time
}

// add remembers one; fresh is false if it is there already, room if there is no more of it.
func (p *replays) add(one [sha256.Size]byte, until, now time.Time) (fresh, room bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if end, known := p.until[one]; known && end >= now.Unix() {
		return false, true
	}
	if since := now.Sub(p.swept); since >= sweepEvery || since < 0 || len(p.until) >= maxReplays {
		p.sweepLocked(now)
	}
	if len(p.until) >= maxReplays {
		return true, false
	}
	if p.until == nil {
		p.until = map[[sha256.Size]byte]int64{}
	}
	p.until[one] = until.Unix()
	return true, true
}

func (p *replays) sweepLocked(now time.Time) {
	p.swept = now
	for one, end := range p.until {
		if end < now.Unix() {
			delete(p.until, one)
		}
	}
}

func (p *replays) remove(one [sha256.Size]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.until, one)
}
