package e2e

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/internal/node"
	"github.com/scrimlabs/scrim/ordering"
)

// A member is away and the others do not want to wait for the deadline: they abort by
// hand. When it is back one proposes another attempt, all accept it, and the chain works
// as any other. The members type what docs/runbooks/failed-ceremony.md says.
func TestAbortAndRetryByHand(t *testing.T) {
	n := open(t, 2*time.Minute, func(*node.Config) {}, func(g *ordering.Genesis) { g.Terms.Phases.Deal = 1 << 20 })
	net, ctx := n.Net, n.ctx
	scrim := buildScrim(t, ctx)
	// says types a command as member i, at the node of member at.
	says := func(i, at int, want string, args ...string) {
		t.Helper()
		args = append([]string{"member"}, append(args, "--home", net.Nodes[i].Config.Home, "--node", net.Nodes[at].URL)...)
		out, err := exec.CommandContext(ctx, scrim, args...).CombinedOutput()
		if err != nil || !strings.Contains(string(out), want) {
			t.Fatalf("scrim %s: %v, want %q in\n%s", strings.Join(args, " "), err, want, out)
		}
	}
	newest := func(i int) v1.CeremonySummary {
		all, err := net.Nodes[i].Client.Ceremonies(ctx)
		if err != nil {
			return v1.CeremonySummary{}
		}
		return all.Ceremonies[0]
	}

	for _, member := range net.Nodes[:3] {
		n.must(member.Start())
	}
	for newest(0).Phase != "dealing" || len(waiting(n, 0)) != 1 {
		time.Sleep(50 * time.Millisecond)
		n.must(ctx.Err())
	}
	says(0, 0, "missing: 2 more of", "abort", "--yes")
	says(1, 0, "missing: 1 more of", "abort", "--yes") // any node passes it on
	says(2, 2, "attempt 1 is aborted", "abort", "--yes")
	says(1, 1, "scrim member retry", "status")

	n.must(net.Nodes[3].Start())
	for behind := true; behind; time.Sleep(50 * time.Millisecond) {
		r, err := net.Nodes[3].Client.Ready(ctx)
		n.must(ctx.Err())
		behind = err != nil || slices.ContainsFunc(r.Reasons, func(r v1.Reason) bool { return r.Code == "catching_up" })
	}
	says(1, 1, "attempt 2 is proposed", "retry", "--yes", "--start-in", "250")
	says(1, 1, "next         all members have to answer", "status")
	for i := range net.Nodes {
		want := "missing: "
		if i == 3 {
			want = "all have accepted"
		}
		for newest(i).Attempt != 2 { // the block may reach a node later than the one that was asked
			time.Sleep(20 * time.Millisecond)
			n.must(ctx.Err())
		}
		says(i, i, want, "accept", "--yes")
	}
	n.must(net.WaitReady(ctx))
	if s := newest(3); s.Attempt != 2 || s.Outcome != v1.CeremonySucceeded {
		t.Fatalf("%+v", s)
	}
	first, err := net.Nodes[3].Client.Ceremonies(ctx)
	n.must(err)
	aborted, err := net.Nodes[3].Client.Ceremony(ctx, first.Ceremonies[1].ID)
	n.must(err)
	if aborted.Outcome != v1.CeremonyAborted || *aborted.EndedIn != "dealing" || len(aborted.Aborting) != 3 || len(aborted.Blame) != 0 {
		t.Errorf("%+v", aborted)
	}

	n.openWallet()
	for range 4 {
		n.send(n.seal(payload(300)))
	}
	n.allOpened()
	n.sameBatches()
	n.audited(3)
}

// waiting is whom the newest ceremony waits for.
func waiting(n *network, i int) []uint32 {
	all, err := n.Nodes[i].Client.Ceremonies(n.ctx)
	n.must(err)
	c, err := n.Nodes[i].Client.Ceremony(n.ctx, all.Ceremonies[0].ID)
	n.must(err)
	return c.Waiting
}
