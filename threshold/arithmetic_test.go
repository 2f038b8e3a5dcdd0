package threshold

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	circl "github.com/cloudflare/circl/ecc/bls12381"
	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fp"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
)

// testRand is the same in every run, so that a failure can be repeated.
func testRand(t testing.TB) *rand.Rand {
	var seed [32]byte
	copy(seed[:], t.Name())
	return rand.New(rand.NewChaCha8(seed))
}

func randomScalar(r *rand.Rand) (k scalar) {
	var b [48]byte
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	k.SetBytes(b[:])
	return k
}

func randomPoint(r *rand.Rand) g1 {
	k := randomScalar(r)
	return *new(g1).ScalarMultiplication(&generator, k.BigInt(new(big.Int)))
}

// edgeScalars are what goes wrong first: around powers of two, digits that carry, the endomorphism's x^2, the order.
func edgeScalars() []scalar {
	var out []scalar
	add := func(n *big.Int) {
		if n.Sign() < 0 {
			return
		}
		var k scalar
		out = append(out, *k.SetBigInt(n))
	}
	xxInt, _ := new(big.Int).SetString("ac45a4010001a4020000000100000000", 16)
	for _, n := range []*big.Int{big.NewInt(0), new(big.Int).Lsh(big.NewInt(1), 127), new(big.Int).Lsh(big.NewInt(1), 128), xxInt, new(big.Int).Lsh(xxInt, 127), fr.Modulus()} {
		for d := int64(-20); d <= 20; d++ {
			add(new(big.Int).Add(n, big.NewInt(d)))
		}
	}
	for i := range uint(255) {
		add(new(big.Int).Lsh(big.NewInt(1), i))
	}
	for _, b := range []byte{0x11, 0x77, 0x88, 0x80, 0x7f, 0xff, 0x99} {
		add(new(big.Int).SetBytes(append([]byte{0x70}, bytes.Repeat([]byte{b}, 31)...)))
	}
	return out
}

func testScalars(r *rand.Rand, n int) []scalar {
	out := edgeScalars()
	for range n {
		out = append(out, randomScalar(r))
	}
	return out
}

func times(p *g1, k *scalar) g1 { return *new(g1).ScalarMultiplication(p, k.BigInt(new(big.Int))) }

func toAffine(p g1Jac) g1 { return *new(g1).FromJacobian(&p) }

// order3 is a point of the curve outside the group, with the smallest order there is.
func order3(t testing.TB) g1 {
	var p g1
	p.Y.SetUint64(2) // 2^2 = 0^3 + 4
	if !p.IsOnCurve() || p.IsInSubGroup() {
		t.Fatal("not the point that was meant")
	}
	return p
}

// outside gives points of the curve outside the group.
func outside(t testing.TB, r *rand.Rand) []g1 {
	small := order3(t)
	points := []g1{small, *new(g1).Neg(&small)}
	for range 4 {
		var f fp.Element
		f.SetUint64(r.Uint64())
		j := bls.GeneratePointNotInG1(f)
		p := toAffine(j)
		q := randomPoint(r)
		points = append(points, p, *new(g1).Add(&q, &small))
	}
	for i := range points {
		if !points[i].IsOnCurve() || points[i].IsInSubGroup() {
			t.Fatalf("point %d is not outside the group", i)
		}
	}
	return points
}

func TestWNAF(t *testing.T) {
	for _, k := range testScalars(testRand(t), 50) {
		for w := uint(2); w <= 8; w++ {
			d := wnaf(k.Bits(), w)
			sum, last := new(big.Int), -int(w)
			for i, v := range d {
				if v == 0 {
					continue
				}
				if v%2 == 0 || int(v) >= 1<<(w-1) || int(v) <= -(1<<(w-1)) || i-last < int(w) {
					t.Fatalf("width %d: digit %d at %d, after one at %d", w, v, i, last)
				}
				last = i
				sum.Add(sum, new(big.Int).Lsh(big.NewInt(int64(v)), uint(i)))
			}
			if sum.Cmp(k.BigInt(new(big.Int))) != 0 {
				t.Fatalf("width %d: %v became %v", w, k.String(), sum)
			}
		}
	}
	full := words{^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0)}
	if d := wnaf(full, 4); len(d) != 257 || d[256] != 1 || d[0] != -1 {
		t.Errorf("2^256-1 became %v", d)
	}
}

