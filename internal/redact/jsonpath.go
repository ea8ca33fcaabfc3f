package redact

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// path is a parsed JSONPath (RFC 9535): "$" and its segments. No segments select the document.
type path []segment

// segment selects among the children of a node, or among all its descendants.
type segment struct {
	descendant bool
	selectors  []selector
}

type selectorKind uint8

const (
	byName selectorKind = iota
	byWildcard
	byIndex
	bySlice
)

// selector is one of a segment's comma list.
type selector struct {
	kind  selectorKind
	name  string
	fold  bool // name in any letter case: only paths that Defaults lists
	index int64
	slice sliceRange
}

// sliceRange is start:end:step with what was left out marked (RFC 9535 §2.3.4).
type sliceRange struct {
	start, end, step int64
	hasStart, hasEnd bool
}

// names gives the names of a segment that selects by name only, and false for any other.
func (s segment) names() ([]string, bool) {
	names := make([]string, 0, len(s.selectors))
	for _, sel := range s.selectors {
		if sel.kind != byName {
			return nil, false
		}
		names = append(names, sel.name)
	}
	return names, true
}

// needsLength reports whether the selector cannot decide before the array's length is known.
func (s selector) needsLength() bool {
	switch s.kind {
	case byIndex:
		return s.index < 0
	case bySlice:
		return s.slice.step < 0 || s.slice.hasStart && s.slice.start < 0 || s.slice.hasEnd && s.slice.end < 0
	}
	return false
}

// matchesIndex reports whether the selector picks element i of an array of n elements; n
// only counts where needsLength says so.
func (s selector) matchesIndex(i, n int64) bool {
	switch s.kind {
	case byWildcard:
		return true
	case byIndex:
		return s.index == i || s.index < 0 && s.index+n == i
	case bySlice:
		return s.slice.contains(i, n)
	}
	return false
}

func (r sliceRange) contains(i, n int64) bool {
	normal := func(v int64) int64 {
		if v < 0 {
			return v + n
		}
		return v
	}
	switch {
	case r.step > 0:
		lower := int64(0)
		if r.hasStart {
			lower = max(normal(r.start), 0)
		}
		if i < lower || r.hasEnd && i >= normal(r.end) {
			return false
		}
		return (i-lower)%r.step == 0
	case r.step < 0:
		upper, lower := n-1, int64(-1)
		if r.hasStart {
			upper = min(normal(r.start), n-1)
		}
		if r.hasEnd {
			lower = max(normal(r.end), -1)
		}
		return i <= upper && i > lower && (upper-i)%-r.step == 0
	}
	return false // RFC 9535: step 0 selects nothing
}

// pathError says at which column, counted in characters from 1, a path cannot be read.
type pathError struct {
	column int
	msg    string
}

type pathParser struct {
	text string
	pos  int
	fold bool
}

// parsePath reads the subset of RFC 9535 that needs no look at values: everything but filters.
func parsePath(text string, fold bool) (p path, err *pathError) {
	if !utf8.ValidString(text) {
		return nil, &pathError{1, "not UTF-8"}
	}
	pp := &pathParser{text: text, fold: fold}
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(*pathError)
			if !ok {
				panic(r)
			}
			p, err = nil, e
		}
	}()
	if pp.peek() != '$' {
		pp.fail(`a path begins with "$"`)
	}
	pp.pos++
	for {
		blank := pp.blank()
		if pp.pos == len(text) {
			if blank {
				pp.fail("blank space at the end")
			}
			return p, nil
		}
		p = append(p, pp.segment())
	}
}

func (p *pathParser) fail(format string, args ...any) {
	panic(&pathError{utf8.RuneCountInString(p.text[:p.pos]) + 1, fmt.Sprintf(format, args...)})
}

func (p *pathParser) peek() byte {
	if p.pos < len(p.text) {
		return p.text[p.pos]
	}
	return 0
}

func (p *pathParser) blank() bool {
	start := p.pos
	for p.pos < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.pos]) >= 0 {
		p.pos++
	}
	return p.pos > start
}

func (p *pathParser) segment() segment {
	switch {
	case strings.HasPrefix(p.text[p.pos:], ".."):
		p.pos += 2
		if p.peek() == '[' {
			return segment{true, p.bracket()}
		}
		return segment{true, []selector{p.shorthand()}}
	case p.peek() == '.':
		p.pos++
		return segment{false, []selector{p.shorthand()}}
	case p.peek() == '[':
		return segment{false, p.bracket()}
	}
	p.fail(`want ".", ".." or "[", not %q`, firstRune(p.text[p.pos:]))
	return segment{}
}

// shorthand reads the name or * behind a dot.
func (p *pathParser) shorthand() selector {
	if p.peek() == '*' {
		p.pos++
		return selector{kind: byWildcard}
	}
	start := p.pos
	for p.pos < len(p.text) {
		c := p.text[p.pos]
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= utf8.RuneSelf
		if !letter && (p.pos == start || c < '0' || c > '9') {
			break
		}
		p.pos++
	}
	if p.pos == start {
		p.fail(`want a name or "*" behind the dot; a name with other characters is written ['…']`)
	}
	if p.peek() == '-' {
		p.fail(`a name with "-" is written ['…']`)
	}
	return selector{kind: byName, name: p.text[start:p.pos], fold: p.fold}
}

