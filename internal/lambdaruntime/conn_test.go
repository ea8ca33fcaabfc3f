package lambdaruntime

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

// script is a Runtime API that handles each connection by the next function, in order.
func script(t *testing.T, handle ...func(t *testing.T, c net.Conn, br *bufio.Reader)) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	conns.Go(func() {
		for i := 0; ; i++ {
			c, err := l.Accept()
			if err != nil {
				if i != len(handle) {
					t.Errorf("%d connections, want %d", i, len(handle))
				}
				return
			}
			if i >= len(handle) {
				t.Errorf("connection %d was not expected", i+1)
				c.Close()
				continue
			}
			conns.Go(func() {
				defer c.Close()
				handle[i](t, c, bufio.NewReader(c))
			})
		}
	})
	t.Cleanup(func() { l.Close(); conns.Wait() })
	return l.Addr().String()
}

// expect reads a request and wants it to be call; body says whether to read its body.
func expect(t *testing.T, br *bufio.Reader, call string, body bool) string {
	req, err := http.ReadRequest(br)
	if err != nil {
		t.Errorf("wait for %s: %v", call, err)
		return ""
	}
	if got := req.Method + " " + req.URL.Path; got != call {
		t.Errorf("got %s, want %s", got, call)
	}
	if !body {
		return ""
	}
	b, err := io.ReadAll(req.Body)
	if err != nil {
		t.Errorf("%s: %v", call, err)
	}
	return string(b)
}

const (
	getNext  = "GET /2018-06-01/runtime/invocation/next"
	postAxe  = "POST /2018-06-01/runtime/invocation/axe/response"
	event    = "HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: axe\r\nContent-Length: 2\r\n\r\n{}"
	accepted = "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
)

// run serves until the script has said its last word by stop.
func run(t *testing.T, api string, stop context.Context, reply Reply) {
	t.Helper()
	ctx, cancel := context.WithTimeout(stop, 20*time.Second)
	defer cancel()
	r := &Runtime{API: api, Log: slog.New(slog.DiscardHandler), Handler: HandlerFunc(func(context.Context, *Invocation) (Reply, error) { return reply, nil })}
	if err := r.Run(ctx); err != nil {
		t.Error(err)
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		t.Error("the script did not come to its end")
	}
}

func TestAnOldConnectionThatWasClosedIsReplaced(t *testing.T) {
	stop, cancel := context.WithCancel(t.Context())
	api := script(t,
		func(t *testing.T, c net.Conn, br *bufio.Reader) {
			expect(t, br, getNext, false)
			io.WriteString(c, event)
		}, // closed while the handler works
		func(t *testing.T, c net.Conn, br *bufio.Reader) {
			if got := expect(t, br, postAxe, true); got != "served" {
				t.Errorf("the reply is %q", got)
			}
			io.WriteString(c, accepted)
		}, // closed before /next
		func(t *testing.T, c net.Conn, br *bufio.Reader) {
			expect(t, br, getNext, false)
			cancel()
			br.ReadByte()
		})
	run(t, api, stop, Reply{Body: []byte("served")})
}

// An API that took the reply, and closed the connection without a word: it refuses the second one, and all is well.
func TestAReplyThatWasTakenWithoutAWord(t *testing.T) {
	for _, refusal := range []string{"400 Bad Request", "403 Forbidden"} {
		stop, cancel := context.WithCancel(t.Context())
		api := script(t,
			func(t *testing.T, c net.Conn, br *bufio.Reader) {
				expect(t, br, getNext, false)
				io.WriteString(c, event)
				expect(t, br, postAxe, true)
			},
			func(t *testing.T, c net.Conn, br *bufio.Reader) {
				expect(t, br, postAxe, true)
				io.WriteString(c, "HTTP/1.1 "+refusal+"\r\nContent-Length: 2\r\n\r\n{}")
				expect(t, br, getNext, false)
				cancel()
				br.ReadByte()
			})
		run(t, api, stop, Reply{Body: []byte("served")})
	}
}

func TestAConnectionTheAPIClosesOpenly(t *testing.T) {
	stop, cancel := context.WithCancel(t.Context())
	closing := strings.NewReplacer("Content-Length", "Connection: close\r\nContent-Length")
	api := script(t,
		func(t *testing.T, c net.Conn, br *bufio.Reader) {
			expect(t, br, getNext, false)
			io.WriteString(c, closing.Replace(event))
			if _, err := br.ReadByte(); err != io.EOF {
				t.Errorf("more on a connection that was said to end: %v", err)
			}
		},
		func(t *testing.T, c net.Conn, br *bufio.Reader) {
			expect(t, br, postAxe, true)
			io.WriteString(c, accepted)
			expect(t, br, getNext, false)
			cancel()
			br.ReadByte()
		})
	run(t, api, stop, Reply{})
}

