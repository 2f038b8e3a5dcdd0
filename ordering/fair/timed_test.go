package fair

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"sort"
	"testing"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/threshold"
)

// received is an entry of a log with times.
type received struct {
	x  int
	at uint64
}

// timedChain drives a TimedState, as chain does a State.
type timedChain struct {
	t    testing.TB
	s    TimedState
	done map[threshold.ID]bool
}

func newTimedChain(t testing.TB, p Params) *timedChain {
	t.Helper()
	s, err := NewTimed(p, 0)
	if err != nil {
		t.Fatal(err)
	}
	return &timedChain{t, s, map[threshold.ID]bool{}}
}

// part is what a member (from 0) adds at a height: entries, and a watermark (0: that of the last entry, or before).
type part struct {
	entries   []received
	watermark uint64
}

func (c *timedChain) announce(member int, p part) Announcement {
	c.t.Helper()
	base, _, err := c.s.Base(uint32(member + 1))
	if err != nil {
		c.t.Fatal(err)
	}
	times, watermark := base.Times, base.Watermark
	a := Announcement{IDs: []threshold.ID{}, Times: []uint64{}}
	for _, e := range p.entries {
		a.IDs, a.Times = append(a.IDs, intID(e.x)), append(a.Times, e.at)
		times = NextTimes(times, e.at)
		watermark = max(watermark, e.at)
	}
	a.Statement = Statement{
		Rule: ReceiveTime, ChainID: testChain, Height: c.s.Height(), Member: uint32(member + 1), Sequence: base.Sequence + uint64(len(a.IDs)),
		Head: extendHead(base.Head, a.IDs), Times: times, Watermark: max(watermark, p.watermark),
	}
	return a
}

func (c *timedChain) step(parts map[int]part) TimedDecision {
	c.t.Helper()
	var chunks []Chunk
	for m := range c.s.params.Members {
		if p, ok := parts[m]; ok {
			a := c.announce(m, p)
			chunks = append(chunks, a.Chunk())
		}
	}
	return c.take(chunks)
}

func (c *timedChain) take(chunks []Chunk) TimedDecision {
	c.t.Helper()
	before := encodeTimed(c.t, c.s)
	next, d, err := TimedStep(c.s, c.s.Height()+1, chunks, func(id threshold.ID) bool { return c.done[id] })
	if err != nil {
		c.t.Fatalf("height %d: %v", c.s.Height()+1, err)
	}
	if !bytes.Equal(encodeTimed(c.t, c.s), before) {
		c.t.Fatalf("height %d changed its input", next.Height())
	}
	for _, f := range d.Frames {
		for _, id := range f.IDs {
			if c.done[id] {
				c.t.Fatalf("%d is ordered twice", idInt(id))
			}
			c.done[id] = true
		}
	}
	if c.s, err = ParseTimedState(next.params, encodeTimed(c.t, next)); err != nil { // what is stored goes on in the same way
		c.t.Fatal(err)
	}
	return d
}