func (p *pathParser) bracket() []selector {
	p.pos++
	var list []selector
	for {
		p.blank()
		list = append(list, p.selector())
		p.blank()
		switch p.peek() {
		case ',':
			p.pos++
		case ']':
			p.pos++
			return list
		default:
			if p.pos == len(p.text) {
				p.fail(`"]" is missing`)
			}
			p.fail(`want "," or "]", not %q`, firstRune(p.text[p.pos:]))
		}
	}
}

func (p *pathParser) selector() selector {
	switch c := p.peek(); {
	case c == '\'' || c == '"':
		return selector{kind: byName, name: p.quoted(), fold: p.fold}
	case c == '*':
		p.pos++
		return selector{kind: byWildcard}
	case c == '?':
		p.fail("filters (?…) are not supported: select by name, index, slice or *")
	case c == ':' || c == '-' || c >= '0' && c <= '9':
		return p.indexOrSlice()
	}
	if p.pos == len(p.text) {
		p.fail(`"]" is missing`)
	}
	p.fail("want a quoted name, an index, a slice or *, not %q", firstRune(p.text[p.pos:]))
	return selector{}
}

func (p *pathParser) indexOrSlice() selector {
	var r sliceRange
	r.step = 1
	r.start, r.hasStart = p.integer()
	mark := p.pos
	p.blank()
	if p.peek() != ':' {
		p.pos = mark
		return selector{kind: byIndex, index: r.start}
	}
	p.pos++
	p.blank()
	r.end, r.hasEnd = p.integer()
	p.blank()
	if p.peek() == ':' {
		p.pos++
		p.blank()
		if step, ok := p.integer(); ok {
			r.step = step
		}
	}
	return selector{kind: bySlice, slice: r}
}

// integer reads an integer within ±(2⁵³−1) without leading zeros, or nothing (RFC 9535 §2.1).
func (p *pathParser) integer() (int64, bool) {
	start := p.pos
	if p.peek() == '-' {
		p.pos++
	}
	digits := p.pos
	for c := p.peek(); c >= '0' && c <= '9'; c = p.peek() {
		p.pos++
	}
	text := p.text[start:p.pos]
	if text == "" {
		return 0, false
	}
	v, err := strconv.ParseInt(text, 10, 64)
	if err != nil || v > 1<<53-1 || v < -(1<<53-1) || p.text[digits] == '0' && text != "0" {
		p.pos = start
		p.fail("%q is not an integer that a path can hold", text)
	}
	return v, true
}

func (p *pathParser) quoted() string {
	quote := p.text[p.pos]
	p.pos++
	var out []byte
	for p.pos < len(p.text) {
		switch c := p.text[p.pos]; {
		case c == quote:
			p.pos++
			return string(out)
		case c == '\\':
			out = p.escape(out, quote)
		case c < 0x20:
			p.fail("a control character in a name is written \\u%04x", c)
		default:
			out = append(out, c)
			p.pos++
		}
	}
	p.fail("the closing quote is missing")
	return ""
}

func (p *pathParser) escape(out []byte, quote byte) []byte {
	p.pos++
	c := p.peek()
	if c == 'u' {
		return utf8.AppendRune(out, p.unicode())
	}
	i := strings.IndexByte(`bfnrt/\`, c)
	switch {
	case c == quote:
		out = append(out, c)
	case i >= 0 && c != 0:
		out = append(out, "\b\f\n\r\t/\\"[i])
	default:
		p.fail("unknown escape in a name")
	}
	p.pos++
	return out
}

// unicode reads uXXXX, and a second one when the first is half of a surrogate pair.
func (p *pathParser) unicode() rune {
	r, ok := hex4(p.text[p.pos+1:])
	if !ok {
		p.fail(`want four hex digits behind \u`)
	}
	if utf16.IsSurrogate(r) {
		rest := p.text[p.pos+5:]
		low, ok := rune(-1), false
		if strings.HasPrefix(rest, `\u`) {
			low, ok = hex4(rest[2:])
		}
		if !ok || utf16.DecodeRune(r, low) == utf8.RuneError {
			p.fail(`half a surrogate pair`)
		}
		p.pos += 11
		return utf16.DecodeRune(r, low)
	}
	p.pos += 5
	return r
}

func hex4[T string | []byte](s T) (rune, bool) {
	if len(s) < 4 {
		return 0, false
	}
	var r rune
	for i := range 4 {
		d, ok := unhex(s[i])
		if !ok {
			return 0, false
		}
		r = r<<4 | rune(d)
	}
	return r, true
}

func unhex(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

func firstRune(s string) string {
	_, n := utf8.DecodeRuneInString(s)
	return s[:n]
}
