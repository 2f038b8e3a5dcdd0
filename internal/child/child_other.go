//go:build !linux

package child

import (
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// start: the pipe closes when this process ends.
func start(cmd *exec.Cmd, sig syscall.Signal, ended func()) error {
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
	_ = r.Close()
	if err != nil {
		_ = w.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return err
	}
	go func() {
		_ = cmd.Wait()
		_ = dog.Process.Kill()
		_ = dog.Wait()
		_ = w.Close()
		ended()
	}()
	return nil
}
