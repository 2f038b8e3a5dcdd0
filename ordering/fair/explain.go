package fair

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/scrimlabs/scrim/threshold"
)

// ErrUnknown: an id is not where it was looked for.
var ErrUnknown = errors.New("fair: unknown id")

// Reason says why one of two ids of a frame stands before the other.
type Reason uint8

// The reasons. Between ids of two frames there is a sixth, which needs no function: frames follow each other.
const (
	// ByEdges: a chain of strong edges leads from the first to the second, and none back.
	ByEdges Reason = iota + 1
	// ByRankedPairs: both are in one cycle of strong edges, and the clearest of them, those that were locked, lead from
	// the first to the second.
	ByRankedPairs
	// ByScore: both are in one component above 512 ids, and the first has more strong edges out less in.
	ByScore
	// ByBeacon: the logs leave it open, and the keys decided.
	ByBeacon
	// ByTime: in the second rule, the first has the smaller time.
	ByTime
)

// String is the reason's name in interfaces.
func (r Reason) String() string {
	switch r {
	case ByEdges:
		return "edges"
	case ByRankedPairs:
		return "ranked_pairs"
	case ByScore:
		return "score"
	case ByBeacon:
		return "beacon"
	case ByTime:
		return "times"
	}
	return "unknown"
}

// Explanation says why a frame has two of its ids in the order that it has them in.
type Explanation struct {
	First, Second Place
	Reason        Reason
	// Forced: the frame was ordered because its time was up.
	Forced bool
	// Forward is the number of logs that say first before second, Backward of those that say the opposite. A log that
	// holds one of the two only says that one.
	Forward, Backward int
	// Chain, for ByEdges and ByRankedPairs, is a shortest chain of strong (of locked) edges, from the first to the second.
	Chain []threshold.ID
	// Component, if both are in the same one, is that component in its final order.
	Component Component
	// Won and Lost, for ByBeacon, are the ids whose keys were compared; Won's is the smaller one. They are the ones with the
	// smallest keys in the component of the first, and in the one that then stood in the second's way: its own, or one before it.
	Won, Lost threshold.ID
}

// Place is where an id stands.
type Place struct {
	ID threshold.ID
	// Logs has for each member the place of the id in its log among the ids of the frame (of those waiting, in a
	// Status), from 1; 0 if the log did not hold it.
	Logs []uint32
	// Key is the tie key under the frame's beacon.
	Key [sha256.Size]byte
}

// Votes counts the logs that say x before y, and y before x, from places in the same logs, member by member: from 1, 0 for
// not held. Whether that is a strong edge says [Params.Strong].
func Votes[T uint32 | uint64](x, y []T) (forward, backward int) { return votes(x, y) }

// Strong reports whether so many votes for and against make a strong edge.
func (p Params) Strong(forward, backward int) bool { return forward >= p.Tau() && backward <= p.Rho() }

// Explain says which of two ids the frame puts first, and why; ErrUnknown if it has not both, or they are the same.
func (f *Frame) Explain(p Params, beacon [32]byte, a, b threshold.ID) (*Explanation, error) {
	x, okX := slices.BinarySearchFunc(f.IDs, a, compareIDs)
	y, okY := slices.BinarySearchFunc(f.IDs, b, compareIDs)
	if !okX || !okY || x == y {
		return nil, fmt.Errorf("%w: the frame has not both of %v and %v", ErrUnknown, a, b)
	}
	v := f.view(p, beacon)
	if v.place[x] > v.place[y] {
		x, y = y, x
	}
	e := &Explanation{First: v.at(x), Second: v.at(y), Forced: f.Forced}
	e.Forward, e.Backward = votes(v.pos[x], v.pos[y])
	if v.of[x] == v.of[y] {
		v.explainInside(e, x, y)
	} else {
		v.explainOutside(e, x, y)
	}
	return e, nil
}

// view is a frame with everything that its order was made from.
type view struct {
	f     *Frame
	g     *graph
	comps [][]int
	of    []int // component of a vertex
	turn  []int // when a component came, from 0
	place []int // of a vertex in the final order
	order [][]int
	pos   [][]uint32
	keys  [][sha256.Size]byte
	ties  ties
}

func (f *Frame) view(p Params, beacon [32]byte) *view {
	v := &view{f: f, g: f.graph(p), pos: f.positions(), keys: f.keys(beacon), place: make([]int, len(f.IDs))}
	v.ties = ties{rank: ranks(v.keys), limit: maxRanked}
	v.comps, v.of = v.g.components()
	v.turn = make([]int, len(v.comps))
	at := 0
	for i, c := range v.g.kahn(v.comps, v.of, v.ties.rank) {
		v.turn[c] = i
		order := v.g.inside(v.comps[c], v.pos, v.ties)
		v.order = append(v.order, order)
		for _, x := range order {
			v.place[x] = at
			at++
		}
	}
	return v
}

func (v *view) at(x int) Place { return Place{v.f.IDs[x], v.pos[x], v.keys[x]} }

func (v *view) ids(xs []int) (ids []threshold.ID) {
	for _, x := range xs {
		ids = append(ids, v.f.IDs[x])
	}
	return ids
}

// explainOutside explains the order of two components.
func (v *view) explainOutside(e *Explanation, x, y int) {
	if chain := shortest(v.g.out, x, y); chain != nil {
		e.Reason, e.Chain = ByEdges, v.ids(chain)
		return
	}
	// When x's component had its turn, y's own or one that leads to it was available too, and had a larger key.
	all := newBitset(v.g.m)
	for z := range v.g.m {
		all.set(z)
	}
	turn := v.turn[v.of[x]]
	lost := -1
	reach(v.g.in, []int{y}, all).each(func(z int) {
		if v.available(v.of[z], turn) && (lost < 0 || v.ties.rank[z] < v.ties.rank[lost]) {
			lost = z
		}
	})
	e.Reason, e.Won, e.Lost = ByBeacon, v.f.IDs[v.lowest(v.comps[v.of[x]])], v.f.IDs[lost]
}

