// Package jsonstring writes and reads the inside of JSON strings (RFC 8259 §7), eight bytes at a time and in long strings 64.
//
// What a newcomer gets wrong: on AWS Lambda every body passes as a JSON string, in the event,
// in the reply and in the message to SQS, and a body that is JSON itself has something to
// escape every few bytes. A loop that looks at each byte is then most of what the function
// costs. Nothing here checks UTF-8: that is the caller's, who mostly knows already.
package jsonstring

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
	lows  = 0x7f7f7f7f7f7f7f7f

	word = 8
	most = 6 // bytes of one escaped byte

	slack = 3 * word // eight bytes that are all escaped take 15 before the last, which is written as a whole word
)

// zeros has the high bit of every byte of w that is 0, and no other bit.
func zeros(w uint64) uint64 { return ^((w&lows + lows) | w) & highs }

// controls has the high bit of every byte of w below 0x20.
func controls(w uint64) uint64 { return ^((w&lows + ones*(0x80-0x20)) | w) & highs }

// quotes has the high bit of every byte of w that is a quote or a control character: when their second bit is turned, these
// alone are at most 0x20.
func quotes(w uint64) uint64 { return ^((w&lows ^ ones*2) + ones*(0x80-0x21) | w) & highs }

// slashes has the high bit of every byte of w that is a backslash.
func slashes(w uint64) uint64 { return ^((w&lows ^ ones*'\\') + lows | w) & highs }

// specials has the high bit of every byte of w that cannot stand in a string as it is: quotes and slashes, in fewer steps.
func specials(w uint64) uint64 {
	return ^(((w&lows^ones*2)+ones*(0x80-0x21))&((w&lows^ones*'\\')+lows) | w) & highs
}

// Plain is how many bytes at the start of s are ASCII and stand for themselves.
func Plain(s []byte) int {
	i := 0
	for ; i+word <= len(s); i += word {
		w := binary.LittleEndian.Uint64(s[i:])
		if m := specials(w) | w&highs; m != 0 {
			return i + bits.TrailingZeros64(m)/8
		}
	}
	for i < len(s) && s[i] < utf8.RuneSelf && growth[s[i]] == 0 {
		i++
	}
	return i
}

// Printable is how many bytes at the start of s are neither ASCII's control characters nor DEL.
func Printable(s string) int {
	b := unsafe.Slice(unsafe.StringData(s), len(s)) // it is only read
	i := 0
	for ; i+word <= len(b); i += word {
		w := binary.LittleEndian.Uint64(b[i:])
		if m := controls(w) | zeros(w^ones*0x7f); m != 0 {
			return i + bits.TrailingZeros64(m)/8
		}
	}
	for i < len(b) && b[i] >= ' ' && b[i] != 0x7f {
		i++
	}
	return i
}

// growth is by how much a byte grows in a JSON string.
var growth = func() (t [256]uint8) {
	for c := range ' ' {
		t[c] = 5
	}
	for _, c := range "\"\\\n\r\t" {
		t[c] = 1
	}
	return t
}()

// Valid is utf8.Valid, and as fast between characters beyond ASCII as it is before the first.
func Valid(s []byte) bool {
	for i := 0; i < len(s); {
		if i+word <= len(s) {
			if m := binary.LittleEndian.Uint64(s[i:]) & highs; m == 0 {
				i += word
				for i+4*word <= len(s) && ascii((*[4 * word]byte)(s[i:])) {
					i += 4 * word
				}
				continue
			} else {
				i += bits.TrailingZeros64(m) / 8
			}
		}
		if s[i] < utf8.RuneSelf {
			i++
			continue
		}
		r, size := utf8.DecodeRune(s[i:])
		if r == utf8.RuneError && size == 1 {
			return false
		}
		i += size
	}
	return true
}

// ascii looks at four words at once, which pays where one word was ASCII already.
func ascii(b *[4 * word]byte) bool {
	w0, w1 := binary.LittleEndian.Uint64(b[0:]), binary.LittleEndian.Uint64(b[word:])
	w2, w3 := binary.LittleEndian.Uint64(b[2*word:]), binary.LittleEndian.Uint64(b[3*word:])
	return (w0|w1|w2|w3)&highs == 0
}

// EscapedLen is how many bytes Append makes of s, without the quotes.
func EscapedLen(s []byte) int {
	n, i := len(s), 0
	for ; i+word <= len(s); i += word {
		w := binary.LittleEndian.Uint64(s[i:])
		n += bits.OnesCount64(zeros(w^ones*'"') | zeros(w^ones*'\\'))
		for m := controls(w); m != 0; m &= m - 1 {
			n += int(growth[s[i+bits.TrailingZeros64(m)/8]])
		}
	}
	for ; i < len(s); i++ {
		n += int(growth[s[i]])
	}
	return n
}

// Append adds s to dst as a JSON string with its quotes. s should be UTF-8; its bytes beyond ASCII are copied
// as they are.
func Append(dst []byte, s string) []byte {
	return AppendBytes(dst, unsafe.Slice(unsafe.StringData(s), len(s))) // which only reads it
}

