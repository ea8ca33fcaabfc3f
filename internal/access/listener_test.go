package access

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// v2Header is a binary PROXY header with TLVs behind the addresses.
func v2Header(command, family byte, from, to netip.AddrPort, tlv string) string {
	b := append([]byte(v2Signature), 0x20|command, family)
	body := append(from.Addr().AsSlice(), to.Addr().AsSlice()...)
	body = binary.BigEndian.AppendUint16(body, from.Port())
	body = binary.BigEndian.AppendUint16(body, to.Port())
	body = append(body, tlv...)
	return string(append(binary.BigEndian.AppendUint16(b, uint16(len(body))), body...))
}

// withCRC puts the checksum of a header into its first TLV for one, plus off.
func withCRC(header string, off uint32) string {
	b := []byte(header)
	at := bytes.Index(b, []byte("\x03\x00\x04\x00\x00\x00\x00")) + 3
	binary.BigEndian.PutUint32(b[at:], crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))+off)
	return string(b)
}

func TestProxyHeader(t *testing.T) {
	v4, v6 := netip.MustParseAddrPort("203.0.113.7:4711"), netip.MustParseAddrPort("[2001:db8::7]:4711")
	mapped := netip.MustParseAddrPort("[::ffff:203.0.113.7]:4711")
	for _, tt := range []struct {
		name, in string
		want     string // address; "" with ok: that of the connection
		ok       bool
	}{
		{"v1 IPv4", "PROXY TCP4 203.0.113.7 10.0.0.1 4711 443\r\n", "203.0.113.7:4711", true},
		{"v1 IPv6", "PROXY TCP6 2001:db8::7 ::1 4711 443\r\n", "[2001:db8::7]:4711", true},
		{"v1 mapped", "PROXY TCP6 ::ffff:203.0.113.7 ::1 4711 443\r\n", "203.0.113.7:4711", true},
		{"v1 unknown", "PROXY UNKNOWN\r\n", "", true},
		{"v1 unknown, and what follows", "PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", "", true},
		{"v1 longest", "PROXY UNKNOWN " + strings.Repeat("x", v1Longest-16) + "\r\n", "", true},
		{"v1 too long", "PROXY UNKNOWN " + strings.Repeat("x", v1Longest-15) + "\r\n", "", false},
		{"v1 wrong family", "PROXY TCP4 2001:db8::7 ::1 4711 443\r\n", "", false},
		{"v1 wrong family of the destination", "PROXY TCP4 203.0.113.7 ::1 4711 443\r\n", "", false},
		{"v1 UDP", "PROXY UDP4 203.0.113.7 10.0.0.1 4711 443\r\n", "", false},
		{"v1 port", "PROXY TCP4 203.0.113.7 10.0.0.1 65536 443\r\n", "", false},
		{"v1 port with zeros", "PROXY TCP4 203.0.113.7 10.0.0.1 04711 443\r\n", "", false},
		{"v1 port with a sign", "PROXY TCP4 203.0.113.7 10.0.0.1 +4711 443\r\n", "", false},
		{"v1 two spaces", "PROXY TCP4  203.0.113.7 10.0.0.1 4711 443\r\n", "", false},
		{"v1 bare LF", "PROXY TCP4 203.0.113.7 10.0.0.1 4711 443\n", "", false},
		{"v1 small letters", "proxy TCP4 203.0.113.7 10.0.0.1 4711 443\r\n", "", false},
		{"v1 zone", "PROXY TCP6 fe80::1%eth0 ::1 4711 443\r\n", "", false},
		{"v2 IPv4", v2Header(1, 0x11, v4, v4, ""), "203.0.113.7:4711", true},
		{"v2 IPv6", v2Header(1, 0x21, v6, v6, ""), "[2001:db8::7]:4711", true},
		{"v2 mapped", v2Header(1, 0x21, mapped, v6, ""), "203.0.113.7:4711", true},
		{"v2 TLVs", v2Header(1, 0x11, v4, v4, strings.Repeat("\x04\x00\x01x", 100)), "203.0.113.7:4711", true},
		{"v2 no TLVs after a NOOP", v2Header(1, 0x11, v4, v4, "\x04\x00\x00"), "203.0.113.7:4711", true},
		{"v2 unknown TLVs", v2Header(1, 0x21, v6, v6, "\xee\x00\x03abc\x20\x00\x05\x01\x00\x00\x00\x00"), "[2001:db8::7]:4711", true},
		{"v2 the last byte of a TLV", v2Header(1, 0x11, v4, v4, "\x01\x00\x02h2"), "203.0.113.7:4711", true},
		{"v2 a TLV one byte too long", v2Header(1, 0x11, v4, v4, "\x01\x00\x03h2"), "", false},
		{"v2 the head of a TLV cut off", v2Header(1, 0x11, v4, v4, "\x04\x00"), "", false},
		{"v2 the longest TLV there is", v2Header(1, 0x11, v4, v4, "\xea\xff\xf0"+strings.Repeat("x", 0xfff0)), "203.0.113.7:4711", true},
		{"v2 checksum", withCRC(v2Header(1, 0x11, v4, v4, "\x03\x00\x04\x00\x00\x00\x00"), 0), "203.0.113.7:4711", true},
		{"v2 checksum between others", withCRC(v2Header(1, 0x21, v6, v6, "\x04\x00\x01x\x03\x00\x04\x00\x00\x00\x00\x01\x00\x02h2"), 0), "[2001:db8::7]:4711", true},
		{"v2 checksum of something else", withCRC(v2Header(1, 0x11, v4, v4, "\x03\x00\x04\x00\x00\x00\x00"), 1), "", false},
		{"v2 checksum of three bytes", v2Header(1, 0x11, v4, v4, "\x03\x00\x03\x00\x00\x00"), "", false},
		{"v2 two checksums", v2Header(1, 0x11, v4, v4, strings.Repeat("\x03\x00\x04\x00\x00\x00\x00", 2)), "", false},
		{"v2 Unix socket, too short", v2Signature + "\x21\x31\x00\xd7" + strings.Repeat("p", 215), "", false},
		{"v2 LOCAL", v2Header(0, 0x11, v4, v4, "x"), "", true},
		{"v2 LOCAL without addresses", v2Signature + "\x20\x00\x00\x00", "", true},
		{"v2 Unix socket", v2Signature + "\x21\x31\x00\xd8" + strings.Repeat("p", 216), "", true},
		{"v2 no family", v2Signature + "\x21\x00\x00\x00", "", true},
		{"v2 datagram", v2Header(1, 0x12, v4, v4, ""), "", true},
		{"v2 too short for its family", v2Signature + "\x21\x11\x00\x0b" + strings.Repeat("x", 11), "", false},
		{"v2 version", v2Signature + "\x11\x11\x00\x00", "", false},
		{"v2 command", v2Signature + "\x22\x11\x00\x00", "", false},
		{"v2 family", v2Signature + "\x21\x41\x00\x00", "", false},
		{"v2 cut short", v2Header(1, 0x11, v4, v4, "")[:20], "", false},
		{"HTTP", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "", false},
		{"nothing", "", "", false},
	} {
		r := strings.NewReader(tt.in + "GET / HTTP/1.1")
		if strings.HasPrefix(tt.name, "v2 cut") {
			r = strings.NewReader(tt.in)
		}
		got, err := readProxyHeader(r)
		text := ""
		if got.IsValid() && err == nil {
			text = got.String()
		}
		if text != tt.want || (err == nil) != tt.ok {
			t.Errorf("%s: %s, %v", tt.name, got, err)
		}
		if rest, _ := io.ReadAll(r); tt.ok && string(rest) != "GET / HTTP/1.1" {
			t.Errorf("%s: %q is left for the server", tt.name, rest)
		}
	}
}