// available says whether the component could have come at that turn: it did not come before, and all before it did.
func (v *view) available(c, turn int) bool {
	if v.turn[c] < turn {
		return false
	}
	for _, x := range v.comps[c] {
		for _, y := range v.g.in[x].list() {
			if v.of[y] != c && v.turn[v.of[y]] >= turn {
				return false
			}
		}
	}
	return true
}

func (v *view) lowest(xs []int) int {
	return slices.MinFunc(xs, func(a, b int) int { return v.ties.rank[a] - v.ties.rank[b] })
}

// explainInside explains the order of two ids of one component.
func (v *view) explainInside(e *Explanation, x, y int) {
	comp := v.order[v.turn[v.of[x]]]
	e.Component = v.ids(comp)
	if len(comp) > v.ties.limit {
		scores := v.g.scores(comp)
		if e.Reason = ByScore; scores[x] == scores[y] {
			e.Reason, e.Won, e.Lost = ByBeacon, v.f.IDs[x], v.f.IDs[y]
		}
		return
	}
	byRank, after, locked := v.g.lock(comp, v.pos, v.ties)
	out := make([]bitset, v.g.m)
	for i := range out {
		out[i] = newBitset(v.g.m)
	}
	for _, l := range locked {
		out[l.x].set(int(l.y))
	}
	if chain := shortest(out, x, y); chain != nil {
		e.Reason, e.Chain = ByRankedPairs, v.ids(chain)
		return
	}
	// As outside: byRank[i] was available if all that locked edges put before it had come before x.
	for i, z := range byRank { // the smallest key first
		free := v.place[z] >= v.place[x] && after[i].has(slices.Index(byRank, y))
		for j, before := range byRank {
			free = free && (j == i || !after[j].has(i) || v.place[before] < v.place[x])
		}
		if free {
			e.Reason, e.Won, e.Lost = ByBeacon, v.f.IDs[x], v.f.IDs[z]
			return
		}
	}
}

// shortest is a path along rows from x to y, nil if there is none; of several, the one with the smallest vertices.
func shortest(rows []bitset, x, y int) []int {
	from := map[int]int{x: x} // never iterated
	for todo := []int{x}; len(todo) > 0; todo = todo[1:] {
		at := todo[0]
		if at == y {
			path := []int{y}
			for ; at != x; at = from[at] {
				path = append(path, from[at])
			}
			slices.Reverse(path)
			return path
		}
		for _, z := range rows[at].list() {
			if _, seen := from[z]; !seen {
				from[z] = at
				todo = append(todo, z)
			}
		}
	}
	return nil
}

// Status is what a state knows of an id that is not done.
type Status struct {
	Place
	// Held is the number of logs that hold it. FirstAt, NonBlankAt and SolidAt are the heights at which one, tau and s did, 0
	// if they did not yet.
	Held                         int
	FirstAt, NonBlankAt, SolidAt uint64
	// DueAt is the height by which it is ordered whatever happens: SolidAt + W. ForgottenAt is the one at which it is
	// forgotten unless it is solid by then. One of the two is 0.
	DueAt, ForgottenAt uint64
	// Time is, in the second rule, the (f+1)-th smallest of the times, once it is frozen, in milliseconds since 1970.
	Time uint64
	// WaitsFor are the ids because of which it is not ordered yet: not solid, and before it along strong edges. Ascending.
	// Empty for an id that is not solid, and for one whose last such predecessor was forgotten, or cut off by a
	// forced frame, at this height: that one is ordered at the next.
	WaitsFor []threshold.ID
}

// Status tells how far an id has come; ErrUnknown if no log holds it, or it is done. The key is left out, because
// there is no beacon yet.
func (s State) Status(id threshold.ID) (*Status, error) {
	out, at, err := s.status(id)
	if err != nil || s.ids[at].solid == 0 {
		return out, err
	}
	vertices, index := s.nonblank()
	g := strongEdges(len(vertices), s.restrict(index), s.params.Tau(), s.params.Rho())
	all := newBitset(g.m)
	for v := range vertices {
		all.set(v)
	}
	reach(g.in, []int{index[at]}, all).each(func(v int) {
		if before := &s.ids[vertices[v]]; before.solid == 0 {
			out.WaitsFor = append(out.WaitsFor, before.id)
		}
	})
	return out, nil
}

// status is what both rules know of an id, and its index.
func (s logs) status(id threshold.ID) (out *Status, at int, err error) {
	at, ok := s.find(id)
	if !ok {
		return nil, 0, fmt.Errorf("%w: no committed log holds %v, or it is done", ErrUnknown, id)
	}
	l := &s.ids[at]
	out = &Status{
		Place: Place{ID: id, Logs: make([]uint32, len(s.members))}, FirstAt: l.first, NonBlankAt: l.nonblank, SolidAt: l.solid, Time: l.key,
	}
	for i := range s.members {
		if out.Logs[i] = uint32(slices.Index(s.members[i].live, uint32(at)) + 1); out.Logs[i] > 0 {
			out.Held++
		}
	}
	if l.solid == 0 {
		out.ForgottenAt = l.first + s.params.Horizon
	} else {
		out.DueAt = l.solid + s.params.Wait
	}
	return out, at, nil
}
