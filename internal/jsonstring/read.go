package jsonstring

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// Fault is what is wrong with a string.
type Fault uint8

const (
	Sound     Fault = iota
	Unended         // the text ends within it
	Control         // it holds a control character
	BadEscape       // a backslash before what may not follow one
)

// Text is what Scan and Take have found. Of a string that is not Sound only End and Fault count.
type Text struct {
	Len     int  // by Take: of what the string says
	End     int  // where the closing quote is, or what is wrong
	Escaped bool // there is an escape
	Wide    bool // there are bytes beyond ASCII, which nobody has checked, or by Take characters beyond ASCII
	Fault   Fault
}

// Scan checks the JSON string whose inside begins at data[at], and finds its end.
func Scan(data []byte, at int) Text {
	var high uint64
	escaped := false
	i := at
	for {
		if i+word > len(data) {
			for i < len(data) && growth[data[i]] == 0 {
				high |= uint64(data[i]) & 0x80
				i++
			}
		} else {
			w := binary.LittleEndian.Uint64(data[i:])
			m := specials(w)
			if m == 0 {
				high |= w & highs
				i += word
				continue
			}
			high |= w & highs & (m&-m - 1) // of the bytes before the first special one
			i += bits.TrailingZeros64(m) / 8
		}
		switch {
		case i == len(data):
			return Text{End: i, Fault: Unended}
		case data[i] == '"':
			return Text{End: i, Escaped: escaped, Wide: high != 0}
		case data[i] != '\\':
			return Text{End: i, Fault: Control}
		}
		escaped = true
		size := escapeSize(data[i:])
		if size == 0 {
			return Text{End: min(i+1, len(data)), Fault: BadEscape}
		}
		i += size
	}
}

// escapeSize is the length of the escape that b begins with, 0 if it is none.
func escapeSize(b []byte) int {
	switch {
	case len(b) < 2:
		return 0
	case short[b[1]] != 0:
		return 2
	case b[1] == 'u' && len(b) >= 6 && Hex4(b[2:]) >= 0:
		return 6
	}
	return 0
}

// short is what a byte behind a backslash stands for; 0 if it may not stand there alone.
var short = func() (t [256]byte) {
	for _, c := range []byte(`"\/bfnrt`) {
		t[c] = meant[c]
	}
	return t
}()

// Take is Scan and [Unescape] in one pass: what the string says is written over its inside, to data[at:at+t.Len].
// Lone surrogates become U+FFFD; bytes that are no UTF-8 stay as they are. What lies behind t.End is untouched;
// of a string that is not Sound the inside is lost.
func Take(data []byte, at int) Text {
	var high uint64
	escaped := false
	i, n := at, at // what is read next, where the next byte goes
	for {
		if i-n >= word {
			i, n, high = takeWords(data, i, n, high)
		}
		if i+word > len(data) {
			for i < len(data) && growth[data[i]] == 0 {
				high |= uint64(data[i]) & 0x80
				data[n] = data[i]
				i, n = i+1, n+1
			}
		} else {
			w := binary.LittleEndian.Uint64(data[i:])
			m := specials(w)
			if m == 0 {
				high |= w & highs
				binary.LittleEndian.PutUint64(data[n:], w)
				i, n = i+word, n+word
				continue
			}
			high |= w & highs & (m&-m - 1)
			k := bits.TrailingZeros64(m) / 8
			if n+word <= i+k { // what is written too much is not read again
				binary.LittleEndian.PutUint64(data[n:], w)
			} else if n != i {
				copy(data[n:n+k], data[i:i+k])
			}
			i, n = i+k, n+k
		}
		switch {
		case i == len(data):
			return Text{End: i, Fault: Unended}
		case data[i] == '"':
			return Text{Len: n - at, End: i, Escaped: escaped, Wide: high != 0}
		case data[i] != '\\':
			return Text{End: i, Fault: Control}
		}
		escaped = true
		if i+1 < len(data) {
			if c := short[data[i+1]]; c != 0 {
				data[n] = c
				i, n = i+2, n+1
				continue
			}
		}
		if escapeSize(data[i:]) == 0 {
			return Text{End: min(i+1, len(data)), Fault: BadEscape}
		}
		r, next := unicodeEscape(data, i)
		if r >= utf8.RuneSelf {
			high |= 0x80
		}
		i, n = next, n+utf8.EncodeRune(data[n:i+6], r)
	}
}

// takeWords is the way of Take through what is usual: plain text and escapes of one character. It goes from word to word,
// and not from one escape to the next, so that the processor can begin with a word before it is through with the last. Blocks go
// on as soon as n is far enough behind i. It ends where something else is, or less than a word is left. n is at least a word
// behind i, so that whole words can be written: what they overwrite is in w.
func takeWords(data []byte, i, n int, high uint64) (int, int, uint64) {
	const pair = 0x8080 // the marks of an escape's two bytes
words:
	for i+word <= len(data) {
		if i-n >= stride && i+window <= len(data) {
			return takeBlocks(data, i, n, high)
		}
		w := binary.LittleEndian.Uint64(data[i:])
		escapes := slashes(w)
		marks := escapes | quotes(w)
		done := 0 // bytes of the word that are written
		for marks != 0 {
			at := bits.TrailingZeros64(marks) &^ 7
			k := at / 8
			binary.LittleEndian.PutUint64(data[n:], w>>(8*done&63))
			n += k - done
			if escapes>>at&0x80 == 0 {
				return i + k, n, high | w&highs&(1<<at-1)
			}
			if k == word-1 {
				if i+word == len(data) || short[data[i+word]] == 0 {
					return i + k, n, high | w&highs&(1<<at-1)
				}
				data[n] = short[data[i+word]]
				n++
				high |= w & highs
				i += word + 1
				continue words
			}
			c := short[byte(w>>(at+8))]
			if c == 0 {
				return i + k, n, high | w&highs&(1<<at-1)
			}
			data[n] = c
			n++
			done = k + 2
			marks &^= pair << at
		}
		high |= w & highs
		if done < word {
			binary.LittleEndian.PutUint64(data[n:], w>>(8*done&63))
			n += word - done
		}
		i += word
	}
	return i, n, high
}
