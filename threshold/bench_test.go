//go:build unix

package threshold_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"math/big"
	"slices"
	"syscall"
	"testing"
	"time"

	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"

	"github.com/scrimlabs/scrim/threshold"
	"github.com/scrimlabs/scrim/threshold/thresholdtest"
)

// The benchmarks report, besides the time for a whole batch, "ns/ct", the time per ciphertext, and "g1mul/ct", the same in
// multiples of gnark-crypto's multiplication of a G1 point by a random scalar. The multiplications are timed in between,
// and both in processor time, so that the multiple holds on a busy machine too. docs/benchmarks-threshold.md has the
// table and the command.

// processorTime is what this process has used so far.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

var batchSizes = []int{1, 16, 128, 512}

var committees = []struct{ n, t int }{{4, 3}, {7, 5}, {16, 11}, {64, 43}}

const benchPlaintext = 200

// yardstick times G1 multiplications.
type yardstick struct {
	point, result bls.G1Affine
	scalar        *big.Int
	count         int
	spent         time.Duration
}

func newYardstick() *yardstick {
	var k fr.Element
	k.SetBytes(bytes.Repeat([]byte{0xa7, 0x31, 0x5c}, 16))
	_, _, g, _ := bls.Generators()
	y := &yardstick{scalar: k.BigInt(new(big.Int))}
	y.point.ScalarMultiplication(&g, y.scalar)
	return y
}

func (y *yardstick) measure(n int) {
	start := processorTime()
	for range n {
		y.result.ScalarMultiplication(&y.point, y.scalar)
	}
	y.spent += processorTime() - start
	y.count += n
}

// perCiphertext runs op, which works on size ciphertexts, and the yardstick in turns.
func perCiphertext(b *testing.B, size int, op func() error) {
	y := newYardstick()
	if err := op(); err != nil { // also builds the tables
		b.Fatal(err)
	}
	var spent time.Duration
	rounds := 0
	for b.Loop() {
		start := processorTime()
		if err := op(); err != nil {
			b.Fatal(err)
		}
		spent += processorTime() - start
		rounds++
		b.StopTimer()
		y.measure(1 + size/2)
		b.StartTimer()
	}
	ns := float64(spent.Nanoseconds()) / float64(rounds*size)
	b.ReportMetric(ns, "ns/ct")
	b.ReportMetric(ns/(float64(y.spent.Nanoseconds())/float64(y.count)), "g1mul/ct")
}

func benchBatch(b *testing.B, key *threshold.PublicKey, size int) []*threshold.Checked {
	b.Helper()
	batch := make([]*threshold.Checked, size)
	for i := range batch {
		ct, err := threshold.Seal(rand.Reader, key, threshold.SealOptions{ChainID: "bench-1", Namespace: "bench"}, make([]byte, benchPlaintext))
		if err != nil {
			b.Fatal(err)
		}
		if batch[i], err = ct.Check(); err != nil {
			b.Fatal(err)
		}
	}
	return batch
}

func BenchmarkG1Multiplication(b *testing.B) {
	y := newYardstick()
	for b.Loop() {
		y.measure(1)
	}
	b.ReportMetric(float64(y.spent.Nanoseconds())/float64(y.count), "cpu-ns/op")
}

func BenchmarkSeal(b *testing.B) {
	c, _ := thresholdtest.Deal("bench", 1, 4, 3)
	plaintext := make([]byte, benchPlaintext)
	perCiphertext(b, 1, func() error {
		_, err := threshold.Seal(rand.Reader, c.Key, threshold.SealOptions{ChainID: "bench-1", Namespace: "bench"}, plaintext)
		return err
	})
}

func BenchmarkCheck(b *testing.B) {
	c, _ := thresholdtest.Deal("bench", 1, 4, 3)
	for _, size := range batchSizes {
		b.Run(fmt.Sprintf("b=%d", size), func(b *testing.B) {
			var cts []*threshold.Ciphertext
			for _, ct := range benchBatch(b, c.Key, size) {
				cts = append(cts, ct.Ciphertext())
			}
			perCiphertext(b, size, func() error {
				_, errs := threshold.CheckBatch(cts)
				return errs[0]
			})
		})
	}
}

func BenchmarkShare(b *testing.B) {
	c, secrets := thresholdtest.Deal("bench", 1, 4, 3)
	for _, size := range batchSizes {
		b.Run(fmt.Sprintf("b=%d", size), func(b *testing.B) {
			batch := benchBatch(b, c.Key, size)
			perCiphertext(b, size, func() error {
				_, err := secrets[0].ShareBatch(batch)
				return err
			})
		})
	}
}

// BenchmarkOpen is combine, verify and open. "all" has the shares of all members; "gap" those of the
// members 1..t-1 and t+1, which makes the Lagrange coefficients fractions; in "liar" one of all members sent wrong shares.
func BenchmarkOpen(b *testing.B) {
	for _, m := range committees {
		c, secrets := thresholdtest.Deal("bench", 1, m.n, m.t)
		for _, size := range batchSizes {
			batch := benchBatch(b, c.Key, size)
			var all []*threshold.BatchShare
			for _, s := range secrets {
				share, err := s.ShareBatch(batch)
				if err != nil {
					b.Fatal(err)
				}
				all = append(all, share)
			}
			gap := append(slices.Clone(all[:m.t-1]), all[m.t])
			lie := *all[1]
			lie.Points = all[2].Points
			liar := append([]*threshold.BatchShare{all[0], &lie}, all[2:]...)
			for _, have := range []struct {
				name   string
				shares []*threshold.BatchShare
			}{{"all", all}, {"gap", gap}, {"liar", liar}} {
				b.Run(fmt.Sprintf("n=%d/b=%d/%s", m.n, size, have.name), func(b *testing.B) {
					perCiphertext(b, size, func() error { return combineAndOpen(c, batch, have.shares) })
				})
			}
		}
	}
}

func combineAndOpen(c *threshold.Committee, batch []*threshold.Checked, shares []*threshold.BatchShare) error {
	openings, _, err := threshold.Combine(c, batch, shares)
	if err != nil {
		return err
	}
	for _, o := range openings {
		if _, err := threshold.Open(o); err != nil {
			return err
		}
	}
	return nil
}

// BenchmarkVerifyOpenings is what an auditor does.
func BenchmarkVerifyOpenings(b *testing.B) {
	c, secrets := thresholdtest.Deal("bench", 1, 4, 3)
	for _, size := range batchSizes {
		b.Run(fmt.Sprintf("b=%d", size), func(b *testing.B) {
			batch := benchBatch(b, c.Key, size)
			var shares []*threshold.BatchShare
			for _, s := range secrets[:3] {
				share, _ := s.ShareBatch(batch)
				shares = append(shares, share)
			}
			verified, _, err := threshold.Combine(c, batch, shares)
			if err != nil {
				b.Fatal(err)
			}
			openings := make([]threshold.Opening, size)
			for i := range openings {
				openings[i] = verified[i].Opening()
			}
			perCiphertext(b, size, func() error {
				_, err := threshold.VerifyOpenings(c.Key, batch, openings)
				return err
			})
		})
	}
}
