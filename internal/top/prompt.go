package top

import (
	"slices"
	"unicode/utf8"

	"github.com/tapway/tapway/internal/filter"
	"github.com/tapway/tapway/internal/terminal"
)

// prompt is a line that is being typed.
type prompt struct {
	label string
	text  []rune
	at    int // where the next character goes
	hint  string

	check   func(text string) (message string, column int) // what is wrong, while typing; nil: nothing ever is
	enter   func(text string)
	history []string // earlier lines, oldest first
	back    int      // how far up in history
	message string
	column  int // in characters from 1; 0: nowhere
}

const maxPrompt = filter.MaxLength

func newPrompt(label, text string, enter func(string)) *prompt {
	p := &prompt{label: label, text: []rune(terminal.Clean(text)), enter: enter}
	p.at = len(p.text)
	return p
}

func checkFilter(text string) (string, int) {
	_, err := filter.Parse(text)
	if e, ok := err.(*filter.Error); ok {
		return e.Message, e.Column
	}
	return "", 0
}

// event edits the line; done says that it is no longer being typed.
func (p *prompt) event(ev any) (done bool) {
	switch ev := ev.(type) {
	case terminal.Paste:
		p.insert(string(ev))
	case terminal.Key:
		switch {
		case ev == "esc" || ev == "ctrl+g":
			return true
		case ev == "enter":
			if p.verify(); p.message == "" {
				p.enter(string(p.text))
				return true
			}
			return false
		case ev.IsText():
			p.insert(string(ev))
		default:
			p.edit(ev)
		}
	default:
		return false
	}
	p.verify()
	return false
}

func (p *prompt) verify() {
	if p.check != nil {
		p.message, p.column = p.check(string(p.text))
	}
}

func (p *prompt) insert(text string) {
	if len(string(p.text))+len(text) > maxPrompt {
		return
	}
	p.text = slices.Insert(p.text, p.at, []rune(text)...)
	p.at += utf8.RuneCountInString(text)
}

func (p *prompt) edit(key terminal.Key) {
	switch key {
	case "left", "ctrl+b":
		p.at = max(p.at-1, 0)
	case "right", "ctrl+f":
		p.at = min(p.at+1, len(p.text))
	case "home", "ctrl+a":
		p.at = 0
	case "end", "ctrl+e":
		p.at = len(p.text)
	case "backspace":
		if p.at > 0 {
			p.at--
			p.text = slices.Delete(p.text, p.at, p.at+1)
		}
	case "delete", "ctrl+d":
		if p.at < len(p.text) {
			p.text = slices.Delete(p.text, p.at, p.at+1)
		}
	case "ctrl+u":
		p.text, p.at = slices.Delete(p.text, 0, p.at), 0
	case "ctrl+k":
		p.text = p.text[:p.at]
	case "ctrl+w":
		from := p.at
		for from > 0 && p.text[from-1] == ' ' {
			from--
		}
		for from > 0 && p.text[from-1] != ' ' {
			from--
		}
		p.text, p.at = slices.Delete(p.text, from, p.at), from
	case "up":
		p.recall(p.back + 1)
	case "down":
		p.recall(p.back - 1)
	}
}

// recall puts an earlier line in place.
func (p *prompt) recall(back int) {
	if back < 0 || back > len(p.history) {
		return
	}
	p.back, p.text = back, nil
	if back > 0 {
		p.text = []rune(p.history[len(p.history)-back])
	}
	p.at = len(p.text)
}

// draw shows the line in row y, and what is wrong with it in the row below if there is one.
func (p *prompt) draw(s *terminal.Screen, y int) {
	x := s.Text(0, y, s.W-1, p.label+" ", terminal.Bold)
	room := s.W - x - 1
	from, used := p.at, 0 // the first character shown, so that the cursor is in sight
	for from > 0 {
		if used += terminal.Width(string(p.text[from-1])); used > room {
			break
		}
		from--
	}
	s.Text(x, y, s.W-x, string(p.text[from:]), 0)
	s.Cursor, s.CursorX, s.CursorY = true, min(x+terminal.Width(string(p.text[from:p.at])), s.W-1), y
	if y+1 >= s.H {
		return
	}
	if p.message == "" {
		s.Text(0, y+1, s.W, p.hint, terminal.Dim)
		return
	}
	style := terminal.Yellow | terminal.Bold
	column := min(max(p.column-1, 0), len(p.text))
	mark := x
	if column >= from {
		mark += terminal.Width(string(p.text[from:column]))
		s.Mark(mark, y, 1, terminal.Underline|terminal.Red)
	}
	width := terminal.Width(p.message)
	switch {
	case mark+2+width <= s.W:
		s.Text(mark, y+1, s.W, "^ "+p.message, style)
	case width+2 <= mark && mark < s.W:
		s.Text(mark-width-1, y+1, s.W, p.message+" ^", style)
	default:
		s.Text(0, y+1, s.W, p.message, style)
	}
}
