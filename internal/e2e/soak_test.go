package e2e

import (
	"math/rand/v2"
	"os"
	"testing"
	"time"
)

// TestSoak kills and restarts one member after the other, at random moments, for as long
// as SCRIM_SOAK says (such as 5m), while transactions go to random members. At the end
// everything that got a receipt must be opened everywhere, and the audit must hold.
//
//	SCRIM_SOAK=5m go test ./internal/e2e -run Soak -v
func TestSoak(t *testing.T) {
	length, err := time.ParseDuration(os.Getenv("SCRIM_SOAK"))
	if err != nil {
		t.Skip("runs only if SCRIM_SOAK is a duration such as 5m")
	}
	n := startFor(t, length+2*time.Minute, nil)
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	kills, refused := 0, 0
	down, until := -1, time.Now().Add(time.Duration(rng.IntN(5000))*time.Millisecond)
	for end := time.Now().Add(length); time.Now().Before(end); {
		if time.Now().After(until) {
			if down < 0 {
				down = rng.IntN(4)
				n.Nodes[down].Kill()
				kills++
			} else {
				n.must(n.Nodes[down].Start())
				n.must(n.Nodes[down].WaitReady(n.ctx))
				down = -1
			}
			until = time.Now().Add(time.Duration(rng.IntN(6000)) * time.Millisecond)
		}
		to := rng.IntN(4)
		if to == down {
			continue
		}
		tx := n.seal(payload(rng.IntN(2000)))
		receipt, err := n.wallet.SubmitTo(n.ctx, to, tx.sealed)
		if err != nil { // no receipt, no promise
			refused++
			n.sent = n.sent[:len(n.sent)-1]
			continue
		}
		tx.record = recordOf(tx, receipt)
		time.Sleep(time.Duration(rng.IntN(40)) * time.Millisecond)
	}
	n.must(n.Net.Start())
	n.must(n.WaitReady(n.ctx))
	n.allOpened()
	n.sameBatches()
	report := n.audited(rng.IntN(4))
	t.Logf("%d kills, %d transactions, %d refused; audit: %s", kills, len(n.sent), refused, report.Verdict)
}
