package access

import (
	"slices"
	"strings"
)

// maxDecodings is how many times over a path may be percent-encoded before it counts as anything
// that a rule forbids: no honest client does that, and no backend decodes that often.
const maxDecodings = 4

// Readings are what a backend may take r's path for: as it was sent; percent-decoded (again and
// again, because some backends decode twice); "\" as "/"; doubled slashes as one; dot segments
// resolved before or after that; ";parameters" of segments dropped; cut at an encoded NUL, "?"
// or "#"; without white space and dots at a segment's end, as Windows reads file names; and all of
// this with the spellings of ASCII that only some servers know (see decodeOdd). ok is
// false when the path is encoded more often than that can be followed: no honest client does
// that, so a rule that has to hold must take the call for one of its own.
//
// The letter case is as it was sent. A usual path has one reading and costs nothing.
func (r *Request) Readings() (paths []string, ok bool) {
	if r.cases == nil {
		if plain(r.Path) {
			r.readings[0] = r.Path
			r.cases = r.readings[:1:1]
		} else {
			r.cases, r.overdone = readings(r.Path)
		}
	}
	return r.cases, !r.overdone
}

// foldedReadings are the readings in lower case, as fold makes it.
func (r *Request) foldedReadings() (paths []string, ok bool) {
	if r.folded == nil {
		paths, _ := r.Readings()
		if len(paths) == 1 {
			r.readings[1] = fold(paths[0])
			r.folded = r.readings[1:2:2]
		} else {
			for _, path := range paths {
				r.folded = appendNew(r.folded, fold(path))
			}
		}
	}
	return r.folded, !r.overdone
}

// plain reports whether every reading of path is path itself, letter case aside.
func plain(path string) bool {
	for i := range len(path) {
		switch c := path[i]; {
		case c == '%' || c == ';' || c == '\\' || c <= ' ' || c >= 0x7f || c == '?' || c == '#':
			return false
		case c == '.' && (i+1 == len(path) || path[i+1] == '/'): // at a segment's end
			return false
		case c == '/' && i > 0 && path[i-1] == '/':
			return false
		}
	}
	return true
}

// readings are those of a path that is not plain. overdone: there would be more.
func readings(path string) (out []string, overdone bool) {
	out, odd, overdone := follow(nil, path, decodeOnce)
	if odd {
		more := false
		out, _, more = follow(out, path, decodeOdd)
		overdone = overdone || more
	}
	return out, overdone
}

// follow adds the readings of a path as it comes out of one way to decode it, again and again. odd: some servers decode it in
// another way.
func follow(out []string, path string, decode func(string) string) (all []string, odd, overdone bool) {
	for range maxDecodings + 1 {
		odd = odd || isOdd(path)
		slashed := strings.ReplaceAll(cut(path), `\`, "/")
		bare := bareSegments(slashed)
		for _, one := range [...]string{
			path, slashed, collapse(slashed), collapse(bare),
			resolveDots(collapse(slashed)), resolveDots(collapse(bare)), collapse(resolveDots(slashed)), collapse(resolveDots(bare)),
		} {
			out = appendNew(out, one)
		}
		decoded := decode(path)
		if decoded == path {
			return out, odd, false
		}
		path = decoded
	}
	return out, odd, true
}

func appendNew(list []string, s string) []string {
	if slices.Contains(list, s) {
		return list
	}
	return append(list, s)
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
	return resolveDots(collapse(bareSegments(strings.ReplaceAll(cut(fold(path)), `\`, "/"))))
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
