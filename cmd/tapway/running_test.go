package main

import (
	"bytes"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// running is a command under way.
type running struct {
	cmd      *exec.Cmd
	out, err *safeBuffer
	exited   chan struct{}
}

// begin starts a command whose output can be looked at.
func begin(t *testing.T, dir string, args ...string) *running {
	t.Helper()
	return beginCommand(t, command(dir, args...))
}

func beginCommand(t *testing.T, cmd *exec.Cmd) *running {
	t.Helper()
	r := &running{cmd: cmd, out: new(safeBuffer), err: new(safeBuffer), exited: make(chan struct{})}
	r.cmd.Stdout, r.cmd.Stderr = r.out, r.err
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		r.cmd.Wait()
		close(r.exited)
	}()
	t.Cleanup(func() {
		r.cmd.Process.Kill()
		<-r.exited
	})
	return r
}

type safeBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// logs waits until all of this stands in the log, which comes through a pipe.
func (g *gateway) logs(t *testing.T, parts ...string) {
	t.Helper()
	for _, part := range parts {
		waitFor(t, part, func() bool { return strings.Contains(g.log.String(), part) })
	}
}
