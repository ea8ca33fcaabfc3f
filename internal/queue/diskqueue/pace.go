package diskqueue

import (
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/tapway/tapway"
)

// What looking at a record costs, in rows of an index.
const (
	costRow  = 1
	costMeta = 8
	costLoad = 32
	// costLook is after how much of it the time is looked at.
	costLook = 2048
)

const (
	// paceSlice is how long a search works before it lets others have a turn.
	paceSlice = 2 * time.Millisecond
	// paceFree is how long it works at first without waiting: time for one page from the index.
	paceFree = 100 * time.Millisecond
	// paceShare is how many times as long as they work all searches together rest while records
	// come in.
	paceShare = 4
	// paceBytes is how many bytes a second all searches together read of whole frames then.
	paceBytes = 64 << 20
	// tellEvery is how often progress is told.
	tellEvery = 100 * time.Millisecond
)

// pace keeps a long search from taking the machine away from the gateway. A search of a
// store into which nothing is written runs as fast as it can; otherwise it works in slices and
// rests in between, and all searches share one allowance.
type pace struct {
	q      *Queue
	ctx    context.Context
	search *tapway.Search

	cost   int           // since the last look at the time
	bytes  int64         // of whole frames, since the last rest
	began  time.Time     // when this slice began
	worked time.Duration // before this slice
	owed   time.Duration // of worked, what no rest was taken for
	seen   uint64        // the newest position at the last rest

	searched, total, position uint64
	told                      time.Time
}

// turns is the allowance that all searches share while records come in.
type turns struct {
	mu   sync.Mutex
	free time.Time // when everything given out so far is used up
}

// take gives how long to wait from now for d.
func (t *turns) take(now time.Time, d time.Duration) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.free.Before(now) {
		t.free = now
	}
	t.free = t.free.Add(d)
	return t.free.Sub(now)
}

func (q *Queue) newPace(ctx context.Context, s *tapway.Search) *pace {
	now := time.Now()
	return &pace{q: q, ctx: ctx, search: s, began: now, told: now, seen: q.last.Load()}
}

// at counts one record that was looked at.
func (p *pace) at(seq uint64) {
	p.searched++
	p.position = seq
}

// did is at, and a rest if it is time for one. Its error ends the search.
func (p *pace) did(seq uint64) error {
	p.at(seq)
	if p.cost += costRow; p.cost < costLook {
		return nil
	}
	p.cost = 0
	if err := p.q.ended(p.ctx); err != nil {
		return err
	}
	if time.Since(p.began) < paceSlice {
		return nil
	}
	p.stop()
	defer p.start()
	p.tell(false)
	return p.rest()
}

// rest lets others have a turn.
func (p *pace) rest() error {
	last, owed, bytes := p.q.last.Load(), p.owed, p.bytes
	idle := last == p.seen
	p.seen, p.owed, p.bytes = last, 0, 0
	if idle || p.worked < paceFree {
		runtime.Gosched()
		return nil
	}
	d := max(paceShare*owed, time.Duration(bytes)*(time.Second/paceBytes))
	timer := time.NewTimer(p.q.scans.take(time.Now(), d))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.ctx.Done():
	case <-p.q.closing:
	}
	return p.q.ended(p.ctx)
}

// stop and start frame what is not the search's own work.
func (p *pace) stop() {
	d := time.Since(p.began)
	p.worked += d
	p.owed += d
}

func (p *pace) start() { p.began = time.Now() }

// past says that a segment is done with up to position last, and how many records have been
// searched with it.
func (p *pace) past(seg *segment, last, searched uint64) {
	p.searched = searched
	if p.position = seg.first; p.search.Oldest {
		p.position = min(seg.last.Load(), last)
	}
}

// tell tells how far the search is, if it is time or must be told now.
func (p *pace) tell(now bool) {
	if p.search.Progress == nil || !now && time.Since(p.told) < tellEvery {
		return
	}
	p.told = time.Now()
	p.search.Progress(tapway.SearchProgress{Searched: min(p.searched, p.total), Total: p.total, Position: p.position})
}
