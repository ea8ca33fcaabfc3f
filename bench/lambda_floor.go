package main

import (
	"bytes"
	"io"
	"net/netip"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"
	"unsafe"
)

// roleSyscalls is a function that makes nothing but the system calls of an invocation, six of them with a small
// payload. It blocks in the kernel, on one thread and behind the back of Go's scheduler, allocates next to nothing, and
// hardly looks at what comes: a program whose sockets are these takes no less, in whatever language.
func roleSyscalls(api, backend, size string) error {
	debug.SetGCPercent(-1)
	runtime.LockOSThread()
	a, err := blockingConn(api)
	if err != nil {
		return err
	}
	b, err := blockingConn(backend)
	if err != nil {
		return err
	}
	const room = 1 << 10 // for a head of our own before what is passed on
	event, answer, taken := make([]byte, 256<<10), make([]byte, 256<<10), make([]byte, 4<<10)
	next := []byte("GET /next HTTP/1.1\r\nHost: x\r\n\r\n")
	for {
		if err := writeAll(a, next); err != nil {
			return err
		}
		from, to, err := readMessage(a, event, room)
		if err != nil {
			return err
		}
		if err := writeAll(b, withHead(event, "POST /users/"+size+"?", from, to)); err != nil {
			return err
		}
		if from, to, err = readMessage(b, answer, room); err != nil {
			return err
		}
		if err := writeAll(a, withHead(answer, "POST /x/response", from, to)); err != nil {
			return err
		}
		if _, _, err = readMessage(a, taken, 0); err != nil {
			return err
		}
	}
}

// withHead puts a head right before what is in b between from and to.
func withHead(b []byte, request string, from, to int) []byte {
	head := request + " HTTP/1.1\r\nHost: x\r\nContent-Length: " + strconv.Itoa(to-from) + "\r\n\r\n"
	copy(b[from-len(head):], head)
	return b[from-len(head) : to]
}

func blockingConn(address string) (int, error) {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return 0, err
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		return 0, err
	}
	if err := syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1); err != nil {
		return 0, err
	}
	return fd, syscall.Connect(fd, &syscall.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()})
}

func writeAll(fd int, b []byte) error {
	for len(b) > 0 {
		n, err := rawCall(syscall.SYS_WRITE, fd, b)
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// rawCall reads or writes without a word to the scheduler, whose processor is then not free for anybody else: there is
// nobody.
func rawCall(call uintptr, fd int, b []byte) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		switch errno {
		case 0:
			return int(n), nil
		case syscall.EINTR:
		default:
			return 0, errno
		}
	}
}

// readMessage reads a message into b from at on, and says between where and where its body is.
func readMessage(fd int, b []byte, at int) (from, to int, err error) {
	end := at
	for {
		n, err := rawCall(syscall.SYS_READ, fd, b[end:])
		if err != nil {
			return 0, 0, err
		}
		if n == 0 {
			return 0, 0, io.ErrUnexpectedEOF
		}
		end += n
		if to == 0 {
			head, _, whole := bytes.Cut(b[at:end], []byte("\r\n\r\n"))
			if !whole {
				continue
			}
			_, length, _ := bytes.Cut(head, []byte("Content-Length: "))
			length, _, _ = bytes.Cut(length, []byte("\r\n"))
			size, err := strconv.Atoi(string(length))
			if err != nil {
				return 0, 0, err
			}
			from = at + len(head) + len("\r\n\r\n")
			to = from + size
		}
		if end >= to {
			return from, to, nil
		}
	}
}
