package fair

import (
	"crypto/ed25519"
	"errors"
	"fmt"

	"github.com/scrimlabs/scrim/threshold"
)

// ErrStale: a statement is of a height that may not be in this block.
var ErrStale = errors.New("fair: statement of another height")

// Section is the part of a block that carries the members' head statements. On the wire each id stands once, in a
// dictionary, and heads are left out: who knows the committed heads computes them.
type Section struct {
	Height  uint64 // of the block; not on the wire
	Entries []Announcement
}

// NewSection takes the announcements that a proposer holds and that fit s: of each member the one of the longest
// log. The others are left out. It is empty if there are not n-f. Signatures must have been verified.
func NewSection(s State, held []Announcement) Section {
	best := make([]*Announcement, s.params.Members)
	for i := range held {
		a := &held[i]
		if s.params.fresh(s.height+1, a.Statement.Height) != nil || s.Check(a.Chunk()) != nil {
			continue
		}
		if m := a.Statement.Member - 1; best[m] == nil || better(a, best[m]) {
			best[m] = a
		}
	}
	out := Section{Height: s.height + 1}
	for _, a := range best {
		if a != nil {
			out.Entries = append(out.Entries, *a)
		}
	}
	if len(out.Entries) < s.params.Quorum() {
		out.Entries = nil
	}
	return out
}

func better(a, b *Announcement) bool {
	if a.Statement.Sequence != b.Statement.Sequence {
		return a.Statement.Sequence > b.Statement.Sequence
	}
	return a.Statement.Height > b.Statement.Height
}

// fresh checks a statement's height against the block's: that of the block before, or up to D earlier.
func (p Params) fresh(block, height uint64) error {
	if height >= block || block-1-height > p.Stale {
		return fmt.Errorf("%w: %d in block %d", ErrStale, height, block)
	}
	return nil
}

// Verify checks the section of the block after s: heights, members, that there are n-f of them or none, that every
// chunk continues its member's committed log, and the signatures under identities, where member i's key is at i-1.
// It gives what [Step] takes.
func (c *Section) Verify(s State, chainID string, identities []ed25519.PublicKey) ([]Chunk, error) {
	if len(identities) != s.params.Members {
		return nil, fmt.Errorf("%w: %d identities, %d members", ErrInvalid, len(identities), s.params.Members)
	}
	if c.Height != s.height+1 {
		return nil, fmt.Errorf("%w: %d after %d", ErrHeight, c.Height, s.height)
	}
	chunks := make([]Chunk, len(c.Entries))
	for i := range c.Entries {
		chunks[i] = c.Entries[i].Chunk()
	}
	if err := s.checkAll(chunks); err != nil {
		return nil, err
	}
	for i := range c.Entries {
		st := &c.Entries[i].Statement
		if st.ChainID != chainID {
			return nil, fmt.Errorf("%w: statement for chain %q", ErrInvalid, st.ChainID)
		}
		if err := s.params.fresh(c.Height, st.Height); err != nil {
			return nil, err
		}
		if err := st.Verify(identities[st.Member-1]); err != nil {
			return nil, err
		}
	}
	return chunks, nil
}

// sectionEntrySize is an entry without its indexes.
const sectionEntrySize = 2 + 1 + 8 + ed25519.SignatureSize + 2

// MarshalBinary encodes the section:
//
//	version (1) | ids (2) | ids (32 each), in the order of their first use |
//	entries (2) | per entry, by member: member (2) | age (1) | sequence (8) | signature (64) | count (2) | indexes (2 each)
//
// Age is how many heights the statement is older than the block before. Heads are not in it.
func (c *Section) MarshalBinary() ([]byte, error) {
	var ids dictionary
	var entries []byte
	var before uint32
	for i := range c.Entries {
		a := &c.Entries[i]
		st := &a.Statement
		if err := st.validate(); err != nil {
			return nil, fmt.Errorf("marshal section: %w", err)
		}
		if err := a.validate(); err != nil {
			return nil, fmt.Errorf("marshal section: %w", err)
		}
		if st.Height >= c.Height || c.Height-1-st.Height > maxStale || st.Member <= before {
			return nil, fmt.Errorf("marshal section: %w: height %d, member %d after %d", ErrInvalid, st.Height, st.Member, before)
		}
		before = st.Member
		entries = append(appendUint16(entries, int(st.Member)), byte(c.Height-1-st.Height))
		entries = append(appendUint64(entries, st.Sequence), st.Signature[:]...)
		entries = appendUint16(entries, len(a.IDs))
		for _, id := range a.IDs {
			entries = appendUint16(entries, ids.index(id))
		}
	}
	b, err := ids.appendTo([]byte{version})
	if err != nil {
		return nil, fmt.Errorf("marshal section: %w", err)
	}
	return append(appendUint16(b, len(c.Entries)), entries...), nil
}

