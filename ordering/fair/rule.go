package fair

import (
	"crypto/ed25519"
	"fmt"
	"slices"

	"github.com/scrimlabs/scrim/threshold"
)

// Rule is how a chain orders: one of the two of this package.
type Rule uint8

// The rules. Their numbers are on the wire.
const (
	// ReceiveOrder is the first rule: strong edges, see [State]. It is the default.
	ReceiveOrder Rule = iota
	// ReceiveTime is the second rule: the (f+1)-th smallest time, see [TimedState].
	ReceiveTime
)

var rules = [...]string{ReceiveOrder: "receive-order", ReceiveTime: "receive-time"}

// Valid reports whether there is such a rule.
func (r Rule) Valid() bool { return int(r) < len(rules) }

// String is the rule's name in a genesis.
func (r Rule) String() string {
	if !r.Valid() {
		return fmt.Sprintf("rule %d", uint8(r))
	}
	return rules[r]
}

// MarshalText is the rule's name; ErrInvalid if there is no such rule.
func (r Rule) MarshalText() ([]byte, error) {
	if !r.Valid() {
		return nil, fmt.Errorf("%w: order rule %d", ErrInvalid, uint8(r))
	}
	return []byte(rules[r]), nil
}

// UnmarshalText is the inverse of MarshalText.
func (r *Rule) UnmarshalText(b []byte) error {
	at := slices.Index(rules[:], string(b))
	if at < 0 {
		return fmt.Errorf("%w: order rule %q; it must be %q or %q", ErrInvalid, b, rules[ReceiveOrder], rules[ReceiveTime])
	}
	*r = Rule(at)
	return nil
}

// Logs are the committed receive logs under one of the rules: a [State] or a [TimedState]. They are never changed.
type Logs interface {
	Params() Params
	Height() uint64
	Live() int
	// Base is where a member's log stands, and how many of its ids are not done.
	Base(member uint32) (b Base, live int, err error)
	Waiting(member uint32) []threshold.ID
	Holders(id threshold.ID) []uint32
	Status(id threshold.ID) (*Status, error)
	// Busy reports whether further heights order something also without further ids.
	Busy() bool
	// Idle are the logs at a later height if nothing is stated until then, as far as nothing can happen.
	Idle(height uint64) Logs
	// Check reports why a chunk does not continue its member's log.
	Check(c Chunk) error
	// Next is [Step] or [TimedStep].
	Next(height uint64, chunks []Chunk, done func(threshold.ID) bool) (next Logs, sets []Set, forgotten []threshold.ID, err error)
	// Reformed is [Reform] or [ReformTimed].
	Reformed(p Params, height uint64, from []uint32, base []Base) (Logs, error)
	// Section encodes the section of the next block from verified announcements; nil if it would say nothing new.
	Section(held []*Announcement) (wire []byte, chunks []Chunk, err error)
	// Read parses and verifies the section of the next block. One that says nothing new is ErrInvalid.
	Read(chainID string, section []byte, identities []ed25519.PublicKey) ([]Chunk, error)
	// Said gives the announcements of the section of the next block, as their members signed them. Signatures are not checked.
	Said(chainID string, section []byte) ([]*Announcement, error)
	// Rule is the one of the logs.
	Rule() Rule
	MarshalBinary() ([]byte, error)
	shared() logs
}

// Set is a set of ids that a height has fixed to be ordered together: a *[Frame] or a *[TimedFrame]. It is never changed.
type Set interface {
	// Content are the ids, ascending; do not change them.
	Content() []threshold.ID
	IsForced() bool
	// LogCount is the number of receive logs that the set has parts of; 0 in the second rule, whose sets have keys.
	LogCount() int
	// Sequence is the order in which blocks take the set, Part splits it after the first n of it; a part without ids is nil.
	Sequence(p Params) []threshold.ID
	Part(p Params, n int) (first, rest Set)
	// Final is the order of execution.
	Final(p Params, beacon [32]byte) []Component
	Explain(p Params, beacon [32]byte, a, b threshold.ID) (*Explanation, error)
	Rule() Rule
	MarshalBinary() ([]byte, error)
}

// Begin is [New] or [NewTimed].
func (r Rule) Begin(p Params, height uint64) (Logs, error) {
	if r == ReceiveTime {
		return NewTimed(p, height)
	}
	return New(p, height)
}

// ParseLogs is the inverse of Logs.MarshalBinary.
func (r Rule) ParseLogs(p Params, b []byte) (Logs, error) {
	if r == ReceiveTime {
		return ParseTimedState(p, b)
	}
	return ParseState(p, b)
}

// ParseSet is the inverse of Set.MarshalBinary.
func (r Rule) ParseSet(p Params, b []byte) (Set, error) {
	if r == ReceiveTime {
		f, err := ParseTimedFrame(p, b)
		return set(f), err
	}
	f, err := ParseFrame(p, b)
	return set(f), err
}

// set keeps a nil pointer from becoming a Set that is not nil.
func set[T any, P interface {
	*T
	Set
}](f P) Set {
	if f == nil {
		return nil
	}
	return f
}

// sets are the frames as Sets.
func sets[T any, P interface {
	*T
	Set
}](frames []T) []Set {
	out := make([]Set, len(frames))
	for i := range frames {
		out[i] = P(&frames[i])
	}
	return out
}

// timeSize is how many bytes more an entry has in the second rule.
func (r Rule) timeSize() int {
	if r == ReceiveTime {
		return timeSize
	}
	return 0
}

var (
	_ Logs = State{}
	_ Logs = TimedState{}
	_ Set  = (*Frame)(nil)
	_ Set  = (*TimedFrame)(nil)
)
