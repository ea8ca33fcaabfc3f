package proxy

import (
	"net/http"
	"net/url"
	"strings"
)

// target takes the path and query out of the request line, byte for byte. It knows the
// origin form, the absolute form and "*" (RFC 9112 §3.2); ok is false for anything else.
func target(r *http.Request) (path, query string, hasQuery, ok bool) {
	uri := r.RequestURI
	if uri == "" { // not from a server
		uri = r.URL.RequestURI()
	}
	if uri == "*" {
		return uri, "", false, r.Method == http.MethodOptions
	}
	if uri != "" && uri[0] != '/' {
		_, rest, found := strings.Cut(uri, "://")
		if !found || !isHTTPScheme(uri[:len(uri)-len(rest)-3]) {
			return "", "", false, false
		}
		if end := strings.IndexAny(rest, "/?"); end >= 0 {
			uri = rest[end:]
		} else {
			uri = ""
		}
		if uri == "" && r.Method == http.MethodOptions {
			return "*", "", false, true
		}
		if uri == "" || uri[0] == '?' {
			uri = "/" + uri
		}
	}
	path, query, hasQuery = strings.Cut(uri, "?")
	return path, query, hasQuery, path != "" && cleanTarget(uri) && strings.IndexByte(uri, '#') < 0
}

func isHTTPScheme(s string) bool {
	return strings.EqualFold(s, "http") || strings.EqualFold(s, "https")
}

// cleanTarget reports whether s can stand in a request line: no space, no control character.
func cleanTarget(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

// NetHTTP lets rt, an http.Transport, send targets that begin with "//": net/http writes
// URL.Opaque verbatim unless it begins so. What it then sends is the same target where the
// standard library lets it, and the absolute form with that same target otherwise.
func NetHTTP(rt http.RoundTripper) http.RoundTripper { return netHTTP{rt} }

type netHTTP struct{ next http.RoundTripper }

func (n netHTTP) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.HasPrefix(r.URL.Opaque, "//") {
		return n.next.RoundTrip(r)
	}
	u := *r.URL
	raw := u.Opaque
	u.Opaque = ""
	path, err := url.PathUnescape(raw)
	u.Path, u.RawPath = path, raw
	if err != nil || u.EscapedPath() != raw {
		u.Path, u.RawPath = "", ""
		u.Opaque = "//" + u.Host + raw
	}
	out := r.WithContext(r.Context())
	out.URL = &u
	return n.next.RoundTrip(out)
}
