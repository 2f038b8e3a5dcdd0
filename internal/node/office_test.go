package node

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/ordering"
)

// wiped is a share that tells when it is overwritten.
type wiped struct {
	sharer
	gone *atomic.Bool
}

func (w wiped) Wipe() { w.gone.Store(true) }

// succeeded is a committee whose key was handed over, from members 1 to 4 to members 2, 3, 4
// and 5, while a batch of the first was open.
func succeeded(t *testing.T) (*committee, *atomic.Bool) {
	t.Helper()
	c := newCommittee(t)
	gone := new(atomic.Bool)
	c.openers[0].setShare(1, wiped{c.Shares[0], gone})
	c.Block(ordering.Proposal{Txs: c.SealTxs("for the first")})
	c.durable()
	newcomer := c.Newcomers(1)
	c.join(newcomer[0])
	c.Reshare(3, append(c.people[1:4:4], newcomer...)...)
	c.durable()
	return c, gone
}

// take gives the new members their shares, and everybody the state.
func (c *committee) take() {
	for j, share := range c.EpochShares(2) {
		c.openers[j+1].setShare(2, share)
	}
	c.committed()
}

// Batches of two epochs are open at once. Each is opened by its own committee, by those that
// left it too, and nobody else shares.
func TestTwoEpochsAtOnce(t *testing.T) {
	c, gone := succeeded(t)
	c.take()
	c.run()
	for _, o := range c.openers {
		if got := c.opened(o); len(got) != 1 {
			t.Fatalf("%d batches", len(got))
		}
	}
	if c.bus.shares(1) != 1 || c.bus.shares(5) != 0 {
		t.Errorf("member 1 sent %d shares of the first committee's batch, member 5 %d", c.bus.shares(1), c.bus.shares(5))
	}
	c.Block(ordering.Proposal{Txs: c.SealTxs("for the second")})
	c.committed()
	for _, o := range c.openers {
		if got := c.opened(o); len(got) != 2 {
			t.Fatalf("%d batches", len(got))
		}
	}
	if c.bus.shares(1) != 1 || c.bus.shares(5) != 1 {
		t.Errorf("member 1 sent %d shares in all, member 5 %d", c.bus.shares(1), c.bus.shares(5))
	}
	if gone.Load() {
		t.Error("the old share was overwritten while it was needed")
	}
	if !c.openers[0].hasShare(1) || c.openers[0].hasShare(2) || c.openers[4].hasShare(1) || !c.openers[4].hasShare(2) {
		t.Error("who has which share")
	}
	c.Block(ordering.Proposal{Openings: c.openers[4].openings(c.State)})
	c.committed()
	for i, o := range c.openers {
		if len(o.batches) != 0 || len(o.offices) != 1 {
			t.Errorf("member %d keeps %d batches of %d committees", i+1, len(o.batches), len(o.offices))
		}
	}
	for range 100 {
		if gone.Load() {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if !gone.Load() {
		t.Error("the old share is still in memory")
	}
	if len(c.bus.failed) != 0 {
		t.Errorf("honest messages refused: %v", c.bus.failed)
	}
	for i, store := range c.stores { // the guard has an epoch for each height
		if err := store.RecordShare(t.Context(), 2, c.Results[len(c.Results)-2].Height, c.State.Log().Root()); err == nil {
			t.Errorf("member %d's guard takes another root", i+1)
		}
	}
}

// A node that comes to an activation from behind shares nothing until it has caught up, and
// then each batch with the share of its epoch.
func TestCatchingUpOverAnActivation(t *testing.T) {
	c, _ := succeeded(t)
	o := c.openers[1] // in both committees
	o.setActive(false)
	c.Block(ordering.Proposal{Txs: c.SealTxs("for the second")})
	c.durable()
	c.take()
	c.bus.cut = true
	for range 4 {
		if o.once(t.Context()) {
			t.Fatal("it worked")
		}
	}
	if n := c.bus.shares(2); n != 0 {
		t.Fatalf("%d shares left", n)
	}
	o.setActive(true)
	for range 4 {
		o.once(t.Context())
	}
	epochs := map[uint64]uint32{}
	for _, wire := range c.bus.sent[2] {
		m, err := commitreveal.ParseShareMessage(wire[1:], 256)
		c.Must(err)
		epochs[m.Epoch] = m.Share.Member
		c.Must(m.Verify(c.identity(2)))
	}
	if len(epochs) != 2 || epochs[1] != 2 || epochs[2] != 1 {
		t.Errorf("it shared as member %v, by epoch", epochs)
	}
}

// The share may come before the block that needs it is taken over, and one for a committee
// that is over is not kept.
func TestShareBeforeItsCommittee(t *testing.T) {
	c, _ := succeeded(t)
	o := c.openers[4]
	share := c.EpochShares(2)[3]
	o.setShare(2, share)
	if o.hasShare(2) {
		t.Error("there is no such committee yet")
	}
	c.committed()
	if !o.hasShare(2) {
		t.Error("the share is lost")
	}
	c.Block(ordering.Proposal{Openings: c.OpenAll()})
	c.committed()
	gone := new(atomic.Bool)
	o.setShare(1, wiped{c.EpochShares(1)[0], gone})
	c.Block(ordering.Proposal{})
	c.committed()
	o.wipeFormer()
	if !gone.Load() || len(o.given) > 0 {
		t.Error("a share that came too late is kept")
	}
}

// A member's number is another in each epoch. A share counts for the epoch that it names,
// and only if it is its sender's there.
func TestSharesOfTwoEpochs(t *testing.T) {
	c, _ := succeeded(t)
	c.take()
	c.bus.cut = true
	c.Block(ordering.Proposal{Txs: c.SealTxs("for the second")})
	c.durable()
	c.openers[1].committed(c.State)
	for range 3 {
		c.openers[1].once(t.Context())
	}
	var first, second *commitreveal.ShareMessage
	for _, wire := range c.bus.sent[2] {
		m, err := commitreveal.ParseShareMessage(wire[1:], 256)
		c.Must(err)
		if m.Epoch == 1 {
			first = m
		} else {
			second = m
		}
	}
	o := c.openers[2]
	send := func(who uint32, change func(*commitreveal.ShareMessage), m commitreveal.ShareMessage) error {
		t.Helper()
		change(&m)
		c.Must(m.Sign(c.people[who-1].Identity()))
		wire, err := m.MarshalBinary()
		c.Must(err)
		return o.Receive(c.identity(who), append([]byte{messageShare}, wire...))
	}
	same := func(*commitreveal.ShareMessage) {}
	as := func(member uint32) func(*commitreveal.ShareMessage) {
		return func(m *commitreveal.ShareMessage) { m.Share.Member, m.Signature.Member = member, member }
	}
	if err := send(2, as(2), *second); !errors.Is(err, errPeerSender) { // it is member 1 there
		t.Errorf("with its old number: %v", err)
	}
	if err := send(1, as(1), *second); !errors.Is(err, errPeerSender) {
		t.Errorf("of one that left: %v", err)
	}
	if err := send(5, as(4), *first); !errors.Is(err, errPeerSender) {
		t.Errorf("of one that had not joined: %v", err)
	}
	if err := send(2, func(m *commitreveal.ShareMessage) { m.Epoch = 9 }, *second); err != nil { // nobody's fault
		t.Errorf("of an unknown epoch: %v", err)
	}
	// The batch of the second epoch is not known here yet: both epochs' early shares are kept apart.
	c.Must(send(2, same, *second))
	c.Must(send(3, func(m *commitreveal.ShareMessage) { m.Height = second.Height; as(3)(m) }, *first))
	c.Must(send(1, func(m *commitreveal.ShareMessage) { m.Height = second.Height; as(1)(m) }, *first)) // has number 1 in epoch 1
	p := o.batches[second.Height]
	if len(p.early) != 3 || p.early[speaker{2, 1}] == nil || p.early[speaker{1, 1}] == nil {
		t.Errorf("kept %v", p.early)
	}
	o.committed(c.State)
	if len(p.shares) != 1 || p.shares[1] == nil || p.shares[1].Epoch != 2 || len(p.odd) > 0 || p.early != nil {
		t.Errorf("after the commit: %d shares, %d odd", len(p.shares), len(p.odd))
	}
	c.Must(send(2, same, *first))
	if got := o.batches[first.Height].shares[2]; got == nil || got.Epoch != 1 {
		t.Error("the share of the first epoch's batch is not taken")
	}
}

// Evidence names the epoch in which its member counts.
func TestEvidenceHasItsEpoch(t *testing.T) {
	c, _ := succeeded(t)
	c.Block(ordering.Proposal{Openings: c.OpenAll()})
	c.Block(ordering.Proposal{Txs: c.SealTxs("x")})
	c.durable()
	for j, share := range c.EpochShares(2) {
		s := sharer(share)
		if j == 0 {
			s = wrongSecret{s}
		}
		c.openers[j+1].setShare(2, s)
	}
	c.committed()
	c.openers[1].once(context.Background()) // its share is there before the honest ones
	for range 100 {
		c.openers[4].mu.Lock()
		there := len(c.openers[4].batches[c.State.Height()].shares)
		c.openers[4].mu.Unlock()
		if there == 1 {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	c.run()
	c.opened(c.openers[4])
	evidence, err := c.stores[4].Evidence(t.Context(), 0, 10)
	c.Must(err)
	if len(evidence) != 1 || evidence[0].Member != 1 || evidence[0].Epoch != 2 {
		t.Fatalf("evidence %+v", evidence)
	}
	proof, err := commitreveal.ParseEvidence(evidence[0].Body)
	c.Must(err)
	c.Must(proof.Verify(c.State.Committee(), c.identity(2)))
}

// One that is in no committee asks nobody: the others need not know it.
func TestFollowersDoNotAsk(t *testing.T) {
	c, _ := succeeded(t)
	follower := c.join(c.Newcomers(1)[0])
	c.take()
	follower.committed(c.State)
	time.Sleep(askAfter + 10*time.Millisecond)
	follower.ask()
	c.openers[4].ask() // in office, although not in the committee whose batch it is
	if len(c.bus.sent[6]) != 0 || len(c.bus.sent[5]) != 1 {
		t.Errorf("the follower asked %d times, the member %d times", len(c.bus.sent[6]), len(c.bus.sent[5]))
	}
}

// The overlap of a rotation: a batch that is sealed to the old key, after the new committee
// came, is the old one's to open.
func TestOverlap(t *testing.T) {
	c := newCommittee(t)
	old := c.State.Committee().Key
	var secrets []*keygen.MemberSecret
	secrets = append(secrets, c.people[:3]...)
	c.Rotate(10, 2, secrets...)
	for j, share := range c.EpochShares(2) {
		c.openers[j].setShare(2, share)
	}
	c.committed()
	c.run()
	ct := c.SealTo(old, "late", c.State.Height()+3)
	c.Block(ordering.Proposal{Txs: [][]byte{ordering.CiphertextTx(ct.Bytes())}})
	if got := c.State.Pending()[0].Batch.Epoch; got != 1 {
		t.Fatalf("a batch of epoch %d", got)
	}
	c.Block(ordering.Proposal{Txs: c.SealTxs("new")})
	c.committed()
	for _, o := range c.openers {
		c.opened(o)
	}
	if n := c.bus.shares(4); n != 1 {
		t.Errorf("the member that left sent %d shares", n)
	}
}
