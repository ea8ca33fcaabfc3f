package capture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/tapway/tapway"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func echo(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	if errors.Join(err, r.Body.Close()) != nil {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
	w.Write(b)
}

func TestExchange(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("h2=%v", h2), func(t *testing.T) {
			var params = []tapway.PathParam{{Name: "id", Value: "7"}}
			var redacted bool
			rec := &Recorder{Redact: func(ex *tapway.Exchange) {
				redacted = len(ex.PathParams) == 1 && ex.PathParams[0] == params[0]
				for i := range ex.RequestHeader {
					if ex.RequestHeader[i].Name == "Authorization" {
						ex.RequestHeader[i].Value = "[REDACTED]"
					}
				}
			}}
			s := serve(t, rec, func(w http.ResponseWriter, r *http.Request) {
				call := tapway.CallFrom(r.Context())
				if call.ID.IsZero() || r.Header.Get("Authorization") != "secret" {
					t.Errorf("call %+v", call)
				}
				call.Route, call.Params, call.Origin = "POST /users/{id}", params, tapway.OriginBackend
				call.Connect, call.FirstByte, call.Backend = 1, 2, 3
				call.API, call.Fidelity, call.Front = &tapway.API{ID: "a"}, []string{"query-order"}, tapway.FrontREST
				call.ClientIP = "203.0.113.7"
				w.Header().Add("Set-Cookie", "a=1")
				w.Header().Add("Set-Cookie", "b=2")
				w.Header()["Content-Type"] = []string{"application/json"}
				w.WriteHeader(201)
				echo(w, r)
			}, false)
			req, _ := http.NewRequest("POST", "http://example.com/users/7?a=%20&b", io.MultiReader(strings.NewReader(`{"a":`), strings.NewReader(`1}`)))
			req.Header = http.Header{"Authorization": {"secret"}, "X-A": {"1", "2"}, "Traceparent": {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}}
			req.Trailer = http.Header{"X-Sum": {"9"}}
			start := time.Now()
			res, err := s.client(h2).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(res.Body); err != nil || string(b) != `{"a":1}` {
				t.Errorf("the client got %q %v", b, err)
			}
			res.Body.Close()
			ex := s.queue.one(t)
			took := time.Since(start)
			m := ex.Meta
			if m.ID.Time() != m.Time.Truncate(time.Millisecond) || m.Time.Before(start.Add(-time.Millisecond)) || m.Duration <= 0 || m.Duration > took || m.Overhead < 0 || m.Overhead > m.Duration {
				t.Errorf("times %+v", m)
			}
			m.ID, m.Time, m.Duration, m.Overhead, m.Proto = tapway.ID{}, time.Time{}, 0, 0, ""
			if want := (tapway.Meta{Connect: 1, FirstByte: 2, Front: tapway.FrontREST, Origin: tapway.OriginBackend, From: "example.com", Method: "POST", Path: "/users/7",
				Query: "a=%20&b", Route: "POST /users/{id}", ClientIP: "203.0.113.7", Status: 201, TraceID: "4bf92f3577b34da6a3ce929d0e0e4736", RequestSize: 7, ResponseSize: 7}); m != want {
				t.Errorf("got  %+v\nwant %+v", m, want)
			}
			if !redacted || ex.RequestHeader.Get("Authorization") != "[REDACTED]" || ex.RequestHeader.Get("Host") != "" {
				t.Errorf("request header %v", ex.RequestHeader)
			}
			if got := ex.RequestHeader.HTTP(); len(got["X-A"]) != 2 || !h2 && got.Get("Transfer-Encoding") != "chunked" || got.Get("Trailer") != "X-Sum" {
				t.Errorf("request header %v", got)
			}
			if got := ex.ResponseHeader.HTTP()["Set-Cookie"]; len(got) != 2 {
				t.Errorf("response header %v", ex.ResponseHeader)
			}
			if ex.RequestTrailer.Get("X-Sum") != "9" {
				t.Errorf("request trailer %v", ex.RequestTrailer)
			}
			for _, b := range []tapway.Body{ex.Request, ex.Response} {
				if string(b.Bytes) != `{"a":1}` || b.Size != 7 || b.Summed || b.Truncated || b.Withheld {
					t.Errorf("body %+v", b)
				}
			}
			if ex.API == nil || ex.API.ID != "a" || len(ex.Fidelity) != 1 {
				t.Errorf("%+v %v", ex.API, ex.Fidelity)
			}
			s.settled()
		})
	}
}

