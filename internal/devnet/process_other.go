//go:build !linux

package devnet

import "os/exec"

// startBound starts cmd and calls ended when it has ended. Without Linux's parent
// death signal, a SIGKILL of this process leaves its nodes running.
func startBound(cmd *exec.Cmd, ended func()) error {
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		_ = cmd.Wait() // how it ended is in cmd.ProcessState
		ended()
	}()
	return nil
}
