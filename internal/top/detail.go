package top

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/admin"
	"github.com/tapway/tapway/internal/terminal"
)

// maxBody is how much of a body is read to be shown.
const maxBody = 256 << 10

// detail is one call in all its parts.
type detail struct {
	summary admin.Summary
	note    string // above all else, as the reason of a dead letter
	full    *admin.Detail
	err     error
	bodies  [2]body // of the request and the response
	tab     int     // 0 overview, 1 request, 2 response
	top     int     // the first line on the screen
	height  int

	lines []line // of the tab, wrapped to width; nil: to be made
	width int
}

type body struct {
	bytes []byte
	read  bool
	err   error
}

var tabs = [...]string{"Overview", "Request", "Response"}

type (
	detailRead struct {
		id     string
		detail admin.Detail
		err    error
	}
	bodyRead struct {
		id   string
		side int
		body body
	}
)

// open shows a call. It keeps the tab that was looked at.
func (m *Model) open(s admin.Summary, note string) {
	if m.detail != nil && m.detail.summary.ID == s.ID {
		return
	}
	d := &detail{summary: s, note: note}
	if m.detail != nil {
		d.tab = m.detail.tab
	}
	m.detail = d
	src, id := m.src, s.ID
	m.task("detail", func(ctx context.Context, send func(any)) {
		full, err := src.Detail(ctx, id)
		send(detailRead{id, full, err})
		for side, message := range []admin.Message{full.Request, full.Response} {
			if err == nil && message.Kept > 0 {
				b, err := src.Body(ctx, id, []string{"request", "response"}[side], maxBody+1)
				send(bodyRead{id, side, body{b, true, err}})
			}
		}
		for ctx.Err() == nil && err == nil && underWay(full.Deliveries) { // a record is delivered a moment after its call
			sleep(ctx, 2*time.Second)
			if full, err = src.Detail(ctx, id); err == nil {
				send(detailRead{id, full, nil})
			}
		}
	})
}

func underWay(deliveries []tapway.DeliveryState) bool {
	return slices.ContainsFunc(deliveries, func(s tapway.DeliveryState) bool {
		return s.State != "delivered" && s.State != "dead" && s.State != "dropped"
	})
}

func (m *Model) closeDetail() {
	m.detail = nil
	m.task("detail", nil)
}

func (d *detail) read(m *Model, msg any) {
	switch msg := msg.(type) {
	case detailRead:
		if msg.id == d.summary.ID {
			d.err = msg.err
			if msg.err == nil {
				d.full, d.summary = &msg.detail, msg.detail.Summary
			}
		}
	case bodyRead:
		if msg.id == d.summary.ID {
			d.bodies[msg.side] = msg.body
		}
	}
	d.lines = nil
}

func (d *detail) key(m *Model, key terminal.Key) {
	page := max(d.height-1, 1)
	switch key {
	case "q", "esc", "backspace":
		m.closeDetail()
	case "tab", "enter":
		d.turn(1)
	case "shift+tab":
		d.turn(-1)
	case "1", "2", "3":
		d.turn(int(key[0]-'1') - d.tab)
	case "j", "down":
		d.scroll(1)
	case "k", "up":
		d.scroll(-1)
	case "pgdown", "ctrl+f", " ":
		d.scroll(page)
	case "pgup", "ctrl+b":
		d.scroll(-page)
	case "ctrl+d":
		d.scroll(page / 2)
	case "ctrl+u":
		d.scroll(-page / 2)
	case "home", "g":
		d.top = 0
	case "end", "G":
		d.scroll(math.MaxInt32)
	case "left", "h", "[":
		m.neighbour(-1)
	case "right", "l", "]":
		m.neighbour(1)
	}
}

// neighbour opens the call before or after.
func (m *Model) neighbour(by int) {
	if m.letters != nil {
		m.letters.move(by)
		if l := m.letters.selected(); l != nil {
			m.open(l.Exchange, noteOf(l))
		}
		return
	}
	m.list.move(by)
	m.list.follow = false
	if s := m.list.selected(); s != nil {
		m.open(*s, "")
	}
	m.older()
}

func (d *detail) turn(by int) {
	d.tab = (d.tab + by + len(tabs)) % len(tabs)
	d.lines, d.top = nil, 0
}

func (d *detail) scroll(by int) {
	d.top = max(min(d.top+by, len(d.lines)-d.height), 0)
}

// click takes a press on the line of tabs.
func (d *detail) click(x, y int) {
	if y != 1 {
		return
	}
	at := 0
	for i, name := range tabs {
		if at += len(name) + 3; x < at {
			d.turn(i - d.tab)
			return
		}
	}
}