func encodeTimed(t testing.TB, s TimedState) []byte {
	t.Helper()
	b, err := s.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func timedOrder(d TimedDecision, beacon [32]byte) (out []int) {
	for i := range d.Frames {
		for _, c := range d.Frames[i].Order(beacon) {
			out = append(out, idInts(c)...)
		}
	}
	return out
}

// timedBrute is the rule once more: whole logs for ever, no shared code, every height from the beginning.
type timedBrute struct {
	n, f      int
	wait      uint64
	horizon   uint64
	height    uint64
	logs      [][]received
	marks     []uint64
	done      map[int]bool
	first     map[int]uint64
	frozen    map[int]uint64
	key       map[int]uint64
	forgotten []int
}

func newTimedBrute(p Params) *timedBrute {
	return &timedBrute{
		n: p.Members, f: p.Faulty, wait: p.Wait, horizon: p.Horizon, logs: make([][]received, p.Members), marks: make([]uint64, p.Members),
		done: map[int]bool{}, first: map[int]uint64{}, frozen: map[int]uint64{}, key: map[int]uint64{},
	}
}

type timedBruteFrame struct {
	forced bool
	ids    []int
}

func (b *timedBrute) rank(times []uint64) uint64 {
	sort.Slice(times, func(i, j int) bool { return times[i] < times[j] })
	return times[b.f]
}

func (b *timedBrute) step(parts map[int]part) (frames []timedBruteFrame) {
	b.height++
	b.forgotten = nil
	open := map[int]bool{}
	for i := range b.logs {
		p, ok := parts[i]
		for _, e := range p.entries {
			if ok && !b.done[e.x] && !slices.ContainsFunc(b.logs[i], func(o received) bool { return o.x == e.x }) {
				b.logs[i] = append(b.logs[i], e)
			}
			b.marks[i] = max(b.marks[i], e.at)
		}
		b.marks[i] = max(b.marks[i], p.watermark)
		for _, e := range b.logs[i] {
			open[e.x] = open[e.x] || !b.done[e.x]
		}
	}
	bound := b.rank(slices.Clone(b.marks))
	for x, is := range open {
		if !is {
			continue
		}
		if b.first[x] == 0 {
			b.first[x] = b.height
		}
		var has, least []uint64
		for i, log := range b.logs {
			at := b.marks[i]
			for _, e := range log {
				if e.x == x {
					has = append(has, e.at)
					at = e.at
				}
			}
			least = append(least, at)
		}
		if b.frozen[x] == 0 && len(has) >= 2*b.f+1 {
			b.frozen[x], b.key[x] = b.height, b.rank(has)
		}
		if b.frozen[x] == 0 {
			bound = min(bound, b.rank(least))
		}
	}
	take := func(forced bool, which func(x int) bool) {
		f := timedBruteFrame{forced: forced}
		for x := range b.frozen {
			if !b.done[x] && which(x) {
				f.ids = append(f.ids, x)
			}
		}
		sort.Ints(f.ids)
		for _, x := range f.ids {
			b.done[x] = true
		}
		if len(f.ids) > 0 {
			frames = append(frames, f)
		}
	}
	take(false, func(x int) bool { return b.key[x] < bound })
	latest := int64(-1)
	for x, at := range b.frozen {
		if !b.done[x] && b.height-at >= b.wait {
			latest = max(latest, int64(b.key[x]))
		}
	}
	take(true, func(x int) bool { return int64(b.key[x]) <= latest })
	for x, is := range open {
		if is && b.frozen[x] == 0 && b.height-b.first[x] >= b.horizon {
			b.forgotten = append(b.forgotten, x)
			delete(b.first, x)
			for i := range b.logs {
				b.logs[i] = slices.DeleteFunc(b.logs[i], func(e received) bool { return e.x == x })
			}
		}
	}
	sort.Ints(b.forgotten)
	return frames
}

// timedSchedule is a random run: honest members receive each id once, with a clock that is a little off, and sign when
// they are; the others have logs, times and watermarks of any kind.
type timedSchedule struct {
	*schedule
	times [][]uint64 // beside schedule.logs
	now   uint64
	skew  []uint64
}

func newTimedSchedule(seed uint64) *timedSchedule {
	s := &timedSchedule{schedule: newSchedule(seed)}
	s.p.Faulty = min(s.p.Faulty, (s.p.Members-1)/3)
	s.times = make([][]uint64, s.p.Members)
	s.skew = make([]uint64, s.p.Members)
	for m := range s.logs {
		s.skew[m] = uint64(s.rng.IntN(6))
		at := uint64(0)
		for i := range s.logs[m] {
			if slices.Contains(s.honest, m) {
				at = max(at, uint64(3*i)+s.skew[m]+uint64(s.rng.IntN(4)))
			} else {
				at += uint64(s.rng.IntN(5) * s.rng.IntN(5))
			}
			s.times[m] = append(s.times[m], at)
		}
	}
	return s
}

func (s *timedSchedule) next() map[int]part {
	s.now += uint64(s.rng.IntN(8))
	parts := map[int]part{}
	chunks := s.schedule.next()
	for m := range s.p.Members {
		ids, included := chunks[m]
		if !included {
			continue
		}
		p := part{}
		from := s.given[m] - len(ids)
		for i, x := range ids {
			p.entries = append(p.entries, received{x, s.times[m][from+i]})
		}
		switch {
		case s.given[m] < len(s.logs[m]): // no promise that the rest of the log breaks
			p.watermark = s.times[m][s.given[m]]
		case slices.Contains(s.honest, m):
			p.watermark = s.now + s.skew[m]
		case s.rng.IntN(3) == 0:
			p.watermark = uint64(s.rng.IntN(100))
		}
		if !slices.Contains(s.honest, m) && s.rng.IntN(2) == 0 {
			p.watermark = 0
		}
		parts[m] = p
	}
	return parts
}

// Thousands of random runs with members that lie about order and time, against the brute force.
func TestTimedAgainstBruteForce(t *testing.T) {
	frames, forced, forgotten := 0, 0, 0
	for seed := range max(1000, runs(t, 3000)) {
		s := newTimedSchedule(uint64(seed) + 1<<45)
		c, b := newTimedChain(t, s.p), newTimedBrute(s.p)
		for range 40 {
			parts := s.next()
			want := b.step(parts)
			d := c.step(parts)
			frames += len(want)
			forgotten += len(b.forgotten)
			same := len(want) == len(d.Frames) && slices.Equal(b.forgotten, idInts(d.Forgotten))
			for i := 0; same && i < len(want); i++ {
				same = want[i].forced == d.Frames[i].Forced && slices.Equal(want[i].ids, idInts(d.Frames[i].IDs))
				for j, x := range want[i].ids {
					same = same && d.Frames[i].Keys[j] == b.key[x]
				}
				if want[i].forced {
					forced++
				}
			}
			if !same {
				t.Fatalf("seed %d, height %d: want %v, %v, got %+v", seed, b.height, want, b.forgotten, d)
			}
		}
	}
	t.Logf("%d frames, %d of them forced, %d ids forgotten", frames, forced, forgotten)
	if frames == 0 || forced == 0 || forgotten == 0 {
		t.Error("the runs had nothing to compare")
	}
}

// What the rule promises, in runs with members that lie: keys are between honest times; an id that all honest members
// stamped before all honest times of another one is ordered before it; nothing frozen waits longer than W; what is
// ordered unforced never goes back in time, from frame to frame either; whoever is ordered is held by f+1 honest members.
func TestTimedPromises(t *testing.T) {
	pairs, keys := 0, 0
	for seed := range max(1000, runs(t, 3000)) {
		s := newTimedSchedule(uint64(seed) + 1<<46)
		s.p.Horizon = 10_000
		c := newTimedChain(t, s.p)
		honestTimes := func(x int) (low, high uint64) {
			low = noTime
			for _, m := range s.honest {
				at := s.times[m][slices.Index(s.logs[m], x)]
				low, high = min(low, at), max(high, at)
			}
			return low, high
		}
		place, frozen := map[int]int{}, map[int]uint64{}
		var last uint64
		for range 60 {
			d := c.step(s.next())
			for i := range d.Frames {
				f := &d.Frames[i]
				for j, id := range f.IDs {
					x := idInt(id)
					if keys++; x >= 100 {
						t.Fatalf("seed %d: %d is ordered, which nobody sent", seed, x)
					}
					if low, high := honestTimes(x); f.Keys[j] < low || f.Keys[j] > high {
						t.Fatalf("seed %d: key %d of %d, honest times %d to %d", seed, f.Keys[j], x, low, high)
					}
					if !f.Forced && f.Keys[j] < last {
						t.Fatalf("seed %d: key %d after %d", seed, f.Keys[j], last)
					}
				}
				if !f.Forced {
					last = max(last, slices.Max(f.Keys))
				}
				for _, comp := range f.Order(s.beacon) {
					for _, x := range idInts(comp) {
						place[x] = len(place)
					}
				}
				for _, y := range idInts(f.IDs) {
					for x := range s.ids {
						_, before := honestTimes(x)
						if after, _ := honestTimes(y); x == y || before >= after || f.Forced {
							continue
						}
						pairs++
						if at, ordered := place[x]; !ordered || at > place[y] {
							t.Fatalf("seed %d: %d until %d, %d from later on, and ordered the other way (%v)", seed, x, before, y, ordered)
						}
					}
				}
			}
			for _, l := range c.s.ids {
				if l.solid != 0 {
					frozen[idInt(l.id)] = l.solid
					if c.s.Height() >= l.solid+s.p.Wait {
						t.Fatalf("seed %d: %d is frozen since %d and not ordered at %d", seed, idInt(l.id), l.solid, c.s.Height())
					}
				}
			}
		}
		for x := range s.ids {
			if _, ordered := place[x]; s.finished() && !ordered {
				t.Fatalf("seed %d: %d is not ordered at the end", seed, x)
			}
		}
	}
	if t.Logf("%d keys, %d pairs apart", keys, pairs); keys == 0 || pairs == 0 {
		t.Error("nothing was checked")
	}
}

// Two ids at n = 4, all logs with times 0 to 2, all choices of three or four logs: keys lie between honest times, and
// pairs that are apart in all honest logs are in order, whoever of the four lies.
func TestTimedExhaustively(t *testing.T) {
	p := DefaultParams(4)
	type pair struct{ a, b uint64 }
	var all []pair
	for a := range uint64(3) {
		for b := range uint64(3) {
			all = append(all, pair{a, b})
		}
	}
	cases, apart := 0, 0
	check := func(logs [4]pair, without int) {
		cases++
		parts := map[int]part{}
		for i, l := range logs {
			if i == without {
				continue
			}
			entries := []received{{1, l.a}, {2, l.b}}
			if l.b < l.a {
				slices.Reverse(entries)
			}
			parts[i] = part{entries, 9}
		}
		d := newTimedChain(t, p).step(parts)
		if len(d.Frames) != 1 || len(d.Frames[0].IDs) != 2 || d.Frames[0].Forced {
			t.Fatalf("%v without %d: %+v", logs, without, d)
		}
		a, b := d.Frames[0].Keys[0], d.Frames[0].Keys[1]
		for liar := range 4 {
			lowA, highA, lowB, highB := noTime, uint64(0), noTime, uint64(0)
			for i, l := range logs {
				if i != liar {
					lowA, highA, lowB, highB = min(lowA, l.a), max(highA, l.a), min(lowB, l.b), max(highB, l.b)
				}
			}
			if a < lowA || a > highA || b < lowB || b > highB {
				t.Fatalf("%v without %d, %d lies: keys %d, %d", logs, without, liar, a, b)
			}
			if highA < lowB {
				if apart++; a >= b {
					t.Fatalf("%v without %d, %d lies: keys %d, %d", logs, without, liar, a, b)
				}
			}
		}
	}
	for _, l0 := range all {
		for _, l1 := range all {
			for _, l2 := range all {
				for i, l3 := range all {
					if testing.Short() && i%4 != 0 {
						continue
					}
					for without := range 5 {
						check([4]pair{l0, l1, l2, l3}, without)
					}
				}
			}
		}
	}
	if t.Logf("%d cases, %d pairs apart", cases, apart); apart == 0 {
		t.Error("no pair apart")
	}
}

// What the rule does not promise, kept here so that nobody believes it. All three honest members received 1 before 2. One
// that lies, or a proposer that leaves a log out, turns them round: keys are taken from different members. The first rule
// promises just these pairs.
func TestTimedInvertsWhatAllSawAlike(t *testing.T) {
	p := DefaultParams(4)
	honest := map[int]part{
		0: {[]received{{1, 10}, {2, 11}}, 20},
		1: {[]received{{1, 1}, {2, 2}}, 20},
		2: {[]received{{1, 10}, {2, 11}}, 20},
	}
	if got := timedOrder(newTimedChain(t, p).step(honest), [32]byte{}); !slices.Equal(got, []int{1, 2}) {
		t.Errorf("without the fourth: %v", got)
	}
	lie := part{[]received{{2, 0}, {1, 20}}, 20}
	if got := timedOrder(newTimedChain(t, p).step(map[int]part{0: honest[0], 1: honest[1], 2: honest[2], 3: lie}), [32]byte{}); !slices.Equal(got, []int{2, 1}) {
		t.Errorf("with a lie: %v", got)
	}
	f := benchFrame(4, 2, [][]int{{1, 2}, {1, 2}, {1, 2}, {2, 1}})
	for beacon := range byte(20) {
		if got := f.Order(p, [32]byte{beacon}); !slices.Equal(idInts(slices.Concat(got...)), []int{1, 2}) {
			t.Errorf("the first rule: %v", got)
		}
	}
}

// A member whose clock is wrong is one of the f. f of them move nothing beyond the honest times, in either direction,
// and stop nothing: neither with a watermark that stands still nor with one of the year 10889.
func TestTimedWrongClocks(t *testing.T) {
	for name, lie := range map[string]part{
		"stands still":        {[]received{{2, 0}, {1, 0}}, 0},
		"far in the future":   {[]received{{2, MaxTime}, {1, MaxTime}}, MaxTime},
		"silent":              {},
		"a promise, no ids":   {nil, MaxTime},
		"with ids of its own": {[]received{{77, 0}, {78, 0}, {2, 3}}, 0},
	} {
		p := DefaultParams(4)
		c := newTimedChain(t, p)
		honest := part{[]received{{1, 100}, {2, 110}}, 120}
		d := c.step(map[int]part{0: honest, 1: honest, 2: honest, 3: lie})
		if got := timedOrder(d, [32]byte{}); !slices.Equal(got, []int{1, 2}) || d.Frames[0].Forced {
			t.Errorf("%s: ordered %v", name, got)
		}
	}
}

// f+1 wrong clocks are too many: what was sent later comes first. This is the assumption that the first rule does not need.
func TestTimedTooManyWrongClocks(t *testing.T) {
	p := DefaultParams(4)
	slow, right := part{[]received{{1, 100}, {2, 101}}, 1000}, part{[]received{{1, 500}, {2, 501}}, 1000}
	early := part{[]received{{2, 1}}, 1}
	c := newTimedChain(t, p)
	c.step(map[int]part{0: early, 1: early, 2: {}}) // two of four stamp 2 long before it was sent
	d := c.step(map[int]part{2: slow, 3: right, 0: {[]received{{1, 500}}, 1000}, 1: {[]received{{1, 500}}, 1000}})
	if got := timedOrder(d, [32]byte{}); !slices.Equal(got, []int{2, 1}) {
		t.Errorf("ordered %v", got)
	}
}

// The attack of partial sending: an id that 2f or fewer logs ever hold keeps back what is later, until W.
func TestTimedPartialSending(t *testing.T) {
	p := DefaultParams(4)
	c := newTimedChain(t, p)
	both, late := part{[]received{{1, 10}, {2, 20}}, 30}, part{[]received{{2, 20}}, 30}
	if d := c.step(map[int]part{0: late, 1: late, 2: both, 3: both}); len(d.Frames) != 0 {
		t.Fatalf("2 is ordered although 1 may still get a smaller key: %+v", d)
	}
	idle := part{}
	for c.s.Height() < p.Wait {
		if d := c.step(map[int]part{0: idle, 1: idle, 2: idle, 3: idle}); len(d.Frames) != 0 {
			t.Fatalf("height %d: %+v", c.s.Height(), d)
		}
	}
	if d := c.step(nil); len(d.Frames) != 1 || !d.Frames[0].Forced || !slices.Equal(idInts(d.Frames[0].IDs), []int{2}) {
		t.Errorf("after W: %+v", d)
	}
	// In f logs only it delays nobody.
	c = newTimedChain(t, p)
	ghost := part{[]received{{1, 0}, {2, 20}}, 30}
	if got := timedOrder(c.step(map[int]part{0: late, 1: late, 2: late, 3: ghost}), [32]byte{}); !slices.Equal(got, []int{2}) {
		t.Errorf("with an id that one member made up: %v", got)
	}
}

// An order of two in the same millisecond is the beacon's.
func TestTimedTies(t *testing.T) {
	p := DefaultParams(4)
	same := part{[]received{{1, 10}, {2, 10}}, 20}
	d := newTimedChain(t, p).step(map[int]part{0: same, 1: same, 2: same})
	first := map[int]int{}
	for beacon := range byte(100) {
		comps := d.Frames[0].Order([32]byte{beacon})
		if len(comps) != 1 {
			t.Fatalf("%d components", len(comps))
		}
		first[idInt(comps[0][0])]++
	}
	if first[1] == 0 || first[2] == 0 {
		t.Errorf("first: %v", first)
	}
	// Nothing is ordered at the bound itself: something else of this millisecond could still come.
	tight := part{[]received{{1, 10}}, 10}
	if d := newTimedChain(t, p).step(map[int]part{0: tight, 1: tight, 2: tight}); len(d.Frames) != 0 {
		t.Errorf("at the bound: %+v", d)
	}
}

// Logs do not go back, in number, in ids or in time.
func TestTimedStepRefuses(t *testing.T) {
	p := DefaultParams(4)
	p.MaxChunk, p.MaxLive = 3, 4
	c := newTimedChain(t, p)
	start := part{[]received{{1, 10}}, 15}
	c.step(map[int]part{0: start, 1: start, 2: {}})
	chunk := func(m int, p part) Chunk { a := c.announce(m, p); return a.Chunk() }
	others := []Chunk{chunk(1, part{}), chunk(2, part{})}
	good := part{[]received{{2, 20}, {3, 30}}, 40}
	for name, tc := range map[string]struct {
		want   error
		change func(ch *Chunk)
	}{
		"fine":                     {nil, func(*Chunk) {}},
		"below the watermark":      {ErrChain, func(ch *Chunk) { *ch = chunk(0, part{[]received{{2, 14}}, 40}) }},
		"a watermark below":        {ErrChain, func(ch *Chunk) { ch.Watermark = 29 }},
		"a watermark that falls":   {ErrChain, func(ch *Chunk) { *ch = chunk(0, part{}); ch.Watermark = 14 }},
		"times that fall":          {ErrChain, func(ch *Chunk) { *ch = chunk(0, part{[]received{{2, 30}, {3, 20}}, 40}) }},
		"a time too far":           {ErrChain, func(ch *Chunk) { *ch = chunk(0, part{[]received{{2, MaxTime + 1}}, 0}) }},
		"a watermark too far":      {ErrChain, func(ch *Chunk) { ch.Watermark = MaxTime + 1 }},
		"a time more than ids":     {ErrChain, func(ch *Chunk) { ch.Times = append(ch.Times, 30) }},
		"other times":              {ErrChain, func(ch *Chunk) { ch.Times = []uint64{21, 30} }},
		"another head":             {ErrChain, func(ch *Chunk) { ch.Head[0] ^= 1 }},
		"skips":                    {ErrChain, func(ch *Chunk) { ch.IDs, ch.Times = ch.IDs[1:], ch.Times[1:] }},
		"a count that wraps round": {ErrChain, func(ch *Chunk) { ch.Sequence = 1<<64 - 1 }},
		"too many":                 {ErrLimit, func(ch *Chunk) { *ch = chunk(0, part{[]received{{2, 20}, {3, 20}, {4, 20}, {5, 20}}, 0}) }},
		"a member twice":           {ErrMember, func(ch *Chunk) { *ch = chunk(1, part{}) }},
		"not a member":             {ErrMember, func(ch *Chunk) { ch.Member = 5 }},
	} {
		ch := chunk(0, good)
		tc.change(&ch)
		next, _, err := TimedStep(c.s, 2, append(others[:2:2], ch), nil)
		if !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && !bytes.Equal(encodeTimed(t, next), encodeTimed(t, c.s)) {
			t.Errorf("%s: the state changed", name)
		}
	}
	if _, _, err := TimedStep(c.s, 2, others, nil); !errors.Is(err, ErrQuorum) {
		t.Errorf("two: %v", err)
	}
	if _, _, err := TimedStep(c.s, 3, nil, nil); !errors.Is(err, ErrHeight) {
		t.Errorf("a height left out: %v", err)
	}
	if _, err := NewTimed(Params{}, 0); !errors.Is(err, ErrParams) {
		t.Errorf("no parameters: %v", err)
	}
	if c.s.Params() != p || c.s.Live() != 1 {
		t.Errorf("%d live", c.s.Live())
	}
}

// Which member has which log does not matter, nor the order of the chunks.
func TestTimedLogsHaveNoRank(t *testing.T) {
	for seed := range runs(t, 300) {
		s := newTimedSchedule(uint64(seed) + 1<<47)
		a, b := newTimedChain(t, s.p), newTimedChain(t, s.p)
		renamed := s.rng.Perm(s.p.Members)
		for range 25 {
			parts := s.next()
			var chunks []Chunk
			for m, p := range parts {
				x := b.announce(renamed[m], p)
				chunks = append(chunks, x.Chunk())
			}
			s.rng.Shuffle(len(chunks), func(i, j int) { chunks[i], chunks[j] = chunks[j], chunks[i] })
			if da, db := a.step(parts), b.take(chunks); fmt.Sprint(da) != fmt.Sprint(db) {
				t.Fatalf("seed %d: %v, renamed %v", seed, da, db)
			}
		}
	}
}

func TestTimedCut(t *testing.T) {
	f := &TimedFrame{Forced: true, IDs: intIDs([]int{1, 2, 3, 4, 5}), Keys: []uint64{30, 10, 20, 10, 40}}
	for room, want := range [][]int{nil, {2}, {2, 4}, {2, 3, 4}, {1, 2, 3, 4}, {1, 2, 3, 4, 5}} {
		first, rest := f.Cut(atMost(room))
		var got []int
		n := 0
		if first != nil {
			got, n = idInts(first.IDs), len(first.IDs)
			if !first.Forced {
				t.Error("no longer forced")
			}
		}
		if rest != nil {
			n += len(rest.IDs)
		}
		if !slices.Equal(got, want) || n != 5 || (rest == nil) != (room == 5) {
			t.Errorf("room for %d: %v", room, got)
		}
		if first != nil && rest != nil && slices.Max(first.Keys) > slices.Min(rest.Keys) {
			t.Errorf("room for %d: keys %v before %v", room, first.Keys, rest.Keys)
		}
	}
}

// Members that stay go on with their logs, ids that only leaving members had are gone, and keys are fixed anew.
func TestReformTimed(t *testing.T) {
	c := timedGrown(t)
	p := DefaultParams(5)
	base := make([]Base, 5)
	base[2] = Base{Sequence: 7, Head: commitreveal.Hash{9}, Times: commitreveal.Hash{8}, Watermark: 50}
	next, err := ReformTimed(c.s, p, 2, []uint32{2, 1, 0, 4, 0}, base)
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseTimedState(p, encodeTimed(t, next))
	if err != nil || fmt.Sprint(again) != fmt.Sprint(next) {
		t.Fatalf("%v, %v", again, err)
	}
	for member, want := range map[uint32]uint32{1: 2, 2: 1, 4: 4} {
		a, _, _ := next.Base(member)
		b, _, _ := c.s.Base(want)
		if a != b {
			t.Errorf("member %d does not go on with the log of %d", member, want)
		}
	}
	if b, _, _ := next.Base(3); b != base[2] {
		t.Errorf("member 3 begins at %+v", b)
	}
	for _, gone := range []int{5, 6} { // only the old member 3 had them
		if _, has := next.find(intID(gone)); has {
			t.Errorf("%d is still there", gone)
		}
	}
	if x, has := next.find(intID(2)); !has || next.ids[x].first != 2 || next.ids[x].solid != 0 {
		t.Errorf("2, in two logs of five: %+v", next.ids)
	}
	// With the same members, what was frozen is frozen again.
	if same, err := ReformTimed(c.s, c.s.params, 2, []uint32{1, 2, 3, 4}, base[:4]); err != nil || same.Live() != c.s.Live() {
		t.Errorf("%v, %v", same, err)
	} else if x, _ := same.find(intID(1)); same.ids[x].solid != 2 || same.ids[x].key != c.s.ids[x].key {
		t.Errorf("1 is %+v, was %+v", same.ids[x], c.s.ids[x])
	}
	for name, bad := range map[string]func() error{
		"a member twice": func() error { _, err := ReformTimed(c.s, p, 2, []uint32{1, 1, 0, 0, 0}, base); return err },
		"nobody":         func() error { _, err := ReformTimed(c.s, p, 2, []uint32{5, 0, 0, 0, 0}, base); return err },
		"another height": func() error { _, err := ReformTimed(c.s, p, 3, []uint32{1, 0, 0, 0, 0}, base); return err },
		"four of five":   func() error { _, err := ReformTimed(c.s, p, 2, []uint32{1, 0, 0, 0}, base); return err },
		"no parameters":  func() error { _, err := ReformTimed(c.s, Params{}, 2, nil, nil); return err },
	} {
		if bad() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// timedGrown is a chain with something in every log.
func timedGrown(t testing.TB) *timedChain {
	c := newTimedChain(t, DefaultParams(4))
	c.step(map[int]part{0: {[]received{{1, 5}, {2, 6}}, 9}, 1: {[]received{{2, 4}, {1, 4}}, 9}, 2: {[]received{{5, 2}}, 2}, 3: {}})
	c.step(map[int]part{0: {[]received{{4, 12}}, 12}, 1: {}, 2: {[]received{{6, 3}, {1, 3}}, 3}})
	return c
}

func timedSection(c *timedChain) *Section {
	s := &Section{Height: c.s.Height() + 1}
	for m, p := range []part{{[]received{{7, 20}, {8, 21}}, 30}, {[]received{{8, 20}}, 25}, {}, {[]received{{9, 1}, {7, 1}}, 40}} {
		a := c.announce(m, p)
		a.Statement.Height -= uint64(m % 3)
		if err := SignStatement(identity(m+1), &a.Statement); err != nil {
			c.t.Fatal(err)
		}
		s.Entries = append(s.Entries, a)
	}
	return s
}

func TestTimedSectionGoesThroughTheWire(t *testing.T) {
	c := timedGrown(t)
	want := timedSection(c)
	b, err := want.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseSection(c.s, testChain, b)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(want) != fmt.Sprint(got) {
		t.Errorf("want %+v, got %+v", want, got)
	}
	if size := 1 + 2 + 3*32 + 2 + 4*ReceiveTime.entrySize() + 5*8; len(b) != size {
		t.Errorf("%d bytes, want %d", len(b), size)
	}
	chunks, err := got.Verify(c.s, testChain, identities(4))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := TimedStep(c.s, got.Height, chunks, nil); err != nil {
		t.Error(err)
	}
	if s := NewSection(c.s, refs(append(want.Entries, want.Entries[1], Announcement{}))); fmt.Sprint(s) != fmt.Sprint(*want) {
		t.Errorf("a proposer makes %+v", s)
	}
	if s := NewSection(c.s, refs(want.Entries[:2])); s.Entries != nil {
		t.Errorf("of two members: %+v", s)
	}
	resign := func(a *Announcement) {
		if err := SignStatement(identity(int(a.Statement.Member)), &a.Statement); err != nil {
			t.Fatal(err)
		}
	}
	for name, tc := range map[string]struct {
		want   error
		change func(s *Section)
	}{
		"too few":          {ErrQuorum, func(s *Section) { s.Entries = s.Entries[:2] }},
		"twice":            {ErrMember, func(s *Section) { s.Entries[1] = s.Entries[0] }},
		"stale":            {ErrStale, func(s *Section) { s.Entries[0].Statement.Height++; resign(&s.Entries[0]) }},
		"of another chain": {ErrInvalid, func(s *Section) { s.Entries[0].Statement.ChainID = "other"; resign(&s.Entries[0]) }},
		"another block":    {ErrHeight, func(s *Section) { s.Height++ }},
		"a later time":     {ErrChain, func(s *Section) { s.Entries[0].Times[1]++ }},
		"a later mark":     {ErrSignature, func(s *Section) { s.Entries[0].Statement.Watermark++ }},
		"another's":        {ErrSignature, func(s *Section) { s.Entries[0].Statement.Signature = s.Entries[1].Statement.Signature }},
	} {
		s := timedSection(c)
		tc.change(s)
		if _, err := s.Verify(c.s, testChain, identities(4)); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := want.Verify(c.s, testChain, nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("no identities: %v", err)
	}
}

func TestTimedStatements(t *testing.T) {
	c := timedGrown(t)
	st := timedSection(c).Entries[0].Statement
	if err := st.Verify(identities(4)[0]); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(st *Statement){
		"chain":     func(st *Statement) { st.ChainID += "x" },
		"height":    func(st *Statement) { st.Height++ },
		"member":    func(st *Statement) { st.Member++ },
		"sequence":  func(st *Statement) { st.Sequence++ },
		"head":      func(st *Statement) { st.Head[0] ^= 1 },
		"times":     func(st *Statement) { st.Times[0] ^= 1 },
		"watermark": func(st *Statement) { st.Watermark++ },
		"signature": func(st *Statement) { st.Signature[0] ^= 1 },
	} {
		other := st
		change(&other)
		if err := other.Verify(identities(4)[0]); !errors.Is(err, ErrSignature) {
			t.Errorf("another %s: %v", name, err)
		}
		if _, err := NewEquivocation(st, other); (err == nil) != (name == "head" || name == "times") {
			t.Errorf("another %s, as evidence: %v", name, err)
		}
	}
	// The two kinds of statement are not one another's.
	plain := Statement{ChainID: st.ChainID, Height: st.Height, Member: st.Member, Sequence: st.Sequence, Head: st.Head, Signature: st.Signature}
	if err := plain.Verify(identities(4)[0]); !errors.Is(err, ErrSignature) {
		t.Errorf("as a head statement: %v", err)
	}
	r := commitreveal.Receipt{ChainID: st.ChainID, Member: 1, Position: st.Sequence, Head: st.Head}
	if st.BrokenBy(&r) {
		t.Error("broken by its own receipt")
	}
	if r.Head[0] ^= 1; !st.BrokenBy(&r) {
		t.Error("not broken by another head")
	}
	for name, bad := range map[string]Statement{
		"member 0":         {Rule: ReceiveTime, ChainID: testChain},
		"times of no ids":  {Rule: ReceiveTime, ChainID: testChain, Member: 1, Times: commitreveal.Hash{1}},
		"no times of ids":  {Rule: ReceiveTime, ChainID: testChain, Member: 1, Sequence: 1, Head: commitreveal.Hash{1}},
		"a mark too large": {Rule: ReceiveTime, ChainID: testChain, Member: 1, Watermark: MaxTime + 1},
		"no such rule":     {Rule: ReceiveTime + 1, ChainID: testChain, Member: 1},
		"times, rule 1":    {ChainID: testChain, Member: 1, Sequence: 1, Head: commitreveal.Hash{1}, Times: commitreveal.Hash{1}},
		"a mark, rule 1":   {ChainID: testChain, Member: 1, Watermark: 1},
	} {
		if err := SignStatement(identity(1), &bad); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
		if err := bad.Verify(identity(1).Public().(ed25519.PublicKey)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if size := ReceiveTime.MaxAnnouncementSize(c.s.params); size < 128*38 || size > 6000 {
		t.Errorf("an announcement of at most %d bytes", size)
	}
}

func TestParseTimedStateRefuses(t *testing.T) {
	c := timedGrown(t)
	good := encodeTimed(t, c.s)
	n := c.s.Live()
	ids := 1 + 8 + 4
	logs := ids + n*liveIDSize + 2
	entries := logs + 32 + 32 + 8 + 8 + 4 // of member 1
	for name, change := range map[string]func(b []byte) []byte{
		"another version":   func(b []byte) []byte { b[0] = 2; return b },
		"trailing byte":     func(b []byte) []byte { return append(b, 0) },
		"cut":               func(b []byte) []byte { return b[:len(b)-1] },
		"a count too large": func(b []byte) []byte { b[9] = 0xff; return b },
		"an earlier height": func(b []byte) []byte { b[8] = 1; return b },
		"ids out of order":  func(b []byte) []byte { copy(b[ids:ids+32], b[ids+liveIDSize:][:32]); return b },
		"not seen":          func(b []byte) []byte { clear(b[ids+32 : ids+40]); return b },
		"frozen in no time": func(b []byte) []byte { b[ids+47] ^= 1; return b },
		"an impossible key": func(b []byte) []byte { b[ids+55] ^= 0x40; return b },
		"other members":     func(b []byte) []byte { b[logs-1]++; return b },
		"a head of nothing": func(b []byte) []byte { clear(b[logs : logs+32]); return b },
		"no times":          func(b []byte) []byte { clear(b[logs+32 : logs+64]); return b },
		"an index twice":    func(b []byte) []byte { copy(b[entries:entries+4], b[entries+12:][:4]); return b },
		"index too large":   func(b []byte) []byte { b[entries] = 1; return b },
		"times that fall":   func(b []byte) []byte { b[entries+11] = 0xff; return b },
		"a low watermark":   func(b []byte) []byte { clear(b[logs+72 : logs+80]); return b },
	} {
		if s, err := ParseTimedState(c.s.params, change(bytes.Clone(good))); !errors.Is(err, ErrEncoding) {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
	frozen := slices.IndexFunc(c.s.ids, func(l liveID) bool { return l.solid != 0 })
	if frozen < 0 {
		t.Fatal("no frozen id in the state")
	}
	at := ids + frozen*liveIDSize + 40
	thawed := bytes.Clone(good)
	clear(thawed[at : at+16])
	if s, err := ParseTimedState(c.s.params, thawed); !errors.Is(err, ErrEncoding) {
		t.Errorf("an id of 2f+1 logs that is not frozen: %+v, %v", s, err)
	}
	if _, err := ParseTimedState(Params{}, good); !errors.Is(err, ErrParams) {
		t.Errorf("no parameters: %v", err)
	}
	if _, err := (TimedState{}).MarshalBinary(); !errors.Is(err, ErrInvalid) {
		t.Errorf("the zero state: %v", err)
	}
	if _, err := (&TimedFrame{IDs: intIDs([]int{1})}).MarshalBinary(); !errors.Is(err, ErrInvalid) {
		t.Errorf("a frame without keys: %v", err)
	}
}

func FuzzParseTimedState(f *testing.F) {
	c := timedGrown(f)
	empty, err := NewTimed(c.s.params, 0)
	if err != nil {
		f.Fatal(err)
	}
	roundTrip(f, mustMarshal(f, c.s, empty), func(b []byte) (marshaler, error) {
		s, err := ParseTimedState(c.s.params, b)
		if err == nil && s.Height() < 1<<63 {
			if _, _, err := TimedStep(s, s.Height()+1, nil, nil); err != nil {
				f.Errorf("parsed, and TimedStep says %v", err)
			}
		}
		return s, err
	})
}

func FuzzParseTimedFrame(f *testing.F) {
	p := DefaultParams(4)
	roundTrip(f, mustMarshal(f, &TimedFrame{IDs: intIDs([]int{1, 2}), Keys: []uint64{7, 3}}), func(b []byte) (marshaler, error) {
		frame, err := ParseTimedFrame(p, b)
		if err == nil && len(slices.Concat(frame.Order([32]byte{})...)) != len(frame.IDs) {
			f.Error("an id is lost")
		}
		return frame, err
	})
}

func FuzzParseTimedAnnouncement(f *testing.F) {
	s := timedSection(timedGrown(f))
	roundTrip(f, mustMarshal(f, &s.Entries[0], &s.Entries[2]), func(b []byte) (marshaler, error) { return ReceiveTime.ParseAnnouncement(b) })
}

func FuzzParseTimedSection(f *testing.F) {
	c := timedGrown(f)
	keys := identities(4)
	roundTrip(f, mustMarshal(f, timedSection(c), &Section{Height: c.s.Height() + 1}), func(b []byte) (marshaler, error) {
		s, err := ParseSection(c.s, testChain, b)
		chunksAgree(f, c.s, b, s, err)
		if err == nil {
			if chunks, err := s.Verify(c.s, testChain, keys); err == nil {
				if _, _, err := TimedStep(c.s, s.Height, chunks, nil); err != nil {
					f.Errorf("verified, and TimedStep says %v", err)
				}
			}
		}
		return s, err
	})
}

// One height of the second rule with m ids in flight, in the logs of n-f members.
func BenchmarkTimedStep(b *testing.B) {
	for _, m := range []int{350, 10_000} {
		b.Run(fmt.Sprintf("n=20/ids=%d", m), func(b *testing.B) {
			p := DefaultParams(20)
			p.Wait, p.Horizon, p.MaxChunk, p.MaxLive = 1<<20, 1<<21, 1024, 1<<15
			c := newTimedChain(b, p)
			first := map[int]part{} // an id before all others that is never frozen
			for i := range p.Quorum() {
				if first[i] = (part{nil, 1}); i <= p.Faulty {
					first[i] = part{[]received{{1 << 40, 1}}, 1}
				}
			}
			c.step(first)
			for from := 0; from < m; from += p.MaxChunk {
				parts := map[int]part{}
				for i := range p.Quorum() {
					var e []received
					for x := from; x < min(m, from+p.MaxChunk); x++ {
						e = append(e, received{x, uint64(1000 + x)})
					}
					parts[i] = part{e, uint64(1000 + from + p.MaxChunk)}
				}
				c.step(parts)
			}
			if c.s.Live() < m {
				b.Fatalf("%d live", c.s.Live())
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := TimedStep(c.s, c.s.Height()+1, nil, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
