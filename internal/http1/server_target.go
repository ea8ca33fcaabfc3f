package http1

import (
	"net/http"
	"net/url"
	"strings"
)

// requestTarget is the target of a request (RFC 9112 §3.2) and the URL made of it.
type requestTarget struct {
	target    string // as it was sent
	authority string // of absolute-form and authority-form
	url       url.URL
}

// parseTarget makes the URL. It refuses what is no target of any form and what other readers
// cut elsewhere (a "#"), but it takes odd paths: when Path cannot be decoded it holds the bytes
// as they are, and RawPath the exact ones.
func (t *requestTarget) parseTarget(method string) error {
	if t.target == "" {
		return badRequest("the request target is empty")
	}
	for i := range len(t.target) {
		switch c := t.target[i]; {
		case c <= ' ' || c == 0x7f:
			return badRequest("the request target holds a control character or a space")
		case c == '#':
			return badRequest("the request target holds a fragment")
		}
	}
	if method == http.MethodConnect {
		t.authority, t.url.Host = t.target, t.target
		if host, port, ok := cutPort(t.target); !ok || host == "" || port == "" || !validHost(t.target) {
			return badRequest("the target of CONNECT is not a host and a port")
		}
		return nil
	}
	if t.target[0] == '/' {
		t.setPath(t.target)
		return nil
	}
	if t.target == "*" {
		t.url.Path = "*"
		if method != http.MethodOptions {
			return badRequest("only OPTIONS may have the target *")
		}
		return nil
	}
	scheme, rest, ok := strings.Cut(t.target, "://")
	if !ok || !validScheme(scheme) {
		return badRequest("the request target is neither a path nor a URL")
	}
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	t.url.Scheme = strings.ToLower(scheme)
	t.url.Host = rest[:end]
	t.authority = rest[:end]
	t.setPath(rest[end:])
	if t.authority == "" || !validHost(t.authority) {
		return badRequest("the host in the request target is not a host")
	}
	return nil
}

func (t *requestTarget) setPath(s string) {
	path, query, ok := strings.Cut(s, "?")
	t.url.RawQuery = query
	t.url.ForceQuery = ok && query == ""
	t.url.Path = path
	for i := range len(path) {
		if c := path[i]; !plainPath[c] {
			t.setOddPath(path)
			return
		}
	}
}

func (t *requestTarget) setOddPath(path string) {
	if decoded, err := url.PathUnescape(path); err == nil {
		t.url.Path = decoded
	}
	if t.url.EscapedPath() != path {
		t.url.RawPath = path
	}
}

// plainPath are the bytes that are the same in Path and on the wire.
var plainPath = func() (t [256]bool) {
	for c := range 256 {
		t[c] = c < 0x80 && ('a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || strings.IndexByte("/-_.~", byte(c)) >= 0)
	}
	return t
}()

func validScheme(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (i == 0 || !isDigit(c) && c != '+' && c != '-' && c != '.') {
			return false
		}
	}
	return s != ""
}

// validHost takes a name or an address with an optional port, and the empty host, which
// RFC 9110 §7.2 wants where a target has no authority. It is stricter than RFC 3986: no user,
// and none of the sub-delimiters, because a reader may take "a,b" for two hosts.
func validHost(s string) bool {
	if s == "" {
		return true
	}
	host, port, ok := cutPort(s)
	if !ok || host == "" {
		return false
	}
	for i := range len(port) {
		if !isDigit(port[i]) {
			return false
		}
	}
	if host[0] == '[' {
		for i := 1; i < len(host)-1; i++ {
			if !hostChars[host[i]] && host[i] != ':' {
				return false
			}
		}
		return len(host) > 2
	}
	for i := range len(host) {
		if !hostChars[host[i]] {
			return false
		}
	}
	return true
}

// cutPort splits a host from its port, if there is one; the brackets of an address stay.
func cutPort(s string) (host, port string, ok bool) {
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return "", "", false
		}
		host, s = s[:end+1], s[end+1:]
		if s == "" {
			return host, "", true
		}
		return host, s[1:], s[0] == ':'
	}
	host, port, _ = strings.Cut(s, ":")
	return host, port, true
}

var hostChars = func() (t [256]bool) {
	for c := range 256 {
		t[c] = c < 0x80 && ('a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || strings.IndexByte("-_.~%", byte(c)) >= 0)
	}
	return t
}()
