package http1

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"hash"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// clientFor makes an http.Client that speaks one protocol.
func clientFor(t *testing.T, cfg *tls.Config, set func(*http.Protocols, bool)) *http.Client {
	tr := &http.Transport{TLSClientConfig: cfg.Clone(), Protocols: new(http.Protocols), ExpectContinueTimeout: 5 * time.Second}
	set(tr.Protocols, true)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: time.Minute}
}

// everyProtocol runs f for each way in which a client can speak to the server.
func everyProtocol(t *testing.T, s func() *Server, f func(t *testing.T, c *http.Client, url string, major int)) {
	server, client := testTLS()
	for _, p := range []struct {
		name   string
		secure bool
		set    func(*http.Protocols, bool)
		major  int
	}{
		{"http1", false, (*http.Protocols).SetHTTP1, 1},
		{"https1", true, (*http.Protocols).SetHTTP1, 1},
		{"http2", true, (*http.Protocols).SetHTTP2, 2},
		{"h2c", false, (*http.Protocols).SetUnencryptedHTTP2, 2},
	} {
		t.Run(p.name, func(t *testing.T) {
			s := s()
			s.H2C = true
			scheme := "http://"
			if p.secure {
				s.TLSConfig, scheme = server, "https://"
			}
			f(t, clientFor(t, client, p.set), scheme+startServer(t, s), p.major)
		})
	}
}

func TestServerWithClients(t *testing.T) {
	type key struct{}
	newServer := func() *Server {
		return &Server{
			BaseContext: func(net.Listener) context.Context { return context.WithValue(context.Background(), key{}, "base") },
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Trailer", "X-Sum")
				w.Header().Set("X-Proto", r.Proto)
				w.Header().Set("X-Base", fmt.Sprint(r.Context().Value(key{})))
				w.Header().Set("X-Tls", fmt.Sprint(r.TLS != nil))
				b, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				w.Write(b)
				w.(http.Flusher).Flush()
				w.Header().Set("X-Sum", r.Trailer.Get("X-In"))
			}),
		}
	}
	everyProtocol(t, newServer, func(t *testing.T, c *http.Client, url string, major int) {
		for i := range 3 {
			body := strings.Repeat("x", i*10000)
			req, _ := http.NewRequest("POST", url+"/a%2Fb?c", struct{ io.Reader }{strings.NewReader(body)})
			req.Trailer = http.Header{"X-In": {"sum"}}
			req.Header.Set("Expect", "100-continue")
			res, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(res.Body)
			if err != nil || string(got) != body || res.Trailer.Get("X-Sum") != "sum" || res.ProtoMajor != major {
				t.Errorf("%v: %d bytes, trailer %v, %s", err, len(got), res.Trailer, res.Proto)
			}
			if res.Header.Get("X-Proto") != res.Proto || res.Header.Get("X-Base") != "base" || res.Header.Get("X-Tls") != fmt.Sprint(strings.HasPrefix(url, "https")) {
				t.Errorf("the handler saw %v", res.Header)
			}
		}
	})
}

func TestServerLargeBodies(t *testing.T) {
	const size = 24 << 20
	seed := [32]byte{1}
	newServer := func() *Server {
		return &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.Copy(w, r.Body) // both ways at once: a full duplex
		})}
	}
	everyProtocol(t, newServer, func(t *testing.T, c *http.Client, url string, major int) {
		for _, length := range []int64{size, -1} {
			var sent, got hash.Hash = sha256.New(), sha256.New()
			req, _ := http.NewRequest("POST", url, io.TeeReader(io.LimitReader(rand.NewChaCha8(seed), size), sent))
			req.ContentLength = length
			res, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			n, err := io.Copy(got, res.Body)
			if err != nil || n != size || !bytes.Equal(sent.Sum(nil), got.Sum(nil)) {
				t.Errorf("length %d: %d bytes, %v", length, n, err)
			}
		}
	})
}

// A client gets the early answer to a body that nobody reads.
func TestServerAnswersBeforeTheBody(t *testing.T) {
	for _, size := range []int64{200 << 10, 8 << 20} {
		for _, chunked := range []bool{false, true} {
			var conns atomic.Int64
			addr := startServer(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(413)
				io.WriteString(w, "too large")
			})})
			dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
				conns.Add(1)
				return new(net.Dialer).DialContext(ctx, network, addr)
			}
			c := &http.Client{Transport: &http.Transport{DialContext: dial, WriteBufferSize: 64 << 10}}
			for range 3 {
				req, _ := http.NewRequest("POST", "http://a/", io.LimitReader(rand.NewChaCha8([32]byte{}), size))
				if !chunked {
					req.ContentLength = size
				}
				res, err := c.Do(req)
				if err != nil {
					t.Errorf("size %d, chunked %t: %v", size, chunked, err)
					continue
				}
				if b, err := io.ReadAll(res.Body); err != nil || string(b) != "too large" || res.StatusCode != 413 {
					t.Errorf("%d %q %v", res.StatusCode, b, err)
				}
				if wantClose := size > drainAtMost || chunked; res.Close != wantClose {
					t.Errorf("size %d, chunked %t: close %t", size, chunked, res.Close)
				}
			}
			c.CloseIdleConnections()
			if want := map[bool]int64{true: 3, false: 1}[size > drainAtMost || chunked]; conns.Load() != want {
				t.Errorf("size %d, chunked %t: %d connections, want %d", size, chunked, conns.Load(), want)
			}
		}
	}
}

