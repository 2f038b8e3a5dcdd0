package keygen

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/scrimlabs/scrim/threshold"
)

const domainTerms = "scrim/terms/v1"

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
	seen := make(map[string]string, 5*n)
	for i, m := range t.Members {
		if err := m.Validate(); err != nil {
			return fmt.Errorf("%w: member %d: %w", ErrTerms, i+1, err)
		}
		for _, key := range []string{"name " + m.Name, string(m.Identity), string(m.Validator), string(m.Node), string(m.Encryption[:])} {
			if other, ok := seen[key]; ok {
				return bad("member %s has the name or a key of member %s, or the same key twice", m.Name, other)
			}
			seen[key] = m.Name
		}
	}
	return nil
}

// Hash names the ceremony: SHA-256("scrim/terms/v1" || MarshalBinary).
func (t *Terms) Hash() [32]byte { return sha256.Sum256(t.append([]byte(domainTerms))) }

// N is the number of members.
func (t *Terms) N() int { return len(t.Members) }

// MarshalBinary is the canonical form:
//
//	1 version | 1 length | chain id | 8 epoch | 4 attempt | 2 threshold | 2 n | n members
//	| 8 deal | 8 respond | 8 justify | 8 certify | 8 store | 8 start height
//	member: 1 length | name | 32 identity | 32 validator | 32 node | 32 encryption
func (t *Terms) MarshalBinary() ([]byte, error) {
	if err := t.Validate(); err != nil {
		return nil, err
	}
	return t.append(nil), nil
}

func (t *Terms) append(b []byte) []byte {
	b = appendText(append(b, wireVersion), t.ChainID)
	b = binary.BigEndian.AppendUint64(b, t.Epoch)
	b = binary.BigEndian.AppendUint32(b, t.Attempt)
	b = binary.BigEndian.AppendUint16(b, uint16(t.Threshold))
	b = binary.BigEndian.AppendUint16(b, uint16(len(t.Members)))
	for _, m := range t.Members {
		b = m.append(b)
	}
	for _, v := range t.Phases.all() {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	return binary.BigEndian.AppendUint64(b, t.StartHeight)
}

// ParseTerms is the inverse of MarshalBinary; what it gives is valid.
func ParseTerms(b []byte) (*Terms, error) {
	r := reader{b: b}
	r.version()
	t := &Terms{ChainID: r.text(), Epoch: r.u64(), Attempt: r.u32(), Threshold: int(r.u16())}
	n := r.count(memberMinLen - 1)
	for range n {
		t.Members = append(t.Members, r.member())
	}
	t.Phases = Phases{r.u64(), r.u64(), r.u64(), r.u64(), r.u64()}
	t.StartHeight = r.u64()
	if err := r.end(); err != nil {
		return nil, fmt.Errorf("terms: %w", err)
	}
	if err := t.Validate(); err != nil {
		return nil, err
	}
	return t, nil
}

// UnmarshalJSON refuses unknown fields. It does not validate.
func (t *Terms) UnmarshalJSON(b []byte) error {
	type plain Terms
	var p plain
	if err := unmarshalStrict(b, &p); err != nil {
		return fmt.Errorf("keygen: terms: %w", err)
	}
	*t = Terms(p)
	return nil
}

// member gives the public part of member j, which must be 1 to n.
func (t *Terms) member(j uint32) *Member { return &t.Members[j-1] }

// name is how messages for people call member j.
func (t *Terms) name(j uint32) string {
	if j < 1 || int(j) > len(t.Members) {
		return fmt.Sprintf("member %d", j)
	}
	return fmt.Sprintf("member %d (%s)", j, t.member(j).Name)
}

func short(h [32]byte) string { return hex.EncodeToString(h[:4]) }
