package cache

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// entry is one answer that is kept. It is not changed once in the store.
type entry struct {
	freshness
	key    key
	place  place
	status int
	header http.Header
	body   []byte
	public bool

	names []string  // of Vary, when this only says by what the answers differ
	until time.Time // not zero: this only says that such answers are not kept, until then

	size       int64
	pins       int    // clients that have not taken all of it
	gone       bool   // from the store; what is pinned counts until the last client has it
	prev, next *entry // in the order of use
}

// place is where answers are, for those who invalidate or purge them. route is the rule's name,
// by which they can be purged.
type place struct{ host, path, route string }

// plain is p without the route: a change is one of the path, whatever rule it was kept by.
func (p place) plain() place { return place{host: p.host, path: p.path} }

func (p place) at(other place) bool { return p.plain() == other.plain() }

// overhead is about what an entry costs besides what it holds.
const overhead = 512

func (e *entry) weigh() {
	e.size = overhead + int64(cap(e.body)) + int64(len(e.place.host)+len(e.place.path))
	for name, lines := range e.header {
		e.size += int64(len(name)) + 64
		for _, l := range lines {
			e.size += int64(len(l)) + 16
		}
	}
	for _, n := range e.names {
		e.size += int64(len(n)) + 16
	}
}

// store is the entries, bounded in bytes; what was not used for the longest time goes first. What
// slow clients are still reading cannot go, in the store or out of it, and counts.
type store struct {
	mu      sync.Mutex
	entries map[key]*entry
	at      map[place]map[key]*entry
	head    entry // of the ring: next is the last used, prev the first to go
	limit   int64
	used    int64 // by entries and by bodies that are being filled
	fixed   int64 // of used: what cannot go to make room
	evicted uint64
	filling map[*fill]struct{}
}

func (s *store) init() {
	s.entries, s.at, s.filling = map[key]*entry{}, map[place]map[key]*entry{}, map[*fill]struct{}{}
	s.head.next, s.head.prev = &s.head, &s.head
}

// find gives the answer for a call, or the entry that says none is kept. at is the key under
// which one would be put.
func (s *store) find(k key, h http.Header) (e *entry, at key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e = s.entries[k]
	if e != nil && e.names != nil {
		s.touchLocked(e)
		k = variant(k, e.names, h)
		e = s.entries[k]
	}
	if e != nil {
		s.touchLocked(e)
	}
	return e, k
}

// put keeps e for a call with key k and header h. names is what its Vary says.
func (s *store) put(f *fill, k key, h http.Header, names []string, e *entry) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.putLocked(f, k, h, names, e)
}

// settle is put for an answer whose body is f's, of which n bytes are booked: they become e's, and
// e is pinned for the client that reads it.
func (s *store) settle(f *fill, n int64, h http.Header, names []string, e *entry) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bookLocked(-n)
	e.pins = 1
	if s.putLocked(f, f.key, h, names, e) {
		return true
	}
	s.bookLocked(n)
	return false
}

func (s *store) putLocked(f *fill, k key, h http.Header, names []string, e *entry) bool {
	if f.doomed {
		return false
	}
	index := s.entries[k]
	if index != nil && index.names != nil {
		names = slices.Compact(slices.Sorted(slices.Values(slices.Concat(names, index.names))))
	}
	if len(names) > maxVary {
		return false
	}
	e.key = k
	if len(names) > 0 {
		if index == nil || !slices.Equal(index.names, names) {
			s.addLocked(&entry{key: k, place: e.place, names: names})
		}
		e.key = variant(k, names, h)
	}
	return s.addLocked(e)
}

// mark notes for a moment that the answers of a key are not kept. It replaces no answer.
func (s *store) mark(k key, p place, until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.entries[k]; old == nil || !old.until.IsZero() {
		s.addLocked(&entry{key: k, place: p, until: until})
	}
}

