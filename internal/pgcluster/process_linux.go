package pgcluster

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// startBound starts cmd so that it ends when this process does, even by SIGKILL,
// and calls ended when it has. The kernel sends the signal when the thread that
// started the child ends, so that thread is kept for as long as the child lives.
func startBound(cmd *exec.Cmd, sig syscall.Signal, ended func()) error {
	cmd.SysProcAttr.Pdeathsig = sig
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in cmd.ProcessState
			ended()
		}
	}()
	return <-started
}

// hasNamespaces: the kernel may still refuse one, in a container for instance.
const hasNamespaces = true

func (a account) enterNamespace(attr *syscall.SysProcAttr) {
	attr.Cloneflags = syscall.CLONE_NEWUSER
	attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: int(a.uid), HostID: os.Geteuid(), Size: 1}}
	attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: int(a.gid), HostID: os.Getegid(), Size: 1}}
}
