package lambdahttp

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/tapway/tapway/internal/capture"
	"github.com/tapway/tapway/internal/lambdahttp/eventtest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var streaming = []eventtest.Front{eventtest.REST, eventtest.FunctionURL}

// open sends a request through a front that streams.
func open(t testing.TB, ctx context.Context, d *Door, f eventtest.Front, r eventtest.Request) *Reply {
	t.Helper()
	d.Stream, d.Log = true, quiet()
	event, err := f.Event(r)
	if err != nil {
		t.Fatal(err)
	}
	reply, err := d.Serve(ctx, event)
	if err != nil {
		t.Fatal(err)
	}
	if reply.ContentType != ContentTypeStream || reply.Body != nil {
		t.Errorf("posted as %s", reply.ContentType)
	}
	return reply
}

// What is written can be read at once, flushed or not.
func TestStreams(t *testing.T) {
	for _, f := range streaming {
		synctest.Test(t, func(t *testing.T) {
			next := make(chan bool)
			reply := open(t, t.Context(), &Door{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header()["Set-Cookie"] = []string{"a=1", "b=2"}
				w.Header().Set("Content-Type", "text/event-stream")
				w.WriteHeader(103)
				w.WriteHeader(201)
				for range 3 {
					<-next
					io.WriteString(w, "data: \xff\n\n")
					if <-next {
						http.NewResponseController(w).Flush()
					}
				}
			})}, f, eventtest.Request{})
			res, err := f.StreamResponse(reply.Stream)
			if err != nil || res.Status != 201 || res.Header.Get("Content-Type") != "text/event-stream" || strings.Join(res.Header["Set-Cookie"], " ") != "a=1 b=2" {
				t.Fatalf("%v: %v %+v", f, err, res)
			}
			for i := range 3 {
				next <- true
				got := make([]byte, 9)
				if _, err := io.ReadFull(res.Stream, got); err != nil || string(got) != "data: \xff\n\n" {
					t.Fatalf("%v: %q %v", f, got, err)
				}
				next <- i == 1
			}
			if rest, err := io.ReadAll(res.Stream); len(rest) != 0 || err != nil {
				t.Errorf("%q %v", rest, err)
			}
			reply.Stream.Close()
			if err := reply.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
}

// Replies of all lengths arrive whole, in whatever pieces they are written and read.
func TestStreamedBodies(t *testing.T) {
	for _, size := range []int{0, 1, 511, pipeSize - 1, pipeSize, pipeSize + 1, 3*pipeSize + 7, 7 << 20} {
		for _, piece := range []int{100, 32 << 10, 1 << 20} {
			if size/piece > 10_000 {
				continue
			}
			body := strings.Repeat("0123456789abcdef\x00\xff", size/18+1)[:size]
			reply := open(t, t.Context(), &Door{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Length", strconv.Itoa(size))
				for rest := body; len(rest) > 0; {
					n, err := io.WriteString(w, rest[:min(piece, len(rest))])
					if err != nil {
						t.Error(err)
						return
					}
					rest = rest[n:]
				}
			})}, eventtest.REST, eventtest.Request{})
			var stream io.Reader = reply.Stream
			if size < pipeSize {
				stream = iotest.OneByteReader(stream)
			}
			res, err := eventtest.REST.StreamResponse(stream)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(res.Stream)
			if string(got) != body || err != nil || reply.Wait() != nil {
				t.Errorf("%d in %d: %d bytes, %v, %v", size, piece, len(got), err, reply.Wait())
			}
			reply.Stream.Close()
		}
	}
}

// A stream that does not end well says so to its reader; one that has not begun is a 502.
func TestBrokenStreams(t *testing.T) {
	tests := []struct {
		name    string
		handler http.HandlerFunc
		status  int
		body    string // what must be read
		end     error  // of the stream
		err     error  // of Wait
	}{
		{"aborted before the head", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 502, "broke off", nil, ErrBroken},
		{"panicked before the head", func(http.ResponseWriter, *http.Request) { panic("boom") }, 502, "Internal server error", nil, &PanicError{"boom"}},
		{"aborted behind the head", func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(200)
			panic(http.ErrAbortHandler)
		}, 200, "", ErrBroken, ErrBroken},
		{"aborted in the body", func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "half")
			panic(http.ErrAbortHandler)
		}, 200, "half", ErrBroken, ErrBroken},
		{"panicked in the body", func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "half")
			panic("boom")
		}, 200, "half", &PanicError{"boom"}, &PanicError{"boom"}},
		{"short", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "5")
			io.WriteString(w, "half")
		}, 200, "half", ErrBroken, ErrBroken},
		{"upgrade", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(101) }, 502, "switches protocols", nil, ErrUpgrade},
		{"headers too large", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X", strings.Repeat("x", maxPrelude))
			if n, err := io.WriteString(w, "x"); n != 1 || err != nil {
				t.Error(err)
			}
		}, 502, "too large", nil, ErrTooLarge},
		{"nothing", func(w http.ResponseWriter, r *http.Request) {}, 200, "", nil, nil},
		{"no content", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(204) }, 204, "", nil, nil},
	}
	for _, tt := range tests {
		for _, f := range streaming {
			reply := open(t, t.Context(), &Door{Handler: tt.handler}, f, eventtest.Request{})
			res, err := f.StreamResponse(reply.Stream)
			if err != nil {
				t.Fatalf("%s: %v", tt.name, err)
			}
			body, end := io.ReadAll(res.Stream)
			if res.Status != tt.status || !strings.Contains(string(body), tt.body) {
				t.Errorf("%s, %v: %d %q", tt.name, f, res.Status, body)
			}
			if !same(end, tt.end) || !same(reply.Wait(), tt.err) {
				t.Errorf("%s, %v: the stream ends with %v, Wait gives %v", tt.name, f, end, reply.Wait())
			}
			reply.Stream.Close()
		}
	}
}

