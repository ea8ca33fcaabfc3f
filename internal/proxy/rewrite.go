package proxy

import (
	"net/netip"
	"strings"
)

// mapper turns the backend's addresses in a response into those the client knows.
type mapper struct {
	ready                    bool
	backendScheme            string
	backendHosts             []string // host[:port]; the first is the one dialled
	backendBase, publicBase  string
	publicScheme, publicHost string
}

// mapper is made when the first header needs it, which most responses never do.
func (p *pass) mapper() *mapper {
	m := &p.mapping
	if m.ready {
		return m
	}
	m.ready = true
	m.backendScheme = p.hop.Scheme
	m.backendHosts = append([]string{p.hop.Host}, p.hop.Backend.Aliases...)
	if p.hop.Backend.PreserveHost && p.in.Host != "" {
		m.backendHosts = append(m.backendHosts, p.in.Host) // the backend takes itself for it
	}
	m.backendBase, m.publicBase = p.hop.BackendBase, p.hop.PublicBase
	m.publicScheme, m.publicHost = p.Forwarded.origin(p.in)
	if !validHost(m.publicHost) {
		m.publicHost = ""
	}
	return m
}

// url maps a URL reference (RFC 3986 §4.1): an absolute one only if it points at the
// backend, one that begins with "/" always, any other never. What follows the path stays
// as it is. Userinfo goes: it is meant for the backend.
func (m *mapper) url(v string) string {
	scheme, rest := "", v
	if colon := strings.IndexAny(v, ":/?#"); colon > 0 && v[colon] == ':' {
		scheme, rest = v[:colon], v[colon+1:]
		if !isHTTPScheme(scheme) && !isWSScheme(scheme) || !strings.HasPrefix(rest, "//") {
			return v
		}
	}
	if !strings.HasPrefix(rest, "//") {
		if !strings.HasPrefix(rest, "/") {
			return v
		}
		return m.path(rest)
	}
	authority := rest[2:]
	rest = ""
	if end := strings.IndexAny(authority, "/?#"); end >= 0 {
		authority, rest = authority[:end], authority[end:]
	}
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		authority = authority[at+1:]
	}
	if !m.ours(scheme, authority) {
		return v
	}
	rest = m.path(rest)
	if m.publicHost == "" { // HTTP/1.0 without Host
		if rest == "" || rest[0] != '/' {
			rest = "/" + rest
		}
		return rest
	}
	return m.prefix(scheme) + m.publicHost + rest
}

// prefix is the public scheme with "://", as secure as the client's, of the kind of scheme.
func (m *mapper) prefix(scheme string) string {
	switch {
	case scheme == "":
		return "//"
	case isWSScheme(scheme) && m.publicScheme == "https":
		return "wss://"
	case isWSScheme(scheme):
		return "ws://"
	}
	return m.publicScheme + "://"
}

func isWSScheme(s string) bool {
	return strings.EqualFold(s, "ws") || strings.EqualFold(s, "wss")
}

// path maps the path that ref begins with; what follows stays.
func (m *mapper) path(ref string) string {
	if m.backendBase == m.publicBase || !below(ref, m.backendBase) {
		return ref
	}
	return m.publicBase + ref[len(m.backendBase):]
}

// below reports whether ref begins with the path base, followed by its end or a "/".
func below(ref, base string) bool {
	if !strings.HasPrefix(ref, base) {
		return false
	}
	if len(ref) == len(base) {
		return true
	}
	switch ref[len(base)] {
	case '/', '?', '#':
		return true
	}
	return false
}

// ours reports whether authority is the backend: the same host, with the same port or with
// none or the scheme's own, as servers write that do not know their port. Another port is
// another service.
func (m *mapper) ours(scheme, authority string) bool {
	name, port := splitAuthority(authority)
	if name == "" {
		return false
	}
	for _, h := range m.backendHosts {
		ownName, ownPort := splitAuthority(h)
		if ownPort == "" {
			ownPort = defaultPort(m.backendScheme)
		}
		if sameHost(name, ownName) && (port == "" || port == ownPort || port == defaultPort(scheme)) {
			return true
		}
	}
	return false
}

func defaultPort(scheme string) string {
	switch {
	case strings.EqualFold(scheme, "https"), strings.EqualFold(scheme, "wss"):
		return "443"
	case scheme == "":
		return ""
	}
	return "80"
}

