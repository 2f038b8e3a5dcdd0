package fair

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"fmt"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/threshold"
)

const domainTimedStatement = "scrim/timed-statement/v1"

// TimedStatement is a head statement for the second rule: what a [Statement] says, the hash of the log's times, and a
// promise about the times to come.
type TimedStatement struct {
	ChainID     string
	Height      uint64            // that the member had committed when it signed
	Member      uint32            // 1..n
	Sequence    uint64            // number of ids in the log
	Head, Times commitreveal.Hash // commitreveal.NextHead over its ids, NextTimes over their times; zero for the empty log
	Watermark   uint64            // no later entry has an earlier time, in milliseconds since 1970
	Signature   [ed25519.SignatureSize]byte
}

// untimed has the fields that both kinds of statement have, for their checks and encoding.
func (st *TimedStatement) untimed() *Statement {
	return &Statement{ChainID: st.ChainID, Height: st.Height, Member: st.Member, Sequence: st.Sequence, Head: st.Head}
}

func (st *TimedStatement) validate() error {
	if err := st.untimed().validate(); err != nil {
		return err
	}
	if (st.Sequence == 0) != (st.Times == commitreveal.Hash{}) || st.Watermark > MaxTime {
		return fmt.Errorf("%w: times %v of a log of %d ids, watermark %d", ErrInvalid, st.Times, st.Sequence, st.Watermark)
	}
	return nil
}

func (st *TimedStatement) body() []byte {
	return appendUint64(append(st.untimed().body(), st.Times[:]...), st.Watermark)
}

func (st *TimedStatement) message() []byte { return append([]byte(domainTimedStatement), st.body()...) }

// SignTimedStatement sets the signature, made with the member's identity key.
func SignTimedStatement(key ed25519.PrivateKey, st *TimedStatement) error {
	if err := st.validate(); err != nil {
		return fmt.Errorf("sign timed statement: %w", err)
	}
	copy(st.Signature[:], ed25519.Sign(key, st.message()))
	return nil
}

// Verify checks the signature under the member's identity key: ErrSignature if it is not that member's.
func (st *TimedStatement) Verify(key ed25519.PublicKey) error {
	if err := st.validate(); err != nil {
		return fmt.Errorf("verify timed statement: %w", err)
	}
	if len(key) != ed25519.PublicKeySize || !ed25519.Verify(key, st.message(), st.Signature[:]) {
		return fmt.Errorf("verify timed statement of member %d: %w", st.Member, ErrSignature)
	}
	return nil
}

// Conflicts reports whether the two statements are of one place of one log and say different things of it, which no honest
// member does: two heads, or two sets of times. Signatures are not checked.
func (st *TimedStatement) Conflicts(other *TimedStatement) bool {
	return st.ChainID == other.ChainID && st.Member == other.Member && st.Sequence == other.Sequence &&
		(st.Head != other.Head || st.Times != other.Times)
}

// BrokenBy is as [Statement.BrokenBy].
func (st *TimedStatement) BrokenBy(r *commitreveal.Receipt) bool { return st.untimed().BrokenBy(r) }

// TimedAnnouncement is what a member sends to the others once a height: its statement and what is new in its log.
type TimedAnnouncement struct {
	Statement TimedStatement
	IDs       []threshold.ID
	Times     []uint64 // of IDs
}

// Chunk is the announcement as [TimedState.Check] and [TimedStep] take it.
func (a *TimedAnnouncement) Chunk() TimedChunk {
	st := &a.Statement
	return TimedChunk{Chunk{st.Member, st.Sequence, st.Head, a.IDs}, a.Times, st.Times, st.Watermark}
}

