// Package terminal draws a screen of cells on a terminal and reads its keys: what `tapway top` stands on.
//
// What a newcomer gets wrong: text that tapway has recorded is a stranger's, and a terminal obeys what it is sent. No
// string reaches the terminal but through [Clean] or a [Screen], whose cells hold printable characters only. And no two
// terminals agree on how wide every character is: after one that is not ASCII the [Renderer] says where the next one goes.
package terminal

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Replacement stands for what is not shown: control characters, bytes that are no UTF-8, characters
// that only change the direction or the look of others.
const Replacement = '\ufffd'

// Clean gives s with every character that is not printable replaced. Line ends are such characters.
func Clean(s string) string {
	if utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return printable(r) != r }) < 0 {
		return s
	}
	return strings.Map(printable, s)
}

// CleanJSON gives JSON with the characters that are not printable as escapes: it stays the same value. Only
// white space between its tokens is left as it is. With ascii nothing but ASCII is left: in a locale without UTF-8 a
// terminal may obey the bytes of the other characters.
func CleanJSON(s []byte, ascii bool) []byte {
	out := make([]byte, 0, len(s))
	for len(s) > 0 {
		r, n := utf8.DecodeRune(s)
		switch {
		case r == '\n' || r == '\t' || r == '\r' || printable(r) == r && (r < utf8.RuneSelf || !ascii && (r != utf8.RuneError || n > 1)):
			out = append(out, s[:n]...)
		case r > 0xffff:
			r -= 0x10000
			out = appendEscape(appendEscape(out, 0xd800+r>>10), 0xdc00+r&0x3ff)
		default:
			out = appendEscape(out, r)
		}
		s = s[n:]
	}
	return out
}

func appendEscape(b []byte, r rune) []byte {
	const digits = "0123456789abcdef"
	return append(b, '\\', 'u', digits[r>>12&15], digits[r>>8&15], digits[r>>4&15], digits[r&15])
}

// printable is r, or what stands for it.
func printable(r rune) rune {
	if !unicode.IsPrint(r) || r >= 0xfe00 && r <= 0xfe0f || r >= 0xe0100 && r <= 0xe01ef { // variation selectors change the width of others
		return Replacement
	}
	return r
}

// Width is how many columns s takes.
func Width(s string) int {
	n := 0
	for _, r := range s {
		n += runeWidth(printable(r))
	}
	return n
}

// Cut shortens s to width columns; if something is cut off, the last one is "…".
func Cut(s string, width int) string {
	if width <= 0 {
		return ""
	}
	n, at := 0, 0 // at is where the text ends if it must be cut
	for i, r := range s {
		w := runeWidth(printable(r))
		if n += w; n > width {
			return s[:at] + "…"
		}
		if n <= width-1 {
			at = i + utf8.RuneLen(r)
			if r == utf8.RuneError {
				_, size := utf8.DecodeRuneInString(s[i:])
				at = i + size
			}
		}
	}
	return s
}

// runeWidth is how many columns a printable character takes: 0 for marks that stand on the one before.
func runeWidth(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case r >= 0x1160 && r <= 0x11ff: // vowels and finals of Hangul syllables
		return 0
	case unicode.In(r, unicode.Mn, unicode.Me):
		return 0
	case isWide(r):
		return 2
	}
	return 1
}

// ASCII gives s without anything that a terminal without UTF-8 could not show.
func ASCII(s string) string { return strings.Map(asciiOf, s) }

// asciiOf is what stands for r where the terminal shows ASCII only.
func asciiOf(r rune) rune {
	switch r {
	case '●', '◆', '★':
		return '*'
	case '─', '▁', '▂', '▒':
		return '-'
	case '│', '▏':
		return '|'
	case '▃', '▄', '▓':
		return '='
	case '▅', '▆':
		return '+'
	case '▇', '█':
		return '#'
	case '░', '·':
		return '.'
	case '→', '▶':
		return '>'
	case '←':
		return '<'
	case '…':
		return '~'
	case '↑':
		return '^'
	case '↓':
		return 'v'
	}
	if r < 0x80 {
		return r
	}
	return '?'
}

// Bytes is a number of bytes for people: "512 B", "1.5 KiB", "2.0 GiB".
func Bytes(n int64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	case n < 1<<30:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
}
