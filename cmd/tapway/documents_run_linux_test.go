package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tapway/tapway/internal/admin"
	"github.com/tapway/tapway/internal/alarm"
	"github.com/tapway/tapway/internal/queue/sqsqueue/sqstest"
	"github.com/tapway/tapway/internal/terminal/terminaltest"
)

// TestDocumentsRun: every command in a fenced block of a document is run, and does what it is for. Commands of
// `sh run` blocks are TestTutorials'; what is not run stands in notRun, with the reason and with what is tested instead.
func TestDocumentsRun(t *testing.T) {
	r := newDocumentsRun(t)
	ran, used := map[string]bool{}, map[string]bool{}
	for _, file := range documents(t) {
		t.Run(strings.TrimPrefix(file, root+"/"), func(t *testing.T) {
			r.T = t
			for _, b := range blocksOf(t, file) {
				if b.is("run") {
					if filepath.Dir(file) != root+"/docs/tutorials" {
						t.Errorf("%s: only those of docs/tutorials are run", b)
					}
					continue
				}
				dir := r.dirOf(b)
				for _, line := range linesOf(b) {
					if e := exceptionOf(line); e != nil {
						used[e.line] = true
					} else if !ran[line] || dir != r.dir {
						ran[line] = true
						r.line(b, dir, line)
					}
				}
			}
		})
	}
	r.T = t
	if t.Failed() {
		return
	}
	if len(ran) < 120 {
		t.Errorf("%d commands were run: the test does not find them", len(ran))
	}
	for _, e := range notRun {
		if !used[e.line] {
			t.Errorf("no document has %q any more", e.line)
		}
	}
	t.Logf("%d commands were run, %d kinds of them were not", len(ran), len(notRun))
}

// excused is a kind of commands that no test runs as they stand in the documents.
type excused struct {
	line string // how they begin
	why  string
	by   string // what is tested instead: a test, or a file with the text behind the colon
}

var notRun = []excused{
	{"make test", "it runs this test", ".ci/run: make test"},
	{"make lint", "part of .ci/run", ".ci/run: make lint"},
	{"make fuzz", "part of .ci/run, for a shorter time", ".ci/run: .ci/fuzz"},
	{".ci/run", "it runs this test", ".github/workflows/ci.yml: run: .ci/run"},
	{"make torture", "takes minutes; a part of it is a test", "cmd/tapway: TestKillAtRandomMoments"},
	{"make soak", "takes an hour", ""},
	{"make waf", "another module", "contrib/waf/cmd/tapway-waf: TestServe"},
	{"cd contrib/waf && go build ./cmd/tapway-waf", "another module", "contrib/waf/cmd/tapway-waf: TestServe"},
	{"tapway-waf serve", "another module", "contrib/waf/cmd/tapway-waf: TestServe"},
	{"tapway-waf check", "another module", "contrib/waf/cmd/tapway-waf: TestCommand"},
	{"tapway-waf access explain", "another module", "contrib/waf/cmd/tapway-waf: TestCommand"},
	{"make lambda", "part of every release, and the tests build the same", ".goreleaser.yaml: make lambda"},
	{"cd deploy/serverless", "needs an account", "deploy: TestServerless"},
	{"go install github.com/tapway/tapway/cmd/tapway@latest", "needs a release; the same from a checkout is run", ""},
	{"cosign verify-blob", "needs a release", ""},
	{"sha256sum --check", "needs a release", ""},
	{"gh attestation verify", "needs a release", ""},
	{"sudo apt install", "needs root", "deploy: TestInstalled"},
	{"sudoedit", "an editor", "deploy: TestInstalled"},
	{"sudo systemctl", "needs systemd", "deploy: TestUnit"},
	{"sudo journalctl", "needs systemd", "deploy: TestUnit"},
	{"docker build", "needs a daemon", "deploy: TestImage"},
	{"docker run", "needs a daemon", "deploy: TestImage"},
	{"docker compose", "needs a daemon and three images", "internal/app: TestPrometheusRules"},
	{"kubectl create", "needs a cluster", "deploy/kubernetes: TestManifests"},
	{"kubectl apply", "needs a cluster", "deploy/kubernetes: TestManifests"},
	{"kubectl port-forward", "needs a cluster", "deploy/kubernetes: TestManifests"},
	{"claude mcp add", "a program of others; what it starts is run", "cmd/tapway: TestMCP"},
	{"tapway deploy", "minutes with Terraform", "cmd/tapway: TestDeployAndDestroy"},
	{"tapway destroy", "minutes with Terraform", "cmd/tapway: TestDeployAndDestroy"},
	{"tapway tune", "needs functions that are measured", "cmd/tapway: TestTune"},
	{"tapway attach --api a1b2c3d4e5 --dry-run", "needs what tapway deploy has made", "cmd/tapway: TestDefaultVia"},
	{"tapway console --aws", "needs a tap on AWS", "cmd/tapway: TestConsoleAWS"},
	{"tapway queue recover", "needs what SQS did not take", "cmd/tapway: TestRecover"},
	{"aws logs tail", "needs a function's log", "cmd/tapway: TestRecoverFromLog"},
	{"aws logs filter-log-events", "needs a function's log", "cmd/tapway: TestRecordsInForms"},
	{"tapway queue forget", "needs a destination that was configured before", "cmd/tapway: TestReload"},
	{"tapway access refresh", "asks GitHub", "cmd/tapway: TestAccessRefresh"},
}

