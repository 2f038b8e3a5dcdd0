package threshold

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// MaxBatch bounds the number of ciphertexts in a batch.
const MaxBatch = 1 << 16

const (
	batchShareVersion = 1
	batchShareHead    = 1 + 4 + 4

	domainShareCheck = "scrim/share-coefficients/v1"
)

// BatchShare is a member's unverified share of a batch: one compressed point per ciphertext, in the batch's order.
type BatchShare struct {
	Member uint32
	Points [][PointSize]byte
}

// MarshalBinary gives version 1 | 4 member | 4 count | count times 48 point.
func (s *BatchShare) MarshalBinary() ([]byte, error) {
	if s.Member < 1 || s.Member > MaxMembers || len(s.Points) > MaxBatch {
		return nil, fmt.Errorf("batch share of member %d with %d points: %w", s.Member, len(s.Points), ErrEncoding)
	}
	b := make([]byte, 0, batchShareHead+len(s.Points)*PointSize)
	b = append(b, batchShareVersion)
	b = binary.BigEndian.AppendUint32(b, s.Member)
	b = binary.BigEndian.AppendUint32(b, uint32(len(s.Points)))
	for i := range s.Points {
		b = append(b, s.Points[i][:]...)
	}
	return b, nil
}

// ParseBatchShare parses what MarshalBinary gives. It does not look at the points: verifying does.
func ParseBatchShare(b []byte) (*BatchShare, error) {
	r := reader{rest: b}
	version, member, count := r.byte(), r.uint32(), r.uint32()
	if r.short || version != batchShareVersion || member < 1 || member > MaxMembers || count > MaxBatch {
		return nil, fmt.Errorf("batch share: %w", ErrEncoding)
	}
	if len(r.rest) != int(count)*PointSize {
		return nil, fmt.Errorf("batch share of %d points in %d bytes: %w", count, len(b), ErrEncoding)
	}
	s := &BatchShare{Member: member, Points: make([][PointSize]byte, count)}
	for i := range s.Points {
		copy(s.Points[i][:], r.take(PointSize))
	}
	return s, nil
}

// VerifiedBatchShare is a batch share that verified under its member's key, for its batch.
type VerifiedBatchShare struct {
	member uint32
	key    *MemberKey
	points []g1
}

// Member is the member whose share it is.
func (s *VerifiedBatchShare) Member() uint32 { return s.member }

// VerifyBatchShare checks e(S, H) = e(U, V) for every point of a member's share at once, with random coefficients that
// are derived from all of them, and that every point is in the subgroup. Errors are [ErrShare], [ErrEncoding] and
// [ErrPoint] if the share is bad, [ErrKey] and [ErrCommittee] if it is the caller's arguments.
func VerifyBatchShare(c *Committee, batch []*Checked, s *BatchShare) (*VerifiedBatchShare, error) {
	bases, err := basesFor(c, batch)
	if err != nil {
		return nil, fmt.Errorf("verify share: %w", err)
	}
	v, errs := verifyShares(c, bases, []*BatchShare{s})
	if errs[0] != nil {
		return nil, fmt.Errorf("verify share: %w", errs[0])
	}
	return v[0], nil
}

// verifyShares verifies the shares of several members of one batch: either verified[i] or errs[i] is nil.
func verifyShares(c *Committee, bases []g1, shares []*BatchShare) (verified []*VerifiedBatchShare, errs []error) {
	verified, errs = make([]*VerifiedBatchShare, len(shares)), make([]error, len(shares))
	check := newPowerCheck(domainShareCheck, bases)
	for i, s := range shares {
		if verified[i], errs[i] = decodeShare(c, len(bases), s); errs[i] == nil {
			check.add(verified[i].key.bytes[:], verified[i].points)
		}
	}
	check.draw()
	for i, v := range verified {
		if v != nil && !check.holds(&v.key.v, v.points) {
			verified[i], errs[i] = nil, fmt.Errorf("member %d: %w", v.member, ErrShare)
		}
	}
	return verified, errs
}

