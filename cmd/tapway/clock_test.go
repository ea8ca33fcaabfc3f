package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// clockSource is added to package time in the program under torture. It moves the wall clock and
// leaves the monotonic one alone, as an operator or NTP does.
const clockSource = `package time

import (
	"sync/atomic"
	"syscall"
)

var (
	tortureRead atomic.Int64 // when the file was last read
	tortureOff  atomic.Int64 // seconds
)

// tortureClock is how many seconds the clock is off, as a file says that is read again now and then.
func tortureClock() int64 {
	now, last := runtimeNano(), tortureRead.Load()
	if last != 0 && now-last < 10_000_000 || !tortureRead.CompareAndSwap(last, now) {
		return tortureOff.Load()
	}
	path, ok := syscall.Getenv("TAPWAY_TORTURE_CLOCK")
	if !ok {
		return 0
	}
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return tortureOff.Load()
	}
	var text [32]byte
	n, _ := syscall.Read(fd, text[:])
	syscall.Close(fd)
	var off, sign int64 = 0, 1
	for _, c := range text[:max(n, 0)] {
		switch {
		case c == '-':
			sign = -1
		case '0' <= c && c <= '9':
			off = off*10 + int64(c-'0')
		}
	}
	tortureOff.Store(sign * off / 1e9)
	return sign * off / 1e9
}
`

// skewed builds tapway with a clock that can be moved from outside while it runs. It takes minutes:
// all of the standard library is built anew, and without the race detector, which would take longer. It gives the program, and
// the file that says how far the clock is off.
func skewed(t *testing.T) (program, clock string) {
	t.Helper()
	dir := t.TempDir()
	src := filepath.Join(runtime.GOROOT(), "src", "time")
	text, err := os.ReadFile(filepath.Join(src, "time.go"))
	if err != nil {
		t.Fatal(err)
	}
	const now, shifted = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n", "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n\tsec += tortureClock()\n"
	if strings.Count(string(text), now) != 1 {
		t.Fatal("time.Now is not what this test knows: read its source and mend the replacement")
	}
	replace := map[string]string{
		filepath.Join(src, "time.go"):          write(t, dir, "time.go", strings.Replace(string(text), now, shifted, 1)),
		filepath.Join(src, "torture_clock.go"): write(t, dir, "torture_clock.go", clockSource),
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	program, clock = filepath.Join(dir, "tapway"), filepath.Join(dir, "clock")
	began := time.Now()
	build := exec.CommandContext(t.Context(), "go", "build", "-overlay", write(t, dir, "overlay.json", string(overlay)), "-o", program, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build tapway with another clock: %v\n%s", err, out)
	}
	t.Logf("built tapway with a clock that can be moved, in %v", time.Since(began).Round(time.Second))
	return program, clock
}