// exceptionOf is the entry of notRun that a line belongs to.
func exceptionOf(line string) *excused {
	for i := range notRun {
		if strings.HasPrefix(line, notRun[i].line) {
			return &notRun[i]
		}
	}
	return nil
}

// TestNotRun: each exception has its reason, and what is tested instead exists.
func TestNotRun(t *testing.T) {
	for _, e := range notRun {
		where, what, _ := strings.Cut(e.by, ": ")
		switch {
		case e.why == "":
			t.Errorf("%s: no reason", e.line)
		case e.by == "":
		case strings.HasPrefix(what, "Test"):
			files, err := filepath.Glob(filepath.Join(root, where, "*_test.go"))
			if err != nil {
				t.Fatal(err)
			}
			found := false
			for _, file := range files {
				found = found || strings.Contains(read(t, "", file), "\nfunc "+what+"(")
			}
			if !found {
				t.Errorf("%s: there is no %s", e.line, e.by)
			}
		case !strings.Contains(read(t, root, where), what):
			t.Errorf("%s: %s has no %q", e.line, where, what)
		}
	}
}

// documentsRun is what the commands of the documents find: a gateway with every kind of rule, calls, dead letters and an
// alarm; an account with an API Gateway, SQS and S3; and the files that the documents speak of.
type documentsRun struct {
	*testing.T
	*world
	aws    *gatewayWorld
	g      *gateway
	other  string // URL of a server that takes everything
	env    []string
	poison int
}

