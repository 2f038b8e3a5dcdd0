package fair

import (
	"math/rand/v2"
	"os"
	"slices"
	"testing"
)

// long asks for the checks that take minutes (SCRIM_FAIR_LONG=1).
func long() bool { return os.Getenv("SCRIM_FAIR_LONG") != "" }

// everyParams calls f for all valid n, f, s and h* with n from 4 to most.
func everyParams(t *testing.T, most int, check func(p Params)) (count int) {
	t.Helper()
	for n := 4; n <= most; n++ {
		for f := 0; 3*f < n; f++ {
			for s := 2*f + 1; s <= n-f; s++ {
				for h := n - (s+1)/2 + 1; h <= n-f; h++ {
					p := DefaultParams(n)
					p.Faulty, p.Solid, p.Agreement = f, s, h
					if err := p.Validate(); err != nil {
						t.Fatal(err)
					}
					count++
					check(p)
				}
			}
		}
	}
	return count
}

// pairLogs are what logs can say of two ids: nothing, A, B, A before B, B before A.
var pairLogs = [][]uint32{{}, {0}, {1}, {0, 1}, {1, 0}}

// logsOf builds counts[i] logs of the kind pairLogs[i].
func logsOf(counts [5]int) (logs [][]uint32) {
	for kind, n := range counts {
		for range n {
			logs = append(logs, pairLogs[kind])
		}
	}
	return logs
}

// splits calls f with all ways in which n logs can say something of two ids. Which member says it plays no role.
func splits(n int, f func(counts [5]int)) {
	for none := range n + 1 {
		for a := range n - none + 1 {
			for b := range n - none - a + 1 {
				for ab := range n - none - a - b + 1 {
					f([5]int{none, a, b, ab, n - none - a - b - ab})
				}
			}
		}
	}
}

// The pair lemma and its neighbours over all splits of n = 4 to 9 logs, all f, s and h*, and all choices of who of
// them lies, by counting. A split has the premise if h* honest members can have received A before B: if enough of
// the logs, f of them left aside, do not say otherwise.
//
//   - never edges both ways;
//   - an edge both ways of counting: by the bit-sliced counters and by the definition;
//   - pair lemma: with the premise, and B solid, there is the edge A -> B;
//   - newcomers: if A is not non-blank when B becomes solid, no growth of the logs makes an edge A -> B.
func TestPairLemmaAllSplits(t *testing.T) {
	lemma, newcomers, all := 0, 0, 0
	n := everyParams(t, 9, func(p Params) {
		splits(p.Members, func(counts [5]int) {
			all++
			a, b, ab, ba := counts[1], counts[2], counts[3], counts[4]
			g := strongEdges(2, logsOf(counts), p.Tau(), p.Rho())
			forward, backward := g.out[0].has(1), g.out[1].has(0)
			if forward && backward {
				t.Fatalf("%+v, logs %v: edges both ways", p, counts)
			}
			if forward != (a+ab >= p.Tau() && b+ba <= p.Rho()) || backward != (b+ba >= p.Tau() && a+ab <= p.Rho()) ||
				forward != p.Strong(a+ab, b+ba) {
				t.Fatalf("%+v, logs %v: edges %v, %v", p, counts, forward, backward)
			}
			solid := b+ab+ba >= p.Solid
			// The members that may have received A first: all that do not say otherwise. Liars can be any f members, best for
			// the premise if they are those that say otherwise; the premise holds for some choice of them if h* are left.
			if agree := p.Members - b - ba; solid && agree >= p.Agreement {
				if lemma++; !forward {
					t.Fatalf("%+v, logs %v: %d agree, B is solid, and there is no edge", p, counts, agree)
				}
			}
			if solid && a+ab+ba < p.Tau() {
				// What grows in favour of A most: who has A alone gets B, who has nothing gets A and then B.
				grown := [5]int{0, 0, counts[2], ab + a + counts[0], ba}
				if newcomers++; strongEdges(2, logsOf(grown), p.Tau(), p.Rho()).out[0].has(1) {
					t.Fatalf("%+v, logs %v: a newcomer gets an edge", p, counts)
				}
			}
		})
	})
	t.Logf("%d parameters, %d splits, %d with the lemma's premise, %d newcomers", n, all, lemma, newcomers)
	if n < 40 || lemma == 0 || newcomers == 0 {
		t.Error("nothing was checked")
	}
}

