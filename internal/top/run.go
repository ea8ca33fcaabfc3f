package top

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"time"

	"github.com/tapway/tapway/internal/terminal"
)

const (
	frameEvery = 50 * time.Millisecond // between two frames that nobody has asked for by a key
	escapeWait = 50 * time.Millisecond // a lone ESC is the key after this
)

// Terminal is what Run shows a Model on: a *terminal.TTY.
type Terminal interface {
	Enter() error
	Leave() error
	Suspend() error
	Size() (w, h int)
	Write(b []byte) (int, error)
	Read(ctx context.Context, take func([]byte)) error
}

// Run shows m on tty until somebody quits or ctx ends. The terminal is given back however it ends.
func Run(ctx context.Context, m *Model, tty Terminal, profile terminal.Profile) error {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, terminal.Resized, terminal.Continued)
	defer signal.Stop(signals)
	return newRunner(m, tty, profile, signals).run(ctx)
}

func newRunner(m *Model, tty Terminal, profile terminal.Profile, signals <-chan os.Signal) *runner {
	m.ascii = !profile.UTF8
	return &runner{model: m, tty: tty, signals: signals, messages: make(chan message, 64), typed: make(chan []byte, 16), running: map[string]*running{},
		renderer: terminal.Renderer{Colour: profile.Colour}, screen: terminal.Screen{ASCII: !profile.UTF8}}
}

func (r *runner) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer r.group.Wait()
	defer cancel()
	defer r.tty.Leave() // also when something panics
	if err := r.tty.Enter(); err != nil {
		return err
	}
	gone := make(chan error, 1)
	r.group.Go(func() {
		gone <- r.tty.Read(ctx, func(b []byte) {
			select {
			case r.typed <- b:
			case <-ctx.Done():
			}
		})
	})
	if err := r.loop(ctx, gone); err != nil {
		return err
	}
	return r.model.Err()
}

// runner carries messages between the terminal, the tasks and the model.
type runner struct {
	model    *Model
	tty      Terminal
	renderer terminal.Renderer
	screen   terminal.Screen
	buf      []byte
	signals  <-chan os.Signal
	typed    chan []byte
	input    terminal.Input
	escape   <-chan time.Time // a lone ESC becomes the key then
	messages chan message
	running  map[string]*running
	group    sync.WaitGroup
	quit     bool
}

// running is a task under way.
type running struct{ cancel context.CancelFunc }

type message struct {
	from  *running
	key   string
	value any
}

// panicked is what a task sends when it panics: the loop does so too, once the terminal is given back.
type panicked struct {
	value any
	stack []byte
}

func (r *runner) loop(ctx context.Context, gone <-chan error) error {
	r.resize(ctx)
	r.do(ctx, r.model.Start(time.Now()))
	second := time.NewTicker(time.Second)
	defer second.Stop()
	var frame <-chan time.Time // the next frame; nil: nothing has changed
	if err := r.draw(); err != nil {
		return err
	}
	for !r.quit {
		now := false
		select {
		case <-ctx.Done():
			return nil
		case err := <-gone:
			return err
		case b := <-r.typed:
			r.events(ctx, r.input.Feed(b))
			r.escape = nil
			if r.input.Waiting() {
				r.escape = time.After(escapeWait)
			}
			now = true
		case <-r.escape:
			r.escape, now = nil, true
			r.events(ctx, r.input.Flush())
		case sig := <-r.signals:
			now = true
			if err := r.signal(ctx, sig); err != nil {
				return err
			}
		case msg := <-r.messages:
			r.receive(ctx, msg)
		case <-second.C:
			r.update(ctx, Tick{})
		case <-frame:
			frame, now = nil, true
		}
		if now && !r.quit {
			frame = nil
			if err := r.draw(); err != nil {
				return err
			}
		} else if frame == nil {
			frame = time.After(frameEvery)
		}
	}
	return nil
}

func (r *runner) events(ctx context.Context, events []terminal.Event) {
	for _, ev := range events {
		r.update(ctx, ev)
	}
}

func (r *runner) update(ctx context.Context, msg any) {
	r.do(ctx, r.model.Update(time.Now(), msg))
}

// receive hands a message on unless its task has been replaced.
func (r *runner) receive(ctx context.Context, msg message) {
	if p, ok := msg.value.(panicked); ok {
		r.tty.Leave()
		panic(fmt.Sprintf("%v\n%s", p.value, p.stack))
	}
	if r.running[msg.key] == msg.from {
		r.update(ctx, msg.value)
	}
}

func (r *runner) signal(ctx context.Context, sig os.Signal) error {
	if sig == terminal.Continued {
		if err := r.tty.Enter(); err != nil {
			return err
		}
	}
	r.resize(ctx)
	return nil
}

func (r *runner) resize(ctx context.Context) {
	w, h := r.tty.Size()
	r.renderer.Forget()
	r.update(ctx, Resize{w, h})
}

// do carries out what the model wants.
func (r *runner) do(ctx context.Context, e Effects) {
	for _, t := range e.Tasks {
		r.start(ctx, t)
	}
	if e.Copy != "" { // OSC 52, as xterm has it
		fmt.Fprintf(r.tty, "\x1b]52;c;%s\x07", base64.StdEncoding.EncodeToString([]byte(e.Copy)))
	}
	if e.Redraw {
		r.renderer.Forget()
	}
	r.quit = r.quit || e.Quit
	if e.Suspend {
		if err := r.tty.Suspend(); err != nil {
			r.quit, r.model.fatal = true, err
		}
		r.resize(ctx)
	}
}

func (r *runner) start(ctx context.Context, t Task) {
	if old := r.running[t.Key]; old != nil {
		old.cancel()
		delete(r.running, t.Key)
	}
	if t.Run == nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	run := &running{cancel}
	r.running[t.Key] = run
	send := func(v any) {
		select {
		case r.messages <- message{run, t.Key, v}:
		case <-ctx.Done():
		}
	}
	r.group.Go(func() {
		defer cancel()
		defer func() {
			if p := recover(); p != nil {
				send(panicked{p, debug.Stack()})
			}
		}()
		t.Run(ctx, send)
	})
}

func (r *runner) draw() error {
	r.model.View(&r.screen)
	r.buf = r.renderer.Frame(r.buf[:0], &r.screen)
	if len(r.buf) == 0 {
		return nil
	}
	if _, err := r.tty.Write(r.buf); err != nil {
		return fmt.Errorf("write to the terminal: %w", err)
	}
	return nil
}
