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
	"time"
)

const (
	basePath  = "/2018-06-01/runtime/"
	smallBody = 16 << 10         // a reply up to it is copied behind its head
	bigBody   = 256 << 10        // a reply over it is sent by a second goroutine, to hear a refusal while sending
	maxEvent  = 64 << 20         // bytes of an event; Lambda's own limit is 6 MiB
	trustIdle = 10 * time.Second // longest silence after which a stream, which cannot be sent twice, uses the connection
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
	c.nc = nc
	if c.br == nil {
		c.br = bufio.NewReader(c.nc)
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
	nc, fired := c.nc, make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		nc.SetReadDeadline(longAgo)
		close(fired)
	})
	_, err := c.br.Peek(1)
	if !stop() {
		<-fired
		nc.SetReadDeadline(time.Time{})
	}
	return err
}

func (c *conn) readInvocation() (*Invocation, error) {
	resp, err := http.ReadResponse(c.br, nil)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, &StatusError{"next", resp.StatusCode, excerpt(resp.Body)}
	}
	event, err := readEvent(resp.Body, resp.ContentLength)
	if err != nil {
		return nil, err
	}
	c.read(resp)
	return newInvocation(resp.Header, event)
}

// read ends the reading of an answer.
func (c *conn) read(resp *http.Response) {
	c.seen = time.Now()
	if resp.Close {
		c.close()
	}
}

// readEvent reads a body of size bytes, -1 for unknown, into a buffer of its own: straight from
// the socket if the size is known.
func readEvent(body io.Reader, size int64) ([]byte, error) {
	if size > maxEvent {
		return nil, fmt.Errorf("an event of %d bytes", size)
	}
	if size >= 0 {
		event := make([]byte, size)
		_, err := io.ReadFull(body, event)
		return event, err
	}
	event := make([]byte, 0, 16<<10)
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
// same invocation, so a request that an old connection swallowed is repeated on a new one.
func (c *conn) post(ctx context.Context, call, path string, body []byte, fields ...field) error {
	for {
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
			return c.answer(call, sent)
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
	parts := net.Buffers{c.head, body}
	if len(body) <= bigBody {
		parts.WriteTo(c.nc)
		return nil
	}
	nc, sent := c.nc, make(chan error, 1)
	go func() {
		_, err := parts.WriteTo(nc)
		sent <- err
	}()
	return sent
}

// answer reads the answer to a POST whose first byte is there. What is still being sent when it is
// a refusal is given up: the API wants no more of it.
func (c *conn) answer(call string, sent <-chan error) error {
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
	c.read(resp)
	if resp.StatusCode != http.StatusAccepted {
		return &StatusError{call, resp.StatusCode, text}
	}
	return nil
}

func excerpt(r io.Reader) string {
	b, _ := io.ReadAll(io.LimitReader(r, 512))
	return strings.TrimSpace(string(b))
}
