package redact

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"
)

// search answers in one fast pass whether any of a set of names can stand in a text: yes too
// often, but never wrongly no. It looks at three bytes in every stride bytes, which finds each
// name because some three bytes of it lie on the stride, and compares only there.
//
// Names are found in any letter case and only as whole words: a name that has a letter, a
// digit or "_" beside it is another name, if not one of which another name is the end. JSON escapes are found by
// spelled, not by find.
type search struct {
	stride  int
	table   [tableSize]uint8 // by hash of three folded bytes: 0, or 1 + an index into buckets
	buckets [][]anchor
	always  bool // the names are too short to be searched for, or a rule needs no name

	// letters has the ASCII characters of all names, folded; exotic says that a name holds a
	// character that JSON may or must escape otherwise.
	letters [128]bool
	exotic  bool
}

// anchor is a name and where in it the three bytes lie. tail says that longer names end so: then a letter may stand before it.
type anchor struct {
	name   string
	offset int
	tail   bool
}

const (
	tableBits = 12
	tableSize = 1 << tableBits
	maxStride = 6
	foldMask  = 0x00dfdfdf // three bytes, letters in one case
)

func gramHash(x uint32) uint32 { return (x & foldMask) * 0x9e3779b1 >> (32 - tableBits) }

// newSearch prepares the search for names. always makes every text a "yes".
func newSearch(names []string, always bool) *search {
	s := &search{stride: maxStride, always: always}
	for _, name := range names {
		if len(name) < 3 {
			s.always = true
		}
		s.stride = min(s.stride, len(name)-2)
		for _, c := range []byte(name) {
			if c >= utf8.RuneSelf || c < 0x20 || c == '"' || c == '\\' || c == '/' {
				s.exotic = true
			} else {
				s.letters[lower(c)] = true
			}
		}
	}
	if s.always || len(names) == 0 {
		return s
	}
	for _, name := range names {
		tail, covered := false, false
		for _, other := range names {
			tail = tail || len(other) > len(name) && equalFoldASCII(other[len(other)-len(name):], name)
			covered = covered || len(other) < len(name) && equalFoldASCII(name[len(name)-len(other):], other)
		}
		if covered {
			continue // "access_token" is found by "token"
		}
		at := rarest(name, s.stride)
		for offset := at; offset < at+s.stride; offset++ {
			s.add(anchor{name, offset, tail})
		}
	}
	return s
}

func (s *search) add(a anchor) {
	gram := uint32(a.name[a.offset]) | uint32(a.name[a.offset+1])<<8 | uint32(a.name[a.offset+2])<<16
	slot := &s.table[gramHash(gram)]
	if *slot == 0 {
		if len(s.buckets) == 255 {
			// Full: the last bucket takes what is left.
			*slot = 255
		} else {
			s.buckets = append(s.buckets, nil)
			*slot = uint8(len(s.buckets))
		}
	}
	s.buckets[*slot-1] = append(s.buckets[*slot-1], a)
}

// commonness is how often a letter stands in English text and field names, in tenths of a percent.
var commonness = [26]int{82, 15, 28, 43, 127, 22, 20, 61, 70, 2, 8, 40, 24, 67, 75, 19, 1, 60, 63, 91, 28, 10, 24, 2, 20, 1}

// rarest finds the place in name where stride times three overlapping bytes are least common.
func rarest(name string, stride int) int {
	best, bestCost := 0, int(^uint(0)>>1)
	for at := 0; at+stride+2 <= len(name); at++ {
		cost := 0
		for offset := at; offset < at+stride; offset++ {
			gram := 1
			for _, c := range []byte(name[offset : offset+3]) {
				if c = lower(c); c >= 'a' && c <= 'z' {
					gram *= commonness[c-'a']
				} else {
					gram *= 12
				}
			}
			cost += gram
		}
		if cost < bestCost {
			best, bestCost = at, cost
		}
	}
	return best
}

// find reports whether one of the names stands in b. For text that is not all ASCII, ascii is
// false: two letters outside ASCII fold to k and s.
func (s *search) find(b []byte) (found, ascii bool) {
	if len(s.buckets) == 0 {
		return false, true
	}
	var seen uint64
	i, stride, table := 0, s.stride, &s.table
	if stride == 3 {
		// The usual case, two places per load.
		for ; i+8 <= len(b); i += 6 {
			x := binary.LittleEndian.Uint64(b[i:])
			seen |= x
			if t := table[gramHash(uint32(x))]; t != 0 && s.verify(b, i, t) {
				return true, false
			}
			if t := table[gramHash(uint32(x>>24))]; t != 0 && s.verify(b, i+3, t) {
				return true, false
			}
		}
	}
	for ; i+8 <= len(b); i += stride {
		x := binary.LittleEndian.Uint64(b[i:])
		seen |= x
		if t := table[gramHash(uint32(x))]; t != 0 && s.verify(b, i, t) {
			return true, false
		}
	}
	for _, c := range b[min(i, len(b)):] {
		seen |= uint64(c)
	}
	for ; i+3 <= len(b); i += stride {
		x := uint32(b[i]) | uint32(b[i+1])<<8 | uint32(b[i+2])<<16
		if t := table[gramHash(x)]; t != 0 && s.verify(b, i, t) {
			return true, false
		}
	}
	return false, seen&0x8080808080808080 == 0
}

// verify compares the names of bucket t around place i of b.
func (s *search) verify(b []byte, i int, t uint8) bool {
	for _, a := range s.buckets[t-1] {
		start := i - a.offset
		end := start + len(a.name)
		if start < 0 || end > len(b) || !equalFoldASCII(b[start:end], a.name) {
			continue
		}
		if (a.tail || start == 0 || !wordByte(b[start-1]) || escapedAt(b, start)) && (end == len(b) || !wordByte(b[end])) {
			return true
		}
	}
	return false
}

// escapedAt reports whether what stands before place i is the end of an escape (\n, \u0026), and no letter.
func escapedAt(b []byte, i int) bool {
	return i >= 2 && b[i-2] == '\\' || i >= 6 && b[i-6] == '\\' && b[i-5] == 'u'
}

// inJSON reports whether one of the names can be a member name in b, read as JSON, or stand in
// it as a word when it is broken.
func (s *search) inJSON(b []byte) bool {
	if s.always {
		return true
	}
	found, ascii := s.find(b)
	if found || s.spelled(b) {
		return true
	}
	// U+017F folds to s and U+212A to k; some decoders match member names so.
	return !ascii && (bytes.Contains(b, longS) || bytes.Contains(b, kelvin))
}

var longS, kelvin = []byte("\u017f"), []byte("\u212a")

// spelled reports whether b has a JSON escape that can be part of one of the names.
func (s *search) spelled(b []byte) bool {
	for {
		i := bytes.IndexByte(b, '\\')
		if i < 0 {
			return false
		}
		if s.exotic || i+1 == len(b) {
			return true
		}
		if b[i+1] != 'u' {
			// Not two further behind "\\\\": in a broken body either backslash may begin an escape.
			b = b[i+1:]
			continue
		}
		r, ok := hex4(b[i+2:])
		if !ok || r < utf8.RuneSelf && s.letters[lower(byte(r))] || r == '\u017f' || r == '\u212a' {
			return true
		}
		b = b[i+6:]
	}
}

func wordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || lower(c) >= 'a' && lower(c) <= 'z'
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

func equalFoldASCII[T string | []byte](a T, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(b) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}
