package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/internal/node"
	"github.com/scrimlabs/scrim/ordering"
)

// Two of four members cannot store the share of the first attempt, so that it fails, and
// all may go on to a second one by themselves. It succeeds, and the chain works as any
// other; also for a member that was killed between the attempts, and for an auditor.
func TestSecondAttempt(t *testing.T) {
	n := open(t, 2*time.Minute, func(c *node.Config) { c.Ceremony.Attempts = 2 }, func(g *ordering.Genesis) { g.Terms.Phases.Certify = 75 })
	net, ctx := n.Net, n.ctx
	for _, member := range net.Nodes[2:] {
		n.must(os.MkdirAll(member.Config.ShareDir(), 0o700))
		n.must(os.WriteFile(filepath.Join(member.Config.ShareDir(), "epoch-1-attempt-1.share.age"), []byte("in the way"), 0o600))
	}
	n.must(net.Start())

	for first := false; !first; time.Sleep(50 * time.Millisecond) {
		all, err := net.Nodes[0].Client.Ceremonies(ctx)
		if ctx.Err() != nil {
			t.Fatal("no second attempt")
		}
		first = err == nil && (len(all.Ceremonies) == 2 || all.Ceremonies[0].Outcome == v1.CeremonyFailed)
	}
	net.Nodes[1].Kill()
	n.must(net.Nodes[1].Start())
	n.must(net.WaitReady(ctx))

	all, err := net.Nodes[3].Client.Ceremonies(ctx)
	n.must(err)
	if len(all.Ceremonies) != 2 || all.Ceremonies[0].Outcome != v1.CeremonySucceeded || all.Ceremonies[0].Attempt != 2 {
		t.Fatalf("%+v", all)
	}
	failed, err := net.Nodes[1].Client.Ceremony(ctx, all.Ceremonies[1].ID)
	n.must(err)
	if failed.Outcome != v1.CeremonyFailed || *failed.EndedIn != "certifying" || len(failed.Blame) != 2 ||
		failed.Blame[0].Member != 3 || failed.Blame[1].Member != 4 || !strings.Contains(failed.Blame[0].Reason, "sent nothing") {
		t.Errorf("%+v", failed)
	}

	n.openWallet()
	for range 4 {
		n.send(n.seal(payload(300)))
	}
	n.allOpened()
	n.sameBatches()
	n.audited(1)
}
