package fair

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/threshold"
)

// Errors of a block's chunks, on which callers branch.
var (
	// ErrHeight: the height does not follow the state's.
	ErrHeight = errors.New("fair: height does not follow")
	// ErrQuorum: chunks of fewer than n-f members, and not of none.
	ErrQuorum = errors.New("fair: too few members")
	// ErrMember: no such member, or two chunks of one.
	ErrMember = errors.New("fair: not a member, or twice")
	// ErrChain: the chunk does not continue the member's committed log, or a time goes back.
	ErrChain = errors.New("fair: does not continue the committed log")
	// ErrLimit: more ids than a chunk or a log may have.
	ErrLimit = errors.New("fair: too many ids")
)

const domainTimes = "scrim/receive-times/v1"

// MaxTime is the largest time that a log can have, in milliseconds since 1970: 48 bits.
const MaxTime = 1<<(8*timeSize) - 1

// timeSize is a time's length in bytes in announcements and sections.
const timeSize = 6

// logs are the committed receive logs and what is not done of them: what the states of the two rules have in common. In the
// second rule every entry has a time besides. It is never changed once it exists.
type logs struct {
	rule    Rule
	params  Params
	height  uint64
	members []memberLog
	ids     []liveID // those in some log, in ascending order
}

// memberLog is a member's committed receive log: all of it as hashes, and what is not done.
type memberLog struct {
	Base
	live []uint32 // indexes of logs.ids, in the log's order, each once
	at   []uint64 // second rule: the times of those
}

// liveID is an id that some log holds. The heights are 0 until it happened.
type liveID struct {
	id       threshold.ID
	first    uint64 // when the first log held it
	nonblank uint64 // first rule: when tau logs held it
	solid    uint64 // when s logs held it; second rule: when 2f+1 did, and its key was frozen
	key      uint64 // second rule: from then on
}

// Base is where a committed log stands.
type Base struct {
	Sequence  uint64            // number of ids
	Head      commitreveal.Hash // commitreveal.NextHead over them
	Times     commitreveal.Hash // second rule: NextTimes over their times
	Watermark uint64            // second rule: whatever comes later has this time or a later one
}

// Chunk is the next part of a member's receive log. The first rule takes no notice of times.
type Chunk struct {
	Member    uint32            // 1..n
	Sequence  uint64            // number of ids in the log after this chunk
	Head      commitreveal.Hash // of the log after this chunk
	IDs       []threshold.ID    // may be none
	Times     []uint64          // of IDs, in milliseconds since 1970; never falling, never below the log's watermark
	TimesHead commitreveal.Hash // NextTimes over all times of the log after this chunk
	Watermark uint64            // no later entry has an earlier time than this; never falling
}

// NextTimes is the hash chain of a log's times, beside that of its ids (commitreveal.NextHead): of the empty log it is zero.
//
//	SHA-256("scrim/receive-times/v1" || times (32) || milliseconds since 1970 (8))
func NextTimes(times commitreveal.Hash, milliseconds uint64) commitreveal.Hash {
	b := make([]byte, 0, len(domainTimes)+len(times)+8)
	return sha256.Sum256(appendUint64(append(append(b, domainTimes...), times[:]...), milliseconds))
}

func extendHead(head commitreveal.Hash, ids []threshold.ID) commitreveal.Hash {
	for _, id := range ids {
		head = commitreveal.NextHead(head, id)
	}
	return head
}

func extendTimes(hash commitreveal.Hash, times []uint64) commitreveal.Hash {
	for _, t := range times {
		hash = NextTimes(hash, t)
	}
	return hash
}

// rise reports whether the times, and then the watermark, never fall from a time on, and stay within MaxTime.
func rise(from uint64, times []uint64, watermark uint64) bool {
	for _, t := range times {
		if t < from {
			return false
		}
		from = t
	}
	return from <= watermark && watermark <= MaxTime
}

func compareIDs(a, b threshold.ID) int { return bytes.Compare(a[:], b[:]) }

func begin(r Rule, p Params, height uint64) (logs, error) {
	if err := p.Validate(); err != nil {
		return logs{}, err
	}
	return logs{rule: r, params: p, height: height, members: make([]memberLog, p.Members)}, nil
}

// shared makes functions take either state.
func (s logs) shared() logs { return s }

// Rule is the one of the logs.
func (s logs) Rule() Rule { return s.rule }

// Params are those the state was made with.
func (s logs) Params() Params { return s.params }

// Height is that of the last decision, or the one the state began after.
func (s logs) Height() uint64 { return s.height }

// Live is the number of ids that some log holds and that are not done.
func (s logs) Live() int { return len(s.ids) }

// Base gives where a member's log stands, and how many of its ids are not done; ErrMember if there is no such member.
func (s logs) Base(member uint32) (b Base, live int, err error) {
	if member < 1 || int(member) > len(s.members) {
		return b, 0, fmt.Errorf("%w: member %d of %d", ErrMember, member, len(s.members))
	}
	m := &s.members[member-1]
	return m.Base, len(m.live), nil
}

