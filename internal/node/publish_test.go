package node

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/commitreveal/note"
	"github.com/scrimlabs/scrim/commitreveal/tiles"
	"github.com/scrimlabs/scrim/httpapi"
	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/internal/pg"
	"github.com/scrimlabs/scrim/internal/sim"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/threshold"
)

// publishing is a committee whose openers have publishers beside them.
type publishing struct {
	*committee
	publishers []*publisher
	identities []ed25519.PublicKey
}

func newPublishing(t *testing.T) *publishing {
	p := &publishing{committee: newCommittee(t)}
	for i, o := range p.openers {
		pub := newPublisher()
		pub.chainID, pub.identity = sim.ChainID, o.identity
		pub.store, pub.net, pub.log = p.stores[i], publishingPort{p, uint32(i + 1)}, slog.New(slog.DiscardHandler)
		pub.before = newSignedLog(t)
		pub.setActive()
		p.publishers = append(p.publishers, pub)
		p.identities = append(p.identities, p.identity(uint32(i+1)))
	}
	return p
}

// publishingPort is one member's end of the bus, for the publishers.
type publishingPort struct {
	*publishing
	member uint32
}

func (p publishingPort) Broadcast(m []byte) {
	p.bus.mu.Lock()
	p.bus.sent[p.member] = append(p.bus.sent[p.member], m)
	p.bus.mu.Unlock()
	for to := range p.publishers {
		if uint32(to+1) != p.member {
			p.Send(p.identity(uint32(to+1)), m)
		}
	}
}

func (p publishingPort) Send(to ed25519.PublicKey, m []byte) bool {
	for i := range p.publishers {
		if !p.identity(uint32(i + 1)).Equal(to) {
			continue
		}
		if err := p.peers(uint32(i+1)).Receive(p.identity(p.member), m); err != nil {
			p.t.Errorf("member %d refuses a message of member %d: %v", i+1, p.member, err)
		}
		return true
	}
	return false
}

func (p *publishing) peers(member uint32) peers {
	return peers{opener: p.openers[member-1], publish: p.publishers[member-1]}
}

// run lets the publishers work until the test ends.
func (p *publishing) run() *publishing {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, pub := range p.publishers {
		wg.Go(func() { pub.run(ctx) })
	}
	p.t.Cleanup(func() { cancel(); wg.Wait() })
	return p
}

// block makes the next block durable everywhere, and tells the publishers.
func (p *publishing) block(b ordering.Proposal) *ordering.Result {
	p.t.Helper()
	r := p.Block(b)
	p.durable()
	for _, pub := range p.publishers {
		pub.committed(p.State, r)
	}
	return r
}

func (p *publishing) backend(member int) backend {
	return backend{&running{store: p.stores[member-1], publish: p.publishers[member-1], chain: &still{chain: p.Chain}}}
}

func (p *publishing) policy(quorum int) *note.Policy {
	p.t.Helper()
	policy, err := note.ParsePolicy(note.CommitteePolicy(sim.ChainID, p.identities, quorum))
	p.Must(err)
	return policy
}

// until waits for a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 1000 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("never: ", what)
}

