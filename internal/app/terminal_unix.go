//go:build unix

package app

import (
	"os"

	"golang.org/x/sys/unix"
)

// TerminalWidth is how many columns the terminal f has, 0 when it is none.
func TerminalWidth(f *os.File) int {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	return int(size.Col)
}

// ReaderGone reports whether f is a pipe that nobody reads any more, which a writer
// otherwise only learns when it has something to write.
func ReaderGone(f *os.File) bool {
	fds := []unix.PollFd{{Fd: int32(f.Fd())}}
	_, err := unix.Poll(fds, 0)
	return err == nil && fds[0].Revents&unix.POLLERR != 0
}
