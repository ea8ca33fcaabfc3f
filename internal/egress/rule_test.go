package egress

import (
	"net/netip"
	"strings"
	"testing"
)

func TestParseRule(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"172.16.0.10/32:443", "172.16.0.10/32:443"},
		{"172.16.0.10:443", "172.16.0.10/32:443"},
		{"172.16.0.10", "172.16.0.10/32"},
		{"10.0.0.0/8", "10.0.0.0/8"},
		{"10.0.0.0/8:8000-8999", "10.0.0.0/8:8000-8999"},
		{"10.0.0.0/8:443-443", "10.0.0.0/8:443"},
		{"0.0.0.0/0:1-65535", "0.0.0.0/0:1-65535"},
		{"2001:db8::1", "2001:db8::1/128"},
		{"2001:db8::/32", "2001:db8::/32"},
		{"[2001:db8::/32]", "2001:db8::/32"},
		{"[2001:db8::/32]:443", "[2001:db8::/32]:443"},
		{"[2001:db8::]/32:443", "[2001:db8::/32]:443"},
		{"[2001:db8::1]:443", "[2001:db8::1/128]:443"},
		{"[::]/0", "::/0"},
		{"api.example.com:443", "api.example.com:443"},
		{"API.Example.COM.", "api.example.com"},
		{"*.example.com", "*.example.com"},
		{"*.Example.com.:80-81", "*.example.com:80-81"},
		{"localhost", "localhost"},
		{"_x.a-b.c", "_x.a-b.c"},
	} {
		r, err := ParseRule(tt.text)
		if err != nil || r.String() != tt.want {
			t.Errorf("%s: %s, %v; want %s", tt.text, r, err, tt.want)
		}
	}
}

func TestParseRuleMistakes(t *testing.T) {
	for _, tt := range []struct{ text, says string }{
		{"", "0.0.0.0/0 and ::/0"},
		{"*", "0.0.0.0/0 and ::/0"},
		{"*.", "not a host name"},
		{"*:443", "0.0.0.0/0 and ::/0"},
		{":443", "names nothing"},
		{"*example.com", "write *.example.com"},
		{"a.*.com", "write *.example.com"},
		{"*.*.com", "write *.example.com"},
		{"*.10.0.0.1", "write a network"},
		{"10.0.0.1/8", "write 10.0.0.0/8, or 10.0.0.1 for the one address"},
		{"10.0.0.0/33", "neither a network"},
		{"10.0.0.0/8/8", "neither a network"},
		{"10.0.0/24", "neither a network"},
		{"10.0.0.0/8:0", "not a port"},
		{"10.0.0.0/8:65536", "not a port"},
		{"10.0.0.0/8:", "not a port"},
		{"10.0.0.0/8:+1", "not a port"},
		{"10.0.0.0/8:https", "not a port"},
		{"10.0.0.0/8:9-8", "ends before it begins"},
		{"10.0.0.0/8:1-2-3", "not a port"},
		{"[10.0.0.0/8]:443", "brackets"},
		{"[2001:db8::1", "without its ]"},
		{"[2001:db8::1]443", "something else than a port"},
		{"[2001:db8::/32]/32", "neither a network"},
		{"::ffff:10.0.0.0/104", "write it as IPv4"},
		{"::ffff:10.0.0.1", "write it as IPv4"},
		{"fe80::1%eth0", "neither a network"},
		{"0x7f.1", "another form"},
		{"127.1:80", "another form"},
		{"*.1", "another form"},
		{"https://api.example.com/x", "write api.example.com:443"},
		{"a b", "not a host name"},
		{"a,b", "not a host name"},
		{"bücher.example", "Punycode"},
		{"a..b", "not a host name"},
		{strings.Repeat("a.", 128), "not a host name"},
	} {
		r, err := ParseRule(tt.text)
		if err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%q: %s, %v; want %q", tt.text, r, err, tt.says)
		}
	}
}

// FuzzParseRule: what is read is written so that it is read the same again.
func FuzzParseRule(f *testing.F) {
	for _, s := range []string{"10.0.0.0/8:1-2", "[2001:db8::]/32:443", "*.example.com:80", "a", "[", "::/0", "[::]:1", "0x7f.1", "1.2.3.4:5"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRule(s)
		if err != nil {
			return
		}
		again, err := ParseRule(r.String())
		if err != nil || again != r {
			t.Errorf("%q is %s, which is read as %s (%v)", s, r, again, err)
		}
		if r.prefix.IsValid() == (r.name != "") || r.prefix.IsValid() && r.prefix != r.prefix.Masked() {
			t.Errorf("%q is neither an address nor a name: %+v", s, r)
		}
	})
}

