package commitreveal

import (
	"crypto/sha256"
	"fmt"

	"github.com/scrimlabs/scrim/threshold"
)

const domainEntry = "scrim/log-entry/v3"

// entryVersion is the version byte of log entries. Version 1 had certificates inside its committee entries, and no
// namespaces in its commit entries; version 2 no reasons in its expired entries.
const entryVersion = 3

const (
	// MaxEntrySize bounds a log entry in bytes: an entry bundle has its length in two (c2sp.org/tlog-tiles, Log entries).
	MaxEntrySize = 1<<16 - 1
	// MaxCertificateSize bounds the certificate of a ceremony, which is beside the log.
	MaxCertificateSize = 960 << 10
	// MaxMisbehaviourKind bounds the name of a kind of evidence in bytes.
	MaxMisbehaviourKind = 64
	// MaxEvidenceSize bounds the evidence that a misbehaviour entry names, which is beside the log: the largest is a [BadPoint]
	// with a share of 1,024 points and a ciphertext of the largest size class (docs/spec/ordering.md).
	MaxEvidenceSize = 192 << 10
)

// Entry is a record of the commit-reveal log: a [CommitteeEntry], [CommitEntry], [RevealEntry], [VoidEntry], [ExpiredEntry]
// or [MisbehaviourEntry]. The set is closed.
type Entry interface {
	appendEntry(b []byte) ([]byte, error)
}

// The kind byte of an entry.
const (
	kindCommittee    = 1
	kindCommit       = 2
	kindReveal       = 3
	kindVoid         = 4
	kindExpired      = 5
	kindMisbehaviour = 6
)

// CommitteeEntry says which committee holds the key from here on. The certificate itself is beside the log, under its hash.
type CommitteeEntry struct {
	Height      uint64 // of the block that activated it
	Epoch       uint64 // of the committee
	Certificate Hash   // CertificateHash of the ceremony's certificate
	Committee   Hash   // CommitteeHash of the committee that it certifies
}

// CommitEntry fixes a batch: which ciphertexts, and what decides about their order. A block appends
// it after the batches it reveals; the batch's checkpoint covers the log up to
// and including it.
type CommitEntry struct {
	Height uint64 // of the block that ordered the batch; at least 1
	Epoch  uint64 // of the committee that opens it
	KeyID  threshold.KeyID
	Count  uint32   // ciphertexts, 1 to MaxBatch
	Root   Hash     // BatchRoot of their ids
	Rounds [32]byte // hash over all that blocks have said for the order so far (ordering.Round); opaque here
	// Namespaces is NamespaceRoot of the batch: with it a namespace's transactions can be shown to be all that it has there.
	Namespaces Hash
}

// RevealEntry says what the batch of a height turned out to be. All of it can be
// recomputed from the batch and its openings.
type RevealEntry struct {
	Height      uint64              // of the batch
	Root        Hash                // BatchRoot, as in the batch's CommitEntry
	Openings    Hash                // OutcomesRoot
	Order       Hash                // BatchRoot of the batch's ids in the order of execution, see [Beacon]
	Voids       uint32              // outcomes that are void
	Certificate threshold.Signature // the committee's, on the batch's checkpoint
}

// VoidEntry says that a ciphertext of a revealed batch does not decrypt, with the opening that proves it. That is nobody's
// fault but the sealer's.
type VoidEntry struct {
	Height   uint64 // of the batch
	Position uint32 // in the batch, from 0
	ID       threshold.ID
	Opening  threshold.Opening
}

// ExpiredEntry says that a block had to set aside, for good, a ciphertext that the members' receive logs had decided. The block
// carries its bytes; it is in no batch, and is never opened.
type ExpiredEntry struct {
	Height     uint64 // of the block, at least 1
	ID         threshold.ID
	ValidUntil uint64 // the last height at which it could have been ordered; below Height if Reason is ReasonTooLate
	Reason     ExpiryReason
}

