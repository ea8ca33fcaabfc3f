//go:build linux && (amd64 || arm64)

package quietnet

import (
	"io"
	"io/fs"
	"os"
	"sync"
	"syscall"
	"unsafe"
)

// pipeBuf is what a pipe that has room takes at once (POSIX's PIPE_BUF).
const pipeBuf = 4 << 10

// output writes to a file that may block, but does so only when it will not.
type output struct {
	*os.File
	raw syscall.RawConn
	try func(fd uintptr) bool

	mu   sync.Mutex
	ask  pollFD
	now  syscall.Timespec // zero: no wait
	p    []byte
	done bool
}

// Output gives a writer to a pipe or a device, as standard output mostly is, that writes quietly what is at most
// 4 KiB and for which there is room. Anything else is left to f, and any other f is given as it is.
func Output(f *os.File) io.Writer {
	info, err := f.Stat()
	if err != nil || info.Mode()&(fs.ModeNamedPipe|fs.ModeCharDevice) == 0 {
		return f
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return f
	}
	o := &output{File: f, raw: raw}
	o.try = o.write
	return o
}

func (o *output) Write(p []byte) (int, error) {
	if len(p) == 0 || len(p) > pipeBuf {
		return o.File.Write(p)
	}
	o.mu.Lock()
	o.p, o.done = p, false
	err := o.raw.Write(o.try)
	done := o.done
	o.p = nil
	o.mu.Unlock()
	if err != nil || !done {
		return o.File.Write(p)
	}
	return len(p), nil
}

// pollFD is the kernel's struct pollfd.
type pollFD struct {
	fd              int32
	events, revents int16
}

const pollOut = 4

// write asks whether there is room, and writes if there is. With less than 4 KiB a pipe takes all or nothing.
func (o *output) write(fd uintptr) bool {
	o.ask, o.now = pollFD{fd: int32(fd), events: pollOut}, syscall.Timespec{}
	// Whatever the calls are given is o's, which outlives them.
	n, _, errno := syscall.RawSyscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&o.ask)), 1, uintptr(unsafe.Pointer(&o.now)), 0, 0, 0)
	if errno != 0 || n != 1 || o.ask.revents != pollOut {
		return true
	}
	written, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, fd, uintptr(unsafe.Pointer(&o.p[0])), uintptr(len(o.p)))
	o.done = errno == 0 && int(written) == len(o.p)
	return true
}
