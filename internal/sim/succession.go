package sim

import (
	"bytes"
	"slices"

	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/threshold"
)

// Member is a member's part in one ceremony, with a share that it keeps in memory.
type Member struct {
	*keygen.Participant
	Share *threshold.SecretShare // from certifying on, for those of the new committee
}

// NewMember takes part in the ceremony under terms. Old is its share of the key that is
// handed over, nil if it has none.
func NewMember(secret *keygen.MemberSecret, terms *keygen.Terms, seed [32]byte, old *threshold.SecretShare) (*Member, error) {
	p, err := keygen.NewParticipant(secret, terms, seed)
	if err != nil {
		return nil, err
	}
	if old != nil {
		err = p.UseShare(old)
	}
	return &Member{Participant: p}, err
}

// Owes is what the member has to say now, as block transactions.
func (m *Member) Owes(s *keygen.State) (txs [][]byte, err error) {
	if m.Index() > 0 && s.Phase() == keygen.PhaseCertifying && m.Share == nil {
		if m.Share, err = m.Participant.Share(s); err != nil {
			return nil, err
		}
		if err = m.ConfirmStored(m.Share); err != nil {
			return nil, err
		}
	}
	if m.Share != nil && s.Phase() == keygen.PhaseStoring {
		if err = m.ConfirmReadBack(m.Share); err != nil {
			return nil, err
		}
	}
	owed, err := m.Next(s)
	if err != nil {
		return nil, err
	}
	for _, message := range owed {
		wire, err := message.MarshalBinary()
		if err != nil {
			return nil, err
		}
		txs = append(txs, ordering.CeremonyTx(wire))
	}
	return txs, nil
}

// Reshare hands the key over to the given members, with a threshold, and runs blocks until
// they are in office.
func (c *Chain) Reshare(threshold int, members ...*keygen.MemberSecret) *Chain {
	c.t.Helper()
	return c.Succeed(c.Next(keygen.ChangeReshare, threshold, members...), members...)
}

// Rotate lets the given members make a new key, with an overlap in blocks, and runs blocks
// until they are in office.
func (c *Chain) Rotate(overlap uint64, threshold int, members ...*keygen.MemberSecret) *Chain {
	c.t.Helper()
	terms := c.Next(keygen.ChangeRotate, threshold, members...)
	terms.Overlap = overlap
	return c.Succeed(terms, members...)
}

// Next drafts terms for the committee after the one in office; change them as you like.
func (c *Chain) Next(change keygen.Change, threshold int, members ...*keygen.MemberSecret) *keygen.Terms {
	c.t.Helper()
	office := c.State.Office()
	previous, err := keygen.PreviousOf(office.Certificate())
	c.Must(err)
	terms := &keygen.Terms{
		ChainID: ChainID, Epoch: office.Epoch() + 1, Attempt: 1, Threshold: threshold, StartHeight: c.State.Height() + 4,
		Phases: keygen.EqualPhases(10), Limits: c.Genesis.Params.Hash(), Change: change, Previous: previous, Members: c.cards(members),
	}
	if newest := c.State.Ceremony().Terms(); newest.Epoch == terms.Epoch {
		terms.Attempt = newest.Attempt + 1
	}
	return terms
}

// Succeed holds the ceremony under the terms, proposed by the first member in office and
// with everybody's consent, until its members are in office.
func (c *Chain) Succeed(terms *keygen.Terms, members ...*keygen.MemberSecret) *Chain {
	c.t.Helper()
	c.Agree(terms, members...)
	return c.Ceremony()
}

// Agree proposes the terms, in the name of the first member in office, and gets everybody's
// consent: two blocks.
func (c *Chain) Agree(terms *keygen.Terms, members ...*keygen.MemberSecret) *Chain {
	c.t.Helper()
	c.Propose(c.Secrets[0], terms, members...)
	return c.Agreed()
}

// Agreed gets everybody's consent to what is proposed: one block.
func (c *Chain) Agreed() *Chain {
	c.t.Helper()
	c.Block(ordering.Proposal{Txs: c.Votes(keygen.KindConsent, c.everybody()...)})
	return c
}

// Propose puts a proposal into a block. The members are those of the terms, in order.
func (c *Chain) Propose(by *keygen.MemberSecret, terms *keygen.Terms, members ...*keygen.MemberSecret) {
	c.t.Helper()
	c.Block(ordering.Proposal{Txs: [][]byte{c.ProposalTx(by, terms)}})
	if c.State.Ceremony().Ceremony() != terms.Hash() {
		c.t.Fatalf("the proposal was not taken: %v", ordering.CheckTx(c.State, c.Verifier, c.ProposalTx(by, terms)))
	}
	c.enrol(terms, members)
}

// ProposalTx is a proposal as a block transaction.
func (c *Chain) ProposalTx(by *keygen.MemberSecret, terms *keygen.Terms) []byte {
	c.t.Helper()
	m, err := keygen.ProposeTerms(by, terms)
	c.Must(err)
	return c.Message(m)
}

// Votes are the words of members on the newest ceremony, as block transactions.
func (c *Chain) Votes(k keygen.Kind, who ...*keygen.MemberSecret) (txs [][]byte) {
	c.t.Helper()
	for _, secret := range who {
		words, err := keygen.Votes(secret, c.State.Ceremony().Terms(), k)
		c.Must(err)
		for _, m := range words {
			txs = append(txs, c.Message(m))
		}
	}
	return txs
}

// everybody who has a role in the newest ceremony: the new members, then those that only
// hand over.
func (c *Chain) everybody() []*keygen.MemberSecret { return union(c.incoming, c.Secrets) }

func union(a, b []*keygen.MemberSecret) []*keygen.MemberSecret {
	out := slices.Clone(a)
	for _, secret := range b {
		if !slices.ContainsFunc(a, func(o *keygen.MemberSecret) bool { return same(o, secret) }) {
			out = append(out, secret)
		}
	}
	return out
}

func same(a, b *keygen.MemberSecret) bool {
	return bytes.Equal(a.Member("").Identity, b.Member("").Identity)
}

// enrol makes everybody who has a role in the ceremony take part in it.
func (c *Chain) enrol(terms *keygen.Terms, members []*keygen.MemberSecret) {
	c.t.Helper()
	c.members, c.incoming = nil, members
	speakers := members
	if terms.Change != keygen.ChangeFirst {
		speakers = union(members, c.Secrets)
	}
	for i, secret := range speakers {
		var share *threshold.SecretShare
		if j := slices.IndexFunc(c.Secrets, func(o *keygen.MemberSecret) bool { return same(o, secret) }); terms.Change == keygen.ChangeReshare && j >= 0 {
			share = c.Shares[j]
		}
		m, err := NewMember(secret, terms, [32]byte{byte(i + 1), byte(terms.Attempt), byte(terms.Epoch)}, share)
		c.Must(err)
		c.members = append(c.members, m)
	}
}

// CeremonyTxs is what all members owe to the newest ceremony now, as block transactions.
func (c *Chain) CeremonyTxs() (txs [][]byte) {
	c.t.Helper()
	for _, m := range c.members {
		owed, err := m.Owes(c.State.Ceremony())
		c.Must(err)
		txs = append(txs, owed...)
	}
	return txs
}

// takeOffice keeps the shares of the committee that a block has put in office.
func (c *Chain) takeOffice(epoch uint64) {
	for _, m := range c.members {
		if m.Index() > 0 {
			c.shares[epoch] = append(c.shares[epoch], m.Share)
		}
	}
	c.Secrets, c.Shares = c.incoming, c.shares[epoch]
}
