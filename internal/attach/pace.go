package attach

import (
	"context"
	"sync"
	"time"
)

// Pacer spaces calls to the management API, whose limits hold for an account and region and
// cannot be raised: 10 calls a second over all, and less for some. The zero Pacer does not
// wait. It is safe for concurrent use.
type Pacer struct {
	Every time.Duration            // between any two calls
	Each  map[string]time.Duration // between two calls of one operation, besides

	Now   func() time.Time                           // nil: time.Now
	Sleep func(context.Context, time.Duration) error // nil: a timer

	mu    sync.Mutex
	next  time.Time
	each  map[string]time.Time
	extra time.Duration // between calls besides, since AWS answered 429
}

// Answered tells the pacer how a call fared: refused is 429, Too Many Requests. Others use up
// the account's allowance then; calls come half as often, down to one in four seconds, and
// slowly faster again with each that is answered.
func (p *Pacer) Answered(refused bool) {
	if p == nil || p.Every <= 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if refused {
		p.extra = min(2*p.extra+p.Every, 4*time.Second)
	} else {
		p.extra -= p.extra / 8
	}
}

// NewPacer leaves half of what AWS grants an account to everybody else. rate is calls per
// second; 0 is the default of 5.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html
func NewPacer(rate float64) *Pacer {
	if rate <= 0 {
		rate = 5
	}
	p := &Pacer{Every: time.Duration(float64(time.Second) / rate)}
	p.Each = map[string]time.Duration{ // granted: GetResources 5 in 2 s, CreateDeployment 1 in 5 s
		"GetResources":     3 * p.Every,
		"CreateDeployment": 26 * p.Every,
	}
	return p
}

// Wait returns when a call of an operation may be made.
func (p *Pacer) Wait(ctx context.Context, operation string) error {
	if p == nil || p.Every <= 0 {
		return ctx.Err()
	}
	now := time.Now
	if p.Now != nil {
		now = p.Now
	}
	p.mu.Lock()
	at := now()
	if p.next.After(at) {
		at = p.next
	}
	if gap, ok := p.Each[operation]; ok {
		if own := p.each[operation]; own.After(at) {
			at = own
		}
		if p.each == nil {
			p.each = map[string]time.Time{}
		}
		p.each[operation] = at.Add(gap)
	}
	p.next = at.Add(p.Every + p.extra)
	p.mu.Unlock()
	pause := at.Sub(now())
	if pause <= 0 {
		return ctx.Err()
	}
	if p.Sleep != nil {
		return p.Sleep(ctx, pause)
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
