package torture

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is a running tapway.
type process struct {
	cmd         *exec.Cmd
	addr, admin string
	out         *output
	exited      chan struct{}
}

// output keeps what a process says and looks for the line that says where it listens.
type output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	line    *regexp.Regexp
	found   chan []string
	matched bool
}

var (
	servingLine    = regexp.MustCompile(`msg=serving gateway=(\S+) admin=(\S*)`)
	forwardingLine = regexp.MustCompile(`msg=(forwarding)`)
)

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Write(p)
	if !o.matched {
		if m := o.line.FindStringSubmatch(o.text.String()); m != nil {
			o.matched = true
			o.found <- m
		}
	}
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// startWithin is generous: a machine may be busy, and a log may have to be read.
const startWithin = 3 * time.Minute

// start starts a command and waits until it says line.
func start(cmd *exec.Cmd, line *regexp.Regexp) (*process, error) {
	p := &process{cmd: cmd, out: &output{line: line, found: make(chan []string, 1)}, exited: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.out, p.out
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		cmd.Wait()
		close(p.exited)
	}()
	timer := time.NewTimer(startWithin)
	defer timer.Stop()
	select {
	case m := <-p.out.found:
		if len(m) == 3 {
			p.addr, p.admin = m[1], "http://"+strings.TrimPrefix(strings.Trim(m[2], `"`), "http://")
		}
		return p, nil
	case <-p.exited:
		return nil, fmt.Errorf("tapway ended at its start: %s", p.out)
	case <-timer.C:
		p.kill()
		return nil, fmt.Errorf("tapway does not start: %s", p.out)
	}
}

func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.exited
}

// stop tells it to end.
func (p *process) stop() error {
	p.cmd.Process.Signal(syscall.SIGTERM)
	timer := time.NewTimer(startWithin)
	defer timer.Stop()
	select {
	case <-p.exited:
	case <-timer.C:
		p.kill()
		return fmt.Errorf("tapway does not end when it is told to: %s", p.out)
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("tapway ended with exit code %d: %s", code, p.out)
	}
	return nil
}

func (p *process) gone() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// client of the admin address. Its connections are not kept: the process is killed any time.
var adminClient = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}

// ask makes a call to the admin address and gives its answer whole.
func (p *process) ask(ctx context.Context, method, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, p.admin+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := adminClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s: %s: %.300s", method, path, resp.Status, body)
	}
	return body, err
}

// get reads an answer of the admin address.
func get[T any](ctx context.Context, p *process, path string) (v T, err error) {
	body, err := p.ask(ctx, http.MethodGet, path)
	if err == nil {
		err = json.Unmarshal(body, &v)
	}
	return v, err
}

// run runs a command to its end.
func run(cmd *exec.Cmd) (string, error) {
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		const most = 2000 // of what may be every record there is
		said := out.String()
		return said, fmt.Errorf("tapway %s: %w: %s%s", strings.Join(cmd.Args[1:], " "), err, said[max(0, len(said)-most):], errOut.String())
	}
	return out.String(), nil
}

// writeFile replaces a file in one step, as an editor would.
func writeFile(path, text string) error {
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
