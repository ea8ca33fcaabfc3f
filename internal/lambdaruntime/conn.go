package lambdaruntime

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tapway/tapway/internal/quietnet"
)

const (
	basePath  = "/2018-06-01/runtime/"
	smallBody = 16 << 10         // a reply up to it is copied behind its head
	bigBody   = 256 << 10        // a reply over it is sent by a second goroutine, to hear a refusal while sending
	maxEvent  = 64 << 20         // bytes of an event; Lambda's own limit is 6 MiB
	maxRoom   = 1 << 20          // the most memory of an event that is used again
	trustIdle = 10 * time.Second // longest silence after which a stream, which cannot be sent twice, uses the connection
	readSize  = 16 << 10         // of the reader's buffer: most events come in one read, with their head
)

var longAgo = time.Unix(1, 0)

// StatusError is an answer of the Runtime API other than the one the call must get.
type StatusError struct {
	Call   string // "next", "response", "error" or "init/error"
	Status int
	Body   string // its first bytes, as the API explains itself
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("the Runtime API answered %d to %s: %q", e.Status, e.Call, e.Body)
}

// conn is a loop's connection to the Runtime API, opened when it is needed. Nobody else uses it.
type conn struct {
	api  string   // host:port
	nc   net.Conn // nil while there is none
	br   *bufio.Reader
	seen time.Time // when the API last said something on nc
	head []byte    // scratch for request heads
	got  head      // of the present answer, if it is an ordinary one
	room []byte    // the memory of an event that was given back; nil: there is none

	watched context.Context // of the last next
	unwatch func() bool     // ends the watch over it; nil without

	mu      sync.Mutex
	over    bool     // watched has ended
	waiting net.Conn // next waits for the first byte on it; nil: it does not
}

// open makes sure of a connection and says whether it is an old one, which the API may have
// closed by now. There is no proxy and no second try, and no TCP keep-alive: probes that fall
// due during a freeze tell nothing.
func (c *conn) open(ctx context.Context) (old bool, err error) {
	if c.nc != nil {
		return true, nil
	}
	d := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: false}, KeepAlive: -1}
	nc, err := d.DialContext(ctx, "tcp", c.api)
	if err != nil {
		return false, fmt.Errorf("reach the Runtime API: %w", err)
	}
	c.nc = quietnet.New(nc)
	if c.br == nil {
		c.br = bufio.NewReaderSize(c.nc, readSize)
	} else {
		c.br.Reset(c.nc)
	}
	c.seen = time.Now()
	return false, nil
}

func (c *conn) close() {
	if c.nc != nil {
		c.nc.Close()
		c.nc = nil
	}
}

// next waits for an invocation, for as long as it takes or until ctx ends. An invocation whose
// first byte has arrived is returned even if ctx ends meanwhile.
func (c *conn) next(ctx context.Context) (*Invocation, error) {
	for {
		old, err := c.open(ctx)
		if err == nil {
			err = c.ask(ctx)
		}
		if err == nil {
			break
		}
		c.close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if !old {
			return nil, fmt.Errorf("wait for the next invocation: %w", err)
		}
	}
	in, err := c.readInvocation()
	if err != nil {
		c.close()
		return nil, fmt.Errorf("read the next invocation: %w", err)
	}
	return in, nil
}

// ask sends the request and waits for the first byte of the answer.
func (c *conn) ask(ctx context.Context) error {
	b := append(c.head[:0], "GET "+basePath+"invocation/next HTTP/1.1\r\nHost: "...)
	b = append(b, c.api...)
	b = append(b, "\r\nUser-Agent: tapway\r\n\r\n"...)
	c.head = b
	if _, err := c.nc.Write(b); err != nil {
		return err
	}
	c.watch(ctx)
	if !c.wait(c.nc) {
		return ctx.Err()
	}
	_, err := c.br.Peek(1)
	if !c.wait(nil) {
		c.nc.SetReadDeadline(time.Time{})
	}
	return err
}

