// Command clock writes what `go build -overlay` needs to build a program whose clock can be moved
// from outside while it runs:
//
//	go run ./.ci/clock DIR
//	go build -overlay DIR/overlay.json ...
//
// The program reads how far its clock is off, in nanoseconds, from the first eight bytes of the file that
// TAPWAY_CLOCK names, in the machine's order of bytes. The wall clock alone moves, as after `date -s`:
// the monotonic one, and with it every timer, goes on. Without the variable nothing is different.
//
// What a newcomer gets wrong: a process cannot have a wall clock of its own (time namespaces have
// none), and libfaketime does not reach a program that asks the kernel without libc. So the standard
// library is built anew, which takes minutes once.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// The line of time.Now that is replaced.
const (
	now   = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	moved = "func Now() Time {\n\tsec, nsec, mono := moved(runtimeNow())\n"
)

const source = `//go:build unix

package time

import (
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"
)

var (
	movedOnce sync.Once
	movedBy   *int64 // nanoseconds, in memory that another process writes to; nil: nothing moves it
)

func openMoved() {
	path, ok := syscall.Getenv("TAPWAY_CLOCK")
	if !ok {
		return
	}
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer syscall.Close(fd)
	if page, err := syscall.Mmap(fd, 0, 8, syscall.PROT_READ, syscall.MAP_SHARED); err == nil {
		movedBy = (*int64)(unsafe.Pointer(&page[0]))
	}
}

// moved adds to the wall clock what it is to be off.
func moved(sec int64, nsec int32, mono int64) (int64, int32, int64) {
	movedOnce.Do(openMoved)
	if movedBy == nil {
		return sec, nsec, mono
	}
	off := atomic.LoadInt64(movedBy)
	sec, off = sec+off/1e9, off%1e9+int64(nsec)
	if off < 0 {
		sec, off = sec-1, off+1e9
	} else if off >= 1e9 {
		sec, off = sec+1, off-1e9
	}
	return sec, int32(off), mono
}
`

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: go run ./.ci/clock DIR")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "clock:", err)
		os.Exit(1)
	}
}

func write(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("go env GOROOT: %w", err)
	}
	src := filepath.Join(strings.TrimSpace(string(root)), "src", "time")
	text, err := os.ReadFile(filepath.Join(src, "time.go"))
	if err != nil {
		return err
	}
	if strings.Count(string(text), now) != 1 {
		return fmt.Errorf("time.Now in %s is not what this program knows: read it and mend the replacement", src)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{
		filepath.Join(src, "time.go"):       filepath.Join(dir, "time.txt"),
		filepath.Join(src, "moved_unix.go"): filepath.Join(dir, "moved_unix.txt"),
	}})
	if err != nil {
		return err
	}
	for name, data := range map[string]string{
		"time.txt": strings.Replace(string(text), now, moved, 1), "moved_unix.txt": source, "overlay.json": string(overlay),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			return err
		}
	}
	return nil
}
