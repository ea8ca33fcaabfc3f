package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// TestMain makes the test binary the command itself when a test starts it.
func TestMain(m *testing.M) {
	if os.Getenv("TAPWAY_WAF_RUN") != "" {
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %s", what)
		}
	}
}

type record struct {
	Path   string `json:"endpoint"`
	Status int    `json:"status"`
	Origin string `json:"origin"`
	Error  string `json:"error"`
}

// TestServe is the whole way: a process of its own, attacks and clean calls, their records, a
// WebSocket, a reload from detect to block, and one with a mistake that is refused.
func TestServe(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/ws" {
			io.Copy(w, r.Body)
			return
		}
		if c, err := websocket.Accept(w, r, nil); err == nil {
			kind, text, err := c.Read(r.Context())
			if err == nil {
				c.Write(r.Context(), kind, text)
			}
			c.Close(websocket.StatusNormalClosure, "")
		}
	}))
	defer backend.Close()
	got := new(output)
	sink := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		fmt.Fprintf(got, "%s\n", text)
	}))
	defer sink.Close()
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("tapway.yaml", fmt.Sprintf("listen: 127.0.0.1:0\nadmin: {listen: 127.0.0.1:0}\nbackend: %s\ndestinations: [{name: sink, url: %s}]\n", backend.URL, sink.URL))
	write("waf.yaml", "mode: detect\n")
	cmd := exec.Command(os.Args[0], "serve")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "TAPWAY_WAF_RUN=1")
	log := new(output)
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer cmd.Process.Kill()
	at := regexp.MustCompile(`msg=serving gateway=(\S+)`)
	waitFor(t, "listener", func() bool { return at.MatchString(log.String()) })
	front := "http://" + at.FindStringSubmatch(log.String())[1]

	post := func(path, body string) int {
		r, err := http.NewRequest("POST", front+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Host = "api.example.com"
		r.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		back, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode == 200 && string(back) != body || resp.StatusCode == 403 && string(back) != `{"message":"Forbidden"}` {
			t.Errorf("%s: %d %q %v", path, resp.StatusCode, back, err)
		}
		return resp.StatusCode
	}
	recordOf := func(path string) (found record) {
		waitFor(t, "record of "+path, func() bool {
			for line := range strings.Lines(got.String()) {
				var r record
				if json.Unmarshal([]byte(line), &r) == nil && r.Path == path {
					found = r
					return true
				}
			}
			return false
		})
		return found
	}
	const attack = `{"q":"x' UNION SELECT password FROM users-- -"}`
	if status := post("/detected", attack); status != 200 {
		t.Errorf("in detect mode: %d", status)
	}
	if r := recordOf("/detected"); r.Origin != "backend" || !strings.HasPrefix(r.Error, "waf would block: rules 942") {
		t.Errorf("%+v", r)
	}
	write("waf.yaml", "mode: block\nresponse: body\nrules: [own.conf]\n")
	write("own.conf", "SecNothing On\n")
	cmd.Process.Signal(syscall.SIGHUP)
	waitFor(t, "refused reload", func() bool { return strings.Contains(log.String(), "own.conf:1: ") })
	if status := post("/still", attack); status != 200 {
		t.Errorf("after a refused reload: %d", status)
	}
	write("own.conf", "# nothing\n")
	cmd.Process.Signal(syscall.SIGHUP)
	waitFor(t, "reload", func() bool { return strings.Contains(log.String(), "msg=reloaded") })
	if status := post("/blocked", attack); status != 403 {
		t.Errorf("in block mode: %d", status)
	}
	if r := recordOf("/blocked"); r.Origin != "gateway" || r.Status != 403 || !strings.HasPrefix(r.Error, "waf: rules 942") {
		t.Errorf("%+v", r)
	}
	if status := post("/clean", `{"q":"tea"}`); status != 200 {
		t.Errorf("a clean call: %d", status)
	}
	if r := recordOf("/clean"); r.Origin != "backend" || r.Error != "" {
		t.Errorf("%+v", r)
	}
	speak(t, front)
	if text := log.String(); strings.Contains(text, "UNION") {
		t.Errorf("the log has a value:\n%s", text)
	}
	cmd.Process.Signal(syscall.SIGTERM)
	if err := <-ended; err != nil {
		t.Errorf("%v\n%s", err, log)
	}
}

// speak has a WebSocket through the firewall.
func speak(t *testing.T, front string) {
	t.Helper()
	c, _, err := websocket.Dial(t.Context(), "ws"+strings.TrimPrefix(front, "http")+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	const text = "<script>alert(1)</script> is none of the firewall's business here"
	if err := c.Write(t.Context(), websocket.MessageText, []byte(text)); err != nil {
		t.Fatal(err)
	}
	if _, back, err := c.Read(t.Context()); err != nil || string(back) != text {
		t.Errorf("%q, %v", back, err)
	}
}

func TestCommand(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.yaml")
	if err := os.WriteFile(bad, []byte("mode: loud\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args, want string
		code       int
	}{
		{"--version", "tapway-waf ", 0},
		{"--help", "tapway-waf serve", 0},
		{"check", "good. mode detect, paranoia 1, threshold 5", 0},
		{"check --mode block --paranoia 2", "good. mode block, paranoia 2", 0},
		{"check --waf " + bad, bad + `: mode: "loud" is neither detect nor block`, 1},
		{"check --paranoia 5", "--paranoia: 5 is not between 1 and 4", 2},
		{"check --mode on", `--mode: "on" is neither`, 2},
		{"check --nothing", "unknown flag", 2},
		{"-v", "tapway-waf ", 0},
		{"access", "tapway-waf access explain", 0},
		{"access explain", "passes in mode detect: score 0, threshold 5", 0},
		{"access explain --path /?q=%3Cscript%3Ealert(1)%3C/script%3E", "  941100  XSS Attack Detected via libinjection", 0},
		{"access explain --path /?q=%3Cscript%3Ealert(1)%3C/script%3E", "would refuse in mode detect: score ", 0},
		{"access explain --path /?q=%3Cscript%3Ealert(1)%3C/script%3E --mode block", "It is answered 403.", 1},
		{"access explain --path /?q=%3Cscript%3Ealert(1)%3C/script%3E --mode block --json", `"id": 941100`, 1},
		{"access explain --path /?q=%27 --paranoia 4", "942", 0},
		{"access explain --method POST --header Content-Type:application/json --body {\"a\":", "200002", 0},
		{"access explain --header nothing", "--header: write 'Name: value'", 2},
		{"access explain --ip nowhere", `"nowhere" is not an address`, 2},
		{"access explain --body a --body-file b", "exclude each other", 2},
		{"access explain --body-file " + filepath.Join(dir, "none"), "read the body", 1},
		{"check more", "wants no arguments", 2},
		{"serve --waf " + bad + " --listen 127.0.0.1:0 --admin off --backend http://127.0.0.1:1 --data " + filepath.Join(dir, "data"), `"loud" is neither`, 1},
		{"serve --listen nowhere", "nowhere", 1},
	} {
		out := new(output)
		if code := run(strings.Fields(c.args), out, out); code != c.code || !strings.Contains(out.String(), c.want) {
			t.Errorf("%s: exit %d, want %d\n%s", c.args, code, c.code, out)
		}
	}
}
