//go:build !unix

package deploy

import "os/exec"

func apart(*exec.Cmd) {}
