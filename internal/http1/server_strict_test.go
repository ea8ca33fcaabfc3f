package http1

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// startServer serves on loopback until the test ends.
func startServer(t *testing.T, s *Server) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if s.ErrorLog == nil {
		s.ErrorLog = slog.New(slog.DiscardHandler)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-ended; err != http.ErrServerClosed {
			t.Errorf("Serve: %v", err)
		}
	})
	return l.Addr().String()
}

// rawClient is a client that sends exactly what it is told.
type rawClient struct {
	t    *testing.T
	conn net.Conn
	br   *bufio.Reader
}

func dialServer(t *testing.T, addr string) *rawClient {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	return &rawClient{t, conn, bufio.NewReader(conn)}
}

func (c *rawClient) send(s string) *rawClient {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, s); err != nil {
		c.t.Fatalf("send: %v", err)
	}
	return c
}

// response reads the next response and its whole body.
func (c *rawClient) response(method string) (*http.Response, string) {
	c.t.Helper()
	res, err := http.ReadResponse(c.br, &http.Request{Method: method})
	if err != nil {
		c.t.Fatalf("read a response: %v", err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatalf("read the body of a %d: %v", res.StatusCode, err)
	}
	return res, string(body)
}

// rest reads up to the end of the connection.
func (c *rawClient) rest() string {
	c.t.Helper()
	b, err := io.ReadAll(c.br)
	if err != nil {
		c.t.Fatalf("read to the end: %v (after %q)", err, b)
	}
	return string(b)
}

const goodRequest = "GET /good HTTP/1.1\r\nHost: a\r\n\r\n"

var refused = []struct {
	why    string
	raw    string
	status int
}{
	// Framing: two lengths, or one that readers take for different numbers.
	{"both lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
	{"both lengths, the other order", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400},
	{"differing lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", 400},
	{"equal lengths twice", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400},
	{"a list of lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello", 400},
	{"a plus sign", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello", 400},
	{"a minus sign", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\nhello", 400},
	{"an empty length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\nhello", 400},
	{"a hexadecimal length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello", 400},
	{"a length with a space in it", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 2\r\n\r\nhello", 400},
	{"a length that overflows", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551621\r\n\r\nhello", 400},
	{"chunked twice in one line", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400},
	{"chunked in two lines", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
	{"an empty coding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n", 400},
	{"an empty coding in a list", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n", 400},
	{"a coding that is no token", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", 400},
	{"an unknown coding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501},
	{"identity", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", 501},
	{"almost chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501},
	{"chunked with a vertical tab", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400},
	{"a coding in HTTP/1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},

	// Lines.
	{"folding with a space", "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", 400},
	{"folding with a tab", "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n\tb\r\n\r\n", 400},
	{"a folded first header", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400},
	{"a bare LF behind the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", 400},
	{"a bare LF behind a header", "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400},
	{"a bare LF as the empty line", "GET / HTTP/1.1\r\nHost: a\r\n\n", 400},
	{"bare LFs only", "GET / HTTP/1.1\nHost: a\n\n", 400},
	{"a bare CR in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 400},
	{"a bare CR in the request line", "GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"CR CR LF", "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", 400},
	{"a NUL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n", 400},
	{"a NUL in a name", "GET / HTTP/1.1\r\nHost: a\r\nX\x00: a\r\n\r\n", 400},
	{"a DEL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\x7fb\r\n\r\n", 400},
	{"a space before the colon", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello", 400},
	{"a tab before the colon", "GET / HTTP/1.1\r\nHost: a\r\nX\t: 5\r\n\r\n", 400},
	{"no colon", "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", 400},
	{"an empty name", "GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", 400},
	{"a name with a slash", "GET / HTTP/1.1\r\nHost: a\r\nA/B: x\r\n\r\n", 400},
	{"a name with a letter beyond ASCII", "GET / HTTP/1.1\r\nHost: a\r\n\xc3\xa4: x\r\n\r\n", 400},
	{"two empty lines before the request", "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"a bare LF before the request", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"a space before the request", " GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},

	// Host.
	{"no Host", "GET / HTTP/1.1\r\nX: a\r\n\r\n", 400},
	{"two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400},
	{"a Host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
	{"a Host with a user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400},
	{"a Host with a space", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
	{"two Hosts in one", "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", 400},
	{"a Host with a port that is no number", "GET / HTTP/1.1\r\nHost: a:8o\r\n\r\n", 400},
	{"a Host with half a bracket", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400},

	// The request line.
	{"a method that is no token", "G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"no method", "/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"no version", "GET /\r\nHost: a\r\n\r\n", 400},
	{"two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"a space behind the version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400},
	{"a space in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"a tab in the target", "GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"a control character in the target", "GET /a\x01b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"a fragment", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"a target that is no path", "GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"an asterisk without OPTIONS", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"a URL with a user", "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"a URL without a host", "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"CONNECT to a path", "CONNECT /a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"CONNECT without a port", "CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"HTTP/2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505},
	{"HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505},
	{"HTTP/0.9", "GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505},
	{"the start of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
	{"HTTP/1.10", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400},
	{"a lower-case version", "GET / http/1.1\r\nHost: a\r\n\r\n", 400},

	// Sizes, expectations, trailers. The server of the test takes 1 KiB and 8 headers.
	{"a long target", "GET /" + strings.Repeat("a", 1<<10) + " HTTP/1.1\r\nHost: a\r\n\r\n", 414},
	{"a target without end", "GET /" + strings.Repeat("a", 8<<10), 414},
	{"a large header", "GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("a", 1<<10) + "\r\n\r\n", 431},
	{"many headers", "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("A: b\r\n", 8) + "\r\n", 431},
	{"an unknown expectation", "POST / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\nContent-Length: 5\r\n\r\n", 417},
	{"two expectations", "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nExpect: x\r\nContent-Length: 5\r\n\r\n", 417},
	{"a framing header as a trailer", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\n0\r\n\r\n", 400},
}

func TestServerRefuses(t *testing.T) {
	addr := startServer(t, &Server{
		MaxHeaderBytes: 1 << 10,
		MaxHeaders:     8,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, r.URL.Path)
		}),
	})
	for _, test := range refused {
		for _, before := range []string{"", goodRequest} {
			// What stands behind the refused request must not be taken for another one.
			c := dialServer(t, addr).send(before + test.raw + goodRequest)
			if before != "" {
				if _, body := c.response("GET"); body != "/good" {
					t.Errorf("%s: the request before it got %q", test.why, body)
				}
			}
			res, body := c.response("GET")
			if res.StatusCode != test.status || !res.Close || !strings.HasPrefix(body, `{"message":"`) {
				t.Errorf("%s: %d, close %t, %s; want %d and close", test.why, res.StatusCode, res.Close, body, test.status)
			}
			if rest := c.rest(); rest != "" {
				t.Errorf("%s: %q came behind the refusal", test.why, rest)
			}
		}
	}
}

func TestServerTellsBadRequestWhatItUnderstood(t *testing.T) {
	type seen struct {
		method, uri, path, host, header string
		status                          int
	}
	tests := []struct {
		raw  string
		want seen
	}{
		{"GET /a%2Fb?c HTTP/1.1\r\nHost: h\r\nX: 1\r\nY: \x00\r\n\r\n", seen{"GET", "/a%2Fb?c", "/a/b", "h", "1", 400}},
		{"GET /a HTTP/3.0\r\nHost: h\r\n\r\n", seen{"GET", "/a", "/a", "", "", 505}},
		{"POST /a HTTP/1.1\r\nX: 1\r\nHost: h\r\nContent-Length: x\r\n\r\n", seen{"POST", "/a", "/a", "h", "1", 400}},
		{"GET noslash HTTP/1.1\r\nHost: h\r\n\r\n", seen{"GET", "noslash", "", "", "", 400}},
		{"\x16\x03\x01\x02\r\n\r\n", seen{"", "", "", "", "", 400}},
		{"GET /" + strings.Repeat("a", 600), seen{"GET", "/" + strings.Repeat("a", 600), "/" + strings.Repeat("a", 600), "", "", 414}},
		{"GET /a HTTP/1.1\r\nX: 1\r\nX-Long: " + strings.Repeat("a", 600), seen{"GET", "/a", "/a", "", "1", 431}},
	}
	var got seen
	addr := startServer(t, &Server{
		MaxHeaderBytes: 512,
		Handler:        http.NotFoundHandler(),
		BadRequest: func(w http.ResponseWriter, r *http.Request, err *ProtocolError) {
			got = seen{r.Method, r.RequestURI, r.URL.Path, r.Host, r.Header.Get("X"), err.Status}
			if r.Body == nil || r.RemoteAddr == "" || r.Context() == nil {
				t.Errorf("%q: a part of the request is missing", r.RequestURI)
			}
			w.WriteHeader(err.Status)
		},
	})
	for _, test := range tests {
		c := dialServer(t, addr).send(test.raw)
		c.response("GET")
		c.rest()
		got.uri = strings.TrimSuffix(got.uri, strings.Repeat("a", max(0, len(got.uri)-len(test.want.uri))))
		if got != test.want {
			t.Errorf("%q:\n got %+v\nwant %+v", test.raw, got, test.want)
		}
	}
}

func TestServerRefusesBadBodies(t *testing.T) {
	const head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
	tests := []struct{ why, body string }{
		{"an empty size", "\r\nhello\r\n0\r\n\r\n"},
		{"a negative size", "-5\r\nhello\r\n0\r\n\r\n"},
		{"a size with a plus", "+5\r\nhello\r\n0\r\n\r\n"},
		{"a size with 0x", "0x5\r\nhello\r\n0\r\n\r\n"},
		{"a size that overflows", "10000000000000005\r\nhello\r\n0\r\n\r\n"},
		{"a size with garbage behind", "5 x\r\nhello\r\n0\r\n\r\n"},
		{"a size with a space behind", "5 \r\nhello\r\n0\r\n\r\n"},
		{"a size with a space before its extension", "5 ;a\r\nhello\r\n0\r\n\r\n"},
		{"a size with a space before", " 5\r\nhello\r\n0\r\n\r\n"},
		{"a size behind a bare LF", "5\nhello\r\n0\r\n\r\n"},
		{"an extension with a bare CR", "5;a=\rb\r\nhello\r\n0\r\n\r\n"},
		{"an extension with a control character", "5;a=\x01b\r\nhello\r\n0\r\n\r\n"},
		{"an extension too long", "5;a=" + strings.Repeat("b", 20<<10) + "\r\nhello\r\n0\r\n\r\n"},
		{"extensions too long together", strings.Repeat("1;a="+strings.Repeat("b", 1000)+"\r\nh\r\n", 30) + "0\r\n\r\n"},
		{"a chunk longer than its size", "4\r\nhello\r\n0\r\n\r\n"},
		{"a chunk shorter than its size", "6\r\nhello\r\n0\r\n\r\n"},
		{"a chunk ended by a bare LF", "5\r\nhello\n0\r\n\r\n"},
		{"a folded trailer", "5\r\nhello\r\n0\r\nA: b\r\n c\r\n\r\n"},
		{"a trailer without a name", "5\r\nhello\r\n0\r\nA\r\n\r\n"},
		{"a trailer that frames", "5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n"},
		{"trailers too large", "5\r\nhello\r\n0\r\n" + strings.Repeat("A: "+strings.Repeat("b", 1000)+"\r\n", 30) + "\r\n"},
		{"a bare LF behind the trailers", "5\r\nhello\r\n0\r\n\n"},
	}
	addr := startServer(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/good" {
			t.Error("what stands behind a bad body was taken for a request")
		}
		_, err := io.ReadAll(r.Body)
		if bad, ok := errors.AsType[*ProtocolError](err); ok {
			w.WriteHeader(bad.Status)
		}
		if _, again := r.Body.Read(make([]byte, 1)); again != err {
			t.Errorf("the error changed from %v to %v", err, again)
		}
	})})
	for _, test := range tests {
		c := dialServer(t, addr).send(head + test.body + goodRequest)
		if res, _ := c.response("POST"); res.StatusCode != 400 || !res.Close {
			t.Errorf("%s: %d, close %t", test.why, res.StatusCode, res.Close)
		}
		if rest := c.rest(); rest != "" {
			t.Errorf("%s: %q came behind it", test.why, rest)
		}
	}
}

func TestServerTakesTargets(t *testing.T) {
	tests := []struct {
		method, target string
		host           string // as the handler sees it; the Host header says "h"
		want           url.URL
	}{
		{"GET", "/", "h", url.URL{Path: "/"}},
		{"GET", "/a/b.c~d_e-f", "h", url.URL{Path: "/a/b.c~d_e-f"}},
		{"GET", "/?", "h", url.URL{Path: "/", ForceQuery: true}},
		{"GET", "/a?b=c&d=%2F+e;f?g", "h", url.URL{Path: "/a", RawQuery: "b=c&d=%2F+e;f?g"}},
		{"GET", "/a%2Fb", "h", url.URL{Path: "/a/b", RawPath: "/a%2Fb"}},
		{"GET", "/a%20b", "h", url.URL{Path: "/a b"}},
		{"GET", "/a\"b", "h", url.URL{Path: "/a\"b", RawPath: "/a\"b"}},
		{"GET", "/a@b:c;d,e", "h", url.URL{Path: "/a@b:c;d,e"}},
		{"GET", "/%zz", "h", url.URL{Path: "/%zz", RawPath: "/%zz"}},
		{"GET", "/%", "h", url.URL{Path: "/%", RawPath: "/%"}},
		{"GET", "/\xff\xc3\xa4", "h", url.URL{Path: "/\xff\xc3\xa4", RawPath: "/\xff\xc3\xa4"}},
		{"GET", "//a/../b//", "h", url.URL{Path: "//a/../b//"}},
		{"GET", "http://a.example/b?c", "a.example", url.URL{Scheme: "http", Host: "a.example", Path: "/b", RawQuery: "c"}},
		{"GET", "HTTP://[::1]:80?c", "[::1]:80", url.URL{Scheme: "http", Host: "[::1]:80", RawQuery: "c"}},
		{"OPTIONS", "*", "h", url.URL{Path: "*"}},
		{"CONNECT", "a.example:443", "a.example:443", url.URL{Host: "a.example:443"}},
	}
	var got *http.Request
	addr := startServer(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { got = r })})
	for _, test := range tests {
		c := dialServer(t, addr).send(test.method + " " + test.target + " HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
		if res, body := c.response(test.method); res.StatusCode != 200 {
			t.Errorf("%s: %d %s", test.target, res.StatusCode, body)
			continue
		}
		if got.RequestURI != test.target || got.Method != test.method || got.Host != test.host || *got.URL != test.want {
			t.Errorf("%s %s: %s %s %s\n got %+v\nwant %+v", test.method, test.target, got.Method, got.RequestURI, got.Host, *got.URL, test.want)
		}
	}
}

func TestServerTakesHeaders(t *testing.T) {
	var got *http.Request
	var mu sync.Mutex
	addr := startServer(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		got = r
	})})
	// One empty line before the request line is ignored, the request comes in two segments.
	c := dialServer(t, addr).send("\r\nGET / HTTP/1.1\r\nhost: A.example:80\r\nx-one:\t one \t\r\nX-ONE: two\r\nx-empty:\r\nPragma: no-cache\r\nX-Obs: \xff\r\n")
	c.send("aCCept: x\r\nTrailer: kept\r\n\r\n")
	c.response("GET")
	want := http.Header{"X-One": {"one", "two"}, "X-Empty": {""}, "X-Obs": {"\xff"}, "Accept": {"x"}, "Pragma": {"no-cache"}, "Trailer": {"kept"}}
	if fmt.Sprint(got.Header) != fmt.Sprint(want) || got.Host != "A.example:80" {
		t.Errorf("got %q %q", got.Header, got.Host)
	}
	if got.RemoteAddr != c.conn.LocalAddr().String() || got.Proto != "HTTP/1.1" || !got.ProtoAtLeast(1, 1) || got.ContentLength != 0 || got.Body != http.NoBody {
		t.Errorf("got %+v", got)
	}
	first := got
	c.send("GET /second HTTP/1.1\r\nHost: b\r\nX-One: other\r\n\r\n").response("GET")
	if first.Header.Get("X-One") != "one" || first.URL.Path != "/" {
		t.Error("a later request changed an earlier one")
	}
	// Sizes at the limit: 200 headers by default.
	c.send("GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("A: b\r\n", 199) + "\r\n")
	if res, _ := c.response("GET"); res.StatusCode != 200 || len(got.Header["A"]) != 199 {
		t.Errorf("200 headers: %d", res.StatusCode)
	}
}
