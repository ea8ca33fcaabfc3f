package http1

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Bodies around the size at which a second goroutine sends them arrive as they are, and the
// connection stays.
func TestTransportUpload(t *testing.T) {
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%d %d %v %s", len(b), r.ContentLength, err, r.Trailer.Get("Sum"))
	}))
	defer ts.Close()
	tr := transportNoLeaks(t, &Transport{ResponseHeaderTimeout: time.Minute})
	for _, size := range []int{1, transportBuffer - 200, transportBuffer + 1, transportSmallBody - 1, transportSmallBody, transportSmallBody + 1, 3 << 20} {
		for _, chunked := range []bool{false, true} {
			body := bytes.Repeat([]byte("x"), size)
			req := transportRequest(t, "POST", ts.URL, "")
			req.ContentLength = int64(size)
			req.Body = io.NopCloser(bytes.NewReader(body))
			sum := ""
			if chunked {
				req.ContentLength, sum = -1, "7"
				req.Trailer = http.Header{"Sum": nil}
				req.Body = transportBody{close: func() {}, Reader: io.MultiReader(bytes.NewReader(body), transportReaderFunc(func([]byte) (int, error) {
					req.Trailer.Set("Sum", sum)
					return 0, io.EOF
				}))}
			}
			resp, err := tr.RoundTrip(req)
			if err != nil {
				t.Fatalf("%d bytes: %v", size, err)
			}
			want := fmt.Sprintf("%d %d <nil> %s", size, req.ContentLength, sum)
			if got := transportReadAll(t, resp); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			transportEventually(t, "the connection is back", func() bool { live, idle := transportCounts(tr); return live == 1 && idle == 1 })
		}
	}
}

type transportReaderFunc func([]byte) (int, error)

func (f transportReaderFunc) Read(p []byte) (int, error) { return f(p) }

// A server may refuse an upload before it has read it.
func TestTransportEarlyAnswer(t *testing.T) {
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
	}))
	defer ts.Close()
	for _, length := range []int64{10 << 20, -1} {
		tr := transportNoLeaks(t, &Transport{})
		closed := make(chan struct{})
		req := transportRequest(t, "POST", ts.URL, "")
		req.ContentLength = length
		req.Body = transportBody{Reader: io.LimitReader(transportZeros{}, 10<<20), close: func() { close(closed) }}
		resp, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		if got := transportReadAll(t, resp); resp.StatusCode != http.StatusRequestEntityTooLarge || got != "too large\n" {
			t.Errorf("%s %q", resp.Status, got)
		}
		<-closed
		transportEventually(t, "no connection left", func() bool { live, _ := transportCounts(tr); return live == 0 })
	}
}

// The answer is complete while the request body hangs: the body is closed, which ends its
// Read, and nothing of the call is left.
func TestTransportAnswerBeforeBody(t *testing.T) {
	for _, closeEarly := range []bool{false, true} {
		addr := transportListen(t, func(_ int, nc net.Conn, br *bufio.Reader) {
			transportHead(br)
			io.WriteString(nc, transportOK)
			io.Copy(io.Discard, br)
		})
		tr := transportNoLeaks(t, &Transport{})
		pr, pw := io.Pipe()
		req := transportRequest(t, "POST", addr, "")
		req.ContentLength, req.Body = -1, pr
		resp, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		if closeEarly {
			resp.Body.Close()
		} else {
			transportReadAll(t, resp)
		}
		for err = nil; err == nil; { // an early Write may still be taken by a Read under way
			_, err = pw.Write([]byte("late"))
		}
		if !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("error %v", err)
		}
		if live, _ := transportCounts(tr); live != 0 {
			t.Errorf("%d connections left", live)
		}
	}
}

