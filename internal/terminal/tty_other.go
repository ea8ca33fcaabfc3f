//go:build !unix

package terminal

import (
	"context"
	"os"
	"syscall"
)

// TTY cannot be had on this system.
type TTY struct{}

// Open fails: this system's terminals cannot be taken over.
func Open(in, out *os.File) (*TTY, error) { return nil, ErrNoTerminal }

// Enter does nothing.
func (t *TTY) Enter() error { return ErrNoTerminal }

// Leave does nothing.
func (t *TTY) Leave() error { return nil }

// Write does nothing.
func (t *TTY) Write(b []byte) (int, error) { return len(b), nil }

// Size is the one that every terminal has.
func (t *TTY) Size() (w, h int) { return 80, 24 }

// Read waits until ctx ends.
func (t *TTY) Read(ctx context.Context, take func([]byte)) error {
	<-ctx.Done()
	return nil
}

// Resized and Continued are never sent here.
var (
	Resized   os.Signal = syscall.Signal(-1)
	Continued os.Signal = syscall.Signal(-1)
)

// Suspend does nothing.
func (t *TTY) Suspend() error { return nil }
