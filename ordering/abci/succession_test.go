package abci

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	abcitypes "github.com/cometbft/cometbft/abci/types"
	cmted25519 "github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/p2p"
	"github.com/google/go-cmp/cmp"

	"github.com/scrimlabs/scrim/internal/sim"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/ordering/fair"
	"github.com/scrimlabs/scrim/threshold"
)

// The block that puts a committee in office tells CometBFT who votes from then on, the same
// whether its proposal was judged before or not, and every other block says nothing.
func TestValidatorUpdates(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams()).Ceremony()
	before := c.Secrets
	joining := c.Newcomers(2)
	c.Reshare(4, append(slices.Clone(before[1:]), joining...)...)
	state := c.Initial
	updates := 0
	for _, b := range c.Blocks {
		var answers [][]byte
		for _, judged := range []bool{false, true} {
			a := &app{engine: &memory{}, verifier: c.Verifier, reactor: newReactor(membersOf(state, nil), &memory{}, 1)}
			a.state.Store(state)
			if judged {
				if r, err := a.ProcessProposal(context.Background(), &abcitypes.RequestProcessProposal{Height: int64(b.Height), Txs: b.Txs, Hash: []byte("h")}); err != nil || r.Status != abcitypes.ResponseProcessProposal_ACCEPT {
					t.Fatal(r, err)
				}
			}
			r, err := a.FinalizeBlock(context.Background(), &abcitypes.RequestFinalizeBlock{Height: int64(b.Height), Txs: b.Txs, Hash: []byte("h")})
			if err != nil {
				t.Fatal(err)
			}
			wire, err := r.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			answers = append(answers, wire)
			if judged {
				if b.Height == c.State.Office().Since {
					var want []abcitypes.ValidatorUpdate
					for _, s := range joining {
						want = append(want, abcitypes.Ed25519ValidatorUpdate(s.Member("").Validator, 10))
					}
					want = append(want, abcitypes.Ed25519ValidatorUpdate(before[0].Member("").Validator, 0))
					text := func(updates []abcitypes.ValidatorUpdate) (out []string) {
						for _, u := range updates {
							out = append(out, u.String())
						}
						return out
					}
					if diff := cmp.Diff(text(want), text(r.ValidatorUpdates)); diff != "" {
						t.Error(diff)
					}
				}
				updates += len(r.ValidatorUpdates)
				if _, err := a.Commit(context.Background(), nil); err != nil {
					t.Fatal(err)
				}
				state = a.state.Load()
			}
		}
		if !bytes.Equal(answers[0], answers[1]) {
			t.Errorf("height %d: the answer depends on whether the proposal was judged", b.Height)
		}
	}
	if updates != 3 || state.AppHash() != c.State.AppHash() {
		t.Errorf("%d updates", updates)
	}
}

// Who may connect: the nodes of those who are, were or may come to be in office, and what the
// operator named.
func TestWhoMayConnect(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams()).Ceremony()
	before := c.Secrets
	joining := c.Newcomers(1)
	members := append(slices.Clone(before[1:]), joining...)
	named := p2p.ID(strings.Repeat("ab", 20))
	m := &memory{}
	r := newReactor(membersOf(c.State, map[p2p.ID]bool{named: true}), m, 1)
	a := &app{reactor: r, peers: map[p2p.ID]bool{named: true}}
	allowed := func(id p2p.ID) bool {
		r.pace = pace{}
		q, err := a.Query(context.Background(), &abcitypes.RequestQuery{Path: "/p2p/filter/id/" + string(id)})
		if err != nil {
			t.Fatal(err)
		}
		return q.Code == 0
	}
	node := func(s *keygen.MemberSecret) p2p.ID { return p2p.ID(NodeID(s.Member("").Node)) }
	check := func(when string, newcomer bool) {
		t.Helper()
		r.learn(membersOf(c.State, a.peers))
		for i, s := range before {
			if !allowed(node(s)) || !r.members.Load().identity(node(s)).Equal(s.Member("").Identity) {
				t.Errorf("%s: member %d may not connect", when, i+1)
			}
		}
		if allowed(node(joining[0])) != newcomer {
			t.Errorf("%s: newcomer allowed: %v", when, !newcomer)
		}
		if !allowed(named) || r.members.Load().identity(named) != nil || allowed(p2p.ID(strings.Repeat("cd", 20))) || allowed("") {
			t.Errorf("%s: others", when)
		}
	}
	check("before", false)
	c.Propose(before[0], c.Next(keygen.ChangeReshare, 3, members...), members...)
	check("proposed", true)
	c.Agreed().Ceremony()
	check("in office", true)
	c.Reshare(3, before[1:]...)
	r.learn(membersOf(c.State, a.peers))
	if !allowed(node(joining[0])) || r.members.Load().identity(node(joining[0])) == nil || !allowed(node(before[0])) {
		t.Error("who has just handed over may not connect")
	}
	c.Reshare(3, before[1:]...)
	r.learn(membersOf(c.State, a.peers))
	if allowed(node(joining[0])) {
		t.Error("who handed over long ago may connect")
	}
	if !allowed(node(before[0])) || r.members.Load().identity(node(before[0])) != nil {
		t.Error("a member of the genesis that has left long ago may follow the chain, but is not heard")
	}
	if q, err := a.Query(context.Background(), &abcitypes.RequestQuery{Path: "/p2p/filter/addr/1.2.3.4:5"}); err != nil || q.Code != 0 {
		t.Error("addresses are not what counts")
	}
	if q, err := a.Query(context.Background(), &abcitypes.RequestQuery{Path: "/store"}); err != nil || q.Code == 0 {
		t.Error("another query is answered")
	}
}