// watch makes the end of ctx end the wait in ask. There is one watch for all invocations.
func (c *conn) watch(ctx context.Context) {
	if c.watched == ctx {
		return
	}
	if c.unwatch != nil {
		c.unwatch()
	}
	c.mu.Lock()
	c.over = false
	c.mu.Unlock()
	c.watched, c.unwatch = ctx, context.AfterFunc(ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.over = true
		if c.waiting != nil {
			c.waiting.SetReadDeadline(longAgo)
		}
	})
}

// wait says on which connection ask waits, nil for none. It gives false if there is nothing to wait for any more.
func (c *conn) wait(nc net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = nc
	return !c.over
}

// end closes the connection and ends the watch.
func (c *conn) end() {
	c.close()
	if c.unwatch != nil {
		c.unwatch()
	}
}

func (c *conn) readInvocation() (*Invocation, error) {
	if c.got.parse(c.br) {
		return c.readOrdinary()
	}
	resp, err := http.ReadResponse(c.br, nil)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, &StatusError{"next", resp.StatusCode, excerpt(resp.Body)}
	}
	event, err := c.readEvent(resp.Body, resp.ContentLength)
	if err != nil {
		return nil, err
	}
	c.read(resp.Close)
	return newInvocation(resp.Header, event)
}

// readOrdinary is readInvocation behind a head that is in c.got.
func (c *conn) readOrdinary() (*Invocation, error) {
	size, last := c.got.length, c.got.close
	body, end := c.got.body(c.br)
	if c.got.status != http.StatusOK {
		return nil, &StatusError{"next", c.got.status, excerpt(body)}
	}
	in, err := newInvocation(&c.got, nil) // the head's bytes are gone when the event is read
	if err != nil {
		return nil, err
	}
	if in.Event, err = c.readEvent(body, size); err != nil {
		return nil, err
	}
	if err := end(); err != nil {
		return nil, err
	}
	c.read(last)
	return in, nil
}

// read ends the reading of an answer.
func (c *conn) read(last bool) {
	c.seen = time.Now()
	if last {
		c.close()
	}
}

// keep takes the memory of an event back.
func (c *conn) keep(event []byte) {
	if cap(event) <= maxRoom {
		c.room = event[:0]
	}
}

// memory gives at least size bytes of memory, those that were given back if they are as many.
func (c *conn) memory(size int) []byte {
	b := c.room
	c.room = nil
	if cap(b) < size {
		return make([]byte, size, max(size, 4<<10))
	}
	return b[:size]
}

// readEvent reads a body of size bytes, -1 for unknown, into memory that is nobody else's: straight from
// the socket if the size is known.
func (c *conn) readEvent(body io.Reader, size int64) ([]byte, error) {
	if size > maxEvent {
		return nil, fmt.Errorf("an event of %d bytes", size)
	}
	if size >= 0 {
		event := c.memory(int(size))
		_, err := io.ReadFull(body, event)
		return event, err
	}
	event := c.memory(16 << 10)[:0]
	for {
		n, err := body.Read(event[len(event):cap(event)])
		event = event[:len(event)+n]
		if err == io.EOF {
			return event, nil
		}
		if err != nil {
			return nil, err
		}
		if len(event) > maxEvent {
			return nil, fmt.Errorf("an event of over %d bytes", maxEvent)
		}
		if len(event) == cap(event) {
			event = append(make([]byte, 0, 2*cap(event)), event...)
		}
	}
}

type field struct{ name, value string }

// post sends body to a path below basePath and wants 202. The API refuses a second reply to the
// same invocation, so a request that an old connection swallowed is repeated on a new one; a refusal of that one
// says that the first was taken.
func (c *conn) post(ctx context.Context, call, path string, body []byte, fields ...field) error {
	for again := false; ; again = true {
		old, err := c.open(ctx)
		if err != nil {
			return err
		}
		b := c.begin(path, fields)
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, int64(len(body)), 10)
		c.head = append(b, "\r\n\r\n"...)
		sent := c.send(body)
		_, err = c.br.Peek(1)
		if err == nil {
			err = c.answer(call, sent)
			if again && refusedAgain(err) {
				return nil
			}
			return err
		}
		c.close()
		if sent != nil {
			err = errors.Join(<-sent, err)
		}
		if !old {
			return fmt.Errorf("post %s to the Runtime API: %w", call, err)
		}
	}
}