// FuzzProxyHeader: whatever comes, reading ends within the longest header there is, and an address
// has neither a zone nor a mapped form.
func FuzzProxyHeader(f *testing.F) {
	v4 := netip.MustParseAddrPort("203.0.113.7:4711")
	f.Add([]byte("PROXY TCP4 203.0.113.7 10.0.0.1 4711 443\r\nGET"))
	f.Add([]byte("PROXY UNKNOWN\r\n"))
	f.Add([]byte(v2Header(1, 0x11, v4, v4, "\x01\x00\x00")))
	f.Add([]byte(withCRC(v2Header(1, 0x11, v4, v4, "\x04\x00\x01x\x03\x00\x04\x00\x00\x00\x00"), 0)))
	f.Add([]byte(v2Header(1, 0x11, v4, v4, "\x03\x00\x04\x00\x00\x00\x00\x20\xff\xff")))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bytes.NewReader(in)
		got, err := readProxyHeader(r)
		if err != nil {
			return
		}
		if used := len(in) - r.Len(); used > v2Head+1<<16 || bytes.HasPrefix(in, []byte(v1Start)) && (used > v1Longest || in[used-1] != '\n') {
			t.Errorf("%q: %d bytes", in, used)
		}
		if a := got.Addr(); a.IsValid() && (a.Is4In6() || a.Zone() != "") {
			t.Errorf("%q: %s", in, got)
		}
	})
}

