package fair

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
)

// compareHeight takes one height by the product and by the brute force, and compares what they order, the
// components, the final order, and what they forget.
func compareHeight(t testing.TB, c *chain, b *brute, chunks map[int][]int, beacon [32]byte) Decision {
	t.Helper()
	d := c.step(chunks)
	want, forgotten := b.step(chunks, bruteTies(beacon))
	fail := func() {
		t.Helper()
		t.Fatalf("height %d, rule %+v, logs %v:\nwant %v, forgotten %v\ngot  %v, forgotten %v",
			b.height, b.rule, b.logs, want, forgotten, decisionText(c.s.params, d, beacon), idInts(d.Forgotten))
	}
	if len(want) != len(d.Frames) || !slices.Equal(forgotten, idInts(d.Forgotten)) {
		fail()
	}
	for i := range want {
		got := d.Frames[i].Order(c.s.params, beacon)
		if want[i].forced != d.Frames[i].Forced || len(want[i].comps) != len(got) {
			fail()
		}
		for j, comp := range want[i].comps {
			if !slices.Equal(comp, idInts(got[j])) {
				fail()
			}
		}
	}
	return d
}

func decisionText(p Params, d Decision, beacon [32]byte) (out []bruteFrame) {
	for i := range d.Frames {
		out = append(out, bruteFrame{d.Frames[i].Forced, ints(d.Frames[i].Order(p, beacon))})
	}
	return out
}

func ruleOf(p Params) bruteRule {
	return bruteRule{n: p.Members, s: p.Solid, hStar: p.Agreement, wait: p.Wait, horizon: p.Horizon}
}

// partialPermutations are all logs of at most k ids.
func partialPermutations(k int) (out [][]int) {
	var extend func(log []int)
	extend = func(log []int) {
		out = append(out, slices.Clone(log))
		for x := range k {
			if !slices.Contains(log, x) {
				extend(append(slices.Clip(log), x))
			}
		}
	}
	extend(nil)
	return out
}

// All four logs of up to three ids, in all combinations; then two more heights with one id's missing logs
// and with nothing, so that the forced frames are compared too.
func TestExhaustiveThreeIDs(t *testing.T) {
	p := DefaultParams(4)
	p.Wait = 1
	logs := partialPermutations(3)
	if len(logs) != 16 {
		t.Fatalf("%d logs of up to 3 ids, want 16", len(logs))
	}
	for a, la := range logs {
		for b, lb := range logs[:a+1] {
			for c, lc := range logs[:b+1] {
				for _, ld := range logs[:c+1] {
					chain, model := newChain(t, p), newBrute(ruleOf(p))
					beacon := [32]byte{byte(a), byte(b), byte(c)}
					compareHeight(t, chain, model, map[int][]int{0: la, 1: lb, 2: lc, 3: ld}, beacon)
					compareHeight(t, chain, model, map[int][]int{0: {2}, 1: {2}, 2: {2}}, beacon)
					compareHeight(t, chain, model, nil, beacon)
				}
			}
		}
	}
}

// All logs of up to four ids at n = 4, against the brute force, and the promise itself, whoever of the four lies. Which id is
// which does not matter but for ties, so the first log is one of 0, 01, 012, ...; nor does which member has which log
// (TestLogsHaveNoRank), so the other three are a multiset. The short suite takes a part of the cases.
func TestExhaustiveFourIDs(t *testing.T) {
	p := DefaultParams(4)
	logs := partialPermutations(4)
	if len(logs) != 65 {
		t.Fatalf("%d logs of up to 4 ids, want 65", len(logs))
	}
	heads := newHeadCache()
	cases, pairs := 0, 0
	for k := range 5 {
		first := []int{0, 1, 2, 3}[:k]
		for a, la := range logs {
			for b, lb := range logs[:a+1] {
				for _, lc := range logs[:b+1] {
					if cases++; testing.Short() && cases%29 != 0 {
						continue
					}
					all := [4][]int{first, la, lb, lc}
					pairs += checkPromise(t, p, compareOnce(t, p, heads, all), all)
				}
			}
		}
	}
	if t.Logf("%d cases, %d pairs kept", cases, pairs); cases != 5*47905 || pairs == 0 {
		t.Errorf("%d cases, %d pairs", cases, pairs)
	}
}