func TestSplitXX(t *testing.T) {
	x2 := wordsInt(xx)
	for _, k := range testScalars(testRand(t), 500) {
		a, b := splitXX(k.Bits())
		if wordsInt(a).Cmp(x2) >= 0 || wordsInt(b).BitLen() > 128 {
			t.Fatalf("%v: parts too large", k.String())
		}
		got := new(big.Int).Mul(wordsInt(b), x2)
		if got.Add(got, wordsInt(a)).Cmp(k.BigInt(new(big.Int))) != 0 {
			t.Fatalf("%v became %v", k.String(), got)
		}
	}
}

func wordsInt(w words) *big.Int {
	var b [32]byte
	for i := range w {
		binary.BigEndian.PutUint64(b[24-8*i:], w[i])
	}
	return new(big.Int).SetBytes(b[:])
}

func TestTimesXX(t *testing.T) {
	r := testRand(t)
	var k scalar
	k.SetBigInt(wordsInt(xx))
	for range 10 {
		p := randomPoint(r)
		if got, want := timesXX(&p), times(&p, &k); !got.Equal(&want) {
			t.Fatal("the endomorphism does not multiply by x^2")
		}
	}
}

func TestFactorTimes(t *testing.T) {
	r := testRand(t)
	p := randomPoint(r)
	for _, k := range testScalars(r, 100) {
		got, want := toAffine(newFactor(&k).times(&p)), times(&p, &k)
		if !got.Equal(&want) {
			t.Fatalf("times %v", k.String())
		}
	}
}

func TestFixedBaseTimes(t *testing.T) {
	r := testRand(t)
	for _, base := range []struct {
		p g1
		f *fixedBase
	}{{generator, generatorTable()}, {secondGenerator(), secondGeneratorTable()}} {
		for _, k := range testScalars(r, 100) {
			got, want := toAffine(base.f.times(&k)), times(&base.p, &k)
			if !got.Equal(&want) {
				t.Fatalf("times %v", k.String())
			}
		}
	}
}

func TestDoublings(t *testing.T) {
	r := testRand(t)
	for range 20 {
		p := randomPoint(r)
		var d doublings
		d.set(&p)
		if !d.inSubgroup(&p) {
			t.Fatal("a point of the group is not in it")
		}
		for _, b := range [][16]byte{random16(r), {}, edge16[0], edge16[1], edge16[2]} {
			var k scalar
			k.SetBytes(b[:])
			e := wnaf(words128(b), coefficientWidth)
			want := times(&p, &k)
			if got := toAffine(d.times(e)); !got.Equal(&want) {
				t.Fatalf("times %x", b)
			}
			want.Neg(&want)
			if got := toAffine(d.times(e.negated())); !got.Equal(&want) {
				t.Fatalf("times -%x", b)
			}
		}
	}
	for i, p := range outside(t, r) {
		var d doublings
		d.set(&p)
		if d.inSubgroup(&p) {
			t.Errorf("point %d outside the group is in it", i)
		}
	}
}

func random16(r *rand.Rand) (b [16]byte) {
	binary.BigEndian.PutUint64(b[:], r.Uint64())
	binary.BigEndian.PutUint64(b[8:], r.Uint64())
	return b
}

var edge16 = [][16]byte{[16]byte(bytes.Repeat([]byte{0xff}, 16)), {15: 1}, {0: 0x80}, {}, [16]byte(bytes.Repeat([]byte{0x88}, 16)), [16]byte(bytes.Repeat([]byte{0x77}, 16))}

