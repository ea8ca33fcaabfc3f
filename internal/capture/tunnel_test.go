package capture

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// upgrader switches to a protocol that sends back what it gets, as a proxy would: it says
// so to the capture and writes the head on the connection itself.
func upgrader(t *testing.T, tell bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		h := http.Header{"Upgrade": {"echo"}, "Connection": {"Upgrade"}}
		if tell {
			w.(interface{ Upgraded(int, http.Header) }).Upgraded(101, h)
		}
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			w.WriteHeader(502)
			return
		}
		defer conn.Close()
		if _, err := w.Write([]byte("x")); err != http.ErrHijacked {
			t.Errorf("write after hijack: %v", err)
		}
		if _, _, err := http.NewResponseController(w).Hijack(); err != http.ErrHijacked {
			t.Errorf("second hijack: %v", err)
		}
		fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
		rw.Flush()
		io.Copy(conn, conn)
		if err := conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			t.Errorf("close write: %v", err)
		}
	}
}

func TestTunnel(t *testing.T) {
	for _, tell := range []bool{true, false} {
		t.Run(fmt.Sprintf("told=%v", tell), func(t *testing.T) {
			s := serve(t, &Recorder{}, upgrader(t, tell), false)
			c := s.dial()
			defer c.Close()
			// Some bytes come along with the head: the server has read them before the hijack.
			io.WriteString(c, "GET /ws HTTP/1.1\r\nHost: example.com\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\nearly")
			br := bufio.NewReader(c)
			res, err := http.ReadResponse(br, nil)
			if err != nil || res.StatusCode != 101 {
				t.Fatalf("%v %v", res, err)
			}
			io.WriteString(c, "later")
			got := make([]byte, 10)
			if _, err := io.ReadFull(br, got); err != nil || string(got) != "earlylater" {
				t.Errorf("%q %v", got, err)
			}
			if len(s.queue.all()) != 0 {
				t.Error("stored while the tunnel is open")
			}
			c.(*net.TCPConn).CloseWrite()
			if rest, err := io.ReadAll(br); len(rest) != 0 || err != nil {
				t.Errorf("%q %v", rest, err)
			}
			ex := s.queue.one(t)
			if ex.Status != 101 || ex.RequestSize != 10 || ex.ResponseSize != 10 || ex.Error != "" || ex.Overhead != 0 || ex.Duration <= 0 {
				t.Errorf("%+v", ex.Meta)
			}
			if ex.Request.Bytes != nil || !ex.Request.Truncated || ex.Request.Size != 10 || ex.Response.Size != 10 {
				t.Errorf("%+v %+v", ex.Request, ex.Response)
			}
			if tell != (ex.ResponseHeader.Get("Upgrade") == "echo") {
				t.Errorf("header %v", ex.ResponseHeader)
			}
		})
	}
}

// HTTP/2 has no connection to give away: the handler answers something else.
func TestNoTunnel(t *testing.T) {
	s := serve(t, &Recorder{}, upgrader(t, true), false)
	res, err := s.client(true).Get("http://example.com/")
	if err != nil || res.StatusCode != 502 {
		t.Fatalf("%v %v", res, err)
	}
	res.Body.Close()
	if ex := s.queue.one(t); ex.Status != 502 || ex.ResponseHeader.Has("Upgrade") {
		t.Errorf("%+v %v", ex.Meta, ex.ResponseHeader)
	}
}

func TestBehindHead(t *testing.T) {
	for _, c := range []struct {
		pieces []string
		want   int64
	}{
		{[]string{"HTTP/1.1 101 X\r\nA: b\r\n\r\n"}, 0},
		{[]string{"HTTP/1.1 101 X\r\nA: b\r\n\r\nbody"}, 4},
		{[]string{"HTTP/1.1 101 X\r\n", "\r", "\n", "body", "more"}, 8},
		{[]string{"HTTP/1.1 101 X\r\n\rx\r\n\r", "\nb"}, 1},
		{[]string{"HTTP/1.1 101 X\r\r\n\r\n", "b"}, 1},
		{[]string{"HTTP/1.1 101 X\r\n"}, 0},
	} {
		tun := &tunnel{Conn: discardConn{}}
		for _, p := range c.pieces {
			tun.Write([]byte(p))
		}
		if got := tun.out.Load(); got != c.want {
			t.Errorf("%q: %d, want %d", c.pieces, got, c.want)
		}
		if err := tun.CloseWrite(); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("close write: %v", err)
		}
	}
}

type discardConn struct{ net.Conn }

func (discardConn) Write(p []byte) (int, error) { return len(p), nil }

func TestWriters(t *testing.T) {
	s := serve(t, &Recorder{}, func(w http.ResponseWriter, r *http.Request) {
		if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Errorf("deadline: %v", err)
		}
		io.WriteString(w, "a")
		w.(http.Flusher).Flush()
		n, err := io.Copy(w, io.MultiReader(strings.NewReader("b"), strings.NewReader("c")))
		if n != 2 || err != nil {
			t.Errorf("copied %d, %v", n, err)
		}
		broken := errors.New("backend broke")
		if _, err := w.(io.ReaderFrom).ReadFrom(io.MultiReader(strings.NewReader("d"), failing{broken})); err != broken {
			t.Errorf("copied with %v", err)
		}
		w.Write(nil)
		w.WriteHeader(500) // too late
	}, false)
	if res, body, err := s.raw("GET", "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"); err != nil || body != "abcd" || res.StatusCode != 200 {
		t.Errorf("%v %v %q", err, res, body)
	}
	if ex := s.queue.one(t); string(ex.Response.Bytes) != "abcd" || ex.Status != 200 {
		t.Errorf("%+v", ex)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