func TestHostForms(t *testing.T) {
	addr := netip.MustParseAddr
	for _, tt := range []struct {
		text string
		want host
		bad  error
	}{
		{"127.0.0.1", host{addr: addr("127.0.0.1")}, nil},
		{"::1", host{addr: addr("::1")}, nil},
		{"::ffff:127.0.0.1", host{addr: addr("127.0.0.1")}, nil},
		{"::ffff:7f00:1", host{addr: addr("127.0.0.1")}, nil},
		{"fe80::1%eth0", host{addr: addr("fe80::1%eth0")}, nil},
		{"API.Example.com.", host{name: "api.example.com"}, nil},
		{"a1.example", host{name: "a1.example"}, nil},
		{"1.example", host{name: "1.example"}, nil},
		{"127.0.0.1.example", host{name: "127.0.0.1.example"}, nil},
		{"0xyz", host{name: "0xyz"}, nil},
		{"x0", host{name: "x0"}, nil},
		// All of these are 127.0.0.1 to getaddrinfo, or to some URL parser.
		{"127.1", host{}, errNumeric},
		{"127.0.1", host{}, errNumeric},
		{"2130706433", host{}, errNumeric},
		{"017700000001", host{}, errNumeric},
		{"0x7f000001", host{}, errNumeric},
		{"0x7f.1", host{}, errNumeric},
		{"0x7f.0x0.0x0.0x1", host{}, errNumeric},
		{"0X7F.1", host{}, errNumeric},
		{"0177.0.0.1", host{}, errNumeric},
		{"127.0.0.01", host{}, errNumeric},
		{"127.0.0.1.", host{}, errNumeric},
		{"127.0.0.0x1", host{}, errNumeric},
		{"127.0.0.0x", host{}, errNumeric},
		{"1.2.3.4.5", host{}, errNumeric},
		{"256.0.0.1", host{}, errNumeric},
		{"example.1", host{}, errNumeric},
		{"", host{}, errNoName},
		{".", host{}, errNoName},
		{"a..b", host{}, errNoName},
		{".a", host{}, errNoName},
		{"a b", host{}, errNoName},
		{"127.0.0.1 ", host{}, errNoName},
		{"１２７.0.0.1", host{}, errNoName}, // full-width digits
		{"127。0。0。1", host{}, errNoName}, // ideographic full stops
		{"a%00.b", host{}, errNoName},
		{"a\x00b", host{}, errNoName},
		{"[::1]", host{}, errNoName},
		{"a:80", host{}, errNoName},
		{strings.Repeat("a", 63), host{name: strings.Repeat("a", 63)}, nil},
		{strings.Repeat("a", 64), host{}, errNoName},
		{strings.Repeat("ab.", 84) + "c", host{name: strings.Repeat("ab.", 84) + "c"}, nil}, // 253
		{strings.Repeat("ab.", 84) + "cd", host{}, errNoName},
	} {
		got, err := parseHost(tt.text)
		if got != tt.want || err != tt.bad {
			t.Errorf("%q: %+v, %v; want %+v, %v", tt.text, got, err, tt.want, tt.bad)
		}
	}
}

// FuzzHost: whatever the C library would read as an IPv4 address is that address here, or refused.
func FuzzHost(f *testing.F) {
	for _, s := range []string{"0x7f.1", "017700000001", "127.0.0.1", "127.1.", "a.b", "::1", "0x", "09", "1.2.3.0377", "4294967295"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		h, err := parseHost(s)
		if want, ok := inetAton(s); ok && err == nil && h.addr != want {
			t.Errorf("%q is %v to inet_aton, and %+v here", s, want, h)
		}
		if err != nil {
			return
		}
		if h.addr.IsValid() == (h.name != "") || h.addr.Is4In6() {
			t.Errorf("%q: %+v", s, h)
		}
		if h.name != "" {
			if again, err := parseHost(h.name); err != nil || again != h {
				t.Errorf("%q: %+v, then %+v, %v", s, h, again, err)
			}
		}
	})
}

// inetAton reads what inet_aton(3) reads: one to four numbers, decimal, octal or hexadecimal, the
// last of which fills what is left.
func inetAton(s string) (netip.Addr, bool) {
	parts := strings.Split(s, ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var sum uint64
	for i, part := range parts {
		n, ok := cNumber(strings.ToLower(part))
		most := uint64(255)
		if i == len(parts)-1 {
			most = 1<<(8*(5-len(parts))) - 1
		}
		if !ok || n > most {
			return netip.Addr{}, false
		}
		if i < len(parts)-1 {
			sum |= n << (24 - 8*i)
		} else {
			sum |= n
		}
	}
	return netip.AddrFrom4([4]byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)}), true
}

func cNumber(s string) (n uint64, ok bool) {
	base, digits := uint64(10), s
	if rest, hex := strings.CutPrefix(s, "0x"); hex {
		base, digits = 16, rest
	} else if len(s) > 1 && s[0] == '0' {
		base, digits = 8, s[1:]
	}
	for _, c := range digits {
		d := strings.IndexRune("0123456789abcdef"[:base], c)
		if d < 0 || n > 1<<40 {
			return 0, false
		}
		n = n*base + uint64(d)
	}
	return n, digits != ""
}
