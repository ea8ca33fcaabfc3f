package tapway

import (
	"net/http"
	"strings"
)

// Target takes the path and query out of the request line, byte for byte. It knows the
// origin form, the absolute form and "*" (RFC 9112 §3.2); ok is false for anything else, which
// no stage lets reach a backend. All stages read the target here: two readings of one
// request line would be a way around the rules.
func Target(r *http.Request) (path, query string, hasQuery, ok bool) {
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
