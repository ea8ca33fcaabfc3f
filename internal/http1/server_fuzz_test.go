package http1

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
)

// memoryConn is a client that has sent everything and ended its side.
type memoryConn struct {
	in  *bytes.Reader
	out bytes.Buffer
}

func (c *memoryConn) Read(p []byte) (int, error)       { return c.in.Read(p) }
func (c *memoryConn) Write(p []byte) (int, error)      { return c.out.Write(p) }
func (c *memoryConn) Close() error                     { return nil }
func (c *memoryConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *memoryConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *memoryConn) SetDeadline(time.Time) error      { return nil }
func (c *memoryConn) SetReadDeadline(time.Time) error  { return nil }
func (c *memoryConn) SetWriteDeadline(time.Time) error { return nil }

// accepted is a request as a handler saw it.
type accepted struct {
	method, target, host string
	header, trailer      http.Header
	body                 []byte
	err                  error
}

// FuzzServer sends any bytes. Every response must be readable, and what was accepted must be
// what net/http's reader understands, or two readers could be made to disagree.
func FuzzServer(f *testing.F) {
	for _, r := range refused {
		f.Add([]byte(r.raw))
		f.Add([]byte(goodRequest + r.raw + goodRequest))
	}
	for _, s := range []string{
		"\r\nPOST /a?b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET /%zz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n" + goodRequest,
		"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\nCONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\nGET http://a/b HTTP/1.1\r\nHost: c\r\n\r\nHEAD / HTTP/1.1\r\nHost:\r\n\r\n",
		"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var seen []accepted
		s := &Server{
			MaxHeaderBytes: 2 << 10, MaxHeaders: 20,
			ErrorLog: slog.New(slog.DiscardHandler),
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				a := accepted{method: r.Method, target: r.RequestURI, host: r.Host, header: r.Header.Clone()}
				a.body, a.err = io.ReadAll(r.Body)
				a.trailer = r.Trailer
				seen = append(seen, a)
				// Two of three leave their memory to the next.
				if len(seen)%3 == 0 || !w.(*serverResponse).Answer(200, nil, "hello") {
					io.WriteString(w, "hello")
				}
			}),
		}
		s.setup()
		client := &memoryConn{in: bytes.NewReader(raw)}
		newServerConn(s, client, context.Background()).serve()
		checkResponses(t, client.out.Bytes(), seen)
		checkAgainstNetHTTP(t, raw, seen)
	})
}

func checkResponses(t *testing.T, out []byte, seen []accepted) {
	br := newReader(out)
	for i := 0; br.Buffered() > 0 || i == 0 && len(out) > 0; {
		method := "GET"
		if i < len(seen) {
			method = seen[i].method
		}
		res, err := http.ReadResponse(br, &http.Request{Method: method})
		if err != nil {
			t.Fatalf("unreadable response: %v in %q", err, out)
		}
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatalf("unreadable body: %v in %q", err, out)
		}
		if i < len(seen) && res.StatusCode == 200 && method != "HEAD" && string(body) != "hello" {
			t.Fatalf("response %d is %q", i, body)
		}
		if res.StatusCode != 100 {
			i++
		}
		if i > len(seen)+1 {
			t.Fatalf("%d requests, but more responses: %q", len(seen), out)
		}
	}
}

func checkAgainstNetHTTP(t *testing.T, raw []byte, seen []accepted) {
	br := bufio.NewReader(bytes.NewReader(raw))
	for i, a := range seen {
		if b, _ := br.Peek(2); string(b) == "\r\n" {
			br.Discard(2) // ReadRequest leaves this to its caller
		}
		r, err := http.ReadRequest(br)
		if err != nil {
			if strings.ContainsAny(a.target, `%:*[]@`) || !isPlain(a.target) {
				return // net/http's URLs are stricter
			}
			t.Fatalf("request %d was accepted, net/http says %v: %q", i, err, raw)
		}
		body, err := io.ReadAll(r.Body)
		if a.err != nil {
			return // refused in the body: the connection ended
		}
		if err != nil {
			t.Fatalf("body %d was accepted, net/http says %v: %q", i, err, raw)
		}
		// The one header net/http's reader makes up itself.
		if a.header.Get("Cache-Control") == "" && a.header.Get("Pragma") == "no-cache" {
			r.Header.Del("Cache-Control")
		}
		got := fmt.Sprintf("%s %s %q", a.method, a.target, a.body)
		want := fmt.Sprintf("%s %s %q", r.Method, r.RequestURI, body)
		if got != want || !reflect.DeepEqual(a.header, r.Header) {
			t.Fatalf("request %d: got %s %q, net/http has %s %q", i, got, a.header, want, r.Header)
		}
		if len(a.trailer)+len(r.Trailer) > 0 && !reflect.DeepEqual(a.trailer, r.Trailer) {
			t.Fatalf("request %d: got trailers %q, net/http has %q", i, a.trailer, r.Trailer)
		}
		if a.host != r.Host && a.method != "CONNECT" {
			t.Fatalf("request %d: got host %q, net/http has %q", i, a.host, r.Host)
		}
	}
}

func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}
