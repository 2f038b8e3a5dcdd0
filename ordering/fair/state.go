package fair

import (
	"bytes"
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
	// ErrChain: the chunk does not continue the member's committed log.
	ErrChain = errors.New("fair: does not continue the committed log")
	// ErrLimit: more ids than a chunk or a log may have.
	ErrLimit = errors.New("fair: too many ids")
)

// State is what the committed receive logs leave to be decided after a height. It is never changed once it exists.
type State struct {
	params  Params
	height  uint64
	members []memberLog
	ids     []liveID // those in some log, in ascending order
}

// memberLog is a member's committed receive log: all of it as a hash, and what is not done.
type memberLog struct {
	head     commitreveal.Hash // commitreveal.NextHead over all ids so far
	sequence uint64            // how many those are
	live     []uint32          // indexes of State.ids, in the log's order, each once
}

// liveID is an id that some log holds. The heights are 0 until it happened.
type liveID struct {
	id       threshold.ID
	first    uint64 // when the first log held it
	nonblank uint64 // when tau logs held it
	solid    uint64 // when s logs held it
}

// Chunk is the next part of a member's receive log.
type Chunk struct {
	Member   uint32            // 1..n
	Sequence uint64            // number of ids in the log after this chunk
	Head     commitreveal.Hash // of the log after this chunk
	IDs      []threshold.ID    // may be none
}

// Decision is what a height fixed.
type Decision struct {
	// Frames are ordered one after the other.
	Frames []Frame
	// Forgotten are ids that were not solid when their horizon had passed, ascending. They left all logs.
	Forgotten []threshold.ID
}

// New is the state after a height at which no log has anything.
func New(p Params, height uint64) (State, error) {
	if err := p.Validate(); err != nil {
		return State{}, err
	}
	return State{params: p, height: height, members: make([]memberLog, p.Members)}, nil
}

// Params are those the state was made with.
func (s State) Params() Params { return s.params }

// Height is that of the last decision, or the one the state began after.
func (s State) Height() uint64 { return s.height }

// Live is the number of ids that some log holds and that are not done.
func (s State) Live() int { return len(s.ids) }

// Log gives a member's committed number of ids and head, and how many of its ids are not done; ErrMember if
// there is no such member.
func (s State) Log(member uint32) (sequence uint64, head commitreveal.Hash, live int, err error) {
	if member < 1 || int(member) > len(s.members) {
		return 0, head, 0, fmt.Errorf("%w: member %d of %d", ErrMember, member, len(s.members))
	}
	m := &s.members[member-1]
	return m.sequence, m.head, len(m.live), nil
}

// Waiting lists the ids of a member's log that are not done, in its order; nil if there is no such member.
func (s State) Waiting(member uint32) []threshold.ID {
	if member < 1 || int(member) > len(s.members) {
		return nil
	}
	out := make([]threshold.ID, 0, len(s.members[member-1].live))
	for _, x := range s.members[member-1].live {
		out = append(out, s.ids[x].id)
	}
	return out
}

// Check reports why a chunk does not continue its member's committed log: ErrMember, ErrLimit or ErrChain.
func (s State) Check(c Chunk) error {
	sequence, head, live, err := s.Log(c.Member)
	if err != nil {
		return err
	}
	return s.params.checkChunk(c, sequence, head, live)
}

// checkChunk reports why a chunk does not continue a log of so many ids, with this head and so many that are not done.
func (p Params) checkChunk(c Chunk, sequence uint64, head commitreveal.Hash, live int) error {
	if len(c.IDs) > p.MaxChunk {
		return fmt.Errorf("%w: %d ids of member %d, at most %d", ErrLimit, len(c.IDs), c.Member, p.MaxChunk)
	}
	// Those that turn out to be done count too, so that this needs no more than the state.
	if live+len(c.IDs) > p.MaxLive {
		return fmt.Errorf("%w: member %d: %d ids to %d that are not done, at most %d", ErrLimit, c.Member, len(c.IDs), live, p.MaxLive)
	}
	if c.Sequence != sequence+uint64(len(c.IDs)) || c.Sequence < sequence {
		return fmt.Errorf("%w: member %d: %d ids lead from %d to %d", ErrChain, c.Member, len(c.IDs), sequence, c.Sequence)
	}
	if extendHead(head, c.IDs) != c.Head {
		return fmt.Errorf("%w: member %d: the ids lead to another head", ErrChain, c.Member)
	}
	return nil
}

