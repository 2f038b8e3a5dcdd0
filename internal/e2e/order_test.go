package e2e

import (
	"cmp"
	crand "crypto/rand"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/internal/devnet"
	"github.com/scrimlabs/scrim/internal/node"
	"github.com/scrimlabs/scrim/internal/wallet"
	"github.com/scrimlabs/scrim/threshold"
)

// What all members received one after the other is executed in this order, whoever proposes, also when a member is down and
// when much comes at once; the audit recomputes all of it from the members' statements.
func TestExecutedAsReceived(t *testing.T) {
	n := start(t, nil)
	victim := n.Nodes[2]
	const apart = 250 * time.Millisecond // far more than it takes until all have written it to their logs
	var order []threshold.ID
	for i := range 12 {
		if i == 4 {
			victim.Kill()
		}
		if i == 9 {
			n.must(victim.Start())
			n.must(victim.WaitReady(n.ctx))
		}
		tx := n.seal(payload(100))
		to := i % 4
		if i >= 4 && to == 2 {
			to = 0
		}
		n.sendTo(to, tx) // to one member: the others hear of it from each other
		order = append(order, tx.sealed.ID())
		time.Sleep(apart)
	}
	for range 40 { // and a burst, so that blocks have something to order
		n.send(n.seal(payload(100)))
	}
	n.allOpened()
	n.sameBatches()

	type place struct {
		height uint64
		place  uint32
		id     threshold.ID
	}
	places := func(node int) (all []place) {
		for _, tx := range n.sent {
			got := n.final(node, tx.sealed.ID())
			all = append(all, place{*got.Height, *got.Place, tx.sealed.ID()})
		}
		return all
	}
	first := places(0)
	if !slices.Equal(first, places(2)) {
		t.Error("the member that was down tells another order")
	}
	executed := slices.SortedFunc(slices.Values(first[:len(order)]), func(a, b place) int {
		return cmp.Or(cmp.Compare(a.height, b.height), cmp.Compare(a.place, b.place))
	})
	for i, p := range executed {
		if p.id != order[i] {
			t.Errorf("received as number %d, executed as number %d", slices.Index(order, p.id)+1, i+1)
		}
	}
	n.audited(0)
	n.audited(2)

	// The node says why, and it is the same order.
	a, b := order[0], order[1]
	why, err := n.Nodes[1].Client.Order(n.ctx, v1.HexOf(b[:]), v1.HexOf(a[:]))
	n.must(err)
	if why.State != v1.OrderOrdered || why.Place == nil || len(why.Logs) != 4 || why.Other == nil || why.Other.First.String() != v1.HexOf(a[:]).String() {
		t.Errorf("%+v", why)
	}
	for _, tx := range n.sent[13:] { // two of the burst: in one frame or not, the reason must agree with the places
		x, y := n.sent[12].sealed.ID(), tx.sealed.ID()
		why, err := n.Nodes[0].Client.Order(n.ctx, v1.HexOf(x[:]), v1.HexOf(y[:]))
		n.must(err)
		p, q := n.final(0, x), n.final(0, y)
		before := *p.Height < *q.Height || *p.Height == *q.Height && *p.Place < *q.Place
		if (why.Other.First.String() == p.ID.String()) != before {
			t.Errorf("%s says %+v, executed at %d/%d and %d/%d", why.Other.Reason, why.Other, *p.Height, *p.Place, *q.Height, *q.Place)
		}
	}
}

// Seven members, one of which logs backwards, and one that proposes no statements while they have a victim's transactions: nothing is
// censored, and no pair on which the honest five agree is inverted.
func TestReversingAndCensoringMembers(t *testing.T) {
	n := open(t, 4*time.Minute, func(*node.Config) {}, nil, func(o *devnet.Options) { o.Members = 7 })
	for i, member := range n.Nodes {
		n.must(member.Start([]string{2: "BYZANTINE=reverse", 5: "BYZANTINE=censor", 6: ""}[i]))
	}
	n.must(n.WaitReady(n.ctx))
	n.openWallet()
	const apart = 300 * time.Millisecond
	var order []threshold.ID
	// censored says that the censor has had a turn, and used it; reversed that the other one has an entry before an earlier one.
	censored := func() bool {
		log, err := os.ReadFile(n.Nodes[5].LogFile)
		n.must(err)
		return strings.Contains(string(log), "proposing without statements")
	}
	reversed := func() bool {
		last := uint64(0)
		for _, id := range order {
			tx, err := n.Nodes[2].Client.Transaction(n.ctx, v1.HexOf(id[:]))
			if err != nil || tx.Receipt == nil {
				continue
			}
			if tx.Receipt.Position < last {
				return true
			}
			last = tx.Receipt.Position
		}
		return false
	}
	for i := 0; i < 10 || !censored() || !reversed(); i++ {
		n.must(n.ctx.Err())
		namespace := "e2e"
		if i%2 == 1 {
			namespace = "victim"
		}
		ct, err := n.wallet.Seal(crand.Reader, wallet.SealOptions{Namespace: namespace}, payload(100))
		n.must(err)
		_, err = n.wallet.SubmitTo(n.ctx, []int{0, 1, 3, 4, 6}[i%5], ct)
		n.must(err)
		order = append(order, ct.ID())
		time.Sleep(apart)
	}
	type place struct{ height, place uint64 }
	var places []place
	for _, id := range order {
		got := n.final(1, id)
		places = append(places, place{*got.Height, uint64(*got.Place)})
	}
	for i := range places[1:] {
		a, b := places[i], places[i+1]
		if a.height > b.height || a.height == b.height && a.place > b.place {
			t.Errorf("received as %d and %d, executed at %v and %v", i+1, i+2, a, b)
		}
	}
	n.audited(0)
}

// A proposer leaves out a ciphertext that the logs have decided. The others reject its
// blocks, say who it was, and the next proposer puts all of them in.
func TestProposerWithAnotherSetIsRejected(t *testing.T) {
	n := start(t, func(i int) []string {
		if i == 3 {
			return []string{"BYZANTINE=drop"}
		}
		return nil
	})
	rejected := func() bool {
		resp, err := http.Get(n.Nodes[0].URL + "/metrics")
		n.must(err)
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		n.must(err)
		return strings.Contains(string(text), `scrim_proposals_rejected_total{epoch="1",member="4"}`)
	}
	for !rejected() {
		n.must(n.ctx.Err())
		n.sendTo(len(n.sent)%3, n.seal(payload(100)))
		time.Sleep(50 * time.Millisecond)
	}
	n.allOpened()
	n.sameBatches()
	n.audited(1)
}
