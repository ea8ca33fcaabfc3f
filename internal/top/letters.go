package top

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/tapway/tapway/internal/admin"
	"github.com/tapway/tapway/internal/terminal"
)

// maxLetters is how many dead letters are shown: more are for `tapway dlq`.
const maxLetters = 500

// letters is the view of dead letters, oldest death first.
type letters struct {
	rows   []admin.DeadLetter
	loaded bool
	err    error
	cursor int
	top    int
	height int
}

type lettersRead struct {
	rows []admin.DeadLetter
	err  error
}

// openLetters shows them, and looks again every few seconds while they are shown.
func (m *Model) openLetters() {
	m.letters = &letters{}
	src := m.src
	m.task("letters", func(ctx context.Context, send func(any)) {
		for ctx.Err() == nil {
			rows, err := src.DeadLetters(ctx, maxLetters)
			if ctx.Err() != nil {
				return
			}
			send(lettersRead{rows, err})
			sleep(ctx, 5*time.Second)
		}
	})
}

func (v *letters) read(msg lettersRead) {
	if v.loaded, v.err = true, msg.err; v.err == nil {
		v.rows = msg.rows
	}
	v.move(0)
}

func (v *letters) selected() *admin.DeadLetter {
	if v.cursor < len(v.rows) {
		return &v.rows[v.cursor]
	}
	return nil
}

func (v *letters) move(by int) {
	v.cursor = max(min(v.cursor+by, len(v.rows)-1), 0)
	height := max(v.height, 1)
	v.top = max(min(v.top, v.cursor, len(v.rows)-height), 0)
	if v.cursor >= v.top+height {
		v.top = v.cursor - height + 1
	}
}

func (v *letters) find(text string, by int) bool {
	for i := v.cursor + by; i >= 0 && i < len(v.rows); i += by {
		if l := &v.rows[i]; containsFold(strings.Join([]string{l.Destination, l.Reason, rowText(&l.Exchange)}, " "), text) {
			v.move(i - v.cursor)
			return true
		}
	}
	return false
}

// noteOf says why a letter is dead.
func noteOf(l *admin.DeadLetter) string {
	return fmt.Sprintf("Dead at %s after %s: %s", l.Destination, plural(l.Attempts, "attempt"), l.Reason)
}

func (m *Model) askRedrive(l admin.DeadLetter) {
	src := m.src
	what := fmt.Sprintf("%s %s to %s", l.Exchange.Method, target(&l.Exchange), l.Destination)
	m.prompt = newPrompt("redrive? type y:", "", func(text string) {
		if strings.TrimSpace(text) != "y" {
			return
		}
		m.task("redrive", func(ctx context.Context, send func(any)) {
			p, err := src.Redrive(ctx, l.Destination, l.Exchange.ID)
			switch {
			case err != nil:
				send(told{"redrive: " + err.Error(), true})
			case p.OK == 0:
				send(told{strings.TrimSpace("redrive: it is no longer a dead letter " + p.Error), true})
			default:
				send(told{text: "in the queue again: " + what})
			}
			rows, err := src.DeadLetters(ctx, maxLetters)
			send(lettersRead{rows, err})
		})
	})
	m.prompt.hint = "puts " + what + " back into the queue"
}

func (v *letters) key(m *Model, key terminal.Key) {
	page := max(v.height-1, 1)
	switch key {
	case "q", "esc", "d", "backspace", "left":
		m.letters = nil
		m.task("letters", nil)
	case "j", "down":
		v.move(1)
	case "k", "up":
		v.move(-1)
	case "pgdown", "ctrl+f", " ":
		v.move(page)
	case "pgup", "ctrl+b":
		v.move(-page)
	case "home", "g":
		v.move(-len(v.rows))
	case "end", "G":
		v.move(len(v.rows))
	case "enter", "right", "l":
		if l := v.selected(); l != nil {
			m.open(l.Exchange, noteOf(l))
		}
	case "R":
		if l := v.selected(); l != nil {
			m.askRedrive(*l)
		}
	}
}
