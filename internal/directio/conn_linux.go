package directio

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"unsafe"
)

// Wrap gives a connection that does the same with less ado, if nc is a TCP connection and GOMAXPROCS is 1; else nc.
func Wrap(nc net.Conn) net.Conn {
	tcp, ok := nc.(*net.TCPConn)
	if !ok || runtime.GOMAXPROCS(0) > 1 {
		return nc
	}
	return wrap(tcp)
}

func wrap(tcp *net.TCPConn) net.Conn {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return tcp
	}
	c := &conn{TCPConn: tcp, raw: raw}
	c.in.do = func(fd uintptr) bool { return c.in.call(syscall.SYS_READ, fd) }
	c.out.do = func(fd uintptr) bool { return c.out.call(syscall.SYS_WRITE, fd) }
	return c
}

type conn struct {
	*net.TCPConn
	raw     syscall.RawConn
	in, out direction
}

// direction is a Read, or a Write, under way. There is one at a time, as in the net package.
type direction struct {
	mu    sync.Mutex
	do    func(fd uintptr) bool // call, made once
	p     []byte
	n     int
	errno syscall.Errno
}

// call makes the system call; false means that the socket is not ready.
func (d *direction) call(trap, fd uintptr) bool {
	for {
		n, _, errno := syscall.RawSyscall(trap, fd, uintptr(unsafe.Pointer(unsafe.SliceData(d.p))), uintptr(len(d.p)))
		switch errno {
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			return false
		case 0:
			d.n = int(n)
		}
		d.errno = errno
		return true
	}
}

func (c *conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return c.TCPConn.Read(p)
	}
	d := &c.in
	d.mu.Lock()
	defer d.mu.Unlock()
	d.p, d.n, d.errno = p, 0, 0
	err := c.raw.Read(d.do)
	d.p = nil
	switch {
	case err != nil:
		return 0, named(err, "read")
	case d.errno != 0:
		return 0, c.failed("read", d.errno)
	case d.n == 0:
		return 0, io.EOF
	}
	return d.n, nil
}

func (c *conn) Write(p []byte) (total int, err error) {
	d := &c.out
	d.mu.Lock()
	defer d.mu.Unlock()
	for total < len(p) {
		d.p, d.n, d.errno = p[total:], 0, 0
		err := c.raw.Write(d.do)
		d.p = nil
		switch {
		case err != nil:
			return total, named(err, "write")
		case d.errno != 0:
			return total, c.failed("write", d.errno)
		}
		total += d.n
	}
	return total, nil
}

// named gives an error of the raw connection the name that net's own has.
func named(err error, op string) error {
	if e, ok := errors.AsType[*net.OpError](err); ok {
		e.Op = op
	}
	return err
}

func (c *conn) failed(op string, errno syscall.Errno) error {
	return &net.OpError{Op: op, Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: os.NewSyscallError(op, errno)}
}
