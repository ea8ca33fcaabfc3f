package http1

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"sync"
	"time"
)

// serverConn is one client's connection. Its goroutine reads, handles and answers one request
// after the other.
type serverConn struct {
	server  *Server
	base    context.Context
	link    *link
	rwc     net.Conn // link, or TLS over it
	secure  *tls.Conn
	br      *bufio.Reader
	remote  string
	local   net.Addr
	tls     *tls.ConnectionState // nil without TLS
	created time.Time
	phase   phase    // of reading
	seen    sighting // by the sweeper

	inBody  bool // reads are for a body: they begin and end a phase
	pushed  bool // a watcher has read push, which comes before what is still to be read
	push    [1]byte
	head    requestHead     // of the present request, while it is read
	current *serverExchange // what the watcher cancels
	spare   *serverExchange // empty, for the next request; nil if there is none

	userDeadline bool // a handler has set a deadline

	mu        sync.Mutex    // orders the sweeper's deadlines and watchers with ours
	watchDone chan struct{} // closed when the watcher has ended

	writing sync.Mutex // of whole pieces: a 100 Continue may come from the body's reader
}

const serverReadBuffer = 4 << 10

var serverReaders = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, serverReadBuffer) }}

func newServerConn(s *Server, nc net.Conn, base context.Context) *serverConn {
	l := &link{Conn: nc, server: s}
	switch n := nc.(type) {
	case *net.TCPConn:
		l.tcp = n
	case interface{ TCP() *net.TCPConn }: // of a listener that only looks on: nothing of its own lies between
		l.tcp = n.TCP()
	}
	c := &serverConn{server: s, base: base, link: l, rwc: l, created: time.Now(), local: nc.LocalAddr()}
	if a := nc.RemoteAddr(); a != nil {
		c.remote = a.String()
	}
	return c
}

// Read is what br reads from.
func (c *serverConn) Read(p []byte) (int, error) {
	if c.pushed {
		c.pushed = false
		p[0] = c.push[0]
		return 1, nil
	}
	if !c.inBody {
		return c.rwc.Read(p)
	}
	if !c.phase.enter(phaseBodyRead) {
		return 0, os.ErrDeadlineExceeded
	}
	n, err := c.rwc.Read(p)
	if !c.phase.enter(phaseBody) && err == nil {
		err = os.ErrDeadlineExceeded
	}
	return n, err
}

func (c *serverConn) serve() {
	end := c.link.reset // so that no client takes what it got for all there was
	defer func() {
		if c.phase.load()&phaseKind == phaseDetached {
			return
		}
		c.server.forget(c)
		end()
	}()
	if !c.handshake() {
		end = func() { c.rwc.Close() }
		return
	}
	c.br = serverReaders.Get().(*bufio.Reader)
	c.br.Reset(c)
	for {
		switch c.serveOne() {
		case nextRequest:
			continue
		case closeNow:
			end = func() { c.rwc.Close() }
		case closeSlowly:
			end = func() { c.linger(); c.rwc.Close() }
		case closeHard:
			return
		case detached:
			return
		}
		c.br.Reset(nil)
		serverReaders.Put(c.br)
		return
	}
}

// next says what becomes of the connection after a request.
type next int

const (
	nextRequest next = iota
	closeNow
	closeSlowly // the client may still be sending: let it read the answer first
	closeHard   // so that the client notices that the answer is not complete
	detached
)

// handshake does TLS; false if it failed or if the connection now speaks HTTP/2.
func (c *serverConn) handshake() bool {
	conn, brought := c.link.Conn.(*tls.Conn)
	switch {
	case brought: // by a listener of package tls
	case c.server.tls != nil:
		conn = tls.Server(c.link, c.server.tls)
		c.rwc = conn
	default:
		return true
	}
	c.secure = conn
	if err := conn.HandshakeContext(c.base); err != nil {
		var plain tls.RecordHeaderError
		if errors.As(err, &plain) && plain.Conn != nil && looksLikeHTTP(plain.RecordHeader[:]) {
			io.WriteString(plain.Conn, "HTTP/1.0 400 Bad Request\r\nConnection: close\r\n\r\nThis port speaks HTTPS.\n")
			err = errors.New("the client spoke plain HTTP")
		}
		c.server.logger().Debug("TLS handshake failed", "client", c.remote, "error", err)
		return false
	}
	state := conn.ConnectionState()
	c.tls = &state
	if state.NegotiatedProtocol == "h2" {
		if brought {
			c.link.giveUp() // nobody will tell when it is closed
		}
		c.handOver(conn)
		return false
	}
	return true
}