func (a *TimedAnnouncement) validate() error {
	if len(a.IDs) > maxMaxChunk || uint64(len(a.IDs)) > a.Statement.Sequence || len(a.Times) != len(a.IDs) {
		return fmt.Errorf("%w: %d ids, %d times of a log of %d", ErrInvalid, len(a.IDs), len(a.Times), a.Statement.Sequence)
	}
	var last uint64
	for _, t := range append(a.Times[:len(a.Times):len(a.Times)], a.Statement.Watermark) {
		if t < last || t > MaxTime {
			return fmt.Errorf("%w: time %d after %d", ErrInvalid, t, last)
		}
		last = t
	}
	return nil
}

// MarshalBinary encodes the announcement:
//
//	statement | count (2) | per id: id (32) | time (6)
func (a *TimedAnnouncement) MarshalBinary() ([]byte, error) {
	if err := a.validate(); err != nil {
		return nil, fmt.Errorf("marshal timed announcement: %w", err)
	}
	if err := a.Statement.validate(); err != nil {
		return nil, fmt.Errorf("marshal timed announcement: %w", err)
	}
	b := append(a.Statement.body(), a.Statement.Signature[:]...)
	b = appendUint16(b, len(a.IDs))
	for i, id := range a.IDs {
		b = appendTime(append(b, id[:]...), a.Times[i])
	}
	return b, nil
}

// appendTime appends 6 bytes, which MaxTime fits into.
func appendTime(b []byte, t uint64) []byte { return appendUint32(appendUint16(b, int(t>>32)), int(t)) }

// ParseTimedAnnouncement is the inverse of [TimedAnnouncement.MarshalBinary]. Neither the signature nor the heads are checked.
func ParseTimedAnnouncement(b []byte) (*TimedAnnouncement, error) {
	d := &decoder{b: b}
	a := &TimedAnnouncement{Statement: d.timedStatement()}
	st := &a.Statement
	n := d.count(2, maxMaxChunk, len(threshold.ID{})+6)
	a.IDs, a.Times = make([]threshold.ID, n), make([]uint64, n)
	for i := range n {
		a.IDs[i], a.Times[i] = d.id(), d.uint(6)
	}
	if err := d.end(); err != nil {
		return nil, fmt.Errorf("parse timed announcement: %w", err)
	}
	for _, err := range []error{st.validate(), a.validate()} {
		if err != nil {
			return nil, fmt.Errorf("parse timed announcement: %w: %w", ErrEncoding, err)
		}
	}
	return a, nil
}

func (d *decoder) timedStatement() TimedStatement {
	d.version()
	st := TimedStatement{
		ChainID: d.chainID(), Height: d.uint(8), Member: uint32(d.uint(4)), Sequence: d.uint(8), Head: d.hash(), Times: d.hash(), Watermark: d.uint(8),
	}
	d.into(st.Signature[:])
	return st
}

// MaxTimedAnnouncementSize is the size in bytes of the largest announcement of a chain.
func MaxTimedAnnouncementSize(p Params) int { return MaxAnnouncementSize(p) + 32 + 8 + p.MaxChunk*6 }

// TimedSection is the part of a block that carries the members' timed statements, as [Section] does.
type TimedSection struct {
	Height  uint64 // of the block; not on the wire
	Entries []TimedAnnouncement
}

