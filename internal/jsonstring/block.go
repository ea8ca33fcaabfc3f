package jsonstring

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// How many bytes of a word have to be escaped is what a processor cannot foresee in JSON, and a loop over words waits for it at
// every word. So the marks of a whole block are gathered first, and what lies between two of them is moved by a whole stride,
// whatever its length: only the number of marks in a block, and lengths above a stride, are left to be guessed.
const (
	block  = 64             // bytes, each of which has a bit in the masks
	stride = 16             // bytes moved at once, as many as a vector register has
	window = block + stride // what is read and written from where a block begins
	spread = 512            // at least what a block can become in a string, which is most*block

	// gather moves the bits 8j+7 of a word to 56+j, each by another power of two, and no sum of others comes there.
	gather = 0x0002040810204081
)

// word8 is the word of b that begins at k.
func word8(b *[window]byte, k int) uint64 { return binary.LittleEndian.Uint64(b[k:]) }

// gathered are the high bits of a word's bytes, as the lowest eight bits. All others of m are 0.
func gathered(m uint64) uint64 { return m * gather >> (block - word) }

// toEscape marks every byte of the block that cannot stand in a string as it is. high has the high bits of bytes beyond ASCII.
// It is a function of its own because it needs all registers.
//
//go:noinline
func toEscape(b *[window]byte) (marks, high uint64) {
	w0, w1, w2, w3 := word8(b, 0), word8(b, 8), word8(b, 16), word8(b, 24)
	w4, w5, w6, w7 := word8(b, 32), word8(b, 40), word8(b, 48), word8(b, 56)
	marks = gathered(specials(w0)) | gathered(specials(w1))<<8 | gathered(specials(w2))<<16 | gathered(specials(w3))<<24 |
		gathered(specials(w4))<<32 | gathered(specials(w5))<<40 | gathered(specials(w6))<<48 | gathered(specials(w7))<<56
	return marks, (w0 | w1 | w2 | w3 | w4 | w5 | w6 | w7) & highs
}

// toUnescape marks the backslashes of the block, and apart from them its quotes and control characters. It is otherwise as toEscape.
//
//go:noinline
func toUnescape(b *[window]byte) (backslashes, stops, high uint64) {
	w0, w1, w2, w3 := word8(b, 0), word8(b, 8), word8(b, 16), word8(b, 24)
	w4, w5, w6, w7 := word8(b, 32), word8(b, 40), word8(b, 48), word8(b, 56)
	backslashes = gathered(slashes(w0)) | gathered(slashes(w1))<<8 | gathered(slashes(w2))<<16 | gathered(slashes(w3))<<24 |
		gathered(slashes(w4))<<32 | gathered(slashes(w5))<<40 | gathered(slashes(w6))<<48 | gathered(slashes(w7))<<56
	stops = gathered(quotes(w0)) | gathered(quotes(w1))<<8 | gathered(quotes(w2))<<16 | gathered(quotes(w3))<<24 |
		gathered(quotes(w4))<<32 | gathered(quotes(w5))<<40 | gathered(quotes(w6))<<48 | gathered(quotes(w7))<<56
	return backslashes, stops, (w0 | w1 | w2 | w3 | w4 | w5 | w6 | w7) & highs
}

// appendBlocks is the way of AppendInside through whole blocks. It ends where less than a window is left, or less room than
// the worst block takes.
func appendBlocks(out []byte, n int, s []byte, i int, high uint64) (int, int, uint64) {
	for i+window <= len(s) && n+spread+stride <= len(out) {
		b := (*[window]byte)(s[i:])
		marks, wide := toEscape(b)
		n += escapeBlock((*[spread + stride]byte)(out[n:]), b, marks)
		i, high = i+block, high|wide
	}
	return i, n, high
}

