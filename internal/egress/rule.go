package egress

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Rule is a set of places that can be dialled: addresses or names, at some ports or all of them.
type Rule struct {
	prefix netip.Prefix // not valid: a rule of names
	name   string       // in lower case; of a wildcard what stands behind "*."
	wild   bool         // every name below name, but not name itself
	low    uint16       // ports, both included; 0: every port
	high   uint16
}

// ParseRule reads an address, a network or a name, with a port or a range of ports or without:
// "172.16.0.10:443", "10.0.0.0/8", "[2001:db8::/32]:8000-8999", "api.example.com:443",
// "*.example.com". A wildcard takes the names below it at any depth, not the name itself.
func ParseRule(s string) (Rule, error) {
	if host, port, ok := HostOf(s); ok {
		return Rule{}, fmt.Errorf("%q is a URL; write %s", s, net.JoinHostPort(host, strconv.Itoa(int(port))))
	}
	host, ports, hasPorts, err := splitRule(s)
	if err != nil {
		return Rule{}, err
	}
	var r Rule
	if hasPorts {
		if r.low, r.high, err = parsePorts(ports); err != nil {
			return Rule{}, fmt.Errorf("%q: %w", s, err)
		}
	}
	if strings.ContainsAny(host, "/:") {
		r.prefix, err = parsePrefix(host)
	} else if addr, bad := netip.ParseAddr(host); bad == nil {
		r.prefix = netip.PrefixFrom(addr, addr.BitLen())
	} else {
		r.name, r.wild, err = parseName(host)
	}
	if err != nil {
		return Rule{}, fmt.Errorf("%q %w", s, err)
	}
	return r, nil
}

// splitRule parts the ports from what stands before them.
func splitRule(s string) (host, ports string, hasPorts bool, err error) {
	if rest, ok := strings.CutPrefix(s, "["); ok {
		host, rest, ok = strings.Cut(rest, "]")
		if !ok {
			return "", "", false, fmt.Errorf("%q has a [ without its ]", s)
		}
		if !strings.Contains(host, ":") {
			return "", "", false, fmt.Errorf("%q has brackets around what is no IPv6 address", s)
		}
		if bits, _, _ := strings.Cut(rest, ":"); strings.HasPrefix(bits, "/") { // [2001:db8::]/32:443
			host, rest = host+bits, rest[len(bits):]
		}
		if rest == "" {
			return host, "", false, nil
		}
		if ports, ok = strings.CutPrefix(rest, ":"); !ok {
			return "", "", false, fmt.Errorf("%q has something else than a port behind the ]", s)
		}
		return host, ports, true, nil
	}
	if strings.Count(s, ":") == 1 {
		host, ports, _ = strings.Cut(s, ":")
		return host, ports, true, nil
	}
	return s, "", false, nil // a name, IPv4, or IPv6 without a port
}

func parsePorts(s string) (low, high uint16, err error) {
	first, last, isRange := strings.Cut(s, "-")
	if !isRange {
		last = first
	}
	for _, p := range []struct {
		text string
		to   *uint16
	}{{first, &low}, {last, &high}} {
		n, err := strconv.ParseUint(p.text, 10, 16)
		if err != nil || n == 0 || p.text[0] == '+' {
			return 0, 0, fmt.Errorf("%q is not a port from 1 to 65535 or a range such as 8000-8999", s)
		}
		*p.to = uint16(n)
	}
	if low > high {
		return 0, 0, fmt.Errorf("the range of ports %q ends before it begins", s)
	}
	return low, high, nil
}

func parsePrefix(s string) (netip.Prefix, error) {
	addr, err := netip.ParseAddr(s)
	prefix := netip.Prefix{}
	if err == nil && addr.Zone() == "" {
		prefix = netip.PrefixFrom(addr, addr.BitLen())
	} else if prefix, err = netip.ParsePrefix(s); err != nil {
		return prefix, errors.New("is neither a network nor an address with a port; write 10.0.0.0/8, 10.0.0.1:443 or [2001:db8::/32]:443")
	}
	if prefix.Addr().Is4In6() {
		return prefix, errors.New("is an IPv4 network in IPv6 form; write it as IPv4, which takes both")
	}
	if clean := prefix.Masked(); clean != prefix {
		return prefix, fmt.Errorf("has bits behind its prefix; write %s, or %s for the one address", clean, prefix.Addr())
	}
	return prefix, nil
}

func parseName(s string) (name string, wild bool, err error) {
	name, wild = strings.CutPrefix(s, "*.")
	switch {
	case s == "*" || s == "":
		return "", false, errors.New("names nothing; for everything write 0.0.0.0/0 and ::/0")
	case strings.Contains(name, "*"):
		return "", false, errors.New("has a * elsewhere than as its first label; write *.example.com")
	}
	host, err := parseHost(name)
	switch {
	case err != nil:
		return "", false, err
	case host.addr.IsValid():
		return "", false, errors.New("is a wildcard of an address; write a network such as 10.0.0.0/8")
	}
	return host.name, wild, nil
}

// String is the rule as ParseRule reads it, addresses always with their prefix length.
func (r Rule) String() string {
	host := r.name
	switch {
	case r.prefix.IsValid():
		host = r.prefix.String()
		if r.low > 0 && r.prefix.Addr().Is6() {
			host = "[" + host + "]"
		}
	case r.wild:
		host = "*." + host
	}
	switch {
	case r.low == 0:
		return host
	case r.low == r.high:
		return host + ":" + strconv.Itoa(int(r.low))
	}
	return host + ":" + strconv.Itoa(int(r.low)) + "-" + strconv.Itoa(int(r.high))
}

func (r Rule) hasPort(port uint16) bool { return r.low == 0 || r.low <= port && port <= r.high }

// width is how many ports the rule takes.
func (r Rule) width() int {
	if r.low == 0 {
		return 1 << 16
	}
	return int(r.high) - int(r.low) + 1
}
