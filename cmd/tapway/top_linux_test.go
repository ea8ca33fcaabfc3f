package main

import (
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tapway/tapway/internal/terminal/terminaltest"
)

// onTerminal starts a command on a terminal. Its environment is a usual one, but for what is in env.
func onTerminal(t *testing.T, term *terminaltest.Terminal, cmd *exec.Cmd, env ...string) (exited chan struct{}) {
	t.Helper()
	cmd.Env = append(append(cmd.Env, "TERM=xterm-256color", "LC_ALL=C.UTF-8", "NO_COLOR="), env...)
	term.Attach(cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited = make(chan struct{})
	go func() {
		cmd.Wait()
		close(exited)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-exited
	})
	return exited
}

func wait(t *testing.T, what string, done chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatalf("waited in vain: %s", what)
	}
}

// restored checks that a terminal is as it was before.
func restored(t *testing.T, term *terminaltest.Terminal) {
	t.Helper()
	term.Wait("the main screen", func(s *terminaltest.Screen) bool { return !s.Alternate })
	term.Look(func(s *terminaltest.Screen) {
		if s.Hidden || len(s.Modes) > 0 || len(s.Strange) > 0 {
			t.Errorf("the terminal is left with the cursor hidden: %v, modes %v, and was sent %v", s.Hidden, s.Modes, s.Strange)
		}
	})
	if !term.Cooked() {
		t.Error("the terminal is left raw")
	}
}

// TestTop: a session of a person who looks at calls: rows appear, a filter, its mistakes, the details, another size,
// replay, dead letters, and a terminal that is as it was.
func TestTop(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	g := serve(t, w.dir)
	g.calls(t, "/before/1", "/fail/2?a=b", "/poison/3")
	term := terminaltest.Open(t, 80, 24)
	cmd := command(w.dir, "top")
	exited := onTerminal(t, term, cmd)
	term.Shows("● live", "/before/1", "500", "/fail/2?a=b", "sink", "1 dead")
	g.calls(t, "/later/4")
	term.Shows("/later/4", "4 calls, following", "calls/s")

	term.Type("fstatus >= x")
	term.Shows("filter: status >= x", "found `x`, expected a number")
	term.Look(func(s *terminaltest.Screen) {
		if x, y := s.Cursor(); s.Hidden || y != 22 || x != len("filter: status >= x") {
			t.Errorf("the cursor of the prompt is at %d, %d, hidden: %v", x, y, s.Hidden)
		}
	})
	term.Type("\x7f500\r")
	term.Wait("the filter", func(s *terminaltest.Screen) bool {
		return strings.Contains(s.Text(), "1 call, following  filter: status >= 500") && !strings.Contains(s.Text(), "/later/4")
	})
	g.calls(t, "/ok/5", "/fail/6")
	term.Wait("the new call that matches", func(s *terminaltest.Screen) bool {
		return strings.Contains(s.Text(), "/fail/6") && !strings.Contains(s.Text(), "/ok/5")
	})

	term.Type("k\r")
	term.Shows("500 GET /fail/2?a=b", "first byte", "delivered", "Client")
	term.Type("\t")
	term.Shows("User-Agent: Go-http-client/1.1", "No body.")
	term.Type("\t")
	term.Shows("Content-Type: application/json", `"path": "/fail/2",`)
	term.Resize(170, 50)
	term.Shows("/fail/6", `"path": "/fail/2",`, "│") // side by side
	term.Type("\x1b[C")
	term.Shows(`"path": "/fail/6",`)
	term.Resize(10, 3)
	term.Wait("a tiny screen", func(s *terminaltest.Screen) bool { return strings.Contains(s.Text(), "500") })
	term.Resize(80, 24)
	term.Type("c")
	term.Shows("copied as a curl command")
	term.Look(func(s *terminaltest.Screen) {
		if text, err := base64.StdEncoding.DecodeString(s.Clipboard); err != nil || !strings.HasPrefix(string(text), "curl -i 'http://"+g.addr+"/fail/6'") {
			t.Errorf("the clipboard has %q, %v", text, err)
		}
	})
	term.Type("C")
	term.Shows("printed when you quit")
	term.Type("r")
	term.Shows("replay to: http://"+g.addr, "Enter sends GET /fail/6 again")
	term.Type("\r")
	term.Shows("replayed GET /fail/6 to http://" + g.addr)
	term.Type("\x1b")
	term.Shows("3 calls", "filter")

	term.Type("d")
	term.Shows("dead letters: 1", "/poison/3", "422")
	w.sink.set(func(s *sink) { s.strict = false })
	term.Type("R")
	term.Shows("redrive? type y:")
	term.Type("y\r")
	waitFor(t, "the dead letter to be delivered", func() bool { return w.sink.count("/poison") == 1 })
	term.Shows("No dead letters")
	term.Type("q?")
	term.Shows("quit")
	term.Type(" q")
	wait(t, "the end", exited)
	restored(t, term)
	if code := cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("q ends with %d", code)
	}
	term.Wait("the command that was to be printed", func(s *terminaltest.Screen) bool {
		return strings.Contains(s.Main, "curl -i 'http://"+g.addr+"/fail/6'")
	})
}

