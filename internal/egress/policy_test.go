package egress

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func policy(t testing.TB, allow, deny string) *Policy {
	t.Helper()
	p, err := New(Rules{Allow: strings.Fields(allow), Deny: strings.Fields(deny)})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestDecide: which of several rules decides. Targets are "host=address:port", or
// "address:port" for a literal one; "!" in front is a stranger's.
func TestDecide(t *testing.T) {
	for _, tt := range []struct{ why, allow, deny, target, want string }{
		{"without rules", "", "", "a.example=10.0.0.1:80", "allowed-by: configured"},
		{"without rules, loopback", "", "", "localhost=127.0.0.1:80", "allowed-by: configured"},
		{"a name that leads to link-local", "", "", "a.example=169.254.1.1:80", "denied-by: default link-local"},
		{"link-local written out", "", "", "169.254.1.1:80", "allowed-by: configured"},
		{"a stranger's public name", "", "", "!a.example=8.8.8.8:80", "allowed-by: default"},
		{"a stranger's private name", "", "", "!a.example=10.0.0.1:80", "denied-by: default private"},
		{"a stranger's address", "", "", "!10.0.0.1:80", "denied-by: default private"},

		{"an allow list denies the rest", "10.0.0.0/8", "", "11.0.0.1:80", "denied-by: allow list"},
		{"configured or not", "10.0.0.0/8", "", "a.example=127.0.0.1:80", "denied-by: allow list"},
		{"and strangers' public names", "10.0.0.0/8", "", "!a.example=8.8.8.8:80", "denied-by: allow list"},
		{"first inside", "10.0.0.0/8", "", "10.0.0.0:80", "allowed-by: 10.0.0.0/8"},
		{"last inside", "10.0.0.0/8", "", "10.255.255.255:80", "allowed-by: 10.0.0.0/8"},
		{"last before", "10.0.0.0/8", "", "9.255.255.255:80", "denied-by: allow list"},
		{"IPv6", "2001:db8::/32", "", "[2001:db8::1]:80", "allowed-by: 2001:db8::/32"},
		{"IPv4 is not in ::/0", "::/0", "", "10.0.0.1:80", "denied-by: allow list"},
		{"mapped is IPv4", "10.0.0.0/8", "", "[::ffff:10.0.0.1]:80", "allowed-by: 10.0.0.0/8"},
		{"NAT64 is IPv4 as well", "8.8.8.0/24", "", "a.example=[64:ff9b::808:808]:80", "allowed-by: 8.8.8.0/24"},
		{"6to4 is not", "8.8.8.0/24", "", "a.example=[2002:808:808::]:80", "denied-by: allow list"},
		{"with a zone", "fe80::/10", "", "[fe80::1%eth0]:80", "allowed-by: fe80::/10"},

		{"the longer prefix wins", "10.1.0.0/16", "10.0.0.0/8", "10.1.0.1:80", "allowed-by: 10.1.0.0/16"},
		{"its neighbour", "10.1.0.0/16", "10.0.0.0/8", "10.2.0.0:80", "denied-by: 10.0.0.0/8"},
		{"either way", "10.0.0.0/8", "10.1.0.0/16", "10.1.255.255:80", "denied-by: 10.1.0.0/16"},
		{"the longer prefix over the port", "10.0.0.0/8:443", "10.1.0.0/16", "10.1.0.1:443", "denied-by: 10.1.0.0/16"},
		{"the narrower ports break the tie", "10.0.0.0/8:443", "10.0.0.0/8", "10.0.0.1:443", "allowed-by: 10.0.0.0/8:443"},
		{"next port", "10.0.0.0/8:443", "10.0.0.0/8", "10.0.0.1:444", "denied-by: 10.0.0.0/8"},
		{"one port in a range", "10.0.0.0/8:1-1000", "10.0.0.0/8:443", "10.0.0.1:443", "denied-by: 10.0.0.0/8:443"},
		{"last in the range", "10.0.0.0/8:1-1000", "10.0.0.0/8:443", "10.0.0.1:1000", "allowed-by: 10.0.0.0/8:1-1000"},
		{"first behind it", "10.0.0.0/8:1-1000", "10.0.0.0/8:443", "10.0.0.1:1001", "denied-by: allow list"},
		{"deny wins a tie", "10.0.0.0/8", "10.0.0.0/8", "10.0.0.1:80", "denied-by: 10.0.0.0/8"},
		{"deny wins a tie of ranges", "10.0.0.0/8:80-81", "10.0.0.0/8:81-82", "10.0.0.1:81", "denied-by: 10.0.0.0/8:81-82"},
		{"the one address", "10.0.0.1", "10.0.0.0/8", "10.0.0.1:1", "allowed-by: 10.0.0.1/32"},

		{"a name", "a.example:443", "", "a.example=10.0.0.1:443", "allowed-by: a.example:443"},
		{"in another spelling", "a.example:443", "", "A.Example.=10.0.0.1:443", "allowed-by: a.example:443"},
		{"other port", "a.example:443", "", "a.example=10.0.0.1:80", "denied-by: allow list"},
		{"name of an address", "a.example:443", "", "10.0.0.1:443", "denied-by: allow list"},
		{"a wildcard", "*.example", "", "a.b.example=10.0.0.1:443", "allowed-by: *.example"},
		{"not the apex", "*.b.example", "", "b.example=10.0.0.1:443", "denied-by: allow list"},
		{"not a longer word", "*.b.example", "", "ab.example=10.0.0.1:443", "denied-by: allow list"},
		{"the longer wildcard wins", "*.b.example", "*.example", "a.b.example=10.0.0.1:443", "allowed-by: *.b.example"},
		{"either way, wildcard", "*.example", "*.b.example", "a.b.example=10.0.0.1:443", "denied-by: *.b.example"},
		{"the name before the wildcard", "a.example", "*.example:443", "a.example=10.0.0.1:443", "allowed-by: a.example"},
		{"the name denied", "*.example", "a.example", "a.example=10.0.0.1:443", "denied-by: a.example"},
		{"deny wins a tie of names", "a.example", "a.example", "a.example=10.0.0.1:443", "denied-by: a.example"},

		{"a denied address stays denied under an allowed name", "a.example", "10.0.0.0/8", "a.example=10.0.0.1:443", "denied-by: 10.0.0.0/8"},
		{"a denied name at an allowed address", "10.0.0.0/8", "a.example", "a.example=10.0.0.1:443", "denied-by: a.example"},
		{"an allowed name of a stranger's leads to a private address", "a.example", "", "!a.example=10.0.0.1:443", "allowed-by: a.example"},
		{"but a wildcard does not", "*.example", "", "!a.example=10.0.0.1:443", "denied-by: default private"},
		{"unless the network is allowed", "*.example 10.0.0.0/8", "", "!a.example=10.0.0.1:443", "allowed-by: *.example"},
		{"no name leads to metadata", "a.example", "", "a.example=169.254.169.254:80", "denied-by: default metadata"},

		{"everything is not metadata", "0.0.0.0/0", "", "a.example=169.254.169.254:80", "denied-by: default metadata"},
		{"a wide network does not open a narrower default", "169.254.0.0/16", "", "a.example=169.254.169.254:80", "denied-by: default metadata"},
		{"it opens its own", "169.254.0.0/16", "", "a.example=169.254.169.253:80", "allowed-by: 169.254.0.0/16"},
		{"the address itself does", "169.254.169.254", "", "!a.example=169.254.169.254:80", "allowed-by: 169.254.169.254/32"},
		{"everything is not private for strangers", "0.0.0.0/0", "", "!a.example=10.0.0.1:80", "denied-by: default private"},
		{"it is for the configuration", "0.0.0.0/0", "", "a.example=10.0.0.1:80", "allowed-by: 0.0.0.0/0"},
		{"as specific as the default wins", "10.0.0.0/8", "", "!a.example=10.0.0.1:80", "allowed-by: 10.0.0.0/8"},
		{"at its port", "10.0.0.0/8:443", "", "!a.example=10.0.0.1:80", "denied-by: default private"},

		{"only a deny list", "", "10.0.0.0/8", "a.example=11.0.0.1:80", "allowed-by: configured"},
		{"only a deny list, inside", "", "10.0.0.0/8", "10.0.0.1:80", "denied-by: 10.0.0.0/8"},
		{"denied within NAT64", "", "8.8.8.0/24", "a.example=[64:ff9b::808:808]:80", "denied-by: 8.8.8.0/24"},
		{"and its neighbour", "", "8.8.8.0/24", "a.example=[64:ff9b::808:900]:80", "allowed-by: configured"},
		{"denied within 6to4", "", "8.8.8.0/24", "a.example=[2002:808:808::]:80", "denied-by: 8.8.8.0/24"},

		{"octal", "0.0.0.0/0", "", "0177.0.0.1=127.0.0.1:80", "denied-by: host form"},
		{"hexadecimal", "", "", "0x7f.1=127.0.0.1:80", "denied-by: host form"},
	} {
		rest, stranger := strings.CutPrefix(tt.target, "!")
		host, at, isName := strings.Cut(rest, "=")
		if !isName {
			at = rest
		}
		ap := netip.MustParseAddrPort(at)
		if !isName {
			host = ap.Addr().String()
		}
		target := Target{Host: host, Addr: ap.Addr(), Port: ap.Port(), Source: Configured}
		if stranger {
			target.Source = Stranger
		}
		if got := policy(t, tt.allow, tt.deny).Decide(target).String(); got != tt.want {
			t.Errorf("%s: allow %q, deny %q, %s: %s; want %s", tt.why, tt.allow, tt.deny, tt.target, got, tt.want)
		}
	}
}

func TestNewTellsAllMistakes(t *testing.T) {
	_, err := New(Rules{Allow: []string{"10.0.0.1/8", "a"}, Deny: []string{"*"}})
	if err == nil || !strings.Contains(err.Error(), `allow: "10.0.0.1/8"`) || !strings.Contains(err.Error(), `deny: "*"`) {
		t.Error(err)
	}
}

func TestNever(t *testing.T) {
	for _, tt := range []struct {
		allow, deny, host string
		port              uint16
		want              string // "" is: perhaps
	}{
		{"", "", "10.0.0.1", 80, ""},
		{"", "", "169.254.169.254", 80, ""}, // configured literally
		{"", "", "0x7f.1", 80, "denied-by: host form"},
		{"10.0.0.0/8:443", "", "10.0.0.1", 443, ""},
		{"10.0.0.0/8:443", "", "10.0.0.1", 80, "denied-by: allow list"},
		{"10.0.0.0/8:443", "", "a.example", 443, ""},
		{"10.0.0.0/8:443", "", "a.example", 444, "denied-by: allow list"},
		{"b.example", "", "a.example", 443, "denied-by: allow list"},
		{"a.example", "", "a.example", 443, ""},
		{"*.example", "a.example", "a.example", 443, "denied-by: a.example"},
		{"", "a.example:443", "a.example", 443, "denied-by: a.example:443"},
		{"", "a.example:443", "a.example", 80, ""},
		{"", "10.0.0.0/8", "10.0.0.1", 80, "denied-by: 10.0.0.0/8"},
	} {
		v, never := policy(t, tt.allow, tt.deny).Never(tt.host, tt.port)
		if got := v.String(); never != (tt.want != "") || never && got != tt.want {
			t.Errorf("allow %q, deny %q, %s:%d: %v %s; want %q", tt.allow, tt.deny, tt.host, tt.port, never, got, tt.want)
		}
	}
}

// The generators stay in a small world, so that rules meet.
var (
	someAddr = rapid.Custom(func(t *rapid.T) netip.Addr {
		v4 := netip.AddrFrom4([4]byte{rapid.SampledFrom([]byte{10, 127, 169, 8}).Draw(t, "a"), rapid.SampledFrom([]byte{0, 254}).Draw(t, "b"), rapid.SampledFrom([]byte{0, 169}).Draw(t, "c"), rapid.SampledFrom([]byte{0, 1, 254}).Draw(t, "d")})
		b := v4.As4()
		switch rapid.IntRange(0, 5).Draw(t, "form") {
		case 0:
			return netip.AddrFrom16([16]byte{0: 0, 1: 0x64, 2: 0xff, 3: 0x9b, 12: b[0], 13: b[1], 14: b[2], 15: b[3]})
		case 1:
			return netip.AddrFrom16([16]byte{0: 0x20, 1: 0x02, 2: b[0], 3: b[1], 4: b[2], 5: b[3]})
		case 2:
			return netip.AddrFrom16([16]byte{0: rapid.SampledFrom([]byte{0x20, 0xfd, 0xfe, 0}).Draw(t, "v6"), 15: b[3]})
		case 3:
			return netip.AddrFrom16(v4.As16())
		}
		return v4
	})
	someName = rapid.SampledFrom([]string{"a.example", "b.example", "a.b.example", "example", "c.test"})
	somePort = rapid.SampledFrom([]uint16{80, 81, 443})
	someRule = rapid.Custom(func(t *rapid.T) string {
		var host string
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 0:
			host = someName.Draw(t, "name")
		case 1:
			host = "*." + someName.Draw(t, "below")
		default:
			a := someAddr.Draw(t, "addr").Unmap()
			p, _ := a.Prefix(rapid.SampledFrom([]int{0, 4, 8, 16, 24, 31, 32, 48, 96, 128}).Filter(func(n int) bool { return n <= a.BitLen() }).Draw(t, "bits"))
			if p.Addr().Is6() {
				host = "[" + p.String() + "]"
			} else {
				host = p.String()
			}
		}
		return host + rapid.SampledFrom([]string{"", "", ":80", ":80-81", ":81-82", ":443"}).Draw(t, "ports")
	})
	someRules  = rapid.SliceOfN(someRule, 0, 6)
	someTarget = rapid.Custom(func(t *rapid.T) Target {
		target := Target{Host: someName.Draw(t, "host"), Addr: someAddr.Draw(t, "to"), Port: somePort.Draw(t, "port"), Source: rapid.SampledFrom([]Source{Stranger, Configured}).Draw(t, "source")}
		if rapid.Bool().Draw(t, "literal") {
			target.Host = target.Addr.String()
		}
		return target
	})
)