// All members' checkpoints of a size have one text, get everyone's cosignature, and after the reveal the committee's line.
func TestMembersCosignOneLog(t *testing.T) {
	p := newPublishing(t).run()
	ctx := t.Context()
	p.block(ordering.Proposal{Txs: p.SealTxs("a", "b")})
	batch := p.State.Pending()[0].Batch
	p.block(ordering.Proposal{Openings: p.Open(1, 2, 3)})
	committee := note.CommitteeKey(sim.ChainID, p.State.Committee().Key)
	policy := p.policy(4)
	texts := map[string]bool{}
	for member := 1; member <= 4; member++ {
		b := p.backend(member)
		until(t, "all cosign", func() bool {
			newest, err := b.LogCheckpoint(ctx, 0)
			p.Must(err)
			s, err := policy.Check(newest)
			return err == nil && len(s.Witnesses) == 4 && s.Checkpoint.Size == p.State.Log().Size() && s.Checkpoint.Root == p.State.Log().Root()
		})
		until(t, "all cosign the batch's checkpoint", func() bool {
			signed, err := b.LogCheckpoint(ctx, batch.Checkpoint.LogSize)
			p.Must(err)
			n, c, err := note.ParseSigned(signed)
			p.Must(err)
			texts[n.Text] = true
			if c.Root != batch.Checkpoint.LogRoot {
				t.Fatalf("the batch's checkpoint has root %s, want %s", c.Root, batch.Checkpoint.LogRoot)
			}
			if _, err := committee.Verify(n); err != nil {
				t.Fatalf("the committee's line: %v", err)
			}
			if _, err := note.LogKey(sim.ChainID, p.identities[member-1]).Verify(n); err != nil {
				t.Fatalf("the publisher's line: %v", err)
			}
			_, err = policy.CheckNote(n, c)
			return err == nil
		})
	}
	if len(texts) != 1 {
		t.Errorf("four nodes published %d texts of one size", len(texts))
	}
	if _, err := p.backend(1).LogCheckpoint(ctx, batch.Checkpoint.LogSize+1e6); !isNotFound(err) {
		t.Errorf("a size that is not there: %v", err)
	}
}

func isNotFound(err error) bool {
	var e *httpapi.Error
	return errors.As(err, &e) && e.Code == v1.CodeNotFound
}

// failingStore is a database that is away from its n-th call on; it keeps what was stored before a message left.
type failingStore struct {
	*pg.Store
	at, calls int
}

var errAway = errors.New("the database is away")

func (s *failingStore) step() error {
	s.calls++
	if s.calls-1 == s.at {
		return errAway
	}
	return nil
}

func (s *failingStore) LogCheckpoint(ctx context.Context, size uint64) (*pg.LogCheckpoint, error) {
	if err := s.step(); err != nil {
		return nil, err
	}
	return s.Store.LogCheckpoint(ctx, size)
}

func (s *failingStore) LogSignatureFrom(ctx context.Context, size uint64, name string, id uint32) (*pg.LogSignature, error) {
	if err := s.step(); err != nil {
		return nil, err
	}
	return s.Store.LogSignatureFrom(ctx, size, name, id)
}

func (s *failingStore) AddLogSignatures(ctx context.Context, lines []pg.LogSignature) error {
	if err := s.step(); err != nil {
		return err
	}
	return s.Store.AddLogSignatures(ctx, lines)
}

// Whichever call to the database fails, no cosignature leaves that is not stored, and all that could be leave in the end.
func TestCosignaturesAreDurableBeforeTheyLeave(t *testing.T) {
	for at := 0; ; at++ {
		p := newPublishing(t)
		pub := p.publishers[0]
		store := &failingStore{Store: p.stores[0], at: at}
		pub.store = store
		p.block(ordering.Proposal{Txs: p.SealTxs("a")})
		p.block(ordering.Proposal{Openings: p.Open(1, 2, 3)})
		first := pub.once(t.Context())
		p.checkSentIsStored(1)
		if first == nil { // there was no call of that number
			if at < 3 {
				t.Fatalf("only %d calls", store.calls)
			}
			return
		}
		p.Must(pub.once(t.Context()))
		if got := p.checkSentIsStored(1); got != 2 {
			t.Errorf("call %d failed: %d cosignatures sent in the end, want 2", at, got)
		}
	}
}

func (p *publishing) checkSentIsStored(member uint32) (sent int) {
	p.t.Helper()
	p.bus.mu.Lock()
	messages := p.bus.sent[member]
	p.bus.mu.Unlock()
	for _, m := range messages {
		if m[0] != messageCosignature {
			continue
		}
		sent++
		found := false
		for size := uint64(1); size <= p.State.Log().Size(); size++ {
			lines, err := p.stores[member-1].LogSignatures(context.Background(), size)
			p.Must(err)
			for _, l := range lines {
				found = found || bytes.HasSuffix(m, l.Data)
			}
		}
		if !found {
			p.t.Errorf("a cosignature left that is not stored: %x", m)
		}
	}
	return sent
}