func (d *detail) find(text string, by int) bool {
	for i := d.top + by; i >= 0 && i < len(d.lines); i += by {
		if containsFold(d.lines[i].text(), text) {
			d.top = max(min(i, len(d.lines)-d.height), 0)
			return true
		}
	}
	for i := range d.lines { // it may be in sight already
		if i >= d.top && i < d.top+d.height && containsFold(d.lines[i].text(), text) {
			return true
		}
	}
	return false
}

// part is a piece of a line in one style, line a line of a document.
type (
	part struct {
		text  string
		style terminal.Style
	}
	line []part
)

func (l line) text() string {
	var b strings.Builder
	for _, p := range l {
		b.WriteString(p.text)
	}
	return b.String()
}

func plain(text string) line { return line{{text, 0}} }

func (d *detail) draw(m *Model, s *terminal.Screen, a area) {
	if d.lines == nil || d.width != a.w {
		d.width, d.lines = a.w, nil
		for _, l := range d.document(m, a.w) {
			d.lines = append(d.lines, wrap(l, a.w)...)
		}
	}
	c := &d.summary
	x := a.x + s.Text(a.x, a.y, a.w, strings.TrimSpace(statusText(c.Status))+" ", statusStyle(c.Status)|terminal.Bold)
	s.Text(x, a.y, a.x+a.w-x, terminal.Cut(c.Method+" "+target(c), a.x+a.w-x), terminal.Bold)
	x = a.x
	for i, name := range tabs {
		style := terminal.Style(0)
		if i == d.tab {
			style = terminal.Reverse | terminal.Bold
		}
		x += s.Text(x, a.y+1, a.x+a.w-x, " "+name+" ", style)
		x++
	}
	d.height = max(a.h-2, 1)
	d.top = max(min(d.top, len(d.lines)-d.height), 0)
	if position := fmt.Sprintf("%d/%d", min(d.top+d.height, len(d.lines)), len(d.lines)); x+len(position) < a.x+a.w && len(d.lines) > d.height {
		s.Text(a.x+a.w-len(position), a.y+1, len(position), position, terminal.Dim)
	}
	for y := 0; y < d.height && d.top+y < len(d.lines); y++ {
		x := a.x
		for _, p := range d.lines[d.top+y] {
			x += s.Text(x, a.y+2+y, a.x+a.w-x, p.text, p.style)
		}
		if m.search != "" {
			highlight(s, a.x, a.y+2+y, a.w, m.search)
		}
	}
}

// document is what the tab says, a line each.
func (d *detail) document(m *Model, width int) []line {
	var out []line
	if d.note != "" {
		out = append(out, line{{d.note, terminal.Red}}, nil)
	}
	switch {
	case d.err != nil:
		return append(append(out, line{{d.err.Error(), terminal.Red}}, nil), d.facts(m)...)
	case d.full == nil:
		return append(append(out, line{{"loading …", terminal.Dim}}, nil), d.facts(m)...)
	case d.tab == 0:
		out = append(out, d.timing(width)...)
		out = append(out, nil)
		out = append(out, d.deliveries(m)...)
		out = append(out, nil)
		return append(out, d.facts(m)...)
	case d.tab == 1:
		c := &d.summary
		head := line{{c.Method + " ", terminal.Bold}, {target(c) + " " + c.Proto, 0}}
		return append(append(out, head), d.message(&d.full.Request, &d.bodies[0])...)
	}
	head := line{{d.full.Proto + " ", 0}, {statusText(d.summary.Status), statusStyle(d.summary.Status)}}
	return append(append(out, head), d.message(&d.full.Response, &d.bodies[1])...)
}

// timing draws where the time went, and says it.
func (d *detail) timing(width int) []line {
	f := d.full
	total := math.Max(f.DurationMS, 0.001)
	own := math.Min(f.OverheadMS, total)
	connect := math.Min(f.ConnectMS, total-own)
	first := 0.0
	if f.FirstByteMS > 0 {
		first = math.Max(0, math.Min(f.FirstByteMS-connect-own, total-own-connect))
	}
	rest := "receiving"
	if f.FirstByteMS == 0 {
		rest = "waiting"
	}
	parts := []struct {
		name  string
		ms    float64
		glyph string
		style terminal.Style
	}{
		{"tapway", own, "█", terminal.Magenta}, {"connecting", connect, "▓", terminal.Yellow},
		{"first byte", first, "▒", terminal.Blue}, {rest, math.Max(0, total-own-connect-first), "░", terminal.Green},
	}
	room := min(width-12, 60)
	bar := line{}
	var legend []line
	for _, p := range parts {
		if p.ms <= 0 {
			continue
		}
		if n := int(math.Round(p.ms / total * float64(room))); n > 0 {
			bar = append(bar, part{strings.Repeat(p.glyph, n), p.style})
		}
		legend = append(legend, line{{"  " + p.glyph + " ", p.style}, {fmt.Sprintf("%-12s", p.name), 0}, {fmt.Sprintf("%9s", millis(p.ms)), 0}})
	}
	return append([]line{append(bar, part{" " + millis(f.DurationMS), terminal.Bold})}, legend...)
}

