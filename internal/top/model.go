package top

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/tapway/tapway/internal/admin"
	"github.com/tapway/tapway/internal/terminal"
)

// Task is something that takes time. Starting a task ends the one that has the same Key and runs, and a nil
// Run only does that. What it sends comes to Update, unless the task has been replaced.
type Task struct {
	Key string
	Run func(ctx context.Context, send func(any))
}

// Effects are what a Model wants done.
type Effects struct {
	Tasks   []Task
	Copy    string // put this into the clipboard
	Quit    bool
	Suspend bool
	Redraw  bool // draw everything anew: the screen may be garbled
}

// Model is what the view knows and shows.
type Model struct {
	src     Source
	address string
	ascii   bool // what is printed at the end must be ASCII
	w, h    int
	now     time.Time
	effects Effects

	link   link
	place  admin.Place
	placed bool
	queue  admin.QueueState
	stats  stats
	list   list
	filter string

	filters []string // that were typed, oldest first
	search  string
	prompt  *prompt
	detail  *detail // nil: closed
	letters *letters
	help    bool
	message string
	until   time.Time // the message is shown
	bad     bool      // the message tells of a failure
	fatal   error     // why it ends
	parting []string  // what to print when the screen has been given back
	listAt  area      // where the list was drawn, for the mouse
	sideAt  area      // where the detail was drawn
}

// link is the connection to the gateway.
type link struct {
	state    linkState
	reason   string
	retryAt  time.Time
	failures int
	began    bool   // the stream that the list shows has told its position
	position uint64 // of the last call seen
}

type linkState int

const (
	connecting linkState = iota
	live
	lost
	still // nothing will come: no gateway runs here
)

type area struct{ x, y, w, h int }

func (a area) has(x, y int) bool { return x >= a.x && x < a.x+a.w && y >= a.y && y < a.y+a.h }

// New makes a view of src that begins with a filter, which must be one. Address is what the header calls it.
func New(src Source, address, filter string) *Model {
	return &Model{src: src, address: address, filter: filter, w: 80, h: 24, list: list{follow: true}}
}

// The messages that tasks send.
type (
	streamed struct {
		list, all bool // which of the two it is for: what the list shows, and the statistics
		line      admin.Live
	}
	streamEnded struct{ err error }
	found       struct {
		rows  []admin.Summary
		err   error
		older bool
		limit int
	}
	queueRead struct {
		state admin.QueueState
		err   error
	}
	placeRead struct {
		place admin.Place
		err   error
	}
	told struct { // a task is done and says so
		text string
		bad  bool
	}
	// Resize is a new size of the terminal.
	Resize struct{ W, H int }
	// Tick comes every second.
	Tick struct{}
)

// Start gives what must be done first.
func (m *Model) Start(now time.Time) Effects {
	m.now = now
	m.stats.advance(now)
	m.connect()
	m.task("queue", m.watchQueue)
	return m.take()
}

// Parting is what is to be printed when the terminal is as it was.
func (m *Model) Parting() []string { return m.parting }

// Err is why the view ended by itself; nil if somebody quit.
func (m *Model) Err() error { return m.fatal }

func (m *Model) take() Effects {
	e := m.effects
	m.effects = Effects{}
	return e
}

func (m *Model) task(key string, run func(ctx context.Context, send func(any))) {
	m.effects.Tasks = append(m.effects.Tasks, Task{key, run})
}

func (m *Model) say(format string, args ...any) { m.tell(told{text: fmt.Sprintf(format, args...)}) }

func (m *Model) tell(t told) { m.message, m.bad, m.until = t.text, t.bad, m.now.Add(6*time.Second) }

// Update takes what has happened: a terminal.Event, a Resize, a Tick, or what a Task has sent.
func (m *Model) Update(now time.Time, msg any) Effects {
	m.now = now
	switch msg := msg.(type) {
	case Resize:
		m.w, m.h = msg.W, msg.H
	case Tick:
		m.stats.advance(now)
		if m.link.state == lost && !now.Before(m.link.retryAt) {
			m.connect()
		}
	case streamed:
		m.take1(msg)
	case streamEnded:
		m.lose(msg.err)
	case found:
		m.found(msg)
	case queueRead:
		m.queueRead(msg)
	case placeRead:
		if msg.err == nil {
			m.place, m.placed = msg.place, true
		}
	case told:
		m.tell(msg)
	case copied:
		m.copied(msg)
	case detailRead, bodyRead:
		if m.detail != nil {
			m.detail.read(m, msg)
		}
	case lettersRead:
		if m.letters != nil {
			m.letters.read(msg)
		}
	case terminal.Key, terminal.Mouse, terminal.Paste:
		m.event(msg)
	}
	return m.take()
}

// connect begins to follow: one stream feeds the statistics and, without a filter, the list.
func (m *Model) connect() {
	m.link.state, m.link.began = connecting, false
	plain := strings.TrimSpace(m.filter) == ""
	m.task("all", m.follow("", streamed{all: true, list: plain}))
	if plain {
		m.task("list", nil)
	} else {
		m.task("list", m.follow(m.filter, streamed{list: true}))
	}
	m.task("place", func(ctx context.Context, send func(any)) {
		place, err := m.src.Place(ctx)
		send(placeRead{place, err})
	})
}

