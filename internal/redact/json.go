package redact

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math/bits"
	"strings"
	"sync"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth is how deep arrays and objects may nest before a document counts as unreadable.
const maxDepth = 10_000

var (
	errNotJSON = errors.New("not valid JSON")
	errEnd     = errors.New("not valid JSON: it ends too early")
	errDepth   = errors.New("JSON nested too deeply")
	errUTF16   = errors.New("JSON in another encoding than UTF-8")
)

// cut is a part of a text that a replacement takes the place of.
type cut struct {
	start, end int
	by         string
}

// apply replaces the cuts, which are in order and do not overlap, in a new slice.
func apply(b []byte, cuts []cut) []byte {
	n := len(b)
	for _, c := range cuts {
		n += len(c.by) - (c.end - c.start)
	}
	out := make([]byte, 0, n)
	at := 0
	for _, c := range cuts {
		out = append(out, b[at:c.start]...)
		out = append(out, c.by...)
		at = c.end
	}
	return append(out, b[at:]...)
}

// scan is one pass over JSON text. It validates by RFC 8259, except that strings may hold
// invalid UTF-8, and notes a cut for every value that a rule selects.
type scan struct {
	b       []byte
	prog    *program
	mark    marker
	cuts    []cut
	key     []byte   // room for a member name with escapes
	sets    []uint64 // state sets of the open nodes, prog.words each
	lengths []int32  // of all arrays in the order of their brackets, when prog.lengths
	arrays  int      // how many brackets have been passed
	pairs   bool     // the cuts are not in order
	half    bool     // the text may end too early: what is read until then counts
	err     error
}

// maxScratch is how many elements of scratch room a pooled scan may hold on to.
const maxScratch = 1 << 14

var scans = sync.Pool{New: func() any { return new(scan) }}

// json redacts b, a sequence of JSON documents with blank space or nothing between them: most
// often one, but streams of them travel under every JSON type. It returns b itself when
// no rule selects anything.
func (p *program) json(b []byte, mark marker) ([]byte, error) { return p.read(b, mark, false) }

// read is json, and with half for what may have been cut short: then a value that is broken off goes if it
// would have gone, or might hold what goes.
func (p *program) read(b []byte, mark marker, half bool) ([]byte, error) {
	if half && (p.lengths || p.root) {
		return nil, errTruncated
	}
	s := scans.Get().(*scan)
	defer func() {
		if cap(s.cuts) <= maxScratch && cap(s.key) <= maxScratch && cap(s.lengths) <= maxScratch {
			clear(s.cuts)
			*s = scan{cuts: s.cuts[:0], key: s.key[:0], sets: s.sets[:0], lengths: s.lengths[:0]}
			scans.Put(s)
		}
	}()
	s.b, s.prog, s.mark, s.half = b, p, mark, half
	if utf16ish(b) {
		return nil, errUTF16
	}
	i := 0
	if bytes.HasPrefix(b, bom) {
		i = len(bom)
	}
	if p.lengths {
		s.measure(i)
	}
	for i = s.gap(i); i < len(b); i = s.gap(i) {
		start := i
		s.sets = append(s.sets, p.start...)
		i = s.value(i, 0, 0, p.root)
		if i < 0 && s.err == errEnd && half {
			break
		}
		if i < 0 {
			return nil, s.err
		}
		if p.root {
			s.cut(start, i)
		}
		s.sets = s.sets[:0]
	}
	if len(s.cuts) == 0 {
		return b, nil
	}
	if s.pairs {
		s.cuts = inOrder(s.cuts)
	}
	return apply(b, s.cuts), nil
}

var bom = []byte("\ufeff")

// utf16ish reports whether b is UTF-16 or UTF-32, whose names no search for bytes finds.
func utf16ish(b []byte) bool {
	head := b[:min(len(b), 4)]
	return bytes.IndexByte(head, 0) >= 0 || bytes.HasPrefix(b, []byte("\xff\xfe")) || bytes.HasPrefix(b, []byte("\xfe\xff"))
}

