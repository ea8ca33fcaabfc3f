package http1

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
)

// transportSees sends req and gives the bytes the backend saw: the header, and the body up to
// the connection's end.
func transportSees(t *testing.T, req *http.Request) string {
	t.Helper()
	seen := make(chan string, 1)
	addr := transportListen(t, func(_ int, nc net.Conn, br *bufio.Reader) {
		head := transportHead(br)
		var body strings.Builder
		_, length, _ := strings.Cut(head, "\r\nContent-Length: ")
		if n, _ := strconv.Atoi(strings.SplitN(length, "\r\n", 2)[0]); n > 0 {
			io.CopyN(&body, br, int64(n))
		}
		if strings.Contains(head, "\r\nTransfer-Encoding: chunked\r\n") {
			for line := ""; line != "0\r\n"; {
				var err error
				if line, err = br.ReadString('\n'); err != nil {
					break
				}
				body.WriteString(line)
			}
			body.WriteString(transportHead(br))
		}
		io.WriteString(nc, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
		io.Copy(&body, br)
		seen <- head + body.String()
	})
	tr := transportNoLeaks(t, &Transport{DialContext: transportDialTo(addr)})
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return <-seen
}

func TestTransportTarget(t *testing.T) {
	for _, tc := range []struct {
		name string
		url  url.URL
		want string
	}{
		{"plain", url.URL{Path: "/a/b"}, "/a/b"},
		{"empty path", url.URL{}, "/"},
		{"empty path with a query", url.URL{RawQuery: "a"}, "/?a"},
		{"escaped where needed", url.URL{Path: "/a b"}, "/a%20b"},
		{"raw path", url.URL{Path: "/a/b", RawPath: "/a%2Fb"}, "/a%2Fb"},
		{"asterisk", url.URL{Path: "*"}, "*"},
		{"opaque", url.URL{Opaque: "/a%2Fb;c/../%zz"}, "/a%2Fb;c/../%zz"},
		{"opaque with two slashes", url.URL{Opaque: "//x/y"}, "//x/y"},
		{"opaque with three slashes", url.URL{Opaque: "///"}, "///"},
		{"opaque with a query", url.URL{Opaque: "/a", RawQuery: "b=1&b=2;c+%20"}, "/a?b=1&b=2;c+%20"},
		{"opaque with an empty query", url.URL{Opaque: "/a", ForceQuery: true}, "/a?"},
		{"empty query", url.URL{Path: "/a", ForceQuery: true}, "/a?"},
		{"beyond ASCII", url.URL{Opaque: "/\xc3\xa4"}, "/\xc3\xa4"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.url.Scheme, tc.url.Host = "http", "api.test"
			head := transportSees(t, (&http.Request{Method: "GET", URL: &tc.url}).WithContext(t.Context()))
			if want := "GET " + tc.want + " HTTP/1.1\r\nHost: api.test\r\n\r\n"; head != want {
				t.Errorf("sent %q, want %q", head, want)
			}
		})
	}
}

