package child

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

const asParent = "SCRIM_TEST_CHILD_PARENT"

// The test binary, started again, is the parent that is killed. Its child has no other tie to us than the pipe that both
// hold: that the pipe ends says that the child has.
func TestEndsWithItsParent(t *testing.T) {
	if os.Getenv(asParent) != "" {
		cmd := exec.Command("/bin/sh", "-c", "echo up; exec sleep 60")
		cmd.Stdout = os.Stdout
		if err := Start(cmd, syscall.SIGKILL, func() {}); err != nil {
			fmt.Println(err)
			return
		}
		select {}
	}
	parent := exec.Command(os.Args[0], "-test.run=^TestEndsWithItsParent$")
	parent.Env = append(os.Environ(), asParent+"=1")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	parent.Stdout = w
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	out := bufio.NewReader(r)
	line, err := out.ReadString('\n')
	if err != nil || line != "up\n" {
		t.Errorf("%q, %v", line, err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = parent.Wait()
	if err := r.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(out); err != nil || len(rest) > 0 {
		t.Errorf("the child is still there: %q, %v", rest, err)
	}
}

func TestSaysWhenItHasEnded(t *testing.T) {
	cmd := exec.Command("/bin/sh", "-c", "exit 3")
	ended := make(chan struct{})
	if err := Start(cmd, syscall.SIGKILL, func() { close(ended) }); err != nil {
		t.Fatal(err)
	}
	<-ended
	if code := cmd.ProcessState.ExitCode(); code != 3 {
		t.Errorf("exit code %d", code)
	}
}

func TestDoesNotStart(t *testing.T) {
	err := Start(exec.Command("/nowhere/program"), syscall.SIGKILL, func() { t.Error("ended, but never began") })
	if err == nil {
		t.Error("no error")
	}
}
