package fair

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/scrimlabs/scrim/threshold"
)

// Every explanation of every pair of random frames is checked against the order itself and against plain counting: chains
// are made of strong edges, keys that are said to decide are in that order, and what the logs decide no beacon turns round.
func TestExplainEveryPair(t *testing.T) {
	seen, inside := map[Reason]int{}, 0
	for seed := range runs(t, 500) {
		rng := rand.New(rand.NewPCG(uint64(seed), 21))
		p, f := randomFrame(rng)
		beacon := [32]byte{byte(seed), byte(seed >> 8)}
		place, component := places(f, p, beacon)
		var others []map[threshold.ID]int
		for b := range byte(4) {
			other, _ := places(f, p, [32]byte{0xff, b, byte(seed)})
			others = append(others, other)
		}
		for _, a := range f.IDs {
			for _, b := range f.IDs {
				if a == b {
					continue
				}
				e, err := f.Explain(p, beacon, a, b)
				if err != nil {
					t.Fatal(err)
				}
				if seen[e.Reason]++; e.Reason == ByBeacon && e.Component != nil {
					inside++
				}
				first, second := a, b
				if place[b] < place[a] {
					first, second = b, a
				}
				if e.First.ID != first || e.Second.ID != second || e.Forced != f.Forced {
					t.Fatalf("seed %d: %d is said to be before %d, forced %v", seed, idInt(e.First.ID), idInt(e.Second.ID), e.Forced)
				}
				checkPlaces(t, f, beacon, e)
				checkReason(t, f, p, beacon, e, component)
				if e.Reason == ByEdges && slices.ContainsFunc(others, func(o map[threshold.ID]int) bool { return o[first] > o[second] }) {
					t.Fatalf("seed %d: another beacon turns %d and %d round, which are said to be ordered by edges", seed, idInt(first), idInt(second))
				}
			}
		}
	}
	t.Log(seen, "ties inside components:", inside)
	if inside == 0 && !testing.Short() {
		t.Error("no tie inside a component")
	}
	for _, r := range []Reason{ByEdges, ByRankedPairs, ByBeacon} {
		if seen[r] == 0 {
			t.Errorf("never %v", r)
		}
	}
}

func places(f *Frame, p Params, beacon [32]byte) (place, component map[threshold.ID]int) {
	place, component = map[threshold.ID]int{}, map[threshold.ID]int{}
	for i, c := range f.Order(p, beacon) {
		for _, id := range c {
			place[id], component[id] = len(place), i
		}
	}
	return place, component
}

// wholeLogs are the frame's logs as small integers, for the brute force.
func wholeLogs(f *Frame) [][]int {
	logs := make([][]int, len(f.Logs))
	for i, log := range f.Logs {
		for _, x := range log {
			logs[i] = append(logs[i], idInt(f.IDs[x]))
		}
	}
	return logs
}

func checkPlaces(t *testing.T, f *Frame, beacon [32]byte, e *Explanation) {
	t.Helper()
	logs := wholeLogs(f)
	for _, p := range []Place{e.First, e.Second} {
		for i, log := range logs {
			if int(p.Logs[i]) != slices.Index(log, idInt(p.ID))+1 {
				t.Fatalf("place of %d in log %v: %d", idInt(p.ID), log, p.Logs[i])
			}
		}
		if p.Key != TieKey(beacon, p.ID) {
			t.Fatal("another key")
		}
	}
	a, b := idInt(e.First.ID), idInt(e.Second.ID)
	if e.Forward != weight(logs, a, b) || e.Backward != weight(logs, b, a) {
		t.Fatalf("votes %d, %d, counted %d, %d", e.Forward, e.Backward, weight(logs, a, b), weight(logs, b, a))
	}
	if f, b := Votes(e.First.Logs, e.Second.Logs); f != e.Forward || b != e.Backward {
		t.Fatalf("votes %d, %d, from the places %d, %d", e.Forward, e.Backward, f, b)
	}
}

