package lambdahttp

import (
	"bytes"
	"fmt"
	"unicode/utf8"

	"github.com/tapway/tapway/internal/jsonstring"
)

// maxDepth is how deep values may nest, as in encoding/json.
const maxDepth = 10000

// scanner reads one JSON text (RFC 8259) from front to back, without reflection and mostly
// without copying. It accepts what encoding/json accepts. The first error sticks: afterwards
// nothing more is read and every method gives its zero value. A value of another type than it
// should have is passed over instead: what stands behind it may be worth having.
type scanner struct {
	data  []byte
	pos   int
	depth int
	err   error
	odd   error // the first value of a wrong type
}

// fail notes an error at the present place.
func (s *scanner) fail(what string) {
	if s.err == nil {
		s.err = fmt.Errorf("%s at byte %d", what, s.pos)
	}
}

// wrong notes that a field has another type than it should, and passes its value over.
func (s *scanner) wrong(field, want string) {
	if s.err == nil && s.odd == nil {
		s.odd = fmt.Errorf("%s is not %s at byte %d", field, want, s.pos)
	}
	s.skip()
}

// problem is why a text that was read to its end is not what it should be; nil if it is.
func (s *scanner) problem() error {
	if s.err != nil {
		return s.err
	}
	return s.odd
}

// peek skips white space and gives the next byte, 0 at the end and after an error.
func (s *scanner) peek() byte {
	for s.err == nil && s.pos < len(s.data) {
		switch c := s.data[s.pos]; c {
		case ' ', '\t', '\r', '\n':
			s.pos++
		default:
			return c
		}
	}
	return 0
}

// end fails unless the text ends here.
func (s *scanner) end() {
	if s.peek(); s.err == nil && s.pos < len(s.data) {
		s.fail("the JSON goes on behind its end")
	}
}

// literal reads true, false or null.
func (s *scanner) literal(word string) {
	if s.err == nil && bytes.HasPrefix(s.data[s.pos:], []byte(word)) {
		s.pos += len(word)
		return
	}
	s.fail("the JSON is malformed")
}

// null reads a null if there is one.
func (s *scanner) null() bool {
	if s.peek() != 'n' {
		return false
	}
	s.literal("null")
	return true
}

func (s *scanner) enter() bool {
	if s.depth++; s.depth > maxDepth {
		s.fail("the JSON is nested too deep")
	}
	s.pos++
	return s.err == nil
}

// object calls member for each name of an object; member must read the value. The name is valid
// until then. It reports whether there was one: null is none.
func (s *scanner) object(field string, member func(name []byte)) bool {
	if s.null() {
		return false
	}
	if s.peek() != '{' {
		s.wrong(field, "an object")
		return false
	}
	if !s.enter() {
		return false
	}
	if s.peek() == '}' {
		s.pos++
		s.depth--
		return true
	}
	for s.err == nil {
		if s.peek() != '"' {
			s.fail("the JSON is malformed")
			return false
		}
		name := s.bytes()
		if s.peek() != ':' {
			s.fail("the JSON is malformed")
			return false
		}
		s.pos++
		member(name)
		switch s.peek() {
		case ',':
			s.pos++
		case '}':
			s.pos++
			s.depth--
			return true
		default:
			s.fail("the JSON is malformed")
		}
	}
	return false
}

// array calls element for each value of an array, which it must read; null is none.
func (s *scanner) array(field string, element func()) bool {
	if s.null() {
		return false
	}
	if s.peek() != '[' {
		s.wrong(field, "an array")
		return false
	}
	if !s.enter() {
		return false
	}
	if s.peek() == ']' {
		s.pos++
		s.depth--
		return true
	}
	for s.err == nil {
		element()
		switch s.peek() {
		case ',':
			s.pos++
		case ']':
			s.pos++
			s.depth--
			return true
		default:
			s.fail("the JSON is malformed")
		}
	}
	return false
}

// text reads a string; null is "".
func (s *scanner) text(field string) string {
	if s.null() {
		return ""
	}
	if s.peek() != '"' {
		s.wrong(field, "a string")
		return ""
	}
	return string(s.bytes())
}

// bool reads true or false; null is false.
func (s *scanner) bool(field string) bool {
	switch s.peek() {
	case 'n':
		s.literal("null")
	case 't':
		s.literal("true")
		return s.err == nil
	case 'f':
		s.literal("false")
	default:
		s.wrong(field, "true or false")
	}
	return false
}