// TestTopEnds: however it ends, the terminal is as it was: by a signal, and when it is stopped for a while.
func TestTopEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	g := serve(t, w.dir)
	g.calls(t, "/one")
	term := terminaltest.Open(t, 80, 24)
	cmd := command(w.dir, "top")
	exited := onTerminal(t, term, cmd)
	term.Shows("/one")
	cmd.Process.Signal(syscall.SIGTERM)
	wait(t, "the end", exited)
	restored(t, term)

	again := terminaltest.Open(t, 80, 24)
	shell := exec.Command("bash", "-c", `set -m; "$0" top; echo stopped; fg >/dev/null; echo over`, os.Args[0])
	shell.Dir, shell.Env = w.dir, command(w.dir).Env
	exited = onTerminal(t, again, shell)
	again.Shows("/one")
	again.Type("\x1a")
	again.Wait("the shell to go on", func(s *terminaltest.Screen) bool { return strings.Contains(s.Main, "stopped") })
	again.Wait("the view again", func(s *terminaltest.Screen) bool { return s.Alternate && strings.Contains(s.Text(), "/one") })
	again.Type("q")
	wait(t, "the end", exited)
	restored(t, again)
	again.Wait("the shell's last word", func(s *terminaltest.Screen) bool { return strings.Contains(s.Main, "over") })
}

// TestTopReconnects: it says that the gateway has gone, and goes on when it is back without losing a call.
func TestTopReconnects(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	g := serve(t, w.dir)
	g.calls(t, "/one")
	term := terminaltest.Open(t, 100, 20)
	exited := onTerminal(t, term, command(w.dir, "top", "--admin", g.admin))
	term.Shows("/one", "● live")
	g.stop(t)
	term.Shows("● lost", "trying again in")
	w.configure(t, fmt.Sprintf("admin: {listen: %q}\nbackend: %s\ndestinations:\n  - {name: sink, url: %s}\n", g.admin, w.backend.URL, w.sink.URL))
	g = serve(t, w.dir)
	g.calls(t, "/two")
	term.Shows("● live", "/one", "/two")
	term.Type("\x03")
	wait(t, "the end", exited)
	restored(t, term)
}

// hostile is what somebody sends who wants to write on the terminal of whoever looks: a title, colours,
// the screen cleared, in 7 and in 8 bits, a text turned round.
const hostile = "\x1b]0;title\x07\x1b[2J\x1b[31m\u009b2J\u202e\x0eend"

// TestTerminalInjection: nothing that was captured reaches a terminal as anything but characters: not from tail in
// any of its forms, and not from top.
func TestTerminalInjection(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	g := serve(t, w.dir)
	body := fmt.Sprintf(`{"a":"%s"}`, strings.NewReplacer("\x1b", `\u001b`, "\x07", `\u0007`, "\x0e", "x").Replace(hostile)) // JSON lets the other ones stand
	for path, body := range map[string]string{"/%1b%5b2J/日本/e\u0301": body, "/\u009b2J\u202e": hostile} {
		conn, err := net.Dial("tcp", g.addr)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nX-A: \u009b2J\u202e\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", path, len(body), body)
		answer, err := io.ReadAll(conn)
		conn.Close()
		if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 ") {
			t.Fatalf("%s is answered %q, %v", path, answer, err)
		}
	}
	for _, args := range [][]string{nil, {"--json"}, {"--bodies"}, {"--bodies", "--json"}} {
		term := terminaltest.Open(t, 100, 30)
		cmd := command(w.dir, append([]string{"tail"}, args...)...)
		exited := onTerminal(t, term, cmd)
		term.Wait("both calls", func(s *terminaltest.Screen) bool {
			return strings.Contains(s.Main, "/%1b%5b2J/") && strings.Contains(s.Main, "2J") && strings.Count(s.Main, "POST") == 2
		})
		cmd.Process.Signal(os.Interrupt)
		wait(t, "the end", exited)
		term.Look(func(s *terminaltest.Screen) {
			if len(s.Strange) > 0 {
				t.Errorf("tail %v sent %v:\n%q", args, s.Strange, s.Main)
			}
			if s.Colours != (len(args) == 0 || len(args) == 1 && args[0] == "--bodies") {
				t.Errorf("tail %v in colours: %v", args, s.Colours)
			}
		})
		for _, bad := range []string{"\x1b]", "\x1b[2J", "\u009b", "\u202e", "\x07", "\x0e"} {
			if strings.Contains(term.Sent(), bad) {
				t.Errorf("tail %v sent %q", args, bad)
			}
		}
	}
	term := terminaltest.Open(t, 100, 30)
	exited := onTerminal(t, term, command(w.dir, "top"))
	term.Shows("/%1b%5b2J/")
	term.Type("\r\t")
	term.Shows("X-A: ", "end")
	term.Type("\x1b[D")
	term.Shows("call 1 of 2")
	term.Type("\x03")
	wait(t, "the end", exited)
	restored(t, term)
	for _, bad := range []string{"\x1b]", "\x1b[31m\u009b", "\u009b", "\u202e", "\x07", "\x0e"} {
		if strings.Contains(term.Sent(), bad) {
			t.Errorf("top sent %q", bad)
		}
	}
}