// What no stage has said has a sensible default.
func TestDefaults(t *testing.T) {
	s := serve(t, &Recorder{}, func(http.ResponseWriter, *http.Request) {}, false)
	if _, _, err := s.raw("GET", "GET http://example.com?q=1 HTTP/1.1\r\nHost: example.com\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	ex := s.queue.one(t)
	if ex.Front != tapway.FrontServer || ex.Origin != tapway.OriginGateway || ex.ClientIP != "127.0.0.1" || ex.Path != "/" || ex.Query != "q=1" {
		t.Errorf("%+v", ex.Meta)
	}
}

func TestTarget(t *testing.T) {
	for _, c := range []struct{ method, uri, path, query string }{
		{"GET", "/", "/", ""},
		{"GET", "/a%2Fb//c/?", "/a%2Fb//c/", ""},
		{"GET", "/a?b=c?d&e", "/a", "b=c?d&e"},
		{"GET", "http://h/a?b", "/a", "b"},
		{"GET", "http://h", "/", ""},
		{"GET", "http://h?b", "/", "b"},
		{"GET", "/a?u=http://h/x", "/a", "u=http://h/x"},
		{"GET", "//h/a", "//h/a", ""},
		{"OPTIONS", "*", "*", ""},
		{"CONNECT", "h:443", "h:443", ""},
	} {
		path, query := target(&http.Request{Method: c.method, RequestURI: c.uri})
		if path != c.path || query != c.query {
			t.Errorf("%s: %q %q, want %q %q", c.uri, path, query, c.path, c.query)
		}
	}
	made := httptest.NewRequest("GET", "/a%2Fb?c", nil)
	made.RequestURI = ""
	if path, query := target(made); path != "/a%2Fb" || query != "c" {
		t.Errorf("without a request line: %q %q", path, query)
	}
}

func TestTraceID(t *testing.T) {
	const id = "4bf92f3577b34da6a3ce929d0e0e4736"
	for _, c := range []struct{ name, value, want string }{
		{"Traceparent", "00-" + id + "-00f067aa0ba902b7-01", id},
		{"Traceparent", "01-" + id + "-00f067aa0ba902b7-01-more", id},
		{"Traceparent", "00-" + id + "-00f067aa0ba902b7-0", ""},
		{"Traceparent", "00-" + strings.ToUpper(id) + "-00f067aa0ba902b7-01", ""},
		{"Traceparent", "00-" + strings.Repeat("0", 32) + "-00f067aa0ba902b7-01", ""},
		{"Traceparent", "", ""},
		{"X-Amzn-Trace-Id", "Root=1-5759e988-bd862e3fe1be46a994272793", "5759e988bd862e3fe1be46a994272793"},
		{"X-Amzn-Trace-Id", "Self=1-1-2; Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1", "5759e988bd862e3fe1be46a994272793"},
		{"X-Amzn-Trace-Id", "Root=1-5759e988-bd862e3fe1be46a99427279", ""},
		{"X-Amzn-Trace-Id", "Root=1-5759e988bbd862e3fe1be46a994272793", ""},
		{"X-Other", id, ""},
	} {
		if got := traceID(http.Header{c.name: {c.value}}); got != c.want {
			t.Errorf("%s %q: %q, want %q", c.name, c.value, got, c.want)
		}
	}
}

// A body that nobody reads is not captured, and the record says that there was more.
func TestUnreadBody(t *testing.T) {
	for _, c := range []struct {
		name, head, body string
		read             int
		truncated        bool
	}{
		{"not read", "Content-Length: 5", "hello", 0, true},
		{"read in part", "Content-Length: 5", "hello", 4, true},
		{"read, its end not seen", "Content-Length: 5", "hello", 5, false},
		{"chunked, not read", "Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n", 0, true},
		{"chunked, read", "Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n", 6, false},
		{"empty", "Content-Length: 0", "", 0, false},
		{"none", "X-A: b", "", 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, &Recorder{}, func(w http.ResponseWriter, r *http.Request) {
				io.ReadFull(r.Body, make([]byte, c.read))
				w.WriteHeader(403)
			}, false)
			if _, _, err := s.raw("POST", "POST / HTTP/1.1\r\nHost: example.com\r\n"+c.head+"\r\n\r\n"+c.body); err != nil {
				t.Fatal(err)
			}
			ex := s.queue.one(t)
			if want := min(c.read, 5); ex.Request.Size != int64(want) || string(ex.Request.Bytes) != "hello"[:want] && c.body != "" || ex.Request.Truncated != c.truncated || ex.Request.Summed {
				t.Errorf("%+v", ex.Request)
			}
		})
	}
}

