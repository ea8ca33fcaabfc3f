package waf

import (
	"regexp/syntax"
	"slices"
	"sync"
	"sync/atomic"
)

// dfa matches a regular expression against ASCII texts in one pass: a table look-up for a byte, where package regexp follows all
// of the expression's threads. The table is made as texts need it. It is safe for concurrent use.
//
// It knows whether there is a match, not where. A state is the set of instructions that wait for the next character, and
// what the character before was as far as ^, $ and \b ask about it.
type dfa struct {
	prog  *syntax.Prog
	class [asciiEnd]uint8 // of a byte: those of one class are alike in all instructions
	runes []rune          // one of each class
	cache atomic.Pointer[dfaCache]
}

type dfaCache struct {
	start *dfaState

	mu     sync.Mutex // over what follows
	states map[string]*dfaState
	room   int // what may still be made, in words
}

type dfaState struct {
	insts []uint32
	prev  rune                       // a character like the one before; -1: the text begins here
	next  []atomic.Pointer[dfaState] // by class; nil: not made yet
	end   atomic.Int32               // whether the text may end here
}

const (
	asciiEnd = 0x80

	// dfaRoom is how large the table of one expression may become, in words of eight bytes. Then it begins anew.
	dfaRoom = 48 << 10

	endUnknown = 0
	endMatch   = 1
	endNone    = 2
)

// dfaMatched is where a text has matched, whatever follows.
var dfaMatched = new(dfaState)

// newDFA makes the matcher of an expression; nil if package regexp cannot read it.
func newDFA(expr string) *dfa {
	parsed, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil
	}
	prog, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return nil
	}
	d := &dfa{prog: prog}
	d.classify()
	d.reset()
	return d
}

// classify finds out which bytes are alike.
func (d *dfa) classify() {
	known := map[string]uint8{}
	for c := range rune(asciiEnd) {
		like := []byte{flag(c == '\n'), flag(syntax.IsWordChar(c))}
		for i := range d.prog.Inst {
			if in := &d.prog.Inst[i]; takesRune(in) {
				like = append(like, flag(in.MatchRune(c)))
			}
		}
		n, ok := known[string(like)]
		if !ok {
			n = uint8(len(d.runes))
			known[string(like)] = n
			d.runes = append(d.runes, c)
		}
		d.class[c] = n
	}
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func takesRune(in *syntax.Inst) bool {
	switch in.Op {
	case syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
		return true
	}
	return false
}

func (d *dfa) reset() {
	c := &dfaCache{states: map[string]*dfaState{}, room: dfaRoom}
	c.start = d.stateLocked(c, []uint32{uint32(d.prog.Start)}, -1)
	d.cache.Store(c)
}

// match reports whether there is a match anywhere in text. known is false where it cannot tell: the text is not ASCII, or asks for
// too many states.
func (d *dfa) match(text string) (matched, known bool) {
	cache := d.cache.Load()
	state := cache.start
	for i := range len(text) {
		c := text[i]
		if c >= asciiEnd {
			return false, false
		}
		class := d.class[c]
		next := state.next[class].Load()
		if next == nil {
			if next = d.step(cache, state, class); next == nil {
				return false, false
			}
		}
		if next == dfaMatched {
			return true, true
		}
		state = next
	}
	end := state.end.Load()
	if end == endUnknown {
		end = endNone
		if _, hit := d.closure(state, -1); hit {
			end = endMatch
		}
		state.end.Store(end)
	}
	return end == endMatch, true
}

// step makes the state behind a character; nil: there is no room, and the table begins anew.
func (d *dfa) step(cache *dfaCache, state *dfaState, class uint8) *dfaState {
	c := d.runes[class]
	waiting, hit := d.closure(state, c)
	next := dfaMatched
	if !hit {
		set := []uint32{uint32(d.prog.Start)} // a match may begin behind any character
		for _, pc := range waiting {
			if in := &d.prog.Inst[pc]; in.MatchRune(c) && !slices.Contains(set, in.Out) {
				set = append(set, in.Out)
			}
		}
		cache.mu.Lock()
		defer cache.mu.Unlock()
		if next = d.stateLocked(cache, set, alike(c)); next == nil {
			if d.cache.Load() == cache {
				d.reset()
			}
			return nil
		}
	}
	state.next[class].Store(next)
	return next
}

// alike is a character that means the same to what stands behind it.
func alike(c rune) rune {
	switch {
	case c == '\n':
		return '\n'
	case syntax.IsWordChar(c):
		return 'a'
	}
	return ' '
}

// stateLocked gives the state of a set; nil: there is no room.
func (d *dfa) stateLocked(cache *dfaCache, set []uint32, prev rune) *dfaState {
	slices.Sort(set)
	key := make([]byte, 0, 4*len(set)+1)
	key = append(key, byte(prev))
	for _, pc := range set {
		key = append(key, byte(pc), byte(pc>>8), byte(pc>>16), byte(pc>>24))
	}
	if known := cache.states[string(key)]; known != nil {
		return known
	}
	if cache.room -= len(d.runes) + len(key)/4 + 16; cache.room < 0 {
		return nil
	}
	state := &dfaState{insts: set, prev: prev, next: make([]atomic.Pointer[dfaState], len(d.runes))}
	cache.states[string(key)] = state
	return state
}

// closure follows a state's instructions to those that wait for the next character, which is c; -1: the text ends. hit: one of them
// is a match.
func (d *dfa) closure(state *dfaState, c rune) (waiting []uint32, hit bool) {
	here := syntax.EmptyOpContext(state.prev, c)
	seen := make([]bool, len(d.prog.Inst))
	open := slices.Clone(state.insts)
	for len(open) > 0 {
		pc := open[len(open)-1]
		open = open[:len(open)-1]
		if seen[pc] {
			continue
		}
		seen[pc] = true
		switch in := &d.prog.Inst[pc]; in.Op {
		case syntax.InstMatch:
			return nil, true
		case syntax.InstAlt, syntax.InstAltMatch:
			open = append(open, in.Out, in.Arg)
		case syntax.InstEmptyWidth:
			if syntax.EmptyOp(in.Arg)&^here == 0 {
				open = append(open, in.Out)
			}
		case syntax.InstCapture, syntax.InstNop:
			open = append(open, in.Out)
		case syntax.InstFail:
		default:
			waiting = append(waiting, pc)
		}
	}
	return waiting, false
}
