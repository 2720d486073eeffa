package testservers

import (
	"os/exec"
	"syscall"
)

// dieWithParent has the kernel end the server when the test binary dies, as it does at a timeout.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
