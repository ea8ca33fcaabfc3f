package cache

import (
	"math"
	"net/http"
	"slices"
	"strings"
	"time"
)

// unset is a time that a header does not say.
const unset = time.Duration(-1)

// maxSeconds is the longest time that counts (RFC 9111 §1.2.2); longer ones are as long.
const maxSeconds = math.MaxInt32

// responseControl is a response's Cache-Control (RFC 9111 §5.2.2, RFC 5861). Of a directive that
// comes twice the stricter counts, and a time that cannot be read is 0. no-cache and private that
// name fields count as if they named none.
type responseControl struct {
	noStore, noCache, private, public, mustRevalidate bool
	maxAge, sMaxAge, staleRevalidate, staleError      time.Duration
}

func parseResponse(lines []string) responseControl {
	c := responseControl{maxAge: unset, sMaxAge: unset, staleRevalidate: unset, staleError: unset}
	directives(lines, func(name, value string) {
		switch name {
		case "no-store":
			c.noStore = true
		case "no-cache":
			c.noCache = true
		case "private":
			c.private = true
		case "public":
			c.public = true
		case "must-revalidate", "proxy-revalidate":
			c.mustRevalidate = true
		case "max-age":
			c.maxAge = stricter(c.maxAge, value)
		case "s-maxage":
			c.sMaxAge = stricter(c.sMaxAge, value)
		case "stale-while-revalidate":
			c.staleRevalidate = stricter(c.staleRevalidate, value)
		case "stale-if-error":
			c.staleError = stricter(c.staleError, value)
		}
	})
	return c
}

// requestControl is a request's Cache-Control (RFC 9111 §5.2.1).
type requestControl struct {
	noStore, noCache, onlyIfCached bool
	maxAge, minFresh, maxStale     time.Duration
}

// renew reports whether a new answer is asked for.
func (c *requestControl) renew() bool { return c.noCache || c.maxAge == 0 }

func parseRequest(h http.Header) requestControl {
	c := requestControl{maxAge: unset, minFresh: unset, maxStale: unset}
	lines, there := h["Cache-Control"]
	if !there { // RFC 9111 §5.4
		directives(h["Pragma"], func(name, _ string) { c.noCache = c.noCache || name == "no-cache" })
		return c
	}
	directives(lines, func(name, value string) {
		switch name {
		case "no-store":
			c.noStore = true
		case "no-cache":
			c.noCache = true
		case "only-if-cached":
			c.onlyIfCached = true
		case "max-age":
			c.maxAge = stricter(c.maxAge, value)
		case "min-fresh":
			if d := seconds(value); d > c.minFresh {
				c.minFresh = d
			}
		case "max-stale":
			if value == "" { // however stale
				value = "2147483647"
			}
			c.maxStale = stricter(c.maxStale, value)
		}
	})
	return c
}

// stricter is the shorter of a time and the one that value says.
func stricter(d time.Duration, value string) time.Duration {
	if n := seconds(value); d == unset || n < d {
		return n
	}
	return d
}

// seconds reads delta-seconds; 0 when they are none.
func seconds(s string) time.Duration {
	if s == "" {
		return 0
	}
	n := int64(0)
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0
		}
		n = min(n*10+int64(s[i]-'0'), maxSeconds)
	}
	return time.Duration(n) * time.Second
}

// directives gives every directive, its name in lower case and its value without quotes. Where somebody has parted them by ";"
// or blanks instead of commas, each counts all the same: one of them may forbid what another allows.
func directives(lines []string, each func(name, value string)) {
	one := func(text string) {
		name, value, _ := strings.Cut(text, "=")
		if name = strings.ToLower(trim(name)); name != "" {
			each(name, unquote(trim(value)))
		}
	}
	for _, line := range lines {
		for line != "" {
			var text string
			text, line = cutQuoted(line)
			name, value, _ := strings.Cut(text, "=")
			if value = trim(value); isToken(trim(name)) && (value == "" || value[0] == '"' && strings.LastIndexByte(value, '"') == len(value)-1 || !strings.ContainsAny(value, "; \t")) {
				one(text)
				continue
			}
			for part := range strings.FieldsFuncSeq(text, func(c rune) bool { return c == ';' || c == ' ' || c == '\t' }) {
				one(part)
			}
		}
	}
}

func trim(s string) string { return strings.Trim(s, " \t") }

func unquote(s string) string {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s
	}
	s = s[1 : len(s)-1]
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b = append(b, s[i])
	}
	return string(b)
}

// cutQuoted is strings.Cut at the first comma that is not inside a quoted string. A quote that
// is never closed does not count: what stands behind it must not be hidden by it.
func cutQuoted(s string) (before, after string) {
	quoted := false
	first := -1
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			return s[:i], s[i+1:]
		case c == ',' && first < 0:
			first = i
		}
		if !quoted {
			first = -1
		}
	}
	if quoted && first >= 0 {
		return s[:first], s[first+1:]
	}
	return s, ""
}

// maxVary is how many names a Vary may have for its response to be kept.
const maxVary = 16

// parseVary gives the names in order, each once and in canonical form. ok is false when the
// response is one of a kind: Vary has a "*", what is no name, very many, or a header by which the
// proxy tells the backend the client's address.
func parseVary(lines []string) (names []string, ok bool) {
	for _, line := range lines {
		for one := range strings.SplitSeq(line, ",") {
			if one = trim(one); one == "" {
				continue
			}
			if one == "*" || !isToken(one) {
				return nil, false
			}
			if one = http.CanonicalHeaderKey(one); ofAddress[one] {
				return nil, false
			}
			names = append(names, one)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	return names, len(names) <= maxVary
}

// isToken reports whether s is a token (RFC 9110 §5.6.2).
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}