func (s *scan) fail(err error) int {
	if s.err == nil {
		s.err = err
	}
	return -1
}

// failAt is for what is missing at i.
func (s *scan) failAt(i int) int {
	if i >= len(s.b) {
		return s.fail(errEnd)
	}
	return s.fail(errNotJSON)
}

// gap skips what may stand between documents; RFC 7464 puts a record separator there.
func (s *scan) gap(i int) int {
	for i < len(s.b) && (blank(s.b[i]) || s.b[i] == 0x1e) {
		i++
	}
	return i
}

func (s *scan) space(i int) int {
	for i < len(s.b) && blank(s.b[i]) {
		i++
	}
	return i
}

func blank(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

// value passes over the value at i and gives the place behind it, or -1. set is where its
// states lie in s.sets; quiet says that the value is cut anyway and rules need not be asked.
func (s *scan) value(i, depth, set int, quiet bool) int {
	if i >= len(s.b) {
		return s.fail(errEnd)
	}
	if depth > maxDepth {
		return s.fail(errDepth)
	}
	switch c := s.b[i]; c {
	case '{':
		return s.object(i+1, depth, set, quiet)
	case '[':
		return s.array(i+1, depth, set, quiet)
	case '"':
		end, escaped := s.string(i + 1)
		switch {
		case quiet || s.prog.inside == nil:
		case end > 0:
			s.inside(i, end, escaped)
		case s.half && s.err == errEnd && s.prog.search != nil && s.prog.search.inJSON(s.b[i:]):
			s.cuts = append(s.cuts, cut{i + 1, len(s.b), s.mark.replace(s.b[i+1:])})
		}
		return end
	case 't':
		return s.literal(i, "true")
	case 'f':
		return s.literal(i, "false")
	case 'n':
		return s.literal(i, "null")
	default:
		return s.number(i)
	}
}

func (s *scan) literal(i int, word string) int {
	n := min(len(word), len(s.b)-i)
	if string(s.b[i:i+n]) != word[:n] {
		return s.fail(errNotJSON)
	}
	if n < len(word) {
		return s.fail(errEnd)
	}
	return i + n
}

func (s *scan) object(i, depth, set int, quiet bool) int {
	var p pair
	i = s.members(i, depth, set, quiet, &p)
	if !quiet && (i >= 0 || s.half && s.err == errEnd) {
		s.cutPair(&p, i < 0)
	}
	return i
}

// members passes over what is in an object.
func (s *scan) members(i, depth, set int, quiet bool, p *pair) int {
	i = s.space(i)
	if i < len(s.b) && s.b[i] == '}' {
		return i + 1
	}
	for {
		if i >= len(s.b) || s.b[i] != '"' {
			return s.failAt(i)
		}
		keyStart := i + 1
		end, escaped := s.string(keyStart)
		if end < 0 {
			return -1
		}
		i = s.space(end)
		if i >= len(s.b) || s.b[i] != ':' {
			return s.failAt(i)
		}
		i = s.space(i + 1)
		hit, child := false, -1
		if !quiet {
			key := s.b[keyStart : end-1]
			if escaped {
				s.key = unquote(s.key[:0], key)
				key = s.key
			}
			hit, child = s.ask(set, key, 0, 0)
		}
		start := i
		i = s.member(i, depth, child, hit, quiet)
		if !quiet && !hit && end-1-keyStart <= len("header") {
			s.note(p, s.b[keyStart:end-1], start, i)
		}
		if i < 0 {
			return -1
		}
		i = s.space(i)
		if i >= len(s.b) {
			return s.fail(errEnd)
		}
		if s.b[i] == '}' {
			return i + 1
		}
		if s.b[i] != ',' {
			return s.fail(errNotJSON)
		}
		i = s.space(i + 1)
	}
}

func (s *scan) array(i, depth, set int, quiet bool) int {
	n := 0
	if s.prog.lengths && s.arrays < len(s.lengths) {
		n = int(s.lengths[s.arrays])
		s.arrays++
	}
	i = s.space(i)
	if i < len(s.b) && s.b[i] == ']' {
		return i + 1
	}
	for index := int64(0); ; index++ {
		hit, child := false, -1
		if !quiet && set >= 0 {
			hit, child = s.ask(set, nil, index, int64(n))
		}
		if i = s.member(i, depth, child, hit, quiet); i < 0 {
			return -1
		}
		i = s.space(i)
		if i >= len(s.b) {
			return s.fail(errEnd)
		}
		if s.b[i] == ']' {
			return i + 1
		}
		if s.b[i] != ',' {
			return s.fail(errNotJSON)
		}
		i = s.space(i + 1)
	}
}

// ask puts a child to the rules: is it selected, and if not, where do its states lie (-1: it
// has none, only names wanted anywhere can still be found in it).
func (s *scan) ask(set int, key []byte, index, n int64) (hit bool, child int) {
	if key != nil && s.prog.deep.has(key) {
		return true, -1
	}
	if set < 0 || s.prog.words == 0 {
		return false, -1
	}
	child = len(s.sets)
	for range s.prog.words {
		s.sets = append(s.sets, 0)
	}
	hit, alive := s.prog.child(s.sets[child:], s.sets[set:set+s.prog.words], key, index, n)
	if hit || !alive {
		s.sets = s.sets[:child]
		child = -1
	}
	return hit, child
}

// member passes over a child and cuts it if it was hit.
func (s *scan) member(i, depth, child int, hit, quiet bool) int {
	end := s.value(i, depth+1, child, quiet || hit)
	if child >= 0 {
		s.sets = s.sets[:child]
	}
	switch {
	case !hit:
	case end >= 0:
		s.cut(i, end)
	case s.half && s.err == errEnd && i < len(s.b):
		s.cuts = append(s.cuts, cut{i, len(s.b), `"` + s.mark.replace(s.b[i:])})
	}
	return end
}

// cut notes that the value from start to end goes. A string counts by what it says, any
// other value by its text.
func (s *scan) cut(start, end int) {
	value := s.b[start:end]
	if s.mark.keyed() && value[0] == '"' {
		value = unquote(nil, value[1:len(value)-1])
	}
	s.cuts = append(s.cuts, cut{start, end, `"` + s.mark.replace(value) + `"`})
}

// inside redacts what the string from start to end holds: JSON, such as the body in an event of a Lambda
// function or a message of a queue, a document of GraphQL, a form or a connection string. Any other
// string is just a string.
func (s *scan) inside(start, end int, escaped bool) {
	text := s.b[start+1 : end-1]
	if escaped {
		text = unquote(nil, text)
	} else if bytes.IndexByte(text, '=') < 0 {
		return // JSON and GraphQL have quotes
	}
	out := s.prog.insideText(text, s.mark)
	if out == nil {
		s.cut(start, end)
		return
	}
	if same(out, text) {
		return
	}
	s.cuts = append(s.cuts, cut{start, end, quote(out)})
}

// quote writes a text as a JSON string.
func quote(text []byte) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(string(text)); err != nil {
		return `"` + Mark + `"` // a string always has a JSON form
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// insideText redacts a text within JSON. It gives the text itself when nothing in it goes, and nil when it cannot be told
// what does.
func (p *program) insideText(text []byte, mark marker) []byte {
	isJSON := looksJSON(text)
	if isJSON || len(text) > 0 && text[0] == '"' {
		if out, err := p.inside.json(text, mark); err == nil {
			return out
		}
	}
	goes := p.inside.deep.part
	out := text
	if looksGraphQL(text) {
		out = graphQL(text, goes, mark)
	}
	if isJSON && same(out, text) && hasField(text, goes) {
		return nil
	}
	return assignments(out, goes, mark)
}

// string passes over a string whose first character is at i, and gives the place behind its
// closing quote, or -1, and whether it has escapes.
func (s *scan) string(i int) (end int, escaped bool) {
	b := s.b
	for {
		for i+8 <= len(b) {
			n := plain(binary.LittleEndian.Uint64(b[i:]))
			i += n
			if n < 8 {
				break
			}
		}
		if i >= len(b) {
			return s.fail(errEnd), escaped
		}
		switch c := b[i]; {
		case c == '"':
			return i + 1, escaped
		case c == '\\':
			escaped = true
			if i+1 >= len(b) {
				return s.fail(errEnd), escaped
			}
			switch b[i+1] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
				i += 2
			case 'u':
				if _, ok := hex4(b[i+2:]); !ok {
					return s.failAt(i + 6), escaped
				}
				i += 6
			default:
				return s.fail(errNotJSON), escaped
			}
		case c < 0x20:
			return s.fail(errNotJSON), escaped
		default:
			i++
		}
	}
}

// plain counts the leading bytes of eight that stand for themselves in a JSON string.
func plain(x uint64) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	quote, slash := x^(ones*'"'), x^(ones*'\\')
	special := ((quote-ones)&^quote | (slash-ones)&^slash | (x-ones*0x20)&^x) & highs
	return bits.TrailingZeros64(special) / 8
}

