package terminal

import (
	"strings"
	"unicode/utf8"
)

// Style is how a cell looks: one of the 8 or 16 colours that every terminal's owner has chosen, and attributes.
type Style uint16

// The zero Style is the terminal's own colour. A Bright colour is one of the upper eight.
const (
	Black Style = iota + 1
	Red
	Green
	Yellow
	Blue
	Magenta
	Cyan
	White

	Bright Style = 8 // added to a colour

	Bold      Style = 0x100
	Dim       Style = 0x200
	Underline Style = 0x400
	Reverse   Style = 0x800
)

const colourMask Style = 0xff

// Cell is one column of one row. The right half of a wide character is the zero rune.
type Cell struct {
	Rune  rune
	Marks string // that stand on Rune
	Style Style
}

// maxMarks bounds how many marks a character shows: more only cover the lines around it.
const maxMarks = 3

// Screen is a rectangle of cells.
type Screen struct {
	W, H int

	// ASCII makes everything ASCII, for a locale without UTF-8.
	ASCII bool

	// CursorX and CursorY are where the cursor is shown, if Cursor.
	CursorX, CursorY int
	Cursor           bool

	cells []Cell
}

// NewScreen is an empty screen.
func NewScreen(w, h int) *Screen {
	s := &Screen{}
	s.Reset(w, h)
	return s
}

// Reset makes s empty and of this size, in the memory it has.
func (s *Screen) Reset(w, h int) {
	s.W, s.H, s.Cursor = max(w, 0), max(h, 0), false
	if n := s.W * s.H; cap(s.cells) < n {
		s.cells = make([]Cell, n)
	} else {
		s.cells = s.cells[:n]
	}
	for i := range s.cells {
		s.cells[i] = Cell{Rune: ' '}
	}
}

// At is the cell in column x of row y, counted from 0.
func (s *Screen) At(x, y int) Cell { return s.cells[y*s.W+x] }

// Text writes text from column x of row y on, no more than width columns of it, and gives how many it took.
// What is not printable is replaced, and what is outside of the screen is left out.
func (s *Screen) Text(x, y, width int, text string, style Style) int {
	if y < 0 || y >= s.H || x < 0 {
		return 0
	}
	width = min(width, s.W-x)
	used, last := 0, -1 // last is the column of the character that marks stand on
	for _, r := range text {
		r = printable(r)
		w, half := runeWidth(r), rune(0)
		if s.ASCII {
			r = asciiOf(r)
			half = r
		}
		switch {
		case w == 0 && s.ASCII:
		case w == 0 && last >= 0:
			if cell := &s.cells[y*s.W+last]; utf8.RuneCountInString(cell.Marks) < maxMarks {
				cell.Marks += string(r)
			}
		case used+max(w, 1) > width:
			return used
		case w == 0: // a mark on nothing
			s.set(x+used, y, Cell{Rune: Replacement, Style: style})
			used++
		default:
			last = x + used
			s.set(last, y, Cell{Rune: r, Style: style})
			if w == 2 {
				s.set(last+1, y, Cell{Rune: half, Style: style})
			}
			used += w
		}
	}
	return used
}

// set puts a cell. The other half of a wide character that loses one becomes a space.
func (s *Screen) set(x, y int, c Cell) {
	i := y*s.W + x
	if s.cells[i].Rune == 0 && c.Rune != 0 && x > 0 {
		s.cells[i-1].Rune, s.cells[i-1].Marks = ' ', ""
	}
	if x+1 < s.W && s.cells[i+1].Rune == 0 {
		s.cells[i+1].Rune = ' '
	}
	s.cells[i] = c
}

// Fill gives every cell of a row's part a style, and leaves its text.
func (s *Screen) Fill(x, y, width int, style Style) {
	if y < 0 || y >= s.H {
		return
	}
	for i := max(x, 0); i < min(x+width, s.W); i++ {
		s.cells[y*s.W+i].Style = style
	}
}

// Mark adds attributes to every cell of a row's part.
func (s *Screen) Mark(x, y, width int, attributes Style) {
	if y < 0 || y >= s.H {
		return
	}
	for i := max(x, 0); i < min(x+width, s.W); i++ {
		s.cells[y*s.W+i].Style |= attributes
	}
}

// String is the text of the screen, a line for every row, without spaces at their ends.
func (s *Screen) String() string {
	var b strings.Builder
	for y := range s.H {
		var line strings.Builder
		for x := range s.W {
			if c := s.At(x, y); c.Rune != 0 {
				line.WriteRune(c.Rune)
				line.WriteString(c.Marks)
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " "))
		b.WriteByte('\n')
	}
	return b.String()
}
