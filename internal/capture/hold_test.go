package capture

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/tapway/tapway"
)

// framing is one way in which a response can end.
type framing struct {
	name    string
	method  string // "" is GET
	proto   string // "" is HTTP/1.1; others are not tried over HTTP/2
	handler http.HandlerFunc
	status  int
	body    string // what the client gets
}

func withLength(n int) func(w http.ResponseWriter) {
	return func(w http.ResponseWriter) { w.Header().Set("Content-Length", strconv.Itoa(n)) }
}

func flush(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() }

var framings = []framing{
	{name: "nothing written", handler: func(w http.ResponseWriter, r *http.Request) {}, status: 200},
	{name: "length 0", handler: func(w http.ResponseWriter, r *http.Request) {
		withLength(0)(w)
		w.WriteHeader(201)
		flush(w)
	}, status: 201},
	{name: "length 1", handler: func(w http.ResponseWriter, r *http.Request) {
		withLength(1)(w)
		io.WriteString(w, "x")
		flush(w)
	}, status: 200, body: "x"},
	{name: "length 5", handler: func(w http.ResponseWriter, r *http.Request) {
		withLength(5)(w)
		io.WriteString(w, "hel")
		flush(w)
		io.WriteString(w, "lo")
		flush(w)
	}, status: 200, body: "hello"},
	{name: "length as long as the tail", handler: func(w http.ResponseWriter, r *http.Request) {
		withLength(maxTail)(w)
		io.WriteString(w, long(maxTail))
		flush(w)
	}, status: 200, body: long(maxTail)},
	{name: "length just above the tail", handler: func(w http.ResponseWriter, r *http.Request) {
		withLength(maxTail + 1)(w)
		io.WriteString(w, long(maxTail+1))
		flush(w)
	}, status: 200, body: long(maxTail + 1)},
	{name: "length, large, one write", handler: func(w http.ResponseWriter, r *http.Request) {
		withLength(300_000)(w)
		io.WriteString(w, long(300_000))
	}, status: 200, body: long(300_000)},
	{name: "length, large, copied", handler: func(w http.ResponseWriter, r *http.Request) {
		withLength(300_000)(w)
		io.Copy(w, struct{ io.Reader }{strings.NewReader(long(300_000))})
		flush(w)
	}, status: 200, body: long(300_000)},
	{name: "length, byte by byte with flushes", handler: func(w http.ResponseWriter, r *http.Request) {
		withLength(20)(w)
		for i := range 20 {
			w.Write([]byte{byte('a' + i)})
			flush(w)
		}
	}, status: 200, body: "abcdefghijklmnopqrst"},
	{name: "more than the length", handler: func(w http.ResponseWriter, r *http.Request) {
		withLength(2)(w)
		io.WriteString(w, "ab")
		if _, err := io.WriteString(w, "c"); err != http.ErrContentLength {
			panic(err)
		}
		flush(w)
	}, status: 200, body: "ab"},
	{name: "chunked, small", handler: func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "hello")
	}, status: 200, body: "hello"},
	{name: "chunked, flushed", handler: func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "hel")
		flush(w)
		io.WriteString(w, "lo")
		flush(w)
	}, status: 200, body: "hello"},
	{name: "chunked, large", handler: func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, long(100_000))
	}, status: 200, body: long(100_000)},
	{name: "event stream", handler: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.WriteHeader(200)
		flush(w)
		io.WriteString(w, "data: 1\n\n")
		flush(w)
	}, status: 200, body: "data: 1\n\n"},
	{name: "trailers", handler: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		io.WriteString(w, "hello")
		flush(w)
		w.Header().Set("X-Sum", "1")
		w.Header().Set(http.TrailerPrefix+"X-Late", "2")
	}, status: 200, body: "hello"},
	{name: "HEAD", method: "HEAD", handler: func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(200)
		flush(w)
	}, status: 200},
	{name: "HEAD with a length", method: "HEAD", handler: func(w http.ResponseWriter, r *http.Request) {
		withLength(100)(w)
		w.WriteHeader(200)
		flush(w)
	}, status: 200},
	{name: "HEAD with a body", method: "HEAD", handler: func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "hello")
		flush(w)
	}, status: 200},
	{name: "HEAD with a large body", method: "HEAD", handler: func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, long(100_000))
		flush(w)
	}, status: 200},
	{name: "204", handler: func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(204)
		flush(w)
		if _, err := io.WriteString(w, "x"); err != http.ErrBodyNotAllowed {
			panic(err)
		}
	}, status: 204},
	{name: "204 with a large head", handler: func(w http.ResponseWriter, r *http.Request) {
		for i := range 16 {
			w.Header().Set(fmt.Sprint("X-", i), long(1000))
		}
		w.WriteHeader(204)
		flush(w)
	}, status: 204},
	{name: "304", handler: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Etag", `"1"`)
		w.WriteHeader(304)
		w.Header().Set("X-Late", "too late")
		flush(w)
	}, status: 304},
	{name: "early hints first", handler: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</a>; rel=preload")
		w.WriteHeader(103)
		withLength(5)(w)
		io.WriteString(w, "hello")
		flush(w)
	}, status: 200, body: "hello"},
	{name: "HTTP/1.0, ended by closing", proto: "HTTP/1.0", handler: func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "hel")
		flush(w)
		io.WriteString(w, "lo")
		flush(w)
	}, status: 200, body: "hello"},
	{name: "HTTP/1.0 with a length", proto: "HTTP/1.0", handler: func(w http.ResponseWriter, r *http.Request) {
		withLength(5)(w)
		io.WriteString(w, "hello")
		flush(w)
	}, status: 200, body: "hello"},
}

