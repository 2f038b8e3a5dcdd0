package threshold

import "fmt"

const (
	domainSignature = "scrim/committee-signature/v1"
	domainMember    = "scrim/member-coefficients/v1"
)

// SignatureShare is a member's unverified share of a BLS signature.
type SignatureShare struct {
	Member uint32
	Point  [PointSize]byte
}

// Signature is the committee's BLS signature in G1, 48 bytes, checked by e(sig, H) = e(hash(msg), Y2). There is exactly one
// for a key and a message.
type Signature [PointSize]byte

// signatureBase is hash_to_curve(msg) in a domain of its own: no ciphertext's U is ever such a point, and no share of a
// ciphertext a share of a signature.
func signatureBase(msg []byte) g1 { return hashToG1(domainSignature, msg) }

// VerifySignatureShare checks a member's share under its key in the committee. Errors are [ErrSignature] and
// [ErrCommittee].
func VerifySignatureShare(c *Committee, msg []byte, s SignatureShare) error {
	if err := c.wellFormed(); err != nil {
		return fmt.Errorf("verify signature share: %w", err)
	}
	key := c.member(s.Member)
	if key == nil {
		return fmt.Errorf("verify signature share: member %d of %d: %w", s.Member, c.N(), ErrSignature)
	}
	return VerifySignatureShareKey(key, msg, s)
}

// VerifySignatureShareKey checks a share under a bare member key, before there is a committee. The error is
// [ErrSignature].
func VerifySignatureShareKey(key *MemberKey, msg []byte, s SignatureShare) error {
	if key == nil {
		return fmt.Errorf("verify signature share: no key: %w", ErrSignature)
	}
	if !verifyPoint(&key.v, msg, s.Point[:]) {
		return fmt.Errorf("verify signature share of member %d: %w", s.Member, ErrSignature)
	}
	return nil
}

// VerifyMember checks a member key and a signature share under it at once: that the key has the same logarithm as the
// compressed G1 point p, and that the share is its signature on msg. It is true where both [MemberKey.MatchesG1] and
// [VerifySignatureShareKey] are, for half the pairings; if it is false, these say which one is wrong.
func VerifyMember(key *MemberKey, p, msg []byte, s SignatureShare) bool {
	if key == nil {
		return false
	}
	public, err := decodeG1(p)
	if err != nil {
		return false
	}
	share, err := decodeG1(s.Point[:])
	if err != nil {
		return false
	}
	check := newPowerCheck(domainMember, []g1{generator, signatureBase(msg)})
	points := []g1{public, share}
	check.add(key.bytes[:], points)
	check.draw()
	return check.holds(&key.v, points)
}

// CombineSignature combines the shares of t members into the committee's signature, and checks it. Bad shares are
// treated as [Combine] treats them.
func CombineSignature(c *Committee, msg []byte, shares []SignatureShare) (sig Signature, bad []uint32, err error) {
	if err := c.wellFormed(); err != nil {
		return sig, nil, fmt.Errorf("combine signature: %w", err)
	}
	// A signature is the opening of a batch of one, whose base is the message's hash.
	batch := make([]*BatchShare, len(shares))
	for i, s := range shares {
		batch[i] = &BatchShare{Member: s.Member, Points: [][PointSize]byte{s.Point}}
	}
	points, bad, err := combine(c, []g1{signatureBase(msg)}, batch)
	if err != nil {
		return sig, bad, fmt.Errorf("combine signature: %w", err)
	}
	return points[0].Bytes(), bad, nil
}

// VerifySignature checks the committee's signature. The error is [ErrSignature].
func VerifySignature(key *PublicKey, msg []byte, sig Signature) error {
	if !key.exists() || !verifyPoint(&key.y2, msg, sig[:]) {
		return fmt.Errorf("verify signature: %w", ErrSignature)
	}
	return nil
}

func verifyPoint(q *g2, msg, point []byte) bool {
	p, err := decodeG1(point)
	if err != nil {
		return false
	}
	base := signatureBase(msg)
	return pairingsEqual(&p, &base, q)
}
