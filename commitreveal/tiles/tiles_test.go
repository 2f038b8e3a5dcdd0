package tiles_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/commitreveal/tiles"
)

func TestPath(t *testing.T) {
	for path, tile := range map[string]tiles.Tile{
		"tile/0/000":                               {Width: 256},
		"tile/0/000.p/1":                           {Width: 1},
		"tile/63/999.p/255":                        {Level: 63, Index: 999, Width: 255},
		"tile/0/x001/x234/067":                     {Index: 1234067, Width: 256}, // tlog-tiles' own example
		"tile/entries/x001/000.p/17":               {Level: tiles.Entries, Index: 1000, Width: 17},
		"tile/1/x001/x152/x921/x504/x606/x846/975": {Level: 1, Index: 1<<60 - 1, Width: 256},
	} {
		if got := tile.Path(); got != path {
			t.Errorf("%+v has the path %s, want %s", tile, got, path)
		}
		if got, err := tiles.ParsePath(path); err != nil || got != tile {
			t.Errorf("%s: %+v, %v", path, got, err)
		}
	}
}

func TestPathHasOneSpelling(t *testing.T) {
	for _, path := range []string{
		"", "tile", "tile/", "tile/0", "tile/0/", "/tile/0/000", "tile/0/000/", "tile/0/00", "tile/0/0000", "tile/0/0", "tile/00/000", "tile/+1/000", "tile/-1/000",
		"tile/64/000", "tile/0/x000/000", "tile/0/x001", "tile/0/001/000", "tile/0/x001/x000", "tile/0/X001/000", "tile/0/000.p/0", "tile/0/000.p/256", "tile/0/000.p/01",
		"tile/0/000.p/", "tile/0/000.p", "tile/0/000.p/+1", "tile/0/000.p/1/2", "tile/entry/000", "tile/Entries/000", "tile/0/x999/x999/x999/x999/x999/x999/999",
		"tile/0/x001/x152/x921/x504/x606/x846/976", "tile/0/00a", "tile/0/000\n", "tile/0/000.p/1\r", "tile/0/x00１/000", "tile/8/0/000", "tile/0//000",
	} {
		if tile, err := tiles.ParsePath(path); !errors.Is(err, tiles.ErrPath) {
			t.Errorf("%q: %+v, %v", path, tile, err)
		}
	}
}

func FuzzParsePath(f *testing.F) {
	for _, s := range []string{"tile/0/000", "tile/0/x001/x234/067.p/9", "tile/entries/x001/000.p/17", "tile/0/x000/000", "tile/00/000"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		tile, err := tiles.ParsePath(path)
		if err == nil && tile.Path() != path {
			t.Errorf("%q parses to %+v, whose path is %q", path, tile, tile.Path())
		}
		if err != nil && !errors.Is(err, tiles.ErrPath) {
			t.Error(err)
		}
		if err == nil {
			_, _ = tile.HashIndexes()
		}
	})
}

func TestNeeded(t *testing.T) {
	// tlog-tiles, Partial Tiles: the example of a tree of 70,000.
	count := func(level int) (full, width int) {
		for _, tile := range tiles.Needed(70000, level, 0) {
			if tile.Width == tiles.Width {
				full++
			} else {
				width = tile.Width
			}
		}
		return full, width
	}
	for level, want := range map[int][2]int{0: {273, 112}, 1: {1, 17}, 2: {0, 1}, 3: {0, 0}, tiles.Entries: {273, 112}} {
		if full, width := count(level); full != want[0] || width != want[1] {
			t.Errorf("level %d: %d full tiles and one of %d, want %v", level, full, width, want)
		}
	}
	if got := tiles.Needed(70000, 0, 273); len(got) != 1 || got[0].Index != 273 {
		t.Errorf("from the last tile on: %v", got)
	}
	if got := tiles.Needed(256, 0, 1); len(got) != 0 {
		t.Errorf("beyond the end: %v", got)
	}
	if got := tiles.Needed(0, 0, 0); len(got) != 0 {
		t.Errorf("of nothing: %v", got)
	}
}