func looksLikeHTTP(b []byte) bool {
	for _, method := range [...]string{"GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "DELET", "PATCH"} {
		if string(b) == method {
			return true
		}
	}
	return false
}

const h2cStart = "PRI * HTTP/2.0\r\n"

// startsHTTP2 reports whether the client's first line is that of HTTP/2.
func (c *serverConn) startsHTTP2() bool {
	for n := range len(h2cStart) {
		b, err := c.br.Peek(n + 1)
		if err != nil || b[n] != h2cStart[n] {
			return false
		}
	}
	return true
}

// handOver gives a connection that speaks HTTP/2 to net/http's server.
func (c *serverConn) handOver(conn net.Conn) {
	c.detach()
	if !c.server.h2conns.give(c.server.h2, conn, c.base) {
		conn.Close()
	}
}

// detach takes the connection out of the server's care, with its deadlines cleared.
func (c *serverConn) detach() {
	c.mu.Lock()
	c.phase.word.Store(phaseDetached)
	c.mu.Unlock()
	c.server.forget(c)
	c.link.SetReadDeadline(time.Time{})
	c.link.SetWriteDeadline(time.Time{})
}

// prefixConn is a connection some of whose bytes have been read already.
type prefixConn struct {
	net.Conn
	r io.Reader
}

func (c *prefixConn) Read(p []byte) (int, error) { return c.r.Read(p) }

// handoverListener is the listener of the HTTP/2 server.
type handoverListener struct {
	conns chan net.Conn
	bases sync.Map // from a connection under way to the parent of its contexts
	done  chan struct{}
	start sync.Once
	close sync.Once
}

func (l *handoverListener) give(h2 *http.Server, conn net.Conn, base context.Context) bool {
	l.start.Do(func() {
		h2.ConnContext = func(_ context.Context, conn net.Conn) context.Context {
			base, _ := l.bases.LoadAndDelete(conn)
			return context.WithValue(base.(context.Context), http.ServerContextKey, h2)
		}
		go h2.Serve(l) // ends with Shutdown or Close, which is all its error would say
	})
	l.bases.Store(conn, base)
	select {
	case l.conns <- conn:
		return true
	case <-l.done:
		l.bases.Delete(conn)
		return false
	}
}

func (l *handoverListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *handoverListener) Close() error {
	l.close.Do(func() { close(l.done) })
	return nil
}

func (l *handoverListener) Addr() net.Addr { return &net.TCPAddr{} }

// serveOne waits for one request and answers it.
func (c *serverConn) serveOne() next {
	fresh := c.phase.load()&phaseKind == phaseNew
	if _, err := c.br.Peek(1); err != nil {
		return closeNow // the client left, it was idle for too long, or the server closes
	}
	if fresh && c.server.H2C && c.tls == nil && c.startsHTTP2() {
		left, _ := c.br.Peek(c.br.Buffered())
		c.handOver(&prefixConn{c.link, io.MultiReader(bytes.NewReader(bytes.Clone(left)), c.link)})
		return detached
	}
	ex, err := c.readRequest()
	if err != nil {
		refusal, ok := errors.AsType[*ProtocolError](err)
		if !ok {
			return closeNow // the client left in the middle of it
		}
		return c.refuse(ex, refusal)
	}
	c.current = ex
	var entered bool
	if ex.body.present {
		c.inBody = true
		entered = c.phase.enter(phaseBody)
	} else {
		entered = c.phase.enter(phaseQuiet)
		c.wakeIfAsleep()
	}
	if !entered {
		return closeNow // it came in the moment the connection was given up
	}
	return c.answer(ex, nil)
}

func (c *serverConn) wakeIfAsleep() {
	if c.server.asleep.Load() {
		c.server.wakeSweeper()
	}
}

// refuse answers a request that could not be understood.
func (c *serverConn) refuse(ex *serverExchange, refusal *ProtocolError) next {
	c.phase.enter(phaseEnding)
	ex.res.keep = false
	n := c.answer(ex, refusal)
	if n == closeNow {
		n = closeSlowly
	}
	return n
}

