package threshold

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
)

// powerCheck checks for many points at once that they are the same power of their bases: e(p[i], H) = e(bases[i], q)
// for all i. Both sides are first summed up with coefficients drawn from everything that is to be checked: if one
// equation does not hold, the sum of all holds with probability 2^-128. Components of small order go unnoticed, so what
// is to be kept is checked for the subgroup too.
type powerCheck struct {
	bases        []g1
	transcript   hash.Hash
	coefficients [][16]byte
	baseSum      g1
}

func newPowerCheck(domain string, bases []g1) *powerCheck {
	c := &powerCheck{bases: bases, transcript: sha256.New()}
	c.transcript.Write([]byte(domain))
	c.transcript.Write(binary.BigEndian.AppendUint32(nil, uint32(len(bases))))
	c.add(nil, bases)
	return c
}

// add hashes what is to be checked, with q's encoding.
func (c *powerCheck) add(q []byte, points []g1) {
	if len(c.bases) == 1 {
		return // one equation needs no coefficient
	}
	c.transcript.Write(q)
	for i := range points {
		b := points[i].Bytes()
		c.transcript.Write(b[:])
	}
}

// draw fixes the coefficients; everything has been added.
func (c *powerCheck) draw() {
	if len(c.bases) < 2 {
		return
	}
	c.coefficients = coefficients([sha256.Size]byte(c.transcript.Sum(nil)), len(c.bases))
	c.baseSum = c.sum(c.bases)
}

func (c *powerCheck) sum(p []g1) g1 {
	return affineBatch([]g1Jac{combination128(p, c.coefficients)})[0]
}

// holds checks points that were added.
func (c *powerCheck) holds(q *g2, points []g1) bool {
	switch len(c.bases) {
	case 0:
		return true
	case 1:
		return pairingsEqual(&points[0], &c.bases[0], q)
	}
	sum := c.sum(points)
	return pairingsEqual(&sum, &c.baseSum, q)
}