// A node that comes again and again is made to wait, and another is not.
func TestPace(t *testing.T) {
	var p pace
	now := time.Unix(1000, 0)
	take := func(id p2p.ID, n int) (taken int) {
		for range n {
			if p.take(id, now) {
				taken++
			}
		}
		return taken
	}
	if n := take("a", 10); n != burst {
		t.Errorf("%d in a row", n)
	}
	if n := take("b", 1); n != 1 {
		t.Error("another node waits too")
	}
	now = now.Add(3 * time.Second)
	if n := take("a", 10); n != 1 {
		t.Errorf("%d after three seconds", n)
	}
	now = now.Add(time.Hour)
	if n := take("a", 10); n != burst {
		t.Errorf("%d after an hour", n)
	}
}

// Evidence names a member by its identity, in the committee whose votes counted then, also
// when it has left since.
func TestAccused(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams()).Ceremony()
	before := c.Secrets
	members := append(slices.Clone(before[1:]), c.Newcomers(1)...)
	c.Reshare(3, members...)
	since := c.State.Office().Since
	for _, test := range []struct {
		name   string
		who    *keygen.MemberSecret
		height uint64
		epoch  uint64
		member uint32
	}{
		{"before the change", before[1], since, 1, 2},
		{"at its last height", before[1], since + 1, 1, 2},
		{"after the change", before[1], since + 2, 2, 1},
		{"who left, before it did", before[0], 3, 1, 1},
		{"who left, and it counts no more", before[0], since + 50, 1, 1},
		{"who joined", members[3], since + 2, 2, 4},
		{"who joined, before it did", members[3], since + 1, 0, 0},
	} {
		own := test.who.Member("")
		m := misbehaviour(c.State, abcitypes.Misbehavior{
			Type: abcitypes.MisbehaviorType_DUPLICATE_VOTE, Height: int64(test.height),
			Validator: abcitypes.Validator{Address: cmted25519.PubKey(own.Validator).Address(), Power: 10},
		})
		if m.Epoch != test.epoch || m.Member != test.member || (test.epoch > 0) != own.Identity.Equal(m.Identity) || len(m.Proof) == 0 || m.Height != test.height {
			t.Errorf("%s: %+v", test.name, m)
		}
	}
}

// durable is an engine that keeps the last state, as Postgres would.
type durable struct {
	mu    sync.Mutex
	state *ordering.State
	up    []ed25519.PublicKey
	got   chan string
}

func (d *durable) InitChain(s *ordering.State) error { return d.Persist(s, nil, time.Time{}) }
func (d *durable) Persist(s *ordering.State, _ *ordering.Result, _ time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.state = s
	return nil
}
func (d *durable) Committed(*ordering.State, *ordering.Result)               {}
func (d *durable) Misbehaved(Misbehaviour)                                   {}
func (d *durable) Openings(*ordering.State) []ordering.BatchOpenings         { return nil }
func (d *durable) Announcements(*ordering.State) []*fair.Announcement        { return nil }
func (d *durable) Bodies([]threshold.ID) [][]byte                            { return nil }
func (d *durable) Rejected(uint64, uint32, uint64, error)                    {}
func (d *durable) Accepted(uint64, uint32, *ordering.State, *ordering.State) {}
func (d *durable) Arrived(*threshold.Ciphertext)                             {}
func (d *durable) PeerUp(identity ed25519.PublicKey) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.up = append(d.up, identity)
}
func (d *durable) Receive(identity ed25519.PublicKey, message []byte) error {
	d.got <- fmt.Sprintf("%x %s", identity, message)
	return nil
}
func (d *durable) met(identity ed25519.PublicKey) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.ContainsFunc(d.up, func(i ed25519.PublicKey) bool { return i.Equal(identity) })
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain for: " + what)
		}
	}
}

