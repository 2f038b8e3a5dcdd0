package commitreveal

import (
	"fmt"

	"github.com/scrimlabs/scrim/threshold"
)

const domainEntry = "scrim/log-entry/v2"

const (
	// MaxEntrySize bounds a log entry in bytes.
	MaxEntrySize = 1 << 20
	// MaxCertificateSize bounds the certificate in a [CommitteeEntry].
	MaxCertificateSize = MaxEntrySize - maxCommitteeSize - 256
	maxCommitteeSize   = 64 << 10
)

// Entry is a record of the commit-reveal log: a [CommitteeEntry], a
// [CommitEntry] or a [RevealEntry]. The set is closed; later kinds (expired,
// misbehaviour) get a kind byte of their own.
type Entry interface {
	appendEntry(b []byte) ([]byte, error)
}

// The kind byte of an entry.
const (
	kindCommittee = 1
	kindCommit    = 2
	kindReveal    = 3
)

// CommitteeEntry says which committee holds the key from here on.
type CommitteeEntry struct {
	Height      uint64 // of the block that activated it
	Certificate []byte // the ceremony's certificate, opaque here; 1 to MaxCertificateSize bytes
	Committee   *threshold.Committee
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

// MarshalEntry encodes an entry. These bytes are the log's record.
func MarshalEntry(e Entry) ([]byte, error) {
	if e == nil {
		return nil, fmt.Errorf("%w: no log entry", ErrInvalid)
	}
	b, err := e.appendEntry(append([]byte(domainEntry), version))
	if err != nil {
		return nil, fmt.Errorf("marshal log entry: %w", err)
	}
	return b, nil
}

// ParseEntry is the inverse of [MarshalEntry]. The dynamic type of the result
// is CommitteeEntry, CommitEntry or RevealEntry.
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
	d := &decoder{b: b}
	d.literal(domainEntry)
	d.version()
	switch kind := d.byte(); {
	case d.err != nil:
		return nil, d.err
	case kind == kindCommittee:
		return parseCommitteeEntry(d)
	case kind == kindCommit:
		return parseCommitEntry(d)
	case kind == kindReveal:
		return parseRevealEntry(d)
	default:
		return nil, fmt.Errorf("%w: entry kind %d", ErrEncoding, kind)
	}
}

func (e CommitteeEntry) appendEntry(b []byte) ([]byte, error) {
	if n := len(e.Certificate); n == 0 || n > MaxCertificateSize {
		return nil, fmt.Errorf("%w: committee certificate of %d bytes, 1 to %d allowed", ErrInvalid, n, MaxCertificateSize)
	}
	if e.Committee == nil {
		return nil, fmt.Errorf("%w: committee entry without a committee", ErrInvalid)
	}
	committee, err := e.Committee.MarshalBinary()
	if err != nil {
		return nil, err
	}
	if len(committee) > maxCommitteeSize {
		return nil, fmt.Errorf("%w: committee of %d bytes, at most %d allowed", ErrInvalid, len(committee), maxCommitteeSize)
	}
	b = appendUint64(append(b, kindCommittee), e.Height)
	b = append(appendUint32(b, uint32(len(e.Certificate))), e.Certificate...)
	return append(appendUint32(b, uint32(len(committee))), committee...), nil
}

func parseCommitteeEntry(d *decoder) (Entry, error) {
	e := CommitteeEntry{Height: d.uint64(), Certificate: d.blob(MaxCertificateSize)}
	committee := d.blob(maxCommitteeSize)
	if err := d.end(); err != nil {
		return nil, err
	}
	if len(e.Certificate) == 0 {
		return nil, fmt.Errorf("%w: empty committee certificate", ErrEncoding)
	}
	var err error
	if e.Committee, err = threshold.ParseCommittee(committee); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEncoding, err)
	}
	return e, nil
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
	return append(b, e.Rounds[:]...), nil
}

func parseCommitEntry(d *decoder) (Entry, error) {
	e := CommitEntry{Height: d.uint64(), Epoch: d.uint64()}
	d.into(e.KeyID[:])
	e.Count = d.uint32()
	e.Root = d.hash()
	d.into(e.Rounds[:])
	if err := d.end(); err != nil {
		return nil, err
	}
	if err := e.validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEncoding, err)
	}
	return e, nil
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
	e := RevealEntry{Height: d.uint64(), Root: d.hash(), Openings: d.hash(), Order: d.hash(), Voids: d.uint32()}
	d.into(e.Certificate[:])
	if err := d.end(); err != nil {
		return nil, err
	}
	if err := e.validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEncoding, err)
	}
	return e, nil
}
