package egress

import (
	"errors"
	"net/netip"
	"strings"
)

// host is what stands before the port: an address or a name.
type host struct {
	addr netip.Addr // not valid: a name; never IPv4-mapped; may have a zone
	name string     // in lower case, without a dot at its end
}

var (
	errNumeric = errors.New("is an IPv4 address in another form than 192.0.2.1, which resolvers read in different ways")
	errNoName  = errors.New("is not a host name; want letters, digits, '-', '_' and '.' (other scripts in Punycode)")
)

// parseHost reads an address (IPv6 without brackets) or a name. What looks like an IPv4 address
// to some and like a name to others is refused: getaddrinfo takes 0x7f.1, 017700000001 and
// 2130706433 for 127.0.0.1. A host is such an address if its last label is a number (the URL
// standard's "ends in a number").
func parseHost(s string) (host, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		return host{addr: addr.Unmap()}, nil
	}
	name := strings.ToLower(strings.TrimSuffix(s, "."))
	if name == "" || len(name) > 253 {
		return host{}, errNoName
	}
	last := ""
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 {
			return host{}, errNoName
		}
		for i := range len(label) {
			if c := label[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return host{}, errNoName
			}
		}
		last = label
	}
	if isNumber(last) {
		return host{}, errNumeric
	}
	return host{name: name}, nil
}

// isNumber reports whether a label in lower case is one, in decimal, octal or hexadecimal.
func isNumber(label string) bool {
	digits := "0123456789"
	if rest, ok := strings.CutPrefix(label, "0x"); ok {
		label, digits = rest, "0123456789abcdef" // "0x" alone is zero to some
	}
	return strings.Trim(label, digits) == ""
}
