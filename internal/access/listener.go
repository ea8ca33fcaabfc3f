package access

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Listener decides about connections before a byte of a call has been read: how many one address
// has and how fast it opens them, and, with the PROXY protocol, whose they are. What it refuses is
// closed and leaves no record, because there was no call.
//
// Trusted peers are proxies: their connections carry many clients' calls and are not bounded, but
// with the PROXY protocol the client's address is.
type Listener struct {
	net.Listener

	Trusted       *Set          // at first; SetTrusted changes it
	ProxyProtocol bool          // trusted peers must begin with a PROXY header, v1 or v2
	HeaderTimeout time.Duration // for that header; 0 is 10 s

	PerAddress int   // connections of one address at once; 0: no bound
	Rate       *Rate // new connections of one address; nil: no bound

	Refused func(reason string) // is told of every connection refused; nil: nobody is
	Log     *slog.Logger        // nil is slog.Default

	setup    sync.Once
	trusted  atomic.Pointer[Set]
	start    time.Time
	places   places
	arrivals arrivals
	ready    chan net.Conn
	failed   chan error
	done     chan struct{} // closed by Close
	pumping  sync.Once
	pending  chan struct{} // holds one for every connection whose header is being read

	mu      sync.Mutex
	closed  bool
	reading map[net.Conn]struct{} // their headers
}

const (
	defaultHeaderTimeout = 10 * time.Second

	// maxPending is how many connections may be sending their PROXY header at once.
	maxPending = 1024
)

func (l *Listener) init() {
	l.setup.Do(func() {
		l.start = time.Now()
		l.trusted.CompareAndSwap(nil, l.Trusted)
		l.places.init()
		l.arrivals.buckets = map[netip.Addr]*bucket{}
		l.ready, l.failed, l.done = make(chan net.Conn), make(chan error), make(chan struct{})
		l.pending, l.reading = make(chan struct{}, maxPending), map[net.Conn]struct{}{}
		if l.HeaderTimeout <= 0 {
			l.HeaderTimeout = defaultHeaderTimeout
		}
		if l.Log == nil {
			l.Log = slog.Default()
		}
		if l.Refused == nil {
			l.Refused = func(string) {}
		}
	})
}