func (d *detail) deliveries(m *Model) []line {
	if len(d.full.Deliveries) == 0 {
		return []line{{{"No destination wants this record.", terminal.Dim}}}
	}
	out := []line{{{"Deliveries", terminal.Bold}}}
	for _, s := range d.full.Deliveries {
		style := terminal.Yellow
		switch s.State {
		case "delivered":
			style = terminal.Green
		case "dead":
			style = terminal.Red | terminal.Bold
		case "dropped":
			style = terminal.Dim
		}
		more := ""
		if s.Attempts > 0 {
			more += "  " + plural(s.Attempts, "attempt")
		}
		if !s.Next.IsZero() && s.Next.After(m.now) {
			more += "  next in " + spanText(s.Next.Sub(m.now).Round(time.Second))
		}
		if s.Reason != "" {
			more += "  " + s.Reason
		}
		out = append(out, line{{"  " + s.Destination + "  ", 0}, {s.State, style}, {more, 0}})
	}
	return out
}

func (d *detail) facts(m *Model) []line {
	c := &d.summary
	var out []line
	add := func(name, value string) {
		if value != "" {
			out = append(out, line{{fmt.Sprintf("%-12s", name), terminal.Dim}, {value, 0}})
		}
	}
	if !c.Time.IsZero() {
		add("Time", fmt.Sprintf("%s (%s ago)", c.Time.Local().Format("2006-01-02 15:04:05.000 MST"), spanText(m.now.Sub(c.Time))))
	}
	add("Id", c.ID)
	add("Error", c.Error)
	add("Answered by", c.Origin)
	add("Client", c.ClientIP)
	add("Host", c.From)
	add("Route", c.Route)
	add("Protocol", c.Proto)
	add("Front", c.Front)
	add("Trace", c.TraceID)
	add("Request", terminal.Bytes(c.RequestSize))
	add("Response", terminal.Bytes(c.ResponseSize))
	if d.full != nil && d.full.API != nil {
		add("API", d.full.API.ID+" / "+d.full.API.Stage+", request "+d.full.API.RequestID)
	}
	if d.full != nil && len(d.full.Fidelity) > 0 {
		add("Changed", strings.Join(d.full.Fidelity, ", ")+" (by the front, before tapway saw it)")
	}
	return out
}

// message is one side: its headers and its body.
func (d *detail) message(msg *admin.Message, b *body) []line {
	var out []line
	headers := func(list [][2]string) {
		for _, h := range list {
			style := terminal.Style(0)
			if strings.Contains(h[1], "[REDACTED") {
				style = terminal.Dim
			}
			out = append(out, line{{h[0] + ": ", terminal.Cyan}, {h[1], style}})
		}
	}
	headers(msg.Headers)
	if len(msg.Trailers) > 0 {
		out = append(out, nil, line{{"Trailers", terminal.Bold}})
		headers(msg.Trailers)
	}
	out = append(out, nil)
	switch {
	case msg.Withheld:
		out = append(out, line{{fmt.Sprintf("The body (%s) is withheld: it is not recorded.", terminal.Bytes(msg.Size)), terminal.Yellow}})
	case msg.Kept == 0 && msg.Size == 0:
		out = append(out, line{{"No body.", terminal.Dim}})
	case msg.Kept == 0:
		out = append(out, line{{fmt.Sprintf("Of the body (%s) nothing is recorded.", terminal.Bytes(msg.Size)), terminal.Yellow}})
	case b.err != nil:
		out = append(out, line{{b.err.Error(), terminal.Red}})
	case !b.read:
		out = append(out, line{{"loading …", terminal.Dim}})
	default:
		shown := b.bytes
		if len(shown) > maxBody {
			shown = shown[:maxBody]
		}
		out = append(out, pretty(msg.Type, shown)...)
		if len(b.bytes) > maxBody {
			out = append(out, nil, line{{fmt.Sprintf("Here are its first %s; `tapway export \"id == '%s'\"` gives all of it.", terminal.Bytes(maxBody), d.summary.ID), terminal.Yellow}})
		}
		if msg.Truncated {
			out = append(out, nil, line{{fmt.Sprintf("The body went on: %s passed, %s are recorded.", terminal.Bytes(msg.Size), terminal.Bytes(int64(msg.Kept))), terminal.Yellow}})
		}
	}
	return out
}