// door is a Listener on loopback whose accepted connections can be waited for.
type door struct {
	*Listener
	t       *testing.T
	conns   chan net.Conn
	mu      sync.Mutex
	refused []string
	done    chan error
}

func newDoor(t *testing.T, l *Listener) *door {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &door{Listener: l, t: t, conns: make(chan net.Conn, 100), done: make(chan error, 1)}
	l.Listener, l.Log = inner, quiet
	l.Refused = func(reason string) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.refused = append(d.refused, reason)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				d.done <- err
				return
			}
			d.conns <- c
		}
	}()
	t.Cleanup(func() {
		l.Close()
		if err := <-d.done; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept ended with %v", err)
		}
	})
	return d
}

// dial connects and sends text.
func (d *door) dial(text string) net.Conn {
	d.t.Helper()
	c, err := net.Dial("tcp", d.Addr().String())
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c, text); err != nil {
		d.t.Fatal(err)
	}
	return c
}

func (d *door) next() net.Conn {
	d.t.Helper()
	select {
	case c := <-d.conns:
		c.SetDeadline(time.Now().Add(10 * time.Second))
		d.t.Cleanup(func() { c.Close() })
		return c
	case <-time.After(10 * time.Second):
		d.t.Fatal("no connection was accepted")
		return nil
	}
}

// turnedAway connects, sends text, and expects that the other side closes the connection.
func (d *door) turnedAway(text string) {
	d.t.Helper()
	c, err := net.Dial("tcp", d.Addr().String())
	if err != nil {
		return // it was reset before the system call was back
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	_, _ = io.WriteString(c, text) // which may come too late
	d.closed(c)
}

// closed waits until the other side has closed c.
func (d *door) closed(c net.Conn) {
	d.t.Helper()
	var timeout interface{ Timeout() bool }
	if n, err := c.Read(make([]byte, 1)); err == nil || n != 0 || errors.As(err, &timeout) && timeout.Timeout() {
		d.t.Errorf("the connection is still there: %v", err)
	}
}

func (d *door) refusals() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.refused)
}

