package app

import (
	"runtime"
	"runtime/debug"
	runtimemetrics "runtime/metrics"
	"testing"
)

func TestPercentFor(t *testing.T) {
	for _, c := range []struct {
		live uint64
		want int
	}{
		{0, 1000}, {1 << 20, 1000}, {heapRoom/10 + 1, 999}, {8 << 20, 400}, {16 << 20, 200},
		{heapRoom - 1, 100}, {heapRoom, 100}, {heapRoom + 1, 100}, {1 << 40, 100},
	} {
		if got := percentFor(c.live); got != c.want {
			t.Errorf("%d bytes: %d, want %d", c.live, got, c.want)
		}
	}
}

// percent reads what is set.
func percent() uint64 {
	sample := []runtimemetrics.Sample{{Name: "/gc/gogc:percent"}}
	runtimemetrics.Read(sample)
	return sample[0].Value.Uint64()
}

func TestHeapRoom(t *testing.T) {
	before := debug.SetGCPercent(gcPercent)
	defer debug.SetGCPercent(before)

	HeapRoom(func(string) string { return "100" })()
	if got := percent(); got != gcPercent {
		t.Errorf("with GOGC: %d", got)
	}

	stop := HeapRoom(func(string) string { return "" })
	defer stop()
	// A large heap is collected as ever. The finalizer that sees it has a goroutine of its own.
	large := make([]byte, 2*heapRoom)
	settles(t, "with a large heap", func(p uint64) bool { return p == gcPercent })
	runtime.KeepAlive(large)
	settles(t, "with a small heap", func(p uint64) bool { return p > gcPercent })
	stop()
	if got := percent(); got != gcPercent {
		t.Errorf("afterwards: %d", got)
	}
	for range 3 {
		runtime.GC()
	}
	if got := percent(); got != gcPercent {
		t.Errorf("a collection later: %d", got)
	}
}

// settles collects until what is set satisfies.
func settles(t *testing.T, when string, ok func(uint64) bool) {
	t.Helper()
	for range 1000 {
		if ok(percent()) {
			return
		}
		runtime.GC()
		runtime.Gosched()
	}
	t.Errorf("%s: %d", when, percent())
}
