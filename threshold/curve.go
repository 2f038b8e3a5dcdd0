package threshold

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"sync"

	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
)

// Everything in this file works on public values, or on the one-use secrets of Seal, in variable time.

const domainSecondGenerator = "scrim/second-generator/v1"

type (
	g1     = bls.G1Affine
	g1Jac  = bls.G1Jac
	g2     = bls.G2Affine
	scalar = fr.Element
)

var (
	_, _, generator, generator2 = bls.Generators()
	negGenerator2               = *new(g2).Neg(&generator2)
)

// secondGenerator is Gb, a generator of G1 of which nobody knows the logarithm to the base G.
var secondGenerator = sync.OnceValue(func() g1 { return hashToG1(domainSecondGenerator, []byte(Suite)) })

// hashToG1 is hash_to_curve of RFC 9380, suite BLS12381G1_XMD:SHA-256_SSWU_RO_.
func hashToG1(domain string, msg []byte) g1 {
	p, err := bls.HashToG1(msg, []byte(domain))
	if err != nil { // only for a domain longer than 255 bytes
		panic("threshold: hash to curve: " + err.Error())
	}
	return p
}

// decompress reads a compressed point that is on the curve, not infinity, but perhaps outside the subgroup.
func decompress(b []byte) (g1, error) {
	var p g1
	if len(b) != PointSize {
		return p, fmt.Errorf("G1 point of %d bytes: %w", len(b), ErrEncoding)
	}
	if err := bls.NewDecoder(bytes.NewReader(b), bls.NoSubgroupChecks()).Decode(&p); err != nil {
		return p, fmt.Errorf("G1 point: %w", ErrEncoding)
	}
	if p.IsInfinity() {
		return p, fmt.Errorf("G1 point at infinity: %w", ErrPoint)
	}
	return p, nil
}

// decodeG1 reads a compressed point of the prime-order subgroup that is not infinity.
func decodeG1(b []byte) (g1, error) {
	p, err := decompress(b)
	if err != nil {
		return p, err
	}
	if !p.IsInSubGroup() {
		return p, fmt.Errorf("G1 point outside the subgroup: %w", ErrPoint)
	}
	return p, nil
}

// decodeG2 is decodeG1 for the second group.
func decodeG2(b []byte) (g2, error) {
	var p g2
	if len(b) != Point2Size {
		return p, fmt.Errorf("G2 point of %d bytes: %w", len(b), ErrEncoding)
	}
	if err := bls.NewDecoder(bytes.NewReader(b), bls.NoSubgroupChecks()).Decode(&p); err != nil {
		return p, fmt.Errorf("G2 point: %w", ErrEncoding)
	}
	if p.IsInfinity() || !p.IsInSubGroup() {
		return p, fmt.Errorf("G2 point: %w", ErrPoint)
	}
	return p, nil
}

// pairingsEqual reports whether e(a, H) = e(b, q).
func pairingsEqual(a, b *g1, q *g2) bool {
	ok, err := bls.PairingCheck([]g1{*a, *b}, []g2{negGenerator2, *q})
	return err == nil && ok
}

// coefficients derives n coefficients of 128 bits from everything that the caller hashed (Fiat-Shamir): whoever chose the
// hashed values could not foresee them, and everyone who checks draws the same ones.
func coefficients(transcript [sha256.Size]byte, n int) [][16]byte {
	out := make([][16]byte, n)
	var in [sha256.Size + 4]byte
	copy(in[:], transcript[:])
	for i := range out {
		binary.BigEndian.PutUint32(in[sha256.Size:], uint32(i))
		h := sha256.Sum256(in[:])
		out[i] = [16]byte(h[:])
	}
	return out
}