func checkReason(t *testing.T, f *Frame, p Params, beacon [32]byte, e *Explanation, component map[threshold.ID]int) {
	t.Helper()
	together := component[e.First.ID] == component[e.Second.ID]
	if together != (e.Component != nil) || together && !slices.Contains(e.Component, e.First.ID) {
		t.Fatalf("component %v of %d and %d", idInts(e.Component), idInt(e.First.ID), idInt(e.Second.ID))
	}
	switch e.Reason {
	case ByEdges, ByRankedPairs:
		if together != (e.Reason == ByRankedPairs) {
			t.Fatalf("%v, in one component: %v", e.Reason, together)
		}
		if len(e.Chain) < 2 || e.Chain[0] != e.First.ID || e.Chain[len(e.Chain)-1] != e.Second.ID {
			t.Fatalf("chain %v from %d to %d", idInts(e.Chain), idInt(e.First.ID), idInt(e.Second.ID))
		}
		logs := wholeLogs(f)
		for i := range e.Chain[1:] {
			x, y := idInt(e.Chain[i]), idInt(e.Chain[i+1])
			if !p.Strong(weight(logs, x, y), weight(logs, y, x)) {
				t.Fatalf("%d -> %d of the chain is no strong edge", x, y)
			}
			if together && component[e.Chain[i]] != component[e.First.ID] {
				t.Fatalf("the chain %v leaves the component", idInts(e.Chain))
			}
		}
	case ByBeacon:
		won, lost := TieKey(beacon, e.Won), TieKey(beacon, e.Lost)
		if bytes.Compare(won[:], lost[:]) >= 0 {
			t.Fatalf("%d won against %d with a larger key", idInt(e.Won), idInt(e.Lost))
		}
		if component[e.Won] != component[e.First.ID] || component[e.Lost] < component[e.First.ID] {
			t.Fatalf("%d won against %d: it was not their turn", idInt(e.Won), idInt(e.Lost))
		}
		if together && (e.Won != e.First.ID || slices.Index(e.Component, e.Lost) < slices.Index(e.Component, e.First.ID)) {
			t.Fatalf("%d won against %d in %v", idInt(e.Won), idInt(e.Lost), idInts(e.Component))
		}
	default:
		t.Fatalf("reason %v", e.Reason)
	}
}

