package proxy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tapway/tapway"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// routerFunc is a Router made of a function.
type routerFunc func(r *http.Request, path, query string, hasQuery bool) (Hop, *Refusal)

func (f routerFunc) Route(r *http.Request, path, query string, hasQuery bool) (Hop, *Refusal) {
	return f(r, path, query, hasQuery)
}

// world is a client's view of a Handler behind net/http's server, with a backend behind it.
type world struct {
	t       *testing.T
	url     string // of the front
	addr    string
	handler *Handler
	log     *lockedBuffer

	mu    sync.Mutex
	calls []*tapway.Call
	ended chan *tapway.Call
}

// option changes what newWorld sets up.
type option struct {
	settings func(*Settings)
	hop      func(*Hop)
	backend  *Backend
	wrap     func(http.Handler) http.Handler
	tls      bool
}

// newWorld puts a Handler before backendURL, which gets every call with path and query as they came.
func newWorld(t *testing.T, backendURL string, o option) *world {
	t.Helper()
	u, err := url.Parse(backendURL)
	if err != nil {
		t.Fatal(err)
	}
	if o.backend == nil {
		o.backend = &Backend{}
	}
	if o.backend.Transport == nil {
		tr := &http.Transport{DisableCompression: true, ExpectContinueTimeout: 10 * time.Second, ResponseHeaderTimeout: 20 * time.Second, MaxIdleConnsPerHost: 64}
		t.Cleanup(tr.CloseIdleConnections)
		tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			start := time.Now()
			c, err := new(net.Dialer).DialContext(ctx, network, addr)
			Dialed(ctx, time.Since(start), err)
			return c, err
		}
		o.backend.Transport = NetHTTP(tr)
	}
	w := &world{t: t, log: &lockedBuffer{}, ended: make(chan *tapway.Call, 1000)}
	s := Settings{
		Log: slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Router: routerFunc(func(_ *http.Request, path, query string, hasQuery bool) (Hop, *Refusal) {
			hop := Hop{Route: "ANY /{proxy+}", Scheme: u.Scheme, Host: u.Host, Path: path, Query: query, HasQuery: hasQuery, Backend: o.backend}
			if o.hop != nil {
				o.hop(&hop)
			}
			return hop, nil
		}),
	}
	if o.settings != nil {
		o.settings(&s)
	}
	w.handler = New(s)
	var h http.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		call := &tapway.Call{ID: tapway.NewID(time.Now()), Start: time.Now()}
		defer func() {
			w.mu.Lock()
			w.calls = append(w.calls, call)
			w.mu.Unlock()
			w.ended <- call
		}()
		w.handler.ServeHTTP(rw, r.WithContext(tapway.WithCall(r.Context(), call)))
	})
	if o.wrap != nil {
		h = o.wrap(h)
	}
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = slog.NewLogLogger(slog.NewTextHandler(io.Discard, nil), slog.LevelError)
	srv.Config.DisableGeneralOptionsHandler = true
	if o.tls {
		srv.EnableHTTP2 = true
		srv.StartTLS()
	} else {
		srv.Start()
	}
	t.Cleanup(srv.Close)
	w.url, w.addr = srv.URL, srv.Listener.Addr().String()
	return w
}

// call waits for the next call to end.
func (w *world) call() *tapway.Call {
	w.t.Helper()
	select {
	case c := <-w.ended:
		return c
	case <-time.After(10 * time.Second):
		w.t.Fatal("no call ended")
		return nil
	}
}

// raw sends bytes to the front and reads one response; method is what it answers.
func (w *world) raw(method, request string) *http.Response {
	w.t.Helper()
	conn := w.dial()
	if _, err := io.WriteString(conn, request); err != nil {
		w.t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		w.t.Fatalf("reading the response to %q: %v", request, err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatalf("reading the body of the response to %q: %v", request, err)
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	return res
}

func (w *world) dial() net.Conn {
	w.t.Helper()
	conn, err := net.Dial("tcp", w.addr)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	return conn
}

// do sends a request through net/http's client and reads the whole answer.
func (w *world) do(r *http.Request) (*http.Response, string) {
	w.t.Helper()
	res, err := client.Do(r)
	if err != nil {
		w.t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatalf("%s %s: reading the body: %v", r.Method, r.URL, err)
	}
	return res, string(body)
}

func (w *world) get(path string, header ...string) (*http.Response, string) {
	w.t.Helper()
	return w.do(w.request("GET", path, nil, header...))
}

func (w *world) request(method, path string, body io.Reader, header ...string) *http.Request {
	w.t.Helper()
	r, err := http.NewRequest(method, w.url+path, body)
	if err != nil {
		w.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

// client keeps no connections and follows no redirects.
var client = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true, DisableCompression: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Timeout:       30 * time.Second,
}

// wire is a backend that records what it is sent, byte for byte, and answers with bytes.
type wire struct {
	url      string
	addr     string
	mu       sync.Mutex
	requests []string // heads, without the empty line
	bodies   []string
}

// newWire answers every request with answer and closes the connection.
func newWire(t *testing.T, answer string) *wire {
	t.Helper()
	return newWireFunc(t, func(conn net.Conn, _ string) { io.WriteString(conn, answer) })
}

// newWireFunc leaves the answering to a function, called when head and body have been read.
func newWireFunc(t *testing.T, answer func(conn net.Conn, head string)) *wire {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	wr := &wire{addr: ln.Addr().String(), url: "http://" + ln.Addr().String()}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
				wr.serve(conn, answer)
			})
		}
	})
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	return wr
}

func (wr *wire) serve(conn net.Conn, answer func(net.Conn, string)) {
	br := bufio.NewReader(conn)
	var head strings.Builder
	length, chunked := 0, false
	for {
		line, err := br.ReadString('\n')
		if err != nil {
			return
		}
		if line == "\r\n" {
			break
		}
		fmt.Sscanf(line, "Content-Length: %d", &length)
		chunked = chunked || strings.HasPrefix(line, "Transfer-Encoding: chunked")
		head.WriteString(line)
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(br, body); err != nil {
		return
	}
	for chunked {
		line, err := br.ReadString('\n')
		if err != nil {
			return
		}
		body = append(body, line...)
		chunked = !bytes.HasSuffix(body, []byte("\r\n\r\n"))
	}
	wr.mu.Lock()
	wr.requests = append(wr.requests, head.String())
	wr.bodies = append(wr.bodies, string(body))
	wr.mu.Unlock()
	answer(conn, head.String())
}

// last is the newest request's head and body.
func (wr *wire) last(t *testing.T) (head, body string) {
	t.Helper()
	wr.mu.Lock()
	defer wr.mu.Unlock()
	if len(wr.requests) == 0 {
		t.Fatal("the backend was not called")
	}
	return wr.requests[len(wr.requests)-1], wr.bodies[len(wr.bodies)-1]
}

func (wr *wire) count() int {
	wr.mu.Lock()
	defer wr.mu.Unlock()
	return len(wr.requests)
}

// lines are the header lines of head whose name is name.
func lines(head, name string) []string {
	var out []string
	for line := range strings.SplitSeq(head, "\r\n") {
		if n, v, ok := strings.Cut(line, ": "); ok && strings.EqualFold(n, name) {
			out = append(out, v)
		}
	}
	return out
}

const ok200 = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"

// newBackend is a net/http server.
func newBackend(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = slog.NewLogLogger(slog.NewTextHandler(io.Discard, nil), slog.LevelError)
	srv.Start()
	t.Cleanup(srv.Close)
	return srv
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

var discardLog = slog.New(slog.DiscardHandler)

var insecure = &tls.Config{InsecureSkipVerify: true}
