package http1

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Server is a strict HTTP/1.1 server. It reads, handles and answers a connection's requests
// on one goroutine. The zero value with a Handler works; the exported fields must not change
// once Serve has been called. A duration of 0 means the default, a negative one no limit;
// durations are kept to about a tenth of a second, or a second when nothing else happens.
//
// What differs from net/http's Server, on purpose:
//   - A request that two readers could understand differently is refused (see [Server.BadRequest]).
//   - Nothing is added to a response but Date, Connection and what frames the body: no
//     Content-Type is guessed. A Transfer-Encoding set by the handler is ignored.
//   - What the handler wrote is kept in a buffer (4 KiB; up to 32 KiB when it declared a
//     Content-Length) until that overflows, the handler flushes, or it returns. A body is never
//     completed on the wire before the handler returns, unless the handler flushes all the bytes
//     of the Content-Length it declared.
//   - Reading the body and writing the response may overlap: a write never closes the body.
//   - A handler that panics, or that writes less than the Content-Length it declared, breaks the
//     connection off, so that the client cannot take the response for a complete one.
//   - A request's context is cancelled when the client goes away or ends its side, noticed within
//     about 150 ms once the body has been read to its end, or at the next failing read or write. A
//     client that has already sent a next request is only missed at the next failing write.
//
// A Request and its Header are never used again for another request, so a handler may keep
// them; the ResponseWriter and the Body end with the handler.
type Server struct {
	Handler http.Handler // nil answers 404

	// BadRequest answers requests that are refused before Handler can see them; nil writes
	// {"message": reason} with err.Status. r holds whatever was understood so far: Method may be
	// empty, URL, Header and Body are never nil, RequestURI is as it was sent. The connection is
	// closed afterwards. What is wrong in HTTP/2, net/http's server refuses by itself, but for too many headers.
	BadRequest func(w http.ResponseWriter, r *http.Request, err *ProtocolError)

	ReadHeaderTimeout time.Duration // from a request's first byte to the end of its headers, also for the TLS handshake and a connection's first byte; default 10s
	IdleTimeout       time.Duration // between two requests; default 2m
	ReadTimeout       time.Duration // a Body.Read that gets no byte; default 1m
	WriteTimeout      time.Duration // a write of which the client takes no byte; default 1m

	MaxHeaderBytes int // request line and headers together, in bytes; default 64 KiB. The line alone: 414, else 431
	MaxHeaders     int // header lines; default 200

	// MaxConns bounds the open connections, those of HTTP/2 included and hijacked ones excluded.
	// At the limit the longest idle connection is closed; if none is idle, new ones wait in the
	// listener's backlog. 0 means no limit.
	MaxConns int

	// TLSConfig makes Serve speak TLS. Without NextProtos, HTTP/2 and HTTP/1.1 are offered;
	// HTTP/2 is served by net/http's server with the same Handler.
	TLSConfig *tls.Config

	// H2C accepts cleartext HTTP/2 from clients that start with it (prior knowledge,
	// RFC 9113 §3.3), served by net/http's server with the same Handler.
	H2C bool

	// BaseContext is the parent of every request's context; nil means context.Background.
	BaseContext func(net.Listener) context.Context

	ErrorLog *slog.Logger // nil means slog.Default

	once    sync.Once
	tls     *tls.Config
	h2      *http.Server
	h2conns *handoverListener
	slots   chan struct{}
	date    atomic.Pointer[cachedDate]

	mu        sync.Mutex
	listeners map[*serverListener]struct{}
	conns     map[*serverConn]struct{}
	sweeping  bool // the sweeper runs
	closing   atomic.Bool
	done      chan struct{} // closed once closing

	asleep atomic.Bool   // the sweeper sleeps until a request wakes it
	wake   chan struct{} // holds one
}

const (
	defaultReadHeaderTimeout = 10 * time.Second
	defaultIdleTimeout       = 2 * time.Minute
	defaultBodyTimeout       = time.Minute
	defaultMaxHeaderBytes    = 64 << 10
	defaultMaxHeaders        = 200

	noLimit = 1<<63 - 1
)

