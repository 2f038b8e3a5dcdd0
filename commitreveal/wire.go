package commitreveal

import (
	"encoding/binary"
	"errors"

	"github.com/scrimlabs/scrim/internal/wire"
	"github.com/scrimlabs/scrim/threshold"
)

// Errors on which callers branch.
var (
	// ErrEncoding: the bytes are not the canonical encoding of any value.
	ErrEncoding = errors.New("commitreveal: not a canonical encoding")
	// ErrSignature: a member's Ed25519 signature does not verify.
	ErrSignature = errors.New("commitreveal: signature does not verify")
	// ErrNoProof: a Merkle proof does not show what it should.
	ErrNoProof = errors.New("commitreveal: the proof does not hold")
	// ErrInvalid: a value breaks a rule of its type and has no encoding.
	ErrInvalid = errors.New("commitreveal: invalid value")
)

// version is the version byte of every format of this package but the receipt.
const version = 1

// MaxBatch is the most ciphertexts a batch can hold. A chain's own limit is
// usually far lower.
const MaxBatch = threshold.MaxBatch

func appendUint32(b []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(b, v) }
func appendUint64(b []byte, v uint64) []byte { return binary.BigEndian.AppendUint64(b, v) }

// appendChainID appends a length byte and the chain id, whose validity the
// caller has checked.
func appendChainID(b []byte, id string) []byte {
	return append(append(b, byte(len(id))), id...)
}

// decoder reads canonical bytes.
type decoder struct{ wire.Reader }

func newDecoder(b []byte) *decoder { return &decoder{wire.NewReader(b, ErrEncoding)} }

func (d *decoder) hash() (h Hash) {
	d.Fill(h[:])
	return h
}

// blob reads a four-byte length of at most max and that many bytes.
func (d *decoder) blob(max int) []byte { return append([]byte(nil), d.Block(max)...) }

func (d *decoder) chainID() string {
	s := string(d.Bytes(int(d.Byte())))
	if d.OK() {
		if err := threshold.ValidChainID(s); err != nil {
			d.Fail("%v", err)
		}
	}
	return s
}

func (d *decoder) member() uint32 {
	m := d.Uint32()
	if d.OK() && !validMember(m) {
		d.Fail("member %d", m)
	}
	return m
}

func validMember(m uint32) bool { return m >= 1 && m <= threshold.MaxMembers }
