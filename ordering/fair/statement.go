package fair

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"errors"
	"fmt"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/threshold"
)

const (
	domainStatement      = "scrim/head-statement/v1"
	domainTimedStatement = "scrim/timed-statement/v1"
)

// ErrSignature: a member's Ed25519 signature does not verify.
var ErrSignature = errors.New("fair: signature does not verify")

// ErrNoEvidence: a piece of evidence does not prove what it says.
var ErrNoEvidence = errors.New("fair: the evidence proves nothing")

// Statement is a member's signed word on how long its receive log is and what is in it. One signature covers all
// ids of the log, because the head is their hash chain. In the second rule it is a promise about the times to come too.
type Statement struct {
	Rule      Rule // of the chain; not on the wire, but each rule signs under its own domain
	ChainID   string
	Height    uint64            // that the member had committed when it signed
	Member    uint32            // 1..n
	Sequence  uint64            // number of ids in the log, the position of the last one
	Head      commitreveal.Hash // commitreveal.NextHead over them, zero for the empty log
	Times     commitreveal.Hash // second rule: NextTimes over their times, zero for the empty log
	Watermark uint64            // second rule: no later entry has an earlier time, in milliseconds since 1970
	Signature [ed25519.SignatureSize]byte
}

func (st *Statement) validate() error {
	if err := threshold.ValidChainID(st.ChainID); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	zero := commitreveal.Hash{}
	switch timed := st.Rule == ReceiveTime; {
	case !st.Rule.Valid():
		return fmt.Errorf("%w: statement of %v", ErrInvalid, st.Rule)
	case st.Member < 1 || st.Member > threshold.MaxMembers:
		return fmt.Errorf("%w: statement of member %d", ErrInvalid, st.Member)
	case (st.Sequence == 0) != (st.Head == zero):
		return fmt.Errorf("%w: head %v of a log of %d ids", ErrInvalid, st.Head, st.Sequence)
	case (st.Sequence > 0 && timed) == (st.Times == zero), st.Watermark > MaxTime, !timed && st.Watermark > 0:
		return fmt.Errorf("%w: %v: times %v of a log of %d ids, watermark %d", ErrInvalid, st.Rule, st.Times, st.Sequence, st.Watermark)
	}
	return nil
}

// body is the statement without its signature.
func (st *Statement) body() []byte {
	b := append([]byte{version, byte(len(st.ChainID))}, st.ChainID...)
	b = appendUint32(appendUint64(b, st.Height), int(st.Member))
	b = append(appendUint64(b, st.Sequence), st.Head[:]...)
	if st.Rule == ReceiveTime {
		b = appendUint64(append(b, st.Times[:]...), st.Watermark)
	}
	return b
}

func (st *Statement) message() []byte {
	if st.Rule == ReceiveTime {
		return append([]byte(domainTimedStatement), st.body()...)
	}
	return append([]byte(domainStatement), st.body()...)
}

// SignStatement sets the signature, made with the member's identity key.
func SignStatement(key ed25519.PrivateKey, st *Statement) error {
	if err := st.validate(); err != nil {
		return fmt.Errorf("sign head statement: %w", err)
	}
	copy(st.Signature[:], ed25519.Sign(key, st.message()))
	return nil
}

// Verify checks the signature under the member's identity key: ErrSignature if it is not that member's.
func (st *Statement) Verify(key ed25519.PublicKey) error {
	if err := st.validate(); err != nil {
		return fmt.Errorf("verify head statement: %w", err)
	}
	if len(key) != ed25519.PublicKeySize || !ed25519.Verify(key, st.message(), st.Signature[:]) {
		return fmt.Errorf("verify head statement of member %d: %w", st.Member, ErrSignature)
	}
	return nil
}

// MarshalBinary encodes the statement with its signature.
func (st *Statement) MarshalBinary() ([]byte, error) {
	if err := st.validate(); err != nil {
		return nil, fmt.Errorf("marshal head statement: %w", err)
	}
	return append(st.body(), st.Signature[:]...), nil
}

// ParseStatement is the inverse of [Statement.MarshalBinary]. The signature is not checked.
func (r Rule) ParseStatement(b []byte) (*Statement, error) {
	d := newDecoder(b)
	st := d.statement(r)
	if err := d.End(); err != nil {
		return nil, fmt.Errorf("parse head statement: %w", err)
	}
	return &st, nil
}

