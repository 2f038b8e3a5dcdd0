// Package child starts programs that end with the process that started them, even if that is killed: the servers and
// nodes of local networks and tests, of which nothing may be left behind.
package child

import (
	"os/exec"
	"syscall"
)

// Start starts cmd so that it gets sig when this process ends, even by SIGKILL, and calls ended when it has ended; how
// is in cmd.ProcessState. Nobody else may wait for cmd.
//
// On Linux the kernel sends the signal, elsewhere a small shell that waits at a pipe.
func Start(cmd *exec.Cmd, sig syscall.Signal, ended func()) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	return start(cmd, sig, ended)
}
