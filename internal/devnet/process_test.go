package devnet

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/scrimlabs/scrim/httpapi/client"
	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/internal/node"
	"github.com/scrimlabs/scrim/internal/pgcluster"
)

// The test binary plays nodes, and a parent that is killed.
const (
	roleVariable = "DEVNET_TEST_ROLE" // node or parent
	modeVariable = "DEVNET_TEST_MODE" // of a node: crash, stubborn, slow
)

func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case "node":
		playNode()
	case "parent":
		playParent()
	default:
		os.Exit(m.Run())
	}
}

// playNode is a node that serves readiness and nothing else.
func playNode() {
	cfg, err := node.LoadConfig(os.Args[len(os.Args)-1])
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	mode := os.Getenv(modeVariable)
	if mode == "crash" {
		fmt.Println("a reason to end")
		os.Exit(70)
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM)
	began := time.Now()
	go http.ListenAndServe(cfg.HTTP.Listen, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		ready := v1.Readiness{Ready: mode != "slow" || time.Since(began) > time.Second, Reasons: []v1.Reason{}}
		json.NewEncoder(w).Encode(ready)
	}))
	for range asked {
		if mode != "stubborn" {
			fmt.Println("asked to end")
			os.Exit(0)
		}
	}
}

// playParent starts two nodes, says which, and waits to be killed.
func playParent() {
	for _, home := range os.Args[1:] {
		n, err := testNode(home)
		if err == nil {
			err = n.Start()
		}
		if err == nil {
			err = n.WaitReady(context.Background())
		}
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(n.PID())
	}
	select {}
}

func testNode(home string) (*Node, error) {
	cfg, err := node.LoadConfig(home)
	if err != nil {
		return nil, err
	}
	url := "http://" + cfg.HTTP.Listen
	api, err := client.New(url, client.Options{Timeout: time.Second, Retries: -1})
	if err != nil {
		return nil, err
	}
	return &Node{
		Name: filepath.Base(home), URL: url, Config: cfg, LogFile: filepath.Join(home, "node.log"), Client: api,
		command: []string{os.Args[0], "x"}, env: []string{roleVariable + "=node"},
	}, nil
}

