package fair

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/threshold"
)

const domainStatement = "scrim/head-statement/v1"

// ErrSignature: a member's Ed25519 signature does not verify.
var ErrSignature = errors.New("fair: signature does not verify")

// ErrNoEvidence: a piece of evidence does not prove what it says.
var ErrNoEvidence = errors.New("fair: the evidence proves nothing")

// Statement is a member's signed word on how long its receive log is and what is in it. One signature covers all
// ids of the log, because the head is their hash chain.
type Statement struct {
	ChainID   string
	Height    uint64            // that the member had committed when it signed
	Member    uint32            // 1..n
	Sequence  uint64            // number of ids in the log, the position of the last one
	Head      commitreveal.Hash // commitreveal.NextHead over them, zero for the empty log
	Signature [ed25519.SignatureSize]byte
}

func (st *Statement) validate() error {
	if err := threshold.ValidChainID(st.ChainID); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	switch {
	case st.Member < 1 || st.Member > threshold.MaxMembers:
		return fmt.Errorf("%w: statement of member %d", ErrInvalid, st.Member)
	case (st.Sequence == 0) != (st.Head == commitreveal.Hash{}):
		return fmt.Errorf("%w: head %v of a log of %d ids", ErrInvalid, st.Head, st.Sequence)
	}
	return nil
}

// body is the statement without its signature.
func (st *Statement) body() []byte {
	b := append([]byte{version, byte(len(st.ChainID))}, st.ChainID...)
	b = appendUint32(appendUint64(b, st.Height), int(st.Member))
	return append(appendUint64(b, st.Sequence), st.Head[:]...)
}

func (st *Statement) message() []byte { return append([]byte(domainStatement), st.body()...) }

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
func ParseStatement(b []byte) (*Statement, error) {
	d := &decoder{b: b}
	st := d.statement()
	if err := d.end(); err != nil {
		return nil, fmt.Errorf("parse head statement: %w", err)
	}
	return st, nil
}

func (d *decoder) statement() *Statement {
	d.version()
	st := &Statement{ChainID: d.chainID(), Height: d.uint(8), Member: uint32(d.uint(4)), Sequence: d.uint(8), Head: d.hash()}
	d.into(st.Signature[:])
	if d.err == nil {
		if err := st.validate(); err != nil {
			d.fail("%v", err)
		}
	}
	return st
}

// Announcement is what a member sends to the others once a height: its statement and the ids since its last
// committed head.
type Announcement struct {
	Statement Statement
	IDs       []threshold.ID // the last ones of the log
}

// Chunk is the announcement as [State.Check] and [Step] take it.
func (a *Announcement) Chunk() Chunk {
	return Chunk{a.Statement.Member, a.Statement.Sequence, a.Statement.Head, a.IDs}
}

func (a *Announcement) validate() error {
	if len(a.IDs) > maxMaxChunk || uint64(len(a.IDs)) > a.Statement.Sequence {
		return fmt.Errorf("%w: %d ids of a log of %d", ErrInvalid, len(a.IDs), a.Statement.Sequence)
	}
	return nil
}

// MarshalBinary encodes the announcement.
func (a *Announcement) MarshalBinary() ([]byte, error) {
	if err := a.validate(); err != nil {
		return nil, fmt.Errorf("marshal announcement: %w", err)
	}
	b, err := a.Statement.MarshalBinary()
	if err != nil {
		return nil, err
	}
	b = appendUint16(b, len(a.IDs))
	for _, id := range a.IDs {
		b = append(b, id[:]...)
	}
	return b, nil
}

// ParseAnnouncement is the inverse of [Announcement.MarshalBinary]. Neither the signature nor the head is checked.
func ParseAnnouncement(b []byte) (*Announcement, error) {
	d := &decoder{b: b}
	a := &Announcement{Statement: *d.statement()}
	a.IDs = make([]threshold.ID, d.count(2, maxMaxChunk, len(threshold.ID{})))
	for i := range a.IDs {
		a.IDs[i] = d.id()
	}
	if err := d.end(); err != nil {
		return nil, fmt.Errorf("parse announcement: %w", err)
	}
	if err := a.validate(); err != nil {
		return nil, fmt.Errorf("parse announcement: %w: %w", ErrEncoding, err)
	}
	return a, nil
}

// MaxAnnouncementSize is the size in bytes of the largest announcement of a chain.
func MaxAnnouncementSize(p Params) int {
	return 1 + 1 + threshold.MaxChainID + 8 + 4 + 8 + 32 + ed25519.SignatureSize + 2 + p.MaxChunk*len(threshold.ID{})
}

// Equivocation is evidence that a member has two logs: two heads that it signed for one sequence number. Heights do
// not matter, for an honest log never changes what it has.
type Equivocation struct {
	A, B Statement // A's head is the lower one
}

// NewEquivocation makes the evidence from two statements in either order; ErrNoEvidence if they do not conflict.
// Signatures are not checked.
func NewEquivocation(a, b Statement) (*Equivocation, error) {
	if bytes.Compare(a.Head[:], b.Head[:]) > 0 {
		a, b = b, a
	}
	e := &Equivocation{a, b}
	return e, e.validate()
}

func (e *Equivocation) validate() error {
	a, b := &e.A, &e.B
	switch {
	case a.ChainID != b.ChainID || a.Member != b.Member || a.Sequence != b.Sequence:
		return fmt.Errorf("%w: the statements are not of one place of one log", ErrNoEvidence)
	case bytes.Compare(a.Head[:], b.Head[:]) >= 0:
		return fmt.Errorf("%w: there must be two heads, the lower one first", ErrNoEvidence)
	}
	return nil
}

// Kind names the sort of evidence.
func (*Equivocation) Kind() string { return "receive_log_fork" }

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

// MarshalBinary encodes the evidence.
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
func ParseEquivocation(b []byte) (*Equivocation, error) {
	d := &decoder{b: b}
	d.version()
	e := &Equivocation{*d.statement(), *d.statement()}
	if err := d.end(); err != nil {
		return nil, fmt.Errorf("parse equivocation: %w", err)
	}
	if err := e.validate(); err != nil {
		return nil, fmt.Errorf("parse equivocation: %w: %w", ErrEncoding, err)
	}
	return e, nil
}

// BrokenBy reports whether the receipt and the statement, both of one member, belong to two logs: the receipt has
// another head for the statement's last position. The two signed documents together are the evidence; signatures
// are not checked here.
func (st *Statement) BrokenBy(r *commitreveal.Receipt) bool {
	return st.ChainID == r.ChainID && st.Member == r.Member && st.Sequence == r.Position && st.Head != r.Head
}
