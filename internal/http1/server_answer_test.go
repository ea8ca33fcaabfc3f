package http1

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tapway/tapway/internal/lazycontext"
)

// An answer at once is what a header map and writes would have made; where it cannot be, nothing
// has been done.
func TestServerAnswer(t *testing.T) {
	const get = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
	date := regexp.MustCompile("Date: [^\r]*\r\n")
	for _, test := range []struct {
		name, request string
		handler       func(w *serverResponse)
		want          string
	}{
		{"whole", get, func(w *serverResponse) {
			if !w.Answer(403, []string{"X", "1", "X", "2", "Y", "a\r\nb", "no name", "3"}, "hello") || w.Answer(200, nil, "") {
				t.Error("it was not answered, or twice")
			}
			if n, err := io.WriteString(w, "!"); n != 0 || err != http.ErrContentLength {
				t.Errorf("wrote %d more: %v", n, err)
			}
		}, "HTTP/1.1 403 Forbidden\r\nX: 1\r\nX: 2\r\nY: a  b\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"},
		{"HTTP/1.0, without a body", "GET / HTTP/1.0\r\n\r\n", func(w *serverResponse) {
			if !w.Answer(429, []string{"X", "1"}, "") {
				t.Error("it was not answered")
			}
		}, "HTTP/1.0 429 Too Many Requests\r\nX: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"},
		{"as long as there is room", get, func(w *serverResponse) {
			if w.Answer(403, nil, bigBody[:smallBuffer+1]) || !w.Answer(403, nil, bigBody[:smallBuffer]) {
				t.Error("the bound is another")
			}
		}, "HTTP/1.1 403 Forbidden\r\nContent-Length: 4096\r\nConnection: close\r\n\r\n" + bigBody[:smallBuffer]},
		{"not what frames the message, nor another status", get, func(w *serverResponse) {
			for _, header := range [][]string{{"Connection", "close"}, {"Content-Length", "5"}, {"X", "1", "Transfer-Encoding", "chunked"}, {"Trailer", "X"}, {"Date", "now"}} {
				if w.Answer(403, header, "hello") {
					t.Errorf("answered with %q", header)
				}
			}
			for _, status := range []int{101, 199, 204, 304, 600} {
				if w.Answer(status, nil, "") {
					t.Errorf("answered %d", status)
				}
			}
		}, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"},
		{"not over a header that was begun", get, func(w *serverResponse) {
			w.Header().Set("X", "1")
			if w.Answer(403, nil, "hello") {
				t.Error("a header is lost")
			}
		}, "HTTP/1.1 200 OK\r\nX: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"},
		{"not to HEAD", "HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", func(w *serverResponse) {
			if w.Answer(403, nil, "hello") {
				t.Error("it has a body")
			}
		}, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			addr := startServer(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { test.handler(w.(*serverResponse)) })})
			if got := date.ReplaceAllString(dialServer(t, addr).send(test.request).rest(), ""); got != test.want {
				t.Errorf("got\n%.600q\nwant\n%.600q", got, test.want)
			}
		})
	}
}

// deadlines is a connection that counts the deadlines set for reading.
type deadlines struct {
	net.Conn
	n *atomic.Int64
}

func (d deadlines) SetReadDeadline(at time.Time) error {
	d.n.Add(1)
	return d.Conn.SetReadDeadline(at)
}

// A body that no handler reads and that has come whole is thrown away without a deadline, which
// costs more than all the rest of a small refused call; the next request follows behind it.
func TestServerThrowsAwayWhatHasCome(t *testing.T) {
	for _, test := range []struct {
		name, head, body string
		none             bool
	}{
		{"whole", "Content-Length: 5", "hello", true},
		{"as much as is read at once", "Content-Length: 3900", bigBody[:3900], true},
		{"more than that", "Content-Length: 5000", bigBody[:5000], false},
		{"in chunks", "Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newPipeListener()
			s := &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.URL.Path) })}
			var n atomic.Int64
			done := make(chan struct{})
			go func() {
				defer close(done)
				s.Serve(deadlineListener{l, &n})
			}()
			conn := l.dial()
			go io.WriteString(conn, "POST /1 HTTP/1.1\r\nHost: a\r\n"+test.head+"\r\n\r\n"+test.body+"GET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
			all, err := io.ReadAll(conn)
			got := n.Load()
			if err != nil || strings.Count(string(all), "HTTP/1.1 200 OK\r\n") != 2 || !strings.HasSuffix(string(all), "\r\n\r\n/2") {
				t.Errorf("%v %q", err, all)
			}
			if test.none != (got == 0) {
				t.Errorf("%d deadlines were set", got)
			}
			s.Close()
			<-done
		})
	}
}

type deadlineListener struct {
	*pipeListener
	n *atomic.Int64
}

func (l deadlineListener) Accept() (net.Conn, error) {
	c, err := l.pipeListener.Accept()
	if err != nil {
		return nil, err
	}
	return deadlines{c, l.n}, nil
}

// A request's context holds one value for whoever comes first.
func TestContextAttach(t *testing.T) {
	type key struct{}
	ctx := &requestContext{Context: lazycontext.Context{Base: context.WithValue(context.Background(), key{}, "base")}, conn: newServerConn(&Server{}, &net.TCPConn{}, context.Background())}
	if ctx.Value(key{}) != "base" {
		t.Error("the base is not asked")
	}
	if !ctx.Attach(key{}, "mine") || ctx.Attach(key{}, "again") || ctx.Value(key{}) != "mine" {
		t.Error("the value is not the first")
	}
	child, stop := context.WithCancel(ctx)
	defer stop()
	if child.Value(key{}) != "mine" || ctx.Value(http.NoBody) != nil {
		t.Error("a child sees another value, or other keys see it")
	}
}