// Step takes the chunks of the next height and decides what it orders. Done says of an id whether it was ordered
// before (nil: of none); such ids are left out of the logs. The chunks' signatures have been verified before
// ([Section.Verify]). On error the chunks were not those of a valid block, and next equals s.
func Step(s State, height uint64, chunks []Chunk, done func(threshold.ID) bool) (next State, d Decision, err error) {
	if height == 0 || height != s.height+1 {
		return s, d, fmt.Errorf("%w: %d after %d", ErrHeight, height, s.height)
	}
	if err := s.checkAll(chunks); err != nil {
		return s, d, err
	}
	next = State{params: s.params, height: height}
	next.ids, next.members = s.extend(height, chunks, done)
	next.mark()
	left := next.decide(&d)
	next.compact(left)
	return next, d, nil
}

func (s State) checkAll(chunks []Chunk) error {
	members := make([]uint32, len(chunks))
	for i, c := range chunks {
		if err := s.Check(c); err != nil {
			return err
		}
		members[i] = c.Member
	}
	return s.params.checkMembers(members)
}

// checkMembers reports members of a block's chunks that are too few, and not none, or stand there twice.
func (p Params) checkMembers(members []uint32) error {
	if len(members) > 0 && len(members) < p.Quorum() {
		return fmt.Errorf("%w: %d, want none or at least %d", ErrQuorum, len(members), p.Quorum())
	}
	seen := newBitset(p.Members)
	for _, m := range members {
		if seen.has(int(m) - 1) {
			return fmt.Errorf("%w: member %d", ErrMember, m)
		}
		seen.set(int(m) - 1)
	}
	return nil
}

func extendHead(head commitreveal.Hash, ids []threshold.ID) commitreveal.Hash {
	for _, id := range ids {
		head = commitreveal.NextHead(head, id)
	}
	return head
}

func compareIDs(a, b threshold.ID) int { return bytes.Compare(a[:], b[:]) }

func findID(ids []liveID, id threshold.ID) (int, bool) {
	return slices.BinarySearchFunc(ids, id, func(l liveID, id threshold.ID) int { return compareIDs(l.id, id) })
}

// extend gives the ids and logs with the chunks appended.
func (s State) extend(height uint64, chunks []Chunk, done func(threshold.ID) bool) ([]liveID, []memberLog) {
	var fresh []threshold.ID
	skip := make([][]bool, len(chunks)) // ids that are done
	for i, c := range chunks {
		skip[i] = make([]bool, len(c.IDs))
		for j, id := range c.IDs {
			if _, known := findID(s.ids, id); known {
				continue
			}
			if skip[i][j] = done != nil && done(id); !skip[i][j] {
				fresh = append(fresh, id)
			}
		}
	}
	slices.SortFunc(fresh, compareIDs)
	fresh = slices.Compact(fresh)
	ids, moved := s.merge(fresh, height)

	members := make([]memberLog, len(s.members))
	for i, m := range s.members {
		members[i] = memberLog{m.head, m.sequence, make([]uint32, len(m.live))}
		for j, x := range m.live {
			members[i].live[j] = moved[x]
		}
	}
	for i, c := range chunks {
		m := &members[c.Member-1]
		m.head, m.sequence = c.Head, c.Sequence
		held := newBitset(len(ids))
		for _, x := range m.live {
			held.set(int(x))
		}
		for j, id := range c.IDs {
			if skip[i][j] {
				continue
			}
			if x, _ := findID(ids, id); !held.has(x) {
				held.set(x)
				m.live = append(m.live, uint32(x))
			}
		}
	}
	return ids, members
}

// merge gives the ids with the fresh ones among them, and where each old one went.
func (s State) merge(fresh []threshold.ID, height uint64) (ids []liveID, moved []uint32) {
	ids = make([]liveID, 0, len(s.ids)+len(fresh))
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
	return ids, moved
}

// mark sets the heights at which ids became non-blank and solid.
func (s *State) mark() {
	counts := s.counts()
	for x := range s.ids {
		l := &s.ids[x]
		if l.nonblank == 0 && counts[x] >= s.params.Tau() {
			l.nonblank = s.height
		}
		if l.solid == 0 && counts[x] >= s.params.Solid {
			l.solid = s.height
		}
	}
}

// counts is c(x), the number of logs that hold x.
func (s *State) counts() []int {
	counts := make([]int, len(s.ids))
	for i := range s.members {
		for _, x := range s.members[i].live {
			counts[x]++
		}
	}
	return counts
}

