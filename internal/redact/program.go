package redact

// program is all JSON rules in the form in which one pass over a document runs them: names
// wanted anywhere, and for the other rules a state machine with one state per segment.
// A set of states is a bit set of words uint64s.
type program struct {
	root    bool // "$": the document itself
	deep    memberNames
	states  []state
	start   []uint64
	words   int
	lengths bool // a rule counts from the end of arrays
	search  *search
	none    bool // there are no rules

	// inside is run over JSON in strings: only the names wanted anywhere. It is nil without any.
	inside *program
}

// state waits for a child that its segment selects.
type state struct {
	segment
	last bool // the child is what the rule selects; otherwise the next state goes on from it
}

func newProgram(paths []path) *program {
	p := &program{deep: memberNames{newNameSet(nil), map[string]bool{}}, none: len(paths) == 0}
	var names []string
	var starts []int
	always := false
	for _, path := range paths {
		if len(path) == 0 {
			p.root, always = true, true
			continue
		}
		wanted, ok := required(path)
		names, always = append(names, wanted...), always || !ok
		if byNames, ok := path[0].names(); ok && len(path) == 1 && path[0].descendant && !contains(byNames, "") {
			for _, sel := range path[0].selectors {
				p.deep.add(sel)
			}
			continue
		}
		starts = append(starts, len(p.states))
		for i, seg := range path {
			p.states = append(p.states, state{seg, i == len(path)-1})
			for _, sel := range seg.selectors {
				p.lengths = p.lengths || sel.needsLength()
			}
		}
	}
	if len(p.deep.exact) > 0 || !p.deep.fold.empty() {
		p.inside = &program{deep: p.deep}
		p.inside.inside = p.inside // strings may hold JSON with strings that hold JSON; each is half as long
	}
	p.words = (len(p.states) + 63) / 64
	p.start = make([]uint64, p.words)
	for _, i := range starts {
		p.start[i/64] |= 1 << (i % 64)
	}
	p.search = newSearch(names, always)
	return p
}

// required gives names of which at least one must stand in a document that the path selects
// anything of, and false when there are none. Of several segments it takes the one whose
// shortest name is longest: that is the cheapest to search for.
func required(p path) ([]string, bool) {
	var best []string
	bestLength := -1
	for _, seg := range p {
		names, ok := seg.names()
		if !ok {
			continue
		}
		shortest := len(names[0])
		for _, n := range names {
			shortest = min(shortest, len(n))
		}
		if shortest > bestLength {
			best, bestLength = names, shortest
		}
	}
	return best, best != nil
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// child finds the states for one child of a node in the states set, and whether a rule selects
// the child. key is the member name, or nil for element index of an array of n elements.
func (p *program) child(next, set []uint64, key []byte, index, n int64) (hit, alive bool) {
	clear(next)
	for w, word := range set {
		for i := w * 64; word != 0; i, word = i+1, word>>1 {
			if word&1 == 0 {
				continue
			}
			st := &p.states[i]
			if st.descendant {
				next[i/64] |= 1 << (i % 64)
				alive = true
			}
			for _, sel := range st.selectors {
				if key != nil && !sel.matchesName(key) || key == nil && !sel.matchesIndex(index, n) {
					continue
				}
				if st.last {
					return true, true
				}
				next[(i+1)/64] |= 1 << ((i + 1) % 64)
				alive = true
			}
		}
	}
	return false, alive
}
