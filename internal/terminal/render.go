package terminal

import (
	"strconv"
	"unicode/utf8"
)

// Renderer makes the bytes that turn what a terminal shows into the next screen. The zero Renderer
// knows nothing of the terminal and begins by clearing it.
type Renderer struct {
	Colour bool // false: attributes only

	shown Screen
	known bool
}

// Forget makes the next Frame draw everything: the terminal's size has changed, or somebody else wrote on it.
func (r *Renderer) Forget() { r.known = false }

// Frame appends to dst what must be written so that the terminal shows next.
func (r *Renderer) Frame(dst []byte, next *Screen) []byte {
	if !r.known || r.shown.W != next.W || r.shown.H != next.H {
		r.shown.Reset(next.W, next.H)
		r.known = true
		dst = append(dst, "\x1b[0m\x1b[2J"...)
	} else if r.shown.Cursor {
		dst = append(dst, "\x1b[?25l"...) // it must not be seen jumping
	}
	style, atX, atY := Style(0), -1, -1
	for y := range next.H {
		for x := 0; x < next.W; x++ {
			cell := next.At(x, y)
			wide := x+1 < next.W && next.At(x+1, y).Rune == 0
			if cell == r.shown.At(x, y) && (!wide || next.At(x+1, y) == r.shown.At(x+1, y)) {
				continue
			}
			if atX != x || atY != y {
				dst = appendMove(dst, x, y)
			}
			if cell.Style != style {
				dst, style = r.appendStyle(dst, cell.Style), cell.Style
			}
			if cell.Rune == 0 { // half of something that is not there
				cell.Rune = ' '
			}
			dst = append(utf8.AppendRune(dst, cell.Rune), cell.Marks...)
			atX, atY = x+1, y
			if cell.Rune >= utf8.RuneSelf || cell.Marks != "" {
				atX = -1 // terminals differ in how far they go
			}
			if wide {
				x++
			}
		}
	}
	if style != 0 {
		dst = append(dst, "\x1b[0m"...)
	}
	if next.Cursor {
		dst = append(appendMove(dst, next.CursorX, next.CursorY), "\x1b[?25h"...)
	}
	copy(r.shown.cells, next.cells)
	r.shown.Cursor = next.Cursor
	return dst
}

func appendMove(dst []byte, x, y int) []byte {
	dst = strconv.AppendInt(append(dst, "\x1b["...), int64(y+1), 10)
	return append(strconv.AppendInt(append(dst, ';'), int64(x+1), 10), 'H')
}

func (r *Renderer) appendStyle(dst []byte, s Style) []byte {
	dst = append(dst, "\x1b[0"...)
	for _, a := range []struct {
		bit  Style
		code string
	}{{Bold, ";1"}, {Dim, ";2"}, {Underline, ";4"}, {Reverse, ";7"}} {
		if s&a.bit != 0 {
			dst = append(dst, a.code...)
		}
	}
	if colour := s & colourMask; r.Colour && colour != 0 {
		code := int64(29 + colour)
		if colour > White {
			code = int64(90 + colour - Bright - 1)
		}
		dst = strconv.AppendInt(append(dst, ';'), code, 10)
	}
	return append(dst, 'm')
}
