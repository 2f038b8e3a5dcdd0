package commitreveal

import (
	"encoding/binary"
	"errors"
	"fmt"

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

// decoder reads canonical bytes. The first failure sticks, and every later
// read gives zero, so that callers check once at the end.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: "+format, append([]any{ErrEncoding}, args...)...)
	}
}

// bytes gives the next n bytes without copying them.
func (d *decoder) bytes(n int) []byte {
	if d.err != nil {
		return nil
	}
	if n > len(d.b) {
		d.fail("%d bytes are missing", n-len(d.b))
		return nil
	}
	out := d.b[:n:n]
	d.b = d.b[n:]
	return out
}

func (d *decoder) into(dst []byte) { copy(dst, d.bytes(len(dst))) }

func (d *decoder) hash() (h Hash) {
	d.into(h[:])
	return h
}

func (d *decoder) byte() byte {
	if b := d.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) uint32() uint32 {
	if b := d.bytes(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (d *decoder) uint64() uint64 {
	if b := d.bytes(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// blob reads a four-byte length of at most max and that many bytes.
func (d *decoder) blob(max int) []byte {
	n := d.uint32()
	if d.err == nil && uint64(n) > uint64(max) {
		d.fail("%d bytes, at most %d allowed", n, max)
	}
	return append([]byte(nil), d.bytes(int(n))...)
}

func (d *decoder) chainID() string {
	s := string(d.bytes(int(d.byte())))
	if d.err == nil {
		if err := threshold.ValidChainID(s); err != nil {
			d.fail("%v", err)
		}
	}
	return s
}

func (d *decoder) member() uint32 {
	m := d.uint32()
	if d.err == nil && !validMember(m) {
		d.fail("member %d", m)
	}
	return m
}

func validMember(m uint32) bool { return m >= 1 && m <= threshold.MaxMembers }

// literal reads bytes that can only be s.
func (d *decoder) literal(s string) {
	if got := d.bytes(len(s)); d.err == nil && string(got) != s {
		d.fail("does not start with %q", s)
	}
}

func (d *decoder) version() { d.versionOf(version) }

func (d *decoder) versionOf(want byte) {
	if v := d.byte(); d.err == nil && v != want {
		d.fail("version %d, want %d", v, want)
	}
}

// end is the error of the whole decoding; bytes left over are one.
func (d *decoder) end() error {
	if len(d.b) > 0 {
		d.fail("%d bytes left over", len(d.b))
	}
	return d.err
}
