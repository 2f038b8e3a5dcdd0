package fair

import (
	"cmp"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"

	"github.com/scrimlabs/scrim/threshold"
)

// ErrStale: a statement is of a height that may not be in this block.
var ErrStale = errors.New("fair: statement of another height")

// errNoNews is of a section that nothing follows from.
var errNoNews = fmt.Errorf("%w: the section says nothing new", ErrInvalid)

// Section is the part of a block that carries the members' head statements. On the wire each id stands once, in a
// dictionary, and heads are left out: who knows the committed heads computes them.
type Section struct {
	Height  uint64 // of the block; not on the wire
	Entries []Announcement
}

// NewSection takes the announcements that a proposer holds and that fit s: of each member the one of the longest log, of
// equal ones that of the latest watermark, then the newest. The others are left out. It is empty if there are not n-f.
// Signatures must have been verified.
func NewSection(s Logs, held []*Announcement) Section { return s.shared().newSection(held) }

func (s logs) newSection(held []*Announcement) Section {
	held = slices.Clone(held)
	slices.SortStableFunc(held, func(a, b *Announcement) int { // the best first, for a check hashes all ids
		x, y := &a.Statement, &b.Statement
		return cmp.Or(cmp.Compare(x.Member, y.Member), cmp.Compare(y.Sequence, x.Sequence), cmp.Compare(y.Watermark, x.Watermark), cmp.Compare(y.Height, x.Height))
	})
	out := Section{Height: s.height + 1}
	var taken uint32
	for _, a := range held {
		st := &a.Statement
		if st.Member == taken || st.Rule != s.rule || s.params.fresh(out.Height, st.Height) != nil || s.Check(a.Chunk()) != nil {
			continue
		}
		taken = st.Member
		out.Entries = append(out.Entries, *a)
	}
	if len(out.Entries) < s.params.Quorum() {
		out.Entries = nil
	}
	return out
}

// fresh checks a statement's height against the block's: that of the block before, or up to D earlier.
func (p Params) fresh(block, height uint64) error {
	if height >= block || block-1-height > p.Stale {
		return fmt.Errorf("%w: %d in block %d", ErrStale, height, block)
	}
	return nil
}

// Section encodes [NewSection]; nil if it would say nothing new.
func (s logs) Section(held []*Announcement) (wire []byte, chunks []Chunk, err error) {
	c := s.newSection(held)
	if !c.news(s) {
		return nil, nil, nil
	}
	if wire, err = c.MarshalBinary(); err != nil {
		return nil, nil, err
	}
	return wire, c.chunks(), nil
}

// Read is [ParseSection] and [Section.Verify]. A section that says nothing new is ErrInvalid.
func (s logs) Read(chainID string, section []byte, identities []ed25519.PublicKey) ([]Chunk, error) {
	c, err := s.parseSection(chainID, section)
	if err != nil {
		return nil, err
	}
	if !c.news(s) {
		return nil, errNoNews
	}
	return c.verify(s, chainID, identities, s.fits) // the heads were just computed from the ids
}

// news reports whether something may follow from the section: an id is new, or a watermark that ids in the logs may wait
// for. An idle chain takes no watermarks, or it would never rest.
func (c *Section) news(s logs) bool {
	return slices.ContainsFunc(c.Entries, func(a Announcement) bool {
		base, _, err := s.Base(a.Statement.Member)
		return len(a.IDs) > 0 || err == nil && a.Statement.Watermark > base.Watermark && s.Busy()
	})
}

func (c *Section) chunks() []Chunk {
	chunks := make([]Chunk, len(c.Entries))
	for i := range c.Entries {
		chunks[i] = c.Entries[i].Chunk()
	}
	return chunks
}

// Verify checks the section of the block after s: heights, members, that there are n-f of them or none, that every
// chunk continues its member's committed log, and the signatures under identities, where member i's key is at i-1.
// It gives what [Step] and [TimedStep] take.
func (c *Section) Verify(s Logs, chainID string, identities []ed25519.PublicKey) ([]Chunk, error) {
	l := s.shared()
	return c.verify(l, chainID, identities, l.Check)
}

