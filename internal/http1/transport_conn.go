package http1

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const transportBuffer = 16 << 10 // one TLS record; header and a 10 KiB body in one system call

var (
	transportReaders = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, transportBuffer) }}
	transportWriters = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, transportBuffer) }}
	transportCopies  = sync.Pool{New: func() any { return new([32 << 10]byte) }}
)

var transportPast = time.Unix(1, 0)

// clientConn is one connection to a backend. It belongs to one call or lies in the pool;
// only cancel may be called by others. Idle connections have no goroutine and no buffers.
type clientConn struct {
	t    *Transport
	host *transportHost
	nc   net.Conn
	tls  *tls.ConnectionState // nil without TLS
	br   *bufio.Reader        // nil while idle

	cancelled atomic.Bool
	onCancel  func() // cancel, made once

	bodyIdle     time.Duration // more than 0: every read from the network may take so long
	readDeadline bool          // a read deadline is set
	wrote        bool          // some byte of the present request reached the network
	reused       bool
	idleSince    time.Time
	idleFor      time.Duration // before the present call
	told         time.Duration // how long the backend keeps it idle, less a margin; 0: it did not say

	silent func() bool     // the connection's own answer to alive; nil: it has none
	sock   syscall.RawConn // nil: cannot be peeked into
	peek   func(fd uintptr)
	peekOK bool
}

func newClientConn(t *Transport, host *transportHost, nc net.Conn, state *tls.ConnectionState) *clientConn {
	cc := &clientConn{t: t, host: host, nc: nc, tls: state}
	cc.onCancel = cc.cancel
	if s, ok := cc.socket().(interface{ Silent() bool }); ok {
		cc.silent = s.Silent
	}
	if sc, ok := cc.socket().(syscall.Conn); ok && transportCanPeek {
		if raw, err := sc.SyscallConn(); err == nil {
			cc.sock = raw
			cc.peek = func(fd uintptr) { cc.peekOK = transportPeek(fd) }
		}
	}
	return cc
}

// socket is the connection below TLS.
func (cc *clientConn) socket() net.Conn {
	if tc, ok := cc.nc.(*tls.Conn); ok {
		return tc.NetConn()
	}
	return cc.nc
}

// Read is what the bufio.Reader reads from.
func (cc *clientConn) Read(p []byte) (int, error) {
	if cc.bodyIdle > 0 {
		cc.setReadDeadline(time.Now().Add(cc.bodyIdle))
	}
	return cc.nc.Read(p)
}

// Write is what the bufio.Writer writes to.
func (cc *clientConn) Write(p []byte) (int, error) {
	n, err := cc.nc.Write(p)
	if n > 0 && !cc.wrote { // set by the caller's first write, only read by a second goroutine
		cc.wrote = true
	}
	return n, err
}

// setReadDeadline sets a deadline; the zero time removes it. A cancellation that came before
// stays in force, and one that comes later overrides it.
func (cc *clientConn) setReadDeadline(at time.Time) {
	cc.nc.SetReadDeadline(at)
	cc.readDeadline = !at.IsZero()
	if cc.cancelled.Load() {
		cc.nc.SetDeadline(transportPast)
	}
}

// cancel ends every read and write, present and future. The connection is lost by it.
func (cc *clientConn) cancel() {
	cc.cancelled.Store(true)
	cc.nc.SetDeadline(transportPast)
}

// begin readies the connection for a call.
func (cc *clientConn) begin() {
	cc.wrote = false
	cc.bodyIdle = 0
	cc.br = transportReaders.Get().(*bufio.Reader)
	cc.br.Reset(cc)
}

// release ends a call: the connection goes back to the pool, or is closed. Bytes that nobody
// asked for make it unusable: the next caller would take them for its answer.
func (cc *clientConn) release(reuse bool) {
	reuse = reuse && cc.br.Buffered() == 0 && !cc.cancelled.Load() && cc.tlsIsEmpty()
	cc.freeReader()
	cc.bodyIdle = 0
	if reuse {
		cc.t.putIdle(cc)
		return
	}
	cc.close()
}

// tlsIsEmpty reports whether TLS has given out all that it has taken from the socket. What it
// keeps cannot be seen by peeking into the socket, and would be the next caller's answer.
func (cc *clientConn) tlsIsEmpty() bool {
	if cc.tls == nil {
		return true
	}
	cc.setReadDeadline(transportPast) // nothing more is taken from the socket
	var one [1]byte
	n, err := cc.nc.Read(one[:])
	cc.setReadDeadline(time.Time{})
	return n == 0 && transportIsTimeout(err)
}

func (cc *clientConn) freeReader() {
	if cc.br != nil {
		cc.br.Reset(nil)
		transportReaders.Put(cc.br)
		cc.br = nil
	}
}

// close closes the connection and frees its place. It is called once.
func (cc *clientConn) close() {
	cc.nc.Close()
	cc.t.forget(cc.host)
}

// alive reports whether an idle connection is still open and silent. Where the socket cannot
// be peeked into, a read of a moment finds out, but only after a second without use.
func (cc *clientConn) alive() bool {
	if cc.silent != nil {
		return cc.silent()
	}
	if cc.sock != nil {
		cc.peekOK = false
		return cc.sock.Control(cc.peek) == nil && cc.peekOK
	}
	if time.Since(cc.idleSince) < time.Second {
		return true
	}
	sock := cc.socket()
	sock.SetReadDeadline(time.Now().Add(100 * time.Microsecond))
	var one [1]byte
	n, err := sock.Read(one[:])
	sock.SetReadDeadline(time.Time{})
	cc.readDeadline = false
	return n == 0 && transportIsTimeout(err)
}

func transportIsTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// transportEOF makes an end of file that comes too early one.
func transportEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
