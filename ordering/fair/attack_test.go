package fair

import (
	"errors"
	"slices"
	"testing"
)

// The attacks on the function that the design lists, one by one. Members count from 0; those that lie come last.

// A sender of two transactions makes a cycle around what others send. What all honest members saw alike inside the
// cycle keeps its order nevertheless, because ranked pairs lock the clearest pairs first.
func TestCondorcetWithTwoTransactions(t *testing.T) {
	const early, late = 8, 9 // the attacker's
	p := DefaultParams(4)
	c := newChain(t, p)
	d := c.step(map[int][]int{
		0: {early, 1, 2, 3, late},
		1: {late, early, 1, 2, 3},
		2: {1, 2, 3, late, early},
		3: {},
	})
	if len(d.Frames) != 1 || len(d.Frames[0].IDs) != 5 || d.Frames[0].Forced {
		t.Fatalf("frames %+v, want one of five ids", d.Frames)
	}
	for beacon := range byte(50) {
		comps := d.Frames[0].Order(p, [32]byte{beacon})
		if len(comps) != 1 {
			t.Fatalf("components %v, want one", ints(comps))
		}
		order := ints(comps)[0]
		if a, b, e := slices.Index(order, 1), slices.Index(order, 2), slices.Index(order, 3); a > b || b > e {
			t.Errorf("order %v: 1, 2, 3 were received in this order by everybody", order)
		}
	}
}

// rotatingWindow is what three members say at a height: each reverses windows of three ids, shifted by one, so that
// every id has a strong edge from the next one, which is never solid in time.
func rotatingWindow(member, length int) (log []int) {
	for x := 0; x < length; {
		end := x + 3
		if x == 0 && member > 0 {
			end = member
		}
		for y := end - 1; y >= x; y-- {
			log = append(log, y)
		}
		x = end
	}
	return log
}

// An endless chain, each id tied to the next one, keeps the safe set empty. Only W ends it.
func TestRotatingWindowChain(t *testing.T) {
	run := func(wait uint64) (ordered, forced int, longest uint64) {
		p := DefaultParams(4)
		p.Wait = wait
		c := newChain(t, p)
		logs := [3][]int{rotatingWindow(0, 120), rotatingWindow(1, 120), rotatingWindow(2, 120)}
		given := [3]int{}
		count := map[int]int{}
		solid := map[int]uint64{}
		for h := uint64(1); h <= 60; h++ {
			chunks := map[int][]int{3: nil}
			for m := range 3 {
				chunks[m] = nil
				// Up to the window that this height opens, two of three members see the next id before the third does.
				for given[m] < len(logs[m]) && logs[m][given[m]] <= int(h)+1 && given[m] < int(h)+2 {
					x := logs[m][given[m]]
					chunks[m] = append(chunks[m], x)
					given[m]++
					if count[x]++; count[x] == p.Solid {
						solid[x] = h
					}
				}
			}
			d := c.step(chunks)
			for _, f := range d.Frames {
				for _, x := range idInts(f.IDs) {
					ordered++
					if f.Forced {
						forced++
					}
					longest = max(longest, h-solid[x])
				}
			}
		}
		return ordered, forced, longest
	}
	if ordered, _, _ := run(1000); ordered != 0 {
		t.Fatalf("without W in reach %d ids are ordered: this is not the chain", ordered)
	}
	ordered, forced, longest := run(4)
	if ordered < 40 || forced == 0 || longest > 4 {
		t.Errorf("%d ids ordered, %d of them forced, the longest wait %d", ordered, forced, longest)
	}
}

