package child

import (
	"os/exec"
	"runtime"
	"syscall"
)

// start: the kernel sends the signal when the thread that started the child ends, so that thread is kept for as long as
// the child lives.
func start(cmd *exec.Cmd, sig syscall.Signal, ended func()) error {
	cmd.SysProcAttr.Pdeathsig = sig
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
			ended()
		}
	}()
	return <-started
}