// decodeShare checks everything but the pairing.
func decodeShare(c *Committee, n int, s *BatchShare) (*VerifiedBatchShare, error) {
	if s == nil {
		return nil, fmt.Errorf("none: %w", ErrShare)
	}
	key := c.member(s.Member)
	if key == nil {
		return nil, fmt.Errorf("member %d of %d: %w", s.Member, c.N(), ErrShare)
	}
	if len(s.Points) != n {
		return nil, fmt.Errorf("member %d: %d points for %d ciphertexts: %w", s.Member, len(s.Points), n, ErrShare)
	}
	points := make([]g1, n)
	for i := range points {
		var err error
		if points[i], err = decodeG1(s.Points[i][:]); err != nil {
			return nil, fmt.Errorf("member %d, point %d: %w", s.Member, i, err)
		}
	}
	return &VerifiedBatchShare{member: s.Member, key: key, points: points}, nil
}

// basesOf gives the batch's points U.
func basesOf(batch []*Checked) ([]g1, error) {
	if len(batch) > MaxBatch {
		return nil, fmt.Errorf("batch of %d ciphertexts: %w", len(batch), ErrEncoding)
	}
	bases := make([]g1, len(batch))
	for i, c := range batch {
		if c == nil || c.ct == nil {
			return nil, fmt.Errorf("ciphertext %d has not been checked: %w", i, ErrProof)
		}
		bases[i] = c.u
	}
	return bases, nil
}

// basesSealedTo is basesOf for a batch that must be sealed to the key.
func basesSealedTo(key *PublicKey, batch []*Checked) ([]g1, error) {
	bases, err := basesOf(batch)
	if err != nil {
		return nil, err
	}
	for i, c := range batch {
		if c.ct.header.KeyID != key.id {
			return nil, fmt.Errorf("ciphertext %d is sealed to key %v: %w", i, c.ct.header.KeyID, ErrKey)
		}
	}
	return bases, nil
}

func basesFor(c *Committee, batch []*Checked) ([]g1, error) {
	if err := c.wellFormed(); err != nil {
		return nil, err
	}
	return basesSealedTo(c.Key, batch)
}

// CombineVerified combines the verified shares of t or more members into the batch's openings. A second share of a member
// is ignored. The openings are checked again: shares that were verified for another committee or batch give [ErrOpening].
func CombineVerified(c *Committee, batch []*Checked, shares []*VerifiedBatchShare) ([]VerifiedOpening, error) {
	bases, err := basesFor(c, batch)
	if err != nil {
		return nil, fmt.Errorf("combine: %w", err)
	}
	points, err := combineVerified(c, bases, shares)
	if err != nil {
		return nil, fmt.Errorf("combine: %w", err)
	}
	return verifiedOpenings(batch, points), nil
}

func combineVerified(c *Committee, bases []g1, shares []*VerifiedBatchShare) ([]g1, error) {
	var from []decoded
	for _, s := range shares {
		if s == nil || c.member(s.member) == nil || s.key != c.member(s.member) && s.key.bytes != c.member(s.member).bytes || len(s.points) != len(bases) {
			return nil, fmt.Errorf("share is of another committee or batch: %w", ErrShare)
		}
		from = append(from, decoded{s.member, s.points})
	}
	from = firstOfEach(from)
	if len(from) < c.Threshold {
		return nil, ErrTooFew
	}
	points := interpolate(nearest(from, c.Threshold), len(bases))
	if !openingsHold(c.Key, bases, points) {
		return nil, ErrOpening
	}
	return points, nil
}

