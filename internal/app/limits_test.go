package app

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestRequestLimits: the last request inside each limit is served, the first outside is answered.
func TestRequestLimits(t *testing.T) {
	backend := httpBackend(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	w := newWorld(t, "backend: "+backend+"\nproxy: {max_request: 10}\nlimits: {headers: 20, header_bytes: 4KiB}\n")
	head := func(size int) string { // with a header that makes the head that long
		const before, after = "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nPad: ", "\r\n\r\n"
		return before + strings.Repeat("p", size-len(before)-len(after)) + after
	}
	lines := func(n int) string {
		return "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + strings.Repeat("A: b\r\n", n-2) + "\r\n"
	}
	body := func(n int) string {
		return fmt.Sprintf("POST /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", n, strings.Repeat("b", n))
	}
	chunked := func(n int) string {
		return fmt.Sprintf("POST /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", n, strings.Repeat("b", n))
	}
	for _, tt := range []struct {
		what    string
		request string
		status  string
	}{
		{"header bytes, last inside", head(4 << 10), "200"}, {"header bytes, first outside", head(4<<10 + 1), "431"},
		{"headers, last inside", lines(20), "200"}, {"headers, first outside", lines(21), "431"},
		{"body, last inside", body(10), "200"}, {"body, first outside", body(11), "413"},
		{"chunked body, last inside", chunked(10), "200"}, {"chunked body, first outside", chunked(11), "413"},
	} {
		if got := raw(t, w.addr, tt.request); !strings.HasPrefix(got, "HTTP/1.1 "+tt.status+" ") {
			t.Errorf("%s: %.60q, want %s", tt.what, got, tt.status)
		}
	}
	w.checkLedger()
}

// TestCallsAtOnce: of one address and in all as many calls are under way as may be, and one more is answered.
func TestCallsAtOnce(t *testing.T) {
	release, inside := make(chan struct{}), make(chan struct{}, 10)
	backend := httpBackend(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { inside <- struct{}{}; <-release }))
	w := newWorld(t, "backend: "+backend+"\naccess: {trusted_proxies: 127.0.0.0/8}\nlimits: {calls: 3, calls_per_address: 2}\n")
	done := make(chan int, 3)
	for _, client := range []string{"203.0.113.7", "203.0.113.7", "2001:db8::1"} {
		go func() {
			req, _ := http.NewRequestWithContext(t.Context(), "GET", w.url+"/x", nil)
			req.Header.Set("X-Forwarded-For", client)
			resp, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				done <- 0
				return
			}
			resp.Body.Close()
			done <- resp.StatusCode
		}()
		<-inside
	}
	if status, _, _ := askWith(t, w.url+"/x", "X-Forwarded-For", "203.0.113.8"); status != 503 {
		t.Errorf("the fourth in all: %d", status)
	}
	release <- struct{}{}
	if status := <-done; status != 200 {
		t.Errorf("one inside: %d", status)
	}
	release <- struct{}{}
	<-done
	close(release)
	<-done
	if status, _, _ := askWith(t, w.url+"/x", "X-Forwarded-For", "203.0.113.7"); status != 200 {
		t.Errorf("afterwards: %d", status)
	}
}

// TestCallsOfAnAddress: one more call of one address is answered 429, while another address is served.
func TestCallsOfAnAddress(t *testing.T) {
	release, inside := make(chan struct{}), make(chan struct{}, 10)
	backend := httpBackend(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			inside <- struct{}{}
			<-release
		}
	}))
	w := newWorld(t, "backend: "+backend+"\naccess: {trusted_proxies: 127.0.0.0/8}\nlimits: {calls_per_address: 1}\n")
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = raw(t, w.addr, "GET /wait HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Forwarded-For: 2001:db8:1:2::1\r\n\r\n")
	}()
	<-inside
	for client, want := range map[string]int{"2001:db8:1:2:ffff::1": 429, "2001:db8:1:3::1": 200} {
		if status, _, _ := askWith(t, w.url+"/x", "X-Forwarded-For", client); status != want {
			t.Errorf("%s: %d", client, status)
		}
	}
	close(release)
	<-done
}

// TestConnectionRate: as many connections as the rate has are served at once, and the next is closed.
func TestConnectionRate(t *testing.T) {
	w := newWorld(t, "backend: "+httpBackend(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))+"\nlimits: {connection_rate: 0.01}\n")
	if got := raw(t, w.addr, "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 200 ") {
		t.Errorf("the first: %q", got)
	}
	c, err := net.Dial("tcp", w.addr)
	if err == nil { // else it was closed already
		defer c.Close()
		c.SetDeadline(time.Now().Add(10 * time.Second))
		if n, err := c.Read(make([]byte, 1)); n > 0 || err == nil {
			t.Error("the second is served")
		}
	}
	_, metrics := call(t, "http://"+w.app.AdminAddr()+"/metrics")
	if !strings.Contains(metrics, `tapway_refused_total{rule="connection rate of an address"} 1`) {
		t.Error("it is not counted")
	}
}