// splitAuthority splits host[:port], the host without brackets and final dot.
func splitAuthority(s string) (host, port string) {
	host = s
	if colon := strings.LastIndexByte(s, ':'); colon >= 0 && strings.IndexByte(s[colon:], ']') < 0 &&
		(strings.HasPrefix(s, "[") || strings.IndexByte(s, ':') == colon) {
		host, port = s[:colon], s[colon+1:]
	}
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		host = host[1 : len(host)-1]
	}
	return strings.TrimSuffix(host, "."), port
}

func sameHost(a, b string) bool {
	if strings.EqualFold(a, b) {
		return true
	}
	x, err := netip.ParseAddr(a)
	if err != nil {
		return false
	}
	y, err := netip.ParseAddr(b)
	return err == nil && x.Unmap() == y.Unmap()
}

// refresh maps the URL in a Refresh header: "5; url=https://…".
func (m *mapper) refresh(v string) string {
	at := indexFold(v, "url=")
	if at < 0 {
		return v
	}
	head, target, tail := v[:at+4], v[at+4:], ""
	if target != "" && (target[0] == '"' || target[0] == '\'') {
		quote := target[0]
		head, target = head+string(quote), target[1:]
		if end := strings.IndexByte(target, quote); end >= 0 {
			target, tail = target[:end], target[end:]
		}
	}
	return head + m.url(target) + tail
}

func indexFold(s, lower string) int {
	for i := 0; i+len(lower) <= len(s); i++ {
		if strings.EqualFold(s[i:i+len(lower)], lower) {
			return i
		}
	}
	return -1
}

// link maps the targets, in angle brackets, of a Link header (RFC 8288).
func (m *mapper) link(v string) string {
	var b strings.Builder
	rest := v
	for {
		open := strings.IndexByte(rest, '<')
		if open < 0 {
			break
		}
		end := strings.IndexByte(rest[open:], '>')
		if end < 0 {
			break
		}
		end += open
		b.WriteString(rest[:open+1])
		b.WriteString(m.url(rest[open+1 : end]))
		rest = rest[end:]
	}
	if b.Len() == 0 {
		return v
	}
	b.WriteString(rest)
	return b.String()
}

// cookie maps a Set-Cookie line (RFC 6265 §4.1): a Domain that is the backend's goes, and
// with it a parent domain that the client's host is not part of, since a browser would
// refuse it; a Path below the backend's base becomes the client's. The rest stays as it is.
func (m *mapper) cookie(v string) string {
	pair, rest, more := strings.Cut(v, ";")
	if !more {
		return v
	}
	hostOnly := hasPrefixFold(strings.TrimLeft(pair, " \t"), "__Host-") // such a cookie must have Path=/
	out := make([]byte, 0, len(v)+len(m.publicBase))
	out = append(out, pair...)
	for more {
		var attribute string
		attribute, rest, more = strings.Cut(rest, ";")
		name, value, _ := strings.Cut(attribute, "=")
		name, value = strings.Trim(name, " \t"), strings.Trim(value, " \t")
		if strings.EqualFold(name, "Domain") && m.foreignDomain(value) {
			continue
		}
		out = append(out, ';')
		if mapped := m.cookiePath(value); strings.EqualFold(name, "Path") && mapped != value && !hostOnly {
			out = append(out, attribute[:strings.IndexByte(attribute, '=')+1]...)
			out = append(out, mapped...)
			continue
		}
		out = append(out, attribute...)
	}
	return string(out)
}

func (m *mapper) cookiePath(path string) string {
	if path == "/" && m.backendBase == "" && m.publicBase != "" {
		return m.publicBase // "/api/" would leave out "/api" itself
	}
	if !strings.HasPrefix(path, "/") {
		return path
	}
	return m.path(path)
}

// foreignDomain reports whether a cookie's Domain is one of the backend's that the client's
// host does not share.
func (m *mapper) foreignDomain(domain string) bool {
	domain = strings.TrimPrefix(domain, ".")
	public, _ := splitAuthority(m.publicHost)
	if domain == "" || inDomain(public, domain) {
		return false
	}
	for _, h := range m.backendHosts {
		if name, _ := splitAuthority(h); inDomain(name, domain) {
			return true
		}
	}
	return false
}

// inDomain reports whether host is domain or below it (RFC 6265 §5.1.3).
func inDomain(host, domain string) bool {
	if sameHost(host, domain) {
		return true
	}
	dot := len(host) - len(domain) - 1
	return dot > 0 && host[dot] == '.' && strings.EqualFold(host[dot+1:], domain)
}
