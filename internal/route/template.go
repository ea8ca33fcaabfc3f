package route

import (
	"fmt"
	"slices"
	"strings"
)

type segmentKind uint8

const (
	staticSegment segmentKind = iota
	paramSegment              // {id}: one segment, not empty
	greedySegment             // {proxy+}: all that is left, not empty
)

type segment struct {
	kind segmentKind
	text string // static: percent-decoded; parameters: the name
}

// template is a parsed path template.
type template struct {
	name     string
	fallback bool // Default
	segments []segment
	params   int
}

// names lists the parameters in order.
func (t *template) names() []string {
	var out []string
	for _, s := range t.segments {
		if s.kind != staticSegment {
			out = append(out, s.text)
		}
	}
	return out
}

func parseTemplate(method, text string) (template, error) {
	t := template{name: method + " " + text}
	if text == Default {
		if method != Any {
			return t, fmt.Errorf("%s takes every method; leave %s away", Default, method)
		}
		t.name, t.fallback = Default, true
		return t, nil
	}
	rest, ok := strings.CutPrefix(text, "/")
	if !ok {
		return t, fmt.Errorf(`path %q does not begin with "/"`, text)
	}
	if rest == "" {
		return t, nil
	}
	parts := strings.Split(rest, "/")
	for i, part := range parts {
		s, err := parseSegment(part)
		if err != nil {
			return t, err
		}
		switch {
		case part == "" && i == len(parts)-1:
			return t, fmt.Errorf("path %q ends with a slash; write %q, which takes both", text, strings.TrimRight(text, "/"))
		case part == "":
			return t, fmt.Errorf("path %q has an empty segment", text)
		case s.kind == greedySegment && i < len(parts)-1:
			return t, fmt.Errorf("%s must be the last segment", part)
		}
		if s.kind != staticSegment {
			if slices.Contains(t.names(), s.text) {
				return t, fmt.Errorf("the parameter {%s} stands twice", s.text)
			}
			t.params++
		}
		t.segments = append(t.segments, s)
	}
	return t, nil
}

func parseSegment(part string) (segment, error) {
	if !strings.ContainsAny(part, "{}") {
		if c := badPathByte(part); c >= 0 {
			return segment{}, fmt.Errorf("segment %q holds %q, which stands percent-encoded in a path", part, rune(part[c]))
		}
		text, ok := decode(nil, part)
		if !ok {
			return segment{}, fmt.Errorf("segment %q has a %% without two hex digits behind it", part)
		}
		return segment{staticSegment, string(text)}, nil
	}
	name, ok := strings.CutPrefix(part, "{")
	name, closed := strings.CutSuffix(name, "}")
	if !ok || !closed || strings.ContainsAny(name, "{}") {
		return segment{}, fmt.Errorf("segment %q: a parameter takes a whole segment, as in /{id}", part)
	}
	kind := paramSegment
	if base, greedy := strings.CutSuffix(name, "+"); greedy {
		name, kind = base, greedySegment
	}
	if !isParamName(name) {
		return segment{}, fmt.Errorf("segment %q: a parameter's name has letters, digits and . _ - : only", part)
	}
	return segment{kind, name}, nil
}

func isParamName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if ('a' > c|0x20 || c|0x20 > 'z') && ('0' > c || c > '9') && strings.IndexByte("._-:", c) < 0 {
			return false
		}
	}
	return s != ""
}

// badPathByte gives the place of the first byte that cannot stand in a raw path, or -1.
// Bytes beyond ASCII are let through: clients send them, and backends expect them back.
func badPathByte(s string) int {
	for i := range len(s) {
		if c := s[i]; badQueryByte(c) || c == '?' {
			return i
		}
	}
	return -1
}

// badQuery reports whether s cannot stand in a raw query.
func badQuery(s string) bool {
	for i := range len(s) {
		if badQueryByte(s[i]) {
			return true
		}
	}
	return false
}

func badQueryByte(c byte) bool { return c <= ' ' || c == 0x7f || c == '#' }

// decode adds s to dst with its percent-encoding undone. It gives false when an escape is
// broken.
func decode(dst []byte, s string) ([]byte, bool) {
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			dst = append(dst, s[i])
			continue
		}
		if i+2 >= len(s) {
			return dst, false
		}
		hi, lo := unhex(s[i+1]), unhex(s[i+2])
		if hi > 15 || lo > 15 {
			return dst, false
		}
		dst = append(dst, hi<<4|lo)
		i += 2
	}
	return dst, true
}

func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10
	}
	return 255
}