// AppendBytes is Append for bytes.
func AppendBytes(dst, s []byte) []byte {
	dst, _ = AppendInside(append(dst, '"'), s)
	return append(dst, '"')
}

// AppendInside is AppendBytes without the quotes, for strings that come in pieces. wide tells of bytes beyond ASCII.
func AppendInside(dst, s []byte) (out []byte, wide bool) {
	var high uint64
	i := 0
	for {
		// What is left as it is, and room to write whole words.
		if need := len(s) - i + slack; cap(dst)-len(dst) < need {
			dst = slices.Grow(dst, need+need/8)
		}
		n := len(dst)
		out := dst[:cap(dst)]
		if i+window <= len(s) { // which spares short strings the call
			i, n, high = appendBlocks(out, n, s, i, high)
		}
		for i+word <= len(s) && n+slack <= len(out) {
			w := binary.LittleEndian.Uint64(s[i:])
			high |= w
			if m := specials(w); m == 0 {
				binary.LittleEndian.PutUint64(out[n:], w)
				i, n = i+word, n+word
			} else if controls(w) == 0 {
				done := 0 // bytes of the word that are written
				for ; m != 0; m &= m - 1 {
					k := bits.TrailingZeros64(m) / 8
					binary.LittleEndian.PutUint64(out[n:], w>>(8*done&63))
					n += k - done
					out[n] = '\\'
					n++
					done = k
				}
				binary.LittleEndian.PutUint64(out[n:], w>>(8*done&63))
				n += word - done
				i += word
			} else {
				for range word {
					n += putEscape(out[n:], s[i])
					i++
					if n+most > len(out) {
						break
					}
				}
			}
		}
		for i+word > len(s) && i < len(s) && n+most <= len(out) {
			high |= uint64(s[i])
			n += putEscape(out[n:], s[i])
			i++
		}
		dst = out[:n]
		if i == len(s) {
			return dst, high&highs != 0
		}
	}
}

const hexDigits = "0123456789abcdef"

// putEscape writes c as it stands in a string and gives its length. There is room for the longest.
func putEscape(out []byte, c byte) int {
	if growth[c] == 0 {
		out[0] = c
		return 1
	}
	out[0] = '\\'
	switch c {
	case '"', '\\':
		out[1] = c
	case '\n':
		out[1] = 'n'
	case '\r':
		out[1] = 'r'
	case '\t':
		out[1] = 't'
	default:
		copy(out[1:], "u00")
		out[4], out[5] = hexDigits[c>>4], hexDigits[c&15]
		return 6
	}
	return 2
}

// Hex4 reads four hex digits; -1 if they are not.
func Hex4(b []byte) rune {
	var r rune
	for _, c := range b[:4] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

// Unescape writes what the inside of a JSON string says to the front of dst, and gives its length,
// which is at most that of raw. raw must be UTF-8 and its escapes must be sound; lone surrogates become U+FFFD,
// as in encoding/json. dst is at least as long as raw, and may be raw itself.
func Unescape(dst, raw []byte) int {
	if len(raw) == 0 {
		return 0
	}
	apart := &dst[0] != &raw[0]
	n, i := 0, 0
	for i < len(raw) {
		switch {
		case i+word <= len(raw):
			w := binary.LittleEndian.Uint64(raw[i:])
			m := slashes(w)
			if m == 0 {
				binary.LittleEndian.PutUint64(dst[n:], w)
				i, n = i+word, n+word
				continue
			}
			k := bits.TrailingZeros64(m) / 8
			if apart || n+word <= i+k { // what is written too much is not read again
				binary.LittleEndian.PutUint64(dst[n:], w)
			} else {
				copy(dst[n:n+k], raw[i:i+k])
			}
			i, n = i+k, n+k
		case raw[i] != '\\':
			dst[n] = raw[i]
			i, n = i+1, n+1
			continue
		}
		c := raw[i+1]
		if c == 'u' {
			var r rune
			r, i = unicodeEscape(raw, i)
			n += utf8.EncodeRune(dst[n:], r)
			continue
		}
		dst[n] = meant[c]
		i, n = i+2, n+1
	}
	return n
}

// unicodeEscape reads the \u at i, and the other half of a surrogate pair.
func unicodeEscape(raw []byte, i int) (rune, int) {
	r := Hex4(raw[i+2:])
	i += 6
	if utf16.IsSurrogate(r) {
		if len(raw) >= i+6 && raw[i] == '\\' && raw[i+1] == 'u' {
			if pair := utf16.DecodeRune(r, Hex4(raw[i+2:])); pair != utf8.RuneError {
				return pair, i + 6
			}
		}
	}
	return r, i // utf8.EncodeRune makes U+FFFD of a surrogate
}

// meant is what the byte behind a backslash stands for.
var meant = func() (t [256]byte) {
	for i := range t {
		t[i] = byte(i)
	}
	t['b'], t['f'], t['n'], t['r'], t['t'] = '\b', '\f', '\n', '\r', '\t'
	return t
}()
