package access

import (
	"sync"
	"sync/atomic"
	"time"
)

// State is what the rules remember from one call to the next. It outlives a reload: a key keeps
// its bucket and a call under way its place, whatever becomes of the configuration. Make one
// with NewState.
type State struct {
	// KeyDir is a directory where identity providers' keys outlive a restart; "" for none. It is set
	// before use.
	KeyDir string

	start   time.Time // buckets count from here, by the monotonic clock
	counter Counter
	places  places
	bodies  atomic.Int64 // bytes of requests that are held to be verified
	replays replays

	mu      sync.Mutex
	buckets map[string]*bucket
	meters  map[string]*meter
	rings   map[KeySource]*Keyring // nil: none
}

// NewState makes an empty State. counter keeps the quotas, and the rates too if it is one of Rates.
func NewState(counter Counter, now time.Time) *State {
	s := &State{start: now, counter: counter, buckets: map[string]*bucket{}, meters: map[string]*meter{}}
	s.places.init()
	return s
}

// Throttle gives a rate the bucket of that name.
func (s *State) Throttle(name string, r Rate) *Throttle {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &Throttle{r, s.bucketLocked(name)}
}

func (s *State) bucketLocked(name string) *bucket {
	b := s.buckets[name]
	if b == nil {
		b = s.newBucket(name)
		s.buckets[name] = b
	}
	return b
}

// newBucket makes the bucket of a name, which other processes know by that name too.
func (s *State) newBucket(name string) *bucket {
	b := new(bucket)
	if rates, ok := s.counter.(Rates); ok {
		b.shared = rates.Rate(name)
	}
	return b
}

// meter is what one API key has used.
type meter struct {
	state  *State
	key    string
	bucket *bucket
	tally  Tally
	shown  atomic.Int64 // when the key was last shown, seconds since 1970; 0: never

	mu     sync.Mutex
	routes map[string]*bucket // by pattern; only those for which the plan has a rate of its own
}

func (s *State) meter(key string) *meter {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.meters[key]
	if m == nil {
		m = &meter{state: s, key: key, bucket: s.newBucket("key/" + key), tally: s.counter.Tally(key)}
		s.meters[key] = m
	}
	return m
}

// LastShown is when a call last showed the key of that ID, to the second; zero: not since the
// State was made.
func (s *State) LastShown(id string) time.Time {
	s.mu.Lock()
	m := s.meters[id]
	s.mu.Unlock()
	if m == nil || m.shown.Load() == 0 {
		return time.Time{}
	}
	return time.Unix(m.shown.Load(), 0)
}

// Shown are the IDs of the keys that were shown since the State was made, in no order.
func (s *State) Shown() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for id, m := range s.meters {
		if m.shown.Load() != 0 {
			out = append(out, id)
		}
	}
	return out
}

// show notes that a key was shown. Most calls find the second noted already, and write nothing.
func (m *meter) show(now time.Time) {
	if sec := now.Unix(); m.shown.Load() != sec {
		m.shown.Store(sec)
	}
}

func (m *meter) route(pattern string) *bucket {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.routes[pattern]
	if b == nil {
		if m.routes == nil {
			m.routes = map[string]*bucket{}
		}
		b = m.state.newBucket("key/" + m.key + "/" + pattern)
		m.routes[pattern] = b
	}
	return b
}
