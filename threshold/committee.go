package threshold

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/consensys/gnark-crypto/ecc"
)

// MaxMembers bounds a committee.
const MaxMembers = 256

const (
	committeeVersion = 1
	committeeHead    = 1 + 8 + 2 + 2 + PublicKeySize

	domainCommittee = "scrim/committee-coefficients/v1"
)

// Committee is n members, numbered 1 to n, of which any Threshold together open what is sealed to Key. Its fields are
// not to be changed once [NewCommittee] or [ParseCommittee] has checked them.
type Committee struct {
	Epoch     uint64
	Threshold int
	Key       *PublicKey
	Members   []*MemberKey // Members[j-1] is member j's
}

// NewCommittee makes a committee of len(members) members with threshold t. It checks that the member keys and Y2 are
// the values at 1..n and 0 of one polynomial of degree t-1; otherwise the error is [ErrCommittee].
func NewCommittee(epoch uint64, t int, key *PublicKey, members []*MemberKey) (*Committee, error) {
	c := &Committee{Epoch: epoch, Threshold: t, Key: key, Members: slices.Clone(members)}
	if err := c.wellFormed(); err != nil {
		return nil, err
	}
	if !c.onePolynomial() {
		return nil, fmt.Errorf("member keys and public key are not of one polynomial of degree %d: %w", t-1, ErrCommittee)
	}
	return c, nil
}

// N is the number of members.
func (c *Committee) N() int { return len(c.Members) }

// wellFormed checks what a Committee that was put together by hand may lack.
func (c *Committee) wellFormed() error {
	if c == nil || !c.Key.exists() {
		return fmt.Errorf("no public key: %w", ErrCommittee)
	}
	n := len(c.Members)
	if n < 1 || n > MaxMembers || c.Threshold < 1 || c.Threshold > n {
		return fmt.Errorf("threshold %d of %d members: %w", c.Threshold, n, ErrCommittee)
	}
	if i := slices.Index(c.Members, nil); i >= 0 {
		return fmt.Errorf("member %d has no key: %w", i+1, ErrCommittee)
	}
	return nil
}

// onePolynomial multiplies the values at 0..n by a random word of the code dual to the polynomials of degree t-1: the
// product is zero for such a polynomial, and for anything else with probability 2^-128 (Cascudo and David, SCRAPE, 2017).
// The word is q(i) / prod_{j != i} (i-j) for a random q of degree n-t.
func (c *Committee) onePolynomial() bool {
	n := len(c.Members)
	h := sha256.New()
	h.Write([]byte(domainCommittee))
	h.Write(c.appendBinary(nil))
	q := make([]scalar, n-c.Threshold+1)
	for i, r := range coefficients([sha256.Size]byte(h.Sum(nil)), len(q)) {
		q[i].SetBytes(r[:])
	}

	points := make([]g2, n+1)
	points[0] = c.Key.y2
	for i, m := range c.Members {
		points[i+1] = m.v
	}
	word := make([]scalar, n+1)
	for i := range word {
		word[i] = evaluate(q, uint64(i))
		div := dualDivisor(i, n)
		word[i].Div(&word[i], &div)
	}
	sum, err := combineG2(points, word)
	return err == nil && sum.IsInfinity()
}

// dualDivisor is prod_{j in 0..n, j != i} (i-j).
func dualDivisor(i, n int) scalar {
	var d, f scalar
	d.SetOne()
	for j := range n + 1 {
		if j != i {
			f.SetInt64(int64(i) - int64(j))
			d.Mul(&d, &f)
		}
	}
	return d
}

// evaluate is the polynomial with these coefficients, lowest first, at x.
func evaluate(q []scalar, x uint64) scalar {
	var at, y scalar
	at.SetUint64(x)
	for i := len(q) - 1; i >= 0; i-- {
		y.Mul(&y, &at).Add(&y, &q[i])
	}
	return y
}