// Waiting lists the ids of a member's log that are not done, in its order; nil if there is no such member.
func (s logs) Waiting(member uint32) []threshold.ID {
	if member < 1 || int(member) > len(s.members) {
		return nil
	}
	out := make([]threshold.ID, 0, len(s.members[member-1].live))
	for _, x := range s.members[member-1].live {
		out = append(out, s.ids[x].id)
	}
	return out
}

// Holders are the members whose committed logs hold an id that is not done, ascending.
func (s logs) Holders(id threshold.ID) (out []uint32) {
	x, known := s.find(id)
	if !known {
		return nil
	}
	for i := range s.members {
		if slices.Contains(s.members[i].live, uint32(x)) {
			out = append(out, uint32(i+1))
		}
	}
	return out
}

// Busy reports whether an id is solid, or its key is frozen: further heights order it, even without further statements.
func (s logs) Busy() bool {
	return slices.ContainsFunc(s.ids, func(l liveID) bool { return l.solid != 0 })
}

// idle moves to a later height without statements, if nothing can happen until then.
func (s *logs) idle(height uint64) {
	if len(s.ids) == 0 && height > s.height {
		s.height = height
	}
}

func (s *logs) find(id threshold.ID) (int, bool) {
	return slices.BinarySearchFunc(s.ids, id, func(l liveID, id threshold.ID) int { return compareIDs(l.id, id) })
}

// Check reports why a chunk does not continue its member's committed log: ErrMember, ErrLimit or ErrChain.
func (s logs) Check(c Chunk) error {
	if err := s.fits(c); err != nil {
		return err
	}
	base := &s.members[c.Member-1].Base
	if extendHead(base.Head, c.IDs) != c.Head {
		return fmt.Errorf("%w: member %d: the ids lead to another head", ErrChain, c.Member)
	}
	if s.rule == ReceiveTime && extendTimes(base.Times, c.Times) != c.TimesHead {
		return fmt.Errorf("%w: member %d: the times lead to another head", ErrChain, c.Member)
	}
	return nil
}

// fits is Check but for the heads.
func (s logs) fits(c Chunk) error {
	base, live, err := s.Base(c.Member)
	if err != nil {
		return err
	}
	n := len(c.IDs)
	switch p := &s.params; {
	case n > p.MaxChunk:
		return fmt.Errorf("%w: %d ids of member %d, at most %d", ErrLimit, n, c.Member, p.MaxChunk)
	case live+n > p.MaxLive: // those that turn out to be done count too, so that this needs no more than the state
		return fmt.Errorf("%w: member %d: %d ids to %d that are not done, at most %d", ErrLimit, c.Member, n, live, p.MaxLive)
	case c.Sequence != base.Sequence+uint64(n) || c.Sequence < base.Sequence:
		return fmt.Errorf("%w: member %d: %d ids lead from %d to %d", ErrChain, c.Member, n, base.Sequence, c.Sequence)
	case s.rule == ReceiveOrder:
		return nil
	case len(c.Times) != n:
		return fmt.Errorf("%w: member %d: %d times of %d ids", ErrChain, c.Member, len(c.Times), n)
	case !rise(base.Watermark, c.Times, c.Watermark):
		return fmt.Errorf("%w: member %d: times fall, or are not between the watermarks %d and %d", ErrChain, c.Member, base.Watermark, c.Watermark)
	}
	return nil
}

// checkAll reports chunks of too few members, and not of none, two of one, and what check says of one.
func (s logs) checkAll(chunks []Chunk, check func(Chunk) error) error {
	for _, c := range chunks {
		if err := check(c); err != nil {
			return err
		}
	}
	if len(chunks) > 0 && len(chunks) < s.params.Quorum() {
		return fmt.Errorf("%w: %d, want none or at least %d", ErrQuorum, len(chunks), s.params.Quorum())
	}
	seen := newBitset(s.params.Members)
	for _, c := range chunks {
		if seen.has(int(c.Member) - 1) {
			return fmt.Errorf("%w: member %d", ErrMember, c.Member)
		}
		seen.set(int(c.Member) - 1)
	}
	return nil
}

// extend is the beginning of a step: it gives the logs at the next height with the chunks appended. Done is as in [Step].
func (s logs) extend(height uint64, chunks []Chunk, done func(threshold.ID) bool) (logs, error) {
	if height == 0 || height != s.height+1 {
		return s, fmt.Errorf("%w: %d after %d", ErrHeight, height, s.height)
	}
	if err := s.checkAll(chunks, s.Check); err != nil {
		return s, err
	}
	var fresh []threshold.ID
	skip := make([][]bool, len(chunks)) // ids that are done
	for i, c := range chunks {
		skip[i] = make([]bool, len(c.IDs))
		for j, id := range c.IDs {
			if _, known := s.find(id); known {
				continue
			}
			if skip[i][j] = done != nil && done(id); !skip[i][j] {
				fresh = append(fresh, id)
			}
		}
	}
	slices.SortFunc(fresh, compareIDs)
	next, moved := s.merge(slices.Compact(fresh), height)
	for i, m := range s.members {
		next.members[i] = memberLog{m.Base, make([]uint32, len(m.live)), slices.Clone(m.at)}
		for j, x := range m.live {
			next.members[i].live[j] = moved[x]
		}
	}
	for i, c := range chunks {
		next.append(c, skip[i])
	}
	return next, nil
}

