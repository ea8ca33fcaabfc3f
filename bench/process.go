package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// process is a server under measurement. It prints "ready ADDRESS" when it listens.
type process struct {
	name string
	cmd  *exec.Cmd
	addr string
}

var (
	runningMu sync.Mutex
	running   []*process
)

// start runs this program in another role, or a foreign command that listens at addr.
func start(role string, args ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, append([]string{"role:" + role}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{name: role, cmd: cmd}
	remember(p)
	line, err := bufio.NewReader(out).ReadString('\n')
	addr, ok := strings.CutPrefix(strings.TrimSpace(line), "ready ")
	if !ok {
		return nil, fmt.Errorf("%s did not start: %q %v", role, line, err)
	}
	p.addr = addr
	return p, nil
}

func remember(p *process) {
	runningMu.Lock()
	running = append(running, p)
	runningMu.Unlock()
}

// stop ends the process politely, and less so after ten seconds.
func (p *process) stop() {
	runningMu.Lock()
	for i, other := range running {
		if other == p {
			running = append(running[:i], running[i+1:]...)
			break
		}
	}
	runningMu.Unlock()
	p.cmd.Process.Signal(os.Interrupt)
	done := make(chan struct{})
	go func() {
		p.cmd.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		p.cmd.Process.Kill()
		<-done
	}
}

func stopAll() {
	runningMu.Lock()
	all := append([]*process(nil), running...)
	runningMu.Unlock()
	for _, p := range all {
		p.stop()
	}
}

// cpu is the user and system time the process has used.
func (p *process) cpu() time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(f[11], 10, 64)
	sys, _ := strconv.ParseInt(f[12], 10, 64)
	return time.Duration(user+sys) * (time.Second / 100) // the kernel counts in 1/100 s on every Linux
}

// threadTime is what the process's threads have run, to the nanosecond where the kernel tells; those
// that have ended are not in it.
func (p *process) threadTime() (total time.Duration) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.cmd.Process.Pid))
	for _, name := range files {
		text, _ := os.ReadFile(name)
		if first, _, ok := strings.Cut(string(text), " "); ok {
			ns, _ := strconv.ParseInt(first, 10, 64)
			total += time.Duration(ns)
		}
	}
	if total == 0 {
		return p.cpu()
	}
	return total
}

// memory is the process's resident memory and its peak, in MiB.
func (p *process) memory() (now, peak float64) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		kib, _ := strconv.ParseFloat(f[1], 64)
		switch f[0] {
		case "VmRSS:":
			now = kib / 1024
		case "VmHWM:":
			peak = kib / 1024
		}
	}
	return now, peak
}

// tempData makes a data directory that is removed by the returned function.
func tempData() (string, func(), error) {
	dir, err := os.MkdirTemp(*dataRoot, "tapway-bench-*")
	return dir, func() { os.RemoveAll(dir) }, err
}
