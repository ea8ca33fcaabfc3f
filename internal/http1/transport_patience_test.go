package http1

import (
	"bufio"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestKeepAliveTold(t *testing.T) {
	for _, tc := range []struct {
		value string
		want  time.Duration
	}{
		{"timeout=5", 4 * time.Second},
		{"timeout=5, max=100", 4 * time.Second},
		{"max=100,Timeout = \"75\"", 74 * time.Second},
		{"timeout=2", time.Second},
		{"timeout=1", time.Second / 2},
		{"timeout=0", -1},
		{"timeout=-5", 0},
		{"timeout=5s", 0},
		{"timeout=99999999999999999999", 0},
		{"timeout", 0},
		{"max=5", 0},
		{"", 0},
	} {
		if got := keepAliveTold([]string{tc.value}); got != tc.want {
			t.Errorf("%q: %v, want %v", tc.value, got, tc.want)
		}
	}
	if got := keepAliveTold([]string{"max=5", "timeout=3"}); got != 2*time.Second {
		t.Errorf("in a second line: %v", got)
	}
}

// patientBackend answers on connections that it keeps idle for so long, and counts them.
func patientBackend(keep time.Duration, header string) (*Transport, *atomic.Int32) {
	var conns atomic.Int32
	return &Transport{DialContext: transportPipe(func(_ int, nc net.Conn, br *bufio.Reader) {
		conns.Add(1)
		for {
			nc.SetReadDeadline(time.Now().Add(keep))
			if transportHead(br) == "" {
				return
			}
			io.WriteString(nc, strings.Replace(transportOK, "OK\r\n", "OK\r\n"+header, 1))
		}
	})}, &conns
}

func TestTransportKeepAliveHeader(t *testing.T) {
	for _, tc := range []struct {
		header string
		idle   time.Duration
		conns  int32
	}{
		{"Keep-Alive: timeout=5\r\n", 3900 * time.Millisecond, 1},
		{"Keep-Alive: timeout=5\r\n", 4 * time.Second, 2},
		{"Keep-Alive: timeout=0\r\n", 0, 2},
		{"Keep-Alive: timeout=120\r\n", 89 * time.Second, 1},
		{"Keep-Alive: timeout=120\r\n", 91 * time.Second, 2}, // IdleConnTimeout is less
		{"", 89 * time.Second, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			tr, conns := patientBackend(time.Hour, tc.header)
			for range 2 {
				if err := transportGet(t, tr, "http://a.test"); err != nil {
					t.Fatal(err)
				}
				time.Sleep(tc.idle)
			}
			if n := conns.Load(); n != tc.conns {
				t.Errorf("%q, idle for %v: %d connections, want %d", tc.header, tc.idle, n, tc.conns)
			}
			tr.CloseIdleConnections()
		})
	}
}

// What a backend does not say is learnt from the first connection that it closes, and kept for
// a while although the host has no connection left.
func TestTransportLearnsPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr, conns := patientBackend(5*time.Second, "")
		for i, step := range []struct {
			idle  time.Duration
			conns int32
		}{
			{0, 1},
			{5200 * time.Millisecond, 2}, // found closed: limit 3.9 s
			{3800 * time.Millisecond, 2},
			{4 * time.Second, 3}, // the backend would still have it; a second later it would not
			{3800 * time.Millisecond, 3},
			{time.Hour, 4}, // forgotten
			{4800 * time.Millisecond, 4},
		} {
			time.Sleep(step.idle)
			if err := transportGet(t, tr, "http://a.test"); err != nil {
				t.Fatal(err)
			}
			if n := conns.Load(); n != step.conns {
				t.Errorf("step %d, idle for %v: %d connections, want %d", i, step.idle, n, step.conns)
			}
		}
		tr.CloseIdleConnections()
	})
}

// A POST that met the end of its connection is lost, because the backend may have seen it; the
// next one of that age is not sent into the same.
func TestTransportLearnsFromLostCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var conns atomic.Int32
		tr := &Transport{DialContext: transportPipe(func(_ int, nc net.Conn, br *bufio.Reader) {
			conns.Add(1)
			var last time.Time
			for ; transportHead(br) != ""; last = time.Now() {
				if !last.IsZero() && time.Since(last) > 4*time.Second {
					return // as it was about to do
				}
				io.WriteString(nc, transportOK)
			}
		})}
		post := func() error {
			resp, err := tr.RoundTrip(transportRequest(t, "POST", "http://a.test", ""))
			if err == nil {
				transportReadAll(t, resp)
			}
			return err
		}
		if err := post(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if err := post(); err == nil {
			t.Fatal("a lost POST went through")
		}
		for range 3 {
			if err := post(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(5 * time.Second)
		}
		if n := conns.Load(); n != 4 {
			t.Errorf("%d connections, want 4", n)
		}
		tr.CloseIdleConnections()
	})
}

// A backend that restarts closes connections of any age: young ones tell nothing of its limit, and
// what older ones tell is forgotten when one lives longer.
func TestTransportForgetsRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var conns atomic.Int32
		restart := make(chan struct{})
		tr := &Transport{DialContext: transportPipe(func(_ int, nc net.Conn, br *bufio.Reader) {
			conns.Add(1)
			over := restart
			go func() {
				<-over
				nc.Close()
			}()
			for transportHead(br) != "" {
				io.WriteString(nc, transportOK)
			}
		})}
		for i, step := range []struct {
			idle  time.Duration
			conns int32
		}{
			{0, 1},
			{2 * time.Second, 2},         // found closed: limit 1.5 s
			{1400 * time.Millisecond, 2}, //
			{2 * time.Second, 3},         // believed
			{2400 * time.Millisecond, 4}, // it might still be closed between two looks
			{2500 * time.Millisecond, 4}, // no: it lives
			{time.Minute, 4},             //
			{2 * time.Second, 4},         // forgotten
		} {
			time.Sleep(step.idle)
			if i == 1 {
				close(restart)
				restart = make(chan struct{})
				synctest.Wait()
			}
			if err := transportGet(t, tr, "http://a.test"); err != nil {
				t.Fatal(err)
			}
			if n := conns.Load(); n != step.conns {
				t.Errorf("step %d, idle for %v: %d connections, want %d", i, step.idle, n, step.conns)
			}
		}
		tr.CloseIdleConnections()
		close(restart)
	})
}

func TestPatience(t *testing.T) {
	a, b := &net.TCPAddr{Port: 1}, &net.TCPAddr{Port: 2}
	var p patience
	p.saw(999*time.Millisecond, a)
	if got := p.limit(time.Now()); got != 0 || !p.doubt(0, a) {
		t.Errorf("limit %v after the end of a young connection", got)
	}
	p.saw(8*time.Second, a)
	p.saw(20*time.Second, b)
	if got := p.limit(time.Now()); got != 6*time.Second {
		t.Errorf("limit %v, want that of the youngest", got)
	}
	for _, keeps := range []struct {
		age  time.Duration
		addr net.Addr
	}{{10*time.Second - 1, a}, {time.Hour, b}, {time.Hour, nil}} { // another address may be another backend
		if p.doubt(keeps.age, keeps.addr) || p.limit(time.Now()) != 6*time.Second {
			t.Errorf("forgotten because of one to %v that lives at %v", keeps.addr, keeps.age)
		}
	}
	if !p.doubt(10*time.Second, a) || p.limit(time.Now()) != 0 {
		t.Error("not forgotten")
	}
}
