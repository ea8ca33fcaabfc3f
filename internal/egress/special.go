package egress

import (
	"net/netip"
	"sync"
)

// reach says for whom a special address is denied by default.
type reach uint8

const (
	open      reach = iota // nobody: it stands out of a wider range
	strangers              // names that a stranger gave
	names                  // also names that the configuration gave, because no service has its address there
)

// special is a range with a meaning of its own.
type special struct {
	prefix netip.Prefix
	rule   string
	reach  reach
}

// specials are the registries of special-purpose addresses (RFC 6890; IANA's tables for IPv4 and
// IPv6 as of 2025) and the addresses at which clouds hand out credentials. IPv6 outside 2000::/3
// has not been allocated.
var specials = sync.OnceValue(func() map[netip.Prefix]special {
	out := map[netip.Prefix]special{}
	add := func(rule string, to reach, prefixes ...string) {
		for _, text := range prefixes {
			p := netip.MustParsePrefix(text)
			out[p] = special{p, "default " + rule, to}
		}
	}
	add("unspecified", strangers, "0.0.0.0/8", "::/128")
	add("loopback", strangers, "127.0.0.0/8", "::1/128")
	add("private", strangers, "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7", "fec0::/10")
	add("link-local", names, "169.254.0.0/16", "fe80::/10")
	add("metadata", names,
		"169.254.169.254/32", "fd00:ec2::254/128", // EC2; the first also Google, Azure and others
		"169.254.170.2/32", "169.254.170.23/32", "fd00:ec2::23/128", // ECS, EKS
		"fd20:ce::254/128",   // Google
		"168.63.129.16/32",   // Azure
		"192.0.0.192/32",     // Oracle
		"100.100.100.200/32") // Alibaba
	add("multicast", strangers, "224.0.0.0/4", "ff00::/8")
	add("documentation", strangers, "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20")
	add("special-purpose", strangers, "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "100::/64", "100:0:0:1::/64", "2001::/23", "5f00::/16")
	add("reserved", strangers, "240.0.0.0/4", "::/3", "4000::/2", "8000::/1")
	add("transition", strangers, "::/96", "::ffff:0:0:0/96", "64:ff9b:1::/48", "2001::/32", "2002::/16")
	add("", open, "64:ff9b::/96") // NAT64: the address within it decides
	return out
})

// nat64 is the well-known prefix (RFC 6052): what is dialled is the IPv4 address within.
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

var (
	nat64Local   = netip.MustParsePrefix("64:ff9b:1::/48") // RFC 8215; where the IPv4 address stands is the network's own choice
	sixToFour    = netip.MustParsePrefix("2002::/16")      // RFC 3056
	teredo       = netip.MustParsePrefix("2001::/32")      // RFC 4380
	v4Compatible = netip.MustParsePrefix("::/96")          // RFC 4291 §2.5.5.1, deprecated
	v4Translated = netip.MustParsePrefix("::ffff:0:0:0/96")
)

// within gives the IPv4 addresses that an IPv6 address may stand for.
func within(a netip.Addr) []netip.Addr {
	if !a.Is6() {
		return nil
	}
	list := byPrefix(a)
	b := a.As16()
	if b[8]&^2 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe { // ISATAP (RFC 5214 §6.1), below any prefix
		list = append(list, netip.AddrFrom4([4]byte(b[12:])))
	}
	return list
}

// byPrefix gives those of them that a prefix tells of.
func byPrefix(a netip.Addr) []netip.Addr {
	b := a.As16()
	v4 := func(i, j, k, l int) netip.Addr { return netip.AddrFrom4([4]byte{b[i], b[j], b[k], b[l]}) }
	switch {
	case nat64.Contains(a), v4Translated.Contains(a):
		return []netip.Addr{v4(12, 13, 14, 15)}
	case v4Compatible.Contains(a) && !a.IsUnspecified() && !a.IsLoopback():
		return []netip.Addr{v4(12, 13, 14, 15)}
	case sixToFour.Contains(a):
		return []netip.Addr{v4(2, 3, 4, 5)}
	case teredo.Contains(a): // the server, and the client with its bits turned over
		client := netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]})
		return []netip.Addr{v4(4, 5, 6, 7), client}
	case nat64Local.Contains(a): // RFC 6052 §2.2: prefixes of 48, 56, 64 and 96 bits; byte 8 is left out
		var out []netip.Addr
		for _, one := range []netip.Addr{v4(6, 7, 9, 10), v4(7, 9, 10, 11), v4(9, 10, 11, 12), v4(12, 13, 14, 15)} {
			if one.As4()[0] != 0 { // most of them are not where the address stands
				out = append(out, one)
			}
		}
		return out
	}
	return nil
}
