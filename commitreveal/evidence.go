package commitreveal

import (
	"crypto/ed25519"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/scrimlabs/scrim/threshold"
)

// ErrNoEvidence: a piece of evidence does not prove what it says.
var ErrNoEvidence = errors.New("commitreveal: the evidence proves nothing")

// Evidence is something that a member signed and should not have: a [BadPoint], a
// [BadSignature] or [ConflictingShares]. It carries its own proof, so that the committee and
// the member's identity key are all that a judge needs.
type Evidence interface {
	// Kind names the sort of evidence, in snake_case.
	Kind() string
	// Member is the accused, Height that of the batch in question.
	Member() uint32
	Height() uint64
	// ChainID and Epoch are those of the shares.
	ChainID() string
	Epoch() uint64
	// Verify is nil if the evidence holds, and ErrNoEvidence if not.
	Verify(c *threshold.Committee, identity ed25519.PublicKey) error

	appendEvidence(b []byte) ([]byte, error)
}

// The kind byte of a piece of evidence.
const (
	kindBadPoint     = 1
	kindBadSignature = 2
	kindConflict     = 3
)

// BadPoint is a share of a batch with a point that is not the member's share
// of its ciphertext. It holds the ciphertext and the proof that the root, which
// the member signed, has it at that position.
type BadPoint struct {
	Message    ShareMessage
	Position   uint32 // in the batch, from 0
	Count      uint32 // of the batch's ciphertexts
	Ciphertext []byte
	Proof      []Hash // RFC 6962 inclusion proof of the record under Message.Root
}

// BadSignature is a share message whose signature share is not the member's
// on the batch's checkpoint, with the committee's certificate which proves that
// the checkpoint is the right one.
type BadSignature struct {
	Message     ShareMessage
	Checkpoint  Checkpoint
	Certificate threshold.Signature
}

// ConflictingShares is two shares of one member for one height and two roots:
// the member shared a batch that was not the committed one.
type ConflictingShares struct {
	A, B ShareMessage // Root of A is below Root of B
}

// NewBadPoint makes the evidence against the point at a position of a batch.
func NewBadPoint(m ShareMessage, batch []*threshold.Checked, position int) (*BadPoint, error) {
	if position < 0 || position >= len(batch) {
		return nil, fmt.Errorf("%w: position %d in a batch of %d", ErrInvalid, position, len(batch))
	}
	records := make([][]byte, len(batch))
	for i, c := range batch {
		records[i] = batchRecord(len(batch), i, c.ID())
	}
	proof, err := proveRecord(records, position)
	if err != nil {
		return nil, err
	}
	return &BadPoint{
		Message: m, Position: uint32(position), Count: uint32(len(batch)),
		Ciphertext: batch[position].Ciphertext().Bytes(), Proof: proof,
	}, nil
}

// NewConflictingShares orders two conflicting shares.
func NewConflictingShares(a, b ShareMessage) *ConflictingShares {
	if string(a.Root[:]) > string(b.Root[:]) {
		a, b = b, a
	}
	return &ConflictingShares{a, b}
}

// Kind implements [Evidence].
func (*BadPoint) Kind() string { return "bad_point" }

// Kind implements [Evidence].
func (*BadSignature) Kind() string { return "bad_signature" }

// Kind implements [Evidence].
func (*ConflictingShares) Kind() string { return "conflicting_shares" }

// Member implements [Evidence].
func (e *BadPoint) Member() uint32 { return e.Message.Member() }

// Member implements [Evidence].
func (e *BadSignature) Member() uint32 { return e.Message.Member() }

// Member implements [Evidence].
func (e *ConflictingShares) Member() uint32 { return e.A.Member() }

// Height implements [Evidence].
func (e *BadPoint) Height() uint64 { return e.Message.Height }

// Height implements [Evidence].
func (e *BadSignature) Height() uint64 { return e.Message.Height }

// Height implements [Evidence].
func (e *ConflictingShares) Height() uint64 { return e.A.Height }

// ChainID implements [Evidence].
func (e *BadPoint) ChainID() string { return e.Message.ChainID }

// ChainID implements [Evidence].
func (e *BadSignature) ChainID() string { return e.Message.ChainID }

// ChainID implements [Evidence].
func (e *ConflictingShares) ChainID() string { return e.A.ChainID }

// Epoch implements [Evidence].
func (e *BadPoint) Epoch() uint64 { return e.Message.Epoch }

// Epoch implements [Evidence].
func (e *BadSignature) Epoch() uint64 { return e.Message.Epoch }

// Epoch implements [Evidence].
func (e *ConflictingShares) Epoch() uint64 { return e.A.Epoch }

func noEvidence(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrNoEvidence}, args...)...)
}

