package top

import (
	"fmt"
	"strings"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/admin"
	"github.com/tapway/tapway/internal/terminal"
)

// The smallest sizes at which a part of the screen is shown.
const (
	smallW, smallH = 20, 4  // less is the list alone
	footerH        = 7      // the line of keys
	destinationsH  = 12     // the lines of the destinations
	sideW, sideH   = 150, 0 // the detail beside the list
	belowH         = 46     // the detail below the list
)

// View draws everything.
func (m *Model) View(s *terminal.Screen) {
	s.Reset(m.w, m.h)
	m.listAt, m.sideAt = area{}, area{}
	if m.prompt == nil && (m.w < smallW || m.h < smallH) {
		m.drawList(s, area{0, 0, m.w, m.h}, false)
		return
	}
	top := m.drawHeader(s)
	bottom := m.drawFooter(s)
	body := area{0, top, m.w, max(m.h-top-bottom, 0)}
	switch {
	case m.help:
		drawHelp(s, body)
	case m.detail != nil && m.letters == nil && m.w >= sideW:
		w := m.w * 45 / 100
		m.drawList(s, area{0, body.y, w, body.h}, true)
		for y := body.y; y < body.y+body.h; y++ {
			s.Text(w, y, 1, "│", terminal.Dim)
		}
		m.drawDetail(s, area{w + 2, body.y, m.w - w - 2, body.h})
	case m.detail != nil && m.letters == nil && m.h >= belowH:
		h := body.h * 35 / 100
		m.drawList(s, area{0, body.y, m.w, h}, true)
		s.Text(0, body.y+h, m.w, strings.Repeat("─", m.w), terminal.Dim)
		m.drawDetail(s, area{0, body.y + h + 1, m.w, body.h - h - 1})
	case m.detail != nil:
		m.drawDetail(s, body)
	case m.letters != nil:
		m.letters.draw(m, s, body)
	default:
		m.drawList(s, body, true)
	}
}

func (m *Model) drawDetail(s *terminal.Screen, a area) {
	m.sideAt = a
	m.detail.draw(m, s, a)
}

// drawHeader draws the numbers and the destinations, and says how many rows it took.
func (m *Model) drawHeader(s *terminal.Screen) int {
	f := m.stats.figures()
	state, style := "● live", terminal.Green
	switch m.link.state {
	case connecting:
		state, style = "● connecting", terminal.Yellow
	case lost:
		wait := max(m.link.retryAt.Sub(m.now).Seconds(), 0)
		state, style = fmt.Sprintf("● lost: %s; trying again in %.0fs", m.link.reason, wait), terminal.Red|terminal.Bold
	case still:
		state, style = "● no gateway runs: history only", terminal.Yellow
	}
	if m.list.paused {
		state, style = "● paused", terminal.Yellow|terminal.Bold
	}
	errors := terminal.Style(0)
	if f.errors > 0 {
		errors = terminal.Red | terminal.Bold
	}
	numbers := line{{rateText(f.rate) + " calls/s", terminal.Bold}, {"  ", 0}, {percentText(f.errors) + " errors", errors}}
	if f.p99 > 0 {
		numbers = append(numbers, part{"  p50 " + millis(f.p50) + "  p99 " + millis(f.p99), 0})
	}
	if m.link.state == lost {
		numbers = nil
	}
	right := terminal.Width(numbers.text())
	x := s.Text(0, 0, m.w, "tapway ", terminal.Bold)
	if m.w >= 100 {
		x += s.Text(x, 0, m.w-x, m.address+" ", terminal.Dim)
	}
	x += s.Text(x, 0, m.w-x, terminal.Cut(state, m.w-x), style)
	at := m.w - right
	if at < x+1 { // what does not fit: the percentiles
		at = x + 2
	}
	if room := at - x - 4; room >= 8 && m.link.state != lost {
		width := min(room, window)
		s.Text(at-2-width, 0, width, m.stats.spark(width), terminal.Cyan)
	}
	for _, p := range numbers {
		if w := terminal.Width(p.text); at+w <= m.w {
			s.Text(at, 0, w, p.text, p.style)
			at += w
		}
	}
	if m.h < destinationsH {
		return 1
	}
	return 1 + m.drawDestinations(s, 1, min(max(m.h/10, 1), 6))
}