func (c *Section) verify(s logs, chainID string, identities []ed25519.PublicKey, check func(Chunk) error) ([]Chunk, error) {
	if len(identities) != s.params.Members {
		return nil, fmt.Errorf("%w: %d identities, %d members", ErrInvalid, len(identities), s.params.Members)
	}
	if c.Height != s.height+1 {
		return nil, fmt.Errorf("%w: %d after %d", ErrHeight, c.Height, s.height)
	}
	chunks := c.chunks()
	if err := s.checkAll(chunks, check); err != nil {
		return nil, err
	}
	for i := range c.Entries {
		st := &c.Entries[i].Statement
		if st.ChainID != chainID || st.Rule != s.rule {
			return nil, fmt.Errorf("%w: statement for chain %q and %v", ErrInvalid, st.ChainID, st.Rule)
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

// entrySize is an entry without its ids, indexSize each of those.
func (r Rule) entrySize() int { return 2 + 1 + 8 + r.timeSize() + ed25519.SignatureSize + 2 }
func (r Rule) indexSize() int { return 2 + r.timeSize() }

// MarshalBinary encodes the section; what is in brackets is there in the second rule:
//
//	version (1) | ids (2) | ids (32 each), in the order of their first use | entries (2) | per entry, by member:
//	member (2) | age (1) | sequence (8) | [watermark (6)] | signature (64) | count (2) | per id: index (2) | [time (6)]
//
// Age is how many heights the statement is older than the block before. Heads are not in it.
func (c *Section) MarshalBinary() ([]byte, error) {
	var ids dictionary
	var entries []byte
	var before uint32
	for i := range c.Entries {
		a := &c.Entries[i]
		st := &a.Statement
		if err := cmp.Or(st.validate(), a.validate()); err != nil {
			return nil, fmt.Errorf("marshal section: %w", err)
		}
		if st.Height >= c.Height || c.Height-1-st.Height > maxStale || st.Member <= before || st.Rule != c.Entries[0].Statement.Rule {
			return nil, fmt.Errorf("marshal section: %w: height %d, member %d after %d, %v", ErrInvalid, st.Height, st.Member, before, st.Rule)
		}
		before = st.Member
		entries = a.appendEntry(entries, byte(c.Height-1-st.Height), &ids)
	}
	b, err := ids.appendTo([]byte{version})
	if err != nil {
		return nil, fmt.Errorf("marshal section: %w", err)
	}
	return append(appendUint16(b, len(c.Entries)), entries...), nil
}

func (a *Announcement) appendEntry(b []byte, age byte, ids *dictionary) []byte {
	st := &a.Statement
	timed := st.Rule == ReceiveTime
	b = appendUint64(append(appendUint16(b, int(st.Member)), age), st.Sequence)
	if timed {
		b = appendTime(b, st.Watermark)
	}
	b = appendUint16(append(b, st.Signature[:]...), len(a.IDs))
	for i, id := range a.IDs {
		b = appendUint16(b, ids.index(id))
		if timed {
			b = appendTime(b, a.Times[i])
		}
	}
	return b
}

// ParseSection is the inverse of [Section.MarshalBinary] for the block after s: it fills in heights, chain and heads.
// An entry that does not continue its member's committed log is an error, because its head cannot be known.
// Signatures are not checked.
func ParseSection(s Logs, chainID string, b []byte) (*Section, error) {
	return s.shared().parseSection(chainID, b)
}

func (s logs) parseSection(chainID string, b []byte) (*Section, error) {
	if err := threshold.ValidChainID(chainID); err != nil {
		return nil, fmt.Errorf("parse section: %w: %w", ErrInvalid, err)
	}
	d := newDecoder(b)
	d.Version(version)
	ids := d.dictionary(s.params)
	n := d.Count(2, s.params.Members, s.rule.entrySize())
	c := &Section{Height: s.height + 1, Entries: make([]Announcement, 0, n)}
	var before uint32
	for range n {
		a := d.entry(s, chainID, ids, before)
		if !d.OK() {
			break
		}
		before = a.Statement.Member
		c.Entries = append(c.Entries, *a)
	}
	ids.end(d)
	if err := d.End(); err != nil {
		return nil, fmt.Errorf("parse section: %w", err)
	}
	return c, nil
}

// entry fails if the member is out of order or unknown, the statement too old, or its ids do not lead to its number.
func (d *decoder) entry(s logs, chainID string, ids *dictionaryReader, before uint32) *Announcement {
	a := &Announcement{Statement: Statement{Rule: s.rule, ChainID: chainID, Member: uint32(d.Uint(2))}}
	st := &a.Statement
	age := d.Uint(1)
	if st.Sequence = d.Uint(8); s.rule == ReceiveTime {
		st.Watermark = d.Uint(timeSize)
	}
	d.Fill(st.Signature[:])
	a.entries(d.Count(2, s.params.MaxChunk, s.rule.indexSize()), d, func() threshold.ID { return ids.next(d) })
	base, _, err := s.Base(st.Member)
	switch n := uint64(len(a.IDs)); {
	case !d.OK():
	case err != nil || st.Member <= before:
		d.Fail("member %d after %d", st.Member, before)
	case age > s.params.Stale || age > s.height:
		d.Fail("a statement of %d heights before %d", age, s.height)
	case st.Sequence < base.Sequence || st.Sequence-base.Sequence != n:
		d.Fail("member %d: %d ids lead from %d to %d", st.Member, n, base.Sequence, st.Sequence)
	}
	if !d.OK() {
		return nil
	}
	st.Height = s.height - age
	st.Head, st.Times = extendHead(base.Head, a.IDs), extendTimes(base.Times, a.Times)
	if err := a.validate(); err != nil {
		d.Fail("%v", err)
	}
	return a
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
	c := &dictionaryReader{ids: make([]threshold.ID, d.Count(2, p.Members*p.MaxChunk, len(threshold.ID{})))}
	known := make(map[threshold.ID]bool, len(c.ids)) // never iterated
	for i := range c.ids {
		c.ids[i] = d.id()
		if known[c.ids[i]] {
			d.Fail("id %d is twice in the dictionary", i)
		}
		known[c.ids[i]] = true
	}
	return c
}

// next reads an index and gives its id.
func (c *dictionaryReader) next(d *decoder) (id threshold.ID) {
	x := d.Uint(2)
	if d.OK() && (x > uint64(c.used) || x >= uint64(len(c.ids))) {
		d.Fail("index %d of %d, %d used before", x, len(c.ids), c.used)
	}
	if !d.OK() {
		return id
	}
	if x == uint64(c.used) {
		c.used++
	}
	return c.ids[x]
}

func (c *dictionaryReader) end(d *decoder) {
	if c.used < len(c.ids) {
		d.Fail("id %d of the dictionary is not used", c.used)
	}
}
