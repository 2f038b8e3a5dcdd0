package threshold

import (
	"encoding/binary"

	"github.com/cloudflare/circl/ecc/bls12381/ff"
)

// Multiplication of points of G1 by a secret, in constant time: no branch and no address depends on the secret. The
// field is circl's (fiat-crypto's formally verified code). circl's own multiplication of points is not used here because
// it treats the scalar as 256 bits and checks the subgroup of a point that has been checked; this one splits the scalar in
// two halves and takes half the time (docs/decisions/0011). Tests hold it against circl's.

// secretFactor is a secret scalar k = a + b x^2 in signed digits of 4 bits, lowest first. Wipe it after use.
type secretFactor struct{ a, b [33]int8 }

// newSecretFactor reads a big-endian scalar below the group's order.
func newSecretFactor(k *[ScalarSize]byte) *secretFactor {
	var w words
	for i := range w {
		w[i] = binary.BigEndian.Uint64(k[24-8*i:])
	}
	a, b := splitXX(w)
	f := new(secretFactor)
	recode(&f.a, &a)
	recode(&f.b, &b)
	clear(w[:])
	clear(a[:])
	clear(b[:])
	return f
}

func (f *secretFactor) wipe() { *f = secretFactor{} }

// recode writes a number below 2^128 in digits from -8 to 8.
func recode(out *[33]int8, k *words) {
	carry := uint64(0)
	for i := range 32 {
		v := k[i/16]>>(4*(i%16))&15 + carry
		carry = (v + 7) >> 4 // 1 if v is over 8
		out[i] = int8(int64(v) - int64(carry<<4))
	}
	out[32] = int8(carry)
}

// times multiplies every point, which must be in the group and not infinity, and gives the products compressed.
func (f *secretFactor) times(points []g1) [][PointSize]byte {
	products := make([]projective, len(points))
	for i := range points {
		products[i] = f.product(&points[i])
	}
	return compress(products)
}

func (f *secretFactor) product(p *g1) projective {
	var table [9]projective // 0, P ... 8P
	table[0].y.SetOne()
	table[1].setAffine(p)
	table[2].double(&table[1])
	for i := 3; i < len(table); i++ {
		table[i].add(&table[i-1], &table[1])
	}
	var sum, t projective
	sum.y.SetOne()
	for i := len(f.a) - 1; i >= 0; i-- {
		for range 4 {
			sum.double(&sum)
		}
		t.lookup(&table, f.a[i])
		sum.add(&sum, &t)
		t.lookup(&table, f.b[i])
		t.x.Mul(&t.x, &secretOmega)
		t.y.Neg()
		sum.add(&sum, &t)
	}
	return sum
}

var secretOmega = func() (e ff.Fp) {
	if err := e.SetString("0x" + omegaHex); err != nil {
		panic(err)
	}
	return e
}()

// projective is the point (x/z, y/z); infinity is (0, 1, 0).
type projective struct{ x, y, z ff.Fp }

func (p *projective) setAffine(a *g1) {
	raw := a.RawBytes() // x and y, big-endian; no flag is set in an uncompressed point
	p.x.SetBytes(raw[:48])
	p.y.SetBytes(raw[48:])
	p.z.SetOne()
}

// lookup gives d times the point of the table.
func (p *projective) lookup(table *[9]projective, d int8) {
	sign := int(uint8(d) >> 7)
	size := int(d)
	size = (size ^ -sign) + sign
	*p = table[0]
	for i := 1; i < len(table); i++ {
		hit := int(uint32((i^size)-1) >> 31)
		p.x.CMov(&p.x, &table[i].x, hit)
		p.y.CMov(&p.y, &table[i].y, hit)
		p.z.CMov(&p.z, &table[i].z, hit)
	}
	minus := p.y
	minus.Neg()
	p.y.CMov(&p.y, &minus, sign)
}

// add and double are the complete formulas of Renes, Costello and Batina (ePrint 2015/1060, algorithms 7 and 9) for
// y^2 = x^3 + 4: there is no case to tell apart.
func (p *projective) add(a, b *projective) {
	var xx, yy, zz, xy, yz, xz, s, t ff.Fp
	xx.Mul(&a.x, &b.x)
	yy.Mul(&a.y, &b.y)
	zz.Mul(&a.z, &b.z)
	cross := func(out, a1, a2, b1, b2, p1, p2 *ff.Fp) { // a1 b2 + a2 b1
		s.Add(a1, a2)
		t.Add(b1, b2)
		out.Mul(&s, &t)
		out.Sub(out, p1)
		out.Sub(out, p2)
	}
	cross(&xy, &a.x, &a.y, &b.x, &b.y, &xx, &yy)
	cross(&yz, &a.y, &a.z, &b.y, &b.z, &yy, &zz)
	cross(&xz, &a.x, &a.z, &b.x, &b.z, &xx, &zz)
	s.Add(&xx, &xx)
	xx.Add(&xx, &s) // 3 xx
	times12(&zz)
	times12(&xz)
	s.Add(&yy, &zz)
	t.Sub(&yy, &zz)

	var u ff.Fp
	p.x.Mul(&xy, &t)
	u.Mul(&yz, &xz)
	p.x.Sub(&p.x, &u)
	p.y.Mul(&t, &s)
	u.Mul(&xx, &xz)
	p.y.Add(&p.y, &u)
	p.z.Mul(&yz, &s)
	u.Mul(&xx, &xy)
	p.z.Add(&p.z, &u)
}

func (p *projective) double(a *projective) {
	var yy, yz, zz, xy, s, t ff.Fp
	yy.Sqr(&a.y)
	yz.Mul(&a.y, &a.z)
	xy.Mul(&a.x, &a.y)
	zz.Sqr(&a.z)
	times12(&zz)
	s.Add(&yy, &zz)
	t.Add(&zz, &zz)
	t.Add(&t, &zz)
	t.Sub(&yy, &t) // yy - 3 zz
	yy.Add(&yy, &yy)
	yy.Add(&yy, &yy)
	yy.Add(&yy, &yy) // 8 yy

	p.x.Mul(&xy, &t)
	p.x.Add(&p.x, &p.x)
	p.y.Mul(&s, &t)
	zz.Mul(&zz, &yy)
	p.y.Add(&p.y, &zz)
	p.z.Mul(&yz, &yy)
}

// times12 multiplies by three times the curve's coefficient.
func times12(a *ff.Fp) {
	var t ff.Fp
	t.Add(a, a)
	t.Add(&t, a)
	t.Add(&t, &t)
	a.Add(&t, &t)
}

// compress encodes points that are not infinity, with one inversion.
func compress(p []projective) [][PointSize]byte {
	var product ff.Fp
	product.SetOne()
	before := make([]ff.Fp, len(p))
	for i := range p {
		before[i] = product
		product.Mul(&product, &p[i].z)
	}
	product.Inv(&product)
	out := make([][PointSize]byte, len(p))
	for i := len(p) - 1; i >= 0; i-- {
		var inv, x, y ff.Fp
		inv.Mul(&product, &before[i])
		product.Mul(&product, &p[i].z)
		x.Mul(&p[i].x, &inv)
		y.Mul(&p[i].y, &inv)
		b, err := x.MarshalBinary()
		if err != nil {
			panic("threshold: " + err.Error()) // never: a field element has 48 bytes
		}
		copy(out[i][:], b)
		out[i][0] |= 0x80 | byte(y.IsNegative())<<5 // compressed; the larger y
	}
	return out
}