func TestServerTrailersOfRequests(t *testing.T) {
	addr := startServer(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		early := fmt.Sprint(r.Trailer)
		copied := r.WithContext(r.Context()) // as a middleware makes it
		io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, early, copied.Trailer, r.Header["Trailer"])
	})})
	c := dialServer(t, addr)
	c.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: a-b, C\r\nTrailer: d\r\n\r\n5\r\nhello\r\n0\r\nA-b: 1\r\na-B:2 \r\nE: 3\r\n\r\n")
	if _, body := c.response("POST"); body != "map[A-B:[] C:[] D:[]]map[A-B:[1 2] C:[] D:[] E:[3]] []" {
		t.Errorf("%s", body)
	}
}

func TestServerHijack(t *testing.T) {
	for _, secure := range []bool{false, true} {
		for _, first := range []bool{false, true} { // the 101 by WriteHeader or by hand
			watched, hijacked := make(chan bool), make(chan bool)
			s := &Server{IdleTimeout: 50 * time.Millisecond, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Connection", "Upgrade")
				w.Header().Set("Upgrade", "echo")
				w.Header()["Date"] = nil
				if first {
					w.WriteHeader(101)
				}
				// The watcher reads the first byte of what comes behind, and gives it back.
				c := w.(*serverResponse).c
				for c.phase.load()&phaseKind != phaseWatched {
					time.Sleep(sweepEvery)
				}
				watched <- true
				<-c.watchDone
				conn, brw, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				if _, _, err := http.NewResponseController(w).Hijack(); err != http.ErrHijacked {
					t.Error(err)
				}
				if _, err := w.Write([]byte("x")); err != http.ErrHijacked {
					t.Error(err)
				}
				if _, ok := conn.(*net.TCPConn); ok == secure {
					t.Errorf("hijacked a %T", conn)
				}
				if brw.Reader.Buffered() == 0 {
					t.Error("nothing is buffered")
				}
				if !first {
					brw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
				}
				hijacked <- true
				for {
					line, err := brw.ReadString('\n')
					if err != nil {
						return
					}
					brw.WriteString(line)
					brw.Flush()
				}
			})}
			server, client := testTLS()
			if secure {
				s.TLSConfig = server
			}
			c := dialServer(t, startServer(t, s))
			if secure {
				c.conn = tls.Client(c.conn, client)
				c.br = bufio.NewReader(c.conn)
			}
			c.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
			<-watched
			c.send("early\n")
			<-hijacked
			// Shutdown does not wait for it, and no timeout of the server's ends it.
			if err := s.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			res, err := http.ReadResponse(c.br, nil)
			if err != nil || res.StatusCode != 101 || res.Header.Get("Upgrade") != "echo" || res.Header.Get("Content-Length") != "" {
				t.Fatalf("%v %v", res, err)
			}
			time.Sleep(3 * sweepEvery)
			c.send("late\n")
			for _, want := range []string{"early\n", "late\n"} {
				if got, err := c.br.ReadString('\n'); got != want {
					t.Errorf("%q %v", got, err)
				}
			}
			c.conn.Close()
		}
	}
}

// The standard library's proxy relies on much of what a server gives to handlers.
func TestServerUnderReverseProxy(t *testing.T) {
	backend := startServer(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/broken" {
			io.WriteString(w, "half")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
		if conn, brw, err := http.NewResponseController(w).Hijack(); err == nil {
			defer conn.Close()
			brw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
			brw.Flush()
			io.Copy(conn, brw)
		}
	})})
	target, _ := url.Parse("http://" + backend)
	addr := startServer(t, &Server{Handler: &httputil.ReverseProxy{
		Rewrite:  func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ErrorLog: log.New(io.Discard, "", 0),
	}})

	c := dialServer(t, addr).send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	if res, err := http.ReadResponse(c.br, nil); err != nil || res.StatusCode != 101 {
		t.Fatalf("%v %v", res, err)
	}
	if line, err := c.send("hello\n").br.ReadString('\n'); line != "hello\n" {
		t.Errorf("%q %v", line, err)
	}
	c = dialServer(t, addr).send("GET /broken HTTP/1.0\r\n\r\n")
	if b, err := io.ReadAll(c.br); err == nil {
		t.Errorf("half a body looks complete: %q", b)
	}
}