func TestCombination128(t *testing.T) {
	r := testRand(t)
	for _, n := range []int{0, 1, 2, 63, 64, 65, 200, 700} {
		points, k := make([]g1, n), make([][16]byte, n)
		var want g1
		for i := range points {
			points[i], k[i] = randomPoint(r), random16(r)
			switch i % 7 {
			case 1:
				points[i] = g1{} // infinity
			case 2:
				points[i], k[i] = points[i-2], k[i-2] // doubles
			case 3:
				points[i].Neg(&points[i-1])
				k[i] = k[i-1] // cancels
			case 4:
				k[i] = edge16[i%len(edge16)]
			}
			var s scalar
			s.SetBytes(k[i][:])
			q := times(&points[i], &s)
			want.Add(&want, &q)
		}
		if got := toAffine(combination128(points, k)); !got.Equal(&want) {
			t.Fatalf("%d points", n)
		}
	}
}

func TestRadix(t *testing.T) {
	r := testRand(t)
	for c := uint(2); c <= 12; c++ {
		for _, b := range append(slices.Clone(edge16), random16(r), random16(r), random16(r), random16(r)) {
			sum := new(big.Int)
			d := radix(words128(b), c)
			for i := len(d) - 1; i >= 0; i-- {
				if int(d[i]) > 1<<(c-1) || int(d[i]) < -(1<<(c-1)) {
					t.Fatalf("%d bits: digit %d", c, d[i])
				}
				sum.Lsh(sum, c).Add(sum, big.NewInt(int64(d[i])))
			}
			if sum.Cmp(new(big.Int).SetBytes(b[:])) != 0 {
				t.Fatalf("%d bits: %x became %v", c, b, sum)
			}
		}
	}
	for n := 1; n < 1<<17; n *= 2 {
		if c := bucketBits(n); c < 2 || c > 12 || n == 128 && c != 5 && c != 6 {
			t.Errorf("%d points: digits of %d bits", n, c)
		}
	}
}

func TestSumOfProducts(t *testing.T) {
	r := testRand(t)
	for _, n := range []int{0, 1, 2, 3, 17, 300} {
		for _, w := range []uint{2, 3, 4, 5} {
			points, d := make([]g1, n), make([]digits, n)
			var want g1
			for i := range points {
				points[i] = randomPoint(r)
				k := randomScalar(r)
				switch i % 5 {
				case 1:
					points[i] = g1{} // infinity
				case 2:
					points[i] = points[i-2] // doubles and cancels
				case 3:
					k.SetUint64(uint64(i))
				}
				d[i] = wnaf(k.Bits(), w)
				q := times(&points[i], &k)
				if i%2 == 1 {
					d[i] = d[i].negated()
					q.Neg(&q)
				}
				want.Add(&want, &q)
			}
			if got := toAffine(sumOfProducts(points, d, w)); !got.Equal(&want) {
				t.Fatalf("%d points, width %d", n, w)
			}
		}
	}
	// Tables of points of small order contain infinity.
	small := order3(t)
	var k scalar
	k.SetUint64(1 << 40)
	if got := toAffine(sumOfProducts([]g1{small}, []digits{wnaf(k.Bits(), 5)}, 5)); !got.Equal(&small) { // 2^40 = 1 mod 3
		t.Error("multiple of a point of order 3")
	}
}

func TestAffineBatch(t *testing.T) {
	r := testRand(t)
	var points []g1Jac
	var want []g1
	for i := range 9 {
		p := randomPoint(r)
		if i%4 == 0 {
			p = g1{}
		}
		var j g1Jac
		j.FromAffine(&p)
		if i%2 == 1 {
			j.DoubleAssign()
			p.Double(&p)
		}
		points, want = append(points, j), append(want, p)
	}
	for i, got := range affineBatch(points) {
		if !got.Equal(&want[i]) {
			t.Errorf("point %d", i)
		}
	}
	if len(affineBatch(nil)) != 0 {
		t.Error("points from nothing")
	}
}

