package pg_test

import (
	"fmt"
	"testing"

	"github.com/scrimlabs/scrim/commitreveal/tiles"
	"github.com/scrimlabs/scrim/internal/pg"
)

// A block that orders b ciphertexts and reveals the b of the block before.
func BenchmarkCommitBlock(b *testing.B) {
	for _, size := range []int{1, 16, 128, 512} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s, _ := newStore(b)
			c := &chain{t: b}
			last := c.order(seal(b, 1<<20, size, "a", 1<<40))
			commit(b, s, last)
			seed := uint64(0)
			for b.Loop() {
				b.StopTimer()
				seed++
				last = c.revealAndOrder(last, seal(b, seed, size, "a", 1<<40))
				b.StartTimer()
				commit(b, s, last)
			}
		})
	}
}

func BenchmarkReceive(b *testing.B) {
	for _, size := range []int{1, 16, 128} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s, _ := newStore(b)
			seed := uint64(0)
			for b.Loop() {
				b.StopTimer()
				seed++
				cts := plain(seal(b, seed, size, "a", 1<<40))
				b.StartTimer()
				receive(b, s, 1, cts...)
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*size), "µs/ciphertext")
		})
	}
}

// What publication adds to a block, in a log of 100,000 entries; it includes a transaction of its own, which the block has anyway.
func BenchmarkLogCheckpoint(b *testing.B) {
	s, _ := newStore(b)
	c := &chain{t: b}
	for range 10 {
		commit(b, s, c.long(10_000))
	}
	size := c.log.Size() - 1 // all levels of the tree count
	for b.Loop() {
		if err := pg.CheckpointCost(b.Context(), s, size); err != nil {
			b.Fatal(err)
		}
	}
}

// A full tile of hashes, and one of entries, read for a request.
func BenchmarkLogTile(b *testing.B) {
	s, _ := newStore(b)
	c := &chain{t: b}
	commit(b, s, c.long(10_000))
	for name, tile := range map[string]tiles.Tile{"hashes": {Index: 20, Width: 256}, "entries": {Level: tiles.Entries, Index: 20, Width: 256}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := s.LogTile(b.Context(), tile); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
