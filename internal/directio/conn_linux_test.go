package directio

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// pair gives both ends of a TCP connection, the first one wrapped.
func pair(t *testing.T) (net.Conn, *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		c, _ := l.Accept()
		accepted <- c
	}()
	a, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b := <-accepted
	if b == nil {
		t.Fatal("nothing was accepted")
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return wrap(a.(*net.TCPConn)), b.(*net.TCPConn)
}

func TestBothWays(t *testing.T) {
	a, b := pair(t)
	sent := bytes.Repeat([]byte("0123456789abcde\n"), 1<<18) // far more than the sockets hold
	var wg sync.WaitGroup
	for _, ends := range [][2]net.Conn{{a, b}, {b, a}} {
		wg.Go(func() {
			if n, err := ends[0].Write(sent); n != len(sent) || err != nil {
				t.Errorf("%d bytes of %d written, %v", n, len(sent), err)
			}
		})
		wg.Go(func() {
			got := make([]byte, len(sent))
			if _, err := io.ReadFull(ends[1], got); err != nil || sha256.Sum256(got) != sha256.Sum256(sent) {
				t.Errorf("something else was read, %v", err)
			}
		})
	}
	wg.Wait()
}

func TestEnds(t *testing.T) {
	a, b := pair(t)
	if n, err := a.Read(nil); n != 0 || err != nil {
		t.Errorf("an empty Read: %d, %v", n, err)
	}
	if n, err := a.Write(nil); n != 0 || err != nil {
		t.Errorf("an empty Write: %d, %v", n, err)
	}
	b.Write([]byte("rest"))
	b.CloseWrite()
	if got, err := io.ReadAll(a); string(got) != "rest" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
	if n, err := a.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("behind the end: %d, %v", n, err)
	}
	b.SetLinger(0)
	b.Close() // resets
	time.AfterFunc(10*time.Second, func() { a.Close() })
	var err error
	for err == nil {
		_, err = a.Write(make([]byte, 64<<10))
	}
	op, ok := errors.AsType[*net.OpError](err)
	if !ok || op.Op != "write" || !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		t.Errorf("a write after a reset: %v", err)
	}
}

func TestDeadlinesAndClose(t *testing.T) {
	a, _ := pair(t)
	one := make([]byte, 1)
	a.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err := a.Read(one)
	if ne, ok := errors.AsType[net.Error](err); !ok || !ne.Timeout() || !errors.Is(err, os.ErrDeadlineExceeded) || !strings.HasPrefix(err.Error(), "read tcp ") {
		t.Errorf("at the deadline: %v", err)
	}
	a.SetDeadline(time.Unix(1, 0))
	if _, err := a.Write(one); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("past the deadline: %v", err)
	}
	a.SetDeadline(time.Time{})
	failed := make(chan error, 1)
	go func() {
		_, err := a.Read(one)
		failed <- err
	}()
	a.Close()
	if err := <-failed; !errors.Is(err, net.ErrClosed) {
		t.Errorf("a Read when it is closed: %v", err)
	}
	if _, err := a.Write(one); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a Write when it is closed: %v", err)
	}
}

func TestWrap(t *testing.T) {
	a, b := pair(t)
	if _, ok := a.(syscall.Conn); !ok {
		t.Error("a wrapped connection hides its socket")
	}
	procs := runtime.GOMAXPROCS(2)
	defer runtime.GOMAXPROCS(procs)
	if Wrap(b) != net.Conn(b) {
		t.Error("wrapped with two processors")
	}
	runtime.GOMAXPROCS(1)
	if _, ok := Wrap(b).(*conn); !ok {
		t.Error("not wrapped with one processor")
	}
	pipe, _ := net.Pipe()
	if Wrap(pipe) != pipe {
		t.Error("a pipe was wrapped")
	}
}
