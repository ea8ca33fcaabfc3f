package app

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// adminStuck is how long the admin API waits for a client to take a piece of an answer, where no handler says so.
const adminStuck = time.Minute

// adminListener bounds the connections of the admin address. When there are as many as may be, the one that has waited longest
// for a request makes room for the newcomer; if all are being answered, the newcomer is closed. So whoever only holds
// connections keeps nobody out.
type adminListener struct {
	net.Listener
	most int // 0: no bound
	log  *slog.Logger

	mu    sync.Mutex
	conns map[net.Conn]time.Time // since when it waits for a request; zero: it is being answered
	told  time.Time              // when the log was last told
}

func newAdminListener(l net.Listener, most int, log *slog.Logger) *adminListener {
	return &adminListener{Listener: l, most: most, log: log, conns: map[net.Conn]time.Time{}}
}

// serve serves until the server is closed.
func (l *adminListener) serve(s *http.Server) error {
	s.ConnState = l.state
	return s.Serve(l)
}

// Accept is net.Listener.
func (l *adminListener) Accept() (net.Conn, error) {
	for {
		nc, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c := (&adminConn{Conn: nc}); l.admit(c) {
			return c, nil
		}
		nc.Close()
	}
}

// admit makes room for a connection, if it can.
func (l *adminListener) admit(c *adminConn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.most > 0 && len(l.conns) >= l.most {
		if time.Since(l.told) > time.Minute {
			l.told = time.Now()
			l.log.Warn("the admin address has as many connections as it may: those that wait make room for new ones", "connections", l.most, "setting", "admin.connections")
		}
		oldest := l.oldestLocked()
		if oldest == nil {
			return false
		}
		delete(l.conns, oldest)
		oldest.Close()
	}
	l.conns[c] = time.Now()
	return true
}

func (l *adminListener) oldestLocked() (oldest net.Conn) {
	for c, since := range l.conns {
		if !since.IsZero() && (oldest == nil || since.Before(l.conns[oldest])) {
			oldest = c
		}
	}
	return oldest
}

// state is the server's ConnState.
func (l *adminListener) state(c net.Conn, s http.ConnState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.conns[c]; !ok {
		return // it had to make room
	}
	switch s {
	case http.StateActive:
		l.conns[c] = time.Time{}
	case http.StateIdle:
		l.conns[c] = time.Now()
	case http.StateClosed, http.StateHijacked:
		delete(l.conns, c)
	}
}

// adminConn lets go of a client that does not take its answer.
type adminConn struct {
	net.Conn
	mu     sync.Mutex
	chosen bool // a handler has set a time of its own
}

// Write is net.Conn.
func (c *adminConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	chosen := c.chosen
	c.mu.Unlock()
	if !chosen {
		if err := c.Conn.SetWriteDeadline(time.Now().Add(adminStuck)); err != nil && !errors.Is(err, net.ErrClosed) {
			return 0, err
		}
	}
	return c.Conn.Write(p)
}

// SetWriteDeadline is net.Conn.
func (c *adminConn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	c.chosen = !t.IsZero()
	c.mu.Unlock()
	return c.Conn.SetWriteDeadline(t)
}
