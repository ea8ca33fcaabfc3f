package access

import (
	"strings"
	"unicode/utf8"
)

// fold is a text in lower case, by way of upper case: some backends compare so, and to them "ſ" is "s" and "ı" is "i".
func fold(s string) string {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return strings.ToLower(strings.ToUpper(s))
		}
	}
	return strings.ToLower(s)
}

// asciiLeads are the first bytes of the forms of UTF-8 that are longer than a character of ASCII needs, with their lengths.
var asciiLeads = map[byte]int{0xc0: 2, 0xc1: 2, 0xe0: 3, 0xf0: 4, 0xf8: 5, 0xfc: 6}

// fullWidth is the first byte of the full-width forms of ASCII, U+FF01 to U+FF5E.
const fullWidth = 0xef

// isOdd reports whether decodeOdd may make something else of a path than decodeOnce.
func isOdd(path string) bool {
	for i := range len(path) {
		switch c := path[i]; {
		case c == '%' && i+1 < len(path) && path[i+1]|0x20 == 'u', c == fullWidth:
			return true
		case c >= 0xc0 && asciiLeads[c] > 0:
			return true
		}
	}
	return false
}

// decodeOdd is decodeOnce as some servers do it: %uXXXX is a character (IIS and its http.sys), and a character of ASCII may
// also stand in a longer form of UTF-8 than its own (old servers of Java and Microsoft) or in its full-width form.
func decodeOdd(path string) string {
	b := make([]byte, 0, len(path))
	for i := 0; i < len(path); i++ {
		if path[i] == '%' && i+5 < len(path) && path[i+1]|0x20 == 'u' {
			if r, ok := unhex4(path[i+2 : i+6]); ok {
				b = utf8.AppendRune(b, r)
				i += 5
				continue
			}
		}
		b = append(b, path[i])
	}
	b = []byte(decodeOnce(string(b)))
	out := b[:0] // it is never ahead of what is read
	for len(b) > 0 {
		c, n := asciiOf(b)
		if n == 0 {
			c, n = b[0], 1
		}
		out, b = append(out, c), b[n:]
	}
	return string(out)
}

func unhex4(s string) (r rune, ok bool) {
	for i := range 4 {
		digit, ok := unhex(s[i])
		if !ok {
			return 0, false
		}
		r = r<<4 | rune(digit)
	}
	return r, true
}

// asciiOf gives the character of ASCII that b begins with in a form other than its own, and how many bytes that has; 0 if
// there is none.
func asciiOf(b []byte) (c byte, n int) {
	if b[0] == fullWidth {
		if r, n := utf8.DecodeRune(b); r >= '\uff01' && r <= '\uff5e' {
			return byte(r - 0xfee0), n
		}
		return 0, 0
	}
	n = asciiLeads[b[0]]
	if n == 0 || n > len(b) {
		return 0, 0
	}
	value := rune(b[0] & 1) // of 0xc1; the others have no bits that count
	for _, next := range b[1:n] {
		if next&0xc0 != 0x80 {
			return 0, 0
		}
		value = value<<6 | rune(next&0x3f)
	}
	if value >= utf8.RuneSelf {
		return 0, 0 // its own form
	}
	return byte(value), n
}