func TestHashIndexesRefuse(t *testing.T) {
	for _, tile := range []tiles.Tile{{Level: tiles.Entries, Width: 1}, {Width: 0}, {Width: 257}, {Level: 7, Width: 1}, {Level: 63, Width: 1}, {Index: 1 << 52, Width: 1}, {Level: -2, Width: 1}} {
		if _, err := tile.HashIndexes(); !errors.Is(err, tiles.ErrPath) {
			t.Errorf("%+v: %v", tile, err)
		}
	}
	if _, err := (tiles.Tile{Level: 6, Index: 15, Width: 256}).HashIndexes(); err != nil {
		t.Errorf("the last tile of the largest log: %v", err)
	}
}

func TestEntries(t *testing.T) {
	largest := bytes.Repeat([]byte{7}, commitreveal.MaxEntrySize)
	entries := [][]byte{{}, []byte("a"), largest}
	b, err := tiles.AppendEntries(nil, entries)
	if err != nil {
		t.Fatal(err)
	}
	tile := tiles.Tile{Level: tiles.Entries, Width: 3}
	got, err := tiles.ParseEntries(tile, b)
	if err != nil || len(got) != 3 || len(got[0]) != 0 || string(got[1]) != "a" || !bytes.Equal(got[2], largest) {
		t.Fatalf("%d entries, %v", len(got), err)
	}
	if _, err := tiles.AppendEntries(nil, [][]byte{make([]byte, commitreveal.MaxEntrySize+1)}); !errors.Is(err, tiles.ErrEncoding) {
		t.Errorf("too large: %v", err)
	}
	for name, bad := range map[string][]byte{"cut": b[:len(b)-1], "cut in a length": b[:3], "left over": append(bytes.Clone(b), 0), "empty": nil} {
		if _, err := tiles.ParseEntries(tile, bad); !errors.Is(err, tiles.ErrEncoding) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := tiles.ParseEntries(tiles.Tile{Width: 3}, b); !errors.Is(err, tiles.ErrEncoding) {
		t.Errorf("a tile of hashes: %v", err)
	}
	if _, err := tiles.ParseHashes(tiles.Tile{Width: 2}, make([]byte, 63)); !errors.Is(err, tiles.ErrEncoding) {
		t.Errorf("hashes: %v", err)
	}
	if _, err := tiles.ParseHashes(tile, make([]byte, 96)); !errors.Is(err, tiles.ErrEncoding) {
		t.Errorf("hashes of a tile of entries: %v", err)
	}
}

func FuzzParseEntries(f *testing.F) {
	f.Add(2, []byte{0, 1, 'a', 0, 0})
	f.Add(1, []byte{0xff, 0xff})
	f.Fuzz(func(t *testing.T, width int, b []byte) {
		tile := tiles.Tile{Level: tiles.Entries, Width: width}
		entries, err := tiles.ParseEntries(tile, b)
		if err != nil {
			if !errors.Is(err, tiles.ErrEncoding) {
				t.Error(err)
			}
			return
		}
		if again, err := tiles.AppendEntries(nil, entries); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%x encodes to %x, %v", b, again, err)
		}
	})
}

// tree is a log of n entries with all its hashes.
type tree struct {
	log     commitreveal.Log
	hashes  []commitreveal.Hash
	entries [][]byte
	roots   []commitreveal.Hash // by size
}

func grow(t testing.TB, n int) *tree {
	tr := &tree{roots: []commitreveal.Hash{commitreveal.Log{}.Root()}}
	for i := range n {
		e := fmt.Appendf(nil, "entry %d", i)
		next, stored, err := tr.log.Append(e)
		if err != nil {
			t.Fatal(err)
		}
		tr.log, tr.hashes, tr.entries = next, append(tr.hashes, stored...), append(tr.entries, e)
		tr.roots = append(tr.roots, next.Root())
	}
	return tr
}

func (tr *tree) read(indexes []int64) ([]commitreveal.Hash, error) {
	out := make([]commitreveal.Hash, len(indexes))
	for i, x := range indexes {
		if x >= int64(len(tr.hashes)) {
			return nil, errors.New("not there")
		}
		out[i] = tr.hashes[x]
	}
	return out, nil
}