// signedInEpoch checks that the member signed the message for the committee.
func signedInEpoch(m *ShareMessage, c *threshold.Committee, identity ed25519.PublicKey) error {
	if m.Epoch != c.Epoch {
		return noEvidence("share of epoch %d, committee of epoch %d", m.Epoch, c.Epoch)
	}
	if err := m.Verify(identity); err != nil {
		return noEvidence("%w", err)
	}
	return nil
}

// Verify implements [Evidence].
func (e *BadPoint) Verify(c *threshold.Committee, identity ed25519.PublicKey) error {
	m := &e.Message
	if err := signedInEpoch(m, c, identity); err != nil {
		return err
	}
	ct, err := threshold.ParseCiphertext(e.Ciphertext)
	if err != nil {
		return noEvidence("%w", err)
	}
	if err := e.checkInclusion(ct.ID()); err != nil {
		return noEvidence("the signed root does not have the ciphertext at position %d of %d: %w", e.Position, e.Count, err)
	}
	if len(m.Share.Points) != int(e.Count) {
		return nil // the wrong number of points is fault enough
	}
	checked, err := ct.Check()
	if err != nil {
		return noEvidence("%w", err)
	}
	single := &threshold.BatchShare{Member: m.Member(), Points: m.Share.Points[e.Position:][:1]}
	_, err = threshold.VerifyBatchShare(c, []*threshold.Checked{checked}, single)
	switch {
	case err == nil:
		return noEvidence("the point is the member's share")
	case errors.Is(err, threshold.ErrShare), errors.Is(err, threshold.ErrPoint), errors.Is(err, threshold.ErrEncoding):
		return nil
	default:
		return noEvidence("%w", err)
	}
}

func (e *BadPoint) checkInclusion(id threshold.ID) error {
	proof := make(tlog.RecordProof, len(e.Proof))
	for i, h := range e.Proof {
		proof[i] = tlog.Hash(h)
	}
	record := tlog.RecordHash(batchRecord(int(e.Count), int(e.Position), id))
	return tlog.CheckRecord(proof, int64(e.Count), tlog.Hash(e.Message.Root), int64(e.Position), record)
}

// Verify implements [Evidence].
func (e *BadSignature) Verify(c *threshold.Committee, identity ed25519.PublicKey) error {
	m, cp := &e.Message, &e.Checkpoint
	if err := signedInEpoch(m, c, identity); err != nil {
		return err
	}
	if cp.ChainID != m.ChainID || cp.Epoch != m.Epoch || cp.Height != m.Height || cp.BatchRoot != m.Root {
		return noEvidence("the checkpoint is of another batch")
	}
	signed, err := cp.MarshalBinary()
	if err != nil {
		return noEvidence("%w", err)
	}
	if err := threshold.VerifySignature(c.Key, signed, e.Certificate); err != nil {
		return noEvidence("the committee did not sign the checkpoint: %w", err)
	}
	err = threshold.VerifySignatureShare(c, signed, m.Signature)
	switch {
	case err == nil:
		return noEvidence("the signature share is the member's")
	case errors.Is(err, threshold.ErrSignature):
		return nil
	default:
		return noEvidence("%w", err)
	}
}

// Verify implements [Evidence].
func (e *ConflictingShares) Verify(c *threshold.Committee, identity ed25519.PublicKey) error {
	if err := e.validate(); err != nil {
		return noEvidence("%w", err)
	}
	if err := signedInEpoch(&e.A, c, identity); err != nil {
		return err
	}
	return signedInEpoch(&e.B, c, identity)
}

func (e *ConflictingShares) validate() error {
	a, b := &e.A, &e.B
	if a.ChainID != b.ChainID || a.Epoch != b.Epoch || a.Height != b.Height || a.Member() != b.Member() {
		return fmt.Errorf("%w: shares of two members or batches do not conflict", ErrInvalid)
	}
	if string(a.Root[:]) >= string(b.Root[:]) {
		return fmt.Errorf("%w: conflicting shares must have two roots, the lower first", ErrInvalid)
	}
	return nil
}

// MarshalEvidence encodes a piece of evidence.
func MarshalEvidence(e Evidence) ([]byte, error) {
	if e == nil {
		return nil, fmt.Errorf("%w: no evidence", ErrInvalid)
	}
	b, err := e.appendEvidence([]byte{version})
	if err != nil {
		return nil, fmt.Errorf("marshal evidence: %w", err)
	}
	return b, nil
}

// ParseEvidence is the inverse of [MarshalEvidence]. It verifies nothing.
func ParseEvidence(b []byte) (Evidence, error) {
	d := newDecoder(b)
	d.Version(version)
	var e Evidence
	switch kind := d.Byte(); {
	case !d.OK():
	case kind == kindBadPoint:
		e = parseBadPoint(d)
	case kind == kindBadSignature:
		e = parseBadSignature(d)
	case kind == kindConflict:
		e = parseConflict(d)
	default:
		d.Fail("evidence kind %d", kind)
	}
	if err := d.End(); err != nil {
		return nil, fmt.Errorf("parse evidence: %w", err)
	}
	return e, nil
}

