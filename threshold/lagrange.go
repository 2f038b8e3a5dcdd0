package threshold

import "math/big"

// lagrange gives integers c and d with f(at) = sum(c[i] f(xs[i])) / d for every polynomial f of degree below len(xs).
// The xs are distinct. For members with small, nearly consecutive numbers c and d are short, which makes
// multiplications by them cheap; d is 1 when they are consecutive and at is 0.
func lagrange(xs []uint32, at uint32) (c []*big.Int, d *big.Int) {
	n := len(xs)
	num, den := make([]*big.Int, n), make([]*big.Int, n)
	d = big.NewInt(1)
	var g, q big.Int
	for i, x := range xs {
		num[i], den[i] = big.NewInt(1), big.NewInt(1)
		for j, y := range xs {
			if i == j {
				continue
			}
			num[i].Mul(num[i], q.SetInt64(int64(at)-int64(y)))
			den[i].Mul(den[i], q.SetInt64(int64(x)-int64(y)))
		}
		if den[i].Sign() < 0 {
			num[i].Neg(num[i])
			den[i].Neg(den[i])
		}
		if num[i].Sign() == 0 {
			den[i].SetInt64(1)
			continue
		}
		g.GCD(nil, nil, q.Abs(num[i]), den[i])
		num[i].Quo(num[i], &g)
		den[i].Quo(den[i], &g)
		g.GCD(nil, nil, d, den[i])
		d.Mul(d, q.Quo(den[i], &g)) // least common multiple
	}
	for i := range num {
		num[i].Mul(num[i], q.Quo(d, den[i]))
	}
	return num, d
}

// lagrangeScalars is lagrange with the division done, as scalars.
func lagrangeScalars(xs []uint32, at uint32) []scalar {
	c, d := lagrange(xs, at)
	var inv scalar
	inv.SetBigInt(d).Inverse(&inv)
	out := make([]scalar, len(c))
	for i := range c {
		out[i].SetBigInt(c[i]).Mul(&out[i], &inv)
	}
	return out
}

// interpolation takes values of a polynomial in the exponent, at fixed places, to its value at 0.
type interpolation struct {
	weights []digits
	width   uint
	glv     bool    // weights has two entries per place, for a factor's halves
	divide  *factor // what to multiply by in the end; nil for 1
}

// newInterpolation chooses between the short weights with a common divisor and full-length ones.
func newInterpolation(xs []uint32) *interpolation {
	c, d := lagrange(xs, 0)
	longest := 0
	for i := range c {
		longest = max(longest, c[i].BitLen())
	}
	if longest > 128 {
		w := &interpolation{width: factorWidth, glv: true}
		for _, k := range lagrangeScalars(xs, 0) {
			f := newFactor(&k)
			w.weights = append(w.weights, f.a, f.b)
		}
		return w
	}
	w := &interpolation{width: widthFor(longest)}
	for i := range c {
		k := wnaf(wordsOf(c[i]), w.width)
		if c[i].Sign() < 0 {
			k = k.negated()
		}
		w.weights = append(w.weights, k)
	}
	if d.IsUint64() && d.Uint64() == 1 {
		return w
	}
	var inverse scalar
	inverse.SetBigInt(d).Inverse(&inverse)
	f := newFactor(&inverse)
	w.divide = &f
	return w
}

// widthFor is the width at which additions and the table together cost least.
func widthFor(bits int) uint {
	switch {
	case bits <= 12:
		return 2
	case bits <= 40:
		return 3
	default:
		return 4
	}
}

// at0 interpolates n columns of shares, from[j].points[i] being the value of column i at the j-th place.
func (w *interpolation) at0(from []decoded, n int) []g1 {
	sums := make([]g1Jac, n)
	column := make([]g1, 0, len(w.weights))
	for i := range sums {
		column = column[:0]
		for j := range from {
			column = append(column, from[j].points[i])
			if w.glv {
				column = append(column, timesXX(&from[j].points[i]))
			}
		}
		sums[i] = sumOfProducts(column, w.weights, w.width)
	}
	out := affineBatch(sums)
	if w.divide == nil {
		return out
	}
	for i := range out {
		sums[i] = w.divide.times(&out[i])
	}
	return affineBatch(sums)
}

// interpolate gives, for each of n ciphertexts, the value at 0 of the polynomial in the exponent through the shares.
func interpolate(from []decoded, n int) []g1 {
	xs := make([]uint32, len(from))
	for i := range from {
		xs[i] = from[i].member
	}
	return newInterpolation(xs).at0(from, n)
}