// After a restart the members get the same cosignature on the newest head again, byte for byte, and so does one that connects.
func TestCosignatureAfterARestart(t *testing.T) {
	p := newPublishing(t)
	p.block(ordering.Proposal{Txs: p.SealTxs("a")})
	p.Must(p.publishers[0].once(t.Context()))
	first := p.publishers[0].newest()
	again := newPublisher()
	again.chainID, again.identity, again.store, again.net = sim.ChainID, p.publishers[0].identity, p.stores[0], p.publishers[0].net
	again.before, again.log = reopenSignedLog(t, p.publishers[0].before), p.publishers[0].log
	again.now = func() time.Time { return time.Now().Add(time.Hour) }
	if again.newest() != nil {
		t.Error("it says something before it has caught up")
	}
	again.begin(p.State)
	p.Must(again.once(t.Context()))
	again.setActive()
	p.Must(again.once(t.Context()))
	if len(first) != 1+cosignatureSize || !bytes.Equal(again.newest(), first) {
		t.Errorf("before %x\nafter  %x", first, again.newest())
	}
	p.Must(again.once(t.Context()))
	if n := p.checkSentIsStored(1); n != 2 {
		t.Errorf("%d messages, want one before and one after", n)
	}
	p.publishers[1].inbox = nil
	again.peerUp(p.identities[1])
	if got := p.publishers[1].inbox; len(got) != 1 || !bytes.HasSuffix(first, got[0].signature.Data) {
		t.Errorf("a member that connects gets %d cosignatures", len(got))
	}
}

// A node whose database has another log than it computed signs nothing.
func TestDividedNodeSignsNothing(t *testing.T) {
	p := newPublishing(t)
	pub := p.publishers[0]
	p.block(ordering.Proposal{Txs: p.SealTxs("a")})
	pub.heads[0].root[0] ^= 1
	if err := pub.once(t.Context()); !errors.Is(err, errDivided) {
		t.Fatal(err)
	}
	if n := p.checkSentIsStored(1); n != 0 {
		t.Errorf("%d cosignatures left", n)
	}
	if _, err := p.backend(1).LogCheckpoint(t.Context(), 0); !errors.Is(err, errDivided) {
		t.Errorf("the checkpoint: %v", err)
	}
}

// A member that cosigns two logs is found out, whichever of them comes first, and the evidence holds both.
func TestSplitViewIsKept(t *testing.T) {
	for _, badFirst := range []bool{true, false} {
		p := newPublishing(t)
		pub := p.publishers[0]
		ctx := t.Context()
		p.block(ordering.Proposal{Txs: p.SealTxs("a")})
		first := head{p.State.Log().Size(), p.State.Log().Root()}
		p.block(ordering.Proposal{Openings: p.Open(1, 2, 3)})
		second := head{p.State.Log().Size(), p.State.Log().Root()}
		lie := head{first.size, commitreveal.Hash{6, 6, 6}}
		sign := func(h head) []byte {
			return cosignatureMessage(h, note.Cosign(p.Secrets[1].Identity(), sim.ChainID, pub.text(h), 1700000000).Data)[1:]
		}
		messages := [][]byte{sign(second), sign(lie)}
		if badFirst {
			messages = [][]byte{sign(lie), sign(second)}
		}
		for _, m := range messages {
			p.Must(pub.receive(p.identities[1], m))
			p.Must(pub.once(ctx))
		}
		list, err := p.backend(1).EvidenceList(ctx, 0, 10)
		p.Must(err)
		if len(list.Evidence) != 1 || list.Evidence[0].Kind != "split_view" || list.Evidence[0].Member != 2 {
			t.Fatalf("evidence: %+v", list.Evidence)
		}
		_, body, err := p.backend(1).OneEvidence(ctx, list.Evidence[0].Number)
		p.Must(err)
		roots := map[commitreveal.Hash]bool{}
		for len(body) > 0 {
			n := int(body[0])<<24 | int(body[1])<<16 | int(body[2])<<8 | int(body[3])
			signed, c, err := note.ParseSigned(body[4 : 4+n])
			p.Must(err)
			if _, err := note.MemberKey(sim.ChainID, p.identities[1]).Verify(signed); err != nil {
				t.Error(err)
			}
			roots[c.Root] = true
			body = body[4+n:]
		}
		if !roots[lie.root] || !roots[second.root] {
			t.Errorf("the evidence is about %v", roots)
		}
		signed, err := p.backend(1).LogCheckpoint(ctx, first.size)
		p.Must(err)
		if strings.Contains(string(signed), "member/"+fmt.Sprintf("%x", []byte(p.identities[1][:8]))) {
			t.Error("the lie is on our checkpoint")
		}
	}
}

