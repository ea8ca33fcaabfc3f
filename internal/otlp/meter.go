package otlp

import (
	"maps"
	"math"
	"sort"
	"sync"
	"sync/atomic"
)

// maxSeries is how many series one instrument has; what comes then goes to one further series with
// the attribute otel.metric.overflow, as the SDK's specification has it.
const maxSeries = 2000

var overflow = []Attr{Bool("otel.metric.overflow", true)}

// table finds the series of a key without a lock once it is known.
type table[K comparable, V any] struct {
	known atomic.Pointer[map[K]*V]
	mu    sync.Mutex // of who adds one
	rest  atomic.Pointer[V]
}

func (t *table[K, V]) get(key K, fresh func() *V) *V {
	if known := t.known.Load(); known != nil {
		if v, ok := (*known)[key]; ok {
			return v
		}
		if len(*known) >= maxSeries {
			if v := t.rest.Load(); v != nil {
				return v
			}
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	next := map[K]*V{}
	if known := t.known.Load(); known != nil {
		if v, ok := (*known)[key]; ok {
			return v
		}
		if len(*known) >= maxSeries {
			if t.rest.Load() == nil {
				t.rest.Store(fresh())
			}
			return t.rest.Load()
		}
		next = maps.Clone(*known)
	}
	next[key] = fresh()
	t.known.Store(&next)
	return next[key]
}

// each gives every series with its attributes.
func (t *table[K, V]) each(attrs func(K) []Attr, give func([]Attr, *V)) {
	if known := t.known.Load(); known != nil {
		for key, v := range *known {
			give(attrs(key), v)
		}
	}
	if v := t.rest.Load(); v != nil {
		give(overflow, v)
	}
}

// Histogram counts values by key. Bounds are the upper bounds, in order, of all buckets but the
// last, and inclusive. It is safe for concurrent use.
type Histogram[K comparable] struct {
	Bounds []float64
	series table[K, histogramSeries]
}

type histogramSeries struct {
	counts []atomic.Uint64
	sum    atomic.Uint64 // the bits of a float64
}

// Observe counts one value.
func (h *Histogram[K]) Observe(key K, v float64) {
	s := h.series.get(key, func() *histogramSeries {
		return &histogramSeries{counts: make([]atomic.Uint64, len(h.Bounds)+1)}
	})
	for {
		old := s.sum.Load()
		if s.sum.CompareAndSwap(old, math.Float64bits(math.Float64frombits(old)+v)) {
			break
		}
	}
	s.counts[sort.SearchFloat64s(h.Bounds, v)].Add(1)
}

// Points are the series of this moment; attrs gives the attributes of a key.
func (h *Histogram[K]) Points(attrs func(K) []Attr) []Point {
	var out []Point
	h.series.each(attrs, func(list []Attr, s *histogramSeries) {
		p := Point{Attrs: list, Sum: math.Float64frombits(s.sum.Load()), Counts: make([]uint64, len(s.counts))}
		for i := range s.counts {
			p.Counts[i] = s.counts[i].Load()
			p.Count += p.Counts[i]
		}
		out = append(out, p)
	})
	return out
}

// Level counts up and down by key. It is safe for concurrent use.
type Level[K comparable] struct {
	series table[K, atomic.Int64]
}

// Add changes the level of a key.
func (l *Level[K]) Add(key K, n int64) {
	l.series.get(key, func() *atomic.Int64 { return new(atomic.Int64) }).Add(n)
}

// Points are the levels of this moment; attrs gives the attributes of a key.
func (l *Level[K]) Points(attrs func(K) []Attr) []Point {
	var out []Point
	l.series.each(attrs, func(list []Attr, n *atomic.Int64) {
		out = append(out, Point{Attrs: list, Value: float64(n.Load())})
	})
	return out
}
