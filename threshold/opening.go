package threshold

import (
	"crypto/sha256"
	"fmt"
)

const domainOpeningCheck = "scrim/opening-coefficients/v1"

// Opening is P = xU, 48 bytes: the public proof of a ciphertext's plaintext. It has not been verified.
type Opening [OpeningSize]byte

// VerifiedOpening is an opening that verified against the committee's key for its ciphertext.
type VerifiedOpening struct {
	ct *Checked
	p  Opening
}

// Opening is the opening as it goes into the log.
func (o VerifiedOpening) Opening() Opening { return o.p }

// Ciphertext is the ciphertext it opens; nil for the zero value.
func (o VerifiedOpening) Ciphertext() *Checked { return o.ct }

// VerifyOpenings checks e(P, H) = e(U, Y2) for a whole batch at once, with random coefficients that are derived from the
// batch and its openings, and that every opening is in the subgroup: an opening that verifies is the only one there is.
// The error is an [OpeningError], which names the first bad one, or [ErrKey] for a batch sealed to another key, or
// [ErrEncoding] if there is not one opening for each ciphertext.
func VerifyOpenings(key *PublicKey, batch []*Checked, openings []Opening) ([]VerifiedOpening, error) {
	if !key.exists() {
		return nil, fmt.Errorf("verify openings: no key: %w", ErrKey)
	}
	bases, err := basesSealedTo(key, batch)
	if err != nil {
		return nil, fmt.Errorf("verify openings: %w", err)
	}
	if len(openings) != len(batch) {
		return nil, fmt.Errorf("verify openings: %d for %d ciphertexts: %w", len(openings), len(batch), ErrEncoding)
	}
	points := make([]g1, 0, len(openings))
	for i := range openings {
		p, err := decompress(openings[i][:])
		if err != nil {
			break
		}
		points = append(points, p)
	}
	bad := firstBadOpening(key, bases[:len(points)], points)
	if bad < 0 && len(points) < len(openings) {
		bad = len(points)
	}
	if bad >= 0 {
		return nil, fmt.Errorf("verify openings: %w", &OpeningError{Index: bad, ID: batch[bad].ID()})
	}
	return verifiedOpenings(batch, points), nil
}

// openingsHold reports whether every point is its base times the key's secret.
func openingsHold(key *PublicKey, bases, points []g1) bool {
	for i := range points {
		if points[i].IsInfinity() || !points[i].IsInSubGroup() {
			return false
		}
	}
	check := newPowerCheck(domainOpeningCheck, bases)
	check.add(key.bytes[PointSize:], points)
	check.draw()
	return check.holds(&key.y2, points)
}

// firstBadOpening is the first i for which points[i] is not the base times the key's secret, or -1.
func firstBadOpening(key *PublicKey, bases, points []g1) int {
	holds := func(from, to int) bool { return openingsHold(key, bases[from:to], points[from:to]) }
	if holds(0, len(points)) {
		return -1
	}
	from, to := 0, len(points) // the first bad one is in there
	for to-from > 1 {
		middle := (from + to) / 2
		if holds(from, middle) {
			from = middle
		} else {
			to = middle
		}
	}
	return from
}

func verifiedOpenings(batch []*Checked, points []g1) []VerifiedOpening {
	out := make([]VerifiedOpening, len(batch))
	for i := range out {
		out[i] = VerifiedOpening{batch[i], points[i].Bytes()}
	}
	return out
}

// Open decrypts. The error is [ErrVoid] if the payload is not authentic under the opening's key or its padding is wrong:
// the sender made it so, and the opening proves it.
func Open(o VerifiedOpening) ([]byte, error) {
	if o.ct == nil || o.ct.ct == nil {
		return nil, fmt.Errorf("open: %w", ErrOpening)
	}
	c := o.ct.ct
	aad := sha256.Sum256(c.headerBytes())
	padded, err := c.aead(o.p[:]).Open(nil, nonce[:], c.payload(), aad[:])
	if err != nil {
		return nil, fmt.Errorf("open: %w", ErrVoid)
	}
	plaintext, ok := unpad(padded)
	if !ok {
		return nil, fmt.Errorf("open: padding: %w", ErrVoid)
	}
	return plaintext, nil
}
