package lambdaapp

import (
	"math"
	"runtime"
	"runtime/debug"
	"testing"
)

func TestTune(t *testing.T) {
	percent, limit, procs := debug.SetGCPercent(100), debug.SetMemoryLimit(-1), runtime.GOMAXPROCS(0)
	t.Cleanup(func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
		runtime.GOMAXPROCS(procs)
	})
	for _, c := range []struct {
		name    string
		env     map[string]string
		percent int
		limit   int64
		procs   int
	}{
		{"outside of Lambda", nil, 400, math.MaxInt64, 2},
		{"a fraction of a processor", map[string]string{"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128"}, 400, (128 << 20) / 10 * 8, 1},
		{"the last of them", map[string]string{"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1768"}, 400, (1768 << 20) / 10 * 8, 1},
		{"a whole one", map[string]string{"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769"}, 400, (1769 << 20) / 10 * 8, 2},
		{"several calls at a time", map[string]string{"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512", "AWS_LAMBDA_MAX_CONCURRENCY": "10"}, 400, (512 << 20) / 10 * 8, 2},
		{"the operator's word", map[string]string{"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512", "GOGC": "50", "GOMEMLIMIT": "1GiB", "GOMAXPROCS": "2"}, 100, math.MaxInt64, 2},
	} {
		debug.SetGCPercent(100)
		debug.SetMemoryLimit(math.MaxInt64)
		runtime.GOMAXPROCS(2)
		Tune(func(name string) string { return c.env[name] })
		if got := runtime.GOMAXPROCS(0); got != c.procs {
			t.Errorf("%s: GOMAXPROCS is %d, want %d", c.name, got, c.procs)
		}
		if got := debug.SetMemoryLimit(-1); got != c.limit {
			t.Errorf("%s: the memory limit is %d, want %d", c.name, got, c.limit)
		}
		if got := debug.SetGCPercent(100); got != c.percent {
			t.Errorf("%s: the GC percentage is %d, want %d", c.name, got, c.percent)
		}
	}
}
