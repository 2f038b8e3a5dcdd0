package pg_test

import (
	"fmt"
	"testing"
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
