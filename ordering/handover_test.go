package ordering_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/scrimlabs/scrim/internal/sim"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/ordering/fair"
)

// Members that stay take their logs with them, those that come back go on where they were; what was received before the change is
// ordered after it, in the order in which it was received; and whoever restarts or audits finds the same.
func TestLogsAcrossCommittees(t *testing.T) { under(t, logsAcrossCommittees) }

func logsAcrossCommittees(t *testing.T, params ordering.Params) {
	c := sim.New(t, 4, params).Ceremony()
	first := c.Secrets
	c.Block(ordering.Proposal{Txs: c.SealTxs("before")})
	c.Block(ordering.Proposal{Openings: c.OpenAll()})
	before, _ := c.State.CommittedLog(first[3].Member("").Identity)

	// Two members hold these when the committee changes: not enough.
	early := c.SealTxs("one", "two")
	c.Receive(1, early...)
	c.Receive(2, early...)
	c.Block(ordering.Proposal{Announcements: c.Announce(1, 2, 3)})
	members := append(slices.Clone(first[:3]), c.Newcomers(2)...)
	terms := c.Reshare(4, members...)
	_ = terms
	if got, live := c.State.CommittedLog(first[3].Member("").Identity); got.Sequence != 1 || got != before || live != 0 {
		t.Errorf("who left is at %+v, %d live", got, live)
	}
	if got, live := c.State.CommittedLog(first[0].Member("").Identity); got.Sequence != 3 || live != 2 {
		t.Errorf("who stayed is at %d with %d live", got.Sequence, live)
	}
	for m := 3; m <= 5; m++ { // they hear of it from the mempool
		c.Receive(m, early...)
	}
	r := c.Block(ordering.Proposal{Announcements: c.Announce()})
	if r.Batch == nil || len(r.Batch.Ciphertexts) != 2 || r.Batch.Batch.Epoch != 2 {
		t.Fatalf("batch %+v", r.Batch)
	}
	var order [][]byte
	r = c.Block(ordering.Proposal{Openings: c.OpenAll()})
	for _, v := range r.Reveals {
		for _, id := range v.Order {
			order = append(order, id[:])
		}
	}
	a, b := sim.IDOf(early[0]), sim.IDOf(early[1])
	if diff := cmp.Diff([][]byte{a[:], b[:]}, order); diff != "" {
		t.Errorf("-received +executed:\n%s", diff)
	}

	// The one that left comes back, and goes on.
	c.Reshare(3, first...)
	c.Block(ordering.Proposal{Txs: c.SealTxs("after")})
	if got, _ := c.State.CommittedLog(first[3].Member("").Identity); got.Sequence != 2 {
		t.Errorf("who came back is at %d", got.Sequence)
	}
	c.Block(ordering.Proposal{Openings: c.OpenAll()})

	// Old and new key in one order: the blocks take turns.
	old := c.State.Committee().Key
	c.Rotate(6, 3, c.Secrets...)
	mixed := [][]byte{
		c.SealTxs("new 1")[0], ordering.CiphertextTx(c.SealTo(old, "old 2", c.State.Height()+5).Bytes()),
		ordering.CiphertextTx(c.SealTo(old, "old 3", c.State.Height()+5).Bytes()), c.SealTxs("new 4")[0],
	}
	for m := range c.Secrets {
		c.Receive(m+1, mixed...)
	}
	var executed [][]byte
	for range 8 {
		r := c.Block(ordering.Proposal{Openings: c.OpenAll(), Announcements: c.Announce()})
		for _, v := range r.Reveals {
			for _, id := range v.Order {
				executed = append(executed, id[:])
			}
		}
	}
	var want [][]byte
	for _, tx := range mixed {
		id := sim.IDOf(tx)
		want = append(want, id[:])
	}
	if diff := cmp.Diff(want, executed); diff != "" {
		t.Errorf("-received +executed:\n%s", diff)
	}

	s, err := ordering.New(c.Genesis)
	c.Must(err)
	w := sim.NewRows()
	for i, b := range c.Blocks {
		_, r, err := ordering.Step(s, c.Verifier, b)
		c.Must(err)
		w.Add(r)
		if s, err = ordering.Restore(c.Genesis, r.Snapshot, w.Restore()); err != nil {
			t.Fatalf("height %d: %v", b.Height, err)
		}
		if s.AppHash() != c.Results[i].AppHash {
			t.Fatalf("height %d: another app hash", b.Height)
		}
	}
}

// A section is the word of the committee in office before the block, whatever the block changes.
func TestSectionOfAFormerCommittee(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams()).Ceremony()
	txs := c.SealTxs("x")
	for m := range c.Secrets {
		c.Receive(m+1, txs...)
	}
	former := c.Announce()
	c.Reshare(3, c.Newcomers(4)...)
	section := fair.Section{Height: c.State.Height() + 1}
	for _, a := range former {
		entry := *a
		entry.Statement.Height = c.State.Height()
		section.Entries = append(section.Entries, entry)
	}
	wire, err := section.MarshalBinary()
	c.Must(err)
	if err := ordering.Check(c.State, c.Verifier, ordering.Block{Height: c.State.Height() + 1, Txs: [][]byte{ordering.SectionTx(wire)}}); err == nil {
		t.Error("statements of former members are accepted")
	}
}
