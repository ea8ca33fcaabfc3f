package app

import (
	"runtime"
	"runtime/debug"
	runtimemetrics "runtime/metrics"
	"sync"
)

const (
	// heapRoom is what the heap may always grow by before it is collected. What is live in a gateway
	// is a few megabytes: collected whenever that has doubled, as Go does by itself, it costs a tenth
	// of the CPU of every call.
	heapRoom = 32 << 20

	gcPercent    = 100 // Go's own, which goes for heaps larger than heapRoom
	maxGCPercent = 1000
)

// HeapRoom lets the heap of this process grow by 32 MiB, or to twice what is live if that is more, before it is
// collected. It is for programs that serve calls, to be called once; stop goes back to what Go does by
// itself. GOGC in the environment goes before it, and GOMEMLIMIT holds as ever.
func HeapRoom(getenv func(string) string) (stop func()) {
	if getenv("GOGC") != "" {
		return func() {}
	}
	k := &heapKeeper{percent: gcPercent}
	k.after()
	return k.stop
}

// heapKeeper looks at the heap after every collection.
type heapKeeper struct {
	mu      sync.Mutex // or what stop sets could be undone by a look that was under way
	percent int
	stopped bool
}

func (k *heapKeeper) stop() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.stopped {
		k.stopped = true
		debug.SetGCPercent(gcPercent)
	}
}

// collected becomes garbage at once, so that its finalizer tells of every collection.
type collected struct{ k *heapKeeper }

func (k *heapKeeper) after() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stopped {
		return
	}
	sample := []runtimemetrics.Sample{{Name: "/gc/heap/live:bytes"}}
	runtimemetrics.Read(sample)
	if want := percentFor(sample[0].Value.Uint64()); want < k.percent*7/8 || want > k.percent*9/8 {
		k.percent = want
		debug.SetGCPercent(want) // it stops the world for a moment: not for every small change
	}
	runtime.SetFinalizer(&collected{k}, func(c *collected) { c.k.after() })
}

// percentFor is the GOGC by which a heap of live bytes gets its room.
func percentFor(live uint64) int {
	return int(min(max(heapRoom*100/max(live, 1), gcPercent), maxGCPercent))
}