// ExpiryReason is why a ciphertext was set aside. The number is its encoding.
type ExpiryReason byte

// The reasons. One that is sealed to a key out of use is of ReasonKey, whether or not its time is over too.
const (
	ReasonTooLate ExpiryReason = 1 // its valid-until height is over
	ReasonKey     ExpiryReason = 2 // it is sealed to a key that is not in use, mostly not any more
	ReasonInvalid ExpiryReason = 3 // the chain does not admit it: another chain's, too large, a proof that does not hold
)

// String gives "too late", "key" or "invalid".
func (r ExpiryReason) String() string {
	switch r {
	case ReasonTooLate:
		return "too late"
	case ReasonKey:
		return "key"
	case ReasonInvalid:
		return "invalid"
	default:
		return fmt.Sprintf("reason(%d)", byte(r))
	}
}

// MisbehaviourEntry says that a member did what it should not have, by the hash of the evidence, which is beside the log.
type MisbehaviourEntry struct {
	Height   uint64 // of the block that recorded it
	Epoch    uint64 // of the committee whose member it was, or of the ceremony that made it
	Member   uint32 // 1..n in that committee's terms; of a ceremony, the number as a speaker: up to 2 MaxMembers
	Kind     string // of the evidence, in snake_case; 1 to MaxMisbehaviourKind bytes
	Evidence Hash   // EvidenceHash of it
}

const (
	domainCertificateHash = "scrim/certificate-hash/v1"
	domainCommitteeHash   = "scrim/committee-hash/v1"
	domainEvidenceHash    = "scrim/evidence-hash/v1"
)

// CertificateHash names a ceremony's certificate, given as its wire bytes.
func CertificateHash(certificate []byte) Hash { return bodyHash(domainCertificateHash, certificate) }

// EvidenceHash names a piece of evidence, given as its wire bytes.
func EvidenceHash(evidence []byte) Hash { return bodyHash(domainEvidenceHash, evidence) }

// CommitteeHash names a committee by its wire bytes.
func CommitteeHash(c *threshold.Committee) (Hash, error) {
	if c == nil {
		return Hash{}, fmt.Errorf("%w: no committee", ErrInvalid)
	}
	b, err := c.MarshalBinary()
	if err != nil {
		return Hash{}, err
	}
	return bodyHash(domainCommitteeHash, b), nil
}

// bodyHash is SHA-256(domain | body).
func bodyHash(domain string, body []byte) Hash { return sha256.Sum256(append([]byte(domain), body...)) }

// NewCommitteeEntry is the entry for a certificate and the committee that it certifies.
func NewCommitteeEntry(height uint64, certificate []byte, c *threshold.Committee) (CommitteeEntry, error) {
	if n := len(certificate); n == 0 || n > MaxCertificateSize {
		return CommitteeEntry{}, fmt.Errorf("%w: committee certificate of %d bytes, 1 to %d allowed", ErrInvalid, n, MaxCertificateSize)
	}
	hash, err := CommitteeHash(c)
	if err != nil {
		return CommitteeEntry{}, err
	}
	return CommitteeEntry{Height: height, Epoch: c.Epoch, Certificate: CertificateHash(certificate), Committee: hash}, nil
}

// MarshalEntry encodes an entry. These bytes are the log's record.
func MarshalEntry(e Entry) ([]byte, error) {
	if e == nil {
		return nil, fmt.Errorf("%w: no log entry", ErrInvalid)
	}
	b, err := e.appendEntry(append([]byte(domainEntry), entryVersion))
	if err != nil {
		return nil, fmt.Errorf("marshal log entry: %w", err)
	}
	return b, nil
}

// ParseEntry is the inverse of [MarshalEntry]. The dynamic type of the result
// is CommitteeEntry, CommitEntry, RevealEntry, VoidEntry, ExpiredEntry or
// MisbehaviourEntry.
func ParseEntry(b []byte) (Entry, error) {
	e, err := parseEntry(b)
	if err != nil {
		return nil, fmt.Errorf("parse log entry: %w", err)
	}
	return e, nil
}

