package main

import (
	"bufio"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tapway/tapway/internal/admin"
	"github.com/tapway/tapway/internal/record/recordtest"
	"github.com/tapway/tapway/internal/terminal"
)

// TestTailLosesNothing: every call made while tail runs is shown once, under load, in order.
func TestTailLosesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	g := serve(t, w.dir)
	g.calls(t, "/before/1", "/before/2", "/before/3")
	all := begin(t, w.dir, "tail", "--json", "-n", "2")
	some := begin(t, w.dir, "tail", "-n", "0", "-f", "path startsWith '/load/1' || path == '/probe'")
	waitFor(t, "the two earlier ones", func() bool { return strings.Count(all.out.String(), "\n") == 2 })
	waitFor(t, "the filtered tail to follow", func() bool {
		g.calls(t, "/probe")
		return strings.Contains(some.out.String(), "/probe")
	})
	const clients, each = 8, 100
	var group sync.WaitGroup
	for c := range clients {
		group.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for i := range each {
				resp, err := client.Get(fmt.Sprintf("http://%s/load/%d/%d", g.addr, c, i))
				if err != nil {
					t.Error(err)
					return
				}
				resp.Body.Close()
			}
		})
	}
	group.Wait()
	waitFor(t, "every call", func() bool {
		return strings.Count(all.out.String(), `"path":"/load/`) >= clients*each && strings.Count(some.out.String(), "/load/1/") >= each
	})
	seen, last := map[string]int{}, uint64(0)
	for _, s := range jsonLines[admin.Summary](t, all.out.String()) {
		seen[s.Path]++
		if s.Seq <= last {
			t.Errorf("position %d comes after %d", s.Seq, last)
		}
		last = s.Seq
	}
	for c := range clients {
		for i := range each {
			if n := seen[fmt.Sprintf("/load/%d/%d", c, i)]; n != 1 {
				t.Errorf("/load/%d/%d is shown %d times", c, i, n)
			}
		}
	}
	if seen["/before/1"] != 0 || seen["/before/2"] != 1 || seen["/before/3"] != 1 {
		t.Errorf("-n 2 shows %v", seen)
	}
	if text := some.out.String(); strings.Contains(text, "/load/2/") {
		t.Error("the filter lets others through")
	}
	all.interrupt(t, 5*time.Second)
	if code := all.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("Ctrl-C ends tail with %d: %s", code, all.err)
	}
	g.stop(t)
	<-some.exited
	if code := some.cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(some.err.String(), "tapway stopped, or the connection was lost") {
		t.Errorf("when the gateway stops tail ends with %d: %s", code, some.err)
	}
}

// TestTailHead: `tapway tail | head -1` ends without waiting for one more call, quietly.
func TestTailHead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	g := serve(t, w.dir)
	g.calls(t, "/1", "/2")
	cmd := command(w.dir, "tail")
	errOut := new(safeBuffer)
	cmd.Stderr = errOut
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.Contains(line, "/1") {
		t.Errorf("got %q, %v", line, err)
	}
	out.Close()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil || errOut.String() != "" {
			t.Errorf("tail ends with %v: %s", err, errOut)
		}
	case <-time.After(10 * time.Second):
		cmd.Process.Kill()
		t.Fatal("tail goes on although nobody reads")
	}
	g.stop(t)

	// A long export into a pipe that closes is no failure either.
	export := exec.Command("sh", "-c", `"$0" export | head -c 1 >/dev/null`, command(w.dir).Path)
	export.Dir, export.Env = w.dir, command(w.dir).Env
	if text, err := export.CombinedOutput(); err != nil || len(text) > 0 {
		t.Errorf("export | head: %v %s", err, text)
	}
}

// TestTailOffline: without a process there is only what was; tail says so and ends.
func TestTailOffline(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	g := serve(t, w.dir)
	g.calls(t, "/1", "/2", "/3?a=b")
	settled(t, w.dir)
	g.stop(t)
	out, errOut, code := execute(t, w.dir, "tail", "-n", "2")
	if code != 0 || strings.Count(out, "\n") != 2 || !strings.Contains(out, "200") || !strings.Contains(out, "GET     /3?a=b") ||
		!strings.Contains(errOut, "no process has this data directory open, so nothing more will come") {
		t.Errorf("exit %d\n%s%s", code, out, errOut)
	}
	if s := jsonLines[admin.Summary](t, must(t, w.dir, "tail", "--json", "query == 'a=b'")); len(s) != 1 || s[0].Path != "/3" || s[0].Query != "a=b" || s[0].Status != 200 || s[0].Origin != "backend" {
		t.Errorf("tail --json: %+v", s)
	}
}