// TestDenyNeverAdmits: one more rule in deny never lets through what was denied.
func TestDenyNeverAdmits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Rules{Allow: someRules.Draw(t, "allow"), Deny: someRules.Draw(t, "deny")}
		more := Rules{Allow: r.Allow, Deny: slices.Concat(r.Deny, []string{someRule.Draw(t, "more")})}
		before, err := New(r)
		if err != nil {
			t.Fatal(err)
		}
		after, err := New(more)
		if err != nil {
			t.Fatal(err)
		}
		for range 10 {
			target := someTarget.Draw(t, "target")
			if b, a := before.Decide(target), after.Decide(target); a.Allowed && !b.Allowed {
				t.Fatalf("%+v: %s, and with %s denied as well: %s", target, b, more.Deny[len(r.Deny)], a)
			}
		}
	})
}

// TestTables: the tables find what a scan over all rules finds.
func TestTables(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Rules{Allow: someRules.Draw(t, "allow"), Deny: someRules.Draw(t, "deny")}
		p, err := New(r)
		if err != nil {
			t.Fatal(err)
		}
		target := someTarget.Draw(t, "target")
		a := target.Addr.Unmap()
		scan := func(specificity func(Rule) int) string {
			best, winner, deny := -1, "", false
			for i, text := range slices.Concat(r.Allow, r.Deny) {
				rule, _ := ParseRule(text)
				n := specificity(rule)
				if n < 0 || !rule.hasPort(target.Port) {
					continue
				}
				n = n*100000 + 65536 - rule.width()
				denies := i >= len(r.Allow)
				if n > best || n == best && denies && !deny {
					best, winner, deny = n, rule.String(), denies
				}
			}
			return fmt.Sprint(winner, deny)
		}
		found := func(e *entry) string {
			if e == nil {
				return fmt.Sprint("", false)
			}
			return fmt.Sprint(e.String(), e.deny)
		}
		byAddr := scan(func(r Rule) int {
			if !r.prefix.IsValid() || !r.prefix.Contains(a) {
				return -1
			}
			return r.prefix.Bits()
		})
		if got := found(p.ofAddr(a, target.Port)); sameRule(got) != sameRule(byAddr) {
			t.Fatalf("%v: the table has %s, the scan %s", a, got, byAddr)
		}
		byName := scan(func(r Rule) int {
			switch {
			case r.prefix.IsValid():
				return -1
			case r.wild && strings.HasSuffix(target.Host, "."+r.name):
				return len(r.name)
			case !r.wild && r.name == target.Host:
				return 1000
			}
			return -1
		})
		if !strings.ContainsAny(target.Host, ":") && strings.HasSuffix(target.Host, "e") {
			if got := found(p.ofName(target.Host, target.Port)); sameRule(got) != sameRule(byName) {
				t.Fatalf("%s: the table has %s, the scan %s", target.Host, got, byName)
			}
		}
	})
}

// sameRule forgets which of two ranges of the same width it is: either may be named.
func sameRule(s string) string {
	return strings.NewReplacer(":80-81", ":range", ":81-82", ":range").Replace(s)
}

// BenchmarkDecide is one verdict among 1,000 rules.
func BenchmarkDecide(b *testing.B) {
	var r Rules
	for i := range 500 {
		r.Allow = append(r.Allow, fmt.Sprintf("10.%d.%d.0/%d:443", i/256, i%256, 24+i%8), fmt.Sprintf("*.n%d.example", i))
	}
	p, err := New(r)
	if err != nil {
		b.Fatal(err)
	}
	t := Target{Host: "a.n77.example", Addr: netip.MustParseAddr("10.1.77.1"), Port: 443}
	b.ReportAllocs()
	for b.Loop() {
		p.Decide(t)
	}
}
