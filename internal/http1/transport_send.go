package http1

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"
)

// clientSource is a request's body. It is closed once, and no Read starts after that.
// A nil *clientSource is no body.
type clientSource struct {
	rc      io.ReadCloser
	mu      sync.Mutex  // held while a Read runs
	started atomic.Bool // a Read was begun
	closed  atomic.Bool
}

// errSourceClosed says that the call ended before its body had been sent.
var errSourceClosed = errors.New("http1: the call ended before the request body was sent")

// clientSourceError is a failure of the request's body, not of the backend.
type clientSourceError struct{ err error }

func (e *clientSourceError) Error() string { return "http1: request body: " + e.err.Error() }
func (e *clientSourceError) Unwrap() error { return e.err }

func (s *clientSource) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed.Load() {
		return 0, errSourceClosed
	}
	s.started.Store(true)
	n, err := s.rc.Read(p)
	if err != nil && err != io.EOF {
		err = &clientSourceError{err}
	}
	return n, err
}

// hasCome reports whether the body, or some of it, is here before anybody has asked for it: then
// there is no use in waiting for the backend to ask.
func (s *clientSource) hasCome() bool {
	b, ok := s.rc.(interface{ Buffered() int })
	return ok && b.Buffered() > 0
}

// close closes the body. If a Read is under way, Close must end it, and since some bodies
// make Close wait for Read instead, that is done in the background.
func (s *clientSource) close() {
	if s == nil || !s.closed.CompareAndSwap(false, true) {
		return
	}
	if s.mu.TryLock() {
		s.rc.Close()
		s.mu.Unlock()
		return
	}
	go s.rc.Close()
}

// rewind gives the body to send again, if that is possible. A body that was read is
// replaced, because a Read of it may still be under way.
func (s *clientSource) rewind(req *http.Request) (again *clientSource, ok bool) {
	if s == nil || !s.started.Load() && !s.closed.Load() {
		return s, true
	}
	if req.GetBody == nil {
		return nil, false
	}
	rc, err := req.GetBody()
	if err != nil {
		return nil, false
	}
	s.close()
	return &clientSource{rc: rc}, true
}

// expectEnd reads on to the end of a body of known length, because trailers, sums and the
// like are made when the end is seen. A body that has more than its length said is an error.
func (s *clientSource) expectEnd(scratch []byte) error {
	for range 16 {
		n, err := s.Read(scratch)
		switch {
		case n > 0:
			return &clientSourceError{errors.New("longer than ContentLength")}
		case err == io.EOF || err == errSourceClosed:
			return nil
		case err != nil:
			return err
		}
	}
	return nil
}

// send sends the request, or starts to: large bodies are sent on while the response is read.
func (c *clientCall) send() error {
	bw := transportWriters.Get().(*bufio.Writer)
	bw.Reset(c.cc)
	handed := false
	defer func() {
		if !handed {
			transportFreeWriter(bw)
		}
	}()
	err := c.writeHead(bw)
	if err != nil {
		return err
	}
	if c.plan.expect || c.plan.body == clientNoBody || c.plan.body >= clientLarge {
		if err := bw.Flush(); err != nil {
			return err
		}
		c.wroteHeaders()
	}
	if c.plan.expect {
		if err := c.awaitContinue(); err != nil || c.final {
			return err
		}
	}
	switch c.plan.body {
	case clientSmall:
		if err := c.sendSmall(bw); err != nil {
			return err
		}
		c.source.close()
	case clientLarge, clientChunked:
		if c.cc.readDeadline {
			c.cc.setReadDeadline(time.Time{}) // of an earlier call
		}
		handed, c.writing = true, true
		go c.sendLarge(bw)
		return nil
	}
	c.armHeader()
	c.wroteRequest(nil)
	return nil
}

func transportFreeWriter(bw *bufio.Writer) {
	bw.Reset(nil)
	transportWriters.Put(bw)
}

// sendSmall sends header and body of known length from the caller's goroutine, in one write
// if they fit into the buffer.
func (c *clientCall) sendSmall(bw *bufio.Writer) error {
	ended := false
	for left := c.plan.length; left > 0; {
		if bw.Available() == 0 {
			if err := bw.Flush(); err != nil {
				return err
			}
		}
		free := bw.AvailableBuffer()
		free = free[:min(int64(cap(free)), left)]
		n, err := c.source.Read(free)
		bw.Write(free[:n])
		left -= int64(n)
		ended = err == io.EOF
		if ended && left > 0 {
			return transportShortBody(c.plan.length, c.plan.length-left)
		}
		if err != nil && !ended {
			return err
		}
	}
	if err := bw.Flush(); err != nil {
		return err
	}
	if !c.plan.expect {
		c.wroteHeaders()
	}
	if ended {
		return nil
	}
	return c.source.expectEnd(bw.AvailableBuffer()[:1])
}