// compareOnce is compareHeight for one height of a new chain, without what slows it down.
func compareOnce(t *testing.T, p Params, heads *headCache, logs [4][]int) Decision {
	s, _ := New(p, 0)
	chunks := make([]Chunk, 4)
	byMember := map[int][]int{}
	for i, log := range logs {
		chunks[i] = heads.chunk(i, log)
		byMember[i] = log
	}
	_, d, err := Step(s, 1, chunks, nil)
	if err != nil {
		t.Fatal(err)
	}
	model := newBrute(ruleOf(p))
	want, _ := model.step(byMember, heads.ties)
	got := decisionText(p, d, [32]byte{})
	same := slices.EqualFunc(want, got, func(a, b bruteFrame) bool {
		return a.forced == b.forced && slices.EqualFunc(a.comps, b.comps, slices.Equal[[]int])
	})
	if !same {
		t.Fatalf("logs %v: want %v, got %v", logs, want, got)
	}
	return d
}

type headCache struct {
	chunks map[string]Chunk
	ties   tieRule
}

func newHeadCache() *headCache { return &headCache{map[string]Chunk{}, bruteTies([32]byte{})} }

func (h *headCache) chunk(member int, log []int) Chunk {
	key := fmt.Sprint(log)
	c, ok := h.chunks[key]
	if !ok {
		ids := intIDs(log)
		c = Chunk{Member: 0, Sequence: uint64(len(ids)), Head: extendHead([32]byte{}, ids), IDs: ids}
		h.chunks[key] = c
	}
	c.Member = uint32(member + 1)
	return c
}

// runs is how many random cases a property test makes; SCRIM_FAIR_RUNS asks for more, the long suite for 100,000.
func runs(t *testing.T, usual int) int {
	if n, err := strconv.Atoi(os.Getenv("SCRIM_FAIR_RUNS")); err == nil {
		return n
	}
	if long() {
		return 100_000
	}
	if testing.Short() {
		return usual / 10
	}
	return usual
}

// schedule is a random run of a chain: what the honest members receive in which order, what the liars say,
// and how much of it each height includes.
type schedule struct {
	p      Params
	ids    int
	honest []int // members, the others lie
	logs   [][]int
	beacon [32]byte
	rng    *rand.Rand
	given  []int // how much of each log was included
	pace   []int // most new ids of each member at a height; 0 for one that is slow at first
	height int
}

// randomParams are valid parameters of every kind.
func randomParams(rng *rand.Rand) Params {
	n := []int{1, 2, 3, 4, 4, 4, 5, 6, 7, 7, 8, 9, 10, 13}[rng.IntN(14)]
	p := DefaultParams(n)
	p.Faulty = rng.IntN((n-1)/3 + 1)
	p.Solid = 2*p.Faulty + 1 + rng.IntN(n-3*p.Faulty)
	lowest := n - (p.Solid+1)/2 + 1
	p.Agreement = lowest + rng.IntN(max(1, n-p.Faulty-lowest+1))
	p.Wait = 1 + uint64(rng.IntN(5))
	p.Horizon = p.Wait + 1 + uint64(rng.IntN(8))
	return p
}

