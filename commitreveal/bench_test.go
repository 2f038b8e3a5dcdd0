package commitreveal

import (
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
