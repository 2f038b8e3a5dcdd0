package commitreveal

import (
	"fmt"

	"github.com/scrimlabs/scrim/threshold"
)

// TransactionProof is what shows a transaction to be in a batch, next to a proof that the batch's commit entry is in the
// log: the extra part of its .tlog-proof (docs/spec/log.md).
type TransactionProof struct {
	Entry      CommitEntry
	Position   uint32 // in the batch, from 0
	Path       []Hash // of its id under Entry.Root, see ProveInBatch
	Ciphertext []byte
	Opening    *threshold.Opening // nil while it is not opened
}

func (p *TransactionProof) validate() error {
	if p.Position >= p.Entry.Count || len(p.Path) > maxProof {
		return fmt.Errorf("%w: position %d of %d, %d proof hashes", ErrInvalid, p.Position, p.Entry.Count, len(p.Path))
	}
	if n := len(p.Ciphertext); n == 0 || n > maxCiphertextSize {
		return fmt.Errorf("%w: ciphertext of %d bytes", ErrInvalid, n)
	}
	return nil
}

// MarshalBinary encodes the proof: version | 4 + n entry | 4 position | 1 + 32 k path | 4 + n ciphertext | 1 whether it is opened |
// 48 opening, if so.
func (p *TransactionProof) MarshalBinary() ([]byte, error) {
	if err := p.validate(); err != nil {
		return nil, fmt.Errorf("marshal transaction proof: %w", err)
	}
	entry, err := MarshalEntry(p.Entry)
	if err != nil {
		return nil, err
	}
	b := append(appendUint32([]byte{version}, uint32(len(entry))), entry...)
	b = appendHashes(appendUint32(b, p.Position), p.Path)
	b = append(appendUint32(b, uint32(len(p.Ciphertext))), p.Ciphertext...)
	if p.Opening == nil {
		return append(b, 0), nil
	}
	return append(append(b, 1), p.Opening[:]...), nil
}

// ParseTransactionProof is the inverse of [TransactionProof.MarshalBinary]. It verifies nothing.
func ParseTransactionProof(b []byte) (*TransactionProof, error) {
	d := newDecoder(b)
	d.Version(version)
	p := new(TransactionProof)
	p.Entry = d.commitEntry()
	p.Position = d.Uint32()
	p.Path = d.hashes()
	p.Ciphertext = d.blob(maxCiphertextSize)
	switch opened := d.Byte(); {
	case opened > 1:
		d.Fail("%d says neither that it is opened nor that it is not", opened)
	case opened == 1:
		p.Opening = new(threshold.Opening)
		d.Fill(p.Opening[:])
	}
	if d.OK() {
		if err := p.validate(); err != nil {
			d.Fail("%w", err)
		}
	}
	if err := d.End(); err != nil {
		return nil, fmt.Errorf("parse transaction proof: %w", err)
	}
	return p, nil
}

func (d *decoder) commitEntry() (c CommitEntry) {
	wire := d.blob(MaxEntrySize)
	if !d.OK() {
		return c
	}
	e, err := parseEntry(wire)
	if err != nil {
		d.Fail("%w", err)
		return c
	}
	c, ok := e.(CommitEntry)
	if !ok {
		d.Fail("the entry commits no batch")
	}
	return c
}

// Verify checks that the ciphertext is the one at its position of the batch, and gives it; ErrNoProof if not. That the entry is in
// the log, and that the opening is the ciphertext's, is not looked at, nor whether it may be in this batch: that it is sealed to
// its key, say, which is the committee's to answer for and not that of who made the proof.
func (p *TransactionProof) Verify() (*threshold.Ciphertext, error) {
	ct, err := threshold.ParseCiphertext(p.Ciphertext)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoProof, err)
	}
	if err := VerifyInBatch(p.Entry.Root, p.Entry.Count, p.Position, ct.ID(), p.Path); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoProof, err)
	}
	return ct, nil
}
