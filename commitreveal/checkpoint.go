package commitreveal

import (
	"crypto/sha256"
	"fmt"

	"github.com/scrimlabs/scrim/threshold"
)

const (
	domainCheckpoint = "scrim/checkpoint/v1"
	domainBeacon     = "scrim/beacon/v2"
)

// Checkpoint is what the committee signs about a batch, with one BLS
// signature: which batch it committed, and the log up to and including the
// batch's [CommitEntry].
type Checkpoint struct {
	ChainID   string
	Height    uint64 // of the batch
	Epoch     uint64
	BatchRoot Hash
	LogSize   uint64 // entries, the batch's commit entry being the last; at least 1
	LogRoot   Hash
}

// MarshalBinary gives the bytes that are signed: they start with the domain
// string, so that the committee's signature on them means nothing else.
func (c Checkpoint) MarshalBinary() ([]byte, error) {
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("marshal checkpoint: %w", err)
	}
	b := appendChainID(append([]byte(domainCheckpoint), version), c.ChainID)
	b = appendUint64(appendUint64(b, c.Height), c.Epoch)
	b = appendUint64(append(b, c.BatchRoot[:]...), c.LogSize)
	return append(b, c.LogRoot[:]...), nil
}

// ParseCheckpoint is the inverse of [Checkpoint.MarshalBinary].
func ParseCheckpoint(b []byte) (*Checkpoint, error) {
	d := newDecoder(b)
	c := readCheckpoint(d)
	if err := d.End(); err != nil {
		return nil, fmt.Errorf("parse checkpoint: %w", err)
	}
	return &c, nil
}

func readCheckpoint(d *decoder) Checkpoint {
	d.Literal(domainCheckpoint)
	d.Version(version)
	c := Checkpoint{
		ChainID: d.chainID(), Height: d.Uint64(), Epoch: d.Uint64(),
		BatchRoot: d.hash(), LogSize: d.Uint64(), LogRoot: d.hash(),
	}
	if d.OK() && (c.Height == 0 || c.LogSize == 0) {
		d.Fail("checkpoint of height %d over %d entries", c.Height, c.LogSize)
	}
	return c
}

func (c Checkpoint) validate() error {
	if err := threshold.ValidChainID(c.ChainID); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if c.Height == 0 || c.LogSize == 0 {
		return fmt.Errorf("%w: checkpoint of height %d over %d entries", ErrInvalid, c.Height, c.LogSize)
	}
	return nil
}

// Beacon is what decides about the order of a batch where the receive logs do not: SHA-256 of
// "scrim/beacon/v2" and the certificate on the batch's own checkpoint, which nobody knows
// before the batch is fixed and its members have released their shares.
func Beacon(certificate threshold.Signature) [32]byte {
	return sha256.Sum256(append([]byte(domainBeacon), certificate[:]...))
}