// Trailers that were not announced appear on the server's request; the next stage sees them too.
func TestUnannouncedTrailer(t *testing.T) {
	seen := make(chan string, 1)
	s := serve(t, &Recorder{}, func(w http.ResponseWriter, r *http.Request) {
		io.ReadAll(r.Body)
		seen <- r.Trailer.Get("X-Late")
	}, false)
	if _, _, err := s.raw("POST", "POST / HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-Late: 1\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if got := <-seen; got != "1" {
		t.Errorf("the next stage saw %q", got)
	}
	if ex := s.queue.one(t); ex.RequestTrailer.Get("X-Late") != "1" {
		t.Errorf("recorded %v", ex.RequestTrailer)
	}
}

func TestPanic(t *testing.T) {
	for _, c := range []struct {
		name    string
		value   any
		handler func(w http.ResponseWriter)
		call    string // what a stage says went wrong
		status  int
		want    string
	}{
		{"before anything", "oops", func(http.ResponseWriter) {}, "", 0, errorBroken},
		{"abort in the middle", http.ErrAbortHandler, func(w http.ResponseWriter) { withLength(10)(w); io.WriteString(w, "hello"); flush(w) }, "backend broke off", 200, "backend broke off"},
		{"abort before the end of chunks", http.ErrAbortHandler, func(w http.ResponseWriter) { io.WriteString(w, "hello"); flush(w) }, "", 200, errorBroken},
		{"abort with all written", http.ErrAbortHandler, func(w http.ResponseWriter) { withLength(5)(w); io.WriteString(w, "hello"); flush(w) }, "", 200, errorBroken},
		{"abort of a head", http.ErrAbortHandler, func(w http.ResponseWriter) { w.WriteHeader(204); flush(w) }, "", 204, errorBroken},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, &Recorder{}, func(w http.ResponseWriter, r *http.Request) {
				tapway.CallFrom(r.Context()).Error = c.call
				c.handler(w)
				panic(c.value)
			}, false)
			if res, body, err := s.raw("GET", "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"); err == nil {
				t.Errorf("the client got a whole response: %v %q", res, body)
			}
			if ex := s.queue.one(t); ex.Status != c.status || ex.Error != c.want {
				t.Errorf("%+v", ex.Meta)
			}
			s.settled()
		})
	}
}

// A record says so when it does not hold the whole body because that broke off. An event stream
// has no other end.
func TestCutShortResponse(t *testing.T) {
	write := func(w http.ResponseWriter) { io.WriteString(w, "hello"); flush(w) }
	for _, c := range []struct {
		name      string
		handler   func(w http.ResponseWriter)
		returns   bool
		truncated bool
	}{
		{"less than declared", func(w http.ResponseWriter) { withLength(6)(w); write(w) }, false, true},
		{"less than declared, and nobody noticed", func(w http.ResponseWriter) { withLength(6)(w); write(w) }, true, true},
		{"all that was declared", func(w http.ResponseWriter) { withLength(5)(w); write(w) }, false, false},
		{"chunks without their end", write, false, true},
		{"chunks", write, true, false},
		{"an event stream", func(w http.ResponseWriter) { w.Header().Set("Content-Type", "text/event-stream"); write(w) }, false, false},
		{"a head alone", func(w http.ResponseWriter) { w.WriteHeader(204); flush(w) }, false, false},
		{"nothing", func(http.ResponseWriter) {}, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, &Recorder{}, func(w http.ResponseWriter, r *http.Request) {
				c.handler(w)
				if !c.returns {
					panic(http.ErrAbortHandler)
				}
			}, false)
			s.raw("GET", "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n")
			if ex := s.queue.one(t); ex.Response.Truncated != c.truncated || ex.Response.Summed {
				t.Errorf("%+v", ex.Response)
			}
			s.settled()
		})
	}
}