// Both directions stream at once: each line goes out when it is written, and comes back
// before the next.
func TestTransportBothWays(t *testing.T) {
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		rc.EnableFullDuplex()
		rc.Flush()
		for in := bufio.NewReader(r.Body); ; rc.Flush() {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			io.WriteString(w, strings.ToUpper(line))
		}
	}))
	defer ts.Close()
	tr := transportNoLeaks(t, &Transport{})
	pr, pw := io.Pipe()
	req := transportRequest(t, "POST", ts.URL, "")
	req.ContentLength, req.Body = -1, pr
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(resp.Body)
	for i := range 5 {
		fmt.Fprintf(pw, "line %d\n", i)
		if line, err := in.ReadString('\n'); line != fmt.Sprintf("LINE %d\n", i) {
			t.Fatalf("%q %v", line, err)
		}
	}
	pw.Close()
	if rest, err := io.ReadAll(in); len(rest) > 0 || err != nil {
		t.Errorf("%q, %v", rest, err)
	}
	resp.Body.Close()
}

func TestTransportExpect(t *testing.T) {
	large := int64(transportSmallBody + 1)
	for _, tc := range []struct {
		name   string
		first  string // sent by the backend once it has the header; "" waits for the body
		length int64
		status int
		sent   bool
	}{
		{"asked for", "HTTP/1.1 100 Continue\r\n\r\n", 5, 200, true},
		{"asked for, large", "HTTP/1.1 100 Continue\r\n\r\n", large, 200, true},
		{"hints first", "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n", 5, 200, true},
		{"refused", "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\nhi", 5, 417, false},
		{"refused, large", "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\nhi", large, 417, false},
		{"answered", transportOK, 5, 200, false},
		{"silence", "", 5, 200, true},
		{"silence, large", "", large, 200, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := make(chan int64, 1)
			addr := transportListen(t, func(_ int, nc net.Conn, br *bufio.Reader) {
				transportHead(br)
				io.WriteString(nc, tc.first)
				n, _ := io.CopyN(io.Discard, br, tc.length)
				got <- n
				if n == tc.length {
					io.WriteString(nc, transportOK)
				}
			})
			tr := transportNoLeaks(t, &Transport{ExpectContinueTimeout: 50 * time.Millisecond, ResponseHeaderTimeout: time.Minute})
			if tc.first != "" {
				tr.ExpectContinueTimeout = time.Minute
			}
			closed := make(chan struct{})
			var read atomic.Int64
			req := transportRequest(t, "POST", addr, "")
			req.Header.Set("Expect", "100-Continue")
			req.ContentLength = tc.length
			left := io.LimitReader(transportZeros{}, tc.length)
			req.Body = transportBody{close: func() { close(closed) }, Reader: transportReaderFunc(func(p []byte) (int, error) {
				n, err := left.Read(p)
				read.Add(int64(n))
				return n, err
			})}
			resp, err := tr.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			if body := transportReadAll(t, resp); resp.StatusCode != tc.status || body != "hi" {
				t.Errorf("%s %q", resp.Status, body)
			}
			<-closed
			if want := map[bool]int64{true: tc.length}[tc.sent]; read.Load() != want {
				t.Errorf("%d bytes of the body were read, want %d", read.Load(), want)
			}
			tr.CloseIdleConnections()
			if n := <-got; n != map[bool]int64{true: tc.length}[tc.sent] {
				t.Errorf("the backend saw %d bytes of the body", n)
			}
		})
	}
}

