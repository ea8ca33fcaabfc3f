package main

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestServeByFlags is the README's first command.
func TestServeByFlags(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	dir := t.TempDir()
	g := serve(t, dir, "--backend", w.backend.URL, "--destination", w.sink.URL+"/in", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data", "here")
	if status, body := get(t, "http://"+g.addr+"/x"); status != 200 || !strings.Contains(body, `"path":"/x"`) {
		t.Errorf("got %d %s", status, body)
	}
	waitFor(t, "the record", func() bool { return w.sink.count("/x") == 1 })
	mustContain(t, must(t, dir, "ledger", "--data", "here"), "1 call, 1 recorded", "default")
	mustContain(t, must(t, dir, "ledger", "--admin", g.admin), "1 call, 1 recorded")
	for path, want := range map[string]string{"/healthz": `"status":"ok"`, "/readyz": `"status":"ready"`, "/metrics": `tapway_ledger_records{destination="default",state="delivered"} 1`} {
		if status, body := get(t, "http://"+g.admin+path); status != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %.2000s", path, status, body)
		}
	}
	g.stop(t)
	mustContain(t, must(t, dir, "ledger", "--data", "here"), "1 call, 1 recorded")
}

// TestServeStartup: what keeps it from starting is said in one line, with exit 1.
func TestServeStartup(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	addr := taken.Addr().String()
	fails(t, w.dir, 1, "the gateway cannot listen: listen tcp "+addr+": bind: address already in use; stop what listens there", "serve", "--listen", addr)
	fails(t, w.dir, 1, "the admin API cannot listen: listen tcp "+addr, "serve", "--admin", addr)
	fails(t, w.dir, 1, `this machine has no such address, and ":PORT" is all that it has`, "serve", "--listen", "192.0.2.1:8080")
	fails(t, w.dir, 2, "--data: tapway.yaml is a file, and a directory is wanted", "serve", "--data", "tapway.yaml")
	write(t, w.dir, "bad.yaml", "backend: http://a\nproxi: {}\nlisten: 5\n")
	fails(t, w.dir, 1, "tapway: bad.yaml:2:1: proxi: unknown key; did you mean \"proxy\"?\nbad.yaml:3:9: listen: \"5\" is not an address", "serve", "-c", "bad.yaml")
}

// TestTwoProcesses: the second process on a data directory is told who has it.
func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	g := serve(t, w.dir)
	fails(t, w.dir, 1, fmt.Sprintf("process %d has the data directory ./tapway-data open; its admin API is at http://%s", g.cmd.Process.Pid, g.admin), "serve")
	g.calls(t, "/1")
	settled(t, w.dir)
	g.stop(t)

	w.configure(t, "admin: {listen: \"off\"}\nbackend: http://a\n")
	g = serve(t, w.dir)
	fails(t, w.dir, 1, fmt.Sprintf("process %d has the data directory ./tapway-data open; its admin API is off, so it cannot be asked", g.cmd.Process.Pid), "ledger")
	out, errOut, code := execute(t, w.dir, "doctor")
	if !strings.Contains(out, fmt.Sprintf("process %d has", g.cmd.Process.Pid)) {
		t.Errorf("doctor: exit %d\n%s%s", code, out, errOut)
	}
	g.stop(t)
}

// TestToken: with a token nothing but health is told without it, and the commands find it
// in the configuration, the environment or --token.
func TestToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "admin: {listen: 127.0.0.1:0, token: s3same}\n")
	g := serve(t, w.dir)
	must(t, w.dir, "ledger")
	elsewhere := t.TempDir()
	fails(t, elsewhere, 1, "the admin API wants its token: Authorization: Bearer … (admin.token, --token, TAPWAY_TOKEN)", "ledger", "--admin", g.admin)
	fails(t, elsewhere, 1, "this is another token than the admin API's: Authorization: Bearer …", "tail", "--admin", g.admin, "--token", "wrong")
	fails(t, elsewhere, 1, "something else answers there (200 OK)", "ledger", "--admin", g.addr) // an API may have an answer to everything
	must(t, elsewhere, "ledger", "--admin", g.admin, "--token", "s3same")
	cmd := command(elsewhere, "ledger", "--admin", g.admin)
	cmd.Env = append(cmd.Env, "TAPWAY_TOKEN=s3same")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("with TAPWAY_TOKEN: %v\n%s", err, out)
	}
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/metrics": 401, "/api/v1/ledger": 401, "/nowhere": 401} {
		if status, _ := get(t, "http://"+g.admin+path); status != want {
			t.Errorf("%s without a token: %d, want %d", path, status, want)
		}
	}
	g.stop(t)
}

// TestStop: SIGTERM drains what a working destination can still get and does not wait for
// a dead one.
func TestStop(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.configure(t, fmt.Sprintf("backend: %s\nlimits: {shutdown: 4s}\ndestinations:\n  - {name: alive, url: %s}\n  - {name: refused, url: http://127.0.0.1:1/}\n", w.backend.URL, w.sink.URL))
	g := serve(t, w.dir)
	var paths []string
	for i := range 200 {
		paths = append(paths, fmt.Sprintf("/%d", i))
	}
	g.calls(t, paths...)
	began := time.Now()
	g.stop(t)
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("stopping took %v", took)
	}
	if n := w.sink.count("/"); n != 200 {
		t.Errorf("%d of 200 records were delivered before the end", n)
	}
	out := must(t, w.dir, "ledger")
	mustContain(t, out, "200 calls, 200 recorded")
	mustContain(t, must(t, w.dir, "queue", "stats"), "refused")
}

// TestStopAtOnce: a second signal does not wait for the calls under way.
func TestStopAtOnce(t *testing.T) {
	t.Parallel()
	s := newStepper(t, "x")
	dir := t.TempDir()
	g := serve(t, dir, "--backend", s.URL, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	resp, err := http.Get("http://" + g.addr + "/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	g.cmd.Process.Signal(syscall.SIGTERM)
	waitFor(t, "the first signal to be taken", func() bool { return strings.Contains(g.log.String(), "stopping: calls under way end") })
	g.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-g.log.exited:
	case <-time.After(5 * time.Second):
		t.Fatal("still running after a second signal")
	}
	if code := g.cmd.ProcessState.ExitCode(); code != 1 {
		t.Errorf("exit %d", code)
	}
	g.logs(t, "tapway: stopped at once")
}

// TestBrokenFile: a file that is broken by now, or by secrets that only the process has,
// keeps nobody from looking at the running process.
func TestBrokenFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	g := serve(t, w.dir)
	w.configure(t, "backend: ${NOWHERE_TO_BE_FOUND}\nproxi: {}\n")
	must(t, w.dir, "ledger")
	w.configure(t, "backend: [\n")
	fails(t, w.dir, 1, "not valid YAML", "ledger")
	fails(t, w.dir, 1, "; name the data directory with --data, or a running process with --admin", "ledger")
	must(t, w.dir, "ledger", "--data", "tapway-data")
	must(t, w.dir, "ledger", "--admin", g.admin)
	g.stop(t)
}