// drawDestinations draws a line for each, the worst first if there are too many.
func (m *Model) drawDestinations(s *terminal.Screen, y, room int) int {
	all := m.queue.Destinations
	if len(all) == 0 {
		return 0
	}
	name := 0
	for _, d := range all {
		name = min(max(name, terminal.Width(d.Destination)), 20)
	}
	if len(all) <= room {
		for i := range all {
			m.drawDestination(s, y+i, name, &all[i])
		}
		return len(all)
	}
	shown := m.worst(all, room-1)
	rest := tapway.DestinationStats{}
	for i := range all {
		if !shown[all[i].Destination] {
			rest.Queued += all[i].Queued
			rest.Dead += all[i].Dead
			continue
		}
		m.drawDestination(s, y, name, &all[i])
		y++
	}
	s.Text(0, y, m.w, fmt.Sprintf("%d%s destinations: %d queued, %d dead", len(all)-len(shown), map[bool]string{true: " more"}[len(shown) > 0], rest.Queued, rest.Dead), terminal.Dim)
	return room
}

// worst picks n destinations: those with dead letters or a fault, then those with most queued.
func (m *Model) worst(all []tapway.DestinationStats, n int) map[string]bool {
	shown := map[string]bool{}
	for range n {
		var best *tapway.DestinationStats
		var most uint64
		for i := range all {
			d := &all[i]
			weight := d.Queued + 1
			if d.Dead > 0 || m.fault(d.Destination) != "" {
				weight += 1 << 60
			}
			if !shown[d.Destination] && weight > most {
				best, most = d, weight
			}
		}
		shown[best.Destination] = true
	}
	return shown
}

// fault says what is wrong with a destination.
func (m *Model) fault(name string) string {
	for _, d := range m.queue.Live {
		if d.Destination != name || d.State == "closed" {
			continue
		}
		text := d.State
		if text == "open" {
			text = "circuit open"
		}
		if d.LastError != "" && d.State != "paused" {
			text += ": " + d.LastError
		} else if d.Reason != "" {
			text += " " + d.Reason
		}
		return text
	}
	return ""
}

func (m *Model) drawDestination(s *terminal.Screen, y, name int, d *tapway.DestinationStats) {
	x := s.Text(0, y, min(name, m.w), terminal.Cut(d.Destination, name), terminal.Bold)
	x = max(x, name) + 2
	put := func(text string, style terminal.Style) {
		if x < m.w {
			x += s.Text(x, y, m.w-x, text, style) + 2
		}
	}
	queued := fmt.Sprintf("%6d queued", d.Queued)
	if d.Queued > 0 && !d.OldestQueued.IsZero() {
		queued += ", oldest " + spanText(m.now.Sub(d.OldestQueued))
	}
	put(queued, 0)
	dead := terminal.Dim
	if d.Dead > 0 {
		dead = terminal.Red | terminal.Bold
	}
	put(fmt.Sprintf("%d dead", d.Dead), dead)
	if d.Retrying > 0 {
		put(fmt.Sprintf("%d retrying", d.Retrying), terminal.Yellow)
	}
	put(m.fault(d.Destination), terminal.Red)
}

// drawFooter draws where one is and the keys, or the prompt, and says how many rows it took.
func (m *Model) drawFooter(s *terminal.Screen) int {
	if m.prompt != nil {
		rows := 2
		if m.h < 3 {
			rows = 1
		}
		m.prompt.draw(s, m.h-rows)
		return rows
	}
	if m.h < footerH {
		return 0
	}
	where := m.where()
	for x := range m.w {
		s.Text(x, m.h-2, 1, "─", terminal.Dim)
	}
	s.Text(0, m.h-2, m.w, where+" ", terminal.Dim)
	if m.message != "" && m.now.Before(m.until) {
		style := terminal.Bold
		if m.bad {
			style |= terminal.Red
		}
		s.Text(0, m.h-1, m.w, terminal.Cut(m.message, m.w), style)
		return 2
	}
	keys := [][2]string{{"Enter", "open"}, {"f", "filter"}, {"/", "search"}, {"Space", "pause"}, {"d", "dead letters"}, {"?", "help"}, {"q", "quit"}, {"r", "replay"}, {"c", "curl"}}
	switch {
	case m.help:
		keys = [][2]string{{"any key", "back"}}
	case m.detail != nil:
		keys = [][2]string{{"Tab", "request/response"}, {"←→", "other calls"}, {"Esc", "back"}, {"/", "search"}, {"?", "help"}, {"r", "replay"}, {"c", "curl"}}
	case m.letters != nil:
		keys = [][2]string{{"Enter", "open"}, {"R", "redrive"}, {"r", "replay"}, {"/", "search"}, {"?", "help"}, {"Esc", "back"}}
	}
	x := 0
	for _, k := range keys {
		if x+terminal.Width(k[0])+1+terminal.Width(k[1]) > m.w {
			break
		}
		x += s.Text(x, m.h-1, m.w-x, k[0], terminal.Bold)
		x += s.Text(x, m.h-1, m.w-x, " "+k[1]+"  ", terminal.Dim)
	}
	return 2
}

