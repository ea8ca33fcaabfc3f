package main

import (
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// TestTree: the processes that a measured one has started are measured with it.
func TestTree(t *testing.T) {
	cmd := exec.Command("sh", "-c", "sh -c 'while :; do :; done' & wait")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{name: "sh", cmd: cmd}
	defer func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		cmd.Wait()
	}()
	for range 1000 {
		if len(p.tree()) == 2 && p.treeCPU() > p.cpu()+20*time.Millisecond && p.treePeak() > 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("the tree is %v with %v of CPU and %.1f MiB; the child's are missing", p.tree(), p.treeCPU(), p.treePeak())
}
