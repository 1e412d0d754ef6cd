//go:build unix && !linux

package demo

import (
	"os/exec"
	"syscall"
)

// dieWithParent puts the process into a group of its own, so that Ctrl-C in a
// terminal reaches only Parallax, which then stops it. Outside of Linux a
// process that outlives a killed Parallax has to be ended by hand.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}
