package fair

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"math/big"
	"slices"
	"sort"

	"github.com/scrimlabs/scrim/threshold"
)

// The brute force: ordering.md's definition written down once more, on small integers, with nothing of the
// product's code: no bitsets, no incremental logs, no graph search. It keeps each member's whole log for ever.

type bruteRule struct {
	n, s, hStar   int
	wait, horizon uint64
}

func (r bruteRule) tau() int { return r.s - r.n + r.hStar }
func (r bruteRule) rho() int { return r.n - r.hStar }

type brute struct {
	rule           bruteRule
	height         uint64
	logs           [][]int
	done           map[int]bool
	first, tnb, ts map[int]uint64
}

type bruteFrame struct {
	forced bool
	comps  [][]int
}

func newBrute(r bruteRule) *brute {
	return &brute{rule: r, logs: make([][]int, r.n), done: map[int]bool{}, first: map[int]uint64{}, tnb: map[int]uint64{}, ts: map[int]uint64{}}
}

// before says whether a log votes for "x before y".
func before(log []int, x, y int) bool {
	ix, iy := slices.Index(log, x), slices.Index(log, y)
	return ix >= 0 && (iy < 0 || ix < iy)
}

func weight(logs [][]int, x, y int) (w int) {
	for _, log := range logs {
		if before(log, x, y) {
			w++
		}
	}
	return w
}

func (b *brute) strong(x, y int) bool {
	return x != y && weight(b.logs, x, y) >= b.rule.tau() && weight(b.logs, y, x) <= b.rule.rho()
}

// paths says for all x, y in set whether there is a path from x to y inside set; the empty path counts.
func (b *brute) paths(set []int) map[[2]int]bool {
	p := map[[2]int]bool{}
	for _, x := range set {
		for _, y := range set {
			p[[2]int{x, y}] = x == y || b.strong(x, y)
		}
	}
	for _, via := range set {
		for _, x := range set {
			for _, y := range set {
				if p[[2]int{x, via}] && p[[2]int{via, y}] {
					p[[2]int{x, y}] = true
				}
			}
		}
	}
	return p
}

// tieRule is how ties are broken: an order of ids, and an order of pairs.
type tieRule struct {
	id   func(x, y int) bool
	pair func(a, b [2]int) bool
}

// step appends the chunks (by member, from 0) and gives what the height orders, and the ids that it forgets.
func (b *brute) step(chunks map[int][]int, t tieRule) (frames []bruteFrame, forgotten []int) {
	b.height++
	seen := map[int]bool{}
	for i := range b.logs {
		for _, x := range chunks[i] {
			if !b.done[x] && !slices.Contains(b.logs[i], x) {
				b.logs[i] = append(b.logs[i], x)
			}
		}
		for _, x := range b.logs[i] {
			if !b.done[x] {
				seen[x] = true
			}
		}
	}
	var v []int
	for x := range seen {
		c := 0
		for _, log := range b.logs {
			if slices.Contains(log, x) {
				c++
			}
		}
		if b.first[x] == 0 {
			b.first[x] = b.height
		}
		if c >= b.rule.tau() {
			v = append(v, x)
			if b.tnb[x] == 0 {
				b.tnb[x] = b.height
			}
		}
		if c >= b.rule.s && b.ts[x] == 0 {
			b.ts[x] = b.height
		}
	}
	slices.Sort(v)
	p := b.paths(v)
	var k []int
	for _, x := range v {
		safe := true
		for _, y := range v {
			if b.ts[y] == 0 && p[[2]int{y, x}] {
				safe = false
			}
		}
		if safe {
			k = append(k, x)
		}
	}
	take := func(set []int, forced bool) {
		frames = append(frames, bruteFrame{forced, b.linearize(set, t)})
		for _, x := range set {
			b.done[x] = true
		}
	}
	if len(k) > 0 {
		take(k, false)
	}
	for {
		var waiting []int
		oldest := uint64(0)
		for _, x := range v {
			if b.ts[x] != 0 && !b.done[x] {
				waiting = append(waiting, x)
				if oldest == 0 || b.ts[x] < oldest {
					oldest = b.ts[x]
				}
			}
		}
		if oldest == 0 || b.height-oldest < b.rule.wait {
			break
		}
		var inside, phi []int
		for _, x := range waiting {
			if b.tnb[x] <= oldest {
				inside = append(inside, x)
			}
		}
		p := b.paths(inside)
		for _, x := range inside {
			for _, target := range inside {
				if b.ts[target] == oldest && p[[2]int{x, target}] {
					phi = append(phi, x)
					break
				}
			}
		}
		take(phi, true)
	}
	for x := range seen {
		if !b.done[x] && b.ts[x] == 0 && b.height-b.first[x] >= b.rule.horizon {
			forgotten = append(forgotten, x)
		}
	}
	slices.Sort(forgotten)
	for _, x := range forgotten {
		delete(b.first, x)
		delete(b.tnb, x)
		for i := range b.logs {
			b.logs[i] = slices.DeleteFunc(b.logs[i], func(y int) bool { return x == y })
		}
	}
	return frames, forgotten
}