func parseEntry(b []byte) (Entry, error) {
	if len(b) > MaxEntrySize {
		return nil, fmt.Errorf("%w: %d bytes, at most %d allowed", ErrEncoding, len(b), MaxEntrySize)
	}
	d := newDecoder(b)
	d.Literal(domainEntry)
	if v := d.Byte(); d.OK() && v != entryVersion {
		d.Fail("log entry of version %d, want %d", v, entryVersion)
	}
	switch kind := d.Byte(); {
	case !d.OK():
		return nil, d.Err()
	case kind == kindCommittee:
		return parseCommitteeEntry(d)
	case kind == kindCommit:
		return parseCommitEntry(d)
	case kind == kindReveal:
		return parseRevealEntry(d)
	case kind == kindVoid:
		return parseVoidEntry(d)
	case kind == kindExpired:
		return parseExpiredEntry(d)
	case kind == kindMisbehaviour:
		return parseMisbehaviourEntry(d)
	default:
		return nil, fmt.Errorf("%w: entry kind %d", ErrEncoding, kind)
	}
}

func (e CommitteeEntry) appendEntry(b []byte) ([]byte, error) {
	b = appendUint64(appendUint64(append(b, kindCommittee), e.Height), e.Epoch)
	return append(append(b, e.Certificate[:]...), e.Committee[:]...), nil
}

func parseCommitteeEntry(d *decoder) (Entry, error) {
	e := CommitteeEntry{Height: d.Uint64(), Epoch: d.Uint64(), Certificate: d.hash(), Committee: d.hash()}
	return e, d.End()
}

func (e CommitEntry) validate() error {
	if e.Height == 0 {
		return fmt.Errorf("%w: batch of height 0", ErrInvalid)
	}
	if e.Count == 0 || e.Count > MaxBatch {
		return fmt.Errorf("%w: batch of %d ciphertexts, 1 to %d allowed", ErrInvalid, e.Count, MaxBatch)
	}
	return nil
}

func (e CommitEntry) appendEntry(b []byte) ([]byte, error) {
	if err := e.validate(); err != nil {
		return nil, err
	}
	b = appendUint64(append(b, kindCommit), e.Height)
	b = append(appendUint64(b, e.Epoch), e.KeyID[:]...)
	b = append(appendUint32(b, e.Count), e.Root[:]...)
	return append(append(b, e.Rounds[:]...), e.Namespaces[:]...), nil
}

func parseCommitEntry(d *decoder) (Entry, error) {
	e := CommitEntry{Height: d.Uint64(), Epoch: d.Uint64()}
	d.Fill(e.KeyID[:])
	e.Count = d.Uint32()
	e.Root = d.hash()
	d.Fill(e.Rounds[:])
	e.Namespaces = d.hash()
	return checkedEntry(d, e)
}

func (e RevealEntry) validate() error {
	if e.Height == 0 {
		return fmt.Errorf("%w: batch of height 0", ErrInvalid)
	}
	if e.Voids > MaxBatch {
		return fmt.Errorf("%w: %d voids, at most %d allowed", ErrInvalid, e.Voids, MaxBatch)
	}
	return nil
}

func (e RevealEntry) appendEntry(b []byte) ([]byte, error) {
	if err := e.validate(); err != nil {
		return nil, err
	}
	b = appendUint64(append(b, kindReveal), e.Height)
	b = append(append(append(b, e.Root[:]...), e.Openings[:]...), e.Order[:]...)
	return append(appendUint32(b, e.Voids), e.Certificate[:]...), nil
}

func parseRevealEntry(d *decoder) (Entry, error) {
	e := RevealEntry{Height: d.Uint64(), Root: d.hash(), Openings: d.hash(), Order: d.hash(), Voids: d.Uint32()}
	d.Fill(e.Certificate[:])
	return checkedEntry(d, e)
}