// escapeBlock writes a block as it stands in a string, and gives its length then. Each index is in range; that it is masked
// spares its check.
func escapeBlock(out *[spread + stride]byte, b *[window]byte, marks uint64) int {
	_, _ = out[0], b[0] // neither is nil, which would be checked for every mark
	done, more := 0, 0  // bytes of the block that are written, and how many more they have become
	for ; marks != 0; marks &= marks - 1 {
		at := bits.TrailingZeros64(marks)
		for k := done; k < at; k += stride {
			*(*[stride]byte)(out[(k+more)&(spread-1):]) = *(*[stride]byte)(b[k&(block-1):])
		}
		if c := b[at&(block-1)]; c < ' ' {
			more += putEscape(out[(at+more)&(spread-1):], c) - 1
			done = at + 1
		} else {
			out[(at+more)&(spread-1)] = '\\' // the byte itself begins the next piece
			more++
			done = at
		}
	}
	for k := done; k < block; k += stride {
		*(*[stride]byte)(out[(k+more)&(spread-1):]) = *(*[stride]byte)(b[k&(block-1):])
	}
	return block + more
}

// takeBlocks is the way of Take through whole blocks. It ends at what ends the string or is wrong in it, or where less than a
// window is left. n is at least a stride behind i: what is written too much is not read again.
func takeBlocks(data []byte, i, n int, high uint64) (int, int, uint64) {
	for i+window <= len(data) {
		b, out := (*[window]byte)(data[i:]), (*[window]byte)(data[n:])
		backslashes, stops, wide := toUnescape(b)
		escapes := beginnings(backslashes)
		end := block - int(escapes>>(block-1)) // an escape that begins with the last byte is left to the next block
		if stops &^= escapes << 1; stops != 0 {
			end, wide = bits.TrailingZeros64(stops), 0
			for _, c := range b[:end] {
				wide |= uint64(c) & 0x80
			}
		}
		high |= wide
		at, less := 0, 0
		for at < end {
			at, less = unescapeBlock(out, b, escapes&(1<<end-1)>>at<<at, at, less, end)
			if at == end {
				break
			}
			if escapeSize(b[at:]) == 0 {
				return i + at, n + at - less, high
			}
			r, next := unicodeEscape(b[:], at)
			if r >= utf8.RuneSelf {
				high |= 0x80
			}
			less = next - (at - less + utf8.EncodeRune(out[at-less:], r))
			at = next // which may be behind the end
		}
		if i, n = i+at, n+at-less; stops != 0 {
			break
		}
	}
	return i, n, high
}

// beginnings are the backslashes that begin an escape: the first of a row, and every second behind it. With the first of a
// row added to it, the row becomes a carry; so those that begin at an even place are told from the others.
func beginnings(backslashes uint64) uint64 {
	const even = 0x5555555555555555
	first := backslashes &^ (backslashes << 1)
	fromEven := backslashes &^ (backslashes + first&even)
	return fromEven&even | backslashes&^fromEven&^even
}

// unescapeBlock writes what the block says from done to end, or up to an escape that is not of one character, and gives where
// it ended. escapes are those between; less is how many bytes less have been written than read, before and after.
func unescapeBlock(out, b *[window]byte, escapes uint64, done, less, end int) (int, int) {
	_ = out[0]                 // as in escapeBlock
	first := b[done&(block-1)] // of the next piece: what an escape stands for, and not the byte behind its backslash
	for ; escapes != 0; escapes &= escapes - 1 {
		at := bits.TrailingZeros64(escapes)
		next := short[b[(at+1)&(block-1)]]
		*(*[stride]byte)(out[(done-less)&(block-1):]) = *(*[stride]byte)(b[done&(block-1):]) // without a guess, too
		out[(done-less)&(block-1)] = first
		for k := done + stride; k < at; k += stride {
			*(*[stride]byte)(out[(k-less)&(block-1):]) = *(*[stride]byte)(b[k&(block-1):])
		}
		if next == 0 {
			return at, less
		}
		first, done, less = next, at+1, less+1
	}
	for k := done; k < end; k += stride {
		*(*[stride]byte)(out[(k-less)&(block-1):]) = *(*[stride]byte)(b[k&(block-1):])
	}
	out[(done-less)&(block-1)] = first
	return end, less
}