// What other members send is bounded, checked, and waits for a block that is on its way.
func TestCosignaturesFromOutside(t *testing.T) {
	p := newPublishing(t)
	pub := p.publishers[0]
	now := time.Unix(1700000000, 0)
	pub.now = func() time.Time { return now }
	good := make([]byte, cosignatureSize)
	good[0], good[8] = cosignatureVersion, 1
	for name, tt := range map[string]struct {
		body []byte
		want error
	}{
		"empty":     {nil, errPeerMessage},
		"short":     {good[:len(good)-1], errPeerMessage},
		"long":      {append(bytes.Clone(good), 0), errPeerMessage},
		"version":   {append([]byte{9}, good[1:]...), errPeerMessage},
		"size 0":    {append([]byte{cosignatureVersion}, make([]byte, cosignatureSize-1)...), errPeerMessage},
		"size huge": {append([]byte{cosignatureVersion, 255}, good[2:]...), errPeerMessage},
	} {
		if err := p.peers(1).Receive(p.identities[1], append([]byte{messageCosignature}, tt.body...)); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for range 2 * maxCosignInbox {
		p.Must(pub.receive(p.identities[1], good))
	}
	if n := len(pub.inbox); n != maxCosignInbox {
		t.Errorf("one member fills %d places", n)
	}
	p.block(ordering.Proposal{Txs: p.SealTxs("a")})
	p.Must(pub.once(t.Context()))
	if n := len(pub.inbox); n != 0 {
		t.Errorf("%d signatures on a size that no block ended at still wait", n)
	}

	r := p.Block(ordering.Proposal{Openings: p.Open(1, 2, 3)}) // the others are a block ahead
	h := head{p.State.Log().Size(), p.State.Log().Root()}
	early := cosignatureMessage(h, note.Cosign(p.Secrets[2].Identity(), sim.ChainID, pub.text(h), 1700000000).Data)[1:]
	forged := cosignatureMessage(h, note.Cosign(p.Secrets[2].Identity(), sim.ChainID, pub.text(h), 1700000000).Data)[1:]
	forged[len(forged)-1] ^= 1
	p.Must(pub.receive(p.identities[2], early))
	p.Must(pub.receive(p.identities[3], forged))
	p.Must(pub.once(t.Context()))
	if n := len(pub.inbox); n != 2 {
		t.Errorf("%d of 2 early signatures wait", n)
	}
	p.durable()
	pub.committed(p.State, r)
	p.Must(pub.once(t.Context()))
	lines, err := p.stores[0].LogSignatures(t.Context(), h.size)
	p.Must(err)
	if len(lines) != 2 { // its own and member 3's
		t.Errorf("%d signatures, want 2", len(lines))
	}

	h.size += 5
	p.Must(pub.receive(p.identities[2], cosignatureMessage(h, note.Cosign(p.Secrets[2].Identity(), sim.ChainID, pub.text(h), 1700000000).Data)[1:]))
	now = now.Add(earlyPatience)
	p.Must(pub.once(t.Context()))
	if n := len(pub.inbox); n != 0 {
		t.Errorf("%d signatures wait for ever", n)
	}
}

// What has piled up while the database was away does not crowd out the shares.
func TestCosignaturesComeInSmallBursts(t *testing.T) {
	p := newPublishing(t)
	pub := p.publishers[0]
	p.block(ordering.Proposal{Txs: p.SealTxs("a")})
	pub.heads = slices.Repeat(pub.heads, maxBurst+10)
	p.Must(pub.once(t.Context()))
	p.bus.mu.Lock()
	defer p.bus.mu.Unlock()
	if n := len(p.bus.sent[1]); n != maxBurst {
		t.Errorf("%d messages at once", n)
	}
}

// While a node catches up it sends nothing, and cosigns the newest head only.
func TestNoCosignatureWhileCatchingUp(t *testing.T) {
	p := newPublishing(t)
	pub := p.publishers[0]
	pub.active = false
	p.block(ordering.Proposal{Txs: p.SealTxs("a")})
	p.block(ordering.Proposal{Openings: p.Open(1, 2, 3)})
	p.Must(pub.once(t.Context()))
	if n := p.checkSentIsStored(1); n != 0 {
		t.Errorf("%d sent", n)
	}
	lines, err := p.stores[0].LogSignatures(t.Context(), p.State.Log().Size())
	p.Must(err)
	if len(lines) != 1 {
		t.Errorf("%d cosignatures on the newest head", len(lines))
	}
}

// Members of the committee in office cosign, and nobody else.
func TestOnlyMembersInOfficeCosign(t *testing.T) {
	p := newPublishing(t)
	pub := p.publishers[0]
	p.block(ordering.Proposal{Txs: p.SealTxs("a")})
	left, here := pub.members[1].Identity, slices.Clone(pub.members)
	pub.members = slices.Delete(slices.Clone(here), 1, 2) // member 2 has left, or comes with the next committee
	h := head{p.State.Log().Size(), p.State.Log().Root()}
	p.Must(pub.receive(left, cosignatureMessage(h, note.Cosign(p.Secrets[1].Identity(), sim.ChainID, pub.text(h), 1700000000).Data)[1:]))
	p.Must(pub.receive(here[2].Identity, cosignatureMessage(h, note.Cosign(p.Secrets[2].Identity(), sim.ChainID, pub.text(h), 1700000000).Data)[1:]))
	p.Must(pub.once(t.Context()))
	lines, err := p.stores[0].LogSignatures(t.Context(), h.size)
	p.Must(err)
	if len(lines) != 2 || !slices.ContainsFunc(lines, func(s note.Signature) bool { return s.Name == note.MemberKey(sim.ChainID, here[2].Identity).Name }) {
		t.Errorf("signed by %d, want this member and member 3", len(lines))
	}

	other := p.publishers[1]
	other.members = pub.members
	before := len(p.bus.sent[2])
	p.Must(other.once(t.Context()))
	lines, err = p.stores[1].LogSignatures(t.Context(), h.size)
	p.Must(err)
	if n := len(p.bus.sent[2]); n != before || slices.ContainsFunc(lines, func(s note.Signature) bool { return s.Name == note.MemberKey(sim.ChainID, left).Name }) {
		t.Errorf("who is not in office sent %d messages and has %d signatures", n-before, len(lines))
	}
}

// What blocks said for the order is served in pages, and the limits as all terms have their hash.
func TestPublishedRounds(t *testing.T) {
	p := newPublishing(t)
	ctx := t.Context()
	b := p.backend(2)
	p.block(ordering.Proposal{Txs: p.SealTxs("a")})
	first := p.State.Height()
	p.block(ordering.Proposal{Txs: p.SealTxs("b"), Openings: p.Open(1, 2, 3)})
	last := p.State.Height()
	var want []byte
	for _, r := range p.Results {
		if r.Round == nil {
			continue
		}
		line, err := commitreveal.MarshalBundleLine(&commitreveal.BundleRound{Height: r.Height, Section: r.Round.Section, Aside: r.Round.Aside})
		p.Must(err)
		want = append(append(want, line...), '\n')
	}
	all, err := b.LogRounds(ctx, 0, last)
	p.Must(err)
	if len(want) == 0 || !bytes.Equal(all, want) {
		t.Errorf("%d bytes of rounds, want %d", len(all), len(want))
	}
	before, err := b.LogRounds(ctx, 0, first)
	p.Must(err)
	after, err := b.LogRounds(ctx, first, last)
	p.Must(err)
	if len(after) == 0 || !bytes.Equal(slices.Concat(before, after), want) {
		t.Errorf("%d and %d bytes of %d", len(before), len(after), len(want))
	}
	if none, err := b.LogRounds(ctx, last, last); err != nil || len(none) != 0 {
		t.Errorf("%d bytes, %v", len(none), err)
	}
	if _, err := b.LogRounds(ctx, 0, last+1); !isNotFound(err) {
		t.Errorf("a block to come: %v", err)
	}
	limits, err := b.LogLimits()
	p.Must(err)
	var params ordering.Params
	p.Must(json.Unmarshal(limits, &params))
	if params.Hash() != p.State.Office().Terms().Limits {
		t.Errorf("limits %s", limits)
	}
}

// The files of the log prove what they should, from outside.
func TestPublishedProofs(t *testing.T) {
	p := newPublishing(t)
	ctx := t.Context()
	b := p.backend(2)
	p.block(ordering.Proposal{Txs: p.SealTxs("a", "b", "c")})
	ids := p.State.Pending()[0].Batch.IDs
	height := p.State.Height()
	check := func(opened bool) {
		t.Helper()
		for i, id := range ids {
			text, err := b.LogProof(ctx, id)
			p.Must(err)
			proof, err := note.ParseProof(text)
			p.Must(err)
			extra, err := commitreveal.ParseTransactionProof(proof.Extra)
			p.Must(err)
			entry, err := commitreveal.MarshalEntry(extra.Entry)
			p.Must(err)
			if _, err := proof.Check(entry); err != nil {
				t.Error(err)
			}
			ct, err := extra.Verify()
			p.Must(err)
			if ct.ID() != id || extra.Position != uint32(i) || (extra.Opening != nil) != opened {
				t.Errorf("proof of %x at %d, opened %t", ct.ID(), extra.Position, extra.Opening != nil)
			}
			if _, err := note.CommitteeKey(sim.ChainID, p.State.Committee().Key).Verify(proof.Note); (err == nil) != opened {
				t.Errorf("the committee's line: %v", err)
			}
		}
	}
	check(false)
	lines, revealed, err := b.LogBatch(ctx, height)
	p.Must(err)
	if revealed || strings.Count(string(lines), `"opening":null`) != 3 {
		t.Errorf("before the reveal: %s", lines)
	}
	p.block(ordering.Proposal{Openings: p.Open(1, 2, 3)})
	check(true)
	lines, revealed, err = b.LogBatch(ctx, height)
	p.Must(err)
	var order []threshold.ID
	for line := range strings.Lines(string(lines)) {
		l, err := commitreveal.ParseBundleLine([]byte(strings.TrimSuffix(line, "\n")))
		p.Must(err)
		ct, err := threshold.ParseCiphertext(l.(*commitreveal.BundleTransaction).Ciphertext)
		p.Must(err)
		order = append(order, ct.ID())
	}
	if !revealed || fmt.Sprint(order) != fmt.Sprint(ids) {
		t.Errorf("revealed %t, %d of %d in order", revealed, len(order), len(ids))
	}
	if _, _, err := b.LogBatch(ctx, height+1); !isNotFound(err) {
		t.Errorf("no batch: %v", err)
	}
	if _, err := b.LogProof(ctx, threshold.ID{1}); !isNotFound(err) {
		t.Errorf("no transaction: %v", err)
	}

	namespace := p.Seal("x").Header().Namespace
	for name, want := range map[string]int{namespace: 3, "nobody": 0} {
		n, err := b.LogNamespace(ctx, height, name)
		p.Must(err)
		complete, err := commitreveal.ParseNamespaceProof(n.Proof)
		p.Must(err)
		parsed, err := commitreveal.ParseEntry(n.Entry)
		p.Must(err)
		if err := complete.Verify(parsed.(commitreveal.CommitEntry)); err != nil || len(complete.Transactions) != want || len(n.Transactions) != want {
			t.Errorf("namespace %s: %d transactions, %v", name, len(complete.Transactions), err)
		}
		proof, err := note.ParseProof([]byte(n.TlogProof))
		p.Must(err)
		if _, err := proof.Check(n.Entry); err != nil || proof.Index != n.EntryIndex {
			t.Errorf("entry %d: %v", n.EntryIndex, err)
		}
	}
	var e *httpapi.Error
	if _, err := b.LogNamespace(ctx, height, "NO"); !errors.As(err, &e) || e.Code != v1.CodeInvalidNamespace {
		t.Errorf("no namespace: %v", err)
	}

	entries, err := b.LogTile(ctx, tiles.Tile{Level: tiles.Entries, Width: 1})
	p.Must(err)
	parsed, err := commitreveal.ParseEntry(entries[2:])
	p.Must(err)
	hash := parsed.(commitreveal.CommitteeEntry).Certificate
	certificate, err := b.LogCertificate(ctx, hash)
	p.Must(err)
	if commitreveal.CertificateHash(certificate) != hash {
		t.Error("the certificate is not the one that the log names")
	}
	if _, err := b.LogCertificate(ctx, commitreveal.Hash{}); !isNotFound(err) {
		t.Errorf("no certificate: %v", err)
	}
	if _, err := b.LogTile(ctx, tiles.Tile{Width: 200}); !isNotFound(err) {
		t.Errorf("no tile: %v", err)
	}
}

// fakeWitness follows tlog-witness, add-checkpoint, and can misbehave.
type fakeWitness struct {
	key   ed25519.PrivateKey
	size  uint64
	root  commitreveal.Hash
	calls int
	spoil func(w http.ResponseWriter) bool
}

func (f *fakeWitness) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.calls++
	body, _ := io.ReadAll(r.Body)
	req, err := note.ParseAddCheckpoint(body)
	if err != nil || r.URL.Path != "/w/add-checkpoint" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if f.spoil != nil && f.spoil(w) {
		return
	}
	c, _ := note.ParseCheckpoint(req.Note.Text)
	if req.OldSize != f.size {
		w.Header().Set("Content-Type", note.WitnessSizeType)
		w.WriteHeader(http.StatusConflict)
		_, _ = io.WriteString(w, strconv.FormatUint(f.size, 10)+"\n")
		return
	}
	if f.size > 0 && tiles.CheckConsistency(req.Proof, f.size, f.root, c.Size, c.Root) != nil {
		w.WriteHeader(http.StatusUnprocessableEntity)
		return
	}
	f.size, f.root = c.Size, c.Root
	s := note.Cosign(f.key, "outside", req.Note.Text, 1700000000)
	_, _ = io.WriteString(w, s.Line())
}