func TestTransportRequestBytes(t *testing.T) {
	type request = http.Request
	body := func(s string) io.ReadCloser { return io.NopCloser(strings.NewReader(s)) }
	for _, tc := range []struct {
		name string
		req  request
		want string // the lines after the Host line, sorted, and the body
	}{
		{"nothing is added", request{Method: "GET"}, ""},
		{"method as written", request{Method: "pUrGe"}, ""},
		{"empty POST", request{Method: "POST"}, "Content-Length: 0|"},
		{"empty PUT with NoBody", request{Method: "PUT", Body: http.NoBody}, "Content-Length: 0|"},
		{"empty DELETE", request{Method: "DELETE"}, ""},
		{"header as written", request{Method: "GET", Header: http.Header{"x-lower": {"1", "2"}, "Accept": {""}}}, "Accept: |x-lower: 1|x-lower: 2|"},
		{"framing headers are ours", request{Method: "GET", Header: http.Header{"content-length": {"5"}, "Transfer-encoding": {"chunked"}, "Host": {"evil"}, "TRAILER": {"X"}}}, ""},
		{"no injection", request{Method: "GET", Header: http.Header{"A": {"b\r\nC: d"}, "E\r\nF": {"g"}, "": {"h"}, "I J": {"k"}}}, "A: b  C: d|"},
		{"close", request{Method: "GET", Close: true}, "Connection: close|"},
		{"close said twice", request{Method: "GET", Close: true, Header: http.Header{"Connection": {"x, Close"}}}, "Connection: x, Close|"},
		{"known length", request{Method: "POST", ContentLength: 5, Body: body("hello")}, "Content-Length: 5||hello"},
		{"body of a GET", request{Method: "GET", ContentLength: 5, Body: body("hello")}, "Content-Length: 5||hello"},
		{"unknown length", request{Method: "POST", ContentLength: -1, Body: body("hello")}, "Transfer-Encoding: chunked||5|hello|0||"},
		{"length 0 with a body is unknown", request{Method: "POST", Body: body("hello")}, "Transfer-Encoding: chunked||5|hello|0||"},
		{"unknown and empty", request{Method: "POST", ContentLength: -1, Body: body("")}, "Transfer-Encoding: chunked||0||"},
		{"chunked although known", request{Method: "POST", ContentLength: 2, TransferEncoding: []string{"chunked"}, Body: body("hi")}, "Transfer-Encoding: chunked||2|hi|0||"},
		{"trailers", request{Method: "POST", ContentLength: -1, Body: body("x"), Trailer: http.Header{"B": {"2"}, "A": nil}}, "Trailer: A, B|Transfer-Encoding: chunked||1|x|0|B: 2||"},
		{"no trailers without chunks", request{Method: "POST", ContentLength: 1, Body: body("x"), Trailer: http.Header{"B": {"2"}}}, "Content-Length: 1||x"},
		{"the last byte with the end", request{Method: "POST", ContentLength: 5, Body: io.NopCloser(iotest.DataErrReader(strings.NewReader("hello")))}, "Content-Length: 5||hello"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.req.URL = &url.URL{Scheme: "http", Host: "h.test", Path: "/"}
			header := tc.req.Header.Clone()
			got, ok := strings.CutPrefix(transportSees(t, tc.req.WithContext(t.Context())), tc.req.Method+" / HTTP/1.1\r\nHost: h.test\r\n")
			if !ok {
				t.Fatalf("sent %q", got)
			}
			head, rest, _ := strings.Cut("\r\n"+got, "\r\n\r\n")
			lines := strings.Split(strings.TrimPrefix(head, "\r\n"), "\r\n")
			slices.Sort(lines)
			got = strings.Join(lines, "|")
			if got != "" {
				got += "|"
			}
			if rest != "" {
				got += "|" + strings.ReplaceAll(rest, "\r\n", "|")
			}
			if got != tc.want {
				t.Errorf("sent %q, want %q", got, tc.want)
			}
			if len(header) != len(tc.req.Header) {
				t.Errorf("the request's header was changed: %v", tc.req.Header)
			}
		})
	}
}

func TestTransportHost(t *testing.T) {
	for _, tc := range []struct{ host, urlHost, want string }{
		{"", "a.test:81", "a.test:81"},
		{"b.test", "a.test:81", "b.test"},
		{"", "[fe80::1%25en0]:80", "[fe80::1]:80"},
		{"[::1]", "a.test", "[::1]"},
	} {
		u, err := url.Parse("http://" + tc.urlHost + "/")
		if err != nil {
			t.Fatal(err)
		}
		head := transportSees(t, (&http.Request{URL: u, Host: tc.host}).WithContext(t.Context()))
		if want := "GET / HTTP/1.1\r\nHost: " + tc.want + "\r\n\r\n"; head != want {
			t.Errorf("sent %q, want %q", head, want)
		}
	}
}