// setup fills in the defaults, once, so that the hot path need not ask.
func (s *Server) setup() {
	s.once.Do(func() {
		s.listeners = map[*serverListener]struct{}{}
		s.conns = map[*serverConn]struct{}{}
		s.done = make(chan struct{})
		s.wake = make(chan struct{}, 1)
		s.ReadHeaderTimeout = orDefault(s.ReadHeaderTimeout, defaultReadHeaderTimeout)
		s.IdleTimeout = orDefault(s.IdleTimeout, defaultIdleTimeout)
		s.ReadTimeout = orDefault(s.ReadTimeout, defaultBodyTimeout)
		s.WriteTimeout = orDefault(s.WriteTimeout, defaultBodyTimeout)
		if s.MaxHeaderBytes <= 0 {
			s.MaxHeaderBytes = defaultMaxHeaderBytes
		}
		if s.MaxHeaders <= 0 {
			s.MaxHeaders = defaultMaxHeaders
		}
		if s.Handler == nil {
			s.Handler = http.NotFoundHandler()
		}
		if s.BadRequest == nil {
			s.BadRequest = writeBadRequest
		}
		if s.MaxConns > 0 {
			s.slots = make(chan struct{}, s.MaxConns)
		}
		if s.TLSConfig != nil {
			s.tls = s.TLSConfig.Clone()
			if s.tls.NextProtos == nil {
				s.tls.NextProtos = []string{"h2", "http/1.1"}
			}
		}
		s.h2conns = &handoverListener{conns: make(chan net.Conn), done: make(chan struct{})}
		s.h2 = &http.Server{
			Handler:                      http.HandlerFunc(s.serveH2),
			DisableGeneralOptionsHandler: true,
			ReadHeaderTimeout:            orNone(s.ReadHeaderTimeout),
			IdleTimeout:                  orNone(s.IdleTimeout),
			MaxHeaderBytes:               s.MaxHeaderBytes,
			ErrorLog:                     slog.NewLogLogger(s.logger().Handler(), slog.LevelError),
			Protocols:                    new(http.Protocols),
			HTTP2:                        &http.HTTP2Config{WriteByteTimeout: orNone(s.WriteTimeout)},
		}
		s.h2.Protocols.SetHTTP2(true)
		s.h2.Protocols.SetUnencryptedHTTP2(s.H2C)
	})
}

func orDefault(v, def time.Duration) time.Duration {
	switch {
	case v == 0:
		return def
	case v < 0:
		return noLimit
	}
	return v
}

// orNone is a duration as net/http has it, where 0 is no limit.
func orNone(d time.Duration) time.Duration {
	if d == noLimit {
		return 0
	}
	return d
}

func (s *Server) logger() *slog.Logger {
	if s.ErrorLog != nil {
		return s.ErrorLog
	}
	return slog.Default()
}

func writeBadRequest(w http.ResponseWriter, _ *http.Request, err *ProtocolError) {
	text, _ := json.Marshal(map[string]string{"message": err.Reason}) // strings cannot fail
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(err.Status)
	w.Write(append(text, '\n'))
}

// Serve accepts connections from l, which it closes, until Shutdown or Close, and then returns
// http.ErrServerClosed. It may be called for several listeners.
func (s *Server) Serve(l net.Listener) error {
	s.setup()
	sl := &serverListener{Listener: l}
	defer sl.Close()
	s.mu.Lock()
	if s.closing.Load() {
		s.mu.Unlock()
		return http.ErrServerClosed
	}
	s.listeners[sl] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.listeners, sl)
		s.mu.Unlock()
	}()

	base := context.Background()
	if s.BaseContext != nil {
		if base = s.BaseContext(l); base == nil {
			return errors.New("http1: BaseContext returned nil")
		}
	}
	var delay time.Duration
	for {
		if !s.takeSlot() {
			return http.ErrServerClosed
		}
		nc, err := sl.Accept()
		if err == nil {
			delay = 0
			s.start(nc, base)
			continue
		}
		s.giveSlot()
		if s.closing.Load() {
			return http.ErrServerClosed
		}
		if !passing(err) {
			return fmt.Errorf("accept: %w", err)
		}
		delay = min(max(2*delay, 5*time.Millisecond), time.Second)
		s.logger().Error("accepting a connection failed, trying again", "error", err, "after", delay)
		select {
		case <-time.After(delay):
		case <-s.done:
		}
	}
}

