package terminal

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/tapway/tapway/internal/terminal/terminaltest"
)

// TestTTY: a terminal is taken over and given back, once or many times, and read meanwhile. It needs a process whose
// terminal it is, so the test starts itself on one.
func TestTTY(t *testing.T) {
	if os.Getenv("TAPWAY_TEST_TTY") == "1" {
		onTTY()
		return
	}
	term := terminaltest.Open(t, 33, 7)
	cmd := exec.Command(os.Args[0], "-test.run=^TestTTY$")
	cmd.Env = append(os.Environ(), "TAPWAY_TEST_TTY=1")
	term.Attach(cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	term.Shows("33x7")
	if term.Cooked() {
		t.Error("the terminal is not raw")
	}
	term.Look(func(s *terminaltest.Screen) {
		if !s.Alternate || !s.Hidden || len(s.Modes) != 4 {
			t.Errorf("alternate: %v, cursor hidden: %v, modes %v", s.Alternate, s.Hidden, s.Modes)
		}
	})
	term.Type("\x03x")
	term.Wait("the end", func(s *terminaltest.Screen) bool { return !s.Alternate && !s.Hidden && len(s.Modes) == 0 })
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if !term.Cooked() {
		t.Error("the terminal is left raw")
	}
	term.Look(func(s *terminaltest.Screen) {
		if len(s.Strange) > 0 {
			t.Errorf("it was sent %v", s.Strange)
		}
	})
}

func onTTY() {
	tty, err := Open(os.Stdin, os.Stdout)
	if err != nil {
		panic(err)
	}
	tty.Write([]byte("\x1b[99z")) // not taken over yet: not written
	for range 2 {
		if err := errors.Join(tty.Enter(), tty.Leave(), tty.Enter(), tty.Enter()); err != nil {
			panic(err)
		}
	}
	w, h := tty.Size()
	s := NewScreen(w, h)
	s.Text(0, 0, w, string(rune('0'+w/10))+string(rune('0'+w%10))+"x"+string(rune('0'+h)), 0)
	tty.Write((&Renderer{}).Frame(nil, s))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	read := ""
	if err := tty.Read(ctx, func(b []byte) {
		if read += string(b); len(read) >= 2 {
			cancel()
		}
	}); err != nil || read != "\x03x" {
		panic(read)
	}
	if err := errors.Join(tty.Leave(), tty.Leave()); err != nil {
		panic(err)
	}
}

// TestNoTerminal: pipes and files are none.
func TestNoTerminal(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if _, err := Open(r, w); !errors.Is(err, ErrNoTerminal) {
		t.Errorf("a pipe: %v", err)
	}
}
