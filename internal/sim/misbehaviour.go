package sim

import (
	"crypto/sha256"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/ordering/fair"
	"github.com/scrimlabs/scrim/threshold"
)

// Accuse is evidence as a block transaction.
func (c *Chain) Accuse(e ordering.Evidence) []byte {
	c.t.Helper()
	tx, err := ordering.EvidenceTx(e)
	c.Must(err)
	return tx
}

// Misdeeds are things that a member (from 1) of the committee in office should not have done, as evidence: one of each
// kind that a block carries. What they are about never was on the chain. Evidence with another salt is about something else.
func (c *Chain) Misdeeds(member int, salt string) []ordering.Evidence {
	c.t.Helper()
	return []ordering.Evidence{
		c.BadPoint(member, salt), c.BadSignature(member, salt), c.TwoShares(member, salt),
		c.LogFork(member, salt), c.TimesFork(member, salt), c.TwoDeals(member, salt),
	}
}

// batchOf is a batch of the next height that no block has.
func (c *Chain) batchOf(plaintexts ...string) *ordering.OrderedBatch {
	c.t.Helper()
	out := &ordering.OrderedBatch{}
	var ids []threshold.ID
	for _, p := range plaintexts {
		k, err := c.Seal(p).Check()
		c.Must(err)
		out.Ciphertexts, ids = append(out.Ciphertexts, k), append(ids, k.ID())
	}
	var err error
	out.Batch, err = commitreveal.NewBatch(c.State.Height()+1, c.State.Office().Epoch(), ids)
	c.Must(err)
	return out
}

// ShareOf is a member's (from 1) share of a batch, made with the secret of another one, and with its own signature.
func (c *Chain) ShareOf(b *ordering.OrderedBatch, member, secretOf int, checkpoint commitreveal.Checkpoint) commitreveal.ShareMessage {
	c.t.Helper()
	share, err := c.Shares[secretOf-1].ShareBatch(b.Ciphertexts)
	c.Must(err)
	signed, err := checkpoint.MarshalBinary()
	c.Must(err)
	signature, err := c.Shares[secretOf-1].Sign(signed)
	c.Must(err)
	share.Member, signature.Member = uint32(member), uint32(member)
	m := commitreveal.ShareMessage{
		ChainID: ChainID, Epoch: b.Batch.Epoch, Height: b.Batch.Height, Root: b.Batch.Root, Share: *share, Signature: signature,
	}
	c.Must(m.Sign(c.Secrets[member-1].Identity()))
	return m
}

func (c *Chain) checkpointOf(b *ordering.OrderedBatch) commitreveal.Checkpoint {
	return b.Batch.CheckpointAt(ChainID, c.State.Log())
}

// other is another member than this one.
func (c *Chain) other(member int) int { return member%len(c.Secrets) + 1 }

// BadPoint is a share made with another member's secret.
func (c *Chain) BadPoint(member int, salt string) ordering.Evidence {
	c.t.Helper()
	b := c.batchOf(salt+"a", salt+"b", salt+"c")
	e, err := commitreveal.NewBadPoint(c.ShareOf(b, member, c.other(member), c.checkpointOf(b)), b.Ciphertexts, 1)
	c.Must(err)
	return c.shareEvidence(ordering.EvidenceBadPoint, e)
}

// BadSignature is a share with a signature made with another member's secret.
func (c *Chain) BadSignature(member int, salt string) ordering.Evidence {
	c.t.Helper()
	b := c.batchOf(salt)
	checkpoint := c.checkpointOf(b)
	signed, err := checkpoint.MarshalBinary()
	c.Must(err)
	var signatures []threshold.SignatureShare
	for _, s := range c.Shares {
		signature, err := s.Sign(signed)
		c.Must(err)
		signatures = append(signatures, signature)
	}
	certificate, bad, err := threshold.CombineSignature(c.State.Committee(), signed, signatures)
	c.Must(err)
	if len(bad) > 0 {
		c.t.Fatalf("honest members blamed: %v", bad)
	}
	return c.shareEvidence(ordering.EvidenceBadSignature, &commitreveal.BadSignature{
		Message: c.ShareOf(b, member, c.other(member), checkpoint), Checkpoint: checkpoint, Certificate: certificate,
	})
}

