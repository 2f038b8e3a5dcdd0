package fair

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/threshold"
)

// The second rule, which a genesis can choose instead: the same logs with a time at each id. An id's key is the
// (f+1)-th smallest of its times, and ids are ordered by key. It is simpler and has no cycles, but it believes clocks.
// docs/spec/fair-order.md has its definition and proofs, docs/fair-rules.md compares the two.

const domainTimes = "scrim/receive-times/v1"

// MaxTime is the largest time that a log can have, in milliseconds since 1970: 48 bits.
const MaxTime = 1<<48 - 1

// noTime stands for the time of a log that does not hold the id.
const noTime = ^uint64(0)

// NextTimes is the hash chain of a log's times, beside that of its ids (commitreveal.NextHead): of the empty log it is zero.
//
//	SHA-256("scrim/receive-times/v1" || times (32) || milliseconds since 1970 (8))
func NextTimes(times commitreveal.Hash, milliseconds uint64) commitreveal.Hash {
	b := make([]byte, 0, len(domainTimes)+len(times)+8)
	return sha256.Sum256(appendUint64(append(append(b, domainTimes...), times[:]...), milliseconds))
}

// TimedState is what committed logs with times leave to be decided after a height. It is a value like [State].
type TimedState struct {
	params  Params
	height  uint64
	members []timedLog
	ids     []timedID // those in some log, in ascending order
}

// timedLog is a member's committed log: all of it as two hashes, and what is not done.
type timedLog struct {
	head, times commitreveal.Hash
	sequence    uint64
	watermark   uint64 // whatever comes later in this log has this time or a later one
	live        []stamp
}

// stamp is an entry of a log: an index of TimedState.ids, and when the member received it.
type stamp struct {
	index uint32
	at    uint64
}

type timedID struct {
	id     threshold.ID
	first  uint64 // height at which the first log held it
	frozen uint64 // height at which 2f+1 logs held it, 0 until then
	key    uint64 // from then on
}

// TimedChunk is the next part of a member's log with times.
type TimedChunk struct {
	Chunk
	Times     []uint64          // of Chunk.IDs, in milliseconds since 1970; never falling, never below the log's watermark
	TimesHead commitreveal.Hash // NextTimes over all times of the log after this chunk
	Watermark uint64            // no later entry has an earlier time than this; never falling
}

// TimedFrame is a set of ids that a height has fixed to be ordered together.
type TimedFrame struct {
	// Forced frames were ordered because their time was up, although something earlier could still have come.
	Forced bool
	IDs    []threshold.ID // ascending
	Keys   []uint64       // of IDs: milliseconds since 1970
}

// TimedDecision is what a height fixed.
type TimedDecision struct {
	Frames    []TimedFrame   // ordered one after the other
	Forgotten []threshold.ID // not frozen when their horizon had passed, ascending
}

// NewTimed is the state after a height at which no log has anything. Of the parameters, Solid and Agreement have no meaning
// for this rule, but must be valid.
func NewTimed(p Params, height uint64) (TimedState, error) {
	if err := p.Validate(); err != nil {
		return TimedState{}, err
	}
	return TimedState{params: p, height: height, members: make([]timedLog, p.Members)}, nil
}

// TimedBase is where a log with times stands that was committed before.
type TimedBase struct {
	Sequence    uint64
	Head, Times commitreveal.Hash
	Watermark   uint64
}

// ReformTimed is the state after a height at which another set of members takes over, as [Reform] is: who stays goes on with
// its log, and keys are fixed anew.
func ReformTimed(s TimedState, p Params, height uint64, from []uint32, base []TimedBase) (TimedState, error) {
	if err := p.Validate(); err != nil {
		return TimedState{}, err
	}
	if len(from) != p.Members || len(base) != p.Members || height != s.height {
		return TimedState{}, fmt.Errorf("%w: reform to %d members from %d logs at height %d after %d", ErrInvalid, p.Members, len(from), height, s.height)
	}
	next := TimedState{params: p, height: height, members: make([]timedLog, p.Members), ids: slices.Clone(s.ids)}
	taken, left := newBitset(len(s.members)), newBitset(len(s.ids))
	for i, j := range from {
		m := &next.members[i]
		if j == 0 {
			*m = timedLog{head: base[i].Head, times: base[i].Times, sequence: base[i].Sequence, watermark: base[i].Watermark}
			continue
		}
		if int(j) > len(s.members) || taken.has(int(j)-1) {
			return TimedState{}, fmt.Errorf("%w: member %d goes on as two, or is none", ErrMember, j)
		}
		taken.set(int(j) - 1)
		*m = s.members[j-1]
		m.live = slices.Clone(m.live[:min(len(m.live), p.MaxLive)])
		for _, e := range m.live {
			left.set(int(e.index))
		}
	}
	for x := range next.ids {
		next.ids[x].first, next.ids[x].frozen, next.ids[x].key = height, 0, 0
	}
	next.compact(left)
	next.freeze()
	return next, nil
}

// Params are those the state was made with.
func (s TimedState) Params() Params { return s.params }