const maxProof = 17 // hashes of an inclusion proof in a tree of MaxBatch records, and one to spare

// maxCiphertextSize bounds a ciphertext on the wire.
const maxCiphertextSize = 2<<10 + 256<<threshold.MaxSizeClass

func (e *BadPoint) validate() error {
	if e.Count == 0 || e.Count > MaxBatch || e.Position >= e.Count {
		return fmt.Errorf("%w: position %d of %d", ErrInvalid, e.Position, e.Count)
	}
	if len(e.Proof) > maxProof || len(e.Ciphertext) > maxCiphertextSize {
		return fmt.Errorf("%w: %d proof hashes, ciphertext of %d bytes", ErrInvalid, len(e.Proof), len(e.Ciphertext))
	}
	return nil
}

func (e *BadPoint) appendEvidence(b []byte) ([]byte, error) {
	if err := e.validate(); err != nil {
		return nil, err
	}
	b, err := appendMessage(append(b, kindBadPoint), &e.Message)
	if err != nil {
		return nil, err
	}
	b = appendUint32(appendUint32(b, e.Position), e.Count)
	b = append(appendUint32(b, uint32(len(e.Ciphertext))), e.Ciphertext...)
	b = append(b, byte(len(e.Proof)))
	for _, h := range e.Proof {
		b = append(b, h[:]...)
	}
	return b, nil
}

func parseBadPoint(d *decoder) Evidence {
	e := &BadPoint{Message: readMessage(d), Position: d.Uint32(), Count: d.Uint32(), Ciphertext: d.blob(maxCiphertextSize)}
	n := d.Byte()
	if n > maxProof {
		d.Fail("%d proof hashes", n)
	}
	for range n {
		if !d.OK() {
			break
		}
		e.Proof = append(e.Proof, d.hash())
	}
	if d.OK() {
		if err := e.validate(); err != nil {
			d.Fail("%w", err)
		}
	}
	return e
}

func (e *BadSignature) appendEvidence(b []byte) ([]byte, error) {
	b, err := appendMessage(append(b, kindBadSignature), &e.Message)
	if err != nil {
		return nil, err
	}
	checkpoint, err := e.Checkpoint.MarshalBinary()
	if err != nil {
		return nil, err
	}
	return append(append(b, checkpoint...), e.Certificate[:]...), nil
}

func parseBadSignature(d *decoder) Evidence {
	e := &BadSignature{Message: readMessage(d), Checkpoint: readCheckpoint(d)}
	d.Fill(e.Certificate[:])
	return e
}

func (e *ConflictingShares) appendEvidence(b []byte) ([]byte, error) {
	if err := e.validate(); err != nil {
		return nil, err
	}
	b, err := appendMessage(append(b, kindConflict), &e.A)
	if err != nil {
		return nil, err
	}
	return appendMessage(b, &e.B)
}

func parseConflict(d *decoder) Evidence {
	e := &ConflictingShares{A: readMessage(d), B: readMessage(d)}
	if d.OK() {
		if err := e.validate(); err != nil {
			d.Fail("%w", err)
		}
	}
	return e
}

func appendMessage(b []byte, m *ShareMessage) ([]byte, error) {
	wire, err := m.MarshalBinary()
	if err != nil {
		return nil, err
	}
	return append(appendUint32(b, uint32(len(wire))), wire...), nil
}

func readMessage(d *decoder) ShareMessage {
	wire := d.blob(MaxShareMessageSize(MaxBatch))
	if !d.OK() {
		return ShareMessage{}
	}
	m, err := ParseShareMessage(wire, MaxBatch)
	if err != nil {
		d.Fail("%w", err)
		return ShareMessage{}
	}
	return *m
}

// proveRecord is the RFC 6962 inclusion proof of one of the records.
func proveRecord(records [][]byte, position int) ([]Hash, error) {
	var edge []subtree
	var store []tlog.Hash
	for _, r := range records {
		var stored []tlog.Hash
		edge, stored = grow(edge, tlog.RecordHash(r))
		store = append(store, stored...)
	}
	read := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, x := range indexes {
			out[i] = store[x]
		}
		return out, nil
	})
	proof, err := tlog.ProveRecord(int64(len(records)), int64(position), read)
	if err != nil {
		return nil, fmt.Errorf("prove record %d: %w", position, err)
	}
	hashes := make([]Hash, len(proof))
	for i, h := range proof {
		hashes[i] = Hash(h)
	}
	return hashes, nil
}
