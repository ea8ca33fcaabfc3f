package top

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"iter"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/admin"
	"github.com/tapway/tapway/internal/filter"
	"github.com/tapway/tapway/internal/terminal"
	"github.com/tapway/tapway/internal/terminal/terminaltest"
)

var update = flag.Bool("update", false, "write the golden frames anew")

func TestMain(m *testing.M) {
	time.Local = time.UTC
	os.Exit(m.Run())
}

// gateway is a Source in memory.
type gateway struct {
	mu       sync.Mutex
	calls    []admin.Summary
	watchers map[chan admin.Live]string // with their filters
	queue    admin.QueueState
	place    admin.Place
	details  map[string]admin.Detail
	bodies   map[string][]byte // by id and side
	letters  []admin.DeadLetter
	down     error // why nothing answers
	still    error // why nothing is live
	did      []string
	searches int
}

func newGateway() *gateway {
	return &gateway{watchers: map[chan admin.Live]string{}, details: map[string]admin.Detail{}, bodies: map[string][]byte{},
		place: admin.Place{Gateway: "http://127.0.0.1:8080", History: true, Live: true}}
}

func matches(s *admin.Summary, expr string) bool {
	f, err := filter.Parse(expr)
	if err != nil {
		panic(err)
	}
	return f.Match(&filter.Env{Meta: &tapway.Meta{Status: s.Status, Path: s.Path, Method: s.Method}, Now: time.Now()})
}

// add makes calls happen.
func (g *gateway) add(calls ...admin.Summary) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range calls {
		c := &calls[i]
		c.Seq, c.Time = uint64(len(g.calls)+1), time.Now()
		if c.ID == "" {
			c.ID = fmt.Sprintf("id-%d", c.Seq)
		}
		if c.Method == "" {
			c.Method = "GET"
		}
		if c.Status == 0 && c.Error == "" {
			c.Status = 200
		}
		if c.Origin == "" {
			c.Origin = "backend"
		}
		g.calls = append(g.calls, *c)
	}
	for ch, expr := range g.watchers {
		line := admin.Live{Position: uint64(len(g.calls))}
		for i := range calls {
			if matches(&calls[i], expr) {
				line.Calls = append(line.Calls, calls[i])
			}
		}
		if len(line.Calls) > 0 {
			ch <- line
		}
	}
}

// fail breaks every connection; nil lets them be made again.
func (g *gateway) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.down = err; err != nil {
		for ch := range g.watchers {
			close(ch)
			delete(g.watchers, ch)
		}
	}
}

func (g *gateway) broken() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.down
}

func (g *gateway) Place(context.Context) (admin.Place, error)      { return g.place, g.broken() }
func (g *gateway) Queue(context.Context) (admin.QueueState, error) { return g.queue, g.broken() }

