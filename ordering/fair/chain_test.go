package fair

import (
	"testing"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/threshold"
)

// chain drives a State with logs of small integers, as blocks would.
type chain struct {
	t     testing.TB
	s     State
	heads []commitreveal.Hash
	seqs  []uint64
	done  map[threshold.ID]bool
}

func newChain(t testing.TB, p Params) *chain {
	t.Helper()
	s, err := New(p, 0)
	if err != nil {
		t.Fatal(err)
	}
	return &chain{t, s, make([]commitreveal.Hash, p.Members), make([]uint64, p.Members), map[threshold.ID]bool{}}
}

// chunk is the next part of a member's log; members count from 0 here.
func (c *chain) chunk(member int, xs []int) Chunk {
	ids := intIDs(xs)
	return Chunk{Member: uint32(member + 1), Sequence: c.seqs[member] + uint64(len(ids)), Head: extendHead(c.heads[member], ids), IDs: ids}
}

// chunks are those of a height, by member.
func (c *chain) chunks(byMember map[int][]int) (out []Chunk) {
	for i := range c.seqs {
		if xs, ok := byMember[i]; ok {
			out = append(out, c.chunk(i, xs))
		}
	}
	return out
}

// step takes one height, and checks what always holds.
func (c *chain) step(byMember map[int][]int) Decision {
	c.t.Helper()
	return c.take(c.chunks(byMember))
}

func (c *chain) take(chunks []Chunk) Decision {
	c.t.Helper()
	before := encode(c.t, c.s)
	next, d, err := Step(c.s, c.s.Height()+1, chunks, func(id threshold.ID) bool { return c.done[id] })
	if err != nil {
		c.t.Fatalf("height %d: %v", c.s.Height()+1, err)
	}
	if string(encode(c.t, c.s)) != string(before) {
		c.t.Fatalf("height %d changed its input", next.Height())
	}
	for _, ch := range chunks {
		c.heads[ch.Member-1], c.seqs[ch.Member-1] = ch.Head, ch.Sequence
	}
	for _, f := range d.Frames {
		for _, id := range f.IDs {
			if c.done[id] {
				c.t.Fatalf("%d is ordered twice", idInt(id))
			}
			c.done[id] = true
		}
	}
	c.s = next
	return d
}

func encode(t testing.TB, s State) []byte {
	t.Helper()
	b, err := s.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func intIDs(xs []int) []threshold.ID {
	ids := make([]threshold.ID, len(xs))
	for i, x := range xs {
		ids[i] = intID(x)
	}
	return ids
}

func idInts(ids []threshold.ID) []int {
	xs := make([]int, len(ids))
	for i, id := range ids {
		xs[i] = idInt(id)
	}
	return xs
}

// every gives all members the same part of a log.
func every(n int, xs ...int) map[int][]int {
	out := map[int][]int{}
	for i := range n {
		out[i] = xs
	}
	return out
}

// flat is the order of a decision without its components.
func flat(p Params, d Decision, beacon [32]byte) (out []int) {
	for i := range d.Frames {
		for _, c := range d.Frames[i].Order(p, beacon) {
			out = append(out, idInts(c)...)
		}
	}
	return out
}
