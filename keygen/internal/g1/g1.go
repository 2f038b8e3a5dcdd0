// Package g1 lets kyber's share, vss and dkg packages work over the group G1
// of BLS12-381: it adapts two curve libraries to kyber's Group interfaces.
//
//	g1.Secret  multiplies in constant time (circl): for scalars that are secret
//	g1.Public  multiplies in variable time (gnark): for scalars that everybody knows
//
// Points and scalars of both may be mixed; a product is computed as its
// receiver was made. All scalar arithmetic is constant time.
//
// A scalar is 32 bytes big-endian and less than r. A point is 48 bytes,
// compressed as ZCash specified; UnmarshalBinary takes only the canonical
// encoding of a point of the prime-order subgroup, infinity included.
package g1

import (
	"bytes"
	"crypto/cipher"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/big"

	circl "github.com/cloudflare/circl/ecc/bls12381"
	"github.com/consensys/gnark-crypto/ecc"
	gnark "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
	"go.dedis.ch/kyber/v3"
	"go.dedis.ch/kyber/v3/xof/blake2xb"
)

// Encoded lengths in bytes.
const (
	PointSize  = gnark.SizeOfG1AffineCompressed
	ScalarSize = circl.ScalarSize
)

var (
	errPoint  = errors.New("not the canonical encoding of a point of the prime-order subgroup of BLS12-381 G1")
	errScalar = errors.New("not a 32-byte big-endian integer below the order of BLS12-381")
	errEmbed  = errors.New("points of BLS12-381 G1 carry no data")
)

// Group is G1 with one of two ways of multiplying.
type Group struct{ variableTime bool }

// The group for scalars that are secret, and the one for scalars that everybody knows.
var (
	Secret = Group{}
	Public = Group{variableTime: true}
)

// String is the same for Secret and Public, because kyber compares groups by it.
func (Group) String() string       { return "BLS12-381-G1" }
func (Group) ScalarLen() int       { return ScalarSize }
func (Group) PointLen() int        { return PointSize }
func (Group) Scalar() kyber.Scalar { return new(Scalar) }
func (g Group) Point() kyber.Point { return g.infinity() }
func (g Group) infinity() *Point   { return (&Point{variableTime: g.variableTime}).null() }

// Suite is what kyber's vss and dkg ask for. They draw randomness by
// themselves, so it has to be given: this package has none.
type Suite struct {
	Group
	Random cipher.Stream
}

func (Suite) Hash() hash.Hash               { return sha256.New() }
func (Suite) XOF(seed []byte) kyber.XOF     { return blake2xb.New(seed) }
func (s Suite) RandomStream() cipher.Stream { return s.Random }

// Scalar is an integer modulo the order of the group.
type Scalar struct{ v circl.Scalar }

func scalar(s kyber.Scalar) *circl.Scalar { return &s.(*Scalar).v }

func (s *Scalar) Equal(a kyber.Scalar) bool { return s.v.IsEqual(scalar(a)) == 1 }
func (s *Scalar) Set(a kyber.Scalar) kyber.Scalar {
	s.v = *scalar(a)
	return s
}
func (s *Scalar) Clone() kyber.Scalar { return &Scalar{s.v} }
func (s *Scalar) SetInt64(v int64) kyber.Scalar {
	if v < 0 {
		s.v.SetUint64(-uint64(v))
		s.v.Neg()
		return s
	}
	s.v.SetUint64(uint64(v))
	return s
}
func (s *Scalar) Zero() kyber.Scalar { return s.SetInt64(0) }
func (s *Scalar) One() kyber.Scalar  { return s.SetInt64(1) }
func (s *Scalar) Add(a, b kyber.Scalar) kyber.Scalar {
	s.v.Add(scalar(a), scalar(b))
	return s
}
func (s *Scalar) Sub(a, b kyber.Scalar) kyber.Scalar {
	s.v.Sub(scalar(a), scalar(b))
	return s
}
func (s *Scalar) Neg(a kyber.Scalar) kyber.Scalar {
	s.v = *scalar(a)
	s.v.Neg()
	return s
}
func (s *Scalar) Mul(a, b kyber.Scalar) kyber.Scalar {
	s.v.Mul(scalar(a), scalar(b))
	return s
}

// Inv gives 0 for 0, as kyber's other groups do.
func (s *Scalar) Inv(a kyber.Scalar) kyber.Scalar {
	x := *scalar(a)
	s.v.Inv(&x)
	return s
}
func (s *Scalar) Div(a, b kyber.Scalar) kyber.Scalar {
	var inv Scalar
	return s.Mul(a, inv.Inv(b))
}

