package fair

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/threshold"
)

var (
	benchMembers = []int{4, 16, 20, 50}
	benchIDs     = []int{100, 350, 1000, 10_000}
)

// benchLogs are the logs of n members that received m ids almost in the same order, each id up to 20 places off.
func benchLogs(n, m int) [][]int {
	rng := rand.New(rand.NewPCG(uint64(n), uint64(m)))
	logs := make([][]int, n)
	for i := range logs {
		at := make([]int, m)
		for x := range m {
			logs[i] = append(logs[i], x+1)
			at[x] = x + rng.IntN(20)
		}
		slices.SortStableFunc(logs[i], func(a, b int) int { return cmp.Compare(at[a-1], at[b-1]) })
	}
	return logs
}

// blocked is a state with m ids in the logs of n-f members (the others are silent), all of them solid, and one that
// is before all others and in one log too few. Nothing can be ordered, so that every height has to look at everything.
func blocked(b *testing.B, n, m int) (State, []Chunk) {
	p := DefaultParams(n)
	p.Wait, p.Horizon, p.MaxChunk, p.MaxLive = 1<<20, 1<<21, 1024, 1<<15
	c := newChain(b, p)
	first := every(p.Quorum())
	for i := range p.Solid - 1 {
		first[i] = []int{0}
	}
	c.step(first)
	logs := benchLogs(n, m)
	for from := 0; from < m; from += p.MaxChunk {
		chunks := map[int][]int{}
		for i := range p.Quorum() {
			chunks[i] = logs[i][from:min(from+p.MaxChunk, m)]
		}
		if d := c.step(chunks); len(d.Frames) != 0 {
			b.Fatal("something is ordered")
		}
	}
	if c.s.Live() != m+1 {
		b.Fatalf("%d live", c.s.Live())
	}
	fresh := map[int][]int{}
	for i := range p.Quorum() {
		for x := range 16 {
			fresh[i] = append(fresh[i], 1_000_000+x)
		}
	}
	return c.s, c.chunks(fresh)
}

func benchSizes(b *testing.B, run func(b *testing.B, n, m int)) {
	for _, n := range benchMembers {
		for _, m := range benchIDs {
			b.Run(fmt.Sprintf("n=%d/ids=%d", n, m), func(b *testing.B) { run(b, n, m) })
		}
	}
}

// One height: m ids in flight, every member adds 16 ids, nothing can be ordered.
func BenchmarkStep(b *testing.B) {
	benchSizes(b, func(b *testing.B, n, m int) {
		s, chunks := blocked(b, n, m)
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := Step(s, s.Height()+1, chunks, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func benchFrame(n, m int, logs [][]int) *Frame {
	f := &Frame{Logs: make([][]uint32, n)}
	for x := range m {
		f.IDs = append(f.IDs, intID(x+1))
	}
	for i, log := range logs {
		for _, x := range log {
			f.Logs[i] = append(f.Logs[i], uint32(x-1))
		}
	}
	return f
}

// The final order of a frame whose logs are almost alike.
func BenchmarkOrder(b *testing.B) {
	benchSizes(b, func(b *testing.B, n, m int) {
		f, p := benchFrame(n, m, benchLogs(n, m)), DefaultParams(n)
		b.ReportAllocs()
		for b.Loop() {
			f.Order(p, [32]byte{1})
		}
	})
}

// The final order of a frame that is one cycle: ranked pairs up to 512 ids, then Copeland's score.
func BenchmarkOrderCycle(b *testing.B) {
	for _, n := range benchMembers {
		for _, m := range []int{100, 350, 512, 513, 10_000} {
			b.Run(fmt.Sprintf("n=%d/ids=%d", n, m), func(b *testing.B) {
				log := benchLogs(1, m)[0]
				logs := make([][]int, n)
				for i := range logs {
					k := m * i / n
					logs[i] = slices.Concat(log[k:], log[:k])
				}
				f, p := benchFrame(n, m, logs), DefaultParams(n)
				if comps := f.Order(p, [32]byte{}); len(comps) > m/2 {
					b.Fatalf("%d components", len(comps))
				}
				for b.Loop() {
					f.Order(p, [32]byte{1})
				}
			})
		}
	}
}

// Sizes of what is sent and stored, as a metric: ids in all logs alike, 16 new ones in each.
func BenchmarkSectionSize(b *testing.B) {
	for _, n := range benchMembers {
		for _, fresh := range []int{16, 64} {
			b.Run(fmt.Sprintf("n=%d/new=%d", n, fresh), func(b *testing.B) {
				s := Section{Height: 1}
				for i := range n {
					var ids []threshold.ID
					for x := range fresh {
						ids = append(ids, intID(x))
					}
					s.Entries = append(s.Entries, Announcement{IDs: ids, Statement: Statement{
						ChainID: testChain, Member: uint32(i + 1), Sequence: uint64(fresh), Head: extendHead(commitreveal.Hash{}, ids)}})
				}
				var size int
				for b.Loop() {
					wire, err := s.MarshalBinary()
					if err != nil {
						b.Fatal(err)
					}
					size = len(wire)
				}
				b.ReportMetric(float64(size), "bytes")
			})
		}
	}
}

// A frame that is cut in the middle, and the explanation of one pair of it, for almost equal logs and for one cycle.
func BenchmarkCutAndExplain(b *testing.B) {
	const n, m = 20, 350
	p := DefaultParams(n)
	cycle := make([][]int, n)
	for i := range cycle {
		log := benchLogs(1, m)[0]
		k := m * i / n
		cycle[i] = slices.Concat(log[k:], log[:k])
	}
	for name, logs := range map[string][][]int{"alike": benchLogs(n, m), "cycle": cycle} {
		f := benchFrame(n, m, logs)
		b.Run("cut/"+name, func(b *testing.B) {
			for b.Loop() {
				f.Cut(p, atMost(m/2), true)
			}
		})
		b.Run("explain/"+name, func(b *testing.B) {
			for b.Loop() {
				if _, err := f.Explain(p, [32]byte{1}, f.IDs[7], f.IDs[m-7]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A proposer that holds the last 16 announcements of each member makes a section of them.
func BenchmarkSection(b *testing.B) {
	for _, n := range []int{4, 20} {
		b.Run(fmt.Sprintf("n=%d/new=64", n), func(b *testing.B) {
			c := newChain(b, DefaultParams(n))
			var held []*Announcement
			for m := range n {
				for k := range 16 {
					xs := make([]int, 4*(k+1))
					for i := range xs {
						xs[i] = i
					}
					a := c.announce(m, xs...)
					held = append(held, &a)
				}
			}
			for b.Loop() {
				if wire, _, err := c.s.Section(held); err != nil || wire == nil {
					b.Fatal(err)
				}
			}
		})
	}
}
