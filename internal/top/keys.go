package top

import (
	"context"
	"fmt"
	"strings"

	"github.com/tapway/tapway/internal/terminal"
)

// event takes a key, the mouse or a paste.
func (m *Model) event(ev any) {
	key, _ := ev.(terminal.Key)
	switch key {
	case "ctrl+c":
		m.effects.Quit = true
		return
	case "ctrl+z":
		m.effects.Suspend = true
		return
	case "ctrl+l":
		m.effects.Redraw = true
		return
	}
	switch {
	case m.prompt != nil:
		if p := m.prompt; p.event(ev) && m.prompt == p {
			m.prompt = nil
		}
		return
	case m.help:
		if key != "" {
			m.help = false
		}
		return
	}
	if mouse, ok := ev.(terminal.Mouse); ok {
		m.mouse(mouse)
		return
	}
	if key == "" || m.common(key) {
		return
	}
	m.message = ""
	switch {
	case m.detail != nil:
		m.detail.key(m, key)
	case m.letters != nil:
		m.letters.key(m, key)
	default:
		m.listKey(key)
	}
}

// common takes the keys that mean the same everywhere.
func (m *Model) common(key terminal.Key) bool {
	switch key {
	case "?", "f1":
		m.help = true
	case "/":
		m.prompt = newPrompt("search:", "", func(text string) {
			m.search = text
			m.again(1)
		})
		m.prompt.hint = "text to look for, in any letter case; n and N go on"
	case "n":
		m.again(1)
	case "N":
		m.again(-1)
	case "f":
		m.askFilter(m.filter)
	case "c":
		m.copyCurl(false)
	case "C":
		m.copyCurl(true)
	case "r":
		m.askReplay()
	default:
		return false
	}
	return true
}

func (m *Model) askFilter(text string) {
	m.prompt = newPrompt("filter:", text, m.setFilter)
	m.prompt.check, m.prompt.history = checkFilter, m.filters
	m.prompt.hint = "Enter takes it, Esc leaves it; status >= 500 && path startsWith '/api/'"
}

// again goes to the next place where the text stands that was searched for.
func (m *Model) again(by int) {
	if m.search == "" {
		m.say("nothing has been searched for: type /")
		return
	}
	ok := false
	switch {
	case m.detail != nil:
		ok = m.detail.find(m.search, by)
	case m.letters != nil:
		ok = m.letters.find(m.search, by)
	default:
		ok = m.list.find(m.search, -by) // the newest is at the bottom, and one searches back from there
		if !ok {
			ok = by > 0 && m.list.wrap(m.search)
		}
	}
	if !ok {
		m.tell(told{fmt.Sprintf("%q is not there", m.search), true})
	}
}

// wrap looks from the newest row on.
func (l *list) wrap(text string) bool {
	at := l.cursor
	l.cursor = len(l.rows)
	if l.find(text, -1) {
		return true
	}
	l.cursor = at
	return false
}

func (m *Model) listKey(key terminal.Key) {
	l := &m.list
	page := max(l.height-1, 1)
	switch key {
	case "q":
		m.effects.Quit = true
	case "j", "down":
		l.move(1)
	case "k", "up":
		l.move(-1)
	case "pgdown", "ctrl+f":
		l.move(page)
	case "pgup", "ctrl+b":
		l.move(-page)
	case "ctrl+d":
		l.move(page / 2)
	case "ctrl+u":
		l.move(-page / 2)
	case "home", "g":
		l.move(-len(l.rows))
	case "end", "G":
		l.follow = true
		l.settle()
	case "F":
		l.follow = !l.follow
		l.settle()
	case " ", "p":
		l.pause(!l.paused)
	case "enter", "right", "l":
		if s := l.selected(); s != nil {
			m.open(*s, "")
		}
	case "d":
		m.openLetters()
	case "h":
		m.say("? shows the keys")
	case "esc":
		m.search = ""
	}
	m.older()
}

func (m *Model) mouse(ev terminal.Mouse) {
	const lines = 3
	inDetail := m.detail != nil && m.sideAt.has(ev.X, ev.Y)
	switch {
	case inDetail && ev.Wheel != 0:
		m.detail.scroll(ev.Wheel * lines)
	case inDetail:
		m.detail.click(ev.X-m.sideAt.x, ev.Y-m.sideAt.y)
	case m.letters != nil && ev.Wheel != 0:
		m.letters.move(ev.Wheel * lines)
	case m.letters != nil:
	case ev.Wheel != 0:
		m.list.scroll(ev.Wheel * lines)
		m.older()
	case m.listAt.has(ev.X, ev.Y):
		row := m.list.top + ev.Y - m.listAt.y
		if row >= len(m.list.rows) {
			return
		}
		again := row == m.list.cursor
		m.list.follow = false
		m.list.cursor = row
		m.list.settle()
		if s := m.list.selected(); s != nil && (again || m.detail != nil) {
			m.open(*s, "")
		}
	}
}

// chosen is the id of the call that is looked at; "" if there is none.
func (m *Model) chosen() (id, what string) {
	switch {
	case m.detail != nil:
		return m.detail.summary.ID, m.detail.summary.Method + " " + target(&m.detail.summary)
	case m.letters != nil:
		if l := m.letters.selected(); l != nil {
			return l.Exchange.ID, l.Exchange.Method + " " + target(&l.Exchange)
		}
	default:
		if s := m.list.selected(); s != nil {
			return s.ID, s.Method + " " + target(s)
		}
	}
	return "", ""
}

// askReplay lets one say where to, which is the confirmation as well.
func (m *Model) askReplay() {
	id, what := m.chosen()
	if id == "" {
		m.say("there is no call to replay")
		return
	}
	src := m.src
	m.prompt = newPrompt("replay to:", m.place.Gateway, func(to string) {
		to = strings.TrimSpace(to)
		m.say("replaying %s …", what)
		m.task("replay", func(ctx context.Context, send func(any)) {
			p, err := src.Replay(ctx, id, to)
			switch {
			case err != nil:
				send(told{"replay: " + err.Error(), true})
			case p.OK == 0:
				send(told{"replay: " + p.Error, true})
			default:
				send(told{text: "replayed " + what + " to " + to})
			}
		})
	})
	m.prompt.hint = "Enter sends " + what + " again, Esc does not"
	m.prompt.check = func(text string) (string, int) {
		if t := strings.TrimSpace(text); !strings.HasPrefix(t, "http://") && !strings.HasPrefix(t, "https://") {
			return "a base URL: http://host:port", 1
		}
		return "", 0
	}
}