func (e VoidEntry) validate() error {
	if e.Height == 0 || e.Position >= MaxBatch {
		return fmt.Errorf("%w: void ciphertext %d of the batch of height %d", ErrInvalid, e.Position, e.Height)
	}
	return nil
}

func (e VoidEntry) appendEntry(b []byte) ([]byte, error) {
	if err := e.validate(); err != nil {
		return nil, err
	}
	b = appendUint32(appendUint64(append(b, kindVoid), e.Height), e.Position)
	return append(append(b, e.ID[:]...), e.Opening[:]...), nil
}

func parseVoidEntry(d *decoder) (Entry, error) {
	e := VoidEntry{Height: d.Uint64(), Position: d.Uint32()}
	d.Fill(e.ID[:])
	d.Fill(e.Opening[:])
	return checkedEntry(d, e)
}

func (e ExpiredEntry) validate() error {
	if e.Height == 0 || e.Reason < ReasonTooLate || e.Reason > ReasonInvalid {
		return fmt.Errorf("%w: a ciphertext set aside at height %d for reason %d", ErrInvalid, e.Height, byte(e.Reason))
	}
	if e.Reason == ReasonTooLate && e.Height <= e.ValidUntil {
		return fmt.Errorf("%w: a ciphertext valid until height %d that expired at %d", ErrInvalid, e.ValidUntil, e.Height)
	}
	return nil
}

func (e ExpiredEntry) appendEntry(b []byte) ([]byte, error) {
	if err := e.validate(); err != nil {
		return nil, err
	}
	b = appendUint64(append(b, kindExpired), e.Height)
	return append(appendUint64(append(b, e.ID[:]...), e.ValidUntil), byte(e.Reason)), nil
}

func parseExpiredEntry(d *decoder) (Entry, error) {
	e := ExpiredEntry{Height: d.Uint64()}
	d.Fill(e.ID[:])
	e.ValidUntil, e.Reason = d.Uint64(), ExpiryReason(d.Byte())
	return checkedEntry(d, e)
}

func (e MisbehaviourEntry) validate() error {
	if e.Height == 0 || e.Member < 1 || e.Member > 2*threshold.MaxMembers {
		return fmt.Errorf("%w: misbehaviour of member %d at height %d", ErrInvalid, e.Member, e.Height)
	}
	if n := len(e.Kind); n == 0 || n > MaxMisbehaviourKind {
		return fmt.Errorf("%w: kind of misbehaviour of %d bytes, 1 to %d allowed", ErrInvalid, n, MaxMisbehaviourKind)
	}
	for i := range len(e.Kind) {
		if c := e.Kind[i]; (c < 'a' || c > 'z') && c != '_' {
			return fmt.Errorf("%w: kind of misbehaviour %q is not of a-z and _", ErrInvalid, e.Kind)
		}
	}
	return nil
}

func (e MisbehaviourEntry) appendEntry(b []byte) ([]byte, error) {
	if err := e.validate(); err != nil {
		return nil, err
	}
	b = appendUint64(appendUint64(append(b, kindMisbehaviour), e.Height), e.Epoch)
	return append(appendString(appendUint32(b, e.Member), e.Kind), e.Evidence[:]...), nil
}

func parseMisbehaviourEntry(d *decoder) (Entry, error) {
	e := MisbehaviourEntry{Height: d.Uint64(), Epoch: d.Uint64(), Member: d.Uint32(), Kind: d.string(), Evidence: d.hash()}
	return checkedEntry(d, e)
}

// checkedEntry ends the decoding of an entry.
func checkedEntry[E interface {
	Entry
	validate() error
}](d *decoder, e E) (Entry, error) {
	if err := d.End(); err != nil {
		return nil, err
	}
	if err := e.validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEncoding, err)
	}
	return e, nil
}