// Accept gives the next connection that may stay. Reading PROXY headers does not hold it up.
func (l *Listener) Accept() (net.Conn, error) {
	l.init()
	if !l.ProxyProtocol {
		for {
			nc, err := l.Listener.Accept()
			if err != nil {
				return nil, err
			}
			peer := parsePeer(nc.RemoteAddr().String())
			if l.trusted.Load().Contains(peer) {
				return nc, nil
			}
			if c := l.admit(nc, peer, nil); c != nil {
				return c, nil
			}
		}
	}
	l.pumping.Do(func() { go l.pump() }) // ends with Close
	select {
	case c := <-l.ready:
		return c, nil
	case err := <-l.failed:
		return nil, err
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// pump accepts connections and hands them on as they become ready.
func (l *Listener) pump() {
	for {
		nc, err := l.Listener.Accept()
		if err != nil {
			select {
			case l.failed <- err:
				continue
			case <-l.done:
				return
			}
		}
		peer := parsePeer(nc.RemoteAddr().String())
		if !l.trusted.Load().Contains(peer) {
			if c := l.admit(nc, peer, nil); c != nil {
				l.hand(c)
			}
			continue
		}
		select {
		case l.pending <- struct{}{}:
			go func() {
				c := l.unwrap(nc, peer)
				<-l.pending
				if c != nil {
					l.hand(c)
				}
			}()
		case <-l.done:
			nc.Close()
			return
		}
	}
}

// SetTrusted changes who is trusted, for connections to come. It is safe at any time.
func (l *Listener) SetTrusted(s *Set) { l.trusted.Store(s) }

func (l *Listener) hand(c net.Conn) {
	select {
	case l.ready <- c:
	case <-l.done:
		c.Close()
	}
}

// unwrap reads the PROXY header of a trusted peer; nil if there is none.
func (l *Listener) unwrap(nc net.Conn, peer netip.Addr) net.Conn {
	if !l.watch(nc) {
		nc.Close()
		return nil
	}
	defer l.unwatch(nc)
	nc.SetReadDeadline(time.Now().Add(l.HeaderTimeout))
	from, err := readProxyHeader(nc)
	if err == nil {
		err = nc.SetReadDeadline(time.Time{})
	}
	if err != nil {
		if !errors.Is(err, net.ErrClosed) {
			l.Refused("proxy protocol")
			l.Log.Debug("connection refused: no PROXY header could be read", "peer", peer, "err", err)
		}
		nc.Close()
		return nil
	}
	if !from.IsValid() {
		return nc
	}
	return l.admit(nc, from.Addr(), net.TCPAddrFromAddrPort(from))
}

// watch makes Close end a connection whose header is being read; false: it is closed already.
func (l *Listener) watch(nc net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.reading[nc] = struct{}{}
	return true
}

func (l *Listener) unwatch(nc net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.reading, nc)
}

// admit gives the connection as the server is to see it, or closes it.
func (l *Listener) admit(nc net.Conn, client netip.Addr, remote net.Addr) net.Conn {
	who := customer(client)
	bounded := client.IsValid()
	if l.Rate != nil && bounded && !l.arrivals.take(who, *l.Rate, int64(time.Since(l.start))) {
		l.refuse(nc, client, "connection rate of an address")
		return nil
	}
	c := &conn{Conn: nc, remote: remote}
	if l.PerAddress > 0 && bounded {
		if !l.places.enter(who, l.PerAddress) {
			l.refuse(nc, client, "connections of an address")
			return nil
		}
		c.release = func() { l.places.leave(who) }
	}
	if c.remote == nil && c.release == nil {
		return nc
	}
	return c
}

func (l *Listener) refuse(nc net.Conn, client netip.Addr, reason string) {
	l.Refused(reason)
	l.Log.Debug("connection refused", "client", client, "reason", reason)
	if tcp, ok := nc.(*net.TCPConn); ok {
		tcp.SetLinger(0) // a flood must not leave its dead behind
	}
	nc.Close()
}

// Close is net.Listener. Connections whose header is still being read are closed too.
func (l *Listener) Close() error {
	l.init()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.closed = true
		close(l.done)
	}
	for nc := range l.reading {
		nc.Close()
	}
	return l.Listener.Close()
}

// conn is a connection with the address of its client, or one that holds a place.
type conn struct {
	net.Conn
	remote  net.Addr // nil: the peer's
	once    sync.Once
	release func() // nil: nothing
}

func (c *conn) RemoteAddr() net.Addr {
	if c.remote != nil {
		return c.remote
	}
	return c.Conn.RemoteAddr()
}

func (c *conn) Close() error {
	if c.release != nil {
		c.once.Do(c.release)
	}
	return c.Conn.Close()
}

// TCP is what lies below, for a server that can make use of it; nil if it is something else.
func (c *conn) TCP() *net.TCPConn {
	tcp, _ := c.Conn.(*net.TCPConn)
	return tcp
}

// arrivals are the buckets of addresses that have connected of late.
type arrivals struct {
	mu      sync.Mutex
	buckets map[netip.Addr]*bucket
	swept   int64
}

// maxArrivals is how many addresses are remembered; those that are full again go first.
const maxArrivals = 1 << 16

func (a *arrivals) take(who netip.Addr, r Rate, now int64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	b := a.buckets[who]
	if b == nil {
		if now-a.swept > int64(10*time.Second) || len(a.buckets) >= maxArrivals {
			a.swept = now
			for addr, old := range a.buckets {
				if old.full.Load() <= now {
					delete(a.buckets, addr)
				}
			}
		}
		if len(a.buckets) >= maxArrivals {
			clear(a.buckets) // more addresses at once than that are no longer told apart
		}
		b = new(bucket)
		a.buckets[who] = b
	}
	_, ok := b.take(now, r, false)
	return ok
}
