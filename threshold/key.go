package threshold

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
)

// The scheme, and the lengths of its encodings in bytes.
const (
	// Suite names the scheme; it is part of every key id.
	Suite = "scrim/tdh2-bls12381g1/v1"

	PointSize   = bls.SizeOfG1AffineCompressed // a compressed G1 point
	Point2Size  = bls.SizeOfG2AffineCompressed // a compressed G2 point
	ScalarSize  = 32                           // big-endian, less than the group's order
	OpeningSize = PointSize

	// PublicKeySize is the length of Y || Y2.
	PublicKeySize = PointSize + Point2Size
)

const domainKeyID = "scrim/key-id/v1"

// KeyID names an encryption key: SHA-256("scrim/key-id/v1" || suite || Y). It does not depend on the committee's
// members: a resharing keeps it.
type KeyID [sha256.Size]byte

// String is the id in hexadecimal.
func (id KeyID) String() string { return hex.EncodeToString(id[:]) }

// PublicKey is the committee's key: Y = xG, which wallets encrypt to, and Y2 = xH, which everybody checks openings
// and signatures with. It is valid once it exists.
type PublicKey struct {
	y     g1
	y2    g2
	bytes [PublicKeySize]byte
	id    KeyID
}

// ParsePublicKey parses Y (48 bytes) || Y2 (96 bytes). Both must be canonical, in their subgroup and not infinity, and
// have the same logarithm: e(Y, H) = e(G, Y2). Errors are [ErrEncoding], [ErrPoint] and [ErrKey].
func ParsePublicKey(b []byte) (*PublicKey, error) {
	if len(b) != PublicKeySize {
		return nil, fmt.Errorf("public key of %d bytes: %w", len(b), ErrEncoding)
	}
	y, err := decodeG1(b[:PointSize])
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	y2, err := decodeG2(b[PointSize:])
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	if !pairingsEqual(&y, &generator, &y2) {
		return nil, fmt.Errorf("public key: its two halves differ: %w", ErrKey)
	}
	k := &PublicKey{y: y, y2: y2}
	copy(k.bytes[:], b)
	h := sha256.New()
	h.Write([]byte(domainKeyID))
	h.Write([]byte(Suite))
	h.Write(b[:PointSize])
	h.Sum(k.id[:0])
	return k, nil
}

// exists tells a key from nil and the zero value.
func (k *PublicKey) exists() bool { return k != nil && !k.y.IsInfinity() }

// Bytes is Y || Y2, 144 bytes.
func (k *PublicKey) Bytes() []byte { return bytes.Clone(k.bytes[:]) }

// ID names the key.
func (k *PublicKey) ID() KeyID { return k.id }

// MemberKey is a member's public key V = sH in G2.
type MemberKey struct {
	v     g2
	bytes [Point2Size]byte
}

// ParseMemberKey parses 96 bytes: canonical, in the subgroup, not infinity. Errors are [ErrEncoding] and [ErrPoint].
func ParseMemberKey(b []byte) (*MemberKey, error) {
	v, err := decodeG2(b)
	if err != nil {
		return nil, fmt.Errorf("member key: %w", err)
	}
	return newMemberKey(&v), nil
}

func newMemberKey(v *g2) *MemberKey { return &MemberKey{v: *v, bytes: v.Bytes()} }

// Bytes is the compressed point, 96 bytes.
func (k *MemberKey) Bytes() []byte { return bytes.Clone(k.bytes[:]) }

// MatchesG1 reports whether the key has the same logarithm as the compressed G1 point p: e(p, H) = e(G, V). A p that is
// not a canonical point of the subgroup does not match.
func (k *MemberKey) MatchesG1(p []byte) bool {
	a, err := decodeG1(p)
	return err == nil && pairingsEqual(&a, &generator, &k.v)
}
