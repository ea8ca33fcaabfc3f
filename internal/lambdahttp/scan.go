package lambdahttp

import (
	"bytes"
	"fmt"
	"unicode/utf8"
	"unsafe"

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
	odd   error  // the first value of a wrong type
	room  []byte // for string
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
	return s.string(s.bytes())
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
	return unescape(raw)
}

// raw reads a string, checks it and gives what stands between the quotes. plain means that
// this is also what it says.
func (s *scanner) raw() (raw []byte, plain bool) {
	if s.err != nil {
		return nil, true
	}
	start := s.pos + 1
	t := jsonstring.Scan(s.data, start)
	if s.faulty(t) {
		return nil, true
	}
	raw = s.data[start:t.End]
	return raw, !t.Escaped && (!t.Wide || jsonstring.Valid(raw))
}

// take reads a string that may be long, and gives what it says, in memory that is nobody else's: data's own if inPlace
// allows that. wide tells of characters beyond ASCII.
func (s *scanner) take(inPlace bool) (text []byte, wide bool) {
	if s.err != nil {
		return nil, false
	}
	start, data := s.pos+1, s.data
	before := 0 // bytes of s.data that are not in data
	if !inPlace {
		before, data = start, bytes.Clone(data[start:]) // it is the most of what comes
	}
	t := jsonstring.Take(data, start-before)
	t.End += before
	if s.faulty(t) {
		return nil, false
	}
	if text = data[start-before:][:t.Len]; t.Wide && !jsonstring.Valid(text) {
		text = toValid(text)
	}
	return text, t.Wide
}

// faulty notes what is wrong with a string, or goes on behind it.
func (s *scanner) faulty(t jsonstring.Text) bool {
	s.pos = t.End
	switch t.Fault {
	case jsonstring.Unended:
		s.fail("the JSON ends within a string")
	case jsonstring.Control:
		s.fail("a string holds a control character")
	case jsonstring.BadEscape:
		s.fail("a string holds a bad escape")
	default:
		s.pos++
		return false
	}
	return true
}

// roomSize is how much memory short texts share. Whoever keeps one of them keeps all that.
const roomSize = 2 << 10

// string makes a string of b.
func (s *scanner) string(b []byte) string {
	switch {
	case len(b) == 0:
		return ""
	case len(b) > roomSize/4:
		return string(b)
	case len(b) > cap(s.room)-len(s.room):
		s.room = make([]byte, 0, roomSize)
	}
	n := len(s.room)
	s.room = append(s.room, b...)
	return unsafe.String(&s.room[n], len(b)) // which is not written to again
}

// unescape gives what a string that raw has checked says. Lone surrogates and bytes that are no UTF-8 become
// U+FFFD, as in encoding/json.
func unescape(raw []byte) []byte {
	if !jsonstring.Valid(raw) {
		raw = toValid(raw)
	}
	dst := make([]byte, len(raw))
	return dst[:jsonstring.Unescape(dst, raw)]
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