// decide finds what the height orders and forgets, and gives what is left of the ids.
func (s *State) decide(d *Decision) (left bitset) {
	left = newBitset(len(s.ids))
	for x := range s.ids {
		left.set(x)
	}
	vertices, index := s.nonblank()
	take := func(set bitset, forced bool) {
		d.Frames = append(d.Frames, s.frame(set, vertices, index, forced))
		set.each(func(v int) { left[vertices[v]>>6] &^= 1 << (vertices[v] & 63) })
	}
	g := strongEdges(len(vertices), s.restrict(index), s.params.Tau(), s.params.Rho())
	waiting, safe := s.closure(g, vertices)
	if safe.len() > 0 {
		take(safe, false)
	}
	for {
		phi := s.due(g, vertices, waiting)
		if phi == nil {
			break
		}
		waiting.remove(phi)
		take(phi, true)
	}
	for x := range s.ids {
		if l := &s.ids[x]; l.solid == 0 && s.height-l.first >= s.params.Horizon {
			left[x>>6] &^= 1 << (x & 63)
			d.Forgotten = append(d.Forgotten, l.id)
		}
	}
	return left
}

// nonblank gives V as indexes of s.ids, and the place of each id in it, -1 for the others.
func (s *State) nonblank() (vertices, index []int) {
	index = make([]int, len(s.ids))
	for x := range s.ids {
		index[x] = -1
		if s.ids[x].nonblank != 0 {
			index[x] = len(vertices)
			vertices = append(vertices, x)
		}
	}
	return vertices, index
}

// restrict gives the logs without the ids whose index is -1, the others by their index.
func (s *State) restrict(index []int) [][]uint32 {
	logs := make([][]uint32, len(s.members))
	for i := range s.members {
		logs[i] = make([]uint32, 0, len(s.members[i].live))
		for _, x := range s.members[i].live {
			if index[x] >= 0 {
				logs[i] = append(logs[i], uint32(index[x]))
			}
		}
	}
	return logs
}

// closure splits the solid vertices: safe are those that no vertex reaches that is not solid, waiting the others.
func (s *State) closure(g *graph, vertices []int) (waiting, safe bitset) {
	waiting, safe = newBitset(g.m), newBitset(g.m)
	all := newBitset(g.m)
	var unsolid []int
	for v, x := range vertices {
		all.set(v)
		if s.ids[x].solid == 0 {
			unsolid = append(unsolid, v)
		}
	}
	tainted := reach(g.out, unsolid, all)
	for v, x := range vertices {
		switch {
		case !tainted.has(v):
			safe.set(v)
		case s.ids[x].solid != 0:
			waiting.set(v)
		}
	}
	return waiting, safe
}

// due gives the next frame that can wait no longer, nil if there is none: those that have been solid for the
// longest time, and what reaches them along solid ids that were non-blank by then.
func (s *State) due(g *graph, vertices []int, waiting bitset) bitset {
	var oldest uint64
	waiting.each(func(v int) {
		if t := s.ids[vertices[v]].solid; oldest == 0 || t < oldest {
			oldest = t
		}
	})
	if oldest == 0 || s.height-oldest < s.params.Wait {
		return nil
	}
	within := newBitset(g.m)
	var targets []int
	waiting.each(func(v int) {
		l := &s.ids[vertices[v]]
		if l.nonblank <= oldest {
			within.set(v)
		}
		if l.solid == oldest {
			targets = append(targets, v)
		}
	})
	return reach(g.in, targets, within)
}

// frame cuts a set of vertices out of the logs.
func (s *State) frame(set bitset, vertices, index []int, forced bool) Frame {
	f := Frame{Forced: forced, Logs: make([][]uint32, len(s.members))}
	place := make([]uint32, len(vertices))
	set.each(func(v int) { // ascending, as the ids are
		place[v] = uint32(len(f.IDs))
		f.IDs = append(f.IDs, s.ids[vertices[v]].id)
	})
	for i := range s.members {
		f.Logs[i] = []uint32{}
		for _, x := range s.members[i].live {
			if v := index[x]; v >= 0 && set.has(v) {
				f.Logs[i] = append(f.Logs[i], place[v])
			}
		}
	}
	return f
}

// compact drops the ids that are not left. The slices are this state's own.
func (s *State) compact(left bitset) {
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
		for _, x := range m.live {
			if left.has(int(x)) {
				live = append(live, moved[x])
			}
		}
		m.live = live
	}
}