// A request that cannot be sent safely is refused before anything is dialled, and its body
// is closed all the same.
func TestTransportRefuses(t *testing.T) {
	u := func(change func(*url.URL)) *url.URL {
		u := &url.URL{Scheme: "http", Host: "a.test", Path: "/"}
		change(u)
		return u
	}
	plain := u(func(*url.URL) {})
	for _, tc := range []struct {
		name string
		req  http.Request
	}{
		{"no URL", http.Request{}},
		{"no host", http.Request{URL: u(func(u *url.URL) { u.Host = "" })}},
		{"other scheme", http.Request{URL: u(func(u *url.URL) { u.Scheme = "ftp" })}},
		{"space in the target", http.Request{URL: u(func(u *url.URL) { u.Opaque = "/a b" })}},
		{"line end in the target", http.Request{URL: u(func(u *url.URL) { u.Opaque = "/a\r\nX: y" })}},
		{"DEL in the query", http.Request{URL: u(func(u *url.URL) { u.RawQuery = "a=\x7f" })}},
		{"space in the method", http.Request{Method: "GET /", URL: plain}},
		{"CONNECT", http.Request{Method: "CONNECT", URL: plain}},
		{"line end in the host", http.Request{Host: "a\r\nb", URL: plain}},
		{"host beyond ASCII", http.Request{Host: "\u00e4.test", URL: plain}},
		{"trailer that frames", http.Request{URL: plain, ContentLength: -1, Trailer: http.Header{"content-Length": nil}}},
	} {
		closed := false
		tc.req.Body = transportBody{Reader: strings.NewReader("x"), close: func() { closed = true }}
		tr := &Transport{DialContext: transportNoDial(t)}
		if _, err := tr.RoundTrip(tc.req.WithContext(t.Context())); err == nil || !closed {
			t.Errorf("%s: error %v, body closed: %v", tc.name, err, closed)
		}
	}
	if _, err := (&Transport{}).RoundTrip(&http.Request{URL: plain, ContentLength: 3}); err == nil {
		t.Error("a length without a body was accepted")
	}
}

// A body that is not as long as it says is the caller's error, and the backend never sees a
// request that looks complete but is not.
func TestTransportBodyOfWrongLength(t *testing.T) {
	for _, tc := range []struct {
		name         string
		length, real int64
		err          error
	}{
		{"small, one short", 100, 99, io.ErrUnexpectedEOF},
		{"small, one long", 100, 101, nil},
		{"large, one short", 100 << 10, 100<<10 - 1, io.ErrUnexpectedEOF},
		{"broken", 100, -1, iotest.ErrTimeout},
		{"large, broken", 100 << 10, -1, iotest.ErrTimeout},
		{"chunked, broken", -1, -1, iotest.ErrTimeout},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := make(chan int64, 1)
			addr := transportListen(t, func(_ int, nc net.Conn, br *bufio.Reader) {
				req, err := http.ReadRequest(br)
				if err != nil {
					got <- 0
					return
				}
				n, _ := io.Copy(io.Discard, req.Body)
				got <- n
			})
			tr := transportNoLeaks(t, &Transport{})
			req := transportRequest(t, "POST", addr, "x")
			req.ContentLength = tc.length
			var body io.Reader = io.LimitReader(transportZeros{}, tc.real)
			if tc.real < 0 {
				body = io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(iotest.ErrTimeout))
			}
			closed := make(chan struct{})
			req.Body = transportBody{Reader: body, close: func() { close(closed) }}
			_, err := tr.RoundTrip(req)
			var se *clientSourceError
			if !errors.As(err, &se) || tc.err != nil && !errors.Is(err, tc.err) {
				t.Errorf("error %v", err)
			}
			<-closed
			if n := <-got; n > tc.length && tc.length > 0 {
				t.Errorf("the backend read %d bytes", n)
			}
		})
	}
}

func TestTransportHasToken(t *testing.T) {
	for _, tc := range []struct {
		value string
		want  bool
	}{
		{"close", true}, {"Close", true}, {"a, close", true}, {"close ,a", true}, {"\tclose", true},
		{"", false}, {",", false}, {"closed", false}, {"a close", false},
	} {
		if got := transportHasToken([]string{"x", tc.value}, "close"); got != tc.want {
			t.Errorf("%q: %v", tc.value, got)
		}
	}
}