// ParseSection is the inverse of [Section.MarshalBinary] for the block after s: it fills in heights, chain and heads.
// An entry that does not continue its member's committed log is an error, because its head cannot be known.
// Signatures are not checked.
func ParseSection(s State, chainID string, b []byte) (*Section, error) {
	if err := threshold.ValidChainID(chainID); err != nil {
		return nil, fmt.Errorf("parse section: %w: %w", ErrInvalid, err)
	}
	d := &decoder{b: b}
	d.version()
	ids := d.dictionary(s.params)
	n := d.count(2, s.params.Members, sectionEntrySize)
	c := &Section{Height: s.height + 1, Entries: make([]Announcement, 0, n)}
	var before uint64
	for range n {
		a := d.entry(s, chainID, ids, &before)
		if d.err != nil {
			break
		}
		c.Entries = append(c.Entries, *a)
	}
	ids.end(d)
	if err := d.end(); err != nil {
		return nil, fmt.Errorf("parse section: %w", err)
	}
	return c, nil
}

func (d *decoder) entry(s State, chainID string, ids *dictionaryReader, before *uint64) *Announcement {
	member, age, sequence := d.uint(2), d.uint(1), d.uint(8)
	a := &Announcement{}
	d.into(a.Statement.Signature[:])
	n := d.count(2, s.params.MaxChunk, 2)
	a.IDs = make([]threshold.ID, n)
	for i := range a.IDs {
		a.IDs[i] = ids.next(d)
	}
	committed, head, _, err := s.Log(uint32(member))
	if !d.entryFollows(member, *before, age, sequence, committed, n, s.height, s.params, err) {
		return nil
	}
	*before = member
	st := &a.Statement
	st.ChainID, st.Height, st.Member, st.Sequence = chainID, s.height-age, uint32(member), sequence
	st.Head = extendHead(head, a.IDs)
	return a
}

// entryFollows fails if an entry of n ids has a member that is out of order or unknown, a statement that is too
// old, or a sequence number that its ids do not lead to.
func (d *decoder) entryFollows(member, before, age, sequence, committed uint64, n int, height uint64, p Params, unknown error) bool {
	switch {
	case d.err != nil:
	case unknown != nil || member <= before:
		d.fail("member %d after %d", member, before)
	case age > p.Stale || age > height:
		d.fail("a statement of %d heights before %d", age, height)
	case sequence < committed || sequence-committed != uint64(n):
		d.fail("member %d: %d ids lead from %d to %d", member, n, committed, sequence)
	}
	return d.err == nil
}

// dictionary collects the ids of a section, each once, in the order of their first use.
type dictionary struct {
	at  map[threshold.ID]int // never iterated
	ids []byte
}

func (c *dictionary) index(id threshold.ID) int {
	at, known := c.at[id]
	if !known {
		if c.at == nil {
			c.at = make(map[threshold.ID]int)
		}
		at = len(c.at)
		c.at[id] = at
		c.ids = append(c.ids, id[:]...)
	}
	return at
}

func (c *dictionary) appendTo(b []byte) ([]byte, error) {
	if len(c.at) > maxDictionary {
		return nil, fmt.Errorf("%w: %d ids", ErrInvalid, len(c.at))
	}
	return append(appendUint16(b, len(c.at)), c.ids...), nil
}

// dictionaryReader resolves indexes, and sees to it that the dictionary is the one that the indexes make.
type dictionaryReader struct {
	ids  []threshold.ID
	used int
}

func (d *decoder) dictionary(p Params) *dictionaryReader {
	c := &dictionaryReader{ids: make([]threshold.ID, d.count(2, p.Members*p.MaxChunk, len(threshold.ID{})))}
	known := make(map[threshold.ID]bool, len(c.ids)) // never iterated
	for i := range c.ids {
		c.ids[i] = d.id()
		if known[c.ids[i]] {
			d.fail("id %d is twice in the dictionary", i)
		}
		known[c.ids[i]] = true
	}
	return c
}

// next reads an index and gives its id.
func (c *dictionaryReader) next(d *decoder) (id threshold.ID) {
	x := d.uint(2)
	if d.err == nil && (x > uint64(c.used) || x >= uint64(len(c.ids))) {
		d.fail("index %d of %d, %d used before", x, len(c.ids), c.used)
	}
	if d.err != nil {
		return id
	}
	if x == uint64(c.used) {
		c.used++
	}
	return c.ids[x]
}

func (c *dictionaryReader) end(d *decoder) {
	if c.used < len(c.ids) {
		d.fail("id %d of the dictionary is not used", c.used)
	}
}
