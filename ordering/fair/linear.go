package fair

import (
	"bytes"
	"cmp"
	"container/heap"
	"crypto/sha256"
	"slices"

	"github.com/scrimlabs/scrim/threshold"
)

const domainTie = "scrim/order/tie/v1"

// maxRanked is the size of the largest component that is ordered by ranked pairs; above it the Copeland score
// decides, so that nobody makes the order expensive by making large cycles.
const maxRanked = 512

// Frame is a set of ids that a height has fixed to be ordered together, with what the logs said about them. Its
// final order needs the beacon of that height, see [Frame.Order].
type Frame struct {
	// Forced frames were ordered because their time was up, although predecessors were not solid.
	Forced bool
	// IDs are in ascending order.
	IDs []threshold.ID
	// Logs has for each member the frame's ids that its log held, in log order, as indexes of IDs.
	Logs [][]uint32
}

// Component is a set of ids between which no order is promised: one id, or a cycle of strong edges. The ids are
// in their final order.
type Component []threshold.ID

// Order puts the frame into its final order. Of the components that have no predecessor left, the next is the
// one with the smallest
//
//	SHA-256("scrim/order/tie/v1" || beacon (32) || id (32))
//
// of its ids. Inside a component the order is that of ranked pairs on its strong edges (larger margin first,
// then more votes, then the smaller keys of the earlier and of the later id), and then again by key; above
// 512 ids it is by strong edges out less strong edges in, more first, then by key.
func (f *Frame) Order(p Params, beacon [32]byte) []Component {
	return f.order(p, ties{rank: ranks(f.keys(beacon)), limit: maxRanked})
}

// keys are the tie keys of the ids under the beacon.
func (f *Frame) keys(beacon [32]byte) [][sha256.Size]byte {
	keys := make([][sha256.Size]byte, len(f.IDs))
	for i, id := range f.IDs {
		keys[i] = TieKey(beacon, id)
	}
	return keys
}

// TieKey is an id's key where the logs leave the order open: the smaller one is first.
//
//	SHA-256("scrim/order/tie/v1" || beacon (32) || id (32))
func TieKey(beacon [32]byte, id threshold.ID) [sha256.Size]byte {
	b := make([]byte, 0, len(domainTie)+len(beacon)+len(id))
	return sha256.Sum256(append(append(append(b, domainTie...), beacon[:]...), id[:]...))
}

// ranks gives each vertex its place in the order of the keys.
func ranks(keys [][sha256.Size]byte) []int {
	byKey := make([]int, len(keys))
	for i := range byKey {
		byKey[i] = i
	}
	slices.SortStableFunc(byKey, func(a, b int) int { return bytes.Compare(keys[a][:], keys[b][:]) })
	rank := make([]int, len(keys))
	for r, x := range byKey {
		rank[x] = r
	}
	return rank
}

// ties decides where the logs do not.
type ties struct {
	rank  []int               // of a vertex; the lower one is first
	edge  func(a, b edge) int // nil: by the rank of x, then of y
	limit int                 // size of the largest component for ranked pairs
}

// edge is a strong edge with its votes for and against.
type edge struct {
	x, y              uint32
	forward, backward uint16
}

func (f *Frame) order(p Params, t ties) []Component {
	g := f.graph(p)
	comps, of := g.components()
	pos := f.positions()
	var out []Component
	for _, c := range g.kahn(comps, of, t.rank) {
		ids := make(Component, 0, len(comps[c]))
		for _, x := range g.inside(comps[c], pos, t) {
			ids = append(ids, f.IDs[x])
		}
		out = append(out, ids)
	}
	return out
}

func (f *Frame) graph(p Params) *graph { return strongEdges(len(f.IDs), f.Logs, p.Tau(), p.Rho()) }

// positions gives for each vertex its place in every log, from 1; 0 if the log does not hold it.
func (f *Frame) positions() [][]uint32 {
	pos := make([][]uint32, len(f.IDs))
	n := len(f.Logs)
	all := make([]uint32, n*len(f.IDs))
	for x := range pos {
		pos[x] = all[x*n : (x+1)*n]
	}
	for i, log := range f.Logs {
		for at, x := range log {
			pos[x][i] = uint32(at) + 1
		}
	}
	return pos
}

// votes counts the logs that say x before y, and y before x, from the positions of the two. A log that holds only
// one of them says that one.
func votes[T uint32 | uint64](x, y []T) (forward, backward int) {
	for i := range x {
		// Absent is 0, and 0 - 1 is larger than every position.
		switch a, b := x[i]-1, y[i]-1; {
		case a < b:
			forward++
		case b < a:
			backward++
		}
	}
	return forward, backward
}

// available is a heap of what can come next, by rank.
type available []struct{ rank, item int }

func (a available) Len() int           { return len(a) }
func (a available) Less(i, j int) bool { return a[i].rank < a[j].rank }
func (a available) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *available) Push(v any)        { *a = append(*a, v.(struct{ rank, item int })) }
func (a *available) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}