func newDocumentsRun(t *testing.T) *documentsRun {
	for _, tool := range []string{"sh", "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") == "" {
				t.Skipf("%s is missing here", tool)
			}
			t.Fatalf("%s is missing", tool)
		}
	}
	r := &documentsRun{T: t, aws: newGatewayWorld(t)} // sets the variables of AWS
	for _, name := range []string{"tapway-proxy", "shop-proxy"} {
		r.aws.AddFunction(name, false)
	}
	queues := new(sqstest.Server)
	for _, name := range []string{"records", "records-siem", "tapway-siem"} {
		queues.Create(name+"-dead", nil)
		queues.Create(name, map[string]string{"RedrivePolicy": sqstest.RedrivePolicy(name+"-dead", 1000)})
	}
	sqs := httptest.NewServer(queues)
	t.Cleanup(func() { sqs.CloseClientConnections(); sqs.Close() })
	t.Setenv("AWS_ENDPOINT_URL_SQS", sqs.URL)
	t.Setenv("AWS_ENDPOINT_URL_S3", newS3(t, "my-bucket", "records"))
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) { io.Copy(io.Discard, req.Body) }))
	t.Cleanup(other.Close)
	r.other = other.URL
	r.world = newWorld(t, "")
	r.configure(t, fmt.Sprintf(`
admin: {listen: 127.0.0.1:0, mcp: read}
backend: %s
destinations:
  - {name: siem, url: %s, retry: {max_attempts: 1, min: 1ms, max: 1ms}}
  - {name: old, url: %[2]s}
access:
  api_key: off
  usage_plans: [{name: global-plan, rate: 1000, burst: 1000}]
cache: {routes: [{match: "GET /catalog/{proxy+}"}]}
alarms: {disk: {off: true}, notify: [{name: ops, webhook: "%s/hook"}]}
`, r.backend.URL, r.sink.URL, r.other))
	export, err := os.ReadFile(filepath.Join(root, "internal/route/testdata/http-oas30.json"))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"export.json": string(export), "payload.json": `{"zen":"Design for failure."}`, "key.txt": "a-key-of-20-or-more-characters\n", "secret.txt": strings.Repeat("0123456789abcdef", 4),
		"my-prices.json": must(t, r.dir, "cost", "--print-prices"), "tapway.env": "# nothing\n",
	} {
		write(t, r.dir, name, text)
	}
	r.setEnvironment()
	r.g = serve(t, r.dir)
	for path, want := range map[string]int{"/api/v1/users/1": 200, "/catalog/books": 200, "/fail/1": 500} {
		if status, _ := get(t, "http://"+r.g.addr+path); status != want {
			t.Fatalf("%s: %d", path, status)
		}
	}
	r.dead()
	return r
}

// setEnvironment has tapway on the path, and a home of its own.
func (r *documentsRun) setEnvironment() {
	bin, home := filepath.Join(r.TempDir(), "bin"), r.TempDir()
	if err := os.Mkdir(bin, 0o700); err != nil {
		r.Fatal(err)
	}
	self, err := filepath.Abs(os.Args[0])
	if err != nil {
		r.Fatal(err)
	}
	source, err := filepath.Abs(root)
	if err != nil {
		r.Fatal(err)
	}
	for name, script := range map[string]string{
		"tapway": "exec '" + self + "' \"$@\"",
		"jq":     "exec cat", // stands for any program behind a bar
	} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
			r.Fatal(err)
		}
	}
	r.env = append(command("").Env, "PATH="+bin+":"+os.Getenv("PATH"), "BROWSER=true", "TAPWAY_SOURCE="+source, "GOBIN="+r.TempDir())
	out, err := exec.Command("go", "env", "GOCACHE", "GOMODCACHE").Output()
	if places := strings.Fields(string(out)); err == nil && len(places) == 2 {
		r.env = append(r.env, "HOME="+home, "GOCACHE="+places[0], "GOMODCACHE="+places[1])
	}
}

// dirOf is where the lines of a block are run: the gateway's directory, or one of its own when it writes a configuration.
func (r *documentsRun) dirOf(b block) string {
	if !strings.Contains(b.text, "> tapway.yaml") {
		return r.dir
	}
	return r.TempDir()
}

