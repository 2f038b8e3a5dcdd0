package e2e

import (
	"cmp"
	crand "crypto/rand"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/internal/devnet"
	"github.com/scrimlabs/scrim/internal/node"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/ordering/fair"
	"github.com/scrimlabs/scrim/threshold"
)

// Seven members with two faulty ones: member 6 signs two receive logs, one for every second of the others; member 7 tells two members
// only what it received and gives nobody a ciphertext. Blocks take four ciphertexts, so there is a queue.
func TestTwoLogsAndWithheldBodies(t *testing.T) {
	n := open(t, 4*time.Minute, func(*node.Config) {}, func(g *ordering.Genesis) { g.Params.MaxBatch = 4 }, func(o *devnet.Options) { o.Members = 7 })
	const forker, starved = 5, 4
	for i, member := range n.Nodes {
		n.must(member.Start([]string{5: "BYZANTINE=fork", 6: "BYZANTINE=secretive"}[i]))
	}
	n.must(n.WaitReady(n.ctx))
	n.openWallet()

	t.Run("what the honest five received alike is executed so", func(t *testing.T) {
		const apart = 300 * time.Millisecond
		for i := range 8 {
			n.sendTo([]int{0, 1, 2, 3, 4}[i%5], n.seal(payload(100)))
			time.Sleep(apart)
		}
		var places []v1.Cursor
		for _, tx := range n.sent {
			got := n.final(1, tx.sealed.ID())
			places = append(places, v1.Cursor{Height: *got.Height, Place: *got.Place})
		}
		if !slices.IsSortedFunc(places, func(a, b v1.Cursor) int {
			return cmp.Or(cmp.Compare(a.Height, b.Height), cmp.Compare(a.Place, b.Place))
		}) {
			t.Errorf("executed at %v", places)
		}
	})
	t.Run("the two logs are evidence, which anyone can check", func(t *testing.T) {
		for found := false; !found; time.Sleep(50 * time.Millisecond) {
			n.must(n.ctx.Err())
			for _, member := range n.Nodes[:forker] {
				found = n.forkBy(member, forker+1) || found
			}
		}
	})
	t.Run("a proposer without bodies gets them from those who have them", func(t *testing.T) {
		member := n.Nodes[starved]
		member.Stop()
		n.must(member.Start("SCRIM_MEMPOOL_SIZE=1")) // next to nothing of what the others relay arrives
		n.must(member.WaitReady(n.ctx))
		fetched := func() bool {
			text, err := os.ReadFile(member.LogFile)
			n.must(err)
			return strings.Contains(string(text), "bodies fetched from other members")
		}
		for !fetched() {
			n.must(n.ctx.Err())
			for range 8 {
				n.sendTo(0, n.seal(payload(100)))
			}
			time.Sleep(100 * time.Millisecond)
		}
	})
	t.Run("what expires in the queue says so, and why", func(t *testing.T) {
		id := n.expires(12)
		for i := range 4 {
			tx, err := n.Nodes[i].Client.Transaction(n.ctx, v1.HexOf(id[:]))
			n.must(err)
			if tx.Status != v1.StatusExpired || tx.Reason == nil || *tx.Reason != v1.ExpiredTooLate || tx.Height != nil {
				t.Errorf("%s: %+v", n.Nodes[i].Name, tx)
			}
		}
		tx, err := n.wallet.Status(n.ctx, id)
		n.must(err)
		if tx.Status != v1.StatusExpired || tx.Reason == nil {
			t.Errorf("the wallet says %+v", tx)
		}
	})
	n.allOpened()
	n.sameBatches()
	for _, member := range n.Nodes[:forker] {
		n.forkBy(member, forker+1) // nobody else is accused
	}
	if report := n.audited(starved); report.Expired == 0 {
		t.Error("the audit knows nothing of the one that expired")
	}
}

// forkBy checks that the node accuses this member, counted from 1, and nobody else, of two receive logs; false: it accuses nobody.
func (n *network) forkBy(of *devnet.Node, member uint32) bool {
	n.t.Helper()
	list, err := of.Client.EvidenceList(n.ctx, 0, 100)
	n.must(err)
	for _, e := range list.Evidence {
		body, err := of.Client.Evidence(n.ctx, e.Number)
		n.must(err)
		proof, err := fair.ReceiveOrder.ParseEquivocation(body)
		if err != nil || e.Kind != "receive_log_fork" || e.Member != member {
			n.t.Fatalf("%s keeps %+v: %v", of.Name, e, err)
		}
		n.must(proof.Verify(n.Genesis.ChainID, n.Genesis.Terms.Members[member-1].Identity))
	}
	return len(list.Evidence) > 0
}

// expires sends ciphertexts that are in front of one which is valid for the next two blocks only, until one of these has expired after the
// members' logs had decided it.
func (n *network) expires(before int) threshold.ID {
	n.t.Helper()
	for {
		n.must(n.ctx.Err())
		for range before {
			n.sendTo(0, n.seal(payload(100)))
		}
		health, err := n.Nodes[0].Client.Health(n.ctx)
		n.must(err)
		ct, err := threshold.Seal(crand.Reader, n.wallet.Certificate.Committee.Key, threshold.SealOptions{ChainID: n.wallet.ChainID(), Namespace: "e2e", ValidUntil: health.Height + 2}, nil)
		n.must(err)
		if _, err := n.wallet.SubmitTo(n.ctx, 0, ct); err != nil {
			continue // the two blocks came too soon
		}
		id := ct.ID()
		for {
			n.must(n.ctx.Err())
			order, err := n.Nodes[0].Client.Order(n.ctx, v1.HexOf(id[:]), nil)
			n.must(err)
			if order.State == v1.OrderDropped {
				return id
			}
			if order.State == v1.OrderOrdered {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}