// The cases by hand: an edge, a longer chain, a cycle, a tie, and a key that decides although neither id has it.
func TestExplain(t *testing.T) {
	p := DefaultParams(4)
	one := func(logs map[int][]int) *Frame {
		d := newChain(t, p).step(logs)
		if len(d.Frames) != 1 {
			t.Fatalf("%d frames", len(d.Frames))
		}
		return &d.Frames[0]
	}
	explain := func(f *Frame, beacon byte, a, b int) *Explanation {
		e, err := f.Explain(p, [32]byte{beacon}, intID(a), intID(b))
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	if e := explain(one(every(4, 1, 2, 3)), 0, 3, 1); e.Reason != ByEdges || len(e.Chain) != 2 || e.Forward != 4 || e.Backward != 0 {
		t.Errorf("all four logs: %+v", e)
	}
	cycle := one(map[int][]int{0: {1, 2, 3}, 1: {2, 3, 1}, 2: {3, 1, 2}, 3: {}})
	if e := explain(cycle, 0, 1, 2); len(e.Component) != 3 || e.Reason != ByRankedPairs {
		t.Errorf("a cycle: %+v", e)
	}
	// Two against two between 1 and 2; 3 is before 2 in all logs. If 2 has the smallest key of all and 1 a smaller one
	// than 3, then 1 is before 2 because of the key of 3.
	f := one(map[int][]int{0: {1, 3, 2}, 1: {3, 2, 1}, 2: {1, 3, 2}, 3: {3, 2, 1}})
	shaded := false
	for beacon := range byte(200) {
		e := explain(f, beacon, 1, 2)
		if e.Reason != ByBeacon || e.Forward != 2 || e.Backward != 2 {
			t.Fatalf("a tie: %+v", e)
		}
		if e.First.ID == intID(1) && bytes.Compare(e.First.Key[:], e.Second.Key[:]) > 0 {
			shaded = true
			if e.Lost != intID(3) {
				t.Errorf("1 is before 2, whose key is smaller, because of %d", idInt(e.Lost))
			}
		}
	}
	if !shaded {
		t.Error("no beacon of 200 made the key of a third id decide")
	}
	for _, pair := range [][2]int{{1, 1}, {1, 9}, {9, 1}} {
		if _, err := f.Explain(p, [32]byte{}, intID(pair[0]), intID(pair[1])); !errors.Is(err, ErrUnknown) {
			t.Errorf("%v: %v", pair, err)
		}
	}
}

// A component above 512 ids stands by score, and by key where scores are equal.
func TestExplainByScore(t *testing.T) {
	p := DefaultParams(4)
	const m = maxRanked + 1
	f := &Frame{Logs: make([][]uint32, 4)}
	for x := range m {
		f.IDs = append(f.IDs, intID(x))
		for i := range 3 {
			f.Logs[i] = append(f.Logs[i], uint32((x+i*m/3)%m))
		}
	}
	seen := map[Reason]int{}
	for x := range 40 {
		e, err := f.Explain(p, [32]byte{7}, intID(x*11), intID(x*7+1))
		if err != nil {
			t.Fatal(err)
		}
		seen[e.Reason]++
		if len(e.Component) != m || slices.Index(e.Component, e.First.ID) > slices.Index(e.Component, e.Second.ID) {
			t.Fatalf("component of %d", len(e.Component))
		}
		if e.Reason == ByBeacon && bytes.Compare(e.First.Key[:], e.Second.Key[:]) >= 0 {
			t.Error("the larger key won")
		}
	}
	if seen[ByScore] == 0 || seen[ByScore]+seen[ByBeacon] != 40 {
		t.Errorf("reasons %v", seen)
	}
	for r, name := range map[Reason]string{ByEdges: "edges", ByRankedPairs: "ranked_pairs", ByScore: "score", ByBeacon: "beacon", 0: "unknown"} {
		if r.String() != name {
			t.Errorf("%d is called %v", r, r)
		}
	}
}

func TestStatus(t *testing.T) {
	p := DefaultParams(4)
	c := newChain(t, p)
	c.step(map[int][]int{0: {7, 1, 2}, 1: {1, 2}, 2: {2}, 3: {}}) // 1 before 2, and not solid
	two, err := c.s.Status(intID(2))
	if err != nil {
		t.Fatal(err)
	}
	if two.Held != 3 || two.FirstAt != 1 || two.NonBlankAt != 1 || two.SolidAt != 1 || two.DueAt != 1+p.Wait || two.ForgottenAt != 0 {
		t.Errorf("2: %+v", two)
	}
	if !slices.Equal(two.Logs, []uint32{3, 2, 1, 0}) || !slices.Equal(idInts(two.WaitsFor), []int{1}) {
		t.Errorf("2 stands at %v and waits for %v", two.Logs, idInts(two.WaitsFor))
	}
	c.step(nil)
	one, err := c.s.Status(intID(1))
	if err != nil {
		t.Fatal(err)
	}
	if one.Held != 2 || one.NonBlankAt != 1 || one.SolidAt != 0 || one.DueAt != 0 || one.ForgottenAt != 1+p.Horizon || one.WaitsFor != nil {
		t.Errorf("1: %+v", one)
	}
	if f, b := Votes(one.Logs, two.Logs); f != 2 || b != 1 || !p.Strong(f, b) {
		t.Errorf("votes %d, %d", f, b)
	}
	c.step(map[int][]int{0: {}, 1: {}, 2: {1}})
	if _, err := c.s.Status(intID(2)); !errors.Is(err, ErrUnknown) {
		t.Errorf("an id that is done: %v", err)
	}
}

// What a status says comes true: an id that waits for nothing is not left, nobody is later than it is due, and
// whoever is forgotten is forgotten when it was said.
func TestStatusComesTrue(t *testing.T) {
	waited, forgotten := 0, 0
	for seed := range runs(t, 400) {
		s := newSchedule(uint64(seed) + 1<<41)
		c := newChain(t, s.p)
		promised := map[int]*Status{}
		for range 40 {
			d := c.step(s.next())
			for _, id := range d.Forgotten {
				if forgotten++; promised[idInt(id)].ForgottenAt != c.s.Height() {
					t.Fatalf("seed %d: %d is forgotten at %d: %+v", seed, idInt(id), c.s.Height(), promised[idInt(id)])
				}
			}
			clear(promised)
			// What it waited for was forgotten just now, or the way from there went in a forced frame.
			free := len(d.Forgotten) > 0 || slices.ContainsFunc(d.Frames, func(f Frame) bool { return f.Forced })
			for _, l := range c.s.ids {
				st, err := c.s.Status(l.id)
				if err != nil {
					t.Fatal(err)
				}
				if promised[idInt(l.id)] = st; st.SolidAt == 0 {
					continue
				}
				if waited++; len(st.WaitsFor) == 0 && !free || st.DueAt <= c.s.Height() {
					t.Fatalf("seed %d: %d should be ordered: %+v", seed, idInt(l.id), st)
				}
			}
		}
	}
	if waited == 0 || forgotten == 0 {
		t.Errorf("%d waited, %d forgotten", waited, forgotten)
	}
}