// circlPoint carries a point over to the other library.
func circlPoint(t testing.TB, p *g1) *circl.G1 {
	b := p.Bytes()
	var c circl.G1
	if err := c.SetBytes(b[:]); err != nil {
		t.Fatal(err)
	}
	return &c
}

func TestSecretFactorTimes(t *testing.T) {
	r := testRand(t)
	points := []g1{randomPoint(r), generator, randomPoint(r)}
	for _, k := range testScalars(r, 100) {
		if k.IsZero() {
			continue // no secret
		}
		b := k.Bytes()
		var ck circl.Scalar
		if err := ck.UnmarshalBinary(b[:]); err != nil {
			t.Fatal(err)
		}
		got := newSecretFactor(&b).times(points)
		for i := range points {
			var want circl.G1
			want.ScalarMult(&ck, circlPoint(t, &points[i]))
			if !bytes.Equal(got[i][:], want.BytesCompressed()) {
				t.Fatalf("times %v: circl differs", k.String())
			}
			if gnark := times(&points[i], &k); got[i] != gnark.Bytes() {
				t.Fatalf("times %v: gnark differs", k.String())
			}
		}
	}
	if got := newSecretFactor(&[32]byte{31: 1}).times(nil); len(got) != 0 {
		t.Error("products of nothing")
	}
}

func TestRecode(t *testing.T) {
	for _, k := range testScalars(testRand(t), 200) {
		a, b := splitXX(k.Bits())
		for _, half := range []words{a, b} {
			var d [33]int8
			recode(&d, &half)
			sum := new(big.Int)
			for i := len(d) - 1; i >= 0; i-- {
				if d[i] < -8 || d[i] > 8 {
					t.Fatalf("digit %d", d[i])
				}
				sum.Lsh(sum, 4).Add(sum, big.NewInt(int64(d[i])))
			}
			if sum.Cmp(wordsInt(half)) != 0 {
				t.Fatalf("%v became %v", wordsInt(half), sum)
			}
		}
	}
}

// The formulas have no exceptions: every pair of points, equal, opposite or infinite, is added correctly.
func TestCompleteFormulas(t *testing.T) {
	r := testRand(t)
	p := randomPoint(r)
	points := []g1{{}, p, *new(g1).Neg(&p), *new(g1).Double(&p), randomPoint(r)}
	lift := func(a *g1) (out projective) {
		if a.IsInfinity() {
			out.y.SetUint64(r.Uint64() | 1)
			return out
		}
		out.setAffine(a)
		var z = out.z
		z.SetUint64(r.Uint64() | 1)
		out.x.Mul(&out.x, &z)
		out.y.Mul(&out.y, &z)
		out.z.Mul(&out.z, &z)
		return out
	}
	same := func(got *projective, want *g1) bool {
		if want.IsInfinity() {
			return got.z.IsZero() == 1 && got.x.IsZero() == 1 && got.y.IsZero() == 0
		}
		return compress([]projective{*got})[0] == want.Bytes()
	}
	for i := range points {
		a := lift(&points[i])
		var got projective
		got.double(&a)
		if want := new(g1).Double(&points[i]); !same(&got, want) {
			t.Errorf("twice point %d", i)
		}
		for j := range points {
			b := lift(&points[j])
			got.add(&a, &b)
			if want := new(g1).Add(&points[i], &points[j]); !same(&got, want) {
				t.Errorf("point %d plus point %d", i, j)
			}
			a2 := a
			a2.add(&a2, &b) // in place
			if want := new(g1).Add(&points[i], &points[j]); !same(&a2, want) {
				t.Errorf("point %d plus point %d in place", i, j)
			}
		}
	}
}

