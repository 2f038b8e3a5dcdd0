package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/internal/devnet"
	"github.com/scrimlabs/scrim/internal/node"
	"github.com/scrimlabs/scrim/internal/pgcluster"
	"github.com/scrimlabs/scrim/internal/wallet"
	"github.com/scrimlabs/scrim/ordering"
)

// Two of four members cannot store the share of the first attempt, so that it fails, and
// all may go on to a second one by themselves. It succeeds, and the chain works as any
// other; also for a member that was killed between the attempts, and for an auditor.
func TestSecondAttempt(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	net, err := devnet.Open(ctx, devnet.Options{
		Command: []string{program}, Dir: t.TempDir(), Postgres: []pgcluster.Option{pgcluster.WithoutSync()},
		Configure: func(_ int, c *node.Config) { c.HTTP.RatePerMinute, c.Ceremony.Attempts = 0, 2 },
		Genesis:   func(g *ordering.Genesis) { g.Terms.Phases.Certify = 75 },
	})
	if err != nil {
		t.Fatal(err)
	}
	n := &network{Net: net, t: t, ctx: ctx}
	t.Cleanup(func() {
		if t.Failed() {
			n.logs()
		}
		net.Close()
	})
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

	n.wallet, err = wallet.Open(ctx, net.URLs(), wallet.Options{TrustFile: filepath.Join(t.TempDir(), "trust.json")})
	n.must(err)
	for range 4 {
		n.send(n.seal(payload(300)))
	}
	n.allOpened()
	n.sameBatches()
	n.audited(1)
}
