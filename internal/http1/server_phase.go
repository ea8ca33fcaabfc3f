package http1

import (
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A connection says what it is doing in one word that changes with every step; the sweeper
// looks at all words now and then, and one it has seen before has lasted that long. So no
// timeout costs a clock or a deadline on the hot path.
//
// The connection moves by compare-and-swap, and so does the sweeper when it expires a phase:
// whoever comes second knows that it lost.
const (
	phaseNew      = iota // no byte came yet
	phaseIdle            // waits for the next request
	phaseHead            // got a part of a request's head
	phaseBody            // the handler runs, the body has not ended, nobody waits for it
	phaseBodyRead        // the handler waits for body bytes
	phaseQuiet           // the handler runs, the body has ended: nobody reads from the connection
	phaseWatched         // as quiet, and a watcher reads to notice the client's leaving
	phaseEnding          // the handler has returned, or the connection is being closed
	phaseDetached        // hijacked, or handed over to HTTP/2: no other phase follows
	phaseExpired         // it lasted too long: no other phase follows
	phaseWriting         // of a link: a write waits for the client

	phaseKind = 15 // the mask; above it, a count of the steps
)

type phase struct{ word atomic.Uint64 }

func (p *phase) load() uint64 { return p.word.Load() }

// enter begins a phase; false if the sweeper has expired the one before, or if the
// connection is not the server's any more.
func (p *phase) enter(kind uint64) bool {
	for {
		old := p.word.Load()
		if k := old & phaseKind; k == phaseExpired || k == phaseDetached {
			return false
		}
		if p.move(old, kind) {
			return true
		}
	}
}

func (p *phase) move(old, kind uint64) bool {
	return p.word.CompareAndSwap(old, (old|phaseKind)+1|kind)
}

// sighting is what the sweeper saw of a phase word, and when it saw that first.
type sighting struct {
	word uint64
	at   time.Time
}

// age tells how long the sweeper has been seeing word.
func (s *sighting) age(word uint64, now time.Time) time.Duration {
	if s.word != word || s.at.IsZero() {
		s.word, s.at = word, now
	}
	return now.Sub(s.at)
}

const (
	sweepEvery  = 50 * time.Millisecond // while requests are under way
	sweepSlowly = time.Second           // while connections only wait
	watchAfter  = 50 * time.Millisecond // a request in flight that long is watched for the client's leaving
)

// sweep looks after all connections until there is none. start begins it.
func (s *Server) sweep() {
	timer := time.NewTimer(sweepEvery)
	defer timer.Stop()
	slow := sweepSlowly
	for _, d := range [...]time.Duration{s.ReadHeaderTimeout, s.IdleTimeout, s.ReadTimeout, s.WriteTimeout} {
		slow = max(min(slow, d/4), sweepEvery)
	}
	for {
		began := time.Now()
		hot, ok := s.sweepOnce(began)
		if !ok {
			return
		}
		pause := sweepEvery
		if !hot {
			// A request that starts from here on sees asleep; one that started before is seen now.
			s.asleep.Store(true)
			if hot, ok = s.sweepOnce(time.Now()); !ok {
				return
			}
			if hot {
				s.asleep.Store(false)
			} else {
				pause = slow
			}
		}
		timer.Reset(pause)
		select {
		case <-timer.C:
		case <-s.wake:
			// Requests that are over in no time would each wake it.
			s.asleep.Store(false)
			if rest := sweepEvery - time.Since(began); rest > 0 && s.connected() {
				timer.Reset(rest)
				select {
				case <-timer.C:
				case <-s.wake: // by the last connection: no request does so now
				}
			}
		}
		s.asleep.Store(false)
	}
}

// connected reports whether there is a connection to look after.
func (s *Server) connected() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns) > 0
}

func (s *Server) wakeSweeper() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// sweepOnce is hot when a request may need a watcher soon; not ok when no connection is left.
func (s *Server) sweepOnce(now time.Time) (hot, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.conns) == 0 {
		s.sweeping = false
		return false, false
	}
	for c := range s.conns {
		word := c.phase.load()
		age := c.seen.age(word, now)
		var limit time.Duration
		switch word & phaseKind {
		case phaseQuiet:
			hot = true
			if age >= watchAfter {
				c.startWatch(word)
			}
			fallthrough
		default:
			limit = noLimit
		case phaseNew, phaseHead:
			limit = s.ReadHeaderTimeout
		case phaseIdle:
			limit = s.IdleTimeout
		case phaseBodyRead:
			limit = s.ReadTimeout
		}
		if age >= limit {
			c.expireRead(word)
		}
		if word = c.link.phase.load(); word&phaseKind == phaseWriting && c.link.seen.age(word, now) >= s.WriteTimeout {
			c.link.expireWrite(word)
		}
	}
	return hot, true
}

var longAgo = time.Unix(1, 0)

// link is the connection to the client, below TLS unless the listener has brought that. Its writes end when the client takes no
// byte of them within the server's WriteTimeout.
type link struct {
	net.Conn
	server *Server
	tcp    *net.TCPConn // nil if it is something else
	phase  phase
	seen   sighting // by the sweeper
	closed sync.Once

	mu       sync.Mutex
	deadline time.Time // for writing, set by a handler
}

func (l *link) Write(p []byte) (int, error) {
	total := 0
	for {
		l.phase.enter(phaseWriting)
		n, err := l.Conn.Write(p)
		total += n
		if l.phase.enter(phaseIdle) || !l.revive(n, &err) {
			return total, err
		}
		p = p[n:]
	}
}

// writev writes all the buffers in one call where the system can.
func (l *link) writev(bufs *net.Buffers) error {
	for {
		l.phase.enter(phaseWriting)
		n, err := bufs.WriteTo(l.Conn)
		if l.phase.enter(phaseIdle) || !l.revive(int(n), &err) {
			return err
		}
	}
}

// revive clears the sweeper's deadline after it has expired a write of which n bytes went
// out; true if the write should go on because the client did take something.
func (l *link) revive(n int, err *error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.phase.word.Store((l.phase.load() | phaseKind) + 1 | phaseIdle)
	l.Conn.SetWriteDeadline(l.deadline)
	return n > 0 && *err != nil && isTimeout(*err)
}

func (l *link) expireWrite(word uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.phase.move(word, phaseExpired) {
		l.Conn.SetWriteDeadline(longAgo)
	}
}

// SetWriteDeadline keeps a handler's own deadline through expired writes.
func (l *link) SetWriteDeadline(t time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deadline = t
	return l.Conn.SetWriteDeadline(t)
}

// Close also gives the connection's place below MaxConns back.
func (l *link) Close() error {
	l.giveUp()
	return l.Conn.Close()
}

// giveUp stops counting the connection.
func (l *link) giveUp() { l.closed.Do(l.server.giveSlot) }

// reset closes the connection with a reset where that is possible, and without TLS's closing
// message.
func (l *link) reset() {
	l.giveUp()
	conn := l.Conn
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	conn.Close()
}

func isTimeout(err error) bool {
	ne, ok := err.(net.Error)
	return ok && ne.Timeout()
}
