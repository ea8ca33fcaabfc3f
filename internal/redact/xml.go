package redact

import (
	"bytes"
	"errors"
)

var (
	errXML       = errors.New("not readable as XML")
	errXMLInside = errors.New("a rule's name in XML, where it may name a field that is not one of XML's")
)

// xmlScan is one pass over XML. It reads as much as is needed to know where elements and attributes
// begin and end, and refuses whatever it is not sure of.
type xmlScan struct {
	b    []byte
	r    *Redactor
	cuts []cut
	open [][]byte // names of the open elements
	hit  int      // how many elements were open when one began whose content goes; -1 if none did
	from int      // where that content begins

	after int // behind the start tag that was read last
}

// xmlBody redacts the content and the attributes of elements that a rule names, with or without a
// prefix, and attributes that one names. An element with an attribute that says a name
// (<add key="password" value="…"/>) counts as named. A name in a text, a comment or a CDATA section
// may stay among plain words only; what looks like fields there goes, and has the body withheld where the value may
// stand elsewhere.
func (r *Redactor) xmlBody(in []byte, truncated bool) ([]byte, error) {
	if utf16ish(in) {
		return nil, errUTF16
	}
	if !r.fields.in(in) {
		return in, nil
	}
	s := xmlScan{b: in, r: r, hit: -1, after: -1}
	for i := 0; i < len(in); {
		next := -1
		if in[i] == '<' {
			next = s.markup(i)
		} else {
			next = s.text(i)
		}
		switch {
		case truncated && (next < 0 && s.half(i) || next == insideXML && bytes.IndexByte(in[i+1:], '<') < 0):
			// What is broken off goes, as far as it is not gone anyway.
			if s.hit < 0 {
				s.cuts = append(s.cuts, cut{i, len(in), r.mark.replace(in[i:])})
			}
			next = len(in)
		case next < 0:
			return nil, errXML
		case next == insideXML:
			return nil, errXMLInside
		}
		i = next
	}
	if len(s.open) > 0 && !truncated {
		return nil, errXML
	}
	if s.hit >= 0 && len(in) > s.from {
		s.cuts = append(s.cuts, cut{s.from, len(in), r.mark.replace(in[s.from:])})
	}
	if s.cuts == nil {
		return in, nil
	}
	return apply(in, s.cuts), nil
}

// half reports whether the markup at i goes on past the end.
func (s *xmlScan) half(i int) bool {
	rest := s.b[i:]
	for _, kind := range [...]struct{ open, close string }{{"<!--", "-->"}, {"<![CDATA[", "]]>"}, {"<?", "?>"}} {
		if bytes.HasPrefix(rest, []byte(kind.open)) {
			return !bytes.Contains(rest, []byte(kind.close))
		}
	}
	return rest[0] == '<' && bytes.IndexByte(rest, '>') < 0
}

// insideXML is the place that stands for errXMLInside.
const insideXML = int(^uint(0) >> 1)

func (s *xmlScan) markup(i int) int {
	rest := s.b[i:]
	for _, kind := range [...]struct{ open, close string }{{"<!--", "-->"}, {"<![CDATA[", "]]>"}, {"<?", "?>"}} {
		if bytes.HasPrefix(rest, []byte(kind.open)) {
			n := bytes.Index(rest[len(kind.open):], []byte(kind.close))
			if n < 0 {
				return -1
			}
			from := i + len(kind.open)
			inside := s.b[from : from+n]
			end := from + n + len(kind.close)
			if kind.open == "<?" && i <= len(bom) && !asciiCharset(declaredCharset(inside)) {
				return -1
			}
			// A text may stand in several sections, and an instruction may be a program's.
			return s.words(from, from+n, end, kind.open == "<!--" || kind.open[1] == '!' && s.alone(i, end))
		}
	}
	switch {
	case len(rest) < 2:
		return -1
	case rest[1] == '!': // what a document type may define cannot be followed
		n := bytes.IndexByte(rest, '>')
		if n < 0 || !bytes.HasPrefix(rest, []byte("<!DOCTYPE")) || bytes.ContainsAny(rest[1:n], "[<") {
			return -1
		}
		return s.words(i+len("<!DOCTYPE"), i+n, i+n+1, false)
	case rest[1] == '/':
		return s.end(i)
	}
	return s.start(i)
}

// declaredCharset is the encoding in the inside of an XML declaration, "" if there is none.
func declaredCharset(inside []byte) string {
	_, value, ok := bytes.Cut(inside, []byte("encoding"))
	if !ok || !bytes.HasPrefix(inside, []byte("xml")) {
		return ""
	}
	return string(bytes.TrimRight(bytes.TrimLeft(value, " \t\r\n=\"'"), " \t\r\n\"'?"))
}

// text passes over the text at i.
func (s *xmlScan) text(i int) int {
	n := bytes.IndexByte(s.b[i:], '<')
	if n < 0 {
		n = len(s.b) - i
	}
	return s.words(i, i+n, i+n, s.alone(i, i+n))
}

// alone reports whether what stands from start to end is all that an element has.
func (s *xmlScan) alone(start, end int) bool {
	return s.after == start && bytes.HasPrefix(s.b[end:], []byte("</"))
}

