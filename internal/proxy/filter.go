package proxy

import (
	"strings"
)

// maxDecodings is how many times over a path may be percent-encoded before it counts as
// filtered: no honest client does that, and no backend decodes that often.
const maxDecodings = 4

// Filter knows which paths are kept from the backend. A path is blocked if it, or any of
// the readings a backend might make of it, is a filtered path or lies below one. Readings
// are: percent-decoded (again and again, because some backends decode twice), letter case
// ignored, "\" as "/", doubled slashes as one, dot segments resolved before or after that,
// ";parameters" of segments dropped, cut at an encoded NUL, "?" or "#", and without white
// space and dots at a segment's end, as Windows reads file names.
//
// "/foobar" blocks /foobar, /foobar/x, /FooBar, /%66oobar, //foobar, /x/../foobar and
// /foobar;a=b; it does not block /foobarx. A filter is read the same way, so "/FooBar/" is
// "/foobar"; "/" blocks everything; an empty one is ignored.
type Filter struct {
	paths []string // normalised, without a trailing slash
}

// NewFilter makes a Filter.
func NewFilter(paths []string) *Filter {
	f := new(Filter)
	for _, path := range paths {
		if path = strings.TrimSpace(path); path == "" {
			continue
		}
		if path[0] != '/' {
			path = "/" + path
		}
		f.paths = append(f.paths, strings.TrimSuffix(Normalise(path), "/"))
	}
	return f
}

// Blocks reports whether a raw path, as it stood in the request line, is filtered.
func (f *Filter) Blocks(rawPath string) bool {
	if len(f.paths) == 0 {
		return false
	}
	if plain(rawPath) {
		return f.match(rawPath)
	}
	path := rawPath
	for range maxDecodings + 1 {
		if f.matchReadings(path) {
			return true
		}
		decoded := decodeOnce(path)
		if decoded == path {
			return false
		}
		path = decoded
	}
	return true
}

// plain reports whether every reading of path is path itself, letter case aside.
func plain(path string) bool {
	for i := range len(path) {
		switch c := path[i]; {
		case c == '%' || c == ';' || c == '\\' || c == '.' || c <= ' ' || c >= 0x7f || c == '?' || c == '#':
			return false
		case c == '/' && i > 0 && path[i-1] == '/':
			return false
		}
	}
	return true
}

// match reports whether path is a filtered path or below one, as it stands.
func (f *Filter) match(path string) bool {
	for _, filtered := range f.paths {
		if hasPrefixFold(path, filtered) && (len(path) == len(filtered) || path[len(filtered)] == '/') {
			return true
		}
	}
	return false
}

func (f *Filter) matchReadings(path string) bool {
	path = strings.ToLower(path)
	if f.match(path) {
		return true
	}
	slashed := strings.ReplaceAll(cut(path), `\`, "/")
	bare := bareSegments(slashed)
	return f.match(slashed) || f.match(collapse(slashed)) || f.match(collapse(bare)) ||
		f.match(resolveDots(collapse(slashed))) || f.match(resolveDots(collapse(bare))) ||
		f.match(collapse(resolveDots(slashed))) || f.match(collapse(resolveDots(bare)))
}

// Normalise is the last of a path's readings: decoded to the end, lower case, one slash
// between segments, no parameters, no dot segments.
func Normalise(path string) string {
	for range maxDecodings {
		decoded := decodeOnce(path)
		if decoded == path {
			break
		}
		path = decoded
	}
	return resolveDots(collapse(bareSegments(strings.ReplaceAll(cut(strings.ToLower(path)), `\`, "/"))))
}

// decodeOnce replaces every %XX by its byte; what is not an escape stays.
func decodeOnce(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			hi, ok1 := unhex(s[i+1])
			lo, ok2 := unhex(s[i+2])
			if ok1 && ok2 {
				b = append(b, hi<<4|lo)
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}

func unhex(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10, true
	}
	return 0, false
}

// cut ends a path where a careless backend would.
func cut(path string) string {
	if i := strings.IndexAny(path, "\x00?#"); i >= 0 {
		return path[:i]
	}
	return path
}

// bareSegments drops parameters, and white space and dots at the end, of each segment.
func bareSegments(path string) string {
	segments := strings.Split(path, "/")
	for i, s := range segments {
		s, _, _ = strings.Cut(s, ";")
		s = strings.TrimFunc(s, isBlank)
		if s != "." && s != ".." {
			s = strings.TrimRightFunc(s, func(r rune) bool { return r == '.' || isBlank(r) })
		}
		segments[i] = s
	}
	return strings.Join(segments, "/")
}

func isBlank(r rune) bool { return r <= ' ' }

// collapse makes one slash of several.
func collapse(path string) string {
	if !strings.Contains(path, "//") {
		return path
	}
	b := make([]byte, 0, len(path))
	for i := range len(path) {
		if path[i] == '/' && len(b) > 0 && b[len(b)-1] == '/' {
			continue
		}
		b = append(b, path[i])
	}
	return string(b)
}

// resolveDots removes dot segments (RFC 3986 §5.2.4); above the root stays at the root.
func resolveDots(path string) string {
	if !strings.Contains(path, ".") {
		return path
	}
	segments := strings.Split(strings.TrimPrefix(path, "/"), "/")
	kept := segments[:0]
	for i, s := range segments {
		last := i == len(segments)-1
		switch s {
		case ".", "..":
			if s == ".." && len(kept) > 0 {
				kept = kept[:len(kept)-1]
			}
			if last {
				kept = append(kept, "")
			}
		default:
			kept = append(kept, s)
		}
	}
	return "/" + strings.Join(kept, "/")
}
