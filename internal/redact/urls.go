package redact

import (
	"bytes"
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
	for i := 0; i < len(in); {
		at := nextOf(in, i)
		if at < 0 {
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

// nextOf finds the next byte of b, at or behind from, with which something may begin that goes.
func nextOf(b []byte, from int) int {
	next := -1
	for _, c := range [...]byte{'?', '#', '@'} {
		stop := len(b)
		if next >= 0 {
			stop = next
		}
		if n := bytes.IndexByte(b[from:stop], c); n >= 0 {
			next = from + n
		}
	}
	return next
}

func afterLast(cuts []cut) int {
	if len(cuts) == 0 {
		return 0
	}
	return cuts[len(cuts)-1].end
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
	for i < len(b) {
		equals, value := separator(b, i, "=")
		if stop, next := separator(b[:equals], i, "&;?#"); stop < equals {
			i = next // a parameter without a value
			continue
		}
		if equals == len(b) {
			return cuts
		}
		name, ok := decodeParam(string(b[i:equals]))
		end, next := separator(b, value, "&#")
		raw := string(b[value:end])
		if !ok || hasPart(r.query, trimSpace(name)) || r.hides(raw, d) {
			cuts = r.cutValue(cuts, b, value, end)
			i = next
			continue
		}
		_, i = separator(b, value, "&;?#")
	}
	return cuts
}

// separator finds the first of the bytes in set, plain or as JSON spells it: where it is and what is
// behind it, or twice the end.
func separator(b []byte, i int, set string) (at, next int) {
	for i < len(b) {
		if b[i] == '\\' {
			if c, n := unslash(b, i); n > 0 {
				if bytes.IndexByte([]byte(set), c) >= 0 {
					return i, i + n
				}
				i += n
				continue
			}
		} else if bytes.IndexByte([]byte(set), b[i]) >= 0 {
			return i, i + 1
		}
		i++
	}
	return len(b), len(b)
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

// halfUser notes what may be the beginning of a user and password at the end of what was cut short.
func (r *Redactor) halfUser(cuts []cut, in []byte) []cut {
	n := max(bytes.LastIndex(in, []byte("://")), bytes.LastIndex(in, []byte(`:\/\/`)))
	if n < 0 {
		return cuts
	}
	start := n + len("://")
	if in[n+1] == '\\' {
		start = n + len(`:\/\/`)
	}
	if start < afterLast(cuts) || authorityEnd(in, start) < len(in) {
		return cuts
	}
	_, port, ok := bytes.Cut(in[start:], []byte(":"))
	if ok && len(bytes.Trim(port, "0123456789")) > 0 {
		cuts = r.cutValue(cuts, in, start, len(in))
	}
	return cuts
}
