package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestMain lets the test binary be tapway itself, so that the tests drive real processes.
func TestMain(m *testing.M) {
	if os.Getenv("TAPWAY_TEST_AS_MAIN") == "1" {
		os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// command is tapway with these arguments, not started.
func command(dir string, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TAPWAY_TEST_AS_MAIN=1", "TAPWAY_TOKEN=", "NO_COLOR=1",
		"GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE")) // the race detector else waits a second at every exit
	return cmd
}

// execute runs a command to its end.
func execute(t *testing.T, dir string, args ...string) (out, errOut string, code int) {
	t.Helper()
	return executeWith(t, dir, "", args...)
}

// executeWith is execute with something to read on standard input.
func executeWith(t *testing.T, dir, in string, args ...string) (out, errOut string, code int) {
	t.Helper()
	cmd := command(dir, args...)
	cmd.Stdin = strings.NewReader(in)
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	err := cmd.Run()
	if _, ok := err.(*exec.ExitError); err != nil && !ok {
		t.Fatal(err)
	}
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}

// must is execute that has to succeed.
func must(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, errOut, code := execute(t, dir, args...)
	if code != 0 {
		t.Fatalf("tapway %s: exit %d\n%s%s", strings.Join(args, " "), code, out, errOut)
	}
	return out
}

// gateway is a running `tapway serve`.
type gateway struct {
	cmd         *exec.Cmd
	addr, admin string
	log         *logBuffer
}

var servingLine = regexp.MustCompile(`msg=serving gateway=(\S+) admin=(\S*)`)

// serve starts tapway in dir and waits until it serves.
func serve(t *testing.T, dir string, args ...string) *gateway {
	t.Helper()
	return serveCommand(t, command(dir, append([]string{"serve"}, args...)...))
}

// serveCommand is serve of a command that is made already.
func serveCommand(t *testing.T, cmd *exec.Cmd) *gateway {
	t.Helper()
	g := &gateway{cmd: cmd, log: &logBuffer{found: make(chan []string, 1)}}
	g.cmd.Stderr = g.log
	if err := g.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() {
		g.cmd.Wait()
		close(exited)
	}()
	g.log.exited = exited
	t.Cleanup(func() {
		g.cmd.Process.Kill()
		<-exited
	})
	select {
	case m := <-g.log.found:
		g.addr, g.admin = m[1], strings.Trim(m[2], `"`)
	case <-exited:
		t.Fatalf("tapway serve ended:\n%s", g.log)
	case <-time.After(30 * time.Second):
		t.Fatalf("tapway serve does not serve:\n%s", g.log)
	}
	return g
}

// stop asks it to end and waits.
func (g *gateway) stop(t *testing.T) {
	t.Helper()
	g.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-g.log.exited:
	case <-time.After(30 * time.Second):
		t.Fatalf("tapway serve does not stop:\n%s", g.log)
	}
	if code := g.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("tapway serve ended with %d:\n%s", code, g.log)
	}
}

// logBuffer keeps a process's log and looks for the line that says where it listens.
type logBuffer struct {
	mu     sync.Mutex
	text   bytes.Buffer
	found  chan []string
	done   bool
	exited chan struct{}
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(p)
	if m := servingLine.FindStringSubmatch(l.text.String()); m != nil && !l.done {
		l.done = true
		l.found <- m
	}
	return len(p), nil
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// waitFor polls until cond holds; what it waits for happens in other processes.
func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); <-ticker.C {
		if cond() {
			return
		}
	}
	t.Fatalf("waited in vain: %s", what)
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func decode[T any](t *testing.T, text string) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
	return v
}

func mustContain(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q is not in:\n%s", p, text)
		}
	}
}
