// Package terminaltest is a terminal for tests: [Screen] understands what tapway writes to one, and
// [Open] is a real pseudo-terminal with such a screen behind it.
//
// What a newcomer gets wrong: Screen knows the few sequences that tapway is allowed to send and
// keeps every other in Strange. A test of what strangers can do to a terminal looks there.
package terminaltest

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Screen is the state of a terminal.
type Screen struct {
	W, H      int
	Alternate bool            // the alternate screen is shown
	Hidden    bool            // the cursor is
	Modes     map[string]bool // private modes that have been set, but not reset: "1000", "2004"
	Clipboard string          // what OSC 52 has set, in base64
	Strange   []string        // what was sent and is not known
	Colours   bool            // a colour has been used
	Main      string          // text written while the alternate screen was not shown

	// Wide tells which characters take two columns; nil: those of the usual East Asian blocks.
	Wide func(r rune) bool

	rows    [][]rune
	x, y    int
	pending []byte
}

// NewScreen is a terminal of this size.
func NewScreen(w, h int) *Screen {
	s := &Screen{Modes: map[string]bool{}}
	s.Resize(w, h)
	return s
}

// Resize changes the size and empties the screen.
func (s *Screen) Resize(w, h int) {
	s.W, s.H = w, h
	s.clear()
}

func (s *Screen) clear() {
	s.rows = make([][]rune, s.H)
	for y := range s.rows {
		s.rows[y] = []rune(strings.Repeat(" ", s.W))
	}
}

// Text is what is shown, without spaces at the ends of lines.
func (s *Screen) Text() string {
	var b strings.Builder
	for _, row := range s.rows {
		b.WriteString(strings.TrimRight(strings.ReplaceAll(string(row), "\x00", ""), " ") + "\n")
	}
	return b.String()
}

// Cursor is where the cursor stands.
func (s *Screen) Cursor() (x, y int) { return s.x, s.y }

// Write takes what is sent to the terminal.
func (s *Screen) Write(b []byte) (int, error) {
	s.pending = append(s.pending, b...)
	for len(s.pending) > 0 {
		n := s.step()
		if n == 0 {
			break
		}
		s.pending = s.pending[n:]
	}
	return len(b), nil
}

// step takes one character or sequence; 0: more must come.
func (s *Screen) step() int {
	b := s.pending
	if b[0] != 0x1b {
		if !utf8.FullRune(b) {
			return 0
		}
		r, n := utf8.DecodeRune(b)
		s.put(r)
		return n
	}
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '[':
		for i := 2; i < len(b); i++ {
			if b[i] >= 0x40 && b[i] <= 0x7e {
				s.control(string(b[2:i]), b[i])
				return i + 1
			}
		}
		return 0
	case ']':
		end := strings.IndexByte(string(b), 0x07)
		if end < 0 {
			return 0
		}
		if text, ok := strings.CutPrefix(string(b[2:end]), "52;c;"); ok {
			s.Clipboard = text
		} else {
			s.strange(b[:end+1])
		}
		return end + 1
	}
	s.strange(b[:2])
	return 2
}

func (s *Screen) strange(b []byte) { s.Strange = append(s.Strange, fmt.Sprintf("%q", b)) }

func (s *Screen) put(r rune) {
	switch {
	case !s.Alternate && (r == '\n' || r == '\r' || unicode.IsPrint(r)):
		s.Main += string(r)
		return
	case !unicode.IsPrint(r):
		s.strange([]byte(string(r)))
		return
	case unicode.In(r, unicode.Mn, unicode.Me) || r >= 0x1160 && r <= 0x11ff:
		return // it stands on the one before
	}
	if s.y < s.H && s.x < s.W {
		s.rows[s.y][s.x] = r
		if s.isWide(r) && s.x+1 < s.W {
			s.rows[s.y][s.x+1] = 0
		}
	}
	s.x++ // wide or not: whoever writes must say where to go on
}

func (s *Screen) isWide(r rune) bool {
	if s.Wide != nil {
		return s.Wide(r)
	}
	return r >= 0x2e80 && r <= 0xd7a3 || r >= 0xff01 && r <= 0xff60 || r >= 0x1f300 && r <= 0x1faff
}

func (s *Screen) control(params string, final byte) {
	private, isPrivate := strings.CutPrefix(params, "?")
	switch {
	case isPrivate && (final == 'h' || final == 'l'):
		s.mode(private, final == 'h')
	case final == 'H':
		row, column, _ := strings.Cut(params, ";")
		y, err := strconv.Atoi(row)
		x, err2 := strconv.Atoi(column)
		if err != nil || err2 != nil {
			s.Strange = append(s.Strange, "CSI "+params+"H")
			return
		}
		s.x, s.y = x-1, y-1
	case final == 'J' && params == "2":
		s.clear()
	case final == 'm':
		for code := range strings.SplitSeq(params, ";") {
			switch n, err := strconv.Atoi(code); {
			case err != nil || n > 7 && (n < 30 || n > 37) && (n < 90 || n > 97):
				s.Strange = append(s.Strange, "CSI "+params+"m")
			case n >= 30:
				s.Colours = true
			}
		}
	default:
		s.Strange = append(s.Strange, "CSI "+params+string(final))
	}
}

func (s *Screen) mode(name string, on bool) {
	switch name {
	case "1049":
		s.Alternate = on
		s.clear()
	case "25":
		s.Hidden = !on
	case "7":
		name, on = "nowrap", !on
		fallthrough
	case "1000", "1006", "2004":
		if s.Modes[name] = on; !on {
			delete(s.Modes, name)
		}
	default:
		s.Strange = append(s.Strange, "mode "+name)
	}
}