// means is what the names of a line stand for here.
func (r *documentsRun) means(line string) string {
	id := ""
	if regexp.MustCompile(`\b(ID|0198c2f0-\S+)\b`).MatchString(line) {
		id = r.dead()
		if strings.Contains(line, "silence --remove") {
			id = decode[alarm.Silence](r.T, must(r.T, r.dir, "alarm", "silence", "--for", "2h", "--json")).ID
		}
	}
	backend := strings.TrimPrefix(r.backend.URL, "http://")
	line = strings.NewReplacer(
		"--api a1b2c3d4e5", "--api "+r.aws.api+" --rate 1000", "--api ID", "--api "+r.aws.api+" --rate 1000", "a1b2c3d4e5", r.aws.api, "--region eu-west-1", "--region "+r.aws.Region,
		"https://siem.example.com/in", r.sink.URL, "https://other.example.com/in", r.other, "http://127.0.0.1:4000/in", r.sink.URL,
		"https://api.internal:8443", r.backend.URL, "https://api.internal", r.backend.URL, "api.internal:8443", backend, "https://staging.example.com", r.backend.URL,
		"http://127.0.0.1:3000", r.backend.URL, "http://127.0.0.1:3001", r.backend.URL,
		"https://gateway.internal:9090", "http://"+r.g.admin, "http://127.0.0.1:9090", "http://"+r.g.admin, "127.0.0.1:9091", "127.0.0.1:0",
		"/etc/tapway/tapway.yaml", filepath.Join(r.dir, "tapway.yaml"), "sudo tapway", "tapway", "/etc/tapway/tapway.env", filepath.Join(r.dir, "tapway.env"), "/var/lib/tapway", filepath.Join(r.dir, "tapway-data"),
		"0198c2f0-7c1e-7b3a-9d2e-3f1f7b6a5c4d", id, "go run ./cmd/tapway", "tapway", "curl -s ", "curl -sf ",
	).Replace(line)
	return regexp.MustCompile(`\bID\b`).ReplaceAllString(line, id)
}

// dead makes sure that there is a dead letter, and an alarm of it, and gives its ID.
func (r *documentsRun) dead() string {
	r.Helper()
	var dead []admin.DeadLetter
	waitFor(r.T, "a dead letter", func() bool {
		dead = jsonLines[admin.DeadLetter](r.T, must(r.T, r.dir, "dlq", "list", "--destination", "siem", "--json"))
		if len(dead) == 0 {
			r.poison++
			r.g.calls(r.T, fmt.Sprintf("/poison/%d", r.poison))
		}
		return len(dead) > 0
	})
	return dead[0].Exchange.ID
}

// before brings about what a command needs to have something to do.
func (r *documentsRun) before(line string) {
	quietly := func(args ...string) { execute(r.T, r.dir, args...) }
	switch verb := regexp.MustCompile(`tapway (\S+)( \S+)?`).FindString(line); {
	case strings.HasPrefix(verb, "tapway dlq"):
		r.dead()
	case verb == "tapway alarm ack":
		r.dead()
		waitFor(r.T, "the alarm", func() bool { return strings.Contains(must(r.T, r.dir, "alarm", "list"), "FIRING") })
	case verb == "tapway keys create":
		quietly("keys", "revoke", "partner")
	case verb == "tapway keys usage", verb == "tapway keys revoke":
		quietly("keys", "create", "partner", "--plan", "global-plan")
	case strings.HasPrefix(verb, "tapway detach"), strings.HasPrefix(verb, "tapway status"):
		args := r.aws.args("attach", "--via", "lambda:tapway-proxy", "--yes")
		if m := regexp.MustCompile(`--state (\S+)`).FindStringSubmatch(line); m != nil {
			args = append(args, "--state", m[1])
		}
		quietly(args...)
	case strings.HasPrefix(verb, "tapway attach"):
		quietly(r.aws.args("detach", "--yes")...)
	case strings.HasPrefix(verb, "tapway restore"):
		quietly(r.aws.args("detach", "--yes")...)
		quietly(r.aws.args("backup", "--to", regexp.MustCompile(`--from (\S+)`).FindStringSubmatch(line)[1])...)
	}
}

// refusals are what commands say that end with 1 to tell of something, not because they failed.
var refusals = map[string]string{
	"tapway access explain":     "It is answered",
	"tapway egress explain":     "It is denied",
	"tapway alarm list --check": "FIRING",
	"tapway status --api":       "no queue feeds function",
}

var endless = map[string]string{"serve": `msg=serving`, "forward": `msg=forwarding`, "demo": `Ctrl-C stops\.`, "tail": `GET|/api/`}