// kahn orders the components topologically, by the smallest rank in them.
func (g *graph) kahn(comps [][]int, of, rank []int) []int {
	waits := make([]int, len(comps)) // edges from components that did not have their turn
	lowest := make([]int, len(comps))
	for c, members := range comps {
		lowest[c] = g.m
		for _, x := range members {
			lowest[c] = min(lowest[c], rank[x])
			g.in[x].each(func(y int) {
				if of[y] != c {
					waits[c]++
				}
			})
		}
	}
	var next available
	for c := range comps {
		if waits[c] == 0 {
			next = append(next, struct{ rank, item int }{lowest[c], c})
		}
	}
	heap.Init(&next)
	order := make([]int, 0, len(comps))
	for next.Len() > 0 {
		c := heap.Pop(&next).(struct{ rank, item int }).item
		order = append(order, c)
		for _, x := range comps[c] {
			g.out[x].each(func(y int) {
				d := of[y]
				if d == c {
					return
				}
				if waits[d]--; waits[d] == 0 {
					heap.Push(&next, struct{ rank, item int }{lowest[d], d})
				}
			})
		}
	}
	return order
}

// inside orders the vertices of a component.
func (g *graph) inside(comp []int, pos [][]uint32, t ties) []int {
	switch {
	case len(comp) == 1:
		return comp
	case len(comp) > t.limit:
		return g.copeland(comp, t.rank)
	default:
		return g.rankedPairs(comp, pos, t)
	}
}

// copeland orders by the number of strong edges to the component less those from it, then by rank.
func (g *graph) copeland(comp []int, rank []int) []int {
	score := g.scores(comp)
	out := slices.Clone(comp)
	slices.SortFunc(out, func(a, b int) int {
		return cmp.Or(cmp.Compare(score[b], score[a]), cmp.Compare(rank[a], rank[b]))
	})
	return out
}

// scores gives, by vertex, the strong edges to the component less those from it.
func (g *graph) scores(comp []int) []int {
	members := newBitset(g.m)
	for _, x := range comp {
		members.set(x)
	}
	score := make([]int, g.m)
	for _, x := range comp {
		g.out[x].each(func(y int) {
			if members.has(y) {
				score[x]++
				score[y]--
			}
		})
	}
	return score
}

// rankedPairs locks the component's strong edges, the clearest first, as long as they close no cycle, and orders
// topologically along what is locked, by rank.
func (g *graph) rankedPairs(comp []int, pos [][]uint32, t ties) []int {
	comp, after, _ := g.lock(comp, pos, t)
	return topological(comp, after)
}

// lock gives the component by rank, what locked edges put after each of its vertices, transitively and with itself, and
// the edges that were locked. Edges that follow from those locked before are not among them.
func (g *graph) lock(comp []int, pos [][]uint32, t ties) (byRank []int, after []bitset, locked []edge) {
	byRank = slices.Clone(comp)
	slices.SortFunc(byRank, func(a, b int) int { return cmp.Compare(t.rank[a], t.rank[b]) })
	local := make([]int, g.m)
	for i, x := range byRank {
		local[x] = i
	}
	after = make([]bitset, len(byRank))
	for i := range after {
		after[i] = newBitset(len(byRank))
		after[i].set(i)
	}
	for _, e := range g.clearestFirst(byRank, pos, t) {
		x, y := local[e.x], local[e.y]
		if after[y].has(x) || after[x].has(y) {
			continue
		}
		locked = append(locked, e)
		for _, a := range after {
			if a.has(x) && !a.has(y) {
				a.add(after[y])
			}
		}
	}
	return byRank, after, locked
}

// clearestFirst gives the strong edges between the vertices of comp, which are in the order of their ranks: by margin
// and votes, both descending, then as t says.
func (g *graph) clearestFirst(comp []int, pos [][]uint32, t ties) []edge {
	n := 0
	for _, x := range comp {
		n += g.out[x].len() // those that leave the component too
	}
	edges := make([]edge, 0, n) // in the order of the two ranks
	for _, x := range comp {
		for _, y := range comp {
			if g.out[x].has(y) {
				f, b := votes(pos[x], pos[y])
				edges = append(edges, edge{uint32(x), uint32(y), uint16(f), uint16(b)})
			}
		}
	}
	if t.edge != nil {
		slices.SortStableFunc(edges, t.edge)
	}
	// Margins and votes are small numbers: count how many edges have which, and put each in its place.
	logs := len(pos[comp[0]])
	class := func(e edge) int {
		f, b := int(e.forward), int(e.backward)
		return (logs-(f-b))*(logs+1) + logs - f
	}
	starts := make([]int, (logs+1)*(logs+1)+1)
	for _, e := range edges {
		starts[class(e)+1]++
	}
	for c := 1; c < len(starts); c++ {
		starts[c] += starts[c-1]
	}
	sorted := make([]edge, len(edges))
	for _, e := range edges {
		c := class(e)
		sorted[starts[c]] = e
		starts[c]++
	}
	return sorted
}

// topological orders comp, of which after[i] has what comes after comp[i]; where free, the earlier in comp first.
func topological(comp []int, after []bitset) []int {
	waits := make([]int, len(comp))
	for i, a := range after {
		a.each(func(j int) {
			if j != i {
				waits[j]++
			}
		})
	}
	var next available
	for i, n := range waits {
		if n == 0 {
			next = append(next, struct{ rank, item int }{i, i})
		}
	}
	heap.Init(&next)
	out := make([]int, 0, len(comp))
	for next.Len() > 0 {
		i := heap.Pop(&next).(struct{ rank, item int }).item
		out = append(out, comp[i])
		after[i].each(func(j int) {
			if j == i {
				return
			}
			if waits[j]--; waits[j] == 0 {
				heap.Push(&next, struct{ rank, item int }{j, j})
			}
		})
	}
	return out
}
