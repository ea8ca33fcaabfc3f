//go:build unix

package app

import (
	"syscall"
	"testing"
	"time"
)

// reportCPU adds what a benchmark's loop takes of the processor, which a busy machine does not
// stretch as it does the time. Call what it gives behind the loop.
func reportCPU(b *testing.B) (end func()) {
	used := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	began := used()
	return func() { b.ReportMetric(float64(used()-began)/float64(b.N), "cpu-ns/op") }
}