func TestOutsideWitness(t *testing.T) {
	p := newPublishing(t)
	ctx := t.Context()
	f := &fakeWitness{key: ed25519.NewKeyFromSeed(make([]byte, 32))}
	server := httptest.NewServer(f)
	defer server.Close()
	key := note.MemberKey("outside", f.key.Public().(ed25519.PublicKey))
	c, err := parseWitness(key.String() + " " + server.URL + "/w/")
	p.Must(err)
	w := newWitness(c, p.publishers[0])
	cosigned := func() bool {
		signed, err := p.backend(1).LogCheckpoint(ctx, 0)
		p.Must(err)
		n, _, err := note.ParseSigned(signed)
		p.Must(err)
		_, err = key.Verify(n)
		return err == nil
	}

	p.Must(w.once(ctx)) // nothing is there yet
	p.durable()
	p.Must(w.once(ctx)) // the ceremony's entry
	if !cosigned() {
		t.Error("not cosigned at first")
	}
	p.block(ordering.Proposal{Txs: p.SealTxs("a")})
	p.Must(w.once(ctx))
	p.block(ordering.Proposal{Openings: p.Open(1, 2, 3)})
	w = newWitness(c, p.publishers[0]) // a restart: the witness says which size it knows
	p.Must(w.once(ctx))
	calls := f.calls
	p.Must(w.once(ctx)) // nothing is new
	if !cosigned() || f.calls != calls {
		t.Errorf("after a restart; %d calls for nothing", f.calls-calls)
	}

	other := newWitness(c, p.publishers[1]) // another member, the same log, the same size
	p.Must(other.once(ctx))
	signed, err := p.backend(2).LogCheckpoint(ctx, 0)
	p.Must(err)
	n, _, err := note.ParseSigned(signed)
	p.Must(err)
	if _, err := key.Verify(n); err != nil {
		t.Errorf("through another member: %v", err)
	}

	p.block(ordering.Proposal{Txs: p.SealTxs("b")})
	for name, spoil := range map[string]func(w http.ResponseWriter) bool{
		"forbidden": func(w http.ResponseWriter) bool { w.WriteHeader(http.StatusForbidden); return true },
		"redirect": func(w http.ResponseWriter) bool {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(http.StatusFound)
			return true
		},
		"no signature": func(w http.ResponseWriter) bool { _, _ = io.WriteString(w, "ok\n"); return true },
		"another's":    func(w http.ResponseWriter) bool { _, _ = io.WriteString(w, "\u2014 x AAAAAAE=\n"); return true },
		"nothing":      func(http.ResponseWriter) bool { return true },
		"endless":      func(w http.ResponseWriter) bool { _, _ = w.Write(make([]byte, 1<<20)); return true },
		"size, no type": func(w http.ResponseWriter) bool {
			w.WriteHeader(http.StatusConflict)
			_, _ = io.WriteString(w, "3\n")
			return true
		},
		"size, zeros": func(w http.ResponseWriter) bool {
			w.Header().Set("Content-Type", note.WitnessSizeType)
			w.WriteHeader(http.StatusConflict)
			_, _ = io.WriteString(w, "003\n")
			return true
		},
	} {
		f.spoil = spoil
		if err := w.once(ctx); err == nil || cosigned() {
			t.Errorf("%s: taken", name)
		}
	}
	f.spoil = nil
	p.Must(w.once(ctx))
	if !cosigned() {
		t.Error("not cosigned in the end")
	}
	f.root[0] ^= 1 // it has seen another log of this size
	p.block(ordering.Proposal{Openings: p.Open(1, 2, 3)})
	if err := w.once(ctx); err == nil || cosigned() {
		t.Error("a witness of another log cosigned")
	}
}

func TestParseWitness(t *testing.T) {
	key := note.MemberKey("w", ed25519.NewKeyFromSeed(make([]byte, 32)).Public().(ed25519.PublicKey)).String()
	log := note.LogKey("w", ed25519.NewKeyFromSeed(make([]byte, 32)).Public().(ed25519.PublicKey)).String()
	for _, bad := range []string{"", key, key + " ", key + "  https://h", key + " ftp://h", key + " https://u:p@h", key + " https://h?x", log + " https://h", "x+y+z https://h"} {
		if _, err := parseWitness(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
