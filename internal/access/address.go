package access

import (
	"net/http"
	"net/netip"
	"strings"
)

// ClientAddress is the decider of phase Address: it finds out who is calling. The answer is the
// peer's address, or, when the peer is a trusted proxy, the rightmost one of the proxies' header
// that is not trusted. Whatever stands to the left of that, anybody may have written. What cannot
// be read as an address ends the walk, because only a forger or a blind proxy wrote it: the
// address to its right is the answer.
//
// The zero value trusts nobody. It refuses nothing.
type ClientAddress struct {
	Trusted *Set // proxies in front

	// Forwarded reads the Forwarded header (RFC 7239) in place of X-Forwarded-For. Only one of
	// them is asked: a proxy that keeps the one passes on whatever the client wrote into the other.
	Forwarded bool
}

func (*ClientAddress) Phase() Phase { return Address }
func (*ClientAddress) Name() string { return "address" }

// Decide is Decider.
func (c *ClientAddress) Decide(r *Request) *Refusal {
	in := r.HTTP
	peer := parsePeer(in.RemoteAddr)
	r.Secure = in.TLS != nil
	r.Client = peer
	if c.Trusted.Contains(peer) {
		client, hops, proto := c.behind(peer, in.Header)
		r.Client = client
		if !c.Forwarded {
			proto = protoAt(in.Header["X-Forwarded-Proto"], hops)
		}
		if proto != "" {
			r.Secure = strings.EqualFold(proto, "https")
		}
	}
	r.Call.ClientIP = text(r.Client, peer, in.RemoteAddr)
	if r.Dry {
		switch {
		case !r.Client.IsValid():
			r.Because("the client's address is not known")
		case !c.Trusted.Contains(peer):
			r.Because("the client is %s, the peer itself", r.Client)
		case r.Client == peer:
			r.Because("the client is %s: the peer is a trusted proxy, but its header names nobody that counts", r.Client)
		default:
			r.Because("the client is %s, by the word of the trusted proxy %s", r.Client, peer)
		}
	}
	return nil
}

// behind walks from a trusted peer to the client, and tells how many elements it went over and what Forwarded says of the
// client's connection.
func (c *ClientAddress) behind(peer netip.Addr, h http.Header) (client netip.Addr, hops int, proto string) {
	name := "X-Forwarded-For"
	if c.Forwarded {
		name = "Forwarded"
	}
	client = peer
	for lines := h[name]; len(lines) > 0; lines = lines[:len(lines)-1] {
		rest, more := lines[len(lines)-1], true
		for more {
			var element string
			rest, element, more = cutLast(rest, c.Forwarded)
			told := ""
			if c.Forwarded {
				element, told = forwardedPair(element, "for"), forwardedPair(element, "proto")
			}
			addr := parseElement(element)
			if !addr.IsValid() {
				return client, hops, proto
			}
			client, proto, hops = addr, told, hops+1
			if !c.Trusted.Contains(client) {
				return client, hops, proto
			}
		}
	}
	return client, hops, proto
}

// protoAt gives the element of X-Forwarded-Proto that belongs to the last of so many of X-Forwarded-For, counted from the
// right: further left anybody may have written. A proxy that sets it anew leaves fewer.
func protoAt(lines []string, hops int) (proto string) {
	for ; len(lines) > 0; lines = lines[:len(lines)-1] {
		rest, more := lines[len(lines)-1], true
		for more {
			rest, proto, more = cutLast(rest, false)
			if proto = strings.Trim(proto, " \t"); hops <= 1 {
				return proto
			}
			hops--
		}
	}
	return proto
}

// cutLast parts a list at its last comma; with quotes, one inside a quoted string parts nothing.
func cutLast(list string, quotes bool) (rest, last string, more bool) {
	comma := -1
	if !quotes {
		comma = strings.LastIndexByte(list, ',')
	} else {
		for quoted, i := false, 0; i < len(list); i++ {
			switch ch := list[i]; {
			case quoted && ch == '\\':
				i++
			case ch == '"':
				quoted = !quoted
			case ch == ',' && !quoted:
				comma = i
			}
		}
	}
	if comma < 0 {
		return "", list, false
	}
	return list[:comma], list[comma+1:], true
}

// forwardedPair is the value of "for" or "proto" in one element of Forwarded (RFC 7239 §4), "" when it has none or two.
func forwardedPair(element, want string) string {
	value, found := "", false
	for more := true; more; {
		var pair string
		pair, element, more = cutPair(element)
		name, v, ok := strings.Cut(strings.Trim(pair, " \t"), "=")
		if !ok || !strings.EqualFold(name, want) {
			continue
		}
		if found {
			return ""
		}
		value, found = v, true
	}
	if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
		return value[1 : len(value)-1] // an address needs no escapes; what has one is none
	}
	if strings.Contains(value, ":") {
		return "" // unquoted, a colon is not allowed
	}
	return value
}

// cutPair cuts at the first semicolon that is not quoted.
func cutPair(s string) (pair, rest string, more bool) {
	for quoted, i := false, 0; i < len(s); i++ {
		switch ch := s[i]; {
		case quoted && ch == '\\':
			i++
		case ch == '"':
			quoted = !quoted
		case ch == ';' && !quoted:
			return s[:i], s[i+1:], true
		}
	}
	return s, "", false
}

// text is addr as text. The usual call comes from the peer itself, in remoteAddr, where its text
// stands already: that costs no allocation.
func text(addr, peer netip.Addr, remoteAddr string) string {
	if !addr.IsValid() {
		return ""
	}
	if addr == peer && addr.Is4() {
		if host, port, ok := strings.Cut(remoteAddr, ":"); ok && strings.IndexByte(port, ':') < 0 {
			return host // anything else with one colon is no IPv4 address
		}
	}
	return addr.String()
}

// parsePeer reads a RemoteAddr, "host:port".
func parsePeer(s string) netip.Addr {
	ap, err := netip.ParseAddrPort(s)
	if err != nil {
		return parseElement(s)
	}
	return ap.Addr().WithZone("").Unmap()
}

// parseElement reads one address of a proxies' header: bracketed or not, with or without a port.
func parseElement(s string) netip.Addr {
	s = strings.Trim(s, " \t")
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		s = s[1 : len(s)-1]
		if !strings.Contains(s, ":") {
			return netip.Addr{}
		}
	}
	addr, err := netip.ParseAddr(s)
	if err != nil {
		ap, err := netip.ParseAddrPort(s)
		if err != nil {
			return netip.Addr{}
		}
		addr = ap.Addr()
	}
	return addr.WithZone("").Unmap()
}