func TestServerToldHTTPOnItsTLSPort(t *testing.T) {
	server, _ := testTLS()
	addr := startServer(t, &Server{TLSConfig: server})
	res, body := dialServer(t, addr).send(goodRequest).response("GET")
	if res.StatusCode != 400 || !strings.Contains(body, "HTTPS") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}

func TestServerShutsHTTP2Down(t *testing.T) {
	server, client := testTLS()
	entered, release := make(chan bool), make(chan bool)
	s := &Server{TLSConfig: server, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		entered <- true
		<-release
		io.WriteString(w, r.Proto)
	})}
	addr := startServer(t, s)
	got := make(chan string, 1)
	c := clientFor(t, client, (*http.Protocols).SetHTTP2)
	go func() {
		res, err := c.Get("https://" + addr)
		if err != nil {
			got <- err.Error()
			return
		}
		b, err := io.ReadAll(res.Body)
		got <- fmt.Sprint(string(b), err)
	}()
	<-entered
	down := make(chan error, 1)
	go func() { down <- s.Shutdown(context.Background()) }()
	select {
	case err := <-down:
		t.Errorf("Shutdown did not wait: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(release)
	if got := <-got; got != "HTTP/2.0<nil>" {
		t.Error(got)
	}
	if err := <-down; err != nil {
		t.Error(err)
	}
}

// A transport may still read the body when the handler has given its answer.
func TestServerBodyReaderThatOutlivesTheHandler(t *testing.T) {
	read := make(chan error, 1)
	addr := startServer(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		started := make(chan bool)
		go func() {
			io.ReadFull(r.Body, make([]byte, 1))
			close(started)
			_, err := io.ReadAll(r.Body)
			read <- err
		}()
		<-started
		conn := w.(*serverResponse).c
		transportEventually(t, "the reader waits", func() bool { return conn.phase.load()&phaseKind == phaseBodyRead })
		w.WriteHeader(502)
	})})
	for _, framing := range []string{"Content-Length: 50\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"} {
		c := dialServer(t, addr).send("POST / HTTP/1.1\r\nHost: a\r\n" + framing)
		if res, _ := c.response("POST"); res.StatusCode != 502 || !res.Close {
			t.Errorf("%d, close %t: the client would lose its next request", res.StatusCode, res.Close)
		}
		if rest := c.rest(); rest != "" {
			t.Errorf("%q", rest)
		}
		if err := <-read; err == nil {
			t.Error("the read ended as if the body had")
		}
	}
}

// The 100 Continue comes from the body's reader while the handler may write its head.
func TestServerContinueRacesWithTheAnswer(t *testing.T) {
	addr := startServer(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		done := make(chan bool)
		go func() {
			defer close(done)
			io.Copy(io.Discard, r.Body)
		}()
		w.WriteHeader(103)
		w.(http.Flusher).Flush()
		io.WriteString(w, "hello")
		<-done
	})})
	for range 50 {
		c := dialServer(t, addr).send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello")
		for {
			res, body := c.response("POST")
			if res.StatusCode == 200 && body == "hello" {
				break
			}
			if res.StatusCode != 100 && res.StatusCode != 103 {
				t.Fatalf("%d %q", res.StatusCode, body)
			}
		}
	}
}

// A listener of package tls brings TLS along.
func TestServerOnTLSListener(t *testing.T) {
	server, client := testTLS()
	server = server.Clone()
	server.NextProtos = []string{"h2", "http/1.1"}
	s := &Server{MaxConns: 2, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil {
			t.Error("no TLS in the request")
		}
		if r.URL.Path == "/abort" {
			io.WriteString(w, "half")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
		io.WriteString(w, r.Proto)
	})}
	l, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	for i := range 6 {
		set, want := (*http.Protocols).SetHTTP1, "HTTP/1.1"
		if i%2 == 1 {
			set, want = (*http.Protocols).SetHTTP2, "HTTP/2.0"
		}
		c := clientFor(t, client, set)
		res, err := c.Get("https://" + l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(res.Body); string(b) != want || err != nil {
			t.Errorf("%s %v", b, err)
		}
		c.CloseIdleConnections()
	}
	conn, err := tls.Dial("tcp", l.Addr().String(), client)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "GET /abort HTTP/1.0\r\n\r\n")
	if b, err := io.ReadAll(conn); err == nil {
		t.Errorf("half a body looks complete: %q", b)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-served; err != http.ErrServerClosed {
		t.Error(err)
	}
}