// Two real nodes: the first makes its key alone and hands it over to itself and the second,
// which joins as a follower and becomes a validator while it runs. Then the second one loses
// its state, and replays all blocks, with the change of validators in them.
func TestSecondNodeJoinsByReshare(t *testing.T) {
	t.Parallel()
	c := sim.New(t, 1, ordering.DefaultParams())
	secrets := append(slices.Clone(c.Secrets), c.Newcomers(1)...)
	engines := []*durable{{got: make(chan string, 1)}, {got: make(chan string, 1)}}
	configs := make([]Config, 2)
	for i := range configs {
		cfg := testConfig(t, c, &memory{})
		cfg.Moniker, cfg.Validator, cfg.Node, cfg.Engine, cfg.Peer = fmt.Sprint("node-", i+1), secrets[i].Validator(), secrets[i].Node(), engines[i], engines[i]
		cfg.TimeoutCommit, cfg.TimeoutPropose = 20*time.Millisecond, 300*time.Millisecond
		configs[i] = cfg
	}
	configs[1].Peers = []string{NodeID(secrets[0].Member("").Node) + "@" + strings.TrimPrefix(configs[0].Listen, "tcp://")}
	nodes := make([]*Node, 2)
	start := func(i int) {
		t.Helper()
		var err error
		if nodes[i], err = New(configs[i]); err != nil {
			t.Fatal(err)
		}
		if err := nodes[i].Start(); err != nil {
			t.Fatal(err)
		}
	}
	stop := func(i int) {
		if nodes[i] == nil {
			return
		}
		if err := nodes[i].Stop(); err != nil {
			t.Error(err)
		}
		nodes[i] = nil
	}
	defer stop(0)
	defer stop(1)
	submit := func(i int, tx []byte) {
		t.Helper()
		verdict := make(chan error, 1)
		if err := nodes[i].Submit(tx, func(err error) { verdict <- err }); err != nil {
			t.Fatal(err)
		}
		<-verdict // a message that is too late, or in already, is refused: that is all right here
	}
	// play runs a ceremony: each member at its own node.
	play := func(players ...*sim.Member) {
		t.Helper()
		ceremony := nodes[0].State().Ceremony().Ceremony()
		waitFor(t, "the ceremony's end", func() bool {
			for i, p := range players {
				s := nodes[i].State().Ceremony()
				if s.Ceremony() != ceremony { // the node has not come there yet
					continue
				}
				owed, err := p.Owes(s)
				if err != nil {
					t.Fatal(err)
				}
				for _, tx := range owed {
					submit(i, tx)
				}
			}
			return nodes[0].State().Ceremony().Done()
		})
		if s := nodes[0].State().Ceremony(); s.Phase() != keygen.PhaseActive {
			t.Fatalf("%s: %v", s.Phase(), s.Blame())
		}
	}

	start(0)
	alone, err := sim.NewMember(secrets[0], &c.Genesis.Terms, [32]byte{1}, nil)
	c.Must(err)
	play(alone)

	office := nodes[0].State().Office()
	previous, err := keygen.PreviousOf(office.Certificate())
	c.Must(err)
	terms := &keygen.Terms{
		ChainID: sim.ChainID, Epoch: 2, Attempt: 1, Threshold: 2, StartHeight: nodes[0].State().Height() + 10,
		Phases: keygen.EqualPhases(5000), Limits: c.Genesis.Params.Hash(), Change: keygen.ChangeReshare, Previous: previous,
		Members: []keygen.Member{secrets[0].Member("member-1"), secrets[1].Member("member-2")},
	}
	proposal, err := keygen.ProposeTerms(secrets[0], terms)
	c.Must(err)
	submit(0, c.Message(proposal))
	waitFor(t, "the proposal", func() bool { return nodes[0].State().Ceremony().Ceremony() == terms.Hash() })
	for _, s := range secrets {
		words, err := keygen.Votes(s, terms, keygen.KindConsent)
		c.Must(err)
		for _, m := range words {
			submit(0, c.Message(m))
		}
	}

	start(1) // a node that is in no committee; the first one lets it in because of the proposal
	var players []*sim.Member
	for i, s := range secrets {
		old := alone.Share
		if i > 0 {
			old = nil
		}
		p, err := sim.NewMember(s, terms, [32]byte{byte(i + 1), 2}, old)
		c.Must(err)
		players = append(players, p)
	}
	play(players...)
	since := nodes[0].State().Office().Since
	if e := nodes[0].State().Office().Epoch(); e != 2 {
		t.Fatalf("epoch %d in office", e)
	}

	// A batch that nobody opens keeps the chain busy; its blocks have two validators.
	ct := c.SealTo(nodes[0].State().Committee().Key, "x", nodes[0].State().Height()+1000)
	submit(0, ordering.CiphertextTx(ct.Bytes()))
	second := cmted25519.PubKey(secrets[1].Member("").Validator).Address()
	proposed := func() bool {
		for h := int64(since) + 2; h <= int64(nodes[0].State().Height()); h++ {
			if meta := nodes[0].comet.BlockStore().LoadBlockMeta(h); meta != nil && bytes.Equal(meta.Header.ProposerAddress, second) {
				return true
			}
		}
		return false
	}
	waitFor(t, "a block that the second node proposed", proposed)
	for h := int64(since); h <= int64(since)+2; h++ {
		want := 1
		if h == int64(since)+2 {
			want = 2
		}
		if commit := nodes[0].comet.BlockStore().LoadBlockCommit(h); commit == nil || len(commit.Signatures) != want {
			t.Errorf("height %d, committee in office since %d: commit %v, want %d validators", h, since, commit, want)
		}
	}

	// The members' channel knows both by their identities.
	one, two := secrets[0].Member("").Identity, secrets[1].Member("").Identity
	if !engines[0].met(two) || !engines[1].met(one) {
		t.Error("a member's node was not announced")
	}
	waitFor(t, "a message taken", func() bool { return nodes[1].Send(one, []byte("hello")) })
	if got := <-engines[0].got; got != fmt.Sprintf("%x hello", two) {
		t.Error(got)
	}

	// Replay from nothing, and from the last state.
	for _, from := range []func() *ordering.State{
		func() *ordering.State { return c.Initial },
		func() *ordering.State { return engines[1].state },
	} {
		stop(1)
		configs[1].State = from()
		start(1)
		at := nodes[0].State().Height()
		waitFor(t, "the second node after its restart", func() bool { return nodes[1].State().Height() > at && nodes[0].State().Height() > at+1 })
		if len(nodes[1].State().Tenures()) != len(nodes[0].State().Tenures()) || nodes[1].State().Office().Epoch() != 2 {
			t.Error("another office after a restart")
		}
	}
	for _, n := range nodes {
		select {
		case err := <-n.Failed():
			t.Error(err)
		default:
		}
	}
}