func TestSecretLookup(t *testing.T) {
	var table [9]projective
	p := randomPoint(testRand(t))
	table[0].y.SetOne()
	table[1].setAffine(&p)
	for i := 2; i < len(table); i++ {
		table[i].add(&table[i-1], &table[1])
	}
	for d := int8(-8); d <= 8; d++ {
		var got projective
		got.lookup(&table, d)
		want := table[max(d, -d)]
		if d < 0 {
			want.y.Neg()
		}
		if got.x.IsEqual(&want.x)&got.y.IsEqual(&want.y)&got.z.IsEqual(&want.z) != 1 {
			t.Errorf("digit %d", d)
		}
	}
}

func TestLagrange(t *testing.T) {
	r := testRand(t)
	for _, xs := range [][]uint32{{1}, {7}, {1, 2, 3}, {1, 2, 4}, {2, 3, 4}, {5, 9, 200, 256}, {1, 3, 5, 7, 9, 11, 13, 15, 17}, primes(40)} {
		poly := make([]scalar, len(xs))
		for i := range poly {
			poly[i] = randomScalar(r)
		}
		for _, at := range []uint32{0, 1, 6, 300} {
			var got scalar
			for i, l := range lagrangeScalars(xs, at) {
				y := evaluate(poly, uint64(xs[i]))
				got.Add(&got, l.Mul(&l, &y))
			}
			if want := evaluate(poly, uint64(at)); !got.Equal(&want) {
				t.Errorf("%v at %d", xs, at)
			}
		}
	}
	for _, xs := range [][]uint32{{1, 2, 3}, {2, 3, 4}, {6, 7, 8, 9, 10}} {
		if _, d := lagrange(xs, 0); d.Cmp(big.NewInt(1)) != 0 {
			t.Errorf("%v: weights of consecutive members have divisor %v", xs, d)
		}
	}
}

func primes(n int) (out []uint32) {
	for p := uint32(2); len(out) < n; p++ {
		if big.NewInt(int64(p)).ProbablyPrime(1) {
			out = append(out, p)
		}
	}
	return out
}

func TestInterpolation(t *testing.T) {
	r := testRand(t)
	forms := map[string]int{}
	for _, xs := range [][]uint32{{1}, {3}, {1, 2, 3}, {1, 2, 4}, {1, 2, 5, 6, 7}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 14}, primes(43)} {
		poly := make([]scalar, len(xs))
		for i := range poly {
			poly[i] = randomScalar(r)
		}
		const columns = 3
		bases := []g1{randomPoint(r), randomPoint(r), randomPoint(r)}
		from := make([]decoded, len(xs))
		for j, x := range xs {
			y := evaluate(poly, uint64(x))
			from[j] = decoded{x, nil}
			for i := range bases {
				from[j].points = append(from[j].points, times(&bases[i], &y))
			}
		}
		for i, got := range interpolate(from, columns) {
			if want := times(&bases[i], &poly[0]); !got.Equal(&want) {
				t.Errorf("%v, column %d", xs, i)
			}
		}
		switch w := newInterpolation(xs); {
		case w.glv:
			forms["long"]++
		case w.divide != nil:
			forms["divided"]++
		default:
			forms["whole"]++
		}
	}
	if len(forms) != 3 {
		t.Errorf("only these forms of weights were tested: %v", forms)
	}
}

func TestNearestRun(t *testing.T) {
	for _, c := range []struct {
		members []uint32
		t, want int
	}{
		{[]uint32{1, 2, 3}, 3, 0}, {[]uint32{1, 3, 4, 5}, 3, 1}, {[]uint32{1, 2, 3, 4}, 3, 0}, {[]uint32{1, 4, 6, 9, 10, 11, 20}, 3, 3}, {[]uint32{5}, 1, 0},
	} {
		if got := nearestRun(len(c.members), c.t, func(i int) uint32 { return c.members[i] }); got != c.want {
			t.Errorf("%d of %v: begins at %d, want %d", c.t, c.members, got, c.want)
		}
	}
}