// TwoShares is shares of two batches of one height.
func (c *Chain) TwoShares(member int, salt string) ordering.Evidence {
	c.t.Helper()
	a, b := c.batchOf(salt+"one"), c.batchOf(salt+"two")
	return c.shareEvidence(ordering.EvidenceConflictingShares,
		commitreveal.NewConflictingShares(c.ShareOf(a, member, member, c.checkpointOf(a)), c.ShareOf(b, member, member, c.checkpointOf(b))))
}

func (c *Chain) shareEvidence(kind ordering.EvidenceKind, e commitreveal.Evidence) ordering.Evidence {
	c.t.Helper()
	body, err := commitreveal.MarshalEvidence(e)
	c.Must(err)
	return ordering.Evidence{Kind: kind, Epoch: c.State.Office().Epoch(), Body: body}
}

// LogFork is two heads of one log.
func (c *Chain) LogFork(member int, salt string) ordering.Evidence {
	c.t.Helper()
	a, b := c.forked(fair.ReceiveOrder, member, salt+"one"), c.forked(fair.ReceiveOrder, member, salt+"two")
	return c.fork(ordering.EvidenceReceiveLogFork, a.Fork(b))
}

// TimesFork is two heads of one log with times.
func (c *Chain) TimesFork(member int, salt string) ordering.Evidence {
	c.t.Helper()
	a, b := c.forked(fair.ReceiveTime, member, salt+"one"), c.forked(fair.ReceiveTime, member, salt+"two")
	return c.fork(ordering.EvidenceReceiveTimesFork, a.Fork(b))
}

func (c *Chain) forked(rule fair.Rule, member int, salt string) *fair.Announcement {
	c.t.Helper()
	id := threshold.ID(commitreveal.EvidenceHash([]byte(salt)))
	said, err := rule.Say(c.Secrets[member-1].Identity(), ChainID, c.State.Height(), fair.Chunk{
		Member: uint32(member), Sequence: 7, Head: commitreveal.NextHead(commitreveal.Hash{1}, id), IDs: []threshold.ID{id},
		TimesHead: fair.NextTimes([32]byte{1}, 1000), Times: []uint64{1000}, Watermark: 1000,
	})
	c.Must(err)
	return said
}

func (c *Chain) fork(kind ordering.EvidenceKind, f *fair.Equivocation) ordering.Evidence {
	c.t.Helper()
	body, err := f.MarshalBinary()
	c.Must(err)
	return ordering.Evidence{Kind: kind, Epoch: c.State.Office().Epoch(), Body: body}
}

// TwoDeals is two deals in the ceremony that made the committee in office, which is the first. The one on the chain is a third.
func (c *Chain) TwoDeals(member int, salt string) ordering.Evidence {
	c.t.Helper()
	terms := c.State.Office().Terms()
	e := keygen.Evidence{Ceremony: terms.Hash(), Fault: keygen.FaultEquivocation, Member: uint32(member)}
	for _, side := range []string{"one", "two"} {
		deal := c.deal(terms, member, [32]byte(commitreveal.EvidenceHash([]byte(salt+side))))
		e.Statements = append(e.Statements, keygen.Statement{Kind: deal.Kind, Digest: sha256.Sum256(deal.Body), Signature: deal.Signature})
	}
	c.Must(e.Verify(terms))
	body, err := e.MarshalBinary()
	c.Must(err)
	return ordering.Evidence{Kind: ordering.EvidenceCeremony, Epoch: terms.Epoch, Body: body}
}

func (c *Chain) deal(terms *keygen.Terms, member int, seed [32]byte) *keygen.Message {
	c.t.Helper()
	p, err := keygen.NewParticipant(c.Secrets[member-1], terms, seed)
	c.Must(err)
	s, err := keygen.New(terms)
	c.Must(err)
	owed, err := p.Next(s)
	c.Must(err)
	for _, m := range owed {
		if m.Kind == keygen.KindDeal {
			return m
		}
	}
	c.t.Fatalf("member %d owes no deal, but %d other messages", member, len(owed))
	return nil
}