// Height is that of the last decision, or the one the state began after.
func (s TimedState) Height() uint64 { return s.height }

// Live is the number of ids that some log holds and that are not done.
func (s TimedState) Live() int { return len(s.ids) }

// Log gives a member's committed number of ids, the two heads and the watermark; ErrMember if there is no such member.
func (s TimedState) Log(member uint32) (sequence uint64, head, times commitreveal.Hash, watermark uint64, err error) {
	if member < 1 || int(member) > len(s.members) {
		return 0, head, times, 0, fmt.Errorf("%w: member %d of %d", ErrMember, member, len(s.members))
	}
	m := &s.members[member-1]
	return m.sequence, m.head, m.times, m.watermark, nil
}

// Check reports why a chunk does not continue its member's committed log: ErrMember, ErrLimit or ErrChain. A time that
// goes back is ErrChain.
func (s TimedState) Check(c TimedChunk) error {
	sequence, head, times, watermark, err := s.Log(c.Member)
	if err != nil {
		return err
	}
	if err := s.params.checkChunk(c.Chunk, sequence, head, len(s.members[c.Member-1].live)); err != nil {
		return err
	}
	if len(c.Times) != len(c.IDs) {
		return fmt.Errorf("%w: member %d: %d times of %d ids", ErrChain, c.Member, len(c.Times), len(c.IDs))
	}
	last := watermark
	for _, t := range append(c.Times[:len(c.Times):len(c.Times)], c.Watermark) {
		if t < last || t > MaxTime {
			return fmt.Errorf("%w: member %d: time %d after %d", ErrChain, c.Member, t, last)
		}
		last = t
	}
	for _, t := range c.Times {
		times = NextTimes(times, t)
	}
	if times != c.TimesHead {
		return fmt.Errorf("%w: member %d: the times lead to another head", ErrChain, c.Member)
	}
	return nil
}

// TimedStep takes the chunks of the next height and decides what it orders. Done is as in [Step], and so are the errors.
func TimedStep(s TimedState, height uint64, chunks []TimedChunk, done func(threshold.ID) bool) (next TimedState, d TimedDecision, err error) {
	if height == 0 || height != s.height+1 {
		return s, d, fmt.Errorf("%w: %d after %d", ErrHeight, height, s.height)
	}
	if err := s.checkAll(chunks); err != nil {
		return s, d, err
	}
	next = s.extend(height, chunks, done)
	bound := next.freeze()
	next.decide(bound, &d)
	return next, d, nil
}

func (s TimedState) checkAll(chunks []TimedChunk) error {
	members := make([]uint32, len(chunks))
	for i, c := range chunks {
		if err := s.Check(c); err != nil {
			return err
		}
		members[i] = c.Member
	}
	return s.params.checkMembers(members)
}

// extend gives the state with the chunks appended.
func (s TimedState) extend(height uint64, chunks []TimedChunk, done func(threshold.ID) bool) TimedState {
	next := TimedState{params: s.params, height: height, members: make([]timedLog, len(s.members))}
	next.ids = slices.Clone(s.ids)
	for _, c := range chunks {
		for _, id := range c.IDs {
			if _, known := s.find(id); !known && (done == nil || !done(id)) {
				next.ids = append(next.ids, timedID{id: id, first: height})
			}
		}
	}
	slices.SortFunc(next.ids, func(a, b timedID) int { return compareIDs(a.id, b.id) })
	next.ids = slices.CompactFunc(next.ids, func(a, b timedID) bool { return a.id == b.id })
	for i, m := range s.members {
		live := make([]stamp, len(m.live))
		for j, e := range m.live {
			x, _ := next.find(s.ids[e.index].id)
			live[j] = stamp{uint32(x), e.at}
		}
		m.live = live
		next.members[i] = m
	}
	for _, c := range chunks {
		m := &next.members[c.Member-1]
		m.head, m.times, m.sequence, m.watermark = c.Head, c.TimesHead, c.Sequence, c.Watermark
		held := newBitset(len(next.ids))
		for _, e := range m.live {
			held.set(int(e.index))
		}
		for j, id := range c.IDs {
			if x, open := next.find(id); open && !held.has(x) {
				held.set(x)
				m.live = append(m.live, stamp{uint32(x), c.Times[j]})
			}
		}
	}
	return next
}

func (s *TimedState) find(id threshold.ID) (int, bool) {
	return slices.BinarySearchFunc(s.ids, id, func(l timedID, id threshold.ID) int { return compareIDs(l.id, id) })
}

// freeze sets the keys of ids that 2f+1 logs hold by now, and gives the bound: nothing that is not frozen, seen or
// not, can still get a smaller key.
func (s *TimedState) freeze() (bound uint64) {
	n := len(s.members)
	marks := make([]uint64, n)
	for i, m := range s.members {
		marks[i] = m.watermark
	}
	bound = s.smallest(slices.Clone(marks)) // of what nobody has seen
	for x, row := range s.times() {
		l := &s.ids[x]
		if l.frozen != 0 {
			continue
		}
		held := 0
		least := slices.Clone(marks) // the times that it has, and the smallest that it can get
		for i, t := range row {
			if t != noTime {
				held++
				least[i] = t
			}
		}
		if held >= s.params.Freezes() {
			l.frozen, l.key = s.height, s.smallest(row) // noTime is above all times
			continue
		}
		bound = min(bound, s.smallest(least))
	}
	return bound
}

