package threshold

import (
	"encoding/binary"
	"math/big"
	"math/bits"
	"sync"

	"github.com/consensys/gnark-crypto/ecc/bls12-381/fp"
)

// Multiplications in variable time, for public values and for the one-use secrets of Seal. They are what the cost of
// this package is made of; docs/benchmarks-threshold.md has the figures.

// words is a number below 2^256, little-endian.
type words [4]uint64

// digits is a number in signed digits, lowest first: each is zero or odd, and a run of zeros follows every other digit.
type digits []int8

// wnaf writes k in the width-w non-adjacent form, with odd digits below 2^(w-1), 2 <= w <= 8.
func wnaf(k words, w uint) digits {
	bit := func(i uint) uint64 {
		if i > 255 {
			return 0
		}
		return k[i/64] >> (i % 64) & 1
	}
	out := make(digits, 0, 257)
	carry := uint64(0)
	for i := uint(0); i <= 256; {
		if bit(i) == carry {
			i++
			continue
		}
		var v uint64
		for j := range w {
			v |= bit(i+j) << j
		}
		v += carry
		carry = v >> (w - 1)
		out = append(out, make(digits, int(i)-len(out))...)
		out = append(out, int8(int64(v)-int64(carry<<w)))
		i += w
	}
	return out
}

// negated is the number with its sign changed.
func (d digits) negated() digits {
	n := make(digits, len(d))
	for i := range d {
		n[i] = -d[i]
	}
	return n
}

// sumOfProducts is the sum of d[i] p[i], all d being of width w (Straus: the doublings are shared).
func sumOfProducts(p []g1, d []digits, w uint) g1Jac {
	odd, n := oddMultiples(p, w), 1<<(w-2)
	length := 0
	for i := range d {
		length = max(length, len(d[i]))
	}
	var sum g1Jac
	sum.FromAffine(new(g1))
	var minus g1
	for i := length - 1; i >= 0; i-- {
		sum.DoubleAssign()
		for j := range d {
			if i >= len(d[j]) {
				continue
			}
			switch v := int(d[j][i]); {
			case v > 0:
				sum.AddMixed(&odd[j*n+v/2])
			case v < 0:
				sum.AddMixed(minus.Neg(&odd[j*n-v/2]))
			}
		}
	}
	return sum
}

// oddMultiples gives P, 3P, 5P ... (2^(w-1)-1)P for each point.
func oddMultiples(p []g1, w uint) []g1 {
	if w == 2 {
		return p
	}
	n := 1 << (w - 2)
	t := make([]g1Jac, n*len(p))
	var twice g1Jac
	for i := range p {
		row := t[i*n : i*n+n]
		row[0].FromAffine(&p[i])
		twice.Double(&row[0])
		for j := 1; j < n; j++ {
			row[j].Set(&row[j-1]).AddAssign(&twice)
		}
	}
	return affineBatch(t)
}

// affineBatch converts all points with one inversion. (gnark's function of this purpose starts goroutines.)
func affineBatch(p []g1Jac) []g1 {
	out := make([]g1, len(p))
	product := fp.One()
	for i := range p {
		if !p[i].Z.IsZero() {
			out[i].X = product
			product.Mul(&product, &p[i].Z)
		}
	}
	product.Inverse(&product)
	var inv, square fp.Element
	for i := len(p) - 1; i >= 0; i-- {
		if p[i].Z.IsZero() {
			continue // (0, 0) stands for infinity
		}
		inv.Mul(&out[i].X, &product)
		product.Mul(&product, &p[i].Z)
		square.Square(&inv)
		out[i].X.Mul(&p[i].X, &square)
		out[i].Y.Mul(&p[i].Y, &square).Mul(&out[i].Y, &inv)
	}
	return out
}

// The curve's parameter is -x with x = 0xd201000000010000, the order of the group is x^4 - x^2 + 1, and there is an
// endomorphism (X, Y) -> (omega X, -Y) that multiplies every point of the group by x^2.
var omega = func() (e fp.Element) {
	_, err := e.SetString("0x" + omegaHex)
	if err != nil {
		panic(err)
	}
	return e
}()