// An API that has heard enough answers before it has read the reply, and reads no more of it.
func TestARefusalWhileTheReplyIsStillBeingSent(t *testing.T) {
	stop, cancel := context.WithCancel(t.Context())
	api := script(t,
		func(t *testing.T, c net.Conn, br *bufio.Reader) {
			expect(t, br, getNext, false)
			io.WriteString(c, event)
			expect(t, br, postAxe, false)
			io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
			<-stop.Done() // it stays open, and unread
		},
		func(t *testing.T, c net.Conn, br *bufio.Reader) {
			if got := expect(t, br, "POST /2018-06-01/runtime/invocation/axe/error", true); !strings.Contains(got, "ResponseSizeTooLarge") {
				t.Errorf("the error is %s", got)
			}
			io.WriteString(c, accepted)
			expect(t, br, getNext, false)
			cancel()
			br.ReadByte()
		})
	run(t, api, stop, Reply{Body: make([]byte, 64<<20)}) // more than the socket buffers hold
}

func TestAReplyThatTheAPINeverAcknowledges(t *testing.T) {
	closing := strings.NewReplacer("Content-Length", "Connection: close\r\nContent-Length")
	for name, reply := range map[string]Reply{
		"buffered": {Body: []byte("x")},
		"streamed": {Stream: func(_ context.Context, w io.Writer) error { _, err := w.Write([]byte("x")); return err }},
		"large stream": {Stream: func(_ context.Context, w io.Writer) error {
			for {
				if _, err := w.Write(make([]byte, 1<<20)); err != nil {
					return err
				}
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			api := script(t,
				func(t *testing.T, c net.Conn, br *bufio.Reader) {
					expect(t, br, getNext, false)
					io.WriteString(c, closing.Replace(event))
				},
				func(t *testing.T, c net.Conn, br *bufio.Reader) { expect(t, br, postAxe, false) })
			kept := false
			reply.After = func(context.Context) { kept = true }
			r := &Runtime{API: api, Log: slog.New(slog.DiscardHandler), Handler: HandlerFunc(func(context.Context, *Invocation) (Reply, error) { return reply, nil })}
			if err := r.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "post response to the Runtime API") {
				t.Errorf("Run returned %v", err)
			}
			if !kept {
				t.Error("the work after the reply did not run")
			}
		})
	}
}

func TestAStreamTrustsNoConnectionThatWasSilentForLong(t *testing.T) {
	for idle, fresh := range map[time.Duration]bool{trustIdle - time.Second: false, trustIdle + time.Second: true} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		c := &conn{api: l.Addr().String()}
		if _, err := c.open(t.Context()); err != nil {
			t.Fatal(err)
		}
		first := c.nc
		c.seen = time.Now().Add(-idle)
		if err := (&stream{ctx: t.Context(), c: c}).start(); err != nil {
			t.Fatal(err)
		}
		if got := c.nc != first; got != fresh {
			t.Errorf("silent for %v: a new connection %v, want %v", idle, got, fresh)
		}
		c.close()
		l.Close()
	}
}

func TestAddress(t *testing.T) {
	for api, want := range map[string]string{
		"127.0.0.1:9001": "127.0.0.1:9001", "localhost": "localhost:80", "[::1]:9001": "[::1]:9001", "[::1]": "[::1]:80",
	} {
		if got := (&Runtime{API: api}).address(); got != want {
			t.Errorf("%s: %s", api, got)
		}
	}
}

func TestAFreshConnectionGetsNoSecondTry(t *testing.T) {
	api := script(t, func(t *testing.T, c net.Conn, br *bufio.Reader) { expect(t, br, getNext, false) })
	r := &Runtime{API: api, Handler: HandlerFunc(nil)}
	if err := r.Run(t.Context()); !errors.Is(err, io.EOF) || !strings.Contains(err.Error(), "next invocation") {
		t.Errorf("Run returned %v", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	r.API = l.Addr().String()
	if err := r.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "reach the Runtime API") {
		t.Errorf("Run returned %v", err)
	}
}

func TestAnInvocationThatHasBegunToArriveIsTaken(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	near, far := net.Pipe() // its Write returns when the bytes were read
	c := conn{nc: near, br: bufio.NewReader(near)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		expect(t, bufio.NewReader(far), getNext, false)
		io.WriteString(far, event[:20])
		cancel()
		io.WriteString(far, event[20:])
	}()
	in, err := c.next(ctx)
	if err != nil || in.RequestID != "axe" || string(in.Event) != "{}" {
		t.Errorf("got %+v, %v", in, err)
	}
	<-done
	c.close()
	if in, err := c.next(ctx); in != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("after the stop: %+v, %v", in, err)
	}
}

func TestParseDeadline(t *testing.T) {
	for s, want := range map[string]int64{
		"1": 1, "1763676000123": 1763676000123, "253402300799999": lastDeadline,
		"": 0, "0": 0, "-1": 0, "+1": 0, " 1": 0, "1.5": 0, "1e3": 0, "soon": 0, "253402300800000": 0, "18446744073709551616": 0,
	} {
		got := parseDeadline(s)
		if want == 0 && !got.IsZero() || want != 0 && got.UnixMilli() != want {
			t.Errorf("%q: %v", s, got)
		}
	}
}

