package http1

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

// corked keeps what TLS writes until release, so that several records arrive together.
type corked struct {
	net.Conn
	hold bool
	kept []byte
}

func (c *corked) Write(p []byte) (int, error) {
	if c.hold {
		c.kept = append(c.kept, p...)
		return len(p), nil
	}
	return c.Conn.Write(p)
}

func (c *corked) release() {
	c.hold = false
	c.Conn.Write(c.kept)
}

// A broken backend sends more than it should. Over TLS the excess may lie where neither the
// socket nor our own buffer shows it: it must not become somebody else's answer.
func TestTransportTLSUnexpectedBytes(t *testing.T) {
	const evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
	for _, tc := range []struct{ name, method, reply string }{
		{"behind a body", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood"},
		{"body of an answer to HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 44\r\n\r\n"},
		{"body of 204", "GET", "HTTP/1.1 204 No Content\r\n\r\n"},
		{"body of 304", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 44\r\n\r\n"},
		{"behind chunks", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\n\r\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cert := httptest.NewUnstartedServer(nil)
			cert.StartTLS()
			defer cert.Close()
			url := transportListen(t, func(i int, nc net.Conn, _ *bufio.Reader) {
				cork := &corked{Conn: nc}
				conn := tls.Server(cork, cert.TLS)
				for br := bufio.NewReader(conn); transportHead(br) != ""; {
					if i > 0 {
						io.WriteString(conn, transportOK)
						continue
					}
					cork.hold = true
					io.WriteString(conn, tc.reply)
					io.WriteString(conn, evil)
					cork.release()
				}
			})
			tr := transportNoLeaks(t, &Transport{TLSConfig: &tls.Config{InsecureSkipVerify: true}})
			for i, method := range []string{tc.method, "GET"} {
				resp, err := tr.RoundTrip(transportRequest(t, method, "https"+url[len("http"):], ""))
				if err != nil {
					t.Fatal(err)
				}
				body := transportReadAll(t, resp)
				if i == 1 && (resp.StatusCode != http.StatusOK || body != "hi") {
					t.Errorf("the next call got %d %q", resp.StatusCode, body)
				}
			}
		})
	}
}
