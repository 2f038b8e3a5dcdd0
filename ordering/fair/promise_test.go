package fair

import (
	"slices"
	"testing"
)

// watcher keeps, beside a chain, what the promises speak of: full honest logs, what the committed logs held when,
// and where each id was ordered.
type watcher struct {
	t      *testing.T
	s      *schedule
	seed   int
	held   [][]int // committed, per member, with what is done
	solid  map[int]uint64
	place  map[int]int // of ordered ids: number of the component
	forced map[int]bool
	comps  int
}

func newWatcher(t *testing.T, s *schedule, seed int) *watcher {
	return &watcher{t, s, seed, make([][]int, s.p.Members), map[int]uint64{}, map[int]int{}, map[int]bool{}, 0}
}

// agree says whether at least h* honest members received x before y.
func (w *watcher) agree(x, y int) bool {
	n := 0
	for _, m := range w.s.honest {
		if log := w.s.logs[m]; slices.Index(log, x) < slices.Index(log, y) {
			n++
		}
	}
	return n >= w.s.p.Agreement
}

func (w *watcher) holders(x int, members []int) (n int) {
	for _, m := range members {
		if slices.Contains(w.held[m], x) {
			n++
		}
	}
	return n
}

func (w *watcher) include(height uint64, chunks map[int][]int) {
	for m, xs := range chunks {
		for _, x := range xs {
			// What was done before does not count again.
			if _, done := w.place[x]; !done && !slices.Contains(w.held[m], x) {
				w.held[m] = append(w.held[m], x)
			}
		}
	}
	for x := range 200 {
		all := w.s.rng.Perm(w.s.p.Members)
		if w.solid[x] == 0 && w.holders(x, all) >= w.s.p.Solid {
			w.solid[x] = height
		}
	}
}

func (w *watcher) decided(height uint64, d Decision) {
	for i := range d.Frames {
		f := &d.Frames[i]
		comps := f.Order(w.s.p, w.s.beacon)
		oldest := height
		for _, c := range comps {
			w.comps++
			for _, id := range c {
				x := idInt(id)
				w.place[x] = w.comps
				w.forced[x] = f.Forced
				oldest = min(oldest, w.solid[x])
			}
		}
		for _, x := range idInts(f.IDs) {
			w.checkBodies(x)
			// In a forced frame the promise is kept to those for whom it was made.
			w.checkPairs(x, f.Forced, f.Forced && w.solid[x] != oldest)
		}
	}
	for x, at := range w.solid {
		if _, ordered := w.place[x]; !ordered && height >= at+w.s.p.Wait {
			w.t.Errorf("seed %d: %d is solid since %d and not ordered at %d, W = %d", w.seed, x, at, height, w.s.p.Wait)
		}
	}
}

// checkBodies: an ordered id is held by f+1 honest members at least.
func (w *watcher) checkBodies(x int) {
	if n := w.holders(x, w.s.honest); n < w.s.p.Faulty+1 {
		w.t.Errorf("seed %d: only %d honest members hold %d", w.seed, n, x)
	}
}

// checkPairs: what h* honest members received before y is ordered before it or in its component. If y is forced,
// this holds for the frame's oldest ids and for predecessors that were solid.
func (w *watcher) checkPairs(y int, forced, exempt bool) {
	for x := range w.s.ids {
		if x == y || exempt || !w.agree(x, y) || forced && w.solid[x] == 0 {
			continue
		}
		if at, ordered := w.place[x]; !ordered || at > w.place[y] {
			w.t.Errorf("seed %d: %d was received before %d by %d honest members and is ordered after it (%v, forced %v)",
				w.seed, x, y, w.s.p.Agreement, ordered, forced)
		}
	}
}

// The promises, in random runs with members that lie. No horizon: what is forgotten has no order.
func TestPromises(t *testing.T) {
	pairs, forced := 0, 0
	for seed := range max(1000, runs(t, 4000)) {
		s := newSchedule(uint64(seed) + 1<<32)
		s.p.Horizon = 10_000
		c, w := newChain(t, s.p), newWatcher(t, s, seed)
		for h := uint64(1); h < 80 && !(s.finished() && h > 20); h++ {
			chunks := s.next()
			w.include(h, chunks)
			w.decided(h, c.step(chunks))
			if t.Failed() {
				t.Fatalf("params %+v, logs %v", s.p, s.logs)
			}
		}
		for x := range s.ids { // all honest members had all of it
			if _, ordered := w.place[x]; s.finished() && !ordered {
				t.Errorf("seed %d: %d is not ordered at the end", seed, x)
			}
			if w.forced[x] {
				forced++
			}
			for y := range s.ids {
				if x != y && w.agree(x, y) {
					pairs++
				}
			}
		}
	}
	t.Logf("%d pairs in agreement, %d forced ids", pairs, forced)
	if pairs == 0 || forced == 0 {
		t.Errorf("the runs had %d pairs in agreement, %d forced ids", pairs, forced)
	}
}

// Pair lemma, for n = 4 to 9, all s and h* that are allowed, and all ways in which a member can stand to two
// ids: as soon as B is solid and h* honest members have A before B, there is a strong edge from A to B. Members count
// by what they say of the pair only, so numbers of members cover everything.
func TestPairLemma(t *testing.T) {
	cases := 0
	for n := 4; n <= 9; n++ {
		for f := 0; 3*f < n; f++ {
			for s := 2*f + 1; s <= n-f; s++ {
				for h := n - (s+1)/2 + 1; h <= n-f; h++ {
					p := DefaultParams(n)
					p.Faulty, p.Solid, p.Agreement = f, s, h
					if err := p.Validate(); err != nil {
						t.Fatal(err)
					}
					cases += pairLemma(t, p)
				}
			}
		}
	}
	if cases < 1000 {
		t.Errorf("only %d cases", cases)
	}
}

func pairLemma(t *testing.T, p Params) (cases int) {
	n := p.Members
	// Of h* honest members that have A before B: none holds anything yet, only A, or both. The others say anything.
	for both := range p.Agreement + 1 {
		for onlyA := range p.Agreement - both + 1 {
			others := n - p.Agreement
			for ab := range others + 1 {
				for ba := range others - ab + 1 {
					for b := range others - ab - ba + 1 {
						if both+ab+ba+b < p.Solid {
							continue
						}
						// The rest of the others says "A, not B", or nothing.
						cases++
						var logs [][]uint32
						add := func(times int, log ...uint32) {
							for range times {
								logs = append(logs, log)
							}
						}
						add(both+ab, 0, 1)
						add(onlyA, 0)
						add(ba, 1, 0)
						add(b, 1)
						add(n - len(logs))
						g := strongEdges(2, logs, p.Tau(), p.Rho())
						if !g.out[0].has(1) || g.out[1].has(0) {
							t.Fatalf("%+v: no edge with logs %v", p, logs)
						}
					}
				}
			}
		}
	}
	return cases
}