// passing errors of Accept are worth another try: the system is short of something.
func passing(err error) bool {
	for _, e := range [...]error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// takeSlot waits for room below MaxConns; false when the server closes.
func (s *Server) takeSlot() bool {
	if s.slots == nil {
		return true
	}
	for {
		select {
		case s.slots <- struct{}{}:
			return true
		case <-s.done:
			return false
		default:
		}
		s.closeLongestIdle()
		select {
		case s.slots <- struct{}{}:
			return true
		case <-s.done:
			return false
		case <-time.After(sweepEvery):
		}
	}
}

func (s *Server) giveSlot() {
	if s.slots != nil {
		<-s.slots
	}
}

func (s *Server) start(nc net.Conn, base context.Context) {
	c := newServerConn(s, nc, base)
	s.mu.Lock()
	if s.closing.Load() {
		s.mu.Unlock()
		c.link.Close()
		return
	}
	s.conns[c] = struct{}{}
	if !s.sweeping {
		s.sweeping = true
		s.asleep.Store(false)
		go s.sweep()
	}
	s.mu.Unlock()
	go c.serve()
}

// forget removes a connection that ended, was hijacked or went over to HTTP/2.
func (s *Server) forget(c *serverConn) {
	s.mu.Lock()
	delete(s.conns, c)
	last := len(s.conns) == 0
	s.mu.Unlock()
	if last {
		s.wakeSweeper()
	}
}

// Shutdown stops accepting, closes idle connections and waits until the active ones, those of
// HTTP/2 included, have finished their request, or until ctx ends; then it returns ctx's error
// and leaves the rest running. Hijacked connections are not waited for.
func (s *Server) Shutdown(ctx context.Context) error {
	s.setup()
	err := s.stopListening()
	h2 := make(chan error, 1)
	go func() { h2 <- s.h2.Shutdown(ctx) }()
	poll := time.Millisecond
	for s.closeIdle() > 0 {
		select {
		case <-ctx.Done():
			<-h2
			return ctx.Err()
		case <-time.After(poll):
			poll = min(2*poll, 250*time.Millisecond)
		}
	}
	return errors.Join(<-h2, err)
}

// Close stops accepting and resets every connection at once, hijacked ones excepted.
func (s *Server) Close() error {
	s.setup()
	err := s.stopListening()
	s.mu.Lock()
	for c := range s.conns {
		c.link.reset()
	}
	s.mu.Unlock()
	return errors.Join(err, s.h2.Close())
}

func (s *Server) stopListening() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closing.Swap(true) {
		close(s.done)
		s.h2conns.Close()
	}
	var errs []error
	for l := range s.listeners {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

// freshGrace is how long Shutdown waits for the first request of a new connection.
const freshGrace = time.Second

// closeIdle asks every idle connection to end and tells how many connections are left.
func (s *Server) closeIdle() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		word := c.phase.load()
		switch word & phaseKind {
		case phaseIdle:
			c.expireRead(word)
		case phaseNew:
			if time.Since(c.created) > freshGrace {
				c.expireRead(word)
			}
		}
	}
	return len(s.conns)
}

// closeLongestIdle makes room for a new connection.
func (s *Server) closeLongestIdle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	var longest *serverConn
	for c := range s.conns {
		word := c.phase.load()
		if word&phaseKind != phaseIdle || word != c.seen.word {
			continue
		}
		if longest == nil || c.seen.at.Before(longest.seen.at) {
			longest = c
		}
	}
	if longest != nil {
		longest.expireRead(longest.seen.word)
	}
}

// serverListener closes its listener once and remembers how that went.
type serverListener struct {
	net.Listener
	once sync.Once
	err  error
}

func (l *serverListener) Close() error {
	l.once.Do(func() { l.err = l.Listener.Close() })
	return l.err
}

// cachedDate is the Date header line of one second.
type cachedDate struct {
	second int64
	line   []byte
}

func (s *Server) dateLine() []byte {
	now := time.Now()
	if d := s.date.Load(); d != nil && d.second == now.Unix() {
		return d.line
	}
	d := &cachedDate{now.Unix(), []byte("Date: " + now.UTC().Format(http.TimeFormat) + "\r\n")}
	s.date.Store(d)
	return d.line
}
