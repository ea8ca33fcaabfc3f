package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// runtimeAPI is the Runtime API for one process, as cheap as it can be, with the times at which
// things happen. Its methods are one goroutine's.
type runtimeAPI struct {
	net.Listener
	idle    chan time.Time // the function asks for an event
	events  chan []byte
	sent    chan time.Time // just before the event is written
	replies chan reply
	done    chan struct{}
}

// reply is what the function posted, and when all of it was there.
type reply struct {
	at   time.Time
	body []byte
	err  error
}

// timing is one invocation as the caller sees it.
type timing struct {
	sent, replied time.Time
	body          []byte
}

func newRuntimeAPI() (*runtimeAPI, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	a := &runtimeAPI{Listener: l, idle: make(chan time.Time, 1), events: make(chan []byte), sent: make(chan time.Time, 1), replies: make(chan reply, 1), done: make(chan struct{})}
	go eachConn(l, a.serve)
	return a, nil
}

func (a *runtimeAPI) addr() string { return a.Addr().String() }

func (a *runtimeAPI) close() {
	close(a.done)
	a.Close()
}

// wait waits until the function asks for an event.
func (a *runtimeAPI) wait() (time.Time, error) {
	select {
	case t := <-a.idle:
		return t, nil
	case r := <-a.replies:
		return time.Time{}, fmt.Errorf("a reply without an event: %w", errors.Join(r.err, errors.New(string(r.body))))
	case <-time.After(20 * time.Second):
		return time.Time{}, errors.New("the function does not ask for an event")
	}
}

// invoke waits for the function and gives it an event. The function is still at work when it
// returns: wait tells when it is not.
func (a *runtimeAPI) invoke(event []byte) (timing, error) {
	a.events <- event
	select {
	case r := <-a.replies:
		return timing{<-a.sent, r.at, r.body}, r.err
	case <-time.After(20 * time.Second):
		return timing{}, errors.New("the function does not reply")
	}
}

func (a *runtimeAPI) serve(c net.Conn) {
	r := bufio.NewReaderSize(c, 256<<10)
	for n := 1; ; n++ {
		line, length, err := readHead(r)
		if err != nil {
			return
		}
		if strings.HasPrefix(line, "GET ") {
			a.idle <- time.Now()
			var event []byte
			select {
			case event = <-a.events:
			case <-a.done:
				return
			}
			message := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nLambda-Runtime-Aws-Request-Id: %08d-e9f4-11e8-9739-2dfe598c3fcd\r\n"+
				"Lambda-Runtime-Deadline-Ms: %d\r\nLambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:eu-west-1:123456789012:function:bench\r\n"+
				"Content-Length: %d\r\n\r\n", n, time.Now().Add(30*time.Second).UnixMilli(), len(event))
			message = append(message, event...)
			a.sent <- time.Now()
			if _, err := c.Write(message); err != nil {
				return
			}
			continue
		}
		body := make([]byte, length)
		if _, err := io.ReadFull(r, body); err != nil {
			return
		}
		got := reply{at: time.Now(), body: body}
		if !strings.Contains(line, "/response") {
			got.err = fmt.Errorf("the function fails: %s", body)
		}
		if _, err := io.WriteString(c, "HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{\"status\":\"OK\"}\n"); err != nil {
			return
		}
		a.replies <- got
	}
}

// stampingBackend answers every request with a JSON body of the size of its last path segment, and keeps the
// times of the latest one.
type stampingBackend struct {
	net.Listener
	request  atomic.Int64 // when it had come in full, Unix ns
	response atomic.Int64 // just before the response was written
	answers  map[int][]byte
}

func newStampingBackend(sizes ...int) (*stampingBackend, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	b := &stampingBackend{Listener: l, answers: map[int][]byte{}}
	for _, n := range sizes {
		body := bodyOf(n)
		b.answers[n] = append(fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", len(body)), body...)
	}
	go eachConn(l, b.serve)
	return b, nil
}

func (b *stampingBackend) url() string { return "http://" + b.Addr().String() }

func (b *stampingBackend) serve(c net.Conn) {
	r := bufio.NewReaderSize(c, 256<<10)
	for {
		line, length, err := readHead(r)
		if err != nil {
			return
		}
		if _, err := io.CopyN(io.Discard, r, int64(length)); err != nil {
			return
		}
		b.request.Store(time.Now().UnixNano())
		_, size, _ := strings.Cut(line, "/users/")
		size, _, _ = strings.Cut(size, "?")
		n, _ := strconv.Atoi(size)
		answer, ok := b.answers[n]
		if !ok {
			answer = []byte("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
		}
		b.response.Store(time.Now().UnixNano())
		if _, err := c.Write(answer); err != nil {
			return
		}
	}
}

func eachConn(l net.Listener, serve func(net.Conn)) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			serve(c)
		}()
	}
}

// readHead reads the head of a message with a Content-Length or without a body.
func readHead(r *bufio.Reader) (line string, length int, err error) {
	if line, err = r.ReadString('\n'); err != nil {
		return "", 0, err
	}
	for {
		field, err := r.ReadSlice('\n')
		if err != nil || len(field) <= 2 {
			return line, length, err
		}
		if len(field) > 16 && bytes.EqualFold(field[:15], []byte("Content-Length:")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(field[15:]))); err != nil {
				return "", 0, err
			}
		}
		if len(field) > 18 && bytes.EqualFold(field[:18], []byte("Transfer-Encoding:")) {
			return "", 0, errors.New("a chunked message")
		}
	}
}

// roleFloor is a function that does nothing but copy: the event to the backend, its answer to
// the reply. What it takes is what the sockets and the scheduler take from everybody.
func roleFloor(ctx context.Context, api, backend, size string) error {
	a, err := net.Dial("tcp", api)
	if err != nil {
		return err
	}
	b, err := net.Dial("tcp", backend)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { os.Exit(0) }) // it hangs in /next
	fromAPI, fromBackend := bufio.NewReaderSize(a, 256<<10), bufio.NewReaderSize(b, 256<<10)
	copyOn := func(to net.Conn, head string, from *bufio.Reader, length int) error {
		message := fmt.Appendf(nil, "%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", head, length)
		at := len(message)
		message = append(message, make([]byte, length)...)
		if _, err := io.ReadFull(from, message[at:]); err != nil {
			return err
		}
		_, err := to.Write(message)
		return err
	}
	for {
		if _, err := io.WriteString(a, "GET /next HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			return err
		}
		_, length, err := readHead(fromAPI)
		if err != nil {
			return err
		}
		if err := copyOn(b, "POST /users/"+size+"?", fromAPI, length); err != nil {
			return err
		}
		if _, length, err = readHead(fromBackend); err != nil {
			return err
		}
		if err := copyOn(a, "POST /x/response", fromBackend, length); err != nil {
			return err
		}
		if _, length, err = readHead(fromAPI); err != nil {
			return err
		}
		if _, err := io.CopyN(io.Discard, fromAPI, int64(length)); err != nil {
			return err
		}
	}
}
