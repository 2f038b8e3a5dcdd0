package keygen

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/scrimlabs/scrim/threshold"
)

const (
	domainTerms = "scrim/terms/v2"
	domainPin   = "scrim/terms-pin/v1"

	termsVersion = 2
)

// ErrTerms says that terms are not ones under which a ceremony could be held.
var ErrTerms = errors.New("keygen: terms")

const (
	maxPhase  = 1 << 20 // blocks: longer than a week, even with a block a second
	maxHeight = 1 << 62
)

// Phases says how many blocks each phase lasts at most. A phase ends earlier
// when all messages it waits for are in.
type Phases struct {
	Deal    uint64 `json:"deal"`
	Respond uint64 `json:"respond"`
	Justify uint64 `json:"justify"`
	Certify uint64 `json:"certify"`
	Store   uint64 `json:"store"`
}

// EqualPhases gives every phase the same number of blocks.
func EqualPhases(blocks uint64) Phases {
	return Phases{Deal: blocks, Respond: blocks, Justify: blocks, Certify: blocks, Store: blocks}
}

// all lists the lengths in the order of the phases and of the wire.
func (p Phases) all() []uint64 { return []uint64{p.Deal, p.Respond, p.Justify, p.Certify, p.Store} }

// Terms is what the members agree on before a ceremony. Its hash names the ceremony.
type Terms struct {
	ChainID     string   `json:"chain_id"`
	Epoch       uint64   `json:"epoch"`        // of the committee that is to come
	Attempt     uint32   `json:"attempt"`      // counts the ceremonies held for this epoch, from 1
	Threshold   int      `json:"threshold"`    // members needed to open; more than half
	Members     []Member `json:"members"`      // Members[j-1] is member j
	Phases      Phases   `json:"phases"`       // blocks
	StartHeight uint64   `json:"start_height"` // the first height at which deals are taken

	// Limits is the hash of what else the chain's members agree on, ordering.Params.Hash: every consent binds it. 0x-hex in JSON.
	Limits   [32]byte  `json:"limits"`
	Change   Change    `json:"change"`
	Overlap  uint64    `json:"overlap"`  // rotation: blocks after activation during which what is sealed to the old key is ordered; else 0
	Previous *Previous `json:"previous"` // the committee that hands over; nil iff Change is ChangeFirst
}

// DefaultThreshold is n - floor((n-1)/3): 3 of 4, 5 of 7, 34 of 50.
func DefaultThreshold(n int) int { return n - (n-1)/3 }

// Validate says what is wrong with the terms; errors wrap ErrTerms.
func (t *Terms) Validate() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrTerms, fmt.Sprintf(format, args...))
	}
	n := len(t.Members)
	switch {
	case threshold.ValidChainID(t.ChainID) != nil:
		return fmt.Errorf("%w: %w", ErrTerms, threshold.ValidChainID(t.ChainID))
	case n < 1 || n > threshold.MaxMembers:
		return bad("%d members; there must be 1 to %d", n, threshold.MaxMembers)
	case t.Threshold > n || 2*t.Threshold <= n:
		return bad("threshold %d of %d members; it must be more than half and at most all", t.Threshold, n)
	case t.Attempt < 1:
		return bad("attempts count from 1")
	case t.StartHeight < 1 || t.StartHeight > maxHeight:
		return bad("start height %d; heights count from 1", t.StartHeight)
	}
	for _, p := range t.Phases.all() {
		if p < 1 || p > maxPhase {
			return bad("a phase of %d blocks; it must be 1 to %d", p, maxPhase)
		}
	}
	owners, err := distinct(t.Members)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrTerms, err)
	}
	if err := t.validateChange(owners); err != nil {
		return fmt.Errorf("%w: %w", ErrTerms, err)
	}
	return nil
}

// validateChange checks that the change, the overlap and the previous committee go
// together. owners says whose among the new members a key is.
func (t *Terms) validateChange(owners map[string]int) error {
	switch {
	case !t.Change.valid():
		return fmt.Errorf("%s is none of first, reshare, rotate", t.Change)
	case t.Change == ChangeFirst && t.Previous != nil:
		return errors.New("a first committee has none before it")
	case t.Change != ChangeFirst && t.Previous == nil:
		return fmt.Errorf("a %s needs the committee that hands over", t.Change)
	case t.Change != ChangeRotate && t.Overlap != 0:
		return fmt.Errorf("an overlap of %d blocks, but only a rotation has one", t.Overlap)
	case t.Overlap > maxPhase:
		return fmt.Errorf("an overlap of %d blocks; it must be at most %d", t.Overlap, maxPhase)
	case t.Previous == nil:
		return nil
	}
	if err := t.Previous.validate(t.Epoch); err != nil {
		return err
	}
	for i := range t.Previous.Members {
		old := &t.Previous.Members[i]
		for _, key := range old.keys() {
			if j, ok := owners[key]; ok && !old.sameKeys(&t.Members[j]) {
				return fmt.Errorf("member %s has some but not all of the keys that %s has in the previous committee: take all, or none", t.Members[j].Name, old.Name)
			}
		}
	}
	return nil
}

