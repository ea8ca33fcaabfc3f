package terminaltest

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Terminal is a pseudo-terminal with a Screen.
type Terminal struct {
	t      *testing.T
	master *os.File
	slave  *os.File // kept open, so that the settings can be read when the program has ended

	mu     sync.Mutex
	screen *Screen
	raw    strings.Builder
	ended  chan struct{}
}

// Open makes a pseudo-terminal of this size. It is closed at the end of the test.
func Open(t *testing.T, w, h int) *Terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	term := &Terminal{t: t, master: master, slave: slave, screen: NewScreen(w, h), ended: make(chan struct{})}
	term.size(w, h)
	go term.read()
	t.Cleanup(func() {
		slave.Close() // the master's reader ends with the last slave
		<-term.ended
		master.Close()
	})
	return term
}

// read ends when nobody has the other side open any more.
func (term *Terminal) read() {
	defer close(term.ended)
	buf := make([]byte, 32<<10)
	for {
		n, err := term.master.Read(buf)
		term.mu.Lock()
		term.screen.Write(buf[:n])
		term.raw.Write(buf[:n])
		term.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// Attach makes the terminal the controlling one of a command that is to be started.
func (term *Terminal) Attach(cmd *exec.Cmd) {
	cmd.Stdin, cmd.Stdout, cmd.Stderr = term.slave, term.slave, term.slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
}

func (term *Terminal) size(w, h int) {
	if err := unix.IoctlSetWinsize(int(term.master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: uint16(w), Row: uint16(h)}); err != nil {
		term.t.Fatal(err)
	}
}

// Resize changes the size, as a person does who drags the window: whoever has it open is told.
func (term *Terminal) Resize(w, h int) {
	term.mu.Lock()
	term.screen.Resize(w, h)
	term.mu.Unlock()
	term.size(w, h)
}

// Type sends keys.
func (term *Terminal) Type(keys string) {
	term.t.Helper()
	if _, err := term.master.WriteString(keys); err != nil {
		term.t.Fatal(err)
	}
}

// Look calls f with the screen as it is.
func (term *Terminal) Look(f func(s *Screen)) {
	term.mu.Lock()
	defer term.mu.Unlock()
	f(term.screen)
}

// Sent is all that has been written to the terminal.
func (term *Terminal) Sent() string {
	term.mu.Lock()
	defer term.mu.Unlock()
	return term.raw.String()
}

// Cooked reports whether the terminal echoes and edits lines, as it did before anybody took it over.
func (term *Terminal) Cooked() bool {
	mode, err := unix.IoctlGetTermios(int(term.slave.Fd()), unix.TCGETS)
	if err != nil {
		term.t.Fatal(err)
	}
	const all = unix.ECHO | unix.ICANON | unix.ISIG
	return mode.Lflag&all == all && mode.Oflag&unix.OPOST != 0
}

// Wait polls until the screen is as wished: what draws on it is another process.
func (term *Terminal) Wait(what string, as func(s *Screen) bool) {
	term.t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); <-ticker.C {
		ok := false
		term.Look(func(s *Screen) { ok = as(s) })
		if ok {
			return
		}
	}
	term.Look(func(s *Screen) { term.t.Fatalf("waited in vain: %s\n%s%s", what, s.Text(), s.Main) })
}

// Shows waits until every one of these texts is on the screen.
func (term *Terminal) Shows(texts ...string) {
	term.t.Helper()
	for _, text := range texts {
		term.Wait(text, func(s *Screen) bool { return strings.Contains(s.Text(), text) })
	}
}
