package http1

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"
)

// clientCall is one attempt at a request: it sends, reads the response header, and is the
// response's body afterwards.
type clientCall struct {
	t      *Transport
	cc     *clientConn
	req    *http.Request
	plan   clientPlan
	source *clientSource
	trace  *httptrace.ClientTrace
	stop   func() bool // of the watch over the context; nil without one
	resp   http.Response

	// Of the goroutine that reads the response.
	answered bool // a byte of an answer came
	final    bool // the final header has been read
	retry    bool // after an error: the request may be sent again
	noReuse  bool
	interim  int // 1xx responses
	budget   int // bytes left for headers
	framing  clientFraming
	left     int64 // of a body of known length
	chunk    chunkedReader

	mu       sync.Mutex
	headDone bool  // the response header has been read: its deadline must not be set again
	writing  bool  // the second goroutine sends
	allRead  bool  // it has read the whole body
	sendErr  error // what kept it from sending
	parked   bool  // the response has ended well before it was done; it settles the connection
	reading  bool  // a Read of the response body is under way
	closed   bool  // the response body has been closed
	ended    bool  // the connection is not this call's any more
	readErr  error // what Read gives once ended
}

type clientFraming uint8

const (
	clientFixed clientFraming = iota
	clientInChunks
	clientUntilClose
)

// do makes the call. After an error the connection has been disposed of and retry is set; the
// request body is left to the caller.
func (c *clientCall) do() (*http.Response, error) {
	cc := c.cc
	cc.begin()
	if ctx := c.req.Context(); ctx.Done() != nil {
		watch := cc.onCancel
		if c.source != nil {
			watch = func() {
				cc.cancel()
				c.source.close()
			}
		}
		c.stop = context.AfterFunc(ctx, watch)
	}
	c.budget = int(c.t.maxHeader())
	if err := c.send(); err != nil && !c.earlyAnswer(err) {
		return nil, c.fail(err)
	}
	for !c.final {
		code, err := c.nextHead()
		if err != nil {
			return nil, c.fail(err)
		}
		c.final = code >= 200 || code == http.StatusSwitchingProtocols
	}
	return c.respond()
}

// earlyAnswer reports whether the server has answered a request that it did not read.
func (c *clientCall) earlyAnswer(err error) bool {
	var se *clientSourceError
	if !c.cc.wrote || errors.As(err, &se) || c.cc.cancelled.Load() {
		return false
	}
	c.cc.setReadDeadline(time.Now().Add(transportEarlyAnswer))
	if _, peekErr := c.cc.br.Peek(1); peekErr != nil {
		return false
	}
	c.noReuse = true
	return true
}

// respond settles how the response's body is framed and hands it out.
func (c *clientCall) respond() (*http.Response, error) {
	cc, resp := c.cc, &c.resp
	c.mu.Lock()
	c.headDone = true
	c.mu.Unlock()
	if c.final && c.plan.expect && c.source != nil && !c.source.started.Load() && !c.sending() {
		c.source.close()
	}
	resp.Request = c.req
	resp.TLS = cc.tls
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return c.upgrade()
	}
	if err := c.frame(); err != nil {
		return nil, c.fail(err)
	}
	if c.framing == clientFixed && c.left == 0 {
		resp.Body = http.NoBody
		c.mu.Lock()
		c.endLocked(true)
		c.mu.Unlock()
		return resp, nil
	}
	cc.bodyIdle = c.t.BodyIdleTimeout
	if cc.readDeadline && cc.bodyIdle <= 0 {
		cc.setReadDeadline(time.Time{})
	}
	resp.Body = c
	return resp, nil
}

func (c *clientCall) sending() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.writing
}

// Buffered is how many bytes of the connection, all or some of them the body's, a Read would
// not have to wait for. It is for whoever has the body and no Read under way.
func (c *clientCall) Buffered() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.ended || c.cc.br == nil {
		return 0
	}
	return c.cc.br.Buffered()
}