// skip reads any value and forgets it.
func (s *scanner) skip() {
	switch c := s.peek(); c {
	case '{':
		s.object("", func([]byte) { s.skip() })
	case '[':
		s.array("", s.skip)
	case '"':
		s.raw()
	case 't':
		s.literal("true")
	case 'f':
		s.literal("false")
	case 'n':
		s.literal("null")
	default:
		s.number()
	}
}

func (s *scanner) number() {
	if s.err != nil {
		return
	}
	d, i := s.data, s.pos
	digits := func() bool {
		from := i
		for i < len(d) && '0' <= d[i] && d[i] <= '9' {
			i++
		}
		return i > from
	}
	if i < len(d) && d[i] == '-' {
		i++
	}
	if i < len(d) && d[i] == '0' {
		i++
	} else if !digits() {
		s.fail("the JSON is malformed")
		return
	}
	if i < len(d) && d[i] == '.' {
		if i++; !digits() {
			s.fail("the JSON is malformed")
			return
		}
	}
	if i < len(d) && d[i]|0x20 == 'e' {
		if i++; i < len(d) && (d[i] == '+' || d[i] == '-') {
			i++
		}
		if !digits() {
			s.fail("the JSON is malformed")
			return
		}
	}
	s.pos = i
}

// bytes reads a string. What it gives is part of data unless there was something to decode.
func (s *scanner) bytes() []byte {
	raw, plain := s.raw()
	if plain {
		return raw
	}
	return unescape(raw, false)
}

// raw reads a string, checks it and gives what stands between the quotes. plain means that
// this is also what it says.
func (s *scanner) raw() (raw []byte, plain bool) {
	if s.err != nil {
		return nil, true
	}
	s.pos++
	d, start := s.data, s.pos
	escaped, wide, run := false, false, 0
	for i := start; i < len(d); i++ {
		c := d[i]
		if textByte[c] {
			if run++; run == longRun { // a call pays here
				run = 0
				i += jsonstring.Plain(d[i+1:])
			}
			continue
		}
		run = 0
		switch {
		case c == '"':
			raw = d[start:i]
			s.pos = i + 1
			return raw, !escaped && (!wide || jsonstring.Valid(raw))
		case c >= utf8.RuneSelf:
			wide = true
		case c == '\\':
			escaped = true
			i++
			if !s.escape(i) {
				return nil, true
			}
			if d[i] == 'u' {
				i += 4
			}
		default:
			s.pos = i
			s.fail("a string holds a control character")
			return nil, true
		}
	}
	s.pos = len(d)
	s.fail("the JSON ends within a string")
	return nil, true
}

// escape checks what stands behind a backslash.
func (s *scanner) escape(i int) bool {
	d := s.data
	if i < len(d) {
		switch d[i] {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			return true
		case 'u':
			if i+4 < len(d) && jsonstring.Hex4(d[i+1:]) >= 0 {
				return true
			}
		}
	}
	s.pos = min(i, len(d))
	s.fail("a string holds a bad escape")
	return false
}

// longRun is after how many bytes without a quote or an escape more of them are expected.
const longRun = 12

// textByte are the ASCII bytes that stand for themselves in a JSON string.
var textByte = func() (t [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// unescape gives what a string that raw has checked says. Lone surrogates and bytes that are no UTF-8 become
// U+FFFD, as in encoding/json. With inPlace it may use raw's own bytes.
func unescape(raw []byte, inPlace bool) []byte {
	if !jsonstring.Valid(raw) {
		raw = toValid(raw)
	} else if !inPlace {
		dst := make([]byte, len(raw))
		return dst[:jsonstring.Unescape(dst, raw)]
	}
	return raw[:jsonstring.Unescape(raw, raw)]
}

// toValid gives a copy with U+FFFD for each byte that is not of a character; bytes.ToValidUTF8 has one for several.
func toValid(raw []byte) []byte {
	dst := make([]byte, 0, len(raw)+len(raw)/8)
	for len(raw) > 0 {
		r, size := utf8.DecodeRune(raw)
		dst = utf8.AppendRune(dst, r)
		raw = raw[size:]
	}
	return dst
}