// Pick draws 48 bytes, so that the bias is below 2^-128.
func (s *Scalar) Pick(rand cipher.Stream) kyber.Scalar {
	b := make([]byte, 48)
	rand.XORKeyStream(b, b)
	return s.SetBytes(b)
}

// SetBytes reduces a big-endian integer of any length modulo the order. It goes
// by chunks of 16 bytes in constant time; circl's own goes through big.Int.
func (s *Scalar) SetBytes(b []byte) kyber.Scalar {
	var acc, shift, chunk circl.Scalar
	shift.SetUint64(1 << 32)
	shift.Sqr(&shift)
	shift.Sqr(&shift) // 2^128
	for len(b) > 0 {
		n := len(b) % 16
		if n == 0 {
			n = 16
		}
		var word [ScalarSize]byte
		copy(word[ScalarSize-n:], b[:n])
		_ = chunk.UnmarshalBinary(word[:]) // cannot fail: below 2^128
		acc.Mul(&acc, &shift)
		acc.Add(&acc, &chunk)
		b = b[n:]
	}
	s.v = acc
	return s
}

func (s *Scalar) MarshalBinary() ([]byte, error) { return s.v.MarshalBinary() }
func (s *Scalar) MarshalSize() int               { return ScalarSize }
func (s *Scalar) UnmarshalBinary(b []byte) error {
	var v circl.Scalar
	if len(b) != ScalarSize || v.UnmarshalBinary(b) != nil {
		return errScalar
	}
	s.v = v
	return nil
}
func (s *Scalar) MarshalTo(w io.Writer) (int, error)     { return marshalTo(s, w) }
func (s *Scalar) UnmarshalFrom(r io.Reader) (int, error) { return unmarshalFrom(s, r) }

// String shows nothing: most scalars here are secret, and kyber prints them in its own String methods.
func (*Scalar) String() string { return "[scalar]" }

// Bytes is the scalar in 32 bytes, big-endian.
func (s *Scalar) Bytes() (out [ScalarSize]byte) {
	b, _ := s.v.MarshalBinary() // never fails
	copy(out[:], b)
	return out
}

// Point is a point of the prime-order subgroup.
type Point struct {
	v            gnark.G1Jac
	variableTime bool
}

var infinityAffine = gnark.G1Affine{} // (0, 0) in gnark

func point(p kyber.Point) *gnark.G1Jac { return &p.(*Point).v }

func (p *Point) null() *Point {
	p.v.FromAffine(&infinityAffine)
	return p
}

func (p *Point) Equal(a kyber.Point) bool { return p.v.Equal(point(a)) }
func (p *Point) Null() kyber.Point        { return p.null() }
func (p *Point) Base() kyber.Point {
	_, _, g, _ := gnark.Generators()
	p.v.FromAffine(&g)
	return p
}
func (p *Point) Set(a kyber.Point) kyber.Point {
	p.v = *point(a)
	return p
}
func (p *Point) Clone() kyber.Point {
	c := *p
	return &c
}
func (p *Point) Add(a, b kyber.Point) kyber.Point {
	sum := *point(a)
	sum.AddAssign(point(b))
	p.v = sum
	return p
}
func (p *Point) Sub(a, b kyber.Point) kyber.Point {
	diff := *point(a)
	diff.SubAssign(point(b))
	p.v = diff
	return p
}
func (p *Point) Neg(a kyber.Point) kyber.Point {
	p.v.Neg(point(a))
	return p
}

// Mul sets p to s times q, or to s times the generator if q is nil.
func (p *Point) Mul(s kyber.Scalar, q kyber.Point) kyber.Point {
	if p.variableTime {
		return p.mulVariableTime(s, q)
	}
	base := circl.G1Generator()
	if q != nil {
		base = toCircl(point(q))
	}
	var product circl.G1
	product.ScalarMult(scalar(s), base)
	var a gnark.G1Affine
	fromCircl(&a, &product)
	p.v.FromAffine(&a)
	return p
}

func (p *Point) mulVariableTime(s kyber.Scalar, q kyber.Point) kyber.Point {
	b, _ := scalar(s).MarshalBinary()
	k := new(big.Int).SetBytes(b)
	if q == nil {
		p.v.ScalarMultiplicationBase(k)
		return p
	}
	if k.BitLen() <= smallScalar {
		return p.mulSmall(k, point(q))
	}
	p.v.ScalarMultiplication(point(q), k)
	return p
}