// TestTopRefuses: it says what to do instead where there is no terminal that it could use.
func TestTopRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	fails(t, w.dir, 1, "tapway top wants a terminal", "top")
	fails(t, w.dir, 2, "filter: ", "top", "status >=")
	fails(t, w.dir, 2, "give the filter once", "top", "-f", "status > 1", "status > 2")
	term := terminaltest.Open(t, 80, 24)
	cmd := command(w.dir, "top")
	wait(t, "the end", onTerminal(t, term, cmd, "TERM=dumb"))
	term.Wait("the reason", func(s *terminaltest.Screen) bool {
		return strings.Contains(s.Main, "tapway top wants a terminal") && !s.Alternate
	})
}

// TestTopToken: a remote gateway wants its token, and says so on a terminal that is as it was.
func TestTopToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.configure(t, fmt.Sprintf("admin: {listen: 127.0.0.1:0, token: let-me-in-please-now}\nbackend: %s\ndestinations:\n  - {name: sink, url: %s}\n", w.backend.URL, w.sink.URL))
	g := serve(t, w.dir)
	g.calls(t, "/secret")
	elsewhere := t.TempDir()
	term := terminaltest.Open(t, 80, 24)
	wait(t, "the end", onTerminal(t, term, command(elsewhere, "top", "--admin", g.admin, "--token", "wrong")))
	restored(t, term)
	term.Wait("the reason", func(s *terminaltest.Screen) bool {
		return strings.Contains(s.Main, "this is another token than the admin API's")
	})
	term = terminaltest.Open(t, 80, 24)
	exited := onTerminal(t, term, command(elsewhere, "top", "--admin", g.admin, "--token", "let-me-in-please-now"))
	term.Shows("/secret")
	term.Type("q")
	wait(t, "the end", exited)
	restored(t, term)
}

// TestTopOffline: where no gateway runs there is the history.
func TestTopOffline(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	g := serve(t, w.dir)
	g.calls(t, "/one", "/two")
	settled(t, w.dir)
	g.stop(t)
	term := terminaltest.Open(t, 80, 24)
	cmd := command(w.dir, "top")
	exited := onTerminal(t, term, cmd)
	term.Shows("no gateway runs: history only", "/one", "/two")
	term.Type("\r3")
	term.Shows(`"path": "/two"`)
	term.Type("qq")
	wait(t, "the end", exited)
	restored(t, term)
	if code := cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("q ends with %d", code)
	}
}

// TestTailOnTerminal: on a terminal tail follows in colours, one line a call that does not wrap; NO_COLOR and a
// terminal that knows none get none.
func TestTailOnTerminal(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	g := serve(t, w.dir)
	long := "/fail/" + strings.Repeat("long/", 40)
	g.calls(t, "/before/1", long)
	for _, c := range []struct {
		name    string
		env     []string
		colours bool
	}{{"as usual", nil, true}, {"NO_COLOR", []string{"NO_COLOR=1"}, false}, {"dumb", []string{"TERM=dumb"}, false}} {
		term := terminaltest.Open(t, 80, 24)
		cmd := command(w.dir, "tail", "-f", "status >= 500")
		exited := onTerminal(t, term, cmd, c.env...)
		term.Wait("the earlier one", func(s *terminaltest.Screen) bool { return strings.Contains(s.Main, "/fail/long/") })
		g.calls(t, "/fine", "/fail/now")
		term.Wait("the new one", func(s *terminaltest.Screen) bool { return strings.Contains(s.Main, "/fail/now") })
		cmd.Process.Signal(os.Interrupt)
		wait(t, "the end", exited)
		if sent := term.Sent(); strings.Contains(sent, "\x1b") != c.colours || strings.Contains(sent, "/fine") || strings.Contains(sent, "/before") || strings.Contains(sent, long) {
			t.Errorf("%s: tail sent %q", c.name, sent)
		}
		term.Look(func(s *terminaltest.Screen) {
			if s.Colours != c.colours || len(s.Strange) > 0 {
				t.Errorf("%s: colours %v, strange %v", c.name, s.Colours, s.Strange)
			}
		})
		if code := cmd.ProcessState.ExitCode(); code != 0 {
			t.Errorf("%s: Ctrl-C ends it with %d", c.name, code)
		}
	}
}
