package node

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/internal/pg"
	"github.com/scrimlabs/scrim/internal/pg/pgtest"
	"github.com/scrimlabs/scrim/internal/sim"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/threshold"
)

// bus connects the openers of a committee, as the p2p channel does. It keeps all that was
// sent, in order.
type bus struct {
	mu      sync.Mutex
	openers map[uint32]*opener
	names   map[uint32]ed25519.PublicKey
	sent    map[uint32][][]byte // by sender
	cut     bool                // nothing is delivered
	failed  []error
}

// port is one member's end of the bus.
type port struct {
	bus    *bus
	member uint32
}

func (p port) Broadcast(m []byte) {
	p.bus.mu.Lock()
	p.bus.sent[p.member] = append(p.bus.sent[p.member], m)
	p.bus.mu.Unlock()
	for to := range p.bus.openers {
		p.deliver(to, m)
	}
}

func (p port) Send(to ed25519.PublicKey, m []byte) bool {
	for member, name := range p.bus.names {
		if name.Equal(to) {
			return p.deliver(member, m)
		}
	}
	return false
}

func (p port) deliver(to uint32, m []byte) bool {
	p.bus.mu.Lock()
	cut, o := p.bus.cut, p.bus.openers[to]
	p.bus.mu.Unlock()
	if cut || to == p.member || o == nil {
		return false
	}
	go func() { // the real channel does not call back into the sender either
		if err := o.Receive(p.bus.names[p.member], m); err != nil {
			p.bus.mu.Lock()
			p.bus.failed = append(p.bus.failed, err)
			p.bus.mu.Unlock()
		}
	}()
	return true
}

func (b *bus) shares(member uint32) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.sent[member] {
		if m[0] == messageShare {
			n++
		}
	}
	return n
}

// committee is four openers over a simulated chain, each with its own database.
type committee struct {
	*sim.Chain
	t       *testing.T
	bus     *bus
	people  []*keygen.MemberSecret // everybody, in the order of joining
	openers []*opener              // of people[i]
	stores  []*pg.Store
	urls    []string // of the stores at joining
	stored  int      // blocks that are in the stores
}

func newCommittee(t *testing.T) *committee {
	t.Helper()
	c := &committee{Chain: sim.New(t, 4, ordering.DefaultParams()).Ceremony(), t: t}
	c.bus = &bus{openers: make(map[uint32]*opener), names: make(map[uint32]ed25519.PublicKey), sent: make(map[uint32][][]byte)}
	for i, secret := range c.Secrets {
		c.join(secret).setShare(1, c.Shares[i])
	}
	return c
}

// join adds the opener of one more member, with a database that has all blocks so far.
func (c *committee) join(secret *keygen.MemberSecret) *opener {
	c.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c.t.Cleanup(cancel)
	url := pgtest.New(c.t)
	store, err := pg.Open(ctx, url)
	c.Must(err)
	c.t.Cleanup(store.Close)
	snapshot, err := c.Initial.Snapshot()
	c.Must(err)
	c.Must(store.InitChain(ctx, pg.Chain{ChainID: sim.ChainID, AppHash: c.Initial.AppHash(), Snapshot: snapshot}))
	for _, r := range c.Results[:c.stored] {
		c.Must(store.CommitBlock(ctx, r))
	}
	o := newOpener()
	o.chainID, o.identity, o.maxBatch = sim.ChainID, secret.Identity(), 256
	member := uint32(len(c.openers) + 1)
	o.guard, o.evidence, o.net, o.verifier = store, store, port{c.bus, member}, ordering.NewVerifier(1<<20)
	o.metrics, o.log = newMetrics(prometheus.NewRegistry()), slog.New(slog.DiscardHandler)
	o.setActive(true)
	o.committed(c.State)
	c.openers, c.stores, c.people = append(c.openers, o), append(c.stores, store), append(c.people, secret)
	c.urls = append(c.urls, url)
	c.bus.openers[member], c.bus.names[member] = o, secret.Identity().Public().(ed25519.PublicKey)
	return o
}