// line runs one line of a document.
func (r *documentsRun) line(b block, dir, line string) {
	r.Helper()
	began := time.Now()
	r.before(r.means(line))
	line = r.means(line)
	program := regexp.MustCompile(`^(?:[A-Z_]+=\S+ )*(\S+)(?: (\S+))?`).FindStringSubmatch(line)
	switch {
	case program[1] == "tapway" && program[2] == "top":
		r.terminal(b, line)
	case program[1] == "tapway" && endless[program[2]] != "":
		r.endless(b, dir, line, program[2])
	case program[1] == "go":
		r.shell(b, root, line)
	case program[1] == "tapway" || program[1] == "cat" || program[1] == "cp" || program[1] == "mkdir" || program[1] == "curl":
		if strings.Contains(line, "--queue") {
			dir = r.shared()
		}
		r.shell(b, dir, line)
	default:
		r.Errorf("%s: %s: neither run nor in notRun", b, line)
	}
	r.Logf("%v %s", time.Since(began).Round(time.Millisecond), line)
}

// shared is a directory with a configuration of one destination whose queue several processes share.
func (r *documentsRun) shared() string {
	dir := r.TempDir()
	write(r.T, dir, "tapway.yaml", fmt.Sprintf("backend: %s\nqueue: sqs://records\ndestinations: [{name: siem, url: %q}]\n", r.backend.URL, r.sink.URL))
	return dir
}

// shell runs a line to its end, with a yes to every question.
func (r *documentsRun) shell(b block, dir, line string) {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), 5*time.Minute) // one of them compiles
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", line)
	cmd.Dir, cmd.Env, cmd.WaitDelay = dir, r.env, 5*time.Second
	if !strings.Contains(line, "tapway mcp") {
		cmd.Stdin = strings.NewReader("y\ny\ny\n")
	}
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	if err == nil {
		return
	}
	for begins, says := range refusals {
		if strings.HasPrefix(line, begins) && cmd.ProcessState.ExitCode() == 1 && strings.Contains(out.String()+errOut.String(), says) {
			return
		}
	}
	r.Errorf("%s: %s: %v\n%s%s", b, line, err, &out, &errOut)
}

// endless runs a line that does not end by itself until it does what it is for, and interrupts it.
func (r *documentsRun) endless(b block, dir, line, verb string) {
	r.Helper()
	line, _, _ = strings.Cut(line, " | ")
	if verb != "tail" && dir == r.dir {
		dir = r.TempDir()
		if strings.Contains(line, "tapway.yaml") || verb == "forward" {
			dir = r.shared()
		}
	}
	if verb == "serve" {
		line += " --listen 127.0.0.1:0 --admin 127.0.0.1:0"
	}
	if verb == "forward" && !strings.Contains(line, "--admin") {
		line += " --admin 127.0.0.1:0"
	}
	cmd := exec.Command("sh", "-c", strings.Replace(line, "tapway ", "exec tapway ", 1))
	cmd.Dir, cmd.Env = dir, r.env
	c := beginCommand(r.T, cmd)
	ready := regexp.MustCompile(endless[verb])
	waitFor(r.T, line, func() bool {
		select {
		case <-c.exited:
			r.Fatalf("%s: %s: it ended\n%s%s", b, line, c.out, c.err)
		default:
		}
		return ready.MatchString(c.out.String() + c.err.String())
	})
	c.interrupt(r.T, 30*time.Second)
	if code := cmd.ProcessState.ExitCode(); code != 0 {
		r.Errorf("%s: %s: exit %d after Ctrl-C\n%s%s", b, line, code, c.out, c.err)
	}
}

// terminal runs a line that takes the whole screen.
func (r *documentsRun) terminal(b block, line string) {
	r.Helper()
	term := terminaltest.Open(r.T, 80, 24)
	cmd := exec.Command("sh", "-c", "exec "+line)
	cmd.Dir, cmd.Env = r.dir, r.env
	exited := onTerminal(r.T, term, cmd)
	term.Shows("● live")
	term.Type("q")
	wait(r.T, line, exited)
	if code := cmd.ProcessState.ExitCode(); code != 0 {
		r.Errorf("%s: %s: exit %d", b, line, code)
	}
}
