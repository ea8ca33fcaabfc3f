//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package http1

import "syscall"

const transportCanPeek = true

// transportPeek reports whether a socket is open and has nothing to read. It never blocks and
// takes nothing out.
func transportPeek(fd uintptr) bool {
	var one [1]byte
	for {
		_, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		if err != syscall.EINTR {
			return err == syscall.EAGAIN || err == syscall.EWOULDBLOCK
		}
	}
}