func (d *decoder) statement(r Rule) Statement {
	d.Version(version)
	st := Statement{Rule: r, ChainID: d.chainID(), Height: d.Uint(8), Member: uint32(d.Uint(4)), Sequence: d.Uint(8), Head: d.hash()}
	if r == ReceiveTime {
		st.Times, st.Watermark = d.hash(), d.Uint(8)
	}
	d.Fill(st.Signature[:])
	if d.OK() {
		if err := st.validate(); err != nil {
			d.Fail("%v", err)
		}
	}
	return st
}

// BrokenBy reports whether the receipt and the statement, both of one member, belong to two logs: the receipt has
// another head for the statement's last position. The two signed documents together are the evidence; signatures
// are not checked here.
func (st *Statement) BrokenBy(r *commitreveal.Receipt) bool {
	return st.ChainID == r.ChainID && st.Member == r.Member && st.Sequence == r.Position && st.Head != r.Head
}

// Announcement is what a member sends to the others once a height: its statement and what is new in its log since its
// last committed head.
type Announcement struct {
	Statement Statement
	IDs       []threshold.ID // the last ones of the log
	Times     []uint64       // second rule: of IDs
}

// Say signs an announcement of a chunk at a height with the member's identity key. The first rule takes of the chunk what
// it knows.
func (r Rule) Say(key ed25519.PrivateKey, chainID string, height uint64, c Chunk) (*Announcement, error) {
	a := &Announcement{IDs: c.IDs, Statement: Statement{
		Rule: r, ChainID: chainID, Height: height, Member: c.Member, Sequence: c.Sequence, Head: c.Head,
	}}
	if r == ReceiveTime {
		a.Times, a.Statement.Times, a.Statement.Watermark = c.Times, c.TimesHead, c.Watermark
	}
	return a, SignStatement(key, &a.Statement)
}

// Chunk is the announcement as [Logs] take it.
func (a *Announcement) Chunk() Chunk {
	st := &a.Statement
	return Chunk{st.Member, st.Sequence, st.Head, a.IDs, a.Times, st.Times, st.Watermark}
}

// Verify checks the statement's signature: ErrSignature. That the ids lead to its head is for [Logs] to check.
func (a *Announcement) Verify(key ed25519.PublicKey) error { return a.Statement.Verify(key) }

// After is the announcement without what is up to a sequence number; nil if it does not begin there or before, or ends before.
func (a *Announcement) After(sequence uint64) *Announcement {
	first := a.Statement.Sequence - uint64(len(a.IDs))
	if first > sequence || sequence > a.Statement.Sequence {
		return nil
	}
	out := &Announcement{Statement: a.Statement, IDs: a.IDs[sequence-first:]}
	if a.Statement.Rule == ReceiveTime {
		out.Times = a.Times[sequence-first:]
	}
	return out
}

// Fork is the evidence, if both are of one place of one log and differ; nil otherwise. Signatures are not checked.
func (a *Announcement) Fork(other *Announcement) *Equivocation {
	e, err := NewEquivocation(a.Statement, other.Statement)
	if err != nil {
		return nil
	}
	return e
}

func (a *Announcement) validate() error {
	times := 0
	if a.Statement.Rule == ReceiveTime {
		times = len(a.IDs)
	}
	if len(a.IDs) > maxMaxChunk || uint64(len(a.IDs)) > a.Statement.Sequence || len(a.Times) != times {
		return fmt.Errorf("%w: %d ids, %d times of a log of %d", ErrInvalid, len(a.IDs), len(a.Times), a.Statement.Sequence)
	}
	if !rise(0, a.Times, a.Statement.Watermark) {
		return fmt.Errorf("%w: times fall, or end above the watermark %d", ErrInvalid, a.Statement.Watermark)
	}
	return nil
}

// MarshalBinary encodes the announcement:
//
//	statement | count (2) | per id: id (32) | in the second rule, time (6)
func (a *Announcement) MarshalBinary() ([]byte, error) {
	if err := a.validate(); err != nil {
		return nil, fmt.Errorf("marshal announcement: %w", err)
	}
	b, err := a.Statement.MarshalBinary()
	if err != nil {
		return nil, err
	}
	b = appendUint16(b, len(a.IDs))
	for i, id := range a.IDs {
		b = append(b, id[:]...)
		if a.Statement.Rule == ReceiveTime {
			b = appendTime(b, a.Times[i])
		}
	}
	return b, nil
}