// CompleteMembers gives all n member keys, and Y2 (96 bytes), from at least t known ones by interpolation in the
// exponent. All that are given must lie on one polynomial of degree t-1, else the error is [ErrCommittee]; with fewer
// than t it is [ErrTooFew].
func CompleteMembers(n, t int, known map[uint32]*MemberKey) (members []*MemberKey, y2 []byte, err error) {
	if n < 1 || n > MaxMembers || t < 1 || t > n {
		return nil, nil, fmt.Errorf("threshold %d of %d members: %w", t, n, ErrCommittee)
	}
	for x := range known {
		if x < 1 || uint64(x) > uint64(n) {
			return nil, nil, fmt.Errorf("key of member %d of %d: %w", x, n, ErrCommittee)
		}
	}
	members = make([]*MemberKey, n)
	var xs []uint32
	var points []g2
	for x := uint32(1); x <= uint32(n); x++ {
		k := known[x]
		if k == nil || len(xs) == t {
			continue
		}
		xs, points = append(xs, x), append(points, k.v)
		members[x-1] = k
	}
	if len(xs) < t {
		return nil, nil, fmt.Errorf("%d member keys known of %d needed: %w", len(xs), t, ErrTooFew)
	}
	for x := range uint32(n) + 1 {
		if x > 0 && members[x-1] != nil {
			continue
		}
		p, err := combineG2(points, lagrangeScalars(xs, x))
		if err != nil || p.IsInfinity() {
			return nil, nil, fmt.Errorf("member %d's key: %w", x, ErrCommittee)
		}
		if x == 0 {
			b := p.Bytes()
			y2 = b[:]
			continue
		}
		members[x-1] = newMemberKey(&p)
		if k := known[x]; k != nil && k.bytes != members[x-1].bytes {
			return nil, nil, fmt.Errorf("member %d's key is not of the others' polynomial: %w", x, ErrCommittee)
		}
	}
	return members, y2, nil
}

// combineG2 is the sum of k[i] p[i].
func combineG2(p []g2, k []scalar) (g2, error) {
	var sum g2
	if len(p) != len(k) {
		return sum, errors.New("threshold: lengths differ")
	}
	_, err := sum.MultiExp(p, k, ecc.MultiExpConfig{NbTasks: 1})
	return sum, err
}

// MarshalBinary gives version 1 | 8 epoch | 2 n | 2 threshold | 144 public key | n times 96 member key.
func (c *Committee) MarshalBinary() ([]byte, error) {
	if err := c.wellFormed(); err != nil {
		return nil, err
	}
	return c.appendBinary(nil), nil
}

func (c *Committee) appendBinary(b []byte) []byte {
	b = slices.Grow(b, committeeHead+len(c.Members)*Point2Size)
	b = append(b, committeeVersion)
	b = binary.BigEndian.AppendUint64(b, c.Epoch)
	b = binary.BigEndian.AppendUint16(b, uint16(len(c.Members)))
	b = binary.BigEndian.AppendUint16(b, uint16(c.Threshold))
	b = append(b, c.Key.bytes[:]...)
	for _, m := range c.Members {
		b = append(b, m.bytes[:]...)
	}
	return b
}

// ParseCommittee parses what MarshalBinary gives and makes the checks of [NewCommittee].
func ParseCommittee(b []byte) (*Committee, error) {
	if len(b) < committeeHead || b[0] != committeeVersion {
		return nil, fmt.Errorf("committee: %w", ErrEncoding)
	}
	epoch := binary.BigEndian.Uint64(b[1:])
	n, t := int(binary.BigEndian.Uint16(b[9:])), int(binary.BigEndian.Uint16(b[11:]))
	if n < 1 || n > MaxMembers || len(b) != committeeHead+n*Point2Size {
		return nil, fmt.Errorf("committee of %d members in %d bytes: %w", n, len(b), ErrEncoding)
	}
	key, err := ParsePublicKey(b[13:committeeHead])
	if err != nil {
		return nil, fmt.Errorf("committee: %w", err)
	}
	members := make([]*MemberKey, n)
	for i := range members {
		if members[i], err = ParseMemberKey(b[committeeHead+i*Point2Size:][:Point2Size]); err != nil {
			return nil, fmt.Errorf("committee: member %d: %w", i+1, err)
		}
	}
	return NewCommittee(epoch, t, key, members)
}

// member gives member j's key, nil if there is no such member.
func (c *Committee) member(j uint32) *MemberKey {
	if j < 1 || uint64(j) > uint64(len(c.Members)) {
		return nil
	}
	return c.Members[j-1]
}
