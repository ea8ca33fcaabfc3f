//go:build unix

package deploy

import (
	"os/exec"
	"syscall"
)

// apart keeps a terminal's Ctrl-C from terraform: it gets ours, once. A second one would have it
// stop without writing its state.
func apart(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