// ParseAnnouncement is the inverse of [Announcement.MarshalBinary]. Neither the signature nor the head is checked.
func (r Rule) ParseAnnouncement(b []byte) (*Announcement, error) {
	d := newDecoder(b)
	a := &Announcement{Statement: d.statement(r)}
	a.entries(d.Count(2, maxMaxChunk, len(threshold.ID{})+r.timeSize()), d, d.id)
	if err := d.End(); err != nil {
		return nil, fmt.Errorf("parse announcement: %w", err)
	}
	if err := a.validate(); err != nil {
		return nil, fmt.Errorf("parse announcement: %w: %w", ErrEncoding, err)
	}
	return a, nil
}

// entries reads n ids, each by next, and their times.
func (a *Announcement) entries(n int, d *decoder, next func() threshold.ID) {
	a.IDs = make([]threshold.ID, n)
	if a.Statement.Rule == ReceiveTime {
		a.Times = make([]uint64, n)
	}
	for i := range a.IDs {
		a.IDs[i] = next()
		if a.Times != nil {
			a.Times[i] = d.Uint(timeSize)
		}
	}
}

// MaxAnnouncementSize is the size in bytes of the largest announcement of a chain.
func (r Rule) MaxAnnouncementSize(p Params) int {
	statement := 1 + 1 + threshold.MaxChainID + 8 + 4 + 8 + 32 + ed25519.SignatureSize
	if r == ReceiveTime {
		statement += 32 + 8
	}
	return statement + 2 + p.MaxChunk*(len(threshold.ID{})+r.timeSize())
}

// Equivocation is evidence that a member has two logs: two heads that it signed for one sequence number, or two hashes of
// the times. Heights and watermarks do not matter, for an honest log never changes what it has.
type Equivocation struct {
	A, B Statement // A is the one with the lower head, or, if that is one, with the lower hash of the times
}

// NewEquivocation makes the evidence from two statements in either order; ErrNoEvidence if they do not conflict.
// Signatures are not checked.
func NewEquivocation(a, b Statement) (*Equivocation, error) {
	if compareHeads(&a, &b) > 0 {
		a, b = b, a
	}
	e := &Equivocation{a, b}
	return e, e.validate()
}

func compareHeads(a, b *Statement) int {
	return cmp.Or(bytes.Compare(a.Head[:], b.Head[:]), bytes.Compare(a.Times[:], b.Times[:]))
}

func (e *Equivocation) validate() error {
	a, b := &e.A, &e.B
	switch {
	case a.Rule != b.Rule || a.ChainID != b.ChainID || a.Member != b.Member || a.Sequence != b.Sequence:
		return fmt.Errorf("%w: the statements are not of one place of one log", ErrNoEvidence)
	case compareHeads(a, b) >= 0:
		return fmt.Errorf("%w: the statements must differ in what the log has, the lower one first", ErrNoEvidence)
	}
	return nil
}

// Kind names the sort of evidence.
func (e *Equivocation) Kind() string {
	if e.A.Rule == ReceiveTime {
		return "receive_times_fork"
	}
	return "receive_log_fork"
}

// Member is the accused.
func (e *Equivocation) Member() uint32 { return e.A.Member }

// Verify is nil if the evidence holds for the member with this identity key, ErrNoEvidence if not.
func (e *Equivocation) Verify(chainID string, identity ed25519.PublicKey) error {
	if err := e.validate(); err != nil {
		return err
	}
	if e.A.ChainID != chainID {
		return fmt.Errorf("%w: statements of chain %q", ErrNoEvidence, e.A.ChainID)
	}
	for _, st := range []*Statement{&e.A, &e.B} {
		if err := st.Verify(identity); err != nil {
			return fmt.Errorf("%w: %w", ErrNoEvidence, err)
		}
	}
	return nil
}

// MarshalBinary encodes the evidence: version (1), the two statements with their signatures.
func (e *Equivocation) MarshalBinary() ([]byte, error) {
	if err := e.validate(); err != nil {
		return nil, fmt.Errorf("marshal equivocation: %w", err)
	}
	a, err := e.A.MarshalBinary()
	if err != nil {
		return nil, err
	}
	b, err := e.B.MarshalBinary()
	if err != nil {
		return nil, err
	}
	return append(append([]byte{version}, a...), b...), nil
}

// ParseEquivocation is the inverse of [Equivocation.MarshalBinary]. Signatures are not checked.
func (r Rule) ParseEquivocation(b []byte) (*Equivocation, error) {
	d := newDecoder(b)
	d.Version(version)
	e := &Equivocation{d.statement(r), d.statement(r)}
	if err := d.End(); err != nil {
		return nil, fmt.Errorf("parse equivocation: %w", err)
	}
	if err := e.validate(); err != nil {
		return nil, fmt.Errorf("parse equivocation: %w: %w", ErrEncoding, err)
	}
	return e, nil
}
