package ordering

import (
	"crypto/ed25519"
	"slices"

	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/threshold"
)

// Tenure is a committee's time in office: it opens what the blocks after Since order,
// up to and including block Until. A value that is never changed once it exists.
//
// A rotation gives its successor another key. The old one then goes on for an overlap,
// and what is sealed to it is still this committee's to open.
type Tenure struct {
	Ceremony *keygen.State // the one that made the committee; it is active
	Since    uint64        // height of the block that put it in office
	Until    uint64        // height of the block that put the next one in office; 0: it is in office

	keyFrom  uint64   // first height at which its key could be sealed to, by whichever committee held it
	keyUntil uint64   // last height at which a block orders what this committee has to open; 0: open
	hash     [32]byte // Ceremony.Hash(), which takes its time
}

func newTenure(ceremony *keygen.State) *Tenure {
	return &Tenure{Ceremony: ceremony, hash: ceremony.Hash()}
}

// Committee has the public keys.
func (t *Tenure) Committee() *threshold.Committee { return t.Certificate().Committee }

// Certificate proves the committee to others.
func (t *Tenure) Certificate() *keygen.Certificate { return t.Ceremony.Certificate() }

// Terms are those that the members agreed on.
func (t *Tenure) Terms() *keygen.Terms { return t.Ceremony.Terms() }

// Epoch is the committee's number.
func (t *Tenure) Epoch() uint64 { return t.Terms().Epoch }

// orders says whether a block of the height may order what is sealed to the committee's key.
func (t *Tenure) orders(height uint64) bool { return t.keyUntil == 0 || height <= t.keyUntil }

// succeed gives the two tenures, as they are after the block of the height.
func (t *Tenure) succeed(next *Tenure, height uint64) (before, after *Tenure) {
	b, a := *t, *next
	a.Since, b.Until, b.keyUntil = height, height, height
	if terms := a.Terms(); terms.Change == keygen.ChangeRotate {
		a.keyFrom, b.keyUntil = height+1, height+terms.Overlap
	} else {
		a.keyFrom = b.keyFrom
	}
	return &b, &a
}

// Key is a committee key that ciphertexts may be sealed to.
type Key struct {
	Epoch      uint64 // of the committee that opens what is sealed to it
	Committee  *threshold.Committee
	ValidFrom  uint64 // height of the first block that can order what is sealed to it
	ValidUntil uint64 // of the last one; 0 if no other key has taken its place
}

// Validator is a change of CometBFT's validator set.
type Validator struct {
	Key   ed25519.PublicKey
	Power int64 // VotingPower, or 0: it is one no more
}

// VotingPower of every validator: all members are equal.
const VotingPower = 10

// changedValidators leads from the members before to those after: who comes, in the
// order of the members, then who goes, in theirs.
func changedValidators(before, after []keygen.Member) (out []Validator) {
	has := func(members []keygen.Member, key ed25519.PublicKey) bool {
		return slices.ContainsFunc(members, func(m keygen.Member) bool { return key.Equal(m.Validator) })
	}
	for _, m := range after {
		if !has(before, m.Validator) {
			out = append(out, Validator{m.Validator, VotingPower})
		}
	}
	for _, m := range before {
		if !has(after, m.Validator) {
			out = append(out, Validator{m.Validator, 0})
		}
	}
	return out
}

// Office is the committee in office, nil before the first.
func (s *State) Office() *Tenure { return s.ceremonies.office() }

// Tenures are the committee in office, as the last one, and before it, oldest first, those
// that still have something to open or may get it. Do not change them.
func (s *State) Tenures() []*Tenure { return s.ceremonies.tenures }

// Tenure is that of an epoch, nil if it is over and done with, or was not yet.
func (s *State) Tenure(epoch uint64) *Tenure {
	for _, t := range s.ceremonies.tenures {
		if t.Epoch() == epoch {
			return t
		}
	}
	return nil
}

// validators are the members whose votes count, or will in two blocks.
func (s *State) validators() []keygen.Member {
	if t := s.Office(); t != nil {
		return t.Terms().Members
	}
	return s.genesis.Terms.Members
}

// Keys are those that the next block may order by, newest first: one, and after a
// rotation, for the overlap, the one before as well. Wallets seal to the first.
func (s *State) Keys() (out []Key) {
	for _, t := range slices.Backward(s.ceremonies.tenures) {
		if t.orders(s.height + 1) {
			out = append(out, Key{t.Epoch(), t.Committee(), t.keyFrom, t.keyUntil})
		}
	}
	return out
}

// holder is the committee that opens what the next block orders under a key; nil if the
// key is not one of Keys.
func (s *State) holder(id threshold.KeyID) *Tenure {
	for _, t := range slices.Backward(s.ceremonies.tenures) {
		if t.orders(s.height+1) && t.Committee().Key.ID() == id {
			return t
		}
	}
	return nil
}

// rotatedAway says whether the key is one of those that a rotation replaced.
func (s *State) rotatedAway(id threshold.KeyID) bool {
	return slices.Contains(s.ceremonies.rotated, id)
}
