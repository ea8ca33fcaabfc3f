package http1

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// transportCanned is a connection on which a reply lies ready, in pieces of a given size.
type transportCanned struct {
	reply []byte
	piece int
}

func (c *transportCanned) Read(p []byte) (int, error) {
	if len(c.reply) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), c.piece)], c.reply)
	c.reply = c.reply[n:]
	return n, nil
}
func (c *transportCanned) Write(p []byte) (int, error)      { return len(p), nil }
func (c *transportCanned) Close() error                     { return nil }
func (c *transportCanned) LocalAddr() net.Addr              { return nil }
func (c *transportCanned) RemoteAddr() net.Addr             { return nil }
func (c *transportCanned) SetDeadline(time.Time) error      { return nil }
func (c *transportCanned) SetReadDeadline(time.Time) error  { return nil }
func (c *transportCanned) SetWriteDeadline(time.Time) error { return nil }

// FuzzResponse feeds strangers' bytes as a backend's reply. Whatever comes, the call ends; and
// what both this transport and net/http take for a complete response is the same response.
func FuzzResponse(f *testing.F) {
	for _, s := range []string{
		transportOK, transportSwitch + "more",
		"HTTP/1.1 100 Continue\r\n\r\n" + transportOK,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: A\r\n\r\n5;x=y\r\nhello\r\n0\r\nA: b\r\n\r\n",
		"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nhello",
		"HTTP/1.1 200 OK\nA: b\n c\n\nx", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\nContent-Length: 5\r\n\r\nhello!",
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n1\nx\n0\n\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: , Chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nPragma: no-cache\r\n\r\nx",
	} {
		f.Add([]byte(s), false, uint8(255))
		f.Add([]byte(s), true, uint8(1))
	}
	f.Fuzz(func(t *testing.T, reply []byte, head bool, piece uint8) {
		dials := 0
		tr := &Transport{MaxResponseHeaderBytes: 64 << 10, DialContext: func(context.Context, string, string) (net.Conn, error) {
			dials++
			return &transportCanned{bytes.Clone(reply), int(piece) + 1}, nil
		}}
		defer tr.CloseIdleConnections()
		req := &http.Request{Method: "GET", URL: &url.URL{Scheme: "http", Host: "a.test", Path: "/"}}
		if head {
			req.Method = "HEAD"
		}
		resp, err := tr.RoundTrip(req)
		if err != nil {
			if live, _ := transportCounts(tr); live != 0 {
				t.Fatalf("%d connections left after %v", live, err)
			}
			return
		}
		got, gotErr := io.ReadAll(resp.Body)
		resp.Body.Close()
		if live, idle := transportCounts(tr); live != idle || dials != 1 {
			t.Fatalf("%d connections, %d idle, %d dialled", live, idle, dials)
		}
		if resp.StatusCode == http.StatusSwitchingProtocols {
			return
		}
		want, wantBody, wantErr := transportStdResponse(reply, req)
		if want == nil || gotErr != nil || wantErr != nil {
			return
		}
		for name := range want.Header {
			if strings.ContainsAny(name, " \t") {
				return // net/http takes white space before the colon for a part of the name
			}
		}
		if want.ProtoMinor == 0 && resp.TransferEncoding != nil || want.ProtoMajor != 1 {
			return // net/http takes chunks of HTTP/1.0 for the body itself
		}
		if resp.StatusCode != want.StatusCode || resp.Status != want.Status || resp.Proto != want.Proto {
			t.Errorf("%s %q, net/http: %s %q", resp.Proto, resp.Status, want.Proto, want.Status)
		}
		if !bytes.Equal(got, wantBody) {
			t.Errorf("body %q, net/http: %q", got, wantBody)
		}
		if want.TransferEncoding != nil && want.Header["Content-Length"] != nil {
			delete(want.Header, "Content-Length") // net/http keeps both where there is no body
			want.ContentLength = resp.ContentLength
		}
		if resp.ContentLength != want.ContentLength {
			t.Errorf("ContentLength %d, net/http: %d", resp.ContentLength, want.ContentLength)
		}
		for _, name := range []string{"Connection", "Cache-Control"} { // net/http changes them
			delete(resp.Header, name)
			delete(want.Header, name)
		}
		transportSameHeader(t, "header", resp.Header, want.Header)
		for name, values := range want.Trailer {
			if values == nil && resp.Trailer[name] == nil {
				delete(want.Trailer, name) // declared and not sent
				delete(resp.Trailer, name)
			}
			if transportSkip(name) {
				delete(want.Trailer, name)
			}
		}
		transportSameHeader(t, "trailer", resp.Trailer, want.Trailer)
	})
}

func transportSameHeader(t *testing.T, what string, got, want http.Header) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s %q, net/http: %q", what, got, want)
	}
	for name, values := range want {
		if strings.Join(got[name], "\n") != strings.Join(values, "\n") {
			t.Errorf("%s %s: %q, net/http: %q", what, name, got[name], values)
		}
	}
}

// transportStdResponse is net/http's reading of a reply, interim responses skipped.
func transportStdResponse(reply []byte, req *http.Request) (*http.Response, []byte, error) {
	br := bufio.NewReader(bytes.NewReader(reply))
	for {
		resp, err := http.ReadResponse(br, req)
		if err != nil {
			return nil, nil, err
		}
		if resp.StatusCode/100 != 1 {
			body, err := io.ReadAll(resp.Body)
			return resp, body, err
		}
	}
}