// where says what is on the screen.
func (m *Model) where() string {
	l := &m.list
	var text string
	switch {
	case m.letters != nil && len(m.letters.rows) >= maxLetters:
		text = fmt.Sprintf("dead letters: the first %d", maxLetters)
	case m.letters != nil:
		text = fmt.Sprintf("dead letters: %d", len(m.letters.rows))
	case l.paused:
		text = fmt.Sprintf("paused, %d new", len(l.waiting))
	case l.follow:
		text = plural(len(l.rows), "call") + ", following"
	default:
		text = fmt.Sprintf("call %d of %d", min(l.cursor+1, len(l.rows)), len(l.rows))
	}
	if l.missed > 0 && m.letters == nil {
		text += fmt.Sprintf(", %d not shown", l.missed)
	}
	if m.filter != "" && m.letters == nil {
		text += "  filter: " + m.filter
	}
	if m.search != "" {
		text += "  search: " + m.search
	}
	return text
}

// columns are where the parts of a row stand; 0 wide: left out.
type columns struct{ time, duration, method, size, client int }

func columnsFor(w int) columns {
	c := columns{time: 12, duration: 8, method: 7}
	switch {
	case w >= 110:
		c.size, c.client = 10, 15
	case w < 34:
		c.time, c.duration = 0, 0
	case w < 60:
		c.time = 8
	}
	if w < 16 {
		c.method = 0
	}
	return c
}

func (m *Model) drawList(s *terminal.Screen, a area, head bool) {
	if a.h <= 0 {
		return
	}
	c := columnsFor(a.w)
	if head && a.h > 2 {
		m.drawRow(s, a, a.y, c, [...]string{"AT", "ST", "TOOK", "METHOD", "PATH", "SIZE", "CLIENT"}, terminal.Dim)
		a.y, a.h = a.y+1, a.h-1
	}
	m.listAt = a
	l := &m.list
	l.height = a.h
	l.settle()
	if len(l.rows) == 0 {
		for i, text := range m.empty() {
			s.Text(a.x+1, a.y+1+i, a.w-1, text, terminal.Dim)
		}
	}
	for y := 0; y < a.h && l.top+y < len(l.rows); y++ {
		m.drawCall(s, a, a.y+y, c, &l.rows[l.top+y])
		if m.search != "" {
			highlight(s, a.x, a.y+y, a.w, m.search)
		}
		if l.top+y == l.cursor {
			s.Mark(a.x, a.y+y, a.w, terminal.Reverse)
		}
	}
}

// empty says why there is nothing in the list.
func (m *Model) empty() []string {
	switch {
	case m.list.loading || m.link.state == connecting:
		return []string{"…"}
	case m.filter != "":
		return []string{"No call matches " + m.filter, "", "f changes the filter."}
	case m.link.state == still:
		return []string{"No call is recorded here, and no gateway runs: start one with `tapway serve`."}
	case m.place.Gateway != "":
		return []string{"No call yet. Make one:", "", "  curl -i " + m.place.Gateway + "/"}
	}
	return []string{"No call yet."}
}

func (m *Model) drawCall(s *terminal.Screen, a area, y int, c columns, call *admin.Summary) {
	size, at := "", "15:04:05.000"
	if c.size > 0 {
		size = terminal.Bytes(call.ResponseSize)
	}
	if c.time == 8 {
		at = "15:04:05"
	}
	m.drawRow(s, a, y, c, [...]string{call.Time.Local().Format(at), statusText(call.Status), millis(call.DurationMS), call.Method, "", size, call.ClientIP}, 0)
	x, end := pathAt(a, c)
	path := terminal.Cut(target(call), end-x)
	x += s.Text(x, y, end-x, path, 0)
	if call.Origin != "backend" && x+2 < end {
		x += s.Text(x, y, end-x, " "+call.Origin, terminal.Magenta)
	}
	if call.Error != "" && x+8 < end {
		s.Text(x, y, end-x, terminal.Cut(" "+call.Error, end-x), terminal.Red)
	}
	status := a.x
	if c.time > 0 {
		status += c.time + 1
	}
	s.Fill(status, y, 3, statusStyle(call.Status))
	if c.time > 0 {
		s.Fill(a.x, y, c.time, terminal.Dim)
	}
}

