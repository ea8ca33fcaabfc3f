package record

import (
	"encoding/binary"
	"math/bits"
)

// validJSON reports whether b is one JSON text (RFC 8259) that nests depth levels at most, as json.Valid does but for the depth: what is no
// UTF-8 passes, because it stands for itself. The depth is bounded because this recurses and a stranger chooses it.
func validJSON(b []byte, depth int) bool {
	i := jsonValue(b, jsonSpace(b, 0), depth)
	return i >= 0 && jsonSpace(b, i) == len(b)
}

// jsonSpace gives where the white space from i on ends.
func jsonSpace(b []byte, i int) int {
	for i < len(b) && b[i] <= ' ' && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// jsonValue gives where the value at i ends, -1 if there is none or it is too deep.
func jsonValue(b []byte, i, depth int) int {
	if i >= len(b) {
		return -1
	}
	switch c := b[i]; {
	case c == '"':
		return jsonText(b, i+1)
	case c == '{':
		return jsonObject(b, jsonSpace(b, i+1), depth-1)
	case c == '[':
		return jsonArray(b, jsonSpace(b, i+1), depth-1)
	case c == '-' || '0' <= c && c <= '9':
		return jsonNumber(b, i)
	}
	for _, word := range [...]string{"true", "false", "null"} {
		if len(b)-i >= len(word) && string(b[i:i+len(word)]) == word {
			return i + len(word)
		}
	}
	return -1
}

// jsonObject is behind the brace and the space that follows it; depth is what may nest within.
func jsonObject(b []byte, i, depth int) int {
	if depth < 0 || i >= len(b) {
		return -1
	}
	if b[i] == '}' {
		return i + 1
	}
	for {
		if i >= len(b) || b[i] != '"' {
			return -1
		}
		if i = jsonText(b, i+1); i < 0 {
			return -1
		}
		if i = jsonSpace(b, i); i >= len(b) || b[i] != ':' {
			return -1
		}
		if i = jsonValue(b, jsonSpace(b, i+1), depth); i < 0 {
			return -1
		}
		if i = jsonSpace(b, i); i >= len(b) {
			return -1
		}
		switch b[i] {
		case ',':
			i = jsonSpace(b, i+1)
		case '}':
			return i + 1
		default:
			return -1
		}
	}
}

// jsonArray is behind the bracket and the space that follows it; depth is what may nest within.
func jsonArray(b []byte, i, depth int) int {
	if depth < 0 || i >= len(b) {
		return -1
	}
	if b[i] == ']' {
		return i + 1
	}
	for {
		if i = jsonValue(b, i, depth); i < 0 {
			return -1
		}
		if i = jsonSpace(b, i); i >= len(b) {
			return -1
		}
		switch b[i] {
		case ',':
			i = jsonSpace(b, i+1)
		case ']':
			return i + 1
		default:
			return -1
		}
	}
}

// jsonText is behind the first quote.
func jsonText(b []byte, i int) int {
	for {
		i = textEnd(b, i)
		if i >= len(b) {
			return -1
		}
		switch b[i] {
		case '"':
			return i + 1
		case '\\':
			if i++; i >= len(b) {
				return -1
			}
			switch b[i] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
				i++
			case 'u':
				if len(b)-i < 5 || !isHex(b[i+1]) || !isHex(b[i+2]) || !isHex(b[i+3]) || !isHex(b[i+4]) {
					return -1
				}
				i += 5
			default:
				return -1
			}
		default: // a control character
			return -1
		}
	}
}

// textEnd gives where the next quote, backslash or control character is, len(b) if there is none. It looks at eight bytes
// at once: in each of the three words the lowest set bit is that of the first such byte, since a borrow only comes from below.
func textEnd(b []byte, i int) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for ; len(b)-i >= 8; i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		quote, slash := w^('"'*ones), w^('\\'*ones)
		if found := ((w-' '*ones)&^w | (quote-ones)&^quote | (slash-ones)&^slash) & tops; found != 0 {
			return i + bits.TrailingZeros64(found)>>3
		}
	}
	for ; i < len(b); i++ {
		if c := b[i]; c == '"' || c == '\\' || c < ' ' {
			return i
		}
	}
	return i
}

func isHex(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f' }

// jsonNumber is at the minus or the first digit.
func jsonNumber(b []byte, i int) int {
	if b[i] == '-' {
		i++
	}
	switch {
	case i >= len(b):
		return -1
	case b[i] == '0':
		i++
	default:
		if i = jsonDigits(b, i); i < 0 {
			return -1
		}
	}
	if i < len(b) && b[i] == '.' {
		if i = jsonDigits(b, i+1); i < 0 {
			return -1
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		i = jsonDigits(b, i)
	}
	return i
}

// jsonDigits gives where the digits from i on end, -1 if there are none.
func jsonDigits(b []byte, i int) int {
	from := i
	for i < len(b) && '0' <= b[i] && b[i] <= '9' {
		i++
	}
	if i == from {
		return -1
	}
	return i
}
