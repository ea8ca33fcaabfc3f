package terminal

import (
	"bytes"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Event is what somebody did: a Key, a Mouse, or a Paste.
type Event any

// Key is a character as typed ("a", " ", "é"), or a name: "enter", "esc", "tab", "shift+tab", "backspace", "delete",
// "up", "down", "left", "right", "home", "end", "pgup", "pgdown", "insert", "ctrl+c", "alt+x".
type Key string

// IsText reports whether k is one printable character.
func (k Key) IsText() bool {
	r, n := utf8.DecodeRuneInString(string(k))
	return n == len(k) && n > 0 && unicode.IsPrint(r)
}

// Mouse is the wheel turned or a button pressed in column X of row Y, counted from 0.
type Mouse struct {
	X, Y  int
	Wheel int // -1 up, 1 down, 0 a button
}

// Paste is text that was pasted, without control characters.
type Paste string

const (
	pasteBegin = "\x1b[200~"
	pasteEnd   = "\x1b[201~"
	maxPaste   = 16 << 10
	maxEscape  = 64 // longer sequences than any key's are passed over
)

// Input makes events of the bytes that a terminal sends, which may come in any portions.
type Input struct {
	pending []byte
	pasting bool
}

// Feed takes more bytes and gives the events that are complete.
func (in *Input) Feed(b []byte) []Event {
	in.pending = append(in.pending, b...)
	var events []Event
	for len(in.pending) > 0 {
		ev, n := in.next()
		if n == 0 {
			break
		}
		in.pending = in.pending[n:]
		if ev != nil {
			events = append(events, ev)
		}
	}
	if len(in.pending) == 0 {
		in.pending = nil
	}
	return events
}

// Waiting reports whether a lone ESC may be a key or the beginning of more: after some 50 ms
// without more it is the key, see Flush.
func (in *Input) Waiting() bool { return len(in.pending) > 0 && !in.pasting }

// Flush gives what the pending bytes mean if nothing follows.
func (in *Input) Flush() []Event {
	if !in.Waiting() {
		return nil
	}
	first := in.pending[0]
	in.pending = nil
	if first == 0x1b {
		return []Event{Key("esc")}
	}
	return nil
}

// next reads one event; 0 bytes mean that more must come first.
func (in *Input) next() (Event, int) {
	b := in.pending
	if in.pasting {
		return in.paste()
	}
	switch {
	case b[0] == 0x1b:
		return in.escape()
	case b[0] == '\r' || b[0] == '\n':
		return Key("enter"), 1
	case b[0] == '\t':
		return Key("tab"), 1
	case b[0] == 0x7f || b[0] == 0x08:
		return Key("backspace"), 1
	case b[0] == 0:
		return Key("ctrl+space"), 1
	case b[0] < 0x1b:
		return Key("ctrl+" + string(rune('a'+b[0]-1))), 1
	case b[0] < ' ':
		return nil, 1
	}
	if !utf8.FullRune(b) {
		return nil, 0
	}
	r, n := utf8.DecodeRune(b)
	if printable(r) != r || r == utf8.RuneError {
		return nil, n
	}
	return Key(string(r)), n
}

func (in *Input) paste() (Event, int) {
	end := bytes.Index(in.pending, []byte(pasteEnd))
	if end < 0 {
		if len(in.pending) > 4*maxPaste {
			in.pasting = false // nobody pastes that much into a prompt
			return nil, len(in.pending)
		}
		return nil, 0
	}
	in.pasting = false
	text := strings.Map(func(r rune) rune {
		if r == '\n' || r == '\r' || r == '\t' {
			return ' '
		}
		if printable(r) != r {
			return -1
		}
		return r
	}, string(in.pending[:min(end, maxPaste)]))
	return Paste(text), end + len(pasteEnd)
}

func (in *Input) escape() (Event, int) {
	b := in.pending
	if len(b) == 1 {
		return nil, 0
	}
	switch b[1] {
	case '[':
		return in.control()
	case 'O':
		if len(b) < 3 {
			return nil, 0
		}
		return keyOrNil(finals[b[2]]), 3
	case 0x1b:
		return Key("esc"), 1
	}
	if b[1] < ' ' || !utf8.FullRune(b[1:]) {
		if b[1] < ' ' {
			return Key("esc"), 1
		}
		return nil, 0
	}
	r, n := utf8.DecodeRune(b[1:])
	if printable(r) != r {
		return nil, 1 + n
	}
	return Key("alt+" + string(r)), 1 + n
}

// control reads ESC [ parameters final (ECMA-48, 5.4).
func (in *Input) control() (Event, int) {
	b := in.pending
	end := 2
	for end < len(b) && b[end] >= 0x20 && b[end] <= 0x3f {
		end++
	}
	if end >= maxEscape {
		return nil, end
	}
	if end == len(b) {
		return nil, 0
	}
	final, params := b[end], string(b[2:end])
	if final < 0x40 || final > 0x7e { // broken off by something else
		return nil, end
	}
	n := end + 1
	switch {
	case final == '~' && params == "200":
		in.pasting = true
		return nil, n
	case final == '~':
		code, _, _ := strings.Cut(params, ";")
		return keyOrNil(numbered[code]), n
	case strings.HasPrefix(params, "<") && (final == 'M' || final == 'm'):
		return mouse(params[1:], final), n
	case final == 'Z':
		return Key("shift+tab"), n
	}
	return keyOrNil(finals[final]), n
}

func keyOrNil(name string) Event {
	if name == "" {
		return nil
	}
	return Key(name)
}

var finals = map[byte]string{'A': "up", 'B': "down", 'C': "right", 'D': "left", 'H': "home", 'F': "end", 'M': "enter"}

var numbered = map[string]string{"1": "home", "2": "insert", "3": "delete", "4": "end", "5": "pgup", "6": "pgdown", "7": "home", "8": "end"}

// mouse reads "button;column;row" of xterm's SGR mode (ctlseqs, "Mouse Tracking").
func mouse(params string, final byte) Event {
	parts := strings.Split(params, ";")
	if len(parts) != 3 {
		return nil
	}
	var n [3]int
	for i, part := range parts {
		v, err := strconv.Atoi(part)
		if err != nil || v < 0 || v > 1<<15 {
			return nil
		}
		n[i] = v
	}
	m := Mouse{X: n[1] - 1, Y: n[2] - 1}
	switch button := n[0] &^ (4 | 8 | 16); { // without Shift, Meta, Control
	case m.X < 0 || m.Y < 0:
		return nil
	case button == 64:
		m.Wheel = -1
	case button == 65:
		m.Wheel = 1
	case button != 0 || final != 'M':
		return nil
	}
	return m
}