func same(got, want error) bool {
	if p, ok := errors.AsType[*PanicError](want); ok {
		q, ok := errors.AsType[*PanicError](got)
		return ok && *p == *q
	}
	return errors.Is(got, want) && (want != nil || got == nil)
}

// The largest prelude whose delimiter lies within the first 16 KiB is sent, a longer one is not.
func TestPrelude(t *testing.T) {
	status := func(n int) int {
		reply := open(t, t.Context(), &Door{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X", strings.Repeat("x", n))
			io.WriteString(w, "x")
		})}, eventtest.FunctionURL, eventtest.Request{})
		defer reply.Wait()
		defer reply.Stream.Close()
		res, err := eventtest.FunctionURL.StreamResponse(reply.Stream)
		if err != nil {
			t.Fatal(err)
		}
		return res.Status
	}
	fits := 0
	for n := maxPrelude - 120; n < maxPrelude; n++ {
		if status(n) == 200 {
			fits = n
		}
	}
	if over := len(`{"statusCode":200,"headers":{"Content-Type":"application/octet-stream","X":""}}`) + len(delimiter); fits != maxPrelude-over {
		t.Errorf("the longest has %d bytes, want %d", fits, maxPrelude-over)
	}
}

// A reader that goes away ends the handler, also one that waits or writes.
func TestReaderGoesAway(t *testing.T) {
	for _, f := range streaming {
		synctest.Test(t, func(t *testing.T) {
			var writeErr error
			reply := open(t, t.Context(), &Door{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				for writeErr == nil {
					_, writeErr = io.WriteString(w, strings.Repeat("x", 1000))
				}
				<-r.Context().Done()
			})}, f, eventtest.Request{})
			synctest.Wait() // the buffer is full
			reply.Stream.Close()
			if err := reply.Wait(); !errors.Is(err, ErrBroken) || writeErr == nil {
				t.Errorf("%v %v", err, writeErr)
			}
			if _, err := reply.Stream.Read(make([]byte, 1)); err != io.ErrClosedPipe {
				t.Error(err)
			}
		})
	}
}

// The invocation's deadline ends a stream that nobody reads fast enough: it breaks off.
func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		reply := open(t, ctx, &Door{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, strings.Repeat("x", 2*pipeSize)) // and returns as if nothing had happened
		})}, eventtest.REST, eventtest.Request{})
		synctest.Wait()
		cancel()
		err := reply.Wait()
		if !errors.Is(err, ErrBroken) || !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if _, end := io.ReadAll(reply.Stream); !errors.Is(end, ErrBroken) {
			t.Error(end)
		}
		reply.Stream.Close()
	})
}

// A HEAD request has a prelude and nothing else.
func TestStreamedHEAD(t *testing.T) {
	for _, panics := range []bool{false, true} {
		reply := open(t, t.Context(), &Door{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if panics {
				panic(http.ErrAbortHandler)
			}
			w.Header().Set("Content-Length", "5")
			io.WriteString(w, "hello")
		})}, eventtest.FunctionURL, eventtest.Request{Method: "HEAD"})
		res, err := eventtest.FunctionURL.StreamResponse(reply.Stream)
		if err != nil {
			t.Fatal(err)
		}
		if rest, err := io.ReadAll(res.Stream); len(rest) > 0 || err != nil || (res.Status == 200) == panics {
			t.Errorf("%d %q %v", res.Status, rest, err)
		}
		reply.Stream.Close()
		reply.Wait()
	}
}

// Fronts that do not stream get a whole reply in any case.
func TestOthersDoNotStream(t *testing.T) {
	for _, f := range []eventtest.Front{eventtest.HTTP1, eventtest.HTTP2, eventtest.ALB, eventtest.ALBMulti} {
		d := &Door{Stream: true, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "x") })}
		if res, _ := through(t, d, f, eventtest.Request{}); string(res.Body) != "x" {
			t.Errorf("%v: %q", f, res.Body)
		}
	}
}

// The record of a stream that breaks off has the status that the client has seen, and what passed.
func TestStreamCaptured(t *testing.T) {
	q := new(store)
	rec := &capture.Recorder{Queue: q, Log: quiet()}
	d := &Door{Handler: rec.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "half")
		panic(http.ErrAbortHandler)
	}))}
	reply := open(t, t.Context(), d, eventtest.FunctionURL, eventtest.Request{})
	if _, err := io.ReadAll(reply.Stream); !errors.Is(err, ErrBroken) {
		t.Error(err)
	}
	reply.Stream.Close()
	reply.Wait()
	if ex := q.last(); ex.Status != 200 || ex.Error == "" || string(ex.Response.Bytes) != "half" {
		t.Errorf("recorded %+v", ex)
	}
}