// The stack that the server logs is the one of the panic.
func TestPanicKeepsItsStack(t *testing.T) {
	rec := &Recorder{Queue: newQueue(t)}
	h := rec.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panics() }))
	defer func() {
		buf := make([]byte, 16<<10)
		if p := recover(); p != "here" || !bytes.Contains(buf[:runtime.Stack(buf, false)], []byte("capture.panics")) {
			t.Errorf("%v\n%s", p, buf)
		}
	}()
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
}

//go:noinline
func panics() { panic("here") }

func TestShortResponse(t *testing.T) {
	s := serve(t, &Recorder{}, func(w http.ResponseWriter, r *http.Request) {
		withLength(10)(w)
		io.WriteString(w, "hello")
	}, false)
	if _, _, err := s.raw("GET", "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"); err == nil {
		t.Error("the client got a whole response")
	}
	if ex := s.queue.one(t); ex.Error != errorShort || string(ex.Response.Bytes) != "hello" {
		t.Errorf("%+v", ex)
	}
}

func TestClientGone(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		for _, started := range []bool{false, true} {
			t.Run(fmt.Sprintf("h2=%v/started=%v", h2, started), func(t *testing.T) {
				inside := make(chan struct{})
				q := newQueue(t)
				q.before = func(ctx context.Context) error { return ctx.Err() }
				s := serve(t, &Recorder{Queue: q}, func(w http.ResponseWriter, r *http.Request) {
					if started {
						io.WriteString(w, "hello")
						flush(w)
					}
					close(inside)
					<-r.Context().Done()
				}, false)
				ctx, cancel := context.WithCancel(t.Context())
				req, _ := http.NewRequestWithContext(ctx, "GET", "http://example.com/", nil)
				go func() {
					<-inside
					cancel()
				}()
				if res, err := s.client(h2).Do(req); err == nil {
					io.Copy(io.Discard, res.Body)
					res.Body.Close()
				}
				ex := q.one(t)
				if want := map[bool]int{true: 200, false: 0}[started]; ex.Status != want || ex.Error != errorClientGone {
					t.Errorf("%+v", ex.Meta)
				}
			})
		}
	}
}

// Duration and overhead by a clock of the test's own.
func TestOverhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(t)
		s := serve(t, &Recorder{Queue: q, Redact: func(*tapway.Exchange) { time.Sleep(3 * time.Millisecond) }}, func(w http.ResponseWriter, r *http.Request) {
			io.ReadAll(r.Body)                // the client takes 100 ms for it
			time.Sleep(30 * time.Millisecond) // the backend's
			time.Sleep(7 * time.Millisecond)  // ours
			tapway.CallFrom(r.Context()).Backend = 30 * time.Millisecond
			io.WriteString(w, "done")
		}, true)
		c := s.dial()
		defer c.Close()
		go func() {
			io.WriteString(c, "POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 2\r\n\r\na")
			time.Sleep(100 * time.Millisecond)
			io.WriteString(c, "b")
			io.Copy(io.Discard, c)
		}()
		ex := q.one(t)
		if ex.Duration != 140*time.Millisecond || ex.Overhead != 10*time.Millisecond {
			t.Errorf("duration %v, overhead %v", ex.Duration, ex.Overhead)
		}
		c.Close()
		s.srv.Close()
	})
}

