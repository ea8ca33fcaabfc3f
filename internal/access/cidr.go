package access

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Set is a set of addresses, compiled to sorted ranges that neither overlap nor touch: asking
// costs a binary search, whatever networks it was made of. The zero Set is empty.
type Set struct {
	v4, v6 []span
}

// span is a range of addresses, both ends in it.
type span struct{ first, last netip.Addr }

// NewSet makes a Set of networks. Bits behind a prefix are ignored, IPv4-mapped networks
// (::ffff:10.0.0.0/104) are those of IPv4, and 0.0.0.0/0 holds no IPv6 address.
func NewSet(prefixes ...netip.Prefix) *Set {
	s := new(Set)
	for _, p := range prefixes {
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		p = p.Masked()
		one := span{p.Addr(), lastOf(p)}
		if p.Addr().Is4() {
			s.v4 = append(s.v4, one)
		} else {
			s.v6 = append(s.v6, one)
		}
	}
	s.v4, s.v6 = merge(s.v4), merge(s.v6)
	return s
}

// ParsePrefix reads a network, or an address as the network of itself alone.
func ParsePrefix(text string) (netip.Prefix, error) {
	if strings.Contains(text, "/") {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return netip.Prefix{}, fmt.Errorf("%q is not a network; write 10.0.0.0/8 or 2001:db8::/32", text)
		}
		return p, nil
	}
	addr, err := netip.ParseAddr(text)
	if err != nil || addr.Zone() != "" {
		return netip.Prefix{}, fmt.Errorf("%q is neither an address nor a network; write 203.0.113.7 or 10.0.0.0/8", text)
	}
	return netip.PrefixFrom(addr, addr.BitLen()), nil
}

// ParseSet reads networks and addresses.
func ParseSet(texts ...string) (*Set, error) {
	prefixes := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		var err error
		if prefixes[i], err = ParsePrefix(text); err != nil {
			return nil, err
		}
	}
	return NewSet(prefixes...), nil
}

// lastOf is the highest address of a masked network.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := range b {
		if kept := p.Bits() - 8*i; kept < 8 {
			b[i] |= 0xff >> max(kept, 0)
		}
	}
	last, _ := netip.AddrFromSlice(b) // it has the length of an address
	return last
}

func merge(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int { return cmp.Or(a.first.Compare(b.first), a.last.Compare(b.last)) })
	out := spans[:0]
	for _, s := range spans {
		if n := len(out) - 1; n >= 0 {
			if next := out[n].last.Next(); !next.IsValid() || s.first.Compare(next) <= 0 {
				if out[n].last.Less(s.last) {
					out[n].last = s.last
				}
				continue
			}
		}
		out = append(out, s)
	}
	return slices.Clip(out)
}

// Contains reports whether an address is in the set. IPv4 in IPv6 counts as IPv4; an invalid
// address is in none.
func (s *Set) Contains(addr netip.Addr) bool {
	if s == nil || !addr.IsValid() {
		return false
	}
	addr = addr.WithZone("").Unmap()
	spans := s.v6
	if addr.Is4() {
		spans = s.v4
	}
	low, high := 0, len(spans)
	for low < high {
		mid := (low + high) / 2
		if spans[mid].last.Less(addr) {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low < len(spans) && !addr.Less(spans[low].first)
}

// Empty reports whether no address is in the set.
func (s *Set) Empty() bool { return s == nil || len(s.v4)+len(s.v6) == 0 }
