package proxy

import (
	"net/http"
	"net/url"
	"strings"
)

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