func (s *scan) number(i int) int {
	b := s.b
	digits := func() bool {
		start := i
		for i < len(b) && b[i] >= '0' && b[i] <= '9' {
			i++
		}
		return i > start
	}
	if i < len(b) && b[i] == '-' {
		i++
	}
	if i < len(b) && b[i] == '0' {
		i++
	} else if !digits() {
		return s.failAt(i)
	}
	if i < len(b) && b[i] == '.' {
		i++
		if !digits() {
			return s.failAt(i)
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if !digits() {
			return s.failAt(i)
		}
	}
	return i
}

// measure counts the elements of every array. It trusts the text to be JSON: when it is not, the
// pass that follows says so and its counts do not matter.
func (s *scan) measure(i int) {
	const object = -1
	var open []int // the arrays' places in s.lengths
	for i < len(s.b) {
		c := s.b[i]
		i++
		if blank(c) || c == ':' {
			continue
		}
		// The first thing behind a bracket is an element; each comma announces another.
		if n := len(open); n > 0 && open[n-1] != object && s.lengths[open[n-1]] == 0 && c != ']' {
			s.lengths[open[n-1]] = 1
		}
		switch c {
		case '[':
			if len(open) > maxDepth {
				return
			}
			open = append(open, len(s.lengths))
			s.lengths = append(s.lengths, 0)
		case '{':
			if len(open) > maxDepth {
				return
			}
			open = append(open, object)
		case ']', '}':
			if len(open) > 0 {
				open = open[:len(open)-1]
			}
		case ',':
			if n := len(open); n > 0 && open[n-1] != object {
				s.lengths[open[n-1]]++
			}
		case '"':
			if i, _ = s.string(i); i < 0 {
				s.err = nil
				i = len(s.b)
			}
		}
	}
}

// unquote adds what the inside of a valid JSON string says to dst. Half a surrogate pair is
// U+FFFD; bytes that are not UTF-8 stay.
func unquote(dst, b []byte) []byte {
	for {
		i := bytes.IndexByte(b, '\\')
		if i < 0 {
			return append(dst, b...)
		}
		dst = append(dst, b[:i]...)
		c := b[i+1]
		if c != 'u' {
			if at := bytes.IndexByte([]byte("bfnrt"), c); at >= 0 {
				c = "\b\f\n\r\t"[at]
			}
			dst, b = append(dst, c), b[i+2:]
			continue
		}
		r, _ := hex4(b[i+2:])
		b = b[i+6:]
		if utf16.IsSurrogate(r) {
			low := rune(-1)
			if len(b) >= 6 && b[0] == '\\' && b[1] == 'u' {
				low, _ = hex4(b[2:])
			}
			if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
				b = b[6:]
			}
		}
		dst = utf8.AppendRune(dst, r)
	}
}
