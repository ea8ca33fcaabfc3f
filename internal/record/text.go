package record

import (
	"unicode/utf8"
	"unsafe"

	"github.com/tapway/tapway/internal/jsonstring"
)

// appendText writes s as a JSON string. Bytes that are not UTF-8, as old clients send them in headers and
// paths, are read as ISO-8859-1 (RFC 9110 §5.5), so that nothing is lost and the record stays valid.
func appendText(dst []byte, s string) []byte {
	b := unsafe.Slice(unsafe.StringData(s), len(s)) // which is only read
	plain := jsonstring.Plain(b)
	if plain == len(b) {
		return append(append(append(dst, '"'), s...), '"')
	}
	if !jsonstring.Valid(b[plain:]) {
		return appendLatin1(dst, s)
	}
	return jsonstring.AppendBytes(dst, b)
}

func appendTextOrNull(dst []byte, s string) []byte {
	if s == "" {
		return append(dst, "null"...)
	}
	return appendText(dst, s)
}

func appendLatin1(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c >= utf8.RuneSelf:
			dst = utf8.AppendRune(dst, rune(c))
		case special[c]:
			dst = appendEscape(dst, c)
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	const digits = "0123456789abcdef"
	return append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
}

// special marks the bytes that appendText cannot copy without a look: controls, quote,
// backslash and everything beyond ASCII.
var special = func() (t [256]bool) {
	for i := range t {
		t[i] = i < 0x20 || i == '"' || i == '\\' || i >= utf8.RuneSelf
	}
	return t
}()
