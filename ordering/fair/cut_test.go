package fair

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/scrimlabs/scrim/threshold"
)

func atMost(k int) func([]threshold.ID) bool {
	return func(ids []threshold.ID) bool { return len(ids) <= k }
}

// cutAll takes a frame through blocks of room ids each. Every block is the frame's alone.
func cutAll(t *testing.T, p Params, f *Frame, room int) (parts []*Frame) {
	t.Helper()
	for rest := f; rest != nil; {
		var first *Frame
		first, rest = rest.Cut(p, atMost(room), true)
		if first == nil || len(first.IDs) > room {
			t.Fatalf("a part of %+v for %d ids", first, room)
		}
		parts = append(parts, first)
	}
	return parts
}

// splitAll takes a frame through blocks that each take as many ids as they like, also a part of a component.
func splitAll(t *testing.T, rng *rand.Rand, p Params, f *Frame) (parts []*Frame) {
	t.Helper()
	for rest := f; rest != nil; {
		n := 1 + rng.IntN(len(rest.IDs))
		first, next := rest.Split(p, n)
		if len(first.IDs) != n || (next == nil) != (n == len(rest.IDs)) {
			t.Fatalf("%d of %d ids: %+v, %+v", n, len(rest.IDs), first, next)
		}
		parts, rest = append(parts, first), next
	}
	return parts
}

func randomFrame(rng *rand.Rand) (Params, *Frame) {
	n := []int{4, 5, 7, 10}[rng.IntN(4)]
	p := DefaultParams(n)
	p.Faulty = rng.IntN(p.Faulty + 1)
	p.Solid = 2*p.Faulty + 1 + rng.IntN(n-3*p.Faulty)
	lowest := n - (p.Solid+1)/2 + 1
	p.Agreement = lowest + rng.IntN(max(1, n-p.Faulty-lowest+1))
	m := 1 + rng.IntN(24)
	f := &Frame{Forced: rng.IntN(2) == 0, Logs: make([][]uint32, n)}
	for x := range m {
		f.IDs = append(f.IDs, intID(x*7))
	}
	missing := make([]int, m)
	jitter, rotated := 1+rng.IntN(2*m), rng.IntN(4) == 0
	for i := range n {
		at := make([]int, m)
		for x := range m {
			at[x] = 2*x + rng.IntN(jitter)
		}
		order := make([]uint32, m)
		for x := range m {
			order[x] = uint32(x)
		}
		slices.SortStableFunc(order, func(a, b uint32) int { return at[a] - at[b] })
		if rotated { // cycles
			k := i % min(m, 4)
			order = slices.Concat(order[k:], order[:k])
		}
		for _, x := range order {
			if missing[x] < n-p.Solid && rng.IntN(6) == 0 {
				missing[x]++
				continue
			}
			f.Logs[i] = append(f.Logs[i], x)
		}
	}
	return p, f
}

// However a frame is cut: every id goes once; no strong edge between components leads from a later part to an earlier
// one; parts end where components do, unless one is larger than a block; and each part has the order that it
// would have in the frame, as far as the logs decide.
func TestCutKeepsWhatTheLogsDecide(t *testing.T) {
	cuts, inside, edges := 0, 0, 0
	for seed := range runs(t, 10_000) {
		rng := rand.New(rand.NewPCG(uint64(seed), 11))
		p, f := randomFrame(rng)
		room := 1 + rng.IntN(len(f.IDs))
		parts := cutAll(t, p, f, room)
		whole := seed%2 == 0 // components stay whole if they fit
		if !whole {
			parts = splitAll(t, rng, p, f)
		}
		g := strongEdges(len(f.IDs), f.Logs, p.Tau(), p.Rho())
		comps, of := g.components()
		part := make([]int, len(f.IDs))
		place := make([]int, len(f.IDs))
		at, split := 0, map[int]bool{}
		for i, q := range parts {
			cuts++
			if _, err := ParseFrame(p, q.mustMarshal()); err != nil || q.Forced != f.Forced {
				t.Fatalf("seed %d: part %+v: %v", seed, q, err)
			}
			for _, c := range q.Order(p, [32]byte{byte(seed)}) {
				for _, id := range c {
					x, _ := slices.BinarySearchFunc(f.IDs, id, compareIDs)
					part[x], place[x] = i, at
					at++
				}
			}
		}
		if at != len(f.IDs) {
			t.Fatalf("seed %d: %d of %d ids", seed, at, len(f.IDs))
		}
		for x := range g.m {
			for y := range g.m {
				if of[x] == of[y] {
					if part[x] != part[y] {
						split[of[x]] = true
					}
					continue
				}
				if g.out[x].has(y) {
					edges++
					if place[x] > place[y] {
						t.Fatalf("seed %d: %d -> %d, but in parts %d and %d", seed, x, y, part[x], part[y])
					}
				}
			}
		}
		for c := range comps {
			if split[c] {
				if inside++; whole && len(comps[c]) <= room {
					t.Fatalf("seed %d: a component of %d is cut for blocks of %d", seed, len(comps[c]), room)
				}
			}
		}
	}
	t.Logf("%d parts, %d components cut, %d edges", cuts, inside, edges)
	if cuts == 0 || inside == 0 || edges == 0 {
		t.Error("the frames were not cut")
	}
}