func newSchedule(seed uint64) *schedule {
	rng := rand.New(rand.NewPCG(seed, 4))
	s := &schedule{p: randomParams(rng), ids: 1 + rng.IntN(9), rng: rng}
	if err := s.p.Validate(); err != nil {
		panic(err)
	}
	n := s.p.Members
	members := rng.Perm(n)
	s.honest = members[s.p.Faulty:]
	s.logs = make([][]int, n)
	s.given = make([]int, n)
	rng.Uint32()
	for i := range s.beacon {
		s.beacon[i] = byte(rng.Uint32())
	}
	jitter, rotated := rng.IntN(2*s.ids), rng.IntN(3) == 0
	for _, m := range s.honest {
		s.logs[m] = s.received(jitter)
		if rotated { // the network makes cycles
			k := rng.IntN(s.ids)
			s.logs[m] = slices.Concat(s.logs[m][k:], s.logs[m][:k])
		}
	}
	s.pace = make([]int, n)
	for i := range s.pace {
		s.pace[i] = rng.IntN(4)
	}
	for _, m := range members[:s.p.Faulty] {
		s.logs[m] = s.lie()
	}
	return s
}

// received is all ids in their order of sending, each delayed at random.
func (s *schedule) received(jitter int) []int {
	at := make([]int, s.ids)
	log := make([]int, s.ids)
	for x := range s.ids {
		log[x] = x
		at[x] = 2*x + s.rng.IntN(jitter+1)
	}
	slices.SortStableFunc(log, func(x, y int) int { return at[x] - at[y] })
	return log
}

// lie is the log of a faulty member: reversed, shuffled, cut, with ids that nobody sent, or twice the same.
func (s *schedule) lie() []int {
	log := s.received(2 * s.ids)
	switch s.rng.IntN(5) {
	case 0:
		slices.Reverse(log)
	case 1:
		s.rng.Shuffle(len(log), func(i, j int) { log[i], log[j] = log[j], log[i] })
	case 2:
		log = log[:s.rng.IntN(len(log)+1)]
	case 3:
		for range 3 {
			log = slices.Insert(log, s.rng.IntN(len(log)+1), 100+s.rng.IntN(3))
		}
	case 4:
		log = append(log, log...)
	}
	return log
}

// next are the chunks that a proposer includes at a height.
func (s *schedule) next() map[int][]int {
	chunks := map[int][]int{}
	s.height++
	if s.rng.IntN(8) == 0 {
		return chunks // a proposer that leaves all out
	}
	members := s.rng.Perm(s.p.Members)
	for _, m := range members[:s.p.Quorum()+s.rng.IntN(s.p.Faulty+1)] {
		have := len(s.logs[m]) - s.given[m]
		pace := s.pace[m]
		if s.height > 12 {
			pace = 3
		}
		n := s.rng.IntN(min(have, pace) + 1)
		chunks[m] = s.logs[m][s.given[m]:][:n]
		s.given[m] += n
	}
	return chunks
}

func (s *schedule) finished() bool {
	for _, m := range s.honest {
		if s.given[m] < len(s.logs[m]) {
			return false
		}
	}
	return true
}

// Thousands of random runs, with members that lie, against the brute force.
func TestRandomAgainstBruteForce(t *testing.T) {
	forced, forgotten, cycles := 0, 0, 0
	for seed := range max(1000, runs(t, 6000)) {
		s := newSchedule(uint64(seed))
		c, b := newChain(t, s.p), newBrute(ruleOf(s.p))
		for h := 0; h < 60 && !(s.finished() && h > 20); h++ {
			d := compareHeight(t, c, b, s.next(), s.beacon)
			forgotten += len(d.Forgotten)
			for i := range d.Frames {
				if d.Frames[i].Forced {
					forced++
				}
				for _, comp := range d.Frames[i].Order(s.p, s.beacon) {
					if len(comp) > 1 {
						cycles++
					}
				}
			}
			if round, err := ParseState(s.p, encode(t, c.s)); err != nil {
				t.Fatal(err)
			} else {
				c.s = round // what is stored and read again goes on in the same way
			}
		}
	}
	t.Logf("%d forced frames, %d forgotten ids, %d cycles", forced, forgotten, cycles)
	if forced == 0 || forgotten == 0 || cycles == 0 {
		t.Errorf("the runs had %d forced frames, %d forgotten ids, %d cycles", forced, forgotten, cycles)
	}
}