// TestTailBodies: both bodies stand below the line, as they are read best; with --json the whole records.
func TestTailBodies(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	g := serve(t, w.dir)
	for body, kind := range map[string]string{`{"user":"neo","password":"hunter2"}`: "application/json", "\xff\x00\x01": "application/octet-stream"} {
		resp, err := http.Post("http://"+g.addr+"/in", kind, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	settled(t, w.dir)
	g.stop(t)
	out := must(t, w.dir, "tail", "--bodies")
	mustContain(t, out, "POST    /in 35 B→", "\n  → {\n  →   \"user\": \"neo\",\n", `"[REDACTED]"`, "\n  → 000000  ff 00 01 ", "\n  ← {\n  ←   \"path\": \"/in\",\n")
	records := must(t, w.dir, "tail", "--bodies", "--json")
	for line := range strings.Lines(records) {
		recordtest.Validate(t, []byte(strings.TrimSuffix(line, "\n")))
	}
	if strings.Count(records, "\n") != 2 || strings.Contains(out+records, "hunter2") || strings.Contains(out, "\x1b") {
		t.Errorf("got\n%s%s", out, records)
	}
}

// TestLine: a line fits its terminal, and strangers cannot move the cursor with it.
func TestLine(t *testing.T) {
	t.Parallel()
	s := &admin.Summary{Method: "GET", Path: "/api/v1/users/with/a/long/name", Query: "x=\x1b[2J", Status: 502, Origin: "gateway",
		Error: "backend down", ClientIP: "203.0.113.7", DurationMS: 12.34, RequestSize: 5, ResponseSize: 5 << 20}
	for width, want := range map[int]string{
		0:   "502   12.3ms GET     /api/v1/users/with/a/long/name?x=\ufffd[2J gateway backend down 5 B→5.0 MiB 203.0.113.7",
		200: "502   12.3ms GET     /api/v1/users/with/a/long/name?x=\ufffd[2J gateway backend down 5 B→5.0 MiB 203.0.113.7",
		80:  "502   12.3ms GET     /api/v1/users/with/a/long/name?x=\ufffd[2J gateway",
		60:  "502   12.3ms GET     /api/v1/users/with/a/long…",
		36:  "502   12.3ms GET     /…",
		20:  "502   12.3ms GET     ",
	} {
		line := colours{}.line(s, width)
		if got := line[len("15:04:05.000 "):]; got != want {
			t.Errorf("at %d columns: %q, want %q", width, got, want)
		}
		if n := len([]rune(line)); width >= 40 && n > width {
			t.Errorf("at %d columns the line has %d", width, n)
		}
	}
	painted := colours{on: true}.line(s, 0)
	if !strings.Contains(painted, "\x1b[31;1m502\x1b[0m") || strings.Contains(painted, "\x1b[2J") {
		t.Errorf("with colours: %q", painted)
	}
}

// TestLineWidth: wide characters and marks count as what they take.
func TestLineWidth(t *testing.T) {
	t.Parallel()
	s := &admin.Summary{Method: "GET", Path: "/日本語/e\u0301te\u0301", Status: 200, Origin: "backend"}
	for width, want := range map[int]string{60: "/日本語/e\u0301te\u0301", 45: "/日本語/e\u0301te\u0301", 44: "/日本語/e\u0301…", 40: "/日本…"} {
		if line := (colours{}).line(s, width); !strings.HasPrefix(line[len("15:04:05.000 200    0.0ms GET     "):], want) || terminal.Width(line) > width {
			t.Errorf("at %d columns: %q", width, line)
		}
	}
}

func TestAgo(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{0: "now", 5 * time.Second: "5s ago", 10 * time.Minute: "10m ago", 3 * time.Hour: "3h ago", 47 * time.Hour: "47h ago", 50 * time.Hour: "2d ago"} {
		if got := ago(time.Now().Add(-d)); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
	if ago(time.Time{}) != "-" {
		t.Error("never is not a dash")
	}
}