// The same by names, not by counts: every member's log, every set of liars, for small n. It checks that counting left
// nothing out.
func TestPairLemmaByMember(t *testing.T) {
	most := 5
	if long() {
		most = 7
	}
	cases := 0
	everyParams(t, most, func(p Params) {
		n := p.Members
		logs := make([][]uint32, n)
		kinds := make([]int, n)
		for {
			for i, k := range kinds {
				logs[i] = pairLogs[k]
			}
			g := strongEdges(2, logs, p.Tau(), p.Rho())
			solid := 0
			for _, k := range kinds {
				if k >= 2 {
					solid++
				}
			}
			for liars := range 1 << n {
				if onesIn(liars) > p.Faulty || solid < p.Solid {
					continue
				}
				agree := 0
				for i, k := range kinds {
					if liars>>i&1 == 0 && k != 2 && k != 4 {
						agree++
					}
				}
				if agree >= p.Agreement {
					if cases++; !g.out[0].has(1) {
						t.Fatalf("%+v, logs %v, liars %b: no edge", p, logs, liars)
					}
				}
			}
			if !advance(kinds, len(pairLogs)) {
				break
			}
		}
	})
	if t.Logf("%d cases", cases); cases == 0 {
		t.Error("nothing was checked")
	}
}

func onesIn(x int) (n int) {
	for ; x != 0; x &= x - 1 {
		n++
	}
	return n
}

// advance counts the digits up in base; false after the last.
func advance(digits []int, base int) bool {
	for i := range digits {
		if digits[i]++; digits[i] < base {
			return true
		}
		digits[i] = 0
	}
	return false
}

// The lemma's bound is the best there is: with one member fewer than h* there are logs without the edge, although B
// is solid.
func TestPairLemmaIsTight(t *testing.T) {
	everyParams(t, 9, func(p Params) {
		g := strongEdges(2, logsOf([5]int{3: p.Agreement - 1, 4: p.Members - p.Agreement + 1}), p.Tau(), p.Rho())
		if g.out[0].has(1) {
			t.Errorf("%+v: an edge with %d members", p, p.Agreement-1)
		}
	})
	// And with one honest member fewer than allowed by the lower limit of h*, edges could go both ways.
	p := DefaultParams(7)
	p.Agreement = p.Members - (p.Solid+1)/2
	if p.Validate() == nil {
		t.Fatal("h* below its limit is valid")
	}
	if p.Tau() > p.Rho() {
		t.Errorf("tau %d, rho %d: the limit of h* is not needed", p.Tau(), p.Rho())
	}
}

// checkPromise says of one height at n = 4 whether the order keeps every pair that the three other members than any one
// liar may all have received alike, whatever their logs go on with.
func checkPromise(t *testing.T, p Params, d Decision, logs [4][]int) (pairs int) {
	t.Helper()
	place := map[int]int{}
	for i := range d.Frames {
		for _, c := range d.Frames[i].Order(p, [32]byte{}) {
			at := len(place)
			for _, x := range idInts(c) {
				place[x] = at
			}
		}
	}
	for y := range place {
		for x := range 4 {
			if x == y {
				continue
			}
			for liar := range 4 {
				against := false
				for i, log := range logs {
					against = against || i != liar && before(log, y, x)
				}
				if against {
					continue
				}
				pairs++
				if at, ordered := place[x]; !ordered || at > place[y] {
					t.Fatalf("logs %v, %d lies: the others may all have %d before %d, ordered %v", logs, liar, x, y, place)
				}
			}
		}
	}
	return pairs
}

