package http1

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

const transportSwitch = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"

func TestTransportUpgrade(t *testing.T) {
	ended := make(chan string, 1)
	addr := transportListen(t, func(_ int, nc net.Conn, br *bufio.Reader) {
		transportHead(br)
		io.WriteString(nc, "HTTP/1.1 103 Early Hints\r\n\r\n"+transportSwitch+"early ") // the first bytes come with the header
		got, _ := io.ReadAll(br)
		ended <- string(got)
		io.WriteString(nc, "late")
	})
	tr := transportNoLeaks(t, &Transport{ResponseHeaderTimeout: 1 << 30, BodyIdleTimeout: 1})
	ctx, cancel := context.WithCancel(t.Context())
	req := transportRequest(t, "GET", addr, "").WithContext(ctx)
	req.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"echo"}}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	cancel() // as with net/http, the connection lives until its body is closed
	rw, ok := resp.Body.(io.ReadWriteCloser)
	if !ok || resp.StatusCode != 101 || resp.Header.Get("Upgrade") != "echo" {
		t.Fatalf("%T %s %v", resp.Body, resp.Status, resp.Header)
	}
	b := make([]byte, 6)
	if _, err := io.ReadFull(rw, b); err != nil || string(b) != "early " {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := io.WriteString(rw, "hello"); err != nil {
		t.Error(err)
	}
	if live, idle := transportCounts(tr); live != 1 || idle != 0 {
		t.Errorf("%d connections, %d idle", live, idle)
	}
	if err := rw.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Error(err)
	}
	if got := <-ended; got != "hello" {
		t.Errorf("the backend got %q", got)
	}
	if rest, err := io.ReadAll(rw); string(rest) != "late" || err != nil {
		t.Errorf("%q, %v", rest, err)
	}
	rw.Close()
	rw.Close()
	if live, _ := transportCounts(tr); live != 0 {
		t.Errorf("%d connections left", live)
	}
}

// A protocol cannot be switched under a request that is still being sent.
func TestTransportUpgradeTooEarly(t *testing.T) {
	addr := transportListen(t, func(_ int, nc net.Conn, br *bufio.Reader) {
		transportHead(br)
		io.WriteString(nc, transportSwitch)
		io.Copy(io.Discard, br)
	})
	tr := transportNoLeaks(t, &Transport{})
	req := transportRequest(t, "POST", addr, "")
	pr, pw := io.Pipe()
	req.Body, req.ContentLength = pr, -1
	if _, err := tr.RoundTrip(req); err == nil || !strings.Contains(err.Error(), "switched") {
		t.Errorf("error %v", err)
	}
	for err := error(nil); err == nil; {
		_, err = pw.Write([]byte("x"))
	}
}

func TestTransportUpgradeWithoutHalfClose(t *testing.T) {
	tr := &Transport{DialContext: transportPipe(func(_ int, nc net.Conn, br *bufio.Reader) {
		transportHead(br)
		io.WriteString(nc, transportSwitch)
		io.Copy(nc, br)
	})}
	resp, err := tr.RoundTrip(transportRequest(t, "GET", "http://a.test", ""))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, ok := resp.Body.(interface{ CloseWrite() error }); ok {
		t.Error("CloseWrite is offered where the connection has none")
	}
	b := make([]byte, 2)
	io.WriteString(resp.Body.(io.Writer), "hi")
	if _, err := io.ReadFull(resp.Body, b); string(b) != "hi" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
}