// words gives end if the text from start to stop may stay: it goes anyway, or it has no name in it, or is plain words. One
// that looks like fields goes if it is whole. A text that is a name and nothing else, or ends with its
// "=" or ":", names a neighbour (<key>password</key><string>…).
func (s *xmlScan) words(start, stop, end int, whole bool) int {
	text := s.b[start:stop]
	if s.hit >= 0 || !s.r.fields.in(text) {
		return end
	}
	trimmed := bytes.TrimSpace(text)
	if hasPart(s.r.fields.names, trimmed) {
		return insideXML
	}
	if !s.r.fields.holdIn(text) {
		return end
	}
	if !whole || bytes.IndexByte([]byte("=:\"'"), trimmed[len(trimmed)-1]) >= 0 {
		return insideXML
	}
	s.cuts = append(s.cuts, cut{start, stop, s.r.mark.replace(text)})
	return end
}

func (s *xmlScan) end(i int) int {
	n := bytes.IndexByte(s.b[i:], '>')
	if n < 0 || len(s.open) == 0 {
		return -1
	}
	name := bytes.TrimRight(s.b[i+2:i+n], " \t\r\n")
	last := len(s.open) - 1
	if !bytes.Equal(name, s.open[last]) {
		return -1
	}
	s.open = s.open[:last]
	if s.hit == last {
		s.hit = -1
		if i > s.from {
			s.cuts = append(s.cuts, cut{s.from, i, s.r.mark.replace(s.b[s.from:i])})
		}
	}
	return i + n + 1
}

// start passes over a start tag, or an empty element.
func (s *xmlScan) start(i int) int {
	b := s.b
	at := xmlName(b, i+1)
	if at == i+1 || len(s.open) >= maxDepth {
		return -1
	}
	name := b[i+1 : at]
	attrs, at, empty := s.attributes(at)
	if at < 0 {
		return -1
	}
	if s.hit < 0 {
		hit := hasPart(s.r.fields.names, local(name))
		for _, a := range attrs {
			hit = hit || hasPart(s.r.fields.names, bytes.TrimSpace(b[a.start:a.end]))
		}
		for _, a := range attrs {
			value := b[a.start:a.end]
			switch {
			case len(value) == 0 || bytes.HasPrefix(a.name, []byte("xmlns")):
			case hit || hasPart(s.r.fields.names, local(a.name)):
				if !hasPart(s.r.fields.names, bytes.TrimSpace(value)) || hasPart(s.r.fields.names, local(a.name)) { // the name itself may stay
					s.cuts = append(s.cuts, cut{a.start, a.end, s.r.mark.replace(value)})
				}
			case s.words(a.start, a.end, 0, true) == insideXML:
				return insideXML
			}
		}
		if hit && !empty {
			s.hit, s.from = len(s.open), at
		}
	}
	if !empty {
		s.open = append(s.open, name)
		s.after = at
	}
	return at
}

// attribute is a name, and where its value lies between the quotes.
type attribute struct {
	name       []byte
	start, end int
}

// attributes reads up to the end of a tag; at is -1 when it is not one.
func (s *xmlScan) attributes(at int) (list []attribute, _ int, empty bool) {
	b := s.b
	for {
		from := at
		at = xmlSpace(b, at)
		if at >= len(b) {
			return nil, -1, false
		}
		if b[at] == '>' {
			return list, at + 1, false
		}
		if b[at] == '/' && at+1 < len(b) && b[at+1] == '>' {
			return list, at + 2, true
		}
		end := xmlName(b, at)
		if end == at || at == from {
			return nil, -1, false
		}
		a := attribute{name: b[at:end]}
		at = xmlSpace(b, end)
		if at >= len(b) || b[at] != '=' {
			return nil, -1, false
		}
		at = xmlSpace(b, at+1)
		if at >= len(b) || b[at] != '"' && b[at] != '\'' {
			return nil, -1, false
		}
		n := bytes.IndexByte(b[at+1:], b[at])
		if n < 0 || bytes.IndexByte(b[at+1:at+1+n], '<') >= 0 {
			return nil, -1, false
		}
		a.start, a.end = at+1, at+1+n
		list = append(list, a)
		at = a.end + 1
	}
}

func xmlSpace(b []byte, i int) int {
	for i < len(b) && blank(b[i]) {
		i++
	}
	return i
}

// xmlName passes over a name: anything that cannot be something else.
func xmlName(b []byte, i int) int {
	for i < len(b) && b[i] > ' ' && bytes.IndexByte([]byte("<>/=\"'&!?"), b[i]) < 0 {
		i++
	}
	return i
}

// local is a name without its prefix.
func local(name []byte) []byte { return name[bytes.LastIndexByte(name, ':')+1:] }

// looksXML reports whether b begins with an XML declaration or an element.
func looksXML(b []byte) bool {
	b = bytes.TrimLeft(bytes.TrimPrefix(b, bom), " \t\r\n")
	return len(b) > 1 && b[0] == '<' && (lower(b[1]) >= 'a' && lower(b[1]) <= 'z' || bytes.HasPrefix(b, []byte("<?xml")))
}