// Read reads the response's body. The connection is free once it has given an error.
func (c *clientCall) Read(p []byte) (int, error) {
	c.mu.Lock()
	switch {
	case c.closed:
		c.mu.Unlock()
		return 0, http.ErrBodyReadAfterClose
	case c.ended:
		c.mu.Unlock()
		return 0, c.readErr
	}
	c.reading = true
	c.mu.Unlock()

	var n int
	err := c.req.Context().Err()
	if err == nil {
		n, err = c.readBody(p)
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	c.reading = false
	switch {
	case c.closed:
		c.endLocked(false)
		err = http.ErrBodyReadAfterClose
	case err == io.EOF:
		c.endLocked(true)
	case err != nil:
		err = c.explainLocked(err, ErrBodyIdleTimeout)
		c.endLocked(false)
	}
	c.readErr = err
	return n, err
}

// Close gives the response up. Unless its end has been read or is at hand, the connection is
// closed. It may be called while a Read runs, which then ends with an error.
func (c *clientCall) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	switch {
	case c.ended:
	case c.reading:
		c.cc.nc.Close() // Read settles the rest
	default:
		c.endLocked(c.endAtHand())
	}
	return nil
}

// endAtHand reads the rest of the body away if it has already arrived.
func (c *clientCall) endAtHand() bool {
	br := c.cc.br
	switch c.framing {
	case clientFixed:
		if c.left > int64(br.Buffered()) {
			return false
		}
		br.Discard(int(c.left))
		return true
	case clientInChunks:
		return c.lastChunkAtHand()
	}
	return false
}

var transportLastChunk = []byte("\r\n0\r\n\r\n")

// lastChunkAtHand reads the plain end of a chunked body away if it has already arrived.
func (c *clientCall) lastChunkAtHand() bool {
	br := c.cc.br
	if !c.chunk.started || c.chunk.left > 0 || br.Buffered() < len(transportLastChunk) {
		return false
	}
	if next, _ := br.Peek(len(transportLastChunk)); !bytes.Equal(next, transportLastChunk) {
		return false
	}
	return c.chunk.next() == io.EOF
}

// endLocked parts from the connection: back to the pool if reuse is set and nothing speaks
// against it, else closed.
func (c *clientCall) endLocked(reuse bool) {
	if c.ended {
		return
	}
	c.ended = true
	if c.readErr == nil {
		c.readErr = io.EOF
	}
	if c.stop != nil && !c.stop() {
		reuse = false // the context's end has reached, or is about to reach, the connection
	}
	reuse = reuse && !c.noReuse && !c.resp.Close && !c.plan.close && c.sendErr == nil
	if c.plan.body >= clientLarge && (c.writing || c.source.started.Load()) {
		c.source.close()
	}
	if c.writing && reuse && c.allRead {
		c.parked = true // only its last write is under way: sent settles the rest
		c.cc.nc.SetWriteDeadline(time.Now().Add(5 * time.Second))
		return
	}
	c.cc.release(reuse && !c.writing)
}

// fail ends a call that has no response.
func (c *clientCall) fail(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err = c.explainLocked(err, ErrResponseHeaderTimeout)
	if c.cc.reused && !c.answered && transportHungUp(err) {
		c.cc.host.patience.saw(c.cc.idleFor, c.cc.nc.RemoteAddr())
	}
	var se *clientSourceError
	c.retry = c.cc.reused && !c.answered && !errors.As(err, &se) && !transportIsTimeout(err) && c.req.Context().Err() == nil &&
		(!c.cc.wrote || transportIdempotent(c.req))
	c.endLocked(false)
	return err
}

// explainLocked finds the reason behind an error of the connection.
func (c *clientCall) explainLocked(err, timeout error) error {
	ctx := c.req.Context()
	var se *clientSourceError
	var pe *ProtocolError
	switch {
	case ctx.Err() != nil:
		return clientContextError(ctx)
	case errors.As(c.sendErr, &se):
		return c.sendErr
	case errors.As(err, &se):
		return err
	case errors.As(err, &pe):
		if pe.Status != http.StatusBadGateway {
			return &ProtocolError{http.StatusBadGateway, pe.Reason}
		}
		return err
	case c.sendErr != nil && !c.headDone:
		return fmt.Errorf("http1: send the request: %w", c.sendErr)
	case transportIsTimeout(err):
		return timeout
	case errors.Is(err, io.EOF) && !c.headDone:
		return fmt.Errorf("http1: the backend closed the connection without an answer: %w", io.ErrUnexpectedEOF)
	case err == io.ErrUnexpectedEOF:
		return err
	}
	return fmt.Errorf("http1: %w", err)
}