// The promise itself, from the logs and not from edges: what h* honest members received in one order is not inverted
// across a cut, nor inside a part, except where the whole frame has both in one component.
func TestCutKeepsGuaranteedPairs(t *testing.T) {
	pairs := 0
	for seed := range runs(t, 4000) {
		s := newSchedule(uint64(seed) + 1<<40)
		s.p.Horizon = 10_000
		c := newChain(t, s.p)
		for h := 0; h < 40 && !(s.finished() && h > 20); h++ {
			d := c.step(s.next())
			for i := range d.Frames {
				f := &d.Frames[i]
				if f.Forced {
					continue
				}
				component := map[int]int{}
				for j, comp := range f.Order(s.p, s.beacon) {
					for _, x := range idInts(comp) {
						component[x] = j
					}
				}
				place := map[int]int{}
				parts := cutAll(t, s.p, f, 1+s.rng.IntN(len(f.IDs)))
				if seed%2 == 1 {
					parts = splitAll(t, s.rng, s.p, f)
				}
				for _, q := range parts {
					for _, comp := range q.Order(s.p, s.beacon) {
						for _, x := range idInts(comp) {
							place[x] = len(place)
						}
					}
				}
				w := &watcher{s: s}
				for x := range component {
					for y := range component {
						if x == y || x >= 100 || y >= 100 || component[x] == component[y] || !w.agree(x, y) {
							continue
						}
						if pairs++; place[x] > place[y] {
							t.Fatalf("seed %d: %d was received before %d and is cut off behind it", seed, x, y)
						}
					}
				}
			}
		}
	}
	if t.Logf("%d guaranteed pairs", pairs); pairs == 0 {
		t.Error("no guaranteed pair in any frame")
	}
}

func TestCut(t *testing.T) {
	p := DefaultParams(4)
	// 9, then the cycle 1, 2, 3, then 0; the ids alone would say 0 first.
	d := newChain(t, p).step(map[int][]int{0: {9, 1, 2, 3, 0}, 1: {9, 2, 3, 1, 0}, 2: {9, 3, 1, 2, 0}, 3: {}})
	f := &d.Frames[0]
	whole := f.mustMarshal()
	for _, tc := range []struct {
		room        int
		inside      bool
		first, rest []int
	}{
		{5, false, []int{0, 1, 2, 3, 9}, nil},
		{4, false, []int{1, 2, 3, 9}, []int{0}},
		{3, false, []int{9}, []int{0, 1, 2, 3}},
		{3, true, []int{9}, []int{0, 1, 2, 3}}, // not at the beginning: it waits whole
		{0, true, nil, []int{0, 1, 2, 3, 9}},
	} {
		first, rest := f.Cut(p, atMost(tc.room), tc.inside)
		if got := frameInts(first); !slices.Equal(got, tc.first) {
			t.Errorf("room %d: first %v, want %v", tc.room, got, tc.first)
		}
		if got := frameInts(rest); !slices.Equal(got, tc.rest) {
			t.Errorf("room %d: rest %v, want %v", tc.room, got, tc.rest)
		}
	}
	if first, rest := f.Split(p, 0); first != nil || rest != f {
		t.Errorf("nothing split off: %v, %v", frameInts(first), frameInts(rest))
	}
	if first, rest := f.Split(p, 9); first != f || rest != nil {
		t.Errorf("all split off: %v, %v", frameInts(first), frameInts(rest))
	}
	if got := idInts(f.Sequence(p)); len(got) != 5 || got[0] != 9 || got[4] != 0 {
		t.Errorf("sequence %v", got)
	}
	if !bytes.Equal(f.mustMarshal(), whole) {
		t.Error("the frame was changed")
	}
	_, cycle := f.Cut(p, atMost(1), false)
	if first, rest := cycle.Cut(p, atMost(2), false); first != nil || len(rest.IDs) != 4 {
		t.Errorf("a cycle that does not fit: %v, %v", frameInts(first), frameInts(rest))
	}
	first, rest := cycle.Cut(p, atMost(2), true)
	if !slices.Equal(frameInts(first), []int{1, 2}) || !slices.Equal(frameInts(rest), []int{0, 3}) {
		t.Errorf("a cycle in an empty block: %v, %v", frameInts(first), frameInts(rest))
	}
}

// Who checks a block knows no size of a body that is not in it: it asks whether the block has the ids.
func TestCutIsCheckedFromTheBlock(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	for range 500 {
		p, f := randomFrame(rng)
		proposed, _ := f.Cut(p, atMost(1+rng.IntN(len(f.IDs))), true)
		has := map[threshold.ID]bool{}
		for _, id := range proposed.IDs {
			has[id] = true
		}
		inBlock := func(ids []threshold.ID) bool {
			return !slices.ContainsFunc(ids, func(id threshold.ID) bool { return !has[id] })
		}
		if first, _ := f.Cut(p, inBlock, true); !slices.Equal(first.IDs, proposed.IDs) {
			t.Fatalf("proposed %v, checked %v", frameInts(proposed), frameInts(first))
		}
		// A block with another set of the same size is seen.
		other := f.IDs[rng.IntN(len(f.IDs))]
		if has[other] {
			continue
		}
		delete(has, proposed.IDs[rng.IntN(len(proposed.IDs))])
		has[other] = true
		if first, _ := f.Cut(p, inBlock, true); first != nil && len(first.IDs) == len(has) && !closedCut(p, f, first) {
			t.Fatalf("an invalid cut %v passes", frameInts(first))
		}
	}
}

// closedCut says whether no strong edge leads into first from outside its components.
func closedCut(p Params, f, first *Frame) bool {
	g := strongEdges(len(f.IDs), f.Logs, p.Tau(), p.Rho())
	_, of := g.components()
	in := func(x int) bool { return slices.Contains(first.IDs, f.IDs[x]) }
	for x := range g.m {
		for y := range g.m {
			if g.out[x].has(y) && of[x] != of[y] && in(y) && !in(x) {
				return false
			}
		}
	}
	return true
}

func frameInts(f *Frame) []int {
	if f == nil {
		return nil
	}
	return idInts(f.IDs)
}
