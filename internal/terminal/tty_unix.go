//go:build unix

package terminal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// TTY is a terminal that can be taken over and given back.
type TTY struct {
	in, out *os.File

	mu    sync.Mutex
	saved *unix.Termios // as it was before Enter; nil outside
}

// Open looks at the terminal that in and out are. Nothing is changed yet.
func Open(in, out *os.File) (*TTY, error) {
	for _, f := range []*os.File{in, out} {
		if _, err := unix.IoctlGetTermios(int(f.Fd()), getTermios); err != nil {
			return nil, ErrNoTerminal
		}
	}
	return &TTY{in: in, out: out}, nil
}

// Enter takes the terminal over: raw keys, the alternate screen, the mouse's wheel. Where that has been
// done already it is done again: while the process was stopped a shell may have changed everything.
func (t *TTY) Enter() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	saved := t.saved
	if saved == nil {
		var err error
		if saved, err = unix.IoctlGetTermios(int(t.in.Fd()), getTermios); err != nil {
			return fmt.Errorf("read the terminal's mode: %w", err)
		}
	}
	raw := *saved
	raw.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	raw.Oflag &^= unix.OPOST
	raw.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	raw.Cflag = raw.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(int(t.in.Fd()), setTermios, &raw); err != nil {
		return fmt.Errorf("set the terminal's mode: %w", err)
	}
	t.saved = saved
	_, err := t.out.WriteString(enterScreen)
	return err
}

// Leave gives the terminal back as it was. It may be called at any time, from any goroutine.
func (t *TTY) Leave() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.saved == nil {
		return nil
	}
	_, err := t.out.WriteString(leaveScreen)
	if failed := unix.IoctlSetTermios(int(t.in.Fd()), setTermios, t.saved); failed != nil {
		err = errors.Join(err, fmt.Errorf("set the terminal's mode back: %w", failed))
	}
	t.saved = nil
	return err
}

// Write writes while the terminal is taken over; otherwise it does nothing.
func (t *TTY) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.saved == nil {
		return len(b), nil
	}
	return t.out.Write(b)
}

// Size is how many columns and rows there are; 80 and 24 if the terminal does not know.
func (t *TTY) Size() (w, h int) {
	size, err := unix.IoctlGetWinsize(int(t.out.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Col == 0 || size.Row == 0 {
		return 80, 24
	}
	return int(size.Col), int(size.Row)
}

// pollEvery is how long Read may go on after its context has ended.
const pollEvery = 100 * time.Millisecond

// Read hands what is typed to take until ctx ends or the terminal is gone.
func (t *TTY) Read(ctx context.Context, take func([]byte)) error {
	fd := int(t.in.Fd())
	buf := make([]byte, 4096)
	for ctx.Err() == nil {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, int(pollEvery.Milliseconds()))
		if n == 0 || errors.Is(err, unix.EINTR) {
			continue
		}
		if err == nil {
			n, err = unix.Read(fd, buf)
		}
		switch {
		case errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN):
			continue
		case err != nil:
			return fmt.Errorf("read from the terminal: %w", err)
		case n == 0:
			return errors.New("read from the terminal: it has been closed")
		}
		take(append([]byte(nil), buf[:n]...))
	}
	return nil
}

// Resized and Continued are the signals that tell of a new size, and that a stopped process goes on.
var (
	Resized   os.Signal = syscall.SIGWINCH
	Continued os.Signal = syscall.SIGCONT
)

// Suspend gives the terminal back, stops the process as Ctrl-Z does, and takes the terminal again
// when the process goes on. Nobody may have asked for SIGTSTP with signal.Notify.
func (t *TTY) Suspend() error {
	if err := t.Leave(); err != nil {
		return err
	}
	// The whole job, as the terminal does it. A process that no shell could continue goes on at once.
	if err := syscall.Kill(0, syscall.SIGTSTP); err != nil {
		return fmt.Errorf("stop this process: %w", err)
	}
	time.Sleep(50 * time.Millisecond) // in here the process stops
	return t.Enter()
}
