package proxy

import (
	"net/http"
	"net/netip"
	"strconv"
	"strings"
)

// Forwarded says what the backend is told of where a call came from. The zero value trusts
// nobody's word about it and tells the backend.
type Forwarded struct {
	// Trusted are the proxies in front. X-Forwarded-For, -Proto, -Host and Forwarded (RFC
	// 7239) of a call from one of them are extended; those of anybody else are replaced. Of the
	// headers that only other proxies write (see ofForwarding) a stranger's X-Real-IP and
	// X-Forwarded-Port are corrected, and the rest is dropped: what a backend believes there,
	// from the client's address to the path, must not be the client's to say.
	Trusted []netip.Prefix

	// Off leaves these and all other headers about where a call came from as the client sent
	// them and adds none.
	Off bool
}

func (f *Forwarded) trusts(addr netip.Addr) bool {
	if !addr.IsValid() {
		return false
	}
	for _, p := range f.Trusted {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// parsePeer reads a RemoteAddr, "host:port" or an address alone. IPv4 in IPv6 is given as
// IPv4, without zone.
func parsePeer(s string) netip.Addr {
	ap, err := netip.ParseAddrPort(s)
	if err != nil {
		addr, _ := netip.ParseAddr(s)
		return addr.WithZone("").Unmap()
	}
	return ap.Addr().WithZone("").Unmap()
}

// origin is the call as the client made it: the scheme and host it used. A trusted proxy's
// word replaces what the connection says.
func (f *Forwarded) origin(r *http.Request) (scheme, host string) {
	scheme, host = "http", r.Host
	if r.TLS != nil {
		scheme = "https"
	}
	if len(f.Trusted) == 0 || !f.trusts(parsePeer(r.RemoteAddr)) {
		return scheme, host
	}
	if proto := firstElement(r.Header["X-Forwarded-Proto"]); strings.EqualFold(proto, "http") {
		scheme = "http"
	} else if strings.EqualFold(proto, "https") {
		scheme = "https"
	}
	if h := firstElement(r.Header["X-Forwarded-Host"]); h != "" && validHost(h) {
		host = h
	}
	return scheme, host
}

func firstElement(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	first, _, _ := strings.Cut(lines[0], ",")
	return strings.Trim(first, " \t")
}

// validHost reports whether host may stand in a URL: no delimiter that would end it.
func validHost(host string) bool {
	for i := range len(host) {
		if c := host[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("/?#@\\\"<>^`{|}", c) >= 0 {
			return false
		}
	}
	return host != ""
}

// distrusts reports whether what r says of where it came from is not to be passed on.
func (f *Forwarded) distrusts(r *http.Request) bool {
	return !f.Off && (len(f.Trusted) == 0 || !f.trusts(parsePeer(r.RemoteAddr)))
}

// port is where the client of a call that came without a proxy has called.
func port(host, proto string) string {
	if colon := strings.LastIndexByte(host, ':'); colon >= 0 && strings.IndexByte(host[colon:], ']') < 0 {
		digits := host[colon+1:]
		if n, err := strconv.ParseUint(digits, 10, 16); err == nil && n > 0 {
			return strconv.FormatUint(n, 10)
		}
	}
	if proto == "https" {
		return "443"
	}
	return "80"
}

// set writes the four headers of the outgoing call. room gives one-element slices without
// an allocation each.
func (f *Forwarded) set(out http.Header, r *http.Request, room *valueRoom) {
	if f.Off {
		return
	}
	peer := parsePeer(r.RemoteAddr)
	trusted := f.trusts(peer)
	text := "unknown"
	if peer.IsValid() {
		text = peerText(peer, r.RemoteAddr)
	}
	proto := "http"
	if r.TLS != nil {
		proto = "https"
	}

	forwardedFor, element := text, forwardedElement(peer, text, r.Host, proto)
	if trusted {
		if lines := r.Header["X-Forwarded-For"]; len(lines) > 0 {
			forwardedFor = strings.Join(lines, ", ") + ", " + text
		}
		if lines := r.Header["Forwarded"]; len(lines) > 0 {
			element = strings.Join(lines, ", ") + ", " + element
		}
	}
	if peer.IsValid() {
		out["X-Forwarded-For"] = room.one(forwardedFor)
	} else {
		delete(out, "X-Forwarded-For")
	}
	out["Forwarded"] = room.one(element)
	if lines := r.Header["X-Forwarded-Proto"]; trusted && len(lines) > 0 {
		out["X-Forwarded-Proto"] = lines
	} else {
		out["X-Forwarded-Proto"] = room.one(proto)
	}
	if lines := r.Header["X-Forwarded-Host"]; trusted && len(lines) > 0 {
		out["X-Forwarded-Host"] = lines
	} else if r.Host != "" {
		out["X-Forwarded-Host"] = room.one(r.Host)
	} else {
		delete(out, "X-Forwarded-Host")
	}
	if trusted {
		return
	}
	// These are corrected and not added: who wants the address has it in X-Forwarded-For.
	if _, sent := out["X-Forwarded-Port"]; sent {
		out["X-Forwarded-Port"] = room.one(port(r.Host, proto))
	}
	if _, sent := out["X-Real-Ip"]; sent && peer.IsValid() {
		out["X-Real-Ip"] = room.one(text)
	} else if sent {
		delete(out, "X-Real-Ip")
	}
}

// peerText is addr as text, taken out of remoteAddr where it stands there already.
func peerText(addr netip.Addr, remoteAddr string) string {
	if colon := strings.LastIndexByte(remoteAddr, ':'); addr.Is4() && colon > 0 && remoteAddr[0] != '[' {
		return remoteAddr[:colon]
	}
	return addr.String()
}

// forwardedElement is one element of Forwarded (RFC 7239 §4). Whatever is not a token is
// quoted: an IPv6 address with its brackets, a host with a port.
func forwardedElement(peer netip.Addr, text, host, proto string) string {
	var room [160]byte
	b := append(room[:0], "for="...)
	if peer.IsValid() && peer.Is6() {
		b = append(b, `"[`...)
		b = append(b, text...)
		b = append(b, `]"`...)
	} else {
		b = append(b, text...)
	}
	if host != "" {
		b = append(b, ";host="...)
		b = appendTokenOrQuoted(b, host)
	}
	b = append(b, ";proto="...)
	b = append(b, proto...)
	return string(b)
}

func appendTokenOrQuoted(b []byte, s string) []byte {
	if isToken(s) {
		return append(b, s...)
	}
	b = append(b, '"')
	for i := range len(s) {
		c := s[i]
		if c < ' ' || c == 0x7f {
			continue
		}
		if c == '"' || c == '\\' {
			b = append(b, '\\')
		}
		b = append(b, c)
	}
	return append(b, '"')
}

// isToken reports whether s is a token.
func isToken(s string) bool {
	for i := range len(s) {
		if !isTokenChar(s[i]) {
			return false
		}
	}
	return s != ""
}

// isTokenChar reports whether c may stand in a token (RFC 9110 §5.6.2).
func isTokenChar(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}