// Wherever a call stands, the context's end interrupts it and gives its error.
func TestTransportCancel(t *testing.T) {
	hang := func(reply string) func(t *testing.T) string {
		return func(t *testing.T) string {
			return transportListen(t, func(_ int, nc net.Conn, br *bufio.Reader) {
				transportHead(br)
				io.WriteString(nc, reply)
				io.Copy(io.Discard, br)
			})
		}
	}
	mine := errors.New("the client left")
	for _, tc := range []struct {
		name    string
		backend func(t *testing.T) string
		body    io.Reader
		length  int64
		inBody  bool
	}{
		{"waiting for the answer", hang(""), nil, 0, false},
		{"within the header", hang("HTTP/1.1 200 OK\r\nA: "), nil, 0, false},
		{"reading the body", hang("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe"), nil, 0, true},
		{"reading chunks", hang("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n"), nil, 0, true},
		{"waiting, a large body under way", hang(""), transportZeros{}, -1, false},
		{"writing into a full socket", func(t *testing.T) string {
			return transportListen(t, func(_ int, nc net.Conn, _ *bufio.Reader) { <-t.Context().Done() })
		}, transportZeros{}, 1 << 40, false},
		{"a small body that hangs", hang(""), nil, 5, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			addr := tc.backend(t)
			tr := transportNoLeaks(t, &Transport{})
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			req := transportRequest(t, "POST", addr, "").WithContext(ctx)
			req.ContentLength = tc.length
			closed := make(chan struct{})
			if tc.body == nil && tc.length > 0 {
				pr, _ := io.Pipe()
				req.Body = transportBody{Reader: pr, close: func() { pr.Close(); close(closed) }}
			} else if tc.body != nil {
				req.Body = transportBody{Reader: tc.body, close: func() { close(closed) }}
			} else {
				close(closed)
			}
			if !tc.inBody {
				time.AfterFunc(30*time.Millisecond, func() { cancel(mine) })
			}
			resp, err := tr.RoundTrip(req)
			if tc.inBody {
				if err != nil {
					t.Fatal(err)
				}
				io.ReadFull(resp.Body, make([]byte, 2))
				time.AfterFunc(30*time.Millisecond, func() { cancel(mine) })
				_, err = io.ReadAll(resp.Body)
				resp.Body.Close()
			}
			if !errors.Is(err, context.Canceled) || !errors.Is(err, mine) {
				t.Errorf("error %v", err)
			}
			<-closed
			transportEventually(t, "no connection left", func() bool { live, _ := transportCounts(tr); return live == 0 })
		})
	}
	t.Run("dialling", func(t *testing.T) {
		tr := transportNoLeaks(t, &Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		ctx, cancel := context.WithTimeoutCause(t.Context(), 20*time.Millisecond, mine)
		defer cancel()
		_, err := tr.RoundTrip(transportRequest(t, "GET", "http://a.test", "").WithContext(ctx))
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, mine) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("before the call", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		tr := &Transport{DialContext: transportNoDial(t)}
		if _, err := tr.RoundTrip(transportRequest(t, "GET", "http://a.test", "").WithContext(ctx)); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	})
}

// Calls that are cancelled at any moment never spoil a connection for the next.
func TestTransportCancelAtRandom(t *testing.T) {
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.URL.RawQuery)
	}))
	defer ts.Close()
	tr := transportNoLeaks(t, &Transport{BodyIdleTimeout: time.Minute, ResponseHeaderTimeout: time.Minute})
	for i := range 300 {
		ctx, cancel := context.WithCancel(t.Context())
		if i%2 == 0 {
			time.AfterFunc(time.Duration(i)*time.Microsecond, cancel)
		}
		want := fmt.Sprint(i)
		resp, err := tr.RoundTrip(transportRequest(t, "GET", ts.URL+"/?"+want, "").WithContext(ctx))
		var got []byte
		if err == nil {
			got, err = io.ReadAll(resp.Body)
			resp.Body.Close()
		}
		if err != nil && (i%2 != 0 || !errors.Is(err, context.Canceled)) || err == nil && string(got) != want {
			t.Fatalf("call %d: %q, %v", i, got, err)
		}
		cancel()
	}
}