// Sent to a part of the members only. Below tau logs nobody is stopped by it; with more, until it is relayed, but
// never longer than W; and it is not ordered itself before it is solid.
func TestPartialSending(t *testing.T) {
	const partial, victim = 1, 2
	p := DefaultParams(7) // f = 2, s = 5, tau = 3
	t.Run("below tau", func(t *testing.T) {
		c := newChain(t, p)
		if got := flat(p, c.step(map[int][]int{0: {victim}, 1: {victim}, 2: {victim}, 3: {victim}, 4: {victim}, 5: {partial}, 6: {partial}}), [32]byte{}); !slices.Equal(got, []int{victim}) {
			t.Errorf("ordered %v", got)
		}
	})
	t.Run("tau, then relayed", func(t *testing.T) {
		c := newChain(t, p)
		if d := c.step(map[int][]int{0: {partial, victim}, 1: {partial, victim}, 2: {partial, victim}, 3: {victim}, 4: {victim}}); len(d.Frames) != 0 {
			t.Errorf("ordered %v before the predecessor is solid", decisionText(p, d, [32]byte{}))
		}
		if got := flat(p, c.step(map[int][]int{0: {}, 1: {}, 2: {}, 3: {partial}, 4: {partial}}), [32]byte{}); !slices.Equal(got, []int{partial, victim}) {
			t.Errorf("ordered %v", got)
		}
	})
	t.Run("tau, never relayed", func(t *testing.T) {
		c := newChain(t, p)
		c.step(map[int][]int{0: {partial, victim}, 1: {partial, victim}, 2: {partial, victim}, 3: {victim}, 4: {victim}})
		for range p.Wait - 1 {
			if d := c.step(nil); len(d.Frames) != 0 {
				t.Fatalf("ordered at %d", c.s.Height())
			}
		}
		d := c.step(nil)
		if got := flat(p, d, [32]byte{}); !slices.Equal(got, []int{victim}) || !d.Frames[0].Forced {
			t.Errorf("ordered %v", decisionText(p, d, [32]byte{}))
		}
	})
}

// An id whose predecessor's predecessor is hardly known yet must not be ordered: the vector of the same name, and
// what follows when the rest becomes known.
func TestShadedAncestor(t *testing.T) {
	p := DefaultParams(5)
	p.Solid, p.Agreement = 3, 4
	c := newChain(t, p)
	if d := c.step(map[int][]int{0: {1, 2}, 1: {0, 1, 2}, 2: {2}, 3: {}, 4: {}}); len(d.Frames) != 0 {
		t.Fatalf("ordered %v", decisionText(p, d, [32]byte{}))
	}
	if d := c.step(map[int][]int{0: {}, 1: {}, 2: {}, 3: {0, 1}}); len(d.Frames) != 0 {
		t.Fatalf("ordered %v", decisionText(p, d, [32]byte{}))
	}
	d := c.step(map[int][]int{0: {}, 1: {}, 3: {2}, 4: {0, 1, 2}})
	for beacon := range byte(20) {
		if got := flat(p, d, [32]byte{beacon}); !slices.Equal(got, []int{0, 1, 2}) {
			t.Errorf("ordered %v", got)
		}
	}
}

// f members reverse their logs. What all honest members saw alike stays.
func TestReversedLogs(t *testing.T) {
	for _, n := range []int{4, 7, 10, 13} {
		p := DefaultParams(n)
		chunks := every(n, 0, 1, 2, 3, 4, 5)
		for m := n - p.Faulty; m < n; m++ {
			chunks[m] = []int{5, 4, 3, 2, 1, 0}
		}
		for beacon := range byte(10) {
			if got := flat(p, newChain(t, p).step(chunks), [32]byte{beacon}); !slices.Equal(got, []int{0, 1, 2, 3, 4, 5}) {
				t.Errorf("n = %d: ordered %v", n, got)
			}
		}
	}
}