// identity is that of a member, or of a stranger.
func (c *committee) identity(member uint32) ed25519.PublicKey {
	if int(member) > len(c.people) {
		return make(ed25519.PublicKey, ed25519.PublicKeySize)
	}
	return c.people[member-1].Identity().Public().(ed25519.PublicKey)
}

// run lets the openers work until the test ends.
func (c *committee) run() *committee {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, o := range c.openers {
		wg.Go(func() { o.run(ctx) })
	}
	c.t.Cleanup(func() { cancel(); wg.Wait() })
	return c
}

// durable commits the chain's new blocks to all databases.
func (c *committee) durable() {
	c.t.Helper()
	for ; c.stored < len(c.Results); c.stored++ {
		for _, store := range c.stores {
			c.Must(store.CommitBlock(context.Background(), c.Results[c.stored]))
		}
	}
}

// committed is what follows when all nodes have committed the chain's new blocks.
func (c *committee) committed() {
	c.t.Helper()
	c.durable()
	for _, o := range c.openers {
		o.committed(c.State)
	}
}

// opened waits until the opener has opened all pending batches.
func (c *committee) opened(o *opener) []ordering.BatchOpenings {
	c.t.Helper()
	for range 500 {
		if got := o.openings(c.State); len(got) == len(c.State.Pending()) {
			return got
		}
		time.Sleep(10 * time.Millisecond)
	}
	c.t.Fatal("not opened")
	return nil
}

func TestCommitteeOpensCommittedBatches(t *testing.T) {
	c := newCommittee(t).run()
	for round := range 3 {
		c.Block(ordering.Proposal{Txs: c.SealTxs("a", fmt.Sprint(round))})
		c.committed()
		for _, o := range c.openers {
			c.opened(o)
		}
		c.Block(ordering.Proposal{Openings: c.openers[round].openings(c.State)})
		c.committed()
	}
	for i, o := range c.openers {
		if len(o.batches) != 0 {
			t.Errorf("member %d still keeps %d batches", i+1, len(o.batches))
		}
	}
	if len(c.bus.failed) != 0 {
		t.Errorf("honest messages refused: %v", c.bus.failed)
	}
}

// refusingGuard never gets its record written.
type refusingGuard struct{ *pg.Store }

func (refusingGuard) RecordShare(context.Context, uint64, uint64, commitreveal.Hash) error {
	return errors.New("disk full")
}

func TestNoShareLeavesWithoutTheGuardsRecord(t *testing.T) {
	c := newCommittee(t)
	c.openers[0].guard = refusingGuard{c.stores[0]}
	// Member 2's database lacks the block, so that its guard refuses.
	c.stores[1] = c.stores[0]
	c.Block(ordering.Proposal{Txs: c.SealTxs("x")})
	c.run()
	c.committed()
	time.Sleep(3 * askAfter)
	for member, want := range map[uint32]int{1: 0, 2: 0, 3: 1, 4: 1} {
		if got := c.bus.shares(member); got != want {
			t.Errorf("member %d sent %d shares, want %d", member, got, want)
		}
	}
	if len(c.openers[2].openings(c.State)) != 0 {
		t.Error("opened with two shares")
	}
}