func (s *store) addLocked(e *entry) bool {
	e.weigh()
	if old := s.entries[e.key]; old != nil {
		s.removeLocked(old)
	}
	if !s.roomLocked(e.size) {
		return false
	}
	s.used += e.size
	if e.pins > 0 {
		s.fixed += e.size
	}
	s.entries[e.key] = e
	there := s.at[e.place.plain()]
	if there == nil {
		there = map[key]*entry{}
		s.at[e.place.plain()] = there
	}
	there[e.key] = e
	e.next, e.prev = s.head.next, &s.head
	e.next.prev, s.head.next = e, e
	return true
}

// roomLocked lets the oldest go until n bytes fit, none if they never will.
func (s *store) roomLocked(n int64) bool {
	if s.fixed+n > s.limit {
		return false
	}
	for e := s.head.prev; s.used+n > s.limit && e != &s.head; {
		oldest := e
		e = e.prev
		if oldest.pins > 0 {
			continue
		}
		if oldest.until.IsZero() && oldest.names == nil {
			s.evicted++
		}
		s.removeLocked(oldest)
	}
	return s.used+n <= s.limit
}

// bookLocked counts n bytes that are not an entry's.
func (s *store) bookLocked(n int64) {
	s.used += n
	s.fixed += n
}

// pin is for a client that begins to read e, unpin for when it is done.
func (s *store) pin(e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.pins++; e.pins > 1 {
		return
	}
	s.fixed += e.size
	if e.gone {
		s.used += e.size
	}
}

func (s *store) unpin(e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.pins--; e.pins > 0 {
		return
	}
	s.fixed -= e.size
	if e.gone {
		s.used -= e.size
	}
}

// reserve takes n bytes for a body that is being filled.
func (s *store) reserve(n int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.roomLocked(n) {
		return false
	}
	s.bookLocked(n)
	return true
}

func (s *store) release(n int64) {
	s.mu.Lock()
	s.bookLocked(-n)
	s.mu.Unlock()
}

// remove takes e out, if it is still there.
func (s *store) remove(e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.entries[e.key] == e {
		s.removeLocked(e)
	}
}

func (s *store) removeLocked(e *entry) {
	delete(s.entries, e.key)
	there := s.at[e.place.plain()]
	if delete(there, e.key); len(there) == 0 {
		delete(s.at, e.place.plain())
	}
	e.prev.next, e.next.prev = e.next, e.prev
	if e.gone = true; e.pins == 0 {
		s.used -= e.size
	}
}

func (s *store) touchLocked(e *entry) {
	e.prev.next, e.next.prev = e.next, e.prev
	e.next, e.prev = s.head.next, &s.head
	e.next.prev, s.head.next = e, e
}

// begin and end say which answers are on their way.
func (s *store) begin(f *fill) {
	s.mu.Lock()
	s.filling[f] = struct{}{}
	f.doomed = f.s != f.c.settings.Load() // a reload has emptied the store meanwhile
	s.mu.Unlock()
}

func (s *store) isDoomed(f *fill) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return f.doomed
}

func (s *store) end(f *fill) {
	s.mu.Lock()
	delete(s.filling, f)
	s.mu.Unlock()
}

// invalidate takes out what is at p; what is on its way there is not kept either.
func (s *store) invalidate(p place) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.at[p.plain()] {
		n += s.dropLocked(e)
	}
	for f := range s.filling {
		f.doomed = f.doomed || f.place.at(p)
	}
	return n
}

// purge takes out what has a path and a route: "" is all, and a path that ends with "*" all that
// begin so.
func (s *store) purge(path, route string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	prefix, many := strings.CutSuffix(path, "*")
	matches := func(p place) bool {
		return (path == "" || p.path == path || many && strings.HasPrefix(p.path, prefix)) && (route == "" || p.route == route)
	}
	for _, there := range s.at {
		for _, e := range there {
			if matches(e.place) {
				n += s.dropLocked(e)
			}
		}
	}
	for f := range s.filling {
		f.doomed = f.doomed || matches(f.place)
	}
	return n
}

// dropLocked removes e and counts it if it was an answer.
func (s *store) dropLocked(e *entry) int {
	s.removeLocked(e)
	if e.names == nil && e.until.IsZero() {
		return 1
	}
	return 0
}