// All logs of up to three ids at n = 4, each cut in two at every place: the first parts at one height, the rest at the
// next, then two heights with nothing, so that what waits is forced. Against the brute force. 208,250 cases up to the names of ids and members; the
// short suite takes some of them.
func TestExhaustiveThreeIDsInTwoHeights(t *testing.T) {
	p := DefaultParams(4)
	p.Wait = 1
	type cutLog struct{ now, later []int }
	var all []cutLog
	for _, log := range partialPermutations(3) {
		for at := range len(log) + 1 {
			all = append(all, cutLog{log[:at], log[at:]})
		}
	}
	every := 400
	if long() {
		every = 1
	} else if testing.Short() {
		every = 4000
	}
	cases, number, forced := 0, 0, 0
	for k := range 4 {
		for at := range k + 1 {
			first := cutLog{[]int{0, 1, 2}[:at], []int{0, 1, 2}[at:k]}
			for a, la := range all {
				for b, lb := range all[:a+1] {
					for _, lc := range all[:b+1] {
						if number++; number%every != 0 {
							continue
						}
						cases++
						chain, model := newChain(t, p), newBrute(ruleOf(p))
						beacon := [32]byte{byte(number), byte(number >> 8)}
						compareHeight(t, chain, model, map[int][]int{0: first.now, 1: la.now, 2: lb.now, 3: lc.now}, beacon)
						compareHeight(t, chain, model, map[int][]int{0: first.later, 1: la.later, 2: lb.later, 3: lc.later}, beacon)
						for range 2 {
							for _, f := range compareHeight(t, chain, model, nil, beacon).Frames {
								if f.Forced {
									forced++
								}
							}
						}
					}
				}
			}
		}
	}
	t.Logf("%d of %d cases, %d forced frames", cases, number, forced)
	if number != 208_250 || cases == 0 || !testing.Short() && forced == 0 {
		t.Errorf("%d cases, %d forced frames", number, forced)
	}
}

// Components and closure of graphs of any shape, not only of those that logs make: against Tarjan's algorithm and a
// breadth-first search on adjacency lists.
func TestComponentsAgainstTarjan(t *testing.T) {
	largest := 0
	for seed := range runs(t, 400) {
		rng := rand.New(rand.NewPCG(uint64(seed), 31))
		m := 1 + rng.IntN(150)
		g := &graph{m: m}
		next := make([][]int, m)
		for range m {
			g.out, g.in = append(g.out, newBitset(m)), append(g.in, newBitset(m))
		}
		for range rng.IntN(3*m + 1) {
			x, y := rng.IntN(m), rng.IntN(m)
			if x != y && !g.out[x].has(y) {
				g.out[x].set(y)
				g.in[y].set(x)
				next[x] = append(next[x], y)
			}
		}
		comps, of := g.components()
		want := tarjan(next)
		for x := range m {
			for y := range m {
				if (of[x] == of[y]) != (want[x] == want[y]) {
					t.Fatalf("seed %d: %d and %d", seed, x, y)
				}
			}
		}
		for i, c := range comps {
			if largest = max(largest, len(c)); !slices.IsSorted(c) || of[c[0]] != i {
				t.Fatalf("seed %d: component %v", seed, c)
			}
		}
		within := newBitset(m)
		for x := range m {
			if rng.IntN(4) > 0 {
				within.set(x)
			}
		}
		from := []int{rng.IntN(m), rng.IntN(m)}
		found := reach(g.out, from, within)
		for x, is := range breadthFirst(next, from, within.has) {
			if found.has(x) != is {
				t.Fatalf("seed %d: reach of %d is %v", seed, x, found.has(x))
			}
		}
	}
	if largest < 65 {
		t.Errorf("the largest component had %d vertices", largest)
	}
}

// tarjan gives each vertex a name of its component.
func tarjan(next [][]int) []int {
	index, low, comp := make([]int, len(next)), make([]int, len(next)), make([]int, len(next))
	var stack []int
	counter := 0
	var visit func(x int)
	visit = func(x int) {
		counter++
		index[x], low[x] = counter, counter
		stack = append(stack, x)
		for _, y := range next[x] {
			if index[y] == 0 {
				visit(y)
			}
			if comp[y] == 0 {
				low[x] = min(low[x], low[y])
			}
		}
		if low[x] != index[x] {
			return
		}
		for {
			y := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			comp[y] = x + 1
			if y == x {
				return
			}
		}
	}
	for x := range next {
		if index[x] == 0 {
			visit(x)
		}
	}
	return comp
}

func breadthFirst(next [][]int, from []int, within func(int) bool) []bool {
	found := make([]bool, len(next))
	for todo := from; len(todo) > 0; todo = todo[1:] {
		if x := todo[0]; within(x) && !found[x] {
			found[x] = true
			todo = append(slices.Clip(todo), next[x]...)
		}
	}
	return found
}