type answer struct {
	res  *http.Response
	body string
	err  error
}

// A client that has the whole response has its record: while Enqueue has not returned, no
// client can have one, whatever the framing. Without Refuse the tail waits, with it everything.
func TestNoResponseBeforeItsRecord(t *testing.T) {
	for _, refuse := range []bool{false, true} {
		for _, h2 := range []bool{false, true} {
			for _, f := range framings {
				if h2 && f.proto != "" {
					continue
				}
				t.Run(fmt.Sprintf("refuse=%v/h2=%v/%s", refuse, h2, f.name), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { holds(t, f, h2, refuse) })
				})
			}
		}
	}
}

func holds(t *testing.T, f framing, h2, refuse bool) {
	q := newQueue(t)
	entered, leave := make(chan struct{}), make(chan struct{})
	letGo := sync.OnceFunc(func() { close(leave) })
	defer letGo()
	q.before = func(context.Context) error {
		close(entered)
		<-leave
		return nil
	}
	s := serve(t, &Recorder{Queue: q, Refuse: refuse}, f.handler, true)
	got := make(chan answer, 1)
	go func() { got <- ask(s, f, h2) }()

	<-entered
	synctest.Wait() // everyone is stuck: what could reach the client has reached it
	select {
	case a := <-got:
		t.Fatalf("the client had %v %q before the record was stored", a.res, a.body)
	default:
	}
	if n := len(q.all()); n != 0 {
		t.Fatalf("%d stored", n)
	}
	letGo()
	a := <-got
	if a.err != nil || a.res.StatusCode != f.status || a.body != f.body {
		t.Fatalf("the client got %v, %v, %d bytes; want %d, %d bytes", a.err, a.res, len(a.body), f.status, len(f.body))
	}
	if a.res.Header.Get("X-Late") != "" {
		t.Error("a header set behind the head was sent")
	}
	check(t, f, q.one(t), h2)
	s.srv.Close()
}

func ask(s *site, f framing, h2 bool) answer {
	method := f.method
	if method == "" {
		method = "GET"
	}
	if !h2 {
		proto := f.proto
		if proto == "" {
			proto = "HTTP/1.1"
		}
		res, body, err := s.raw(method, method+" /a%2Fb?x=1&x=2 "+proto+"\r\nHost: example.com\r\n\r\n")
		return answer{res, body, err}
	}
	req, err := http.NewRequest(method, "http://example.com/a%2Fb?x=1&x=2", nil)
	if err != nil {
		return answer{err: err}
	}
	client := s.client(true)
	defer client.CloseIdleConnections()
	res, err := client.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return answer{res, string(body), err}
}

func check(t *testing.T, f framing, ex *tapway.Exchange, h2 bool) {
	t.Helper()
	if ex.Status != f.status || ex.Error != "" || ex.From != "example.com" || ex.Path != "/a%2Fb" || ex.Query != "x=1&x=2" {
		t.Errorf("recorded %+v", ex.Meta)
	}
	if h2 != (ex.Proto == "HTTP/2.0") {
		t.Errorf("proto %q", ex.Proto)
	}
	if string(ex.Response.Bytes) != f.body || ex.ResponseSize != int64(len(f.body)) || ex.Response.Truncated {
		t.Errorf("recorded %d bytes of %d", len(ex.Response.Bytes), ex.ResponseSize)
	}
	if ex.ResponseHeader.Has("X-Late") {
		t.Error("recorded a header that was not sent")
	}
	if f.name == "trailers" {
		if got := ex.ResponseTrailer; got.Get("X-Sum") != "1" || got.Get("X-Late") != "2" || len(got) != 2 {
			t.Errorf("trailers %v", got)
		}
	}
}

// Bytes that do not complete a response are not kept back: it streams.
func TestStreams(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		for _, length := range []int{-1, 3} {
			t.Run(fmt.Sprintf("h2=%v/length=%d", h2, length), func(t *testing.T) {
				next := make(chan struct{})
				s := serve(t, &Recorder{}, func(w http.ResponseWriter, r *http.Request) {
					if length >= 0 {
						withLength(length)(w)
					}
					w.WriteHeader(200)
					flush(w)
					for range 3 {
						<-next
						io.WriteString(w, "x")
						flush(w)
					}
				}, false)
				res, err := s.client(h2).Get("http://example.com/")
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				for range 3 {
					next <- struct{}{}
					if n, err := io.ReadFull(res.Body, make([]byte, 1)); n != 1 {
						t.Fatal(err)
					}
				}
				if rest, err := io.ReadAll(res.Body); len(rest) != 0 || err != nil {
					t.Errorf("%q %v", rest, err)
				}
			})
		}
	}
}