// linearize is the order of a set: components topologically, then ranked pairs.
func (b *brute) linearize(set []int, t tieRule) (out [][]int) {
	set = slices.Clone(set)
	sort.Slice(set, func(i, j int) bool { return t.id(set[i], set[j]) })
	p := b.paths(set)
	left := slices.Clone(set)
	for len(left) > 0 {
		for _, x := range left { // the first one whose component is a source has the smallest key of all sources
			source := true
			for _, y := range left {
				if p[[2]int{y, x}] && !p[[2]int{x, y}] {
					source = false
				}
			}
			if !source {
				continue
			}
			var comp, rest []int
			for _, y := range left {
				if p[[2]int{x, y}] && p[[2]int{y, x}] {
					comp = append(comp, y)
				} else {
					rest = append(rest, y)
				}
			}
			out, left = append(out, b.ranked(comp, t)), rest
			break
		}
	}
	return out
}

// ranked orders a component, which is sorted by key.
func (b *brute) ranked(comp []int, t tieRule) (out []int) {
	var pairs [][2]int
	for _, x := range comp {
		for _, y := range comp {
			if b.strong(x, y) {
				pairs = append(pairs, [2]int{x, y})
			}
		}
	}
	margin := func(p [2]int) int { return weight(b.logs, p[0], p[1]) - weight(b.logs, p[1], p[0]) }
	sort.SliceStable(pairs, func(i, j int) bool {
		p, q := pairs[i], pairs[j]
		if margin(p) != margin(q) {
			return margin(p) > margin(q)
		}
		if wp, wq := weight(b.logs, p[0], p[1]), weight(b.logs, q[0], q[1]); wp != wq {
			return wp > wq
		}
		return t.pair(p, q)
	})
	locked := map[[2]int]bool{}
	var leads func(x, y int) bool
	leads = func(x, y int) bool {
		if x == y {
			return true
		}
		for _, z := range comp {
			if locked[[2]int{x, z}] && leads(z, y) {
				return true
			}
		}
		return false
	}
	for _, p := range pairs {
		if !leads(p[1], p[0]) {
			locked[p] = true
		}
	}
	left := slices.Clone(comp)
	for len(left) > 0 {
		for i, x := range left {
			if !slices.ContainsFunc(left, func(y int) bool { return locked[[2]int{y, x}] }) {
				out, left = append(out, x), slices.Delete(left, i, i+1)
				break
			}
		}
	}
	return out
}

// intID is the id that stands for a small integer; the order is the integers'.
func intID(x int) (id threshold.ID) {
	binary.BigEndian.PutUint64(id[24:], uint64(x))
	return id
}

func idInt(id threshold.ID) int { return int(binary.BigEndian.Uint64(id[24:])) }

// bruteTies is the design's tie rule. The memory is for speed only.
func bruteTies(beacon [32]byte) tieRule {
	memory := map[int][32]byte{}
	key := func(x int) []byte {
		k, ok := memory[x]
		if !ok {
			id := intID(x)
			k = sha256.Sum256(slices.Concat([]byte("scrim/order/tie/v1"), beacon[:], id[:]))
			memory[x] = k
		}
		return k[:]
	}
	return tieRule{
		id: func(x, y int) bool { return bytes.Compare(key(x), key(y)) < 0 },
		pair: func(a, b [2]int) bool {
			if c := bytes.Compare(key(a[0]), key(b[0])); c != 0 {
				return c < 0
			}
			return bytes.Compare(key(a[1]), key(b[1])) < 0
		},
	}
}

// vectorTies is the rule of the vectors' model, in arithmetic on big integers.
func vectorTies(beacon []byte) tieRule {
	key := func(x int) uint64 {
		h := sha256.Sum256(slices.Concat([]byte("fo/tie/v1"), beacon, binary.BigEndian.AppendUint64(nil, uint64(x))))
		return binary.BigEndian.Uint64(h[:8])
	}
	pair := func(p [2]int) uint64 {
		v := new(big.Int).SetUint64(key(p[1]))
		v.Mul(v, new(big.Int).SetUint64(0x9E3779B97F4A7C15)).Add(v, big.NewInt(1))
		v.Mod(v, new(big.Int).Lsh(big.NewInt(1), 64))
		return key(p[0]) ^ v.Uint64()
	}
	return tieRule{
		id:   func(x, y int) bool { return key(x) < key(y) },
		pair: func(a, b [2]int) bool { return pair(a) < pair(b) },
	}
}
