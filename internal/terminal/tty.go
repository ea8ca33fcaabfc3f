package terminal

import "errors"

// ErrNoTerminal says that what is read from or written to is no terminal that can be taken over.
var ErrNoTerminal = errors.New("this is no terminal")

// What takes a terminal over: the alternate screen, no cursor, no wrapping, the mouse with large coordinates, pastes
// that can be told from typing; and what gives it back, in the opposite order.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[?1000h\x1b[?1006h\x1b[?2004h\x1b[0m\x1b[2J"
	leaveScreen = "\x1b[?2004l\x1b[?1006l\x1b[?1000l\x1b[?7h\x1b[0m\x1b[?25h\x1b[?1049l"
)
