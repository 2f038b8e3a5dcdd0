package fair

import "math/bits"

// bitset is a set of vertices.
type bitset []uint64

func newBitset(m int) bitset { return make(bitset, (m+63)/64) }

func (b bitset) set(i int)      { b[i>>6] |= 1 << (i & 63) }
func (b bitset) clear(i int)    { b[i>>6] &^= 1 << (i & 63) }
func (b bitset) has(i int) bool { return b[i>>6]>>(i&63)&1 == 1 }

func (b bitset) add(o bitset) {
	for i, w := range o {
		b[i] |= w
	}
}

func (b bitset) remove(o bitset) {
	for i, w := range o {
		b[i] &^= w
	}
}

func (b bitset) len() (n int) {
	for _, w := range b {
		n += bits.OnesCount64(w)
	}
	return n
}

// each calls f for the members of the set, in ascending order.
func (b bitset) each(f func(i int)) {
	for at, w := range b {
		for ; w != 0; w &= w - 1 {
			f(at<<6 + bits.TrailingZeros64(w))
		}
	}
}

// list gives the members of the set, in ascending order.
func (b bitset) list() []int {
	out := make([]int, 0, b.len())
	b.each(func(i int) { out = append(out, i) })
	return out
}

// graph has the strong edges between the vertices 0..m-1, by row: out[x] are those that x comes before,
// in[x] those that come before x.
type graph struct {
	m       int
	out, in []bitset
}

// strongEdges counts the logs' votes on every pair and keeps the edges (x, y) with w(x,y) >= tau and
// w(y,x) <= rho. A log lists vertices, each at most once.
//
// It works on 64 vertices y at a time: one walk along a log gives, for every x, the word of those y that are
// before x. The words of all logs are added in bit-sliced counters, one machine word for each binary digit.
func strongEdges(m int, logs [][]uint32, tau, rho int) *graph {
	g := &graph{m: m, out: make([]bitset, m), in: make([]bitset, m)}
	words := (m + 63) / 64
	rows := make(bitset, 2*m*words)
	for x := range m {
		g.out[x], rows = rows[:words:words], rows[words:]
		g.in[x], rows = rows[:words:words], rows[words:]
	}
	absent := absences(m, logs)
	digits := bits.Len(uint(len(logs)))
	forward := make([]uint64, m*digits)  // w(x, y)
	backward := make([]uint64, m*digits) // w(y, x)
	for block := range words {
		clear(forward)
		clear(backward)
		all := ^uint64(0)
		if rest := m - block<<6; rest < 64 {
			all = 1<<rest - 1
		}
		for i, log := range logs {
			var before uint64
			for _, x := range log {
				var self uint64
				if int(x)>>6 == block {
					self = 1 << (x & 63)
				}
				at := int(x) * digits
				count(forward[at:], all&^before&^self)
				count(backward[at:], before)
				before |= self
			}
			for _, x := range absent[i] {
				count(backward[int(x)*digits:], before)
			}
		}
		for x := range m {
			f, b := forward[x*digits:(x+1)*digits], backward[x*digits:(x+1)*digits]
			g.out[x][block] = atLeast(f, tau) &^ atLeast(b, rho+1)
			g.in[x][block] = atLeast(b, tau) &^ atLeast(f, rho+1)
		}
	}
	return g
}

// absences gives for each log the vertices that it does not hold.
func absences(m int, logs [][]uint32) [][]uint32 {
	out := make([][]uint32, len(logs))
	for i, log := range logs {
		held := newBitset(m)
		for _, x := range log {
			held.set(int(x))
		}
		out[i] = make([]uint32, 0, m-len(log))
		for x := range m {
			if !held.has(x) {
				out[i] = append(out[i], uint32(x))
			}
		}
	}
	return out
}

// count adds one to the counters of the bits in carry.
func count(digits []uint64, carry uint64) {
	for i := 0; carry != 0; i++ {
		d := digits[i]
		digits[i] = d ^ carry
		carry &= d
	}
}

// atLeast gives the bits whose counters are k or more; k must fit into the digits.
func atLeast(digits []uint64, k int) uint64 {
	var above uint64
	equal := ^uint64(0)
	for i := len(digits) - 1; i >= 0; i-- {
		if k>>i&1 == 1 {
			equal &= digits[i]
		} else {
			above |= equal & digits[i]
			equal &^= digits[i]
		}
	}
	return above | equal
}

// reach gives the vertices at the end of a path along rows from a vertex of from, those included, without
// leaving within.
func reach(rows []bitset, from []int, within bitset) bitset {
	found := make(bitset, len(within))
	todo := make([]int, 0, len(from))
	for _, x := range from {
		if within.has(x) && !found.has(x) {
			found.set(x)
			todo = append(todo, x)
		}
	}
	for len(todo) > 0 {
		x := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for at, w := range rows[x] {
			for w &= within[at] &^ found[at]; w != 0; w &= w - 1 {
				y := at<<6 + bits.TrailingZeros64(w)
				found.set(y)
				todo = append(todo, y)
			}
		}
	}
	return found
}

// components gives the strongly connected components, each in ascending order, and the component of every
// vertex (Kosaraju's two searches).
func (g *graph) components() (comps [][]int, of []int) {
	finished := g.finishOrder()
	left := newBitset(g.m)
	for x := range g.m {
		left.set(x)
	}
	of = make([]int, g.m)
	for i := len(finished) - 1; i >= 0; i-- {
		if x := finished[i]; left.has(x) {
			found := reach(g.in, []int{x}, left)
			left.remove(found)
			c := found.list()
			for _, y := range c {
				of[y] = len(comps)
			}
			comps = append(comps, c)
		}
	}
	return comps, of
}

// finishOrder is the order in which a depth-first search along out leaves the vertices.
func (g *graph) finishOrder() []int {
	type visit struct{ x, word int } // the words of out[x] before word have nothing new
	seen := newBitset(g.m)
	order := make([]int, 0, g.m)
	var path []visit
	for start := range g.m {
		if seen.has(start) {
			continue
		}
		seen.set(start)
		path = append(path, visit{x: start})
		for len(path) > 0 {
			v := &path[len(path)-1]
			row := g.out[v.x]
			for v.word < len(row) && row[v.word]&^seen[v.word] == 0 {
				v.word++
			}
			if v.word == len(row) {
				order = append(order, v.x)
				path = path[:len(path)-1]
				continue
			}
			y := v.word<<6 + bits.TrailingZeros64(row[v.word]&^seen[v.word])
			seen.set(y)
			path = append(path, visit{x: y})
		}
	}
	return order
}