func (m *Model) follow(expr string, as streamed) func(context.Context, func(any)) {
	src := m.src
	return func(ctx context.Context, send func(any)) {
		for line, err := range src.Live(ctx, expr) {
			if err != nil {
				send(streamEnded{err})
				return
			}
			as.line = line
			send(as)
		}
		send(streamEnded{admin.ErrBrokeOff})
	}
}

// take1 takes one line of a stream.
func (m *Model) take1(msg streamed) {
	if msg.all {
		m.stats.add(m.now, &msg.line)
	}
	if !msg.list {
		return
	}
	if !m.link.began {
		m.begin(msg.line.Position)
	}
	m.link.position = msg.line.Position
	m.list.add(msg.line.Calls)
	m.list.missed += msg.line.Skipped
}

// begin asks for what was before the stream: the last calls, or those that were missed meanwhile.
func (m *Model) begin(position uint64) {
	known := m.link.position
	m.link.state, m.link.began, m.link.failures = live, true, 0
	if position < known { // another store: what is shown is not in it
		m.list = list{follow: true, height: m.list.height}
		known = 0
	}
	limit := 200
	if known > 0 && len(m.list.rows) > 0 {
		if position == known {
			return
		}
		limit = int(min(max(position-known, 1), maxRows))
	}
	m.find(position+1, limit, false)
}

func (m *Model) find(before uint64, limit int, older bool) {
	expr, src := m.filter, m.src
	m.list.loading = true
	m.task("search", func(ctx context.Context, send func(any)) {
		rows, err := src.Search(ctx, expr, before, limit)
		send(found{rows, err, older, limit})
	})
}

func (m *Model) found(msg found) {
	m.list.loading = false
	if msg.err != nil {
		var status *admin.StatusError
		if errors.As(msg.err, &status) && status.Status == http.StatusNotImplemented {
			m.list.exhausted = true // SQS: there is no history
			return
		}
		m.tell(told{msg.err.Error(), true})
		return
	}
	if len(msg.rows) < msg.limit && (msg.older || len(m.list.rows) == 0) {
		m.list.exhausted = true
	}
	m.list.merge(msg.rows)
}

// older asks for what was before the first row when somebody goes there.
func (m *Model) older() {
	l := &m.list
	if l.cursor > 20 || l.loading || l.exhausted || len(l.rows) == 0 || len(l.rows) >= maxRows || l.rows[0].Seq <= 1 {
		return
	}
	m.find(l.rows[0].Seq, 200, true)
}

// lose takes the end of a stream.
func (m *Model) lose(err error) {
	var status *admin.StatusError
	if errors.As(err, &status) {
		switch status.Status {
		case http.StatusNotImplemented:
			m.link.state, m.link.reason = still, status.Message
			if !m.link.began {
				m.link.began = true
				m.find(1<<63-1, 200, false)
			}
			return
		case http.StatusUnauthorized, http.StatusForbidden, http.StatusBadRequest:
			m.fatal, m.effects.Quit = err, true
			return
		}
	}
	m.link.failures++
	wait := min(time.Second<<min(m.link.failures-1, 4), 10*time.Second)
	m.link.state, m.link.reason, m.link.retryAt = lost, reason(err), m.now.Add(wait)
	m.task("all", nil)
	m.task("list", nil)
}

// reason is the end of a chain of errors: the rest says what everybody sees.
func reason(err error) string {
	var connect *admin.ConnectError
	if errors.As(err, &connect) {
		err = connect.Err
	}
	text := err.Error()
	if i := strings.LastIndex(text, ": "); i >= 0 {
		text = text[i+2:]
	}
	return text
}

// watchQueue reads the state of the queue again and again; of SQS less often, where every look is paid.
func (m *Model) watchQueue(ctx context.Context, send func(any)) {
	for ctx.Err() == nil {
		once, cancel := context.WithTimeout(ctx, 10*time.Second)
		state, err := m.src.Queue(once)
		cancel()
		if ctx.Err() != nil {
			return
		}
		send(queueRead{state, err})
		wait := 2 * time.Second
		if state.Approximate {
			wait = 15 * time.Second
		}
		sleep(ctx, wait)
	}
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (m *Model) queueRead(msg queueRead) {
	if msg.err == nil {
		m.queue = msg.state
		return
	}
	// A stream may be silent long after its other end has gone: the queue is what is asked.
	if !errors.As(msg.err, new(*admin.StatusError)) && m.link.state == live {
		m.lose(msg.err)
	}
}

// setFilter shows only calls that match.
func (m *Model) setFilter(expr string) {
	expr = strings.TrimSpace(expr)
	if expr == m.filter {
		return
	}
	if expr != "" {
		m.filters = append(slices.DeleteFunc(m.filters, func(s string) bool { return s == expr }), expr)
	}
	m.filter = expr
	m.list = list{follow: true, height: m.list.height}
	m.link.position = 0
	if m.link.state == still {
		m.find(1<<63-1, 200, false)
		return
	}
	m.task("search", nil)
	m.connect()
}
