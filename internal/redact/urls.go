package redact

import (
	"bytes"
	"strings"
)

// urlsIn redacts the URLs that stand in a body of text: the parameters that the query's rules name, and
// who is named before the "@" of the host (https://user:password@host/). It reads them as they stand in
// any text: a URL ends at a blank, a quote, a bracket or a backslash, and "&" may be spelled as JSON
// and XML do. What it writes is a part of a URL again, so that the text stays what it was.
func (r *Redactor) urlsIn(in []byte, truncated bool) []byte {
	if !r.urls {
		return in
	}
	var cuts []cut
	next := begins{-1, -1, -1}
	for i := 0; i < len(in); {
		at := next.from(in, i)
		if at == len(in) {
			break
		}
		if in[at] != '@' {
			end := urlEnd(in, at+1)
			cuts = r.paramsIn(cuts, in[:end], at+1)
			i = end
			continue
		}
		start, ok := userStart(in, at, i)
		if i = at + 1; ok {
			end := authorityEnd(in, at)
			last := start + bytes.LastIndexByte(in[start:end], '@')
			if !keepsUser(in[:start], in[start:last]) {
				cuts = r.cutValue(cuts, in, start, last)
			}
			i = end
		}
	}
	if truncated {
		cuts = r.halfUser(cuts, in)
	}
	if cuts == nil {
		return in
	}
	return apply(in, cuts)
}

// begins is where the next bytes are with which something may begin that goes: "?", "#" and "@".
type begins [3]int

// from finds the first of them at or behind i, or gives the end of b. Each is searched for only when the last one is passed.
func (next *begins) from(b []byte, i int) int {
	first := len(b)
	for k, c := range [...]byte{'?', '#', '@'} {
		if next[k] < i {
			next[k] = len(b)
			if n := bytes.IndexByte(b[i:], c); n >= 0 {
				next[k] = i + n
			}
		}
		first = min(first, next[k])
	}
	return first
}

// cutValue notes that the part of a URL from start to end goes.
func (r *Redactor) cutValue(cuts []cut, in []byte, start, end int) []cut {
	if by := r.mark.replace(paramValue(string(in[start:end]))); end > start && by != string(in[start:end]) {
		cuts = append(cuts, cut{start, end, by})
	}
	return cuts
}

// urlEnd finds where the URL ends whose inside is at i.
func urlEnd(b []byte, i int) int {
	for i < len(b) {
		switch c := b[i]; {
		case c <= ' ' || c == '"' || c == '<' || c == '>' || c == '`' || c == 0x7f:
			return i
		case c == '\\':
			_, n := unslash(b, i)
			if n == 0 {
				return i
			}
			i += n
		default:
			i++
		}
	}
	return i
}

// unslash reads what JSON writes with backslashes in a URL ("\/", "\u0026" and "\u003d"; in JSON within
// JSON there are more of them): the character, and how many bytes it takes, 0 if it is anything else.
func unslash(b []byte, i int) (c byte, n int) {
	for i+n < len(b) && b[i+n] == '\\' {
		n++
	}
	rest := b[i+n:]
	if len(rest) > 0 && rest[0] == '/' {
		return '/', n + 1
	}
	if len(rest) >= 5 && rest[0] == 'u' {
		if r, ok := hex4(rest[1:]); ok && (r == '&' || r == '=' || r == '\'') {
			return byte(r), n + 5
		}
	}
	return 0, 0
}

// paramsIn notes what goes of the parameters that begin at place i of b and end with it.
func (r *Redactor) paramsIn(cuts []cut, b []byte, i int) []cut {
	if !bytes.ContainsAny(b[i:], `=\`) {
		return cuts
	}
	d := newDive(len(b) - i)
	end, next := -1, 0
	for i < len(b) {
		equals, value, c := separator(b, i, "=&;?#")
		if c != '=' {
			i = value // a parameter without a value
			continue
		}
		name, ok := decodeParam(string(b[i:equals]))
		if end < value { // "?" and ";" may be parts of values: several then end at the same place
			end, next, _ = separator(b, value, "&#")
		}
		raw := string(b[value:end])
		if !ok || hasPart(r.query, trimSpace(name)) || r.hides(raw, d) {
			cuts = r.cutValue(cuts, b, value, end)
			i = next
			continue
		}
		_, i, _ = separator(b, value, "&;?#")
	}
	return cuts
}

// separator finds the first of the bytes in set, plain or as JSON spells it: where it is, what is behind it, and which it
// is; or twice the end, and 0.
func separator(b []byte, i int, set string) (at, next int, c byte) {
	for i < len(b) {
		c, n := b[i], 1
		if c == '\\' {
			if c, n = unslash(b, i); n == 0 {
				n = 1
			}
		}
		if c != 0 && strings.IndexByte(set, c) >= 0 {
			return i, i + n, c
		}
		i += n
	}
	return len(b), len(b), 0
}

// userStart finds where a URL's authority begins that goes on to the "@" at place at.
func userStart(b []byte, at, floor int) (start int, ok bool) {
	for i := at - 1; i >= floor && at-i < maxUser; i-- {
		switch c := b[i]; {
		case c == '/':
			rest := b[:i]
			if n := len(rest); n > 0 && rest[n-1] == '\\' {
				rest = bytes.TrimRight(rest, `\`)
			}
			rest, two := bytes.CutSuffix(rest, []byte("/"))
			return i + 1, two && i+1 < at && bytes.HasSuffix(bytes.TrimRight(rest, `\`), []byte(":"))
		case c <= ' ' || c == '"' || c == '<' || c == '>' || c == '`' || c == '\\' || c == '?' || c == '#':
			return 0, false
		}
	}
	return 0, false
}

// maxUser is how long the user and password of a URL may be: a token takes the place of both.
const maxUser = 8 << 10

func authorityEnd(b []byte, i int) int {
	for i < len(b) && b[i] > ' ' && bytes.IndexByte([]byte("/?#\"<>`\\"), b[i]) < 0 {
		i++
	}
	return i
}

// keepsUser reports whether what stands before the "@" is no secret: ssh takes no password there.
func keepsUser(before, user []byte) bool {
	scheme := bytes.TrimRight(before, `:/\`)
	return bytes.IndexByte(user, ':') < 0 && (bytes.HasSuffix(scheme, []byte("ssh")) || bytes.HasSuffix(scheme, []byte("sftp")))
}

// halfUser notes the host at the end of what was cut short: it may be the beginning of a user and password.
func (r *Redactor) halfUser(cuts []cut, in []byte) []cut {
	start := halfAuthority(in)
	if start < 0 || start == len(in) {
		return cuts
	}
	for len(cuts) > 0 && cuts[len(cuts)-1].end > start {
		start = min(start, cuts[len(cuts)-1].start)
		cuts = cuts[:len(cuts)-1]
	}
	return r.cutValue(cuts, in, start, len(in))
}

// halfAuthority is where a URL's authority begins that goes on to the end of b, -1 if there is none.
func halfAuthority(b []byte) int {
	start := -1
	for _, begin := range [...]string{"://", `:\/\/`} {
		if n := bytes.LastIndex(b, []byte(begin)); n >= 0 {
			start = max(start, n+len(begin))
		}
	}
	if start < 0 || authorityEnd(b, start) < len(b) {
		return -1
	}
	return start
}