func transportShortBody(want, got int64) error {
	return &clientSourceError{fmt.Errorf("%d bytes where ContentLength says %d: %w", got, want, io.ErrUnexpectedEOF)}
}

// sendLarge is the second goroutine of a call: it sends the body while the caller reads the
// response, and ends with the body, with the call, or with the connection.
func (c *clientCall) sendLarge(bw *bufio.Writer) {
	buf := transportCopies.Get().(*[32 << 10]byte)
	err := c.copyBody(bw, buf[:])
	transportFreeWriter(bw)
	c.sent(err)
	if err == nil && c.plan.body == clientLarge {
		if err = c.source.expectEnd(buf[:1]); err != nil {
			c.mu.Lock()
			c.sourceFailedLocked(err)
			c.mu.Unlock()
		}
	}
	transportCopies.Put(buf)
	c.source.close()
	c.wroteRequest(err)
}

// copyBody sends the body as it comes: what one Read brings leaves before the next.
func (c *clientCall) copyBody(bw *bufio.Writer, buf []byte) error {
	chunked := c.plan.body == clientChunked
	left := c.plan.length
	for chunked || left > 0 {
		piece := buf
		if !chunked && left < int64(len(piece)) {
			piece = piece[:left]
		}
		n, err := c.source.Read(piece)
		left -= int64(n)
		if err == io.EOF || err == nil && !chunked && left == 0 {
			c.mu.Lock()
			c.allRead = true
			c.mu.Unlock()
		}
		var werr error
		if chunked {
			writeChunk(bw, piece[:n])
			if err == io.EOF {
				writeLastChunk(bw, transportTrailer(c.req.Trailer))
			}
			werr = bw.Flush()
		} else if n > 0 {
			_, werr = c.cc.Write(piece[:n])
		}
		switch {
		case werr != nil:
			return werr
		case err == io.EOF && !chunked && left > 0:
			return transportShortBody(c.plan.length, c.plan.length-left)
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
	return nil
}

// sent notes that the request is on its way, or why not, and settles what waited for it.
func (c *clientCall) sent(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writing = false
	c.sendErr = err
	if c.parked { // the response has ended already; the connection is ours
		c.cc.nc.SetWriteDeadline(time.Time{})
		c.cc.release(err == nil)
		return
	}
	var se *clientSourceError
	switch {
	case err == nil:
		if !c.headDone {
			c.armHeader()
		}
	case errors.As(err, &se):
		c.sourceFailedLocked(err)
	case !c.headDone && !c.ended:
		c.cc.setReadDeadline(time.Now().Add(transportEarlyAnswer))
	}
}

// sourceFailedLocked breaks the call off because its request cannot be completed.
func (c *clientCall) sourceFailedLocked(err error) {
	c.sendErr = err
	if !c.ended {
		c.cc.nc.Close() // ends the reader; who ends the call frees the place
	}
}

// transportEarlyAnswer is how long an answer is awaited after the request could not be sent:
// a server that refuses a body often answers, closes, and is not read to the end.
const transportEarlyAnswer = time.Second

// awaitContinue holds the body back until the server asks for it, answers finally (then
// c.final is set), or says nothing for a while.
func (c *clientCall) awaitContinue() error {
	if c.trace != nil && c.trace.Wait100Continue != nil {
		c.trace.Wait100Continue()
	}
	c.cc.setReadDeadline(time.Now().Add(c.t.expectTimeout()))
	for {
		if _, err := c.cc.br.Peek(1); err != nil {
			if transportIsTimeout(err) && !c.cc.cancelled.Load() {
				c.cc.setReadDeadline(time.Time{})
				return nil
			}
			return err
		}
		c.armHeader() // for the rest of this header
		code, err := c.nextHead()
		if err != nil {
			return err
		}
		if code == http.StatusContinue {
			c.cc.setReadDeadline(time.Time{})
			return nil
		}
		if code >= 200 || code == http.StatusSwitchingProtocols {
			c.final = true
			c.noReuse = true // the server may still expect a body
			return nil
		}
		c.cc.setReadDeadline(time.Now().Add(c.t.expectTimeout()))
	}
}

// armHeader starts the clock for the response header.
func (c *clientCall) armHeader() {
	if d := c.t.ResponseHeaderTimeout; d > 0 {
		c.cc.setReadDeadline(time.Now().Add(d))
	} else if c.cc.readDeadline {
		c.cc.setReadDeadline(time.Time{})
	}
}

func (t *Transport) expectTimeout() time.Duration {
	if t.ExpectContinueTimeout == 0 {
		return transportExpectTimeout
	}
	return t.ExpectContinueTimeout
}

func (c *clientCall) wroteHeaders() {
	if c.trace != nil && c.trace.WroteHeaders != nil {
		c.trace.WroteHeaders()
	}
}

func (c *clientCall) wroteRequest(err error) {
	if c.trace != nil && c.trace.WroteRequest != nil {
		c.trace.WroteRequest(httptrace.WroteRequestInfo{Err: err})
	}
}
