package audit

import (
	"fmt"
	"strings"
	"testing"

	"github.com/scrimlabs/scrim/threshold"
)

// BenchmarkRun audits a bundle of four batches of 128 small transactions.
func BenchmarkRun(b *testing.B) {
	const batches, size = 4, 128
	n := newNetwork(b)
	for h := range uint64(batches) {
		var cts []*threshold.Ciphertext
		for i := range size {
			cts = append(cts, n.seal(fmt.Sprintf("transaction %d", i)))
		}
		n.block(3+h, cts...)
	}
	n.reveal(0)
	bundle := n.bundle()
	b.SetBytes(int64(len(bundle)))
	for b.Loop() {
		if r, err := Run(strings.NewReader(bundle), testChecks(), Options{}); err != nil || r.Verdict != Verified {
			b.Fatal(r, err)
		}
	}
	b.ReportMetric(float64(batches*size*b.N)/b.Elapsed().Seconds(), "openings/s")
}
