package main

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tapway/tapway/internal/config"
)

// TestConfigCommands: init writes a file that check takes and serve runs with; check tells
// every mistake at once; schema is JSON.
func TestConfigCommands(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "tapway.yaml", must(t, dir, "config", "init"))
	if out := must(t, dir, "config", "check"); out != "tapway.yaml: good.\n" {
		t.Errorf("check says %q", out)
	}
	if out := must(t, dir, "config", "check", "--json"); out != "[]\n" {
		t.Errorf("check --json says %q", out)
	}
	g := serve(t, dir, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	g.stop(t)

	write(t, dir, "bad.yaml", "bakend: http://a\nbackend: ${TAPWAY_TEST_UNSET}\nproxy: {timeout: soon}\n")
	out, errOut, code := execute(t, dir, "config", "check", "bad.yaml")
	if code != 1 || out != "" {
		t.Errorf("exit %d, standard output %q", code, out)
	}
	mustContain(t, errOut, `bad.yaml:1:1: bakend: unknown key; did you mean "backend"?`+"\n",
		"bad.yaml:2:10: backend: the environment variable TAPWAY_TEST_UNSET is not set", `bad.yaml:3:18: proxy.timeout: "soon" is not a duration`, "tapway: bad.yaml: 3 problems\n")
	out, _, code = execute(t, dir, "config", "check", "--json", "-c", "bad.yaml")
	if problems := decode[config.Problems](t, out); code != 1 || len(problems) != 3 || problems[0].Line != 1 || problems[0].Key != "bakend" || problems[0].Hint == "" {
		t.Errorf("exit %d: %+v", code, problems)
	}
	fails(t, dir, 1, "no such file", "config", "check", "nowhere.yaml")
	if schema := must(t, dir, "config", "schema"); !json.Valid([]byte(schema)) || !strings.Contains(schema, "destinations") {
		t.Errorf("the schema is %.200s", schema)
	}
}

// TestDoctor: what is there and what is missing, each with advice.
func TestDoctor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	out := must(t, w.dir, "doctor")
	mustContain(t, out, "ok    configuration   tapway.yaml\n", "ok    data            ", "a synced write took", "ok    disk            ", "ok    port            127.0.0.1:0 is free",
		"ok    backend         "+strings.TrimPrefix(w.backend.URL, "http://")+" answers in", "ok    sink            ")
	if names := entries(t, w.dir); len(names) != 1 {
		t.Errorf("the doctor leaves %q behind", names)
	}
	g := serve(t, w.dir)
	mustContain(t, must(t, w.dir, "doctor"), "ok    running         process ")
	g.stop(t)
	mustContain(t, must(t, w.dir, "doctor"), "ok    queue           opens")

	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	export, err := filepath.Abs("../../internal/route/testdata/rest-oas30.json")
	if err != nil {
		t.Fatal(err)
	}
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	write(t, w.dir, "ill.yaml", "listen: "+taken.Addr().String()+"\nadmin: {listen: \"off\"}\nopenapi: "+export+"\ndestinations:\n  - {name: down, url: http://127.0.0.1:1/}\n  - {name: tls, url: \"https://"+plain.Addr().String()+"\"}\n")
	go func() { // whatever it is, it does not speak TLS
		for {
			c, err := plain.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	out, errOut, code := execute(t, w.dir, "doctor", "-c", "ill.yaml")
	if code != 1 || !strings.Contains(errOut, "tapway: 3 things to mend") {
		t.Errorf("exit %d: %s", code, errOut)
	}
	mustContain(t, out, "FAIL  port ", "stop what listens there", "FAIL  down ", "is it running, and reachable from here?", "FAIL  tls ", "does it speak TLS on this port?", "ok    openapi         1 of 17 routes", "tapway discover --openapi ")
	write(t, w.dir, "ill.yaml", "proxi: 1\nbackand: 2\n")
	out, _, code = execute(t, w.dir, "doctor", "-c", "ill.yaml", "--json")
	if f := decode[[]finding](t, out); code != 1 || f[0].Check != "configuration" || f[0].OK || !strings.Contains(f[0].Detail, "backand") {
		t.Errorf("exit %d: %+v", code, f)
	}
	fails(t, w.dir, 1, "tapway: ", "doctor", "--data", "tapway.yaml")
}

// TestEnvFile: what the service will have is what its file of variables says, whatever the operator's
// own are.
func TestEnvFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	write(t, w.dir, "tapway.yaml", "listen: 127.0.0.1:0\nadmin: {listen: 127.0.0.1:0}\nbackend: "+w.backend.URL+"\ndestinations:\n  - {name: sink, url: \"${SINK}\", headers: {X: \"${SIEM_TOKEN}\"}}\n")
	write(t, w.dir, "tapway.env", "# of the service\nSINK='"+w.sink.URL+"'\nSIEM_TOKEN=\"a \\$b\"\n")
	for _, args := range [][]string{{"config", "check"}, {"doctor"}} {
		must(t, w.dir, append(args, "--env-file", "tapway.env")...)
		out, errOut, code := execute(t, w.dir, args...)
		if all := out + errOut; code != 1 || !strings.Contains(all, "SIEM_TOKEN is not set") || !strings.Contains(all, "add --env-file tapway.env") {
			t.Errorf("%q without it: exit %d\n%s", args, code, all)
		}
		write(t, w.dir, "bad.env", "export SINK=hunter2\nSIEM_TOKEN=x\n")
		out, errOut, code = execute(t, w.dir, append(args, "--env-file", "bad.env")...)
		if all := out + errOut; code != 1 || !strings.Contains(all, "bad.env:1:1: systemd passes over a line that begins with export") || !strings.Contains(all, "SINK is not set") || strings.Contains(all, "hunter2") {
			t.Errorf("%q with a bad one: exit %d\n%s", args, code, all)
		}
		out, errOut, code = execute(t, w.dir, append(args, "--env-file", "none.env")...)
		if all := out + errOut; code != 1 || !strings.Contains(all, "read the variables: open none.env: no such file") {
			t.Errorf("%q with none: exit %d\n%s", args, code, all)
		}
	}
	cmd := command(w.dir, "config", "check", "--env-file", "tapway.env")
	cmd.Env = append(cmd.Env, "TAPWAY_BACKEND=nowhere")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("the operator's own variables count: %s", out)
	}
}

