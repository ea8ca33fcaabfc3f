//go:build linux && (amd64 || arm64)

package quietnet

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"
)

// pair is a connection under test and package net's other end of it.
func pair(t *testing.T) (near *Conn, far *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	other, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	near, ok := quiet(nc).(*Conn)
	if !ok {
		t.Fatalf("no Conn is made of a %T", nc)
	}
	t.Cleanup(func() { near.Close(); other.Close() })
	return near, other.(*net.TCPConn)
}

// pattern is n bytes of which no two neighbours of any distance that matters are alike.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return b
}

// More than the socket's buffers hold passes in both directions at once, so that reads and writes wait.
func TestBothDirections(t *testing.T) {
	near, far := pair(t)
	sent := pattern(16 << 20)
	var all sync.WaitGroup
	for _, w := range []*struct {
		to   io.Writer
		done func() error
	}{{near, near.CloseWrite}, {far, far.CloseWrite}} {
		all.Go(func() {
			if n, err := w.to.Write(sent); n != len(sent) || err != nil {
				t.Errorf("wrote %d, %v", n, err)
			}
			if err := w.done(); err != nil {
				t.Error(err)
			}
		})
	}
	for _, r := range []io.Reader{onlyReader{near}, far} {
		all.Go(func() {
			got, err := io.ReadAll(r)
			if err != nil || !bytes.Equal(got, sent) {
				t.Errorf("read %d bytes, %v", len(got), err)
			}
		})
	}
	all.Wait()
	if n, err := near.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("behind the end: %d, %v", n, err)
	}
}

type onlyReader struct{ io.Reader }

// What WriteMore writes is kept back, for 200 ms at most, and comes with what follows.
func TestWriteMoreArrivesWithWhatFollows(t *testing.T) {
	near, other := pair(t)
	far := quiet(other).(*Conn)
	for range 100 {
		start := time.Now()
		if n, err := near.WriteMore([]byte("head ")); n != 5 || err != nil {
			t.Fatal(n, err)
		}
		if !far.Silent() && time.Since(start) < 100*time.Millisecond { // a machine that stands still longer proves nothing
			t.Fatal("it has come alone")
		}
		if n, err := near.Write([]byte("body")); n != 4 || err != nil {
			t.Fatal(n, err)
		}
		got := make([]byte, 9)
		if _, err := io.ReadFull(far, got); err != nil || string(got) != "head body" {
			t.Fatalf("%q, %v", got, err)
		}
	}
}

func TestNothing(t *testing.T) {
	near, _ := pair(t)
	if n, err := near.Read(nil); n != 0 || err != nil {
		t.Error(n, err)
	}
	if n, err := near.Write(nil); n != 0 || err != nil {
		t.Error(n, err)
	}
}

func TestDeadlines(t *testing.T) {
	near, _ := pair(t)
	check := func(op string, n int, err error) {
		t.Helper()
		var ne net.Error
		var oe *net.OpError
		if n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &ne) || !ne.Timeout() || !errors.As(err, &oe) || oe.Op != op {
			t.Errorf("%s: %d, %v", op, n, err)
		}
	}
	near.SetDeadline(time.Unix(1, 0))
	n, err := near.Read(make([]byte, 1))
	check("read", n, err)
	n, err = near.Write([]byte("x"))
	check("write", n, err)

	near.SetDeadline(time.Time{})
	waiting := make(chan struct{})
	go func() {
		<-waiting
		near.SetReadDeadline(time.Unix(1, 0)) // before or while the read waits
	}()
	close(waiting)
	n, err = near.Read(make([]byte, 1))
	check("read", n, err)
}

func TestCloseEndsWhatWaits(t *testing.T) {
	near, _ := pair(t)
	var all sync.WaitGroup
	all.Go(func() {
		if n, err := near.Read(make([]byte, 1)); n != 0 || !errors.Is(err, net.ErrClosed) {
			t.Errorf("read: %d, %v", n, err)
		}
	})
	all.Go(func() {
		big := make([]byte, 64<<20) // nobody reads it
		if n, err := near.Write(big); n == len(big) || !errors.Is(err, net.ErrClosed) {
			t.Errorf("write: %d, %v", n, err)
		}
	})
	all.Go(func() { near.Close() })
	all.Wait()
}

func TestThePeerResets(t *testing.T) {
	near, far := pair(t)
	far.SetLinger(0)
	far.Close()
	var err error
	for range 2 { // the first may find the reset, or make the peer send one
		if _, err = near.Write([]byte("x")); err != nil {
			break
		}
	}
	var call *os.SyscallError
	if !errors.As(err, &call) || !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("write: %v", err)
	}
	near, far = pair(t)
	far.SetLinger(0)
	far.Close()
	if _, err := near.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read: %v", err)
	}
}

func TestSilent(t *testing.T) {
	near, far := pair(t)
	if !near.Silent() {
		t.Error("a fresh connection is not silent")
	}
	far.Write([]byte("ab"))
	if _, err := near.Read(make([]byte, 1)); err != nil { // by now both bytes are there
		t.Fatal(err)
	}
	if near.Silent() {
		t.Error("silent with a byte to read")
	}
	if n, err := near.Read(make([]byte, 2)); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if !near.Silent() {
		t.Error("not silent when all has been read")
	}
	far.CloseWrite()
	if n, err := near.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Fatal(n, err)
	}
	if near.Silent() {
		t.Error("silent at its end")
	}
	near.Close()
	if near.Silent() {
		t.Error("silent when closed")
	}
}

func TestACallAllocatesNothing(t *testing.T) {
	near, far := pair(t)
	p, q := make([]byte, 16), make([]byte, 16)
	if n := testing.AllocsPerRun(100, func() {
		near.Write(p)
		io.ReadFull(far, q)
		far.Write(q)
		near.Read(p)
		near.Silent()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestDialer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dial := Dialer(&net.Dialer{})
	nc, err := dial(t.Context(), "tcp", l.Addr().String())
	if _, ok := nc.(*Conn); ok == underRace || err != nil {
		t.Fatalf("a %T, %v", nc, err)
	}
	nc.Close()
	l.Close()
	if nc, err := dial(t.Context(), "tcp", l.Addr().String()); nc != nil || err == nil {
		t.Errorf("a %T, %v", nc, err)
	}
}

func TestOtherConnectionsStayAsTheyAre(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if New(a) != a {
		t.Error("a pipe was replaced")
	}
}
