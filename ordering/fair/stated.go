package fair

import (
	"crypto/ed25519"
	"fmt"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/threshold"
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

// Chunks gives what a section says of the members' logs, without the logs before it and so without heads: for who reads one
// that was checked when its block came. The parameters are those of the committee that the section is of; ErrEncoding.
func (r Rule) Chunks(p Params, section []byte) ([]Chunk, error) {
	d := newDecoder(section)
	d.Version(version)
	ids := d.dictionary(p)
	n := d.Count(2, p.Members, r.entrySize())
	out := make([]Chunk, 0, n)
	var before uint32
	for range n {
		c := d.chunk(r, p, ids, before)
		if !d.OK() {
			break
		}
		before = c.Member
		out = append(out, c)
	}
	ids.end(d)
	if err := d.End(); err != nil {
		return nil, fmt.Errorf("read section: %w", err)
	}
	return out, nil
}

// chunk fails if the member is out of order or unknown, or its log shorter than what it adds.
func (d *decoder) chunk(r Rule, p Params, ids *dictionaryReader, before uint32) Chunk {
	a := &Announcement{Statement: Statement{Rule: r, Member: uint32(d.Uint(2))}}
	st := &a.Statement
	d.Uint(1) // the age
	if st.Sequence = d.Uint(8); r == ReceiveTime {
		st.Watermark = d.Uint(timeSize)
	}
	d.Fill(st.Signature[:])
	a.entries(d.Count(2, p.MaxChunk, r.indexSize()), d, func() threshold.ID { return ids.next(d) })
	if d.OK() && (st.Member <= before || int(st.Member) > p.Members || st.Sequence < uint64(len(a.IDs))) {
		d.Fail("member %d after %d with %d ids up to %d", st.Member, before, len(a.IDs), st.Sequence)
	}
	return a.Chunk()
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
