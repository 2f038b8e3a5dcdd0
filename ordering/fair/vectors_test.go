package fair

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

// vector is a case of testdata/ordering.json, a copy of the project's shared vectors.
type vector struct {
	Name     string   `json:"name"`
	N        int      `json:"n"`
	F        int      `json:"f"`
	S        int      `json:"s"`
	HStar    int      `json:"h_star"`
	Tau      int      `json:"tau"`
	Rho      int      `json:"rho"`
	Beacon   string   `json:"beacon_hex"`
	Logs     [][]int  `json:"logs"`
	Count    []int    `json:"count"`
	Solid    []int    `json:"solid"`
	Nonblank []int    `json:"nonblank"`
	Edges    [][4]int `json:"edges_u_v_fwd_rev"`
	Safe     []int    `json:"k_safe"`
	Batches  [][]int  `json:"batches"`
}

func (v vector) params() Params {
	p := DefaultParams(v.N)
	p.Faulty, p.Solid, p.Agreement = v.F, v.S, v.HStar
	return p
}

func readVectors(t *testing.T) []vector {
	t.Helper()
	b, err := os.ReadFile("testdata/ordering.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Vectors []vector }
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Vectors) < 20 {
		t.Fatalf("only %d vectors", len(file.Vectors))
	}
	return file.Vectors
}

// vectorOrder is the frame's order with the tie rule of the vectors' model.
func vectorOrder(f *Frame, p Params, beacon []byte) [][]int {
	keys := make([]uint64, len(f.IDs))
	long := make([][32]byte, len(f.IDs))
	for i, id := range f.IDs {
		h := sha256.Sum256(slices.Concat([]byte("fo/tie/v1"), beacon, id[24:]))
		keys[i] = binary.BigEndian.Uint64(h[:8])
		copy(long[i][:8], h[:8])
	}
	pair := func(e edge) uint64 { return keys[e.x] ^ (keys[e.y]*0x9E3779B97F4A7C15 + 1) }
	return ints(f.order(p, ties{rank: ranks(long), limit: maxRanked, edge: func(a, b edge) int {
		return cmp.Compare(pair(a), pair(b))
	}}))
}

func ints(comps []Component) [][]int {
	out := [][]int{}
	for _, c := range comps {
		var xs []int
		for _, id := range c {
			xs = append(xs, idInt(id))
		}
		out = append(out, xs)
	}
	return out
}

func TestVectors(t *testing.T) {
	for _, v := range readVectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			p := v.params()
			if p.Tau() != v.Tau || p.Rho() != v.Rho {
				t.Errorf("tau %d, rho %d, want %d, %d", p.Tau(), p.Rho(), v.Tau, v.Rho)
			}
			beacon, err := hex.DecodeString(v.Beacon)
			if err != nil {
				t.Fatal(err)
			}
			c := newChain(t, p)
			d := c.step(v.chunks())
			got := [][]int{}
			var set []int
			for i := range d.Frames {
				if d.Frames[i].Forced {
					t.Error("a forced frame at the first height")
				}
				got = append(got, vectorOrder(&d.Frames[i], p, beacon)...)
				set = append(set, idInts(d.Frames[i].IDs)...)
			}
			check(t, "batches", v.Batches, got)
			check(t, "k_safe", v.Safe, set)
		})
	}
}

// The intermediate values, from the product's graph.
func TestVectorsGraph(t *testing.T) {
	for _, v := range readVectors(t) {
		p := v.params()
		frame := Frame{Logs: make([][]uint32, v.N)} // of the non-blank ids
		index := map[int]uint32{}
		for i, x := range v.Nonblank {
			index[x] = uint32(i)
			frame.IDs = append(frame.IDs, intID(x))
		}
		for i, log := range v.Logs {
			for _, x := range log {
				if at, ok := index[x]; ok {
					frame.Logs[i] = append(frame.Logs[i], at)
				}
			}
		}
		g := strongEdges(len(frame.IDs), frame.Logs, p.Tau(), p.Rho())
		pos := frame.positions()
		var got [][4]int
		for x := range g.m {
			g.out[x].each(func(y int) {
				f, b := votes(pos[x], pos[y])
				got = append(got, [4]int{v.Nonblank[x], v.Nonblank[y], f, b})
				if !g.in[y].has(x) {
					t.Errorf("%s: %d -> %d is only in one of the two directions", v.Name, x, y)
				}
			})
		}
		check(t, v.Name, v.Edges, got)
	}
}

// The vectors come from one model: here is a second one.
func TestVectorsAgainstBruteForce(t *testing.T) {
	for _, v := range readVectors(t) {
		b := newBrute(bruteRule{n: v.N, s: v.S, hStar: v.HStar, wait: 4, horizon: 1000})
		beacon, _ := hex.DecodeString(v.Beacon)
		frames, _ := b.step(v.chunks(), vectorTies(beacon))
		batches := [][]int{}
		for _, f := range frames {
			batches = append(batches, f.comps...)
		}
		check(t, v.Name+": batches", v.Batches, batches)
		var solid, nonblank, count []int
		var edges [][4]int
		for x := range v.Count {
			c := 0
			for _, log := range v.Logs {
				if slices.Contains(log, x) {
					c++
				}
			}
			count = append(count, c)
			if b.ts[x] > 0 {
				solid = append(solid, x)
			}
			if b.tnb[x] > 0 {
				nonblank = append(nonblank, x)
			}
			for y := range v.Count {
				if b.tnb[x] > 0 && b.tnb[y] > 0 && b.strong(x, y) {
					edges = append(edges, [4]int{x, y, weight(b.logs, x, y), weight(b.logs, y, x)})
				}
			}
		}
		check(t, v.Name+": count", v.Count, count)
		check(t, v.Name+": solid", v.Solid, solid)
		check(t, v.Name+": nonblank", v.Nonblank, nonblank)
		check(t, v.Name+": edges", v.Edges, edges)
		var safe []int
		for _, c := range batches {
			safe = append(safe, c...)
		}
		slices.Sort(safe)
		check(t, v.Name+": k_safe", v.Safe, safe)
	}
}

func (v vector) chunks() map[int][]int {
	chunks := map[int][]int{}
	for i, log := range v.Logs {
		chunks[i] = log
	}
	return chunks
}

// check compares two lists, none and empty being the same.
func check[T any](t *testing.T, what string, want, got []T) {
	t.Helper()
	if len(want) == 0 && len(got) == 0 {
		return
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}
