package record

import (
	"unicode/utf8"
	"unsafe"
)

// appendText writes s as a JSON string. Bytes that are not UTF-8, as old clients send them in headers and
// paths, are read as ISO-8859-1 (RFC 9110 §5.5), so that nothing is lost and the record stays valid.
func appendText(dst []byte, s string) []byte {
	mark := len(dst)
	dst = append(dst, '"')
	start, checked := 0, false
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !special[c] {
			continue
		}
		if c >= utf8.RuneSelf {
			if checked {
				continue
			}
			if checked = utf8.ValidString(s[i:]); checked {
				continue
			}
			return appendLatin1(dst[:mark], s)
		}
		dst = appendEscape(append(dst, s[start:i]...), c)
		start = i + 1
	}
	return append(append(dst, s[start:]...), '"')
}

func appendTextOrNull(dst []byte, s string) []byte {
	if s == "" {
		return append(dst, "null"...)
	}
	return appendText(dst, s)
}

// appendBytes is appendText for bytes known to be UTF-8.
func appendBytes(dst, b []byte) []byte {
	return appendText(dst, unsafe.String(unsafe.SliceData(b), len(b)))
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