// NewTimedSection takes what fits s, of each member the longest log, and of equal ones the latest watermark; nothing if
// there are not n-f. Signatures must have been verified.
func NewTimedSection(s TimedState, held []TimedAnnouncement) TimedSection {
	best := make([]*TimedAnnouncement, s.params.Members)
	for i := range held {
		a := &held[i]
		if s.params.fresh(s.height+1, a.Statement.Height) != nil || s.Check(a.Chunk()) != nil {
			continue
		}
		m := a.Statement.Member - 1
		if b := best[m]; b == nil || a.Statement.Sequence > b.Statement.Sequence ||
			a.Statement.Sequence == b.Statement.Sequence && a.Statement.Watermark > b.Statement.Watermark {
			best[m] = a
		}
	}
	out := TimedSection{Height: s.height + 1}
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

// Verify checks the section of the block after s, as [Section.Verify] does, and gives what [TimedStep] takes.
func (c *TimedSection) Verify(s TimedState, chainID string, identities []ed25519.PublicKey) ([]TimedChunk, error) {
	if len(identities) != s.params.Members {
		return nil, fmt.Errorf("%w: %d identities, %d members", ErrInvalid, len(identities), s.params.Members)
	}
	if c.Height != s.height+1 {
		return nil, fmt.Errorf("%w: %d after %d", ErrHeight, c.Height, s.height)
	}
	chunks := make([]TimedChunk, len(c.Entries))
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

// timedEntrySize is an entry without its ids.
const timedEntrySize = sectionEntrySize + 6

// MarshalBinary encodes the section:
//
//	version (1) | ids (2) | ids (32 each), in the order of their first use | entries (2) | per entry, by member:
//	member (2) | age (1) | sequence (8) | watermark (6) | signature (64) | count (2) | per id: index (2) | time (6)
func (c *TimedSection) MarshalBinary() ([]byte, error) {
	var ids dictionary
	var entries []byte
	var before uint32
	for i := range c.Entries {
		a := &c.Entries[i]
		st := &a.Statement
		if err := st.validate(); err != nil {
			return nil, fmt.Errorf("marshal timed section: %w", err)
		}
		if err := a.validate(); err != nil {
			return nil, fmt.Errorf("marshal timed section: %w", err)
		}
		if st.Height >= c.Height || c.Height-1-st.Height > maxStale || st.Member <= before {
			return nil, fmt.Errorf("marshal timed section: %w: height %d, member %d after %d", ErrInvalid, st.Height, st.Member, before)
		}
		before = st.Member
		entries = append(appendUint16(entries, int(st.Member)), byte(c.Height-1-st.Height))
		entries = appendTime(appendUint64(entries, st.Sequence), st.Watermark)
		entries = appendUint16(append(entries, st.Signature[:]...), len(a.IDs))
		for j, id := range a.IDs {
			entries = appendTime(appendUint16(entries, ids.index(id)), a.Times[j])
		}
	}
	b, err := ids.appendTo([]byte{version})
	if err != nil {
		return nil, fmt.Errorf("marshal timed section: %w", err)
	}
	return append(appendUint16(b, len(c.Entries)), entries...), nil
}

// ParseTimedSection is the inverse of [TimedSection.MarshalBinary] for the block after s, as [ParseSection] is.
func ParseTimedSection(s TimedState, chainID string, b []byte) (*TimedSection, error) {
	if err := threshold.ValidChainID(chainID); err != nil {
		return nil, fmt.Errorf("parse timed section: %w: %w", ErrInvalid, err)
	}
	d := &decoder{b: b}
	d.version()
	ids := d.dictionary(s.params)
	n := d.count(2, s.params.Members, timedEntrySize)
	c := &TimedSection{Height: s.height + 1, Entries: make([]TimedAnnouncement, 0, n)}
	var before uint64
	for range n {
		a := d.timedEntry(s, chainID, ids, &before)
		if d.err != nil {
			break
		}
		c.Entries = append(c.Entries, *a)
	}
	ids.end(d)
	if err := d.end(); err != nil {
		return nil, fmt.Errorf("parse timed section: %w", err)
	}
	return c, nil
}

func (d *decoder) timedEntry(s TimedState, chainID string, ids *dictionaryReader, before *uint64) *TimedAnnouncement {
	a := &TimedAnnouncement{}
	st := &a.Statement
	member, age, sequence := d.uint(2), d.uint(1), d.uint(8)
	st.Watermark = d.uint(6)
	d.into(st.Signature[:])
	n := d.count(2, s.params.MaxChunk, 2+6)
	a.IDs, a.Times = make([]threshold.ID, n), make([]uint64, n)
	for i := range n {
		a.IDs[i], a.Times[i] = ids.next(d), d.uint(6)
	}
	committed, head, times, _, err := s.Log(uint32(member))
	if !d.entryFollows(member, *before, age, sequence, committed, n, s.height, s.params, err) {
		return nil
	}
	*before = member
	st.ChainID, st.Height, st.Member, st.Sequence = chainID, s.height-age, uint32(member), sequence
	st.Head, st.Times = extendHead(head, a.IDs), times
	for _, t := range a.Times {
		st.Times = NextTimes(st.Times, t)
	}
	if err := a.validate(); err != nil {
		d.fail("%v", err)
	}
	return a
}

// TimedEquivocation is evidence that a member has two logs with times: two statements that conflict, see
// [TimedStatement.Conflicts].
type TimedEquivocation struct {
	A, B TimedStatement // A is the one with the lower head, or, if that is one, with the lower hash of the times
}

// NewTimedEquivocation makes the evidence from two statements in either order; ErrNoEvidence if they do not conflict.
// Signatures are not checked.
func NewTimedEquivocation(a, b TimedStatement) (*TimedEquivocation, error) {
	if compareHeads(&a, &b) > 0 {
		a, b = b, a
	}
	e := &TimedEquivocation{a, b}
	return e, e.validate()
}

func compareHeads(a, b *TimedStatement) int {
	return cmp.Or(bytes.Compare(a.Head[:], b.Head[:]), bytes.Compare(a.Times[:], b.Times[:]))
}

func (e *TimedEquivocation) validate() error {
	if !e.A.Conflicts(&e.B) || compareHeads(&e.A, &e.B) >= 0 {
		return fmt.Errorf("%w: two statements of one place of one log must differ, the lower one first", ErrNoEvidence)
	}
	return nil
}

// Kind names the sort of evidence.
func (*TimedEquivocation) Kind() string { return "receive_times_fork" }

// Member is the accused.
func (e *TimedEquivocation) Member() uint32 { return e.A.Member }

// Verify is nil if the evidence holds for the member with this identity key, ErrNoEvidence if not.
func (e *TimedEquivocation) Verify(chainID string, identity ed25519.PublicKey) error {
	if err := e.validate(); err != nil {
		return err
	}
	if e.A.ChainID != chainID {
		return fmt.Errorf("%w: statements of chain %q", ErrNoEvidence, e.A.ChainID)
	}
	for _, st := range []*TimedStatement{&e.A, &e.B} {
		if err := st.Verify(identity); err != nil {
			return fmt.Errorf("%w: %w", ErrNoEvidence, err)
		}
	}
	return nil
}

// MarshalBinary encodes the evidence: version (1), the two statements with their signatures.
func (e *TimedEquivocation) MarshalBinary() ([]byte, error) {
	if err := e.validate(); err != nil {
		return nil, fmt.Errorf("marshal timed equivocation: %w", err)
	}
	b := []byte{version}
	for _, st := range []*TimedStatement{&e.A, &e.B} {
		if err := st.validate(); err != nil {
			return nil, fmt.Errorf("marshal timed equivocation: %w", err)
		}
		b = append(append(b, st.body()...), st.Signature[:]...)
	}
	return b, nil
}

// ParseTimedEquivocation is the inverse of [TimedEquivocation.MarshalBinary]. Signatures are not checked.
func ParseTimedEquivocation(b []byte) (*TimedEquivocation, error) {
	d := &decoder{b: b}
	d.version()
	e := &TimedEquivocation{d.timedStatement(), d.timedStatement()}
	if err := d.end(); err != nil {
		return nil, fmt.Errorf("parse timed equivocation: %w", err)
	}
	for _, err := range []error{e.A.validate(), e.B.validate(), e.validate()} {
		if err != nil {
			return nil, fmt.Errorf("parse timed equivocation: %w: %w", ErrEncoding, err)
		}
	}
	return e, nil
}
