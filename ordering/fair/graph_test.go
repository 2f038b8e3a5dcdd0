package fair

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"
)

// wideFrame has more ids than a machine word has bits, in logs of many shapes: nearly alike, shuffled, cut, rotated.
func wideFrame(rng *rand.Rand, m, n int) *Frame {
	f := &Frame{Logs: make([][]uint32, n)}
	for x := range m {
		f.IDs = append(f.IDs, intID(x))
	}
	shape := rng.IntN(3)
	for i := range n {
		at := make([]int, m)
		for x := range m {
			at[x] = x*4 + rng.IntN(1+m>>(2*shape))
			f.Logs[i] = append(f.Logs[i], uint32(x))
		}
		slices.SortStableFunc(f.Logs[i], func(a, b uint32) int { return cmp.Compare(at[a], at[b]) })
		if shape == 1 { // rotations make one large cycle
			k := m * i / n
			f.Logs[i] = slices.Concat(f.Logs[i][k:], f.Logs[i][:k])
		}
		if rng.IntN(3) == 0 {
			f.Logs[i] = f.Logs[i][:rng.IntN(m)]
		}
	}
	return f
}

// Edges, components and closure of graphs of several words against plain counting and Warshall's algorithm.
func TestWideGraphs(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	largest := 0
	for range 40 {
		m, n := 60+rng.IntN(90), 4+rng.IntN(20)
		f := wideFrame(rng, m, n)
		p := DefaultParams(n)
		g := strongEdges(m, f.Logs, p.Tau(), p.Rho())

		place := make([]map[int]int, n)
		for i, log := range f.Logs {
			place[i] = map[int]int{}
			for at, x := range log {
				place[i][int(x)] = at
			}
		}
		w := func(x, y int) (c int) {
			for i := range n {
				ax, hasX := place[i][x]
				if ay, hasY := place[i][y]; hasX && (!hasY || ax < ay) {
					c++
				}
			}
			return c
		}
		path := make([][]bool, m)
		for x := range m {
			path[x] = make([]bool, m)
			for y := range m {
				strong := x != y && w(x, y) >= p.Tau() && w(y, x) <= p.Rho()
				if strong != g.out[x].has(y) || strong != g.in[y].has(x) {
					t.Fatalf("edge %d -> %d: want %v, out %v, in %v", x, y, strong, g.out[x].has(y), g.in[y].has(x))
				}
				path[x][y] = strong || x == y
			}
		}
		for via := range m {
			for x := range m {
				for y := range m {
					path[x][y] = path[x][y] || path[x][via] && path[via][y]
				}
			}
		}
		comps, of := g.components()
		for x := range m {
			for y := range m {
				if (of[x] == of[y]) != (path[x][y] && path[y][x]) {
					t.Fatalf("%d and %d: in components %d, %d", x, y, of[x], of[y])
				}
			}
		}
		within := newBitset(m)
		for x := range m {
			within.set(x)
		}
		from := rng.IntN(m)
		found := reach(g.out, []int{from}, within)
		for y := range m {
			if found.has(y) != path[from][y] {
				t.Fatalf("reach of %d: %d is %v", from, y, found.has(y))
			}
		}

		for _, c := range f.order(p, ties{rank: g.all(), limit: 2}) {
			if len(c) > 2 {
				checkByScore(t, g, idInts(c))
			}
		}
		var order []int
		for _, c := range f.Order(p, [32]byte{1}) {
			largest = max(largest, len(c))
			order = append(order, idInts(c)...)
		}
		at := make([]int, m)
		for i, x := range order {
			at[x] = i
		}
		if len(order) != m || len(comps) == 0 {
			t.Fatalf("%d of %d ids ordered", len(order), m)
		}
		for x := range m {
			for y := range m {
				if g.out[x].has(y) && of[x] != of[y] && at[x] > at[y] {
					t.Fatalf("%d -> %d, but ordered the other way", x, y)
				}
			}
		}
	}
	if largest < 65 {
		t.Errorf("the largest component had %d ids: no test of a component of several words", largest)
	}
}

// checkByScore checks that a component stands in the order of strong edges out less strong edges in, then of rank.
func checkByScore(t *testing.T, g *graph, comp []int) {
	t.Helper()
	score := map[int]int{}
	for _, x := range comp {
		for _, y := range comp {
			if g.out[x].has(y) {
				score[x]++
				score[y]--
			}
		}
	}
	for i := 1; i < len(comp); i++ {
		if a, b := comp[i-1], comp[i]; score[a] < score[b] || score[a] == score[b] && a > b {
			t.Fatalf("%d with score %d before %d with score %d", a, score[a], b, score[b])
		}
	}
}

// Above the limit the Copeland score decides: strong edges out less in, then the key.
func TestLargeComponentsByCopelandScore(t *testing.T) {
	p := DefaultParams(4)
	const m = maxRanked + 1
	// Three rotations of one log are one cycle of everything.
	f := &Frame{Logs: make([][]uint32, 4)}
	for x := range m {
		f.IDs = append(f.IDs, intID(x))
		for i := range 3 {
			f.Logs[i] = append(f.Logs[i], uint32((x+i*m/3)%m))
		}
	}
	comps := f.Order(p, [32]byte{7})
	if len(comps) != 1 || len(comps[0]) != m {
		t.Fatalf("%d components", len(comps))
	}
	g := strongEdges(m, f.Logs, p.Tau(), p.Rho())
	if got, want := idInts(comps[0]), g.copeland(g.all(), keyRanks(m, 7)); !slices.Equal(got, want) {
		t.Errorf("order %v, want %v", got[:10], want[:10])
	}
	// One id fewer is ordered by ranked pairs.
	f = &Frame{IDs: f.IDs[:m-1], Logs: make([][]uint32, 4)}
	for x := range m - 1 {
		for i := range 3 {
			f.Logs[i] = append(f.Logs[i], uint32((x+i*(m-1)/3)%(m-1)))
		}
	}
	comps = f.Order(p, [32]byte{7})
	g = strongEdges(m-1, f.Logs, p.Tau(), p.Rho())
	if score := g.copeland(g.all(), keyRanks(m-1, 7)); len(comps) != 1 || slices.Equal(score, idInts(comps[0])) {
		t.Error("a component of the limit's size is ordered by score")
	}
}

// keyRanks are the ranks of the ids 0..m-1 under a beacon, from the brute force's keys.
func keyRanks(m int, beacon byte) []int {
	byKey := make([]int, m)
	for x := range m {
		byKey[x] = x
	}
	ties := bruteTies([32]byte{beacon})
	sort.Slice(byKey, func(i, j int) bool { return ties.id(byKey[i], byKey[j]) })
	rank := make([]int, m)
	for r, x := range byKey {
		rank[x] = r
	}
	return rank
}

func (g *graph) all() (xs []int) {
	for x := range g.m {
		xs = append(xs, x)
	}
	return xs
}
