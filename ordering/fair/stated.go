package fair

import (
	"crypto/ed25519"
	"fmt"

	"github.com/scrimlabs/scrim/commitreveal"
)

// Said gives the announcements of the section of the next block, as their members signed them. Signatures are not checked.
func (s logs) Said(chainID string, section []byte) ([]*Announcement, error) {
	c, err := s.parseSection(chainID, section)
	if err != nil {
		return nil, err
	}
	out := make([]*Announcement, len(c.Entries))
	for i := range c.Entries {
		out[i] = &c.Entries[i]
	}
	return out, nil
}

// Stated checks what a member announced of its log without the log before it: that the statement is of the chain and signed with
// the identity key, and that the announcement's ids, and under ReceiveTime their times, lead from a head and a hash of times to those that
// are signed. Hashes cannot be met twice, so the two are those of the log. ErrEncoding, ErrSignature or ErrChain.
func (r Rule) Stated(chainID string, identity ed25519.PublicKey, announcement []byte, head, times commitreveal.Hash) (Chunk, error) {
	a, err := r.ParseAnnouncement(announcement)
	if err != nil {
		return Chunk{}, err
	}
	if err := a.Verify(identity); err != nil {
		return Chunk{}, err
	}
	c := a.Chunk()
	if a.Statement.ChainID != chainID || extendHead(head, c.IDs) != c.Head || r == ReceiveTime && extendTimes(times, c.Times) != c.TimesHead {
		return Chunk{}, fmt.Errorf("%w: the announcement of member %d does not lead to its statement", ErrChain, c.Member)
	}
	return c, nil
}
