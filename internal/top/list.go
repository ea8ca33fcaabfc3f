package top

import (
	"cmp"
	"slices"
	"strings"

	"github.com/tapway/tapway/internal/admin"
)

// maxRows is how many calls the list holds; the oldest go first.
const maxRows = 5000

// list is the calls that are shown, oldest first, and which of them is looked at.
type list struct {
	rows   []admin.Summary
	cursor int
	top    int  // the first row on the screen
	height int  // rows on the screen
	follow bool // the newest row is the one looked at
	paused bool

	waiting []admin.Summary // came while paused
	missed  uint64          // came while paused, and are not kept; or were left out by the gateway

	loading   bool // older ones are on their way
	exhausted bool // there are no older ones
}

// add appends new calls.
func (l *list) add(calls []admin.Summary) {
	if l.paused {
		l.waiting = append(l.waiting, calls...)
		if over := len(l.waiting) - maxRows; over > 0 {
			l.waiting = slices.Delete(l.waiting, 0, over)
			l.missed += uint64(over)
		}
		return
	}
	l.rows = append(l.rows, calls...)
	l.trim()
}

// trim drops the oldest rows, a tenth at a time.
func (l *list) trim() {
	if len(l.rows) > maxRows+maxRows/10 {
		over := len(l.rows) - maxRows
		l.rows = slices.Delete(l.rows, 0, over)
		l.cursor, l.top = max(l.cursor-over, 0), max(l.top-over, 0)
		l.exhausted = false
	}
	l.settle()
}

// merge adds calls of the history, in any order, where they belong. It keeps looking at the same call.
func (l *list) merge(calls []admin.Summary) {
	var at uint64
	if l.cursor < len(l.rows) {
		at = l.rows[l.cursor].Seq
	}
	offset := l.cursor - l.top
	l.rows = append(l.rows, calls...)
	slices.SortStableFunc(l.rows, func(a, b admin.Summary) int { return cmp.Compare(a.Seq, b.Seq) })
	l.rows = slices.CompactFunc(l.rows, func(a, b admin.Summary) bool { return a.Seq == b.Seq })
	l.cursor, _ = slices.BinarySearchFunc(l.rows, at, func(s admin.Summary, seq uint64) int { return cmp.Compare(s.Seq, seq) })
	l.top = l.cursor - offset
	l.trim()
}

// settle keeps the row looked at in the list and on the screen.
func (l *list) settle() {
	if l.follow {
		l.cursor = len(l.rows) - 1
	}
	l.cursor = max(min(l.cursor, len(l.rows)-1), 0)
	height := max(l.height, 1)
	l.top = max(min(l.top, l.cursor, len(l.rows)-height), 0)
	if l.cursor >= l.top+height {
		l.top = l.cursor - height + 1
	}
}

func (l *list) move(by int) {
	l.cursor = max(min(l.cursor+by, len(l.rows)-1), 0)
	l.follow = l.cursor == len(l.rows)-1 && by > 0 || l.follow && by == 0
	l.settle()
}

// scroll moves what is on the screen, and the row looked at no more than necessary.
func (l *list) scroll(by int) {
	height := max(l.height, 1)
	l.top = max(min(l.top+by, len(l.rows)-height), 0)
	l.cursor = max(min(l.cursor, l.top+height-1), l.top)
	l.follow = by > 0 && l.top+height >= len(l.rows)
	l.settle()
}

func (l *list) pause(on bool) {
	if l.paused = on; on {
		return
	}
	calls := l.waiting
	l.waiting = nil
	l.add(calls)
}

func (l *list) selected() *admin.Summary {
	if l.cursor < len(l.rows) {
		return &l.rows[l.cursor]
	}
	return nil
}

// find moves to the next row with this text, in any letter case; by is 1 or -1.
func (l *list) find(text string, by int) bool {
	for i := l.cursor + by; i >= 0 && i < len(l.rows); i += by {
		if containsFold(rowText(&l.rows[i]), text) {
			l.follow = false
			l.cursor = i
			l.settle()
			return true
		}
	}
	return false
}

func rowText(s *admin.Summary) string {
	return strings.Join([]string{s.Method, statusText(s.Status), target(s), s.Error, s.ClientIP, s.From, s.Route, s.ID}, " ")
}

func target(s *admin.Summary) string {
	if s.Query == "" {
		return s.Path
	}
	return s.Path + "?" + s.Query
}

func containsFold(s, part string) bool {
	return strings.Contains(strings.ToLower(s), strings.ToLower(part))
}