// Which member has which log does not matter, nor in which order the chunks are given.
func TestLogsHaveNoRank(t *testing.T) {
	for seed := range runs(t, 500) {
		s := newSchedule(uint64(seed))
		a, b := newChain(t, s.p), newChain(t, s.p)
		renamed := s.rng.Perm(s.p.Members)
		for range 25 {
			chunks := s.next()
			other := map[int][]int{}
			for m, xs := range chunks {
				other[renamed[m]] = xs
			}
			shuffled := b.chunks(other)
			s.rng.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
			da, db := a.step(chunks), b.take(shuffled)
			if fmt.Sprint(decisionText(s.p, da, s.beacon)) != fmt.Sprint(decisionText(s.p, db, s.beacon)) {
				t.Fatalf("seed %d: %v, renamed %v", seed, decisionText(s.p, da, s.beacon), decisionText(s.p, db, s.beacon))
			}
		}
	}
}

// Frames full of cycles, with logs that lack some ids, so that margins, votes and keys all have to decide.
func TestCyclesAgainstBruteForce(t *testing.T) {
	sizes := map[int]int{}
	for seed := range runs(t, 12_000) {
		rng := rand.New(rand.NewPCG(uint64(seed), 9))
		p := DefaultParams(7 + rng.IntN(8))
		p.Faulty = 1 + rng.IntN(p.Faulty)
		p.Solid = min(2*p.Faulty+1+rng.IntN(2), p.Quorum())
		p.Agreement = p.Members - (p.Solid+1)/2 + 1
		if err := p.Validate(); err != nil {
			t.Fatal(err)
		}
		m := 3 + rng.IntN(6)
		start := rng.Perm(m)
		chunks := every(p.Members)
		for i := range min(p.Solid+rng.IntN(3), p.Members) { // the others are silent: then a majority is enough for an edge
			k := rng.IntN(m)
			log := slices.Concat(start[k:], start[:k])
			for range rng.IntN(4) {
				a, b := rng.IntN(m), rng.IntN(m)
				log[a], log[b] = log[b], log[a]
			}
			if rng.IntN(2) == 0 {
				log = log[:m-rng.IntN(m)]
			}
			chunks[i] = log
		}
		beacon := [32]byte{byte(seed), byte(seed >> 8)}
		d := compareHeight(t, newChain(t, p), newBrute(ruleOf(p)), chunks, beacon)
		for i := range d.Frames {
			for _, c := range d.Frames[i].Order(p, beacon) {
				sizes[min(len(c), 4)]++
			}
		}
	}
	if sizes[1] == 0 || sizes[3] == 0 || sizes[4] == 0 {
		t.Errorf("component sizes %v", sizes)
	}
	t.Log("component sizes", sizes)
}

// Two cycles between which nothing is decided: the one with the smallest key of all is first.
func TestTwoCyclesAgainstBruteForce(t *testing.T) {
	p := DefaultParams(7)
	a, b := [][]int{{1, 2, 3}, {2, 3, 1}, {3, 1, 2}}, [][]int{{4, 5, 6}, {5, 6, 4}, {6, 4, 5}}
	chunks := every(7)
	for i := range 3 {
		chunks[i], chunks[3+i] = slices.Concat(a[i], b[i]), slices.Concat(b[i], a[i])
	}
	first := map[int]int{}
	for beacon := range byte(60) {
		d := compareHeight(t, newChain(t, p), newBrute(ruleOf(p)), chunks, [32]byte{beacon})
		comps := d.Frames[0].Order(p, [32]byte{beacon})
		if len(comps) != 2 || len(comps[0]) != 3 {
			t.Fatalf("components %v", ints(comps))
		}
		first[idInt(comps[0][0])/4]++
	}
	if first[0] == 0 || first[1] == 0 {
		t.Errorf("the beacon does not decide: %v", first)
	}
}
