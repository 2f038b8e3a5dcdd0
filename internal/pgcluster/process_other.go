//go:build !linux

package pgcluster

import (
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// startBound starts cmd so that it ends when this process does, even by SIGKILL,
// and calls ended when it has. Without Linux's parent death signal, a small shell
// waits at a pipe that closes when this process ends.
func startBound(cmd *exec.Cmd, sig syscall.Signal, ended func()) error {
	if err := cmd.Start(); err != nil {
		return err
	}
	r, w, err := os.Pipe()
	if err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return err
	}
	dog := exec.Command("/bin/sh", "-c", `read -r _; kill -"$1" "$2"`, "sh", strconv.Itoa(int(sig)), strconv.Itoa(cmd.Process.Pid))
	dog.SysProcAttr = cmd.SysProcAttr
	dog.Stdin = r
	err = dog.Start()
	r.Close()
	if err != nil {
		w.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return err
	}
	go func() {
		_ = cmd.Wait() // how it ended is in cmd.ProcessState
		_ = dog.Process.Kill()
		_ = dog.Wait()
		w.Close()
		ended()
	}()
	return nil
}

const hasNamespaces = false

func (account) enterNamespace(*syscall.SysProcAttr) {}