// A log is committed to by its head: what a member leaves out or takes back does not chain.
func TestTruncatedAndSkippingLogs(t *testing.T) {
	p := DefaultParams(4)
	c := newChain(t, p)
	c.step(every(4, 1, 2, 3))
	honest := c.chunk(3, []int{4, 5, 6})
	other := c.chunk(3, []int{4, 6})
	for name, change := range map[string]func(ch *Chunk){
		"skips an id":              func(ch *Chunk) { ch.IDs = intIDs([]int{4, 6}); ch.Sequence-- },
		"skips, counts on":         func(ch *Chunk) { ch.IDs = intIDs([]int{4, 6}) },
		"another head":             func(ch *Chunk) { ch.Head = other.Head },
		"other ids":                func(ch *Chunk) { ch.IDs = intIDs([]int{4, 6, 5}) },
		"counts too far":           func(ch *Chunk) { ch.Sequence++ },
		"back to the start":        func(ch *Chunk) { *ch = Chunk{Member: 4} },
		"back by one":              func(ch *Chunk) { ch.Sequence, ch.IDs = 2, nil },
		"a count that wraps round": func(ch *Chunk) { ch.Sequence = 1<<64 - 1 },
	} {
		ch := honest
		change(&ch)
		chunks := append(c.chunks(map[int][]int{0: {4}, 1: {4}, 2: {4}}), ch)
		next, _, err := Step(c.s, 2, chunks, nil)
		if !errors.Is(err, ErrChain) {
			t.Errorf("%s: %v", name, err)
		}
		if string(encode(t, next)) != string(encode(t, c.s)) {
			t.Errorf("%s: the state changed", name)
		}
	}
	if _, _, err := Step(c.s, 2, append(c.chunks(map[int][]int{0: {4}, 1: {4}, 2: {4}}), honest), nil); err != nil {
		t.Error(err)
	}
}