// The two libraries must accept the same encodings of points.
func TestDecodeAgreesWithCircl(t *testing.T) {
	r := testRand(t)
	accepted := 0
	check := func(b []byte) {
		t.Helper()
		p, err := decodeG1(b)
		var c circl.G1
		cerr := c.SetBytes(b)
		if ok := cerr == nil && !c.IsIdentity(); ok != (err == nil) {
			t.Fatalf("%x: %v, circl: %v", b, err, cerr)
		}
		if err == nil {
			accepted++
			if again := p.Bytes(); !bytes.Equal(again[:], b) || !bytes.Equal(c.BytesCompressed(), b) {
				t.Fatalf("%x is encoded as %x", b, again)
			}
		}
	}
	for range 200 {
		p := randomPoint(r)
		b := p.Bytes()
		check(b[:])
		b[r.IntN(48)] ^= 1 << r.IntN(8)
		check(b[:])
	}
	for _, p := range outside(t, r) {
		b := p.Bytes()
		check(b[:])
	}
	for _, b := range malformedPoints(t) {
		check(b)
	}
	if accepted < 200 {
		t.Errorf("only %d accepted", accepted)
	}
}

// RFC 9380, appendix J.9.1.
func TestHashToG1(t *testing.T) {
	const tag = "QUUX-V01-CS02-with-BLS12381G1_XMD:SHA-256_SSWU_RO_"
	p := hashToG1(tag, nil)
	const x = "052926add2207b76ca4fa57a8734416c8dc95e24501772c814278700eed6d1e4e8cf62d9c09db0fac349612b759e79a1"
	const y = "08ba738453bfed09cb546dbb0783dbb3a5f1f566ed67bb6be0e8c67e2e81a4cc68ee29813bb7994998f3eae0c9c6a265"
	if raw := p.RawBytes(); fmt.Sprintf("%x", raw) != x+y {
		t.Errorf("got %x", raw)
	}
	r := testRand(t)
	for range 20 {
		msg := random16(r)
		p := hashToG1(domainSignature, msg[:])
		var c circl.G1
		c.Hash(msg[:], []byte(domainSignature))
		if b := p.Bytes(); !bytes.Equal(b[:], c.BytesCompressed()) {
			t.Errorf("%x: circl differs", msg)
		}
	}
}

// malformedPoints are encodings of 48 bytes that are no point of the group, or not its only encoding, or infinity.
func malformedPoints(t testing.TB) map[string][]byte {
	p := order3(t)
	small := p.Bytes()
	g := generator.Bytes()
	flip := func(i int, bit byte) []byte { b := slices.Clone(g[:]); b[i] ^= bit; return b }
	prime := fp.Modulus().FillBytes(make([]byte, 48))
	prime[0] |= 0x80
	above := new(big.Int).Add(fp.Modulus(), generator.X.BigInt(new(big.Int))).FillBytes(make([]byte, 48))
	above[0] |= 0x80
	infinity := make([]byte, 48)
	infinity[0] = 0xc0
	infinitySign := slices.Clone(infinity)
	infinitySign[0] = 0xe0
	infinityRest := slices.Clone(infinity)
	infinityRest[47] = 1
	notOnCurve := make([]byte, 48)
	for x := byte(1); ; x++ {
		notOnCurve[0], notOnCurve[47] = 0x80, x
		if _, err := decompress(notOnCurve); err != nil {
			break
		}
	}
	return map[string][]byte{
		"order 3": small[:], "infinity": infinity, "infinity with sign": infinitySign, "infinity with rest": infinityRest,
		"uncompressed flag": flip(0, 0x80), "infinity flag": flip(0, 0x40), "x is p": prime, "x above p": above,
		"not on the curve": notOnCurve, "zeros": make([]byte, 48), "ones": bytes.Repeat([]byte{0xff}, 48),
	}
}
