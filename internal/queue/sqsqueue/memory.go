package sqsqueue

import (
	"sync"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/queue/claimcheck"
)

// memory is what this process knows of the messages it has received, beyond what SQS keeps. It is
// bounded: of those that are not leased the oldest are forgotten first, and then treated as
// if another process had received them.
type memory struct {
	max int

	mu    sync.Mutex
	past  map[string]*past // by message ID
	order []string         // by when they were first received
}

// past is one message's.
type past struct {
	handle   string    // the newest receipt handle: older ones may delete nothing
	receives int       // SQS's count with that handle
	received time.Time // last
	until    time.Time // when the lease ends
	held     bool      // received, and not settled since
	spared   int       // receives that were no attempts: released, or the lease ended
	first    time.Time // end of the first failed attempt here
	reason   string    // of the last failed attempt
	dead     bool      // the dead-letter queue has it
	gone     bool      // deleted, or to be deleted when seen again
}

func (m *memory) init(max int) { m.max, m.past = max, map[string]*past{} }

// admission says what to do with a received message.
type admission uint8

const (
	fresh     admission = iota // give it out
	duplicate                  // it is leased here: SQS gave it twice
	settled                    // it was deleted here: delete it again
)

// admit books a received message. Polls that run side by side may give the same message, and
// their answers come in any order: receives, SQS's count, tells which handle is the newer one.
func (m *memory) admit(id, handle string, receives int, now time.Time, lease time.Duration) (admission, past) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.past[id]
	if p == nil {
		m.forgetLocked()
		p = &past{}
		m.past[id] = p
		m.order = append(m.order, id)
	}
	leased := p.held && now.Before(p.until.Add(-lease/10)) // SQS's clock began earlier than ours
	if older := receives < p.receives && (leased || p.gone) && now.Before(p.until); !older {
		p.handle, p.receives = handle, receives
	}
	switch {
	case p.gone:
		return settled, *p
	case leased:
		p.spared++
		p.received, p.until = now, now.Add(lease)
		return duplicate, *p
	case p.held:
		p.spared++ // the lease ended by itself
	}
	p.held, p.received, p.until = true, now, now.Add(lease)
	return fresh, *p
}

// forgetLocked makes room for one more.
func (m *memory) forgetLocked() {
	for range m.order {
		if len(m.past) < m.max {
			return
		}
		id := m.order[0]
		m.order = m.order[1:]
		if p := m.past[id]; p != nil && p.held && !p.gone {
			m.order = append(m.order, id) // leased: it stays
			continue
		}
		delete(m.past, id)
	}
}

// claim decides what a settlement does: with which handle, since when it is leased, and whether
// at all. A message that is not remembered is settled as the receipt says.
func (m *memory) claim(r *Receipt, v tapway.Verdict) (p past, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	known := m.past[r.MessageID]
	if known == nil {
		p = past{handle: r.Handle, received: time.UnixMilli(r.Received), held: true}
		if r.Received == 0 {
			p.received = time.Now()
		}
		return p, true
	}
	return *known, !known.gone && (known.held || v == tapway.Delivered)
}

// newest is the newest receipt handle of a message; otherwise, if it is not remembered or there
// is no memory.
func (m *memory) newest(id, otherwise string) string {
	if m == nil {
		return otherwise
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.past[id]; p != nil && p.handle != "" {
		return p.handle
	}
	return otherwise
}

// rememberLocked is the past of a message, made when there is none: of one that was adopted.
func (m *memory) rememberLocked(id string) *past {
	p := m.past[id]
	if p == nil {
		m.forgetLocked()
		p = &past{}
		m.past[id] = p
		m.order = append(m.order, id)
	}
	return p
}

// buried notes that the dead-letter queue has the message.
func (m *memory) buried(id string) {
	m.mu.Lock()
	m.rememberLocked(id).dead = true
	m.mu.Unlock()
}

// deleted notes that the message is gone, and reports whether that is new.
func (m *memory) deleted(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.rememberLocked(id)
	was := p.gone
	p.gone, p.held = true, false
	return !was
}

// returned notes that the message is back in the queue.
func (m *memory) returned(id string, o tapway.Outcome, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.rememberLocked(id)
	p.held = false
	if o.Verdict != tapway.Retry {
		p.spared++
		return
	}
	p.reason = o.Reason
	if p.first.IsZero() {
		p.first = now
	}
}

// lease is one that may need extending.
type lease struct {
	id, handle string
}

// ending lists the leases that end before a time and were begun after another.
func (m *memory) ending(before, begun time.Time) (all []lease) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, p := range m.past {
		if p.held && !p.gone && p.until.Before(before) && p.received.After(begun) {
			all = append(all, lease{id, p.handle})
		}
	}
	return all
}

// extended notes a new end of a lease, unless the message was settled or received again meanwhile.
func (m *memory) extended(l lease, until time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.past[l.id]; p != nil && p.held && p.handle == l.handle {
		p.until = until
	}
}

// recent remembers the last pointers that were put into it.
type recent struct {
	mu   sync.Mutex
	max  int
	ring []claimcheck.Pointer // made by the first add: who only sends never adds, and pays for it at every cold start
	next int
	set  map[claimcheck.Pointer]bool
}

func (r *recent) init(max int) { r.max = max }

func (r *recent) add(p claimcheck.Pointer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ring == nil {
		r.ring, r.set = make([]claimcheck.Pointer, r.max), map[claimcheck.Pointer]bool{}
	}
	if r.set[p] {
		return
	}
	delete(r.set, r.ring[r.next])
	r.ring[r.next], r.set[p] = p, true
	r.next = (r.next + 1) % len(r.ring)
}

func (r *recent) has(p claimcheck.Pointer) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.set[p]
}
