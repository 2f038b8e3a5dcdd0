//go:build linux

package main

import (
	"bytes"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/scrimlabs/scrim/commitreveal/mirror/mirrortest"
	"github.com/scrimlabs/scrim/internal/sim"
	"github.com/scrimlabs/scrim/ordering"
)

// TestPeakMemory mirrors and verifies logs of 10,000 and 50,000 real transactions in batches of 128, each in a process of its
// own, and says how much memory those had at most (their peak resident set): it must not grow with the log. It takes minutes, and
// runs only with SCRIM_LARGE=1. docs/benchmarks-audit.md has the figures.
func TestPeakMemory(t *testing.T) {
	if os.Getenv("SCRIM_LARGE") == "" {
		t.Skip("takes minutes: SCRIM_LARGE=1")
	}
	program := filepath.Join(t.TempDir(), "scrim")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	const size = 128
	c := sim.New(t, 4, ordering.DefaultParams()).Ceremony()
	peaks := map[int]int64{}
	batches := 0
	for _, transactions := range []int{10_000, 50_000} {
		for ; batches*size < transactions; batches++ {
			var txs [][]byte
			for i := range size { // what may still be ordered is remembered, so they are valid for a few blocks only
				txs = append(txs, ordering.CiphertextTx(c.SealUntil(fmt.Sprintf("transaction %d of batch %d", i, batches), c.State.Height()+20).Bytes()))
			}
			c.Block(ordering.Proposal{Txs: txs, Openings: c.Open(1, 2, 3)})
		}
		node := mirrortest.New(sim.ChainID, c.Secrets[0].Identity())
		c.Must(node.Add(mirrortest.FromChain(t, c)...))
		server := httptest.NewServer(node)
		dir := filepath.Join(t.TempDir(), "m")
		measure := func(args ...string) int64 {
			begun := time.Now()
			cmd := exec.Command(program, append([]string{"audit"}, args...)...)
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			c.Must(cmd.Start())
			peak := int64(0)
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			for running := true; running; {
				select {
				case err := <-ended:
					if running = false; err != nil {
						t.Fatalf("%v\n%s", err, out.String())
					}
				case <-time.After(10 * time.Millisecond):
					peak = max(peak, highWater(cmd.Process.Pid))
				}
			}
			t.Logf("%d transactions, %s: peak resident set %d MiB, %s, %s of processor time", batches*size, args[0], peak>>10, time.Since(begun).Round(time.Second), cmd.ProcessState.UserTime().Round(time.Second))
			return peak
		}
		measure("mirror", server.URL, dir)
		peaks[transactions] = measure("verify", dir)
		server.Close()
	}
	if small, large := peaks[10_000], peaks[50_000]; large > small+small/2 {
		t.Errorf("verify has %d MiB with 10,000 transactions and %d MiB with 50,000", small>>10, large>>10)
	}
}

var vmHWM = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// highWater is the largest resident set that a process had so far, in KiB; 0 if it has ended. (The resource usage of a child that has
// ended would count what this process had when it started it.)
func highWater(pid int) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	m := vmHWM.FindSubmatch(status)
	if m == nil {
		return 0
	}
	n, _ := strconv.ParseInt(string(m[1]), 10, 64)
	return n
}
