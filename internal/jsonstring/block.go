package jsonstring

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

const (
	block  = 64             // bytes, of which each has a bit in a mask
	stride = 16             // bytes that are moved at once: a vector register
	window = block + stride // what may be read and written where a block begins

	gather = 0x0002040810204081 // moves the bits 8j+7 of a word by 49-7j, so that they become its highest eight

	worst = 512 + stride
)

// wordAt is the word of b that begins at k.
func wordAt(b *[window]byte, k int) uint64 { return binary.LittleEndian.Uint64(b[k:]) }

// gathered are the high bits of a word's eight bytes, as the lowest eight.
func gathered(m uint64) uint64 { return m * gather >> (block - word) }

// marked has a bit for every byte of the block that cannot stand in a string as it is. high has the high bits of bytes beyond
// ASCII.
//
//go:noinline
func marked(b *[window]byte) (marks, high uint64) {
	w0, w1, w2, w3 := wordAt(b, 0), wordAt(b, 8), wordAt(b, 16), wordAt(b, 24)
	w4, w5, w6, w7 := wordAt(b, 32), wordAt(b, 40), wordAt(b, 48), wordAt(b, 56)
	marks = gathered(specials(w0)) | gathered(specials(w1))<<8 | gathered(specials(w2))<<16 | gathered(specials(w3))<<24 |
		gathered(specials(w4))<<32 | gathered(specials(w5))<<40 | gathered(specials(w6))<<48 | gathered(specials(w7))<<56
	return marks, w0 | w1 | w2 | w3 | w4 | w5 | w6 | w7
}

// escapeBlock writes a block as it stands in a string, and gives its length. It goes from mark to mark.
func escapeBlock(out *[worst]byte, b *[window]byte, marks uint64) int {
	done, more := 0, 0
	_, _ = out[0], b[0]
	for ; marks != 0; marks &= marks - 1 {
		at := bits.TrailingZeros64(marks)
		*(*[stride]byte)(out[(done+more)&511:]) = *(*[stride]byte)(b[done&63:])
		for k := done + stride; k < at; k += stride {
			*(*[stride]byte)(out[(k+more)&511:]) = *(*[stride]byte)(b[k&63:])
		}
		if c := b[at&63]; c < ' ' {
			more += putEscape(out[(at+more)&511:], c) - 1
			done = at + 1
			continue
		}
		out[(at+more)&511] = '\\'
		more++
		done = at
	}
	for k := done; k < block; k += stride {
		*(*[stride]byte)(out[(k+more)&511:]) = *(*[stride]byte)(b[k&63:])
	}
	return block + more
}

// appendBlocks writes whole blocks of s from i on as they stand in a string to out[n:], as long as there is room for the worst.
func appendBlocks(out []byte, n int, s []byte, i int, high uint64) (int, int, uint64) {
	for i+window <= len(s) && n+worst <= len(out) {
		b := (*[window]byte)(s[i:])
		marks, wide := marked(b)
		high |= wide
		n += escapeBlock((*[worst]byte)(out[n:]), b, marks)
		i += block
	}
	return i, n, high
}

// begins has a bit for every backslash of the block that begins an escape, and stops one for every byte that ends a string, and for quotes behind a
// backslash too.
//
//go:noinline
func escaped(b *[window]byte) (backslashes, stops, high uint64) {
	w0, w1, w2, w3 := wordAt(b, 0), wordAt(b, 8), wordAt(b, 16), wordAt(b, 24)
	w4, w5, w6, w7 := wordAt(b, 32), wordAt(b, 40), wordAt(b, 48), wordAt(b, 56)
	backslashes = gathered(slashes(w0)) | gathered(slashes(w1))<<8 | gathered(slashes(w2))<<16 | gathered(slashes(w3))<<24 |
		gathered(slashes(w4))<<32 | gathered(slashes(w5))<<40 | gathered(slashes(w6))<<48 | gathered(slashes(w7))<<56
	stops = gathered(quotes(w0)) | gathered(quotes(w1))<<8 | gathered(quotes(w2))<<16 | gathered(quotes(w3))<<24 |
		gathered(quotes(w4))<<32 | gathered(quotes(w5))<<40 | gathered(quotes(w6))<<48 | gathered(quotes(w7))<<56
	return backslashes, stops, (w0 | w1 | w2 | w3 | w4 | w5 | w6 | w7) & highs
}

// beginnings are those of the backslashes of a block that begin an escape, which the first of a row does, and every second behind it.
// Adding the first ones of rows makes each row a carry that leaves it, so that it can be told by where it begins.
func beginnings(backslashes uint64) uint64 {
	const even = 0x5555555555555555
	first := backslashes &^ (backslashes << 1)
	fromEven := backslashes &^ (backslashes + first&even)
	return fromEven&even | backslashes&^fromEven&^even
}

// takeBlocks is the way of Take through whole blocks, up to what ends the string or is wrong in it. n is at least a stride
// behind i, so that whole strides can be written: what they overwrite has been read.
func takeBlocks(data []byte, i, n int, high uint64) (int, int, uint64) {
	for i+window <= len(data) {
		b, out := (*[window]byte)(data[i:]), (*[window]byte)(data[n:])
		backslashes, stops, wide := escaped(b)
		begin := beginnings(backslashes)
		end := block - int(begin>>(block-1)) // a backslash that is the last byte is left to the next block
		if stops &^= begin << 1; stops != 0 {
			end = bits.TrailingZeros64(stops)
			wide = 0
			for _, c := range b[:end] {
				wide |= uint64(c) & 0x80
			}
		}
		high |= wide
		at, less := 0, 0
		for at < end {
			at, less = unescapeBlock(out, b, begin&(1<<end-1)>>at<<at, at, less, end)
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
			at = next
		}
		i, n = i+at, n+at-less
		if stops != 0 {
			break
		}
	}
	return i, n, high
}

// unescapeBlock writes what the block says from done to end, or up to an escape that is not of one character. begin has the escapes between, less is by
// how much shorter what it says is.
func unescapeBlock(out, b *[window]byte, begin uint64, done, less, end int) (int, int) {
	_ = out[0]
	first := b[done&63]
	for ; begin != 0; begin &= begin - 1 {
		at := bits.TrailingZeros64(begin)
		next := short[b[(at+1)&63]]
		*(*[stride]byte)(out[(done-less)&63:]) = *(*[stride]byte)(b[done&63:])
		out[(done-less)&63] = first
		for k := done + stride; k < at; k += stride {
			*(*[stride]byte)(out[(k-less)&63:]) = *(*[stride]byte)(b[k&63:])
		}
		if first = next; first == 0 {
			return at, less
		}
		less++
		done = at + 1
	}
	*(*[stride]byte)(out[(done-less)&63:]) = *(*[stride]byte)(b[done&63:])
	out[(done-less)&63] = first
	for k := done + stride; k < end; k += stride {
		*(*[stride]byte)(out[(k-less)&63:]) = *(*[stride]byte)(b[k&63:])
	}
	return end, less
}
