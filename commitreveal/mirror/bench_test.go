package mirror_test

import (
	"net/http/httptest"
	"runtime"
	"testing"

	"github.com/scrimlabs/scrim/commitreveal/audit"
	"github.com/scrimlabs/scrim/commitreveal/mirror"
	"github.com/scrimlabs/scrim/commitreveal/mirror/mirrortest"
	"github.com/scrimlabs/scrim/internal/wallet"
)

// BenchmarkUpdate mirrors 100,000 transactions in batches of 128 (and of 8) from a
// server on loopback that has them ready.
func BenchmarkUpdate(b *testing.B) {
	const transactions = 100_000
	for name, size := range map[string]int{"batch=128": 128, "batch=8": 8} {
		b.Run(name, func(b *testing.B) {
			c := chain()
			certificate, err := c.State.Ceremony().Certificate().MarshalBinary()
			must(b, err)
			s := mirrortest.New(c.Genesis.ChainID, c.Secrets[0].Identity())
			s.Limits = mirrortest.Header(b, c).Limits
			must(b, s.Add(mirrortest.Synthetic(b, certificate, c.State.Committee(), c.Seal("x"), (transactions+size-1)/size, size)...))
			h := httptest.NewServer(s)
			defer h.Close()
			client, err := mirror.NewClient(h.URL, nil)
			must(b, err)
			for b.Loop() {
				m, err := mirror.Open(b.TempDir(), mirror.Options{Checks: wallet.Checks()})
				must(b, err)
				_, err = m.Update(b.Context(), client)
				must(b, err)
				if m.Size() != s.Size {
					b.Fatal(m.Size())
				}
				must(b, m.Close())
			}
			b.ReportMetric(transactions*float64(b.N)/b.Elapsed().Seconds(), "transactions/s")
		})
	}
}

// BenchmarkVerify audits a mirror of 40 real batches of 128, and says how much of the
// heap is in use at the end of each batch at most.
func BenchmarkVerify(b *testing.B) {
	const batches, size = 40, 128
	c := newChain()
	growBy(c, batches, size)
	s := mirrortest.New(c.Genesis.ChainID, c.Secrets[0].Identity())
	must(b, s.Add(mirrortest.FromChain(b, c)...))
	h := httptest.NewServer(s)
	defer h.Close()
	client, err := mirror.NewClient(h.URL, nil)
	must(b, err)
	dir := b.TempDir()
	m, err := mirror.Open(dir, mirror.Options{Checks: wallet.Checks()})
	must(b, err)
	_, err = m.Update(b.Context(), client)
	must(b, err)
	var peak, start uint64
	inUse := func() uint64 {
		var stats runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&stats)
		return stats.HeapInuse
	}
	start = inUse()
	for b.Loop() {
		l, err := mirror.OpenLines(dir)
		must(b, err)
		r, err := audit.Replay(l, wallet.Checks(), audit.Options{})
		must(b, err)
		if r.Verdict != audit.Verified {
			b.Fatal(r.Missing, r.Findings)
		}
	}
	b.ReportMetric(float64((batches-1)*size*b.N)/b.Elapsed().Seconds(), "openings/s")
	l, err := mirror.OpenLines(dir)
	must(b, err)
	_, err = audit.Replay(l, wallet.Checks(), audit.Options{Progress: func(entries uint64) {
		if entries%20 == 0 {
			peak = max(peak, inUse()-min(start, inUse()))
		}
	}})
	must(b, err)
	b.ReportMetric(float64(peak)/(1<<20), "MiB-heap")
}