// Combine works on unverified shares: it combines those of t members and checks all openings at once. Only if that fails
// does it verify every share by itself and combine the good ones. Shares of numbers that are no members, and second
// shares of a member, are ignored; the first one counts.
//
// bad lists, in ascending order, the members whose share was found not to verify, also when err is nil or [ErrTooFew].
// It is complete whenever every share had to be verified; a bad share that was not needed may go unnoticed.
func Combine(c *Committee, batch []*Checked, shares []*BatchShare) (openings []VerifiedOpening, bad []uint32, err error) {
	bases, err := basesFor(c, batch)
	if err != nil {
		return nil, nil, fmt.Errorf("combine: %w", err)
	}
	points, bad, err := combine(c, bases, shares)
	if err != nil {
		return nil, bad, fmt.Errorf("combine: %w", err)
	}
	return verifiedOpenings(batch, points), bad, nil
}

// combine gives the bases' common power by the committee's secret.
func combine(c *Committee, bases []g1, shares []*BatchShare) (points []g1, bad []uint32, err error) {
	shares, bad = admissible(c, len(bases), shares)
	if points = combineOptimistically(c, bases, shares); points != nil {
		return points, bad, nil
	}
	var good []*VerifiedBatchShare
	verified, _ := verifyShares(c, bases, shares)
	for i, v := range verified {
		if v == nil {
			bad = append(bad, shares[i].Member)
			continue
		}
		good = append(good, v)
	}
	slices.Sort(bad)
	if len(good) < c.Threshold {
		return nil, bad, fmt.Errorf("%d of %d: %w", len(good), c.Threshold, ErrTooFew)
	}
	points, err = combineVerified(c, bases, good)
	return points, bad, err
}

// admissible keeps the first share of every member, in the members' order; one of the wrong length is bad.
func admissible(c *Committee, n int, shares []*BatchShare) (kept []*BatchShare, bad []uint32) {
	byMember := make([]*BatchShare, c.N())
	for _, s := range shares {
		if s != nil && c.member(s.Member) != nil && byMember[s.Member-1] == nil {
			byMember[s.Member-1] = s
		}
	}
	for _, s := range byMember {
		switch {
		case s == nil:
		case len(s.Points) != n:
			bad = append(bad, s.Member)
		default:
			kept = append(kept, s)
		}
	}
	return kept, bad
}

// combineOptimistically is nil unless t shares, taken on trust, give openings that verify.
func combineOptimistically(c *Committee, bases []g1, shares []*BatchShare) []g1 {
	if len(shares) < c.Threshold {
		return nil
	}
	var from []decoded
	for _, s := range nearestShares(shares, c.Threshold) {
		d := decoded{s.Member, make([]g1, len(bases))}
		for i := range bases {
			var err error
			// No subgroup check here: that of the openings finds what matters.
			if d.points[i], err = decompress(s.Points[i][:]); err != nil {
				return nil
			}
		}
		from = append(from, d)
	}
	points := interpolate(from, len(bases))
	if !openingsHold(c.Key, bases, points) {
		return nil
	}
	return points
}

// decoded is a member's share of a batch as points.
type decoded struct {
	member uint32
	points []g1
}

func firstOfEach(shares []decoded) []decoded {
	shares = slices.Clone(shares)
	slices.SortStableFunc(shares, func(a, b decoded) int { return int(a.member) - int(b.member) })
	return slices.CompactFunc(shares, func(a, b decoded) bool { return a.member == b.member })
}

func nearest(sorted []decoded, t int) []decoded {
	i := nearestRun(len(sorted), t, func(i int) uint32 { return sorted[i].member })
	return sorted[i : i+t]
}

func nearestShares(sorted []*BatchShare, t int) []*BatchShare {
	i := nearestRun(len(sorted), t, func(i int) uint32 { return sorted[i].Member })
	return sorted[i : i+t]
}

// nearestRun finds where the t most nearly consecutive of n ascending numbers begin: they have the shortest Lagrange
// coefficients.
func nearestRun(n, t int, number func(int) uint32) int {
	best := 0
	for i := 1; i+t <= n; i++ {
		if number(i+t-1)-number(i) < number(best+t-1)-number(best) {
			best = i
		}
	}
	return best
}