// Freezes is 2f+1, the number of logs that must hold an id before its key is fixed.
func (p Params) Freezes() int { return 2*p.Faulty + 1 }

// smallest gives the (f+1)-th smallest of the times, which it sorts.
func (s *TimedState) smallest(times []uint64) uint64 {
	slices.Sort(times)
	return times[s.params.Faulty]
}

// times gives for each id its time in every log, noTime where the log does not hold it.
func (s *TimedState) times() [][]uint64 {
	n := len(s.members)
	all := make([]uint64, n*len(s.ids))
	for i := range all {
		all[i] = noTime
	}
	rows := make([][]uint64, len(s.ids))
	for x := range rows {
		rows[x] = all[x*n : (x+1)*n]
	}
	for i, m := range s.members {
		for _, e := range m.live {
			rows[e.index][i] = e.at
		}
	}
	return rows
}

// decide orders what is below the bound, then what has been frozen for too long, and forgets.
func (s *TimedState) decide(bound uint64, d *TimedDecision) {
	left := newBitset(len(s.ids))
	for x := range s.ids {
		left.set(x)
	}
	take := func(forced bool, which func(l *timedID) bool) {
		f := TimedFrame{Forced: forced}
		for x := range s.ids {
			if l := &s.ids[x]; left.has(x) && l.frozen != 0 && which(l) {
				f.IDs, f.Keys = append(f.IDs, l.id), append(f.Keys, l.key)
				left[x>>6] &^= 1 << (x & 63)
			}
		}
		if len(f.IDs) > 0 {
			d.Frames = append(d.Frames, f)
		}
	}
	take(false, func(l *timedID) bool { return l.key < bound })
	var due uint64 // the largest key of those that can wait no longer
	found := false
	for x := range s.ids {
		if l := &s.ids[x]; left.has(x) && l.frozen != 0 && s.height-l.frozen >= s.params.Wait {
			due, found = max(due, l.key), true
		}
	}
	if found {
		take(true, func(l *timedID) bool { return l.key <= due })
	}
	for x := range s.ids {
		if l := &s.ids[x]; l.frozen == 0 && s.height-l.first >= s.params.Horizon {
			left[x>>6] &^= 1 << (x & 63)
			d.Forgotten = append(d.Forgotten, l.id)
		}
	}
	s.compact(left)
}

// compact drops the ids that are not left. The slices are this state's own.
func (s *TimedState) compact(left bitset) {
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
		live := m.live[:0]
		for _, e := range m.live {
			if left.has(int(e.index)) {
				live = append(live, stamp{moved[e.index], e.at})
			}
		}
		m.live = live
	}
}

// Order puts the frame into its final order: by key, ids of one millisecond by [TieKey]. A component is the ids of
// one millisecond.
func (f *TimedFrame) Order(beacon [32]byte) []Component {
	return f.order(func(a, b threshold.ID) int {
		x, y := TieKey(beacon, a), TieKey(beacon, b)
		return bytes.Compare(x[:], y[:])
	})
}

func (f *TimedFrame) order(tie func(a, b threshold.ID) int) (out []Component) {
	at := make([]int, len(f.IDs))
	for x := range at {
		at[x] = x
	}
	slices.SortFunc(at, func(x, y int) int { return cmp.Or(cmp.Compare(f.Keys[x], f.Keys[y]), tie(f.IDs[x], f.IDs[y])) })
	for i, x := range at {
		if i == 0 || f.Keys[at[i-1]] != f.Keys[x] {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], f.IDs[x])
	}
	return out
}

// Cut splits a frame whose bodies do not fit into one block: first are the most ids that fit by key, then by id, and rest
// goes later, before anything of a later frame. Fits is asked as in [Frame.Cut]; either part is nil if it has no ids.
func (f *TimedFrame) Cut(fits func(first []threshold.ID) bool) (first, rest *TimedFrame) {
	if fits(f.IDs) {
		return f, nil
	}
	ids := slices.Concat(f.order(compareIDs)...)
	n := 0
	for n < len(ids) && fits(ids[:n+1]) {
		n++
	}
	taken := slices.Clone(ids[:n])
	slices.SortFunc(taken, compareIDs)
	parts := [2]*TimedFrame{{Forced: f.Forced}, {Forced: f.Forced}}
	for x, id := range f.IDs {
		p := parts[1]
		if _, now := slices.BinarySearchFunc(taken, id, compareIDs); now {
			p = parts[0]
		}
		p.IDs, p.Keys = append(p.IDs, id), append(p.Keys, f.Keys[x])
	}
	if n == 0 {
		return nil, parts[1]
	}
	return parts[0], parts[1]
}