func TestNoShareWhileCatchingUp(t *testing.T) {
	c := newCommittee(t)
	c.openers[0].setActive(false)
	c.run()
	c.Block(ordering.Proposal{Txs: c.SealTxs("x")})
	c.committed()
	c.opened(c.openers[0]) // the others' shares are enough
	if got := c.bus.shares(1); got != 0 {
		t.Errorf("sent %d shares", got)
	}
	c.openers[0].setActive(true)
	for range 100 {
		if c.bus.shares(1) == 1 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("no share after it has caught up")
}

// wrongSecret makes shares with another secret than the committee expects.
type wrongSecret struct{ sharer }

func (w wrongSecret) ShareBatch(batch []*threshold.Checked) (*threshold.BatchShare, error) {
	s, err := threshold.NewSecretShare(w.Member(), &[32]byte{31: 9})
	if err != nil {
		return nil, err
	}
	return s.ShareBatch(batch)
}

// wrongSigner signs something else than the checkpoint.
type wrongSigner struct{ sharer }

func (w wrongSigner) Sign([]byte) (threshold.SignatureShare, error) {
	return w.sharer.Sign([]byte("something else"))
}

func TestBadShareIsBlamedAndKept(t *testing.T) {
	for name, wrap := range map[string]func(sharer) sharer{
		"decryption share": func(s sharer) sharer { return wrongSecret{s} },
		"signature share":  func(s sharer) sharer { return wrongSigner{s} },
	} {
		t.Run(name, func(t *testing.T) {
			c := newCommittee(t)
			c.openers[1].setShare(1, wrap(c.Shares[1]))
			c.Block(ordering.Proposal{Txs: c.SealTxs("x", "y")})
			c.committed()
			// Member 2's share is at member 1 before the honest ones.
			c.openers[1].once(context.Background())
			for range 100 {
				c.openers[0].mu.Lock()
				there := len(c.openers[0].batches[c.State.Height()].shares)
				c.openers[0].mu.Unlock()
				if there == 1 {
					break
				}
				time.Sleep(5 * time.Millisecond)
			}
			c.run()
			openings := c.opened(c.openers[0])
			c.Block(ordering.Proposal{Openings: openings})
			evidence, err := c.stores[0].Evidence(context.Background(), 0, 10)
			c.Must(err)
			if len(evidence) != 1 || evidence[0].Member != 2 {
				t.Fatalf("evidence %+v", evidence)
			}
			proof, err := commitreveal.ParseEvidence(evidence[0].Body)
			c.Must(err)
			c.Must(proof.Verify(c.State.Committee(), c.Genesis.Terms.Members[1].Identity))
		})
	}
}

func TestReceiveRefuses(t *testing.T) {
	c := newCommittee(t)
	c.Block(ordering.Proposal{Txs: c.SealTxs("x")})
	c.committed()
	c.bus.cut = true
	for _, o := range c.openers {
		o.once(context.Background())
	}
	own := c.bus.sent[2][0]
	flipped := append([]byte(nil), own...)
	flipped[len(flipped)-1] ^= 1
	o := c.openers[0]
	for _, test := range []struct {
		name    string
		member  uint32
		message []byte
		ok      bool
	}{
		{"empty", 2, nil, false},
		{"unknown kind", 2, []byte{9, 1}, false},
		{"short request", 2, []byte{messageRequest, 1}, false},
		{"request for an unknown height", 2, []byte{messageRequest, 0, 0, 0, 0, 0, 0, 0, 200}, true},
		{"share cut short", 2, own[:len(own)-1], false},
		{"share with trailing bytes", 2, append(append([]byte(nil), own...), 0), false},
		{"another member's share", 3, own, false},
		{"no such member", 9, own, false},
		{"signature flipped", 2, flipped, false},
		{"good", 2, own, true},
		{"again", 2, own, true},
		{"again, flipped", 2, flipped, true}, // not looked at any more
	} {
		if err := o.Receive(c.identity(test.member), test.message); (err == nil) != test.ok {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	if n := len(o.batches[c.State.Height()].shares); n != 2 {
		t.Errorf("%d shares kept, want its own and member 2's", n)
	}
}

// A share may come before the node has committed its batch, but not from far ahead, and
// it counts only if the batch is then the same.
func TestEarlyShares(t *testing.T) {
	c := newCommittee(t)
	late := c.openers[0]
	late.committed(c.State)
	before := c.State
	c.bus.cut = true
	c.Block(ordering.Proposal{Txs: c.SealTxs("x")})
	c.durable()
	for _, o := range c.openers[1:] {
		o.committed(c.State)
		o.once(context.Background())
	}
	height := c.State.Height()
	c.Must(late.Receive(c.identity(2), c.bus.sent[2][0]))
	// Member 3 claims another batch for the same height.
	m, err := commitreveal.ParseShareMessage(c.bus.sent[3][0][1:], 256)
	c.Must(err)
	m.Root = commitreveal.Hash{7}
	c.Must(m.Sign(c.Secrets[2].Identity()))
	wire, err := m.MarshalBinary()
	c.Must(err)
	c.Must(late.Receive(c.identity(3), append([]byte{messageShare}, wire...)))
	// Member 4 is far ahead.
	m.Height, m.Share.Member, m.Signature.Member = height+earlyHeights+1, 4, 4
	c.Must(m.Sign(c.Secrets[3].Identity()))
	wire, err = m.MarshalBinary()
	c.Must(err)
	c.Must(late.Receive(c.identity(4), append([]byte{messageShare}, wire...)))
	if len(late.batches) != 1 || len(late.batches[height].early) != 2 {
		t.Fatalf("kept %d batches", len(late.batches))
	}
	late.committed(c.State)
	if got := late.batches[height].shares; len(got) != 1 || got[2] == nil {
		t.Errorf("kept %v after the commit", got)
	}
	if before.Height()+1 != height {
		t.Fatal("test is wrong")
	}
}

// A member that signs shares of two batches for one height is held to both.
func TestConflictingSharesAreEvidence(t *testing.T) {
	for _, early := range []bool{true, false} {
		t.Run(fmt.Sprintf("other share first %v", early), func(t *testing.T) {
			c := newCommittee(t)
			o := c.openers[0]
			o.committed(c.State)
			c.bus.cut = true
			c.Block(ordering.Proposal{Txs: c.SealTxs("x")})
			c.durable()
			c.openers[1].committed(c.State)
			c.openers[1].once(context.Background())
			right := c.bus.sent[2][0]
			m, err := commitreveal.ParseShareMessage(right[1:], 256)
			c.Must(err)
			m.Root = commitreveal.Hash{7}
			c.Must(m.Sign(c.Secrets[1].Identity()))
			wire, err := m.MarshalBinary()
			c.Must(err)
			other := append([]byte{messageShare}, wire...)
			if early {
				c.Must(o.Receive(c.identity(2), other))
				o.committed(c.State)
				c.Must(o.Receive(c.identity(2), right))
			} else {
				o.committed(c.State)
				c.Must(o.Receive(c.identity(2), right))
				c.Must(o.Receive(c.identity(2), other))
			}
			c.Must(o.Receive(c.identity(2), other)) // once is enough
			o.keepProven(context.Background())
			evidence, err := c.stores[0].Evidence(context.Background(), 0, 10)
			c.Must(err)
			if len(evidence) != 1 || evidence[0].Member != 2 || evidence[0].Kind != "conflicting_shares" {
				t.Fatalf("evidence %+v", evidence)
			}
			proof, err := commitreveal.ParseEvidence(evidence[0].Body)
			c.Must(err)
			c.Must(proof.Verify(c.State.Committee(), c.Genesis.Terms.Members[1].Identity))
			if got := o.batches[c.State.Height()].shares[2]; got == nil || got.Root != c.State.Pending()[0].Batch.Root {
				t.Error("the right share is not used any more")
			}
		})
	}
}

// What was sent before a connection broke is sent again when it is back.
func TestPeerThatComesBackGetsShares(t *testing.T) {
	c := newCommittee(t)
	c.bus.cut = true
	c.Block(ordering.Proposal{Txs: c.SealTxs("x")})
	c.committed()
	for _, o := range c.openers {
		o.once(context.Background())
	}
	c.bus.mu.Lock()
	c.bus.cut = false
	c.bus.mu.Unlock()
	c.openers[1].PeerUp(c.identity(1))
	c.openers[2].PeerUp(c.identity(1))
	c.run()
	c.opened(c.openers[0])
	// The others ask for what they miss.
	c.opened(c.openers[3])
}
