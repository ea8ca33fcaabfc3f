package main

import (
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tapway/tapway/internal/admin"
)

// demoSecrets is what the sample traffic and the pasted curl commands carry.
var demoSecrets = []string{"demo-query-token", "demo-bearer-token", "demo-password", "demo-access-token", "demo-session-cookie"}

// runsDemo is a running demo with the addresses it printed.
func runsDemo(t *testing.T, dir string, args ...string) (*running, map[string]string) {
	t.Helper()
	r := begin(t, dir, append([]string{"demo"}, args...)...)
	waitFor(t, "the demo to say where it listens", func() bool { return strings.Contains(r.out.String(), "Ctrl-C stops.") })
	at := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^  (gateway|example API|destination|console|admin API|data) +(\S+)$`).FindAllStringSubmatch(r.out.String(), -1) {
		at[m[1]] = m[2]
	}
	if len(at) != 6 {
		t.Fatalf("the demo does not say where everything is:\n%s", r.out)
	}
	return r, at
}

// TestDemo: sample traffic arrives, its secrets appear nowhere, the lines fit a terminal, and
// an interrupt ends it in time with every record delivered.
func TestDemo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r, at := runsDemo(t, dir, "--data", "kept")
	if at["data"] != "kept" {
		t.Errorf("data is in %s", at["data"])
	}
	waitFor(t, "a sample of everything", func() bool {
		out := r.out.String()
		for _, want := range []string{" 201 POST   /api/v1/users", " 404 DELETE /api/v1/users/999", " 500 GET    /api/v1/fail", "POST   /api/v1/login", "GET    /api/v1/slow", "GET    /api/v1/events", "GET    /api/v1/download", " 101 GET    /api/v1/echo"} {
			if !strings.Contains(out, want) {
				return false
			}
		}
		return true
	})
	// A call that never ends must not hold the stop up.
	stuck := begin(t, dir, "tail", "--data", "kept")
	r.interrupt(t, 5*time.Second)
	<-stuck.exited
	out := r.out.String()
	if code := r.cmd.ProcessState.ExitCode(); code != 0 || r.err.String() != "" {
		t.Errorf("exit %d, standard error %q", code, r.err)
	}
	mustContain(t, out, "Stopping: calls under way end, records are delivered. Ctrl-C again stops at once.", "Stopped. The destination had received ")
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "  #") && len([]rune(line)) > 81 {
			t.Errorf("a record's line has %d columns: %s", len([]rune(line)), line)
		}
	}
	l := decode[admin.LedgerState](t, must(t, dir, "ledger", "--json", "--data", "kept"))
	if d := l.Destinations[0]; l.Difference != 0 || d.Delivered != l.Calls || d.Queued+d.Dead != 0 || l.Calls < 11 {
		t.Errorf("ledger: %+v", l)
	}
	noSecrets(t, out)
	err := filepath.WalkDir(filepath.Join(dir, "kept"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		noSecrets(t, string(text))
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func noSecrets(t *testing.T, text string) {
	t.Helper()
	for _, secret := range demoSecrets {
		if strings.Contains(text, secret) {
			t.Errorf("%s is not redacted", secret)
		}
	}
}

// TestTwoDemos: both run, on ports of their own, and a second interrupt ends one at once and
// cleans up.
func TestTwoDemos(t *testing.T) {
	t.Parallel()
	a, atA := runsDemo(t, t.TempDir(), "--no-traffic")
	b, atB := runsDemo(t, t.TempDir(), "--no-traffic")
	for name := range atA {
		if atA[name] == atB[name] {
			t.Errorf("both have their %s at %s", name, atA[name])
		}
	}
	for _, at := range []map[string]string{atA, atB} {
		if status, body := get(t, at["console"]); status != 200 || !strings.Contains(body, "<title>tapway</title>") {
			t.Errorf("the console: %d %s", status, body)
		}
		if status, body := get(t, at["gateway"]+"/api/v1/users"); status != 200 || !strings.Contains(body, "morpheus") {
			t.Errorf("%d %s", status, body)
		}
	}
	b.interrupt(t, 5*time.Second)
	if _, err := os.Stat(atB["data"]); !os.IsNotExist(err) {
		t.Errorf("the temporary directory is left behind: %v", err)
	}

	slow := make(chan struct{})
	go func() {
		defer close(slow)
		if resp, err := http.Get(atA["gateway"] + "/api/v1/slow"); err == nil {
			resp.Body.Close()
		}
	}()
	waitFor(t, "the call to be under way", func() bool {
		_, body := get(t, atA["admin API"]+"/metrics")
		return strings.Contains(body, "tapway_calls_in_flight 1\n")
	})
	a.cmd.Process.Signal(os.Interrupt)
	waitFor(t, "the first signal to be taken", func() bool { return strings.Contains(a.out.String(), "Stopping: ") })
	a.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-a.exited:
	case <-time.After(time.Second):
		t.Error("a second signal does not stop it at once")
	}
	<-slow
	if _, err := os.Stat(atA["data"]); !os.IsNotExist(err) {
		t.Errorf("stopped at once it leaves its directory behind: %v", err)
	}
}