// TestWarnings are told, and are no failure.
func TestWarnings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "tapway.yaml", "routes:\n  - {match: \"GET /users/:id\", backend: \"http://127.0.0.1:1\"}\n")
	out, errOut, code := execute(t, dir, "config", "check")
	if code != 0 || out != "tapway.yaml: good.\n" || !strings.Contains(errOut, "tapway.yaml:2:13: warning: routes[0].match: ") {
		t.Errorf("exit %d: %s%s", code, out, errOut)
	}
	list := decode[[]struct {
		Key     string
		Warning bool
	}](t, must(t, dir, "config", "check", "--json"))
	if len(list) != 1 || !list[0].Warning || list[0].Key != "routes[0].match" {
		t.Errorf("%+v", list)
	}
	fails(t, dir, 2, "name the file once", "config", "check", "-c", "tapway.yaml", "tapway.yaml")
}

// TestDiscover: the routes of real exports, what can be tapped and why not the others.
func TestDiscover(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, want := range map[string][]string{
		"rest-oas30.json":   {"METHOD   PATH", "aws_proxy    no        it calls a Lambda function", "1 of 17 routes can be tapped by this machine.", "--stage-variable NAME=VALUE"},
		"rest-swagger.json": {"OPTIONS  /pets ", "MOCK", "1 of 17 routes"},
		"http-oas30.json":   {"/pets/{id}  http_proxy   yes       https://pets.example.com/{id}", "3 of 5 routes"},
	} {
		text, err := os.ReadFile("../../internal/route/testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir, name, string(text))
		mustContain(t, must(t, dir, "discover", "--openapi", name), want...)
		d := decode[struct {
			Operations []struct{ Method, Path string }
		}](t, must(t, dir, "discover", "--json", "--openapi", name))
		if len(d.Operations) == 0 || d.Operations[0].Method == "" || d.Operations[0].Path == "" {
			t.Errorf("%s: %+v", name, d)
		}
	}
	with := must(t, dir, "discover", "--openapi", "rest-oas30.json", "--stage-variable", "host=users.internal", "--stage-variable", "legacy=old.internal", "--stage-variable", "key=k")
	if strings.Contains(with, "is not given") || !strings.Contains(with, "users.internal") {
		t.Errorf("with stage variables:\n%s", with)
	}
	write(t, dir, "not.json", "{}")
	fails(t, dir, 1, "tapway: not.json: ", "discover", "--openapi", "not.json")
}
