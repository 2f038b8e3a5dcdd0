package e2e

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/scrimlabs/scrim/httpapi/client"
	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/internal/devnet"
	"github.com/scrimlabs/scrim/internal/node"
	"github.com/scrimlabs/scrim/keygen"
)

func five(o *devnet.Options) { o.Members = 5 }

// Five members make a key. In every phase one of them dies with SIGKILL before it has
// acted, is down for a while, and comes back with what is on its disk: all five are
// certified in the end, and the key works with one of them away.
func TestOneMemberDiesInEachPhase(t *testing.T) {
	n := open(t, 3*time.Minute, func(*node.Config) {}, nil, five)
	phases := []string{"dealing", "responding", "certifying", "storing", "active"}
	for i, member := range n.Nodes {
		n.must(member.Start("DIE_IN=" + phases[i]))
	}
	for i, member := range n.Nodes {
		select {
		case <-member.Done():
		case <-n.ctx.Done():
			t.Fatalf("%s never came to %s", member.Name, phases[i])
		}
		n.must(member.Start())
	}
	n.must(n.WaitReady(n.ctx))
	n.openWallet()
	if certified := len(n.wallet.Certificate.Certifications); certified != 5 {
		t.Errorf("%d of 5 members are certified", certified)
	}
	n.send(n.seal(payload(100)))
	n.allOpened()
	n.Nodes[0].Kill()
	n.send(n.seal(payload(100)))
	n.allOpened()
	n.audited(4)
}

// Member 5 is played by the test: it deals rightly, and complains about a share that was
// right. The dealer, member 1, is killed when it has to answer and answers after its
// restart; member 5 is named for its complaint, and gets no worse than that.
func TestDealerDiesBeforeItAnswersAComplaint(t *testing.T) {
	n := open(t, 3*time.Minute, func(*node.Config) {}, nil, five)
	for i, member := range n.Nodes[:4] {
		env := []string{}
		if i == 0 {
			env = append(env, "DIE_IN=justifying")
		}
		n.must(member.Start(env...))
	}
	liar := play(n, 4)
	liar.says("dealing", func(s *keygen.State) []*keygen.Message { return liar.honest(s) })
	liar.says("responding", func(s *keygen.State) []*keygen.Message {
		verdicts := bytes.Repeat([]byte{1}, 5)
		verdicts[0] = 2
		return []*keygen.Message{liar.sign(keygen.KindResponse, verdicts)}
	})
	select {
	case <-n.Nodes[0].Done():
	case <-n.ctx.Done():
		t.Fatal("there was no justifying")
	}
	n.must(n.Nodes[0].Start())
	for _, member := range n.Nodes[:4] { // certifying and storing end at their deadlines: member 5 is silent
		n.must(member.WaitReady(n.ctx))
	}
	c := n.ceremony(1)
	if c.Outcome != v1.CeremonySucceeded || c.Status[0].Justification != keygen.CellDone || !c.Status[0].Qualified {
		t.Errorf("%+v", c)
	}
	var blamed bool
	for _, f := range c.Blame {
		blamed = blamed || f.Member == 5 && strings.Contains(f.Reason, "complained about a share that was right")
	}
	if !blamed {
		t.Errorf("member 5 is not blamed: %+v", c.Blame)
	}
	n.openWallet()
	n.send(n.seal(payload(100)))
	n.allOpened()
}

// ceremony is the newest one as node i tells it.
func (n *network) ceremony(i int) *v1.Ceremony {
	n.t.Helper()
	all, err := n.Nodes[i].Client.Ceremonies(n.ctx)
	n.must(err)
	c, err := n.Nodes[i].Client.Ceremony(n.ctx, all.Ceremonies[0].ID)
	n.must(err)
	return c
}

// player is a member that the test plays itself, with its secret and another's node.
type player struct {
	n      *network
	secret *keygen.MemberSecret
	self   *keygen.Participant
	index  uint32
}

func play(n *network, i int) *player {
	n.t.Helper()
	secret, err := n.Nodes[i].Config.Member()
	n.must(err)
	self, err := keygen.NewParticipant(secret, &n.Genesis.Terms, [32]byte{1})
	n.must(err)
	return &player{n, secret, self, uint32(i + 1)}
}

// says waits for a phase and sends through the first node what the member has to say in it.
func (p *player) says(phase string, what func(*keygen.State) []*keygen.Message) {
	p.n.t.Helper()
	for !p.n.came(1, phase) {
		time.Sleep(20 * time.Millisecond)
		p.n.must(p.n.ctx.Err())
	}
	for _, m := range what(p.state()) {
		wire, err := m.MarshalBinary()
		p.n.must(err)
		ceremony := p.n.Genesis.Terms.Hash()
		for {
			_, err = p.n.Nodes[1].Client.Relay(p.n.ctx, v1.HexOf(ceremony[:]), wire)
			var problem *client.Problem
			if !errors.As(err, &problem) || problem.Code != v1.CodeNotSynced {
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
		p.n.must(err)
	}
}

// came reports whether node i answers and its newest ceremony is in a phase.
func (n *network) came(i int, phase string) bool {
	all, err := n.Nodes[i].Client.Ceremonies(n.ctx)
	return err == nil && all.Ceremonies[0].Phase == phase
}

func (p *player) state() *keygen.State {
	p.n.t.Helper()
	ceremony := p.n.Genesis.Terms.Hash()
	wire, err := p.n.Nodes[1].Client.Transcript(p.n.ctx, v1.HexOf(ceremony[:]))
	p.n.must(err)
	s, err := keygen.ParseState(wire)
	p.n.must(err)
	return s
}

func (p *player) honest(s *keygen.State) []*keygen.Message {
	p.n.t.Helper()
	messages, err := p.self.Next(s)
	p.n.must(err)
	return messages
}

// sign makes a message with any body: what docs/spec/keygen.md says is signed.
func (p *player) sign(k keygen.Kind, body []byte) *keygen.Message {
	terms := &p.n.Genesis.Terms
	m := &keygen.Message{Ceremony: terms.Hash(), Kind: k, Member: p.index, Body: body}
	b := append([]byte("scrim/ceremony-message/v1"), byte(len(terms.ChainID)))
	b = append(append(b, terms.ChainID...), m.Ceremony[:]...)
	b = binary.BigEndian.AppendUint32(append(b, byte(k)), p.index)
	digest := sha256.Sum256(body)
	copy(m.Signature[:], ed25519.Sign(p.secret.Identity(), append(b, digest[:]...)))
	return m
}
