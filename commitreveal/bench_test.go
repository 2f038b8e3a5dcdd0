package commitreveal

import (
	"fmt"
	"testing"

	"github.com/scrimlabs/scrim/threshold"
)

// BenchmarkAppend adds an entry to a log of 2^20 - 1 entries, the most work that
// an append to a log of that order can be.
func BenchmarkAppend(b *testing.B) {
	log := Log{}
	for level := 19; level >= 0; level-- {
		log.edge = append(log.edge, subtree{level: level})
	}
	entry := make([]byte, 200)
	for b.Loop() {
		if _, _, err := log.Append(entry); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBatchRoot(b *testing.B) {
	ids := make([]threshold.ID, 128)
	for b.Loop() {
		BatchRoot(ids)
	}
}

// What completeness adds to a block: the namespaces' root of a batch with eight namespaces.
func BenchmarkNamespaceRoot(b *testing.B) {
	for _, n := range []int{16, 128, 512} {
		batch, names := spread(n, 8)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				if _, err := NamespaceRoot(batch, names); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