// Every proof of every size up to 40 holds, and no altered one does.
func TestProofs(t *testing.T) {
	const n = 40
	tr := grow(t, n)
	for size := uint64(1); size <= n; size++ {
		root, err := tiles.Root(size, tr.read)
		if err != nil || root != tr.roots[size] {
			t.Fatalf("root of %d: %s, %v", size, root, err)
		}
		for i := uint64(0); i < size; i++ {
			path, err := tiles.ProveInclusion(size, i, tr.read)
			if err != nil {
				t.Fatal(err)
			}
			leaf := tiles.LeafHash(tr.entries[i])
			if err := tiles.CheckInclusion(path, size, root, i, leaf); err != nil {
				t.Fatal(err)
			}
			for name, err := range map[string]error{
				"index":  tiles.CheckInclusion(path, size, root, i+1, leaf),
				"root":   tiles.CheckInclusion(path, size, commitreveal.Hash{}, i, leaf),
				"leaf":   tiles.CheckInclusion(path, size, root, i, commitreveal.Hash{}),
				"longer": tiles.CheckInclusion(append(path[:len(path):len(path)], leaf), size, root, i, leaf),
			} {
				if !errors.Is(err, tiles.ErrProof) {
					t.Fatalf("entry %d of %d, %s: %v", i, size, name, err)
				}
			}
		}
		for old := uint64(0); old <= size; old++ {
			proof, err := tiles.ProveConsistency(old, size, tr.read)
			if err != nil {
				t.Fatal(err)
			}
			if err := tiles.CheckConsistency(proof, old, tr.roots[old], size, root); err != nil {
				t.Fatalf("%d to %d: %v", old, size, err)
			}
			for name, err := range map[string]error{
				"old root": tiles.CheckConsistency(proof, old, commitreveal.Hash{1}, size, root),
				"longer":   tiles.CheckConsistency(append(proof[:len(proof):len(proof)], root), old, tr.roots[old], size, root),
			} {
				if !errors.Is(err, tiles.ErrProof) {
					t.Fatalf("%d to %d, %s: %v", old, size, name, err)
				}
			}
			if old > 0 {
				if err := tiles.CheckConsistency(proof, old, tr.roots[old], size, commitreveal.Hash{1}); !errors.Is(err, tiles.ErrProof) {
					t.Fatalf("%d to %d, new root: %v", old, size, err)
				}
			}
		}
	}
}

func TestProofsRefuse(t *testing.T) {
	tr := grow(t, 3)
	for name, err := range map[string]error{
		"no entry":     second(tiles.ProveInclusion(3, 3, tr.read)),
		"no tree":      second(tiles.ProveInclusion(0, 0, tr.read)),
		"huge":         second(tiles.ProveInclusion(1<<61, 0, tr.read)),
		"shrinking":    second(tiles.ProveConsistency(3, 2, tr.read)),
		"check shrink": tiles.CheckConsistency(nil, 3, tr.roots[3], 2, tr.roots[2]),
		"check huge":   tiles.CheckConsistency(nil, 0, tr.roots[0], 1<<61, tr.roots[2]),
		"short read":   second(tiles.ProveInclusion(3, 0, func([]int64) ([]commitreveal.Hash, error) { return nil, nil })),
	} {
		if !errors.Is(err, tiles.ErrProof) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := tiles.Root(4, tr.read); err == nil {
		t.Error("the root of a tree that is not there")
	}
}

func second[T any](_ T, err error) error { return err }

// x/mod's own tile reader reads our tiles: the hashes are in the same places.
func TestTilesAreThoseOfTlog(t *testing.T) {
	tr := grow(t, 700)
	for range 50 {
		l, n := rand.IntN(2), rand.Int64N(3)
		w := 256
		if l == 1 {
			n, w = 0, 2
		} else if n == 2 {
			w = 1 + rand.IntN(700-512)
		}
		theirs, err := tlog.ReadTileData(tlog.Tile{H: 8, L: l, N: n, W: w}, tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
			return tiles.Reader(tr.read).ReadHashes(indexes)
		}))
		if err != nil {
			t.Fatal(err)
		}
		tile := tiles.Tile{Level: l, Index: uint64(n), Width: w}
		indexes, err := tile.HashIndexes()
		if err != nil {
			t.Fatal(err)
		}
		hashes, err := tr.read(indexes)
		if err != nil {
			t.Fatal(err)
		}
		if ours := tiles.AppendHashes(nil, hashes); !bytes.Equal(ours, theirs) {
			t.Errorf("%s differs", tile.Path())
		}
	}
}

func ExampleTile_Path() {
	for _, tile := range tiles.Needed(70000, 0, 272) {
		fmt.Println(tile.Path())
	}
	// Output:
	// tile/0/272
	// tile/0/273.p/112
}
