package redact

import (
	"bytes"
	"slices"
)

// pair is what an object says that is a name and its value, as headers and variables of an environment travel:
// {"name":"password","value":"…"}; or an operation of a patch (RFC 6902, SCIM): {"op":"replace","path":"/password","value":"…"}.
type pair struct {
	name, named bool // there is a name; a rule has it
	op, pathed  bool // there is an operation; a rule has the last part of its path
	start, end  int  // of the value; 0 if there is none
}

var (
	pairNames  = newNameSet([]string{"name", "key", "field", "header"})
	pairValues = newNameSet([]string{"value", "values", "val"})
)

// note takes a member into account: its key, and where its value lies. end is -1 when it was cut short.
func (s *scan) note(p *pair, key []byte, start, end int) {
	isPath := string(key) == "path"
	switch {
	case string(key) == "op":
		p.op = true
	case hasName(pairValues, key) && start < len(s.b):
		if p.start, p.end = start, end; end < 0 {
			p.end = len(s.b)
		}
	case end > 0 && s.b[start] == '"' && (isPath || hasName(pairNames, key)):
		text := s.b[start+1 : end-1]
		if bytes.IndexByte(text, '\\') >= 0 {
			text = unquote(nil, text)
		}
		if isPath {
			p.pathed = p.pathed || s.prog.deep.part(text[bytes.LastIndexByte(text, '/')+1:])
		} else {
			p.name, p.named = true, p.named || s.prog.deep.part(text)
		}
	}
}

// cutPair notes that the value of an object goes that is a pair with a name that goes, or, in one that was cut short, may
// be.
func (s *scan) cutPair(p *pair, half bool) {
	if p.start == 0 || s.prog.inside == nil || !p.named && !(p.op && p.pathed) && !(half && !p.name) {
		return
	}
	s.pairs = true
	if p.end == len(s.b) && half {
		s.cuts = append(s.cuts, cut{p.start, p.end, `"` + s.mark.replace(s.b[p.start:])})
	} else {
		s.cut(p.start, p.end)
	}
}

// inOrder brings the cuts of pairs, which are noted when their object ends, to their places; what is cut within a cut goes with it.
// Once for all of them: moving others aside for each would take time in the square of their number.
func inOrder(cuts []cut) []cut {
	slices.SortStableFunc(cuts, func(a, b cut) int {
		if a.start != b.start {
			return a.start - b.start
		}
		return b.end - a.end
	})
	kept := cuts[:0]
	for _, c := range cuts {
		if len(kept) == 0 || c.start >= kept[len(kept)-1].end {
			kept = append(kept, c)
		}
	}
	return kept
}
