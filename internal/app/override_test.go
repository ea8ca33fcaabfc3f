package app

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// wire is a backend that keeps what comes on each of its connections, and answers what it takes for a whole request.
func wire(t *testing.T) (addr string, seen <-chan string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	out := make(chan string, 4)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				c.SetDeadline(time.Now().Add(20 * time.Second))
				var text strings.Builder
				r, err := http.ReadRequest(bufio.NewReader(io.TeeReader(c, &text)))
				if err == nil {
					_, err = io.Copy(io.Discard, r.Body)
				}
				if err == nil {
					text.WriteString("<whole>")
					io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
				}
				out <- text.String()
			}()
		}
	}()
	return l.Addr().String(), out
}

// TestOverrideBreaksOff: a method that stands far behind in a body is never with the backend, whose request is broken off; a
// body without one arrives whole.
func TestOverrideBreaksOff(t *testing.T) {
	addr, seen := wire(t)
	w := newWorld(t, "backend: http://"+addr+"\naccess: {methods: [GET, POST]}\n")
	far := strings.Repeat("x", 300<<10)
	part := "--B\r\nContent-Disposition: form-data; name=\"%s\"\r\n\r\n%s\r\n"
	for kind, body := range map[string]string{
		"application/x-www-form-urlencoded": "a=" + far + "&_method=%s",
		"application/json":                  `{"a":"` + far + `","_method":"%s"}`,
		"multipart/form-data; boundary=B":   fmt.Sprintf(part, "a", far) + fmt.Sprintf(part, "_method", "%s") + "--B--\r\n",
	} {
		for _, chunked := range []bool{false, true} {
			for method, allowed := range map[string]bool{"POST": true, "DELETE": false} {
				text := fmt.Sprintf(body, method)
				head := "POST /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: " + kind + "\r\n"
				if chunked {
					text = head + "Transfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(text), text)
				} else {
					text = head + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(text), text)
				}
				answer := raw(t, w.addr, text)
				got := <-seen
				if status := answer[:min(len(answer), 12)]; status != map[bool]string{true: "HTTP/1.1 200", false: "HTTP/1.1 400"}[allowed] {
					t.Errorf("%s, %s, chunked %v: the client gets %.60q", kind, method, chunked, answer)
				}
				if strings.HasSuffix(got, "<whole>") != allowed || strings.Contains(got, "DELETE") || len(got) < 64<<10 {
					t.Errorf("%s, %s, chunked %v: the backend has %d bytes, and at their end %q", kind, method, chunked, len(got), got[max(0, len(got)-80):])
				}
			}
		}
	}
}
