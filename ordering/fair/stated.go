package fair

import (
	"crypto/ed25519"
	"fmt"

	"github.com/scrimlabs/scrim/commitreveal"
)

// Said gives the announcements of a section, with the statements as their members signed them. Signatures are not checked.
func (s State) Said(chainID string, section []byte) ([]Said, error) {
	c, err := ParseSection(s, chainID, section)
	if err != nil {
		return nil, err
	}
	out := make([]Said, len(c.Entries))
	for i := range c.Entries {
		out[i] = &c.Entries[i]
	}
	return out, nil
}

// Said is as [State.Said].
func (s TimedState) Said(chainID string, section []byte) ([]Said, error) {
	c, err := ParseTimedSection(s, chainID, section)
	if err != nil {
		return nil, err
	}
	out := make([]Said, len(c.Entries))
	for i := range c.Entries {
		out[i] = &c.Entries[i]
	}
	return out, nil
}

// Stated checks what a member announced of its log without the log before it: that the statement is of the chain and signed with
// the identity key, and that the announcement's ids, and under ReceiveTime their times, lead from a head and a hash of times to those that
// are signed. Hashes cannot be met twice, so the two are those of the log. ErrEncoding, ErrSignature or ErrChain.
func (r Rule) Stated(chainID string, identity ed25519.PublicKey, announcement []byte, head, times commitreveal.Hash) (TimedChunk, error) {
	said, err := r.ParseSaid(announcement)
	if err != nil {
		return TimedChunk{}, err
	}
	if err := said.Verify(identity); err != nil {
		return TimedChunk{}, err
	}
	var c TimedChunk
	switch a := said.(type) {
	case *Announcement:
		c.Chunk = Chunk{Member: a.Statement.Member, Sequence: a.Statement.Sequence, Head: a.Statement.Head, IDs: a.IDs}
	case *TimedAnnouncement:
		c = a.Chunk()
	}
	for i, id := range c.IDs {
		head = commitreveal.NextHead(head, id)
		if c.Times != nil {
			times = NextTimes(times, c.Times[i])
		}
	}
	if said.Head().ChainID != chainID || head != c.Head || c.Times != nil && times != c.TimesHead {
		return TimedChunk{}, fmt.Errorf("%w: the announcement of member %d does not lead to its statement", ErrChain, c.Member)
	}
	return c, nil
}