func (g *gateway) Live(ctx context.Context, expr string) iter.Seq2[admin.Live, error] {
	return func(yield func(admin.Live, error) bool) {
		ch := make(chan admin.Live, 10000)
		g.mu.Lock()
		err := cmp.Or(g.down, g.still)
		if err == nil {
			g.watchers[ch] = expr
			ch <- admin.Live{Position: uint64(len(g.calls))}
		}
		g.mu.Unlock()
		defer func() {
			g.mu.Lock()
			delete(g.watchers, ch)
			g.mu.Unlock()
		}()
		if err != nil {
			yield(admin.Live{}, err)
			return
		}
		for {
			select {
			case line, ok := <-ch:
				if !ok || !yield(line, nil) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}

func (g *gateway) Search(_ context.Context, expr string, before uint64, limit int) ([]admin.Summary, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.searches++
	if !g.place.History {
		return nil, &admin.StatusError{Status: http.StatusNotImplemented, Message: "search is not possible here"}
	}
	var out []admin.Summary
	for _, s := range slices.Backward(g.calls) {
		if s.Seq < before && len(out) < limit && matches(&s, expr) {
			out = append(out, s)
		}
	}
	return out, g.down
}

func (g *gateway) Detail(_ context.Context, id string) (admin.Detail, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if d, ok := g.details[id]; ok {
		return d, nil
	}
	return admin.Detail{}, errors.New("exchange " + id + ": not found")
}

func (g *gateway) Body(_ context.Context, id, side string, most int64) ([]byte, error) {
	b := g.bodies[id+" "+side]
	return b[:min(int64(len(b)), most)], nil
}

func (g *gateway) DeadLetters(context.Context, int) ([]admin.DeadLetter, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.letters), nil
}

func (g *gateway) Redrive(_ context.Context, destination, id string) (admin.Progress, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.did = append(g.did, "redrive "+destination+" "+id)
	g.letters = slices.DeleteFunc(g.letters, func(l admin.DeadLetter) bool { return l.Exchange.ID == id })
	return admin.Progress{OK: 1, Done: true}, nil
}

func (g *gateway) Replay(_ context.Context, id, to string) (admin.Progress, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.did = append(g.did, "replay "+id+" "+to)
	if strings.Contains(to, "down") {
		return admin.Progress{Failed: 1, Error: "no answer", Done: true}, nil
	}
	return admin.Progress{OK: 1, Done: true}, nil
}

// screen is a terminal in memory.
type screen struct {
	mu    sync.Mutex
	shown *terminaltest.Screen
	left  bool
	input chan []byte
	stops int
}

func (s *screen) Enter() error   { return nil }
func (s *screen) Leave() error   { s.left = true; return nil }
func (s *screen) Suspend() error { s.stops++; return nil }

func (s *screen) Size() (w, h int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shown.W, s.shown.H
}

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shown.Write(b)
}

func (s *screen) Read(ctx context.Context, take func([]byte)) error {
	for {
		select {
		case b := <-s.input:
			take(b)
		case <-ctx.Done():
			return nil
		}
	}
}

// stage is a Model that runs on a terminal in memory, in a synctest bubble.
type stage struct {
	t     *testing.T
	g     *gateway
	m     *Model
	term  *screen
	sizes chan os.Signal
	stop  context.CancelFunc
	ended chan error
}

func play(t *testing.T, g *gateway, w, h int, profile terminal.Profile, expr string) *stage {
	t.Helper()
	shown := terminaltest.NewScreen(w, h)
	shown.Alternate = true
	ctx, cancel := context.WithCancel(t.Context())
	s := &stage{t: t, g: g, m: New(g, "http://127.0.0.1:9090", expr), term: &screen{shown: shown, input: make(chan []byte)}, sizes: make(chan os.Signal, 1), stop: cancel, ended: make(chan error, 1)}
	r := newRunner(s.m, s.term, profile, s.sizes)
	go func() { s.ended <- r.run(ctx) }()
	t.Cleanup(cancel)
	s.settle()
	return s
}

var (
	full = terminal.Profile{Screen: true, Colour: true, UTF8: true}
	mono = terminal.Profile{Screen: true}
)

// settle lets everything happen that is under way, and one frame be drawn.
func (s *stage) settle() {
	s.t.Helper()
	synctest.Wait()
	time.Sleep(2 * frameEvery)
	synctest.Wait()
	s.term.mu.Lock()
	defer s.term.mu.Unlock()
	if len(s.term.shown.Strange) > 0 {
		s.t.Fatalf("the terminal was sent %v", s.term.shown.Strange)
	}
}

// keys types, a portion for each string.
func (s *stage) keys(portions ...string) {
	s.t.Helper()
	for _, p := range portions {
		s.term.input <- []byte(p)
		s.settle()
	}
}

func (s *stage) wait(d time.Duration) {
	s.t.Helper()
	time.Sleep(d)
	s.settle()
}

func (s *stage) resize(w, h int) {
	s.t.Helper()
	s.term.mu.Lock()
	s.term.shown.Resize(w, h)
	s.term.mu.Unlock()
	s.sizes <- terminal.Resized
	s.settle()
}

func (s *stage) text() string {
	s.term.mu.Lock()
	defer s.term.mu.Unlock()
	return s.term.shown.Text()
}

func (s *stage) shows(texts ...string) {
	s.t.Helper()
	for _, text := range texts {
		if !strings.Contains(s.text(), text) {
			s.t.Errorf("%q is not on the screen:\n%s", text, s.text())
		}
	}
}

func (s *stage) hides(texts ...string) {
	s.t.Helper()
	for _, text := range texts {
		if strings.Contains(s.text(), text) {
			s.t.Errorf("%q is on the screen:\n%s", text, s.text())
		}
	}
}

// golden compares the screen with a file. After a change:
//
//	go test ./internal/top -update
func (s *stage) golden(name string) {
	s.t.Helper()
	path := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(path, []byte(s.text()), 0o644); err != nil {
			s.t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(path); err != nil || string(want) != s.text() {
		s.t.Errorf("%s (%v) is not what is shown:\n%s", path, err, s.text())
	}
}

// end quits and checks that the terminal was given back.
func (s *stage) end() {
	s.t.Helper()
	s.stop()
	if err := <-s.ended; err != nil {
		s.t.Errorf("it ends with %v", err)
	}
	if !s.term.left {
		s.t.Error("the terminal was not given back")
	}
}
