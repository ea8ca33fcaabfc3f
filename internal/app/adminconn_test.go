package app

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tapway/tapway/internal/admin"
)

// TestAdminConnections: whoever holds all connections of the admin address, without a request or between two, keeps nobody out.
func TestAdminConnections(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := newAdminServer(&admin.Server{Token: "s3same"}, slog.New(slog.DiscardHandler))
	served := make(chan error, 1)
	go func() { served <- newAdminListener(l, 3, slog.New(slog.DiscardHandler)).serve(s) }()
	defer func() { s.Close(); <-served }()
	addr := l.Addr().String()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(10 * time.Second))
		return c
	}
	ask := func(c net.Conn) int {
		fmt.Fprint(c, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return 0
		}
		io.Copy(io.Discard, resp.Body)
		return resp.StatusCode
	}
	idle := dial()
	if status := ask(idle); status != 200 {
		t.Fatalf("%d", status)
	}
	half := dial()
	fmt.Fprint(half, "GET /healthz HTTP/1.1\r\n")
	for n := range 8 {
		if status := ask(dial()); status != 200 {
			t.Errorf("newcomer %d: %d", n, status)
		}
	}
	for name, c := range map[string]net.Conn{"one that was idle": idle, "one with half a request": half} {
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Errorf("%s is still open", name)
		}
	}
}

// TestAdminAnswering: a connection that is being answered is not closed for a newcomer, which is; and a client that takes nothing
// of its answer is let go.
func TestAdminAnswering(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := make(pipes, 2)
		l := newAdminListener(inner, 1, slog.New(slog.DiscardHandler))
		s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Write(make([]byte, 1<<20))
		})}
		served := make(chan error, 1)
		go func() { served <- l.serve(s) }()
		stuck, server := net.Pipe()
		inner <- server
		began := time.Now()
		fmt.Fprint(stuck, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
		synctest.Wait()
		second, server := net.Pipe()
		inner <- server
		if _, err := io.ReadAll(second); err != nil || time.Since(began) > 0 {
			t.Errorf("the newcomer: %v after %v", err, time.Since(began))
		}
		time.Sleep(adminStuck + time.Second)
		synctest.Wait()
		third, server := net.Pipe()
		inner <- server
		fmt.Fprint(third, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if resp, err := http.ReadResponse(bufio.NewReader(third), nil); err != nil || resp.StatusCode != 200 {
			t.Errorf("when the first was let go: %v", err)
		}
		for _, c := range []net.Conn{stuck, second, third} {
			c.Close()
		}
		close(inner)
		<-served
		s.Close()
	})
}

// TestAdminDefault: a running tapway has the bound.
func TestAdminDefault(t *testing.T) {
	w := newWorldIn(t, "data: "+t.TempDir()+"\nbackend: http://127.0.0.1:1\ndestinations: []\n")
	var first net.Conn
	for n := range w.app.config.Admin.Connections + 1 {
		c, err := net.Dial("tcp", w.app.AdminAddr())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if n == 0 {
			first = c
		}
	}
	first.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := first.Read(make([]byte, 1)); err != io.EOF && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the first connection: %v", err)
	}
}
