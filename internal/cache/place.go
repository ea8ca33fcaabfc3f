package cache

import (
	"net/http"
	"strings"
	"unicode/utf8"
)

func schemeOf(r *http.Request) string {
	if r.TLS != nil {
		return "https"
	}
	return "http"
}

func hostOf(r *http.Request) string { return normalHost(schemeOf(r), r.Host) }

// normalHost is a host in lower case and without the scheme's own port (RFC 9110 §4.2.3), so that
// all who ask for the same place find the same answer.
func normalHost(scheme, host string) string {
	host = strings.ToLower(host)
	colon := strings.LastIndexByte(host, ':')
	if colon < 0 || strings.IndexByte(host[colon:], ']') >= 0 { // inside an IPv6 address
		return host
	}
	switch port := host[colon+1:]; {
	case port == "", port == "80" && scheme == "http", port == "443" && scheme == "https":
		return host[:colon]
	}
	return host
}

// maxDecodings is how often a path may be decoded until it says the same.
const maxDecodings = 4

// plain reports whether all that backends may take a path for is kept by the same rule. Otherwise
// "/catalog/..%2fme" would have an answer of "/me" kept by the rule of the catalog, for everybody
// who asks for it (web cache deception): such calls are the backend's alone.
func (s *Settings) plain(r *http.Request, path string, route Route) bool {
	same := func(reading string, must bool) bool {
		other, ok := s.Match(r, reading)
		return ok && other.Rule == route.Rule && (!must || other.Name == route.Name) || !ok && !must
	}
	// Some backends do not mind letter case and a slash at the end. A rule of its own for what they
	// take it for counts; that there is none does not make it another place.
	loosely := func(reading string) bool {
		lower := fold(reading)
		for _, one := range [...]string{lower, withoutSlash(reading), withoutSlash(lower)} {
			if one != reading && !same(one, false) {
				return false
			}
		}
		return true
	}
	if !loosely(path) {
		return false
	}
	if !isTwisted(path) {
		return true
	}
	for range maxDecodings {
		if isOdd(path) {
			return false
		}
		for _, reading := range readings(path) {
			if reading != path && !(same(reading, true) && loosely(reading)) {
				return false
			}
		}
		decoded := decode(path)
		if decoded == path {
			return true
		}
		path = decoded
		if !same(path, true) || !loosely(path) {
			return false
		}
	}
	return false
}

// fold is a text in lower case, by way of upper case: some backends compare so, and to them "ſ" is "s".
func fold(s string) string {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return strings.ToLower(strings.ToUpper(s))
		}
	}
	return strings.ToLower(s)
}

// withoutSlash is a path without slashes at its end, but for the root.
func withoutSlash(path string) string {
	if bare := strings.TrimRight(path, "/"); bare != "" {
		return bare
	}
	return path
}

// isOdd reports whether a path has what some servers decode beyond RFC 3986: %uXXXX, UTF-8 in longer forms than need be, which
// are none, and full-width forms.
func isOdd(path string) bool {
	return strings.Contains(path, "%u") || strings.Contains(path, "%U") || !utf8.ValidString(path) ||
		strings.ContainsFunc(path, func(r rune) bool { return r >= '\uff01' && r <= '\uff5e' })
}

// isTwisted reports whether a path has anything that is read in more than one way.
func isTwisted(path string) bool {
	return strings.ContainsAny(path, "%;\\?#\x00\r\n") || strings.Contains(path, "//") || strings.Contains(path, "/.") || strings.Contains(path, "./") || strings.HasSuffix(path, ".") || isOdd(path)
}

// decode is a path decoded once. What is no escape stays, as it does in many backends.
func decode(path string) string {
	if strings.IndexByte(path, '%') < 0 {
		return path
	}
	out := make([]byte, 0, len(path))
	for i := 0; i < len(path); i++ {
		if path[i] == '%' && i+2 < len(path) {
			high, low := unhex(path[i+1]), unhex(path[i+2])
			if high < 16 && low < 16 {
				out = append(out, high<<4|low)
				i += 2
				continue
			}
		}
		out = append(out, path[i])
	}
	return string(out)
}

// unhex is the value of a hexadecimal digit, 16 of anything else.
func unhex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return (c | 0x20) - 'a' + 10
	}
	return 16
}

// readings are what a path is when it is not decoded any further: without parameters, and blanks and dots at the end of
// segments, cut where some backends think that it ends, with slashes taken together, with dot segments resolved.
func readings(path string) []string {
	out := make([]string, 0, 16)
	bare := withoutParameters(path)
	starts := []string{path, bare, withoutTails(bare)}
	if end := strings.IndexAny(path, ";?#\x00\r\n"); end > 0 {
		starts = append(starts, path[:end])
	}
	for _, start := range starts {
		slashes := strings.ReplaceAll(start, "\\", "/")
		merged := slashes
		for strings.Contains(merged, "//") {
			merged = strings.ReplaceAll(merged, "//", "/")
		}
		out = append(out, start, merged, withoutDots(slashes), withoutDots(merged))
	}
	return out
}

// withoutParameters takes ";x=y" out of every segment.
func withoutParameters(path string) string {
	if strings.IndexByte(path, ';') < 0 {
		return path
	}
	segments := strings.Split(path, "/")
	for i, s := range segments {
		segments[i], _, _ = strings.Cut(s, ";")
	}
	return strings.Join(segments, "/")
}

// withoutTails takes blanks and dots off the end of every segment, as Windows does with file names.
func withoutTails(path string) string {
	segments := strings.Split(path, "/")
	for i, s := range segments {
		if s != "." && s != ".." {
			segments[i] = strings.TrimRightFunc(s, func(r rune) bool { return r == '.' || r <= ' ' })
		}
	}
	return strings.Join(segments, "/")
}

// withoutDots resolves dot segments (RFC 3986 §5.2.4).
func withoutDots(path string) string {
	if !strings.Contains(path, "/.") {
		return path
	}
	var out []string
	segments := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for i, s := range segments {
		last := i == len(segments)-1
		switch {
		case s == "." || s == "..":
			if s == ".." && len(out) > 0 {
				out = out[:len(out)-1]
			}
			if last {
				out = append(out, "")
			}
		default:
			out = append(out, s)
		}
	}
	return "/" + strings.Join(out, "/")
}
