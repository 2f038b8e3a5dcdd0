package ordering

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/scrimlabs/scrim/threshold"
)

// A transaction of a block is one kind byte and a body.
type txKind byte

const (
	kindCiphertext txKind = 1 // body: a ciphertext, threshold's wire form
	kindCeremony   txKind = 2 // body: a ceremony message, keygen's wire form
	kindOpenings   txKind = 3 // body: openings; only the proposer may put it in, as the block's first
	kindSection    txKind = 4 // body: fair.Section; only the proposer may put it in, first or after the openings
	kindEvidence   txKind = 5 // body: Evidence, see EvidenceTx
)

var errNoKind = errors.New("ordering: an empty transaction has no kind")

// CiphertextTx is the block transaction that carries a ciphertext.
func CiphertextTx(ciphertext []byte) []byte { return tagged(kindCiphertext, ciphertext) }

// CeremonyTx is the block transaction that carries a ceremony message.
func CeremonyTx(message []byte) []byte { return tagged(kindCeremony, message) }

// SectionTx is the block transaction that carries the members' head statements.
func SectionTx(section []byte) []byte { return tagged(kindSection, section) }

func tagged(k txKind, body []byte) []byte {
	return append([]byte{byte(k)}, body...)
}

// CiphertextOf is the ciphertext in a transaction, nil if there is none.
func CiphertextOf(tx []byte) *threshold.Ciphertext {
	kind, body, err := splitTx(tx)
	if err != nil || kind != kindCiphertext {
		return nil
	}
	ct, err := threshold.ParseCiphertext(body)
	if err != nil {
		return nil
	}
	return ct
}

func splitTx(tx []byte) (txKind, []byte, error) {
	if len(tx) == 0 {
		return 0, nil, errNoKind
	}
	return txKind(tx[0]), tx[1:], nil
}

// frameSize is what a ciphertext has around its padded plaintext, at most: version,
// header, U, Ub, e, z and the payload's tag.
const frameSize = 1 + 1 + threshold.MaxChainID + 1 + threshold.MaxNamespace + len(threshold.KeyID{}) +
	8 + 1 + 2*threshold.PointSize + 16 + threshold.ScalarSize + 16

// MaxTxSize is the largest transaction with a ciphertext or a ceremony message: a
// ciphertext of the largest size class, in bytes.
const MaxTxSize = 1 + frameSize + (256 << threshold.MaxSizeClass)

// MaxCiphertext is the size in bytes of the largest ciphertext of a size class.
func MaxCiphertext(class uint8) uint64 { return uint64(frameSize) + 256<<class }

// BatchOpenings opens one batch: an opening for each ciphertext, in the batch's
// order, and the committee's signature on the batch's checkpoint.
type BatchOpenings struct {
	Height      uint64 // of the batch
	Openings    []threshold.Opening
	Certificate threshold.Signature
}

const openingsVersion = 1

// openingsTx encodes
//
//	kind (1) | version (1) | count of batches (2) | per batch: height (8) | count (4) | openings (48 each) | certificate (48)
func openingsTx(bs []BatchOpenings) []byte {
	b := []byte{byte(kindOpenings), openingsVersion}
	b = binary.BigEndian.AppendUint16(b, uint16(len(bs)))
	for _, o := range bs {
		b = binary.BigEndian.AppendUint64(b, o.Height)
		b = binary.BigEndian.AppendUint32(b, uint32(len(o.Openings)))
		for i := range o.Openings {
			b = append(b, o.Openings[i][:]...)
		}
		b = append(b, o.Certificate[:]...)
	}
	return b
}

// parseOpenings is the strict inverse of openingsTx for a body without its kind.
func parseOpenings(b []byte, p Params) ([]BatchOpenings, error) {
	fail := func(what string) ([]BatchOpenings, error) {
		return nil, fmt.Errorf("ordering: openings: %s", what)
	}
	if len(b) < 3 || b[0] != openingsVersion {
		return fail("unknown version or truncated")
	}
	n := int(binary.BigEndian.Uint16(b[1:]))
	if n < 1 || n > int(p.MaxPending) {
		return fail("number of batches out of range")
	}
	b = b[3:]
	out := make([]BatchOpenings, 0, n)
	for range n {
		if len(b) < 12 {
			return fail("truncated")
		}
		o := BatchOpenings{Height: binary.BigEndian.Uint64(b)}
		count := binary.BigEndian.Uint32(b[8:])
		b = b[12:]
		if count < 1 || count > p.MaxBatch {
			return fail("number of openings out of range")
		}
		if len(b) < int(count)*threshold.OpeningSize+threshold.PointSize {
			return fail("truncated")
		}
		o.Openings = make([]threshold.Opening, count)
		for i := range o.Openings {
			b = b[copy(o.Openings[i][:], b):]
		}
		b = b[copy(o.Certificate[:], b):]
		out = append(out, o)
	}
	if len(b) != 0 {
		return fail("trailing bytes")
	}
	return out, nil
}
