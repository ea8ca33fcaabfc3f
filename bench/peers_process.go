package main

import (
	"embed"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// peerFiles are the configurations of the peers, with placeholders in braces.
//
//go:embed peers
var peerFiles embed.FS

// place is where a peer runs for one measurement.
type place struct {
	had     string // what bench/peers/get brought
	dir     string // its own, empty at first
	listen  string
	backend string
	sink    string
	redis   string
}

// freeAddr is an address that nobody listens at, now.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// fill puts the place into a text with placeholders.
func (p *place) fill(text string) string {
	port := func(addr string) string {
		_, port, _ := net.SplitHostPort(addr)
		return port
	}
	return strings.NewReplacer("{listen}", p.listen, "{port}", port(p.listen), "{backend}", p.backend, "{backendport}", port(p.backend),
		"{sink}", p.sink, "{sinkhost}", "127.0.0.1", "{sinkport}", port(p.sink), "{redis}", port(p.redis), "{dir}", p.dir, "{root}", filepath.Join(p.had, "root"),
		"{bin}", filepath.Join(p.had, "bin")).Replace(text)
}

// write fills a configuration and puts it into the place's directory.
func (p *place) write(name, to string) error {
	text, err := peerFiles.ReadFile("peers/" + name)
	if err != nil {
		return err
	}
	to = filepath.Join(p.dir, to)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, []byte(p.fill(string(text))), 0o644)
}

// program is a file that bench/peers/get brought, or the system's of that name.
func (p *place) program(name string) (string, error) {
	for _, dir := range []string{filepath.Join(p.had, "bin"), filepath.Join(p.had, "root/usr/bin"), filepath.Join(p.had, "root/usr/sbin"), "/usr/sbin", "/usr/bin"} {
		full := filepath.Join(dir, name)
		if info, err := os.Stat(full); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
			return full, nil
		}
	}
	return "", fmt.Errorf("no program %s", name)
}

// run starts a program with the libraries that bench/peers/get brought, and waits until it
// listens at addr; with no addr it does not wait.
func (p *place) run(addr, name string, args ...string) (*process, error) {
	full, err := p.program(name)
	if err != nil {
		return nil, err
	}
	for i := range args {
		args[i] = p.fill(args[i])
	}
	log, err := os.Create(filepath.Join(p.dir, name+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(full, args...)
	cmd.Dir = p.dir
	root := filepath.Join(p.had, "root")
	libs, _ := filepath.Glob(filepath.Join(root, "usr/lib/*-linux-gnu"))
	more, _ := filepath.Glob(filepath.Join(root, "lib/*-linux-gnu"))
	libs = append(libs, more...)
	cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+strings.Join(libs, ":"), "PYTHONPATH="+filepath.Join(root, "usr/lib/python3/dist-packages"), "HOME="+p.dir, "SINK="+p.sink)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	started := &process{name: name, cmd: cmd, addr: addr}
	remember(started)
	if addr == "" {
		return started, nil
	}
	for range 600 {
		if c, err := dial(addr); err == nil {
			c.Close()
			return started, nil
		}
		if _, err := os.Stat(fmt.Sprintf("/proc/%d/exe", cmd.Process.Pid)); err != nil {
			break // it has ended
		}
		time.Sleep(50 * time.Millisecond)
	}
	started.stop()
	said, _ := os.ReadFile(log.Name())
	return nil, fmt.Errorf("%s does not listen; it said: %s", name, lastLine(string(said)))
}

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	text = text[strings.LastIndexByte(text, '\n')+1:]
	return text[:min(len(text), 300)]
}

// tree is a process and all that descend from it, by their parents in /proc.
func (p *process) tree() (pids []int) {
	children := map[int][]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		text, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		if f := strings.Fields(rest); len(f) > 1 {
			pid, _ := strconv.Atoi(strings.Split(name, "/")[2])
			parent, _ := strconv.Atoi(f[1])
			children[parent] = append(children[parent], pid)
		}
	}
	pids = []int{p.cmd.Process.Pid}
	for i := 0; i < len(pids); i++ {
		pids = append(pids, children[pids[i]]...)
	}
	return pids
}

// treeCPU is the user and system time of the whole tree: by its threads, which is finer, or by its
// processes, which knows of threads that have ended.
func (p *process) treeCPU() (total time.Duration) {
	for _, pid := range p.tree() {
		one := process{cmd: &exec.Cmd{Process: &os.Process{Pid: pid}}}
		total += max(one.cpu(), one.threadTime())
	}
	return total
}

// treePeak is the sum of the peaks of resident memory in the tree, in MiB. Pages that processes
// share count in each.
func (p *process) treePeak() (total float64) {
	for _, pid := range p.tree() {
		one := process{cmd: &exec.Cmd{Process: &os.Process{Pid: pid}}}
		_, peak := one.memory()
		total += peak
	}
	return total
}
