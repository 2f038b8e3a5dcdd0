package mirrortest

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/internal/sim"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/threshold"
)

// FromChain gives what a chain's log has so far as the lines of a bundle, without
// end; its header has the chain's limits only.
func FromChain(t testing.TB, c *sim.Chain) []commitreveal.BundleLine {
	t.Helper()
	outcomes := map[uint64][]commitreveal.Outcome{}
	for _, r := range c.Results {
		for _, reveal := range r.Reveals {
			outcomes[reveal.Batch.Height] = reveal.Outcomes
		}
	}
	lines := []commitreveal.BundleLine{Header(t, c)}
	for _, r := range c.Results {
		if r.Round != nil {
			lines = append(lines, &commitreveal.BundleRound{Height: r.Height, Section: r.Round.Section, Aside: r.Round.Aside})
		}
		certificates, evidence := r.Certificates, r.Misbehaviour
		for _, record := range r.Records {
			lines = append(lines, &commitreveal.BundleEntry{Index: record.Index, Entry: record.Entry})
			e, err := commitreveal.ParseEntry(record.Entry)
			if err != nil {
				t.Fatal(err)
			}
			switch e.(type) {
			case commitreveal.CommitteeEntry:
				lines = append(lines, &commitreveal.BundleCertificate{Certificate: certificates[0]})
				certificates = certificates[1:]
			case commitreveal.MisbehaviourEntry:
				lines = append(lines, &commitreveal.BundleEvidence{Body: evidence[0].Body})
				evidence = evidence[1:]
			case commitreveal.CommitEntry:
				lines = append(lines, batchLines(r.Batch, outcomes[r.Height])...)
			}
		}
	}
	return lines
}

// Header is the first line.
func Header(t testing.TB, c *sim.Chain) *commitreveal.BundleHeader {
	t.Helper()
	limits, err := json.Marshal(c.Genesis.Params)
	if err != nil {
		t.Fatal(err)
	}
	return &commitreveal.BundleHeader{ChainID: c.Genesis.ChainID, Limits: limits}
}

func batchLines(b *ordering.OrderedBatch, outcomes []commitreveal.Outcome) (lines []commitreveal.BundleLine) {
	for i, ct := range b.Ciphertexts {
		t := &commitreveal.BundleTransaction{Height: b.Batch.Height, Position: uint32(i), Ciphertext: ct.Ciphertext().Bytes()}
		if outcomes != nil {
			o := outcomes[i]
			t.Opening, t.Void, t.Plaintext = &o.Opening, o.Void, o.Plaintext
		}
		lines = append(lines, t)
	}
	return lines
}

// Synthetic gives the lines of a log of so many batches, for measuring: the committee
// entry is real, signatures and openings are not.
func Synthetic(t testing.TB, certificate []byte, committee *threshold.Committee, ct *threshold.Ciphertext, batches, size int) []commitreveal.BundleLine {
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	var lines []commitreveal.BundleLine
	index := uint64(0)
	entry := func(e commitreveal.Entry) {
		b, err := commitreveal.MarshalEntry(e)
		must(err)
		lines = append(lines, &commitreveal.BundleEntry{Index: index, Entry: b})
		index++
	}
	e, err := commitreveal.NewCommitteeEntry(1, certificate, committee)
	must(err)
	entry(e)
	lines = append(lines, &commitreveal.BundleCertificate{Certificate: certificate})
	n := uint64(0)
	for h := uint64(2); h < uint64(batches)+2; h++ {
		var ids []threshold.ID
		var namespaces []string
		var outcomes []commitreveal.Outcome
		var txs []commitreveal.BundleLine
		for i := range size {
			wire := ct.Bytes()
			n++
			binary.BigEndian.PutUint64(wire[len(wire)-8:], n)
			other, err := threshold.ParseCiphertext(wire)
			must(err)
			sum := sha256.Sum256(wire)
			o := commitreveal.Outcome{ID: other.ID(), Opening: threshold.Opening(append(sum[:], sum[:16]...)), Plaintext: fmt.Appendf(nil, "transaction %d", n)}
			ids, namespaces, outcomes = append(ids, o.ID), append(namespaces, other.Header().Namespace), append(outcomes, o)
			txs = append(txs, &commitreveal.BundleTransaction{Height: h, Position: uint32(i), Ciphertext: wire, Opening: &o.Opening, Plaintext: o.Plaintext})
		}
		batch, err := commitreveal.NewBatch(h, committee.Epoch, ids)
		must(err)
		commit, err := batch.Commit(committee.Key.ID(), [32]byte{}, namespaces)
		must(err)
		entry(commit)
		lines = append(lines, txs...)
		reveal, err := batch.Reveal(outcomes, ids, threshold.Signature{byte(h), 1})
		must(err)
		entry(reveal)
	}
	return lines
}