// pathAt is where a path begins and ends.
func pathAt(a area, c columns) (x, end int) {
	x, end = a.x+4, a.x+a.w
	for _, w := range []int{c.time, c.duration, c.method} {
		if w > 0 {
			x += w + 1
		}
	}
	if c.size > 0 {
		end -= c.size + c.client + 2
	}
	return x, end
}

// drawRow writes time, status, duration, method, path, size and client into their columns.
func (m *Model) drawRow(s *terminal.Screen, a area, y int, c columns, texts [7]string, style terminal.Style) {
	x := a.x
	put := func(text string, width int, right bool) {
		if width == 0 {
			return
		}
		room := min(width, a.x+a.w-x)
		text = terminal.Cut(text, room)
		if right {
			s.Text(x+max(room-terminal.Width(text), 0), y, room, text, style)
		} else {
			s.Text(x, y, room, text, style)
		}
		x += width + 1
	}
	put(texts[0], c.time, false)
	put(texts[1], 3, true)
	put(texts[2], c.duration, true)
	put(texts[3], c.method, false)
	put(texts[4], max(a.x+a.w-x, 0), false)
	if c.size > 0 {
		_, x = pathAt(a, c)
		x++
		put(texts[5], c.size, true)
		put(texts[6], c.client, false)
	}
}

func (v *letters) draw(m *Model, s *terminal.Screen, a area) {
	if a.h <= 0 {
		return
	}
	s.Text(a.x, a.y, a.w, fmt.Sprintf("%-9s %-14s %5s %-7s %s", "DIED", "DESTINATION", "TRIES", "METHOD", "PATH, REASON"), terminal.Dim)
	a.y, a.h = a.y+1, a.h-1
	v.height = a.h
	v.move(0)
	switch {
	case v.err != nil:
		s.Text(a.x+1, a.y+1, a.w-1, v.err.Error(), terminal.Red)
	case !v.loaded:
		s.Text(a.x+1, a.y+1, a.w-1, "…", terminal.Dim)
	case len(v.rows) == 0:
		s.Text(a.x+1, a.y+1, a.w-1, "No dead letters: every record is delivered or on its way.", terminal.Green)
	}
	for y := 0; y < a.h && v.top+y < len(v.rows); y++ {
		l := &v.rows[v.top+y]
		row := a.y + y
		s.Text(a.x, row, 9, spanText(m.now.Sub(l.Died))+" ago", terminal.Dim)
		s.Text(a.x+10, row, 14, terminal.Cut(l.Destination, 14), terminal.Bold)
		s.Text(a.x+25, row, 5, fmt.Sprintf("%5d", l.Attempts), 0)
		s.Text(a.x+31, row, 7, terminal.Cut(l.Exchange.Method, 7), 0)
		x := a.x + 39
		room := max(a.w-39, 0)
		x += s.Text(x, row, room, terminal.Cut(target(&l.Exchange), max(room/2, room-40)), 0) + 1
		s.Text(x, row, a.x+a.w-x, terminal.Cut(l.Reason, a.x+a.w-x), terminal.Red)
		if m.search != "" {
			highlight(s, a.x, row, a.w, m.search)
		}
		if v.top+y == v.cursor {
			s.Mark(a.x, row, a.w, terminal.Reverse)
		}
	}
}

// highlight underlines text where it stands in a row.
func highlight(s *terminal.Screen, x, y, w int, text string) {
	if y >= s.H {
		return
	}
	row, needle := make([]rune, 0, w), []rune(strings.ToLower(text))
	for i := x; i < min(x+w, s.W); i++ {
		row = append(row, []rune(strings.ToLower(string(s.At(i, y).Rune)))[0])
	}
	for i := 0; i+len(needle) <= len(row); i++ {
		if string(row[i:i+len(needle)]) == string(needle) {
			s.Mark(x+i, y, len(needle), terminal.Underline|terminal.Bold)
		}
	}
}