// Pin names the terms but for what a retry may change: SHA-256("scrim/terms-pin/v1" ||
// MarshalBinary with the attempt, the phases and the start height zero). It is
// what a wallet pins.
func (t *Terms) Pin() [32]byte {
	kept := *t
	kept.Attempt, kept.Phases, kept.StartHeight = 0, Phases{}, 0
	return sha256.Sum256(kept.append([]byte(domainPin)))
}

// Hash names the ceremony: SHA-256("scrim/terms/v2" || MarshalBinary).
func (t *Terms) Hash() [32]byte { return hashTerms(t.append(nil)) }

func hashTerms(b []byte) [32]byte { return sha256.Sum256(append([]byte(domainTerms), b...)) }

// N is the number of members.
func (t *Terms) N() int { return len(t.Members) }

// MarshalBinary is the canonical form:
//
//	1 version | 1 length | chain id | 8 epoch | 4 attempt | 2 threshold | 2 n | n members
//	| 8 deal | 8 respond | 8 justify | 8 certify | 8 store | 8 start height
//	| 32 limits | 1 change | 8 overlap | unless it is the first committee: previous
//	member: 1 length | name | 32 identity | 32 validator | 32 node | 32 encryption
//	previous: 32 certificate hash | 4 length | committee | 2 m | m members
func (t *Terms) MarshalBinary() ([]byte, error) {
	if err := t.Validate(); err != nil {
		return nil, err
	}
	return t.append(nil), nil
}

func (t *Terms) append(b []byte) []byte {
	b = appendText(append(b, termsVersion), t.ChainID)
	b = binary.BigEndian.AppendUint64(b, t.Epoch)
	b = binary.BigEndian.AppendUint32(b, t.Attempt)
	b = binary.BigEndian.AppendUint16(b, uint16(t.Threshold))
	b = appendMemberList(b, t.Members)
	for _, v := range t.Phases.all() {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	b = binary.BigEndian.AppendUint64(b, t.StartHeight)
	b = append(append(b, t.Limits[:]...), byte(t.Change))
	b = binary.BigEndian.AppendUint64(b, t.Overlap)
	if t.Previous != nil {
		b = t.Previous.append(b)
	}
	return b
}

// ParseTerms is the inverse of MarshalBinary; what it gives is valid.
func ParseTerms(b []byte) (*Terms, error) {
	t, committee, err := unpackTerms(b)
	if err != nil {
		return nil, err
	}
	if t.Previous != nil {
		if err := t.Previous.parseCommittee(committee); err != nil {
			return nil, fmt.Errorf("%w: previous committee: %w", ErrTerms, err)
		}
	}
	if err := t.Validate(); err != nil {
		return nil, err
	}
	return t, nil
}

// unpackTerms takes the bytes apart and checks nothing else. The previous
// committee's own are left as they are: to parse them is work on the curve.
func unpackTerms(b []byte) (t *Terms, committee []byte, err error) {
	r := newReader(b)
	r.Version(termsVersion)
	t = &Terms{ChainID: r.Text(), Epoch: r.Uint64(), Attempt: r.Uint32(), Threshold: int(r.Uint16())}
	for range r.count(memberMinLen - 1) {
		t.Members = append(t.Members, r.member())
	}
	t.Phases = Phases{r.Uint64(), r.Uint64(), r.Uint64(), r.Uint64(), r.Uint64()}
	t.StartHeight = r.Uint64()
	r.Fill(t.Limits[:])
	t.Change, t.Overlap = Change(r.Byte()), r.Uint64()
	if t.Change != ChangeFirst {
		t.Previous, committee = r.previous()
	}
	if err := r.End(); err != nil {
		return nil, nil, fmt.Errorf("terms: %w", err)
	}
	return t, committee, nil
}

type plainTerms Terms

// termsJSON writes Limits in hex; the outer field hides the inner one.
type termsJSON struct {
	plainTerms
	Limits hexBytes `json:"limits"`
}

// MarshalJSON writes bytes as hex after "0x".
func (t Terms) MarshalJSON() ([]byte, error) {
	return json.Marshal(termsJSON{plainTerms(t), t.Limits[:]})
}

// UnmarshalJSON refuses unknown fields. It does not validate.
func (t *Terms) UnmarshalJSON(b []byte) error {
	var j termsJSON
	if err := unmarshalStrict(b, &j); err != nil {
		return fmt.Errorf("keygen: terms: %w", err)
	}
	if len(j.Limits) != len(t.Limits) {
		return fmt.Errorf("keygen: terms: limits are a hash of %d bytes, not %d", len(t.Limits), len(j.Limits))
	}
	*t = Terms(j.plainTerms)
	t.Limits = [32]byte(j.Limits)
	return nil
}

func short(h [32]byte) string { return hex.EncodeToString(h[:4]) }
