//go:build linux

package main

import (
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/scrimlabs/scrim/commitreveal/mirror/mirrortest"
	"github.com/scrimlabs/scrim/internal/sim"
	"github.com/scrimlabs/scrim/ordering"
)

// TestPeakMemory mirrors and verifies logs of 10,000 and 50,000 real transactions in batches of 128, each in a process of its
// own, and says how much memory those had at most (their peak resident set): it must not grow with the log. It takes minutes, and
// runs only with SCRIM_LARGE=1.
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
			texts := make([]string, size)
			for i := range texts {
				texts[i] = fmt.Sprintf("transaction %d of batch %d", i, batches)
			}
			c.Block(ordering.Proposal{Txs: c.SealTxs(texts...), Openings: c.Open(1, 2, 3)})
		}
		node := mirrortest.New(sim.ChainID, c.Secrets[0].Identity())
		c.Must(node.Add(mirrortest.FromChain(t, c)...))
		server := httptest.NewServer(node)
		dir := filepath.Join(t.TempDir(), "m")
		measure := func(args ...string) int64 {
			begun := time.Now()
			cmd := exec.Command(program, append([]string{"audit"}, args...)...)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			peak := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss
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
