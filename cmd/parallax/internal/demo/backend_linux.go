package demo

import (
	"os/exec"
	"syscall"
)

// dieWithParent puts the process into a group of its own, so that Ctrl-C in a
// terminal reaches only Parallax, which then stops it, and has the kernel kill
// it when Parallax dies without a chance to.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