// refusedAgain reports whether err is how the API refuses an invocation's second reply: InvalidRequestID or InvalidStateTransition.
func refusedAgain(err error) bool {
	status, _ := errors.AsType[*StatusError](err)
	return status != nil && (status.Status == http.StatusBadRequest || status.Status == http.StatusForbidden)
}

// begin writes the head of a POST into c.head but for the framing and the empty line.
func (c *conn) begin(path string, fields []field) []byte {
	b := append(c.head[:0], "POST "+basePath...)
	b = append(b, path...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, c.api...)
	b = append(b, "\r\nUser-Agent: tapway\r\n"...)
	for _, f := range fields {
		b = append(b, f.name...)
		b = append(b, ": "...)
		for i := range len(f.value) {
			if ch := f.value[i]; ch >= ' ' && ch != 0x7f || ch == '\t' {
				b = append(b, ch)
			}
		}
		b = append(b, "\r\n"...)
	}
	c.head = b
	return b
}

// send writes c.head and body. A small body is written before it returns nil: an error shows in
// the answer that does not come. A big one is on its way, and the channel gives its error.
func (c *conn) send(body []byte) <-chan error {
	if len(body) <= smallBody {
		c.head = append(c.head, body...)
		c.nc.Write(c.head)
		return nil
	}
	if len(body) <= bigBody {
		writeAll(c.nc, c.head, body)
		return nil
	}
	nc, head, sent := c.nc, c.head, make(chan error, 1)
	go func() { sent <- writeAll(nc, head, body) }()
	return sent
}

// writeAll writes parts one behind the other, in as few packets as they fit into.
func writeAll(nc net.Conn, parts ...[]byte) error {
	more, ok := nc.(interface{ WriteMore([]byte) (int, error) })
	if !ok {
		all := net.Buffers(parts)
		_, err := all.WriteTo(nc)
		return err
	}
	last := len(parts) - 1
	for _, p := range parts[:last] {
		if _, err := more.WriteMore(p); err != nil {
			return err
		}
	}
	_, err := nc.Write(parts[last])
	return err
}

// answer reads the answer to a POST whose first byte is there. What is still being sent when it is
// a refusal is given up: the API wants no more of it.
func (c *conn) answer(call string, sent <-chan error) error {
	if sent == nil && c.got.parse(c.br) {
		return c.answerOrdinary(call)
	}
	resp, err := http.ReadResponse(c.br, nil)
	text := ""
	if err == nil {
		text = excerpt(resp.Body)
	}
	if sent != nil {
		nc := c.nc
		if err == nil && resp.StatusCode == http.StatusAccepted {
			nc.SetWriteDeadline(time.Now().Add(time.Second)) // it was read whole: the writer is about to return
		} else {
			c.close()
		}
		if <-sent != nil {
			c.close()
		}
		nc.SetWriteDeadline(time.Time{})
	}
	if err != nil {
		c.close()
		return fmt.Errorf("read the answer to %s: %w", call, err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		c.close()
	}
	c.read(resp.Close)
	if resp.StatusCode != http.StatusAccepted {
		return &StatusError{call, resp.StatusCode, text}
	}
	return nil
}

// answerOrdinary is answer behind a head that is in c.got.
func (c *conn) answerOrdinary(call string) error {
	h, text := &c.got, ""
	if h.status == http.StatusAccepted && 0 <= h.length && h.length <= int64(c.br.Buffered()) {
		c.br.Discard(int(h.length))
	} else {
		body, end := h.body(c.br)
		text = excerpt(body)
		_, err := io.Copy(io.Discard, body)
		if err == nil {
			err = end()
		}
		if err != nil {
			c.close()
		}
	}
	c.read(h.close)
	if h.status != http.StatusAccepted {
		return &StatusError{call, h.status, text}
	}
	return nil
}

func excerpt(r io.Reader) string {
	b, _ := io.ReadAll(io.LimitReader(r, 512))
	return strings.TrimSpace(string(b))
}