func newTestHome(t *testing.T) string {
	t.Helper()
	l, err := freePort(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg := node.DefaultConfig()
	cfg.Home = t.TempDir()
	cfg.HTTP.Listen = l.Addr().String()
	if err := cfg.Write(); err != nil {
		t.Fatal(err)
	}
	return cfg.Home
}

func newTestNode(t *testing.T) *Node {
	t.Helper()
	n, err := testNode(newTestHome(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Kill)
	return n
}

func gone(pid int) bool {
	// A zombie is gone too: only its parent has not been told yet.
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(b), ") Z ")
}

func TestNodeKillAndRestart(t *testing.T) {
	ctx := t.Context()
	n := newTestNode(t)
	if n.Running() || n.PID() != 0 || n.ExitCode() != -1 {
		t.Fatal("a node that was never started runs")
	}
	n.Kill()
	n.Stop()
	var pids []int
	for range 2 {
		if err := n.Start(); err != nil {
			t.Fatal(err)
		}
		if err := n.WaitReady(ctx); err != nil {
			t.Fatal(err)
		}
		if err := n.Start(); err == nil {
			t.Error("started twice")
		}
		pids = append(pids, n.PID())
		n.Kill()
		if n.Running() || n.ExitCode() != -1 {
			t.Errorf("runs after Kill, or exit code %d", n.ExitCode())
		}
	}
	if pids[0] == pids[1] {
		t.Error("the same process twice")
	}
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	if err := n.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	n.Stop()
	if n.ExitCode() != 0 {
		t.Errorf("exit code %d after Stop", n.ExitCode())
	}
	if log := string(n.logEnd()); !strings.Contains(log, "asked to end") {
		t.Errorf("the log is %q", log)
	}
}

func TestWaitReady(t *testing.T) {
	t.Run("slow", func(t *testing.T) {
		n := newTestNode(t)
		if err := n.Start(modeVariable + "=slow"); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := n.WaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
		if time.Since(began) < 500*time.Millisecond {
			t.Error("ready too early")
		}
	})
	t.Run("crash", func(t *testing.T) {
		n := newTestNode(t)
		if err := n.Start(modeVariable + "=crash"); err != nil {
			t.Fatal(err)
		}
		err := n.WaitReady(t.Context())
		if !errors.Is(err, ErrEnded) || !strings.Contains(err.Error(), "a reason to end") || n.ExitCode() != 70 {
			t.Errorf("got %v, exit code %d", err, n.ExitCode())
		}
	})
	t.Run("time", func(t *testing.T) {
		n := newTestNode(t)
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		if err := n.WaitReady(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

func TestWatch(t *testing.T) {
	a, b := newTestNode(t), newTestNode(t)
	n := &Net{Nodes: []*Node{a, b}, postgres: &pgcluster.Server{}}
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := n.Watch(ctx); err != nil {
		t.Errorf("got %v while all run", err)
	}
	b.Kill()
	if err := n.Watch(t.Context()); !errors.Is(err, ErrEnded) || !strings.Contains(err.Error(), b.Name) {
		t.Errorf("got %v after the second ended", err)
	}
	n.Stop()
	if a.Running() {
		t.Error("runs after Stop")
	}
}

// Whoever starts nodes may be killed like any process; its nodes go with it.
func TestKilledParentLeavesNothing(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("bound to the parent on Linux only")
	}
	parent := exec.Command(os.Args[0], newTestHome(t), newTestHome(t))
	parent.Env = append(os.Environ(), roleVariable+"=parent")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	var pids []int
	lines := bufio.NewScanner(out)
	for len(pids) < 2 && lines.Scan() {
		pid, err := strconv.Atoi(lines.Text())
		if err != nil {
			t.Fatal(lines.Text())
		}
		pids = append(pids, pid)
	}
	if len(pids) < 2 {
		t.Fatal("the parent did not start two nodes")
	}
	for _, pid := range pids {
		if gone(pid) {
			t.Errorf("process %d is not there", pid)
		}
	}
	parent.Process.Kill()
	parent.Wait()
	deadline := time.Now().Add(5 * time.Second)
	for _, pid := range pids {
		for !gone(pid) {
			if time.Now().After(deadline) {
				syscall.Kill(pid, syscall.SIGKILL)
				t.Fatalf("process %d outlives its parent", pid)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

func TestChoosePorts(t *testing.T) {
	m := &manifest{Members: make([]manifestMember, 3)}
	if err := m.choosePorts(t.Context()); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, member := range m.Members {
		for _, address := range []string{member.HTTP, member.P2P} {
			_, port, err := net.SplitHostPort(address)
			if err != nil {
				t.Fatal(err)
			}
			if number, _ := strconv.Atoi(port); number < firstPort || number > lastPort {
				t.Errorf("port %s", port)
			}
			if seen[address] {
				t.Errorf("%s was chosen twice", address)
			}
			seen[address] = true
		}
	}
	before := append([]manifestMember{}, m.Members...)
	taken, err := net.Listen("tcp", before[1].HTTP)
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if err := m.choosePorts(t.Context()); err != nil {
		t.Fatal(err)
	}
	if m.Members[1].HTTP == before[1].HTTP {
		t.Error("a taken port was kept")
	}
	m.Members[1].HTTP = before[1].HTTP
	for i := range before {
		if m.Members[i] != before[i] {
			t.Errorf("member %d: a free port was replaced", i)
		}
	}
}

func TestLockDir(t *testing.T) {
	dir := t.TempDir()
	f, err := lockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockDir(dir); !errors.Is(err, ErrInUse) {
		t.Errorf("second lock: %v", err)
	}
	f.Close()
	g, err := lockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	g.Close()
}