func TestProxyProtocolListener(t *testing.T) {
	d := newDoor(t, &Listener{Trusted: trusting(t, "127.0.0.0/8"), ProxyProtocol: true, HeaderTimeout: 300 * time.Millisecond})
	slow := d.dial("PROX") // does not hold up the others
	d.dial("PROXY TCP4 203.0.113.7 10.0.0.1 4711 443\r\nhello")
	c := d.next()
	got := make([]byte, 5)
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "hello" || c.RemoteAddr().String() != "203.0.113.7:4711" {
		t.Errorf("%q from %s, %v", got, c.RemoteAddr(), err)
	}
	if tcp, ok := c.(interface{ TCP() *net.TCPConn }); !ok || tcp.TCP() == nil {
		t.Error("the TCP connection below cannot be had")
	}
	d.dial("PROXY UNKNOWN\r\n")
	if c := d.next(); !strings.HasPrefix(c.RemoteAddr().String(), "127.0.0.1:") {
		t.Errorf("UNKNOWN: from %s", c.RemoteAddr())
	}
	d.turnedAway("GET / HTTP/1.1\r\nHost: x\r\n\r\n") // a trusted peer has to say whose it is
	d.closed(slow)
	if got := d.refusals(); len(got) != 2 || got[0] != "proxy protocol" {
		t.Errorf("refused %q", got)
	}
}

// TestProxyProtocolOfStrangers: whoever is not trusted is himself, and his header is no header.
func TestProxyProtocolOfStrangers(t *testing.T) {
	d := newDoor(t, &Listener{Trusted: trusting(t, "10.0.0.0/8"), ProxyProtocol: true})
	const text = "PROXY TCP4 203.0.113.7 10.0.0.1 4711 443\r\n"
	d.dial(text)
	c := d.next()
	got := make([]byte, len(text))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != text || !strings.HasPrefix(c.RemoteAddr().String(), "127.0.0.1:") {
		t.Errorf("%q from %s, %v", got, c.RemoteAddr(), err)
	}
	d.SetTrusted(trusting(t, "127.0.0.1"))
	d.dial(text)
	if c := d.next(); c.RemoteAddr().String() != "203.0.113.7:4711" {
		t.Errorf("newly trusted: from %s", c.RemoteAddr())
	}
}

func TestConnectionsPerAddress(t *testing.T) {
	for _, proxied := range []bool{false, true} {
		l, hello := &Listener{PerAddress: 2}, ""
		if proxied {
			l.Trusted, l.ProxyProtocol = trusting(t, "127.0.0.0/8"), true
			hello = "PROXY TCP4 203.0.113.7 10.0.0.1 4711 443\r\n"
		}
		d := newDoor(t, l)
		d.dial(hello)
		first := d.next()
		d.dial(hello)
		d.next()
		d.turnedAway(hello)
		if proxied { // another client of the same proxy
			d.dial("PROXY TCP4 203.0.113.8 10.0.0.1 4711 443\r\n")
			d.next()
		}
		first.Close()
		first.Close() // gives its place back once
		d.dial(hello)
		d.next()
		d.turnedAway(hello)
		if got := d.refusals(); !slices.Equal(got, []string{"connections of an address", "connections of an address"}) {
			t.Errorf("refused %q", got)
		}
	}
}

func TestConnectionRate(t *testing.T) {
	d := newDoor(t, &Listener{Rate: &Rate{PerSecond: minRate, Burst: 3}})
	for range 3 {
		d.dial("")
		d.next()
	}
	d.turnedAway("")
	trusted := newDoor(t, &Listener{Rate: &Rate{PerSecond: minRate, Burst: 1}, Trusted: trusting(t, "127.0.0.1")})
	for range 3 { // a proxy brings everybody's
		trusted.dial("")
		trusted.next()
	}
	if got := append(d.refusals(), trusted.refusals()...); !slices.Equal(got, []string{"connection rate of an address"}) {
		t.Errorf("refused %q", got)
	}
}

// TestArrivalsAreBounded: a flood from many addresses takes no more memory than that.
func TestArrivalsAreBounded(t *testing.T) {
	a := arrivals{buckets: map[netip.Addr]*bucket{}}
	for i := range 2*maxArrivals + 10 {
		a.take(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), Rate{PerSecond: minRate, Burst: 1}, 0)
		if len(a.buckets) > maxArrivals {
			t.Fatalf("%d addresses", len(a.buckets))
		}
	}
	if !a.take(netip.MustParseAddr("203.0.113.7"), Rate{PerSecond: 1}, int64(time.Hour)) {
		t.Error("a newcomer is refused")
	}
}