// A node that nobody knows is turned away and does not dial without a pause; it gets in once it is known.
func TestStrangerIsTurnedAway(t *testing.T) {
	t.Parallel()
	c := sim.New(t, 1, ordering.DefaultParams())
	stranger := c.Newcomers(1)[0]
	m := &memory{}
	host := testConfig(t, c, m)
	a, err := New(host)
	c.Must(err)
	c.Must(a.Start())
	defer a.Stop()
	guest := testConfig(t, c, m)
	guest.Validator, guest.Node = stranger.Validator(), stranger.Node()
	guest.Peers = []string{NodeID(c.Secrets[0].Member("").Node) + "@" + strings.TrimPrefix(host.Listen, "tcp://")}
	b, err := New(guest)
	c.Must(err)
	c.Must(b.Start())
	defer b.Stop()
	id := p2p.ID(NodeID(c.Secrets[0].Member("").Node))
	waitFor(t, "the guest's dialling to be slowed down", func() bool {
		b.reactor.pace.mu.Lock()
		defer b.reactor.pace.mu.Unlock()
		return time.Until(b.reactor.pace.paid[id]) > (burst-2)*every
	})
	if a.PeersUp() != 0 {
		t.Error("a stranger is connected")
	}
	a.reactor.learn(membersOf(a.State(), map[p2p.ID]bool{p2p.ID(NodeID(stranger.Member("").Node)): true}))
	waitFor(t, "the guest, now that it is known", func() bool { return a.PeersUp() == 1 })
	// And it has to go when it is known no more.
	known := a.reactor.learn(membersOf(a.State(), nil))
	a.reactor.greet(known)
	waitFor(t, "the guest to be gone", func() bool { return a.PeersUp() == 0 })
}