const omegaHex = "5f19672fdf76ce51ba69c6076a0f77eaddb3a93be6f89688de17d813620a00022e01fffffffefffe"

// timesXX is x^2 P for a point of the group.
func timesXX(p *g1) g1 {
	var q g1
	q.X.Mul(&p.X, &omega)
	q.Y.Neg(&p.Y)
	return q
}

// splitXX gives a and b below 2^128 with k = a + b x^2, for k below the group's order, in constant time.
func splitXX(k words) (a, b words) {
	var lo, hi uint64 // the remainder
	for i := 255; i >= 0; i-- {
		over := hi >> 63
		hi = hi<<1 | lo>>63
		lo = lo<<1 | k[i/64]>>(i%64)&1
		l, borrow := bits.Sub64(lo, xx[0], 0)
		h, borrow := bits.Sub64(hi, xx[1], borrow)
		fits := over | (1 - borrow) // x^2 goes into the remainder
		mask := -fits
		lo, hi = lo&^mask|l&mask, hi&^mask|h&mask
		b[1] = b[1]<<1 | b[0]>>63
		b[0] = b[0]<<1 | fits
	}
	return words{lo, hi}, b
}

var xx = words{0x0000000100000000, 0xac45a4010001a402} // x^2

// factor is a scalar ready to multiply many points.
type factor struct{ a, b digits }

const factorWidth = 5

func newFactor(k *scalar) factor {
	a, b := splitXX(k.Bits())
	return factor{wnaf(a, factorWidth), wnaf(b, factorWidth)}
}

// times is the factor times a point of the group. (For a point of the curve outside it, the result is some point of the
// curve.)
func (f factor) times(p *g1) g1Jac {
	return sumOfProducts([]g1{*p, timesXX(p)}, []digits{f.a, f.b}, factorWidth)
}

// coefficientWidth is for numbers of 128 bits: challenges and the coefficients of a random linear combination.
const coefficientWidth = 4

func words128(b [16]byte) words {
	return words{binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b[:8])}
}

// combination128 is the sum of k[i] p[i].
func combination128(p []g1, k [][16]byte) g1Jac {
	if len(p) >= 64 {
		return sumByBuckets(p, k)
	}
	d := make([]digits, len(k))
	for i := range k {
		d[i] = wnaf(words128(k[i]), coefficientWidth)
	}
	return sumOfProducts(p, d, coefficientWidth)
}

// sumByBuckets is the sum of k[i] p[i] by Pippenger's method: for many points it is cheaper to collect those with the same
// digit than to make a table for each.
func sumByBuckets(p []g1, k [][16]byte) g1Jac {
	c := bucketBits(len(p))
	d := make([][]int16, len(k))
	for i := range k {
		d[i] = radix(words128(k[i]), c)
	}
	buckets := make([]g1Jac, 1<<(c-1)) // the last is for the digits 2^(c-1) and -2^(c-1)
	var infinity, sum g1Jac
	infinity.FromAffine(new(g1))
	sum = infinity
	var minus g1
	for w := len(radix(words{}, c)) - 1; w >= 0; w-- {
		for range c {
			sum.DoubleAssign()
		}
		for i := range buckets {
			buckets[i] = infinity
		}
		for i := range p {
			switch v := d[i][w]; {
			case v > 0:
				buckets[v-1].AddMixed(&p[i])
			case v < 0:
				buckets[-v-1].AddMixed(minus.Neg(&p[i]))
			}
		}
		run := infinity
		for i := len(buckets) - 1; i >= 0; i-- {
			run.AddAssign(&buckets[i])
			sum.AddAssign(&run)
		}
	}
	return sum
}

// bucketBits is the digits' length for which the additions, of n points into buckets and of the buckets, cost least.
func bucketBits(n int) uint {
	best, bits := 0, uint(0)
	for c := uint(2); c <= 12; c++ {
		cost := (128/int(c) + 1) * (11*n + 32<<(c-1))
		if bits == 0 || cost < best {
			best, bits = cost, c
		}
	}
	return bits
}