// merge gives logs of the next height with the fresh ids among the others, and where each of these went. The members' logs are
// still to be filled.
func (s logs) merge(fresh []threshold.ID, height uint64) (next logs, moved []uint32) {
	ids := make([]liveID, 0, len(s.ids)+len(fresh))
	moved = make([]uint32, len(s.ids))
	for i, l := range s.ids {
		for len(fresh) > 0 && compareIDs(fresh[0], l.id) < 0 {
			ids = append(ids, liveID{id: fresh[0], first: height})
			fresh = fresh[1:]
		}
		moved[i] = uint32(len(ids))
		ids = append(ids, l)
	}
	for _, id := range fresh {
		ids = append(ids, liveID{id: id, first: height})
	}
	return logs{s.rule, s.params, height, make([]memberLog, len(s.members)), ids}, moved
}

// append takes over a chunk's ids but for those to skip and those that the log has. The slices are these logs' own.
func (s *logs) append(c Chunk, skip []bool) {
	m := &s.members[c.Member-1]
	m.Sequence, m.Head = c.Sequence, c.Head
	if s.rule == ReceiveTime {
		m.Times, m.Watermark = c.TimesHead, c.Watermark
	}
	held := newBitset(len(s.ids))
	for _, x := range m.live {
		held.set(int(x))
	}
	for j, id := range c.IDs {
		if skip[j] {
			continue
		}
		x, _ := s.find(id)
		if held.has(x) {
			continue
		}
		held.set(x)
		m.live = append(m.live, uint32(x))
		if s.rule == ReceiveTime {
			m.at = append(m.at, c.Times[j])
		}
	}
}

// counts is c(x), the number of logs that hold x.
func (s *logs) counts() []int {
	counts := make([]int, len(s.ids))
	for i := range s.members {
		for _, x := range s.members[i].live {
			counts[x]++
		}
	}
	return counts
}

// all is the set of all ids.
func (s *logs) all() bitset {
	set := newBitset(len(s.ids))
	for x := range s.ids {
		set.set(x)
	}
	return set
}

// forget gives the ids that are not solid though their horizon has passed, and takes them out of those that are left.
func (s *logs) forget(left bitset) (forgotten []threshold.ID) {
	for x := range s.ids {
		if l := &s.ids[x]; l.solid == 0 && s.height-l.first >= s.params.Horizon {
			left.clear(x)
			forgotten = append(forgotten, l.id)
		}
	}
	return forgotten
}

// compact drops the ids that are not left. The slices are these logs' own.
func (s *logs) compact(left bitset) {
	moved := make([]uint32, len(s.ids))
	kept := s.ids[:0]
	for x, l := range s.ids {
		if left.has(x) {
			moved[x] = uint32(len(kept))
			kept = append(kept, l)
		}
	}
	s.ids = kept
	for i := range s.members {
		m := &s.members[i]
		live, at := m.live[:0], m.at[:0]
		for j, x := range m.live {
			if !left.has(int(x)) {
				continue
			}
			live = append(live, moved[x])
			if s.rule == ReceiveTime {
				at = append(at, m.at[j])
			}
		}
		m.live, m.at = live, at
	}
}

// reform gives the logs of other members, without what [Reform] counts anew.
func (s logs) reform(p Params, height uint64, from []uint32, base []Base) (logs, error) {
	next, err := begin(s.rule, p, height)
	if err != nil {
		return logs{}, err
	}
	if len(from) != p.Members || len(base) != p.Members || height != s.height {
		return logs{}, fmt.Errorf("%w: reform to %d members from %d logs at height %d after %d", ErrInvalid, p.Members, len(from), height, s.height)
	}
	taken, left := newBitset(len(s.members)), newBitset(len(s.ids))
	for i, j := range from {
		m := &next.members[i]
		if j == 0 {
			if m.Base = base[i]; s.rule == ReceiveOrder {
				m.Times, m.Watermark = commitreveal.Hash{}, 0
			}
			continue
		}
		if int(j) > len(s.members) || taken.has(int(j)-1) {
			return logs{}, fmt.Errorf("%w: member %d goes on as two, or is none", ErrMember, j)
		}
		taken.set(int(j) - 1)
		*m = s.members[j-1]
		m.live, m.at = slices.Clone(m.live[:min(len(m.live), p.MaxLive)]), slices.Clone(m.at[:min(len(m.at), p.MaxLive)])
		for _, x := range m.live {
			left.set(int(x))
		}
	}
	next.ids = make([]liveID, len(s.ids))
	for x := range next.ids {
		next.ids[x] = liveID{id: s.ids[x].id, first: height}
	}
	next.compact(left)
	return next, nil
}
