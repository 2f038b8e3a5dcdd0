package e2e

import (
	"cmp"
	"slices"
	"testing"
	"time"

	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/internal/node"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/ordering/fair"
)

// A chain with the second rule: what was sent to different members, apart by more than relaying takes, is executed in this
// order, also while a member is down; every node tells the times because of which, and the audit recomputes them.
func TestExecutedByTime(t *testing.T) {
	n := open(t, 2*time.Minute, func(*node.Config) {}, func(g *ordering.Genesis) { g.Params.Order.Rule = fair.ReceiveTime })
	for _, member := range n.Nodes {
		n.must(member.Start())
	}
	n.must(n.WaitReady(n.ctx))
	n.openWallet()
	victim := n.Nodes[3]
	const apart = 250 * time.Millisecond // far more than until all have written it to their logs, on one machine with one clock
	for i := range 9 {
		if i == 5 {
			victim.Kill()
		}
		n.sendTo([]int{0, 1, 2, 3, 0, 1, 2, 0, 1}[i], n.seal(payload(100)))
		time.Sleep(apart)
	}
	for range 6 { // in one moment: times, and the beacon where they are equal
		n.send(n.seal(payload(100)))
	}
	n.allOpened()
	n.sameBatches()
	n.must(victim.Start()) // it replays what it has missed, and agrees
	n.must(victim.WaitReady(n.ctx))

	type place struct {
		height, place, time uint64
		id                  string
	}
	var places []place
	for _, tx := range n.sent {
		id := tx.sealed.ID()
		got := n.final(3, id)
		why, err := n.Nodes[3].Client.Order(n.ctx, v1.HexOf(id[:]), nil)
		n.must(err)
		if why.State != v1.OrderOrdered || why.Time == nil || why.Place == nil || len(why.Logs) != 4 {
			t.Fatalf("%+v", why)
		}
		places = append(places, place{*got.Height, uint64(*got.Place), uint64(why.Time.UnixMilli()), got.ID.String()})
	}
	executed := slices.Clone(places)
	slices.SortFunc(executed, func(a, b place) int { return cmp.Or(cmp.Compare(a.height, b.height), cmp.Compare(a.place, b.place)) })
	for i := range 9 {
		if executed[i] != places[i] {
			t.Errorf("sent as number %d: %+v, executed there: %+v", i+1, places[i], executed[i])
		}
	}
	for i := range executed[1:] {
		if a, b := executed[i], executed[i+1]; a.time > b.time {
			t.Errorf("%+v is executed before %+v", a, b)
		}
	}
	a, b := n.sent[0].sealed.ID(), n.sent[1].sealed.ID()
	why, err := n.Nodes[0].Client.Order(n.ctx, v1.HexOf(b[:]), v1.HexOf(a[:]))
	n.must(err)
	if why.Other == nil || why.Other.First.String() != v1.HexOf(a[:]).String() || !slices.Contains([]string{"blocks", "frames", "times"}, why.Other.Reason) {
		t.Errorf("%+v", why.Other)
	}
	n.audited(0)
	n.audited(3)
}