func TestValidID(t *testing.T) {
	for s, want := range map[string]bool{
		"8476a536-e9f4-11e8-9739-2dfe598c3fcd": true, "a": true, "a.b_c~d": true, "...": true, strings.Repeat("a", 256): true,
		"": false, ".": false, "..": false, "a/b": false, "a?b": false, "a b": false, "a\r\nb": false, "é": false, "%2e": false, strings.Repeat("a", 257): false,
	} {
		if got := validID(s); got != want {
			t.Errorf("%q: %v", s, got)
		}
	}
}

// FuzzNext feeds strangers' bytes as the answer to /next.
func FuzzNext(f *testing.F) {
	f.Add([]byte(event))
	f.Add([]byte("HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: a\r\nLambda-Runtime-Deadline-Ms: 1763676000123\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 500 No\r\nConnection: close\r\n\r\nwhy"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: a/../b\r\nLambda-Runtime-Deadline-Ms: -1\r\nContent-Length: 0\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nlambda-runtime-aws-request-id:  a \r\nCONTENT-LENGTH:2\r\nConnection: Close\r\n\r\n{}"))
	f.Add([]byte("HTTP/1.1 202\r\nContent-Length: 1\r\nContent-Length: 1\r\nX: a\r\n b\r\n\r\n{}"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		slow := conn{br: bufio.NewReader(bytes.NewReader(answer))} // it finds nothing buffered, and asks net/http
		want, wantErr := slow.readInvocation()
		c := conn{br: bufio.NewReader(bytes.NewReader(answer))}
		c.br.Peek(1)
		in, err := c.readInvocation()
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("error %v, from net/http %v", err, wantErr)
		}
		if err != nil {
			return
		}
		if !reflect.DeepEqual(in, want) || c.br.Buffered() != slow.br.Buffered() {
			t.Fatalf("read %+v, from net/http %+v", in, want)
		}
		if !validID(in.RequestID) || len(in.Event) > len(answer) {
			t.Errorf("%+v", in)
		}
		if !in.Deadline.IsZero() && (in.Deadline.UnixMilli() <= 0 || in.Deadline.UnixMilli() > lastDeadline) {
			t.Errorf("deadline %v", in.Deadline)
		}
		if b, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(append(c.begin("invocation/"+in.RequestID+"/response", nil), "\r\n"...)))); err != nil || b.URL.Path != basePath+"invocation/"+in.RequestID+"/response" {
			t.Errorf("the id %q breaks the request: %v", in.RequestID, err)
		}
	})
}

// FuzzFailure has errors say anything.
func FuzzFailure(f *testing.F) {
	f.Add("Function.Error", "no", 1800)
	f.Add("a b\r\n", "\"\\\x00\u2028😀\xff", 512)
	f.Add("", strings.Repeat("é", 5000), 600)
	f.Fuzz(func(t *testing.T, kind, message string, limit int) {
		limit = max(limit%(1<<20), 512)
		fail := failureOf(errors.New(message), kind)
		for i := range len(message) % maxFrames {
			fail.stack = append(fail.stack, frame{message[:i], i, message[i:min(len(message), 300)]})
		}
		body, cause := fail.json(limit), fail.cause()
		if len(body) > limit {
			t.Errorf("%d bytes, limit %d", len(body), limit)
		}
		var e struct{ ErrorMessage, ErrorType string }
		if err := json.Unmarshal(body, &e); err != nil {
			t.Fatalf("%v: %s", err, body)
		}
		if e.ErrorType != fail.kind || !validID(strings.ReplaceAll(fail.kind, ".", "x")) {
			t.Errorf("type %q in the body, %q", e.ErrorType, fail.kind)
		}
		if len(message) < 60 && len(fail.stack) == 0 && e.ErrorMessage != string([]rune(message)) {
			t.Errorf("message %q became %q", message, e.ErrorMessage)
		}
		if !json.Valid([]byte(cause)) || len(cause) > maxCause {
			t.Errorf("the cause, %d bytes: %s", len(cause), cause)
		}
		for _, s := range []string{string(body), cause} {
			if i := strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }); i >= 0 {
				t.Errorf("byte %q cannot stand in a header", s[i])
			}
		}
	})
}

func TestTheOutermostFramesAreLeftOut(t *testing.T) {
	f := &failure{kind: "K", message: "m"}
	for i := range 10 {
		f.stack = append(f.stack, frame{"/a.go", i, strings.Repeat("f", 200)})
	}
	var e struct {
		StackTrace []struct{ Line int }
	}
	if err := json.Unmarshal(f.json(1000), &e); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(e.StackTrace); got != "[{0} {1} {2} {3}]" {
		t.Errorf("kept %s", got)
	}
}