func TestStepRefuses(t *testing.T) {
	p := DefaultParams(4)
	p.MaxChunk, p.MaxLive = 3, 4
	c := newChain(t, p)
	three := func(xs ...int) []Chunk { return c.chunks(map[int][]int{0: xs, 1: xs, 2: xs}) }
	twice := append(three(1), c.chunk(0, []int{2}))
	stranger := three(1)
	stranger[2].Member = 5
	nobody := three(1)
	nobody[0].Member = 0
	for name, tc := range map[string]struct {
		height uint64
		chunks []Chunk
		want   error
	}{
		"the same height":       {0, nil, ErrHeight},
		"a height left out":     {2, nil, ErrHeight},
		"fewer than n-f":        {1, three(1)[:2], ErrQuorum},
		"one":                   {1, three(1)[:1], ErrQuorum},
		"a member twice":        {1, twice, ErrMember},
		"not a member":          {1, stranger, ErrMember},
		"member 0":              {1, nobody, ErrMember},
		"more ids than allowed": {1, three(1, 2, 3, 4), ErrLimit},
	} {
		if _, _, err := Step(c.s, tc.height, tc.chunks, nil); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
}

// A log is full when MaxLive ids of it wait: then it stops. It goes on when some are done, skipping nothing.
func TestFullLogStops(t *testing.T) {
	p := DefaultParams(4)
	p.MaxChunk, p.MaxLive = 3, 4
	c := newChain(t, p)
	c.step(map[int][]int{0: {1, 2, 3}, 1: {}, 2: {}})
	c.step(map[int][]int{0: {4}, 1: {}, 2: {}})
	if _, _, err := Step(c.s, 3, c.chunks(map[int][]int{0: {5}, 1: {}, 2: {}}), nil); !errors.Is(err, ErrLimit) {
		t.Fatalf("a fifth id of four: %v", err)
	}
	if got := flat(p, c.step(map[int][]int{0: {}, 1: {1}, 2: {1}}), [32]byte{}); !slices.Equal(got, []int{1}) {
		t.Fatalf("ordered %v", got)
	}
	c.step(map[int][]int{0: {5}, 1: {}, 2: {}})
	if got := idInts(c.s.Waiting(1)); !slices.Equal(got, []int{2, 3, 4, 5}) {
		t.Errorf("log %v", got)
	}
	if _, live, _ := c.s.Base(1); live != 4 || c.s.Live() != 4 {
		t.Errorf("%d live in the log, %d in all", live, c.s.Live())
	}
}

// Members that keep back their logs stop nothing as long as n-f speak, and nothing is lost when they speak later.
func TestWithheldLogs(t *testing.T) {
	p := DefaultParams(7)
	c := newChain(t, p)
	most := map[int][]int{0: {1, 2}, 1: {1, 2}, 2: {1, 2}, 3: {1, 2}, 4: {1, 2}}
	if got := flat(p, c.step(most), [32]byte{}); !slices.Equal(got, []int{1, 2}) {
		t.Errorf("ordered %v", got)
	}
	d := c.step(map[int][]int{0: {3}, 1: {3}, 2: {3}, 3: {3}, 4: {3}, 5: {3, 2, 1}, 6: {1, 2, 3}})
	if got := flat(p, d, [32]byte{}); !slices.Equal(got, []int{3}) || c.s.Live() != 0 {
		t.Errorf("ordered %v, %d live", got, c.s.Live())
	}
}

// A proposer that leaves all statements out delays by its own turn: nothing is lost, and W goes on.
func TestNoStatementsAtAll(t *testing.T) {
	p := DefaultParams(4)
	c := newChain(t, p)
	c.step(map[int][]int{0: {1, 2}, 1: {1, 2}, 2: {2}}) // 2 is solid, 1 comes before it and is not
	for range p.Wait - 1 {
		if d := c.step(nil); len(d.Frames) != 0 {
			t.Fatalf("height %d: %v", c.s.Height(), decisionText(p, d, [32]byte{}))
		}
	}
	d := c.step(nil)
	if len(d.Frames) != 1 || !d.Frames[0].Forced || !slices.Equal(idInts(d.Frames[0].IDs), []int{2}) {
		t.Fatalf("height %d: %v", c.s.Height(), decisionText(p, d, [32]byte{}))
	}
	if got := flat(p, c.step(map[int][]int{0: {}, 1: {}, 2: {1}}), [32]byte{}); !slices.Equal(got, []int{1}) {
		t.Errorf("ordered %v", got)
	}
}

// Ids are made before the beacon is known: one that is first under the beacon that its sender expected is first under
// the true one as often as any other. What is fixed, the set, does not depend on the beacon.
func TestGroundID(t *testing.T) {
	p := DefaultParams(4)
	expected := bruteTies([32]byte{0xee})
	const others = 9 // ids 0..8
	ground := 100
	for x := 100; x < 5000; x++ {
		if expected.id(x, ground) {
			ground = x
		}
	}
	all := []int{ground, 0, 1, 2, 3, 4, 5, 6, 7, 8}
	reversed := slices.Clone(all)
	slices.Reverse(reversed)
	d := newChain(t, p).step(map[int][]int{0: all, 1: reversed, 2: all, 3: reversed}) // no strong edge at all
	if got := flat(p, d, [32]byte{0xee}); got[0] != ground {
		t.Fatalf("the ground id is not first under the expected beacon: %v", got)
	}
	first := 0
	const beacons = 1000
	for i := range beacons {
		if flat(p, d, [32]byte{1, byte(i), byte(i >> 8)})[0] == ground {
			first++
		}
	}
	if fair := beacons / (others + 1); first < fair/2 || first > 2*fair {
		t.Errorf("first under %d of %d beacons, want about %d", first, beacons, fair)
	}
}

// Copies have the same id, and one log holds an id once however often it is sent.
func TestCopiesCountOnce(t *testing.T) {
	p := DefaultParams(4)
	c := newChain(t, p)
	if d := c.step(map[int][]int{0: {1, 1, 1}, 1: {1}, 2: {}, 3: {}}); len(d.Frames) != 0 {
		t.Fatalf("an id of two logs is ordered: %v", decisionText(p, d, [32]byte{}))
	}
	c.step(map[int][]int{0: {1}, 1: {1, 1}, 2: {1}})
	if d := c.step(map[int][]int{0: {1}, 1: {1}, 2: {1}, 3: {1}}); len(d.Frames) != 0 || c.s.Live() != 0 {
		t.Errorf("ordered again: %v, %d live", decisionText(p, d, [32]byte{}), c.s.Live())
	}
}

// Junk of f members never counts, and is forgotten.
func TestJunkIsForgotten(t *testing.T) {
	p := DefaultParams(4)
	p.Horizon = 10
	c := newChain(t, p)
	c.step(map[int][]int{0: {}, 1: {}, 3: {7, 8, 9}})
	for h := uint64(2); h <= 11; h++ {
		d := c.step(nil)
		if h < 11 && (len(d.Forgotten) != 0 || c.s.Live() != 3) {
			t.Fatalf("height %d: forgotten %v", h, d.Forgotten)
		}
		if h == 11 && (!slices.Equal(idInts(d.Forgotten), []int{7, 8, 9}) || c.s.Live() != 0) {
			t.Errorf("height %d: forgotten %v, %d live", h, d.Forgotten, c.s.Live())
		}
	}
}

func TestParams(t *testing.T) {
	for n := 1; n <= 256; n++ {
		p := DefaultParams(n)
		if err := p.Validate(); err != nil {
			t.Errorf("defaults for %d: %v", n, err)
		}
		if p.Tau() < p.Faulty+1 || p.Tau() <= p.Rho() {
			t.Errorf("n = %d: tau %d, rho %d", n, p.Tau(), p.Rho())
		}
	}
	for name, change := range map[string]func(p *Params){
		"no members":               func(p *Params) { p.Members = 0 },
		"too many members":         func(p *Params) { p.Members = 257 },
		"too many faulty":          func(p *Params) { p.Faulty = 3 },
		"faulty below 0":           func(p *Params) { p.Faulty = -1 },
		"solid too low":            func(p *Params) { p.Solid = 4 },
		"solid too high":           func(p *Params) { p.Solid = 6 },
		"agreement at half":        func(p *Params) { p.Agreement = 4 },
		"agreement above n-f":      func(p *Params) { p.Agreement = 6 },
		"no wait":                  func(p *Params) { p.Wait = 0 },
		"stale too old":            func(p *Params) { p.Stale = 256 },
		"no ids in a chunk":        func(p *Params) { p.MaxChunk = 0 },
		"too many ids in a chunk":  func(p *Params) { p.MaxChunk, p.MaxLive = 1025, 2000 },
		"a log below a chunk":      func(p *Params) { p.MaxLive = 100 },
		"too large a log":          func(p *Params) { p.MaxLive = 1<<16 + 1 },
		"horizon not beyond wait":  func(p *Params) { p.Horizon = p.Wait },
		"dictionary above 2 bytes": func(p *Params) { *p = DefaultParams(100); p.MaxChunk = 656 },
	} {
		p := DefaultParams(7)
		change(&p)
		if err := p.Validate(); !errors.Is(err, ErrParams) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := New(p, 0); !errors.Is(err, ErrParams) {
			t.Errorf("%s: New: %v", name, err)
		}
	}
}

// What is not promised, kept here so that nobody believes it: where the honest members are split, whoever picks n-f of
// the logs picks the order. Every one of the three blocks is valid.
func TestProposerPicksTheOrderOfSplitPairs(t *testing.T) {
	p := DefaultParams(4)
	logs := map[int][]int{0: {1, 2}, 1: {1, 2}, 2: {2, 1}, 3: {2, 1}}
	without := func(member int) map[int][]int {
		chunks := map[int][]int{}
		for m, log := range logs {
			if m != member {
				chunks[m] = log
			}
		}
		return chunks
	}
	one, two := 0, 0
	for beacon := range byte(100) {
		if got := flat(p, newChain(t, p).step(without(3)), [32]byte{beacon}); !slices.Equal(got, []int{1, 2}) {
			t.Errorf("without member 3: %v", got)
		}
		if got := flat(p, newChain(t, p).step(without(0)), [32]byte{beacon}); !slices.Equal(got, []int{2, 1}) {
			t.Errorf("without member 0: %v", got)
		}
		if flat(p, newChain(t, p).step(logs), [32]byte{beacon})[0] == 1 {
			one++
		} else {
			two++
		}
	}
	if one == 0 || two == 0 {
		t.Errorf("with all logs the beacon should decide: %d to %d", one, two)
	}
}

// What became known only after an id was solid does not delay it, and is not drawn into its forced frame, although a
// chain of edges leads from it to that id. Else an endless chain would make endless frames.
func TestForcedFrameLeavesNewcomersOut(t *testing.T) {
	const b, d, c, u = 1, 2, 3, 4 // u -> c -> d -> b; u never becomes solid
	p := DefaultParams(4)
	chain := newChain(t, p)
	chain.step(map[int][]int{0: {u, c, d, b}, 1: {d, b}, 2: {b}, 3: {}}) // b solid, d non-blank
	chain.step(map[int][]int{0: {}, 1: {}, 2: {c}, 3: {u, c, d}})        // c non-blank only now, c and d solid
	want := map[uint64][]int{5: {d, b}, 6: {c}}
	for chain.s.Height() < 8 {
		dec := chain.step(nil)
		got := flat(p, dec, [32]byte{})
		if !slices.Equal(got, want[chain.s.Height()]) || len(dec.Frames) > 0 && !dec.Frames[0].Forced {
			t.Errorf("height %d: %v", chain.s.Height(), decisionText(p, dec, [32]byte{}))
		}
	}
}

// As many proposers in a row as there are faulty members leave out the logs that know the victim best. What came after the
// victim waits for it; if W ends before an honest proposer has its turn, the guaranteed pair is inverted in a forced frame.
// With W of f or more it is not, and that is why the default is above f.
func TestCensoringProposersInARow(t *testing.T) {
	const victim, later = 1, 2
	for _, n := range []int{4, 7, 10, 13, 20} {
		p := DefaultParams(n)
		if p.Wait <= uint64(p.Faulty) {
			t.Errorf("n = %d: the default of W is %d", n, p.Wait)
		}
		run := func(wait int) (order []int, forced bool) {
			p.Wait = uint64(wait)
			c := newChain(t, p)
			chosen, idle := map[int][]int{}, map[int][]int{} // the faulty, who are last, and as few others as a block needs
			for i := range p.Quorum() {
				m := n - 1 - i
				chosen[m], idle[m] = []int{victim, later}, nil
				if i < p.Faulty {
					chosen[m] = []int{later}
				}
			}
			for h := 1; h <= n; h++ {
				chunks := idle
				switch h {
				case 1:
					chunks = chosen
				case p.Faulty + 1: // the first honest proposer: it has all honest logs
					chunks = map[int][]int{}
					for m := range n - p.Faulty {
						if chunks[m] = []int{victim, later}; m >= p.Faulty {
							chunks[m] = nil
						}
					}
				}
				d := c.step(chunks)
				for _, f := range d.Frames {
					forced = forced || f.Forced
				}
				order = append(order, flat(p, d, [32]byte{})...)
			}
			return order, forced
		}
		if order, forced := run(max(1, p.Faulty)); !slices.Equal(order, []int{victim, later}) || forced {
			t.Errorf("n = %d, W = f: ordered %v, forced %v", n, order, forced)
		}
		if p.Faulty < 2 {
			continue
		}
		if order, forced := run(p.Faulty - 1); !slices.Equal(order, []int{later, victim}) || !forced {
			t.Errorf("n = %d, W = f - 1: ordered %v, forced %v", n, order, forced)
		}
	}
}
