package pg_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/internal/pg"
	"github.com/scrimlabs/scrim/internal/pg/pgtest"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/threshold"
	"github.com/scrimlabs/scrim/threshold/thresholdtest"
)

const (
	chainID = "scrim-test"
	epoch   = 7
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// equal compares as stored: no bytes are no bytes, nil or not.
func equal(t testing.TB, what string, got, want any, opts ...cmp.Option) {
	t.Helper()
	opts = append(opts, cmpopts.EquateEmpty(), cmp.AllowUnexported(ordering.Reveal{}))
	if d := cmp.Diff(want, got, opts...); d != "" {
		t.Fatalf("%s (-want +got):\n%s", what, d)
	}
}

func open(t testing.TB, url string) *pg.Store {
	t.Helper()
	s, err := pg.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// newStore gives a store with an initialised chain at height 0.
func newStore(t testing.TB) (*pg.Store, string) {
	t.Helper()
	url := pgtest.New(t)
	s := open(t, url)
	if err := s.InitChain(t.Context(), genesis()); err != nil {
		t.Fatal(err)
	}
	return s, url
}

func genesis() pg.Chain {
	return pg.Chain{ChainID: chainID, GenesisHash: [32]byte{1}, AppHash: [32]byte{2}, Snapshot: []byte("genesis"), Ceremony: []byte("begun")}
}

var dealt = sync.OnceValue(func() *threshold.Committee {
	c, _ := thresholdtest.Deal("pg", epoch, 1, 1)
	return c
})

// seal makes checked ciphertexts, the same ones for the same seed.
func seal(t testing.TB, seed uint64, n int, namespace string, validUntil uint64) []*threshold.Checked {
	t.Helper()
	var s [32]byte
	binary.BigEndian.PutUint64(s[:], seed)
	random := rand.NewChaCha8(s)
	out := make([]*threshold.Checked, n)
	for i := range out {
		ct, err := threshold.Seal(random, dealt().Key, threshold.SealOptions{ChainID: chainID, Namespace: namespace, ValidUntil: validUntil},
			fmt.Appendf(nil, "transaction %d of %d", i, seed))
		if err != nil {
			t.Fatal(err)
		}
		if out[i], err = ct.Check(); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func plain(cts []*threshold.Checked) (out []*threshold.Ciphertext) {
	for _, c := range cts {
		out = append(out, c.Ciphertext())
	}
	return out
}

// chain makes the results that an application would: consecutive heights, one log.
type chain struct {
	t      testing.TB
	height uint64
	log    commitreveal.Log
	hashes []commitreveal.Hash // all that the log stored
}

// order is the next block, ordering cts.
func (c *chain) order(cts []*threshold.Checked) *ordering.Result {
	r := c.empty()
	var ids []threshold.ID
	for _, ct := range cts {
		ids = append(ids, ct.ID())
	}
	root := commitreveal.BatchRoot(ids)
	c.record(r, fmt.Appendf(nil, "commit %d %s", r.Height, root))
	r.Batch = &ordering.OrderedBatch{Ciphertexts: cts, Batch: commitreveal.Batch{
		Height: r.Height, Epoch: epoch, IDs: ids, Root: root, Phase: commitreveal.Committed,
		Checkpoint: commitreveal.Checkpoint{
			ChainID: chainID, Height: r.Height, Epoch: epoch, BatchRoot: root, LogSize: c.log.Size(), LogRoot: c.log.Root(),
		},
	}}
	return r
}

// reveal is the next block, opening the batches of earlier ones. Every third ciphertext is
// void; the first of a batch is empty.
func (c *chain) reveal(blocks ...*ordering.Result) *ordering.Result {
	r := c.empty()
	for _, b := range blocks {
		v := ordering.Reveal{Batch: b.Batch.Batch, Certificate: threshold.Signature{9, byte(b.Height)}}
		for i, id := range v.Batch.IDs {
			o := commitreveal.Outcome{ID: id, Opening: threshold.Opening{8, byte(i)}, Void: i%3 == 2}
			if !o.Void && i > 0 {
				o.Plaintext = fmt.Appendf(nil, "plaintext %d/%d", b.Height, i)
			}
			v.Outcomes = append(v.Outcomes, o)
		}
		v.Order = slices.Clone(v.Batch.IDs)
		slices.Reverse(v.Order)
		r.Reveals = append(r.Reveals, v)
		c.record(r, fmt.Appendf(nil, "reveal %d", b.Height))
	}
	return r
}

// revealAndOrder is the next block, opening the batch of last and ordering cts; its commit entry comes last.
func (c *chain) revealAndOrder(last *ordering.Result, cts []*threshold.Checked) *ordering.Result {
	v := c.reveal(last)
	c.height--
	r := c.order(cts)
	r.Reveals, r.Records = v.Reveals, append(v.Records, r.Records...)
	return r
}

func (c *chain) empty() *ordering.Result {
	c.height++
	hash := sha256.Sum256(fmt.Appendf(nil, "app hash %d", c.height))
	r := &ordering.Result{Height: c.height, AppHash: hash, Snapshot: fmt.Appendf(nil, "snapshot %d", c.height)}
	if c.height%3 == 0 { // most blocks leave the ceremony alone
		r.Ceremony = fmt.Appendf(nil, "ceremony %d", c.height)
	}
	return r
}

func (c *chain) record(r *ordering.Result, entry []byte) {
	next, hashes, err := c.log.Append(entry)
	if err != nil {
		c.t.Fatal(err)
	}
	r.Records = append(r.Records, ordering.Record{Index: c.log.Size(), Entry: entry, Hashes: hashes})
	c.log, c.hashes = next, append(c.hashes, hashes...)
}

func commit(t testing.TB, s *pg.Store, results ...*ordering.Result) {
	t.Helper()
	for _, r := range results {
		if err := s.CommitBlock(t.Context(), r); err != nil {
			t.Fatalf("block %d: %v", r.Height, err)
		}
	}
}

// checkWhole fails unless the database holds blocks 1..len(results), completely, and nothing else.
func checkWhole(t testing.TB, s *pg.Store, results ...*ordering.Result) {
	t.Helper()
	ctx := t.Context()
	c, err := s.Chain(ctx)
	if err != nil {
		t.Fatal(err)
	}
	want := genesis()
	var ordered, revealed, voids uint64
	var entries []pg.LogEntry
	reveals := map[uint64]ordering.Reveal{}
	for _, r := range results {
		want.Height, want.AppHash, want.Snapshot = r.Height, r.AppHash, r.Snapshot
		if r.Ceremony != nil {
			want.Ceremony = r.Ceremony
		}
		for _, rec := range r.Records {
			entries = append(entries, pg.LogEntry{Index: rec.Index, Entry: rec.Entry})
		}
		for _, v := range r.Reveals {
			reveals[v.Batch.Height] = v
		}
	}
	equal(t, "chain", *c, want)
	for _, r := range results {
		if r.Batch == nil {
			if _, err := s.Batch(ctx, r.Height); err == nil {
				t.Fatalf("block %d has a batch", r.Height)
			}
			continue
		}
		o, v := checkBatch(t, s, r, reveals)
		ordered += uint64(len(r.Batch.Ciphertexts))
		revealed, voids = revealed+o, voids+v
	}
	got, err := s.LogEntries(ctx, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "log", got, entries)
	_, gotOrdered, gotRevealed, gotVoids, err := s.Counts(ctx)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "counts", []uint64{gotOrdered, gotRevealed, gotVoids}, []uint64{ordered, revealed, voids})
}

func checkBatch(t testing.TB, s *pg.Store, r *ordering.Result, reveals map[uint64]ordering.Reveal) (revealed, voids uint64) {
	t.Helper()
	txs, err := s.BatchTransactions(t.Context(), r.Height)
	if err != nil {
		t.Fatal(err)
	}
	if len(txs) != len(r.Batch.Ciphertexts) {
		t.Fatalf("block %d: %d transactions, want %d", r.Height, len(txs), len(r.Batch.Ciphertexts))
	}
	v, ok := reveals[r.Height]
	for i, tx := range txs {
		ct := r.Batch.Ciphertexts[i]
		if tx.ID != ct.ID() || tx.Height != r.Height || tx.Position != uint32(i) || !bytes.Equal(tx.Ciphertext, ct.Ciphertext().Bytes()) {
			t.Fatalf("block %d: transaction %d is %x at %d/%d", r.Height, i, tx.ID, tx.Height, tx.Position)
		}
		if tx.Revealed != ok {
			t.Fatalf("block %d: transaction %d revealed: %t, want %t", r.Height, i, tx.Revealed, ok)
		}
		if !ok {
			if tx.Plaintext != nil || tx.Opening != (threshold.Opening{}) {
				t.Fatalf("block %d: transaction %d shows something before its reveal", r.Height, i)
			}
			continue
		}
		revealed++
		o := v.Outcomes[i]
		if tx.Opening != o.Opening || tx.Place != uint32(len(txs)-1-i) || tx.Void != o.Void || !bytes.Equal(tx.Plaintext, o.Plaintext) || (tx.Plaintext == nil) != o.Void {
			t.Fatalf("block %d: transaction %d: got void %t %q, want void %t %q", r.Height, i, tx.Void, tx.Plaintext, o.Void, o.Plaintext)
		}
		if o.Void {
			voids++
		}
	}
	return revealed, voids
}
