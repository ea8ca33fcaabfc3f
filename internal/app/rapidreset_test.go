package app

import (
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"
)

// The types and flags of HTTP/2 frames that these tests send (RFC 9113 §6).
const (
	h2Headers, h2Reset, h2Settings, h2Continuation = 1, 3, 4, 9
	h2EndStream, h2EndHeaders                      = 1, 4
)

// h2Get is the header block of "GET /" to the host "a" in HPACK.
const h2Get = "\x82\x86\x84\x41\x01a"

func h2Frame(kind, flags byte, stream uint32, payload string) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind))
	b = binary.BigEndian.AppendUint32(append(b, flags), stream)
	return append(b, payload...)
}

// h2Dial begins a connection with prior knowledge. What comes back is thrown away; gone is closed when nothing more does.
func h2Dial(t *testing.T, addr string) (c net.Conn, gone <-chan struct{}) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	c.Write(h2Frame(h2Settings, 0, 0, ""))
	end := make(chan struct{})
	go func() {
		defer close(end)
		_, _ = io.Copy(io.Discard, c)
	}()
	return c, end
}

// TestRapidReset: a client that opens streams and resets them at once, without end (CVE-2023-44487), keeps nobody else from being
// served, and leaves nothing behind.
func TestRapidReset(t *testing.T) {
	backend := httpBackend(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Other") != "" {
			return
		}
		select {
		case <-r.Context().Done():
		case <-time.After(20 * time.Millisecond):
		}
	}))
	w := newWorld(t, "backend: "+backend+"\nh2c: true\naccess: {trusted_proxies: 127.0.0.0/8}\nlimits: {calls: 100, calls_per_address: 20}\n")
	before := runtime.NumGoroutine()
	for range 3 {
		c, gone := h2Dial(t, w.addr)
		for stream := uint32(1); stream < 1200; stream += 2 {
			one := append(h2Frame(h2Headers, h2EndStream|h2EndHeaders, stream, h2Get), h2Frame(h2Reset, 0, stream, "\x00\x00\x00\x08")...)
			if _, err := c.Write(one); err != nil {
				break // the server has had enough
			}
			if stream%240 == 1 {
				status, _, _ := askWith(t, w.url+"/x", "X-Other", "1", "X-Forwarded-For", "203.0.113.7")
				if status != 200 {
					t.Fatalf("another client: %d after %d streams", status, stream/2)
				}
			}
		}
		c.Close()
		<-gone
	}
	until(t, "the calls of the reset streams to end", func() bool { return runtime.NumGoroutine() < before+50 })
	w.checkLedger()
}

// TestUnfinishedHead: a head that does not end, in HTTP/2, ends with its connection: when nothing comes, when it becomes too large.
func TestUnfinishedHead(t *testing.T) {
	w := newWorld(t, "backend: "+httpBackend(t, http.HandlerFunc(hello))+"\nh2c: true\nlimits: {idle_timeout: 100ms, header_bytes: 4KiB}\n")
	start := func() (net.Conn, <-chan struct{}) {
		c, gone := h2Dial(t, w.addr)
		c.Write(h2Frame(h2Headers, h2EndStream, 1, h2Get))
		return c, gone
	}
	_, gone := start()
	<-gone
	c, gone := start()
	var err error
	sent := 0
	for err == nil {
		n := 0
		n, err = c.Write(h2Frame(h2Continuation, 0, 1, "\x00\x01x\x7e"+strings.Repeat("y", 0x7e))) // a literal that is not indexed
		if sent += n; sent > 64<<20 {
			t.Fatalf("%d bytes of a head were taken", sent)
		}
	}
	<-gone
	if status, _, _ := askWith(t, w.url+"/x"); status != 200 {
		t.Errorf("afterwards: %d", status)
	}
	w.checkLedger()
}