// smallScalar is the length in bits up to which a scalar is multiplied bit by bit.
// Members' indexes, at which polynomials are evaluated, are so small; gnark's method
// has tables and an endomorphism, which pay for long scalars only.
const smallScalar = 16

func (p *Point) mulSmall(k *big.Int, q *gnark.G1Jac) kyber.Point {
	var sum gnark.G1Jac
	sum.FromAffine(&infinityAffine)
	for i := k.BitLen() - 1; i >= 0; i-- {
		sum.DoubleAssign()
		if k.Bit(i) == 1 {
			sum.AddAssign(q)
		}
	}
	p.v = sum
	return p
}

// Combine is the sum of scalars[i] times points[i], in variable time. There must be as many of the one as of the other.
func Combine(points []*Point, scalars []*Scalar) *Point {
	jacobian := make([]gnark.G1Jac, len(points))
	for i, p := range points {
		jacobian[i] = p.v
	}
	k := make([]fr.Element, len(scalars))
	for i, s := range scalars {
		b := s.Bytes()
		k[i].SetBytes(b[:])
	}
	sum := Public.infinity()
	if _, err := sum.v.MultiExp(gnark.BatchJacobianToAffineG1(jacobian), k, ecc.MultiExpConfig{NbTasks: 1}); err != nil {
		panic("g1: " + err.Error()) // lengths differ
	}
	return sum
}

// Pick gives a random point; its discrete logarithm is known to whoever knows rand.
func (p *Point) Pick(rand cipher.Stream) kyber.Point {
	return p.Mul(new(Scalar).Pick(rand), nil)
}

// EmbedLen is 0: points carry no data here.
func (p *Point) EmbedLen() int                                  { return 0 }
func (p *Point) Embed(_ []byte, rand cipher.Stream) kyber.Point { return p.Pick(rand) }
func (p *Point) Data() ([]byte, error)                          { return nil, errEmbed }

func (p *Point) MarshalSize() int { return PointSize }
func (p *Point) MarshalBinary() ([]byte, error) {
	b := p.Bytes()
	return b[:], nil
}
func (p *Point) UnmarshalBinary(b []byte) error {
	var a gnark.G1Affine
	if len(b) != PointSize {
		return errPoint
	}
	if _, err := a.SetBytes(b); err != nil { // on the curve and in the subgroup
		return errPoint
	}
	if again := a.Bytes(); subtle.ConstantTimeCompare(again[:], b) != 1 {
		return errPoint
	}
	p.v.FromAffine(&a)
	return nil
}
func (p *Point) MarshalTo(w io.Writer) (int, error)     { return marshalTo(p, w) }
func (p *Point) UnmarshalFrom(r io.Reader) (int, error) { return unmarshalFrom(p, r) }
func (p *Point) String() string                         { return fmt.Sprintf("%x", p.Bytes()) }

// Bytes is the point, compressed.
func (p *Point) Bytes() [PointSize]byte {
	var a gnark.G1Affine
	a.FromJacobian(&p.v)
	return a.Bytes()
}

// IsInfinity reports whether p is the neutral element.
func (p *Point) IsInfinity() bool { return p.v.Z.IsZero() }

// The two libraries agree on encodings; uncompressed ones save a square root.

func toCircl(p *gnark.G1Jac) *circl.G1 {
	var a gnark.G1Affine
	a.FromJacobian(p)
	b := a.RawBytes()
	var out circl.G1
	if err := out.SetBytes(b[:]); err != nil {
		panic("g1: a point of gnark's subgroup is not one of circl's: " + err.Error())
	}
	return &out
}

func fromCircl(a *gnark.G1Affine, p *circl.G1) {
	b := p.Bytes()
	// The product of a checked point needs no second subgroup check.
	if err := gnark.NewDecoder(bytes.NewReader(b), gnark.NoSubgroupChecks()).Decode(a); err != nil {
		panic("g1: a point of circl is not one of gnark: " + err.Error())
	}
}

func marshalTo(m kyber.Marshaling, w io.Writer) (int, error) {
	b, err := m.MarshalBinary()
	if err != nil {
		return 0, err
	}
	return w.Write(b)
}

func unmarshalFrom(m kyber.Marshaling, r io.Reader) (int, error) {
	b := make([]byte, m.MarshalSize())
	n, err := io.ReadFull(r, b)
	if err != nil {
		return n, err
	}
	return n, m.UnmarshalBinary(b)
}

var (
	_ kyber.Group  = Group{}
	_ kyber.Scalar = (*Scalar)(nil)
	_ kyber.Point  = (*Point)(nil)
)