// answer calls the handler, or BadRequest for a refusal, and completes its response.
func (c *serverConn) answer(ex *serverExchange, refusal *ProtocolError) next {
	if !c.call(ex, refusal) {
		ex.res.drop()
		ex.body.closed.Store(true)
		return closeHard
	}
	ex.ctx.Cancel()
	w := &ex.res
	if w.hijacked {
		return detached
	}
	w.finish()
	reusable := ex.body.finish()
	c.endWatch()
	c.current = nil
	if c.userDeadline {
		c.userDeadline = false
		c.rwc.SetReadDeadline(time.Time{})
		c.rwc.SetWriteDeadline(time.Time{})
	}
	switch {
	case w.err != nil:
		return closeNow
	case !reusable:
		return closeSlowly
	case !w.keep && c.br.Buffered() > 0:
		return closeSlowly
	case !w.keep || c.server.closing.Load():
		return closeNow
	case !c.phase.enter(phaseIdle):
		return closeNow
	}
	c.spareLater(ex)
	return nextRequest
}

// call reports whether the handler returned, and logs why if it did not.
func (c *serverConn) call(ex *serverExchange, refusal *ProtocolError) (returned bool) {
	defer func() {
		if returned {
			return
		}
		v := recover()
		ex.ctx.Cancel()
		if v != nil && v != http.ErrAbortHandler {
			c.server.logger().Error("a handler panicked", "method", ex.req.Method, "client", c.remote, "panic", v, "stack", string(debug.Stack()))
		}
	}()
	if refusal != nil {
		c.server.BadRequest(&ex.res, &ex.req, refusal)
	} else {
		c.server.Handler.ServeHTTP(&ex.res, &ex.req)
	}
	return true
}

// startWatch is called by the sweeper for a request that has been in flight for a while and
// whose body has been read: from now on a read is pending that notices the client's leaving.
// A byte that comes means the client is there and sends its next request; then watching ends.
func (c *serverConn) startWatch(word uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	done := make(chan struct{})
	c.watchDone = done
	if c.phase.move(word, phaseWatched) {
		go c.watch(done)
	}
}

func (c *serverConn) watch(done chan struct{}) {
	defer close(done)
	if c.pushed {
		return
	}
	n, err := c.rwc.Read(c.push[:])
	if n > 0 {
		c.pushed = true
		return
	}
	if err != nil && !isTimeout(err) {
		c.current.ctx.Cancel()
	}
}

// endWatch keeps the sweeper from starting a watcher, and ends the one that runs.
func (c *serverConn) endWatch() {
	for {
		word := c.phase.load()
		switch word & phaseKind {
		case phaseExpired, phaseDetached:
			return
		case phaseWatched:
			c.mu.Lock()
			done := c.watchDone
			c.mu.Unlock()
			c.link.SetReadDeadline(longAgo)
			<-done
			c.link.SetReadDeadline(time.Time{})
			c.phase.enter(phaseEnding)
			return
		}
		if c.phase.move(word, phaseEnding) {
			return
		}
	}
}

// expireRead ends the phase that word stands for, if it is still on.
func (c *serverConn) expireRead(word uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase.move(word, phaseExpired) {
		c.link.SetReadDeadline(longAgo)
	}
}

const (
	lingerFor  = 30 * time.Second       // in all, for a client that goes on sending: many read no answer before they have sent it all
	lingerIdle = 500 * time.Millisecond // without a byte from it
)

// linger ends our side and reads on until the client has ended its own: closing with unread
// bytes would reset the connection, and the client might never see the answer.
func (c *serverConn) linger() {
	c.phase.enter(phaseEnding)
	if c.secure != nil {
		c.secure.CloseWrite()
	}
	if c.link.tcp != nil {
		c.link.tcp.CloseWrite()
	}
	scrap := copyBuffers.Get().(*[largeBuffer]byte)
	defer copyBuffers.Put(scrap)
	for end := time.Now().Add(lingerFor); time.Now().Before(end) && !c.server.closing.Load(); {
		c.link.SetReadDeadline(time.Now().Add(lingerIdle))
		if _, err := c.link.Read(scrap[:]); err != nil {
			return
		}
	}
}
