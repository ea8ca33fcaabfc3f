package lambdaapp

import (
	"runtime"
	"runtime/debug"
)

const (
	// gcPercent lets the heap grow to five times what is live before it is collected. What is live is three
	// megabytes, and a function has at least 128: collecting at twice that would cost more than the calls do.
	gcPercent = 400

	// wholeCPU is the memory from which on a function has more than one processor's time.
	wholeCPU = 1769 << 20
)

// Tune fits the Go runtime to a function; call it first of all, so that it holds for the start too. GOGC, GOMEMLIMIT and
// GOMAXPROCS in the environment go before it.
//
// Lambda shows two processors to functions that have a fraction of one: a second thread then only takes
// time from the first, and the two spend more on waking each other than a call costs. AWS has the numbers under "Configure Lambda
// function memory".
func Tune(getenv func(string) string) {
	size := memory(getenv)
	if getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if size > 0 && getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(size / 10 * 8)
	}
	if 0 < size && size < wholeCPU && getenv("GOMAXPROCS") == "" && getenv("AWS_LAMBDA_MAX_CONCURRENCY") == "" {
		runtime.GOMAXPROCS(1)
	}
}
