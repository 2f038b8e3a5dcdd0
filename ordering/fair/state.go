package fair

import "github.com/scrimlabs/scrim/threshold"

// State is what the committed receive logs leave to be decided after a height. It is never changed once it exists.
type State struct{ logs }

// Decision is what a height fixed.
type Decision struct {
	// Frames are ordered one after the other.
	Frames []Frame
	// Forgotten are ids that were not solid when their horizon had passed, ascending. They left all logs.
	Forgotten []threshold.ID
}

// New is the state after a height at which no log has anything.
func New(p Params, height uint64) (State, error) {
	l, err := begin(ReceiveOrder, p, height)
	return State{l}, err
}

// Reform is the state after a height at which another set of members takes over. Member i of the new set (from 1) goes on with
// the log of member from[i-1] of the old one, with its ids that are not done; if that is 0, with an empty log that
// begins at base[i-1]. When an id was first seen, non-blank and solid begins anew, at this height: with other members and
// parameters the old heights say nothing. Ids that no new member has are gone.
func Reform(s State, p Params, height uint64, from []uint32, base []Base) (State, error) {
	l, err := s.reform(p, height, from, base)
	if err != nil {
		return State{}, err
	}
	next := State{l}
	next.mark()
	return next, nil
}

// Step takes the chunks of the next height and decides what it orders. Done says of an id whether it was ordered
// before (nil: of none); such ids are left out of the logs. The chunks' signatures have been verified before
// ([Section.Verify]). On error the chunks were not those of a valid block, and next equals s.
func Step(s State, height uint64, chunks []Chunk, done func(threshold.ID) bool) (next State, d Decision, err error) {
	l, err := s.extend(height, chunks, done)
	if err != nil {
		return s, d, err
	}
	next = State{l}
	next.mark()
	left := next.decide(&d)
	next.compact(left)
	return next, d, nil
}

// Idle is the state at a later height if nothing is stated until then. It goes as far as nothing can happen: not at all
// while an id is not done.
func (s State) Idle(height uint64) Logs {
	s.idle(height)
	return s
}

// Next is [Step].
func (s State) Next(height uint64, chunks []Chunk, done func(threshold.ID) bool) (Logs, []Set, []threshold.ID, error) {
	next, d, err := Step(s, height, chunks, done)
	return next, sets(d.Frames), d.Forgotten, err
}

// Reformed is [Reform].
func (s State) Reformed(p Params, height uint64, from []uint32, base []Base) (Logs, error) {
	return Reform(s, p, height, from, base)
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

// decide finds what the height orders and forgets, and gives what is left of the ids.
func (s *State) decide(d *Decision) (left bitset) {
	left = s.all()
	vertices, index := s.nonblank()
	take := func(set bitset, forced bool) {
		d.Frames = append(d.Frames, s.frame(set, vertices, index, forced))
		set.each(func(v int) { left.clear(vertices[v]) })
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
	d.Forgotten = s.forget(left)
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
	out := make([][]uint32, len(s.members))
	for i := range s.members {
		out[i] = make([]uint32, 0, len(s.members[i].live))
		for _, x := range s.members[i].live {
			if index[x] >= 0 {
				out[i] = append(out[i], uint32(index[x]))
			}
		}
	}
	return out
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
