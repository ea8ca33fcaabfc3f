//go:build linux && (amd64 || arm64)

package http1

import (
	"syscall"
	"unsafe"
)

const transportCanPeek = true

// transportPeek reports whether a socket is open and has nothing to read. It never blocks, so
// the scheduler need not hear of it, and takes nothing out.
func transportPeek(fd uintptr) bool {
	var one [1]byte
	for {
		_, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&one)), 1, syscall.MSG_PEEK|syscall.MSG_DONTWAIT, 0, 0)
		if errno != syscall.EINTR {
			return errno == syscall.EAGAIN
		}
	}
}
