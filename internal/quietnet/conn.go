//go:build linux && (amd64 || arm64)

package quietnet

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"unsafe"
)

// most is what one system call is given; Linux takes a little more.
const most = 1 << 30

// Conn is a TCP connection. It is a *net.TCPConn in everything but Read and Write.
type Conn struct {
	*net.TCPConn
	raw     syscall.RawConn
	in, out half

	peekMu sync.Mutex
	peek   func(fd uintptr)
	silent bool // what peek has found
}

// half is one direction. Its fields but for try are those of the call under way, so that a call allocates nothing.
type half struct {
	mu    sync.Mutex // one call at a time
	try   func(fd uintptr) bool
	p     []byte
	flags uintptr
	n     int
	errno syscall.Errno
}

// New gives nc as a *Conn if it is a TCP connection, and as it is if not, or under the race detector. nc is not to be
// used any more.
func New(nc net.Conn) net.Conn {
	if underRace {
		return nc
	}
	return quiet(nc)
}

func quiet(nc net.Conn) net.Conn {
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return nc
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nc
	}
	c := &Conn{TCPConn: tcp, raw: raw}
	c.in.try, c.out.try, c.peek = c.in.read, c.out.write, c.look
	return c
}

// Read is net.Conn's.
func (c *Conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return c.TCPConn.Read(p)
	}
	h := &c.in
	h.mu.Lock()
	defer h.mu.Unlock()
	h.begin(p, syscall.MSG_DONTWAIT)
	err := c.raw.Read(h.try)
	h.p = nil
	switch {
	case err != nil:
		return 0, named("read", err)
	case h.errno != 0:
		return 0, c.failed("read", "recvfrom", h.errno)
	case h.n == 0:
		return 0, io.EOF
	}
	return h.n, nil
}

// Write is net.Conn's.
func (c *Conn) Write(p []byte) (int, error) { return c.send(p, 0) }

// WriteMore is Write for what another Write follows at once: the kernel may keep it back until then, and sends
// both in one packet.
func (c *Conn) WriteMore(p []byte) (int, error) { return c.send(p, syscall.MSG_MORE) }

func (c *Conn) send(p []byte, flags uintptr) (int, error) {
	h := &c.out
	h.mu.Lock()
	defer h.mu.Unlock()
	h.begin(p, flags|syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL)
	err := c.raw.Write(h.try)
	h.p = nil
	switch {
	case err != nil:
		return h.n, named("write", err)
	case h.errno != 0:
		return h.n, c.failed("write", "sendto", h.errno)
	}
	return h.n, nil
}

func (h *half) begin(p []byte, flags uintptr) { h.p, h.flags, h.n, h.errno = p, flags, 0, 0 }

// read reads once. It gives false when there is nothing to read yet.
func (h *half) read(fd uintptr) bool {
	p := h.p[:min(len(h.p), most)]
	for {
		// The memory is h.p's, which outlives the call.
		n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), h.flags, 0, 0)
		switch errno {
		case 0:
			h.n = int(n)
			return true
		case syscall.EINTR:
		case syscall.EAGAIN:
			return false
		default:
			h.errno = errno
			return true
		}
	}
}

// write writes all there is. It gives false when there is no room for the rest yet.
func (h *half) write(fd uintptr) bool {
	for h.n < len(h.p) {
		p := h.p[h.n:]
		p = p[:min(len(p), most)]
		// The memory is h.p's, which outlives the call.
		n, _, errno := syscall.RawSyscall6(syscall.SYS_SENDTO, fd, uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), h.flags, 0, 0)
		switch errno {
		case 0:
			h.n += int(n)
		case syscall.EINTR:
		case syscall.EAGAIN:
			return false
		default:
			h.errno = errno
			return true
		}
	}
	return true
}

// Silent reports whether the connection is open and nothing has come that nobody has read. It never waits.
func (c *Conn) Silent() bool {
	c.peekMu.Lock()
	defer c.peekMu.Unlock()
	return c.raw.Control(c.peek) == nil && c.silent
}

func (c *Conn) look(fd uintptr) {
	var one [1]byte
	for {
		// one lives until the call is over.
		_, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&one[0])), 1, syscall.MSG_PEEK|syscall.MSG_DONTWAIT, 0, 0)
		if errno != syscall.EINTR {
			c.silent = errno == syscall.EAGAIN
			return
		}
	}
}

// named gives an error of package net's the name that its own Read and Write would.
func named(op string, err error) error {
	if e, ok := err.(*net.OpError); ok {
		e.Op = op
	}
	return err
}

func (c *Conn) failed(op, call string, errno syscall.Errno) error {
	return &net.OpError{Op: op, Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: os.NewSyscallError(call, errno)}
}