func TestTransportTimeouts(t *testing.T) {
	drip := func(pieces ...string) func(int, net.Conn, *bufio.Reader) {
		return func(_ int, nc net.Conn, br *bufio.Reader) {
			if req, err := http.ReadRequest(br); err == nil {
				io.Copy(io.Discard, req.Body)
			}
			for i, p := range pieces {
				if i > 0 {
					time.Sleep(2 * time.Second)
				}
				io.WriteString(nc, p)
			}
			br.ReadByte()
		}
	}
	for _, tc := range []struct {
		name   string
		tr     *Transport
		script func(int, net.Conn, *bufio.Reader)
		length int64
		want   error // of RoundTrip or the body
		after  time.Duration
	}{
		{"no answer", &Transport{ResponseHeaderTimeout: 3 * time.Second}, drip(), 0, ErrResponseHeaderTimeout, 3 * time.Second},
		{"no answer to a large body", &Transport{ResponseHeaderTimeout: 3 * time.Second}, drip(), 1 << 20, ErrResponseHeaderTimeout, 3 * time.Second},
		{"header in drips", &Transport{ResponseHeaderTimeout: 3 * time.Second}, drip("HTTP/1.1 103 Early Hints\r\n\r\n", "HTTP/1.1 200", " OK\r\n"), 0, ErrResponseHeaderTimeout, 3 * time.Second},
		{"just in time", &Transport{ResponseHeaderTimeout: 3 * time.Second}, drip("", transportOK), 0, nil, 2 * time.Second},
		{"no limit for the body unless asked for", &Transport{ResponseHeaderTimeout: 1 * time.Second}, drip(transportOK[:len(transportOK)-1], "", "i"), 0, nil, 4 * time.Second},
		{"body in drips", &Transport{BodyIdleTimeout: 3 * time.Second}, drip("", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "2\r\nhi\r\n", "0\r\n\r\n"), 0, nil, 6 * time.Second},
		{"body that stops", &Transport{BodyIdleTimeout: 3 * time.Second}, drip("", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "hi"), 0, ErrBodyIdleTimeout, 7 * time.Second},
		{"body that stops, both limits", &Transport{BodyIdleTimeout: time.Second, ResponseHeaderTimeout: 9 * time.Second}, drip("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"), 0, ErrBodyIdleTimeout, time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tr := tc.tr
				tr.DialContext = transportPipe(tc.script)
				start := time.Now()
				req := transportRequest(t, "POST", "http://a.test", "")
				req.ContentLength = tc.length
				if tc.length > 0 {
					req.Body = io.NopCloser(io.LimitReader(transportZeros{}, tc.length))
				}
				resp, err := tr.RoundTrip(req)
				if err == nil {
					_, err = io.ReadAll(resp.Body)
					resp.Body.Close()
				}
				var ne net.Error
				if !errors.Is(err, tc.want) || tc.want != nil && (!errors.As(err, &ne) || !ne.Timeout()) {
					t.Errorf("error %v, want %v", err, tc.want)
				}
				if took := time.Since(start); took != tc.after {
					t.Errorf("after %v, want %v", took, tc.after)
				}
				tr.CloseIdleConnections()
				if live, _ := transportCounts(tr); live != 0 {
					t.Errorf("%d connections left", live)
				}
				time.Sleep(time.Minute) // lets the backend's script end
			})
		})
	}
}

// The deadline of one call must not end the next.
func TestTransportDeadlinesAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &Transport{ResponseHeaderTimeout: time.Second, DialContext: transportPipe(func(_ int, nc net.Conn, br *bufio.Reader) {
			for {
				req, err := http.ReadRequest(br)
				if err != nil {
					return
				}
				io.Copy(io.Discard, req.Body)
				time.Sleep(900 * time.Millisecond)
				io.WriteString(nc, transportOK)
			}
		})}
		for i := range 6 {
			req := transportRequest(t, "POST", "http://a.test", "")
			if i%2 == 1 { // a body that takes longer than the deadline before
				pr, pw := io.Pipe()
				go func() {
					for range 4 {
						time.Sleep(700 * time.Millisecond)
						pw.Write([]byte("x"))
					}
					pw.Close()
				}()
				req.Body, req.ContentLength = pr, -1
			}
			resp, err := tr.RoundTrip(req)
			if err != nil {
				t.Fatalf("call %d: %v", i, err)
			}
			transportReadAll(t, resp)
			time.Sleep(10 * time.Second)
		}
		tr.CloseIdleConnections()
	})
}

// A goroutine of a call never reads a body that has been closed.
func TestTransportNeverReadsClosedBody(t *testing.T) {
	addr := transportListen(t, func(_ int, nc net.Conn, br *bufio.Reader) {
		transportHead(br)
		io.WriteString(nc, transportOK)
		io.Copy(io.Discard, br)
	})
	tr := transportNoLeaks(t, &Transport{})
	for range 200 {
		var closed, late atomic.Bool
		done := make(chan struct{})
		req := transportRequest(t, "POST", addr, "")
		req.ContentLength = -1
		req.Body = transportBody{close: func() { closed.Store(true); close(done) }, Reader: transportReaderFunc(func(p []byte) (int, error) {
			late.Store(late.Load() || closed.Load())
			return len(p), nil
		})}
		resp, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		transportReadAll(t, resp)
		<-done
		if late.Load() {
			t.Fatal("a closed body was read")
		}
	}
}
