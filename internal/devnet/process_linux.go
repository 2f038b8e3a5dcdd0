package devnet

import (
	"os/exec"
	"runtime"
	"syscall"
)

// startBound starts cmd so that the kernel kills it when this process ends, even
// by SIGKILL, and calls ended when it has ended. The kernel's promise is bound to
// the thread that started the child: it is kept for as long as the child lives.
func startBound(cmd *exec.Cmd, ended func()) error {
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in cmd.ProcessState
			ended()
		}
	}()
	return <-started
}