// radix writes a number below 2^128 in signed digits of c bits, from -2^(c-1)+1 to 2^(c-1), lowest first.
func radix(k words, c uint) []int16 {
	out := make([]int16, 0, 128/c+1)
	carry := uint64(0)
	for i := uint(0); i <= 128; i += c {
		v := k[i/64] >> (i % 64)
		if i%64 != 0 {
			v |= k[i/64+1] << (64 - i%64)
		}
		v = v&(1<<c-1) + carry
		carry = 0
		if v > 1<<(c-1) {
			carry = 1
		}
		out = append(out, int16(int64(v)-int64(carry<<c)))
	}
	return out
}

// doublings is 2^i P for i from 0 to 128.
type doublings [129]g1Jac

func (d *doublings) set(p *g1) {
	d[0].FromAffine(p)
	for i := 1; i < len(d); i++ {
		d[i].Double(&d[i-1])
	}
}

// times is k times the point, for k of up to 128 bits and of width coefficientWidth at most. The doublings that belong to
// the same digit are added up first, and then the digits are multiplied in.
func (d *doublings) times(k digits) g1Jac {
	var sums [1 << (coefficientWidth - 2)]g1Jac
	for i := range sums {
		sums[i].FromAffine(new(g1))
	}
	var minus g1Jac
	for i, v := range k {
		switch {
		case v > 0:
			sums[v/2].AddAssign(&d[i])
		case v < 0:
			sums[-v/2].AddAssign(minus.Neg(&d[i]))
		}
	}
	// S1 + 3 S3 + 5 S5 + 7 S7 = 2 ((S7) + (S7+S5) + (S7+S5+S3)) + (S7+S5+S3+S1)
	var run, total g1Jac
	run.FromAffine(new(g1))
	total.FromAffine(new(g1))
	for i := len(sums) - 1; i > 0; i-- {
		run.AddAssign(&sums[i])
		total.AddAssign(&run)
	}
	run.AddAssign(&sums[0])
	total.DoubleAssign()
	total.AddAssign(&run)
	return total
}

// inSubgroup reports whether the point is in the group, by x^2 P = (omega X, -Y): Scott, A Note on Group Membership Tests
// (ePrint 2021/1130). It costs little on top of the doublings.
func (d *doublings) inSubgroup(p *g1) bool {
	var want g1Jac
	q := timesXX(p)
	want.FromAffine(&q)
	got := d.times(xxDigits())
	return got.Equal(&want)
}

var xxDigits = sync.OnceValue(func() digits { return wnaf(xx, 2) })

// fixedBase holds j 256^i P for i in 0..31 and j in 1..128.
type fixedBase [32][128]g1

func newFixedBase(p *g1) *fixedBase {
	t := make([]g1Jac, 0, 32*128)
	base := *p
	for range 32 {
		var q g1Jac
		q.FromAffine(&base)
		for range 128 {
			t = append(t, q)
			q.AddMixed(&base)
		}
		q = t[len(t)-1] // 128 times the base
		q.DoubleAssign()
		base.FromJacobian(&q)
	}
	f := new(fixedBase)
	for i, a := range affineBatch(t) {
		f[i/128][i%128] = a
	}
	return f
}

// times is k P.
func (f *fixedBase) times(k *scalar) g1Jac {
	var sum g1Jac
	sum.FromAffine(new(g1))
	var minus g1
	carry := 0
	for i, word := range k.Bits() {
		for j := range 8 {
			row := &f[8*i+j]
			v := int(byte(word>>(8*j))) + carry
			carry = 0
			if v > 128 {
				v -= 256
				carry = 1
			}
			switch {
			case v > 0:
				sum.AddMixed(&row[v-1])
			case v < 0:
				sum.AddMixed(minus.Neg(&row[-v-1]))
			}
		}
	}
	return sum // the order's highest byte is 0x73: nothing is carried out
}

var (
	generatorTable       = sync.OnceValue(func() *fixedBase { return newFixedBase(&generator) })
	secondGeneratorTable = sync.OnceValue(func() *fixedBase { gb := secondGenerator(); return newFixedBase(&gb) })
)

// wordsOf is the absolute value of k, which is below 2^256.
func wordsOf(k *big.Int) words {
	var b [32]byte
	k.FillBytes(b[:])
	return words{
		binary.BigEndian.Uint64(b[24:]), binary.BigEndian.Uint64(b[16:]),
		binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b[0:]),
	}
}