// Reading the body may outlast the call, and the Call may be written to: both belong to a
// call that is over and must not reach into another, nor into the connection's next request.
func TestLateReader(t *testing.T) {
	rec := &Recorder{Queue: newQueue(t)}
	pr, pw := io.Pipe()
	begun := make(chan struct{})
	body := io.MultiReader(beginning(begun), pr)
	var wg sync.WaitGroup
	first := true
	h := rec.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(202)
		if !first {
			return
		}
		first = false
		wg.Go(func() {
			if b, err := io.ReadAll(r.Body); err != http.ErrBodyReadAfterClose || len(b) == 0 {
				t.Errorf("read %d bytes, %v", len(b), err)
			}
			tapway.CallFrom(r.Context()).Error = "late"
			pr.Close()
		})
		<-begun
	}))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "/", body))
	wg.Go(func() { io.WriteString(pw, long(10_000)) })
	for range 100 {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "/", strings.NewReader("x")))
	}
	wg.Wait()
	for _, ex := range rec.Queue.(*queue).all() {
		if ex.RequestSize != 0 || ex.Error != "" {
			t.Errorf("%+v", ex.Meta)
		}
	}
	if got := rec.Stats(); got != (Stats{}) {
		t.Errorf("left behind: %+v", got)
	}
}

// beginning is a reader without bytes that closes itself when it is read: the next reader
// behind it is about to be.
type beginning chan struct{}

func (b beginning) Read([]byte) (int, error) {
	close(b)
	return 0, io.EOF
}

func TestLateWriter(t *testing.T) {
	rec := &Recorder{Queue: newQueue(t)}
	var kept http.ResponseWriter
	out := httptest.NewRecorder()
	rec.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { kept = w })).ServeHTTP(out, httptest.NewRequest("GET", "/", nil))
	if _, err := kept.Write([]byte("x")); err != errOver {
		t.Error(err)
	}
	if err := http.NewResponseController(kept).Flush(); err != errOver {
		t.Error(err)
	}
	kept.WriteHeader(500)
	if out.Code != 200 || out.Body.Len() != 0 {
		t.Errorf("sent %d %q", out.Code, out.Body)
	}
}

// Concurrent calls do not get into each other.
func TestMany(t *testing.T) {
	rec := &Recorder{}
	s := serve(t, rec, echo, false)
	client := s.client(false)
	client.Transport.(*http.Transport).MaxIdleConnsPerHost = 8
	var wg sync.WaitGroup
	const workers, each = 4, 75
	for worker := range workers {
		wg.Go(func() {
			for i := range each {
				body := fmt.Sprintf("%d-%d-%s", worker, i, long(i*17%3000))
				res, err := client.Post("http://example.com/"+body[:3], "text/plain", strings.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				got, err := io.ReadAll(res.Body)
				res.Body.Close()
				if err != nil || string(got) != body {
					t.Errorf("sent %d, got %d bytes, %v", len(body), len(got), err)
				}
			}
		})
	}
	wg.Wait()
	s.settled()
	all := s.queue.all()
	if len(all) != workers*each {
		t.Errorf("%d of %d stored", len(all), workers*each)
	}
	seen := map[string]bool{}
	for _, ex := range all {
		if !bytes.Equal(ex.Request.Bytes, ex.Response.Bytes) || seen[string(ex.Request.Bytes)] {
			t.Fatalf("mixed up: %q and %q", ex.Request.Bytes, ex.Response.Bytes)
		}
		seen[string(ex.Request.Bytes)] = true
	}
}

// silent stores nothing and says nothing.
type silent struct{ tapway.Queue }

func (silent) Enqueue(context.Context, *tapway.Exchange) error { return nil }

// No goroutine is started for a call. The timers of earlier tests may start a few.
func TestNoGoroutines(t *testing.T) {
	before, more := runtime.NumGoroutine(), 0
	rec := &Recorder{Queue: silent{}, Redact: func(*tapway.Exchange) {
		if runtime.NumGoroutine() > before {
			more++
		}
	}}
	h := rec.Wrap(http.HandlerFunc(echo))
	for range 10_000 {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "/", strings.NewReader("x")))
	}
	if more > 5000 {
		t.Errorf("%d of 10000 calls have met more goroutines than the %d before", more, before)
	}
}

func TestNeedsQueue(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a Recorder without a Queue is taken")
		}
	}()
	new(Recorder).Wrap(http.NotFoundHandler())
}
